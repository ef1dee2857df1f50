/* sums.h - sha256 of files, remembered as long as size, time and inode stay
 *
 * A model of many gigabytes is read once, not at every plan.  The memory is a text file, one
 * "sha256 size mtime-ns inode path" a line; a damaged line is forgotten. */
#ifndef SUMS_H
#define SUMS_H
#include "err.h"

struct sums {
    struct sums_line *v;
    int n, cap;
    int fresh; /* something was added since the load */
};
int sums_load(struct sums *s, const char *path, struct err *e); /* no file: nothing is remembered */
/* Digest of a file; of a folder: of its regular files' names and digests, by name, hidden ones and
 * subfolders left out. */
int sums_digest(struct sums *s, const char *path, char hex[65], struct err *e);
int sums_save(struct sums *s, const char *path, struct err *e); /* if something is fresh */
void sums_free(struct sums *s);
#endif
