/* unicode.h - what the tokenizer asks of Unicode: well-formed UTF-8, letter/number/space, NFC
 *
 * Data from utf8proc; a class table is filled by blocks of 256 code points as texts need them. */
#ifndef UNICODE_H
#define UNICODE_H
#include <stddef.h>
#include <stdint.h>

/* Classes of a code point: \p{L}, \p{N}, White_Space, and of the latter \r and \n. 0 = other. */
enum { UNI_L = 1, UNI_N = 2, UNI_SPACE = 4, UNI_NL = 8, UNI_CLASS = 15, UNI_NFC = 16 };
extern const uint8_t unicode_ascii[128];

/* Offset of the first byte that does not begin a well-formed character; n if there is none. */
size_t unicode_bad_utf8(const char *s, size_t n);
/* Class of the character at s (well-formed UTF-8), its bytes into *len. */
unsigned unicode_class(const uint8_t *s, unsigned *len);
/* What split patterns ask beyond that: one bit of the character at s, or 0 (controls, unassigned). */
enum {
    UNI_UPPER = 1,  /* Lu, Lt */
    UNI_LOWER = 2,  /* Ll */
    UNI_LETTER = 4, /* Lm, Lo */
    UNI_MARK = 8,   /* Mn, Mc, Me */
    UNI_NUMBER = 16,
    UNI_PUNCT = 32,
    UNI_SYMBOL = 64,
    UNI_BLANK = 128 /* White_Space */
};
unsigned unicode_kind(const uint8_t *s, unsigned *len);
uint32_t unicode_code(const uint8_t *s, unsigned *len); /* of the well-formed character at s */
/* NFC of well-formed UTF-8: *out is a new text of *m bytes (malloc), or NULL when s is NFC already.
 * 0, or ERR_NOMEM. */
int unicode_nfc(const char *s, size_t n, char **out, size_t *m);
#endif
