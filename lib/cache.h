/* cache.h - the folder for what can be computed again: $XDG_CACHE_HOME/apr or ~/.cache/apr */
#ifndef CACHE_H
#define CACHE_H
#include <stddef.h>

/* The path of NAME in the cache; -1 if it is too long. XDG_CACHE_HOME counts only if it is absolute, as its
 * specification says. */
int cache_path(const char *name, char *path, size_t size);
/* The same, with the folders above it made; -1 and "" if nothing can be written there, or the last of them is
 * another user's. */
int cache_dir(const char *name, char *path, size_t size);
/* A template for mkdtemp() in $TMPDIR or /tmp. */
void cache_temporary(char *path, size_t size);
/* Remove a folder of files and folders (no links are followed), as far as that goes. */
void cache_remove(const char *path);
#endif
