/* test_adapt - adapters beside a layer's weights, chosen row by row, on every device
 *
 * Beside ops.h's comparison: a row has the bits that it has alone, whatever adapters its neighbours have, rows
 * without one those of a layer that has none; and what an adapter adds is what merging it adds.
 *
 * usage: test_adapt [quick | DEVICE]     see ops.h */
#include "kernels/ops.h"

enum { N_LORA = 4, PARTS = 7, N_SEQ = 3 };
enum { WITH_BIAS = 1, WITH_POST = 2, MERGED = 4, NO_LORA = 8, ALONE = 16, PLAIN = 32 };
static const int ranks[N_LORA] = {5, 1, 16, 32};
static const float scales[N_LORA] = {2, 0.5f, 1.25f, 0.75f};

/* Adapter 1 changes q and down alone, 2 has magnitudes (but for PLAIN), no row chooses 3. */
static int has(int adapter, int part)
{
    return adapter != 1 || part == 0 || part == 6;
}

struct layer {
    struct kn_attn a;
    struct kn_ffn f;
    struct kn_lora lora[PARTS][N_LORA];
};

static float *factor(int adapter, int part, int b, int rows, int cols)
{
    float *x = numbers(500 + (uint64_t)(adapter * 32 + part * 2 + b), (size_t)rows * (size_t)cols);
    for (int i = 0; i < rows * cols; i++)
        x[i] *= 0.2f;
    return x;
}

static float *magnitude(int part, int n)
{
    float *x = numbers(900 + (uint64_t)part, (size_t)n);
    for (int i = 0; i < n; i++)
        x[i] = 3 + x[i];
    return x;
}

/* w + scale b a of adapter c, its rows scaled to the magnitudes if it has them; norm: those of its rows. */
static float *merged(int type, const void *rows, int n, int k, int c, int part, double *norm)
{
    const int r = ranks[c];
    const float *a = factor(c, part, 0, r, k), *b = factor(c, part, 1, n, r);
    const float *mag = magnitude(part, n);
    float *w = keep(malloc((size_t)n * (size_t)k * sizeof *w));
    kn_dequantize(type, rows, w, (size_t)n * (size_t)k);
    for (int i = 0; i < n; i++) {
        norm[i] = 0;
        for (int j = 0; j < k; j++) {
            double sum = 0;
            for (int t = 0; t < r && has(c, part); t++)
                sum += (double)b[i * r + t] * a[t * k + j];
            sum = w[i * k + j] + scales[c] * sum;
            norm[i] += sum * sum;
            w[i * k + j] = (float)sum;
        }
        norm[i] = sqrt(norm[i]);
        for (int j = 0; j < k && c == 2; j++)
            w[i * k + j] *= (float)(mag[i] / norm[i]);
    }
    return w;
}

static struct kn_weight *made(struct kn_dev *d, int n, int k, const float *x)
{
    struct kn_weight *w;
    must(kn_weight_new(d, KN_F32, n, k, x, KN_W_INFER, &w), "kn_weight_new");
    must(n_held < MAX_HELD ? 0 : KN_ENOMEM, "test memory");
    held[n_held++] = (struct held){.d = d, .w = w};
    return w;
}

/* One linear layer and its adapters; MERGED: adapter p[7] in its weights instead. */
static struct kn_weight *linear(struct kn_dev *d, const int *p, int part, int n, int k,
                                struct kn_lora lora[N_LORA])
{
    const uint64_t seed = 30 + (uint64_t)part;
    double norm[MAX_ROWS];
    float factors[MAX_ROWS];
    if (p[6] & MERGED)
        return made(d, n, k, merged(p[0], weight_rows(p[0], n, k, seed), n, k, p[7], part, norm));
    struct kn_weight *w = weight(d, p[0], n, k, KN_W_INFER, seed);
    for (int c = 0; c < N_LORA && !(p[6] & NO_LORA); c++) {
        struct kn_lora *l = &lora[c];
        if (!has(c, part) || c == 3)
            continue;
        l->scale = scales[c];
        l->a = made(d, ranks[c], k, factor(c, part, 0, ranks[c], k));
        l->b = made(d, n, ranks[c], factor(c, part, 1, n, ranks[c]));
        if (c != 2 || p[6] & PLAIN)
            continue;
        merged(p[0], weight_rows(p[0], n, k, seed), n, k, c, part, norm);
        const float *mag = magnitude(part, n);
        for (int i = 0; i < n; i++)
            factors[i] = (float)(mag[i] / norm[i]);
        l->column = on(d, factors, (size_t)n);
    }
    return w;
}

/* p: type, n_embd, n_head, n_head_kv, head_dim, -, options, adapter or sequence; n_ff is n_embd */
static void make_layer(struct kn_dev *d, const int *p, struct layer *l)
{
    const int q = p[2] * p[4], kv = p[3] * p[4], e = p[1], on_all = !(p[6] & (NO_LORA | MERGED));
    memset(l, 0, sizeof *l);
    l->a = (struct kn_attn){.n_embd = e,
                            .n_head = p[2],
                            .n_head_kv = p[3],
                            .head_dim = p[4],
                            .rope_dim = p[4],
                            .eps = 1e-6f,
                            .scale = 1 / sqrtf((float)p[4]),
                            .norm = random_on(d, 40, (size_t)e),
                            .rope = random_on(d, 46, (size_t)p[4] * MAX_BLOCKS * KN_TILE),
                            .q = linear(d, p, 0, q, e, l->lora[0]),
                            .k = linear(d, p, 1, kv, e, l->lora[1]),
                            .v = linear(d, p, 2, kv, e, l->lora[2]),
                            .o = linear(d, p, 3, e, q, l->lora[3])};
    l->f = (struct kn_ffn){.n_embd = e,
                           .n_ff = e,
                           .eps = 1e-6f,
                           .norm = random_on(d, 47, (size_t)e),
                           .gate = linear(d, p, 4, e, e, l->lora[4]),
                           .up = linear(d, p, 5, e, e, l->lora[5]),
                           .down = linear(d, p, 6, e, e, l->lora[6])};
    if (on_all) {
        l->a.lora_q = l->lora[0], l->a.lora_k = l->lora[1], l->a.lora_v = l->lora[2];
        l->a.lora_o = l->lora[3], l->f.lora_gate = l->lora[4], l->f.lora_up = l->lora[5];
        l->f.lora_down = l->lora[6];
    }
    if (p[6] & WITH_BIAS) {
        l->a.bq = random_on(d, 41, (size_t)q);
        l->a.bo = random_on(d, 42, (size_t)e);
        l->f.bup = random_on(d, 43, (size_t)e);
        l->f.bdown = random_on(d, 44, (size_t)e);
    }
    if (p[6] & WITH_POST) {
        l->a.post = random_on(d, 48, (size_t)e);
        l->f.residual = 0.5f;
    }
}

/* A layer over three sequences of adapters 0, 2 and none, the rows of the second with 1 and 2 by turns; ALONE: of
 * sequence p[7] alone; MERGED: all rows with adapter p[7]. y: q and x afterwards, row by row. */
static size_t run(struct kn_dev *d, const int *p, float *y)
{
    static const int len[N_SEQ] = {3, 40, 21};
    const int alone = p[6] & ALONE, seq = p[7];
    struct kn_rows r = *ragged(50, N_SEQ, len, (int[]){0, 0, 0});
    struct kn_rows all = r;
    int32_t adapter[MAX_ROWS];
    struct kn_adapter_width width = {.rank = 32, .columns = 1};
    struct layer l;
    struct kn_kv *kv;
    struct kn_batch *b;
    int from = 0, at[N_SEQ] = {0};
    for (int i = 0; i < r.n_tok; i++)
        adapter[i] = r.seq[i] == 0 ? 0 : r.seq[i] == 1 ? 1 + at[1]++ % 2 : -1;
    if (p[6] & MERGED || (!alone && seq >= 0 && !(p[6] & NO_LORA)))
        for (int i = 0; i < r.n_tok; i++)
            adapter[i] = seq;
    if (alone) {
        while (r.seq[from] != seq)
            from++;
        r.tok += from, r.pos += from, r.seq += from;
        r.n_tok = len[seq], r.n_out = 0;
    }
    make_layer(d, p, &l);
    const size_t x_row = (size_t)p[1], q_row = (size_t)(p[2] * p[4]), rows = (size_t)all.n_tok;
    width.in = width.out = (int)(x_row > q_row ? x_row : q_row);
    r.adapter = p[6] & (NO_LORA | MERGED) ? NULL : adapter + from;
    must(kn_batch_new(d, MAX_ROWS, N_SEQ, MAX_BLOCKS, &b), "kn_batch_new");
    if (r.adapter)
        must(kn_batch_adapters(d, b, N_LORA, &width), "kn_batch_adapters");
    must(kn_kv_new(d, 1, N_BLOCK, p[3], p[4], KN_F32, &kv), "kn_kv_new");
    struct kn_at x = random_on(d, 52, rows * x_row), q = on(d, NULL, rows * q_row),
                 att = on(d, NULL, rows * q_row),
                 tmp = on(d, NULL, kn_tmp_bytes(&l.a, &l.f, all.n_tok) / 4);
    const size_t f = (size_t)from * 4;
    struct kn_at xs = kn_plus(x, f * x_row);
    must(kn_batch_set(d, b, &r), "kn_batch_set");
    int err = kn_qkv(d, q, xs, tmp, kv, 0, &l.a, b);
    if (err != KN_EUNSUP) {
        must(err, "kn_qkv");
        must(kn_attention(d, att, q, kv, 0, &l.a, b), "kn_attention");
        must(kn_attn_out(d, xs, att, tmp, &l.a, b), "kn_attn_out");
        must(kn_ffn(d, xs, tmp, &l.f, b), "kn_ffn");
        for (int i = 0; i < r.n_tok; i++) {
            const size_t k = (size_t)i;
            must(kn_read(d, y + k * (q_row + x_row), kn_plus(q, k * q_row * 4), q_row * 4), "q");
            must(kn_read(d, y + k * (q_row + x_row) + q_row, kn_plus(xs, k * x_row * 4), x_row * 4),
                 "x");
        }
    }
    kn_kv_free(d, kv);
    kn_batch_free(d, b);
    return err == KN_EUNSUP ? 0 : (size_t)r.n_tok * (q_row + x_row);
}

static const int cases[][8] = {
    {KN_F32, 40, 4, 2, 10, 0, 0, -1},
    {KN_F32, 64, 2, 1, 16, 0, WITH_BIAS, -1},
    {KN_Q8_0, 64, 2, 1, 32, 0, WITH_BIAS, -1},
    {KN_Q4_K, 256, 4, 1, 64, 0, 0, -1},
    {KN_BF16, 48, 3, 1, 16, 0, WITH_POST, -1},
    {KN_Q8_0, 96, 3, 3, 32, 0, WITH_POST | WITH_BIAS, -1},
    {KN_F32, 40, 4, 2, 10, 0, 0, 0},
    {KN_Q8_0, 64, 2, 1, 32, 0, 0, 2},
    {KN_Q8_0, 96, 3, 1, 32, 0, PLAIN | WITH_BIAS, -1},
    {KN_Q4_K, 256, 4, 1, 64, 0, PLAIN, -1},
    {KN_F32, 40, 4, 2, 10, 0, PLAIN | WITH_POST, -1},
};
enum { N_CASES = sizeof cases / sizeof *cases };

static void test_devices(void)
{
    /* activations are rounded to 8 bits five times in a row, and magnitudes make what differs larger */
    static const struct op quant = {"adapters", run, 5e-3}, flt = {"adapters", run, 1e-9};
    for (int i = 0; i < N_CASES; i++) {
        const struct op *op = kn_type_info(cases[i][0])->act_block ? &quant : &flt;
        check(op, cases[i]);
        report(op, kn_type_info(cases[i][0])->name);
    }
}

/* Each sequence of a mixed step has the bits that it has alone; the last those of a layer without adapters. */
static void test_alone(void)
{
    for (int i = 1; i < n_dev; i++) {
        int bad = 0;
        for (int c = 0; c < N_CASES; c++) {
            int p[8];
            memcpy(p, cases[c], sizeof p);
            if (p[7] >= 0)
                continue;
            forget_rows();
            size_t n = run(dev[i].d, p, exact), at = 0;
            drop_all();
            for (int s = 0; s < N_SEQ && n; s++) {
                p[6] = cases[c][6] | ALONE, p[7] = s;
                const size_t k = run(dev[i].d, p, got);
                drop_all();
                bad += memcmp(got, exact + at, k * sizeof *got) != 0;
                if (s == 2) {
                    p[6] |= NO_LORA;
                    bad += run(dev[i].d, p, got) != k || memcmp(got, exact + at, k * sizeof *got);
                    drop_all();
                }
                at += k;
            }
            bad += at != n;
        }
        ok(bad == 0, "a row's bits depend on its own adapter alone: %s", dev[i].name);
    }
}

/* On ref, in double: beside the weights or inside them, the same numbers. */
static void test_merged(void)
{
    for (int c = 0; c < 3; c++) {
        double e = 0, power = 0, moved = 0;
        int p[8] = {KN_F32, 64, 2, 1, 16, 0, WITH_BIAS, c};
        forget_rows();
        const size_t n = run(dev[0].d, p, got);
        drop_all();
        p[6] |= MERGED;
        must(run(dev[0].d, p, truth) == n ? 0 : KN_EDEVICE, "merged");
        drop_all();
        p[6] = WITH_BIAS | NO_LORA;
        run(dev[0].d, p, exact);
        drop_all();
        for (size_t i = 0; i < n; i++) {
            e += ((double)got[i] - truth[i]) * ((double)got[i] - truth[i]);
            moved += ((double)exact[i] - truth[i]) * ((double)exact[i] - truth[i]);
            power += (double)truth[i] * truth[i];
        }
        ok(e <= 1e-11 * power && moved > 1e-4 * power,
           "adapter %d beside the weights is as merged: nmse %.2g (base %.2g)", c, e / power,
           moved / power);
    }
}

int main(int argc, char **argv)
{
    ops_begin(argc, argv);
    test_devices();
    test_alone();
    test_merged();
    return ops_end();
}
