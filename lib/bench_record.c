/* bench_record - from a record of the data to a task, format by format (bench(5), part SCHEMAS) */
#include "bench_private.h"
#include "pycall.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

cJSON *bench_parse(const struct bench *b, const struct jsonl *r, struct err *e)
{
    /* EvalPlus's lines hold what JSON has not, or what a double cannot hold: they are kept as they are */
    static const char *const evalplus[] = {"task_id", "prompt", "entry_point", "canonical_solution",
                                           "atol",    NULL};
    char where[400];
    cJSON *v;
    snprintf(where, sizeof where, "%s:%ld", r->path, r->lineno);
    v = b->format == BENCH_EVALPLUS ? json_pick(r->line, r->len, evalplus, where, e)
                                    : json_parse(r->line, r->len, where, e);
    if (v && !cJSON_IsObject(v)) {
        cJSON_Delete(v);
        err_set(e, ERR_DATA, "%s: expected a JSON object", where);
        return NULL;
    }
    return v;
}

/* ---- texts ---- */

static int no_memory(const struct jsonl *r, struct err *e)
{
    return err_set(e, ERR_NOMEM, "%s:%ld: out of memory", r->path, r->lineno);
}

/* A required text; NULL with the error set. */
static const char *need(const cJSON *v, const char *key, const struct jsonl *r, struct err *e)
{
    const char *s = json_get_str(v, key, NULL, e);
    if (e->code)
        err_prefix(e, "%s:%ld", r->path, r->lineno);
    else if (!s)
        err_set(e, ERR_DATA, "%s:%ld: %s is missing", r->path, r->lineno, key);
    return s;
}

/* The texts joined (malloc). NULL ends the list. */
static char *join(const char *first, ...)
{
    size_t n = 1;
    va_list ap;
    char *s, *p;
    va_start(ap, first);
    for (const char *t = first; t; t = va_arg(ap, const char *))
        n += strlen(t);
    va_end(ap);
    if (!(s = p = malloc(n)))
        return NULL;
    *p = 0;
    va_start(ap, first);
    for (const char *t = first; t; t = va_arg(ap, const char *))
        p = stpcpy(p, t);
    va_end(ap);
    return s;
}

static char *join_lines(const cJSON *list) /* strings, a line each; NULL if memory ran out */
{
    size_t n = 1;
    char *s, *p;
    const cJSON *v;
    cJSON_ArrayForEach(v, list) if (cJSON_IsString(v)) n += strlen(v->valuestring) + 1;
    if (!(s = p = malloc(n)))
        return NULL;
    cJSON_ArrayForEach(v, list) if (cJSON_IsString(v)) p = stpcpy(stpcpy(p, v->valuestring), "\n");
    *p = 0;
    return s;
}

/* The name of the last function that text defines at the beginning of a line (malloc, or NULL). */
static char *last_def(const char *text)
{
    char *name = NULL;
    for (const char *p = text; p && *p; p = strchr(p, '\n'), p += p != NULL)
        if (!strncmp(p, "def ", 4)) {
            size_t n = 0;
            while (pycall_word(p[4 + n]))
                n++;
            free(name);
            name = strndup(p + 4, n);
        }
    return name;
}

/* ---- the formats ---- */

static int humaneval(struct bench_task *t, const cJSON *v, const struct jsonl *r, struct err *e)
{
    const char *prompt = need(v, "prompt", r, e),
               *entry = prompt ? need(v, "entry_point", r, e) : NULL,
               *test = entry ? need(v, "test", r, e) : NULL,
               *code = json_get_str(v, "canonical_solution", "", e);
    if (e->code)
        return e->code;
    t->judge = BENCH_CHECK;
    t->prompt = strdup(prompt);
    t->entry_point = strdup(entry);
    t->test = strdup(test);
    t->setup = strdup("");
    t->canonical = strdup(code);
    return 0;
}

static int test_list(struct bench_task *t, const cJSON *v, const struct jsonl *r, struct err *e)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(v, "test_list"), *s;
    int n = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0;
    if (n == 0)
        return err_set(e, ERR_DATA, "%s:%ld: test_list is missing or empty", r->path, r->lineno);
    if (!(t->tests = calloc((size_t)n, sizeof *t->tests)))
        return no_memory(r, e);
    cJSON_ArrayForEach(s, list)
    {
        if (!cJSON_IsString(s))
            return err_set(e, ERR_DATA, "%s:%ld: test_list: expected strings", r->path, r->lineno);
        if (!(t->tests[t->n_tests++] = strdup(s->valuestring)))
            return no_memory(r, e);
    }
    return 0;
}

static int mbpp(const struct bench *b, struct bench_task *t, const cJSON *v, const struct jsonl *r,
                struct err *e)
{
    const cJSON *imports = cJSON_GetObjectItemCaseSensitive(v, "test_imports");
    const char *prompt = json_get_str(v, "text", NULL, e), *script = NULL;
    if (!prompt) /* the sanitized file's name for it */
        prompt = json_get_str(v, "prompt", NULL, e);
    const char *code = json_get_str(v, "code", "", e),
               *setup = json_get_str(v, "test_setup_code", "", e);
    if (e->code)
        return err_prefix(e, "%s:%ld", r->path, r->lineno);
    if (!prompt)
        return err_set(e, ERR_DATA, "%s:%ld: text is missing", r->path, r->lineno);
    if (*b->test_field && !(script = need(v, b->test_field, r, e)))
        return e->code;
    t->judge = BENCH_ASSERTS;
    t->prompt = strdup(prompt);
    t->setup = cJSON_IsArray(imports) ? join_lines(imports) : strdup(setup);
    t->canonical = strdup(code);
    t->test = script ? strdup(script) : NULL;
    if (test_list(t, v, r, e) < 0)
        return e->code;
    t->called = pycall_tested(t->tests[0]);
    return 0;
}

/* The text of a docstring, [*from, *end), without its quotes and the white space inside and around them.  Quotes of
 * its own stay: an assert may end in one. */
static void docstring(const char **from, const char **end)
{
    static const char space[] = " \t\r\n";
    for (int quotes = 1; quotes >= 0; quotes--) {
        *from += strspn(*from, space);
        *end = *end > *from ? *end : *from;
        while (*end > *from && strchr(space, (*end)[-1]))
            --*end;
        if (quotes && *end - *from >= 3 && !strncmp(*from, "\"\"\"", 3))
            *from += 3;
        if (quotes && *end - *from >= 3 && !strncmp(*end - 3, "\"\"\"", 3))
            *end -= 3;
    }
}

/* MBPP+'s prompt is a docstring: the sentence and an assert that may be shown. */
static int words_of(struct bench_task *t, const char *prompt)
{
    const char *from = prompt, *end = prompt + strlen(prompt), *at;
    docstring(&from, &end);
    at = strstr(from, "\nassert ");
    if (!at || at > end)
        at = end;
    t->prompt = strndup(from, (size_t)(at - from));
    if (at < end && (t->tests = calloc(1, sizeof *t->tests)) &&
        (t->tests[0] = strndup(at + 1, (size_t)(end - at - 1))))
        t->n_tests = 1;
    return t->prompt && (at == end || t->n_tests) ? 0 : -1;
}

static int evalplus(struct bench_task *t, const cJSON *v, const struct jsonl *r, struct err *e)
{
    const char *prompt = need(v, "prompt", r, e),
               *entry = prompt ? need(v, "entry_point", r, e) : NULL,
               *code = entry ? need(v, "canonical_solution", r, e) : NULL;
    if (!code)
        return e->code;
    t->atol = json_get_num(v, "atol", 0, e);
    if (e->code)
        return err_prefix(e, "%s:%ld", r->path, r->lineno);
    t->judge = BENCH_EXPECTED;
    t->setup = strdup("");
    t->canonical = strdup(code);
    if (strstr(prompt, "def ")) {
        t->prompt = strdup(prompt);
        t->entry_point = strdup(entry);
    } else {
        t->called = strdup(entry);
        if (!t->called || words_of(t, prompt) < 0)
            return no_memory(r, e);
    }
    if (!(t->record = malloc(r->len + 1)))
        return no_memory(r, e);
    memcpy(t->record, r->line, r->len);
    t->record[r->len] = 0;
    t->n_record = r->len;
    return 0;
}

/* These records do not name the function: it is the one that the prompt ends in. */
static int name_entry(const struct bench *b, struct bench_task *t, const struct jsonl *r,
                      struct err *e)
{
    if (!t->prompt)
        return no_memory(r, e);
    t->entry_point = b->lang == BENCH_PYTHON ? last_def(t->prompt) : bench_head(b->lang, t->prompt);
    return t->entry_point && *t->entry_point
               ? 0
               : err_set(e, ERR_DATA, "%s:%ld: prompt defines no function", r->path, r->lineno);
}

static int humaneval_x(const struct bench *b, struct bench_task *t, const cJSON *v,
                       const struct jsonl *r, struct err *e)
{
    const char *prompt = need(v, "prompt", r, e), *test = prompt ? need(v, "test", r, e) : NULL,
               *code = json_get_str(v, "canonical_solution", "", e);
    if (e->code)
        return e->code;
    t->judge = b->lang == BENCH_PYTHON ? BENCH_CHECK : BENCH_PROGRAM;
    t->prompt = strdup(prompt);
    t->setup = strdup("");
    t->canonical = strdup(code);
    t->test = strdup(test);
    return name_entry(b, t, r, e);
}

/* Both questions become a function answer() of no arguments whose value is looked at: output for what f(input)
 * is, or a call of f whose arguments f then gets. */
static int cruxeval(const struct bench *b, struct bench_task *t, const cJSON *v,
                    const struct jsonl *r, struct err *e)
{
    const char *code = need(v, "code", r, e), *in = code ? need(v, "input", r, e) : NULL,
               *out = in ? need(v, "output", r, e) : NULL;
    if (!out)
        return e->code;
    t->judge = b->ask_input ? BENCH_INPUT : BENCH_OUTPUT;
    t->setup = strdup(b->ask_input ? code : ""); /* an input may use what the code defines */
    t->called = strdup("f");
    t->entry_point = NULL;
    if (b->ask_input) {
        t->prompt = join(code,
                         "\n\nassert f(?"
                         "?) == ",
                         out, NULL);
        t->canonical = join("f(", in, ")", NULL);
        t->test = join(code,
                       "\n\ndef check(answer):\n    args, kwargs = answer()\n    assert f(*args, "
                       "**kwargs) == ",
                       out, "\n", NULL);
    } else {
        t->prompt = join(code, "\n\nassert f(", in,
                         ") == ?"
                         "?",
                         NULL);
        t->canonical = strdup(out);
        t->test = join("def check(answer):\n    assert answer() == ", out, "\n", NULL);
    }
    return 0;
}

static int multipl_e(const struct bench *b, struct bench_task *t, const cJSON *v,
                     const struct jsonl *r, struct err *e)
{
    const char *prompt = need(v, "prompt", r, e), *tests = prompt ? need(v, "tests", r, e) : NULL;
    if (!tests)
        return e->code;
    t->judge = BENCH_PROGRAM;
    t->prompt = strdup(prompt);
    t->setup = strdup("");
    t->canonical = strdup("");
    t->test = strdup(*tests == '}' ? tests + 1 : tests); /* an answer is a whole function */
    return name_entry(b, t, r, e);
}

static int bigcodebench(const struct bench *b, struct bench_task *t, const cJSON *v,
                        const struct jsonl *r, struct err *e)
{
    const char *prompt = need(v, b->instruct ? "instruct_prompt" : "complete_prompt", r, e),
               *head = prompt ? need(v, "code_prompt", r, e) : NULL,
               *test = head ? need(v, "test", r, e) : NULL,
               *entry = test ? need(v, "entry_point", r, e) : NULL,
               *code = json_get_str(v, "canonical_solution", "", e);
    if (!entry || e->code)
        return e->code;
    t->judge = BENCH_UNITTEST;
    t->prompt = strdup(prompt);
    t->test = strdup(test);
    t->canonical = join(head, code, NULL);
    t->setup =
        join(head, "    pass\n", NULL); /* calibrated: an answer that forgot its imports has them */
    if (b->instruct)
        t->called = strdup(entry);
    else
        t->entry_point = strdup(entry);
    return 0;
}

static int stdio(struct bench_task *t, const cJSON *v, const struct jsonl *r, struct err *e)
{
    const char *text = need(v, "question_content", r, e),
               *starter = json_get_str(v, "starter_code", "", e);
    if (!text || e->code)
        return e->code;
    t->judge = BENCH_IO;
    t->prompt =
        *starter ? join(text, "\n\nBegin with this code:\n\n", starter, NULL)
                 : join(text, "\n\nRead from standard input and write to standard output.", NULL);
    t->setup = strdup("");
    t->canonical = strdup("");
    return bench_read_io(t, v, r, e);
}

int bench_record(const struct bench *b, struct bench_task *t, const cJSON *v, const struct jsonl *r,
                 struct err *e)
{
    int rc = 0;
    switch (b->format) {
    case BENCH_HUMANEVAL:
        rc = humaneval(t, v, r, e);
        break;
    case BENCH_MBPP:
        rc = mbpp(b, t, v, r, e);
        break;
    case BENCH_EVALPLUS:
        rc = evalplus(t, v, r, e);
        break;
    case BENCH_HUMANEVAL_X:
        rc = humaneval_x(b, t, v, r, e);
        break;
    case BENCH_CRUXEVAL:
        rc = cruxeval(b, t, v, r, e);
        break;
    case BENCH_MULTIPL_E:
        rc = multipl_e(b, t, v, r, e);
        break;
    case BENCH_BIGCODEBENCH:
        rc = bigcodebench(b, t, v, r, e);
        break;
    case BENCH_STDIO:
    case BENCH_FORMATS:
        rc = stdio(t, v, r, e);
        break;
    }
    if (rc < 0)
        return rc;
    return t->prompt && t->setup && t->canonical ? 0 : no_memory(r, e);
}
