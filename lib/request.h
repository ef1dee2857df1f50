/* request.h - prompt records (prompt/1, or bare {prompt, task_id, max_tokens}) as token ids
 *
 * A chat prompt is the conversation of `system`, `messages` and `prompt`, as far as they are there.
 *
 * The set owns everything; prompts are in the order of the file. */
#ifndef REQUEST_H
#define REQUEST_H
#include "err.h"
#include "json.h"
#include "model.h"

struct request {
    char *task_id;         /* the record's, or its line number */
    char *bench, *prefill; /* NULL = none */
    char **stop;           /* (n_stop) the record's, then the defaults' */
    int n_stop, n_ids, max_tokens;
    long sample, line;
    int adapter;  /* from 1: number of the model's adapter and one; 0: none */
    int32_t *ids; /* (n_ids) */
};
struct requests {
    struct request *v;
    struct request **index; /* (n) by key */
    int n, cap, longest;    /* longest: max of n_ids + max_tokens, at most n_ctx */
    const char *path;
    struct chat *chat; /* the model's template, once a prompt has needed it */
    char sha256[65];   /* of the records as they were read */
};
enum request_thinking { REQUEST_THINK_AUTO, REQUEST_THINK_ON, REQUEST_THINK_OFF };
struct request_defaults {
    const char *prefill;     /* where a record has none; NULL */
    const char *adapter;     /* the same; NULL: the base */
    const char *const *stop; /* (n_stop) added to every record's */
    int n_stop, raw;         /* raw: every prompt is raw text */
    int max_tokens, n_ctx;
    enum request_thinking thinking; /* of chat prompts; auto adds nothing, as on does */
};
/* Read all records of path ("-" is stdin). A chat prompt is rendered by the model's chat template; a
 * raw one is encoded as it stands, special tokens in it included. Errors name path:line: a model
 * without chat format, a prompt that leaves no room in n_ctx, an adapter that m does not have, (task_id, sample) twice, thinking asked
 * of a model that has no such tokens. */
int requests_read(struct requests *p, const char *path, const struct model *m,
                  const struct request_defaults *d, struct err *e);
/* One text, as if it were a record. */
int requests_add_text(struct requests *p, const char *text, const struct model *m,
                      const struct request_defaults *d, struct err *e);
void requests_free(struct requests *p);
/* Index of the prompt with that key, -1 if none. */
int requests_find(const struct requests *p, const char *task_id, long sample);
#endif
