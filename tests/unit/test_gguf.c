/* test_gguf - reading GGUF: keys, tensors, split files, and what is refused */
#include "blocks.h"
#include "mkgguf.h"
#include "tap.h"
#include <math.h>
#include <unistd.h>

static char dir[] = "/tmp/test_gguf.XXXXXX";
static char path[64];
static struct mk m;

static void small(uint32_t version)
{
    static const char *const toks[] = {"a", "", "\xff"};
    static const int32_t types[] = {1, 3, -5};
    mk_begin(&m, version);
    mk_kv_str(&m, "general.architecture", "qwen2");
    mk_kv_u32(&m, "qwen2.block_count", 7);
    mk_kv_f32(&m, "eps", 0.5f);
    mk_key(&m, "flag", GGUF_BOOL);
    mk_put(&m, "\1", 1);
    mk_key(&m, "big", GGUF_U64);
    mk_u64(&m, 1ull << 40);
    mk_key(&m, "neg", GGUF_I16);
    mk_put(&m, "\xfe\xff", 2);
    mk_kv_strs(&m, "toks", toks, 3);
    mk_kv_i32s(&m, "types", types, 3);
    mk_tensor(&m, "z", KN_Q8_0, 2, 64);
    mk_tensor(&m, "a", KN_F32, 0, 3);
    mk_end(&m);
}

static int refused(const char *word)
{
    struct gguf g;
    struct err e = {0};
    mk_save(&m, path);
    int rc = gguf_open(&g, path, &e);
    if (rc == 0)
        gguf_close(&g);
    if (rc != ERR_DATA || !strstr(e.msg, word) || !strstr(e.msg, path))
        printf("# rc %d: %s\n", rc, e.msg);
    return rc == ERR_DATA && strstr(e.msg, word) && strstr(e.msg, path);
}

static void reading(uint32_t version)
{
    struct gguf g;
    struct err e = {0};
    small(version);
    mk_save(&m, path);
    ok(gguf_open(&g, path, &e) == 0, "v%u opens: %s", version, e.msg);
    ok(g.n_kv == 8 && g.n_tensor == 2, "counts");
    const struct gguf_str *s = gguf_string(&g, "general.architecture");
    ok(s && s->n == 5 && memcmp(s->p, "qwen2", 5) == 0 && !gguf_string(&g, "eps"), "strings");
    ok(gguf_num(&g, "qwen2.block_count", 0, &e) == 7 && gguf_num(&g, "eps", 0, &e) == 0.5 &&
           gguf_num(&g, "flag", 0, &e) == 1 && gguf_num(&g, "big", 0, &e) == (double)(1ull << 40) &&
           gguf_num(&g, "neg", 0, &e) == -2 && gguf_num(&g, "none", 3.5, &e) == 3.5 && !e.code,
       "numbers of every width");
    ok(gguf_num(&g, "toks", 9, &e) == 9 && e.code == ERR_DATA, "a list is no number: %s", e.msg);
    const struct gguf_kv *kv = gguf_find(&g, "toks");
    ok(kv && kv->n == 3 && kv->elem == GGUF_STRING && kv->strs[1].n == 0 && kv->strs[2].n == 1,
       "list of strings");
    kv = gguf_find(&g, "types");
    ok(kv && gguf_elem(kv, 2) == -5 && gguf_elem(kv, 3) == 0, "list of numbers");
    const struct tensor *t = gguf_tensor(&g, "z");
    ok(t && t->type == KN_Q8_0 && t->ndim == 2 && t->dim[0] == 2 && t->dim[1] == 64 &&
           t->bytes == 136,
       "dims are turned: outermost first");
    ok(t && (const uint8_t *)t->data == g.map[0].p + m.n - m.data_n, "data");
    ok(gguf_tensor(&g, "a")->bytes == 12 && !gguf_tensor(&g, "b"), "by name");
    gguf_close(&g);
}

static void refusals(void)
{
    small(3);
    m.b[0] = 'X';
    ok(refused("magic"), "magic");
    small(1);
    ok(refused("version"), "version 1");
    small(3);
    memcpy(m.b + 4, "\0\0\0\3", 4);
    ok(refused("big-endian"), "big-endian");
    small(3);
    memset(m.b + 8, 0xff, 8);
    ok(refused("do not fit"), "absurd tensor count");
    small(3);
    memset(m.b + 16, 0xff, 8);
    ok(refused("do not fit"), "absurd key count");
    small(3);
    memset(m.b + 24, 0x7f, 8);
    ok(refused("truncated"), "absurd key length");
    mk_begin(&m, 3);
    mk_kv_u32(&m, "k", 1);
    mk_kv_u32(&m, "k", 1);
    mk_end(&m);
    ok(refused("k is there twice"), "key twice");
    mk_begin(&m, 3);
    mk_tensor(&m, "t", KN_F32, 2, 4);
    mk_tensor(&m, "t", KN_F32, 2, 4);
    mk_end(&m);
    ok(refused("t is there twice"), "tensor twice");
    mk_begin(&m, 3);
    mk_tensor(&m, "t", KN_F32, 2, 4);
    mk_tensor(&m, "u", KN_F32, 2, 4);
    m.t[1].off = 0;
    mk_end(&m);
    ok(refused("overlaps"), "overlapping tensors");
    mk_begin(&m, 3);
    mk_tensor(&m, "t", KN_F32, 2, 4);
    m.t[0].off = 8;
    mk_end(&m);
    ok(refused("multiple of 32"), "offset off the alignment");
    mk_begin(&m, 3);
    mk_tensor(&m, "t", KN_F32, 2, 4);
    m.t[0].off = 1ull << 63;
    mk_end(&m);
    ok(refused("truncated"), "absurd offset");
    mk_begin(&m, 3);
    mk_tensor(&m, "t", KN_F32, 2, 4);
    m.t[0].ne[0] = m.t[0].ne[1] = 1ull << 33;
    mk_end(&m);
    ok(refused("impossible"), "dims whose product wraps");
    mk_begin(&m, 3);
    mk_tensor(&m, "t", KN_F32, 2, 4);
    m.t[0].type = KN_Q8_0;
    mk_end(&m);
    ok(refused("impossible"), "a row that is no multiple of the block");
    mk_begin(&m, 3);
    mk_tensor(&m, "t", KN_F32, 2, 4);
    m.t[0].type = 4;
    mk_end(&m);
    ok(refused("removed"), "a removed type");
    m.t[0].type = 99;
    mk_begin(&m, 3);
    mk_tensor(&m, "t", KN_F32, 2, 4);
    m.t[0].type = 99;
    mk_end(&m);
    ok(refused("unknown type"), "an unknown type");
    mk_begin(&m, 3);
    mk_kv_u32(&m, "general.alignment", 48);
    mk_end(&m);
    ok(refused("power of two"), "alignment 48");
    mk_begin(&m, 3);
    mk_kv_f32(&m, "general.alignment", NAN);
    mk_end(&m);
    ok(refused("power of two"), "an alignment that is no number");
    mk_begin(&m, 3);
    mk_kv_f32(&m, "split.count", NAN);
    mk_end(&m);
    ok(refused("split.count"), "a number of files that is none");
    mk_begin(&m, 3);
    mk_key(&m, "deep", GGUF_ARRAY);
    mk_u32(&m, GGUF_ARRAY);
    mk_u64(&m, 1);
    mk_end(&m);
    ok(refused("array of arrays"), "nested lists");
    mk_begin(&m, 3);
    mk_key(&m, "long", GGUF_ARRAY);
    mk_u32(&m, GGUF_U64);
    mk_u64(&m, 1ull << 61);
    mk_end(&m);
    ok(refused("elements"), "list whose bytes wrap");
    small(3);
    m.n -= 100;
    ok(refused("truncated"), "tensor data cut off");
}

static void shards(void)
{
    struct gguf g;
    struct err e = {0};
    char p[3][96];
    for (int i = 0; i < 3; i++) {
        char name[8] = {'t', (char)('0' + i), 0};
        snprintf(p[i], sizeof p[i], "%s/m-%05d-of-00003.gguf", dir, i + 1);
        mk_begin(&m, 3);
        mk_kv_u32(&m, "split.no", (uint32_t)i);
        mk_kv_u32(&m, "split.count", 3);
        mk_kv_u32(&m, "split.tensors.count", 3);
        mk_tensor(&m, name, KN_F32, 1, 4);
        mk_end(&m);
        mk_save(&m, p[i]);
    }
    ok(gguf_open(&g, p[0], &e) == 0 && g.n_map == 3 && g.n_tensor == 3 && gguf_tensor(&g, "t2"),
       "three files: %s", e.msg);
    gguf_close(&g);
    ok(gguf_open(&g, p[1], &e) == ERR_DATA && strstr(e.msg, "first file"), "the second alone: %s",
       e.msg);
    memset(&e, 0, sizeof e);
    mk_save(&m, p[1]);
    ok(gguf_open(&g, p[0], &e) == ERR_DATA && strstr(e.msg, "split.no"), "files mixed up: %s",
       e.msg);
    memset(&e, 0, sizeof e);
    unlink(p[1]);
    ok(gguf_open(&g, p[0], &e) == ERR_NOINPUT && strstr(e.msg, p[1]), "one missing: %s", e.msg);
    unlink(p[0]);
    unlink(p[2]);
}

int main(void)
{
    if (!mkdtemp(dir))
        return 1;
    snprintf(path, sizeof path, "%s/m.gguf", dir);
    reading(2);
    reading(3);
    refusals();
    shards();
    unlink(path);
    const char *shared = getenv("APR_SHARED") ? getenv("APR_SHARED") : TOP "/../shared";
    char real[300];
    struct gguf g;
    struct err e = {0};
    snprintf(real, sizeof real, "%s/models/tiny-coder-29m/tiny-coder-29m-Q4_K_M.gguf", shared);
    if (access(real, R_OK)) {
        skip("%s is not here", real);
    } else {
        ok(gguf_open(&g, real, &e) == 0 && gguf_num(&g, "qwen2.block_count", 0, &e) == 8,
           "a file made by llama.cpp opens: %s", e.msg);
        gguf_close(&g);
    }
    rmdir(dir);
    return done_testing();
}
