/* chat.h - prompts as token ids: ChatML or raw
 *
 * Content is encoded without special tokens (text that spells <|im_end|> stays text); the turn marks are
 * ids.  Which format a model takes is decided at import from its template and kept in the metadata as
 * chat_format; an unknown template is refused when a chat prompt is asked for. */
#ifndef CHAT_H
#define CHAT_H
#include "bpe.h"
#include "json.h"

struct chat_msg {
    const char *role, *content;
};
/* ids (malloc) of the messages, then the assistant's header, then prefill (may be NULL). default_system:
 * what Qwen2.5's template inserts when no system turn is given; NULL = nothing.  Header and prefill are
 * encoded as one text, as in the templated text, so a prefill that begins with a newline joins the header's.
 * chat_format "raw": one message, its content and the prefill as one text after the model's bos. */
long chat_encode(const struct bpe *b, const char *chat_format, const struct chat_msg *m, int n_msg,
                 const char *default_system, const char *prefill, int32_t **ids, struct err *e);
/* Append to ids (n of them, as chat_encode returned them) the empty thinking block that Qwen3's template
 * puts behind the assistant's header when enable_thinking is false, and the prefill (may be NULL). The
 * new count, or ERR_DATA if the tokenizer has no <think> and </think>. */
long chat_no_think(const struct bpe *b, const char *prefill, int32_t **ids, long n, struct err *e);
/* "chatml" if the Jinja template is ChatML (with its default system text into *system, malloc or NULL),
 * else NULL. */
const char *chat_detect(const char *jinja, char **system);
#endif
