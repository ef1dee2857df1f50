/* train_group - a group of linear layers with KN_MIXED: T1's operands, products of train_wide.h
 *
 * The adapters of a group lie side by side: z and dz (m, n_lin * wide), a one below another (n_lin * wide, k), so that
 * one pass over the input serves them all.  Of layer i the columns i * wide on are its own; where it has no adapter
 * they are zeros. */
#include "cuda/train_wide.h"

struct group {
    const struct kn_group *g;
    struct kn_dev *d;
    int m, wide, cols, adapters; /* columns of a layer's adapter, of all; how many there are */
    uint8_t *h, *own;            /* panels of the input, and of an adapter's own */
    uint8_t *z, *dz, *a, *b;     /* b: of one layer at a time */
    uint8_t *dy[KN_GROUP];
};

static int begin(struct group *s, struct kn_dev *d, const struct kn_group *g, int m)
{
    int rc, widest = 0;
    size_t dy = 0;
    *s = (struct group){.g = g, .d = d, .m = m};
    s->wide = (g->r + 15) / 16 * 16;
    s->cols = g->n_lin * s->wide;
    for (int i = 0; i < g->n_lin; i++) {
        const int n = g->lin[i].w->n;
        s->adapters += g->lin[i].a.buf != NULL;
        widest = n > widest ? n : widest;
        dy += panel_bytes(m, n);
    }
    const size_t h = panel_bytes(m, g->k), z = panel_bytes(m, s->cols);
    const size_t a = panel_bytes(s->cols, g->k), b = panel_bytes(widest, s->cols);
    if ((rc = cu_scratch(d, ROOM_X, h, &s->h)) != KN_OK ||
        (rc = cu_scratch(d, ROOM_DY, dy, &s->dy[0])) != KN_OK)
        return rc;
    for (int i = 0; i + 1 < g->n_lin; i++)
        s->dy[i + 1] = s->dy[i] + panel_bytes(m, g->lin[i].w->n);
    if (!s->adapters)
        return KN_OK;
    s->own = s->h;
    if ((rc = cu_scratch(d, ROOM_Z, 2 * z, &s->z)) != KN_OK ||
        (rc = cu_scratch(d, ROOM_FACTOR, a + b, &s->a)) != KN_OK ||
        (g->dropout > 0 && (rc = cu_scratch(d, ROOM_DROPPED, h, &s->own)) != KN_OK))
        return rc;
    s->dz = s->z + z;
    s->b = s->a + a;
    return KN_OK;
}

static struct panels h_of(const struct group *s)
{
    return {s->h, s->m, s->g->k};
}
static struct panels own_of(const struct group *s)
{
    return {s->own, s->m, s->g->k};
}
static struct panels z_of(const struct group *s)
{
    return {s->z, s->m, s->cols};
}
static struct panels dz_of(const struct group *s)
{
    return {s->dz, s->m, s->cols};
}
static struct panels a_of(const struct group *s)
{
    return {s->a, s->cols, s->g->k};
}
static struct panels b_of(const struct group *s, int i)
{
    return {s->b, s->g->lin[i].w->n, s->cols};
}
static struct panels dy_of(const struct group *s, int i)
{
    return {s->dy[i], s->m, s->g->lin[i].w->n};
}

static struct product16 product(int m, int n, float *y)
{
    struct product16 p = {};
    p.m = m, p.n = n, p.y = y, p.alpha = 1, p.ld = (size_t)n;
    return p;
}

/* ---- sums of a split product to their places ---- */

/* Columns `at` and r - 1 more of part(n_part, m, cols) to f32, if it is given, and into panels. */
__global__ static void columns_out(float *y, uint8_t *to, const float *part, int n_part, int m,
                                   int cols, int at, int r, int n_slab)
{
    const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    const int row = (int)(i / r), c = (int)(i % r);
    float s = 0;
    if (row >= m)
        return;
    for (int k = 0; k < n_part; k++)
        s += part[((size_t)k * m + row) * cols + at + c];
    if (y)
        y[(size_t)row * r + c] = s;
    *(__nv_bfloat16 *)(to + panel_at(row, at + c, n_slab)) = __float2bfloat16(s);
}
/* y(m, r), or turned y(r, m), += alpha times the sum */
__global__ static void columns_add(float *y, const float *part, int n_part, int m, int cols, int at,
                                   int r, float alpha, int turn)
{
    const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    const int row = (int)(turn ? i % m : i / r), c = (int)(turn ? i / m : i % r);
    float s = 0;
    if (i >= (size_t)m * r)
        return;
    for (int k = 0; k < n_part; k++)
        s += part[((size_t)k * m + row) * cols + at + c];
    y[i] += alpha * s;
}

static int take_columns(const struct group *s, int i, float *y, uint8_t *to,
                        const struct product16 *p, int n_part)
{
    columns_out<<<cu_blocks((size_t)p->m * s->g->r, 256), 256, 0, cu_dev(s->d)->stream>>>(
        y, to, p->y, n_part, p->m, p->n, i * s->wide, s->g->r, slabs(s->cols));
    return cu_launched(s->d, "columns of an adapter");
}
static int add_columns(const struct group *s, int i, float *y, const struct product16 *p,
                       int n_part, float alpha, int turn)
{
    columns_add<<<cu_blocks((size_t)p->m * s->g->r, 256), 256, 0, cu_dev(s->d)->stream>>>(
        y, p->y, n_part, p->m, p->n, i * s->wide, s->g->r, alpha, turn);
    return cu_launched(s->d, "gradient of a factor");
}
static int clear(const struct group *s, uint8_t *p)
{
    return cu_status(s->d, cudaMemsetAsync(p, 0, panel_bytes(s->m, s->cols), cu_dev(s->d)->stream),
                     "an adapter");
}

/* ---- factors as operands ---- */

static struct adapters adapters_of(const struct group *s)
{
    struct adapters a = {};
    a.n = s->g->n_lin, a.r = s->g->r, a.wide = s->wide;
    return a;
}
/* Of all layers, or of one. */
static int make_a(const struct group *s, int only)
{
    struct adapters a = adapters_of(s);
    for (int i = 0; i < s->g->n_lin; i++)
        a.x[i] = only < 0 || only == i ? cu_f32(s->g->lin[i].a) : NULL;
    return cu_a_panels(s->d, s->a, &a, s->g->k);
}
static int make_b(const struct group *s, int i)
{
    struct adapters a = adapters_of(s);
    a.x[i] = cu_f32(s->g->lin[i].b);
    return cu_column_panels(s->d, s->b, &a, s->g->lin[i].w->n, s->g->alpha);
}
/* z again, of what the forward kept */
static int kept_z(const struct group *s)
{
    struct adapters a = adapters_of(s);
    for (int i = 0; i < s->g->n_lin; i++)
        a.x[i] = s->g->lin[i].a.buf ? cu_f32(s->g->lin[i].z) : NULL;
    return cu_column_panels(s->d, s->z, &a, s->m, 1);
}

/* ---- forward ---- */

/* The adapters' input: h, or of layer i its own, dropped. */
static int own_input(const struct group *s, int i)
{
    const struct kn_group *g = s->g;
    return g->dropout > 0 ? cu_group_panels(s->d, s->own, g, s->m, g->dropout, g->lin[i].draws, 0)
                          : KN_OK;
}

/* z = h a^T of all adapters, or one after another where each drops its own. */
static int make_z(const struct group *s)
{
    const struct kn_group *g = s->g;
    const int each = g->dropout > 0;
    int rc = clear(s, s->z), n_part = 0;
    struct product16 p = product(s->m, s->cols, NULL);
    cu_part(&p, own_of(s), ALONG, a_of(s), ALONG);
    if (rc == KN_OK)
        rc = make_a(s, -1);
    if (rc == KN_OK && !each)
        rc = cu_product_split(s->d, &p, ALONG, ALONG, &n_part);
    for (int i = 0; rc == KN_OK && i < g->n_lin; i++) {
        if (!g->lin[i].a.buf)
            continue;
        if (each && (rc = own_input(s, i)) == KN_OK)
            rc = cu_product_split(s->d, &p, ALONG, ALONG, &n_part);
        if (rc == KN_OK)
            rc = take_columns(s, i, cu_f32(g->lin[i].z), s->z, &p, n_part);
    }
    return rc;
}

int cu_train_group(struct kn_dev *d, const struct kn_group *g, int m)
{
    struct group s;
    int rc = m == 0 ? KN_OK : begin(&s, d, g, m);
    if (rc != KN_OK || m == 0)
        return rc;
    cu_dev(d)->ready = {};
    rc = cu_group_panels(d, s.h, g, m, 0, 0, 1);
    if (rc == KN_OK)
        cu_dev(d)->ready.x = cu_f32(g->x), cu_dev(d)->ready.m = m;
    if (rc == KN_OK && s.adapters)
        rc = make_z(&s);
    for (int i = 0; rc == KN_OK && i < g->n_lin; i++) {
        const struct kn_lin *l = &g->lin[i];
        const uint8_t *w;
        struct product16 p = product(m, l->w->n, cu_f32(l->y));
        p.bias = cu_f32(l->bias), p.res = cu_f32(l->res);
        if ((rc = cu_panels_of(d, l->w, &w)) != KN_OK)
            break;
        cu_part(&p, h_of(&s), ALONG, {w, l->w->n, g->k}, ALONG);
        if (l->a.buf) {
            rc = make_b(&s, i);
            cu_part(&p, z_of(&s), ALONG, b_of(&s, i), ALONG);
        }
        rc = rc == KN_OK ? cu_product(d, &p, ALONG, ALONG) : rc;
    }
    return rc;
}

/* ---- backward ---- */

/* dz = dy (alpha b) into its columns;  db += alpha dy^T z */
static int factor_b(const struct group *s, int i)
{
    const struct kn_lin *l = &s->g->lin[i];
    int rc = make_b(s, i), n_part;
    struct product16 p = product(s->m, s->cols, NULL), q = product(l->w->n, s->cols, NULL);
    cu_part(&p, dy_of(s, i), ALONG, b_of(s, i), TURNED);
    cu_part(&q, dy_of(s, i), TURNED, z_of(s), TURNED);
    if (rc == KN_OK && (rc = cu_product_split(s->d, &p, ALONG, TURNED, &n_part)) == KN_OK)
        rc = take_columns(s, i, NULL, s->dz, &p, n_part);
    if (rc == KN_OK && (rc = cu_product_split(s->d, &q, TURNED, TURNED, &n_part)) == KN_OK)
        rc = add_columns(s, i, cu_f32(l->db), &q, n_part, s->g->alpha, 0);
    return rc;
}

/* da += dz^T h, as (h^T dz)^T: of all adapters, or one after another where each drops its own */
static int factors_a(const struct group *s)
{
    const struct kn_group *g = s->g;
    const int each = g->dropout > 0;
    int rc = KN_OK, n_part = 0;
    struct product16 p = product(g->k, s->cols, NULL);
    cu_part(&p, own_of(s), TURNED, dz_of(s), TURNED);
    if (!each)
        rc = cu_product_split(s->d, &p, TURNED, TURNED, &n_part);
    for (int i = 0; rc == KN_OK && i < g->n_lin; i++) {
        if (!g->lin[i].a.buf)
            continue;
        if (each && (rc = own_input(s, i)) == KN_OK)
            rc = cu_product_split(s->d, &p, TURNED, TURNED, &n_part);
        if (rc == KN_OK)
            rc = add_columns(s, i, cu_f32(g->lin[i].da), &p, n_part, 1, 1);
    }
    return rc;
}

/* dh += dz a of layer i, dropped as its input was */
static int through_dropped(const struct group *s, int i, struct kn_at dh)
{
    const struct kn_group *g = s->g;
    const size_t n = (size_t)s->m * g->k;
    struct product16 p = product(s->m, g->k, NULL);
    int rc = cu_scratch(s->d, ROOM_PART, n * sizeof(float), &p.y);
    if (rc == KN_OK)
        rc = make_a(s, i);
    cu_part(&p, dz_of(s), ALONG, a_of(s), TURNED);
    if (rc == KN_OK)
        rc = cu_product(s->d, &p, ALONG, TURNED);
    return rc == KN_OK
               ? cu_add_dropped(s->d, cu_f32(dh), p.y, g->dropout, g->seed, g->lin[i].draws, n)
               : rc;
}

/* dh = the sum of dy w, then dz a */
static int through(const struct group *s, struct kn_at dh)
{
    const struct kn_group *g = s->g;
    struct product16 p = product(s->m, g->k, cu_f32(dh));
    int rc = s->adapters && g->dropout <= 0 ? make_a(s, -1) : KN_OK, kept = 1;
    for (int i = 0; i < g->n_lin; i++)
        kept &= ((const struct cu_weight *)g->lin[i].w)->train.panels != NULL;
    for (int i = 0; rc == KN_OK && i < g->n_lin; i++) {
        const uint8_t *w;
        if ((rc = cu_panels_of(s->d, g->lin[i].w, &w)) != KN_OK)
            break;
        cu_part(&p, dy_of(s, i), ALONG, {w, g->lin[i].w->n, g->k}, TURNED);
        if (kept || i + 1 == g->n_lin) /* else one room for the weights: one after another */
            continue;
        rc = cu_product(s->d, &p, ALONG, TURNED);
        p.n_part = p.chunks = 0;
        p.add = 1;
    }
    if (s->adapters && g->dropout <= 0)
        cu_part(&p, dz_of(s), ALONG, a_of(s), TURNED);
    rc = rc == KN_OK ? cu_product(s->d, &p, ALONG, TURNED) : rc;
    for (int i = 0; rc == KN_OK && g->dropout > 0 && i < g->n_lin; i++)
        if (g->lin[i].a.buf)
            rc = through_dropped(s, i, dh);
    return rc;
}

static int dy_panels(const struct group *s, int i)
{
    const struct kn_lin *l = &s->g->lin[i];
    const struct cu_dev *c = cu_dev(s->d);
    if (i < 2 && c->ready.m == s->m && c->ready.dy[i] && c->ready.dy[i] == cu_f32(l->dy))
        return KN_OK; /* handed on */
    return cu_x_panels(s->d, s->dy[i], cu_f32(l->dy), s->m, l->w->n);
}

/* The gradients of x and up as panels where the next group will look for them; h beside, if da will want it. */
static int hand_on(const struct group *s, struct kn_at dh, int with_h)
{
    const struct kn_group *g = s->g;
    const size_t bytes = panel_bytes(s->m, g->k);
    struct cu_dev *c = cu_dev(s->d);
    uint8_t *p;
    int rc = cu_scratch(s->d, ROOM_DY, 2 * bytes, &p);
    if (rc == KN_OK)
        rc = cu_swiglu_panels(s->d, p, p + bytes, with_h ? s->h : NULL, cu_f32(dh), cu_f32(g->x),
                              cu_f32(g->up), s->m, g->k);
    c->ready.dy[0] = cu_f32(g->x), c->ready.dy[1] = cu_f32(g->up);
    c->ready.m = s->m;
    return rc;
}

/* Are the input's panels those of the forward? */
static int h_is_there(const struct group *s)
{
    const struct cu_dev *c = cu_dev(s->d);
    return s->g->fresh && c->ready.x == cu_f32(s->g->x) && c->ready.m == s->m;
}

int cu_train_group_bwd(struct kn_dev *d, const struct kn_group *g, struct kn_at dx, int m)
{
    const struct kn_at dh = g->input == KN_IN_PLAIN ? dx : g->dh;
    const int wanted = dx.buf || g->input == KN_IN_SWIGLU;
    const int handed = g->input == KN_IN_SWIGLU && g->handed;
    struct group s;
    int rc = m == 0 ? KN_OK : begin(&s, d, g, m);
    if (rc != KN_OK || m == 0)
        return rc;
    const int with_h = s.adapters && g->dropout <= 0 && !h_is_there(&s);
    if (s.adapters && (rc = kept_z(&s)) == KN_OK && (rc = clear(&s, s.dz)) == KN_OK && with_h &&
        !handed)
        rc = cu_group_panels(d, s.h, g, m, 0, 0, 0);
    for (int i = 0; rc == KN_OK && i < g->n_lin; i++)
        if (g->lin[i].a.buf || wanted)
            rc = dy_panels(&s, i);
    for (int i = 0; rc == KN_OK && i < g->n_lin; i++)
        if (g->lin[i].a.buf)
            rc = factor_b(&s, i);
    if (rc == KN_OK && s.adapters && !handed)
        rc = factors_a(&s);
    if (rc == KN_OK && wanted)
        rc = through(&s, dh);
    cu_dev(d)->ready = {};
    if (rc == KN_OK && handed) { /* x and up are read once more, for all that is made of them */
        rc = hand_on(&s, dh, with_h);
        return rc == KN_OK && s.adapters ? factors_a(&s) : rc;
    }
    if (rc != KN_OK || !wanted || g->input == KN_IN_PLAIN)
        return rc;
    if (g->input == KN_IN_SWIGLU)
        return cu_train_swiglu_bwd(d, g->x, g->up, dh, g->x, g->up, (size_t)m * g->k);
    return cu_train_norm_bwd(d, dx, g->dnorm, dh, g->x, g->norm, g->rstd, m, g->k, KN_ADD);
}

/* dw += dy^T h */
int cu_train_group_dw(struct kn_dev *d, const struct kn_group *g, int m)
{
    struct group s;
    int rc = m == 0 ? KN_OK : begin(&s, d, g, m);
    if (rc != KN_OK || m == 0)
        return rc;
    rc = cu_group_panels(d, s.h, g, m, 0, 0, 0);
    for (int i = 0; rc == KN_OK && i < g->n_lin; i++) {
        struct product16 p = product(g->lin[i].w->n, g->k, cu_f32(g->lin[i].dw));
        if (!g->lin[i].dw.buf || (rc = dy_panels(&s, i)) != KN_OK)
            continue;
        p.add = 1;
        cu_part(&p, dy_of(&s, i), TURNED, h_of(&s), TURNED);
        rc = cu_product(d, &p, TURNED, TURNED);
    }
    return rc;
}
