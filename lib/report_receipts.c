/* report_receipts - the page's last part: where everything came from, on which machine, judged how */
#include "html.h"
#include "receipt.h"
#include "report_page.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

/* Each different text that get() has for the receipts, with how many say so. */
static void put_distinct(FILE *f, const struct receipts *c, const char *what,
                         const char *(*get)(const struct receipt *v))
{
    int n = 0;
    for (int i = 0; i < c->n; i++) {
        const char *s = c->v[i].meta ? get(&c->v[i]) : "";
        int seen = !s[0];
        for (int k = 0; k < i && !seen; k++)
            seen = c->v[k].meta && strcmp(get(&c->v[k]), s) == 0;
        if (seen)
            continue;
        if (n++ == 0)
            html_put(f, "<dt>%s</dt><dd>", what);
        html_put(f, "%s%s", n > 1 ? ", " : "", s);
    }
    if (n)
        fputs("</dd>\n", f);
}

static const char *get_host(const struct receipt *v)
{
    return v->host;
}
static const char *get_device(const struct receipt *v)
{
    return v->device;
}
static const char *get_version(const struct receipt *v)
{
    return v->version;
}

static void put_counts(FILE *f, const char *what, const cJSON *of)
{
    const cJSON *v;
    int n = cJSON_GetArraySize(of);
    if (!n)
        return;
    html_put(f, "<dt>%s</dt>", what);
    cJSON_ArrayForEach(v, of)
        html_put(f, "<dd>%s <span class=\"muted\">in %.0f verdicts</span></dd>\n", v->string,
                 v->valuedouble);
}

static void environment(FILE *f, const struct report *r, const struct receipts *c)
{
    long flaky = 0, again = 0;
    for (int b = 0; b < r->n_bench; b++)
        for (int i = 0; i < r->bench[b].n; i++)
            for (int k = 0; k < r->n_run; k++)
                for (int j = 0; j < r->bench[b].task[i].run[k].n; j++) {
                    flaky += r->bench[b].task[i].run[k].v[j].flaky;
                    again += r->bench[b].task[i].run[k].v[j].attempt > 1;
                }
    fputs("<dl class=\"facts\">\n", f);
    put_distinct(f, c, "Version of the tools", get_version);
    put_distinct(f, c, "Hosts", get_host);
    put_distinct(f, c, "Devices", get_device);
    put_counts(f, "Held for the verdicts", r->enforced);
    put_counts(f, "Checked", r->trust);
    if (again || flaky)
        html_put(f, "<dt>Judged twice</dt><dd>%ld, of them with another verdict %ld</dd>\n", again,
                 flaky);
    fputs("</dl>\n", f);
}

static void put_value(FILE *f, const cJSON *v)
{
    char *s = cJSON_IsString(v) ? NULL : cJSON_PrintUnformatted(v);
    const char *text = cJSON_IsString(v) ? v->valuestring : s ? s : "";
    html_put(f, "%.300s%s", text, strlen(text) > 300 ? "…" : "");
    cJSON_free(s);
}

static void details(FILE *f, const struct receipt *v)
{
    const cJSON *args = cJSON_GetObjectItemCaseSensitive(v->meta, "args"), *a;
    const char *path, *sha256;
    int n = 0;
    fputs("<dl class=\"facts\">\n", f);
    html_put(f, "<dt>path</dt><dd class=\"code\">%s</dd>\n", v->path);
    if (v->sha256[0])
        html_put(f, "<dt>sha256</dt><dd class=\"code\">%s</dd>\n", v->sha256);
    if (v->end[0])
        html_put(f, "<dt>written</dt><dd>%s on %s %s</dd>\n", v->end, v->host, v->device);
    cJSON_ArrayForEach(a, args)
    {
        html_put(f, "%s<b>%s</b> ", n++ ? ", " : "<dt>options</dt><dd class=\"code\">", a->string);
        put_value(f, a);
    }
    if (n)
        fputs("</dd>\n", f);
    for (int k = 0; receipt_input(v, k, &path, &sha256); k++)
        html_put(f, "<dt>input</dt><dd class=\"code\">%s <span class=\"muted\">%s</span></dd>\n",
                 path, sha256);
    fputs("</dl>\n", f);
}

static void line(FILE *f, const struct receipt *v)
{
    static const char *const state[] = {"no sidecar", "agrees", "changed since", "sidecar damaged"};
    html_put(f,
             "<details class=\"receipt\"><summary><span class=\"file\">%s</span> <span "
             "class=\"muted\">",
             base_name(v->path));
    if (v->meta) {
        html_put(f, "%s %s", v->tool, v->version);
        if (!isnan(v->seconds))
            html_put(f, v->seconds < 10 ? ", %.2f s" : ", %.0f s", v->seconds);
    }
    html_put(f, "</span><span class=\"tag %s\">%s</span></summary>\n",
             v->state == RECEIPT_OK     ? "yes"
             : v->state == RECEIPT_NONE ? "none"
                                        : "no",
             state[v->state]);
    details(f, v);
    fputs("</details>\n", f);
}

static void unusual(FILE *f, const struct report *r)
{
    for (int i = 0; i < r->n_file; i++)
        if (r->file[i].mended)
            html_put(
                f,
                "<p class=\"note\">%s: %ld of %ld records had bytes that are no text; they are "
                "shown as \xEF\xBF\xBD or \xE2\x90\x80.</p>\n",
                base_name(r->file[i].path), r->file[i].mended, r->file[i].n);
}

int report_receipts(FILE *f, const struct report *r, struct err *e)
{
    struct receipts c = {0};
    int rc = 0, others = 0;
    for (int i = 0; i < r->n_file && rc == 0; i++)
        if (strcmp(r->file[i].path, "-"))
            rc = receipts_add(&c, r->file[i].path, e);
    if (rc == 0)
        rc = receipts_follow(&c, e);
    fputs("<section id=\"receipts\" aria-labelledby=\"h-receipts\"><h2 "
          "id=\"h-receipts\">Receipts</h2>\n",
          f);
    environment(f, r, &c);
    unusual(f, r);
    fputs("<h3>Files of this page</h3>\n", f);
    for (int i = 0; i < c.n; i++)
        if (c.v[i].direct)
            line(f, &c.v[i]);
        else
            others++;
    if (others)
        fputs("<h3>What they were made from</h3>\n", f);
    for (int i = 0; i < c.n; i++)
        if (!c.v[i].direct)
            line(f, &c.v[i]);
    if (c.left_out)
        html_put(f, "<p class=\"note\">%d more inputs are left out.</p>\n", c.left_out);
    fputs("<p class=\"note\">Agrees: the file still has the digest that its sidecar, or the "
          "sidecar of "
          "what was made of it, recorded.</p>\n</section>\n",
          f);
    receipts_free(&c);
    return rc;
}
