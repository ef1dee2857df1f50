/* test_safetensors - reading and writing SafeTensors: files, shards, and what is refused */
#include "blocks.h"
#include "hash.h"
#include "safetensors.h"
#include "tap.h"
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char dir[] = "/tmp/test_st.XXXXXX";
static char path[96];

static void save_at(const char *where, const char *header, size_t data)
{
    FILE *f = fopen(where, "wb");
    uint64_t n = strlen(header);
    fwrite(&n, 8, 1, f);
    fwrite(header, 1, n, f);
    for (size_t i = 0; i < data; i++)
        fputc((int)i, f);
    fclose(f);
}

static int refused(const char *header, size_t data, const char *word)
{
    struct safetensors s;
    struct err e = {0};
    save_at(path, header, data);
    int rc = safetensors_open(&s, path, &e);
    if (rc == 0)
        safetensors_close(&s);
    if (rc != ERR_DATA || !strstr(e.msg, word) || !strstr(e.msg, path))
        printf("# rc %d: %s\n", rc, e.msg);
    return rc == ERR_DATA && strstr(e.msg, word) && strstr(e.msg, path);
}

static void reading(void)
{
    struct safetensors s;
    struct err e = {0};
    save_at(path, &" {\"b\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]}}"[1], 24);
    ok(safetensors_open(&s, path, &e) == 0 && s.n_tensor == 1 && !s.metadata, "one tensor: %s",
       e.msg);
    const struct tensor *t = safetensors_get(&s, "b");
    ok(t && t->type == KN_F32 && t->ndim == 2 && t->dim[0] == 2 && t->dim[1] == 3 &&
           t->bytes == 24 && ((const uint8_t *)t->data)[5] == 5,
       "type, shape, data");
    safetensors_close(&s);
    save_at(path,
            "{ \"__metadata__\" : {\"a\":\"\\u00e9\\n\"} , \"x\\u0041\\ud83d\\ude42\": "
            "{\"data_offsets\":[4,4],"
            "\"shape\":[0,5],\"dtype\":\"I64\"},\"s\":{\"dtype\":\"BF16\",\"shape\":[],\"data_"
            "offsets\":[2,4]},"
            "\"u\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]} }   ",
            4);
    ok(safetensors_open(&s, path, &e) == 0 && s.n_tensor == 3,
       "metadata, escapes, empty and scalar: %s", e.msg);
    ok((t = safetensors_get(&s, "s")) && t->ndim == 0 && t->bytes == 2 && tensor_count(t) == 1,
       "a scalar");
    ok((t = safetensors_get(&s, "xA\xf0\x9f\x99\x82")) && t->bytes == 0 && t->type == TENSOR_I64,
       "an empty tensor with an escaped name");
    ok(strcmp(json_get_str(s.metadata, "a", "", &e), "\xc3\xa9\n") == 0, "metadata text");
    safetensors_close(&s);
    save_at(path, "{}", 0);
    ok(safetensors_open(&s, path, &e) == 0 && s.n_tensor == 0, "no tensors: %s", e.msg);
    safetensors_close(&s);
}

#define T(dtype, shape, from, to)                                                                  \
    "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #from "," #to "]}"

static void refusals(void)
{
    ok(refused("{\"a\":" T("F32", "[1]", 0, 4) ",\"b\":" T("F32", "[1]", 8, 12) "}", 12, "hole"),
       "a hole");
    ok(refused("{\"a\":" T("F32", "[1]", 0, 4) ",\"b\":" T("F32", "[1]", 2, 6) "}", 6, "overlap"),
       "an overlap");
    ok(refused("{\"a\":" T("F32", "[1]", 0, 4) "}", 5, "names 4"), "bytes behind the last tensor");
    ok(refused("{\"a\":" T("F32", "[1]", 0, 4) "}", 3, "truncated"), "data cut off");
    ok(refused("{\"a\":" T("F32", "[2]", 0, 4) "}", 4, "does not take"), "size and shape differ");
    ok(refused("{\"a\":" T("F32", "[1]", 4, 0) "}", 4, "does not take"), "offsets backwards");
    ok(refused("{\"a\":" T("Q9", "[1]", 0, 4) "}", 4, "unknown dtype"), "unknown dtype");
    ok(refused("{\"a\":" T("Q8_0", "[32]", 0, 34) "}", 34, "unknown dtype"),
       "a GGML type is unknown here");
    ok(refused("{\"a\":" T("F32", "[4294967296,4294967296,4294967296]", 0, 4) "}", 4,
               "does not take"),
       "shape whose product wraps");
    ok(refused("{\"a\":" T("F32", "[0,18446744073709551615,18446744073709551615]", 0, 0) "}", 0,
               "does not take"),
       "the same hidden behind a zero");
    ok(refused("{\"a\":" T("F32", "[1,1,1,1,1,1,1,1,1]", 0, 4) "}", 4, "too many"), "nine dims");
    ok(refused("{\"a\":" T("F32", "[-1]", 0, 4) "}", 4, "whole number"), "negative dim");
    ok(refused("{\"a\":" T("F32", "[1.0]", 0, 4) "}", 4, "whole number"), "fractional dim");
    ok(refused("{\"a\":" T("F32", "[99999999999999999999]", 0, 4) "}", 4, "too large"),
       "dim beyond 64 bits");
    ok(refused("{\"a\":" T("F32", "[1]", 0, 4) ",\"a\":" T("F32", "[1]", 4, 8) "}", 8, "twice"),
       "a name twice");
    ok(refused("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\"}}", 4, "twice"), "a key twice");
    ok(refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "expected dtype"), "no offsets");
    ok(refused("{\"__metadata__\":{\"a\":1}}", 0, "string"), "metadata that is no text");
    ok(refused("{\"a\":" T("F32", "[1]", 0, 4) "} x", 4, "after"), "text after the header");
    ok(refused("{\"a\\u0000\":" T("F32", "[1]", 0, 4) "}", 4, "NUL"), "NUL in a name");
    ok(refused("{\"\xff\":" T("F32", "[1]", 0, 4) "}", 4, "UTF-8"), "a name that is no UTF-8");
    ok(refused("[]", 4, "expected '{'"), "no object");
    ok(refused("{\"a\":" T("F32", "[1]", 0, 4), 4, "expected"), "a header that ends early");
    FILE *f = fopen(path, "wb");
    fwrite("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10, 1, f);
    fclose(f);
    struct safetensors s;
    struct err e = {0};
    ok(safetensors_open(&s, path, &e) == ERR_DATA && strstr(e.msg, "header of"),
       "absurd header length: %s", e.msg);
    memset(&e, 0, sizeof e);
    ok(safetensors_open(&s, "/nowhere.safetensors", &e) == ERR_NOINPUT, "no file: %s", e.msg);
}

static void index_file(const char *text)
{
    char p[128];
    snprintf(p, sizeof p, "%s/model.safetensors.index.json", dir);
    FILE *f = fopen(p, "wb");
    fputs(text, f);
    fclose(f);
}

static void shards(void)
{
    struct safetensors s;
    struct err e = {0};
    char a[128], b[128], index[128];
    snprintf(a, sizeof a, "%s/x-1.safetensors", dir);
    snprintf(b, sizeof b, "%s/x-2.safetensors", dir);
    snprintf(index, sizeof index, "%s/model.safetensors.index.json", dir);
    unlink(path);
    ok(safetensors_open(&s, dir, &e) == ERR_NOINPUT && strstr(e.msg, "index.json"),
       "an empty folder: %s", e.msg);
    memset(&e, 0, sizeof e);
    save_at(a, "{\"p\":" T("F32", "[1]", 0, 4) ",\"r\":" T("F32", "[1]", 4, 8) "}", 8);
    save_at(b, "{\"q\":" T("F32", "[1]", 0, 4) "}", 4);
    index_file("{\"metadata\":{\"total_size\":12},\"weight_map\":{\"p\":\"x-1.safetensors\",\"q\":"
               "\"x-2.safetensors\","
               "\"r\":\"x-1.safetensors\"}}");
    ok(safetensors_open(&s, dir, &e) == 0 && s.n_map == 2 && s.n_tensor == 3 &&
           safetensors_get(&s, "q"),
       "two shards: %s", e.msg);
    safetensors_close(&s);
    ok(safetensors_open(&s, index, &e) == 0 && s.n_tensor == 3, "by the index itself");
    safetensors_close(&s);
    index_file("{\"weight_map\":{\"p\":\"x-1.safetensors\",\"q\":\"x-2.safetensors\"}}");
    ok(safetensors_open(&s, dir, &e) == ERR_DATA && strstr(e.msg, "index names 1"),
       "a tensor too many: %s", e.msg);
    memset(&e, 0, sizeof e);
    index_file("{\"weight_map\":{\"p\":\"x-1.safetensors\",\"r\":\"x-1.safetensors\",\"z\":\"x-2."
               "safetensors\"}}");
    ok(safetensors_open(&s, dir, &e) == ERR_DATA && strstr(e.msg, "tensor z"),
       "a tensor missing: %s", e.msg);
    memset(&e, 0, sizeof e);
    index_file("{\"weight_map\":{\"p\":\"../x-1.safetensors\"}}");
    ok(safetensors_open(&s, dir, &e) == ERR_DATA && strstr(e.msg, "plain file name"), "a path: %s",
       e.msg);
    memset(&e, 0, sizeof e);
    save_at(b, "{\"p\":" T("F32", "[1]", 0, 4) "}", 4);
    index_file("{\"weight_map\":{\"p\":\"x-2.safetensors\",\"q\":\"x-1.safetensors\",\"r\":\"x-1."
               "safetensors\"}}");
    ok(safetensors_open(&s, dir, &e) == ERR_DATA && strstr(e.msg, "twice"),
       "a tensor in two shards: %s", e.msg);
    memset(&e, 0, sizeof e);
    index_file("{\"weight_map\":{\"p\":\"x-3.safetensors\"}}");
    ok(safetensors_open(&s, dir, &e) == ERR_NOINPUT && strstr(e.msg, "x-3"), "a shard missing: %s",
       e.msg);
    unlink(a);
    unlink(b);
    unlink(index);
}

static void writing(void)
{
    static const float x[6] = {1, 2, 3, 4, 5, 6};
    static const uint8_t u[3] = {7, 8, 9};
    static const int64_t l[1] = {-1};
    const struct tensor t[] = {
        {.name = "b\"", .type = KN_F32, .ndim = 2, .dim = {2, 3}, .data = x, .bytes = 24},
        {.name = "u", .type = TENSOR_U8, .ndim = 1, .dim = {3}, .data = u, .bytes = 3},
        {.name = "a", .type = KN_F32, .ndim = 0, .data = x, .bytes = 4},
        {.name = "z", .type = TENSOR_I64, .ndim = 1, .dim = {1}, .data = l, .bytes = 8},
    };
    struct safetensors s;
    struct err e = {0};
    char sha[65], found[65], buf[1024];
    cJSON *meta = cJSON_Parse("{\"format\":\"pt\"}");
    ok(safetensors_write(path, t, 4, meta, sha, &e) == 0, "write: %s", e.msg);
    FILE *f = fopen(path, "rb");
    size_t n = fread(buf, 1, sizeof buf, f);
    fclose(f);
    uint64_t head;
    memcpy(&head, buf, 8);
    static const char want[] =
        "{\"__metadata__\":{\"format\":\"pt\"},"
        "\"z\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]},"
        "\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[8,12]},"
        "\"b\\\"\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[12,36]},"
        "\"u\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[36,39]}}";
    ok(head == (sizeof want - 1 + 7) / 8 * 8 && memcmp(buf + 8, want, sizeof want - 1) == 0,
       "wide types first, then names");
    ok(buf[8 + head - 1] == ' ' && n == 8 + head + 39, "padded with spaces to 8");
    hash_sha256_mem(buf, n, found);
    ok(strcmp(sha, found) == 0, "sha256");
    ok(safetensors_open(&s, path, &e) == 0 && s.n_tensor == 4 &&
           memcmp(safetensors_get(&s, "b\"")->data, x, 24) == 0,
       "read back: %s", e.msg);
    safetensors_close(&s);
    const struct tensor q = {
        .name = "q", .type = KN_Q8_0, .ndim = 1, .dim = {32}, .data = x, .bytes = 34};
    ok(safetensors_write(path, &q, 1, NULL, NULL, &e) == ERR_DATA && strstr(e.msg, "Q8_0"),
       "no such type: %s", e.msg);
    memset(&e, 0, sizeof e);
    ok(safetensors_write("/dev/full", t, 4, meta, NULL, &e) == ERR_IO, "full disk: %s", e.msg);
    cJSON_Delete(meta);
}

/* 100,000 tensors: linear, not quadratic */
static void large(void)
{
    struct safetensors s;
    struct err e = {0};
    FILE *f = fopen(path, "wb");
    char *text = malloc(100000 * 90 + 10), *p = text;
    for (int i = 0; i < 100000; i++)
        p += sprintf(p,
                     "%s\"layers.%d.w\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%d,%d]}",
                     i ? "," : "{", i, i, i + 1);
    *p++ = '}';
    uint64_t n = (uint64_t)(p - text);
    fwrite(&n, 8, 1, f);
    fwrite(text, 1, n, f);
    for (int i = 0; i < 100000; i++)
        fputc(0, f);
    fclose(f);
    free(text);
    clock_t start = clock();
    ok(safetensors_open(&s, path, &e) == 0 && s.n_tensor == 100000, "100,000 tensors: %s", e.msg);
    double sec = (double)(clock() - start) / CLOCKS_PER_SEC;
    ok(sec < 5, "in %.3f s", sec);
    safetensors_close(&s);
}

int main(void)
{
    if (!mkdtemp(dir))
        return 1;
    snprintf(path, sizeof path, "%s/t.safetensors", dir);
    reading();
    refusals();
    shards();
    writing();
    large();
    unlink(path);
    rmdir(dir);
    return done_testing();
}
