/* test_diff - tensors of any two types against plain sums; what formats keep otherwise; values that are no numbers */
#include "blocks.h"
#include "diff.h"
#include "quant.h"
#include "rng.h"
#include "tap.h"
#include "tiny_model.h"
#include <math.h>
#include <string.h>
#include <unistd.h>

enum { ROWS = 6, COLS = 512, N = ROWS * COLS };

/* A side of one tensor in memory. */
struct one {
    struct tensor t;
    struct view v;
    struct side s;
};

static void show(struct one *o, const char *name, int type, int rows, int cols, const void *data)
{
    memset(o, 0, sizeof *o);
    snprintf(o->t.name, sizeof o->t.name, "%s", name);
    o->t.type = type;
    o->t.ndim = rows ? 2 : 1;
    o->t.dim[0] = (uint64_t)(rows ? rows : cols);
    o->t.dim[1] = (uint64_t)(rows ? cols : 0);
    o->t.bytes = tensor_bytes(type, o->t.ndim, o->t.dim);
    o->t.data = data;
    o->v = (struct view){.name = "x", .t = &o->t, .n = 1};
    o->s = (struct side){.path = "x", .v = &o->v, .whole = 1, .has_h = 1};
    o->v.h.n_head = 3;
    o->v.h.n_head_kv = 1;
}

static void random_values(float *x, int n, uint64_t key)
{
    struct rng r = {key, 0};
    for (int i = 0; i < n; i++)
        x[i] = (float)rng_normal(&r);
}

static int near(double a, double b)
{
    return fabs(a - b) <= 1e-9 * fmax(fabs(a), fabs(b));
}

/* F32 against each type: the sums that the definitions say. */
static void test_types(void)
{
    static const int types[] = {KN_F32,  KN_F16,  KN_BF16, KN_Q8_0,   KN_Q4_0,   KN_Q5_1, KN_Q2_K,
                                KN_Q4_K, KN_Q6_K, KN_NF4,  KN_IQ4_NL, KN_IQ4_XS, KN_MXFP4};
    static float x[N], y[N];
    static char q[4 * N];
    struct err e = {0};
    random_values(x, N, 1);
    for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
        struct one a, b;
        struct diff_tensor t;
        double dd = 0, aa = 0, bb = 0, ab = 0, max = 0;
        show(&a, "w", KN_F32, ROWS, COLS, x);
        show(&b, "w", types[k], ROWS, COLS, q);
        if (quant_convert(&a.t, types[k], q, 1, &e) < 0)
            printf("# %s\n", e.msg);
        tensor_values(&b.t, 0, y, N);
        for (int i = 0; i < N; i++) {
            const double p = (double)x[i], r = (double)y[i];
            dd += (r - p) * (r - p);
            aa += p * p;
            bb += r * r;
            ab += p * r;
            max = fmax(max, fabs(r - p));
        }
        const int rc = diff_tensor(&t, &a.s, 0, &b.s, 0, &e);
        ok(rc == 0 && t.sum.max == max && near(diff_rms(&t.sum), sqrt(dd / N)) &&
               near(diff_rel_rms(&t.sum), sqrt(dd / aa)) &&
               near(diff_cosine(&t.sum), max > 0 ? ab / sqrt(aa * bb) : 1) &&
               t.state == (max > 0 ? DIFF_BEYOND : DIFF_EQUAL) &&
               (max == 0 || fabs((double)y[t.at] - (double)x[t.at]) == max),
           "F32 against %s: relative %.5f, cosine %.6f", tensor_type_name(types[k]),
           diff_rel_rms(&t.sum), diff_cosine(&t.sum));
    }
}

/* Rows of q lie as neighbours turn in one file and as halves in the other: also where rows begin within blocks. */
static void test_order(void)
{
    static const int types[] = {KN_F32, KN_Q8_0, KN_NF4};
    enum { D = 4, H = 3, R = D * H, C = 96 };
    static float half[R * C], pair[R * C];
    static char p[4 * R * C], q[4 * R * C];
    struct err e = {0};
    random_values(half, R * C, 2);
    for (int r = 0; r < R; r++) { /* element i of a head goes beside i + D/2 */
        const int head = r / D, i = r % D % (D / 2), j = r % D / (D / 2);
        memcpy(pair + (head * D + 2 * i + j) * C, half + r * C, C * sizeof *pair);
    }
    for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
        struct one a, b, f;
        struct diff_tensor t, u;
        show(&f, "f", KN_F32, R, C, half);
        quant_convert(&f.t, types[k], p, 1, &e);
        show(&f, "f", KN_F32, R, C, pair);
        quant_convert(&f.t, types[k], q, 1, &e);
        show(&a, "model.layers.0.self_attn.q_proj.weight", types[k], R, C, p);
        show(&b, "model.layers.0.self_attn.q_proj.weight", types[k], R, C, q);
        b.v.h.rope_pairs = 1;
        const int block = types[k] == KN_NF4; /* its blocks cross rows: other values */
        int rc = diff_tensor(&t, &a.s, 0, &b.s, 0, &e);
        rc |= diff_tensor(&u, &b.s, 0, &a.s, 0, &e);
        ok(rc == 0 && (block ? diff_rel_rms(&t.sum) < 0.2 : t.state == DIFF_EQUAL) &&
               t.sum.dd == u.sum.dd,
           "%s: rows of q in another order, both ways", tensor_type_name(types[k]));
        b.v.h.rope_pairs = 0;
        rc = diff_tensor(&t, &a.s, 0, &b.s, 0, &e);
        ok(rc == 0 && t.state == DIFF_BEYOND && diff_rel_rms(&t.sum) > 0.5, "%s: and as they lie",
           tensor_type_name(types[k]));
        b.v.h.rope_pairs = 1;
        snprintf(a.t.name, sizeof a.t.name, "model.layers.0.self_attn.v_proj.weight");
        rc = diff_tensor(&t, &a.s, 0, &b.s, 0, &e);
        ok(rc == 0 && t.state == DIFF_BEYOND, "%s: v stays", tensor_type_name(types[k]));
    }
}

static void test_norm(void)
{
    float w[4] = {0.1f, -0.2f, 0.3f, 1e-8f}, one[4];
    struct one a, b;
    struct diff_tensor t;
    struct err e = {0};
    for (int i = 0; i < 4; i++)
        one[i] = w[i] + 1;
    show(&a, "model.norm.weight", KN_F32, 0, 4, w);
    show(&b, "model.norm.weight", KN_F32, 0, 4, one);
    a.v.h.norm_adds_one = 1;
    ok(diff_tensor(&t, &a.s, 0, &b.s, 0, &e) == 0 && t.state == DIFF_EQUAL, "w + 1 is 1 + w");
    a.v.h.norm_adds_one = 0;
    ok(diff_tensor(&t, &a.s, 0, &b.s, 0, &e) == 0 && t.state == DIFF_BEYOND &&
           fabs(t.sum.max - 1) < 1e-6,
       "and is not w");
}

static void test_odd(void)
{
    float x[8] = {1, 2, NAN, INFINITY, 0, -INFINITY, NAN, 3},
          y[8] = {1, 2, NAN, INFINITY, NAN, INFINITY, 0, 3}, zero[8] = {0};
    const int8_t i8[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    int8_t other[8] = {1, 2, 3, 4, 5, 6, 7, 9};
    struct one a, b;
    struct diff_tensor t;
    struct err e = {0};
    show(&a, "w", KN_F32, 0, 8, x);
    show(&b, "w", KN_F32, 0, 8, y);
    ok(diff_tensor(&t, &a.s, 0, &b.s, 0, &e) == 0 && t.not_same == 3 && t.state == DIFF_BEYOND &&
           t.sum.max == 0 && t.sum.count == 3,
       "NaN and infinity are the same as themselves alone");
    show(&b, "w", KN_F32, 0, 8, x);
    ok(diff_tensor(&t, &a.s, 0, &b.s, 0, &e) == 0 && t.state == DIFF_EQUAL, "a file and itself");
    show(&b, "w", KN_F32, 2, 4, x);
    ok(diff_tensor(&t, &a.s, 0, &b.s, 0, &e) == 0 && t.state == DIFF_SHAPE, "another shape");
    show(&a, "w", TENSOR_I8, 0, 8, i8);
    show(&b, "w", TENSOR_I8, 0, 8, other);
    ok(diff_tensor(&t, &a.s, 0, &b.s, 0, &e) == 0 && t.state == DIFF_BYTES, "other integers");
    ok(diff_tensor(&t, &a.s, 0, &a.s, 0, &e) == 0 && t.state == DIFF_EQUAL, "the same");
    show(&b, "w", KN_F32, 0, 8, zero);
    ok(diff_tensor(&t, &a.s, 0, &b.s, 0, &e) == 0 && t.state == DIFF_BYTES,
       "no weights beside weights");
    show(&a, "w", KN_F32, 0, 8, zero);
    float some[8] = {0, 0, 0, 4};
    show(&b, "w", KN_F32, 0, 8, some);
    ok(diff_tensor(&t, &a.s, 0, &b.s, 0, &e) == 0 && isinf(diff_rel_rms(&t.sum)) &&
           diff_cosine(&t.sum) == 0 && t.at == 3,
       "against zeros");
    show(&b, "w", KN_F32, 0, 8, zero);
    ok(diff_tensor(&t, &a.s, 0, &b.s, 0, &e) == 0 && diff_rel_rms(&t.sum) == 0 &&
           diff_cosine(&t.sum) == 1,
       "zeros are zeros");
    float none[1];
    show(&a, "w", KN_F32, 0, 0, none);
    ok(diff_tensor(&t, &a.s, 0, &a.s, 0, &e) == 0 && t.state == DIFF_EQUAL, "an empty tensor %s",
       e.msg);
}

/* ---- logits of models with vocabularies of two sizes ---- */

enum { SMALL = 8000 };

/* Fewer rows, and no tokenizer that says so. */
static void cut(struct tensor *t, int *n, struct hparams *h)
{
    struct tensor *x = NULL;
    for (int i = 0; i < *n; i++)
        if (strcmp(t[i].name, "model.embed_tokens.weight") == 0)
            x = &t[i];
    if (!x || strcmp(t[--*n].name, APR_TOKENIZER))
        abort();
    x->dim[0] = SMALL;
    x->bytes = (size_t)SMALL * EMBD * sizeof(float);
    h->n_vocab = SMALL;
    h->stop[0] = 1;
}

/* {"prompt": text of one token}: the first of them whose own id is at least `from`; its id. */
static int32_t write_prompt(const char *path, const char *apr, int32_t from)
{
    struct apr a;
    struct view v;
    struct err e = {0};
    int32_t found = -1, *ids;
    if (apr_open(&a, apr, &e) < 0 || view_apr(&v, &a, &e) < 0)
        abort();
    for (int32_t id = from; found < 0 && id < bpe_n_vocab(v.tok); id++) {
        size_t len;
        const char *s = bpe_token(v.tok, id, &len);
        if (bpe_is_special(v.tok, id) || bpe_encode(v.tok, s, len, 0, &ids, &e) != 1)
            continue;
        if (ids[0] == id && strspn(s, "abcdefghijklmnopqrstuvwxyz ") >= len) {
            FILE *f = fopen(path, "w");
            fprintf(f, "{\"prompt\": \"%.*s\"}\n", (int)len, s);
            fclose(f);
            found = id;
        }
        free(ids);
    }
    view_apr_free(&v);
    apr_close(&a);
    return found;
}

static void test_vocabularies(void)
{
    char dir[] = "/tmp/test_diff.XXXXXX", a[60], b[60], prompts[60], want[220];
    struct err e = {0};
    struct diff d;
    struct diff_want w = {.prompts = prompts, .ctx = 16, .threads = 1};
    w.limits = (struct diff_limits){INFINITY, INFINITY, INFINITY, -1, 0};
    if (!mkdtemp(dir))
        abort();
    snprintf(a, sizeof a, "%s/a.apr", dir);
    snprintf(b, sizeof b, "%s/b.apr", dir);
    snprintf(prompts, sizeof prompts, "%s/p.jsonl", dir);
    if (tiny_model(a, NULL, &e) < 0 || tiny_model(b, cut, &e) < 0)
        abort();
    int32_t id = write_prompt(prompts, a, 300);
    int rc = diff_models(&d, a, b, &w, &e);
    ok(id >= 0 && id < SMALL && rc == 0 && d.has_logits && d.logits.n == 1 &&
           isfinite(d.logits.kl.v),
       "id %d, which both have: compared over the shared part %s", (int)id, e.msg);
    diff_free(&d);
    id = write_prompt(prompts, a, SMALL);
    snprintf(want, sizeof want, "%s:1: token 0 has id %d in %s, the vocabularies share %d ids",
             prompts, (int)id, a, SMALL);
    rc = diff_models(&d, a, b, &w, &e);
    ok(id >= SMALL && rc == ERR_DATA && strstr(e.msg, want), "%s", e.msg);
    diff_free(&d);
    unlink(a);
    unlink(b);
    unlink(prompts);
    rmdir(dir);
}

int main(void)
{
    test_vocabularies();
    test_types();
    test_order();
    test_norm();
    test_odd();
    return done_testing();
}
