/* pretok - the Qwen2 and Llama-3 split patterns as hand-written scanners
 *
 * The pattern (PRETOK_LLAMA3 has \p{N}{1,3} for \p{N}), alternatives tried in this order:
 *     (?i:'s|'t|'re|'ve|'m|'ll|'d)          1
 *     [^\r\n\p{L}\p{N}]?\p{L}+              2
 *     \p{N}                                 3
 *      ?[^\s\p{L}\p{N}]+[\r\n]*             4
 *     \s*[\r\n]+                            5
 *     \s+(?!\S)                             6
 *     \s+                                   7
 * Every character is a letter, a number, a space or other, so some alternative always matches.
 *
 * The kinds of the first two bytes say which alternative it is (a table); its run is then measured,
 * eight ASCII letters or blanks at a time.  Where a byte of 0x80 or more decides, pretok_first does the
 * same with characters. */
#include "pretok.h"
#include "unicode.h"
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the first byte of eight is the lowest");

/* ---- by characters ---- */

/* 1: bytes of a contraction at s, whose first byte is an apostrophe; 0 if there is none. */
size_t pretok_contraction(const uint8_t *s, size_t n)
{
    unsigned a = n > 1 ? s[1] | 0x20 : 0, b = n > 2 ? s[2] | 0x20 : 0;
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return 2;
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l'))
        return 3;
    /* U+017F folds to s under (?i) */
    return n > 2 && s[1] == 0xC5 && s[2] == 0xBF ? 3 : 0;
}

/* The end of a run of letters that has reached i. */
static size_t letters(const uint8_t *s, size_t i, size_t n)
{
    unsigned len;
    while (i < n && unicode_class(s + i, &len) == UNI_L)
        i += len;
    return i;
}

/* 4: other characters from i on, then line ends */
static size_t others(const uint8_t *s, size_t i, size_t n)
{
    unsigned len;
    while (i < n && unicode_class(s + i, &len) == 0)
        i += len;
    while (i < n && (s[i] == '\n' || s[i] == '\r'))
        i++;
    return i;
}

/* 5, 6, 7: a run of spaces up to its last line end, else all but its last character, else all */
size_t pretok_spaces(const uint8_t *s, size_t n)
{
    size_t i = 0, line = 0, last = 0;
    while (i < n) {
        unsigned len, c = unicode_class(s + i, &len);
        if (!(c & UNI_SPACE))
            break;
        last = i;
        i += len;
        if (c & UNI_NL)
            line = i;
    }
    return line ? line : i == n || last == 0 ? i : last;
}

size_t pretok_first(int p, const uint8_t *s, size_t n)
{
    unsigned len, next, c = unicode_class(s, &len);
    size_t k;
    if (c == UNI_L)
        return letters(s, len, n);
    if (c == UNI_N) {
        size_t i = len;
        for (int digits = 1;
             p == PRETOK_LLAMA3 && digits < 3 && i < n && unicode_class(s + i, &len) == UNI_N;
             digits++)
            i += len;
        return i;
    }
    if (s[0] == '\'' && (k = pretok_contraction(s, n)))
        return k;
    if (!(c & UNI_NL) && len < n) {
        unsigned d = unicode_class(s + len, &next);
        if (d == UNI_L)
            return letters(s, len + next, n);
        if (d == 0 && s[0] == ' ')
            return others(s, len + next, n);
    }
    return c == 0 ? others(s, len, n) : pretok_spaces(s, n);
}

/* ---- by bytes ---- */

enum kind { OTHER, QUOTE, BLANK, SPACE, LINE, LETTER, NUMBER, HIGH, KINDS };
enum {          /* what a word is, by the kinds of its first two bytes */
       CHARS,   /* let pretok_first see */
       LETTERS, /* from the second byte on */
       JOINED,  /* letters from the third byte on */
       OTHERS,  /* from the second byte on */
       SPACED,  /* a blank, then others */
       GAP,     /* spaces */
       DIGIT
};

// clang-format off
#define O OTHER
#define Q QUOTE
#define B BLANK
#define S SPACE
#define E LINE
#define L LETTER
#define N NUMBER
#define H HIGH, HIGH, HIGH, HIGH, HIGH, HIGH, HIGH, HIGH, HIGH, HIGH, HIGH, HIGH, HIGH, HIGH, HIGH, HIGH
static const uint8_t kind_of[256] = {
    O, O, O, O, O, O, O, O, O, S, E, S, S, E, O, O,  O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O,
    B, O, O, O, O, O, O, Q, O, O, O, O, O, O, O, O,  N, N, N, N, N, N, N, N, N, N, O, O, O, O, O, O,
    O, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L,  L, L, L, L, L, L, L, L, L, L, L, O, O, O, O, O,
    O, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L,  L, L, L, L, L, L, L, L, L, L, L, O, O, O, O, O,
    H, H, H, H, H, H, H, H};
#undef O
#undef Q
#undef B
#undef S
#undef E
#undef L
#undef N
#undef H

static const uint8_t word_of[KINDS][KINDS] = {
    /*           other   quote   blank   space   line    letter   number  high */
    [OTHER]  = { OTHERS, OTHERS, OTHERS, OTHERS, OTHERS, JOINED,  OTHERS, CHARS },
    [QUOTE]  = { OTHERS, OTHERS, OTHERS, OTHERS, OTHERS, CHARS,   OTHERS, CHARS },
    [BLANK]  = { SPACED, SPACED, GAP,    GAP,    GAP,    JOINED,  GAP,    CHARS },
    [SPACE]  = { GAP,    GAP,    GAP,    GAP,    GAP,    JOINED,  GAP,    CHARS },
    [LINE]   = { GAP,    GAP,    GAP,    GAP,    GAP,    GAP,     GAP,    CHARS },
    [LETTER] = { LETTERS, LETTERS, LETTERS, LETTERS, LETTERS, LETTERS, LETTERS, LETTERS },
    [NUMBER] = { DIGIT,  DIGIT,  DIGIT,  DIGIT,  DIGIT,  DIGIT,   DIGIT,  DIGIT },
    [HIGH]   = { CHARS,  CHARS,  CHARS,  CHARS,  CHARS,  CHARS,   CHARS,  CHARS },
};
// clang-format on

static inline uint64_t eight(const uint8_t *s)
{
    uint64_t w;
    memcpy(&w, s, 8);
    return w;
}
#define ALL(c) (0x0101010101010101u * (c))

/* The end of ASCII letters from i on: of eight bytes at a time, the high bit of those that are none. */
static inline size_t ascii_letters(const uint8_t *s, size_t i, size_t n)
{
    for (; n - i >= 8; i += 8) {
        uint64_t w = eight(s + i), low = (w | ALL(0x20)) & ALL(0x7F);
        uint64_t from_a = low + ALL(0x80 - 'a'), past_z = low + ALL(0x80 - 'z' - 1);
        uint64_t none = (~from_a | past_z | w) & ALL(0x80);
        if (none)
            return i + ((unsigned)__builtin_ctzll(none) >> 3);
    }
    while (i < n && kind_of[s[i]] == LETTER)
        i++;
    return i;
}

static inline size_t blanks(const uint8_t *s, size_t i, size_t n)
{
    for (; n - i >= 8; i += 8) {
        uint64_t w = eight(s + i) ^ ALL(' ');
        if (w)
            return i + ((unsigned)__builtin_ctzll(w) >> 3);
    }
    while (i < n && s[i] == ' ')
        i++;
    return i;
}

static inline size_t ascii_others(const uint8_t *s, size_t i, size_t n)
{
    while (i < n && kind_of[s[i]] <= QUOTE)
        i++;
    if (i < n && s[i] >= 0x80)
        return others(s, i, n);
    while (i < n && kind_of[s[i]] == LINE)
        i++;
    return i;
}

static inline size_t ascii_spaces(const uint8_t *s, size_t n)
{
    size_t i = 0, line = 0;
    unsigned k = LINE;
    while (i < n && (k = kind_of[s[i]]) >= BLANK && k <= LINE) {
        i = k == BLANK ? blanks(s, i, n) : i + 1;
        line = k == LINE ? i : line;
    }
    if (i < n && k == HIGH)
        return pretok_spaces(s, n);
    return line ? line : i == n || i == 1 ? i : i - 1;
}

static size_t digits(int p, const uint8_t *s, size_t n)
{
    size_t i = 1;
    if (p != PRETOK_LLAMA3)
        return 1;
    while (i < 3 && i < n && kind_of[s[i]] == NUMBER)
        i++;
    return i < 3 && i < n && s[i] >= 0x80 ? pretok_first(p, s, n) : i;
}

size_t pretok_words(uint32_t p, const uint8_t *text, size_t n_text, size_t *end, size_t max,
                    struct pretok_at *stage)
{
    if (p > PRETOK_LLAMA3)
        return pretok_staged(p, text, n_text, end, max, stage);
    size_t k = 0, at = 0, i;
    for (; k < max && at < n_text; at += i, end[k++] = at) {
        const uint8_t *s = text + at;
        size_t n = n_text - at;
        if (n == 1) {
            i = 1;
            continue;
        }
        switch (word_of[kind_of[s[0]]][kind_of[s[1]]]) {
        case LETTERS:
            i = ascii_letters(s, 1, n);
            if (i < n && s[i] >= 0x80)
                i = letters(s, i, n);
            break;
        case JOINED:
            i = ascii_letters(s, 2, n);
            if (i < n && s[i] >= 0x80)
                i = letters(s, i, n);
            break;
        case OTHERS:
            i = ascii_others(s, 1, n);
            break;
        case SPACED:
            i = ascii_others(s, 2, n);
            break;
        case GAP:
            i = ascii_spaces(s, n);
            break;
        case DIGIT:
            i = digits((int)p, s, n);
            break;
        default:
            i = pretok_first((int)p, s, n);
        }
    }
    return k;
}
