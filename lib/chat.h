/* chat.h - conversations as token ids, by the model's own chat template
 *
 * The template is evaluated (jinja.h).  Special tokens count where the template wrote them; what
 * a message contributes is text, so that it cannot end its turn (added tokens that are not special,
 * such as Qwen3's <think>, are themselves everywhere, as in Hugging Face). */
#ifndef CHAT_H
#define CHAT_H
#include "bpe.h"
#include "json.h"

struct chat;
struct chat_msg {
    const char *role, *content;
};
/* What a model says about its conversations; all may be NULL, but not both template and format. */
struct chat_source {
    const char *name;     /* begins error messages */
    const char *template; /* Jinja */
    const char
        *format; /* without template: "chatml", or "raw": the one message as it stands, after bos */
    const char *system;   /* the system text that "chatml" puts in when there is none */
    const cJSON *special; /* bos_token and the like: variables of the template */
};
/* Compile. b is kept, not owned. ERR_DATA: the template is not supported (with line and construct), no
 * format, or chatml of a tokenizer that lacks its marks. */
int chat_open(struct chat **c, const struct chat_source *s, const struct bpe *b, struct err *e);
void chat_free(struct chat *c);

enum chat_thinking { CHAT_THINK_AUTO, CHAT_THINK_ON, CHAT_THINK_OFF };
/* ids (malloc) of the messages, the header of the answer, then prefill (may be NULL), which is encoded as
 * one text with the header: a prefill that begins with a newline joins the header's. Thinking goes to
 * the template as enable_thinking and thinking; for off, a template that speaks of neither gets Qwen3's empty
 * thinking block behind the header (ERR_DATA if the tokenizer has no <think> and </think>). */
long chat_encode(const struct chat *c, const struct chat_msg *m, int n_msg,
                 enum chat_thinking thinking, const char *prefill, int32_t **ids, struct err *e);
/* ids (malloc) of the messages and the answer as the template sets it, with what ends it; *n_prompt of them come
 * before what is to be learnt. They are encoded apart, as the answer will be when it is generated. */
long chat_train(const struct chat *c, const struct chat_msg *m, int n_msg, const char *answer,
                int32_t **ids, long *n_prompt, struct err *e);

/* The template (malloc) of a model by its metadata, for formats that carry templates alone: chat_template, or what
 * chat_format and chat_system stand for.  NULL: none, as of "raw", of a format that is not known, and of chatml with a
 * tokenizer (NULL: none) that lacks its marks; or ERR_NOMEM. */
char *chat_meta_template(const cJSON *meta, const struct bpe *b, struct err *e);

/* Can the template be used? `where` begins the error message: ERR_DATA with line and construct. *chatml: 1 if
 * it renders a conversation as ChatML does. */
int chat_check(const char *template, const char *where, int *chatml, struct err *e);
#endif
