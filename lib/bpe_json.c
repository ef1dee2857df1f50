/* bpe_json - tokenizer.json of Hugging Face's tokenizers: byte-level BPE, SentencePiece BPE and unigram;
 * all else that would change ids is refused by name
 *
 * The vocabulary and the merges (11 MB for 151,643 tokens) are read by a small parser that makes no
 * tree; the few other values go through json_parse.  truncation and padding are ignored, as
 * transformers does at each call.  eos comes from tokenizer_config.json beside the file, if there
 * is one. */
#include "bpe_impl.h"
#include "json.h"
#include "mapfile.h"
#include "unicode.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>

struct cur { /* a place in the text; str is the last string read */
    const char *begin, *p, *end, *where;
    char *str;
    size_t n, cap;
    struct err *e;
};

static int bad(struct cur *c, const char *expected)
{
    if (c->p < c->end)
        return err_set(c->e, ERR_DATA, "%s: byte %zu: expected %s, found '%c'", c->where,
                       (size_t)(c->p - c->begin), expected, *c->p);
    return err_set(c->e, ERR_DATA, "%s: truncated: expected %s at byte %zu", c->where, expected,
                   (size_t)(c->end - c->begin));
}

static int peek(struct cur *c)
{
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\n' || *c->p == '\r' || *c->p == '\t'))
        c->p++;
    return c->p < c->end ? (unsigned char)*c->p : -1;
}

static int take(struct cur *c, char ch)
{
    char want[4] = {'\'', ch, '\'', 0};
    if (peek(c) != (unsigned char)ch)
        return bad(c, want);
    c->p++;
    return 0;
}

static int hex4(struct cur *c, unsigned *v)
{
    *v = 0;
    for (int i = 0; i < 4; i++, c->p++) {
        int ch = c->p < c->end ? *c->p : 0;
        if (ch >= '0' && ch <= '9')
            *v = *v << 4 | (unsigned)(ch - '0');
        else if ((ch | 32) >= 'a' && (ch | 32) <= 'f')
            *v = *v << 4 | (unsigned)((ch | 32) - 'a' + 10);
        else
            return bad(c, "a hexadecimal digit");
    }
    return 0;
}

static int escape(struct cur *c)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *k;
    unsigned u, low;
    if (c->p == c->end)
        return bad(c, "an escape");
    if (*c->p != 'u') {
        if (!*c->p || !(k = strchr(from, *c->p)))
            return bad(c, "an escape");
        c->str[c->n++] = to[k - from];
        c->p++;
        return 0;
    }
    c->p++;
    if (hex4(c, &u))
        return ERR_DATA;
    if (u >= 0xD800 && u < 0xDC00) {
        if (c->end - c->p < 6 || c->p[0] != '\\' || c->p[1] != 'u')
            return bad(c, "the second half of a surrogate pair");
        c->p += 2;
        if (hex4(c, &low))
            return ERR_DATA;
        if (low < 0xDC00 || low > 0xDFFF)
            return bad(c, "the second half of a surrogate pair");
        u = 0x10000 + ((u - 0xD800) << 10) + (low - 0xDC00);
    } else if ((u >= 0xDC00 && u < 0xE000) || u == 0)
        return bad(c, "a character");
    char *o = c->str;
    if (u < 0x80)
        o[c->n++] = (char)u;
    else if (u < 0x800) {
        o[c->n++] = (char)(0xC0 | u >> 6);
        o[c->n++] = (char)(0x80 | (u & 63));
    } else if (u < 0x10000) {
        o[c->n++] = (char)(0xE0 | u >> 12);
        o[c->n++] = (char)(0x80 | (u >> 6 & 63));
        o[c->n++] = (char)(0x80 | (u & 63));
    } else {
        o[c->n++] = (char)(0xF0 | u >> 18);
        o[c->n++] = (char)(0x80 | (u >> 12 & 63));
        o[c->n++] = (char)(0x80 | (u >> 6 & 63));
        o[c->n++] = (char)(0x80 | (u & 63));
    }
    return 0;
}

static int string(struct cur *c)
{
    if (take(c, '"'))
        return ERR_DATA;
    c->n = 0;
    for (;;) {
        const char *q = c->p;
        while (q < c->end && *q != '"' && *q != '\\' && (unsigned char)*q >= 0x20)
            q++;
        size_t k = (size_t)(q - c->p);
        if (c->cap - c->n < k + 8) {
            size_t cap = 2 * (c->n + k) + 256;
            char *s = realloc(c->str, cap);
            if (!s)
                return err_set(c->e, ERR_NOMEM, "%s: out of memory", c->where);
            c->str = s;
            c->cap = cap;
        }
        memcpy(c->str + c->n, c->p, k);
        c->n += k;
        c->p = q;
        if (q == c->end || (unsigned char)*q < 0x20)
            return bad(c, "the end of a string");
        c->p++;
        if (*q == '"')
            break;
        if (escape(c))
            return ERR_DATA;
    }
    c->str[c->n] = 0;
    return 0;
}

/* Past any value, with its extent. Brackets are matched; what is inside is checked by whoever reads
 * it. */
static int skip_value(struct cur *c, const char **from)
{
    char open[64];
    int depth = 0;
    peek(c);
    *from = c->p;
    do {
        int ch = peek(c);
        if (ch < 0)
            return bad(c, "a value");
        if (ch == '"') {
            const char *q = c->p + 1;
            while (q < c->end && *q != '"')
                q += *q == '\\' ? 2 : 1;
            c->p = q;
            if (q >= c->end) {
                c->p = c->end;
                return bad(c, "the end of a string");
            }
            c->p++;
        } else if (ch == '{' || ch == '[') {
            if (depth == (int)sizeof open)
                return bad(c, "at most 64 levels");
            open[depth++] = ch == '{' ? '}' : ']';
            c->p++;
        } else if (ch == '}' || ch == ']') {
            if (!depth || open[--depth] != ch)
                return bad(c, "a value");
            c->p++;
        } else if (depth && (ch == ',' || ch == ':'))
            c->p++;
        else {
            const char *q = c->p;
            while (q < c->end && !strchr(" \n\r\t,:{}[]\"", *q))
                q++;
            if (q == c->p)
                return bad(c, "a value");
            c->p = q;
        }
    } while (depth);
    return 0;
}

/* The next member of an object whose '{' has been taken: 1 with its key in c->str, 0 at '}'. */
static int member(struct cur *c, int *first)
{
    if (peek(c) == '}') {
        c->p++;
        return 0;
    }
    if (!*first && take(c, ','))
        return ERR_DATA;
    *first = 0;
    int rc = string(c);
    return rc || (rc = take(c, ':')) ? rc : 1;
}

static int whole(struct cur *c, long *v)
{
    peek(c);
    const char *p = c->p;
    long x = 0;
    while (p < c->end && *p >= '0' && *p <= '9' && x < 100000000)
        x = 10 * x + (*p++ - '0');
    if (p == c->p || p == c->end || !strchr(" \n\r\t,}]", *p))
        return bad(c, "a token id");
    c->p = p;
    *v = x;
    return 0;
}

/* ---- the small parts ---- */

static cJSON *tree(struct cur *c)
{
    const char *from;
    if (skip_value(c, &from))
        return NULL;
    return json_parse(from, (size_t)(c->p - from), c->where, c->e);
}

static const char *type_of(const cJSON *v)
{
    const cJSON *t = cJSON_GetObjectItemCaseSensitive(v, "type");
    return cJSON_IsString(t) ? t->valuestring : "none";
}

static int is_true(const cJSON *v, const char *key, int dflt)
{
    const cJSON *t = cJSON_GetObjectItemCaseSensitive(v, key);
    return cJSON_IsBool(t) ? cJSON_IsTrue(t) : dflt;
}

/* A template that puts one special token before the text makes that token bos. */
static int post_processor(struct bpe_build *w, const cJSON *v, const cJSON *added, struct err *e)
{
    const cJSON *list, *k, *s, *id;
    int seen = 0;
    if (cJSON_IsNull(v) || strcmp(type_of(v), "ByteLevel") == 0)
        return 0;
    list = cJSON_GetObjectItemCaseSensitive(v, "processors");
    if (strcmp(type_of(v), "Sequence") == 0 && cJSON_IsArray(list)) {
        cJSON_ArrayForEach(k, list) if (post_processor(w, k, added, e)) return e->code;
        return 0;
    }
    if (strcmp(type_of(v), "TemplateProcessing"))
        return err_set(e, ERR_DATA, "%s: post-processor %.60s is not supported", w->where,
                       type_of(v));
    list = cJSON_GetObjectItemCaseSensitive(v, "single");
    cJSON_ArrayForEach(k, list)
    {
        if (cJSON_GetObjectItemCaseSensitive(k, "Sequence")) {
            seen = 1;
            continue;
        }
        s = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(k, "SpecialToken"),
                                             "id");
        if (!cJSON_IsString(s) || seen || w->head.bos >= 0)
            return err_set(e, ERR_DATA,
                           "%s: post-processor: only one token before the text is supported",
                           w->where);
        const cJSON *t;
        cJSON_ArrayForEach(t, added)
        {
            const cJSON *text = cJSON_GetObjectItemCaseSensitive(t, "content");
            id = cJSON_GetObjectItemCaseSensitive(t, "id");
            if (cJSON_IsString(text) && cJSON_IsNumber(id) &&
                strcmp(text->valuestring, s->valuestring) == 0)
                w->head.bos = id->valueint;
        }
        if (w->head.bos < 0)
            return err_set(e, ERR_DATA, "%s: post-processor: token %.60s is not an added token",
                           w->where, s->valuestring);
        w->head.flags |= BPE_F_ADD_BOS;
    }
    return 0;
}

static int added_tokens(struct bpe_build *w, const cJSON *list, struct err *e)
{
    const cJSON *t;
    cJSON_ArrayForEach(t, list)
    {
        const cJSON *id = cJSON_GetObjectItemCaseSensitive(t, "id");
        const cJSON *text = cJSON_GetObjectItemCaseSensitive(t, "content");
        int kind = BPE_K_LITERAL | BPE_K_ADDED;
        if (!cJSON_IsNumber(id) || id->valuedouble != id->valueint || !cJSON_IsString(text))
            return err_set(e, ERR_DATA, "%s: added token: expected an id and a content", w->where);
        const char *s = text->valuestring;
        if (is_true(t, "single_word", 0))
            return err_set(e, ERR_DATA, "%s: added token %.60s: single_word is not supported",
                           w->where, s);
        kind |= is_true(t, "special", 0) ? BPE_K_SPECIAL : 0;
        kind |= is_true(t, "normalized", 0) ? BPE_K_NORMALIZED : 0;
        kind |= is_true(t, "lstrip", 0) ? BPE_K_LSTRIP : 0;
        kind |= is_true(t, "rstrip", 0) ? BPE_K_RSTRIP : 0;
        if ((kind & BPE_K_NORMALIZED) && (w->head.flags & BPE_F_NFC)) {
            char *nfc;
            size_t n;
            if (unicode_nfc(s, strlen(s), &nfc, &n))
                return err_set(e, ERR_NOMEM, "%s: out of memory", w->where);
            int changed = nfc && (n != strlen(s) || memcmp(nfc, s, n));
            free(nfc);
            if (changed)
                return err_set(e, ERR_DATA, "%s: added token %.60s: normalized, but not NFC",
                               w->where, s);
        }
        if ((kind & BPE_K_NORMALIZED) &&
            ((w->head.flags & BPE_F_PREPEND) || ((w->head.flags & BPE_F_SPACES) && strchr(s, ' '))))
            return err_set(e, ERR_DATA,
                           "%s: added token %.60s: normalized, and the normalizer changes it",
                           w->where, s);
        if (bpe_build_token(w, id->valueint, s, strlen(s), kind, e))
            return e->code;
    }
    return 0;
}

/* ---- the model ---- */

static int char_token(struct bpe_build *w, long id, struct cur *c)
{
    int kind = BPE_K_BYTES;
    if ((w->head.flags & BPE_F_FALLBACK) && spm_byte(c->str, c->n) >= 0)
        kind |= BPE_K_BYTE;
    if (!c->n)
        return err_set(c->e, ERR_DATA, "%s: token %ld is empty", c->where, id);
    return bpe_build_token(w, id, c->str, c->n, kind, c->e);
}

/* A number as Hugging Face's library reads it (serde_json without float_roundtrip): the digits as one
 * integer, divided by a power of ten.  The last bit may differ from strtod's, and then which of two
 * equally good ways wins. 0, or ERR_DATA. */
static int decimal(const char *s, double *v)
{
    static const double ten[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,
                                 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19};
    const int negative = *s == '-';
    const char *p = s + negative;
    uint64_t digits = 0;
    int places = 0, point = 0, n = 0;
    for (; (*p >= '0' && *p <= '9') || (*p == '.' && !point); p++) {
        if (*p == '.') {
            point = 1;
            continue;
        }
        n++;
        if (digits > (UINT64_MAX - 9) / 10) {
            if (!point)
                return ERR_DATA;
            continue; /* digits that no longer fit are left out */
        }
        digits = 10 * digits + (unsigned)(*p - '0');
        places += point;
    }
    if (*p || !n || places >= (int)(sizeof ten / sizeof *ten)) { /* an exponent, or many zeros */
        char *end;
        *v = strtod(s, &end);
        return *end || end == s ? ERR_DATA : 0;
    }
    *v = (double)digits / ten[places];
    *v = negative ? -*v : *v;
    return 0;
}

/* [["text", score], ...] of a unigram: the place is the id */
static int scored(struct bpe_build *w, struct cur *c)
{
    int rc = take(c, '[');
    for (long id = 0; !rc; id++) {
        const char *from;
        char num[64];
        if (peek(c) == ']') {
            c->p++;
            break;
        }
        if ((id && (rc = take(c, ','))) || (rc = take(c, '[')) || (rc = string(c)) ||
            (rc = char_token(w, id, c)) || (rc = take(c, ',')) || (rc = skip_value(c, &from)))
            break;
        size_t n = (size_t)(c->p - from);
        if (n >= sizeof num) {
            rc = bad(c, "a score");
            break;
        }
        memcpy(num, from, n);
        num[n] = 0;
        if ((id & (id - 1)) == 0) { /* room doubles at each power of two */
            double *v = realloc(w->score, (id ? 2 * (size_t)id : 1) * sizeof *v);
            if (!v)
                return err_set(c->e, ERR_NOMEM, "%s: out of memory", c->where);
            w->score = v;
        }
        w->n_score = (uint32_t)id + 1;
        rc = decimal(num, &w->score[id]) ? bad(c, "a score") : take(c, ']');
    }
    return rc;
}

static int vocab(struct bpe_build *w, struct cur *c)
{
    int first = 1, rc = take(c, '{');
    char *raw = NULL;
    size_t cap = 0;
    long id = 0, n;
    while (!rc && (rc = member(c, &first)) == 1) {
        if (c->cap > cap) { /* bytes are never more than the text */
            char *p = realloc(raw, c->cap);
            if (!p) {
                rc = err_set(c->e, ERR_NOMEM, "%s: out of memory", c->where);
                break;
            }
            raw = p;
            cap = c->cap;
        }
        if ((rc = whole(c, &id)))
            break;
        if (w->head.flags & BPE_F_CHARS)
            rc = char_token(w, id, c);
        else if ((n = bpe_unmap(c->str, c->n, raw)) >= 0)
            rc = bpe_build_token(w, id, raw, (size_t)n, BPE_K_BYTES, c->e);
        else
            rc = bpe_build_token(w, id, c->str, c->n, BPE_K_LITERAL, c->e);
    }
    free(raw);
    return rc;
}

/* ["A B", ...] or [["A", "B"], ...] */
static int merges(struct bpe_build *w, struct cur *c)
{
    char *left = NULL;
    size_t n_left = 0;
    int rc = take(c, '[');
    for (int first = 1; !rc; first = 0) {
        if (peek(c) == ']') {
            c->p++;
            break;
        }
        if (!first && (rc = take(c, ',')))
            break;
        if (peek(c) == '[') {
            c->p++;
            if ((rc = string(c)))
                break;
            char *s = realloc(left, c->n + 1);
            if (!s) {
                rc = err_set(c->e, ERR_NOMEM, "%s: out of memory", c->where);
                break;
            }
            left = s;
            memcpy(left, c->str, n_left = c->n);
            if ((rc = take(c, ',')) || (rc = string(c)) || (rc = take(c, ']')))
                break;
            rc = bpe_build_merge(w, left, n_left, c->str, c->n, c->e);
        } else {
            if ((rc = string(c)))
                break;
            char *space = memchr(c->str, ' ', c->n);
            if (c->n >= 8 && memcmp(c->str, "#version", 8) == 0)
                continue;
            size_t a = space ? (size_t)(space - c->str) : 0;
            if (!space || memchr(space + 1, ' ', c->n - a - 1))
                rc = err_set(c->e, ERR_DATA, "%s: merge %u: expected two parts, found \"%.80s\"",
                             c->where, w->head.n_merge, c->str);
            else
                rc = bpe_build_merge(w, c->str, a, space + 1, c->n - a - 1, c->e);
        }
    }
    free(left);
    if (!rc && !w->head.n_merge)
        rc = err_set(c->e, ERR_DATA, "%s: merges: expected at least one, found none", c->where);
    return rc;
}

/* unk_token, a text, or unk_id: its id + 1 once the tokens are there */
static int find_unknown(struct bpe_build *w, const cJSON *text, const cJSON *id, struct err *e)
{
    if (cJSON_IsNumber(id)) {
        if (id->valuedouble != id->valueint || id->valueint < 0 || id->valueint >= BPE_MAX_ID)
            return err_set(e, ERR_DATA, "%s: unk_id: expected a token id", w->where);
        w->head.unk = (uint32_t)id->valueint + 1;
    }
    for (uint32_t i = 0; cJSON_IsString(text) && i < w->head.n_id && !w->head.unk; i++)
        if (w->off[i + 1] - w->off[i] == strlen(text->valuestring) && w->kind[i] &&
            memcmp(w->bytes + w->off[i], text->valuestring, strlen(text->valuestring)) == 0)
            w->head.unk = i + 1;
    if (cJSON_IsString(text) && !w->head.unk)
        return err_set(e, ERR_DATA, "%s: unk_token %.60s is not a token", w->where,
                       text->valuestring);
    return 0;
}

/* A field other than vocab and merges. */
static int model_field(struct bpe_build *w, const char *key, const cJSON *v, struct err *e)
{
    const int chars = w->head.flags & BPE_F_CHARS;
    int is_null = cJSON_IsNull(v), is_empty = cJSON_IsString(v) && !*v->valuestring;
    if (strcmp(key, "type") == 0) {
        if (chars && cJSON_IsString(v) && strcmp(v->valuestring, "Unigram") == 0)
            w->head.flags |= BPE_F_UNIGRAM;
        else if (!cJSON_IsString(v) || strcmp(v->valuestring, "BPE"))
            return err_set(e, ERR_DATA, "%s: model type %.60s is not supported (expected BPE%s)",
                           w->where, cJSON_IsString(v) ? v->valuestring : "?",
                           chars ? " or Unigram" : "");
    } else if (strcmp(key, "ignore_merges") == 0) {
        if (chars && cJSON_IsTrue(v))
            return err_set(e, ERR_DATA, "%s: ignore_merges without ByteLevel is not supported",
                           w->where);
        w->head.flags |= cJSON_IsTrue(v) ? BPE_F_IGNORE_MERGES : 0;
    } else if (strcmp(key, "byte_fallback") == 0) {
        if (!chars && cJSON_IsTrue(v))
            return err_set(e, ERR_DATA, "%s: byte_fallback is not supported with ByteLevel",
                           w->where);
        w->head.flags |= cJSON_IsTrue(v) ? BPE_F_FALLBACK : 0;
    } else if (strcmp(key, "fuse_unk") == 0) {
        w->head.flags |= chars && cJSON_IsTrue(v) ? BPE_F_FUSE_UNK : 0;
    } else if (strcmp(key, "dropout") == 0) {
        if (!is_null && !(cJSON_IsNumber(v) && v->valuedouble == 0))
            return err_set(e, ERR_DATA, "%s: dropout is not supported", w->where);
    } else if (strcmp(key, "continuing_subword_prefix") == 0 ||
               strcmp(key, "end_of_word_suffix") == 0) {
        if (!is_null && !is_empty)
            return err_set(e, ERR_DATA, "%s: %s is not supported", w->where, key);
    } /* ByteLevel: unk_token is idle where all 256 bytes have tokens, and that is checked */
    return 0;
}

static int model(struct bpe_build *w, struct cur *c, cJSON *unk[2])
{
    struct cur list = {0}, words = {0};
    const char *from;
    int first = 1, rc;
    if (take(c, '{'))
        return ERR_DATA;
    while ((rc = member(c, &first)) == 1) {
        struct cur *big = strcmp(c->str, "vocab") == 0    ? &words
                          : strcmp(c->str, "merges") == 0 ? &list
                                                          : NULL;
        if (big) {
            if (big->p)
                return err_set(c->e, ERR_DATA, "%s: model has two of \"%s\"", c->where, c->str);
            if (skip_value(c, &from))
                return ERR_DATA;
            *big = (struct cur){
                .begin = c->begin, .p = from, .end = c->p, .where = c->where, .e = c->e};
            continue;
        }
        char key[64];
        snprintf(key, sizeof key, "%s", c->str);
        cJSON *v = tree(c);
        rc = v ? model_field(w, key, v, c->e) : c->e->code;
        cJSON **keep = strcmp(key, "unk_token") == 0 ? &unk[0]
                       : strcmp(key, "unk_id") == 0  ? &unk[1]
                                                     : NULL;
        if (keep && !*keep) {
            *keep = v;
            v = NULL;
        }
        cJSON_Delete(v);
        if (rc)
            return rc;
    }
    if (rc)
        return rc;
    if (!words.p)
        return err_set(c->e, ERR_DATA, "%s: model has no vocab", c->where);
    int unigram = (w->head.flags & BPE_F_UNIGRAM) != 0;
    if (!list.p && !unigram)
        return err_set(c->e, ERR_DATA, "%s: model has no merges", c->where);
    if (list.p && unigram)
        return err_set(c->e, ERR_DATA, "%s: a Unigram model with merges", c->where);
    rc = unigram ? scored(w, &words) : vocab(w, &words);
    free(words.str);
    c->p = list.p; /* the merges wait for the added tokens: see load */
    c->end = list.end;
    return rc;
}

/* eos_token of tokenizer_config.json in the same folder: a string, or an object with its content.
 */
static int config_eos(struct bpe_build *w, const char *path, struct err *e)
{
    char file[PATH_MAX];
    const char *slash = strrchr(path, '/');
    struct err none = {0};
    size_t dir = slash ? (size_t)(slash - path) + 1 : 0;
    if (dir + 32 > sizeof file)
        return 0;
    snprintf(file, sizeof file, "%.*stokenizer_config.json", (int)dir, path);
    cJSON *v = json_load(file, &none);
    if (!v)
        return none.code == ERR_NOINPUT ? 0 : err_set(e, none.code, "%s", none.msg);
    const cJSON *t = cJSON_GetObjectItemCaseSensitive(v, "eos_token");
    if (cJSON_IsObject(t))
        t = cJSON_GetObjectItemCaseSensitive(t, "content");
    for (uint32_t i = 0; cJSON_IsString(t) && i < w->head.n_id; i++)
        if ((w->kind[i] & BPE_K_ADDED) && w->off[i + 1] - w->off[i] == strlen(t->valuestring) &&
            memcmp(w->bytes + w->off[i], t->valuestring, strlen(t->valuestring)) == 0)
            w->head.eos = (int32_t)i;
    cJSON_Delete(v);
    return 0;
}

/* The model's byte_fallback and the decoder's ByteFallback belong together. */
static int fallbacks(const struct bpe_build *w, struct err *e)
{
    int model = (w->head.flags & BPE_F_FALLBACK) != 0;
    if ((w->head.flags & BPE_F_CHARS) && model != w->byte_decoder)
        return err_set(e, ERR_DATA, "%s: %s is not supported", w->where,
                       model ? "byte_fallback without the decoder ByteFallback"
                             : "decoder ByteFallback without byte_fallback");
    return 0;
}

/* One score for each id: added tokens outside the vocabulary have none that counts. */
static int spread_scores(struct bpe_build *w, struct err *e)
{
    double *v = realloc(w->score, ((size_t)w->head.n_id + 1) * sizeof *v), least = 0;
    if (!v)
        return err_set(e, ERR_NOMEM, "%s: out of memory", w->where);
    w->score = v;
    for (uint32_t i = 0; i < w->n_score; i++)
        least = v[i] < least || i == 0 ? v[i] : least;
    for (uint32_t i = w->n_score; i < w->head.n_id; i++)
        v[i] = least;
    w->n_score = w->head.n_id;
    return 0;
}

enum { ADDED, NORMALIZER, PRE, POST, DECODER, N_NAMED, UNK_TOKEN = N_NAMED, UNK_ID, N_PART };

static int load(struct bpe_build *w, struct cur *c, struct cur *big, cJSON *part[N_PART])
{
    static const char *const name[N_NAMED] = {"added_tokens", "normalizer", "pre_tokenizer",
                                              "post_processor", "decoder"};
    const char *from;
    int first = 1, rc;
    if (take(c, '{'))
        return ERR_DATA;
    while ((rc = member(c, &first)) == 1) {
        int k = 0;
        while (k < N_NAMED && strcmp(c->str, name[k]))
            k++;
        if (k < N_NAMED ? part[k] != NULL : strcmp(c->str, "model") == 0 && big->p)
            return err_set(c->e, ERR_DATA, "%s: two of \"%s\"", c->where, c->str);
        int is_model = strcmp(c->str, "model") == 0;
        if (k < N_NAMED ? !(part[k] = tree(c)) : skip_value(c, &from) != 0)
            return c->e->code;
        if (is_model)
            *big = (struct cur){
                .begin = c->begin, .p = from, .end = c->p, .where = c->where, .e = c->e};
    }
    if (rc)
        return rc;
    if (peek(c) >= 0)
        return bad(c, "the end of the file");
    if (!big->p)
        return err_set(c->e, ERR_DATA, "%s: no \"model\": not a tokenizer.json", c->where);
    if (!part[PRE])
        return err_set(c->e, ERR_DATA, "%s: no pre_tokenizer", c->where);
    if (bpe_steps(w, part[NORMALIZER], part[PRE], part[DECODER], c->e))
        return c->e->code;
    if ((rc = model(w, big, part + UNK_TOKEN)) || (rc = fallbacks(w, c->e)) ||
        (part[ADDED] && (rc = added_tokens(w, part[ADDED], c->e))) ||
        (part[POST] && (rc = post_processor(w, part[POST], part[ADDED], c->e))))
        return rc;
    if ((rc = bpe_build_tokens(w, c->e)))
        return rc;
    if (w->head.flags & BPE_F_CHARS)
        rc = find_unknown(w, part[UNK_TOKEN], part[UNK_ID], c->e);
    if (w->head.flags & BPE_F_UNIGRAM)
        return rc ? rc : spread_scores(w, c->e);
    return rc ? rc : merges(w, big);
}

int bpe_load_json(struct bpe **b, const char *path, struct err *e)
{
    struct mapfile m;
    struct bpe_build w = {.where = path, .head = {.bos = -1, .eos = -1}};
    struct cur c = {.where = path, .e = e}, big = {0};
    cJSON *part[N_PART] = {NULL};
    int rc = mapfile_open(&m, path, e);
    *b = NULL;
    if (rc)
        return rc;
    c.begin = c.p = m.n ? (const char *)m.p : "";
    c.end = c.p + m.n;
    size_t at = unicode_bad_utf8(c.p, m.n);
    if (at < m.n)
        rc = err_set(e, ERR_DATA, "%s: invalid UTF-8 at byte %zu", path, at);
    if (!rc)
        rc = load(&w, &c, &big, part);
    if (!rc)
        rc = config_eos(&w, path, e);
    if (!rc)
        rc = bpe_build_attach(&w, b, e);
    for (int i = 0; i < N_PART; i++)
        cJSON_Delete(part[i]);
    free(c.str);
    free(big.str);
    bpe_build_free(&w);
    mapfile_close(&m);
    return rc;
}
