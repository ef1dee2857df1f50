/* chat - conversations as token ids, by the model's own chat template */
#include "chat.h"
#include "chat_ids.h"
#include "jinja.h"
#include <stdlib.h>
#include <string.h>

struct chat {
    const char *name;
    const struct bpe *b;
    struct jinja *t; /* NULL: raw */
    char *special;   /* variables as JSON: bos_token and the like */
    char *system;    /* of ChatML without a template of its own, or NULL */
    int speaks;      /* of enable_thinking or thinking */
    struct chat_marks *marks;
};

/* What "chatml" means for models that have no template: those of apr-random, and imports of old. */
static const char chatml_template[] =
    "{%- if default_system is defined and (not messages or messages[0].role != 'system') -%}"
    "{{ '<|im_start|>system\\n' ~ default_system ~ '<|im_end|>\\n' }}{%- endif -%}"
    "{%- for m in messages -%}{{ '<|im_start|>' ~ m.role ~ '\\n' ~ m.content ~ '<|im_end|>\\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}";

/* ---- open ---- */

static int check_marks(const struct chat_source *s, const struct bpe *b, struct err *e)
{
    static const char *const mark[] = {"<|im_start|>", "<|im_end|>"};
    for (int i = 0; i < 2; i++)
        if (bpe_id(b, mark[i]) < 0)
            return err_set(e, ERR_DATA, "%s: the tokenizer has no %s: not a ChatML model", s->name,
                           mark[i]);
    return 0;
}

static int compile(struct chat *c, const struct chat_source *s, struct err *e)
{
    char where[160];
    snprintf(where, sizeof where, "%.120s: chat template", s->name);
    if (s->template)
        return jinja_parse(&c->t, s->template, strlen(s->template), where, e);
    if (s->format && strcmp(s->format, "raw") == 0)
        return 0;
    if (!s->format || strcmp(s->format, "chatml"))
        return err_set(
            e, ERR_DATA,
            "%s: the chat format %.40s is not supported: expected a template, chatml or raw",
            s->name, s->format ? s->format : "none");
    if (s->system && !(c->system = strdup(s->system)))
        return err_set(e, ERR_NOMEM, "out of memory");
    if (check_marks(s, c->b, e))
        return e->code;
    return jinja_parse(&c->t, chatml_template, sizeof chatml_template - 1, where, e);
}

int chat_open(struct chat **out, const struct chat_source *s, const struct bpe *b, struct err *e)
{
    struct chat *c = *out = calloc(1, sizeof *c);
    if (!c)
        return err_set(e, ERR_NOMEM, "out of memory");
    c->name = s->name;
    c->b = b;
    int rc = compile(c, s, e);
    if (rc == 0 && s->special && !(c->special = cJSON_PrintUnformatted(s->special)))
        rc = err_set(e, ERR_NOMEM, "out of memory");
    if (rc == 0)
        rc = chat_marks_new(&c->marks, b, e);
    if (rc == 0 && c->t)
        c->speaks = jinja_uses(c->t, "enable_thinking") || jinja_uses(c->t, "thinking");
    if (rc) {
        chat_free(c);
        *out = NULL;
    }
    return rc;
}

void chat_free(struct chat *c)
{
    if (!c)
        return;
    jinja_free(c->t);
    chat_marks_free(c->marks);
    free(c->special);
    free(c->system);
    free(c);
}

/* ---- render ---- */

static int check_msgs(const struct chat_msg *m, int n_msg, struct err *e)
{
    for (int i = 0; i < n_msg; i++) {
        if (!m[i].role || !m[i].content)
            return err_set(e, ERR_DATA, "message %d has no %s", i, m[i].role ? "content" : "role");
        if (!utf8_valid(m[i].role, strlen(m[i].role)) ||
            !utf8_valid(m[i].content, strlen(m[i].content)))
            return err_set(e, ERR_DATA, "message %d is not UTF-8", i);
    }
    return 0;
}

static void put_msg(struct json_out *j, const char *role, const char *content)
{
    json_begin(j, '{');
    json_kv_str(j, "role", role);
    json_kv_str(j, "content", content);
    json_end(j, '}');
}

/* The messages, and the answer if there is one, as JSON (malloc). */
static char *messages(const struct chat_msg *m, int n_msg, const char *answer, size_t *n)
{
    struct json_out j = {0};
    json_begin(&j, '[');
    for (int i = 0; i < n_msg; i++)
        put_msg(&j, m[i].role, m[i].content);
    if (answer)
        put_msg(&j, "assistant", answer);
    json_end(&j, ']');
    return json_take(&j, n);
}

static int set_vars(const struct chat *c, struct jinja_vars *v, const char *msgs, size_t n,
                    int generation, enum chat_thinking thinking, struct err *e)
{
    int rc = 0;
    if (c->special)
        rc = jinja_set_all(v, c->special, strlen(c->special), 1, e);
    if (rc == 0 &&
        !(rc = jinja_set_json(v, "tools", "null", 4, e))) /* as transformers gives them */
        rc = jinja_set_json(v, "documents", "null", 4, e);
    if (rc == 0 && c->system)
        rc = jinja_set_str(v, "default_system", c->system, 0, e);
    if (rc == 0 && thinking != CHAT_THINK_AUTO) {
        rc = jinja_set_bool(v, "enable_thinking", thinking == CHAT_THINK_ON, e);
        if (rc == 0)
            rc = jinja_set_bool(v, "thinking", thinking == CHAT_THINK_ON, e);
    }
    if (rc == 0)
        rc = jinja_set_bool(v, "add_generation_prompt", generation, e);
    return rc ? rc : jinja_set_json(v, "messages", msgs, n, e);
}

static int render(const struct chat *c, const struct chat_msg *m, int n_msg, const char *answer,
                  enum chat_thinking thinking, struct jinja_text *out, struct err *e)
{
    size_t n;
    char *msgs = messages(m, n_msg, answer, &n);
    struct jinja_vars *v = jinja_vars_new();
    int rc = msgs && v ? set_vars(c, v, msgs, n, !answer, thinking, e)
                       : err_set(e, ERR_NOMEM, "out of memory for a prompt");
    *out = (struct jinja_text){0};
    if (rc == 0)
        rc = jinja_render(c->t, v, out, e);
    jinja_vars_free(v);
    free(msgs);
    return rc;
}

static void text_free(struct jinja_text *t)
{
    free(t->s);
    free(t->mark);
}

static int append(struct jinja_text *t, const char *s, int mark, struct err *e)
{
    size_t n = strlen(s);
    char *p = realloc(t->s, t->n + n + 1);
    if (p)
        t->s = p;
    uint8_t *q = realloc(t->mark, t->n + n + 1);
    if (q)
        t->mark = q;
    if (!p || !q)
        return err_set(e, ERR_NOMEM, "out of memory for a prompt");
    memcpy(t->s + t->n, s, n + 1);
    memset(t->mark + t->n, mark, n);
    t->n += n;
    return 0;
}

/* ---- prompts ---- */

static long raw(const struct chat *c, const struct chat_msg *m, int n_msg, const char *prefill,
                int32_t **ids, struct err *e)
{
    struct jinja_text t = {0};
    if (n_msg != 1)
        return err_set(e, ERR_DATA, "a raw prompt is one text, found %d messages", n_msg);
    if (append(&t, m[0].content, 0, e) || (prefill && append(&t, prefill, 0, e))) {
        text_free(&t);
        return e->code;
    }
    long n = bpe_encode(c->b, t.s, t.n, BPE_BOS, ids, e);
    text_free(&t);
    return n;
}

/* Qwen3's empty thinking block, for templates that leave thinking to the model. */
static int no_think(const struct chat *c, struct jinja_text *t, struct err *e)
{
    static const char *const mark[] = {"<think>", "</think>"};
    for (int i = 0; i < 2; i++)
        if (bpe_id(c->b, mark[i]) < 0)
            return err_set(e, ERR_DATA, "the tokenizer has no %s", mark[i]);
    return append(t, "<think>\n\n</think>\n\n", 0, e);
}

long chat_encode(const struct chat *c, const struct chat_msg *m, int n_msg,
                 enum chat_thinking thinking, const char *prefill, int32_t **ids, struct err *e)
{
    struct jinja_text t;
    *ids = NULL;
    if (check_msgs(m, n_msg, e))
        return e->code;
    if (!c->t)
        return raw(c, m, n_msg, prefill, ids, e);
    int rc = render(c, m, n_msg, NULL, thinking, &t, e);
    if (rc == 0 && thinking == CHAT_THINK_OFF && !c->speaks)
        rc = no_think(c, &t, e);
    if (rc == 0 && prefill)
        rc = append(&t, prefill, JINJA_OUTSIDE, e);
    long n = rc ? rc : chat_ids(c->marks, c->b, t.s, t.mark, t.n, ids, e);
    text_free(&t);
    return n;
}

/* ---- training ---- */

static int begins(const struct jinja_text *all, const struct jinja_text *with)
{
    return with->n <= all->n && memcmp(all->s, with->s, with->n) == 0;
}

/* Where in `all` the answer begins: behind the prompt as it will be given; where a template sets a turn that
 * is past otherwise than one to come (DeepSeek-R1 drops the <think>), at the first byte of the answer itself.
 * all->n: not found. */
static size_t answer_at(const struct chat *c, const struct chat_msg *m, int n_msg,
                        const struct jinja_text *all, struct err *e)
{
    struct jinja_text prompt;
    size_t at = all->n, same = 0;
    if (render(c, m, n_msg, NULL, CHAT_THINK_AUTO, &prompt, e))
        return at;
    if (begins(all, &prompt))
        at = prompt.n;
    else {
        while (same < all->n && same < prompt.n && all->s[same] == prompt.s[same])
            same++;
        /* the messages must be the same in both: what differs is the header of the answer */
        size_t rest = same;
        while (rest < prompt.n && !prompt.mark[rest])
            rest++;
        if (rest == prompt.n)
            for (at = same; at < all->n && !all->mark[at];)
                at++;
    }
    text_free(&prompt);
    return at;
}

long chat_train(const struct chat *c, const struct chat_msg *m, int n_msg, const char *answer,
                int32_t **ids, long *n_prompt, struct err *e)
{
    struct jinja_text all;
    int32_t *more = NULL, *p;
    struct chat_msg last = {"assistant", answer};
    *ids = NULL;
    if (!c->t)
        return err_set(e, ERR_DATA, "%s: raw text has no answers to learn from", c->name);
    if (check_msgs(m, n_msg, e) || check_msgs(&last, 1, e) ||
        render(c, m, n_msg, answer, CHAT_THINK_AUTO, &all, e))
        return e->code;
    size_t at = answer_at(c, m, n_msg, &all, e);
    long a = 0, z = 0;
    if (e->code == 0 && at == all.n)
        err_set(e, ERR_DATA,
                "%s: the chat template drops the answer, or sets the messages before it otherwise "
                "than when it is asked for: not one to train with",
                c->name);
    if (e->code == 0)
        a = chat_ids(c->marks, c->b, all.s, all.mark, at, ids, e);
    if (e->code == 0 && bpe_wants_whole(c->b)) { /* the prompt: what begins as it does when asked */
        z = chat_ids(c->marks, c->b, all.s, all.mark, all.n, &more, e);
        long same = 0;
        while (same < a && same < z && (*ids)[same] == more[same])
            same++;
        p = *ids, *ids = more, more = p;
        a = same, z -= same;
    } else if (e->code == 0) {
        z = chat_ids(c->marks, c->b, all.s + at, all.mark + at, all.n - at, &more, e);
        if (e->code == 0 && (p = realloc(*ids, (size_t)(a + z + 1) * sizeof *p))) {
            memcpy(p + a, more, (size_t)z * sizeof *p);
            *ids = p;
        } else if (e->code == 0)
            err_set(e, ERR_NOMEM, "out of memory for a sample");
    }
    text_free(&all);
    free(more);
    if (e->code) {
        free(*ids);
        *ids = NULL;
        return e->code;
    }
    *n_prompt = a;
    return a + z;
}

/* ---- import and export ---- */

/* As a literal of Jinja's; at most twice its bytes. */
static char *put_literal(char *p, const char *s)
{
    *p++ = '\'';
    for (; *s; s++) {
        if (*s == '\'' || *s == '\\' || *s == '\n' || *s == '\r')
            *p++ = '\\';
        *p++ = *s == '\n' ? 'n' : *s == '\r' ? 'r' : *s;
    }
    *p++ = '\'';
    return p;
}

/* What "chatml" stands for. */
static char *chatml_with(const char *system, struct err *e)
{
    static const char set[] = "{%- set default_system = ", end[] = " -%}";
    const size_t n = system ? sizeof set + sizeof end + 2 * strlen(system) : 0;
    char *s = malloc(n + sizeof chatml_template), *p = s;
    if (!s) {
        err_set(e, ERR_NOMEM, "out of memory");
        return NULL;
    }
    if (system) {
        memcpy(p, set, sizeof set - 1);
        p = put_literal(p + sizeof set - 1, system);
        memcpy(p, end, sizeof end - 1);
        p += sizeof end - 1;
    }
    memcpy(p, chatml_template, sizeof chatml_template);
    return s;
}

static const char *text_of(const cJSON *meta, const char *key)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(meta, key);
    return cJSON_IsString(v) ? v->valuestring : NULL;
}

char *chat_meta_template(const cJSON *meta, const struct bpe *b, struct err *e)
{
    const char *own = text_of(meta, "chat_template"), *format = text_of(meta, "chat_format");
    const struct chat_source source = {.name = ""};
    struct err none = {0};
    if (!own)
        return b && format && strcmp(format, "chatml") == 0 && check_marks(&source, b, &none) == 0
                   ? chatml_with(text_of(meta, "chat_system"), e)
                   : NULL;
    char *s = strdup(own);
    if (!s)
        err_set(e, ERR_NOMEM, "out of memory");
    return s;
}

int chat_check(const char *template, const char *where, int *chatml, struct err *e)
{
    static const struct chat_msg probe[] = {
        {"system", "S"}, {"user", "U"}, {"assistant", "A"}, {"user", "V"}};
    static const char want[] = "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n"
                               "<|im_start|>assistant\nA<|im_end|>\n<|im_start|>user\nV<|im_end|>\n"
                               "<|im_start|>assistant\n";
    struct chat c = {.name = where};
    struct jinja_text t;
    struct err none = {0};
    *chatml = 0;
    int rc = jinja_parse(&c.t, template, strlen(template), where, e);
    if (rc == 0) {
        *chatml =
            render(&c, probe, 4, NULL, CHAT_THINK_AUTO, &t, &none) == 0 && strcmp(t.s, want) == 0;
        text_free(&t);
    }
    jinja_free(c.t);
    return rc;
}
