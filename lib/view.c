/* view - a .apr as a view */
#include "view.h"
#include "vocab.h"
#include <string.h>

static void forget(void *arg, const struct tensor *t)
{
    const struct apr *a = arg;
    mapfile_forget(&a->map, t->data, t->bytes);
}

int view_apr(struct view *v, const struct apr *a, struct err *e)
{
    *v = (struct view){.name = a->path,
                       .meta = a->meta,
                       .t = a->tensor,
                       .n = a->n_tensor,
                       .forget = forget,
                       .arg = (void *)(uintptr_t)a};
    if (hparams_from_meta(&v->h, a->meta, e) < 0 || hparams_check(&v->h, e) < 0)
        return err_prefix(e, "%s", a->path);
    return vocab_load(&v->tok, a, &v->h, e);
}

void view_apr_free(struct view *v)
{
    bpe_free(v->tok);
    memset(v, 0, sizeof *v);
}
