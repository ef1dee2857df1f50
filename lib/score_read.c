/* score_read - files of verdicts: ours, and those of human-eval, EvalPlus and apr-leaderboard
 *
 * A file is JSONL (one verdict a line) or one JSON document; the first telling key of the outermost
 * object decides.  The forms of the others, read in their sources:
 *   human-eval 463c980  evaluation.py    {"task_id", "completion", "result": "passed", "passed"} a line
 *   EvalPlus v0.2.1 on  evaluate.py      {"eval": {ID: [{"base_status": "pass", "plus_status": ...}]}}
 *   EvalPlus to v0.2.0  evaluate.py      {"eval": {ID: {"nfiles": 1, "base": [["success", [..]]], "plus": ..}}}
 *   apr-leaderboard     eval-pass-at-k   {"benchmark", "results": {..}, "problems": [{"task_id", "n", "passed"}]} */
#include "bench.h"
#include "jsonmend.h"
#include "score.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

struct reader {
    struct score_book *to;
    struct jsonl *in;
    const char *bench; /* of records that do not say */
    const struct bench *known;
    int n_known;
    int plain; /* names will be printed as they are */
};

static const struct bench *known(const struct reader *r, const char *bench)
{
    for (int i = 0; i < r->n_known; i++)
        if (strcmp(r->known[i].name, bench) == 0)
            return &r->known[i];
    return NULL;
}

/* The benchmark of a task, checked: *bench may be NULL (the record does not say). */
static int resolve(const struct reader *r, const char **bench, const char *id, struct err *e)
{
    const struct bench *b = NULL;
    if (r->plain && ((*bench && score_name("bench", *bench, e)) || score_name("task_id", id, e)))
        return e->code;
    if (r->n_known == 0) {
        *bench = *bench ? *bench : r->bench;
        return 0;
    }
    if (*bench) {
        if (!(b = known(r, *bench)))
            return err_set(e, ERR_DATA, "expected verdicts of benchmark %s%s, found %.60s",
                           r->known[0].name, r->n_known > 1 ? " or another that was named" : "",
                           *bench);
    } else {
        b = r->known;
        for (int i = r->n_known; i-- > 0;)
            if (bench_find(&r->known[i], id))
                b = &r->known[i];
    }
    *bench = b->name;
    return bench_find(b, id) ? 0
                             : err_set(e, ERR_DATA, "benchmark %s has no task %.100s", b->name, id);
}

/* ---- JSONL: verdict/1 and human-eval ---- */

struct fields {
    const cJSON *task_id, *sample, *bench, *passed, *verdict, *result, *flaky, *rank, *trust;
};

static void pick(const cJSON *record, struct fields *f)
{
    *f = (struct fields){0};
    for (const cJSON *v = record->child; v; v = v->next) {
        const char *k = v->string;
        const cJSON **at = strcmp(k, "task_id") == 0   ? &f->task_id
                           : strcmp(k, "sample") == 0  ? &f->sample
                           : strcmp(k, "bench") == 0   ? &f->bench
                           : strcmp(k, "passed") == 0  ? &f->passed
                           : strcmp(k, "verdict") == 0 ? &f->verdict
                           : strcmp(k, "result") == 0  ? &f->result
                           : strcmp(k, "flaky") == 0   ? &f->flaky
                           : strcmp(k, "rank") == 0    ? &f->rank
                           : strcmp(k, "trust") == 0   ? &f->trust
                                                       : NULL;
        if (at && !cJSON_IsNull(v))
            *at = v;
    }
}

/* The next record: 1, 0 at the end. Escapes that no text can hold are mended, since the texts of a
 * completion are no part of its score; *mended tells that there were some. */
static int next(struct jsonl *in, int *mended, struct err *e)
{
    char where[400];
    int rc = jsonl_next_line(in, e);
    if (rc <= 0)
        return rc;
    *mended = json_mend(in->line, in->len) > 0;
    snprintf(where, sizeof where, "%s:%ld", in->path, in->lineno);
    if (!(in->v = json_parse(in->line, in->len, where, e)))
        return e->code;
    return cJSON_IsObject(in->v) ? 1 : err_set(e, ERR_DATA, "%s: expected a JSON object", where);
}

/* Two names that differ only in what was mended would be one. */
static int mended_name(const char *name)
{
    return name && strstr(name, "\xEF\xBF\xBD") != NULL;
}

static int record(const struct reader *r, int mended, struct err *e)
{
    struct fields f;
    char digits[32];
    const char *id = digits, *bench;
    int kind, flaky;
    long sample;
    if (jsonl_schema(r->in, "verdict/1", 1, e))
        return e->code;
    pick(r->in->v, &f);
    bench = f.bench ? json_get_str(r->in->v, "bench", NULL, e) : NULL;
    sample = f.sample ? json_get_int(r->in->v, "sample", 0, e) : -1;
    flaky = f.flaky ? json_get_bool(r->in->v, "flaky", 0, e) : 0;
    if (f.sample && sample < 0)
        err_set(e, ERR_DATA, "\"sample\": expected 0 or more, found %ld", sample);
    kind = score_outcome(f.passed, f.verdict, f.result, e);
    if (cJSON_IsString(f.task_id))
        id = f.task_id->valuestring;
    else if (f.task_id && !cJSON_IsNumber(f.task_id))
        err_set(e, ERR_DATA, "\"task_id\": expected a string or a number");
    else /* schema(7): without one the line number is the key */
        snprintf(digits, sizeof digits, "%ld", json_get_int(r->in->v, "task_id", r->in->lineno, e));
    const char *choice = f.rank ? json_get_str(f.rank, "label", NULL, e) : NULL;
    if (mended && (mended_name(id) || mended_name(bench)))
        err_set(e, ERR_DATA, "task_id or bench: NUL or a lone surrogate in a name");
    if (r->plain && choice && !e->code)
        score_name("rank", choice, e);
    if (e->code || resolve(r, &bench, id, e))
        return err_prefix(e, "%s:%ld", r->in->path, r->in->lineno);
    const struct score_set *before = score_set(r->to, bench);
    int first = !before || before->n_sample + before->n_harness == 0;
    if (score_add(r->to, bench, id, sample, kind, flaky, e) ||
        score_choice(r->to, bench, choice, first, e))
        return err_prefix(e, "%s:%ld", r->in->path, r->in->lineno);
    if (f.bench)
        score_set(r->to, bench)->named = 1;
    if (cJSON_IsString(f.trust) && !strcmp(f.trust->valuestring, "inproc"))
        score_set(r->to, bench)->n_inproc++;
    return 0;
}

static int read_lines(const struct reader *r, struct err *e)
{
    int rc, mended;
    while ((rc = next(r->in, &mended, e)) == 1)
        if ((rc = record(r, mended, e)) < 0)
            return rc;
    if (rc == 0 && r->in->lineno == 0)
        rc = err_set(e, ERR_DATA, "%s: no records", r->in->path);
    return rc;
}

/* ---- EvalPlus ---- */

/* "HumanEval/0" is of humaneval: the name of the data set, in small letters. */
static const char *family(const struct reader *r, const char *id, char *buf, size_t size)
{
    size_t n = strcspn(id, "/");
    if (!id[n] || n == 0 || n + 2 > size)
        return r->bench;
    for (size_t i = 0; i < n; i++)
        buf[i] = (char)tolower((unsigned char)id[i]);
    buf[n] = 0;
    return buf;
}

static int status(const cJSON *v, struct err *e)
{
    static const struct {
        const char *name;
        int kind;
    } names[] = {{"pass", VERDICT_pass},      {"fail", SCORE_FAIL},   {"timeout", SCORE_TIMEOUT},
                 {"success", VERDICT_pass},   {"failed", SCORE_FAIL}, /* to v0.2.0 */
                 {"timed out", SCORE_TIMEOUT}};
    for (size_t i = 0; cJSON_IsString(v) && i < sizeof names / sizeof *names; i++)
        if (strcmp(v->valuestring, names[i].name) == 0)
            return names[i].kind;
    err_set(e, ERR_DATA, "status: expected pass, fail or timeout, found %.40s",
            cJSON_IsString(v) ? v->valuestring : "no string");
    return -1;
}

/* One sample: base is its status under the base tests; plus under the extra ones, or NULL. */
static int add_evalplus(const struct reader *r, const char *id, const cJSON *base,
                        const cJSON *plus, struct err *e)
{
    char name[80], buf[64];
    const char *bench = family(r, id, buf, sizeof buf), *both = name;
    int b = status(base, e), p = plus && b >= 0 ? status(plus, e) : 0;
    if (b < 0 || p < 0)
        return e->code;
    snprintf(name, sizeof name, "%splus", bench);
    if (r->n_known && !known(r, bench) && !(plus && known(r, both)))
        return resolve(r, &bench, id, e); /* says that it is not wanted */
    if (!r->n_known || known(r, bench))
        if (resolve(r, &bench, id, e) || score_add(r->to, bench, id, -1, b, 0, e))
            return e->code;
    if (plus && (!r->n_known || known(r, both))) {
        if (resolve(r, &both, id, e) ||
            score_add(r->to, both, id, -1, b == VERDICT_pass ? p : b, 0, e))
            return e->code;
        score_set(r->to, both)->named = 1; /* base: EvalPlus asks fewer tasks of MBPP than "mbpp" */
    }
    return 0;
}

/* From v0.2.1 on: an array of samples. */
static int task_samples(const struct reader *r, const char *id, const cJSON *list, int has_plus,
                        struct err *e)
{
    const cJSON *v;
    cJSON_ArrayForEach(v, list)
    {
        const cJSON *plus = cJSON_GetObjectItemCaseSensitive(v, "plus_status");
        if (has_plus != (plus && !cJSON_IsNull(plus)))
            return err_set(e, ERR_DATA, "plus_status: absent in some samples only");
        if (add_evalplus(r, id, cJSON_GetObjectItemCaseSensitive(v, "base_status"),
                         has_plus ? plus : NULL, e))
            return e->code;
    }
    return 0;
}

/* To v0.2.0: {"nfiles": n, "base": [[status, details], ...], "plus": the same or []}. */
static int task_files(const struct reader *r, const char *id, const cJSON *o, int has_plus,
                      struct err *e)
{
    const cJSON *base = cJSON_GetObjectItemCaseSensitive(o, "base"),
                *plus = cJSON_GetObjectItemCaseSensitive(o, "plus"), *b, *p;
    int n = cJSON_GetArraySize(base), m = cJSON_GetArraySize(plus);
    long files = json_get_int(o, "nfiles", n, e);
    if (e->code)
        return e->code;
    if (!cJSON_IsArray(base) || n == 0 || n != files || m != (has_plus ? n : 0))
        return err_set(e, ERR_DATA, "%ld files, but %d results in base and %d in plus", files, n,
                       m);
    for (b = base->child, p = has_plus ? plus->child : base->child; b; b = b->next, p = p->next)
        if (add_evalplus(r, id, cJSON_GetArrayItem(b, 0),
                         has_plus ? cJSON_GetArrayItem(p, 0) : NULL, e))
            return e->code;
    return 0;
}

static int read_evalplus(const struct reader *r, const cJSON *eval, struct err *e)
{
    const cJSON *v, *first = cJSON_IsArray(eval->child) ? eval->child->child : eval->child;
    int has_plus = cJSON_IsString(cJSON_GetObjectItemCaseSensitive(first, "plus_status")) ||
                   cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(first, "plus")) > 0;
    if (!eval->child)
        return err_set(e, ERR_DATA, "%s: eval: no tasks", r->in->path);
    cJSON_ArrayForEach(v, eval)
    {
        const char *id = v->string;
        if (cJSON_IsArray(v) && v->child)
            task_samples(r, id, v, has_plus, e);
        else if (cJSON_IsObject(v))
            task_files(r, id, v, has_plus, e);
        else
            err_set(e, ERR_DATA, "expected an array of samples");
        if (e->code)
            return err_prefix(e, "%s: eval, %.100s", r->in->path, id);
    }
    return 0;
}

/* ---- apr-leaderboard ---- */

/* "total": tasks; "passed": those with a sample that passed; "errors": those with nothing to judge */
static int check_totals(const struct reader *r, const cJSON *results, const char *bench, long total,
                        long passed, struct err *e)
{
    long t = json_get_int(results, "total", total, e),
         p = json_get_int(results, "passed", passed, e),
         errors = json_get_int(results, "errors", 0, e);
    if (!e->code && (t != total || p != passed))
        err_set(e, ERR_DATA, "results say %ld of %ld tasks passed, problems %ld of %ld", p, t,
                passed, total);
    if (!e->code && (errors < 0 || errors > total - passed))
        err_set(e, ERR_DATA, "results say %ld errors among %ld tasks that failed", errors,
                total - passed);
    if (e->code)
        return err_prefix(e, "%s", r->in->path);
    score_set(r->to, bench)->n_error += errors;
    return 0;
}

static int read_leaderboard(const struct reader *r, const cJSON *doc, struct err *e)
{
    const cJSON *problems = cJSON_GetObjectItemCaseSensitive(doc, "problems"), *v;
    const char *bench = json_get_str(doc, "benchmark", r->bench, e);
    long n = 0, solved = 0;
    if (e->code)
        return err_prefix(e, "%s", r->in->path);
    if (!cJSON_IsArray(problems) || !problems->child)
        return err_set(e, ERR_DATA,
                       "%s: no \"problems\": a total without its tasks has no use here",
                       r->in->path);
    cJSON_ArrayForEach(v, problems)
    {
        const char *id = json_get_str(v, "task_id", NULL, e), *of = bench;
        long samples = json_get_int(v, "n", -1, e), passed = json_get_int(v, "passed", -1, e);
        if (!e->code && !id)
            err_set(e, ERR_DATA, "expected task_id, n and passed");
        if (e->code || resolve(r, &of, id, e) || score_add_count(r->to, of, id, samples, passed, e))
            return err_prefix(e, "%s: problems[%ld]", r->in->path, n);
        score_set(r->to, of)->named = 1;
        n++;
        solved += passed > 0;
    }
    return check_totals(r, cJSON_GetObjectItemCaseSensitive(doc, "results"), bench, n, solved, e);
}

/* ---- which ---- */

/* Does the outermost object that begins here (n bytes of it are there) belong to a document? */
static int is_document(const char *s, size_t n)
{
    static const char *const document[] = {"eval", "problems", "results"};
    static const char *const line[] = {"schema", "task_id", "passed"};
    int depth = 0, key = 0;
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '"') {
            size_t from = ++i;
            while (i < n && s[i] != '"')
                i += s[i] == '\\' ? 2 : 1;
            if (i >= n) /* the string ends beyond what is there */
                break;
            for (int k = 0; k < 3 && key; k++) {
                if (strlen(document[k]) == i - from && !memcmp(document[k], s + from, i - from))
                    return 1;
                if (strlen(line[k]) == i - from && !memcmp(line[k], s + from, i - from))
                    return 0;
            }
        } else if (s[i] == '{' || s[i] == '[') {
            depth++;
        } else if ((s[i] == '}' || s[i] == ']') && --depth <= 0) {
            return 0;
        }
        if (!isspace((unsigned char)s[i]))
            key = depth == 1 && (s[i] == '{' || s[i] == ',');
    }
    return 0;
}

/* Python writes NaN and Infinity, which are no JSON (MBPP+ has infinite inputs, and EvalPlus quotes
 * the inputs that failed): zeros of the same length, since no such number matters here. */
static void python_numbers(char *s, size_t n)
{
    static const char *const words[] = {"NaN", "Infinity"};
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '"')
            for (i++; i < n && s[i] != '"'; i++)
                i += s[i] == '\\';
        for (size_t k = 0; k < 2 && i < n; k++) {
            size_t len = strlen(words[k]);
            if (n - i >= len && memcmp(s + i, words[k], len) == 0) {
                memset(s + i, ' ', len);
                s[i] = '0';
            }
        }
    }
}

/* The file to its end, of which in_buf has the first bytes. Caller frees. */
static char *whole(struct jsonl *in, size_t *n, struct err *e)
{
    size_t cap = 4 * sizeof in->in_buf, step = sizeof in->in_buf;
    char *s = malloc(cap);
    int got = 1, zerr;
    *n = in->in_len;
    if (s)
        memcpy(s, in->in_buf, *n);
    while (s && got > 0) {
        if (cap - *n < step) {
            char *p = cap > (size_t)1 << 32 ? NULL : realloc(s, 2 * cap);
            if (!p)
                free(s);
            s = p;
            cap *= 2;
        }
        if (s && (got = gzread(in->in, s + *n, (unsigned)step)) > 0)
            *n += (size_t)got;
    }
    if (!s)
        err_set(e, ERR_NOMEM, "%s: out of memory after %zu bytes", in->path, *n);
    else if (got < 0 || (gzerror(in->in, &zerr), zerr == Z_BUF_ERROR))
        err_set(e, ERR_DATA, "%s: truncated or damaged gzip data after %zu bytes", in->path, *n);
    if (e->code) {
        free(s);
        return NULL;
    }
    return s;
}

static int read_document(const struct reader *r, struct err *e)
{
    size_t n;
    char *text = whole(r->in, &n, e);
    if (!text)
        return e->code;
    python_numbers(text, n);
    json_mend(text, n);
    cJSON *doc = json_parse(text, n, r->in->path, e);
    const cJSON *eval = cJSON_GetObjectItemCaseSensitive(doc, "eval");
    free(text);
    if (doc)
        cJSON_IsObject(eval) ? read_evalplus(r, eval, e) : read_leaderboard(r, doc, e);
    cJSON_Delete(doc);
    return e->code;
}

static int read_file(struct reader *r, const char *path, struct err *e)
{
    int rc;
    if (!(r->in = malloc(sizeof *r->in)))
        return err_set(e, ERR_NOMEM, "%s: out of memory", path);
    if ((rc = jsonl_open(r->in, path, e)) == 0) {
        /* into the buffer that jsonl_next empties before it reads on */
        int got = gzread(r->in->in, r->in->in_buf, sizeof r->in->in_buf);
        r->in->in_len = got > 0 ? (size_t)got : 0;
        rc = is_document(r->in->in_buf, r->in->in_len) ? read_document(r, e) : read_lines(r, e);
        jsonl_close(r->in);
    }
    free(r->in);
    return rc;
}

int score_read(struct score_book *s, const char *path, const char *bench, struct err *e)
{
    return read_file(&(struct reader){.to = s, .bench = bench}, path, e);
}

int score_read_known(struct score_book *s, const char *path, const struct bench *b, int n,
                     struct err *e)
{
    struct reader r = {.to = s, .bench = "unnamed", .known = b, .n_known = n, .plain = 1};
    return read_file(&r, path, e);
}

int score_read_files(struct score_book *s, char *const *path, int n, const char *const *bench,
                     int n_bench, struct err *e)
{
    struct bench *b = calloc((size_t)n_bench + 1, sizeof *b);
    int rc = b ? 0 : err_set(e, ERR_NOMEM, "out of memory");
    for (int i = 0; i < n_bench && rc == 0; i++)
        rc = bench_load(&b[i], bench[i], e);
    for (int i = 0; i < n && rc == 0; i++)
        rc = score_read_known(&s[i], path[i], b, n_bench, e);
    for (int i = 0; i < n_bench && b; i++)
        bench_free(&b[i]);
    free(b);
    return rc;
}
