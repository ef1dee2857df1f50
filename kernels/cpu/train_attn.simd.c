/* train_attn.simd.c - causal attention of one document and KV head, tile by tile (flash attention)
 *
 * The document's keys (and in the backward its values) lie transposed in scratch, so that every
 * product runs along rows; scores exist for one tile of QT rows by KT keys alone.  Tiles are
 * anchored at the document's first row: packing changes no bit. */
#include "cpu/cpu_train.h"
#include "cpu/simd.h"
#include <math.h>

enum { QT = 32, KT = 64 };
#if defined ISA_avx512
enum { R = 8, P = 2 };
#else
enum { R = 4, P = 1 };
#endif

static int up(int n, int to)
{
    return (n + to - 1) / to * to;
}

/* c(rows, 16 * nv) = or += a b over k; a(i, p) at a[i * ai + p * ap], b and c with row strides */
INLINE void tile(int rows, int nv, int k, const float *a, size_t ai, size_t ap, const float *b,
                 size_t ldb, float *c, size_t ldc, int add)
{
    vf s[8][2];
    UNROLL for (int i = 0; i < rows; i++)
    {
        UNROLL for (int j = 0; j < nv; j++) s[i][j] =
            add ? vf_load(c + i * ldc + 16 * j) : vf_zero();
    }
    for (int p = 0; p < k; p++, a += ap, b += ldb) {
        vf bv[2];
        UNROLL for (int j = 0; j < nv; j++) bv[j] = vf_load(b + 16 * j);
        UNROLL for (int i = 0; i < rows; i++)
        {
            vf av = vf_set1(a[i * ai]);
            UNROLL for (int j = 0; j < nv; j++) s[i][j] = vf_fma(av, bv[j], s[i][j]);
        }
    }
    UNROLL for (int i = 0; i < rows; i++)
    {
        UNROLL for (int j = 0; j < nv; j++) vf_store(c + i * ldc + 16 * j, s[i][j]);
    }
}

/* m a multiple of 8, n of 16 */
static void product(int m, int n, int k, const float *a, size_t ai, size_t ap, const float *b,
                    size_t ldb, float *c, size_t ldc, int add)
{
    for (int i = 0; i < m; i += R) {
        int j = 0;
        for (; j + 16 * P <= n; j += 16 * P)
            tile(R, P, k, a + i * ai, ai, ap, b + j, ldb, c + i * ldc + j, ldc, add);
        for (; j < n; j += 16)
            tile(R, 1, k, a + i * ai, ai, ap, b + j, ldb, c + i * ldc + j, ldc, add);
    }
}

/* len rows of hd floats (stride ld), times scale, into rows of hdp; zero above, up to `rows` */
static void rows_in(float *to, const float *from, size_t ld, int len, int rows, int hd, int hdp,
                    float scale)
{
    memset(to, 0, (size_t)rows * hdp * sizeof *to);
    for (int i = 0; i < len; i++)
        for (int c = 0; c < hd; c++)
            to[(size_t)i * hdp + c] = from[i * ld + c] * scale;
}

static void transposed_in(float *to, size_t ldt, const float *from, size_t ld, int len, int hd,
                          int hdp)
{
    memset(to, 0, (size_t)hdp * ldt * sizeof *to);
    for (int i = 0; i < len; i++)
        for (int c = 0; c < hd; c++)
            to[c * ldt + i] = from[i * ld + c];
}

static void rows_out(float *to, size_t ld, const float *from, int len, int hd, int hdp)
{
    for (int i = 0; i < len; i++)
        memcpy(to + i * ld, from + (size_t)i * hdp, (size_t)hd * sizeof *to);
}

static size_t scratch(int head_dim, int len)
{
    size_t hdp = (size_t)up(head_dim, 16), lp = (size_t)up(len, KT);
    return 5 * hdp * lp + 4 * QT * hdp + 2 * QT * KT + 4 * QT;
}

/* Scores beyond the diagonal never count: row i of the tile sees keys 0..q0 + i. */
static void mask(float *s, int rows, int q0, int k0)
{
    for (int i = 0; i < rows; i++)
        for (int j = q0 + i - k0 + 1 < 0 ? 0 : q0 + i - k0 + 1; j < KT; j++)
            s[i * KT + j] = -1e30f;
}

/* One tile into the running maximum, sum and output of each row. */
static void soften(float *s, float *o, float *max, float *sum, int rows, int hdp)
{
    for (int i = 0; i < rows; i++, s += KT, o += hdp) {
        vf m = vf_load(s), l = vf_zero();
        for (int j = 16; j < KT; j += 16)
            m = vf_max(m, vf_load(s + j));
        float top = vf_hmax(m), keep;
        top = top > max[i] ? top : max[i];
        keep = kn_exp(max[i] - top);
        for (int j = 0; j < KT; j += 16) {
            vf p = vf_exp(vf_sub(vf_load(s + j), vf_set1(top)));
            vf_store(s + j, p);
            l = vf_add(l, p);
        }
        sum[i] = fmaf(sum[i], keep, vf_fold(l));
        max[i] = top;
        for (int c = 0; c < hdp; c += 16)
            vf_store(o + c, vf_mul(vf_load(o + c), vf_set1(keep)));
    }
}

static void forward(const struct attn_job *j, float *w)
{
    const struct kn_attn *a = j->a;
    int len = j->to - j->from, hd = a->head_dim, hdp = up(hd, 16), lp = up(len, KT);
    int group = a->n_head / a->n_head_kv;
    size_t ldq = (size_t)a->n_head * hd, ldk = (size_t)a->n_head_kv * hd;
    size_t at_k = j->from * ldk + (size_t)j->kv_head * hd;
    float *kt = w, *v = kt + (size_t)hdp * lp, *q = v + (size_t)hdp * lp, *o = q + QT * hdp;
    float *s = o + QT * hdp, *max = s + QT * KT, *sum = max + QT;
    transposed_in(kt, (size_t)lp, j->k + at_k, ldk, len, hd, hdp);
    rows_in(v, j->v + at_k, ldk, len, lp, hd, hdp, 1);
    for (int h = j->kv_head * group; h < (j->kv_head + 1) * group; h++)
        for (int q0 = 0; q0 < len; q0 += QT) {
            int n = len - q0 < QT ? len - q0 : QT, rows = up(n, 8);
            size_t at_q = (j->from + q0) * ldq + (size_t)h * hd;
            rows_in(q, j->q + at_q, ldq, n, rows, hd, hdp, a->scale);
            memset(o, 0, (size_t)rows * hdp * sizeof *o);
            for (int i = 0; i < rows; i++) {
                max[i] = -1e30f;
                sum[i] = 0;
            }
            for (int k0 = 0; k0 < q0 + n; k0 += KT) {
                product(rows, KT, hdp, q, (size_t)hdp, 1, kt + k0, (size_t)lp, s, KT, 0);
                mask(s, rows, q0, k0);
                soften(s, o, max, sum, rows, hdp);
                product(rows, hdp, KT, s, KT, 1, v + (size_t)k0 * hdp, (size_t)hdp, o, (size_t)hdp,
                        1);
            }
            for (int i = 0; i < n; i++) {
                for (int c = 0; c < hd; c++)
                    o[i * hdp + c] /= sum[i];
                j->lse[(size_t)(j->from + q0 + i) * a->n_head + h] = max[i] + logf(sum[i]);
            }
            rows_out(j->out + at_q, ldq, o, n, hd, hdp);
        }
}

/* p = exp(s - lse), ds = p (dp - delta), in place of s and dp */
static void soften_bwd(float *s, float *dp, const float *lse, const float *delta, int rows)
{
    for (int i = 0; i < rows; i++, s += KT, dp += KT)
        for (int j = 0; j < KT; j += 16) {
            vf p = vf_exp(vf_sub(vf_load(s + j), vf_set1(lse[i])));
            vf_store(s + j, p);
            vf_store(dp + j, vf_mul(p, vf_sub(vf_load(dp + j), vf_set1(delta[i]))));
        }
}

static void backward(const struct attn_job *j, float *w)
{
    const struct kn_attn *a = j->a;
    int len = j->to - j->from, hd = a->head_dim, hdp = up(hd, 16), lp = up(len, KT);
    int group = a->n_head / a->n_head_kv;
    size_t ldq = (size_t)a->n_head * hd, ldk = (size_t)a->n_head_kv * hd, ld = (size_t)hdp;
    size_t at_k = j->from * ldk + (size_t)j->kv_head * hd, all = (size_t)hdp * lp;
    float *kt = w, *vt = kt + all, *k = vt + all, *dk = k + all, *dv = dk + all, *q = dv + all;
    float *dy = q + QT * hdp, *dq = dy + QT * hdp, *s = dq + QT * hdp, *dp = s + QT * KT;
    float *lse = dp + QT * KT, *delta = lse + QT;
    transposed_in(kt, (size_t)lp, j->k + at_k, ldk, len, hd, hdp);
    transposed_in(vt, (size_t)lp, j->v + at_k, ldk, len, hd, hdp);
    rows_in(k, j->k + at_k, ldk, len, lp, hd, hdp, 1);
    memset(dk, 0, 2 * all * sizeof *dk);
    for (int h = j->kv_head * group; h < (j->kv_head + 1) * group; h++)
        for (int q0 = 0; q0 < len; q0 += QT) {
            int n = len - q0 < QT ? len - q0 : QT, rows = up(n, 8);
            size_t at_q = (j->from + q0) * ldq + (size_t)h * hd;
            rows_in(q, j->q + at_q, ldq, n, rows, hd, hdp, a->scale);
            rows_in(dy, j->dy + at_q, ldq, n, rows, hd, hdp, 1);
            memset(dq, 0, (size_t)rows * hdp * sizeof *dq);
            for (int i = 0; i < rows; i++) {
                lse[i] = i < n ? j->lse[(size_t)(j->from + q0 + i) * a->n_head + h] : 0;
                vf d = vf_zero();
                for (int c = 0; i < n && c < hd; c += 16)
                    d = vf_fma(vf_load(dy + i * hdp + c),
                               vf_load_n(j->y + at_q + i * ldq + c, hd - c), d);
                delta[i] = vf_fold(d);
            }
            for (int k0 = 0; k0 < q0 + n; k0 += KT) {
                size_t at = (size_t)k0 * hdp;
                product(rows, KT, hdp, q, ld, 1, kt + k0, (size_t)lp, s, KT, 0);
                mask(s, rows, q0, k0);
                product(rows, KT, hdp, dy, ld, 1, vt + k0, (size_t)lp, dp, KT, 0);
                soften_bwd(s, dp, lse, delta, rows);
                product(KT, hdp, rows, s, 1, KT, dy, ld, dv + at, ld, 1);
                product(KT, hdp, rows, dp, 1, KT, q, ld, dk + at, ld, 1);
                product(rows, hdp, KT, dp, KT, 1, k + at, ld, dq, ld, 1);
            }
            for (int i = 0; i < n * hdp; i++)
                dq[i] *= a->scale; /* q carries it in dk */
            rows_out(j->dq + at_q, ldq, dq, n, hd, hdp);
        }
    rows_out(j->dk + at_k, ldk, dk, len, hd, hdp);
    rows_out(j->dv + at_k, ldk, dv, len, hd, hdp);
}

const struct train_attn_isa FN(train_attn) = {scratch, forward, backward};
