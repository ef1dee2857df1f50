/* count.c - the calls of count.h: to the device's table, or nothing to count */
#include "count.h"

#include <stdint.h>

void kn_count_weight(const struct kn_dev *d, struct kn_count *c, int type, int n, int k, int flags)
{
    if (type == KN_NF4) { /* kn_weight_new widens it, whatever the device */
        const size_t bytes = (size_t)n * (size_t)k * sizeof(float);
        c->weights += bytes;
        c->pages += bytes;
        type = KN_F32;
    }
    c->embeds = 0;
    if (d->ops->count)
        d->ops->count->weight(d, c, type, n, k, flags);
}

void kn_count_head(struct kn_count *c, const struct kn_count *before)
{
    c->spread[1] = c->spread[0];
    c->spread[0] = before->spread[0];
}

void kn_count_step(const struct kn_dev *d, struct kn_count *c, const struct kn_attn *a,
                   const struct kn_ffn *f, int rows, int out)
{
    if (d->ops->count)
        d->ops->count->step(d, c, a, f, rows, out);
}

void kn_count_group(const struct kn_dev *d, struct kn_count *c, const struct kn_group *g, int m,
                    int flags)
{
    if (d->ops->count)
        d->ops->count->group(d, c, g, m, flags);
}

void kn_count_attn(const struct kn_dev *d, struct kn_count *c, int head_dim, int longest, int flags)
{
    if (d->ops->count)
        d->ops->count->attn(d, c, head_dim, longest, flags);
}

size_t kn_count_scratch(const struct kn_count *c)
{
    size_t n = 0;
    for (int i = 0; i < KN_COUNT_SLOTS; i++)
        n = c->slot[i] > SIZE_MAX - n ? SIZE_MAX : n + c->slot[i];
    return n;
}
