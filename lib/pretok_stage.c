/* pretok_stage - the split patterns of the other families, by characters; sequences of them
 *
 * Alternatives are tried in the order of the pattern, repetitions are greedy and give back as a
 * backtracking engine does; each function says which pattern it is. */
#include "pretok.h"
#include "unicode.h"
#include <string.h>

#define TAIL       "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define HEAD       "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
#define UPPER      "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER      "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CONTRACTED "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
#define TAIL_O     "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* Of each stage the spelling of its family first.  tokenizer.json has line ends as such or escaped. */
static const struct {
    const char *regex;
    int stage;
} known[] = {
    // clang-format off
    {HEAD "\\p{N}" TAIL, PRETOK_QWEN},
    {HEAD "\\p{N}{1,3}" TAIL, PRETOK_LLAMA3},
    /* cl100k's spelling: possessive quantifiers and one [\r\n], the same language */
    {"'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}{1,3}| "
     "?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+", PRETOK_LLAMA3},
    {"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+", PRETOK_GPT2},
    {"'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+", PRETOK_GPT2},
    {"[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" CONTRACTED "|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER
     "*" CONTRACTED "|\\p{N}{1,3}" TAIL_O, PRETOK_GPT4O},
    {"[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER "*|\\p{N}" TAIL_O,
     PRETOK_TEKKEN},
    {"\\p{N}", PRETOK_DIGIT},
    {"\\p{N}+", PRETOK_DIGITS},
    {"\\p{N}{1,3}", PRETOK_DIGITS3},
    {"[\\r\\n]", PRETOK_LINE},
    {"[一-龥぀-ゟ゠-ヿ]+", PRETOK_DEEPSEEK3_CJK},
    {"[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
     "| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+", PRETOK_DEEPSEEK3_WORD},
    {"[一-龥ࠀ-一가-퟿]+", PRETOK_DEEPSEEK_CJK},
    {"\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+", PRETOK_DEEPSEEK_WORD},
    {"\\s?[!-/:-~！-／：-～‘-‟　-。]+", PRETOK_DEEPSEEK_PUNCT},
    {"\\s+$", PRETOK_TRAILING},
    {"\\s?\\p{L}+", PRETOK_DEEPSEEK_CODE},
    {"\\s?\\p{P}+", PRETOK_DEEPSEEK_CODE_P},
    // clang-format on
};

struct range {
    uint32_t first, last;
};
/* the classes of characters that patterns spell out, in order */
static const struct range deepseek_word[] = {
    {0x41, 0x5A},       {0x61, 0x7A},       {0xB5, 0xB5},       {0xC0, 0xD6},
    {0xD8, 0xF6},       {0xF8, 0x1BA},      {0x1BC, 0x1BF},     {0x1C4, 0x293},
    {0x295, 0x2AF},     {0x370, 0x373},     {0x376, 0x376},     {0x377, 0x377},
    {0x37B, 0x37D},     {0x37F, 0x37F},     {0x386, 0x386},     {0x388, 0x38A},
    {0x38C, 0x38C},     {0x38E, 0x3A1},     {0x3A3, 0x3F5},     {0x3F7, 0x481},
    {0x48A, 0x52F},     {0x531, 0x556},     {0x10A0, 0x10C5},   {0x13A0, 0x13F5},
    {0x13F8, 0x13FD},   {0x1C90, 0x1CBA},   {0x1CBD, 0x1CBF},   {0x1D00, 0x1D2B},
    {0x1D6B, 0x1D77},   {0x1D79, 0x1D9A},   {0x1E00, 0x1F15},   {0x1F18, 0x1F1D},
    {0x1F20, 0x1F45},   {0x1F48, 0x1F4D},   {0x1F50, 0x1F57},   {0x1F59, 0x1F59},
    {0x1F5B, 0x1F5B},   {0x1F5D, 0x1F5D},   {0x1F5F, 0x1F7D},   {0x1F80, 0x1FB4},
    {0x1FB6, 0x1FBC},   {0x1FBE, 0x1FBE},   {0x1FC2, 0x1FC4},   {0x1FC6, 0x1FCC},
    {0x1FD0, 0x1FD3},   {0x1FD6, 0x1FDB},   {0x1FE0, 0x1FEC},   {0x1FF2, 0x1FF4},
    {0x1FF6, 0x1FFC},   {0x2102, 0x2102},   {0x2107, 0x2107},   {0x210A, 0x2113},
    {0x2115, 0x2115},   {0x2119, 0x211D},   {0x2124, 0x2124},   {0x2126, 0x2126},
    {0x2128, 0x2128},   {0x212A, 0x212D},   {0x212F, 0x2134},   {0x2139, 0x2139},
    {0x213C, 0x213F},   {0x2145, 0x2149},   {0x214E, 0x214E},   {0x2183, 0x2183},
    {0x2184, 0x2184},   {0x2C00, 0x2C7B},   {0x2C7E, 0x2CE4},   {0x2CEB, 0x2CEE},
    {0x2CF2, 0x2CF2},   {0x2CF3, 0x2CF3},   {0xA640, 0xA66D},   {0xA680, 0xA69B},
    {0xA722, 0xA76F},   {0xA771, 0xA787},   {0xA78B, 0xA78E},   {0xAB70, 0xABBF},
    {0xFB00, 0xFB06},   {0xFB13, 0xFB17},   {0xFF21, 0xFF3A},   {0xFF41, 0xFF5A},
    {0x10400, 0x1044F}, {0x104B0, 0x104D3}, {0x104D8, 0x104FB}, {0x10C80, 0x10CB2},
    {0x10CC0, 0x10CF2}, {0x118A0, 0x118DF}, {0x1E900, 0x1E943}};
static const struct range deepseek_punct[] = {{'!', '/'},       {':', '~'},       {0x2018, 0x201F},
                                              {0x3000, 0x3002}, {0xFF01, 0xFF0F}, {0xFF1A, 0xFF5E}};
static const struct range deepseek_cjk[] = {{0x800, 0x9FA5}, {0xAC00, 0xD7FF}};
static const struct range deepseek3_cjk[] = {{0x3040, 0x30FF}, {0x4E00, 0x9FA5}};

static const char *escaped(const char *s, char *out, size_t room)
{
    size_t k = 0;
    for (; *s && k + 3 < room; s++) {
        if (*s == '\r' || *s == '\n') {
            out[k++] = '\\';
            out[k++] = *s == '\r' ? 'r' : 'n';
        } else
            out[k++] = *s;
    }
    out[k] = 0;
    return *s ? "" : out;
}

int pretok_of_regex(const char *regex)
{
    char buf[1024];
    const char *s = escaped(regex, buf, sizeof buf);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(s, known[i].regex) == 0)
            return known[i].stage;
    return 0;
}

const char *pretok_regex(int stage)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].stage == stage)
            return known[i].regex;
    return NULL;
}

int pretok_covers(int stage)
{
    return stage >= PRETOK_QWEN && stage <= PRETOK_TEKKEN;
}

int pretok_known(uint32_t p)
{
    int n = 0;
    if (!p || p >> PRETOK_STAGES * PRETOK_BITS)
        return 0;
    for (; p; p >>= PRETOK_BITS, n++)
        if ((p & ((1 << PRETOK_BITS) - 1)) == 0 || (p & ((1 << PRETOK_BITS) - 1)) >= PRETOK_END)
            return 0;
    return 1;
}

/* ---- pieces of patterns ---- */

enum { LETTERS = UNI_UPPER | UNI_LOWER | UNI_LETTER };

static int is_line(uint8_t c)
{
    return c == '\n' || c == '\r';
}

static size_t run_of(unsigned kinds, const uint8_t *s, size_t i, size_t n)
{
    unsigned len;
    while (i < n && (unicode_kind(s + i, &len) & kinds))
        i += len;
    return i;
}

/* [^\s\p{L}\p{N}]+ */
static size_t run_of_others(const uint8_t *s, size_t i, size_t n)
{
    unsigned len;
    while (i < n && unicode_class(s + i, &len) == 0)
        i += len;
    return i;
}

static size_t run_in(const struct range *r, size_t n_range, const uint8_t *s, size_t i, size_t n)
{
    unsigned len;
    while (i < n) {
        uint32_t c = unicode_code(s + i, &len);
        size_t lo = 0, hi = n_range;
        while (lo < hi) { /* the first that ends at c or later */
            size_t mid = (lo + hi) / 2;
            if (r[mid].last < c)
                lo = mid + 1;
            else
                hi = mid;
        }
        if (lo == n_range || r[lo].first > c)
            break;
        i += len;
    }
    return i;
}

/* The length of a space at s, or 0: \s? */
static size_t a_space(const uint8_t *s, size_t n)
{
    unsigned len;
    return n && (unicode_class(s, &len) & UNI_SPACE) ? len : 0;
}

/* \s+(?!\S)|\s+ */
static size_t gap(const uint8_t *s, size_t n)
{
    size_t i = 0, last = 0, k;
    while (i < n && (k = a_space(s + i, n - i))) {
        last = i;
        i += k;
    }
    return i == n || last == 0 ? i : last;
}

/* Up to most numbers. */
static size_t numbers(const uint8_t *s, size_t n, size_t most)
{
    unsigned len;
    size_t i = 0;
    while (most-- && i < n && unicode_class(s + i, &len) == UNI_N)
        i += len;
    return i;
}

/* ---- patterns: bytes that the pattern matches at s, 0 if it does not ---- */

static size_t gpt2(const uint8_t *s, size_t n)
{
    size_t at = s[0] == ' ', i;
    if (s[0] == '\'' && n > 1) {
        uint8_t a = s[1], b = n > 2 ? s[2] : 0;
        if (a == 's' || a == 't' || a == 'm' || a == 'd')
            return 2;
        if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l'))
            return 3;
    }
    if ((i = run_of(LETTERS, s, at, n)) > at || (i = run_of(UNI_NUMBER, s, at, n)) > at ||
        (i = run_of_others(s, at, n)) > at)
        return i;
    return gap(s, n);
}

/* U*W+ from i on, U of upper and W of lower case, both with all that has no case; or U+W*. */
static size_t cased(const uint8_t *s, size_t i, size_t n, int lower)
{
    enum { U = UNI_UPPER | UNI_LETTER | UNI_MARK, W = UNI_LOWER | UNI_LETTER | UNI_MARK };
    size_t upper = i, both = 0, end; /* both: the end of the last character of U that is in W too */
    unsigned len, kind;
    while (upper < n && ((kind = unicode_kind(s + upper, &len)) & U)) {
        upper += len;
        both = kind & W ? upper : both;
    }
    end = run_of(W, s, upper, n);
    if (!lower)
        return upper > i ? end : 0;
    return end > upper ? end : both;
}

/* [^\r\n\p{L}\p{N}]? and one of those */
static size_t word_cased(const uint8_t *s, size_t n, int lower)
{
    unsigned len, class = unicode_class(s, &len);
    size_t k = 0;
    if (!(class & (UNI_L | UNI_N)) && !is_line(s[0]))
        k = cased(s, len, n, lower);
    return k ? k : cased(s, 0, n, lower);
}

static size_t gpt4o(const uint8_t *s, size_t n, int contracted, size_t digits)
{
    size_t at = s[0] == ' ', i = word_cased(s, n, 1);
    if (!i)
        i = word_cased(s, n, 0);
    if (i)
        return i + (contracted && i < n && s[i] == '\'' ? pretok_contraction(s + i, n - i) : 0);
    if ((i = numbers(s, n, digits)))
        return i;
    if ((i = run_of_others(s, at, n)) > at) {
        while (i < n && (is_line(s[i]) || s[i] == '/'))
            i++;
        return i;
    }
    return pretok_spaces(s, n);
}

static int is_ascii_letter(uint8_t c)
{
    return (c | 32) >= 'a' && (c | 32) <= 'z';
}

static size_t deepseek3(const uint8_t *s, size_t n)
{
    enum { LM = LETTERS | UNI_MARK, PS = UNI_PUNCT | UNI_SYMBOL };
    unsigned len, kind = unicode_kind(s, &len);
    size_t at = s[0] == ' ', i = 1;
    if (s[0] > ' ' && s[0] < 0x7F && (kind & PS)) {
        while (i < n && is_ascii_letter(s[i]))
            i++;
        if (i > 1)
            return i;
    }
    if (!(kind & (LETTERS | PS)) && !is_line(s[0]) && (i = run_of(LM, s, len, n)) > len)
        return i;
    if ((i = run_of(LM, s, 0, n)))
        return i;
    if ((i = run_of(PS, s, at, n)) > at) {
        while (i < n && is_line(s[i]))
            i++;
        return i;
    }
    return pretok_spaces(s, n);
}

/* \s? and a run that is not empty */
#define AFTER_SPACE(run)                                                                           \
    do {                                                                                           \
        size_t at = a_space(s, n), i = at < n ? run : at;                                          \
        if (i > at)                                                                                \
            return i;                                                                              \
        at = 0; /* the space itself may be of the class */                                         \
        i = run;                                                                                   \
        return i;                                                                                  \
    } while (0)
#define IN(r, at) run_in(r, sizeof r / sizeof *r, s, at, n)

static size_t match(int stage, const uint8_t *s, size_t n)
{
    switch (stage) {
    case PRETOK_GPT2:
        return gpt2(s, n);
    case PRETOK_GPT4O:
        return gpt4o(s, n, 1, 3);
    case PRETOK_TEKKEN:
        return gpt4o(s, n, 0, 1);
    case PRETOK_DIGIT:
        return numbers(s, n, 1);
    case PRETOK_DIGITS:
        return numbers(s, n, SIZE_MAX);
    case PRETOK_DIGITS3:
        return numbers(s, n, 3);
    case PRETOK_LINE:
        return is_line(s[0]);
    case PRETOK_DEEPSEEK3_CJK:
        return IN(deepseek3_cjk, 0);
    case PRETOK_DEEPSEEK3_WORD:
        return deepseek3(s, n);
    case PRETOK_DEEPSEEK_CJK:
        return IN(deepseek_cjk, 0);
    case PRETOK_DEEPSEEK_WORD:
        AFTER_SPACE(IN(deepseek_word, at));
    case PRETOK_DEEPSEEK_PUNCT:
        AFTER_SPACE(IN(deepseek_punct, at));
    case PRETOK_DEEPSEEK_CODE:
        AFTER_SPACE(run_of(LETTERS, s, at, n));
    case PRETOK_DEEPSEEK_CODE_P:
        AFTER_SPACE(run_of(UNI_PUNCT, s, at, n));
    default:
        return pretok_first(stage, s, n);
    }
}

/* \s+$ and what stands before it: a run of spaces is looked at once. */
static size_t before_trailing(const uint8_t *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        unsigned len;
        size_t from = i, k;
        while (i < n && (k = a_space(s + i, n - i)))
            i += k;
        if (i == n)
            return from ? from : n;
        unicode_class(s + i, &len);
        i += len;
    }
    return n;
}

/* The first piece of s: a match, or what stands before the next one. */
static size_t piece(int stage, const uint8_t *s, size_t n)
{
    unsigned len;
    size_t i = 0, k = 0;
    if (stage == PRETOK_TRAILING)
        return before_trailing(s, n);
    while (i < n && !(k = match(stage, s + i, n - i))) {
        unicode_class(s + i, &len);
        i += len;
    }
    return i ? i : k;
}

size_t pretok_staged(uint32_t p, const uint8_t *s, size_t n, size_t *end, size_t max,
                     struct pretok_at *t)
{
    int stage[PRETOK_STAGES], n_stage = 0;
    size_t at = 0, k = 0;
    for (; p; p >>= PRETOK_BITS)
        stage[n_stage++] = (int)(p & ((1 << PRETOK_BITS) - 1));
    while (k < max && at < n) {
        size_t stop = n;
        for (int i = 0; i < n_stage; i++) {
            if (t->stop[i] <= at)
                t->stop[i] = at + piece(stage[i], s + at, stop - at);
            stop = t->stop[i];
        }
        end[k++] = at = stop;
    }
    for (int i = 0; i < n_stage; i++)
        t->stop[i] -= t->stop[i] < at ? t->stop[i] : at; /* from the next word's beginning on */
    return k;
}
