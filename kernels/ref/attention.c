/* attention - causal attention of each (row, head) over its sequence's cache: in double, and by R4
 */
#include "poly.h"
#include "ref/ref.h"

/* One (row, head) and where its cache lies. */
struct head {
    const struct kn_kv *kv;
    const struct kn_batch *batch;
    int layer, seq, pos, kv_head;
    int from; /* the first position that it sees */
    float scale, cap;
};

/* element d of k (which 0) or v (1) at position j */
static float cached(const struct head *h, int j, int which, int d)
{
    const void *line = ref_kv_at(h->kv, h->layer, h->batch, h->seq, j, which);
    size_t i = (size_t)h->kv_head * (size_t)h->kv->head_dim + (size_t)d;
    if (h->kv->type == KN_Q8_0) {
        const struct kn_q8_0 *b = (const struct kn_q8_0 *)line + i / 32;
        return kn_f16_to_f32(b->d) * (float)b->qs[i % 32];
    }
    return h->kv->type == KN_F16 ? kn_f16_to_f32(((const kn_half *)line)[i])
                                 : ((const float *)line)[i];
}

static void attend_double(const struct head *h, float *y, const float *q, double *p)
{
    double max = -INFINITY, sum = 0;
    for (int j = h->from; j <= h->pos; j++) {
        p[j] = 0;
        for (int d = 0; d < h->kv->head_dim; d++)
            p[j] += (double)q[d] * cached(h, j, 0, d);
        p[j] *= h->scale;
        if (h->cap != 0)
            p[j] = h->cap * tanh(p[j] / h->cap);
        max = p[j] > max ? p[j] : max;
    }
    for (int j = h->from; j <= h->pos; j++)
        sum += p[j] = exp(p[j] - max);
    for (int d = 0; d < h->kv->head_dim; d++) {
        double o = 0;
        for (int j = h->from; j <= h->pos; j++)
            o += p[j] * cached(h, j, 1, d);
        y[d] = (float)(o / sum);
    }
}

/* q . k of a position in the order of R3 */
static float score(const struct head *h, const float *q, int j)
{
    float lane[16] = {0};
    for (int d = 0; d < h->kv->head_dim; d++)
        lane[d % 16] = fmaf(q[d], cached(h, j, 0, d), lane[d % 16]);
    const float s = h->scale * ref_fold16(lane);
    return h->cap != 0 ? h->cap * kn_tanh(s / h->cap) : s;
}

static void attend_tiles(const struct head *h, float *y, const float *q)
{
    float m = -INFINITY, l = 0;
    for (int d = 0; d < h->kv->head_dim; d++)
        y[d] = 0;
    for (int t = h->from / KN_TILE * KN_TILE; t <= h->pos; t += KN_TILE) {
        int n = h->pos + 1 - t < KN_TILE ? h->pos + 1 - t : KN_TILE;
        float s[KN_TILE], p[KN_TILE], lane[16] = {0}, max = m;
        for (int j = 0; j < n; j++) {
            s[j] = t + j < h->from ? -INFINITY : score(h, q, t + j);
            max = s[j] > max ? s[j] : max;
        }
        float c = kn_exp(m - max);
        for (int j = 0; j < n; j++) {
            p[j] = kn_exp(s[j] - max);
            lane[j % 16] += p[j];
        }
        l = fmaf(l, c, ref_fold16(lane));
        for (int d = 0; d < h->kv->head_dim; d++) {
            float o = y[d] * c;
            for (int j = 0; j < n; j++)
                o = fmaf(p[j], cached(h, t + j, 1, d), o);
            y[d] = o;
        }
        m = max;
    }
    for (int d = 0; d < h->kv->head_dim; d++)
        y[d] /= l;
}

int ref_attention(struct kn_dev *dev, struct kn_at y_at, struct kn_at q_at, const struct kn_kv *kv,
                  int layer, const struct kn_attn *a, const struct kn_batch *batch)
{
    const struct ref_batch *b = (const struct ref_batch *)batch;
    struct ref_dev *d = ref_dev(dev);
    for (int i = 0; i < batch->n_tok; i++)
        for (int n = 0; n < a->n_head; n++) {
            size_t off = ((size_t)i * (size_t)a->n_head + (size_t)n) * (size_t)a->head_dim;
            struct head h = {.kv = kv, .batch = batch, .layer = layer};
            h.seq = b->seq[i], h.pos = b->pos[i], h.kv_head = n / (a->n_head / a->n_head_kv);
            h.from = a->window && h.pos >= a->window ? h.pos - a->window + 1 : 0;
            h.scale = a->scale, h.cap = a->cap;
            float *y = ref_f32(dev, y_at) + off;
            const float *q = ref_f32(dev, q_at) + off;
            if (d->rounded)
                attend_tiles(&h, y, q);
            else
                attend_double(&h, y, q, d->score);
        }
    return KN_OK;
}
