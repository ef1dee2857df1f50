/* diff_notes - numbers, tokenizer and chat template of two models: what is not the same */
#include "chat.h"
#include "diff.h"
#include "verify_impl.h"
#include <stdlib.h>
#include <string.h>

/* a and b: malloc'ed or NULL, taken over. */
static int note(struct diff *d, const char *what, char *a, char *b, struct err *e)
{
    struct diff_note *v = realloc(d->note, ((size_t)d->n_note + 1) * sizeof *v);
    if (!v || !a || !b) {
        d->note = v ? v : d->note;
        free(a);
        free(b);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    d->note = v;
    v += d->n_note++;
    *v = (struct diff_note){.a = a, .b = b};
    snprintf(v->what, sizeof v->what, "%s", what);
    return 0;
}

static char *text_of(const cJSON *v)
{
    return v ? cJSON_PrintUnformatted(v) : strdup("-");
}

/* ---- numbers ---- */

static int by_number(const void *a, const void *b)
{
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* As metadata, but that the order of stop ids means nothing, and without what tensors are kept as. */
static cJSON *numbers(const struct hparams *from, struct err *e)
{
    static const char *const kept_as[] = {"model_type", "rope_type", "norm_adds_one"};
    struct hparams h = *from;
    cJSON *o = cJSON_CreateObject();
    qsort(h.stop, (size_t)h.n_stop, sizeof *h.stop, by_number);
    if (!o || hparams_to_meta(&h, o, e) < 0) {
        err_set(e, ERR_NOMEM, "out of memory");
        cJSON_Delete(o);
        return NULL;
    }
    for (size_t i = 0; i < sizeof kept_as / sizeof *kept_as; i++)
        cJSON_DeleteItemFromObjectCaseSensitive(o, kept_as[i]);
    return o;
}

/* An id of which one side says nothing, where neither puts it before a text: no result depends on it but that of a
 * template which names it. */
static int is_minor(const char *what, const cJSON *a, const cJSON *b)
{
    const int silent = !a || !b || cJSON_IsNull(a) || cJSON_IsNull(b);
    return silent && (strstr(what, "bos_token") || strstr(what, "pad_token"));
}

/* Members of a that b has not or has otherwise, and, both ways round, those that b alone has. */
static int objects(struct diff *d, const char *prefix, const cJSON *a, const cJSON *b,
                   struct err *e)
{
    char what[64];
    for (int way = 0; way < 2; way++)
        for (const cJSON *v = way ? (b ? b->child : NULL) : (a ? a->child : NULL); v; v = v->next) {
            const cJSON *w = cJSON_GetObjectItemCaseSensitive(way ? a : b, v->string);
            if (w && (way || cJSON_Compare(v, w, 1)))
                continue;
            snprintf(what, sizeof what, "%s%s", prefix, v->string);
            if (note(d, what, text_of(way ? w : v), text_of(way ? v : w), e) < 0)
                return e->code;
            d->note[d->n_note - 1].minor = is_minor(what, v, w);
            d->n_minor += d->note[d->n_note - 1].minor;
        }
    return 0;
}

static int compare_numbers(struct diff *d, const struct side *a, const struct side *b,
                           struct err *e)
{
    cJSON *x = numbers(&a->v->h, e), *y = x ? numbers(&b->v->h, e) : NULL;
    if (x && y)
        objects(d, "", x, y, e);
    cJSON_Delete(x);
    cJSON_Delete(y);
    return e->code;
}

/* ---- tokenizer ---- */

/* Rows that have no token are "[PADn]" in GGUF. */
static int is_pad(const char *s, size_t n, int id)
{
    char pad[32];
    const size_t k = (size_t)snprintf(pad, sizeof pad, "[PAD%d]", id);
    return s && n == k && memcmp(s, pad, k) == 0;
}

static int same_token(const struct bpe *a, const struct bpe *b, int id)
{
    size_t n = 0, k = 0;
    const char *s = bpe_token(a, id, &n), *t = bpe_token(b, id, &k);
    if (!s || !t || is_pad(s, n, id) || is_pad(t, k, id))
        return (!s || !n || is_pad(s, n, id)) && (!t || !k || is_pad(t, k, id));
    return n == k && memcmp(s, t, n) == 0 && bpe_is_special(a, id) == bpe_is_special(b, id);
}

static char *token_text(const struct bpe *b, int id)
{
    struct json_out j = {0};
    size_t n;
    const char *s = bpe_token(b, id, &n);
    if (!s)
        return strdup("-");
    json_strn(&j, s, n);
    j.comma = 0;
    if (bpe_is_special(b, id))
        json_raw(&j, " special");
    return json_take(&j, NULL);
}

static int compare_tokens(struct diff *d, const struct bpe *a, const struct bpe *b, struct err *e)
{
    const int n = bpe_n_vocab(a) > bpe_n_vocab(b) ? bpe_n_vocab(a) : bpe_n_vocab(b);
    char what[64];
    int first = -1, more = -1;
    for (int i = 0; i < n; i++)
        if (!same_token(a, b, i)) {
            first = first < 0 ? i : first;
            more++;
        }
    if (first < 0)
        return 0;
    snprintf(what, sizeof what, more ? "token %d (and %d more)" : "token %d", first, more);
    return note(d, what, token_text(a, first), token_text(b, first), e);
}

/* What real texts come out as, merges and all. */
static int compare_texts(struct diff *d, const struct side *a, const struct side *b, struct err *e)
{
    struct verify_texts x = {0};
    char all[32], same_text[32];
    int same, rc = verify_texts_load(&x, e);
    if (rc == 0 && (rc = verify_tokenizer(a->v, b->v, &x, &same, e)) == 0 && same >= 0 &&
        same < x.n) {
        snprintf(all, sizeof all, "%d", x.n);
        snprintf(same_text, sizeof same_text, "%d", same);
        rc = note(d, "texts that have the same ids", strdup(all), strdup(same_text), e);
    }
    verify_texts_free(&x);
    return rc;
}

static int compare_tokenizers(struct diff *d, const struct side *a, const struct side *b,
                              struct err *e)
{
    const struct bpe *x = a->v->tok, *y = b->v->tok;
    if (!x || !y)
        return !x == !y ? 0
                        : note(d, "tokenizer", strdup(x ? "present" : "-"),
                               strdup(y ? "present" : "-"), e);
    if (bpe_eos(x) != bpe_eos(y) &&
        note(d, "tokenizer's end", token_text(x, bpe_eos(x)), token_text(y, bpe_eos(y)), e) < 0)
        return e->code;
    if (compare_tokens(d, x, y, e) < 0 || compare_texts(d, a, b, e) < 0)
        return e->code;
    return 0;
}

/* ---- chat template ---- */

static const cJSON *member(const struct side *s, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(s->v->meta, key);
}

/* "line 3: ...", the first line in which s is not `other`. */
static char *line_of(const char *s, const char *other)
{
    size_t same = 0, from = 0;
    int line = 1;
    struct json_out j = {0};
    char head[32];
    while (s[same] && s[same] == other[same])
        same++;
    for (size_t i = 0; i < same; i++)
        if (s[i] == '\n') {
            line++;
            from = i + 1;
        }
    snprintf(head, sizeof head, "line %d: ", line);
    json_raw(&j, head);
    j.comma = 0;
    json_strn(&j, s + from, strcspn(s + from, "\n"));
    return json_take(&j, NULL);
}

static int compare_chat(struct diff *d, const struct side *a, const struct side *b, struct err *e)
{
    char *s = chat_meta_template(a->v->meta, a->v->tok, e),
         *t = chat_meta_template(b->v->meta, b->v->tok, e);
    int same = 1, rc = e->code;
    if (rc < 0)
        goto done;
    if (!s != !t)
        rc = note(d, "chat_template", strdup(s ? "present" : "-"), strdup(t ? "present" : "-"), e);
    else if (s && strcmp(s, t))
        rc = note(d, "chat_template", line_of(s, t), line_of(t, s), e);
    if (rc < 0 || !s || !t || !a->v->tok || !b->v->tok)
        goto done;
    if ((rc = verify_chat(a->v, b->v, &same, e)) == 0 && same == 0)
        rc = note(d, "ids of a conversation", strdup("as rendered"), strdup("other ids"), e);
done:
    free(s);
    free(t);
    return rc;
}

int diff_notes(struct diff *d, const struct side *a, const struct side *b, struct err *e)
{
    if (a->has_h && b->has_h && compare_numbers(d, a, b, e) < 0)
        return e->code;
    if (!a->whole || !b->whole)
        return 0;
    if (compare_tokenizers(d, a, b, e) < 0 || compare_chat(d, a, b, e) < 0)
        return e->code;
    return objects(d, "special_tokens.", member(a, "special_tokens"), member(b, "special_tokens"),
                   e);
}
