/* test_hostile - every header byte cut off and every header bit flipped: accepted or ERR_DATA,
 * never a crash
 *
 * Run under ASan this also proves that nothing is read outside the file.  An accepted file has its
 * tensors touched from end to end. */
#include "adapter.h"
#include "apr.h"
#include "blocks.h"
#include "gguf_write.h"
#include "hash.h"
#include "hparams.h"
#include "import.h"
#include "mkgguf.h"
#include "peft.h"
#include "safetensors.h"
#include "tap.h"
#include <sys/mman.h>
#include <unistd.h>

static int fd;
static char path[40]; /* of a memory file: no disk in these loops */
static volatile uint64_t sum;

static void set(const void *p, size_t n)
{
    if (ftruncate(fd, 0) || pwrite(fd, p, n, 0) != (ssize_t)n)
        perror("memfd");
}

static void touch(const struct tensor *t, int n)
{
    for (int i = 0; i < n; i++)
        for (size_t k = 0; k < t[i].bytes; k++)
            sum += ((const uint8_t *)t[i].data)[k];
}

/* 0 accepted, 1 refused properly, -1 anything else */
static int judge(int rc, const struct err *e, const char *what, size_t at)
{
    if (rc == 0)
        return 0;
    if (rc == ERR_DATA && e->code == ERR_DATA && strstr(e->msg, path))
        return 1;
    printf("# %s at %zu: rc %d, code %d: %s\n", what, at, rc, e->code, e->msg);
    return -1;
}

static int open_gguf(size_t at)
{
    struct gguf g;
    struct hparams h;
    struct err e = {0};
    int rc = gguf_open(&g, path, &e);
    if (rc == 0) {
        touch(g.tensor, g.n_tensor);
        for (size_t i = 0; i < g.n_kv; i++)
            sum += (uint64_t)(gguf_elem(&g.kv[i], g.kv[i].n - 1) != 0);
        rc = hparams_from_gguf(&h, &g, &e);
        gguf_close(&g);
    }
    return judge(rc, &e, "gguf", at);
}

static int open_st(size_t at)
{
    struct safetensors s;
    struct err e = {0};
    int rc = safetensors_open(&s, path, &e);
    if (rc == 0) {
        touch(s.tensor, s.n_tensor);
        safetensors_close(&s);
    }
    return judge(rc, &e, "safetensors", at);
}

static int open_apr(size_t at)
{
    struct apr a;
    struct err e = {0};
    int rc = apr_open(&a, path, &e);
    if (rc == 0) {
        touch(a.tensor, a.n_tensor);
        apr_verify(&a, &e); /* any answer, but an answer */
        apr_close(&a);
    }
    return judge(rc, &e, "apr", at);
}

static int verify_apr(size_t at)
{
    struct apr a;
    struct err e = {0};
    int rc = apr_open(&a, path, &e);
    if (rc == 0) {
        rc = apr_verify(&a, &e);
        apr_close(&a);
    }
    return judge(rc, &e, "apr", at);
}

/* Cut at every byte up to head, then flip every bit there; fix (may be NULL) repairs checksums. */
static void damage(const char *what, uint8_t *b, size_t n, size_t head, int (*look)(size_t at),
                   void (*fix)(uint8_t *b, size_t n))
{
    long bad = 0, refused = 0, taken = 0;
    set(b, n);
    for (size_t i = n; i-- > 0;) {
        if (i > head && i + 1 < n)
            i = head;
        if (ftruncate(fd, (off_t)i))
            perror("ftruncate");
        int j = look(i);
        bad += j < 0;
        taken += j == 0;
    }
    ok(bad == 0, "%s: cut at each of %zu bytes", what, head + 2);
    ok(taken == 0, "%s: no cut is accepted", what);
    uint8_t *c = malloc(n);
    for (size_t bit = 0; bit < 8 * head; bit++) {
        memcpy(c, b, n);
        c[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (fix)
            fix(c, n);
        set(c, n);
        int j = look(bit / 8);
        bad += j < 0;
        refused += j == 1;
    }
    free(c);
    ok(bad == 0, "%s: each of %zu bits flipped, %ld refused", what, 8 * head, refused);
}

static void fix_apr(uint8_t *b, size_t n)
{
    uint32_t crc = hash_crc32(hash_crc32(0, b, 40), b + 44, 20);
    memcpy(b + 40, &crc, 4);
    crc = hash_crc32(0, b, n - 4);
    memcpy(b + n - 4, &crc, 4);
}

static struct mk m;

static void gguf(void)
{
    static const char *const toks[] = {"a", "b", "ab"}, *const merges[] = {"a b"};
    static const int32_t kinds[] = {1, 1, 3};
    mk_begin(&m, 3);
    mk_kv_str(&m, "general.architecture", "llama");
    mk_kv_u32(&m, "llama.block_count", 1);
    mk_kv_u32(&m, "llama.embedding_length", 32);
    mk_kv_u32(&m, "llama.feed_forward_length", 32);
    mk_kv_u32(&m, "llama.attention.head_count", 2);
    mk_kv_u32(&m, "llama.context_length", 64);
    mk_kv_f32(&m, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    mk_key(&m, "flag", GGUF_BOOL);
    mk_put(&m, "\1", 1);
    mk_kv_strs(&m, "tokenizer.ggml.tokens", toks, 3);
    mk_kv_strs(&m, "tokenizer.ggml.merges", merges, 1);
    mk_kv_i32s(&m, "tokenizer.ggml.token_type", kinds, 3);
    mk_tensor(&m, "token_embd.weight", KN_Q8_0, 3, 32);
    mk_tensor(&m, "output_norm.weight", KN_F32, 0, 32);
    mk_tensor(&m, "blk.0.attn_norm.weight", KN_F32, 0, 32);
    mk_end(&m);
    damage("gguf", m.b, m.n, m.n - m.data_n, open_gguf, NULL);
}

static void safetensors(void)
{
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\"},\"a.\\u00e9\":{\"dtype\":\"F32\",\"shape\":[2,3],"
        "\"data_offsets\":[0,24]},"
        "\"b\":{\"dtype\":\"BF16\",\"shape\":[],\"data_offsets\":[24,26]},"
        "\"c\":{\"dtype\":\"U8\",\"shape\":[0,7],\"data_offsets\":[26,26]}}    ";
    uint8_t b[600];
    uint64_t n = sizeof header - 1;
    memcpy(b, &n, 8);
    memcpy(b + 8, header, n);
    memset(b + 8 + n, 5, 26);
    damage("safetensors", b, 8 + n + 26, 8 + n, open_st, NULL);
}

static void apr(void)
{
    static const float x[64] = {1, 2};
    const struct tensor t[] = {
        {.name = "a.weight", .type = KN_Q5_1, .ndim = 2, .dim = {2, 32}, .data = x, .bytes = 48},
        {.name = "b", .type = KN_F32, .ndim = 1, .dim = {64}, .data = x, .bytes = 256},
        {.name = APR_TOKENIZER, .type = TENSOR_U8, .ndim = 1, .dim = {7}, .data = x, .bytes = 7}};
    char file[] = "/tmp/test_hostile.XXXXXX";
    struct err e = {0};
    struct mapfile map;
    cJSON *meta = cJSON_Parse("{\"name\":\"\xc3\xa9\",\"n\":[1,-2.5e3,null,true]}");
    close(mkstemp(file));
    if (apr_write(file, meta, t, 3, NULL, NULL, NULL, &e) < 0 || mapfile_open(&map, file, &e) < 0)
        printf("# %s\n", e.msg);
    uint8_t *b = malloc(map.n);
    size_t n = map.n, data;
    memcpy(b, map.p, n);
    memcpy(&data, b + 32, 8);
    mapfile_close(&map);
    damage("apr", b, n, data, open_apr, NULL);
    damage("apr, checksums repaired", b, n, data, open_apr, fix_apr);
    /* no flipped bit of a whole file gets past apr_verify */
    long missed = 0;
    for (size_t bit = 0; bit < 8 * n; bit++) {
        b[bit / 8] ^= (uint8_t)(1u << bit % 8);
        set(b, n);
        missed += verify_apr(bit / 8) != 1;
        b[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    ok(missed == 0, "apr_verify finds each of %zu flipped bits", 8 * n);
    free(b);
    cJSON_Delete(meta);
    unlink(file);
}

/* The importer as a whole over a real file: one flipped bit in every 13th byte before the data. */
static void importer(void)
{
    struct mapfile map;
    struct err e = {0};
    long bad = 0, refused = 0, n = 0;
    if (mapfile_open(&map, TOP "/tests/vectors/tiny.gguf", &e) < 0) {
        ok(0, "%s", e.msg);
        return;
    }
    uint8_t *b = malloc(map.n);
    for (size_t i = 0; i < 11000 && i < map.n; i += 13, n++) {
        struct import_done done;
        memcpy(b, map.p, map.n);
        b[i] ^= (uint8_t)(1u << i % 8);
        set(b, map.n);
        memset(&e, 0, sizeof e);
        int j = judge(import_gguf(path, "/dev/null", NULL, &done, &e), &e, "import", i);
        bad += j < 0;
        refused += j == 1;
    }
    ok(bad == 0, "import: %ld flipped bits, %ld refused", n, refused);
    free(b);
    mapfile_close(&map);
}

/* An adapter over the same model: one flipped bit in every byte before the data; what is accepted is a folder that
 * peft_open reads. */
static void adapter(void)
{
    static const float x[32] = {1, 2};
    const struct tensor t[] = {{.name = "blk.0.attn_output.weight.lora_a",
                                .type = KN_F32,
                                .ndim = 2,
                                .dim = {1, 32},
                                .data = x,
                                .bytes = sizeof x},
                               {.name = "blk.0.attn_output.weight.lora_b",
                                .type = KN_F32,
                                .ndim = 2,
                                .dim = {32, 1},
                                .data = x,
                                .bytes = sizeof x}};
    char dir[] = "/tmp/test_hostile.XXXXXX", base[60], file[60], out[60], name[100];
    struct gguf_out w = {.n = 0};
    struct import_done imported;
    struct adapter_done done;
    struct mapfile map = {.n = 0};
    struct err e = {0};
    long bad = 0, refused = 0;
    ok(mkdtemp(dir) != NULL, "a folder");
    snprintf(base, sizeof base, "%s/m.apr", dir);
    snprintf(file, sizeof file, "%s/a.gguf", dir);
    snprintf(out, sizeof out, "%s/a", dir);
    gguf_out_str(&w, "general.architecture", "qwen2");
    gguf_out_str(&w, "general.type", "adapter");
    gguf_out_str(&w, "adapter.type", "lora");
    gguf_out_f32(&w, "adapter.lora.alpha", 3);
    gguf_out_str(&w, "adapter.peft_config", "{\"r\":1,\"lora_alpha\":3}");
    ok(import_gguf(TOP "/tests/vectors/tiny.gguf", base, NULL, &imported, &e) == 0 &&
           gguf_write(file, &w, t, 2, NULL, NULL, NULL, &e) == 0 &&
           adapter_from_gguf(base, file, out, &done, &e) == 0 && mapfile_open(&map, file, &e) == 0,
       "an adapter: %s", e.msg);
    uint8_t *b = malloc(map.n + 1);
    for (size_t i = 0; b && i + 2 * sizeof x < map.n; i++) {
        struct peft p;
        memcpy(b, map.p, map.n);
        b[i] ^= (uint8_t)(1u << i % 8);
        set(b, map.n);
        memset(&e, 0, sizeof e);
        int j = judge(adapter_from_gguf(base, path, out, &done, &e), &e, "adapter", i);
        if (j == 0 && peft_open(&p, out, &e) < 0)
            j = -1;
        else if (j == 0)
            peft_close(&p);
        bad += j < 0;
        refused += j == 1;
    }
    ok(bad == 0 && refused > 300, "adapter: flipped bits, %ld refused", refused);
    free(b);
    gguf_out_free(&w);
    mapfile_close(&map);
    static const char *const left[] = {"m.apr", "a.gguf", "a/adapter_config.json",
                                       "a/adapter_model.safetensors"};
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%s/%s", dir, left[i]);
        unlink(name);
    }
    rmdir(out);
    rmdir(dir);
}

/* A header that promises millions of tensors, in a file with room for them: nothing is allocated. */
static void many(void)
{
    const uint64_t head[] = {0x0000000346554747, 2000000, 0}; /* "GGUF", version 3 */
    struct err e = {0};
    struct gguf g;
    set(head, sizeof head);
    if (ftruncate(fd, 80 << 20))
        perror("ftruncate");
    ok(gguf_open(&g, path, &e) == ERR_DATA && strstr(e.msg, "more than 1048576 tensors"),
       "a million tensors: %s", e.msg);
}

/* A module's A in both of PEFT's spellings: which one counts? */
static void spellings(void)
{
    static const float x[8] = {1, 2};
    static const char *const part[] = {"lora_A.weight", "lora_A.default.weight", "lora_B.weight"};
    struct tensor t[3] = {{.name = ""}};
    char dir[] = "/tmp/test_hostile.XXXXXX", name[100];
    struct err e = {0};
    struct peft p;
    FILE *f;
    for (int i = 0; i < 3; i++) {
        t[i] =
            (struct tensor){.type = KN_F32, .ndim = 2, .dim = {1, 8}, .data = x, .bytes = sizeof x};
        snprintf(t[i].name, sizeof t[i].name, "base_model.model.m.%s", part[i]);
    }
    t[2].dim[0] = 8;
    t[2].dim[1] = 1;
    ok(mkdtemp(dir) != NULL, "a folder");
    snprintf(name, sizeof name, "%s/adapter_config.json", dir);
    if ((f = fopen(name, "w"))) {
        fputs("{\"r\":1,\"lora_alpha\":1}", f);
        fclose(f);
    }
    snprintf(name, sizeof name, "%s/adapter_model.safetensors", dir);
    ok(safetensors_write(name, t + 1, 2, NULL, NULL, &e) == 0 && peft_open(&p, dir, &e) == 0 &&
           peft_tensor(&p, "m.weight", 'A') && peft_tensor(&p, "m.weight", 'B') &&
           !peft_tensor(&p, "n.weight", 'A'),
       "either spelling: %s", e.msg);
    peft_close(&p);
    ok(safetensors_write(name, t, 3, NULL, NULL, &e) == 0 && peft_open(&p, dir, &e) == ERR_DATA &&
           strstr(e.msg, "is there in two spellings"),
       "both: %s", e.msg);
    unlink(name);
    snprintf(name, sizeof name, "%s/adapter_config.json", dir);
    unlink(name);
    rmdir(dir);
}

int main(void)
{
    fd = memfd_create("hostile", 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    gguf();
    safetensors();
    apr();
    importer();
    adapter();
    many();
    spellings();
    return done_testing();
}
