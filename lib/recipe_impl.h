/* recipe_impl.h - what the parts of recipe share */
#ifndef RECIPE_IMPL_H
#define RECIPE_IMPL_H
#include "recipe.h"

/* phases of the golden order */
enum { NONE, DISTILL, FINETUNE, MERGE, PRUNE, QUANTIZE, COMPILE };

void *recipe_bytes(struct recipe *r, size_t n); /* zeroed; NULL and r->nomem if memory ran out */
int recipe_full(const struct recipe *r, struct err *e); /* ERR_NOMEM with its message */
const char *recipe_near(struct recipe *r, const char *word,
                        const char *const *words); /* ", did you mean ..." or "" */
/* May the text be part of a file name, or a path, in a Make rule? */
int recipe_name_ok(const char *s, const char *more); /* letters, digits and those of `more` */
int recipe_path_ok(const char *s);
/* A scalar or a list of scalars. */
int recipe_texts(struct recipe *r, const struct yaml *n, struct recipe_list *l, struct err *e);
int recipe_stage_index(const struct recipe *r, const char *name, size_t n); /* -1 = none */
int recipe_load_stage(struct recipe *r, struct recipe_stage *s, struct err *e);
#endif
