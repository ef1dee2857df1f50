/* test_backward - training against peft and torch: gradients, ten steps, adapters, token counts
 *
 * Cases train-* of the golden archive (peft over transformers 5.17.0, float32): initial adapters,
 * their first gradients, losses and norms of ten AdamW steps, final adapters.  train-lora-qv is in
 * tests/vectors; its base model and the other cases are taken from the archive where it is present.
 * The built-in model: sixteen steps of a run on its own finetuning data (tiny_f32.json). */
#include "apr.h"
#include "backward.h"
#include "dataset.h"
#include "hf_apr.h"
#include "import.h"
#include "optim.h"
#include "safetensors.h"
#include "tap.h"
#include "trainer.h"
#include <math.h>
#include <string.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
enum { STEPS = 2 }; /* the sanitizer's build is slow: its subject is memory */
#else
enum { STEPS = 16 };
#endif

static char tmp[] = "/tmp/test_backward.XXXXXX";

static const char *shared(void)
{
    const char *s = getenv("APR_SHARED");
    return s ? s : TOP "/../shared";
}

/* Folder of a case in tests/vectors or out of the archive; NULL if it is nowhere. */
static int folder(const char *name, char *path, size_t size)
{
    char cmd[1200];
    snprintf(path, size, TOP "/tests/vectors/%s", name);
    if (access(path, F_OK) == 0)
        return 1;
    snprintf(path, size, "%s/golden", tmp);
    if (access(path, F_OK)) {
        snprintf(cmd, sizeof cmd,
                 "tar xJf '%s/golden/golden.tar.xz' -C %s golden/qwen2-tied golden/qwen3-headdim "
                 "golden/train-lora-qv golden/train-lora-all golden/train-rslora-all "
                 "golden/train-lora-qwen3 golden/train-dora-all golden/phi3 golden/train-lora-phi3 "
                 "2>/dev/null",
                 shared(), tmp);
        if (system(cmd))
            return 0;
    }
    snprintf(path, size, "%s/golden/%s", tmp, name);
    return access(path, F_OK) == 0;
}

static const char *const parts[] = {"A", "B", "magnitude_vector"};

/* Largest difference over largest value, of all adapters' tensors "KIND.base_model.model.MODULE..."
 */
static double compare(const struct lora *l, struct kn_at at, const struct safetensors *s,
                      const char *kind)
{
    float *w = malloc(l->p.n * sizeof *w);
    double worst = 0;
    kn_read(l->p.dev, w, at, l->p.n * sizeof *w);
    for (int i = 0; i < (l->c.dora ? 3 : 2) * l->n_mod; i++) {
        const struct lora_mod *m = &l->mod[i % l->n_mod];
        const int part = i / l->n_mod;
        char module[128], name[TENSOR_NAME + 1];
        lora_module(m->layer, m->which, module, sizeof module);
        snprintf(name, sizeof name, "%s.base_model.model.%s.lora_%s.default.weight", kind, module,
                 parts[part]);
        const struct tensor *t = safetensors_get(s, name);
        size_t n =
            part == 2 ? (size_t)m->n_out : (size_t)l->c.rank * (size_t)(part ? m->n_out : m->n_in);
        if (!t || t->bytes != n * sizeof *w) {
            worst = INFINITY;
            break;
        }
        const float *a = w + (part == 2 ? m->mag : part ? m->b : m->a), *b = t->data;
        double diff = 0, size = 1e-12;
        for (size_t k = 0; k < n; k++) {
            diff = fmax(diff, fabs((double)a[k] - b[k]));
            size = fmax(size, fabs((double)b[k]));
        }
        worst = fmax(worst, diff / size);
    }
    free(w);
    return worst;
}

static int set_init(const struct lora *l, const struct safetensors *s)
{
    for (int i = 0; i < 2 * l->n_mod; i++) {
        const struct lora_mod *m = &l->mod[i / 2];
        char module[128], name[TENSOR_NAME + 1];
        lora_module(m->layer, m->which, module, sizeof module);
        snprintf(name, sizeof name, "init.base_model.model.%s.lora_%c.default.weight", module,
                 "AB"[i % 2]);
        const struct tensor *t = safetensors_get(s, name);
        if (!t && i % 2) /* the built-in model's file leaves out B = 0 */
            continue;
        if (!t)
            return -1;
        kn_write(l->p.dev, kn_plus(l->p.w, (i % 2 ? m->b : m->a) * sizeof(float)), t->data,
                 t->bytes);
    }
    return 0;
}

static unsigned targets_of(const cJSON *v)
{
    unsigned all = 0, one;
    const cJSON *t;
    struct err e = {0};
    cJSON_ArrayForEach(t, cJSON_GetObjectItem(v, "target_modules")) if (lora_targets(t->valuestring,
                                                                                     &one, &e) == 0)
        all |= one;
    return all;
}

static double number(const cJSON *v, const char *key, int i)
{
    return cJSON_GetArrayItem(cJSON_GetObjectItem(v, key), i)->valuedouble;
}

/* What peft recorded, and a model with adapters on a device to do the same. */
struct recorded {
    struct safetensors s;
    cJSON *v;
    struct kn_dev *dev;
    struct model m;
    struct lora l;
    struct backward b;
    const int32_t *ids;
    int32_t *doc, *label;
    int n, n_loss;
};

static void recorded_close(struct recorded *r)
{
    free(r->doc);
    free(r->label);
    backward_free(&r->b);
    lora_free(&r->l);
    model_free(&r->m);
    if (r->dev)
        kn_close(r->dev);
    safetensors_close(&r->s);
    cJSON_Delete(r->v);
}

/* targets 0: as recorded. */
static int recorded_open(struct recorded *r, const char *apr, const char *dir, const char *device,
                         unsigned targets, int recompute, struct err *e)
{
    char path[600];
    memset(r, 0, sizeof *r);
    snprintf(path, sizeof path, "%s/scalars.json", dir);
    r->v = json_load(path, e);
    snprintf(path, sizeof path, "%s/golden.safetensors", dir);
    if (!r->v || safetensors_open(&r->s, path, e) || kn_open(&r->dev, device, 2))
        return -1;
    struct lora_conf c = {.rank = (int)json_get_int(r->v, "r", 0, e),
                          .alpha = json_get_num(r->v, "alpha", 0, e),
                          .rslora = json_get_bool(r->v, "rslora", 0, e),
                          .dora = json_get_bool(r->v, "dora", 0, e),
                          .targets = targets ? targets : targets_of(r->v)};
    const struct tensor *ids = safetensors_get(&r->s, "input_ids"),
                        *labels = safetensors_get(&r->s, "labels");
    const int len = (int)ids->dim[1];
    r->n = (int)ids->dim[0] * len;
    r->ids = ids->data;
    r->doc = malloc((size_t)r->n * sizeof *r->doc);
    r->label = malloc((size_t)r->n * sizeof *r->label);
    for (int i = 0; i < r->n; i++) { /* row t predicts token t + 1 */
        r->doc[i] = i / len * len;
        r->label[i] = i % len == len - 1 ? -1 : ((const int32_t *)labels->data)[i + 1];
        r->n_loss += r->label[i] >= 0;
    }
    return model_load(&r->m, apr, r->dev, KN_W_TRAIN, 0, e) ||
                   lora_new(&r->l, &c, &r->m.h, r->dev, 1, e) ||
                   backward_new(&r->b, &r->m, &r->l, r->n, recompute, 0, e)
               ? -1
               : 0;
}

/* Gradients; the sum of the losses. */
static double recorded_run(struct recorded *r, struct err *e)
{
    double loss = 0;
    backward_run(&r->b, r->ids, r->doc, r->label, r->n, 1 / (float)r->n_loss, 1, &loss, e);
    return loss;
}

/* Ten steps of one golden case on a device. */
static void golden(const char *name, const char *apr, const char *dir, const char *device,
                   int recompute, int steps)
{
    struct err e = {0};
    struct recorded r;
    if (recorded_open(&r, apr, dir, device, 0, recompute, &e) || set_init(&r.l, &r.s)) {
        ok(0, "%s on %s: %s", name, device, e.msg);
        recorded_close(&r);
        return;
    }
    if (r.l.c.dora)
        ok(compare(&r.l, r.l.p.w, &r.s, "init") < 1e-6, "%s on %s: magnitudes begin as norms", name,
           device);
    struct optim o = OPTIM_DEFAULT;
    o.lr = 1e-3;
    o.weight_decay = 0.01;
    o.schedule = OPTIM_CONSTANT;
    double worst = 0, worst_norm = 0, grad = 0;
    for (int step = 1; step <= steps && !e.code; step++) {
        double loss = recorded_run(&r, &e), norm = 0;
        if (step == 1)
            grad = compare(&r.l, r.l.p.g, &r.s, "grad0");
        optim_step(&o, &r.l.p, step, &norm, &e);
        worst = fmax(worst, fabs(loss / r.n_loss - number(r.v, "loss", step - 1)));
        worst_norm = fmax(worst_norm, fabs(norm / number(r.v, "grad_norm", step - 1) - 1));
    }
    ok(!e.code && grad < 1e-4, "%s on %s%s: gradients, relative error %.1e %s", name, device,
       recompute ? ", recomputing" : "", grad, e.msg);
    ok(worst < 1e-4 && worst_norm < 1e-4, "%s on %s: %d losses within %.1e, norms %.1e", name,
       device, steps, worst, worst_norm);
    if (steps == 10) {
        double end = compare(&r.l, r.l.p.w, &r.s, "final");
        ok(end < 2e-3, "%s on %s: final adapters, relative error %.1e", name, device, end);
    }
    if (steps == 1) {
        double loss = 0;
        r.label[0] = r.m.h.n_vocab;
        e = (struct err){0};
        ok(backward_run(&r.b, r.ids, r.doc, r.label, r.n, 1, 1, &loss, &e) == ERR_DATA &&
               strstr(e.msg, "row 0: token id"),
           "%s on %s: a label beyond the vocabulary: %s", name, device, e.msg);
    }
    recorded_close(&r);
}

/* The factor of a module out of phi3's, where q, k and v have one A and the rows of one B, and so gate and up. */
static const float *of_fused(const struct safetensors *s, const char *kind,
                             const struct lora_mod *mod, int b, int rank)
{
    static const char *const names[] = {
        "self_attn.qkv_proj", "self_attn.qkv_proj", "self_attn.qkv_proj", "self_attn.o_proj",
        "mlp.gate_up_proj",   "mlp.gate_up_proj",   "mlp.down_proj"};
    char name[TENSOR_NAME + 1];
    size_t row = 0;
    for (int i = mod->which == LORA_UP ? LORA_GATE : LORA_Q;
         b && (mod->which <= LORA_V || mod->which == LORA_UP) && i < mod->which; i++)
        row += (size_t)mod[i - mod->which].n_out;
    snprintf(name, sizeof name, "%s.base_model.model.model.layers.%d.%s.lora_%c.default.weight",
             kind, mod->layer, names[mod->which], "AB"[b]);
    const struct tensor *t = safetensors_get(s, name);
    if (!t || t->type != KN_F32 || t->dim[b ? 1 : 0] != (uint64_t)rank ||
        t->dim[b ? 0 : 1] < (b ? row + (size_t)mod->n_out : (size_t)mod->n_in))
        return NULL;
    return (const float *)t->data + row * (size_t)rank;
}

/* phi3: peft's first gradients on fused layers, ours on their parts.  B is zero, so that A has no gradient yet and
 * the norm is the same, though q, k and v have an A each here. */
static void fused(const char *apr, const char *dir, const char *device)
{
    struct err e = {0};
    struct recorded r;
    if (recorded_open(&r, apr, dir, device, (1u << LORA_WHICH) - 1, 0, &e)) {
        ok(0, "phi3 on %s: %s", device, e.msg);
        recorded_close(&r);
        return;
    }
    const struct lora *l = &r.l;
    const size_t rank = (size_t)l->c.rank;
    double norm = 0, worst = 0;
    float *g = malloc(l->p.n * sizeof *g);
    for (int i = 0; i < l->n_mod; i++) {
        const float *a = of_fused(&r.s, "init", &l->mod[i], 0, l->c.rank);
        if (a)
            kn_write(r.dev, kn_plus(l->p.w, l->mod[i].a * sizeof *a), a,
                     rank * (size_t)l->mod[i].n_in * sizeof *a);
        worst = a ? worst : INFINITY;
    }
    const double loss = recorded_run(&r, &e);
    kn_read(r.dev, g, l->p.g, l->p.n * sizeof *g);
    for (int i = 0; i < 2 * l->n_mod; i++) {
        const struct lora_mod *mod = &l->mod[i / 2];
        const float *want = of_fused(&r.s, "grad0", mod, i % 2, l->c.rank);
        const float *have = g + (i % 2 ? mod->b : mod->a);
        double diff = 0, size = 1e-12;
        for (size_t k = 0; want && k < rank * (size_t)(i % 2 ? mod->n_out : mod->n_in); k++) {
            diff = fmax(diff, fabs((double)have[k] - want[k]));
            size = fmax(size, fabs((double)want[k]));
        }
        worst = fmax(worst, want ? diff / size : INFINITY);
    }
    struct optim o = OPTIM_DEFAULT;
    optim_step(&o, &r.l.p, 1, &norm, &e);
    ok(!e.code && worst < 1e-4, "phi3 on %s: gradients, relative error %.1e %s", device, worst,
       e.msg);
    ok(fabs(loss / r.n_loss - number(r.v, "loss", 0)) < 1e-4 &&
           fabs(norm / number(r.v, "grad_norm", 0) - 1) < 1e-4,
       "phi3 on %s: the first loss and norm", device);
    free(g);
    recorded_close(&r);
}

/* The built-in model: samples 0..63 in order, batches of 8, two passes; in f32 against the recorded run, in bf16
 * against the same losses with 1 %. */
static void builtin(int mixed)
{
    struct err e = {0};
    struct model m;
    struct lora l = {0};
    struct backward b = {0};
    struct dataset d = {0};
    struct safetensors s = {0};
    struct kn_dev *dev;
    char dir[600], apr[100], path[700];
    snprintf(dir, sizeof dir, "%s/models/tiny-coder-29m/hf", shared());
    if (access(dir, F_OK)) {
        skip("the built-in model's folder is not there");
        return;
    }
    snprintf(apr, sizeof apr, "%s/tiny.apr", tmp);
    snprintf(path, sizeof path, "%s/golden/tiny_f32.json", shared());
    cJSON *v = json_load(path, &e), *want = cJSON_GetObjectItem(v, "lora16steps");
    struct lora_conf c = {.rank = 8, .alpha = 16, .targets = 127};
    const struct dataset_conf data = {.max_len = 512};
    snprintf(path, sizeof path, "%s/golden/tiny_lora_f32.safetensors", shared());
    if (!want || safetensors_open(&s, path, &e) || convert(dir, apr, &e) ||
        kn_open(&dev, "cpu", 2) ||
        model_load(&m, apr, dev, mixed ? KN_W_TRAIN | KN_W_MIXED : KN_W_TRAIN, 0, &e)) {
        ok(0, "built-in model: %s", e.msg);
        return;
    }
    snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    bpe_load_json(&m.tok, path, &e);
    m.chat_format = "chatml";
    snprintf(path, sizeof path, "%s/data/tiny/finetune.jsonl", shared());
    if (e.code || dataset_load(&d, path, &m, &data, &e) || lora_new(&l, &c, &m.h, dev, 1, &e) ||
        backward_new(&b, &m, &l, 2048, 0, mixed, &e) || set_init(&l, &s)) {
        ok(0, "built-in model: %s", e.msg);
        return;
    }
    int wrong = 0;
    for (int i = 0; i < 64; i++)
        wrong += number(want, "prompt_tokens", i) != d.s[i].n_prompt ||
                 number(want, "response_tokens", i) != d.s[i].n - d.s[i].n_prompt;
    const char *what = mixed ? "built-in model in bf16" : "built-in model";
    ok(wrong == 0, "built-in model: token counts of 64 samples, %d differ", wrong);
    struct optim o = OPTIM_DEFAULT;
    o.lr = 1e-3;
    o.weight_decay = 0.01;
    o.schedule = OPTIM_CONSTANT;
    double worst = 0, worst_norm = 0, share = 0;
    for (int step = 1; step <= STEPS && !e.code; step++) {
        struct dataset_packs p;
        uint32_t which[8];
        double loss = 0, norm = 0;
        for (int i = 0; i < 8; i++)
            which[i] = (uint32_t)((step - 1) % 8 * 8 + i);
        dataset_pack(&p, &d, which, 8, 2048, &e);
        for (int i = 0; i < p.n_pack; i++)
            backward_run(&b, p.ids + p.start[i], p.doc + p.start[i], p.label + p.start[i],
                         p.start[i + 1] - p.start[i], 1 / (float)p.n_loss, 1, &loss, &e);
        optim_step(&o, &l.p, step, &norm, &e);
        double loss_of = number(want, "loss", step - 1),
               off = fabs(loss / (double)p.n_loss - loss_of);
        worst = fmax(worst, off);
        share = fmax(share, off / loss_of);
        worst_norm = fmax(worst_norm, fabs(norm / number(want, "grad_norm", step - 1) - 1));
        dataset_packs_free(&p);
    }
    ok(!e.code && (mixed ? share < 0.01 : worst < 1e-3),
       "%s: %d losses within %.1e (%.2f %%), norms within %.1e %s", what, STEPS, worst, 100 * share,
       worst_norm, e.msg);
    double end = STEPS < 16 ? 0 : compare(&l, l.p.w, &s, "final");
    if (!mixed)
        ok(end < 0.02, "%s: final adapters, relative error %.1e", what, end);
    dataset_free(&d);
    backward_free(&b);
    lora_free(&l);
    model_free(&m);
    kn_close(dev);
    safetensors_close(&s);
    cJSON_Delete(v);
}

/* Mean loss of the pass with the parameters moved by h along g. */
static double loss_at(struct backward *b, const float *w, const float *g, double h,
                      const int32_t *ids, const int32_t *doc, const int32_t *label, int n,
                      struct err *e)
{
    struct params *p = &b->l->p;
    float *x = malloc(p->n * sizeof *x);
    double loss = 0;
    for (size_t i = 0; i < p->n; i++)
        x[i] = (float)(w[i] + h * g[i]);
    kn_write(p->dev, p->w, x, p->n * sizeof *x);
    backward_run(b, ids, doc, label, n, 1, 0, &loss, e);
    free(x);
    return loss;
}

/* A classification head: gradients of it and of the adapters by finite differences, what is right is counted. */
static void classes(const char *apr)
{
    enum { N = 24, DOC = 8 };
    struct err e = {0};
    struct kn_dev *dev;
    struct model m;
    struct lora l;
    struct backward b;
    const struct lora_conf c = {.rank = 2, .alpha = 4, .targets = 127, .n_class = 3};
    int32_t ids[N], doc[N], label[N];
    double loss = 0, size = 0;
    if (kn_open(&dev, "ref", 1) || model_load(&m, apr, dev, KN_W_TRAIN, 0, &e) ||
        lora_new(&l, &c, &m.h, dev, 3, &e) || backward_new(&b, &m, &l, N, 0, 0, &e)) {
        ok(0, "classes: %s", e.msg);
        return;
    }
    for (int i = 0; i < N; i++) {
        ids[i] = i * i % 40 + 1;
        doc[i] = i / DOC * DOC;
        label[i] = i % DOC == DOC - 1 ? i / DOC : -1;
    }
    const size_t n = l.p.n, n_score = 3 * (size_t)m.h.n_embd;
    float *w = malloc(n * sizeof *w), *g = malloc(n * sizeof *g);
    kn_read(dev, w, l.p.w, n * sizeof *w);
    for (size_t i = n_score; i < n; i++) /* B is not zero, so that A has a gradient too */
        w[i] += 0.01f * (float)((int)(i * 7 % 11) - 5);
    kn_write(dev, l.p.w, w, n * sizeof *w);
    backward_run(&b, ids, doc, label, N, 1, 1, &loss, &e);
    kn_read(dev, g, l.p.g, n * sizeof *g);
    for (int part = 0; part < 2; part++) { /* the head, the adapters */
        float *u = calloc(n, sizeof *u);
        size = 0;
        for (size_t i = part ? n_score : 0; i < (part ? n : n_score); i++) {
            u[i] = g[i];
            size += (double)g[i] * g[i];
        }
        const double h = 0.02 / sqrt(size);
        const double diff = loss_at(&b, w, u, h, ids, doc, label, N, &e) -
                            loss_at(&b, w, u, -h, ids, doc, label, N, &e);
        ok(!e.code && size > 0 && fabs(diff / (2 * h) / size - 1) < 1e-2,
           "classes: the gradient of the %s, %.5f of what differences say %s",
           part ? "adapters" : "head", diff / (2 * h) / size, e.msg);
        free(u);
    }
    memset(w, 0, n_score * sizeof *w);
    b.n_right = 0;
    loss = loss_at(&b, w, g, 0, ids, doc, label, N, &e);
    ok(!e.code && fabs(loss - 3 * log(3)) < 1e-6 && b.n_right == 1,
       "classes: a head of zeros has ln 3 a sample, and says the first: %ld right", b.n_right);
    label[7] = 3;
    ok(backward_run(&b, ids, doc, label, N, 1, 0, &loss, &e) == ERR_DATA, "%s", e.msg);
    free(w);
    free(g);
    backward_free(&b);
    lora_free(&l);
    model_free(&m);
    kn_close(dev);
}

int main(void)
{
    static const char *const cases[][2] = {{"train-lora-qv", "qwen2-tied"},
                                           {"train-lora-all", "qwen2-tied"},
                                           {"train-rslora-all", "qwen2-tied"},
                                           {"train-dora-all", "qwen2-tied"},
                                           {"train-lora-qwen3", "qwen3-headdim"}};
    char base[600], dir[600], apr[100], cmd[200];
    if (!mkdtemp(tmp))
        return 1;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e = {0};
        if (!folder(cases[i][1], base, sizeof base) || !folder(cases[i][0], dir, sizeof dir)) {
            skip("%s: not in tests/vectors, no archive", cases[i][0]);
            continue;
        }
        snprintf(apr, sizeof apr, "%s/base.apr", tmp);
        if (convert(base, apr, &e)) {
            ok(0, "%s: %s", cases[i][1], e.msg);
            continue;
        }
        if (i == 0 || strcmp(cases[i][0], "train-dora-all") == 0)
            golden(cases[i][0], apr, dir, "ref", 0, 1);
        golden(cases[i][0], apr, dir, "cpu", 0, 10);
        golden(cases[i][0], apr, dir, "cpu", 1, 2);
    }
    struct err e = {0};
    snprintf(apr, sizeof apr, "%s/classes.apr", tmp);
    if (convert(TOP "/tests/vectors/qwen2-tied", apr, &e))
        ok(0, "qwen2-tied: %s", e.msg);
    else
        classes(apr);
    e = (struct err){0};
    struct import_opts opts = {.no_tokenizer = 1};
    struct import_done done;
    snprintf(apr, sizeof apr, "%s/base.apr", tmp);
    if (!folder("phi3", base, sizeof base) || !folder("train-lora-phi3", dir, sizeof dir))
        skip("train-lora-phi3: not in tests/vectors, no archive");
    else if (import_safetensors(base, apr, &opts, &done, &e))
        ok(0, "phi3: %s", e.msg);
    else {
        fused(apr, dir, "ref");
        fused(apr, dir, "cpu");
    }
    builtin(0);
#ifndef __SANITIZE_ADDRESS__ /* minutes there; apr-lora.bats trains a small model in bf16 under it */
    builtin(1);
#endif
    snprintf(cmd, sizeof cmd, "rm -r %s", tmp);
    return done_testing() | system(cmd);
}
