/* pychar - which characters a name of Python 3.11 may hold: XID_Start and XID_Continue of Unicode 14
 *
 * From utf8proc's general categories (Unicode 15), corrected by the ranges below: Other_ID_Start and
 * Other_ID_Continue, what UAX #31 5.1 takes out so that NFKC keeps names names, and what Unicode 15
 * added. The test compares every code point with Python's str.isidentifier. */
#include "pytoken.h"
#include <utf8proc.h>

struct range {
    uint32_t first, last;
};
static const struct range start_more[] = {{0x1885, 0x1886}, {0x2118, 0x2118}, {0x212E, 0x212E}};
static const struct range char_more[] = {
    {0xB7, 0xB7}, {0x387, 0x387}, {0x1369, 0x1371}, {0x19DA, 0x19DA}};
static const struct range start_less[] = {{0xE33, 0xE33}, {0xEB3, 0xEB3}, {0xFF9E, 0xFF9F}};
static const struct range char_less[] = {{0x37A, 0x37A},
                                         {0x2E2F, 0x2E2F},
                                         {0xFC5E, 0xFC63},
                                         {0xFDFA, 0xFDFB},
                                         {0xFE70, 0xFE70},
                                         {0xFE72, 0xFE72},
                                         {0xFE74, 0xFE74},
                                         {0xFE76, 0xFE76},
                                         {0xFE78, 0xFE78},
                                         {0xFE7A, 0xFE7A},
                                         {0xFE7C, 0xFE7C},
                                         {0xFE7E, 0xFE7E},
                                         /* Unicode 15 */
                                         {0xCF3, 0xCF3},
                                         {0xECE, 0xECE},
                                         {0x10EFD, 0x10EFF},
                                         {0x1123F, 0x11241},
                                         {0x11F00, 0x11F10},
                                         {0x11F12, 0x11F3A},
                                         {0x11F3E, 0x11F42},
                                         {0x11F50, 0x11F59},
                                         {0x1342F, 0x1342F},
                                         {0x13440, 0x13455},
                                         {0x1B132, 0x1B132},
                                         {0x1B155, 0x1B155},
                                         {0x1DF25, 0x1DF2A},
                                         {0x1E030, 0x1E06D},
                                         {0x1E08F, 0x1E08F},
                                         {0x1E4D0, 0x1E4F9},
                                         {0x2B739, 0x2B739},
                                         {0x31350, 0x323AF}};

static int within(uint32_t c, const struct range *r, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (c >= r[i].first && c <= r[i].last)
            return 1;
    return 0;
}
#define WITHIN(c, r) within(c, r, sizeof(r) / sizeof *(r))

size_t py_char(const char *str, const char *end, uint32_t *c)
{
    const uint8_t *s = (const uint8_t *)str;
    size_t k = *s < 0x80 ? 1 : *s < 0xE0 ? 2 : *s < 0xF0 ? 3 : 4;
    if (k > (size_t)(end - str))
        k = (size_t)(end - str);
    *c = k == 1 ? *s : *s & (0x7Fu >> (k & 7));
    for (size_t i = 1; i < k; i++)
        *c = *c << 6 | (s[i] & 0x3F);
    return k;
}

int py_ident_start(uint32_t c)
{
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_NL:
        return c < 0x80 || !(WITHIN(c, char_less) || WITHIN(c, start_less));
    default:
        return c == '_' || WITHIN(c, start_more);
    }
}

int py_ident_char(uint32_t c)
{
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_PC:
        return c < 0x80 || !WITHIN(c, char_less);
    default:
        return py_ident_start(c) || WITHIN(c, char_more) || WITHIN(c, start_less);
    }
}
