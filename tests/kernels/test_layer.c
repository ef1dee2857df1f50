/* test_layer - attention, the KV cache and the fused calls of a layer on every device
 *
 * Beside ops.h's comparison: a row's result does not depend on the batch it is in, and a fused call
 * equals its composition.
 *
 * usage: test_layer [quick | DEVICE]     see ops.h */
#include "kernels/ops.h"

/* ---- attention and the fused calls: a small layer over a cache ---- */

struct layer {
    struct kn_attn a;
    struct kn_ffn f;
    struct kn_weight *w[7];
};
enum { WITH_BIAS = 1, WITH_QK_NORM = 2, PAIRS = 4, SHARP = 8, STALE = 16, PIECES = 32 };

/* p: type, n_embd, n_head, n_head_kv, head_dim, kv type, options; n_ff is n_embd */
static void make_layer(struct kn_dev *d, const int *p, struct layer *l)
{
    int q = p[2] * p[4], kv = p[3] * p[4], e = p[1], opt = p[6];
    const int n[7] = {q, kv, kv, e, e, e, e}, k[7] = {e, e, e, q, e, e, e};
    for (int i = 0; i < 7;
         i++) /* the output projection is not used here: q need not suit its blocks */
        l->w[i] =
            i == 3 ? NULL : weight(d, p[0], n[i], k[i], KN_W_INFER | KN_W_LAYER, 30 + (uint64_t)i);
    l->a = (struct kn_attn){.n_embd = e,
                            .n_head = p[2],
                            .n_head_kv = p[3],
                            .head_dim = p[4],
                            .rope_dim = p[4] / 2 * 2,
                            .rope_pairs = opt & PAIRS,
                            .eps = 1e-6f,
                            .scale = opt & SHARP ? 9.0f : 1 / sqrtf((float)p[4]),
                            .norm = random_on(d, 40, (size_t)e),
                            .q = l->w[0],
                            .k = l->w[1],
                            .v = l->w[2]};
    if (opt & WITH_BIAS) {
        l->a.bq = random_on(d, 41, (size_t)q);
        l->a.bk = random_on(d, 42, (size_t)kv);
        l->a.bv = random_on(d, 43, (size_t)kv);
    }
    if (opt & WITH_QK_NORM) {
        l->a.q_norm = random_on(d, 44, (size_t)p[4]);
        l->a.k_norm = random_on(d, 45, (size_t)p[4]);
    }
    l->a.rope = random_on(d, 46, (size_t)p[4] * MAX_BLOCKS * KN_TILE);
    l->f =
        (struct kn_ffn){.n_embd = e, .n_ff = e, .eps = 1e-6f, .norm = random_on(d, 47, (size_t)e)};
    l->f.gate = l->w[4], l->f.up = l->w[5], l->f.down = l->w[6];
}

/* Only rows [from, to) of r: a step of its own. */
static struct kn_rows some_rows(const struct kn_rows *r, int from, int to)
{
    struct kn_rows s = *r;
    static int32_t out[MAX_ROWS];
    s.n_tok = to - from;
    s.tok += from;
    s.pos += from;
    s.seq += from;
    s.n_out = s.n_tok;
    s.out = out;
    for (int i = 0; i < s.n_tok; i++)
        out[i] = i;
    return s;
}

/* What one layer makes of a ragged batch: q, attention, x after the feed-forward part, logits,
 * taken `step` rows at a time.  p[7]: 0 = ragged batch of three sequences; else one sequence of
 * p[7] rows. */
static size_t run_steps(struct kn_dev *d, const int *p, float *y, int step)
{
    const struct kn_rows *r = p[7] ? ragged(50, 1, &p[7], (int[]){0})
                                   : ragged(50, 3, (int[]){1, 35, 66}, (int[]){0, 0, 0});
    struct kn_rows all = *r;
    struct layer l;
    struct kn_kv *kv;
    make_layer(d, p, &l);
    must(kn_kv_new(d, 2, N_BLOCK, p[3], p[4], p[5], &kv), "kn_kv_new");
    size_t q_row = (size_t)(p[2] * p[4]), x_row = (size_t)p[1], rows = (size_t)all.n_tok,
           n_head = 19;
    struct kn_weight *head = weight(d, p[0], (int)n_head, p[1], KN_W_INFER, 50);
    struct kn_at norm = random_on(d, 51, x_row), x = random_on(d, 52, rows * x_row);
    struct kn_at q = on(d, NULL, rows * q_row), att = on(d, NULL, rows * q_row);
    struct kn_at logits = on(d, NULL, rows * n_head), ids = on(d, NULL, rows);
    struct kn_at tmp = on(d, NULL, kn_tmp_bytes(&l.a, &l.f, all.n_tok) / 4);
    for (int i = 0; i < all.n_tok; i += step) {
        int end = i + step < all.n_tok ? i + step : all.n_tok;
        struct kn_rows s = some_rows(&all, i, end);
        struct kn_batch *b = batch(d, &s);
        size_t f = (size_t)i * 4;
        must(kn_qkv(d, kn_plus(q, f * q_row), kn_plus(x, f * x_row), tmp, kv, 1, &l.a, b),
             "kn_qkv");
        must(kn_attention(d, kn_plus(att, f * q_row), kn_plus(q, f * q_row), kv, 1, &l.a, b),
             "kn_attention");
        must(kn_ffn(d, kn_plus(x, f * x_row), tmp, &l.f, b), "kn_ffn");
        must(kn_head(d, kn_plus(logits, f * n_head), kn_plus(x, f * x_row), tmp, norm, 1e-6f, head,
                     b),
             "kn_head");
        kn_batch_free(d, b);
    }
    must(kn_argmax(d, ids, logits, all.n_tok, (int)n_head), "kn_argmax");
    size_t n = 0;
    const struct {
        struct kn_at at;
        size_t row;
    } out[] = {{q, q_row}, {att, q_row}, {x, x_row}, {logits, n_head}};
    for (size_t i = 0; i < 4; n += rows * out[i++].row)
        must(kn_read(d, y + n, out[i].at, rows * out[i].row * sizeof *y), "kn_read");
    int32_t id[MAX_ROWS];
    must(kn_read(d, id, ids, rows * sizeof *id), "kn_read");
    for (size_t i = 0; i < rows; i++, n++) { /* as 0 or 1: is it the largest, and the first such? */
        const float *row = y + n - i - (rows - i) * n_head;
        int best = 0;
        for (int j = 1; j < (int)n_head; j++)
            best = row[j] > row[best] ? j : best;
        y[n] = id[i] == best;
    }
    kn_kv_free(d, kv);
    return n;
}

static size_t run_layer(struct kn_dev *d, const int *p, float *y)
{
    return run_steps(d, p, y, MAX_ROWS);
}

/* Rows of r that step `piece` of three takes: of each sequence another part, so that chunks which
 * begin and end inside a tile meet decoding rows of other sequences.  which[i] is the row in r. */
static struct kn_rows piece_of(const struct kn_rows *r, int piece, int32_t *which)
{
    static const int cut[3][4] = {{0, 1, 1, 999}, {0, 7, 8, 999}, {0, 20, 53, 999}};
    static int32_t tok[MAX_ROWS], pos[MAX_ROWS], seq[MAX_ROWS];
    struct kn_rows s = *r;
    s.n_tok = s.n_out = 0;
    s.tok = tok, s.pos = pos, s.seq = seq;
    for (int i = 0, at = 0; i < r->n_tok; i++) {
        at = i && r->seq[i] == r->seq[i - 1] ? at + 1 : 0; /* place in its sequence */
        const int *c = cut[r->n_seq == 1 ? 2 : r->seq[i]];
        if (at < c[piece] || at >= c[piece + 1])
            continue;
        tok[s.n_tok] = r->tok[i], pos[s.n_tok] = r->pos[i], seq[s.n_tok] = r->seq[i];
        which[s.n_tok++] = i;
    }
    return s;
}

/* one step over given k, v, q: rows which[i] of them; what comes out goes to those rows of y */
static void attend_rows(struct kn_dev *d, const struct kn_attn *a, struct kn_kv *kv,
                        const struct kn_rows *r, const int32_t *which, const float *const in[3],
                        float *y)
{
    const size_t q_row = (size_t)(a->n_head * a->head_dim), rows = (size_t)r->n_tok;
    const size_t width[3] = {(size_t)(a->n_head_kv * a->head_dim),
                             (size_t)(a->n_head_kv * a->head_dim), q_row};
    struct kn_at at[3], ya = on(d, NULL, rows * q_row);
    struct kn_batch *b = batch(d, r);
    for (int i = 0; i < 3; i++) {
        at[i] = on(d, NULL, rows * width[i]);
        for (size_t j = 0; j < rows; j++)
            must(kn_write(d, kn_plus(at[i], j * width[i] * 4), in[i] + (size_t)which[j] * width[i],
                          width[i] * 4),
                 "kn_write");
    }
    must(kn_kv_write(d, kv, 0, at[0], at[1], b), "kn_kv_write");
    must(kn_attention(d, ya, at[2], kv, 0, a, b), "kn_attention");
    for (size_t j = 0; j < rows; j++)
        must(kn_read(d, y + (size_t)which[j] * q_row, kn_plus(ya, j * q_row * 4), q_row * 4),
             "kn_read");
    kn_batch_free(d, b);
}

/* attention alone, from k, v, q given: its own tolerance.  p as run_layer's, but window and soft cap first;
 * PIECES: in three steps */
static size_t run_attention(struct kn_dev *d, const int *p, float *y)
{
    const struct kn_rows *r = p[7] ? ragged(50, 1, &p[7], (int[]){0})
                                   : ragged(50, 3, (int[]){1, 35, 66}, (int[]){0, 0, 0});
    struct kn_attn a = {.n_head = p[2], .n_head_kv = p[3], .head_dim = p[4]};
    struct kn_kv *kv;
    size_t rows = (size_t)r->n_tok, q_row = (size_t)(p[2] * p[4]), kv_row = (size_t)(p[3] * p[4]);
    const float *const in[3] = {numbers(60, rows * kv_row), numbers(61, rows * kv_row),
                                numbers(62, rows * q_row)};
    int32_t which[MAX_ROWS];
    const struct kn_rows all = *r;
    a.window = p[0], a.cap = (float)p[1];
    a.scale = p[6] & SHARP ? 40.0f : 1 / sqrtf((float)p[4]);
    must(kn_kv_new(d, 1, N_BLOCK, p[3], p[4], p[5], &kv), "kn_kv_new");
    if (p[6] & STALE) { /* what another sequence left in the blocks must not be seen: inf in F16 */
        float *old = numbers(63, 100 * kv_row);
        for (size_t i = 0; i < 100 * kv_row; i++)
            old[i] *= 1e30f;
        for (int i = 0; i < N_BLOCK * KN_TILE; i += 96) { /* every block, three at a time */
            int32_t blocks[MAX_BLOCKS], tok[96] = {0}, pos[96], seq[96] = {0};
            for (int j = 0; j < 96; j++)
                pos[j] = j, blocks[j / KN_TILE] = (i + j) / KN_TILE;
            struct kn_rows full = {
                .n_tok = 96, .n_seq = 1, .tok = tok, .pos = pos, .seq = seq, .blocks = blocks};
            struct kn_batch *b = batch(d, &full);
            struct kn_at oa = on(d, old, 96 * kv_row);
            must(kn_kv_write(d, kv, 0, oa, oa, b), "kn_kv_write");
            kn_batch_free(d, b);
        }
    }
    for (int i = 0; i < all.n_tok; i++)
        which[i] = i;
    if (!(p[6] & PIECES))
        attend_rows(d, &a, kv, &all, which, in, y);
    for (int i = 0; p[6] & PIECES && i < 3; i++) {
        struct kn_rows s = piece_of(&all, i, which);
        if (s.n_tok)
            attend_rows(d, &a, kv, &s, which, in, y);
    }
    kn_kv_free(d, kv);
    return rows * q_row;
}

static const int kv_types[] = {KN_F32, KN_F16, KN_Q8_0};
enum { N_KV = 3 };

/* groups of 1 to 8 query heads and the head widths in use; rows, since the outputs must fit */
static const int shapes[][4] = {{1, 1, 64, 0},   {2, 1, 80, 0},   {3, 1, 96, 0},    {4, 1, 128, 0},
                                {10, 2, 64, 0},  {6, 1, 96, 0},   {7, 1, 80, 0},    {8, 1, 64, 0},
                                {2, 1, 256, 0},  {6, 2, 96, 0},   {12, 2, 128, 33}, {14, 2, 64, 60},
                                {7, 1, 256, 33}, {8, 1, 80, 100}, {1, 1, 512, 70}};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

static void test_attention(void)
{
    static const struct op op = {"attention", run_attention, 1e-11};
    static const int heads[][3] = {{1, 1, 64}, {4, 2, 32}, {3, 1, 128},
                                   {2, 2, 20}, {6, 2, 15}, {1, 1, 1}};
    static const int len[] = {0, 1, 2, 31, 32, 33, 64, 65, 100};
    for (int w = 0; w < 12; w++) { /* windows that end before, in and after a tile; 1 sees itself */
        static const int window[] = {1, 2, 24, 31, 32, 33, 40, 64, 65, 99, 0, 7};
        for (int t = 0; t < N_KV; t++)
            check(&op, (int[8]){window[w], w % 3 ? 0 : 5, w % 2 ? 4 : 6, 2, 64, kv_types[t],
                                STALE | (w % 4 == 1 ? PIECES : 0) | (w % 3 ? 0 : SHARP),
                                w % 5 == 3 ? 100 : 0});
    }
    report(&op, "with windows and soft caps");
    for (int t = 0; t < N_KV; t++) {
        for (size_t h = 0; h < 6; h++)
            for (size_t i = 0; i < 9 && kn_row_bytes(kv_types[t], (size_t)heads[h][2]); i++)
                check(&op, (int[8]){0, 0, heads[h][0], heads[h][1], heads[h][2], kv_types[t],
                                    (i % 2 ? SHARP : 0) | (i % 3 ? STALE : 0), len[i]});
        for (int h = 0; h < N_SHAPES; h++)
            if (kn_row_bytes(kv_types[t], (size_t)shapes[h][2]))
                check(&op, (int[8]){0, 0, shapes[h][0], shapes[h][1], shapes[h][2], kv_types[t],
                                    STALE | (h % 2 ? PIECES : 0), shapes[h][3]});
        char variant[32];
        snprintf(variant, sizeof variant, "%s cache", kn_type_info(kv_types[t])->name);
        report(&op, variant);
    }
    for (int i = 0; i < n_dev; i++) {
        struct kn_kv *kv;
        ok(kn_kv_new(dev[i].d, 1, 1, 2, 48, KN_Q8_0, &kv) == KN_EUNSUP,
           "no Q8_0 cache for heads of 48: %s", dev[i].name);
    }
}

static const int layers[][8] = {
    {KN_F32, 40, 4, 2, 10, KN_F32, WITH_BIAS, 0},
    {KN_Q8_0, 64, 3, 1, 32, KN_F32, WITH_BIAS | PAIRS, 0},
    {KN_Q4_K, 256, 2, 1, 64, KN_F16, WITH_QK_NORM, 0},
    {KN_Q6_K, 256, 2, 2, 16, KN_F32, WITH_QK_NORM | WITH_BIAS, 0},
    {KN_Q5_1, 96, 2, 1, 24, KN_F16, PAIRS, 0},
    {KN_BF16, 33, 1, 1, 7, KN_F32, 0, 33},
    {KN_Q8_0, 64, 8, 1, 32, KN_Q8_0, WITH_QK_NORM, 0},
};
enum { N_LAYERS = sizeof layers / sizeof *layers };

static void test_layer(void)
{
    /* activations are rounded to 8 bits four times in a row, hence the larger tolerance */
    static const struct op quant = {"a layer", run_layer, 1e-3}, flt = {"a layer", run_layer, 1e-9};
    for (int i = 0; i < N_LAYERS; i++) {
        const struct op *op = kn_type_info(layers[i][0])->act_block ? &quant : &flt;
        check(op, layers[i]);
        report(op, kn_type_info(layers[i][0])->name);
    }
}

/* p: type, rows, n, k: logits of the last p[1] of p[1] + 2 rows */
static size_t run_head(struct kn_dev *d, const int *p, float *y)
{
    const int m = p[1], n = p[2], k = p[3];
    struct kn_rows r = *ragged(50, 1, (int[]){m + 2}, (int[]){0});
    int32_t out[MAX_ROWS];
    r.n_out = m;
    r.out = out;
    for (int i = 0; i < m; i++)
        out[i] = i + 2;
    const struct kn_attn a = {.n_embd = k, .n_head = 1, .n_head_kv = 1, .head_dim = 1};
    const size_t count = (size_t)m * (size_t)n;
    struct kn_at x = random_on(d, 60, (size_t)(m + 2) * (size_t)k),
                 norm = random_on(d, 61, (size_t)k);
    struct kn_at ya = random_on(d, 62, count), tmp = on(d, NULL, kn_tmp_bytes(&a, NULL, m + 2) / 4);
    struct kn_batch *b = batch(d, &r);
    must(kn_head(d, ya, x, tmp, norm, 1e-5f, weight(d, p[0], n, k, KN_W_INFER, 63), b), "kn_head");
    must(kn_read(d, y, ya, count * sizeof *y), "kn_read");
    kn_batch_free(d, b);
    return count;
}

/* The norm with its product, of widths that real models have. */
static void test_head(void)
{
    static const struct op quant = {"head", run_head, 1e-4};
    static const int types[] = {KN_Q8_0, KN_Q4_K, KN_Q6_K};
    for (int t = 0; t < 3; t++) {
        static const int mk[][2] = {{1, 768}, {1, 4096}, {1, 5120}, {2, 5120}, {20, 1536}};
        for (int i = 0; i < 5; i++)
            check(&quant, (int[8]){types[t], mk[i][0], 70, mk[i][1]});
        report(&quant, kn_type_info(types[t])->name);
    }
}

/* A row's result is the same alone, in steps of three (with a chunk before it), and in one batch.
 */
static void test_batch_independence(void)
{
    for (int i = 1; i < n_dev; i++) {
        int bad = 0;
        for (int c = 0; c < N_LAYERS; c++) {
            forget_rows();
            size_t n = run_steps(dev[i].d, layers[c], exact, MAX_ROWS);
            drop_all();
            for (int step = 1; step <= 64; step = step == 1   ? 3
                                                  : step == 3 ? 8
                                                  : step == 8 ? 64
                                                              : 99) {
                run_steps(dev[i].d, layers[c], got, step);
                drop_all();
                bad += memcmp(got, exact, n * sizeof *got) != 0;
            }
        }
        for (int c = 0; c < N_KV * N_SHAPES; c++) { /* attention: in one step, in three */
            const int *h = shapes[c / N_KV], type = kv_types[c % N_KV];
            int p[8] = {0, 0, h[0], h[1], h[2], type, 0, h[3]};
            if (!kn_row_bytes(type, (size_t)h[2]))
                continue;
            size_t n = run_attention(dev[i].d, p, exact);
            p[6] = PIECES | STALE;
            run_attention(dev[i].d, p, got);
            drop_all();
            bad += memcmp(got, exact, n * sizeof *got) != 0;
        }
        ok(bad == 0, "a row's bits do not depend on its batch: %s", dev[i].name);
    }
}

/* the backend's fused calls against its own small ones */
static void test_composition(void)
{
    for (int i = 1; i < n_dev; i++) {
        struct kn_dev *d = dev[i].d;
        const struct kn_ops *whole = d->ops;
        struct kn_ops small = *whole;
        int bad = 0, fused = whole->qkv || whole->ffn || whole->head || whole->argmax;
        small.qkv = NULL;
        small.ffn = NULL;
        small.head = NULL;
        small.argmax = NULL;
        for (int c = 0; c < N_LAYERS && fused && d->exact; c++) {
            forget_rows();
            size_t n = run_layer(d, layers[c], exact);
            d->ops = &small;
            run_layer(d, layers[c], got);
            d->ops = whole;
            drop_all();
            bad += memcmp(got, exact, n * sizeof *got) != 0;
        }
        if (!d->exact)
            skip("%s computes prompts in fused calls otherwise", dev[i].name);
        else if (fused)
            ok(bad == 0, "fused calls equal their compositions: %s", dev[i].name);
        else
            skip("%s fuses nothing", dev[i].name);
    }
}

/* ---- prompts and generated tokens ---- */

enum { P_EMBD = 256, P_FF = 256, P_HEADS = 256 };

/* The whole layer, rows [from, to) of r, of which the first `made` are generated: x in place; room: q, attention, tmp. */
static void prompt_step(struct kn_dev *d, const struct layer *l, struct kn_kv *kv, struct kn_at x,
                        const struct kn_at room[3], const struct kn_rows *r, int from, int to,
                        int made)
{
    struct kn_rows s = some_rows(r, from, to);
    s.n_out = 0;
    s.n_made = made;
    struct kn_batch *b = batch(d, &s);
    struct kn_at at = kn_plus(x, (size_t)from * P_EMBD * 4);
    must(kn_qkv(d, room[0], at, room[2], kv, 0, &l->a, b), "kn_qkv");
    must(kn_attention(d, room[1], room[0], kv, 0, &l->a, b), "kn_attention");
    must(kn_attn_out(d, at, room[1], room[2], &l->a, b), "kn_attn_out");
    must(kn_ffn(d, at, room[2], &l->f, b), "kn_ffn");
    kn_batch_free(d, b);
}

/* p: type, KV type, head_dim, rows of a generated sequence, rows of a prompt, options, step: 0 = one step, else the prompt
 * in steps of so many rows and the generated rows one by one. */
static size_t run_prompt(struct kn_dev *d, const int *p, float *y)
{
    const int n_head = P_HEADS / p[2], made = p[3], all = made + p[4], kv_width = p[2];
    const struct kn_rows r = *ragged(50, 2, (int[]){made, p[4]}, (int[]){0, 0});
    const int n[7] = {P_HEADS, kv_width, kv_width, P_EMBD, P_FF, P_FF, P_EMBD};
    const int k[7] = {P_EMBD, P_EMBD, P_EMBD, P_HEADS, P_EMBD, P_EMBD, P_FF};
    struct layer l;
    struct kn_kv *kv;
    for (int i = 0; i < 7; i++)
        l.w[i] = weight(d, p[0], n[i], k[i], KN_W_INFER | KN_W_LAYER, 70 + (uint64_t)i);
    l.a = (struct kn_attn){.n_embd = P_EMBD,
                           .n_head = n_head,
                           .n_head_kv = 1,
                           .head_dim = p[2],
                           .rope_dim = p[2],
                           .eps = 1e-6f,
                           .scale = 1 / sqrtf((float)p[2]),
                           .norm = random_on(d, 80, P_EMBD),
                           .q = l.w[0],
                           .k = l.w[1],
                           .v = l.w[2],
                           .o = l.w[3],
                           .rope = random_on(d, 81, (size_t)p[2] * MAX_BLOCKS * KN_TILE)};
    if (p[5] & WITH_BIAS) {
        l.a.bq = random_on(d, 82, P_HEADS);
        l.a.bk = random_on(d, 83, (size_t)kv_width);
        l.a.bv = random_on(d, 84, (size_t)kv_width);
        l.a.bo = random_on(d, 85, P_EMBD);
    }
    if (p[5] & WITH_QK_NORM)
        l.a.q_norm = l.a.k_norm = random_on(d, 86, (size_t)p[2]);
    l.f = (struct kn_ffn){
        .n_embd = P_EMBD, .n_ff = P_FF, .eps = 1e-6f, .norm = random_on(d, 87, P_EMBD)};
    l.f.gate = l.w[4], l.f.up = l.w[5], l.f.down = l.w[6];
    struct kn_at x = random_on(d, 88, (size_t)all * P_EMBD);
    const struct kn_at room[3] = {on(d, NULL, (size_t)all * P_HEADS),
                                  on(d, NULL, (size_t)all * P_HEADS),
                                  on(d, NULL, kn_tmp_bytes(&l.a, &l.f, all) / 4)};
    must(kn_kv_new(d, 1, N_BLOCK, 1, p[2], p[1], &kv), "kn_kv_new");
    if (!p[6])
        prompt_step(d, &l, kv, x, room, &r, 0, all, made);
    for (int i = 0, end; p[6] && i < all; i = end) {
        end = i < made ? i + 1 : i + p[6] < all ? i + p[6] : all;
        prompt_step(d, &l, kv, x, room, &r, i, end, i < made);
    }
    const size_t count = (size_t)all * P_EMBD;
    must(kn_read(d, y, x, count * sizeof *y), "kn_read");
    kn_kv_free(d, kv);
    return count;
}

/* Prompts beside generated tokens: near the truth whatever the weights; generated tokens to the bit on every device, and no
 * row's bits depend on the step. */
static void test_prompts(void)
{
    static const struct op op = {"a prompt's layer", run_prompt, 5e-3};
    static const int types[] = {KN_Q4_0, KN_Q4_1, KN_Q5_0, KN_Q5_1, KN_Q8_0, KN_Q4_K,
                                KN_Q5_K, KN_Q6_K, KN_Q2_K, KN_F32,  KN_F16,  KN_BF16};
    enum { N = sizeof types / sizeof *types };
    for (int t = 0; t < N; t++) {
        static const int rows[][2] = {{0, 1}, {7, 130}, {33, 20}};
        for (int i = 0; i < 3; i++)
            check(&op, (int[8]){types[t], kv_types[(t + i) % 3], t % 2 ? 128 : 64, rows[i][0],
                                rows[i][1], i % 2 ? WITH_BIAS : WITH_QK_NORM, i == 1 ? 48 : 0});
        report(&op, kn_type_info(types[t])->name);
    }
    for (int i = 1; i < n_dev; i++) {
        int bad = 0, unlike = 0;
        for (int t = 0; t < N; t += dev[i].d->exact ? 5 : 1) {
            int p[8] = {types[t], kv_types[t % 3], t % 2 ? 128 : 64, 9, 190, WITH_BIAS, 0};
            forget_rows();
            const size_t n = run_prompt(dev[i].d, p, exact);
            drop_all();
            for (int step = 1; step < 150; step = step == 1 ? 17 : step == 17 ? 64 : 150) {
                p[6] = step;
                if (step == 1 && !(t == 4 && dev[i].d->exact == 0))
                    continue; /* slow */
                run_prompt(dev[i].d, p, got);
                drop_all();
                bad += memcmp(got, exact, n * sizeof *got) != 0;
            }
            run_prompt(dev[1].d, p, got);
            drop_all();
            unlike += memcmp(got, exact, 9 * P_EMBD * sizeof *got) != 0;
        }
        ok(bad == 0, "a prompt's bits do not depend on the step: %s", dev[i].name);
        ok(unlike == 0, "generated tokens have the bits of ref:q: %s", dev[i].name);
    }
}

/* p: KV type, head_dim.  A block of 20 positions is copied; then both go on with a 21st of their own.
 * y: of layer 1, the last row before and after the copy; the 21st of the copy, of the original; of
 * the copy's sequence in a cache of its own. */
static size_t run_kv_copy(struct kn_dev *d, const int *p, float *y)
{
    enum { N = 20 };
    const size_t hd = (size_t)p[1], row = 2 * hd;
    struct kn_attn a = {.n_head = 2, .n_head_kv = 1, .head_dim = p[1], .scale = 1};
    int32_t tok[N + 1] = {0}, pos[N + 1], seq[N + 1] = {0}, blocks[MAX_BLOCKS] = {3};
    struct kn_rows r = {
        .n_tok = N, .n_seq = 1, .tok = tok, .pos = pos, .seq = seq, .blocks = blocks};
    struct kn_rows next = r;
    struct kn_kv *kv;
    struct kn_at k = random_on(d, 80, (N + 2) * hd), v = random_on(d, 81, (N + 2) * hd);
    struct kn_at q = random_on(d, 82, (N + 1) * row), ya = on(d, NULL, (N + 1) * row);
    for (int j = 0; j <= N; j++)
        pos[j] = j;
    next.n_tok = 1, next.pos = pos + N;
    must(kn_kv_new(d, 2, N_BLOCK, 1, p[1], p[0], &kv), "kn_kv_new");
    struct kn_batch *b = batch(d, &r);
    for (int layer = 0; layer < 2; layer++)
        must(kn_kv_write(d, kv, layer, k, v, b), "kn_kv_write");
    must(kn_attention(d, ya, q, kv, 1, &a, b), "kn_attention");
    must(kn_read(d, y, kn_plus(ya, (N - 1) * row * 4), row * 4), "kn_read");
    must(kn_kv_copy(d, kv, 17, 3), "kn_kv_copy");
    blocks[0] = 17;
    must(kn_batch_set(d, b, &r), "kn_batch_set");
    must(kn_attention(d, ya, q, kv, 1, &a, b), "kn_attention");
    must(kn_read(d, y + row, kn_plus(ya, (N - 1) * row * 4), row * 4), "kn_read");
    blocks[0] = 5; /* as if there had been no copy */
    must(kn_batch_set(d, b, &r), "kn_batch_set");
    must(kn_kv_write(d, kv, 1, k, v, b), "kn_kv_write");
    for (int i = 0; i < 3; i++) { /* rows N and N + 1 of k and v are two ways to go on */
        blocks[0] = i == 1 ? 3 : i ? 5 : 17;
        const size_t f = (size_t)(i == 1 ? N + 1 : N) * hd * 4;
        must(kn_batch_set(d, b, &next), "kn_batch_set");
        must(kn_kv_write(d, kv, 1, kn_plus(k, f), kn_plus(v, f), b), "kn_kv_write");
    }
    for (size_t i = 0; i < 3; i++) {
        blocks[0] = i == 1 ? 3 : i ? 5 : 17;
        must(kn_batch_set(d, b, &next), "kn_batch_set");
        must(kn_attention(d, ya, kn_plus(q, N * row * 4), kv, 1, &a, b), "kn_attention");
        must(kn_read(d, y + (2 + i) * row, ya, row * 4), "kn_read");
    }
    kn_batch_free(d, b);
    kn_kv_free(d, kv);
    return 5 * row;
}

/* a copied block serves another sequence as its prefix */
static void test_kv_copy(void)
{
    static const struct op op = {"kv_copy", run_kv_copy, 1e-11};
    for (int t = 0; t < N_KV; t++) {
        static const int dims[] = {8, 64, 96};
        for (int i = 0; i < 3; i++)
            if (kn_row_bytes(kv_types[t], (size_t)dims[i]))
                check(&op, (int[8]){kv_types[t], dims[i]});
        report(&op, kn_type_info(kv_types[t])->name);
    }
    for (int i = 1; i < n_dev; i++) {
        int bad = 0;
        for (int t = 0; t < N_KV; t++) {
            const size_t n = run_kv_copy(dev[i].d, (int[8]){kv_types[t], 64}, got) / 5;
            bad += memcmp(got, got + n, n * 4) != 0 || memcmp(got + 2 * n, got + 4 * n, n * 4) != 0;
            bad += memcmp(got + 2 * n, got + 3 * n, n * 4) == 0;
            drop_all();
        }
        ok(bad == 0, "a copied block goes its own way, all layers: %s", dev[i].name);
    }
}

int main(int argc, char **argv)
{
    ops_begin(argc, argv);
    thin = quick;
    test_attention();
    thin = 0;
    test_kv_copy();
    test_layer();
    test_prompts();
    test_head();
    test_batch_independence();
    test_composition();
    return ops_end();
}
