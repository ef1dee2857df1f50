/* test_full - full training: transformers' losses, finite differences of every tensor, thread counts, the file
 *
 * Case train-full of the golden archive (tests/vectors): eight steps of AdamW on all weights of qwen2-tied. */
#include "apr.h"
#include "backward.h"
#include "hf_apr.h"
#include "import.h"
#include "optim.h"
#include "random_model.h"
#include "safetensors.h"
#include "tap.h"
#include "verify.h"
#include <math.h>
#include <string.h>
#include <unistd.h>

static char tmp[] = "/tmp/test_full.XXXXXX";

/* Training of a model file over a batch: one forward and backward at a time. */
struct training {
    struct kn_dev *dev;
    struct model m;
    struct full f;
    struct backward b;
    int n, n_loss;
    const int32_t *ids;
    int32_t doc[512], label[512];
};

/* docs: rows of a document; every row but its last has a label. */
static int training_open(struct training *t, const char *apr, const char *device, int threads,
                         const int32_t *ids, int n, int len, int recompute, struct err *e)
{
    memset(t, 0, sizeof *t);
    t->n = n;
    t->ids = ids;
    for (int i = 0; i < n; i++) {
        t->doc[i] = i / len * len;
        t->label[i] = i % len == len - 1 || i == n - 1 ? -1 : ids[i + 1];
        t->n_loss += t->label[i] >= 0;
    }
    if (kn_open(&t->dev, device, threads) || model_load(&t->m, apr, t->dev, KN_W_TRAIN, 0, e) ||
        full_new(&t->f, &t->m, e) || backward_new(&t->b, &t->m, NULL, n, recompute, 0, e))
        return -1;
    t->b.full = &t->f;
    return 0;
}

static void training_close(struct training *t)
{
    backward_free(&t->b);
    full_free(&t->f);
    model_free(&t->m);
    if (t->dev)
        kn_close(t->dev);
}

/* Mean loss; with grad its gradient is added. */
static double run(struct training *t, int grad, struct err *e)
{
    double loss = 0;
    backward_run(&t->b, t->ids, t->doc, t->label, t->n, 1 / (float)t->n_loss, grad, &loss, e);
    return loss / t->n_loss;
}

static double number(const cJSON *v, const char *key, int i)
{
    return cJSON_GetArrayItem(cJSON_GetObjectItem(v, key), i)->valuedouble;
}

/* Transformers' losses and norms. */
static void golden(const char *apr, const char *device, int recompute, int steps)
{
    struct err e = {0};
    struct safetensors s = {0};
    struct training t;
    struct optim o = OPTIM_DEFAULT;
    double worst = 0, worst_norm = 0;
    cJSON *v = json_load(TOP "/tests/vectors/train-full/scalars.json", &e);
    if (!v || safetensors_open(&s, TOP "/tests/vectors/train-full/golden.safetensors", &e)) {
        ok(0, "train-full: %s", e.msg);
        return;
    }
    const struct tensor *ids = safetensors_get(&s, "input_ids");
    const int len = (int)ids->dim[1];
    o.lr = 3e-4;
    o.beta2 = 0.95;
    o.weight_decay = 0.1;
    o.decay_all = 1; /* as torch's AdamW over model.parameters() */
    o.schedule = OPTIM_CONSTANT;
    training_open(&t, apr, device, 2, ids->data, (int)ids->dim[0] * len, len, recompute, &e);
    for (int step = 1; !e.code && step <= steps; step++) {
        double loss = run(&t, 1, &e), norm = 0;
        optim_step(&o, &t.f.p, step, &norm, &e);
        worst = fmax(worst, fabs(loss - number(v, "loss", step - 1)));
        worst_norm = fmax(worst_norm, fabs(norm / number(v, "grad_norm", step - 1) - 1));
    }
    ok(!e.code && worst < 1e-4 && worst_norm < 1e-4,
       "train-full on %s%s: losses of %d steps within %.1e, norms %.1e %s", device,
       recompute ? ", layers run twice" : "", steps, worst, worst_norm, e.msg);
    training_close(&t);
    safetensors_close(&s);
    cJSON_Delete(v);
}

/* A random model of two layers. */
static int tiny(const char *path, const char *arch, int tied, struct err *e)
{
    struct hparams h = {.n_layer = 2,
                        .n_embd = 16,
                        .n_head = 2,
                        .n_head_kv = 1,
                        .head_dim = 8,
                        .n_ff = 24,
                        .n_vocab = 40,
                        .n_ctx = 64,
                        .rope_theta = 1e4,
                        .rms_eps = 1e-6,
                        .tied = tied,
                        .qkv_bias = strcmp(arch, "qwen2") == 0,
                        .qk_norm = strcmp(arch, "qwen3") == 0,
                        .bos = -1,
                        .pad = -1};
    struct import_want want;
    struct tensor t[40] = {{.type = 0}};
    cJSON *meta = cJSON_CreateObject();
    int n = 0;
    snprintf(h.arch, sizeof h.arch, "%s", arch);
    for (; n < 40 && import_wanted(&h, n, &want); n++) {
        memcpy(t[n].name, want.name, sizeof t[n].name);
        t[n].type = KN_F32;
        t[n].ndim = want.ndim;
        t[n].dim[0] = want.dim[0];
        t[n].dim[1] = want.ndim == 2 ? want.dim[1] : 0;
        t[n].bytes = tensor_bytes(KN_F32, t[n].ndim, t[n].dim);
        void *x = malloc(t[n].bytes);
        random_model_fill(&t[n], 5, x);
        t[n].data = x;
    }
    int rc = hparams_to_meta(&h, meta, e);
    rc = rc ? rc : apr_write(path, meta, t, n, NULL, NULL, NULL, e);
    for (int i = 0; i < n; i++)
        free((void *)(uintptr_t)t[i].data);
    cJSON_Delete(meta);
    return rc;
}

enum { ROWS = 40, DOC = 17 };
static int32_t words[ROWS];

/* Loss with the tensor moved by h along u. */
static double moved(struct training *t, const struct full_weight *w, const float *x, const float *u,
                    double h, struct err *e)
{
    float *y = malloc(w->n * sizeof *y);
    const struct kn_at at = kn_plus(t->f.p.w, w->at * sizeof *y);
    for (size_t i = 0; i < w->n; i++)
        y[i] = (float)(x[i] + h * u[i]);
    kn_write(t->dev, at, y, w->n * sizeof *y);
    double loss = run(t, 0, e);
    kn_write(t->dev, at, x, w->n * sizeof *y);
    free(y);
    return loss;
}

/* Of every tensor the gradient along itself, and along a random half of itself, which is what the losses say. */
static void differences(const char *arch, int tied, int tensors)
{
    struct err e = {0};
    struct training t;
    char apr[100];
    snprintf(apr, sizeof apr, "%s/%s.apr", tmp, arch);
    if (tiny(apr, arch, tied, &e) || training_open(&t, apr, "ref", 1, words, ROWS, DOC, 0, &e)) {
        ok(0, "%s: %s", arch, e.msg);
        return;
    }
    ok(t.f.n == tensors && t.f.n == t.m.file.n_tensor, "%s: %d tensors, the file's", arch, t.f.n);
    run(&t, 1, &e);
    double worst = 0;
    const char *where = "";
    for (int i = 0; i < t.f.n; i++) {
        const struct full_weight *w = &t.f.t[i];
        float *x = malloc(w->n * sizeof *x), *g = malloc(w->n * sizeof *g);
        kn_read(t.dev, x, kn_plus(t.f.p.w, w->at * sizeof *x), w->n * sizeof *x);
        kn_read(t.dev, g, kn_plus(t.f.p.g, w->at * sizeof *g), w->n * sizeof *g);
        for (int half = 0; half < 2; half++) {
            double size = 0;
            for (size_t k = 0; k < w->n; k++) {
                if (half && (k * 2654435761u >> 7) % 2)
                    g[k] = 0;
                size += (double)g[k] * g[k];
            }
            const double h = 0.02 / sqrt(size); /* two step sizes cancel the h^2 term */
            const double a = (moved(&t, w, x, g, h, &e) - moved(&t, w, x, g, -h, &e)) / (2 * h);
            const double b = (moved(&t, w, x, g, h / 2, &e) - moved(&t, w, x, g, -h / 2, &e)) / h;
            /* losses are f32: a few 1e-8 of their mean */
            const double bad = fabs((4 * b - a) / 3 - size) / (size + 1e-5 * sqrt(size) / 0.02);
            if (bad > worst || !isfinite(bad))
                worst = bad, where = w->from->name;
        }
        free(x);
        free(g);
    }
    ok(!e.code && worst < 1e-3, "%s: gradients of all by finite differences, worst %.1e in %s %s",
       arch, worst, where, e.msg);
    training_close(&t);
}

/* The same bits for any number of threads, and with layers run twice; ref's values. */
static void threads(const char *arch)
{
    struct err e = {0};
    struct training t;
    char apr[100];
    float *first = NULL, *other = NULL;
    static const struct {
        const char *device;
        int threads, recompute;
    } s[] = {{"cpu", 1, 0}, {"cpu", 2, 0}, {"cpu", 3, 1}, {"cpu:generic", 2, 0}, {"ref", 1, 0}};
    snprintf(apr, sizeof apr, "%s/%s.apr", tmp, arch);
    for (size_t i = 0; i < sizeof s / sizeof *s; i++) {
        if (training_open(&t, apr, s[i].device, s[i].threads, words, ROWS, DOC, s[i].recompute,
                          &e)) {
            ok(0, "%s: %s", s[i].device, e.msg);
            return;
        }
        run(&t, 1, &e);
        run(&t, 1, &e); /* added to */
        const size_t n = t.f.p.n, bytes = n * sizeof(float);
        first = first ? first : calloc(n, sizeof *first);
        other = other ? other : malloc(bytes);
        kn_read(t.dev, i ? other : first, t.f.p.g, bytes);
        double diff = 0, size = 1e-30;
        for (size_t k = 0; i && k < n; k++) {
            diff += pow((double)other[k] - first[k], 2);
            size += pow((double)first[k], 2);
        }
        if (i && s[i].device[0] == 'c')
            ok(!e.code && memcmp(first, other, bytes) == 0,
               "%s: the same bits on %s with %d threads%s", arch, s[i].device, s[i].threads,
               s[i].recompute ? ", layers run twice" : "");
        else if (i)
            ok(diff / size < 1e-11, "%s: ref's gradients, error %.1e", arch, diff / size);
        training_close(&t);
    }
    free(first);
    free(other);
}

/* What is written is what was trained: the same loss when it is loaded. */
static void saved(const char *arch)
{
    struct err e = {0};
    struct training t, u;
    struct optim o = OPTIM_DEFAULT;
    struct verify check = {.threads = 1};
    char apr[100], out[100], sha[65];
    double norm;
    snprintf(apr, sizeof apr, "%s/%s.apr", tmp, arch);
    snprintf(out, sizeof out, "%s/out.apr", tmp);
    if (training_open(&t, apr, "cpu", 2, words, ROWS, DOC, 0, &e)) {
        ok(0, "%s: %s", arch, e.msg);
        return;
    }
    const double before = run(&t, 1, &e);
    optim_step(&o, &t.f.p, 1, &norm, &e);
    const double after = run(&t, 0, &e);
    ok(!e.code && after < before, "%s: a step lowers the loss, %.4f to %.4f %s", arch, before,
       after, e.msg);
    ok(full_save(&t.f, &t.m, out, "f32", &check, sha, &e) == 0, "%s: written %s", arch, e.msg);
    if (training_open(&u, out, "cpu", 1, words, ROWS, DOC, 0, &e)) {
        ok(0, "%s: %s", out, e.msg);
        return;
    }
    ok(run(&u, 0, &e) == after, "%s: read back, the same loss", arch);
    training_close(&u);
    training_close(&t);
}

int main(void)
{
    struct err e = {0};
    char apr[100], cmd[100];
    if (!mkdtemp(tmp))
        return 1;
    for (int i = 0; i < ROWS; i++)
        words[i] = i * i * 7 % 39 + 1;
    snprintf(apr, sizeof apr, "%s/base.apr", tmp);
    if (convert(TOP "/tests/vectors/qwen2-tied", apr, &e))
        ok(0, "qwen2-tied: %s", e.msg);
    else {
        golden(apr, "ref", 0, 1);
        golden(apr, "cpu", 0, 8);
        golden(apr, "cpu", 1, 2);
    }
    differences("qwen2", 1, 2 + 2 * 12);
    differences("qwen3", 0, 3 + 2 * 11);
    differences("llama", 1, 2 + 2 * 9);
    threads("qwen2");
    threads("qwen3");
    saved("qwen3");
    snprintf(cmd, sizeof cmd, "rm -r %s", tmp);
    return done_testing() | system(cmd);
}
