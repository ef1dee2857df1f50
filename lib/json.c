/* json - strict JSON reading over cJSON, an append-only writer, JSONL with line numbers */
#include "json.h"
#include "unicode.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

int utf8_valid(const char *s, size_t n)
{
    return unicode_bad_utf8(s, n) == n;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* 1 and *key if two members of the object have one name, 0, or -1 without memory. */
static int same_names(const cJSON *o, const char **key)
{
    enum { FEW = 32 }; /* are compared each with each */
    const cJSON *a, *b;
    const char **v;
    size_t n = 0, i = 1;
    for (a = o->child; a; a = a->next, n++)
        for (b = a->next; b && n < FEW; b = b->next)
            if (strcmp(*key = a->string, b->string) == 0)
                return 1;
    if (n <= FEW)
        return 0;
    if (!(v = malloc(n * sizeof *v)))
        return -1;
    for (a = o->child, n = 0; a; a = a->next)
        v[n++] = a->string;
    qsort(v, n, sizeof *v, by_name);
    while (i < n && strcmp(v[i], v[i - 1]))
        i++;
    *key = i < n ? v[i] : NULL;
    free(v);
    return i < n;
}

/* The same in all objects of a value; the depth is the reader's. */
static int duplicate_key(const cJSON *v, const char **key)
{
    int rc = cJSON_IsObject(v) ? same_names(v, key) : 0;
    for (const cJSON *a = v->child; a && rc == 0; a = a->next)
        if (a->child)
            rc = duplicate_key(a, key);
    return rc;
}

cJSON *json_parse(const char *s, size_t n, const char *where, struct err *e)
{
    const char *end = NULL, *dup;
    cJSON *v;
    int rc;
    if (!utf8_valid(s, n)) {
        err_set(e, ERR_DATA, "%s: invalid UTF-8", where);
        return NULL;
    }
    if (memchr(s, 0, n)) {
        err_set(e, ERR_DATA, "%s: NUL byte in JSON", where);
        return NULL;
    }
    v = cJSON_ParseWithLengthOpts(s, n, &end, 0);
    if (!v) {
        err_set(e, ERR_DATA, "%s: not JSON: error at byte %zu", where, end ? (size_t)(end - s) : 0);
        return NULL;
    }
    while (end < s + n && (*end == ' ' || *end == '\t' || *end == '\n' || *end == '\r'))
        end++;
    if (end < s + n)
        err_set(e, ERR_DATA, "%s: text after the JSON value at byte %zu", where, (size_t)(end - s));
    else if ((rc = duplicate_key(v, &dup)) > 0)
        err_set(e, ERR_DATA, "%s: duplicate key \"%.100s\"", where, dup);
    else if (rc < 0)
        err_set(e, ERR_NOMEM, "%s: out of memory", where);
    else
        return v;
    cJSON_Delete(v);
    return NULL;
}

cJSON *json_load(const char *path, struct err *e)
{
    FILE *f = fopen(path, "rb");
    char *buf = NULL;
    size_t n = 0, cap = 0;
    cJSON *v = NULL;
    if (!f) {
        err_errno(e, ERR_NOINPUT, "%s", path);
        return NULL;
    }
    for (;;) {
        if (n == cap) {
            char *p = realloc(buf, cap = cap ? 2 * cap : 65536);
            if (!p) {
                err_set(e, ERR_NOMEM, "%s: out of memory", path);
                goto done;
            }
            buf = p;
        }
        size_t k = fread(buf + n, 1, cap - n, f);
        n += k;
        if (!k)
            break;
    }
    if (ferror(f))
        err_errno(e, errno == EISDIR ? ERR_NOINPUT : ERR_IO, "%s", path);
    else
        v = json_parse(buf, n, path, e);
done:
    fclose(f);
    free(buf);
    return v;
}

static const cJSON *member(const cJSON *o, const char *key)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
    return v && !cJSON_IsNull(v) ? v : NULL;
}

const char *json_get_str(const cJSON *o, const char *key, const char *dflt, struct err *e)
{
    const cJSON *v = member(o, key);
    if (!v)
        return dflt;
    if (!cJSON_IsString(v)) {
        err_set(e, ERR_DATA, "\"%s\": expected a string", key);
        return dflt;
    }
    return v->valuestring;
}

double json_get_num(const cJSON *o, const char *key, double dflt, struct err *e)
{
    const cJSON *v = member(o, key);
    if (!v)
        return dflt;
    if (!cJSON_IsNumber(v)) {
        err_set(e, ERR_DATA, "\"%s\": expected a number", key);
        return dflt;
    }
    return v->valuedouble;
}

long json_get_int(const cJSON *o, const char *key, long dflt, struct err *e)
{
    double d = json_get_num(o, key, (double)dflt, e);
    if (d != floor(d) || fabs(d) > 9e15) {
        err_set(e, ERR_DATA, "\"%s\": expected a whole number, found %g", key, d);
        return dflt;
    }
    return (long)d;
}

int json_get_bool(const cJSON *o, const char *key, int dflt, struct err *e)
{
    const cJSON *v = member(o, key);
    if (!v)
        return dflt;
    if (!cJSON_IsBool(v)) {
        err_set(e, ERR_DATA, "\"%s\": expected true or false", key);
        return dflt;
    }
    return cJSON_IsTrue(v);
}

/* ---- writer ---- */

static char *room(struct json_out *j, size_t n)
{
    if (j->failed)
        return NULL;
    if (j->cap - j->len < n + 1) {
        size_t cap = (j->cap + n + 1) * 2;
        char *p = realloc(j->buf, cap < 256 ? 256 : cap);
        if (!p) {
            j->failed = 1;
            return NULL;
        }
        j->buf = p;
        j->cap = cap < 256 ? 256 : cap;
    }
    return j->buf + j->len;
}

static void put(struct json_out *j, const char *s, size_t n)
{
    char *p = room(j, n);
    if (!p)
        return;
    memcpy(p, s, n);
    j->len += n;
    j->buf[j->len] = 0;
}

static void comma(struct json_out *j)
{
    if (j->comma)
        put(j, ",", 1);
    j->comma = 1;
}

void json_begin(struct json_out *j, char bracket)
{
    comma(j);
    put(j, &bracket, 1);
    j->comma = 0;
}

void json_end(struct json_out *j, char bracket)
{
    put(j, &bracket, 1);
    j->comma = 1;
}

void json_key(struct json_out *j, const char *key)
{
    json_str(j, key);
    put(j, ":", 1);
    j->comma = 0;
}

void json_strn(struct json_out *j, const char *str, size_t n)
{
    const unsigned char *s = (const unsigned char *)str;
    comma(j);
    put(j, "\"", 1);
    for (size_t i = 0; i < n;) {
        size_t run = i;
        while (run < n && s[run] >= 0x20 && s[run] < 0x80 && s[run] != '"' && s[run] != '\\')
            run++;
        if (run > i) {
            put(j, str + i, run - i);
            i = run;
            continue;
        }
        if (s[i] >= 0x80) {
            size_t k = s[i] >= 0xF0 ? 4 : s[i] >= 0xE0 ? 3 : 2;
            if (k <= n - i && utf8_valid(str + i, k)) {
                put(j, str + i, k);
                i += k;
            } else {
                put(j, "\xEF\xBF\xBD", 3);
                i++;
            }
            continue;
        }
        char esc[8];
        const char *named = s[i] == '"'    ? "\\\""
                            : s[i] == '\\' ? "\\\\"
                            : s[i] == '\n' ? "\\n"
                            : s[i] == '\t' ? "\\t"
                            : s[i] == '\r' ? "\\r"
                                           : NULL;
        if (!named) {
            snprintf(esc, sizeof esc, "\\u%04x", s[i]);
            named = esc;
        }
        put(j, named, strlen(named));
        i++;
    }
    put(j, "\"", 1);
}

void json_str(struct json_out *j, const char *s)
{
    json_strn(j, s, strlen(s));
}

void json_num(struct json_out *j, double v)
{
    char buf[40];
    if (!isfinite(v)) {
        json_raw(j, "null");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(buf, sizeof buf, "%.*g", digits, v);
        if (strtod(buf, NULL) == v)
            break;
    }
    json_raw(j, buf);
}

void json_f32(struct json_out *j, float v)
{
    char buf[40];
    snprintf(buf, sizeof buf, "%.9g", (double)v);
    json_raw(j, isfinite(v) ? buf : "null");
}

void json_int(struct json_out *j, long long v)
{
    char buf[32];
    snprintf(buf, sizeof buf, "%lld", v);
    json_raw(j, buf);
}

void json_bool(struct json_out *j, int v)
{
    json_raw(j, v ? "true" : "false");
}

void json_raw(struct json_out *j, const char *text)
{
    comma(j);
    put(j, text, strlen(text));
}

void json_tree(struct json_out *j, const cJSON *v)
{
    char *s = cJSON_PrintUnformatted(v);
    if (!s) {
        j->failed = 1;
        return;
    }
    json_raw(j, s);
    cJSON_free(s);
}

void json_kv_str(struct json_out *j, const char *k, const char *v)
{
    json_key(j, k);
    json_str(j, v);
}

void json_kv_num(struct json_out *j, const char *k, double v)
{
    json_key(j, k);
    json_num(j, v);
}

void json_kv_int(struct json_out *j, const char *k, long long v)
{
    json_key(j, k);
    json_int(j, v);
}

void json_kv_bool(struct json_out *j, const char *k, int v)
{
    json_key(j, k);
    json_bool(j, v);
}

void json_reset(struct json_out *j)
{
    j->len = 0;
    j->comma = 0;
    if (j->buf)
        j->buf[0] = 0;
}

char *json_take(struct json_out *j, size_t *len)
{
    char *s = j->failed ? NULL : j->buf;
    if (j->failed)
        free(j->buf);
    if (len)
        *len = j->len;
    memset(j, 0, sizeof *j);
    return s;
}

int json_line(struct json_out *j, FILE *f, struct err *e)
{
    if (j->failed)
        return err_set(e, ERR_NOMEM, "out of memory");
    put(j, "\n", 1);
    if (fwrite(j->buf, 1, j->len, f) != j->len)
        return err_errno(e, ERR_IO, "write");
    json_reset(j);
    return 0;
}

/* ---- JSONL ---- */

int jsonl_open(struct jsonl *r, const char *path, struct err *e)
{
    memset(r, 0, sizeof *r);
    r->path = strcmp(path, "-") ? path : "standard input";
    r->in = strcmp(path, "-") ? (void *)gzopen(path, "rb") : (void *)gzdopen(0, "rb");
    if (!r->in)
        return err_errno(e, ERR_NOINPUT, "%s", path);
    gzbuffer(r->in, 1 << 17);
    return 0;
}

/* One line into r->line: 1, 0 at the end, or an error. */
static int try_line(struct jsonl *r, struct err *e)
{
    r->len = 0;
    for (;;) {
        char *nl = memchr(r->in_buf + r->in_pos, '\n', r->in_len - r->in_pos);
        size_t n = nl ? (size_t)(nl - (r->in_buf + r->in_pos)) : r->in_len - r->in_pos;
        if (r->cap - r->len < n + 1) {
            size_t cap = 2 * (r->cap + n + 1);
            char *p = cap > (size_t)1 << 31 ? NULL : realloc(r->line, cap);
            if (!p)
                return err_set(e, ERR_DATA,
                               "%s:%ld: a line of more than 1 GiB: nothing behind it is read",
                               r->path, r->lineno + 1);
            r->line = p;
            r->cap = cap;
        }
        memcpy(r->line + r->len, r->in_buf + r->in_pos, n);
        r->len += n;
        r->line[r->len] = 0;
        r->in_pos += n + (nl != NULL);
        if (nl) {
            r->lineno++;
            return 1;
        }
        int got = gzread(r->in, r->in_buf, sizeof r->in_buf), zerr;
        r->in_pos = 0;
        r->in_len = got > 0 ? (size_t)got : 0;
        if (got < 0 && (gzerror(r->in, &zerr), zerr == Z_ERRNO))
            return err_errno(e, errno == EISDIR ? ERR_NOINPUT : ERR_IO, "%s", r->path);
        if (got < 0)
            return err_set(e, ERR_DATA, "%s:%ld: %s", r->path, r->lineno + 1,
                           gzerror(r->in, &zerr));
        if (got == 0) {
            gzerror(r->in, &zerr);
            if (zerr == Z_BUF_ERROR)
                return err_set(e, ERR_DATA, "%s:%ld: truncated gzip data", r->path, r->lineno + 1);
            if (!r->len)
                return 0;
            return err_set(e, ERR_DATA, "%s:%ld: truncated: the last line has no newline", r->path,
                           r->lineno + 1);
        }
    }
}

static int read_line(struct jsonl *r, struct err *e)
{
    int rc = r->ended ? 0 : try_line(r, e);
    r->ended = rc <= 0; /* what is broken is told once, then the lines are at their end */
    return rc;
}

int jsonl_next_line(struct jsonl *r, struct err *e)
{
    int rc;
    cJSON_Delete(r->v);
    r->v = NULL;
    if ((rc = read_line(r, e)) <= 0)
        return rc;
    return r->len ? 1 : err_set(e, ERR_DATA, "%s:%ld: empty line", r->path, r->lineno);
}

/* cJSON's texts end at a NUL: what follows it would be lost without a word. */
static int holds_nul(const char *line)
{
    for (const char *p = line; (p = strstr(p, "\\u0000")); p += 6) {
        const char *q = p;
        while (q > line && q[-1] == '\\')
            q--;
        if ((p - q) % 2 == 0)
            return 1;
    }
    return 0;
}

int jsonl_next(struct jsonl *r, struct err *e)
{
    char where[400];
    int rc = jsonl_next_line(r, e);
    if (rc <= 0)
        return rc;
    snprintf(where, sizeof where, "%s:%ld", r->path, r->lineno);
    if (!(r->v = json_parse(r->line, r->len, where, e)))
        return e->code;
    if (!cJSON_IsObject(r->v))
        return err_set(e, ERR_DATA, "%s: expected a JSON object", where);
    if (holds_nul(r->line))
        return err_set(e, ERR_DATA, "%s: a text holds NUL (\\u0000)", where);
    return 1;
}

void jsonl_close(struct jsonl *r)
{
    cJSON_Delete(r->v);
    if (r->in)
        gzclose(r->in);
    free(r->line);
    memset(r, 0, sizeof *r);
}

int jsonl_schema(const struct jsonl *r, const char *want, int bare, struct err *e)
{
    const cJSON *s = cJSON_GetObjectItemCaseSensitive(r->v, "schema");
    if (!s && bare)
        return 0;
    if (!cJSON_IsString(s) || strcmp(s->valuestring, want))
        return err_set(e, ERR_DATA, "%s:%ld: schema: expected \"%s\", found %s%s%s", r->path,
                       r->lineno, want, cJSON_IsString(s) ? "\"" : "",
                       cJSON_IsString(s) ? s->valuestring : "none", cJSON_IsString(s) ? "\"" : "");
    return 0;
}

static size_t heap_chunk(size_t n)
{
    n = (n + sizeof(size_t) + 15) / 16 * 16;
    return n < 32 ? 32 : n;
}

size_t json_memory(const cJSON *v)
{
    size_t n = 0;
    for (; v; v = v->next) { /* depth: the reader's limit */
        n += heap_chunk(sizeof *v);
        n += v->string ? heap_chunk(strlen(v->string) + 1) : 0;
        n += v->valuestring ? heap_chunk(strlen(v->valuestring) + 1) : 0;
        n += json_memory(v->child);
    }
    return n;
}
