/* prompt - read a strategy, fill its texts with a problem */
#include "prompt.h"
#include "paths.h"
#include "pycall.h"
#include "yaml.h"
#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_CODE = 16384 /* bytes of a first answer's code that a second round quotes */
};

/* Upstream's other names (its scripts/eval-helpers.sh). */
static const struct {
    const char *theirs, *ours;
} names[] = {{"default", "standard"},
             {"structured-cot", "scot"},
             {"fewshot", "few-shot"},
             {"code-gen-opt", "cgo"},
             {"reflect", "reflexion"}};

/* ---- the yaml ---- */

static int take(char **to, const struct yaml_doc *d, const struct yaml *map, const char *key,
                struct err *e)
{
    const char *s = yaml_str(d, map, key, NULL, e);
    if (!s)
        return e->code;
    free(*to);
    return (*to = strdup(s)) ? 0 : err_set(e, ERR_NOMEM, "%s: out of memory", d->path);
}

static int take_stops(struct prompt_form *f, const struct yaml_doc *d, const struct yaml *list,
                      struct err *e)
{
    int n = 0;
    if (list->kind != YAML_K_LIST)
        return yaml_err(d, list, e, "stop: expected a list of texts");
    for (const struct yaml *m = list->child; m; m = m->next)
        n++;
    if (!(f->stop = calloc((size_t)n + 1, sizeof *f->stop)))
        return err_set(e, ERR_NOMEM, "%s: out of memory", d->path);
    for (const struct yaml *m = list->child; m; m = m->next) {
        if (m->kind != YAML_K_SCALAR || !*m->text)
            return yaml_err(d, m, e, "stop: expected a text that is not empty");
        if (!(f->stop[f->n_stop++] = strdup(m->text)))
            return err_set(e, ERR_NOMEM, "%s: out of memory", d->path);
    }
    return 0;
}

static int take_turns(struct prompt_form *f, const struct yaml_doc *d, const struct yaml *list,
                      struct err *e)
{
    static const char *const keys[] = {"user", "assistant", NULL};
    int n = 0;
    if (list->kind != YAML_K_LIST)
        return yaml_err(d, list, e, "turns: expected a list");
    for (const struct yaml *m = list->child; m; m = m->next)
        n++;
    if (!(f->turn = calloc((size_t)n + 1, sizeof *f->turn)))
        return err_set(e, ERR_NOMEM, "%s: out of memory", d->path);
    for (const struct yaml *m = list->child; m; m = m->next) {
        struct prompt_turn *t = &f->turn[f->n_turn++];
        if (m->kind != YAML_K_MAP)
            return yaml_err(d, m, e, "turns: expected user and assistant");
        if (yaml_only(d, m, keys, e) < 0 || take(&t->user, d, m, "user", e) < 0 ||
            take(&t->assistant, d, m, "assistant", e) < 0)
            return e->code;
        if (!t->user || !t->assistant)
            return yaml_err(d, m, e, "turns: expected user and assistant");
    }
    return 0;
}

/* What a map says of a form, be it the whole strategy or one format of it. */
static int take_form(struct prompt_form *f, const struct yaml_doc *d, const struct yaml *map,
                     struct err *e)
{
    const struct yaml *stop = yaml_get(map, "stop"), *turns = yaml_get(map, "turns");
    const char *template = yaml_str(d, map, "template", "chat", e);
    f->max_tokens = yaml_int(d, map, "max_tokens", 0, e);
    if (take(&f->system, d, map, "system", e) < 0 || take(&f->prefill, d, map, "prefill", e) < 0 ||
        (stop && take_stops(f, d, stop, e) < 0) || (turns && take_turns(f, d, turns, e) < 0))
        return e->code;
    if (strcmp(template, "chat") && strcmp(template, "raw"))
        return yaml_err(d, yaml_get(map, "template"), e, "template: expected chat or raw");
    f->raw = !strcmp(template, "raw");
    if (f->raw && (f->system || f->n_turn))
        return yaml_err(d, map, e, "a raw prompt is one text: no system, no turns");
    if (f->max_tokens < 0 || f->max_tokens > 1 << 24)
        return yaml_err(d, yaml_get(map, "max_tokens"), e, "max_tokens: expected 0 to 16777216");
    return 0;
}

/* One format: a text alone, or a map of the text and what goes with it. */
static int take_format(struct prompt_form *f, const struct yaml_doc *d, const char *key,
                       struct err *e)
{
    static const char *const keys[] = {"text",     "system", "prefill",    "turns",
                                       "template", "stop",   "max_tokens", NULL};
    const struct yaml *node = yaml_get(d->root, key);
    int rc;
    if (!node)
        return 0;
    if (node->kind == YAML_K_SCALAR)
        return take(&f->text, d, d->root, key, e);
    if (node->kind != YAML_K_MAP)
        return yaml_err(d, node, e, "%s: expected a text, or a map with one", key);
    if ((rc = yaml_only(d, node, keys, e)) < 0 || (rc = take(&f->text, d, node, "text", e)) < 0)
        return rc;
    if (!f->text)
        return yaml_err(d, node, e, "%s: text is missing", key);
    return take_form(f, d, node, e);
}

static int mentions(const struct prompt_form *f, const char *field)
{
    int yes = f->text && strstr(f->text, field);
    for (int i = 0; i < f->n_turn && !yes; i++)
        yes = strstr(f->turn[i].user, field) || strstr(f->turn[i].assistant, field);
    return yes;
}

static int read_strategy(struct prompt *p, const struct yaml_doc *d, const char *name,
                         struct err *e)
{
    static const char *const keys[] = {"humaneval", "mbpp",   "words",    "answer",
                                       "program",   "system", "strategy", NULL};
    int rc;
    if (!d->root || d->root->kind != YAML_K_MAP)
        return yaml_err(d, d->root, e, "expected a map");
    if ((rc = yaml_only(d, d->root, keys, e)) < 0)
        return rc;
    name = yaml_str(d, d->root, "strategy", name, e);
    if (e->code)
        return e->code;
    if (!(p->strategy = strdup(name)))
        return err_set(e, ERR_NOMEM, "%s: out of memory", d->path);
    for (int i = 0; i < PROMPT_FORMS; i++) { /* the keys begin with the forms, in their order */
        struct prompt_form *f = &p->form[i];
        if ((rc = take_format(f, d, keys[i], e)) < 0)
            return rc;
        if (f->text && !f->system && !f->raw &&
            (rc = take(&f->system, d, d->root, "system", e)) < 0)
            return rc;
        f->shows_tests = mentions(f, "{tests}");
        p->second |= mentions(f, "{code}") || mentions(f, "{feedback}");
    }
    return 0;
}

int prompt_load(struct prompt *p, const char *strategy, struct err *e)
{
    char file[PATH_MAX], path[PATH_MAX];
    struct yaml_doc d;
    size_t n;
    int rc;
    memset(p, 0, sizeof *p);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(strategy, names[i].theirs))
            strategy = names[i].ours;
    n = strlen(strategy);
    if (n > 5 && !strcmp(strategy + n - 5, ".yaml"))
        snprintf(file, sizeof file, "%s", strategy);
    else if (strchr(strategy, '/'))
        return err_set(e, ERR_NOINPUT, "%s: a strategy is a name or a .yaml file", strategy);
    else
        snprintf(file, sizeof file, "configs/prompts/%.200s.yaml", strategy);
    if ((rc = paths_find(file, path, sizeof path, e)) < 0 || (rc = yaml_load(&d, path, e)) < 0)
        return rc;
    rc = read_strategy(p, &d, strategy, e);
    yaml_free(&d);
    if (rc < 0)
        prompt_free(p);
    return rc;
}

static void free_form(struct prompt_form *f)
{
    for (int i = 0; i < f->n_turn; i++) {
        free(f->turn[i].user);
        free(f->turn[i].assistant);
    }
    for (int i = 0; i < f->n_stop; i++)
        free(f->stop[i]);
    free(f->turn);
    free(f->stop);
    free(f->text);
    free(f->system);
    free(f->prefill);
}

void prompt_free(struct prompt *p)
{
    free(p->strategy);
    for (int i = 0; i < PROMPT_FORMS; i++)
        free_form(&p->form[i]);
    memset(p, 0, sizeof *p);
}

/* ---- filling ---- */

struct field {
    const char *name;
    const char *s; /* (n) what it stands for; NULL = this task or round has none */
    size_t n;
};
enum { FIELDS = 8 };

static const char *language_name(enum bench_lang l) /* as people write it */
{
    static const char *const names_of[BENCH_LANGS] = {"Python", "C", "C++", "JavaScript"};
    return names_of[l];
}

/* The asserts one a line (malloc). */
static char *tests_text(const struct bench_task *t)
{
    size_t n = 1;
    char *s, *p;
    for (int i = 0; i < t->n_tests; i++)
        n += strlen(t->tests[i]) + 1;
    if (!(s = p = malloc(n)))
        return NULL;
    *p = 0;
    for (int i = 0; i < t->n_tests; i++)
        p = stpcpy(stpcpy(p, i ? "\n" : ""), t->tests[i]);
    return s;
}

/* The values of a task's placeholders. tests and name must outlive them. */
static void fields(struct field f[FIELDS], const struct bench *b, const struct bench_task *t,
                   const struct prompt_first *first, const char *tests)
{
    const char *entry = bench_entry(t), *code = first ? first->code : NULL;
    size_t n = strlen(t->prompt), n_code = code ? strlen(code) : 0;
    if (!b->mbpp)
        while (n && isspace((unsigned char)t->prompt[n - 1]))
            n--;
    if (n_code > MAX_CODE) /* whole lines */
        for (n_code = MAX_CODE; n_code && code[n_code - 1] != '\n';)
            n_code--;
    while (n_code && isspace((unsigned char)code[n_code - 1]))
        n_code--;
    const char *language = language_name(b->lang);
    f[0] = (struct field){b->mbpp ? "{text}" : "{prompt}", t->prompt, n};
    f[1] = (struct field){"{tests}", tests, strlen(tests)};
    f[2] = (struct field){"{entry}", entry, entry ? strlen(entry) : 0};
    f[3] = (struct field){"{code}", code, n_code};
    f[4] = (struct field){"{feedback}", first ? first->feedback : NULL, 0};
    f[4].n = f[4].s ? strlen(f[4].s) : 0;
    f[5] = (struct field){"{language}", language, strlen(language)};
    f[6] = (struct field){"{fence}", bench_lang_name(b->lang), strlen(bench_lang_name(b->lang))};
    f[7] = (struct field){0};
}

/* Text with its placeholders filled (malloc). */
static char *fill(const char *text, const struct field *fields, const struct bench_task *t,
                  struct err *e)
{
    size_t len = 0;
    char *out = NULL;
    FILE *f = open_memstream(&out, &len);
    while (f && *text && !e->code) {
        const struct field *x = fields;
        while (x->name && strncmp(text, x->name, strlen(x->name)))
            x++;
        if (!x->name) {
            fputc(*text++, f);
        } else if (!x->s) {
            err_set(e, ERR_DATA, "%s: nothing to put for %s", t->task_id, x->name);
        } else {
            fwrite(x->s, 1, x->n, f);
            text += strlen(x->name);
        }
    }
    if (!f || fclose(f) != 0)
        err_set(e, ERR_NOMEM, "%s: out of memory", t->task_id);
    if (e->code) {
        free(out);
        return NULL;
    }
    return out;
}

int prompt_form(const struct bench *b)
{
    if (b->format == BENCH_CRUXEVAL)
        return PROMPT_ANSWER;
    if (b->lang != BENCH_PYTHON)
        return PROMPT_PROGRAM;
    return !b->mbpp ? PROMPT_HUMANEVAL : b->task[0].n_tests ? PROMPT_MBPP : PROMPT_WORDS;
}

static const struct prompt_form *form_of(const struct prompt *p, const struct bench *b,
                                         struct err *e)
{
    static const char *const words[PROMPT_FORMS] = {"humaneval", "mbpp", "words", "answer",
                                                    "program"};
    const struct prompt_form *f = &p->form[prompt_form(b)];
    if (f->text)
        return f;
    err_set(e, ERR_CONFIG, "strategy %s has no text for the form %s, which %s asks for",
            p->strategy, words[prompt_form(b)], b->name);
    return NULL;
}

char *prompt_text(const struct prompt *p, const struct bench *b, const struct bench_task *t,
                  struct err *e)
{
    const struct prompt_form *form = form_of(p, b, e);
    struct field f[FIELDS];
    char *tests, *text = NULL;
    if (!form)
        return NULL;
    if (!(tests = tests_text(t))) {
        err_set(e, ERR_NOMEM, "%s: out of memory", t->task_id);
        return NULL;
    }
    fields(f, b, t, NULL, tests);
    text = fill(form->text, f, t, e);
    free(tests);
    return text;
}

/* A filled text as a string, or null. */
static void put(struct json_out *j, const char *key, const char *text, const struct field *f,
                const struct bench_task *t, struct err *e)
{
    char *s = text && !e->code ? fill(text, f, t, e) : NULL;
    json_key(j, key);
    if (s)
        json_str(j, s);
    else
        json_raw(j, "null");
    free(s);
}

static void put_turns(struct json_out *j, const struct prompt_form *form, const struct field *f,
                      const struct bench_task *t, struct err *e)
{
    json_key(j, "messages");
    json_begin(j, '[');
    for (int i = 0; i < 2 * form->n_turn; i++) {
        const struct prompt_turn *turn = &form->turn[i / 2];
        json_begin(j, '{');
        json_kv_str(j, "role", i % 2 ? "assistant" : "user");
        put(j, "content", i % 2 ? turn->assistant : turn->user, f, t, e);
        json_end(j, '}');
    }
    json_end(j, ']');
}

int prompt_record(struct json_out *j, const struct prompt *p, const struct bench *b,
                  const struct bench_task *t, long sample, long max_tokens,
                  const struct prompt_first *first, struct err *e)
{
    const struct prompt_form *form = form_of(p, b, e);
    struct field f[FIELDS];
    char *tests;
    if (!form)
        return e->code;
    if (!(tests = tests_text(t)))
        return err_set(e, ERR_NOMEM, "%s: out of memory", t->task_id);
    fields(f, b, t, first, tests);
    json_begin(j, '{');
    json_kv_str(j, "schema", "prompt/1");
    json_kv_str(j, "task_id", t->task_id);
    json_kv_int(j, "sample", sample);
    json_kv_str(j, "bench", b->name);
    json_kv_str(j, "strategy", p->strategy);
    put(j, "system", form->system, f, t, e);
    if (form->n_turn)
        put_turns(j, form, f, t, e);
    put(j, "prompt", form->text, f, t, e);
    put(j, "prefill", form->prefill, f, t, e);
    json_kv_str(j, "template", form->raw ? "raw" : "chat");
    json_key(j, "stop");
    json_begin(j, '[');
    for (int i = 0; i < form->n_stop; i++)
        json_str(j, form->stop[i]);
    json_end(j, ']');
    json_kv_int(j, "max_tokens",
                max_tokens                         ? max_tokens
                : form->max_tokens > b->max_tokens ? form->max_tokens
                                                   : b->max_tokens);
    json_end(j, '}');
    free(tests);
    return j->failed ? err_set(e, ERR_NOMEM, "%s: out of memory", t->task_id) : e->code;
}
