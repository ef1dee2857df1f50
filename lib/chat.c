/* chat - ChatML and raw prompts as token ids */
#include "chat.h"
#include <stdlib.h>
#include <string.h>

struct ids {
    int32_t *v;
    size_t n;
    int failed;
};

static void put(struct ids *t, const int32_t *v, size_t n)
{
    int32_t *p = t->failed ? NULL : realloc(t->v, (t->n + n + 1) * sizeof *p);
    if (!p) {
        t->failed = 1;
        return;
    }
    memcpy(p + t->n, v, n * sizeof *v);
    t->v = p;
    t->n += n;
}

/* Ids of three strings joined: words may reach across their borders, as in the templated text. */
static int put_text(struct ids *t, const struct bpe *b, const char *s1, const char *s2,
                    const char *s3, int flags, struct err *e)
{
    size_t a = strlen(s1), c = strlen(s2), d = strlen(s3);
    char *s = malloc(a + c + d + 1);
    int32_t *v = NULL;
    if (!s)
        return err_set(e, ERR_NOMEM, "out of memory for a prompt");
    memcpy(s, s1, a);
    memcpy(s + a, s2, c);
    memcpy(s + a + c, s3, d + 1);
    long n = bpe_encode(b, s, a + c + d, flags, &v, e);
    free(s);
    if (n < 0)
        return (int)n;
    put(t, v, (size_t)n);
    free(v);
    return 0;
}

static int chatml(struct ids *t, const struct bpe *b, const struct chat_msg *m, int n_msg,
                  const char *default_system, const char *prefill, struct err *e)
{
    int32_t start = bpe_id(b, "<|im_start|>"), end = bpe_id(b, "<|im_end|>");
    int rc = 0, no_system = default_system && (n_msg == 0 || strcmp(m[0].role, "system"));
    if (start < 0 || end < 0)
        return err_set(e, ERR_DATA, "the tokenizer has no %s: not a ChatML model",
                       start < 0 ? "<|im_start|>" : "<|im_end|>");
    for (int i = -no_system; i < n_msg && !rc; i++) {
        put(t, &start, 1);
        rc = i < 0 ? put_text(t, b, "system", "\n", default_system, 0, e)
                   : put_text(t, b, m[i].role, "\n", m[i].content, 0, e);
        put(t, &end, 1);
        if (!rc)
            rc = put_text(t, b, "\n", "", "", 0, e);
    }
    put(t, &start, 1);
    return rc ? rc : put_text(t, b, "assistant\n", prefill ? prefill : "", "", 0, e);
}

long chat_encode(const struct bpe *b, const char *chat_format, const struct chat_msg *m, int n_msg,
                 const char *default_system, const char *prefill, int32_t **ids, struct err *e)
{
    struct ids t = {0};
    int rc = 0;
    *ids = NULL;
    for (int i = 0; i < n_msg; i++)
        if (!m[i].role || !m[i].content)
            return err_set(e, ERR_DATA, "message %d has no %s", i, m[i].role ? "content" : "role");
    if (chat_format && strcmp(chat_format, "chatml") == 0)
        rc = chatml(&t, b, m, n_msg, default_system, prefill, e);
    else if (chat_format && strcmp(chat_format, "raw") == 0) {
        if (n_msg != 1)
            return err_set(e, ERR_DATA, "a raw prompt is one text, found %d messages", n_msg);
        rc = put_text(&t, b, m[0].content, prefill ? prefill : "", "", BPE_BOS, e);
    } else
        return err_set(e, ERR_DATA, "chat format %s is not supported: expected chatml or raw",
                       chat_format ? chat_format : "none");
    if (!rc && t.failed)
        rc = err_set(e, ERR_NOMEM, "out of memory for a prompt");
    if (rc) {
        free(t.v);
        return rc;
    }
    *ids = t.v;
    return (long)t.n;
}

long chat_no_think(const struct bpe *b, const char *prefill, int32_t **ids, long n, struct err *e)
{
    int32_t think = bpe_id(b, "<think>"), end = bpe_id(b, "</think>");
    struct ids t = {.v = *ids, .n = (size_t)n};
    int rc;
    if (think < 0 || end < 0)
        return err_set(e, ERR_DATA, "the tokenizer has no %s", think < 0 ? "<think>" : "</think>");
    put(&t, &think, 1);
    rc = put_text(&t, b, "\n\n", "", "", 0, e);
    put(&t, &end, 1);
    if (rc == 0)
        rc = put_text(&t, b, "\n\n", prefill ? prefill : "", "", 0, e);
    if (rc == 0 && t.failed)
        rc = err_set(e, ERR_NOMEM, "out of memory for a prompt");
    *ids = t.v;
    return rc ? rc : (long)t.n;
}

/* The literal after "<|im_start|>system\n" up to "<|im_end|>" inside one Jinja string. */
static char *system_text(const char *jinja)
{
    static const char head[] = "<|im_start|>system";
    for (const char *p = jinja; (p = strstr(p, head)); p += sizeof head - 1) {
        const char *s = p + sizeof head - 1, *end;
        if (*s == '\n')
            s++;
        else if (s[0] == '\\' && s[1] == 'n')
            s += 2;
        else
            continue;
        end = strstr(s, "<|im_end|>");
        size_t n = end ? (size_t)(end - s) : 0;
        if (n == 0 || memchr(s, '{', n) || memchr(s, '}', n))
            continue;
        char *out = malloc(n + 1), *o = out;
        if (!out)
            return NULL;
        for (; s < end; s++) { /* a bare quote ends the string: what follows is code, not text */
            if (*s == '\'' || *s == '"')
                break;
            if (*s == '\\' && s + 1 < end) {
                s++;
                *o++ = *s == 'n' ? '\n' : *s == 't' ? '\t' : *s;
            } else
                *o++ = *s;
        }
        *o = 0;
        if (s == end)
            return out;
        free(out);
    }
    return NULL;
}

const char *chat_detect(const char *jinja, char **system)
{
    /* marks of other formats that borrow a ChatML token: Phi-4 has <|im_sep|> */
    static const char *const other[] = {"<|im_sep|>", "<|start_header_id|>", "[INST]",
                                        "<|assistant|>"};
    if (system)
        *system = NULL;
    if (!jinja || !strstr(jinja, "<|im_start|>") || !strstr(jinja, "<|im_end|>") ||
        !(strstr(jinja, "assistant\\n") || strstr(jinja, "assistant\n")))
        return NULL;
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        if (strstr(jinja, other[i]))
            return NULL;
    if (system)
        *system = system_text(jinja);
    return "chatml";
}
