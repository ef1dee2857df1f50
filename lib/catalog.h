/* catalog.h - data sets and models by name (data/catalog.yaml), found and checked before use
 *
 * A shipped entry lies under the project's root; another is looked for in the cache directory,
 * $XDG_CACHE_HOME/apr or ~/.cache/apr.  A file whose sha256 differs is refused, so a recipe stops;
 * an entry without sha256 is an error: nothing is trusted because it came first.
 */
#ifndef CATALOG_H
#define CATALOG_H
#include "err.h"
#include <stddef.h>

enum { CATALOG_PATH = 4096 };
struct catalog_entry {
    char name[64];
    char path[CATALOG_PATH]; /* where the file is or would be */
    char url[512];           /* "" = shipped only */
    char sha256[65];
    long bytes;
    long records; /* 0 = not a set of records */
    char licence[64], origin[256];
};
/* The entry called name. 0; ERR_CONFIG if there is none or the catalog is bad, ERR_NOINPUT if there
 * is no catalog. Does not look at the file. */
int catalog_find(struct catalog_entry *c, const char *name, struct err *e);
/* How to get the entry's file: the command line that puts it in its place, its size and sha256. 0, or
 * -1 if that does not fit into buf. */
int catalog_how(const struct catalog_entry *c, char *buf, size_t size);
/* Size and sha256 of the entry's file against the catalog: ERR_NOINPUT if it is missing (with
 * catalog_how), ERR_DATA with expected and found. */
int catalog_verify(const struct catalog_entry *c, struct err *e);
/* A path that exists as it stands, or else the verified file of the entry called name: what a tool
 * does with an argument such as `--data basic-finetune`. */
int catalog_resolve(const char *name_or_path, char *path, size_t size, struct err *e);
#endif
