/* quantize - f32 to the types of blocks.h, on the fastest path of this machine */
#include "quantize.h"
#include "blocks.h"
#include "machine.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

extern const struct kn_quantizer quantizer_generic, quantizer_avx2, quantizer_avx512,
    quantizer_neon;

static int is(const char *wanted, const char *path)
{
    return !wanted || !strcmp(wanted, path);
}

const struct kn_quantizer *kn_quantizer(const char *path)
{
#if defined(__x86_64__)
    if (machine_avx512() && is(path, "avx512"))
        return &quantizer_avx512;
    if (machine_avx2() && is(path, "avx2"))
        return &quantizer_avx2;
#elif defined(__aarch64__)
    if (machine_neon() && is(path, "neon"))
        return &quantizer_neon;
#endif
    return is(path, "generic") ? &quantizer_generic : NULL;
}

static const struct kn_quantizer *chosen(void)
{
    static _Atomic(const struct kn_quantizer *) q;
    const struct kn_quantizer *p = atomic_load_explicit(&q, memory_order_acquire);
    if (!p) {
        p = kn_quantizer(NULL);
        atomic_store_explicit(&q, p, memory_order_release);
    }
    return p;
}

void kn_quantize_row(int type, const float *src, void *dst, size_t n, const float *weight)
{
    const struct kn_type_info *t = kn_type_info(type);
    assert(t->name && type != KN_I32 && type != KN_NF4 && n % (size_t)t->block_len == 0);
    if (!n)
        return;
    if (type == KN_F32)
        memcpy(dst, src, n * sizeof *src);
    else if (type == KN_F16 || type == KN_BF16)
        chosen()->narrow(type, src, dst, n);
    else
        chosen()->run(type, src, dst, n, weight);
}

void kn_quantize(int type, const float *src, void *dst, size_t n)
{
    kn_quantize_row(type, src, dst, n, NULL);
}

void kn_widen(int type, const void *src, float *dst, size_t n)
{
    chosen()->widen(type, src, dst, n);
}

size_t kn_first_beyond(const float *x, size_t n, float limit)
{
    return chosen()->first_beyond(x, n, limit);
}
