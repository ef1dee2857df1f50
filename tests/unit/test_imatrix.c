/* test_imatrix - importance matrices: both formats, sums, means, damage */
#include "gguf_write.h"
#include "imatrix.h"
#include "tap.h"
#include <math.h>
#include <string.h>
#include <unistd.h>

static char dir[] = "/tmp/test_imatrix.XXXXXX", path[64];

static const char *at(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

/* two weights, one of two experts of which one was never used */
static void make(struct imatrix *m)
{
    struct err e = {0};
    *m = (struct imatrix){.chunks = 3, .chunk_size = 8};
    struct imatrix_entry *b = imatrix_get(m, "blk.1.ffn_up_exps.weight", 2, 3, &e);
    struct imatrix_entry *a = imatrix_get(m, "blk.0.attn_q.weight", 1, 4, &e);
    b = (struct imatrix_entry *)imatrix_find(m, "blk.1.ffn_up_exps.weight"); /* it may have moved */
    for (int i = 0; i < 4; i++)
        a->sum[i] = (float)i * 24;
    for (int i = 0; i < 3; i++)
        b->sum[i] = 5;
    a->count[0] = 24;
    b->count[0] = 10;
    imatrix_dataset(m, "text", &e);
}

static void test_formats(void)
{
    struct imatrix m, r, sum = {.chunk_size = 8};
    struct err e = {0};
    float mean[6];
    make(&m);
    ok(imatrix_write(&m, at("a.gguf"), 0, NULL, &e) == 0 && imatrix_read(&r, at("a.gguf"), &e) == 0,
       "GGUF: %s", e.msg);
    const struct imatrix_entry *x = imatrix_find(&r, "blk.1.ffn_up_exps.weight");
    ok(r.n == 2 && r.chunks == 3 && r.chunk_size == 8 && r.n_dataset == 1 && x && x->n_mat == 2 &&
           x->cols == 3 && x->count[0] == 10 && x->count[1] == 0,
       "all of it comes back");
    imatrix_mean(x, mean);
    ok(mean[0] == 0.5f && mean[2] == 0.5f && mean[3] == 1 && mean[5] == 1,
       "means; 1 where nothing was counted");
    ok(imatrix_add(&sum, &r, &e) == 0 && imatrix_add(&sum, &r, &e) == 0 &&
           imatrix_find(&sum, "blk.0.attn_q.weight")->sum[3] == 144 &&
           imatrix_find(&sum, "blk.0.attn_q.weight")->count[0] == 48,
       "twice the same is twice the sums");
    imatrix_free(&sum);
    imatrix_free(&r);
    ok(imatrix_write(&m, at("a.dat"), 1, NULL, &e) == 0 && imatrix_read(&r, at("a.dat"), &e) == 0,
       "the older format: %s", e.msg);
    x = imatrix_find(&r, "blk.0.attn_q.weight");
    ok(r.n == 2 && r.chunks == 3 && x && x->cols == 4 && x->count[0] == 3 && x->sum[2] == 6 &&
           r.n_dataset == 1 && strcmp(r.dataset[0], "text") == 0,
       "means times chunks");
    sum = (struct imatrix){.chunk_size = 8};
    ok(imatrix_add(&sum, &r, &e) == 0 && imatrix_find(&sum, x->name)->sum[2] == 48 &&
           imatrix_find(&sum, x->name)->count[0] == 24,
       "added up they count rows again");
    imatrix_free(&sum);
    imatrix_free(&r);
    imatrix_free(&m);
}

static int damaged(const void *p, size_t n, const char *why)
{
    struct imatrix m;
    struct err e = {0};
    FILE *f = fopen(at("bad"), "wb");
    fwrite(p, 1, n, f);
    fclose(f);
    int rc = imatrix_read(&m, at("bad"), &e);
    if (rc == ERR_DATA && strstr(e.msg, why))
        return 1;
    printf("# expected \"%s\", found %d %s\n", why, rc, e.msg);
    return 0;
}

static void test_damage(void)
{
    struct {
        int32_t n, len;
        char name[4];
        int32_t calls, values;
        float v[2];
    } d = {1, 4, "blk", 1, 2, {1, 2}};
    memcpy(d.name, "blkx", 4);
    ok(damaged("", 0, "the file ends") && damaged("\0\0\0\0", 4, "no importance matrix"), "empty");
    for (size_t n = 1; n < sizeof d; n++)
        if (!damaged(&d, n, n < 4 ? "the file ends" : "bad: ")) {
            ok(0, "cut at %zu", n);
            break;
        }
    d.len = 1 << 30;
    ok(damaged(&d, sizeof d, "1073741824 bytes of text"), "a name as long as the address space");
    d.len = -4;
    ok(damaged(&d, sizeof d, "-4 bytes of text"), "a negative length");
    d.len = 4;
    d.values = INT32_MAX;
    ok(damaged(&d, sizeof d, "2147483647 values"), "more values than the file has");
    d.values = 2;
    d.v[1] = NAN;
    ok(damaged(&d, sizeof d, "value 1 is nan"), "NaN");
    d.v[1] = -1;
    ok(damaged(&d, sizeof d, "value 1 is -1, expected a sum of squares"), "a negative square");
    d.v[1] = 1;
    d.n = 2;
    ok(damaged(&d, sizeof d, "the file ends"), "fewer weights than it says");
    char two[2 * sizeof d];
    memcpy(two, &d, sizeof d);
    memcpy(two + sizeof d, (char *)&d + 4, sizeof d - 4);
    ok(damaged(two, 2 * sizeof d - 4, "weight blkx: twice"), "a weight twice");
}

/* GGUF files that are well-formed and no importance matrices */
static void test_gguf_damage(void)
{
    struct err e = {0};
    struct imatrix m;
    float v[4] = {1, 1, 1, 1};
    struct tensor t[2] = {{.name = "a.in_sum2", .ndim = 1, .dim = {4}, .data = v, .bytes = 16},
                          {.name = "a.counts", .ndim = 1, .dim = {3}, .data = v, .bytes = 12}};
    struct gguf_out w = {0};
    gguf_out_str(&w, "general.type", "imatrix");
    ok(gguf_write(at("n"), &w, t, 1, NULL, NULL, NULL, &e) == 0 &&
           imatrix_read(&m, path, &e) == ERR_DATA && strstr(e.msg, "a.counts is missing"),
       "sums without counts: %s", e.msg);
    e = (struct err){0};
    ok(gguf_write(at("n"), &w, t, 2, NULL, NULL, NULL, &e) == 0 &&
           imatrix_read(&m, path, &e) == ERR_DATA && strstr(e.msg, "4 sums (F32) for 3 counts"),
       "counts that do not divide the sums: %s", e.msg);
    e = (struct err){0};
    ok(gguf_write(at("n"), &w, t + 1, 1, NULL, NULL, NULL, &e) == 0 &&
           imatrix_read(&m, path, &e) == ERR_DATA && strstr(e.msg, "no importance matrix"),
       "no sums: %s", e.msg);
    e = (struct err){0};
    v[0] = -3;
    t[1].dim[0] = 4;
    t[1].bytes = 16;
    ok(gguf_write(at("n"), &w, t, 2, NULL, NULL, NULL, &e) == 0 &&
           imatrix_read(&m, path, &e) == ERR_DATA && strstr(e.msg, "count 0 is -3"),
       "a negative count: %s", e.msg);
    gguf_out_free(&w);
}

int main(void)
{
    if (!mkdtemp(dir))
        return 1;
    test_formats();
    test_damage();
    test_gguf_damage();
    for (const char *const *p = (const char *const[]){"a.gguf", "a.dat", "bad", "n", NULL}; *p; p++)
        unlink(at(*p));
    rmdir(dir);
    return done_testing();
}
