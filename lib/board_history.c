/* board_history - results over time: an append-only file of history/1 records */
#include "board.h"
#include "json.h"
#include "report.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int same_place(const struct board_entry *a, const struct board_entry *b)
{
    return strcmp(a->recipe, b->recipe) == 0 && strcmp(a->model, b->model) == 0 &&
           strcmp(a->run, b->run) == 0 && strcmp(a->bench, b->bench) == 0 &&
           strcmp(a->metric, b->metric) == 0;
}

/* The same score of the same verdicts: what a second look at the same files sees. */
static int same_result(const struct board_entry *a, const struct board_entry *b)
{
    return same_place(a, b) && strcmp(a->score_sha256, b->score_sha256) == 0 &&
           strcmp(a->input_sha256, b->input_sha256) == 0;
}

static int continues(const struct board_entry *a, const struct board_entry *b)
{
    return same_place(a, b) && a->n_task == b->n_task && a->n_sample == b->n_sample &&
           a->level == b->level;
}

int board_next(const struct board *b, int i)
{
    for (int k = i + 1; k < b->n_past; k++)
        if (continues(&b->past[i], &b->past[k]))
            return k;
    return -1;
}

int board_series(const struct board *b, int i)
{
    for (int k = 0; k < i; k++)
        if (continues(&b->past[i], &b->past[k]))
            return 0;
    return board_next(b, i) > 0;
}

/* ---- records ---- */

static char *text(const cJSON *v, const char *key, struct err *e)
{
    const char *s = json_get_str(v, key, "", e);
    char *copy = strdup(s);
    if (!copy)
        err_set(e, ERR_NOMEM, "out of memory");
    return copy;
}

static void digest(const cJSON *v, const char *key, char hex[65], struct err *e)
{
    const char *s = json_get_str(v, key, "", e);
    if (s[0] && (strlen(s) != 64 || strspn(s, "0123456789abcdef") != 64))
        err_set(e, ERR_DATA, "\"%s\": expected 64 hexadecimal digits", key);
    else
        memcpy(hex, s, strlen(s) + 1);
}

static int parse(struct board *b, const cJSON *v, struct err *e)
{
    struct board_entry *p = realloc(b->past, ((size_t)b->n_past + 1) * sizeof *p);
    if (!p)
        return err_set(e, ERR_NOMEM, "out of memory");
    b->past = p;
    p += b->n_past++;
    memset(p, 0, sizeof *p);
    p->recipe = text(v, "recipe", e);
    p->model = text(v, "model", e);
    p->run = text(v, "run", e);
    p->bench = text(v, "bench", e);
    p->metric = text(v, "metric", e);
    p->date = text(v, "date", e);
    p->version = text(v, "version", e);
    p->host = text(v, "host", e);
    p->value = json_get_num(v, "value", NAN, e);
    p->level = json_get_num(v, "ci", 0.95, e);
    p->passed = json_get_int(v, "passed", 0, e);
    p->n_task = json_get_int(v, "n_task", 0, e);
    p->n_sample = json_get_int(v, "n_sample", 0, e);
    digest(v, "score_sha256", p->score_sha256, e);
    digest(v, "input_sha256", p->input_sha256, e);
    digest(v, "weights_sha256", p->weights_sha256, e);
    const cJSON *ci = cJSON_GetObjectItemCaseSensitive(v, "interval");
    const cJSON *lo = cJSON_GetArrayItem(ci, 0), *hi = cJSON_GetArrayItem(ci, 1);
    if (e->code)
        return e->code;
    if (isnan(p->value) || !cJSON_IsNumber(lo) || !cJSON_IsNumber(hi) || p->n_task < 1)
        return err_set(e, ERR_DATA, "history/1: expected value, interval and n_task");
    p->ci[0] = lo->valuedouble;
    p->ci[1] = hi->valuedouble;
    if (!report_in_range(p->value, p->ci, p->level, p->passed, p->n_sample))
        return err_set(e, ERR_DATA,
                       "history/1: value %g in [%g, %g] at %g, %ld of %ld: expected fractions of 1 "
                       "in their order and passed of n_sample",
                       p->value, p->ci[0], p->ci[1], p->level, p->passed, p->n_sample);
    return 0;
}

static void write_entry(struct json_out *j, const struct board_entry *v)
{
    json_begin(j, '{');
    json_kv_str(j, "schema", "history/1");
    json_kv_str(j, "recipe", v->recipe);
    json_kv_str(j, "model", v->model);
    json_kv_str(j, "run", v->run);
    json_kv_str(j, "bench", v->bench);
    json_kv_str(j, "metric", v->metric);
    json_kv_num(j, "value", v->value);
    json_kv_num(j, "ci", v->level);
    json_key(j, "interval");
    json_begin(j, '[');
    json_num(j, v->ci[0]);
    json_num(j, v->ci[1]);
    json_end(j, ']');
    json_kv_int(j, "passed", v->passed);
    json_kv_int(j, "n_task", v->n_task);
    json_kv_int(j, "n_sample", v->n_sample);
    json_kv_str(j, "date", v->date);
    json_kv_str(j, "version", v->version);
    json_kv_str(j, "host", v->host);
    json_kv_str(j, "score_sha256", v->score_sha256);
    json_kv_str(j, "input_sha256", v->input_sha256);
    json_kv_str(j, "weights_sha256", v->weights_sha256);
    json_end(j, '}');
}

/* ---- the file ---- */

/* The first n_line lines, or all for -1. */
static int read_lines(struct board *b, const char *path, long n_line, struct err *e)
{
    struct jsonl *in = malloc(sizeof *in);
    int rc = in ? jsonl_open(in, path, e) : err_set(e, ERR_NOMEM, "out of memory");
    if (rc == 0) {
        while (in->lineno != n_line && (rc = jsonl_next(in, e)) == 1)
            if ((rc = jsonl_schema(in, "history/1", 0, e)) < 0)
                break;
            else if (parse(b, in->v, e) < 0) {
                rc = err_prefix(e, "%s:%ld", in->path, in->lineno);
                break;
            }
        jsonl_close(in);
    }
    free(in);
    return rc < 0 ? rc : 0;
}

int board_history(struct board *b, const char *path, int may_lack, struct err *e)
{
    return may_lack && access(path, F_OK) ? 0 : read_lines(b, path, -1, e);
}

/* A file that we append to: whole lines, and what follows the last newline. */
struct ends {
    long n_line;
    off_t whole, size; /* bytes of the lines; of all */
    char head[2];      /* the first bytes */
};

static int find_ends(int fd, const char *path, struct ends *at, struct err *e)
{
    char buf[65536];
    ssize_t n;
    *at = (struct ends){0};
    while ((n = pread(fd, buf, sizeof buf, at->size)) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            if (at->size + i < 2)
                at->head[at->size + i] = buf[i];
            if (buf[i] == '\n') {
                at->n_line++;
                at->whole = at->size + i + 1;
            }
        }
        at->size += n;
    }
    return n < 0 ? err_errno(e, ERR_IO, "%s", path) : 0;
}

/* What has no end is a line that a killed writer began, or the file is none of ours. */
static int check_tail(int fd, const char *path, const struct ends *at, struct err *e)
{
    static const char begin[] = "{\"schema\":\"history/1\"";
    char tail[sizeof begin] = "";
    size_t n = (size_t)(at->size - at->whole);
    size_t want = n < sizeof begin - 1 && at->n_line ? n : sizeof begin - 1;
    if (n && (pread(fd, tail, want, at->whole) != (ssize_t)want || memcmp(tail, begin, want)))
        return err_set(e, ERR_DATA,
                       "%s:%ld: a line without an end that is no history/1: nothing "
                       "was changed",
                       path, at->n_line + 1);
    return 0;
}

static int append(int fd, const char *path, const char *s, size_t n, struct err *e)
{
    while (n) {
        ssize_t k = write(fd, s, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return err_errno(e, ERR_IO, "%s", path);
        s += k;
        n -= (size_t)k;
    }
    return fsync(fd) && errno != EINVAL && errno != EROFS ? err_errno(e, ERR_IO, "%s", path) : 0;
}

/* An editor leaves a last record without a newline: 1 if what has none is a record, which is kept. */
static int whole_record(struct board *b, int fd, const struct ends *at, struct err *e)
{
    enum { LONGEST = 1 << 20 };
    size_t n = (size_t)(at->size - at->whole);
    struct err torn = {0};
    char *text = n < LONGEST ? malloc(n) : NULL;
    int got = text && pread(fd, text, n, at->whole) == (ssize_t)n;
    cJSON *v = got ? json_parse(text, n, "history", &torn) : NULL;
    int rc = !v ? 0 : parse(b, v, e) < 0 ? e->code : 1;
    cJSON_Delete(v);
    free(text);
    return rc;
}

/* Read it, changing nothing before all of it is known to be a history. */
static int take_over(struct board *b, int fd, const char *path, struct err *e)
{
    struct ends at;
    int rc = find_ends(fd, path, &at, e);
    if (rc == 0 && memcmp(at.head, "\x1f\x8b", 2) == 0)
        rc = err_set(e, ERR_DATA, "%s: compressed: nothing can be appended", path);
    if (rc < 0 || (rc = read_lines(b, path, at.n_line, e)) < 0 ||
        (rc = check_tail(fd, path, &at, e)) < 0)
        return rc;
    if (at.whole < at.size && (rc = whole_record(b, fd, &at, e)) != 0)
        return rc < 0 ? err_prefix(e, "%s:%ld", path, at.n_line + 1) : append(fd, path, "\n", 1, e);
    return at.whole < at.size && ftruncate(fd, at.whole) ? err_errno(e, ERR_IO, "%s", path) : 0;
}

int board_remember(struct board *b, const char *path, int *added, struct err *e)
{
    struct json_out j = {0};
    char *lines = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&lines, &size);
    int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666), rc;
    *added = 0;
    if (fd < 0)
        rc = err_errno(e, ERR_CANTCREAT, "%s", path);
    else if (flock(fd, LOCK_EX | LOCK_NB))
        rc = err_set(e, ERR_LOCKED, "%s: another process writes it", path);
    else
        rc = take_over(b, fd, path, e);
    for (int i = 0; f && rc == 0 && i < b->n; i++) {
        int known = 0;
        for (int k = 0; k < b->n_past && !known; k++)
            known = same_result(&b->past[k], &b->v[i]);
        for (int k = 0; k < i && !known; k++)
            known = same_result(&b->v[k], &b->v[i]);
        if (known)
            continue;
        write_entry(&j, &b->v[i]);
        cJSON *v = j.failed ? NULL : json_parse(j.buf, j.len, path, e);
        rc = v ? parse(b, v, e) : err_set(e, ERR_NOMEM, "out of memory");
        cJSON_Delete(v);
        if (rc == 0)
            rc = json_line(&j, f, e);
        ++*added;
    }
    if (!f || fclose(f))
        rc = rc < 0 ? rc : err_set(e, ERR_NOMEM, "out of memory");
    if (rc == 0)
        rc = append(fd, path, lines, size, e);
    if (fd >= 0)
        close(fd);
    free(lines);
    free(j.buf);
    return rc;
}
