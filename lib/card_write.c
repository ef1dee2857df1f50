/* card_write - the card as Markdown with the Hub's front matter */
#include "card.h"
#include "html.h"
#include "md.h"
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Licence identifiers of the Hub: huggingface/hub-docs, docs/hub/repositories-licenses.md. */
static const char *const licences[] = {"apache-2.0",
                                       "mit",
                                       "openrail",
                                       "bigscience-openrail-m",
                                       "creativeml-openrail-m",
                                       "bigscience-bloom-rail-1.0",
                                       "bigcode-openrail-m",
                                       "afl-3.0",
                                       "artistic-2.0",
                                       "bsl-1.0",
                                       "bsd",
                                       "bsd-2-clause",
                                       "bsd-3-clause",
                                       "bsd-3-clause-clear",
                                       "c-uda",
                                       "cc",
                                       "cc0-1.0",
                                       "cc-by-2.0",
                                       "cc-by-2.5",
                                       "cc-by-3.0",
                                       "cc-by-4.0",
                                       "cc-by-sa-3.0",
                                       "cc-by-sa-4.0",
                                       "cc-by-nc-2.0",
                                       "cc-by-nc-3.0",
                                       "cc-by-nc-4.0",
                                       "cc-by-nd-4.0",
                                       "cc-by-nc-nd-3.0",
                                       "cc-by-nc-nd-4.0",
                                       "cc-by-nc-sa-2.0",
                                       "cc-by-nc-sa-3.0",
                                       "cc-by-nc-sa-4.0",
                                       "cdla-sharing-1.0",
                                       "cdla-permissive-1.0",
                                       "cdla-permissive-2.0",
                                       "wtfpl",
                                       "ecl-2.0",
                                       "epl-1.0",
                                       "epl-2.0",
                                       "etalab-2.0",
                                       "eupl-1.1",
                                       "agpl-3.0",
                                       "gfdl",
                                       "gpl",
                                       "gpl-2.0",
                                       "gpl-3.0",
                                       "lgpl",
                                       "lgpl-2.1",
                                       "lgpl-3.0",
                                       "isc",
                                       "lppl-1.3c",
                                       "ms-pl",
                                       "mpl-2.0",
                                       "odc-by",
                                       "odbl",
                                       "openrail++",
                                       "osl-3.0",
                                       "postgresql",
                                       "ofl-1.1",
                                       "ncsa",
                                       "unlicense",
                                       "zlib",
                                       "pddl",
                                       "lgpl-lr",
                                       "deepfloyd-if-license",
                                       "llama2",
                                       "gemma",
                                       "unknown",
                                       NULL};

/* Data set identifiers of the Hub for our benchmarks; ours are their own names. */
static const struct {
    const char *bench, *id, *name, *split;
} datasets[] = {{"humaneval", "openai/openai_humaneval", "HumanEval", "test"},
                {"humanevalplus", "evalplus/humanevalplus", "HumanEval+", "test"},
                {"mbpp", "google-research-datasets/mbpp", "MBPP", "test"},
                {"mbppplus", "evalplus/mbppplus", "MBPP+", "test"},
                {NULL, NULL, NULL, NULL}};

/* ---- YAML ---- */

/* A scalar: plain if no reader could take it for anything but this text, else in double quotes. */
static void yaml_text(FILE *f, const char *s)
{
    static const char *const words[] = {"true", "false", "null", "yes", "no",
                                        "on",   "off",   "y",    "n",   NULL};
    int plain = isalpha((unsigned char)s[0]) != 0;
    for (const char *const *w = words; *w; w++)
        plain &= strcasecmp(s, *w) != 0;
    for (const char *p = s; *p; p++)
        plain &= isalnum((unsigned char)*p) || strchr("-_./+", *p) != NULL;
    if (plain) {
        fputs(s, f);
        return;
    }
    putc('"', f);
    char *shown = html_visible(s, strlen(s)); /* valid UTF-8, controls as pictures */
    for (const char *p = shown ? shown : ""; *p; p++) {
        if (*p == '"' || *p == '\\')
            putc('\\', f);
        putc(*p == '\n' || *p == '\t' ? ' ' : *p, f);
    }
    free(shown);
    putc('"', f);
}

static void yaml_pair(FILE *f, const char *key, const char *value)
{
    fprintf(f, "%s: ", key);
    yaml_text(f, value);
    putc('\n', f);
}

static void licence(const struct card *c, FILE *f)
{
    const char *given = c->ask.license ? c->ask.license : c->base_licence;
    char id[64];
    size_t n = 0;
    int known = 0;
    if (!given[0])
        return;
    for (; given[n] && n < sizeof id - 1; n++)
        id[n] = (char)tolower((unsigned char)given[n]);
    id[n] = 0;
    for (const char *const *l = licences; *l; l++)
        known |= strcmp(*l, id) == 0;
    yaml_pair(f, "license", known ? id : "other");
    if (!known)
        yaml_pair(f, "license_name", id);
}

static void metrics(const struct card *c, const char *bench, FILE *f)
{
    for (int i = 0; i < c->report.n_row; i++) {
        const struct report_cell *s = &c->report.row[i].cell[c->run];
        if (!s->n_task || strcmp(c->report.row[i].bench, bench))
            continue;
        fputs("          - type: ", f);
        yaml_text(f, c->report.row[i].metric);
        fputs("\n            name: ", f);
        yaml_text(f, c->report.row[i].metric);
        fprintf(f, "\n            value: %.6g\n            verified: false\n", s->value);
    }
}

static void model_index(const struct card *c, FILE *f)
{
    fputs("model-index:\n  - name: ", f);
    yaml_text(f, c->name);
    fputs("\n    results:\n", f);
    for (int i = 0; i < c->report.n_row; i++) {
        const char *bench = c->report.row[i].bench, *split = NULL, *id = bench, *name = bench;
        int before = 0;
        for (int k = 0; k < i; k++)
            before |=
                c->report.row[k].cell[c->run].n_task && strcmp(c->report.row[k].bench, bench) == 0;
        if (before || !c->report.row[i].cell[c->run].n_task)
            continue;
        for (int k = 0; datasets[k].bench; k++)
            if (strcmp(datasets[k].bench, bench) == 0) {
                id = datasets[k].id;
                name = datasets[k].name;
                split = datasets[k].split;
            }
        fputs("      - task:\n          type: text-generation\n        dataset:\n          type: ",
              f);
        yaml_text(f, id);
        fputs("\n          name: ", f);
        yaml_text(f, name);
        if (split)
            fprintf(f, "\n          split: %s", split);
        fputs("\n        metrics:\n", f);
        metrics(c, bench, f);
    }
}

static int has_tool(const struct card *c, const char *tool)
{
    for (int i = 0; i < c->n_stage; i++)
        if (strcmp(c->stage[i]->tool, tool) == 0)
            return 1;
    return 0;
}

static void front_matter(const struct card *c, FILE *f)
{
    fputs("---\n", f);
    licence(c, f);
    fputs("language:\n", f);
    for (int i = 0; i < c->ask.n_language; i++) {
        fputs("  - ", f);
        yaml_text(f, c->ask.language[i]);
        putc('\n', f);
    }
    if (!c->ask.n_language)
        fputs("  - code\n", f);
    if (c->base[0])
        yaml_pair(f, "base_model", c->base);
    if (c->base[0] && c->relation)
        yaml_pair(f, "base_model_relation", c->relation);
    fputs("pipeline_tag: text-generation\ntags:\n  - code\n", f);
    if (has_tool(c, "apr-lora"))
        fputs("  - lora\n", f);
    for (int i = 0; i < c->ask.n_tag; i++) {
        fputs("  - ", f);
        yaml_text(f, c->ask.tag[i]);
        putc('\n', f);
    }
    if (c->run >= 0)
        model_index(c, f);
    fputs("---\n\n", f);
}

/* ---- the text ---- */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

static void summary(const struct card *c, FILE *f)
{
    fputs("# ", f);
    md_text(f, c->name);
    fputs("\n\n", f);
    if (c->base[0] || c->base_origin[0]) {
        fputs("- Base: ", f);
        md_text(f, c->base[0] ? c->base : c->base_origin);
        if (c->base[0] && c->base_origin[0]) {
            fputs(" (", f);
            md_text(f, c->base_origin);
            putc(')', f);
        }
        fputs(".\n", f);
    } else {
        fputs("- Base: not known.\n", f);
    }
    fputs("- Licence of the base: ", f);
    md_text(f, c->base_licence[0] ? c->base_licence : "not known");
    fputs(".\n- Licence of this model: ", f);
    if (c->ask.license)
        md_text(f, c->ask.license);
    else
        fputs(c->base_licence[0] ? "taken to be that of the base" : "not known", f);
    fputs(".\n", f);
    if (c->weights) {
        fputs("- Weights: `", f);
        md_text(f, base_name(c->weights->path));
        fprintf(f, "`, sha256 `%s`.\n", c->weights->sha256);
    } else {
        fputs("- Weights: the records do not say which file answered.\n", f);
    }
}

static void results(const struct card *c, FILE *f)
{
    fputs("\n## Results\n\n", f);
    if (c->run < 0) {
        fputs("No score was given.\n", f);
    } else {
        fputs("This model is the run **", f);
        md_text(f, c->report.run[c->run]);
        fputs("** below. Code was run against each benchmark's tests in a sandbox.\n", f);
    }
    report_markdown_results(&c->report, "###", f);
    if (c->run >= 0 && !cJSON_GetArraySize(c->report.compare))
        fputs("\nNo paired comparison was given: differences between the runs above are not "
              "tested.\n",
              f);
}

/* The options that a sidecar recorded, without the names of outputs. */
static void options(const struct receipt *v, FILE *f)
{
    static const char *const skip[] = {"output", "metrics", "threads", NULL};
    const cJSON *args = cJSON_GetObjectItemCaseSensitive(v->meta, "args"), *a;
    int n = 0;
    cJSON_ArrayForEach(a, args)
    {
        int out = cJSON_IsString(a) && !a->valuestring[0];
        for (const char *const *s = skip; *s; s++)
            out |= strcmp(a->string, *s) == 0;
        if (out)
            continue;
        fputs(n++ ? ", " : ": ", f);
        md_text(f, a->string);
        putc(' ', f);
        if (cJSON_IsString(a)) {
            md_text(f, a->valuestring);
        } else if (cJSON_IsNumber(a)) {
            fprintf(f, "%g", a->valuedouble);
        } else {
            char *s = cJSON_PrintUnformatted(a);
            md_text(f, s ? s : "");
            cJSON_free(s);
        }
    }
    fputs(".\n", f);
}

static void stages(const struct card *c, FILE *f)
{
    fputs("\n## How it was made\n\n", f);
    if (!c->n_stage)
        fputs("Not known: there are no sidecars that lead from the scores to the weights.\n", f);
    for (int i = 0; i < c->n_stage; i++) {
        const struct receipt *v = c->stage[i];
        fprintf(f, "%d. **", i + 1);
        md_text(f, v->tool);
        putc(' ', f);
        md_text(f, v->version);
        fputs("** wrote `", f);
        md_text(f, base_name(v->path));
        putc('`', f);
        if (!isnan(v->seconds))
            fprintf(f, v->seconds < 10 ? " in %.1f s" : " in %.0f s", v->seconds);
        if (v->device[0]) {
            fputs(" on ", f);
            md_text(f, v->device);
        }
        options(v, f);
    }
}

static void decontamination(const struct card *c, FILE *f)
{
    const cJSON *m;
    int bare = 0;
    for (int i = 0; i < c->n_data; i++)
        bare += !c->data[i].decontaminated;
    fputs("\n### Decontamination\n\n", f);
    if (bare == c->n_data) {
        fputs("None was made: no receipt shows that this data was compared with the benchmarks' "
              "problems and freed of them.\n",
              f);
        return;
    }
    for (int i = 0; i < c->n_data; i++) {
        md_text(f, base_name(c->data[i].file->path));
        fputs(c->data[i].decontaminated ? ": a receipt is there.\n"
                                        : ": none was made, no receipt is there.\n",
              f);
    }
    if (c->decontam)
        fputs("\nThe receipt says:\n\n", f);
    cJSON_ArrayForEach(m, c->decontam)
    {
        char *s = cJSON_IsString(m) ? NULL : cJSON_PrintUnformatted(m);
        fputs("- ", f);
        md_text(f, m->string);
        fputs(": ", f);
        md_text(f, cJSON_IsString(m) ? m->valuestring : s ? s : "");
        putc('\n', f);
        cJSON_free(s);
    }
}

static void data(const struct card *c, FILE *f)
{
    fputs("\n## Data\n\n", f);
    if (!c->n_data && has_tool(c, "apr-lora")) {
        fputs("Not known: the sidecars name no data.\n", f);
    } else if (!c->n_data) {
        fputs(c->n_stage ? "No stage above took data.\n" : "Not known.\n", f);
        return;
    }
    if (c->n_data)
        fputs("| data | used for | licence | records | origin | sha256 "
              "|\n|---|---|---|--:|---|---|\n",
              f);
    for (int i = 0; i < c->n_data; i++) {
        const struct card_data *d = &c->data[i];
        fputs("| ", f);
        md_text(f, d->entry[0] ? d->entry : base_name(d->file->path));
        fprintf(f, " | %s | ", d->role);
        md_text(f, d->licence[0] ? d->licence : "not known");
        if (d->records)
            fprintf(f, " | %ld | ", d->records);
        else
            fputs(" | not known | ", f);
        md_text(f, d->origin[0] ? d->origin : "not known");
        fprintf(f, " | `%s` |\n", d->file->sha256[0] ? d->file->sha256 : "not known");
    }
    decontamination(c, f);
}

/* A fence longer than any run of backticks in the text. */
static int put_file(FILE *f, const char *path, struct err *e)
{
    FILE *in = fopen(path, "rb");
    char *text = NULL, *shown, buf[4096];
    size_t n = 0, got, run = 0, longest = 2;
    FILE *out = in ? open_memstream(&text, &n) : NULL;
    if (!in)
        return err_errno(e, ERR_NOINPUT, "%s", path);
    while (out && n < (1 << 20) && (got = fread(buf, 1, sizeof buf, in)) > 0) {
        fwrite(buf, 1, got, out);
        fflush(out);
    }
    fclose(in);
    if (!out || fclose(out) || !(shown = html_visible(text, n))) {
        free(text);
        return err_set(e, ERR_NOMEM, "%s: out of memory", path);
    }
    for (const char *p = shown; *p; p++) {
        run = *p == '`' ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; i <= longest; i++)
            putc('`', f);
        fputs(side ? "\n" : "yaml\n", f);
        if (!side)
            fprintf(f, "%s%s", shown, n && text[n - 1] == '\n' ? "" : "\n");
    }
    free(text);
    free(shown);
    return 0;
}

static int reproduce(const struct card *c, FILE *f, struct err *e)
{
    fputs("\n## How to reproduce\n\n", f);
    if (!c->recipe_path[0]) {
        fputs("The recipe is not known. The stages above name tools, options and inputs.\n", f);
        return 0;
    }
    if (card_name_ok(c->recipe) && card_name_ok(c->model)) {
        fputs("With the project's tools of the versions above, in its tree:\n\n    make ", f);
        fprintf(f, "%s MODEL=%s\n", c->recipe, c->model);
    } else {
        fputs("Put this recipe into `recipes/` and make its name.\n", f);
    }
    fputs("\nThe recipe:\n\n", f);
    return put_file(f, c->recipe_path, e);
}

static void hashes(const struct card *c, FILE *f)
{
    fputs("\n## Hashes\n\n| file | sha256 | bytes | written by | now |\n|---|---|--:|---|---|\n",
          f);
    for (int i = 0; i < c->receipts.n; i++) {
        static const char *const state[] = {"no sidecar", "agrees", "changed since",
                                            "sidecar damaged"};
        const struct receipt *v = &c->receipts.v[i];
        const cJSON *bytes = cJSON_GetObjectItemCaseSensitive(v->meta, "bytes");
        fputs("| ", f);
        md_text(f, base_name(v->path));
        fprintf(f, " | `%s` | ", v->sha256[0] ? v->sha256 : "not known");
        if (cJSON_IsNumber(bytes) && v->state == RECEIPT_OK)
            fprintf(f, "%.0f", bytes->valuedouble);
        fputs(" | ", f);
        md_text(f, v->tool);
        putc(' ', f);
        md_text(f, v->version);
        fprintf(f, " | %s |\n", state[v->state]);
    }
    fputs("\nAgrees: size or digest of the file, or the digest that its user recorded, is that of "
          "its sidecar.\n",
          f);
}

int card_write(const struct card *c, FILE *out, struct err *e)
{
    int rc;
    front_matter(c, out);
    summary(c, out);
    results(c, out);
    stages(c, out);
    data(c, out);
    if ((rc = reproduce(c, out, e)) < 0)
        return rc;
    hashes(c, out);
    return 0;
}
