/* test_memplan - what is counted before loading is what loading then makes, byte for byte */
#include "forward.h"
#include "memplan.h"
#include "random_model.h"
#include "tap.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[] = "/tmp/memplan-XXXXXX";

/* Forms of all weights of a loaded model, and what model_need said of them before. */
static void test_forms(const char *device, const char *mix, int flags)
{
    struct random_model r;
    struct model m;
    struct model_need need;
    struct kn_dev *dev;
    struct err e = {0};
    const struct tensor *t[200];
    const struct kn_weight *w[200];
    size_t forms = 0, bytes;
    if (kn_open(&dev, device, 2) < 0) {
        ok(1, "%s: not on this machine # SKIP", device);
        return;
    }
    if (random_model_new(&r, "tiny-coder-29m", mix, 1, &e) < 0 ||
        random_model_write(&r, path, NULL, NULL, NULL, &e) < 0 ||
        model_load(&m, path, dev, flags, 64, &e) < 0) {
        ok(0, "%s %s: %s", device, mix, e.msg);
        return;
    }
    model_need(&need, m.file.tensor, m.file.n_tensor, &m.h, dev, flags, 64);
    const int n = model_weights(&m, t, w, 200);
    size_t file = 0;
    for (int i = 0; i < n; i++) {
        kn_weight_form(dev, w[i], &bytes);
        forms += bytes;
        file += t[i]->bytes;
    }
    ok(n == 57 && need.file == file, "%s %s: %d matrices of %zu bytes", device, mix, n, file);
    ok(need.count.weights == forms, "their forms: %zu bytes, counted %zu", forms,
       need.count.weights);
    ok(need.count.pages >= forms &&
           need.count.pages <= forms + (forms >> 24) * (2 << 20) + (8 << 20),
       "in pages: %zu", need.count.pages);
    const int from_form = forms && kn_type_info(t[0]->type)->act_block;
    ok(need.rows == (from_form ? 0 : t[0]->bytes), "embedding rows in the file: %zu", need.rows);
    ok(need.in_place == (forms ? 0 : file), "read in place: %zu", need.in_place);
    model_free(&m);
    random_model_free(&r);
    kn_close(dev);
}

/* A plan of hostile numbers is an error or a large number, not a small one. */
static void test_extremes(void)
{
    struct memplan_model m = {.h = {.arch = "qwen2",
                                    .n_layer = 1000,
                                    .n_embd = 1 << 16,
                                    .n_head = 512,
                                    .n_head_kv = 512,
                                    .head_dim = 128,
                                    .n_ff = 1 << 18,
                                    .n_vocab = 1 << 20,
                                    .n_ctx = 1 << 24}};
    struct memplan_conf c = {.n_ctx = 1 << 24, .batch = 1 << 20, .kv_type = KN_F32, .chunk = 512};
    struct memplan p;
    struct kn_dev *dev;
    struct err e = {0};
    if (kn_open(&dev, "cpu", 1) < 0)
        return;
    int rc = memplan_make(&p, &m, &c, dev, &e);
    ok(rc == ERR_NOMEM || (rc == 0 && p.total > (size_t)1 << 60), "2^44 positions: %s %zu", e.msg,
       p.total);
    c.n_ctx++;
    e = (struct err){0};
    ok(memplan_make(&p, &m, &c, dev, &e) == ERR_USAGE, "%s", e.msg);
    c = (struct memplan_conf){.n_ctx = 64, .batch = 1, .kv_type = KN_Q8_0};
    m.h.head_dim = 48;
    e = (struct err){0};
    ok(memplan_make(&p, &m, &c, dev, &e) == ERR_UNAVAILABLE, "%s", e.msg);
    kn_close(dev);
}

int main(void)
{
    const int fd = mkstemp(path);
    if (fd < 0)
        return 1;
    close(fd);
    test_forms("cpu:generic", "q8_0", KN_W_INFER);
    test_forms("cpu:avx2", "q4_k_m", KN_W_INFER);
    test_forms("cpu", "f16", KN_W_INFER);
    test_forms("cpu", "q6_k", KN_W_TRAIN);
    test_forms("ref", "q5_k_m", KN_W_INFER);
    test_extremes();
    unlink(path);
    return done_testing();
}
