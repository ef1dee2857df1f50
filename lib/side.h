/* side.h - one of the models that are compared: a .apr, a GGUF file or a Hugging Face folder, whole or not
 *
 * A model that could be imported is shown as a view (view.h).  Any other file of these formats - tensors missing or too
 * many, an architecture that is not known, NaN, an adapter - is shown by its tensors alone, as far as possible under the
 * names of .apr too, with the reason. */
#ifndef SIDE_H
#define SIDE_H
#include "view.h"

struct side {
    const char *path;
    const struct view *v;
    int whole;     /* a model: its numbers and texts are there, and it can be run */
    int has_h;     /* v->h is there */
    char why[512]; /* why it is not whole */
};
/* Shown to look, and closed again.  path: as hub_operand takes it.  ERR_NOINPUT, ERR_DATA for what is none of the three
 * formats, or what look says. */
int side_open(const char *path, int (*look)(void *arg, const struct side *s, struct err *e),
              void *arg, struct err *e);
#endif
