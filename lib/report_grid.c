/* report_grid - the page's grid of tasks by run, and the texts behind it as data for its script */
#include "html.h"
#include "plot.h"
#include "report_page.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A kind of verdict: its letter and group (a colour of the style sheet: class v-GROUP). */
static const struct look {
    const char *verdict, *letter, *group;
} looks[] = {{"pass", "·", "pass"},
             {"wrong_answer", "W", "wrong"},
             {"exception", "E", "raise"},
             {"syntax_error", "S", "form"},
             {"compile_error", "C", "form"},
             {"no_entry_point", "N", "form"},
             {"no_code", "0", "form"},
             {"bad_return", "B", "odd"},
             {"early_exit", "X", "odd"},
             {"crash", "K", "raise"},
             {"timeout_cpu", "T", "limit"},
             {"timeout_wall", "t", "limit"},
             {"memory", "M", "limit"},
             {"output_limit", "O", "limit"},
             {"file_limit", "F", "limit"},
             {"process_limit", "P", "limit"},
             {"forbidden", "!", "odd"},
             {"protocol", "R", "odd"},
             {"harness_error", "H", "ours"},
             {"fail", "W", "wrong"}, /* this and the next are other judges' */
             {"timeout", "T", "limit"},
             {NULL, "?", "other"}};

static const struct look *look_of(const char *verdict)
{
    const struct look *l = looks;
    while (l->verdict && strcmp(l->verdict, verdict))
        l++;
    return l;
}

void report_verdict_words(const char *verdict, char *words, size_t size)
{
    snprintf(words, size, "%s", verdict);
    for (char *p = words; *p; p++)
        if (*p == '_')
            *p = ' ';
}

static int passed(const struct report *r, const struct report_try *t)
{
    return t->kind >= 0 && strcmp(r->kind[t->kind], "pass") == 0;
}

/* What a cell shows: the verdict that all samples share, or how many of them pass. */
struct cell {
    int n, pass, kind; /* samples judged, of them passed; kind -1 = nothing judged, -2 = several */
};

static struct cell cell_of(const struct report *r, const struct report_tries *t)
{
    struct cell c = {0, 0, -1};
    for (int i = 0; i < t->n; i++) {
        if (t->v[i].kind < 0)
            continue;
        c.kind = !c.n || c.kind == t->v[i].kind ? t->v[i].kind : -2;
        c.pass += passed(r, &t->v[i]);
        c.n++;
    }
    if (c.kind == -2 && !c.pass) /* several ways to fail: the first stands for them */
        for (int i = 0; i < t->n && c.kind == -2; i++)
            c.kind = t->v[i].kind >= 0 ? t->v[i].kind : -2;
    return c;
}

static void put_cell(FILE *f, const struct report *r, struct cell c)
{
    if (c.kind == -1)
        fputs("<i class=\"v-none\">&#8239;</i>", f);
    else if (c.kind == -2)
        fprintf(f, "<i class=\"v-part\">%d</i>",
                (int)fmin(99, fmax(1, round(100.0 * c.pass / c.n))));
    else
        fprintf(f, "<i class=\"v-%s\">%s</i>", look_of(r->kind[c.kind])->group,
                look_of(r->kind[c.kind])->letter);
}

static void put_words(FILE *f, const struct report *r, struct cell c)
{
    char words[64];
    if (c.kind == -1) {
        fputs("not judged", f);
    } else if (c.n > 1) {
        fprintf(f, "%d of %d passed", c.pass, c.n);
    } else {
        report_verdict_words(r->kind[c.kind], words, sizeof words);
        html_put(f, "%s", words);
    }
}

/* A tile is a task: one cell a run, from top to bottom. */
static void tile(FILE *f, const struct report *r, const struct report_task *t, long index)
{
    html_put(f, "<button type=\"button\" class=\"tile\" data-i=\"%ld\" aria-label=\"%.80s: ", index,
             t->id);
    for (int k = 0; k < r->n_run; k++)
        if (r->tried[k]) {
            html_put(f, "%.40s ", r->run[k]);
            put_words(f, r, cell_of(r, &t->run[k]));
            fputs("; ", f);
        }
    fputs("\">", f);
    for (int k = 0; k < r->n_run; k++)
        if (r->tried[k])
            put_cell(f, r, cell_of(r, &t->run[k]));
    fputs("</button>\n", f);
}

/* ---- key and filter ---- */

static void key(FILE *f, const struct report *r)
{
    long *n = calloc(REPORT_KINDS, sizeof *n);
    char words[64];
    for (int b = 0; n && b < r->n_bench; b++)
        for (int i = 0; i < r->bench[b].n; i++)
            for (int k = 0; k < r->n_run; k++)
                for (int j = 0; j < r->bench[b].task[i].run[k].n; j++)
                    if (r->bench[b].task[i].run[k].v[j].kind >= 0)
                        n[r->bench[b].task[i].run[k].v[j].kind]++;
    fputs("<form id=\"filter\" class=\"filter\" role=\"search\" aria-label=\"Filter tasks\">\n"
          "<p class=\"script\"><label for=\"f-text\">Find</label> <input type=\"search\" "
          "id=\"f-text\" placeholder=\"task, prompt, code, message\" autocomplete=\"off\" "
          "spellcheck=\"false\"></p>\n"
          "<fieldset><legend>Verdicts</legend>\n",
          f);
    for (int i = 0; n && i < r->n_kind; i++) {
        const struct look *l = look_of(r->kind[i]);
        report_verdict_words(r->kind[i], words, sizeof words);
        html_put(
            f,
            "<label class=\"chip\"><input type=\"checkbox\" class=\"script\" name=\"v\" "
            "value=\"%d\"><i class=\"v-%s\" aria-hidden=\"true\">%s</i> %s <b>%ld</b></label>\n",
            i, l->group, l->letter, words, n[i]);
    }
    free(n);
    fputs("</fieldset>\n<p class=\"script\"><label class=\"chip\"><input type=\"checkbox\" "
          "id=\"f-differs\"> runs differ</label> <button type=\"reset\">Clear</button> <output "
          "id=\"f-count\" aria-live=\"polite\"></output></p>\n</form>\n",
          f);
}

static void runs_key(FILE *f, const struct report *r)
{
    int several = 0;
    for (int k = 0; k < r->n_run; k++)
        several += r->tried[k];
    html_put(f,
             "<p class=\"note\">A column is a task%s. A dot passed, a letter failed as the key "
             "says, a number is the share of its samples that passed.</p>\n",
             several > 1 ? "; its cells, from the top, are the runs in this order" : "");
    fputs("<ul class=\"legend\" id=\"runs\">", f);
    for (int k = 0; k < r->n_run; k++)
        if (r->tried[k]) {
            fputs("<li>", f);
            plot_swatch(f, k);
            html_put(f, " %s</li>", r->run[k]);
        }
    fputs("</ul>\n", f);
}

/* How many tasks all, some and none of the runs solved (in any sample). */
static void put_union(FILE *f, const struct report *r, const struct report_bench *b)
{
    long all = 0, none = 0, n = 0;
    for (int i = 0; i < b->n; i++) {
        int runs = 0, solved = 0;
        for (int k = 0; k < r->n_run; k++) {
            struct cell c = cell_of(r, &b->task[i].run[k]);
            runs += c.n > 0;
            solved += c.pass > 0;
        }
        n += runs > 0;
        all += runs && solved == runs;
        none += runs && !solved;
    }
    fprintf(f,
            "<span class=\"muted\">%ld tasks: solved by every run %ld, by some %ld, by none "
            "%ld</span>",
            n, all, n - all - none, none);
}

void report_grid(FILE *f, const struct report *r)
{
    long index = 0;
    key(f, r);
    runs_key(f, r);
    fputs("<noscript><p class=\"note\">To open a task, the page needs its script; tables and "
          "figures do not.</p></noscript>\n",
          f);
    for (int b = 0; b < r->n_bench; b++) {
        long before = index;
        for (int i = 0; i < r->bench[b].n; i++) {
            if (!report_task_tried(r, &r->bench[b].task[i]))
                continue;
            if (index == before) {
                html_put(f, "<h3>%s ", r->bench[b].name);
                put_union(f, r, &r->bench[b]);
                html_put(f,
                         "</h3>\n<div class=\"grid\" role=\"group\" aria-label=\"Tasks of %s\">\n",
                         r->bench[b].name);
            }
            tile(f, r, &r->bench[b].task[i], index++);
        }
        if (index > before)
            fputs("</div>\n", f);
    }
    fputs("<dialog id=\"task\" aria-labelledby=\"task-name\"><header><h2 id=\"task-name\"></h2><p>"
          "<button type=\"button\" id=\"task-prev\">Previous</button> <button type=\"button\" "
          "id=\"task-next\">Next</button> <button type=\"button\" id=\"task-close\">Close</button>"
          "</p></header><div id=\"task-body\"></div></dialog>\n",
          f);
}

/* ---- data for the script ---- */

/* Calls f for every text of the tasks that are shown. */
static void each_text(const struct report *r, void (*see)(const struct report_text *t, void *arg),
                      void *arg)
{
    for (int b = 0; b < r->n_bench; b++)
        for (int i = 0; i < r->bench[b].n; i++) {
            const struct report_task *t = &r->bench[b].task[i];
            if (!report_task_tried(r, t))
                continue;
            for (int k = 0; k < t->n_prompt; k++) {
                see(&t->prompt[k].prompt, arg);
                see(&t->prompt[k].system, arg);
                see(&t->prompt[k].earlier, arg);
                see(&t->prompt[k].prefill, arg);
            }
            for (int k = 0; k < r->n_run; k++)
                for (int j = 0; j < t->run[k].n; j++) {
                    see(&t->run[k].v[j].detail, arg);
                    see(&t->run[k].v[j].code, arg);
                    see(&t->run[k].v[j].text, arg);
                    see(&t->run[k].v[j].thinking, arg);
                }
        }
}

struct sum {
    size_t limit, bytes;
    long cut;
};

static void add_text(const struct report_text *t, void *arg)
{
    struct sum *s = arg;
    s->bytes += t->n < s->limit ? t->n : s->limit;
    s->cut += t->full > (t->n < s->limit ? t->n : s->limit);
}

size_t report_text_limit(const struct report *r, long *cut)
{
    struct sum s = {2 * REPORT_TEXT, 0, 0};
    do {
        s = (struct sum){s.limit / 2, 0, 0};
        each_text(r, add_text, &s);
    } while (s.bytes > REPORT_PAGE && s.limit > 16);
    *cut = s.cut;
    return s.limit;
}

/* "k":"text", and if something is left out "k+":bytes. */
static void text(struct json_out *j, const char *k, const struct report_text *t, size_t limit)
{
    char more[16];
    if (!t->s)
        return;
    size_t n = html_cut(t->s, t->n, limit);
    char *s = html_visible(t->s, n);
    if (!s) {
        j->failed = 1;
        return;
    }
    json_kv_str(j, k, s);
    free(s);
    if (t->full > n) {
        snprintf(more, sizeof more, "%s+", k);
        json_kv_int(j, more, (long long)(t->full - n));
    }
}

static void number(struct json_out *j, const char *k, double v)
{
    char buf[32];
    if (isnan(v))
        return;
    json_key(j, k);
    snprintf(buf, sizeof buf, "%.4g", v);
    json_raw(j, isinf(v) ? "null" : buf);
}

static void shown(struct json_out *j, const char *k, const char *s)
{
    char *v = html_visible(s, strlen(s));
    if (v)
        json_kv_str(j, k, v);
    j->failed |= !v;
    free(v);
}

static void put_try(struct json_out *j, const struct report_try *t, size_t limit)
{
    json_begin(j, '{');
    json_kv_int(j, "n", t->sample);
    json_kv_int(j, "v", t->kind);
    text(j, "detail", &t->detail, limit);
    text(j, "code", &t->code, limit);
    text(j, "text", &t->text, limit);
    text(j, "thinking", &t->thinking, limit);
    if (t->how[0])
        shown(j, "how", t->how);
    if (t->finish[0])
        shown(j, "finish", t->finish);
    if (t->total)
        json_kv_int(j, "run", t->run), json_kv_int(j, "total", t->total);
    if (t->exit)
        json_kv_int(j, "exit", t->exit);
    if (t->signal)
        json_kv_int(j, "signal", t->signal);
    if (t->attempt > 1)
        json_kv_int(j, "attempt", t->attempt);
    if (t->flaky)
        json_kv_bool(j, "flaky", 1);
    number(j, "tokens", t->tokens);
    number(j, "prompt_tokens", t->prompt_tokens);
    number(j, "tok_s", t->tok_s);
    number(j, "inference_ms", t->inference_ms);
    number(j, "cpu_ms", t->cpu_ms);
    number(j, "wall_ms", t->wall_ms);
    number(j, "rss_kb", t->rss_kb);
    json_end(j, '}');
}

static void put_prompt(struct json_out *j, const struct report_prompt *p, int run, size_t limit)
{
    json_begin(j, '{');
    json_kv_int(j, "r", run);
    json_kv_int(j, "n", p->sample);
    text(j, "system", &p->system, limit);
    text(j, "earlier", &p->earlier, limit);
    text(j, "prompt", &p->prompt, limit);
    text(j, "prefill", &p->prefill, limit);
    json_end(j, '}');
}

/* "ra/prompts" is not for "rb/tuned"; names without a folder go with all. */
static int other_folder(const char *prompt, const char *run)
{
    const char *a = strrchr(prompt, '/'), *b = strrchr(run, '/');
    return a && b && (a - prompt != b - run || strncmp(prompt, run, (size_t)(a - prompt)));
}

static void put_prompts(struct json_out *j, const struct report *r, const struct report_task *t,
                        size_t limit)
{
    json_key(j, "p");
    json_begin(j, '[');
    for (int i = 0; i < t->n_prompt; i++) {
        const struct report_prompt *p = &t->prompt[i];
        int own = 0, shown_runs = 0; /* a run without tries: its prompts are nobody's here */
        for (int k = 0; k < r->n_run; k++) {
            int same = strcmp(r->run[k], p->run) == 0;
            if (same && r->tried[k])
                put_prompt(j, p, shown_runs, limit);
            own |= same;
            shown_runs += r->tried[k];
        }
        if (own)
            continue;
        if (!strchr(p->run, '/'))
            put_prompt(j, p, -1, limit); /* every run's */
        for (int k = 0, at = 0; strchr(p->run, '/') && k < r->n_run; at += r->tried[k++])
            if (r->tried[k] && !other_folder(p->run, r->run[k]))
                put_prompt(j, p, at, limit);
    }
    json_end(j, ']');
}

static void put_task(struct json_out *j, const struct report *r, const struct report_bench *b,
                     const struct report_task *t, size_t limit)
{
    json_begin(j, '{');
    shown(j, "b", b->name);
    shown(j, "id", t->id);
    put_prompts(j, r, t, limit);
    json_key(j, "r");
    json_begin(j, '[');
    for (int k = 0; k < r->n_run; k++) {
        if (!r->tried[k])
            continue;
        json_begin(j, '[');
        for (int i = 0; i < t->run[k].n; i++)
            put_try(j, &t->run[k].v[i], limit);
        json_end(j, ']');
    }
    json_end(j, ']');
    json_end(j, '}');
}

int report_grid_data(FILE *f, const struct report *r, size_t limit, struct err *e)
{
    struct json_out out = {0}, *j = &out;
    char words[64];
    json_begin(j, '{');
    json_key(j, "runs");
    json_begin(j, '[');
    for (int k = 0; k < r->n_run; k++)
        if (r->tried[k]) {
            char *name = html_visible(r->run[k], strlen(r->run[k]));
            if (name)
                json_str(j, name);
            j->failed |= !name;
            free(name);
        }
    json_end(j, ']');
    json_key(j, "kinds");
    json_begin(j, '[');
    for (int i = 0; i < r->n_kind; i++) {
        report_verdict_words(r->kind[i], words, sizeof words);
        json_begin(j, '{');
        shown(j, "name", words);
        json_kv_str(j, "letter", look_of(r->kind[i])->letter);
        json_kv_str(j, "group", look_of(r->kind[i])->group);
        json_end(j, '}');
    }
    json_end(j, ']');
    json_key(j, "tasks");
    json_begin(j, '[');
    for (int b = 0; b < r->n_bench; b++)
        for (int i = 0; i < r->bench[b].n; i++)
            if (report_task_tried(r, &r->bench[b].task[i]))
                put_task(j, r, &r->bench[b], &r->bench[b].task[i], limit);
    json_end(j, ']');
    json_end(j, '}');
    char *s = json_take(j, NULL);
    if (!s)
        return err_set(e, ERR_NOMEM, "out of memory");
    html_data(f, "data", s);
    free(s);
    return 0;
}
