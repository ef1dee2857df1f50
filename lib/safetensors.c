/* safetensors - read one file, a folder or shards; write one file the way the reference does
 *
 * The header is JSON of up to 100 MB from outside.  It is read by a scanner of its own: no tree,
 * time and memory linear in the header. */
#include "safetensors.h"
#include "blocks.h"
#include "outfile.h"
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    HEADER_MAX = 100000000,
    MIN_ENTRY = 40
}; /* the reference's bound; bytes of the shortest entry */

/* In the order of the reference's enum Dtype, ascending alignment: its writer sorts by it. */
static const uint8_t dtypes[] = {TENSOR_BOOL,    TENSOR_F4,  TENSOR_F6_E2M3, TENSOR_F6_E3M2,
                                 TENSOR_U8,      TENSOR_I8,  TENSOR_F8_E5M2, TENSOR_F8_E4M3,
                                 TENSOR_F8_E8M0, TENSOR_I16, TENSOR_U16,     KN_F16,
                                 KN_BF16,        KN_I32,     TENSOR_U32,     KN_F32,
                                 TENSOR_C64,     TENSOR_F64, TENSOR_I64,     TENSOR_U64};

static int dtype_rank(int type)
{
    for (size_t i = 0; i < sizeof dtypes; i++)
        if (dtypes[i] == type)
            return (int)i;
    return -1;
}

/* ---- the header ---- */

struct scan {
    const char *p, *end, *begin, *path;
    struct err *e;
};

static int bad(struct scan *s, const char *what)
{
    return err_set(s->e, ERR_DATA, "%s: header, byte %zu: %s", s->path,
                   8 + (size_t)(s->p - s->begin), what);
}

static void space(struct scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
        s->p++;
}

static int peek(struct scan *s)
{
    space(s);
    return s->p < s->end ? (unsigned char)*s->p : -1;
}

static int expect(struct scan *s, char c)
{
    char what[40];
    if (peek(s) == (unsigned char)c) {
        s->p++;
        return 0;
    }
    snprintf(what, sizeof what, "expected '%c'", c);
    return bad(s, what);
}

static int hex4(struct scan *s, unsigned *v)
{
    *v = 0;
    for (int i = 0; i < 4; i++, s->p++) {
        int c = s->p < s->end ? *s->p : 0;
        int d = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
        if (d < 0)
            return bad(s, "bad \\u escape");
        *v = *v << 4 | (unsigned)d;
    }
    return 0;
}

static int escape(struct scan *s, char *out, size_t *n)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    unsigned u, low;
    const char *at;
    if (s->p == s->end)
        return bad(s, "string does not end");
    char c = *s->p++;
    if (c != 'u') {
        if (!c || !(at = strchr(from, c)))
            return bad(s, "bad escape");
        out[(*n)++] = to[at - from];
        return 0;
    }
    if (hex4(s, &u) < 0)
        return ERR_DATA;
    if (u >= 0xD800 && u < 0xDC00) {
        if (s->end - s->p < 2 || s->p[0] != '\\' || s->p[1] != 'u')
            return bad(s, "lone surrogate");
        s->p += 2;
        if (hex4(s, &low) < 0)
            return ERR_DATA;
        if (low < 0xDC00 || low > 0xDFFF)
            return bad(s, "lone surrogate");
        u = 0x10000 + ((u - 0xD800) << 10) + (low - 0xDC00);
    } else if (u >= 0xDC00 && u < 0xE000) {
        return bad(s, "lone surrogate");
    }
    if (u == 0)
        return bad(s, "NUL in a string");
    if (u < 0x80) {
        out[(*n)++] = (char)u;
    } else {
        int more = u < 0x800 ? 1 : u < 0x10000 ? 2 : 3;
        static const unsigned char lead[] = {0, 0xC0, 0xE0, 0xF0};
        out[(*n)++] = (char)(lead[more] | u >> (6 * more));
        while (more--)
            out[(*n)++] = (char)(0x80 | ((u >> (6 * more)) & 0x3F));
    }
    return 0;
}

/* A string of at most max bytes into out (max + 1); out NULL: skip it. */
static int string(struct scan *s, char *out, size_t max)
{
    char four[4];
    size_t n = 0;
    if (expect(s, '"') < 0)
        return ERR_DATA;
    while (s->p < s->end && *s->p != '"') {
        size_t k = 0;
        unsigned char c = (unsigned char)*s->p++;
        if (c < 0x20)
            return bad(s, "control character in a string");
        if (c != '\\')
            four[k++] = (char)c;
        else if (escape(s, four, &k) < 0)
            return ERR_DATA;
        if (!out)
            continue;
        if (n + k > max)
            return bad(s, "string too long");
        memcpy(out + n, four, k);
        n += k;
    }
    if (s->p == s->end)
        return bad(s, "string does not end");
    s->p++;
    if (out)
        out[n] = 0;
    return 0;
}

static int whole(struct scan *s, uint64_t *v)
{
    int c = peek(s);
    const char *first = s->p;
    if (c < '0' || c > '9')
        return bad(s, "expected a whole number");
    for (*v = 0; s->p < s->end && *s->p >= '0' && *s->p <= '9'; s->p++)
        if (__builtin_mul_overflow(*v, (uint64_t)10, v) ||
            __builtin_add_overflow(*v, (uint64_t)(*s->p - '0'), v))
            return bad(s, "number too large");
    if (*first == '0' && s->p - first > 1)
        return bad(s, "leading zero");
    if (s->p < s->end && (*s->p == '.' || *s->p == 'e' || *s->p == 'E'))
        return bad(s, "expected a whole number");
    return 0;
}

/* After a member or element: 1 = another follows, 0 = the bracket closed. */
static int more(struct scan *s, char close)
{
    int c = peek(s);
    if (c != ',' && c != close)
        return bad(s, close == '}' ? "expected ',' or '}'" : "expected ',' or ']'");
    s->p++;
    return c == ',';
}

/* [a, b, ...] of whole numbers, at most max of them */
static int numbers(struct scan *s, uint64_t *v, int max, int *n)
{
    int rc;
    *n = 0;
    if (expect(s, '[') < 0)
        return ERR_DATA;
    if (peek(s) == ']') {
        s->p++;
        return 0;
    }
    do {
        if (*n == max)
            return bad(s, "too many numbers in a list");
        if (whole(s, &v[(*n)++]) < 0)
            return ERR_DATA;
    } while ((rc = more(s, ']')) == 1);
    return rc;
}

/* {"dtype":"F32","shape":[..],"data_offsets":[begin,end]} */
static int entry(struct scan *s, struct tensor *t, uint64_t *begin, uint64_t *end)
{
    char key[16], dtype[16];
    uint64_t range[2];
    unsigned seen = 0, bit;
    int n, rc;
    size_t need;
    if (expect(s, '{') < 0)
        return ERR_DATA;
    do {
        if (string(s, key, sizeof key - 1) < 0 || expect(s, ':') < 0)
            return ERR_DATA;
        if (strcmp(key, "dtype") == 0) {
            bit = 1;
            if (string(s, dtype, sizeof dtype - 1) < 0)
                return ERR_DATA;
            t->type = tensor_type_by_name(dtype);
            if (dtype_rank(t->type) < 0)
                return err_set(s->e, ERR_DATA, "%s: tensor %s: unknown dtype \"%s\"", s->path,
                               t->name, dtype);
        } else if (strcmp(key, "shape") == 0) {
            bit = 2;
            if (numbers(s, t->dim, TENSOR_DIMS, &t->ndim) < 0)
                return ERR_DATA;
        } else if (strcmp(key, "data_offsets") == 0) {
            bit = 4;
            if (numbers(s, range, 2, &n) < 0)
                return ERR_DATA;
            if (n != 2)
                return bad(s, "data_offsets: expected two numbers");
        } else {
            return bad(s, "expected \"dtype\", \"shape\" or \"data_offsets\"");
        }
        if (seen & bit)
            return bad(s, "key is there twice");
        seen |= bit;
    } while ((rc = more(s, '}')) == 1);
    if (rc < 0)
        return rc;
    if (seen != 7)
        return err_set(s->e, ERR_DATA, "%s: tensor %s: expected dtype, shape and data_offsets",
                       s->path, t->name);
    char shape[200];
    if (range[1] < range[0] || !tensor_size(t->type, t->ndim, t->dim, &need) ||
        need != range[1] - range[0])
        return err_set(s->e, ERR_DATA,
                       "%s: tensor %s: %s %s does not take bytes %" PRIu64 "..%" PRIu64, s->path,
                       t->name, tensor_type_name(t->type), tensor_shape(t, shape, sizeof shape),
                       range[0], range[1]);
    t->bytes = need;
    *begin = range[0];
    *end = range[1];
    return 0;
}

/* {"key":"value",...} checked and handed to the JSON reader */
static int metadata(struct scan *s, cJSON **out)
{
    char where[300];
    int rc = 0;
    space(s);
    const char *from = s->p;
    if (expect(s, '{') < 0)
        return ERR_DATA;
    if (peek(s) == '}')
        s->p++;
    else
        do {
            if (string(s, NULL, 0) < 0 || expect(s, ':') < 0)
                return ERR_DATA;
            if (peek(s) != '"')
                return bad(s, "__metadata__: expected a string");
            if (string(s, NULL, 0) < 0)
                return ERR_DATA;
        } while ((rc = more(s, '}')) == 1);
    if (rc < 0)
        return rc;
    if (*out)
        return bad(s, "__metadata__ is there twice");
    snprintf(where, sizeof where, "%s: __metadata__", s->path);
    *out = json_parse(from, (size_t)(s->p - from), where, s->e);
    return *out ? 0 : s->e->code;
}

struct extent {
    uint64_t begin, end;
    int i;
};

static int by_begin(const void *a, const void *b)
{
    const struct extent *x = a, *y = b;
    return x->begin != y->begin ? (x->begin > y->begin) - (x->begin < y->begin)
                                : (x->end > y->end) - (x->end < y->end);
}

/* Holes and overlaps are refused: data is covered exactly. */
static int check_cover(struct scan *s, struct extent *x, const struct tensor *t, int n,
                       uint64_t total)
{
    uint64_t at = 0;
    if (n)
        qsort(x, (size_t)n, sizeof *x, by_begin);
    for (int i = 0; i < n; i++) {
        if (x[i].begin != at)
            return err_set(s->e, ERR_DATA,
                           "%s: tensor %s: data begin at %" PRIu64 ", expected %" PRIu64 " (%s)",
                           s->path, t[x[i].i].name, x[i].begin, at,
                           x[i].begin < at ? "overlap" : "hole");
        at = x[i].end;
    }
    if (at > total)
        return err_set(s->e, ERR_DATA,
                       "%s: truncated: %" PRIu64 " bytes of data, expected %" PRIu64, s->path,
                       total, at);
    if (at < total)
        return err_set(s->e, ERR_DATA, "%s: %" PRIu64 " bytes of data, the header names %" PRIu64,
                       s->path, total, at);
    return 0;
}

static int read_header(struct safetensors *st, struct mapfile *m, struct err *e)
{
    uint64_t n = 0;
    struct extent *x = NULL;
    cJSON *meta = NULL;
    int rc, cap = st->n_tensor, first = st->n_tensor;
    if (m->n >= 8)
        memcpy(&n, m->p, 8);
    if (m->n < 10 || n < 2 || n > HEADER_MAX || n > m->n - 8)
        return m->n < 10
                   ? err_set(e, ERR_DATA,
                             "%s: truncated: %zu bytes, a SafeTensors file has at least 10",
                             m->path, m->n)
                   : err_set(e, ERR_DATA, "%s: %s: header of %" PRIu64 " bytes in a file of %zu",
                             m->path, n <= HEADER_MAX ? "truncated" : "not a SafeTensors file", n,
                             m->n);
    struct scan s = {(const char *)m->p + 8, (const char *)m->p + 8 + n, (const char *)m->p + 8,
                     m->path, e};
    if (*s.p != '{')
        return bad(&s, "not a SafeTensors file: expected '{'");
    if (!utf8_valid(s.p, n))
        return bad(&s, "invalid UTF-8");
    s.p++;
    rc = peek(&s) == '}' ? (s.p++, 0) : 1;
    while (rc == 1) {
        char name[TENSOR_NAME + 1];
        if ((rc = string(&s, name, TENSOR_NAME)) < 0 || (rc = expect(&s, ':')) < 0)
            break;
        if (strcmp(name, "__metadata__") == 0) {
            if ((rc = metadata(&s, &meta)) == 0)
                rc = more(&s, '}');
            continue;
        }
        if (st->n_tensor == cap) {
            cap = cap ? 2 * cap : 64;
            struct tensor *grown = realloc(st->tensor, (size_t)cap * sizeof *grown);
            if (grown)
                st->tensor = grown;
            struct extent *wider = realloc(x, (size_t)cap * sizeof *x);
            if (wider)
                x = wider;
            if (!grown || !wider) {
                rc = err_set(e, ERR_NOMEM, "%s: out of memory", m->path);
                break;
            }
        }
        struct tensor *t = &st->tensor[st->n_tensor];
        struct extent *range = &x[st->n_tensor - first];
        memset(t, 0, sizeof *t);
        memcpy(t->name, name, sizeof name);
        if ((rc = entry(&s, t, &range->begin, &range->end)) < 0)
            break;
        t->data = m->p + 8 + n + (range->begin < m->n ? range->begin : 0);
        range->i = st->n_tensor++;
        rc = more(&s, '}');
    }
    if (rc == 0 && peek(&s) != -1)
        rc = bad(&s, "text after the object");
    if (rc == 0)
        rc = check_cover(&s, x, st->tensor, st->n_tensor - first, m->n - 8 - n);
    if (!st->metadata && rc == 0)
        st->metadata = meta;
    else
        cJSON_Delete(meta);
    free(x);
    return rc;
}

/* ---- files, folders, shards ---- */

static int add_file(struct safetensors *s, const char *path, struct err *e)
{
    struct mapfile *maps = realloc(s->map, ((size_t)s->n_map + 1) * sizeof *maps), *m;
    int rc;
    if (!maps)
        return err_set(e, ERR_NOMEM, "%s: out of memory", path);
    s->map = maps;
    m = &maps[s->n_map];
    if ((rc = mapfile_open(m, path, e)) < 0)
        return rc;
    s->n_map++;
    rc = read_header(s, m, e);
    m->path = ""; /* `path` is the caller's */
    return rc;
}

static int sort_tensors(struct safetensors *s, const char *path, struct err *e)
{
    if (s->n_tensor)
        qsort(s->tensor, (size_t)s->n_tensor, sizeof *s->tensor, tensor_by_name);
    for (int i = 1; i < s->n_tensor; i++)
        if (strcmp(s->tensor[i].name, s->tensor[i - 1].name) == 0)
            return err_set(e, ERR_DATA, "%s: tensor %s is there twice", path, s->tensor[i].name);
    return 0;
}

static int same_file(const cJSON *a, const cJSON *b)
{
    return strcmp(a->valuestring, b->valuestring) == 0;
}

static int by_file_and_name(const void *a, const void *b)
{
    const cJSON *x = *(const cJSON *const *)a, *y = *(const cJSON *const *)b;
    int c = strcmp(x->valuestring, y->valuestring);
    return c ? c : strcmp(x->string, y->string);
}

/* A shard is a file of the folder, or a link into the blobs of the hub's cache that the folder is in: another link
 * would read what the folder does not hold. */
static int check_link(const char *path, const char *index, struct err *e)
{
    static const char blobs[] = "../../blobs/";
    char to[PATH_MAX];
    ssize_t n = readlink(path, to, sizeof to - 1);
    struct stat st;
    if (n < 0 && lstat(path, &st) == 0)
        return 0;
    if (n < 0)
        return err_errno(e, ERR_NOINPUT, "%s: names a shard that cannot be opened: %s", index,
                         path);
    to[n] = 0;
    const char *hex = to + sizeof blobs - 1;
    size_t k = strncmp(to, blobs, sizeof blobs - 1) ? 0 : strspn(hex, "0123456789abcdef");
    return (k == 40 || k == 64) && !hex[k]
               ? 0
               : err_set(e, ERR_DATA, "%s: a symbolic link to %.150s: refused", path, to);
}

/* Every name of the index is in the file that the index says: n names, grouped by file in the order of the maps. */
static int check_places(const struct safetensors *s, const cJSON *const *name, size_t n,
                        const char *index, struct err *e)
{
    int file = 0;
    for (size_t i = 0; i < n; i++) {
        const struct tensor *t = safetensors_get(s, name[i]->string);
        file += i && !same_file(name[i], name[i - 1]);
        const struct mapfile *m = &s->map[file];
        const uint8_t *p = t ? t->data : NULL;
        if (!t)
            return err_set(e, ERR_DATA, "%s: tensor %.200s: not in %s", index, name[i]->string,
                           name[i]->valuestring);
        if (p < m->p || p > m->p + m->n)
            return err_set(e, ERR_DATA, "%s: tensor %.200s: in another shard than %s", index,
                           name[i]->string, name[i]->valuestring);
    }
    return 0;
}

static int open_shards(struct safetensors *s, const char *index, const char *dir, struct err *e)
{
    cJSON *v = json_load(index, e);
    const cJSON *map = v ? cJSON_GetObjectItemCaseSensitive(v, "weight_map") : NULL;
    const cJSON **list = NULL;
    size_t n = 0, k;
    char path[PATH_MAX];
    int rc = 0;
    if (!v)
        return e->code;
    if (!cJSON_IsObject(map)) {
        rc = err_set(e, ERR_DATA, "%s: expected an object \"weight_map\"", index);
        goto done;
    }
    for (const cJSON *w = map->child; w; w = w->next) {
        const char *f = w->valuestring;
        if (!cJSON_IsString(w) || !*f || strchr(f, '/') || strcmp(f, ".") == 0 ||
            strcmp(f, "..") == 0) {
            rc = err_set(e, ERR_DATA,
                         "%s: weight_map: %.100s: expected a plain file name, found %.100s", index,
                         w->string, cJSON_IsString(w) ? f : "no string");
            goto done;
        }
        n++;
    }
    if (!(list = malloc((n + 1) * sizeof *list))) {
        rc = err_set(e, ERR_NOMEM, "%s: out of memory", index);
        goto done;
    }
    k = 0;
    for (const cJSON *w = map->child; w; w = w->next)
        list[k++] = w;
    qsort(list, n, sizeof *list, by_file_and_name);
    for (size_t i = 0; i < n; i++) { /* all of them are there, before one is read */
        if (i && same_file(list[i], list[i - 1]))
            continue;
        if (snprintf(path, sizeof path, "%s%s", dir, list[i]->valuestring) >= (int)sizeof path) {
            rc = err_set(e, ERR_DATA, "%s: file name too long", index);
            goto done;
        }
        if ((rc = check_link(path, index, e)) < 0)
            goto done;
    }
    for (size_t i = 0; i < n; i = k) {
        for (k = i; k < n && same_file(list[i], list[k]); k++)
            ;
        int before = s->n_tensor;
        snprintf(path, sizeof path, "%s%s", dir, list[i]->valuestring);
        if ((rc = add_file(s, path, e)) < 0)
            goto done;
        if ((size_t)(s->n_tensor - before) != k - i) {
            rc = err_set(e, ERR_DATA, "%s: %d tensors, the index names %zu", path,
                         s->n_tensor - before, k - i);
            goto done;
        }
    }
    if ((rc = sort_tensors(s, index, e)) == 0)
        rc = check_places(s, list, n, index, e);
done:
    free(list);
    cJSON_Delete(v);
    return rc;
}

static int ends_in(const char *s, const char *tail)
{
    size_t n = strlen(s), k = strlen(tail);
    return n >= k && strcmp(s + n - k, tail) == 0;
}

int safetensors_open(struct safetensors *s, const char *path, struct err *e)
{
    char file[PATH_MAX], dir[PATH_MAX];
    struct stat st;
    struct err own = {0};
    int rc;
    if (!e)
        e = &own;
    memset(s, 0, sizeof *s);
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        const char *sep = ends_in(path, "/") ? "" : "/";
        if (snprintf(dir, sizeof dir, "%s%s", path, sep) >= (int)sizeof dir - 40)
            return err_set(e, ERR_NOINPUT, "%s: path too long", path);
        snprintf(file, sizeof file, "%s%smodel.safetensors", path, sep);
        if (stat(file, &st) == 0) {
            if ((rc = add_file(s, file, e)) == 0)
                rc = sort_tensors(s, file, e);
        } else {
            snprintf(file, sizeof file, "%s%smodel.safetensors.index.json", path, sep);
            rc = stat(file, &st) == 0
                     ? open_shards(s, file, dir, e)
                     : err_set(
                           e, ERR_NOINPUT,
                           "%s: holds neither model.safetensors nor model.safetensors.index.json",
                           path);
        }
    } else if (ends_in(path, ".index.json")) {
        const char *slash = strrchr(path, '/');
        snprintf(dir, sizeof dir, "%.*s", slash ? (int)(slash - path) + 1 : 0, path);
        rc = open_shards(s, path, dir, e);
    } else if ((rc = add_file(s, path, e)) == 0) {
        rc = sort_tensors(s, path, e);
    }
    if (rc < 0)
        safetensors_close(s);
    return rc;
}

void safetensors_close(struct safetensors *s)
{
    for (int i = 0; i < s->n_map; i++)
        mapfile_close(&s->map[i]);
    free(s->map);
    free(s->tensor);
    cJSON_Delete(s->metadata);
    memset(s, 0, sizeof *s);
}

const struct tensor *safetensors_get(const struct safetensors *s, const char *name)
{
    struct tensor key;
    if (strlen(name) > TENSOR_NAME || !s->n_tensor)
        return NULL;
    memcpy(key.name, name, strlen(name) + 1);
    return bsearch(&key, s->tensor, (size_t)s->n_tensor, sizeof key, tensor_by_name);
}

/* ---- writing ---- */

static int by_dtype_then_name(const void *a, const void *b)
{
    const struct tensor *x = *(const struct tensor *const *)a,
                        *y = *(const struct tensor *const *)b;
    int d = dtype_rank(y->type) - dtype_rank(x->type);
    return d ? d : strcmp(x->name, y->name);
}

static char *header_text(const struct tensor *const *v, int n, const cJSON *meta, size_t *len)
{
    struct json_out j = {0};
    uint64_t at = 0;
    json_begin(&j, '{');
    if (meta) {
        json_key(&j, "__metadata__");
        json_tree(&j, meta);
    }
    for (int i = 0; i < n; i++) {
        json_key(&j, v[i]->name);
        json_begin(&j, '{');
        json_kv_str(&j, "dtype", tensor_type_name(v[i]->type));
        json_key(&j, "shape");
        json_begin(&j, '[');
        for (int d = 0; d < v[i]->ndim; d++)
            json_int(&j, (long long)v[i]->dim[d]);
        json_end(&j, ']');
        json_key(&j, "data_offsets");
        json_begin(&j, '[');
        json_int(&j, (long long)at);
        json_int(&j, (long long)(at += v[i]->bytes));
        json_end(&j, ']');
        json_end(&j, '}');
    }
    json_end(&j, '}');
    return json_take(&j, len);
}

static int check_out(const char *path, const struct tensor *t, int streamed, struct err *e)
{
    size_t need;
    if (dtype_rank(t->type) < 0)
        return err_set(e, ERR_DATA, "%s: tensor %s: SafeTensors has no type %s", path, t->name,
                       tensor_type_name(t->type));
    if (!tensor_size(t->type, t->ndim, t->dim, &need) || need != t->bytes ||
        (need && !t->data && !streamed))
        return err_set(e, ERR_SOFTWARE, "%s: tensor %s: %zu bytes do not fit its shape", path,
                       t->name, t->bytes);
    return 0;
}

int safetensors_write(const char *path, const struct tensor *t, int n, const cJSON *meta,
                      char *sha256, struct err *e)
{
    return safetensors_stream(path, t, n, NULL, NULL, meta, sha256, e);
}

int safetensors_stream(const char *path, const struct tensor *t, int n,
                       int (*fill)(void *arg, int i, void *buf, struct err *e), void *arg,
                       const cJSON *meta, char *sha256, struct err *e)
{
    const struct tensor **v = malloc(((size_t)n + 1) * sizeof *v);
    struct outfile o;
    char *text = NULL;
    void *buf = NULL;
    size_t len, largest = 0;
    int rc = 0;
    if (!v)
        return err_set(e, ERR_NOMEM, "%s: out of memory", path);
    for (int i = 0; i < n && rc == 0; i++) {
        v[i] = &t[i];
        rc = check_out(path, &t[i], fill != NULL, e);
        if (!t[i].data && t[i].bytes > largest)
            largest = t[i].bytes;
    }
    if (rc < 0)
        goto done;
    qsort(v, (size_t)n, sizeof *v, by_dtype_then_name);
    if (!(text = header_text(v, n, meta, &len)) || (largest && !(buf = malloc(largest)))) {
        rc = err_set(e, ERR_NOMEM, "%s: out of memory", path);
        goto done;
    }
    uint64_t padded = (len + 7) / 8 * 8;
    if (padded > HEADER_MAX) {
        rc = err_set(e, ERR_DATA, "%s: header of %" PRIu64 " bytes, at most %d", path, padded,
                     HEADER_MAX);
        goto done;
    }
    if ((rc = outfile_open(&o, path, e)) < 0)
        goto done;
    if ((rc = outfile_write(&o, &padded, 8, e)) == 0 && (rc = outfile_write(&o, text, len, e)) == 0)
        rc = outfile_write(&o, "        ", padded - len, e);
    for (int i = 0; i < n && rc == 0; i++)
        if (v[i]->data || !v[i]->bytes || (rc = fill(arg, (int)(v[i] - t), buf, e)) == 0)
            rc = outfile_write(&o, v[i]->data ? v[i]->data : buf, v[i]->bytes, e);
    if (rc < 0)
        outfile_abort(&o);
    else if ((rc = outfile_commit(&o, e)) == 0 && sha256)
        memcpy(sha256, o.hex, 65);
done:
    free(text);
    free(buf);
    free(v);
    return rc;
}
