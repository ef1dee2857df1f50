/* textout.h - a text made in memory, written whole or not at all, with its sidecar */
#ifndef TEXTOUT_H
#define TEXTOUT_H
#include "err.h"
#include <stddef.h>

/* path "-" is stdout, which has no sidecar. inputs: NULL-terminated, as of meta_write. */
int textout_write(const char *path, const char *text, size_t n, const char *const *inputs,
                  double seconds, struct err *e);
#endif
