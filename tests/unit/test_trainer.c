/* test_trainer - schedules, orders, packs, checkpoints, folders: what needs no model */
#include "ckpt.h"
#include "dataset.h"
#include "lora.h"
#include "optim.h"
#include "outdir.h"
#include "tap.h"
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char tmp[] = "/tmp/test_trainer.XXXXXX";

static void schedules(void)
{
    struct optim o = OPTIM_DEFAULT;
    o.lr = 1;
    o.total = 100;
    o.warmup = 0.1;
    o.schedule = OPTIM_COSINE;
    ok(optim_lr(&o, 1) == 0.1 && optim_lr(&o, 10) == 1 && optim_lr(&o, 11) == 1,
       "cosine: rises over 10 of 100 steps, begins to fall after them");
    ok(fabs(optim_lr(&o, 56) - 0.5) < 1e-12 && optim_lr(&o, 100) > 0 && optim_lr(&o, 100) < 1e-3,
       "cosine: half at the middle, nearly nothing at the last step");
    o.schedule = OPTIM_LINEAR;
    o.warmup = 20;
    ok(optim_lr(&o, 20) == 1 && fabs(optim_lr(&o, 61) - 0.5) < 1e-12, "linear, warm-up in steps");
    o.schedule = OPTIM_CONSTANT;
    o.warmup = 0;
    ok(optim_lr(&o, 1) == 1 && optim_lr(&o, 100) == 1, "constant without warm-up");
    o.schedule = OPTIM_WSD;
    o.warmup = 0.1;
    o.decay = 0.2;
    ok(optim_lr(&o, 5) == 0.5 && optim_lr(&o, 11) == 1 && optim_lr(&o, 80) == 1 &&
           optim_lr(&o, 81) < 1 && optim_lr(&o, 81) > 0.9 && optim_lr(&o, 100) > 0 &&
           optim_lr(&o, 100) < 0.05,
       "wsd: rises, stays, falls over the last 20 of 100 steps");
    o.warmup = 0.1;
    o.total = 1;
    o.schedule = OPTIM_COSINE;
    ok(isfinite(optim_lr(&o, 1)) && optim_lr(&o, 1) > 0, "a run of one step has a rate");
}

static void orders(void)
{
    uint32_t a[1000], b[1000], seen[1000] = {0};
    int all = 1, moved = 0;
    dataset_order(a, 1000, 42, 0);
    dataset_order(b, 1000, 42, 0);
    ok(!memcmp(a, b, sizeof a), "an epoch's order is the seed's");
    for (int i = 0; i < 1000; i++) {
        all &= a[i] < 1000 && !seen[a[i]]++;
        moved += a[i] != (uint32_t)i;
    }
    ok(all && moved > 900, "it is a permutation");
    dataset_order(b, 1000, 42, 1);
    ok(memcmp(a, b, sizeof a) != 0, "the next epoch's is another");
}

static void packs(void)
{
    enum { N = 50, MAX = 64 };
    struct err e = {0};
    struct dataset_sample s[N];
    int32_t ids[N * 65];
    struct dataset d = {.ids = ids, .s = s, .n = N};
    struct dataset_packs p;
    uint32_t which[N];
    size_t at = 0;
    long rows = 0, loss = 0;
    for (int i = 0; i < N; i++) {
        s[i] = (struct dataset_sample){.at = at, .n = 2 + i * 37 % 64, .n_prompt = 1 + i % 2};
        for (int t = 0; t < s[i].n; t++)
            ids[at + (size_t)t] = i * 100 + t;
        at += (size_t)s[i].n;
        rows += s[i].n - 1;
        loss += s[i].n - s[i].n_prompt;
        which[i] = (uint32_t)i;
    }
    ok(dataset_pack(&p, &d, which, N, MAX, &e) == 0, "50 samples in packs of 64 rows %s", e.msg);
    int good = p.n_rows == rows && p.n_loss == loss;
    for (int k = 0; k < p.n_pack; k++) {
        const int32_t *id = p.ids + p.start[k], *doc = p.doc + p.start[k],
                      *label = p.label + p.start[k];
        int n = p.start[k + 1] - p.start[k];
        good &= n > 0 && n <= MAX;
        for (int t = 0; t < n; t++) {
            int sample = id[t] / 100, pos = id[t] % 100;
            good &= doc[t] == t - pos; /* documents are whole and begin at position 0 */
            good &= label[t] == (pos + 1 >= s[sample].n_prompt ? id[t] + 1 : -1);
        }
    }
    ok(good, "every row once, whole documents, labels of the response alone");
    ok(p.n_pack <= (rows + MAX - 1) / MAX + 1, "%d packs for %ld rows", p.n_pack, rows);
    dataset_packs_free(&p);
    ok(dataset_pack(&p, &d, which, N, 10, &e) == ERR_SOFTWARE, "a sample larger than a pack");
}

static int damage(const char *path, long at)
{
    FILE *f = fopen(path, "r+b");
    int c;
    if (!f || fseek(f, at, at < 0 ? SEEK_END : SEEK_SET) || (c = getc(f)) == EOF ||
        fseek(f, -1, SEEK_CUR))
        return -1;
    putc(c ^ 1, f);
    return fclose(f);
}

static void checkpoints(void)
{
    struct err e = {0};
    struct kn_dev *dev;
    struct lora a = {0}, b = {0};
    struct hparams h = {
        .n_layer = 2, .n_embd = 16, .n_head = 2, .n_head_kv = 1, .head_dim = 8, .n_ff = 24};
    struct lora_conf c = {.rank = 3, .alpha = 6};
    char path[100];
    long step = -1;
    float *x, *y;
    snprintf(path, sizeof path, "%s/a.ckpt", tmp);
    if (kn_open(&dev, "ref", 1)) {
        ok(0, "the device ref");
        return;
    }
    ok(lora_targets("v_proj,down_proj", &c.targets, &e) == 0 &&
           lora_new(&a, &c, &h, dev, 1, &e) == 0 && lora_new(&b, &c, &h, dev, 2, &e) == 0,
       "adapters on two kinds of layers");
    ok(a.n_mod == 4 && a.p.n == 2 * 3 * (16 + 8 + 24 + 16), "%zu parameters", a.p.n);
    size_t bytes = a.p.n * sizeof *x;
    x = malloc(bytes);
    y = malloc(bytes);
    kn_read(dev, x, a.p.w, bytes);
    kn_read(dev, y, b.p.w, bytes);
    float bound = 0;
    for (size_t i = 0; i < 3 * 16; i++)
        bound = fmaxf(bound, fabsf(x[i]));
    ok(bound <= 0.25f && bound > 0.2f && x[48] == 0 && memcmp(x, y, bytes),
       "A within 1/sqrt(inputs), B zero, another seed another A");
    const struct optim opt = OPTIM_DEFAULT;
    ok(optim_begin(&opt, &a.p, &e) == 0 && optim_begin(&opt, &b.p, &e) == 0, "moments %s", e.msg);
    ok(ckpt_load(path, "k", &b.p, &step, &e) == 0, "no checkpoint");
    ok(ckpt_save(path, "k", &a.p, 77, &e) == 0 && ckpt_load(path, "k", &b.p, &step, &e) == 1 &&
           step == 77,
       "saved and loaded %s", e.msg);
    kn_read(dev, y, b.p.w, bytes);
    ok(!memcmp(x, y, bytes), "the same bits");
    ok(ckpt_load(path, "other", &b.p, &step, &e) == 0, "another run's is passed over");
    static const long at[] = {0, 9, 30, 400, -70, -1};
    int refused = 0;
    for (int i = 0; i < 6; i++) {
        struct err e2 = {0};
        damage(path, at[i]);
        int rc = ckpt_load(path, "k", &b.p, &step, &e2);
        refused += rc == ERR_DATA || rc == 0; /* a byte of the key: another run's */
        damage(path, at[i]);
    }
    ok(refused == 6 && ckpt_load(path, "k", &b.p, &step, &e) == 1, "a flipped bit is seen");
    refused = 0;
    for (long n = 0; n < 500; n += 7) {
        struct err e2 = {0};
        char cut[120], cmd[300];
        snprintf(cut, sizeof cut, "%s/cut.ckpt", tmp);
        snprintf(cmd, sizeof cmd, "cp %s %s", path, cut);
        if (n == 0 && system(cmd))
            break;
        struct stat st;
        if (stat(cut, &st) || truncate(cut, st.st_size - 1 - n) || st.st_size - 1 - n < 0)
            break;
        refused += ckpt_load(cut, "k", &b.p, &step, &e2) == ERR_DATA;
    }
    ok(refused > 10, "truncated: refused %d times", refused);
    free(x);
    free(y);
    lora_free(&a);
    lora_free(&b);
    kn_close(dev);
}

/* Modules by an expression, a rank that does not fit, one AdamW step with two rates. */
static void methods(void)
{
    struct err e = {0};
    struct kn_dev *dev;
    struct lora l = {0};
    struct hparams h = {
        .n_layer = 3, .n_embd = 16, .n_head = 2, .n_head_kv = 1, .head_dim = 8, .n_ff = 24};
    struct lora_conf c = {.rank = 2, .alpha = 6};
    char name[128];
    int rc = lora_select(".*\\.[02]\\.(self_attn|mlp)\\.(q|down)_proj", &c, &e);
    if (kn_open(&dev, "ref", 1))
        return;
    rc = rc ? rc : lora_new(&l, &c, &h, dev, 1, &e);
    ok(rc == 0 && l.n_mod == 4 && l.c.targets == (1u << LORA_Q | 1u << LORA_DOWN) &&
           l.p.n == 2 * 2 * (32 + 40) && l.p.n == lora_params(&c, &h),
       "an expression: four modules %s", e.msg);
    if (rc == 0)
        lora_module(l.mod[2].layer, l.mod[2].which, name, sizeof name);
    ok(rc == 0 && !strcmp(name, "model.layers.2.self_attn.q_proj"), "the third is %s", name);
    const size_t n = l.p.n, bytes = n * sizeof(float);
    float *w = malloc(bytes), *g = malloc(bytes), *x = malloc(bytes);
    struct optim o = OPTIM_DEFAULT;
    double norm;
    o.lr = 0.5;
    o.ratio = 16;
    o.schedule = OPTIM_CONSTANT;
    for (size_t i = 0; i < n; i++)
        g[i] = 1;
    kn_read(dev, w, l.p.w, bytes);
    kn_write(dev, l.p.g, g, bytes);
    ok(optim_step(&o, &l.p, 1, &norm, &e) == 0, "a step %s", e.msg);
    kn_read(dev, x, l.p.w, bytes);
    int good = 0; /* AdamW's first step moves each value by its rate */
    for (int i = 0; i < l.n_mod; i++)
        good += fabs(w[l.mod[i].a] - x[l.mod[i].a] - 0.5) < 1e-4 &&
                fabs(w[l.mod[i].b - 1] - x[l.mod[i].b - 1] - 0.5) < 1e-4 &&
                fabs(w[l.mod[i].b] - x[l.mod[i].b] - 8) < 1e-3;
    ok(good == 4 && fabs(w[n - 1] - x[n - 1] - 8) < 1e-3, "LoRA+: B moves 16 times as far as A");
    free(w);
    free(g);
    free(x);
    lora_free(&l);
    ok(lora_select("(", &c, &e) == ERR_USAGE, "no expression: %s", e.msg);
    e = (struct err){0};
    ok(lora_select("q_proj.*", &c, &e) == 0 && lora_new(&l, &c, &h, dev, 1, &e) == ERR_USAGE &&
           strstr(e.msg, "no module"),
       "it must match the whole name: %s", e.msg);
    e = (struct err){0};
    c.rank = 9;
    ok(lora_select("q_proj,k_proj", &c, &e) == 0 && lora_new(&l, &c, &h, dev, 1, &e) == ERR_USAGE &&
           strstr(e.msg, "layers.0.self_attn.k_proj (8, 16)"),
       "%s", e.msg);
    kn_close(dev);
}

static void folders(void)
{
    struct err e = {0};
    static const char *const ours[] = {"f0", "f1", NULL};
    struct outdir d;
    char path[100], file[200];
    struct stat st;
    snprintf(path, sizeof path, "%s/out", tmp);
    for (int i = 0; i < 2; i++) { /* new, then in place of the old */
        int rc = outdir_open(&d, path, ours, &e);
        snprintf(file, sizeof file, "%s/f%d", d.tmp, i);
        fclose(fopen(file, "w"));
        rc = rc ? rc : outdir_commit(&d, &e);
        snprintf(file, sizeof file, "%s/f%d", path, i);
        ok(rc == 0 && stat(file, &st) == 0, "a folder, take %d %s", i + 1, e.msg);
    }
    snprintf(file, sizeof file, "%s/f0", path);
    ok(stat(file, &st), "the old content is gone");
    snprintf(file, sizeof file, "%s/out.tmp.999999999", tmp);
    mkdir(file, 0777);
    ok(outdir_open(&d, path, ours, &e) == 0 && stat(file, &st), "a dead run's folder is swept");
    snprintf(file, sizeof file, "%s", d.tmp);
    outdir_abort(&d);
    ok(stat(file, &st), "aborted: nothing left");
    snprintf(file, sizeof file, "%s/out/f1", tmp);
    ok(outdir_open(&d, file, ours, &e) == ERR_CANTCREAT, "a file in the way");
}

int main(void)
{
    char cmd[100];
    unsigned t;
    struct err e = {0};
    if (!mkdtemp(tmp))
        return 1;
    schedules();
    orders();
    packs();
    checkpoints();
    methods();
    folders();
    ok(lora_targets("all", &t, &e) == 0 && t == 127, "all targets");
    ok(lora_targets("q_proj,x", &t, &e) == ERR_USAGE && strstr(e.msg, "'x'"), "%s", e.msg);
    snprintf(cmd, sizeof cmd, "rm -r %s", tmp);
    return done_testing() | system(cmd);
}
