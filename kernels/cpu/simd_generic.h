/* simd_generic.h - simd.h in plain C */
typedef struct {
    float v[16];
} vf;
typedef struct {
    int32_t v[16];
} vi;
enum { SIMD_MR = 4, SIMD_NP = 1 };

#define EACH for (int i = 0; i < 16; i++)
#define VF_OP(expr)                                                                                \
    vf r;                                                                                          \
    EACH r.v[i] = (expr);                                                                          \
    return r
#define VI_OP(expr)                                                                                \
    vi r;                                                                                          \
    EACH r.v[i] = (int32_t)(expr);                                                                 \
    return r

// one line an operation
// clang-format off
INLINE vf vf_load(const float *p) { VF_OP(p[i]); }
INLINE void vf_store(float *p, vf a) { memcpy(p, a.v, sizeof a.v); }
INLINE vf vf_set1(float x) { VF_OP(x); }
INLINE vf vf_zero(void) { VF_OP(0); }
INLINE vf vf_add(vf a, vf b) { VF_OP(a.v[i] + b.v[i]); }
INLINE vf vf_sub(vf a, vf b) { VF_OP(a.v[i] - b.v[i]); }
INLINE vf vf_mul(vf a, vf b) { VF_OP(a.v[i] * b.v[i]); }
INLINE vf vf_div(vf a, vf b) { VF_OP(a.v[i] / b.v[i]); }
INLINE vf vf_fma(vf a, vf b, vf c) { VF_OP(fmaf(a.v[i], b.v[i], c.v[i])); }
INLINE vf vf_min(vf a, vf b) { VF_OP(a.v[i] < b.v[i] ? a.v[i] : b.v[i]); }
INLINE vf vf_max(vf a, vf b) { VF_OP(a.v[i] > b.v[i] ? a.v[i] : b.v[i]); }
INLINE vf vf_neg(vf a) { VF_OP(-a.v[i]); }
INLINE vf vf_abs(vf a) { VF_OP(fabsf(a.v[i])); }
INLINE vi vf_bits(vf a) { VI_OP(kn_float_bits(a.v[i])); }
INLINE vf vi_float_bits(vi a) { VF_OP(kn_bits_float((uint32_t)a.v[i])); }
/* lanes whose x < limit become 0 */
INLINE vf vf_zero_below(vf p, vf x, float limit) { VF_OP(x.v[i] < limit ? 0.0f : p.v[i]); }
INLINE vf vf_load_f16(const uint16_t *p) { VF_OP(kn_f16_to_f32(p[i])); }
INLINE void vf_store_f16(uint16_t *p, vf a)
{
    EACH p[i] = kn_f32_to_f16(a.v[i]);
}
INLINE vf vf_load_bf16(const uint16_t *p) { VF_OP(kn_bits_float((uint32_t)p[i] << 16)); }
/* lane[i] += lane[i + 8], + 4, + 2, + 1 */
INLINE float vf_fold(vf a)
{
    for (int h = 8; h; h /= 2)
        for (int i = 0; i < h; i++)
            a.v[i] += a.v[i + h];
    return a.v[0];
}
INLINE float vf_hmax(vf a)
{
    float m = a.v[0];
    EACH m = m > a.v[i] ? m : a.v[i];
    return m;
}

INLINE vi vi_load(const void *p)
{
    vi r;
    memcpy(r.v, p, sizeof r.v);
    return r;
}
INLINE void vi_store(void *p, vi a) { memcpy(p, a.v, sizeof a.v); }
INLINE vi vi_set1(int32_t x) { VI_OP(x); }
INLINE vi vi_zero(void) { VI_OP(0); }
INLINE vi vi_add(vi a, vi b) { VI_OP((uint32_t)a.v[i] + (uint32_t)b.v[i]); }
INLINE vi vi_sub(vi a, vi b) { VI_OP((uint32_t)a.v[i] - (uint32_t)b.v[i]); }
INLINE vi vi_mul(vi a, vi b) { VI_OP((uint32_t)a.v[i] * (uint32_t)b.v[i]); }
INLINE vi vi_and(vi a, vi b) { VI_OP(a.v[i] & b.v[i]); }
INLINE vi vi_or(vi a, vi b) { VI_OP(a.v[i] | b.v[i]); }
/* (a & mask) | b */
INLINE vi vi_and_or(vi a, vi mask, vi b) { VI_OP((a.v[i] & mask.v[i]) | b.v[i]); }
INLINE vi vi_sll(vi a, int n) { VI_OP((uint32_t)a.v[i] << n); }
INLINE vi vi_srl(vi a, int n) { VI_OP((uint32_t)a.v[i] >> n); }
INLINE vi vi_sra(vi a, int n) { VI_OP(a.v[i] >> n); }
INLINE vf vi_to_float(vi a) { VF_OP((float)a.v[i]); }
INLINE vi vf_to_int(vf a) { VI_OP(rintf(a.v[i])); } /* half to even */
INLINE int32_t vi_sum(vi a)
{
    int32_t s = 0;
    EACH s += a.v[i];
    return s;
}
INLINE vi vi_load_u8(const uint8_t *p) { VI_OP(p[i]); }
INLINE vi vi_load_s8(const int8_t *p) { VI_OP(p[i]); }
/* 32 bytes to 16 pairs of int16 */
INLINE vi vi_load_u8_pairs(const uint8_t *p) { VI_OP((uint32_t)p[2 * i] | (uint32_t)p[2 * i + 1] << 16); }
INLINE vi vi_load_s8_pairs(const uint8_t *p)
{
    VI_OP((uint32_t)(uint16_t)(int8_t)p[2 * i] | (uint32_t)(int8_t)p[2 * i + 1] << 16);
}
/* lanes hold -128..127 */
INLINE void vi_store_s8(int8_t *p, vi a)
{
    EACH p[i] = (int8_t)a.v[i];
}
#define BYTE_U(x, k) ((int32_t)((uint32_t)(x) >> 8 * (k) & 255))
#define BYTE_S(x, k) ((int32_t)(int8_t)((uint32_t)(x) >> 8 * (k)))
/* acc + the four products of unsigned bytes w <= 127 and signed bytes a, exact */
INLINE vi vi_dot_u7(vi acc, vi w, vi a)
{
    EACH acc.v[i] += BYTE_U(w.v[i], 0) * BYTE_S(a.v[i], 0) + BYTE_U(w.v[i], 1) * BYTE_S(a.v[i], 1) +
                     BYTE_U(w.v[i], 2) * BYTE_S(a.v[i], 2) + BYTE_U(w.v[i], 3) * BYTE_S(a.v[i], 3);
    return acc;
}
/* the same of any unsigned bytes */
enum { SIMD_U8 = 1 };
INLINE vi vi_dot_u8(vi acc, vi w, vi a) { return vi_dot_u7(acc, w, a); }
/* acc + the products of (w - 128) and a, if acc began as vi_dot_s8_init(sum of a) */
INLINE vi vi_dot_s8(vi acc, vi w, vi a) { return vi_dot_u7(acc, w, a); }
INLINE vi vi_dot_s8_init(int32_t sum) { return vi_set1(-128 * sum); }
/* acc + the two products of int16 */
INLINE vi vi_dot_s16(vi acc, vi a, vi b)
{
    EACH acc.v[i] += (int16_t)a.v[i] * (int16_t)b.v[i] + (a.v[i] >> 16) * (b.v[i] >> 16);
    return acc;
}
/* 16 vectors to their 16 folds */
INLINE vf vf_fold16(const vf *v)
{
    VF_OP(vf_fold(v[i]));
}
