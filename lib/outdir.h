/* outdir.h - an output folder that appears whole or not at all
 *
 * Files go to PATH.tmp.<pid>/; commit puts that folder in PATH's place in one rename (an exchange
 * if PATH is there already, whose old content then goes).  Folders left by processes that are gone
 * are removed by the next open of the same PATH. */
#ifndef OUTDIR_H
#define OUTDIR_H
#include "err.h"

struct outdir {
    char *path, *tmp; /* write into tmp */
};
/* ours: the names that the folder will hold, or patterns of fnmatch(3), NULL at the end.  ERR_CANTCREAT if PATH is something
 * other than a folder, holds another name (nobody's files are lost), or cannot be created. */
int outdir_open(struct outdir *o, const char *path, const char *const *ours, struct err *e);
/* A folder PATH.tmp.<pid> alone, whatever is at PATH: for files that are renamed out of it one by one.  outdir_abort
 * removes it with what is left in it. */
int outdir_beside(struct outdir *o, const char *path, struct err *e);
int outdir_commit(struct outdir *o, struct err *e);
void outdir_abort(struct outdir *o); /* safe on a committed or zeroed outdir */
#endif
