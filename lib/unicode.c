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

/* What Unicode 15.1 and 16 assigned, which utf8proc 2.8 (Unicode 15.0) does not know and the regex
 * library of Hugging Face's tokenizers does; the kinds are those that library answers. */
// clang-format off
static const struct {
    uint32_t first, last;
    uint8_t kind;
} newer[] = {
    {0x897, 0x897, UNI_MARK},
    {0x1B4E, 0x1B4F, UNI_PUNCT},
    {0x1B7F, 0x1B7F, UNI_PUNCT},
    {0x1C89, 0x1C89, UNI_UPPER},
    {0x1C8A, 0x1C8A, UNI_LOWER},
    {0x2427, 0x2429, UNI_SYMBOL},
    {0x2FFC, 0x2FFF, UNI_SYMBOL},
    {0x31E4, 0x31E5, UNI_SYMBOL},
    {0x31EF, 0x31EF, UNI_SYMBOL},
    {0xA7CB, 0xA7CC, UNI_UPPER},
    {0xA7CD, 0xA7CD, UNI_LOWER},
    {0xA7DA, 0xA7DA, UNI_UPPER},
    {0xA7DB, 0xA7DB, UNI_LOWER},
    {0xA7DC, 0xA7DC, UNI_UPPER},
    {0x105C0, 0x105F3, UNI_LETTER},
    {0x10D40, 0x10D49, UNI_NUMBER},
    {0x10D4A, 0x10D4F, UNI_LETTER},
    {0x10D50, 0x10D65, UNI_UPPER},
    {0x10D69, 0x10D6D, UNI_MARK},
    {0x10D6E, 0x10D6E, UNI_PUNCT},
    {0x10D6F, 0x10D6F, UNI_LETTER},
    {0x10D70, 0x10D85, UNI_LOWER},
    {0x10D8E, 0x10D8F, UNI_SYMBOL},
    {0x10EC2, 0x10EC4, UNI_LETTER},
    {0x10EFC, 0x10EFC, UNI_MARK},
    {0x11380, 0x11389, UNI_LETTER},
    {0x1138B, 0x1138B, UNI_LETTER},
    {0x1138E, 0x1138E, UNI_LETTER},
    {0x11390, 0x113B5, UNI_LETTER},
    {0x113B7, 0x113B7, UNI_LETTER},
    {0x113B8, 0x113C0, UNI_MARK},
    {0x113C2, 0x113C2, UNI_MARK},
    {0x113C5, 0x113C5, UNI_MARK},
    {0x113C7, 0x113CA, UNI_MARK},
    {0x113CC, 0x113D0, UNI_MARK},
    {0x113D1, 0x113D1, UNI_LETTER},
    {0x113D2, 0x113D2, UNI_MARK},
    {0x113D3, 0x113D3, UNI_LETTER},
    {0x113D4, 0x113D5, UNI_PUNCT},
    {0x113D7, 0x113D8, UNI_PUNCT},
    {0x113E1, 0x113E2, UNI_MARK},
    {0x116D0, 0x116E3, UNI_NUMBER},
    {0x11BC0, 0x11BE0, UNI_LETTER},
    {0x11BE1, 0x11BE1, UNI_PUNCT},
    {0x11BF0, 0x11BF9, UNI_NUMBER},
    {0x11F5A, 0x11F5A, UNI_MARK},
    {0x13460, 0x143FA, UNI_LETTER},
    {0x16100, 0x1611D, UNI_LETTER},
    {0x1611E, 0x1612F, UNI_MARK},
    {0x16130, 0x16139, UNI_NUMBER},
    {0x16D40, 0x16D6C, UNI_LETTER},
    {0x16D6D, 0x16D6F, UNI_PUNCT},
    {0x16D70, 0x16D79, UNI_NUMBER},
    {0x18CFF, 0x18CFF, UNI_LETTER},
    {0x1CC00, 0x1CCEF, UNI_SYMBOL},
    {0x1CCF0, 0x1CCF9, UNI_NUMBER},
    {0x1CD00, 0x1CEB3, UNI_SYMBOL},
    {0x1E5D0, 0x1E5ED, UNI_LETTER},
    {0x1E5EE, 0x1E5EF, UNI_MARK},
    {0x1E5F0, 0x1E5F0, UNI_LETTER},
    {0x1E5F1, 0x1E5FA, UNI_NUMBER},
    {0x1E5FF, 0x1E5FF, UNI_PUNCT},
    {0x1F8B2, 0x1F8BB, UNI_SYMBOL},
    {0x1F8C0, 0x1F8C1, UNI_SYMBOL},
    {0x1FA89, 0x1FA89, UNI_SYMBOL},
    {0x1FA8F, 0x1FA8F, UNI_SYMBOL},
    {0x1FABE, 0x1FABE, UNI_SYMBOL},
    {0x1FAC6, 0x1FAC6, UNI_SYMBOL},
    {0x1FADC, 0x1FADC, UNI_SYMBOL},
    {0x1FADF, 0x1FADF, UNI_SYMBOL},
    {0x1FAE9, 0x1FAE9, UNI_SYMBOL},
    {0x1FBCB, 0x1FBEF, UNI_SYMBOL},
    {0x2EBF0, 0x2EE5D, UNI_LETTER},
};
// clang-format on

static uint8_t class_of_kind(unsigned kind)
{
    return kind & (UNI_UPPER | UNI_LOWER | UNI_LETTER) ? UNI_L : kind == UNI_NUMBER ? UNI_N : 0;
}

/* Marks and compositions of Unicode 10 and later, which the NFC of Hugging Face's tokenizers (Unicode 9)
 * leaves where they are: found by asking it. */
// clang-format off
static const struct {
    uint32_t first, last;
} young[] = {
    {0x7FD, 0x7FD}, {0x897, 0x89F}, {0x8CA, 0x8D3}, {0x9FE, 0x9FE}, {0xC3C, 0xC3C}, {0xD3B,
    0xD3C}, {0xEBA, 0xEBA}, {0x1715, 0x1715}, {0x1ABF, 0x1ADD}, {0x1AE0, 0x1AEB}, {0x1DF6,
    0x1DFA}, {0xA82C, 0xA82C}, {0x105C9, 0x105C9}, {0x105E4, 0x105E4}, {0x10D24, 0x10D27},
    {0x10D69, 0x10D6D}, {0x10EAB, 0x10EAC}, {0x10EFA, 0x10EFB}, {0x10EFD, 0x10EFF}, {0x10F46,
    0x10F50}, {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x1133B, 0x1133B}, {0x11383, 0x11383},
    {0x11385, 0x11385}, {0x1138E, 0x1138E}, {0x11391, 0x11391}, {0x113C5, 0x113C5}, {0x113C7,
    0x113C8}, {0x113CE, 0x113D0}, {0x1145E, 0x1145E}, {0x11839, 0x1183A}, {0x11938, 0x11938},
    {0x1193D, 0x1193E}, {0x11943, 0x11943}, {0x119E0, 0x119E0}, {0x11A34, 0x11A34}, {0x11A47,
    0x11A47}, {0x11A99, 0x11A99}, {0x11D42, 0x11D42}, {0x11D44, 0x11D45}, {0x11D97, 0x11D97},
    {0x11F41, 0x11F42}, {0x16121, 0x16128}, {0x1612F, 0x1612F}, {0x16D68, 0x16D6A}, {0x16FF0,
    0x16FF1}, {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF},
    {0x1E4EC, 0x1E4EF}, {0x1E5EE, 0x1E5EF}, {0x1E6E3, 0x1E6E3}, {0x1E6E6, 0x1E6E6}, {0x1E6EE,
    0x1E6EF}, {0x1E6F5, 0x1E6F5}
};
// clang-format on
enum { YOUNG = 32 }; /* in table */

static int is_young(uint32_t c)
{
    for (size_t i = 0; i < sizeof young / sizeof *young; i++)
        if (c >= young[i].first && c <= young[i].last)
            return 1;
    return 0;
}

static void fill(uint32_t block)
{
    uint32_t from = block << 8, to = from + 256;
    pthread_mutex_lock(&filling);
    if (!atomic_load_explicit(&filled[block], memory_order_relaxed)) {
        for (uint32_t c = from; c < to; c++)
            table[c] = (uint8_t)(class_of(c) | (is_young(c) ? YOUNG : unsafe(c)));
        for (size_t i = 0; i < sizeof newer / sizeof *newer; i++)
            for (uint32_t c = newer[i].first; c <= newer[i].last; c++)
                if (c >= from && c < to)
                    table[c] = (uint8_t)((table[c] & ~UNI_CLASS) | class_of_kind(newer[i].kind));
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

static uint8_t kind_of(uint32_t c)
{
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LT:
        return UNI_UPPER;
    case UTF8PROC_CATEGORY_LL:
        return UNI_LOWER;
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return UNI_LETTER;
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
        return UNI_MARK;
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
        return UNI_PUNCT;
    case UTF8PROC_CATEGORY_SM:
    case UTF8PROC_CATEGORY_SC:
    case UTF8PROC_CATEGORY_SK:
    case UTF8PROC_CATEGORY_SO:
        return UNI_SYMBOL;
    default: {
        unsigned k = class_of(c);
        return k & UNI_N ? UNI_NUMBER : k & UNI_SPACE ? UNI_BLANK : 0;
    }
    }
}

uint32_t unicode_code(const uint8_t *s, unsigned *len)
{
    return decode(s, len);
}

unsigned unicode_kind(const uint8_t *s, unsigned *len)
{
    uint32_t c = decode(s, len);
    if (c >= 'a' && c <= 'z')
        return UNI_LOWER;
    unsigned kind = kind_of(c);
    for (size_t i = 0; kind == 0 && c >= 0x300 && i < sizeof newer / sizeof *newer; i++)
        if (c >= newer[i].first && c <= newer[i].last)
            kind = newer[i].kind;
    return kind;
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
        unsigned class = full_class(s + i, &len);
        if (!(class & UNI_NFC)) {
            safe = class & YOUNG ? i + len : i; /* a young one takes no part */
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
