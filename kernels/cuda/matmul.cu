/* matmul - y(m, n) = x(m, k) w(n, k)^T + bias: activations to 8 bits, then the product; products with one x */
#include "cuda/matmul.h"

/* R1: a warp for each block of LEN activations */
template <int LEN>
__global__ static void quantize(struct act a, const float *x, int k, size_t n_block)
{
    const size_t b = (size_t)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    begin_next();
    after();
    if (b < n_block)
        quantize_block<LEN>(a, (int)(b / (k / LEN)), (int)(b % (k / LEN)), k, threadIdx.x % 32,
                            [=](int i) { return x[b * LEN + i]; });
}

int cu_quantize(struct kn_dev *d, const float *x, int m, int k, int len)
{
    const size_t n = (size_t)m * (size_t)(k / len);
    return cu_launch(d, "quantizing", len == 256 ? quantize<256> : quantize<32>, cu_blocks(n, 4),
                     128, cu_act(d, m, len), x, k, n);
}

struct products cu_products(const struct kn_weight *w, float *y, const float *bias, int add)
{
    const struct cu_weight *cw = (const struct cu_weight *)w;
    const int groups = (int)cu_blocks((size_t)w->n, GROUP);
    return {.p = {{cw->p, y, bias, w->n, add}},
            .k = w->k,
            .n_block = cw->n_block,
            .end = {groups, groups, groups}};
}

int cu_join(struct products *p, const struct kn_weight *w, float *y, const float *bias)
{
    const struct cu_weight *cw = (const struct cu_weight *)w;
    for (int i = 1; i < TOGETHER; i++)
        if (!p->p[i].w) {
            p->p[i] = {cw->p, y, bias, w->n, p->p[0].add};
            for (int j = i; j < TOGETHER; j++)
                p->end[j] = p->end[i - 1] + (int)cu_blocks((size_t)w->n, GROUP);
            return 1;
        }
    return 0;
}

int cu_product(struct kn_dev *d, const struct products *p, int type, int m)
{
    return m <= FEW                             ? cu_few(d, p, type, m)
           : m <= MANY                          ? cu_many(d, p, type, m)
           : cu_act(d, m, act_block(type)).half ? cu_halves(d, p, type, m)
                                                : cu_tiles(d, p, type, m);
}

int cu_matmul(struct kn_dev *d, struct kn_at y, struct kn_at x, const struct kn_weight *w,
              struct kn_at bias, int m, int flags)
{
    const int form = ((const struct cu_weight *)w)->form, len = act_block(form);
    struct products p = cu_products(w, cu_f32(y), cu_f32(bias), flags & KN_ADD);
    if (!len)
        return m ? cu_float(d, &p, form, cu_f32(x), m) : KN_OK;
    for (int from = 0; from < m; from += ACT_ROWS) {
        const int rows = m - from < ACT_ROWS ? m - from : ACT_ROWS;
        p.p[0].y = cu_f32(y) + (size_t)from * (size_t)w->n;
        int rc = cu_quantize(d, cu_f32(x) + (size_t)from * (size_t)w->k, rows, w->k, len);
        if (rc == KN_OK)
            rc = cu_product(d, &p, form, rows);
        if (rc != KN_OK)
            return rc;
    }
    return KN_OK;
}
