/* test_alloc.c - no call of kernels.h allocates once its objects exist
 *
 * malloc and its kin are replaced by counters over glibc's own. */
#include "kernels.h"

#include "tap.h"

#include <stdatomic.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__) || !defined(__GLIBC__)
#define COUNTED 0
#else
#define COUNTED 1
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t),
    *__libc_memalign(size_t, size_t);
static atomic_long calls;
void *malloc(size_t n)
{
    atomic_fetch_add(&calls, 1);
    return __libc_malloc(n);
}
void *calloc(size_t n, size_t size)
{
    atomic_fetch_add(&calls, 1);
    return __libc_calloc(n, size);
}
void *realloc(void *p, size_t n)
{
    atomic_fetch_add(&calls, 1);
    return __libc_realloc(p, n);
}
void *aligned_alloc(size_t align, size_t n)
{
    atomic_fetch_add(&calls, 1);
    return __libc_memalign(align, n);
}
#endif

enum { EMBD = 512, HEADS = 8, HEADS_KV = 4, DIM = 64, FF = 768, VOCAB = 300, TOK = 40, BLOCKS = 2 };

static void must(int err)
{
    if (err) {
        printf("Bail out! %s\n", kn_strerror(err));
        exit(1);
    }
}

static struct kn_weight *weight(struct kn_dev *d, int type, int n, int k)
{
    float *x = malloc((size_t)n * (size_t)k * sizeof *x);
    void *rows = malloc(kn_row_bytes(type, (size_t)k) * (size_t)n);
    struct kn_weight *w;
    for (int i = 0; i < n * k; i++)
        x[i] = (float)(i * 7 % 31 - 15) / 64;
    kn_quantize(type, x, rows, (size_t)n * (size_t)k);
    must(kn_weight_new(d, type, n, k, rows, KN_W_INFER, &w));
    free(x); /* rows stay: the weight may use them */
    return w;
}

static struct kn_at floats(struct kn_dev *d, size_t n)
{
    struct kn_at a;
    must(kn_alloc(d, n * sizeof(float), &a));
    return a;
}

static void step(struct kn_dev *d, int type, int n_tok)
{
    struct kn_attn a = {.n_embd = EMBD,
                        .n_head = HEADS,
                        .n_head_kv = HEADS_KV,
                        .head_dim = DIM,
                        .rope_dim = DIM,
                        .eps = 1e-6f,
                        .scale = 0.125f};
    struct kn_ffn f = {.n_embd = EMBD, .n_ff = FF, .eps = 1e-6f};
    struct kn_batch *b;
    struct kn_kv *kv;
    int32_t id[TOK], pos[TOK], seq[TOK] = {0}, out[] = {0}, blocks[BLOCKS] = {1, 0};
    a.q = weight(d, type, HEADS * DIM, EMBD), a.k = weight(d, type, HEADS_KV * DIM, EMBD);
    a.v = weight(d, type, HEADS_KV * DIM, EMBD), a.o = weight(d, type, EMBD, HEADS * DIM);
    f.gate = weight(d, type, FF, EMBD), f.up = weight(d, type, FF, EMBD);
    f.down = weight(d, type, EMBD, FF);
    struct kn_weight *head = weight(d, type, VOCAB, EMBD);
    a.norm = f.norm = floats(d, EMBD), a.rope = floats(d, BLOCKS * KN_TILE * DIM);
    struct kn_at x = floats(d, TOK * EMBD), q = floats(d, TOK * EMBD), y = floats(d, TOK * EMBD);
    struct kn_at tmp = floats(d, kn_tmp_bytes(&a, &f, TOK) / 4), logits = floats(d, VOCAB);
    must(kn_batch_new(d, TOK, 1, BLOCKS, &b));
    must(kn_kv_new(d, 1, BLOCKS, HEADS_KV, DIM, KN_F32, &kv));
    for (int i = 0; i < n_tok; i++)
        id[i] = i, pos[i] = i;
    struct kn_rows r = {n_tok, 1, 1, id, pos, seq, out, NULL, blocks};
#if COUNTED
    long before = atomic_load(&calls);
#endif
    must(kn_batch_set(d, b, &r));
    must(kn_embed(d, x, head, b));
    must(kn_qkv(d, q, x, tmp, kv, 0, &a, b));
    must(kn_attention(d, y, q, kv, 0, &a, b));
    must(kn_matmul(d, x, y, a.o, (struct kn_at){0}, n_tok, KN_ADD));
    must(kn_ffn(d, x, tmp, &f, b));
    must(kn_rms_norm(d, y, x, a.norm, 1e-6f, n_tok, EMBD));
    must(kn_head(d, logits, x, tmp, a.norm, 1e-6f, head, b));
    must(kn_argmax(d, y, logits, 1, VOCAB));
    must(kn_sync(d));
#if COUNTED
    ok(atomic_load(&calls) == before, "%s, %d threads, %s, %d rows: no allocation", d->name,
       d->n_threads, kn_type_info(type)->name, n_tok);
#endif
}

int main(void)
{
    static const char *const name[] = {"ref:q", "cpu:generic", "cpu"};
    static const int types[] = {KN_F32, KN_Q8_0, KN_Q4_K};
    if (!COUNTED)
        skip("the sanitizer owns malloc");
    for (int i = 0; COUNTED && i < 3; i++)
        for (int t = 0; t < 3; t++) {
            struct kn_dev *d;
            must(kn_open(&d, name[i], 2));
            step(d, types[t], 1);
            step(d, types[t], TOK);
            /* objects go with the process: this test is about calls */
        }
    return done_testing();
}
