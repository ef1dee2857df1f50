/* pretok.h - pre-tokenizers: where a text is cut into words before byte-pair merging */
#ifndef PRETOK_H
#define PRETOK_H
#include <stddef.h>
#include <stdint.h>

enum pretok {
    PRETOK_QWEN = 1, /* Qwen2, Qwen2.5, Qwen3 */
    PRETOK_LLAMA3,   /* the same with numbers of up to three digits; also OpenAI's cl100k */
    PRETOK_END
};
/* The pattern that tokenizer.json gives for each, and its other spellings; 0 if unknown. */
int pretok_of_regex(const char *regex);
const char *pretok_regex(enum pretok p); /* back: NULL if unknown */
/* The first words of s (n bytes of well-formed UTF-8), at most max: where each ends; their number. */
size_t pretok_words(enum pretok p, const uint8_t *s, size_t n, size_t *end, size_t max);
#endif
