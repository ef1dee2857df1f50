/* paths.h - where the project's own configs and data are: the source tree, or PREFIX/share/apr */
#ifndef PATHS_H
#define PATHS_H
#include "err.h"
#include <stddef.h>

/* Root directory (static storage): the nearest parent of the executable that holds configs/bench, else
 * <exe>/../share/apr. NULL if neither exists. */
const char *paths_root(void);
/* A path as the user wrote it if that exists; else under the root. `out` gets the result; 0 or
 * ERR_NOINPUT naming both places. */
int paths_find(const char *name, char *out, size_t size, struct err *e);
/* A file that was built with the executable: NAME under one of the folders above it. 0 or ERR_NOINPUT. */
int paths_beside(const char *name, char *out, size_t size, struct err *e);
/* Do two names mean one file, whether it is there yet or not? "-" is standard output, "" no file. */
int paths_same(const char *a, const char *b);
#endif
