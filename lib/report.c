/* report - records of many kinds read and gathered by run, benchmark and task */
#include "report.h"
#include "html.h"
#include "report_impl.h"
#include "score.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

int report_init(struct report *r, struct err *e)
{
    memset(r, 0, sizeof *r);
    r->row = calloc(REPORT_ROWS, sizeof *r->row);
    r->compare = cJSON_CreateArray();
    r->oracle = cJSON_CreateArray();
    r->enforced = cJSON_CreateObject();
    r->trust = cJSON_CreateObject();
    return r->row && r->compare && r->oracle && r->enforced && r->trust
               ? 0
               : err_set(e, ERR_NOMEM, "out of memory");
}

void report_free(struct report *r)
{
    for (int i = 0; i < r->n_row; i++) {
        for (int k = 0; k < REPORT_RUNS; k++)
            cJSON_Delete(r->row[i].cell[k].verdicts);
        free(r->row[i].bench);
        free(r->row[i].metric);
    }
    for (int i = 0; i < r->n_run; i++)
        free(r->run[i]);
    for (int i = 0; i < r->n_training; i++) {
        struct report_training *t = &r->training[i];
        free(t->loss.v);
        free(t->val.v);
        free(t->lr.v);
        free(t->grad_norm.v);
        free(t->name);
    }
    for (int i = 0; i < r->n_file; i++) {
        free(r->file[i].path);
        free(r->file[i].schema);
    }
    for (int i = 0; i < r->n_twin; i++)
        free(r->twin[i].stem);
    for (int i = 0; i < r->n_left; i++)
        free(r->left[i].bench);
    report_free_tasks(r);
    free(r->twin);
    free(r->left);
    free(r->file);
    free(r->training);
    free(r->row);
    cJSON_Delete(r->compare);
    cJSON_Delete(r->oracle);
    cJSON_Delete(r->enforced);
    cJSON_Delete(r->trust);
    memset(r, 0, sizeof *r);
}

static struct report_cell *cell_of(struct report *r, const char *path, const char *bench,
                                   const char *metric, struct err *e)
{
    int run = report_run_of(r, path, bench, 0, e), i = 0;
    if (run < 0)
        return NULL;
    while (i < r->n_row && (strcmp(r->row[i].bench, bench) || strcmp(r->row[i].metric, metric)))
        i++;
    if (i == REPORT_ROWS) {
        err_set(e, ERR_DATA, "%s: more than %d scores in one report", path, REPORT_ROWS);
        return NULL;
    }
    if (i == r->n_row) {
        r->row[i].bench = strdup(bench);
        r->row[i].metric = strdup(metric);
        r->n_row++;
        if (!r->row[i].bench || !r->row[i].metric) {
            err_set(e, ERR_NOMEM, "out of memory");
            return NULL;
        }
    }
    r->scored[run] = 1;
    return &r->row[i].cell[run];
}

int report_pass_at_1(const char *metric)
{
    return !strncmp(metric, "pass@1", 6) && (!metric[6] || metric[6] == ',');
}

int report_pair(const cJSON *o, const char *key, double v[2])
{
    const cJSON *a = cJSON_GetObjectItemCaseSensitive(o, key);
    const cJSON *x = cJSON_GetArrayItem(a, 0), *y = cJSON_GetArrayItem(a, 1);
    if (!cJSON_IsNumber(x) || !cJSON_IsNumber(y))
        return 0;
    v[0] = x->valuedouble;
    v[1] = y->valuedouble;
    return 1;
}

int report_in_range(double value, const double ci[2], double level, long passed, long n)
{
    const double slack = 1e-9; /* of means and quantiles that were rounded */
    return value >= 0 && value <= 1 && ci[0] >= -slack && ci[0] <= ci[1] && ci[1] <= 1 + slack &&
           level > 0 && level < 1 && passed >= 0 && passed <= n;
}

double report_level(const struct report *r)
{
    double level = 0;
    for (int i = 0; i < r->n_row; i++)
        for (int k = 0; k < r->n_run; k++) {
            const struct report_cell *c = &r->row[i].cell[k];
            if (c->n_task && level > 0 && c->level != level)
                return NAN;
            level = c->n_task ? c->level : level;
        }
    return level;
}

/* ---- harness errors ---- */

/* n of `of` tasks: what verdicts say; a score that was read knows the number of errors alone. */
static int note_left(struct report *r, int run, const char *bench, const struct report_left *what,
                     struct err *e)
{
    int i = 0;
    while (i < r->n_left && (r->left[i].run != run || strcmp(r->left[i].bench, bench)))
        i++;
    if (i == r->n_left) {
        struct report_left *v = realloc(r->left, ((size_t)i + 1) * sizeof *v);
        char *copy = v ? strdup(bench) : NULL;
        r->left = v ? v : r->left;
        if (!copy)
            return err_set(e, ERR_NOMEM, "out of memory");
        v[r->n_left++] = (struct report_left){.bench = copy, .run = run};
    }
    struct report_left *left = &r->left[i];
    if (what->of || !left->of) {
        left->harness = what->harness;
        left->n = what->n;
        left->of = what->of;
    }
    return 0;
}

const char *report_left_words(const struct report_left *left, char buf[160])
{
    static const char again[] = "not the model's fault, judge again";
    if (left->of && left->n == left->of)
        snprintf(buf, 160, "no score: harness errors in all tasks (%ld), %s", left->of, again);
    else if (left->n)
        snprintf(buf, 160, "%ld of %ld tasks left out: harness errors, %s", left->n, left->of,
                 again);
    else
        snprintf(buf, 160, "%ld harness error%s left out: %s", left->harness,
                 left->harness == 1 ? "" : "s", again);
    return buf;
}

/* ---- scores, comparisons, training ---- */

/* A score that was read and the verdicts it came from may both be there: then they must agree. */
static int put_score(struct report *r, const char *path, const cJSON *v, int judged, struct err *e)
{
    const char *bench = json_get_str(v, "bench", NULL, e),
               *metric = json_get_str(v, "metric", NULL, e);
    struct report_cell c = {.value = json_get_num(v, "value", NAN, e),
                            .level = json_get_num(v, "ci", 0.95, e),
                            .ceiling = json_get_num(v, "ceiling", NAN, e),
                            .passed = json_get_int(v, "passed", 0, e),
                            .n_sample = json_get_int(v, "n_sample", 0, e),
                            .n_task = json_get_int(v, "n_task", 0, e),
                            .judged = judged};
    long harness = json_get_int(v, "harness_errors", 0, e);
    if (e->code)
        return e->code;
    if (json_get_int(v, "ceiling_of", c.n_task, e) != c.n_task) /* of another number of tasks */
        c.ceiling = NAN;
    if (!bench || !metric || isnan(c.value) || c.n_task < 1 ||
        !(report_pair(v, "clustered", c.ci) || report_pair(v, "wilson", c.ci) ||
          report_pair(v, "bootstrap", c.ci))) /* records before clustered have one of these */
        return err_set(e, ERR_DATA,
                       "score/1: expected bench, metric, value, n_task and an interval");
    if (!report_in_range(c.value, c.ci, c.level, c.passed, c.n_sample) || harness < 0 ||
        (!isnan(c.ceiling) && !(c.ceiling >= 0 && c.ceiling <= (double)c.n_task)))
        return err_set(e, ERR_DATA,
                       "score/1: value %g in [%g, %g] at %g, %ld of %ld: expected fractions of 1 "
                       "in their order and passed of n_sample",
                       c.value, c.ci[0], c.ci[1], c.level, c.passed, c.n_sample);
    struct report_cell *to = cell_of(r, path, bench, metric, e);
    if (!to)
        return e->code;
    if (to->n_task && to->judged == judged)
        return err_set(e, ERR_DATA, "%s: a second score %s of %s for run %s", path, metric, bench,
                       r->run[report_run_of(r, path, bench, 0, e)]);
    if (to->n_task && (to->value != c.value || to->passed != c.passed || to->n_task != c.n_task ||
                       to->n_sample != c.n_sample))
        return err_set(e, ERR_DATA,
                       "%s: %s of %s is %.17g for %ld tasks, but the %s for this run %s say %.17g "
                       "for %ld",
                       path, metric, bench, c.value, c.n_task, judged ? "scores" : "verdicts",
                       r->run[report_run_of(r, path, bench, 0, e)], to->value, to->n_task);
    if (harness && !judged &&
        note_left(r, report_run_of(r, path, bench, 0, e), bench,
                  &(struct report_left){.harness = harness}, e) < 0)
        return e->code;
    if (to->n_task && judged) /* the score that was read has its own level */
        return 0;
    cJSON_Delete(to->verdicts);
    *to = c;
    const cJSON *verdicts = cJSON_GetObjectItemCaseSensitive(v, "verdicts");
    to->verdicts = cJSON_IsObject(verdicts) ? cJSON_Duplicate(verdicts, 1) : NULL;
    return 0;
}

static int add_score(struct report *r, const char *path, const cJSON *v, long lineno, struct err *e)
{
    (void)lineno;
    return put_score(r, path, v, 0, e);
}

/* The counts of a comparison, where it has them. */
static int counts_in_range(const cJSON *v, long n_task)
{
    static const char *const of[] = {"pass_a", "pass_b", "only_a", "only_b"};
    int paired = cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(v, "mcnemar_p"));
    const cJSON *least = cJSON_GetObjectItemCaseSensitive(v, "detectable");
    for (int i = paired ? 0 : 4; i < 4; i++) {
        const cJSON *k = cJSON_GetObjectItemCaseSensitive(v, of[i]);
        if (cJSON_IsNumber(k) && !(k->valuedouble >= 0 && k->valuedouble <= (double)n_task))
            return 0;
    }
    return !cJSON_IsNumber(least) || (least->valuedouble >= 0 && isfinite(least->valuedouble));
}

static int add_compare(struct report *r, const char *path, const cJSON *v, long lineno,
                       struct err *e)
{
    double ci[2];
    const char *a = json_get_str(v, "a", NULL, e), *b = json_get_str(v, "b", NULL, e);
    double d = json_get_num(v, "difference", NAN, e);
    long n = json_get_int(v, "n_task", 0, e);
    double p = json_get_num(v, "mcnemar_p", json_get_num(v, "permutation_p", NAN, e), e);
    double level = json_get_num(v, "ci", 0.95, e);
    (void)path, (void)lineno;
    if (!e->code && (!a || isnan(p) || !b || !json_get_str(v, "bench", NULL, e) || isnan(d) ||
                     n < 1 || !report_pair(v, "bootstrap", ci)))
        err_set(e, ERR_DATA,
                "compare/1: expected bench, a, b, difference, n_task, bootstrap and a p");
    if (!e->code && !(p >= 0 && p <= 1 && fabs(d) <= 1 && ci[0] >= -1 && ci[0] <= ci[1] &&
                      ci[1] <= 1 && level > 0 && level < 1 && counts_in_range(v, n)))
        err_set(e, ERR_DATA,
                "compare/1: difference %g in [%g, %g] at %g, p %g of %ld tasks: expected shares, a "
                "probability, and no count above the tasks",
                d, ci[0], ci[1], level, p, n);
    if (e->code)
        return e->code;
    cJSON_AddItemToArray(r->compare, cJSON_Duplicate(v, 1));
    return 0;
}

static int add_oracle(struct report *r, const char *path, const cJSON *v, long lineno,
                      struct err *e)
{
    static const char *const number[] = {"value",  "n_run",     "n_task", "solved",
                                         "always", "sometimes", "never"};
    int whole = json_get_str(v, "bench", NULL, e) && json_get_str(v, "metric", NULL, e);
    (void)path, (void)lineno;
    for (size_t i = 0; i < sizeof number / sizeof *number; i++)
        whole &= isfinite(json_get_num(v, number[i], NAN, e)) != 0;
    if (!whole)
        return err_set(e, ERR_DATA, "oracle/1: expected bench, metric, value and its counts");
    double n = json_get_num(v, "n_task", 0, e), solved = json_get_num(v, "solved", 0, e),
           parts[] = {json_get_num(v, "always", 0, e), json_get_num(v, "sometimes", 0, e),
                      json_get_num(v, "never", 0, e)},
           value = json_get_num(v, "value", 0, e), runs = json_get_num(v, "n_run", 0, e);
    if (!(fmin(fmin(parts[0], parts[1]), parts[2]) >= 0 && parts[0] + parts[1] == solved &&
          solved + parts[2] == n && value >= 0 && value <= 1 && runs >= 1 && n <= 1e9))
        return err_set(e, ERR_DATA,
                       "oracle/1: %g of %g tasks solved, %g always, %g sometimes, %g never, value "
                       "%g of %g runs: no such counts",
                       solved, n, parts[0], parts[1], parts[2], value, runs);
    cJSON *copy = cJSON_Duplicate(v, 1);
    if (!copy)
        return err_set(e, ERR_NOMEM, "out of memory");
    cJSON_AddItemToArray(r->oracle, copy);
    return 0;
}

static struct report_training *training_of(struct report *r, const char *path)
{
    char *name = report_file_name(r, path);
    struct report_training *t = r->n_training ? &r->training[r->n_training - 1] : NULL;
    if (name && t && strcmp(t->name, name) == 0) {
        free(name);
        return t;
    }
    if (!name || !(t = realloc(r->training, ((size_t)r->n_training + 1) * sizeof *t))) {
        free(name);
        return NULL;
    }
    r->training = t;
    t += r->n_training++;
    *t = (struct report_training){.name = name};
    return t;
}

static int push(struct report_curve *c, double step, double value, struct err *e)
{
    if (c->n == c->cap) {
        long cap = 2 * c->cap + 256;
        struct report_point *p = realloc(c->v, (size_t)cap * sizeof *p);
        if (!p)
            return err_set(e, ERR_NOMEM, "out of memory");
        c->v = p;
        c->cap = cap;
    }
    c->v[c->n++] = (struct report_point){step, value};
    return 0;
}

static int add_metric(struct report *r, const char *path, const cJSON *v, long lineno,
                      struct err *e)
{
    struct report_training *t = training_of(r, path);
    const char *event = json_get_str(v, "event", "", e);
    double loss = json_get_num(v, "loss", NAN, e), epoch = json_get_num(v, "epoch", 0, e),
           lr = json_get_num(v, "lr", NAN, e), norm = json_get_num(v, "grad_norm", NAN, e);
    (void)lineno;
    if (!t)
        return err_set(e, ERR_NOMEM, "out of memory");
    double step = json_get_num(v, "step", (double)t->loss.n + 1, e);
    if (e->code)
        return e->code;
    if (strcmp(event, "epoch") == 0) {
        t->epoch = epoch;
        return push(&t->val, step, loss, e);
    }
    if (strcmp(event, "step"))
        return 0; /* other events belong to others */
    if (push(&t->loss, step, loss, e) < 0 || (!isnan(lr) && push(&t->lr, step, lr, e) < 0) ||
        (!isnan(norm) && push(&t->grad_norm, step, norm, e) < 0))
        return e->code;
    return 0;
}

/* ---- files ---- */

static int hex4(const char *s, size_t n, unsigned *u)
{
    char digits[5] = "", *end;
    if (n < 6 || s[0] != '\\' || s[1] != 'u' || strspn(s + 2, "0123456789abcdefABCDEF") < 4)
        return 0;
    memcpy(digits, s + 2, 4);
    *u = (unsigned)strtoul(digits, &end, 16);
    return 1;
}

/* The line as JSON that can be read: bytes that are no UTF-8, lone surrogates (Python's json.dumps
 * writes them) and NUL become the characters that stand for them. NULL if it needs nothing. */
static char *mend(const char *s, size_t n, size_t *len)
{
    char *text = NULL;
    unsigned u, low;
    int changed = 0;
    FILE *f = open_memstream(&text, len);
    for (size_t i = 0; f && i < n;) {
        size_t k = 1;
        if (s[i] == '\\') {
            k = i + 1 < n ? 2 : 1;
            if (hex4(s + i, n - i, &u)) {
                int pair = u >= 0xD800 && u < 0xDC00 && hex4(s + i + 6, n - i - 6, &low) &&
                           low >= 0xDC00 && low < 0xE000;
                k = pair ? 12 : 6;
                if (u == 0 || (u >= 0xD800 && u < 0xE000 && !pair)) {
                    fputs(u ? "\xEF\xBF\xBD" : "\xE2\x90\x80", f);
                    changed = 1;
                    i += k;
                    continue;
                }
            }
        } else if (s[i] == 0) {
            fputs("\xE2\x90\x80", f);
            changed = 1;
            i++;
            continue;
        } else if ((unsigned char)s[i] >= 0x80) {
            k = (unsigned char)s[i] >= 0xF0 ? 4 : (unsigned char)s[i] >= 0xE0 ? 3 : 2;
            if (k > n - i || !utf8_valid(s + i, k)) {
                fputs("\xEF\xBF\xBD", f);
                changed = 1;
                i++;
                continue;
            }
        }
        fwrite(s + i, 1, k, f);
        i += k;
    }
    if (!f || fclose(f) || !changed) {
        free(text);
        return NULL;
    }
    return text;
}

/* jsonl_next, but a record is not refused for bytes in its texts that are no text. */
static int next(struct jsonl *in, struct report_file *file, struct err *e)
{
    struct err why = {0};
    char where[400], *line = NULL;
    long before = in->lineno;
    size_t n = 0;
    int rc = jsonl_next(in, &why);
    int whole = in->lineno > before && in->len > 0; /* not truncated, not empty */
    if ((rc == ERR_DATA && whole) || (rc == 1 && strstr(in->line, "\\u0000")))
        line = mend(in->line, in->len, &n);
    if (line) {
        cJSON_Delete(in->v);
        snprintf(where, sizeof where, "%s:%ld", in->path, in->lineno);
        in->v = json_parse(line, n, where, e);
        free(line);
        if (!in->v)
            return e->code;
        rc = cJSON_IsObject(in->v) ? 1 : err_set(e, ERR_DATA, "%s: expected a JSON object", where);
        file->mended++;
    } else if (rc < 0) {
        err_set(e, rc, "%s", why.msg);
    }
    file->n += rc == 1;
    return rc;
}

static struct report_file *file_of(struct report *r, const char *path, struct err *e)
{
    struct report_file *f = realloc(r->file, ((size_t)r->n_file + 1) * sizeof *f);
    if (f) {
        r->file = f;
        f += r->n_file;
        *f = (struct report_file){.path = strdup(path), .schema = strdup("")};
        r->n_file++;
    }
    if (!f || !f->path || !f->schema) {
        err_set(e, ERR_NOMEM, "out of memory");
        return NULL;
    }
    return f;
}

/* Pass@1 of the judged tasks; without any the run has no score, and says why. */
static int put_judged(struct report *r, const char *path, const struct score_set *set,
                      struct err *e)
{
    struct report_left left = {.harness = set->n_harness, .of = set->n_task};
    struct score v;
    struct json_out j = {0};
    size_t n;
    int run = report_run_of(r, path, set->bench, 0, e);
    for (int i = 0; i < set->n_task; i++)
        left.n += set->task[i].n == 0;
    if (run < 0 || (left.harness && note_left(r, run, set->bench, &left, e) < 0))
        return e->code;
    if (left.n == left.of)
        return 0;
    if (score_eval(set, 1, 0.95, 10000, 0, &v, e) < 0)
        return err_prefix(e, "%s", path);
    score_json(&j, set, &v);
    char *text = json_take(&j, &n);
    cJSON *record = text ? json_parse(text, n, path, e) : NULL;
    int rc = record ? put_score(r, path, record, 1, e) : err_set(e, ERR_NOMEM, "out of memory");
    cJSON_Delete(record);
    free(text);
    return rc;
}

/* A file of verdicts becomes a score, pass@1; then each verdict goes to its task. */
static int read_verdicts(struct report *r, const char *path, struct report_file *file,
                         struct jsonl *in, struct err *e)
{
    struct score_book s = {NULL, 0};
    if (strcmp(path, "-") == 0) /* its first record is gone */
        return err_set(e, ERR_DATA, "standard input: verdicts: put passk --json before this");
    int rc = score_read(&s, path, "unnamed", e);
    for (int i = 0; i < s.n_set && rc == 0; i++)
        rc = put_judged(r, path, &s.set[i], e);
    score_free(&s);
    if (rc < 0 || (rc = jsonl_open(in, path, e)) < 0)
        return rc;
    file->n = 0;
    while ((rc = next(in, file, e)) == 1)
        if ((rc = report_add_verdict(r, path, in->v, in->lineno, e)) < 0) {
            err_prefix(e, "%s:%ld", in->path, in->lineno);
            break;
        }
    jsonl_close(in);
    return rc;
}

// clang-format off
static const struct kind {
    const char *schema;
    int (*add)(struct report *r, const char *path, const cJSON *v, long lineno, struct err *e);
} kinds[] = {
    {"score/1",   add_score},         {"compare/1", add_compare},       {"metric/1", add_metric},
    {"verdict/1", NULL},              {"oracle/1",  add_oracle},        {"prompt/1", report_add_prompt},
    {"sample/1",  report_add_sample}, {"code/1",    report_add_code}};
// clang-format on

static int read_record(struct report *r, const char *path, const struct jsonl *in,
                       struct report_file *file, struct err *e)
{
    const cJSON *s = cJSON_GetObjectItemCaseSensitive(in->v, "schema");
    const char *schema = cJSON_IsString(s) ? s->valuestring : "none";
    const struct kind *k = NULL;
    int rc;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].schema, schema) == 0)
            k = &kinds[i];
    if (k && file->n == 1) {
        free(file->schema);
        if (!(file->schema = strdup(schema)))
            return err_set(e, ERR_NOMEM, "out of memory");
    }
    if (k && !k->add && in->lineno == 1)
        return 1; /* a file of verdicts: read otherwise */
    rc = k && k->add ? k->add(r, path, in->v, in->lineno, e)
                     : err_set(e, ERR_DATA,
                               "schema: expected score/1, compare/1, metric/1, oracle/1, prompt/1, "
                               "sample/1, code/1 or (from the first record on) verdict/1, found "
                               "%.40s",
                               schema);
    return rc < 0 ? err_prefix(e, "%s:%ld", in->path, in->lineno) : 0;
}

int report_read(struct report *r, const char *path, struct err *e)
{
    struct jsonl *in = malloc(sizeof *in);
    struct report_file *file = file_of(r, path, e);
    int rc, verdicts = 0;
    if (!in || !file) {
        free(in);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    if ((rc = jsonl_open(in, path, e)) == 0) {
        while (!verdicts && (rc = next(in, file, e)) == 1)
            if ((rc = read_record(r, path, in, file, e)) < 0)
                break;
            else
                verdicts = rc;
        if (rc == 0 && in->lineno == 0)
            rc = err_set(e, ERR_DATA, "%s: no records", in->path);
        jsonl_close(in);
    }
    if (rc >= 0 && verdicts)
        rc = read_verdicts(r, path, file, in, e);
    free(in);
    return rc < 0 ? rc : 0;
}
