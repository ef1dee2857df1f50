/* bench_io - LiveCodeBench's tests: a JSON text, or base64 of zlib of a Python pickle of one
 *
 * The pickle is read by a reader that knows one text and nothing else (bench(5)): a data file runs no code. */
#include "bench_private.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { MAX_TESTS = 4096, MAX_BYTES = 512 << 20 };

static int bad(const struct jsonl *r, const char *what, struct err *e)
{
    return err_set(e, ERR_DATA, "%s:%ld: private_test_cases: %s", r->path, r->lineno, what);
}

/* Base64 in place; the number of bytes, or -1. */
static long base64(char *s)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = 0;
    int n_bits = 0;
    char *out = s;
    for (const char *p = s; *p && *p != '='; p++) {
        const char *d = *p == '\n' || *p == '\r' ? NULL : strchr(digits, *p);
        if (!d && *p != '\n' && *p != '\r')
            return -1;
        if (!d)
            continue;
        bits = bits << 6 | (uint32_t)(d - digits);
        if ((n_bits += 6) >= 8) {
            n_bits -= 8;
            *out++ = (char)(bits >> n_bits);
        }
    }
    return out - s;
}

/* A zlib stream (malloc); NULL if it is none, is cut off or beyond MAX_BYTES. */
static unsigned char *inflate_all(const char *in, size_t n_in, size_t *n)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)in, .avail_in = (uInt)n_in};
    size_t cap = 1 << 16;
    unsigned char *out = malloc(cap);
    int rc = out && inflateInit(&z) == Z_OK ? Z_OK : Z_MEM_ERROR;
    *n = 0;
    while (rc == Z_OK) {
        if (*n == cap) {
            unsigned char *p = cap >= MAX_BYTES ? NULL : realloc(out, 2 * cap);
            if (!p)
                break;
            out = p;
            cap *= 2;
        }
        z.next_out = out + *n;
        z.avail_out = (uInt)(cap - *n);
        rc = inflate(&z, Z_NO_FLUSH);
        *n = cap - z.avail_out;
    }
    if (out)
        inflateEnd(&z);
    if (rc == Z_STREAM_END)
        return out;
    free(out);
    return NULL;
}

/* The one text in a pickle: its bytes, or NULL. */
static const unsigned char *unpickle(const unsigned char *p, size_t n, size_t *n_text)
{
    const unsigned char *end = p + n, *text = NULL;
    while (p < end) {
        size_t left = (size_t)(end - p), width;
        switch (*p) {
        case 0x80: /* protocol */
            p += left < 2 ? left : 2;
            break;
        case 0x95: /* frame: 8 bytes of length */
            if (left < 9)
                return NULL;
            p += 9;
            break;
        case 0x94: /* memoize */
            p++;
            break;
        case 0x71: /* binput */
            if (left < 2)
                return NULL;
            p += 2;
            break;
        case 0x72: /* long binput */
            if (left < 5)
                return NULL;
            p += 5;
            break;
        case 0x8c: /* short, usual and long binunicode */
        case 0x58:
        case 0x8d:
            width = *p == 0x8c ? 1 : *p == 0x58 ? 4 : 8;
            if (text || left < 1 + width)
                return NULL;
            *n_text = 0;
            for (size_t i = width; i-- > 0;)
                *n_text = *n_text << 8 | p[1 + i];
            if (*n_text > left - 1 - width)
                return NULL;
            text = p + 1 + width;
            p = text + *n_text;
            break;
        case 0x2e: /* stop */
            return p + 1 == end ? text : NULL;
        default:
            return NULL;
        }
    }
    return NULL;
}

/* The list of tests in a text, however it is packed; the caller's to delete. */
static cJSON *unpack(const char *packed, const struct jsonl *r, struct err *e)
{
    const char *p = packed + strspn(packed, " \n\t\r");
    size_t n = 0, n_text = 0;
    unsigned char *plain;
    const unsigned char *text;
    cJSON *list = NULL;
    char *copy;
    long n_copy;
    if (*p == '[')
        return json_parse(p, strlen(p), "private_test_cases", e);
    if (!(copy = strdup(p))) {
        err_set(e, ERR_NOMEM, "%s:%ld: out of memory", r->path, r->lineno);
        return NULL;
    }
    if ((n_copy = base64(copy)) < 0)
        bad(r, "neither a JSON list nor base64", e);
    else if (!(plain = inflate_all(copy, (size_t)n_copy, &n)))
        bad(r, "no zlib stream", e);
    else {
        if (!(text = unpickle(plain, n, &n_text)))
            bad(r, "a pickle of something else than one text", e);
        else
            list = json_parse((const char *)text, n_text, "private_test_cases", e);
        free(plain);
    }
    free(copy);
    return list;
}

static int add_tests(struct bench_task *t, const cJSON *list, int *functional,
                     const struct jsonl *r, struct err *e)
{
    const cJSON *v;
    int n = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : -1;
    struct bench_io *io;
    if (n < 0 || n + t->n_io > MAX_TESTS)
        return err_set(e, ERR_DATA, "%s:%ld: tests: expected a list of at most %d", r->path,
                       r->lineno, MAX_TESTS);
    if (!(io = realloc(t->io, (size_t)(t->n_io + n + 1) * sizeof *io)))
        return err_set(e, ERR_NOMEM, "%s:%ld: out of memory", r->path, r->lineno);
    t->io = io;
    cJSON_ArrayForEach(v, list)
    {
        const char *in = json_get_str(v, "input", NULL, e),
                   *out = json_get_str(v, "output", NULL, e),
                   *type = json_get_str(v, "testtype", "stdin", e);
        int f = !strcmp(type, "functional");
        if (e->code)
            return err_prefix(e, "%s:%ld", r->path, r->lineno);
        if (!in || !out || (!f && strcmp(type, "stdin")) || (*functional >= 0 && *functional != f))
            return err_set(e, ERR_DATA,
                           "%s:%ld: a test needs input, output and one testtype for all", r->path,
                           r->lineno);
        *functional = f;
        io = &t->io[t->n_io++];
        io->in = strdup(in);
        io->out = strdup(out);
        if (!io->in || !io->out)
            return err_set(e, ERR_NOMEM, "%s:%ld: out of memory", r->path, r->lineno);
    }
    return 0;
}

/* metadata: a JSON text with func_name if the tests are calls */
static int read_name(struct bench_task *t, const cJSON *v, const struct jsonl *r, struct err *e)
{
    const char *text = json_get_str(v, "metadata", "{}", e), *name;
    cJSON *m = e->code ? NULL : json_parse(text, strlen(text), "metadata", e);
    name = m ? json_get_str(m, "func_name", NULL, e) : NULL;
    t->called = name && !e->code ? strdup(name) : NULL;
    if (!e->code && !t->called)
        err_set(e, ERR_DATA, "metadata: func_name is missing");
    cJSON_Delete(m);
    return e->code ? err_prefix(e, "%s:%ld", r->path, r->lineno) : 0;
}

int bench_read_io(struct bench_task *t, const cJSON *v, const struct jsonl *r, struct err *e)
{
    static const char *const fields[] = {"public_test_cases", "private_test_cases"};
    int functional = -1;
    for (int i = 0; i < 2; i++) {
        const char *text = json_get_str(v, fields[i], NULL, e);
        cJSON *list;
        if (e->code)
            return err_prefix(e, "%s:%ld", r->path, r->lineno);
        if (!text)
            return err_set(e, ERR_DATA, "%s:%ld: %s is missing", r->path, r->lineno, fields[i]);
        if (!(list = unpack(text, r, e)))
            return e->code == ERR_DATA && !strstr(e->msg, r->path)
                       ? err_prefix(e, "%s:%ld", r->path, r->lineno)
                       : e->code;
        add_tests(t, list, &functional, r, e);
        cJSON_Delete(list);
        if (e->code)
            return e->code;
    }
    if (t->n_io == 0)
        return err_set(e, ERR_DATA, "%s:%ld: no tests", r->path, r->lineno);
    return functional ? read_name(t, v, r, e) : 0;
}
