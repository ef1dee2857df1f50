/* test_model - a model that is not what its metadata say is refused, with tensor, found and
 * expected */
#include "export_impl.h"
#include "forward.h"
#include "model.h"
#include "tap.h"
#include "tiny_model.h"
#include "walk.h"
#include <math.h>
#include <sys/resource.h>
#include <unistd.h>

static char path[] = "/tmp/test_model.XXXXXX";
static struct kn_dev *dev;

static struct tensor *find(struct tensor *t, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(t[i].name, name) == 0)
            return &t[i];
    abort();
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
static void untied(struct tensor *t, int *n, struct hparams *h)
{
    (void)t;
    (void)n;
    h->tied = 0;
}
static void nan_norm(struct tensor *t, int *n, struct hparams *h)
{
    (void)h;
    ((float *)(uintptr_t)find(t, *n, "model.layers.0.post_attention_layernorm.weight")->data)[5] =
        NAN;
}
static void bad_scale(struct tensor *t, int *n, struct hparams *h)
{
    static struct kn_q8_0 q[EMBD * EMBD / 32];
    struct tensor *x = find(t, *n, "model.layers.0.self_attn.q_proj.weight");
    (void)h;
    kn_quantize(KN_Q8_0, x->data, q, EMBD * EMBD);
    q[7].d = 0x7c00; /* infinity */
    x->type = KN_Q8_0;
    x->data = q;
    x->bytes = sizeof q;
}
static void no_weight(struct tensor *t, int *n, struct hparams *h)
{
    struct tensor *x = find(t, *n, "model.layers.0.self_attn.k_proj.weight");
    (void)h;
    x->type = KN_I32;
}
static void padded(struct tensor *t, int *n, struct hparams *h)
{
    static float rows[8256 * EMBD];
    struct tensor *x = find(t, *n, "model.embed_tokens.weight");
    memcpy(rows, x->data, x->bytes);
    for (size_t i = x->bytes / sizeof *rows; i < sizeof rows / sizeof *rows; i++)
        rows[i] = 3; /* would win every time */
    x->data = rows;
    x->bytes = sizeof rows;
    x->dim[0] = 8256;
    h->n_vocab = 8256;
}

/* Fewer rows than the tokenizer has tokens: every number of the file agrees with every other but these two. */
static void cut(struct tensor *t, int *n, struct hparams *h)
{
    struct tensor *x = find(t, *n, "model.embed_tokens.weight");
    x->dim[0] = 8000;
    x->bytes = (size_t)8000 * EMBD * sizeof(float);
    h->n_vocab = 8000;
    h->stop[0] = 7999;
}
static void bos_outside(struct tensor *t, int *n, struct hparams *h)
{
    (void)t, (void)n;
    h->bos = h->n_vocab;
    h->add_bos = 1;
}
static void pad_outside(struct tensor *t, int *n, struct hparams *h)
{
    (void)t, (void)n;
    h->pad = h->n_vocab;
}

static int load(struct model *m, void (*change)(struct tensor *, int *, struct hparams *),
                int n_ctx, struct err *e)
{
    *e = (struct err){0};
    if (tiny_model(path, change, e) < 0)
        return e->code;
    return model_load(m, path, dev, KN_W_INFER, n_ctx, e);
}

static void refused(void (*change)(struct tensor *, int *, struct hparams *), const char *want)
{
    struct model m;
    struct err e;
    ok(load(&m, change, 0, &e) == ERR_DATA && strstr(e.msg, want) && strstr(e.msg, path), "%s",
       e.msg);
}

/* ---- ids, each of which chooses a row of the embedding ---- */

static void test_vocabulary(void)
{
    static const char want[] = "the tokenizer has 8192 tokens, the embedding 8000 rows";
    struct view v;
    struct apr a;
    struct err e = {0};
    refused(cut, want);
    if (apr_open(&a, path, &e) < 0)
        abort();
    ok(view_apr(&v, &a, &e) == ERR_DATA && strstr(e.msg, want) && strstr(e.msg, path) && !v.tok,
       "as a view: %s", e.msg);
    apr_close(&a);
    for (int gguf = 0; gguf < 2; gguf++) {
        struct exporter x;
        e = (struct err){0};
        ok(export_open(&x, path, gguf, &e) == ERR_DATA && strstr(e.msg, want), "to %s: %s",
           gguf ? "GGUF" : "SafeTensors", e.msg);
        export_close(&x);
    }
    refused(bos_outside, "bos_token_id 8192 is outside the vocabulary of 8192");
    refused(pad_outside, "pad_token_id 8192 is outside the vocabulary of 8192");
}

/* Layers of two sizes, as mixes of types have: room is asked for the larger, not for their mean. */
static void test_walk(void)
{
    struct walk w;
    struct view v;
    struct apr a;
    struct rlimit was, now;
    struct err e = {0};
    size_t ends = 0, layer[LAYERS] = {0};
    char want[60];
    if (tiny_model(path, NULL, &e) < 0 || apr_open(&a, path, &e) < 0 || view_apr(&v, &a, &e) < 0)
        abort();
    for (int i = 0; i < v.n; i++) {
        struct tensor *t = &v.t[i];
        int l = -1;
        if (strstr(t->name, "layers.1.mlp.") && t->ndim == 2) {
            t->dim[0] <<= 14; /* only counted: 300 MB */
            t->bytes <<= 14;
        }
        if (sscanf(t->name, "model.layers.%d.", &l) == 1)
            layer[l] += t->bytes;
        else
            ends += t->bytes;
    }
    snprintf(want, sizeof want, ": needs %zu bytes, 0 available", ends + layer[1]);
    getrlimit(RLIMIT_AS, &was);
    now = was;
    now.rlim_cur = 1 << 20;
    setrlimit(RLIMIT_AS, &now);
    const int rc = walk_open(&w, &v, dev, KN_W_INFER, 8, 8, 1, 1, 1, KN_F32, &e);
    setrlimit(RLIMIT_AS, &was);
    ok(rc == ERR_NOMEM && layer[1] > (size_t)WALK_KEEP && strstr(e.msg, want),
       "the ends and the largest layer: %s", e.msg);
    view_apr_free(&v);
    apr_close(&a);
}

static void test_rows(void)
{
    struct model m;
    struct forward f;
    struct err e;
    int32_t tok[] = {8191, 5}, pos[] = {0, 1}, seq[] = {0, 0}, out[] = {1}, blocks[] = {0};
    struct kn_rows r = {.n_tok = 2,
                        .n_seq = 1,
                        .n_out = 1,
                        .tok = tok,
                        .pos = pos,
                        .seq = seq,
                        .out = out,
                        .blocks = blocks};
    if (load(&m, NULL, 0, &e) < 0 || forward_new(&f, &m, 2, 1, 1, 1, 1, KN_F32, &e) < 0)
        abort();
    ok(forward_step(&f, &r, &e) == 0, "the last row is one %s", e.msg);
    tok[1] = 8192;
    ok(forward_step(&f, &r, &e) == ERR_DATA &&
           strstr(e.msg, "token id 8192: the embedding has 8192 rows"),
       "%s", e.msg);
    tok[1] = -1;
    e = (struct err){0};
    ok(forward_step(&f, &r, &e) == ERR_DATA && strstr(e.msg, "token id -1"), "%s", e.msg);
    forward_free(&f);
    model_free(&m);
}

int main(void)
{
    struct model m;
    struct forward f;
    struct err e = {0};
    struct rlimit was, now;
    close(mkstemp(path));
    if (kn_open(&dev, "ref", 1) < 0)
        return 1;
    ok(load(&m, NULL, 0, &e) == 0 && m.n_ctx == CTX && m.n_real == m.h.n_vocab && m.head == m.embd,
       "a sound model loads %s", e.msg);
    struct model_need need;
    model_need(&need, m.file.tensor, m.file.n_tensor, &m.h, dev, KN_W_INFER, CTX);
    size_t bytes = model_need_bytes(&need);
    ok(bytes > (size_t)m.h.n_vocab * EMBD * 4 && bytes < (size_t)m.h.n_vocab * EMBD * 4 + 500000,
       "its bytes are counted from the header (%zu)", bytes);
    ok(forward_new(&f, &m, 8, 2, 2, 5, 1 << 30, KN_F32, &e) == ERR_NOMEM &&
           strstr(e.msg, "needs") && strstr(e.msg, "available"),
       "%s", e.msg);
    m.h.head_dim = 48;
    e = (struct err){0};
    ok(forward_new(&f, &m, 8, 2, 2, 5, 5, KN_Q8_0, &e) == ERR_UNAVAILABLE &&
           strstr(e.msg,
                  "KV cache in Q8_0: expected a head_dim that is a multiple of 32, found 48"),
       "%s", e.msg);
    model_free(&m);
    refused(swapped, "tensor model.layers.1.mlp.down_proj.weight: shape (96,64), expected (64,96)");
    refused(missing, "tensor model.layers.1.self_attn.o_proj.weight: missing");
    refused(untied, "tensor lm_head.weight: missing");
    refused(nan_norm,
            "tensor model.layers.0.post_attention_layernorm.weight: element 5 is not finite");
    refused(bad_scale,
            "tensor model.layers.0.self_attn.q_proj.weight: the scale of block 7 is not finite");
    refused(no_weight, "tensor model.layers.0.self_attn.k_proj.weight: type I32 is no weight");
    ok(load(&m, NULL, CTX + 1, &e) == ERR_USAGE, "%s", e.msg);
    ok(load(&m, NULL, 32, &e) == 0 && m.n_ctx == 32, "a shorter context is taken");
    model_free(&m);
    ok(load(&m, padded, 0, &e) == 0 && m.h.n_vocab == 8256 && m.n_real == 8192,
       "rows beyond the tokenizer are padding");
    model_free(&m);

    test_vocabulary();
    test_rows();
    test_walk();

    getrlimit(RLIMIT_AS, &was);
    now = was;
    now.rlim_cur = 1 << 20; /* less than the process has already */
    setrlimit(RLIMIT_AS, &now);
    e = (struct err){0};
    int rc = model_room("m.apr", 1000, &e);
    setrlimit(RLIMIT_AS, &was);
    ok(rc == ERR_NOMEM && strcmp(e.msg, "m.apr: needs 1000 bytes, 0 available") == 0, "%s", e.msg);
    kn_close(dev);
    unlink(path);
    return done_testing();
}
