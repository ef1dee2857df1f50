/* train_attn16.h - causal attention of one document and KV head in bf16 tiles (T3 of train.h)
 *
 * Part of train_bf16.simd.c: vectors make the tiles and the exponentials, the products come from the job,
 * so that they may be AMX's.  A tile of 32 queries sees all its keys at once. */

enum { QT = 32 };

struct sizes {
    int hd, len, keys; /* keys: len rounded up to whole tiles */
    int hk, hn;        /* tiles along head_dim as k, as columns */
    int kt;            /* tiles along the keys as k */
    size_t ldq, ldk;   /* floats from row to row */
};

static struct sizes sizes(int head_dim, int len)
{
    struct sizes z = {.hd = head_dim, .len = len, .keys = train16_up(len, T16_K)};
    z.hk = train16_up(head_dim, T16_K) / T16_K;
    z.hn = train16_up(head_dim, T16_N) / T16_N;
    z.kt = z.keys / T16_K;
    return z;
}

/* Carves the scratch; counts it where p is NULL. */
static void *carve(char **p, size_t *used, size_t bytes)
{
    void *at = *p ? *p + *used : NULL;
    *used += (bytes + 63) / 64 * 64;
    return at;
}

struct work {
    uint16_t *k_turned, *v_turned, *k_pairs, *v_pairs; /* B: (hd, keys) and (keys, hd) */
    uint16_t *q, *dy, *qt, *dyt;                       /* A: rows, and transposed */
    uint16_t *ds, *ds_pairs, *p_pairs, *tmp;
    float *s, *dp, *o, *dkt, *dvt;
};

static size_t carve_work(struct work *w, const struct sizes *z, char *p)
{
    size_t used = 0, tile = T16 * sizeof(uint16_t), cols = 16 * (size_t)z->hn;
    size_t turned = (size_t)(z->keys / 16) * (size_t)z->hk * tile;
    size_t pairs_of = (size_t)z->hn * (size_t)z->kt * tile, head = 2 * (size_t)z->hk * tile;
    size_t scores = QT * (size_t)z->keys * sizeof(float),
           sums = cols * (size_t)z->keys * sizeof(float);
    w->k_turned = carve(&p, &used, turned);
    w->v_turned = carve(&p, &used, turned);
    w->k_pairs = carve(&p, &used, pairs_of);
    w->v_pairs = carve(&p, &used, pairs_of);
    w->q = carve(&p, &used, head);
    w->dy = carve(&p, &used, head);
    w->qt = carve(&p, &used, (size_t)z->hn * tile);
    w->dyt = carve(&p, &used, (size_t)z->hn * tile);
    w->ds = carve(&p, &used, 2 * (size_t)z->kt * tile);
    w->ds_pairs = carve(&p, &used, (size_t)(z->keys / 16) * tile);
    w->p_pairs = carve(&p, &used, (size_t)(z->keys / 16) * tile);
    w->tmp = carve(&p, &used, (size_t)z->hk * tile);
    w->s = carve(&p, &used, scores);
    w->dp = carve(&p, &used, scores);
    w->o = carve(&p, &used, QT * cols * sizeof(float));
    w->dkt = carve(&p, &used, sums);
    w->dvt = carve(&p, &used, sums);
    return used;
}

static size_t attn_scratch(int head_dim, int len)
{
    struct sizes z = sizes(head_dim, len);
    struct work w;
    return carve_work(&w, &z, NULL);
}

/* x(len, hd) as B (hd, keys): a panel is 16 keys */
static void turned_in(uint16_t *to, const float *x, const struct sizes *z, uint16_t *tmp)
{
    for (int i = 0; i < z->keys; i += 16) {
        rows(tmp, x + (size_t)i * z->ldk, z->ldk, z->len - i < 16 ? z->len - i : 16, z->hd, 1);
        turn(to + (size_t)(i / 16) * (size_t)z->hk * T16, tmp, z->hk);
    }
}

/* x(len, hd) as B (keys, hd): a panel is 16 of hd */
static void pairs_in(uint16_t *to, const float *x, const struct sizes *z)
{
    for (int c = 0; c < z->hn; c++)
        for (int t = 0; t < z->kt; t++) {
            int n = z->len - 32 * t < 32 ? z->len - 32 * t : 32;
            int cols = z->hd - 16 * c < 16 ? z->hd - 16 * c : 16;
            pairs(to + ((size_t)c * (size_t)z->kt + (size_t)t) * T16,
                  x + (size_t)(32 * t) * z->ldk + 16 * c, z->ldk, n, cols, 1);
        }
}

/* n <= 32 rows of q or dy: as A, and transposed as A (hd, rows) where wanted */
static void queries_in(uint16_t *to, uint16_t *transposed, const float *x, const struct sizes *z,
                       int n, float scale, uint16_t *tmp)
{
    for (int i = 0; i < 2; i++)
        rows(to + (size_t)i * (size_t)z->hk * T16, x + (size_t)(16 * i) * z->ldq, z->ldq,
             n - 16 * i, z->hd, scale);
    for (int c = 0; transposed && c < z->hn; c++) {
        pairs(tmp, x + 16 * c, z->ldq, n, z->hd - 16 * c < 16 ? z->hd - 16 * c : 16, scale);
        turn(transposed + (size_t)c * T16, tmp, 1);
    }
}

/* c(16 mt, 16 nt) (+)= a b over kt tiles; ld: values from panel to panel */
static void times(train16_product *product, int mt, int nt, int kt, const uint16_t *a, size_t lda,
                  const uint16_t *b, size_t ldb, float *c, size_t ldc, int add)
{
    struct train16 p = {.seg = {{a, b, lda * T16, ldb * T16, kt}}, .n_seg = 1};
    p.mt = mt, p.nt = nt, p.c = c, p.ldc = ldc, p.add = add;
    product(&p);
}

/* Row of scores of which `visible` count: p = exp(s - max) as bf16 into a row of A; their sum. */
static float soften(float *s, int visible, int keys, uint16_t *a, float *max)
{
    int whole = train16_up(visible, 16);
    for (int i = visible; i < whole; i++)
        s[i] = -1e30f;
    vf m = vf_load(s), sum = vf_zero();
    for (int i = 16; i < whole; i += 16)
        m = vf_max(m, vf_load(s + i));
    *max = vf_hmax(m);
    for (int i = 0; i < whole; i += 16) {
        vf p = vf_exp(vf_sub(vf_load(s + i), vf_set1(*max)));
        sum = vf_add(sum, p);
        store_bf16(a + (size_t)(i / T16_K) * T16 + i % T16_K, p);
    }
    for (int i = whole; i < keys; i += 16)
        store_bf16(a + (size_t)(i / T16_K) * T16 + i % T16_K, vf_zero());
    return vf_fold(sum);
}

static void attn(const struct attn_job *j, train16_product *product, void *scratch)
{
    const struct kn_attn *a = j->a;
    struct sizes z = sizes(a->head_dim, j->to - j->from);
    struct work w;
    int group = a->n_head / a->n_head_kv;
    size_t cols = 16 * (size_t)z.hn, kt = (size_t)z.kt, hk = (size_t)z.hk;
    z.ldq = (size_t)a->n_head * (size_t)z.hd, z.ldk = (size_t)a->n_head_kv * (size_t)z.hd;
    size_t at_k = (size_t)j->from * z.ldk + (size_t)(j->kv_head * z.hd);
    carve_work(&w, &z, scratch);
    turned_in(w.k_turned, j->k + at_k, &z, w.tmp);
    pairs_in(w.v_pairs, j->v + at_k, &z);
    for (int h = j->kv_head * group; h < (j->kv_head + 1) * group; h++)
        for (int q0 = 0; q0 < z.len; q0 += QT) {
            int n = z.len - q0 < QT ? z.len - q0 : QT, keys = train16_up(q0 + n, T16_K);
            int mt = n > 16 ? 2 : 1;
            size_t at_q = (size_t)(j->from + q0) * z.ldq + (size_t)(h * z.hd);
            float max, sum[QT];
            queries_in(w.q, NULL, j->q + at_q, &z, n, a->scale, w.tmp);
            times(product, mt, keys / 16, z.hk, w.q, hk, w.k_turned, hk, w.s, (size_t)z.keys, 0);
            for (int i = 0; i < 16 * mt; i++) { /* rows beyond n are computed and never used */
                sum[i] =
                    soften(w.s + (size_t)i * (size_t)z.keys, q0 + i + 1 < keys ? q0 + i + 1 : keys,
                           keys, w.ds + (size_t)(i / 16) * kt * T16 + i % 16 * T16_K, &max);
                if (i < n)
                    j->lse[(size_t)(j->from + q0 + i) * (size_t)a->n_head + (size_t)h] =
                        max + logf(sum[i]);
            }
            times(product, mt, z.hn, keys / T16_K, w.ds, kt, w.v_pairs, kt, w.o, cols, 0);
            for (int i = 0; i < n; i++) {
                float *o = w.o + (size_t)i * cols, *out = j->out + at_q + (size_t)i * z.ldq;
                for (int c = 0; c < z.hd; c += 16)
                    vf_store_n(out + c, vf_div(vf_load(o + c), vf_set1(sum[i])), z.hd - c);
            }
        }
}

/* p = exp(s - lse) and ds = p (dp - delta) in the places of s and dp; 0 beyond `visible` */
static void soften_bwd(float *s, float *dp, int visible, int keys, float lse, float delta)
{
    int i = 0;
    for (; i < visible; i += 16) {
        vf p = vf_exp(vf_sub(vf_load(s + i), vf_set1(lse)));
        vf_store(s + i, p);
        vf_store(dp + i, vf_mul(p, vf_sub(vf_load(dp + i), vf_set1(delta))));
    }
    if (keys > visible) {
        memset(s + visible, 0, (size_t)(keys - visible) * sizeof *s);
        memset(dp + visible, 0, (size_t)(keys - visible) * sizeof *dp);
    }
}

static void transposed_out(float *to, const float *from, const struct sizes *z)
{
    for (int i = 0; i < z->len; i++)
        for (int c = 0; c < z->hd; c++)
            to[(size_t)i * z->ldk + (size_t)c] = from[(size_t)c * (size_t)z->keys + (size_t)i];
}

/* One tile of queries of head h: its part of dk and dv, and dq */
static void tile_bwd(const struct attn_job *j, train16_product *product, const struct sizes *z,
                     const struct work *w, int h, int q0)
{
    const struct kn_attn *a = j->a;
    int n = z->len - q0 < QT ? z->len - q0 : QT, keys = train16_up(q0 + n, T16_K),
        mt = n > 16 ? 2 : 1;
    size_t at_q = (size_t)(j->from + q0) * z->ldq + (size_t)(h * z->hd), ld = (size_t)z->keys;
    size_t cols = 16 * (size_t)z->hn, kt = (size_t)z->kt, hk = (size_t)z->hk;
    queries_in(w->q, w->qt, j->q + at_q, z, n, a->scale, w->tmp);
    queries_in(w->dy, w->dyt, j->dy + at_q, z, n, 1, w->tmp);
    times(product, mt, keys / 16, z->hk, w->q, hk, w->k_turned, hk, w->s, ld, 0);
    times(product, mt, keys / 16, z->hk, w->dy, hk, w->v_turned, hk, w->dp, ld, 0);
    for (int i = 0; i < QT; i++) {
        const float *dy = j->dy + at_q + (size_t)i * z->ldq, *y = j->y + at_q + (size_t)i * z->ldq;
        vf d = vf_zero();
        for (int c = 0; i < n && c < z->hd; c += 16)
            d = vf_fma(vf_load_n(dy + c, z->hd - c), vf_load_n(y + c, z->hd - c), d);
        size_t row = (size_t)(j->from + q0 + i) * (size_t)a->n_head + (size_t)h;
        soften_bwd(w->s + (size_t)i * ld, w->dp + (size_t)i * ld, i < n ? q0 + i + 1 : 0, keys,
                   i < n ? j->lse[row] : 0, vf_fold(d));
    }
    for (int i = 0; i < mt; i++)
        rows(w->ds + (size_t)i * kt * T16, w->dp + (size_t)(16 * i) * ld, ld, 16, keys, 1);
    for (int k = 0; k < keys; k += 16) {
        pairs(w->p_pairs + (size_t)k * T16_K, w->s + k, ld, QT, 16, 1);
        pairs(w->ds_pairs + (size_t)k * T16_K, w->dp + k, ld, QT, 16, 1);
    }
    times(product, z->hn, keys / 16, 1, w->dyt, 1, w->p_pairs, 1, w->dvt, ld, 1);
    times(product, z->hn, keys / 16, 1, w->qt, 1, w->ds_pairs, 1, w->dkt, ld, 1);
    times(product, mt, z->hn, keys / T16_K, w->ds, kt, w->k_pairs, kt, w->o, cols, 0);
    for (int i = 0; i < n; i++)
        for (int c = 0; c < z->hd; c += 16)
            vf_store_n(j->dq + at_q + (size_t)i * z->ldq + c,
                       vf_mul(vf_load(w->o + (size_t)i * cols + c), vf_set1(a->scale)), z->hd - c);
}

static void attn_bwd(const struct attn_job *j, train16_product *product, void *scratch)
{
    const struct kn_attn *a = j->a;
    struct sizes z = sizes(a->head_dim, j->to - j->from);
    struct work w;
    int group = a->n_head / a->n_head_kv;
    z.ldq = (size_t)a->n_head * (size_t)z.hd, z.ldk = (size_t)a->n_head_kv * (size_t)z.hd;
    size_t at_k = (size_t)j->from * z.ldk + (size_t)(j->kv_head * z.hd);
    size_t sums = 16 * (size_t)z.hn * (size_t)z.keys;
    carve_work(&w, &z, scratch);
    turned_in(w.k_turned, j->k + at_k, &z, w.tmp);
    turned_in(w.v_turned, j->v + at_k, &z, w.tmp);
    pairs_in(w.k_pairs, j->k + at_k, &z);
    memset(w.dkt, 0, sums * sizeof *w.dkt);
    memset(w.dvt, 0, sums * sizeof *w.dvt);
    for (int h = j->kv_head * group; h < (j->kv_head + 1) * group; h++)
        for (int q0 = 0; q0 < z.len; q0 += QT)
            tile_bwd(j, product, &z, &w, h, q0);
    transposed_out(j->dk + at_k, w.dkt, &z);
    transposed_out(j->dv + at_k, w.dvt, &z);
}
