/* test_golden - whole models against Hugging Face: logits, hidden states, greedy tokens, on every
 * device, or on those that are named: test_golden cuda:exact
 *
 * A case is a folder of the golden archive: config.json, model.safetensors and golden.safetensors
 * (transformers 5.17.0, float32).  Two cases are in tests/vectors; the others are taken from the
 * archive where it is present. */
#include "apr.h"
#include "export.h"
#include "forward.h"
#include "golden.h"
#include "import.h"
#include "safetensors.h"
#include "tap.h"
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char tmp[] = "/tmp/test_golden.XXXXXX";

static const char *shared(void)
{
    const char *s = getenv("APR_SHARED");
    return s ? s : TOP "/../shared";
}

/* Folder of a case, out of the archive if need be; NULL if it is nowhere. */
static const char *folder(const char *name)
{
    static char path[512];
    char cmd[1200];
    /* a base of a training vector has no logits beside it */
    snprintf(path, sizeof path, TOP "/tests/vectors/%s/golden.safetensors", name);
    if (access(path, F_OK) == 0) {
        *strrchr(path, '/') = 0;
        return path;
    }
    snprintf(path, sizeof path, "%s/golden", tmp);
    if (access(path, F_OK)) { /* once for all */
        snprintf(cmd, sizeof cmd,
                 "tar xJf '%s/golden/golden.tar.xz' -C %s golden/qwen2-tied golden/qwen2-untied "
                 "golden/qwen3-headdim golden/llama3-scaled golden/qwen2-yarn golden/phi3 "
                 "golden/mistral golden/qwen3-moe 2>/dev/null",
                 shared(), tmp);
        if (system(cmd))
            return NULL;
    }
    snprintf(path, sizeof path, "%s/golden/%s", tmp, name);
    return access(path, F_OK) == 0 ? path : NULL;
}

/* Logits of three prompts of basic_eval at every position, from the built-in model's bf16 weights.
 */
static void built_in(const char *apr)
{
    static const int prompts[] = {0, 50, 120};
    enum { ROWS = 96 };
    struct err e = {0};
    struct kn_dev *dev;
    struct model m;
    struct forward f;
    struct safetensors s;
    char path[600], name[40];
    snprintf(path, sizeof path, "%s/golden/tiny_logits_f32.safetensors", shared());
    if (access(path, F_OK)) {
        skip("built-in model: no %s", path);
        return;
    }
    if (safetensors_open(&s, path, &e) < 0 || kn_open(&dev, "cpu", 1) < 0)
        return;
    snprintf(path, sizeof path, "%s/models/tiny-coder-29m/hf", shared());
    if (folder_to_apr(path, apr, &e) < 0 || model_load(&m, apr, dev, KN_W_INFER, 0, &e) < 0 ||
        forward_new(&f, &m, ROWS, 1, ROWS, ROWS / KN_TILE, ROWS / KN_TILE, KN_F32, &e) < 0) {
        ok(0, "built-in model: %s", e.msg);
        return;
    }
    float *y = malloc((size_t)ROWS * (size_t)m.h.n_vocab * sizeof *y);
    for (size_t p = 0; p < sizeof prompts / sizeof *prompts; p++) {
        int32_t pos[ROWS], seq[ROWS] = {0}, blocks[] = {0, 1, 2};
        snprintf(name, sizeof name, "ids.%d", prompts[p]);
        const struct tensor *ids = safetensors_get(&s, name);
        snprintf(name, sizeof name, "logits.%d", prompts[p]);
        const struct tensor *want = safetensors_get(&s, name);
        int n = (int)ids->dim[0];
        for (int i = 0; i < n; i++)
            pos[i] = i;
        struct kn_rows r = {.n_tok = n,
                            .n_seq = 1,
                            .n_out = n,
                            .tok = ids->data,
                            .pos = pos,
                            .seq = seq,
                            .out = pos,
                            .blocks = blocks};
        int rc = forward_step(&f, &r, &e);
        size_t count = (size_t)n * (size_t)m.h.n_vocab;
        if (rc == 0)
            rc = kn_read(dev, y, f.logits, count * sizeof *y);
        double d = worst(y, want->data, count);
        ok(rc == 0 && d <= 2e-4,
           "built-in model on cpu, prompt %d: %d x %d logits within 2e-4 (%.1e)", prompts[p], n,
           m.h.n_vocab, d);
    }
    free(y);
    forward_free(&f);
    model_free(&m);
    safetensors_close(&s);
    kn_close(dev);
}

int main(int argc, char **argv)
{
    /* the small ones on every device; of the others ref computes only what they alone have
     * (QK-norm) */
    static const struct {
        const char *name, *devices[4];
    } cases[] = {
        {"qwen2-small", {"ref", "ref:q", "cpu"}},
        {"llama3-small", {"ref", "ref:q", "cpu"}},
        {"qwen3-headdim", {"ref", "cpu"}},
        {"qwen2-tied", {"cpu"}},
        {"qwen2-untied", {"cpu"}},
        {"llama3-scaled", {"cpu"}},
        {"qwen2-yarn", {"cpu"}},
        {"phi3", {"cpu"}},
        {"mistral", {"cpu"}},
        {"qwen3-moe", {"cpu"}},
    };
    char apr[100], cmd[200];
    if (!mkdtemp(tmp))
        return 1;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct err e = {0};
        const char *dir = folder(cases[c].name);
        if (!dir) {
            skip("%s: not in tests/vectors, no archive", cases[c].name);
            continue;
        }
        snprintf(apr, sizeof apr, "%s/%s.apr", tmp, cases[c].name);
        int rc = folder_to_apr(dir, apr, &e);
        ok(rc == 0, "%s: as an .apr %s", cases[c].name, e.msg);
        for (int d = 1; rc == 0 && d < argc; d++)
            device(cases[c].name, argv[d], apr, dir, 0);
        for (int d = 0; rc == 0 && argc < 2 && cases[c].devices[d]; d++)
            device(cases[c].name, cases[c].devices[d], apr, dir, 0);
        if (rc == 0 && argc < 2)
            by_gguf(cases[c].name, apr, dir, 0);
    }
    snprintf(apr, sizeof apr, "%s/built-in.apr", tmp);
    if (argc < 2)
        built_in(apr);
    snprintf(cmd, sizeof cmd, "rm -r %s", tmp);
    return done_testing() | system(cmd);
}
