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
 * Every character is a letter, a number, a space or other, so some alternative always matches. */
#include "pretok.h"
#include "unicode.h"
#include <string.h>

#define TAIL "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define HEAD "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"

/* of each kind the spelling of its family first */
static const struct {
    const char *regex;
    enum pretok p;
} known[] = {
    {HEAD "\\p{N}" TAIL, PRETOK_QWEN},
    {HEAD "\\p{N}{1,3}" TAIL, PRETOK_LLAMA3},
    /* cl100k's spelling: possessive quantifiers and one [\r\n], the same language */
    {"'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}{1,3}| "
     "?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|"
     "\\s*[\\r\\n]|\\s+(?!\\S)|\\s+",
     PRETOK_LLAMA3},
};

int pretok_of_regex(const char *regex)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(regex, known[i].regex) == 0)
            return known[i].p;
    return 0;
}

const char *pretok_regex(enum pretok p)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].p == p)
            return known[i].regex;
    return NULL;
}

/* 1: bytes of a contraction at s, whose first byte is an apostrophe; 0 if there is none. */
static size_t contraction(const uint8_t *s, size_t n)
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
    while (i < n) {
        if (s[i] < 0x80) {
            if (unicode_ascii[s[i]] != UNI_L)
                break;
            i++;
        } else if (unicode_class(s + i, &len) == UNI_L)
            i += len;
        else
            break;
    }
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
static size_t spaces(const uint8_t *s, size_t n)
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

size_t pretok_next(enum pretok p, const uint8_t *s, size_t n)
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
    if (s[0] == '\'' && (k = contraction(s, n)))
        return k;
    if (!(c & UNI_NL) && len < n) {
        unsigned d = unicode_class(s + len, &next);
        if (d == UNI_L)
            return letters(s, len + next, n);
        if (d == 0 && s[0] == ' ')
            return others(s, len + next, n);
    }
    return c == 0 ? others(s, len, n) : spaces(s, n);
}
