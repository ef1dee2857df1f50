/* test_qa - each gate that looks at a file fails for a model that is wrong in just that, and what cannot be compared
 * is skipped */
#include "kernels.h"
#include "qa.h"
#include "tap.h"
#include "tiny_model.h"
#include <math.h>
#include <unistd.h>

static char path[] = "/tmp/test_qa.XXXXXX";
static struct qa_conf conf;
static float head[3 * EMBD], out[EMBD];

static struct tensor *find(struct tensor *t, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(t[i].name, name) == 0)
            return &t[i];
    abort();
}

static void add(struct tensor *t, int *n, const char *name, int rows, int cols, const float *v)
{
    t[*n] = (struct tensor){
        .type = KN_F32, .ndim = 2, .dim = {(uint64_t)rows, (uint64_t)cols}, .data = v};
    t[*n].bytes = (size_t)rows * (size_t)cols * sizeof *v;
    snprintf(t[(*n)++].name, sizeof t->name, "%s", name);
}

static void swapped(struct tensor *t, int *n, struct hparams *h)
{
    struct tensor *x = find(t, *n, "model.layers.1.mlp.down_proj.weight");
    (void)h;
    x->dim[0] = FF;
    x->dim[1] = EMBD;
}
static void missing(struct tensor *t, int *n, struct hparams *h)
{
    (void)h;
    *find(t, *n, "model.layers.1.self_attn.o_proj.weight") = t[*n - 1];
    (*n)--;
}
static void extra(struct tensor *t, int *n, struct hparams *h)
{
    (void)h;
    add(t, n, "model.layers.0.self_attn.g_proj.weight", 1, EMBD, out);
}
static void nan_inside(struct tensor *t, int *n, struct hparams *h)
{
    (void)h;
    ((float *)(uintptr_t)find(t, *n, "model.layers.1.mlp.up_proj.weight")->data)[77] = NAN;
}
static void no_theta(struct tensor *t, int *n, struct hparams *h)
{
    (void)t, (void)n;
    h->rope_theta = 2;
}
static void coarse(struct tensor *t, int *n, struct hparams *h)
{
    (void)t, (void)n;
    h->rms_eps = 0.5;
}
static void endless(struct tensor *t, int *n, struct hparams *h)
{
    (void)t, (void)n;
    h->n_stop = 0;
}
static void labels(struct tensor *t, int *n, struct hparams *h)
{
    (void)h;
    for (int i = 0; i < 3 * EMBD; i++)
        head[i] = 0.1f;
    add(t, n, "score.weight", 3, EMBD, head);
}
static void empty_label(struct tensor *t, int *n, struct hparams *h)
{
    labels(t, n, h);
    memset(head + EMBD, 0, EMBD * sizeof *head);
}
static void one_label(struct tensor *t, int *n, struct hparams *h)
{
    (void)h;
    add(t, n, "score.weight", 1, EMBD, head);
}

/* What one gate says of a model that was changed; the gates that measure are left out. */
static void judge(void (*change)(struct tensor *, int *, struct hparams *), int id,
                  enum qa_status want, const char *word, const struct qa_opts *more)
{
    struct qa q;
    struct err e = {0};
    struct qa_opts o = more ? *more : (struct qa_opts){0};
    o.device = o.device ? o.device : "cpu:generic";
    o.gpu = o.gpu ? o.gpu : "nothing";
    o.threads = 1;
    if (tiny_model(path, change, &e) < 0 || qa_run(&q, path, &conf, &o, &e) < 0) {
        ok(0, "%s", e.msg);
        return;
    }
    const struct qa_gate *g = &q.gate[id];
    ok(g->status == want && strstr(g->message, word), "%s %s: %s", g->name,
       qa_status_name(g->status), g->message);
    ok(q.executed + q.skipped == QA_N &&
           q.passed == (!q.failed && q.executed >= conf.min_executed) &&
           (g->status != QA_FAIL || !q.passed),
       "%d gates run, %d failed", q.executed, q.failed);
}

/* ---- no memory ---- */

#if defined(__SANITIZE_ADDRESS__)
#define REPLACED 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define REPLACED 0
#endif
#endif
#ifndef REPLACED
#define REPLACED 1
#endif

#if REPLACED
static _Atomic long until = -1; /* calls of calloc before the one that fails; -1: none does */
void *__libc_calloc(size_t n, size_t size);
void *calloc(size_t n, size_t size)
{
    return until >= 0 && until-- == 0 ? NULL : __libc_calloc(n, size);
}

static void test_no_memory(void)
{
    int failed = 0, wrong = 0;
    for (long k = 0;; k++) {
        struct qa_conf c;
        struct err e = {0};
        until = k;
        const int rc = qa_conf_load(&c, TOP "/configs/qa.yaml", &e);
        if (until >= 0) { /* more than there are */
            until = -1;
            qa_conf_free(&c);
            break;
        }
        failed++;
        if (rc == 0) {
            printf("# call %ld: taken for success\n", k);
            wrong++;
            qa_conf_free(&c);
        }
    }
    ok(failed > 2 && !wrong, "thresholds: each of %d callocs may fail", failed);
}
#else
static void test_no_memory(void)
{
    skip("ASan has calloc");
}
#endif

int main(void)
{
    struct err e = {0};
    close(mkstemp(path));
    if (qa_conf_load(&conf, TOP "/configs/qa.yaml", &e) < 0) {
        ok(0, "%s", e.msg);
        return done_testing();
    }
    test_no_memory();
    struct qa_opts file = {0}, plain = {0}, wanted = {.classifier = 1},
                   second = {.gpu = "cpu:generic"}, all = {0};
    for (int i = 0; i < QA_N; i++) {
        file.skip[i] = i == QA_GOLDEN || i == QA_THROUGHPUT || i == QA_FORMATS;
        wanted.skip[i] = file.skip[i];
        second.skip[i] = i == QA_THROUGHPUT || i == QA_FORMATS;
        all.skip[i] = 1;
    }
    judge(NULL, QA_CAPABILITY, QA_PASS, "llama on cpu:generic: weights of F32", &file);
    judge(NULL, QA_CONTRACT, QA_PASS, "finite; checksums hold", &file);
    judge(NULL, QA_METADATA, QA_PASS, "llama", &file);
    judge(NULL, QA_CLASSIFIER, QA_SKIP, "no classifier head", &file);
    judge(NULL, QA_CLASSIFIER, QA_FAIL, "no classifier head", &wanted);
    judge(NULL, QA_SPEEDUP, QA_SKIP, "no device nothing", &file);
    judge(NULL, QA_PTX, QA_SKIP, "no device nothing", &file);
    judge(NULL, QA_ISOLATION, QA_SKIP, "no device nothing", &file);
    judge(NULL, QA_REGRESSION, QA_SKIP, "no earlier report", &file);
    judge(NULL, QA_THROUGHPUT, QA_PASS, "tokens a second", &plain);
    judge(NULL, QA_GOLDEN, QA_SKIP, "no case for the model", &plain);
    judge(NULL, QA_PTX, QA_PASS, "least cosine 1.000000", &second);
    judge(NULL, QA_CONTRACT, QA_SKIP, "not asked for", &all);
    judge(swapped, QA_CONTRACT, QA_FAIL, "mlp.down_proj.weight: shape", &file);
    judge(swapped, QA_CAPABILITY, QA_FAIL, "mlp.down_proj.weight: shape", &file);
    judge(swapped, QA_THROUGHPUT, QA_FAIL, "does not load", &plain);
    judge(missing, QA_CONTRACT, QA_FAIL, "self_attn.o_proj.weight: missing", &file);
    judge(extra, QA_CONTRACT, QA_FAIL, "g_proj.weight: llama has none", &file);
    judge(nan_inside, QA_CONTRACT, QA_FAIL, "NaN or infinity at element 77", &file);
    judge(no_theta, QA_METADATA, QA_FAIL, "rope_theta 2: llama has 1000", &file);
    judge(coarse, QA_METADATA, QA_FAIL, "rms_norm_eps 0.5", &file);
    judge(endless, QA_METADATA, QA_FAIL, "no stop id", &file);
    judge(labels, QA_CLASSIFIER, QA_PASS, "3 labels by 64", &wanted);
    judge(labels, QA_CONTRACT, QA_PASS, "finite", &file);
    judge(empty_label, QA_CLASSIFIER, QA_FAIL, "label 1 has no weights", &file);
    judge(one_label, QA_CLASSIFIER, QA_FAIL, "at least 2 labels", &file);
    qa_conf_free(&conf);
    unlink(path);
    return done_testing();
}
