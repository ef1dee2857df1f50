/* apr_meta - the metadata of a .apr, without a node for each token
 *
 * A vocabulary of 151,936 tokens and its merges are 300,000 strings and nearly all of the metadata.
 * aprender wants them there, our tools only carry them on: apart they cost 100 ms at each open.
 *
 * The lists are cut out, the rest is parsed with null in their place, and each null becomes the list's
 * text.  A list is cut only if it is spelled as cJSON prints it, so that a file that is written from
 * this tree has the bytes that it would have from the whole one.  If anything is unexpected, the whole
 * text goes to json_parse, whose errors then name their place. */
#include "apr_meta.h"
#include <stdlib.h>
#include <string.h>

enum { LARGE = 64 << 10, CUTS = 4 };

struct cut {
    size_t from, to;
    int member;
};

/* After the string that begins at s[i]; n if it does not end. */
static size_t string_end(const char *s, size_t n, size_t i)
{
    for (i++; i < n && s[i] != '"'; i++)
        i += s[i] == '\\';
    return i < n ? i + 1 : n;
}

/* The first quote, backslash or control character from s[i] on. */
static size_t plain_end(const char *s, size_t n, size_t i)
{
    const uint64_t one = 0x0101010101010101u, high = 0x80 * one;
    for (; n - i >= 8; i += 8) {
        uint64_t w, q, b;
        memcpy(&w, s + i, 8);
        q = w ^ '"' * one;
        b = w ^ '\\' * one;
        /* of each byte that is too small its high bit; those above the lowest one may be wrong */
        w = (((q - one) & ~q) | ((b - one) & ~b) | ((w - ' ' * one) & ~w)) & high;
        if (w)
            return i + ((unsigned)__builtin_ctzll(w) >> 3);
    }
    while (i < n && s[i] != '"' && s[i] != '\\' && (unsigned char)s[i] >= ' ')
        i++;
    return i;
}

/* After the array of strings that begins at s[i]; 0 if it is none, or not as cJSON spells it. */
static size_t strings_end(const char *s, size_t n, size_t i)
{
    while (++i < n && s[i] == '"') {
        while ((i = plain_end(s, n, i + 1)) < n && s[i] == '\\')
            if (++i == n || !s[i] || !strchr("\"\\bfnrt", s[i]))
                return 0;
        if (i == n || s[i] != '"')
            return 0;
        if (++i < n && s[i] == ']')
            return i + 1;
        if (i >= n || s[i] != ',')
            return 0;
    }
    return 0;
}

static size_t space(const char *s, size_t n, size_t i)
{
    while (i < n && (s[i] == ' ' || s[i] == '\t' || s[i] == '\n' || s[i] == '\r'))
        i++;
    return i;
}

/* After the value at s[i], whatever it is: at the comma or bracket that ends it. */
static size_t value_end(const char *s, size_t n, size_t i)
{
    for (int depth = 0; i < n;) {
        char c = s[i];
        if (c == '"') {
            i = string_end(s, n, i);
            continue;
        }
        if (depth == 0 && (c == ',' || c == '}' || c == ']'))
            return i;
        depth += (c == '[' || c == '{') - (c == ']' || c == '}');
        i++;
    }
    return n;
}

static int find_cuts(const char *s, size_t n, struct cut c[CUTS])
{
    int k = 0, member = 0;
    size_t i = space(s, n, 0), end;
    if (i == n || s[i] != '{')
        return 0;
    for (;; member++) {
        if ((i = space(s, n, i + 1)) == n || s[i] != '"')
            return 0;
        if ((i = space(s, n, string_end(s, n, i))) == n || s[i] != ':')
            return 0;
        i = space(s, n, i + 1);
        if (k < CUTS && i < n && s[i] == '[' && (end = strings_end(s, n, i)) && end - i >= LARGE)
            c[k++] = (struct cut){i, end, member};
        else
            end = value_end(s, n, i);
        i = space(s, n, end);
        if (i < n && s[i] == '}')
            return k;
        if (i == n || s[i] != ',')
            return 0;
    }
}

/* The null that stands for a list becomes its text. */
static int put_back(cJSON *v, const char *s, const struct cut *c)
{
    size_t n = c->to - c->from;
    cJSON *null = cJSON_GetArrayItem(v, c->member);
    char *text = null ? cJSON_malloc(n + 1) : NULL;
    if (!text)
        return 0;
    memcpy(text, s + c->from, n);
    text[n] = 0;
    null->type = cJSON_Raw;
    null->valuestring = text;
    return 1;
}

cJSON *apr_meta_parse(const char *s, size_t n, const char *where, struct err *e)
{
    struct cut c[CUTS];
    struct err none = {0};
    int k = find_cuts(s, n, c), good = k > 0;
    char *rest = good ? malloc(n) : NULL;
    size_t at = 0, m = 0;
    if (!rest)
        return json_parse(s, n, where, e);
    for (int i = 0; i < k; at = c[i++].to) {
        memcpy(rest + m, s + at, c[i].from - at);
        m += c[i].from - at;
        memcpy(rest + m, "null", 4);
        m += 4;
        good = good && utf8_valid(s + c[i].from, c[i].to - c[i].from);
    }
    memcpy(rest + m, s + at, n - at);
    m += n - at;
    cJSON *v = good ? json_parse(rest, m, where, &none) : NULL;
    free(rest);
    for (int i = 0; i < k && v && good; i++)
        good = put_back(v, s, &c[i]);
    if (v && good)
        return v;
    cJSON_Delete(v);
    return json_parse(s, n, where, e);
}
