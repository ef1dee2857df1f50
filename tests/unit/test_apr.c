/* test_apr - the .apr container against its byte layout (apr.5), in both directions */
#include "apr.h"
#include "blocks.h"
#include "hash.h"
#include "tap.h"
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static char dir[] = "/tmp/test_apr.XXXXXX";
static char path[64];
static uint8_t file[1 << 16];
static size_t file_n;

static void put(size_t off, uint64_t v, int n)
{
    memcpy(file + off, &v, (size_t)n);
}

static uint64_t get(const uint8_t *p, int n)
{
    uint64_t v = 0;
    memcpy(&v, p, (size_t)n);
    return v;
}

static void header_crc(void)
{
    uint8_t h[60];
    memcpy(h, file, 40);
    memcpy(h + 40, file + 44, 20);
    put(40, hash_crc32(0, h, 60), 4);
}

static void save(void)
{
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(file, 1, file_n, f) != file_n || fclose(f))
        perror(path);
}

/* One tensor "a" with shape (2, 32) of this type byte and size, written byte for byte. */
static void by_hand(const char *meta, int byte, uint64_t size)
{
    size_t meta_n = strlen(meta), index = (64 + meta_n + 63) / 64 * 64, at = index;
    memset(file, 0, sizeof file);
    memcpy(file, "\x41\x50\x52\x00\x02\x00\x00\x04", 8); /* magic, 2.0, row-major */
    put(8, 1, 4);
    put(12, 64, 8);
    put(20, meta_n, 4);
    put(24, index, 8);
    put(32, index + 64, 8);
    memcpy(file + 64, meta, meta_n);
    put(at, 1, 2); /* name length */
    file[at + 2] = 'a';
    file[at + 3] = (uint8_t)byte;
    file[at + 4] = 2; /* dims, outermost first */
    put(at + 5, 2, 8);
    put(at + 13, 32, 8);
    put(at + 21, 0, 8); /* offset */
    put(at + 29, size, 8);
    for (uint64_t i = 0; i < size; i++)
        file[index + 64 + i] = (uint8_t)(i * 7);
    file_n = index + 64 + (size + 63) / 64 * 64;
    header_crc();
    put(file_n, hash_crc32(0, file, file_n), 4);
    file_n += 4;
    save();
}

/* Type that a reader gives to the byte and size; -1 if it refuses. */
static int type_of(const char *meta, int byte, uint64_t size)
{
    struct apr a;
    struct err e = {0};
    by_hand(meta, byte, size);
    if (apr_open(&a, path, &e) < 0)
        return -1;
    int type = a.tensor[0].type;
    apr_close(&a);
    return type;
}

static int refused(const char *word)
{
    struct apr a;
    struct err e = {0};
    save();
    int rc = apr_open(&a, path, &e);
    if (rc == 0)
        apr_close(&a);
    if (rc != ERR_DATA || !strstr(e.msg, word))
        printf("# rc %d: %s\n", rc, e.msg);
    return rc == ERR_DATA && strstr(e.msg, word) && strstr(e.msg, path);
}

static void reading(void)
{
    struct apr a;
    struct err e = {0};
    by_hand("{\"model_type\":\"t\",\"x\":[1,{}]}", 0, 256);
    ok(apr_open(&a, path, &e) == 0, "a file made by hand opens: %s", e.msg);
    const struct tensor *t = apr_tensor(&a, "a");
    ok(t && t->type == KN_F32 && t->ndim == 2 && t->dim[0] == 2 && t->dim[1] == 32 &&
           t->bytes == 256,
       "type, shape, bytes");
    ok(t && ((const uint8_t *)t->data)[3] == 21 && !apr_tensor(&a, "b"),
       "data, and an absent name");
    ok(strcmp(json_get_str(a.meta, "model_type", "", &e), "t") == 0, "metadata");
    ok(apr_verify(&a, &e) == 0, "the footer CRC agrees");
    apr_close(&a);
    file[file_n - 70] ^= 1;
    save();
    ok(apr_open(&a, path, &e) == 0 && apr_verify(&a, &e) == ERR_DATA && strstr(e.msg, "CRC"),
       "a flipped data bit is found by apr_verify: %s", e.msg);
    apr_close(&a);

    static const struct {
        int byte, size, type;
        const char *what;
    } ambiguous[] = {
        // clang-format off
        {3, 512, TENSOR_F64, "3 is F64"}, {3, 40, KN_Q4_1, "3 is Q4_1"}, {4, 256, KN_I32, "4 is I32"},
        {5, 512, TENSOR_I64, "5 is I64"}, {6, 64, TENSOR_I8, "6 is I8"}, {6, 44, KN_Q5_0, "6 is Q5_0"},
        {7, 64, TENSOR_U8, "7 is U8"}, {7, 48, KN_Q5_1, "7 is Q5_1"}, {8, 68, KN_Q8_0, "8 is Q8_0"},
        {8, 36, TENSOR_APR_Q4, "8 is the legacy 4-bit layout"}, {9, 68, TENSOR_APR_Q8, "9 is the legacy 8-bit layout"},
        {128, 36, TENSOR_APR_Q4, "128"}, {129, 68, TENSOR_APR_Q8, "129"}, {30, 128, KN_BF16, "30 is BF16"},
        {1, 128, KN_F16, "1 is F16"}, {2, 36, KN_Q4_0, "2 is Q4_0"}, {24, 64, TENSOR_I8, "24 is I8"},
        {160, 64, TENSOR_U8, "160 is U8"}, {3, 44, -1, "3 with another size"}, {8, 35, -1, "8 with another size"},
        {12, 144, -1, "Q4_K needs rows of 256"}, {31, 36, -1, "31 is a removed id"}, {200, 64, -1, "200 is unknown"},
        // clang-format on
    };
    for (size_t i = 0; i < sizeof ambiguous / sizeof *ambiguous; i++)
        ok(type_of("{}", ambiguous[i].byte, (uint64_t)ambiguous[i].size) == ambiguous[i].type,
           "type byte %s", ambiguous[i].what);
    ok(type_of("{\"tensor_types\":{\"a\":\"Q8_0\"}}", 8, 68) == KN_Q8_0,
       "the recorded name agrees");
    ok(type_of("{\"tensor_types\":{\"a\":\"Q8_0\",\"b\":\"F32\"}}", 8, 36) == TENSOR_APR_Q4,
       "a stale recorded name gives way to the size");
}

static void damage(void)
{
    by_hand("{}", 0, 256);
    file[0] = 'B';
    ok(refused("magic"), "wrong magic");
    by_hand("{}", 0, 256);
    file[4] = 1;
    ok(refused("version 1.0"), "version 1");
    by_hand("{}", 0, 256);
    file[50] = 1;
    ok(refused("header CRC"), "the CRC covers the reserved bytes");
    static const struct {
        int flag;
        const char *word;
    } flags[] = {
        {1, "LZ4"}, {2, "zstd"}, {4, "encrypted"}, {0x10, "shard"}, {0x800, "column-major"}};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        by_hand("{}", 0, 256);
        put(6, 0x400u | (unsigned)flags[i].flag, 2);
        header_crc();
        ok(refused(flags[i].word), "flag %04x is refused", (unsigned)flags[i].flag);
    }
    by_hand("{}", 0, 256);
    put(20, 1u << 30, 4);
    header_crc();
    ok(refused("metadata"), "metadata outside the file");
    by_hand("{}", 0, 256);
    put(8, 0xFFFFFFFF, 4);
    header_crc();
    ok(refused("do not fit"), "absurd tensor count");
    by_hand("{}", 0, 256);
    put(24, (uint64_t)-64, 8);
    header_crc();
    ok(refused("out of order"), "absurd index offset");
    by_hand("{}", 0, 256);
    put(128 + 5, UINT64_MAX / 2, 8);
    ok(refused("fits no type"), "absurd dims");
    by_hand("{}", 0, 256);
    put(128 + 21, 1 << 20, 8);
    ok(refused("truncated"), "offset behind the end");
    by_hand("{}", 0, 256);
    put(128 + 21, 32, 8);
    ok(refused("multiple of 64"), "unaligned offset");
    by_hand("{}", 0, 256);
    file[128 + 4] = 9;
    ok(refused("9 dims"), "nine dims");
    by_hand("[1]", 0, 256);
    ok(refused("object"), "metadata that is no object");
    by_hand("{\"a\":1,\"a\":2}", 0, 256);
    ok(refused("duplicate key"), "metadata with a key twice");
    by_hand("{}", 0, 256);
    file_n = 63;
    ok(refused("truncated"), "63 bytes");
}

static int fill_calls;
static int fill(void *arg, int i, void *buf, struct err *e)
{
    const struct tensor *t = arg;
    (void)e;
    fill_calls++;
    memset(buf, 0x40 + i, t[i].bytes);
    return 0;
}

static int fill_fails(void *arg, int i, void *buf, struct err *e)
{
    (void)arg, (void)i, (void)buf;
    return err_set(e, ERR_DATA, "no such layer");
}

static size_t slurp(void)
{
    FILE *f = fopen(path, "rb");
    file_n = f ? fread(file, 1, sizeof file, f) : 0;
    if (f)
        fclose(f);
    return file_n;
}

static void writing(void)
{
    static const uint8_t u8[100] = {1, 2, 3};
    struct tensor t[4] = {
        {.name = "z.weight", .type = KN_Q8_0, .ndim = 2, .dim = {3, 64}, .bytes = 204},
        {.name = "a.bias", .type = KN_F32, .ndim = 1, .dim = {5}, .bytes = 20},
        {.name = APR_TOKENIZER, .type = TENSOR_U8, .ndim = 1, .dim = {100}, .bytes = 100},
        {.name = "b", .type = KN_Q5_1, .ndim = 1, .dim = {32}, .bytes = 24}};
    struct err e = {0};
    struct apr a;
    char sha[65], found[65];
    cJSON *meta = cJSON_Parse("{\"model_type\":\"qwen2\",\"hidden_size\":64,\"param_count\":1}");
    t[2].data = u8;
    ok(apr_write(path, meta, t, 4, fill, t, sha, &e) == 0, "write: %s", e.msg);
    ok(fill_calls == 3, "fill runs once a streamed tensor");
    slurp();
    ok(memcmp(file, "\x41\x50\x52\x00\x02\x00", 6) == 0, "magic and version");
    ok(get(file + 6, 2) == (0x400 | 0x20 | 0x200), "flags: row-major, quantized, vocabulary");
    ok(get(file + 8, 4) == 4 && get(file + 12, 8) == 64, "tensor count, metadata offset");
    uint64_t meta_n = get(file + 20, 4), index = get(file + 24, 8), data = get(file + 32, 8);
    ok(index == (64 + meta_n + 63) / 64 * 64 && file[64] == '{' && file[64 + meta_n - 1] == '}',
       "metadata size is unpadded, the index follows on 64");
    int zero = 1;
    for (size_t i = 64 + meta_n; i < index; i++)
        zero &= file[i] == 0;
    for (size_t i = 44; i < 64; i++)
        zero &= file[i] == 0;
    ok(zero, "padding and reserved bytes are zero");
    uint8_t h[60];
    memcpy(h, file, 40);
    memcpy(h + 40, file + 44, 20);
    ok(get(file + 40, 4) == hash_crc32(0, h, 60), "header CRC over 0..39 and 44..63");
    static const uint8_t first[] = {6, 0, 'a', '.', 'b', 'i', 'a', 's', 0, 1,  5, 0, 0, 0, 0, 0, 0,
                                    0, 0, 0,   0,   0,   0,   0,   0,   0, 20, 0, 0, 0, 0, 0, 0, 0};
    ok(memcmp(file + index, first, sizeof first) == 0, "first entry, byte for byte");
    const uint8_t *p = file + index + sizeof first;
    ok(get(p, 2) == 1 && p[2] == 'b' && p[3] == 7 && get(p + 13, 8) == 64 && get(p + 21, 8) == 24,
       "second entry: Q5_1 is byte 7, at 64");
    p += 29;
    ok(get(p, 2) == 16 && memcmp(p + 2, APR_TOKENIZER, 16) == 0 && p[18] == 7 &&
           get(p + 36, 8) == 100,
       "U8 is byte 7 too");
    p += 44;
    ok(get(p, 2) == 8 && p[10] == 8 && p[11] == 2 && get(p + 12, 8) == 3 && get(p + 20, 8) == 64 &&
           get(p + 28, 8) == 256 && get(p + 36, 8) == 204,
       "dims outermost first");
    p += 44;
    ok(data == ((uint64_t)(p - file) + 63) / 64 * 64, "the data follows the index on 64");
    ok(file_n == data + 64 + 64 + 128 + 256 + 4, "every tensor is padded to 64, then the footer");
    ok(get(file + file_n - 4, 4) == hash_crc32(0, file, file_n - 4), "footer CRC");
    hash_sha256_mem(file, file_n, found);
    ok(strcmp(found, sha) == 0, "sha256 of a patched file");
    ok(file[data] == 0x41 && file[data + 64] == 0x43 && file[data + 128] == 1 &&
           file[data + 256] == 0x40,
       "data in index order");
    ok(apr_open(&a, path, &e) == 0 && apr_verify(&a, &e) == 0, "it opens and verifies: %s", e.msg);
    ok(a.n_tensor == 4 && a.tensor[1].type == KN_Q5_1 && a.tensor[2].type == TENSOR_U8 &&
           a.tensor[3].type == KN_Q8_0,
       "types come back");
    ok(cJSON_GetObjectItem(a.meta, "license") &&
           cJSON_IsNull(cJSON_GetObjectItem(a.meta, "license")),
       "license is written even when null");
    ok(json_get_int(a.meta, "param_count", 0, &e) == 192 + 5 + 32 &&
           json_get_int(a.meta, "total_size", 0, &e) == 348,
       "param_count without the tokenizer, total_size with it");
    char hex[20];
    snprintf(hex, sizeof hex, "%016llx", (unsigned long long)hash_xxh64(u8, 100, 0));
    ok(strcmp(json_get_str(cJSON_GetObjectItem(a.meta, "tensor_xxh64"), APR_TOKENIZER, "", &e),
              hex) == 0,
       "tensor hashes");
    cJSON *d = apr_derive_meta(a.meta, &e);
    ok(d && json_get_int(d, "hidden_size", 0, &e) == 64 &&
           !cJSON_GetObjectItem(d, "tensor_types") &&
           cJSON_GetArraySize(cJSON_GetObjectItem(d, "provenance")) == 1,
       "derived metadata carries keys on and extends the provenance");
    /* data all at hand gives the same file as streaming */
    char again[80];
    snprintf(again, sizeof again, "%s.2", path);
    struct tensor u[4];
    for (int i = 0; i < 4; i++)
        u[i] = *apr_tensor(&a, t[i].name);
    char sha2[65];
    ok(apr_write(again, meta, u, 4, NULL, NULL, sha2, &e) == 0 && strcmp(sha, sha2) == 0,
       "streamed or mapped: the same bytes");
    unlink(again);
    apr_close(&a);
    cJSON_Delete(d);

    unlink(path);
    ok(apr_write(path, meta, t, 4, fill_fails, t, NULL, &e) == ERR_DATA && access(path, F_OK) != 0,
       "a failing fill leaves nothing: %s", e.msg);
    memset(&e, 0, sizeof e);
    t[1].bytes = 19;
    ok(apr_write(path, meta, t, 4, fill, t, NULL, &e) == ERR_DATA && strstr(e.msg, "a.bias"),
       "a size that does not fit the shape: %s", e.msg);
    t[1].bytes = 20;
    memset(&e, 0, sizeof e);
    ok(apr_write("/dev/full", meta, t, 4, fill, t, NULL, &e) == ERR_IO, "full disk: %s", e.msg);
    memset(&e, 0, sizeof e);
    ok(apr_write("/nowhere/x.apr", meta, t, 4, fill, t, NULL, &e) == ERR_CANTCREAT, "no folder: %s",
       e.msg);
    ok(apr_write(path, NULL, NULL, 0, NULL, NULL, NULL, &e) == 0, "no tensors at all");
    cJSON_Delete(meta);
}

int main(void)
{
    /* XXH64 test vectors: the reference implementation's, of nothing and of "abc" */
    ok(hash_xxh64("", 0, 0) == 0xEF46DB3751D8E999u, "XXH64 of nothing");
    ok(hash_xxh64("abc", 3, 0) == 0x44BC2CF5AD770999u, "XXH64 of abc");
    if (!mkdtemp(dir))
        return 1;
    snprintf(path, sizeof path, "%s/m.apr", dir);
    reading();
    damage();
    writing();
    unlink(path);
    rmdir(dir);
    return done_testing();
}
