/* weight.c - weights of the CPU device: repacked into panels, or taken as a file holds them */
#include "cpu.h"
#include "cpu_train.h"

#include <stdlib.h>

void cpu_weight_free(struct kn_dev *d, struct kn_weight *w)
{
    struct cpu_weight *c = (struct cpu_weight *)w;
    (void)d;
    slab_drop(c->slab);
    slab_drop(c->tiles_slab[0]);
    slab_drop(c->tiles_slab[1]);
    free(c);
}

struct packing {
    const struct cpu_weight *w;
    uint8_t *to;
    int n, k, type, n_chunk;
};

/* Panels of one chunk; a quantized weight that is to be multiplied in f32 is widened here, once. */
static void pack_chunk(void *ctx, int phase, int chunk, int thread)
{
    struct packing *p = ctx;
    const struct cpu_weight *w = p->w;
    int from, to;
    (void)phase, (void)thread;
    pool_part((p->n + 15) / 16, p->n_chunk, chunk, &from, &to);
    if (cpu_act_block(w)) {
        mmq_pack(p->type, p->n, p->k, w->rows, from, to, p->to);
        return;
    }
    const size_t row_bytes = kn_row_bytes(p->type, (size_t)p->k);
    for (int j = from; j < to; j++) {
        int rows = p->n - 16 * j < 16 ? p->n - 16 * j : 16;
        const char *src = (const char *)w->rows + (size_t)(16 * j) * row_bytes;
        void *dst = p->to + (size_t)j * w->panel_bytes;
        if (w->packed_type == p->type)
            gemm_pack(p->type, rows, p->k, src, dst);
        else
            gemm_pack_widened(p->type, rows, p->k, src, dst);
    }
}

/* What of a weight follows from its type and shape; its panels, SIZE_MAX if they do not fit a size. */
static size_t measure(struct cpu_weight *w, int type, int n, int k, int flags)
{
    const struct kn_type_info *t = kn_type_info(type);
    w->w = (struct kn_weight){.type = type, .n = n, .k = k, .flags = flags};
    w->packed_type = t->block_len > 1 && (!t->act_block || flags & KN_W_FLOAT) ? KN_F32 : type;
    w->panel_bytes =
        cpu_act_block(w) ? mmq_panel_bytes(type, k) : gemm_packed_bytes(w->packed_type, 16, k);
    const size_t panels = flags & (KN_W_INFER | KN_W_FLOAT) ? ((size_t)n + 15) / 16 : 0;
    return panels && w->panel_bytes > (SIZE_MAX - 64) / panels ? SIZE_MAX : panels;
}

size_t cpu_weight_bytes(int type, int n, int k, int flags, int *act_block)
{
    struct cpu_weight w = {0};
    const size_t panels = measure(&w, type, n, k, flags);
    *act_block = panels ? cpu_act_block(&w) : 0;
    return panels == SIZE_MAX ? SIZE_MAX : panels * w.panel_bytes;
}

/* The weight without its panels; *panels: how many it has, 0 for none. */
static struct cpu_weight *describe(struct cpu_dev *c, int type, int n, int k, const void *rows,
                                   int flags, size_t *panels)
{
    struct cpu_weight *w = cpu_reserve(c, k, 0) ? NULL : calloc(1, sizeof *w);
    if (!w)
        return NULL;
    *panels = measure(w, type, n, k, flags);
    w->rows = rows;
    if (*panels == SIZE_MAX) {
        free(w);
        return NULL;
    }
    return w;
}

int cpu_weight_new(struct kn_dev *d, int type, int n, int k, const void *rows, int flags,
                   struct kn_weight **out)
{
    struct cpu_dev *c = cpu_dev(d);
    size_t panels;
    struct cpu_weight *w = describe(c, type, n, k, rows, flags, &panels);
    if (!w)
        return KN_ENOMEM;
    if (panels) {
        struct packing p = {w, NULL, n, k, type, pool_chunks(c->pool, (int)panels, 1)};
        if (!(w->packed = p.to = slab_take(&c->slab, panels * w->panel_bytes, &w->slab))) {
            free(w);
            return KN_ENOMEM;
        }
        pool_run(c->pool, pack_chunk, &p, &p.n_chunk, 1);
    }
    if (flags & KN_W_MIXED && cpu_train_tiles(d, w)) {
        cpu_weight_free(d, &w->w);
        return KN_ENOMEM;
    }
    *out = &w->w;
    return KN_OK;
}

const void *cpu_weight_form(const struct kn_weight *kw, size_t *bytes)
{
    const struct cpu_weight *w = (const struct cpu_weight *)kw;
    *bytes = w->packed ? ((size_t)kw->n + 15) / 16 * w->panel_bytes : 0;
    return w->packed;
}

int cpu_weight_take(struct kn_dev *d, int type, int n, int k, const void *rows, int flags,
                    const void *form, size_t bytes, struct kn_weight **out)
{
    size_t panels;
    struct cpu_weight *w = describe(cpu_dev(d), type, n, k, rows, flags, &panels);
    if (!w)
        return KN_ENOMEM;
    if (!panels || bytes != panels * w->panel_bytes) {
        free(w);
        return KN_EUNSUP;
    }
    w->packed = form;
    *out = &w->w;
    return KN_OK;
}
