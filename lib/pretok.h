/* pretok.h - pre-tokenizers: where a text is cut into words before byte-pair merging
 *
 * A pre-tokenizer is a sequence of at most PRETOK_STAGES stages, each a pattern: the first cuts the
 * text into what it matches and what lies between, the next cuts each of those pieces, and a pattern
 * never sees beyond its piece.  Its number has the stages in PRETOK_BITS each, the first lowest. */
#ifndef PRETOK_H
#define PRETOK_H
#include <stddef.h>
#include <stdint.h>

enum { PRETOK_STAGES = 6, PRETOK_BITS = 5 };
enum pretok_stage {
    PRETOK_QWEN = 1, /* Qwen2, Qwen2.5, Qwen3 */
    PRETOK_LLAMA3,   /* the same with numbers of up to three digits; also OpenAI's cl100k */
    PRETOK_GPT2,     /* also ByteLevel's own */
    PRETOK_GPT4O,    /* o200k */
    PRETOK_TEKKEN,   /* Mistral NeMo's: o200k without contractions, single digits */
    PRETOK_DIGIT,    /* single digits: starcoder, smollm, deepseek */
    PRETOK_DIGITS,   /* all that adjoin */
    PRETOK_DIGITS3,  /* up to three */
    PRETOK_LINE,     /* single line ends */
    PRETOK_DEEPSEEK3_CJK,
    PRETOK_DEEPSEEK3_WORD,
    PRETOK_DEEPSEEK_CJK,
    PRETOK_DEEPSEEK_WORD, /* llm */
    PRETOK_DEEPSEEK_PUNCT,
    PRETOK_TRAILING,        /* spaces at the end */
    PRETOK_DEEPSEEK_CODE,   /* coder: words */
    PRETOK_DEEPSEEK_CODE_P, /* and punctuation */
    PRETOK_END
};
/* The number of a sequence, of up to six stages */
#define PRETOK2(a, b)             ((uint32_t)(a) | (uint32_t)(b) << PRETOK_BITS)
#define PRETOK3(a, b, c)          (PRETOK2(a, b) | (uint32_t)(c) << 2 * PRETOK_BITS)
#define PRETOK6(a, b, c, d, e, f) (PRETOK3(a, b, c) | PRETOK3(d, e, f) << 3 * PRETOK_BITS)
enum {
    PRETOK_STARCODER = PRETOK2(PRETOK_DIGIT, PRETOK_GPT2), /* also smollm */
    PRETOK_DEEPSEEK3 = PRETOK3(PRETOK_DIGITS3, PRETOK_DEEPSEEK3_CJK, PRETOK_DEEPSEEK3_WORD),
    PRETOK_DEEPSEEK_LLM = PRETOK6(PRETOK_LINE, PRETOK_DEEPSEEK_WORD, PRETOK_DEEPSEEK_PUNCT,
                                  PRETOK_TRAILING, PRETOK_DEEPSEEK_CJK, PRETOK_DIGIT),
    PRETOK_DEEPSEEK_CODER = PRETOK6(PRETOK_LINE, PRETOK_DEEPSEEK_CODE, PRETOK_DEEPSEEK_CODE_P,
                                    PRETOK_DEEPSEEK_CJK, PRETOK_DIGIT, 0)
};
int pretok_known(uint32_t p); /* whether p is such a number */
/* The pattern that tokenizer.json gives for each stage, and its other spellings; 0 if unknown. */
int pretok_of_regex(const char *regex);
const char *pretok_regex(int stage); /* back: NULL if unknown */
/* Whether the stage's pattern leaves nothing between its matches. */
int pretok_covers(int stage);

/* Where the stages stand; zero before the first word of a text. */
struct pretok_at {
    size_t stop[PRETOK_STAGES]; /* end of each stage's piece */
};
/* The first words of s (n bytes of well-formed UTF-8), at most max: where each ends; their number.
 * The next call has to begin where the last of them ends, with what `at` became. */
size_t pretok_words(uint32_t p, const uint8_t *s, size_t n, size_t *end, size_t max,
                    struct pretok_at *at);
/* For pretok.c: the same for what is not PRETOK_QWEN or PRETOK_LLAMA3 alone. */
size_t pretok_staged(uint32_t p, const uint8_t *s, size_t n, size_t *end, size_t max,
                     struct pretok_at *at);
/* For pretok_stage.c: the first word of the two that pretok.c knows; a contraction at s; spaces. */
size_t pretok_first(int stage, const uint8_t *s, size_t n);
size_t pretok_contraction(const uint8_t *s, size_t n);
size_t pretok_spaces(const uint8_t *s, size_t n);
#endif
