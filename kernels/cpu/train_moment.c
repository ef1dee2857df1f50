/* train_moment - AdamW and momentum over moments of any kind: a block widened, stepped, rounded */
#include "cpu/cpu_train.h"
#include "moment.h"
#include <math.h>

enum { BLOCK = KN_MOMENT_BLOCK };

/* Of both: a block's job; v absent: momentum, y is the output. */
struct small {
    const struct kn_adamw *h;
    float *y, c[10];
    const float *g;
    char *m, *v;
    size_t n;
    const struct train_rows_isa *isa;
    int n_block, n_chunk;
};

static void adamw_block(const struct small *s, size_t i, size_t len)
{
    const struct kn_adamw *h = s->h;
    float m[BLOCK], v[BLOCK];
    const size_t at = kn_moment_bytes(h->moment, i);
    uint32_t draw[BLOCK];
    kn_moment_load(h->moment, 1, s->m + at, m, len);
    kn_moment_load(h->moment, 0, s->v + at, v, len);
    s->isa->adamw(s->y + i, s->g + i, m, v, len, s->c);
    kn_moment_draws(h, h->first + i, draw, len);
    kn_moment_store(h->moment, 1, s->m + at, m, len, draw);
    kn_moment_store(h->moment, 0, s->v + at, v, len, draw);
}

static void momentum_block(const struct small *s, size_t i, size_t len)
{
    const struct kn_adamw *h = s->h;
    float m[BLOCK];
    const size_t at = kn_moment_bytes(h->moment, i);
    uint32_t draw[BLOCK];
    kn_moment_load(h->moment, 1, s->m + at, m, len);
    for (size_t k = 0; k < len; k++) {
        const float gi = h->grad_scale * s->g[i + k];
        m[k] = fmaf(h->beta1, m[k], gi);
        s->y[i + k] = fmaf(h->beta1, m[k], gi);
    }
    kn_moment_draws(h, h->first + i, draw, len);
    kn_moment_store(h->moment, 1, s->m + at, m, len, draw);
}

static void chunk(void *ctx, int phase, int number, int thread)
{
    const struct small *s = ctx;
    int from, to;
    (void)phase;
    (void)thread;
    pool_part(s->n_block, s->n_chunk, number, &from, &to);
    for (size_t i = (size_t)from * BLOCK; i < (size_t)to * BLOCK; i += BLOCK) {
        const size_t len = s->n - i < BLOCK ? s->n - i : BLOCK;
        if (s->v)
            adamw_block(s, i, len);
        else
            momentum_block(s, i, len);
    }
}

static int run(struct kn_dev *d, struct small *s)
{
    enum { LEAST = 16 }; /* blocks of a chunk */
    s->n_block = (int)((s->n + BLOCK - 1) / BLOCK);
    s->n_chunk = pool_chunks(cpu_dev(d)->pool, s->n_block, LEAST);
    s->isa = train_isa(d)->rows;
    pool_run(cpu_dev(d)->pool, chunk, s, &s->n_chunk, 1);
    return 0;
}

int cpu_train_adamw_small(struct kn_dev *d, struct kn_at w, struct kn_at g, struct kn_at m,
                          struct kn_at v, size_t n, const struct kn_adamw *h)
{
    struct small s = {.h = h, .y = cpu_f32(w), .g = cpu_f32(g), .n = n};
    s.m = (char *)cpu_f32(m);
    s.v = (char *)cpu_f32(v);
    kn_adamw_factors(h, s.c);
    return run(d, &s);
}

int cpu_train_momentum(struct kn_dev *d, struct kn_at out, struct kn_at m, struct kn_at g, size_t n,
                       const struct kn_adamw *h)
{
    struct small s = {.h = h, .y = cpu_f32(out), .g = cpu_f32(g), .n = n};
    s.m = (char *)cpu_f32(m);
    return run(d, &s);
}
