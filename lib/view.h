/* view.h - a model as it lies in a file of any format: numbers, tokenizer, texts, tensors under the names of .apr
 *
 * Nothing is copied: tensors are where the file is mapped, and one that no file holds as it is (an FP8 weight with its
 * scales, a base with an adapter added) is made when it is asked for.  What a view points at belongs to whoever
 * made it. */
#ifndef VIEW_H
#define VIEW_H
#include "apr.h"
#include "bpe.h"
#include "hparams.h"

struct view {
    const char *name; /* begins error messages */
    struct hparams h;
    struct bpe *tok;   /* NULL: none */
    const cJSON *meta; /* chat_template, chat_format, chat_system, special_tokens: as in a .apr */
    struct tensor *t;  /* (n) sorted by name; data NULL: fill writes its t[i].bytes */
    int n;
    int (*fill)(void *arg, int i, void *buf, struct err *e);
    void (*forget)(void *arg, const struct tensor *t); /* its pages may leave memory; may be NULL */
    void *arg;
};
/* Of an open .apr, whose tensors and metadata it borrows; its tokenizer is the view's, for view_apr_free. */
int view_apr(struct view *v, const struct apr *a, struct err *e);
void view_apr_free(struct view *v);

/* A GGUF file or a Hugging Face folder as st2apr and gguf2apr read them, shown to look and closed again. */
int view_gguf(const char *path, int (*look)(void *arg, const struct view *v, struct err *e),
              void *arg, struct err *e);
int view_safetensors(const char *path, int no_tokenizer,
                     int (*look)(void *arg, const struct view *v, struct err *e), void *arg,
                     struct err *e);
#endif
