/* test_gguf_write - what the GGUF writer writes is what lib/gguf.c reads */
#include "blocks.h"
#include "gguf_write.h"
#include "hash.h"
#include "tap.h"
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/test_gguf_write.XXXXXX";
static char path[64];

/* Write w with the tensors, read it back. */
static int turn(struct gguf *g, const struct gguf_out *w, const struct tensor *t, int n)
{
    struct err e = {0};
    int rc = gguf_write(path, w, t, n, NULL, NULL, NULL, &e);
    if (rc == 0)
        rc = gguf_open(g, path, &e);
    if (rc < 0)
        printf("# %s\n", e.msg);
    return rc;
}

static void every_type(void)
{
    static const struct {
        const char *key;
        enum gguf_vtype type;
        union {
            uint64_t bits;
            double f64;
            float f32;
        } v;
        double want;
    } k[] = {
        {"u8", GGUF_U8, {.bits = 0xFF}, 255},
        {"i8", GGUF_I8, {.bits = 0xFE}, -2},
        {"u16", GGUF_U16, {.bits = 0xFFFF}, 65535},
        {"i16", GGUF_I16, {.bits = 0x8000}, -32768},
        {"u32", GGUF_U32, {.bits = 0xFFFFFFFF}, 4294967295.0},
        {"i32", GGUF_I32, {.bits = 0x80000000}, -2147483648.0},
        {"f32", GGUF_F32, {.f32 = -0.5f}, -0.5},
        {"bool", GGUF_BOOL, {.bits = 1}, 1},
        {"u64", GGUF_U64, {.bits = 1ull << 40}, 1099511627776.0},
        {"i64", GGUF_I64, {.bits = ~0ull}, -1},
        {"f64", GGUF_F64, {.f64 = 1e-300}, 1e-300},
    };
    enum { N = sizeof k / sizeof *k };
    struct gguf_out w = {0};
    struct gguf g;
    struct err e = {0};
    char list[20];
    uint64_t two[2];
    int good = 1, lists = 1;
    for (int i = 0; i < N; i++)
        gguf_out_num(&w, k[i].key, k[i].type, &k[i].v);
    for (int i = 0; i < N; i++) { /* a list of each: the value twice, one after the other */
        static const uint8_t width[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
        memcpy(two, &k[i].v, width[k[i].type]);
        memcpy((char *)two + width[k[i].type], &k[i].v, width[k[i].type]);
        snprintf(list, sizeof list, "list.%s", k[i].key);
        gguf_out_nums(&w, list, k[i].type, two, 2);
    }
    gguf_out_u32(&w, "short.u32", 7);
    gguf_out_f32(&w, "short.f32", 0.25f);
    gguf_out_bool(&w, "short.bool", 5);
    ok(turn(&g, &w, NULL, 0) == 0, "keys alone, no tensor");
    ok(g.n_kv == 2 * N + 3 && g.n_tensor == 0, "all keys");
    for (int i = 0; i < N; i++) {
        const struct gguf_kv *kv;
        good &= gguf_num(&g, k[i].key, 99, &e) == k[i].want &&
                gguf_find(&g, k[i].key)->type == k[i].type;
        snprintf(list, sizeof list, "list.%s", k[i].key);
        kv = gguf_find(&g, list);
        lists &= kv && kv->type == GGUF_ARRAY && kv->elem == k[i].type && kv->n == 2 &&
                 gguf_elem(kv, 0) == k[i].want && gguf_elem(kv, 1) == k[i].want;
    }
    ok(good && !e.code, "numbers of every type");
    ok(lists, "lists of every type");
    ok(gguf_num(&g, "short.u32", 0, &e) == 7 && gguf_num(&g, "short.f32", 0, &e) == 0.25 &&
           gguf_num(&g, "short.bool", 0, &e) == 1,
       "the short ways");
    gguf_close(&g);
    gguf_out_free(&w);
}

static void strings(void)
{
    struct gguf_out w = {0};
    struct gguf g;
    static char big[100000];
    memset(big, 'x', sizeof big - 1);
    gguf_out_str(&w, "s", "h\xc3\xa9");
    gguf_out_str(&w, "empty", "");
    gguf_out_strs(&w, "none");
    gguf_out_nums(&w, "nothing", GGUF_I32, NULL, 0);
    gguf_out_strs(&w, "some");
    gguf_out_item(&w, "a\0b", 3);
    gguf_out_item(&w, "", 0);
    gguf_out_item(&w, big, sizeof big - 1);
    gguf_out_bool(&w, "after", 0);
    ok(turn(&g, &w, NULL, 0) == 0, "strings");
    const struct gguf_str *s = gguf_string(&g, "s"), *empty = gguf_string(&g, "empty");
    ok(s && s->n == 3 && memcmp(s->p, "h\xc3\xa9", 3) == 0 && empty && empty->n == 0, "one");
    const struct gguf_kv *none = gguf_find(&g, "none"), *nothing = gguf_find(&g, "nothing"),
                         *some = gguf_find(&g, "some");
    ok(none && none->n == 0 && none->elem == GGUF_STRING && nothing && nothing->n == 0 &&
           nothing->elem == GGUF_I32,
       "empty lists keep their types");
    ok(some && some->n == 3 && some->strs[0].n == 3 && memcmp(some->strs[0].p, "a\0b", 3) == 0 &&
           some->strs[1].n == 0 && some->strs[2].n == sizeof big - 1,
       "a list");
    ok(gguf_find(&g, "after")->type == GGUF_BOOL, "the key after a list");
    gguf_close(&g);
    gguf_out_free(&w);
}

static struct tensor tensor(const char *name, int type, uint64_t rows, uint64_t cols)
{
    struct tensor t = {.type = type, .ndim = 2, .dim = {rows, cols}};
    snprintf(t.name, sizeof t.name, "%s", name);
    t.bytes = tensor_bytes(type, 2, t.dim);
    return t;
}

static int filled; /* calls of fill */
static int fill(void *arg, int i, void *buf, struct err *e)
{
    const struct tensor *t = arg;
    if (t[i].type == KN_F16)
        return err_set(e, ERR_DATA, "no such thing");
    memset(buf, 'a' + i, t[i].bytes);
    filled++;
    return 0;
}

static void tensors(void)
{
    static float three[3] = {1, 2, 3};
    struct gguf_out w = {0};
    struct gguf g;
    struct err e = {0};
    struct stat st;
    struct tensor t[3] = {tensor("z", KN_F32, 1, 3), tensor("a", KN_Q8_0, 3, 32),
                          tensor("m", KN_BF16, 5, 1)};
    char hex[65], found[65];
    t[0].data = three;
    gguf_out_str(&w, "general.architecture", "odd");
    ok(gguf_write(path, &w, t, 3, fill, t, hex, &e) == 0 && filled == 2, "streamed: %s", e.msg);
    ok(gguf_open(&g, path, &e) == 0, "opens: %s", e.msg);
    hash_sha256_mem(g.map[0].p, g.map[0].n, found);
    ok(strcmp(hex, found) == 0, "sha256");
    const struct tensor *z = gguf_tensor(&g, "z"), *a = gguf_tensor(&g, "a"),
                        *m = gguf_tensor(&g, "m");
    ok(z && a && m && a->ndim == 2 && a->dim[0] == 3 && a->dim[1] == 32 && a->type == KN_Q8_0 &&
           m->type == KN_BF16 && m->dim[0] == 5,
       "types and shapes");
    ok(memcmp(z->data, three, sizeof three) == 0 && ((const char *)a->data)[a->bytes - 1] == 'b' &&
           ((const char *)m->data)[0] == 'c',
       "data");
    size_t zo = (size_t)((const uint8_t *)z->data - g.map[0].p),
           ao = (size_t)((const uint8_t *)a->data - g.map[0].p),
           mo = (size_t)((const uint8_t *)m->data - g.map[0].p);
    ok(zo % 32 == 0 && ao == zo + 32 && mo == ao + 128, "each on 32 bytes, in the order given");
    ok(stat(path, &st) == 0 && (size_t)st.st_size == mo + 32, "the last one is padded too");
    gguf_close(&g);
    unlink(path);
    t[1] = tensor("a", KN_F16, 3, 32);
    ok(gguf_write(path, &w, t, 3, fill, t, NULL, &e) == ERR_DATA &&
           strcmp(e.msg, "no such thing") == 0 && stat(path, &st) != 0,
       "an error of fill leaves nothing");
    gguf_out_free(&w);
}

static int refused(struct tensor *t, int n, int code, const char *word)
{
    static char data[4096];
    struct gguf_out w = {0};
    struct err e = {0};
    struct stat st;
    for (int i = 0; i < n; i++)
        t[i].data = data;
    int rc = gguf_write(path, &w, t, n, NULL, NULL, NULL, &e);
    gguf_out_free(&w);
    if (rc != code || !strstr(e.msg, word))
        printf("# rc %d: %s\n", rc, e.msg);
    return rc == code && strstr(e.msg, word) && stat(path, &st) != 0;
}

static void refusals(void)
{
    struct tensor t[2] = {tensor("q4", TENSOR_APR_Q4, 1, 32)};
    struct gguf_out w = {0};
    struct err e = {0};
    ok(refused(t, 1, ERR_DATA, "tensor q4: GGUF has no type APR_Q4"), "a type of aprender's own");
    t[0] = tensor("u8", TENSOR_U8, 1, 32);
    ok(refused(t, 1, ERR_DATA, "no type U8"), "a type of SafeTensors'");
    t[0] = tensor("five", KN_F32, 1, 1);
    t[0].ndim = 5;
    ok(refused(t, 1, ERR_DATA, "5 dims"), "five dims");
    t[0] = tensor("0123456789012345678901234567890123456789012345678901234567890123", KN_F32, 1, 1);
    t[0].ndim = 0;
    ok(refused(t, 1, ERR_DATA, "0 dims"), "64 bytes of name will do, no dims will not");
    t[0] =
        tensor("01234567890123456789012345678901234567890123456789012345678901234", KN_F32, 1, 1);
    ok(refused(t, 1, ERR_DATA, "name"), "65 bytes of name");
    t[0] = tensor("\xff", KN_F32, 1, 1);
    ok(refused(t, 1, ERR_DATA, "name"), "a name that is no text");
    t[0] = tensor("size", KN_F32, 2, 2);
    t[0].bytes--;
    ok(refused(t, 1, ERR_DATA, "does not take 15 bytes"), "a wrong size");
    t[0] = t[1] = tensor("x", KN_F32, 1, 1);
    ok(refused(t, 2, ERR_SOFTWARE, "given twice"), "a tensor twice");
    snprintf(path, sizeof path, "%s/no/x.gguf", dir);
    ok(gguf_write(path, &w, NULL, 0, NULL, NULL, NULL, &e) == ERR_CANTCREAT, "no such folder");
    e = (struct err){0};
    ok(gguf_write("/dev/full", &w, NULL, 0, NULL, NULL, NULL, &e) == ERR_IO, "a full disk");
}

int main(void)
{
    if (!mkdtemp(dir))
        return 1;
    snprintf(path, sizeof path, "%s/x.gguf", dir);
    every_type();
    strings();
    tensors();
    refusals();
    snprintf(path, sizeof path, "%s/x.gguf", dir);
    unlink(path);
    rmdir(dir);
    return done_testing();
}
