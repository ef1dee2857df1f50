/* mapfile.h - read-only mapped input files; the bytes live until mapfile_close
 *
 * Path "-" is standard input: a file is mapped, a pipe is read to its end. */
#ifndef MAPFILE_H
#define MAPFILE_H
#include "err.h"
#include <stddef.h>
#include <stdint.h>

struct mapfile {
    const uint8_t *p;
    size_t n;
    const char *path; /* the caller's string: keep it alive */
    int mapped;       /* a file's own pages, not a copy of a pipe */
};
int mapfile_open(struct mapfile *m, const char *path, struct err *e);
void mapfile_close(struct mapfile *m);
/* n bytes at p, inside the map, are not needed soon: they leave this process's memory until they are read again. */
void mapfile_forget(const struct mapfile *m, const void *p, size_t n);

/* Checked sizes: 1 and *out on success, 0 on overflow. */
int size_mul(size_t a, size_t b, size_t *out);
int size_add(size_t a, size_t b, size_t *out);
#endif
