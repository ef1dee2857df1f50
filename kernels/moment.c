/* moment.c - bf16 with stochastic rounding; 8 bits by bitsandbytes' dynamic map (T4 and T5 of train.h) */
#include "moment.h"
#include "blocks.h"
#include "moment_book.h"
#include "philox.h"
#include "poly.h"
#include <math.h>
#include <pthread.h>
#include <string.h>

enum { CODES = KN_CODES, KEYS = 1 << 15 }; /* a key: sign, exponent and 6 bits of an f32 */
/* A key's values span 1/64 of them, the map's entries are 0.9/128 apart or more near 1, 0.9/64 with signs. */
enum { STEPS = 3 };
struct book {
    float map[CODES], mid[CODES]; /* mid[i]: between codes i and i + 1 */
    uint8_t start[KEYS];          /* the code of the least value with this key */
    int zero;
};
static struct book books[2]; /* [is_signed] */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static int code_from(const struct book *b, int c, float x)
{
    while (c < CODES - 1 && x > b->mid[c])
        c++;
    return c;
}

static void make_book(struct book *b, int is_signed)
{
    struct kn_book values;
    kn_make_book(&values, is_signed);
    memcpy(b->map, values.map, sizeof b->map);
    memcpy(b->mid, values.mid, sizeof b->mid);
    b->zero = values.zero;
    for (uint32_t k = 0; k < KEYS; k++) { /* a negative key's least value has all lower bits set */
        const float least = kn_bits_float(k >> 14 ? k << 17 | 0x1ffff : k << 17);
        b->start[k] = (uint8_t)(isnan(least) ? 0 : code_from(b, 0, least));
    }
}

static void make_books(void)
{
    make_book(&books[0], 0);
    make_book(&books[1], 1);
}

static const struct book *book(int is_signed)
{
    pthread_once(&once, make_books);
    return &books[is_signed];
}

const float *kn_moment_map(int is_signed)
{
    return book(is_signed)->map;
}

size_t kn_moment_bytes(enum kn_moment type, size_t n)
{
    if (type == KN_MOMENT_8BIT)
        return (n + KN_MOMENT_BLOCK - 1) / KN_MOMENT_BLOCK * sizeof(struct kn_block8);
    return n * (type == KN_MOMENT_BF16 ? sizeof(uint16_t) : sizeof(float));
}

static void load8(const struct book *b, const struct kn_block8 *from, float *x, size_t n)
{
    for (size_t i = 0; i < n; i += KN_MOMENT_BLOCK, from++)
        for (size_t k = 0; k < KN_MOMENT_BLOCK && i + k < n; k++)
            x[i + k] = from->scale * b->map[from->code[k]];
}

/* T5. */
static void store8(const struct book *b, int is_signed, struct kn_block8 *to, const float *x,
                   size_t n)
{
    for (size_t i = 0; i < n; i += KN_MOMENT_BLOCK, to++) {
        const size_t len = n - i < KN_MOMENT_BLOCK ? n - i : KN_MOMENT_BLOCK;
        float most = 0;
        for (size_t k = 0; k < len; k++)
            most = fabsf(x[i + k]) > most ? fabsf(x[i + k]) : most;
        to->scale = most;
        memset(to->code, b->zero, sizeof to->code);
        for (size_t k = 0; most > 0 && k < len; k++) {
            const float y = x[i + k] / most;
            int c = b->start[(uint32_t)kn_float_bits(y) >> 17];
            for (int s = 0; s < STEPS; s++) /* no branch: half of them would be guessed wrong */
                c += y > b->mid[c];
            if (!is_signed && c == b->zero && x[i + k] > 0)
                c++;
            to->code[k] = (uint8_t)c;
        }
    }
}

void kn_moment_draws(const struct kn_adamw *h, uint64_t first, uint32_t *draw, size_t n)
{
    uint32_t x[4];
    for (size_t i = 0; h->moment == KN_MOMENT_BF16 && i < n; i++) {
        if (i == 0 || (first + i) % 4 == 0)
            kn_philox(h->seed, (uint64_t)h->t, (first + i) / 4, x);
        draw[i] = x[(first + i) % 4];
    }
}

/* T4. */
static void store16(uint16_t *to, const float *x, size_t n, const uint32_t *draw, int shift)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (uint16_t)(((uint32_t)kn_float_bits(x[i]) + (draw[i] >> shift & 0xffff)) >> 16);
}

void kn_moment_load(enum kn_moment type, int is_signed, const void *from, float *x, size_t n)
{
    const uint16_t *h = from;
    if (type == KN_MOMENT_F32)
        memcpy(x, from, n * sizeof *x);
    else if (type == KN_MOMENT_8BIT)
        load8(book(is_signed), from, x, n);
    else
        for (size_t i = 0; i < n; i++)
            x[i] = kn_bits_float((uint32_t)h[i] << 16);
}

void kn_moment_store(enum kn_moment type, int is_signed, void *to, const float *x, size_t n,
                     const uint32_t *draw)
{
    if (type == KN_MOMENT_F32)
        memcpy(to, x, n * sizeof *x);
    else if (type == KN_MOMENT_8BIT)
        store8(book(is_signed), is_signed, to, x, n);
    else
        store16(to, x, n, draw, is_signed ? 0 : 16);
}

void kn_adamw_factors(const struct kn_adamw *h, float c[10])
{
    c[0] = h->lr;
    c[1] = h->beta1;
    c[2] = (float)(1 - (double)h->beta1);
    c[3] = h->beta2;
    c[4] = (float)(1 - (double)h->beta2);
    c[5] = h->eps;
    c[6] = (float)((double)h->lr * h->weight_decay);
    c[7] = h->grad_scale;
    c[8] = (float)(1 / (1 - pow(h->beta1, (double)h->t)));
    c[9] = (float)(1 / (1 - pow(h->beta2, (double)h->t)));
}
