/* test_unicode - well-formed UTF-8 by the book (Unicode, table 3-7), at every place of a text */
#include "tap.h"
#include "unicode.h"
#include <string.h>

/* Bytes of the character at s, 0 if it is not well-formed. */
static size_t by_the_book(const uint8_t *s, size_t n)
{
    static const uint8_t rows[][8] = {/* first, second, third, fourth byte: lowest, highest */
                                      {0x00, 0x7F},
                                      {0xC2, 0xDF, 0x80, 0xBF},
                                      {0xE0, 0xE0, 0xA0, 0xBF, 0x80, 0xBF},
                                      {0xE1, 0xEC, 0x80, 0xBF, 0x80, 0xBF},
                                      {0xED, 0xED, 0x80, 0x9F, 0x80, 0xBF},
                                      {0xEE, 0xEF, 0x80, 0xBF, 0x80, 0xBF},
                                      {0xF0, 0xF0, 0x90, 0xBF, 0x80, 0xBF, 0x80, 0xBF},
                                      {0xF1, 0xF3, 0x80, 0xBF, 0x80, 0xBF, 0x80, 0xBF},
                                      {0xF4, 0xF4, 0x80, 0x8F, 0x80, 0xBF, 0x80, 0xBF}};
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        size_t k = 0;
        while (k < 4 && (k == 0 || rows[r][2 * k]) && k < n && s[k] >= rows[r][2 * k] &&
               s[k] <= rows[r][2 * k + 1])
            k++;
        if (k && (k == 4 || !rows[r][2 * k]))
            return k;
    }
    return 0;
}

static size_t bad(const uint8_t *s, size_t n)
{
    size_t i = 0, k;
    while (i < n && (k = by_the_book(s + i, n - i)))
        i += k;
    return i;
}

static int same(const uint8_t *s, size_t n)
{
    return unicode_bad_utf8((const char *)s, n) == bad(s, n);
}

int main(void)
{
    uint8_t s[200];
    long wrong = 0;
    for (uint32_t v = 0; v < 1 << 24; v++) {
        s[0] = (uint8_t)v;
        s[1] = (uint8_t)(v >> 8);
        s[2] = (uint8_t)(v >> 16);
        wrong += !same(s, 3);
    }
    ok(wrong == 0, "every three bytes: %ld wrong", wrong);
    wrong = 0;
    for (uint32_t v = 0; v < 1 << 21;
         v++) { /* F0 to F7, all second bytes, ends of the ranges of others */
        static const uint8_t edge[] = {0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xBF, 0xC0};
        s[0] = (uint8_t)(0xF0 | (v & 7));
        s[1] = (uint8_t)(v >> 3);
        s[2] = edge[v >> 11 & 7];
        s[3] = edge[v >> 14 & 7];
        s[4] = edge[v >> 17 & 7];
        wrong += !same(s, 5) || !same(s, 4);
    }
    ok(wrong == 0, "four and five bytes: %ld wrong", wrong);
    wrong = 0;
    for (size_t at = 0; at < 150; at++) /* whole, cut short, and spoilt, at every place of a text */
        for (int kind = 0; kind < 4; kind++) {
            static const char *const c[] = {"\u00e9", "\u65e5", "\U0001F642", "\xED\xA0\x80"};
            for (int more = 0; more < 2; more++) {
                memset(s, 'a', sizeof s);
                for (size_t i = 0; more && i + 3 <= at; i += 3)
                    memcpy(s + i, "\u65e5", 3);
                memcpy(s + at, c[kind], strlen(c[kind]));
                for (size_t n = at; n < sizeof s; n++)
                    wrong += !same(s, n);
                s[at + 1] = 'x';
                wrong += !same(s, sizeof s);
            }
        }
    ok(wrong == 0, "at every place of a text: %ld wrong", wrong);
    return done_testing();
}
