/* test_noalloc - no call allocates once its objects exist, so that a step can be recorded as a
 * graph
 *
 * malloc and its kin are counted by replacing them; under ASan, which replaces them too, this is a
 * skip. */
#include "kernels.h"
#include "tap.h"
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define COUNTED 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define COUNTED 0
#endif
#endif
#ifndef COUNTED
#define COUNTED 1
#endif

static _Atomic long calls;

#if COUNTED
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);
void *malloc(size_t n)
{
    calls++;
    return __libc_malloc(n);
}
void *calloc(size_t n, size_t size)
{
    calls++;
    return __libc_calloc(n, size);
}
void *realloc(void *p, size_t n)
{
    calls++;
    return __libc_realloc(p, n);
}
void *aligned_alloc(size_t align, size_t n)
{
    calls++;
    return __libc_memalign(align, n);
}
int posix_memalign(void **p, size_t align, size_t n)
{
    calls++;
    *p = __libc_memalign(align, n);
    return *p ? 0 : 12; /* ENOMEM */
}
#endif

enum { EMBD = 256, HEADS = 2, HEAD_DIM = 64, FF = 512, VOCAB = 300, ROWS = 40 };

static struct kn_at zeros(struct kn_dev *d, size_t n)
{
    struct kn_at a = {0};
    if (kn_alloc(d, n * 4, &a))
        exit(1);
    return a;
}

static struct kn_weight *weight(struct kn_dev *d, int type, int n, int k, void *rows)
{
    struct kn_weight *w = NULL;
    if (kn_weight_new(d, type, n, k, rows, KN_W_INFER, &w))
        exit(1);
    return w;
}

/* one prefill and one decode step; returns the number of calls that failed */
static int steps(struct kn_dev *d, struct kn_kv *kv, struct kn_batch *b, const struct kn_attn *a,
                 const struct kn_ffn *f, const struct kn_weight *head, const struct kn_at *at)
{
    int32_t tok[ROWS] = {0}, pos[ROWS], seq[ROWS] = {0}, out[2] = {0, ROWS - 1},
            blocks[8] = {2, 0, 1};
    int bad = 0;
    for (int step = 0; step < 2; step++) {
        for (int i = 0; i < ROWS; i++)
            pos[i] = step ? ROWS : i;
        struct kn_rows r = {.n_tok = step ? 1 : ROWS,
                            .n_seq = 1,
                            .n_out = step ? 1 : 2,
                            .tok = tok,
                            .pos = pos,
                            .seq = seq,
                            .out = out,
                            .blocks = blocks};
        bad += kn_batch_set(d, b, &r) != 0;
        bad += kn_embed(d, at[0], head, b) != 0;
        bad += kn_qkv(d, at[1], at[0], at[3], kv, 0, a, b) != 0;
        bad += kn_attention(d, at[2], at[1], kv, 0, a, b) != 0;
        bad += kn_matmul(d, at[0], at[2], a->o, (struct kn_at){0}, r.n_tok, KN_ADD) != 0;
        bad += kn_ffn(d, at[0], at[3], f, b) != 0;
        bad += kn_head(d, at[4], at[0], at[3], a->norm, a->eps, head, b) != 0;
        bad += kn_argmax(d, at[5], at[4], r.n_out, VOCAB) != 0;
        bad += kn_kv_copy(d, kv, 3, 2) != 0 || kn_sync(d) != 0;
    }
    return bad;
}

static void test(const char *name, int type)
{
    struct kn_dev *d;
    struct kn_kv *kv;
    struct kn_batch *b;
    if (kn_open(&d, name, 2)) {
        skip("%s: %s", name, kn_strerror(KN_EDEVICE));
        return;
    }
    void *rows = calloc(FF * VOCAB, 4);
    struct kn_weight *w[8];
    static const int n[8] = {HEADS * HEAD_DIM, HEAD_DIM, HEAD_DIM, EMBD, FF, FF, EMBD, VOCAB};
    static const int k[8] = {EMBD, EMBD, EMBD, HEADS * HEAD_DIM, EMBD, EMBD, FF, EMBD};
    for (int i = 0; i < 8; i++) /* o has rows of 128: no K-quant */
        w[i] = weight(d, i == 3 ? KN_Q8_0 : type, n[i], k[i], rows);
    struct kn_at norm = zeros(d, FF), rope = zeros(d, HEAD_DIM * 256);
    struct kn_attn a = {.n_embd = EMBD, .n_head = HEADS, .n_head_kv = 1, .head_dim = HEAD_DIM};
    a.rope_dim = HEAD_DIM;
    a.eps = 1e-6f;
    a.scale = 0.125f;
    a.norm = a.bq = a.bk = a.bv = a.q_norm = a.k_norm = norm;
    a.rope = rope;
    a.q = w[0];
    a.k = w[1];
    a.v = w[2];
    a.o = w[3];
    struct kn_ffn f = {.n_embd = EMBD, .n_ff = FF, .eps = 1e-6f, .norm = norm};
    f.gate = w[4], f.up = w[5], f.down = w[6];
    struct kn_at at[6] = {zeros(d, ROWS * EMBD),
                          zeros(d, ROWS * HEADS * HEAD_DIM),
                          zeros(d, ROWS * HEADS * HEAD_DIM),
                          zeros(d, kn_tmp_bytes(&a, &f, ROWS) / 4),
                          zeros(d, 2 * VOCAB),
                          zeros(d, 2)};
    if (kn_batch_new(d, ROWS, 2, 8, &b) ||
        kn_kv_new(d, 1, 8, 1, HEAD_DIM, type == KN_Q8_0 ? KN_Q8_0 : KN_F16, &kv))
        exit(1);
    long before = calls;
    int bad = steps(d, kv, b, &a, &f, w[7], at);
    long made = calls - before;
    ok(bad == 0, "%s, %s: a prefill and a decode step", name, kn_type_info(type)->name);
    if (COUNTED)
        ok(made == 0, "%s, %s: %ld allocations in them", name, kn_type_info(type)->name, made);
    else
        skip("allocations are not counted under ASan");
    kn_kv_free(d, kv);
    kn_batch_free(d, b);
    for (int i = 0; i < 6; i++)
        kn_free(d, at[i]);
    kn_free(d, norm);
    kn_free(d, rope);
    for (int i = 0; i < 8; i++)
        kn_weight_free(d, w[i]);
    kn_close(d);
    free(rows);
}

int main(void)
{
    static const char *const names[] = {"ref", "ref:q", "cpu:generic", "cpu:avx2", "cpu:avx512"};
    long before = calls;
    void *volatile p = malloc(10); /* volatile: not optimised away */
    free(p);
    if (COUNTED)
        ok(calls > before, "allocations are counted");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        test(names[i], KN_F32);
        test(names[i], KN_Q8_0);
        test(names[i], KN_Q4_K);
    }
    return done_testing();
}
