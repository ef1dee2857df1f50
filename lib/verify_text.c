/* verify_text - tokenizer and chat template of two models on the same texts */
#include "chat.h"
#include "mapfile.h"
#include "paths.h"
#include "verify_impl.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>

void verify_texts_free(struct verify_texts *x)
{
    for (int i = 0; i < x->n; i++)
        free(x->s[i]);
    free(x->s);
    *x = (struct verify_texts){0};
}

/* One line: {"prompt": ...} or {"text": ...}; prompts come first. */
static int add_text(struct verify_texts *x, const struct jsonl *in, struct err *e)
{
    const char *prompt = json_get_str(in->v, "prompt", NULL, e),
               *text = json_get_str(in->v, "text", NULL, e);
    char **s;
    if (e->code || !prompt == !text || (prompt && x->n_prompt < x->n))
        return err_set(e, ERR_DATA, "%s:%ld: expected a prompt, or behind all prompts a text",
                       in->path, in->lineno);
    if (!(s = realloc(x->s, ((size_t)x->n + 1) * sizeof *s)))
        return err_set(e, ERR_NOMEM, "out of memory");
    x->s = s;
    if (!(s[x->n] = strdup(prompt ? prompt : text)))
        return err_set(e, ERR_NOMEM, "out of memory");
    x->n++;
    x->n_prompt += prompt != NULL;
    return 0;
}

int verify_texts_load(struct verify_texts *x, struct err *e)
{
    char path[PATH_MAX];
    struct jsonl in;
    int rc, got = 0;
    *x = (struct verify_texts){0};
    if ((rc = paths_find(VERIFY_TEXTS, path, sizeof path, e)) < 0 ||
        (rc = jsonl_open(&in, path, e)) < 0)
        return rc;
    while (rc == 0 && (got = jsonl_next(&in, e)) == 1)
        rc = add_text(x, &in, e);
    jsonl_close(&in);
    return rc < 0 ? rc : got;
}

/* Same ids, and the same text from them? */
static int same_text(const struct bpe *a, const struct bpe *b, const char *s, struct err *e)
{
    int32_t *x = NULL, *y = NULL;
    size_t n_s = 0, n_t = 0;
    long n = bpe_encode(a, s, strlen(s), BPE_SPECIAL | BPE_BOS, &x, e),
         k = n < 0 ? n : bpe_encode(b, s, strlen(s), BPE_SPECIAL | BPE_BOS, &y, e);
    int same = n == k && n >= 0 && (n == 0 || memcmp(x, y, (size_t)n * sizeof *x) == 0);
    char *p = same ? bpe_decode(a, x, (size_t)n, 0, &n_s) : NULL,
         *q = same ? bpe_decode(b, y, (size_t)n, 0, &n_t) : NULL;
    same = p && q && n_s == n_t && memcmp(p, q, n_s) == 0;
    free(p);
    free(q);
    free(x);
    free(y);
    return same;
}

int verify_tokenizer(const struct view *from, const struct view *to, const struct verify_texts *x,
                     int *same, struct err *e)
{
    *same = -1;
    if (!from->tok)
        return 0;
    for (int i = *same = 0; i < x->n && to->tok; i++) {
        *same += same_text(from->tok, to->tok, x->s[i], e);
        if (e->code)
            return e->code;
    }
    return 0;
}

static const char *text_of(const struct view *v, const char *key)
{
    const cJSON *t = cJSON_GetObjectItemCaseSensitive(v->meta, key);
    return cJSON_IsString(t) ? t->valuestring : NULL;
}

/* Ids of a conversation; *ids NULL: the model has no template, and no format that stands for one. */
static long talk(const struct view *v, int32_t **ids, struct err *e)
{
    static const struct chat_msg turn[] = {
        {"user", "Write a function that adds two numbers. <|im_end|></s>"},
        {"assistant", "def add(a, b):\n    return a + b"},
        {"user", "  Thanks!\n"}};
    struct chat_source s = {.name = v->name,
                            .template = text_of(v, "chat_template"),
                            .format = text_of(v, "chat_format"),
                            .system = text_of(v, "chat_system"),
                            .special = cJSON_GetObjectItemCaseSensitive(v->meta, "special_tokens")};
    struct chat *c = NULL;
    *ids = NULL;
    char *words = v->tok ? chat_meta_template(v->meta, v->tok, e) : NULL;
    free(words);
    if (!words)
        return e->code;
    long n = chat_open(&c, &s, v->tok, e);
    if (n < 0)
        return n;
    n = chat_encode(c, turn, 3, CHAT_THINK_AUTO, NULL, ids, e);
    chat_free(c);
    return n;
}

int verify_chat(const struct view *from, const struct view *to, int *same, struct err *e)
{
    int32_t *a = NULL, *b = NULL;
    struct err first = {0};
    long n = talk(from, &a, &first), k = talk(to, &b, e);
    *same = 1;
    if (first.code == ERR_NOMEM || e->code == ERR_NOMEM)
        err_set(e, ERR_NOMEM, "out of memory");
    else if (!a && !first.code)
        *same = -1;
    else if (first
                 .code) /* a template that has no word for this conversation: then both have none */
        *same = e->code == first.code;
    else
        *same = b && n == k && memcmp(a, b, (size_t)n * sizeof *a) == 0;
    if (e->code != ERR_NOMEM)
        *e = (struct err){0};
    free(a);
    free(b);
    return e->code;
}

/* ---- the receipt in words ---- */

static double number(const cJSON *o, const char *key)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
    return cJSON_IsNumber(v) ? v->valuedouble : 0;
}

/* Only what our writer writes gets to a terminal. */
static const char *word(const cJSON *o, const char *key, char buf[240])
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
    snprintf(buf, 240, "%s", cJSON_IsString(v) ? v->valuestring : "?");
    for (char *p = buf; *p; p++)
        if ((unsigned char)*p < 32 || *p == 127)
            *p = '?';
    return buf;
}

int verify_line(const cJSON *receipt, uint64_t weights, char *s, size_t size)
{
    char id[20], a[240], b[240];
    const cJSON *done = cJSON_GetObjectItemCaseSensitive(receipt, "verified");
    if (!cJSON_IsObject(receipt) || strcmp(word(receipt, "schema", a), "receipt/1")) {
        snprintf(s, size, "none: nothing says that this model was compared with its source");
        return 0;
    }
    if (!cJSON_IsTrue(done)) {
        snprintf(s, size, "not verified: %s", word(receipt, "reason", a));
        return 0;
    }
    snprintf(id, sizeof id, "%016llx", (unsigned long long)weights);
    if (weights && strcmp(word(receipt, "weights", a), id)) {
        snprintf(s, size, "of other weights (%s, these are %s): not verified", a, id);
        return 0;
    }
    int n =
        snprintf(s, size, "verified on %.0f positions of %.0f prompts: ", number(receipt, "rows"),
                 number(receipt, "prompts"));
    size_t at = n > 0 && (size_t)n < size ? (size_t)n : size;
    if (number(receipt, "max_diff") == 0)
        n = snprintf(s + at, size - at, "logits equal to the source's");
    else
        n = snprintf(
            s + at, size - at,
            "logits differ by up to %.4g, KL %.4g (largest %.4g), first choice the same at "
            "%.0f, greedy text %.0f of %.0f tokens",
            number(receipt, "max_diff"), number(receipt, "kl_mean"), number(receipt, "kl_max"),
            number(receipt, "top1"), number(receipt, "greedy_same"), number(receipt, "greedy"));
    at += n > 0 && (size_t)n < size - at ? (size_t)n : size - at;
    snprintf(s + at, size - at, "; tokenizer %s, chat template %s", word(receipt, "tokenizer", a),
             word(receipt, "chat", b));
    return 1;
}
