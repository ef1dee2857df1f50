/* unicode - well-formed UTF-8, character classes and NFC over utf8proc's data */
#include "unicode.h"
#include "err.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* No character from here on is changed by NFC, and all but a few scripts lie below. */
enum { TABLE = 0x30000 };
static uint8_t table[TABLE]; /* classes | UNI_NFC: may be changed by, or interact under, NFC */
/* Whether a block of 256 is filled: a text needs few, and all of them take milliseconds. */
static atomic_uchar filled[TABLE >> 8];
static pthread_mutex_t filling = PTHREAD_MUTEX_INITIALIZER;

// clang-format off
#define S UNI_SPACE
#define R (UNI_SPACE | UNI_NL)
#define N UNI_N
#define L UNI_L
const uint8_t unicode_ascii[128] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, S, R, S, S, R, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    S, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,  N, N, N, N, N, N, N, N, N, N, 0, 0, 0, 0, 0, 0,
    0, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L,  L, L, L, L, L, L, L, L, L, L, L, 0, 0, 0, 0, 0,
    0, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L,  L, L, L, L, L, L, L, L, L, L, L, 0, 0, 0, 0, 0};
#undef S
#undef R
#undef N
#undef L
// clang-format on

/* The first byte from i on that is not ASCII; n if there is none. */
static inline size_t skip_ascii(const uint8_t *s, size_t i, size_t n)
{
    uint64_t w[4];
    for (; n - i >= sizeof w; i += sizeof w) {
        memcpy(w, s + i, sizeof w);
        if ((w[0] | w[1] | w[2] | w[3]) & 0x8080808080808080u)
            break;
    }
    while (i < n && s[i] < 0x80)
        i++;
    return i;
}

/* Well-formed UTF-8 as a machine of nine states.  A byte's row holds, for each state, the next one; a
 * state is the number of bits by which the row is shifted to reach its own, so that a step costs one
 * shift and text that changes its script at every word costs no wrong guesses. */
enum { OK, BAD, ONE, TWO, THREE, E0, ED, F0, F4 }; /* ONE to THREE: that many bytes to come */
#define TO(from, to) ((uint64_t)(to)*6 << (from)*6)
#define ROW(ok, one, two, three, e0, ed, f0, f4)                                                   \
    (TO(OK, ok) | TO(BAD, BAD) | TO(ONE, one) | TO(TWO, two) | TO(THREE, three) | TO(E0, e0) |     \
     TO(ED, ed) | TO(F0, f0) | TO(F4, f4))
#define FIRST(ok) ROW(ok, BAD, BAD, BAD, BAD, BAD, BAD, BAD)
static const uint64_t row_of[256] = {
    [0x00 ... 0x7F] = FIRST(OK),
    /* overlong forms, surrogates and code points beyond U+10FFFF show in the second byte */
    [0x80 ... 0x8F] = ROW(BAD, OK, ONE, TWO, BAD, ONE, BAD, TWO),
    [0x90 ... 0x9F] = ROW(BAD, OK, ONE, TWO, BAD, ONE, TWO, BAD),
    [0xA0 ... 0xBF] = ROW(BAD, OK, ONE, TWO, ONE, BAD, TWO, BAD),
    [0xC0 ... 0xC1] = FIRST(BAD),
    [0xC2 ... 0xDF] = FIRST(ONE),
    [0xE0] = FIRST(E0),
    [0xE1 ... 0xEC] = FIRST(TWO),
    [0xED] = FIRST(ED),
    [0xEE ... 0xEF] = FIRST(TWO),
    [0xF0] = FIRST(F0),
    [0xF1 ... 0xF3] = FIRST(THREE),
    [0xF4] = FIRST(F4),
    [0xF5 ... 0xFF] = FIRST(BAD),
};

static inline uint64_t step(uint64_t state, uint8_t c)
{
    return row_of[c] >> state & 63;
}

/* Where the first character from i on begins that is not well-formed or not whole. */
static size_t first_bad(const uint8_t *s, size_t i, size_t n)
{
    uint64_t state = OK;
    size_t begun = i;
    while (i < n && (state = step(state, s[i++])) != BAD * 6)
        begun = state == OK ? i : begun;
    return begun;
}

size_t unicode_bad_utf8(const char *str, size_t n)
{
    const uint8_t *s = (const uint8_t *)str;
    for (size_t i = 0, end; i < n; i = end) {
        uint64_t state = OK;
        if ((i = skip_ascii(s, i, n)) == n)
            break;
        end = n - i <= 32 ? n : i + 32;
        for (int k = 0; k < 3 && end < n && (s[end] & 0xC0) == 0x80; k++)
            end--; /* no character is cut in two */
        for (size_t k = i; k < end; k++)
            state = step(state, s[k]);
        if (state != OK)
            return first_bad(s, i, n);
    }
    return n;
}

static uint32_t decode(const uint8_t *s, unsigned *len)
{
    if (s[0] < 0x80) {
        *len = 1;
        return s[0];
    }
    if (s[0] < 0xE0) {
        *len = 2;
        return (s[0] & 31u) << 6 | (s[1] & 63u);
    }
    if (s[0] < 0xF0) {
        *len = 3;
        return (s[0] & 15u) << 12 | (s[1] & 63u) << 6 | (s[2] & 63u);
    }
    *len = 4;
    return (s[0] & 7u) << 18 | (s[1] & 63u) << 12 | (s[2] & 63u) << 6 | (s[3] & 63u);
}

static unsigned class_of(uint32_t c)
{
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return UNI_L;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return UNI_N;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
        return UNI_SPACE; /* White_Space is Z and U+0009..000D, U+0085 */
    default:
        return c == '\n' || c == '\r'             ? UNI_SPACE | UNI_NL
               : (c >= 9 && c <= 13) || c == 0x85 ? UNI_SPACE
                                                  : 0;
    }
}

/* Whether NFC_Quick_Check is not Yes or the combining class is not 0. */
static unsigned unsafe(uint32_t c)
{
    const utf8proc_property_t *p = utf8proc_get_property((utf8proc_int32_t)c);
    utf8proc_int32_t d[32];
    if (c < 0x300)
        return 0;
    if (c >= 0xAC00 && c < 0xD7A4) /* Hangul syllables: composed */
        return 0;
    if (p->combining_class || (c >= 0x1161 && c < 0x1176) || (c >= 0x11A8 && c < 0x11C3))
        return UNI_NFC;
    if (p->comb_index != UINT16_MAX && (p->comb_index & 0x8000))
        return UNI_NFC; /* may compose with what stands before */
    if (p->decomp_seqindex == UINT16_MAX || p->decomp_type)
        return 0; /* no decomposition, or a compatibility one */
    utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)c, d, 32,
                                                 UTF8PROC_STABLE | UTF8PROC_COMPOSE, NULL);
    if (n < 0 || n > 32 ||
        utf8proc_normalize_utf32(d, n, UTF8PROC_STABLE | UTF8PROC_COMPOSE) != 1 ||
        (uint32_t)d[0] != c)
        return UNI_NFC; /* singletons and composition exclusions */
    return 0;
}

/* Letters and numbers of Unicode 15.1 and 16 that utf8proc 2.8 (Unicode 15.0) does not know; the
 * regex library of Hugging Face's tokenizers does. */
static const struct {
    uint32_t first, last;
    uint8_t class;
} newer[] = {
    {0x1C89, 0x1C8A, UNI_L},   {0xA7CB, 0xA7CD, UNI_L},   {0xA7DA, 0xA7DC, UNI_L},
    {0x105C0, 0x105F3, UNI_L}, {0x10D40, 0x10D49, UNI_N}, {0x10D4A, 0x10D65, UNI_L},
    {0x10D6F, 0x10D85, UNI_L}, {0x10EC2, 0x10EC4, UNI_L}, {0x11380, 0x11389, UNI_L},
    {0x1138B, 0x1138B, UNI_L}, {0x1138E, 0x1138E, UNI_L}, {0x11390, 0x113B5, UNI_L},
    {0x113B7, 0x113B7, UNI_L}, {0x113D1, 0x113D1, UNI_L}, {0x113D3, 0x113D3, UNI_L},
    {0x116D0, 0x116E3, UNI_N}, {0x11BC0, 0x11BE0, UNI_L}, {0x11BF0, 0x11BF9, UNI_N},
    {0x13460, 0x143FA, UNI_L}, {0x16100, 0x1611D, UNI_L}, {0x16130, 0x16139, UNI_N},
    {0x16D40, 0x16D6C, UNI_L}, {0x16D70, 0x16D79, UNI_N}, {0x18CFF, 0x18CFF, UNI_L},
    {0x1CCF0, 0x1CCF9, UNI_N}, {0x1E5D0, 0x1E5ED, UNI_L}, {0x1E5F0, 0x1E5F0, UNI_L},
    {0x1E5F1, 0x1E5FA, UNI_N}, {0x2EBF0, 0x2EE5D, UNI_L},
};

static void fill(uint32_t block)
{
    uint32_t from = block << 8, to = from + 256;
    pthread_mutex_lock(&filling);
    if (!atomic_load_explicit(&filled[block], memory_order_relaxed)) {
        for (uint32_t c = from; c < to; c++)
            table[c] = (uint8_t)(class_of(c) | unsafe(c));
        for (size_t i = 0; i < sizeof newer / sizeof *newer; i++)
            for (uint32_t c = newer[i].first; c <= newer[i].last; c++)
                if (c >= from && c < to)
                    table[c] = newer[i].class;
    }
    atomic_store_explicit(&filled[block], 1, memory_order_release);
    pthread_mutex_unlock(&filling);
}

static unsigned full_class(const uint8_t *s, unsigned *len)
{
    uint32_t c = decode(s, len);
    if (c >= TABLE)
        return class_of(c);
    if (!atomic_load_explicit(&filled[c >> 8], memory_order_acquire))
        fill(c >> 8);
    return table[c];
}

unsigned unicode_class(const uint8_t *s, unsigned *len)
{
    if (s[0] < 0x80) {
        *len = 1;
        return unicode_ascii[s[0]];
    }
    return full_class(s, len) & UNI_CLASS;
}

/* ---- NFC ---- */

struct cps { /* a growing text of code points */
    utf8proc_int32_t *v;
    size_t n, cap;
};

static int cps_room(struct cps *t, size_t k)
{
    if (t->cap - t->n >= k)
        return 0;
    size_t cap = 2 * (t->cap + k) + 64;
    utf8proc_int32_t *v = realloc(t->v, cap * sizeof *v);
    if (!v)
        return ERR_NOMEM;
    t->v = v;
    t->cap = cap;
    return 0;
}

/* Stable counting sort of one run of non-starters by combining class. utf8proc sorts by insertion,
 * which a megabyte of marks in the wrong order would turn into minutes; on sorted input it is
 * linear. */
static int sort_marks(utf8proc_int32_t *v, size_t n)
{
    size_t at[257] = {0};
    utf8proc_int32_t *copy = malloc(n * sizeof *copy);
    if (!copy)
        return ERR_NOMEM;
    memcpy(copy, v, n * sizeof *copy);
    for (size_t i = 0; i < n; i++)
        at[(utf8proc_get_property(v[i])->combining_class & 255) + 1]++;
    for (int i = 0; i < 256; i++)
        at[i + 1] += at[i];
    for (size_t i = 0; i < n; i++)
        v[at[utf8proc_get_property(copy[i])->combining_class & 255]++] = copy[i];
    free(copy);
    return 0;
}

/* NFC of one segment of n bytes appended to out, which has room for 3 n bytes and some. */
static int nfc_segment(const uint8_t *s, size_t n, struct cps *t, char *out, size_t *m)
{
    t->n = 0;
    for (size_t i = 0; i < n;) {
        unsigned len;
        uint32_t c = decode(s + i, &len);
        if (cps_room(t, 32))
            return ERR_NOMEM;
        utf8proc_ssize_t k = utf8proc_decompose_char((utf8proc_int32_t)c, t->v + t->n, 32,
                                                     UTF8PROC_STABLE | UTF8PROC_COMPOSE, NULL);
        t->n += k > 0 && k <= 32 ? (size_t)k : 0;
        i += len;
    }
    for (size_t i = 0; i < t->n;) {
        size_t j = i;
        while (j < t->n && utf8proc_get_property(t->v[j])->combining_class)
            j++;
        if (j - i > 1 && sort_marks(t->v + i, j - i))
            return ERR_NOMEM;
        i = j + (j == i);
    }
    utf8proc_ssize_t k =
        utf8proc_normalize_utf32(t->v, (utf8proc_ssize_t)t->n, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    for (utf8proc_ssize_t i = 0; i < k; i++)
        *m += (size_t)utf8proc_encode_char(t->v[i], (utf8proc_uint8_t *)out + *m);
    return 0;
}

/* Only from the last safe character before an unsafe one up to the next safe one can NFC change a
 * text: a safe one (class 0, quick check Yes) never composes with what stands before it. */
int unicode_nfc(const char *str, size_t n, char **out, size_t *m)
{
    const uint8_t *s = (const uint8_t *)str;
    struct cps t = {0};
    size_t done = 0, safe = 0, cap = 0;
    int rc = 0;
    *out = NULL;
    *m = 0;
    for (size_t i = 0; i < n;) {
        unsigned len;
        if (s[i] < 0x80) {
            i = skip_ascii(s, i, n);
            safe = i - 1;
            continue;
        }
        if (s[i] < 0xCC) { /* below U+0300 nothing is unsafe */
            safe = i;
            i += 2;
            continue;
        }
        if (!(full_class(s + i, &len) & UNI_NFC)) {
            safe = i;
            i += len;
            continue;
        }
        size_t end = i;
        while (end < n && s[end] >= 0xCC && (full_class(s + end, &len) & UNI_NFC))
            end += len;
        /* a character grows at most threefold in UTF-8 under NFC (UAX 15, table 5) */
        size_t need = *m + (safe - done) + 3 * (end - safe) + (n - end) + 16;
        if (need > cap) {
            char *p = realloc(*out, cap = need + need / 2);
            if (!p) {
                rc = ERR_NOMEM;
                break;
            }
            *out = p;
        }
        memcpy(*out + *m, s + done, safe - done);
        *m += safe - done;
        if ((rc = nfc_segment(s + safe, end - safe, &t, *out, m)))
            break;
        done = safe = i = end;
    }
    if (!rc && *out) {
        memcpy(*out + *m, s + done, n - done);
        *m += n - done;
    }
    if (rc) {
        free(*out);
        *out = NULL;
    }
    free(t.v);
    return rc;
}
