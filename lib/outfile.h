/* outfile.h - output files that appear whole or not at all, with their sha256
 *
 * outfile_open writes to PATH.tmp.<pid>; outfile_commit flushes, fsyncs, renames and fsyncs the
 * directory; outfile_abort (or a commit that fails) removes the temporary.  Path "-" is stdout, and
 * a device or pipe is written in place (no rename).  After kill -9 only the temporary is left and the next open of the same PATH removes
 * temporaries whose process is gone. */
#ifndef OUTFILE_H
#define OUTFILE_H
#include "err.h"
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct outfile {
    FILE *f; /* for outfile_write's neighbours: fprintf is fine, but such bytes are not hashed */
    char *path, *tmp; /* tmp NULL: stdout, a device or a pipe */
    void *sha;        /* running digest of outfile_write */
    uint64_t bytes;
    int patched;  /* no digest is kept while writing: it is the file's at commit */
    char hex[65]; /* sha256 after commit */
};
int outfile_open(struct outfile *o, const char *path, struct err *e);
int outfile_write(struct outfile *o, const void *p, size_t n, struct err *e);
int outfile_pad(struct outfile *o, size_t align,
                struct err *e); /* zeros up to a multiple of align */
/* Rewrite bytes already written (an index that was not known at first); the digest is then taken from the
 * file at commit. Only where the output is a file: o->tmp is set.  Who knows before writing that he will patch says so
 * by outfile_patches: else what is written is digested twice. */
void outfile_patches(struct outfile *o);
int outfile_patch(struct outfile *o, uint64_t off, const void *p, size_t n, struct err *e);
int outfile_commit(struct outfile *o, struct err *e);
int outfile_sync_dir(const char *path); /* of the folder that path is in; -1 and errno */
void outfile_abort(struct outfile *o);  /* safe on a committed or zeroed outfile */

/* Append-only durable file for resumable work: records already in PATH.part are kept if its first line
 * equals `key`; else it starts over.  Hand the records to `seen` (complete lines only; a torn last line
 * is cut off).  partfile_commit renames to PATH without the key line.  The part is locked while it is
 * open: ERR_LOCKED if another process writes it. */
struct partfile {
    FILE *f;
    char *path, *part;
    long kept; /* records found */
};
int partfile_open(struct partfile *p, const char *path, const char *key,
                  int (*seen)(void *arg, const char *line, size_t n, struct err *e), void *arg,
                  struct err *e);
int partfile_line(struct partfile *p, const char *line, size_t n,
                  struct err *e); /* appends and flushes */
int partfile_commit(struct partfile *p, struct err *e);
void partfile_close(struct partfile *p); /* leaves a .part with records for a later resume */

/* X.meta.json beside an artifact: sha256, bytes, tool, version, args, inputs with sha256, seconds,
 * host, device.  inputs: NULL-terminated paths; their digests are taken from their own sidecars when
 * size and mtime still agree, else computed. */
int meta_write(const char *path, const char *sha256, uint64_t bytes, const char *const *inputs,
               const char *device, double seconds, struct err *e);
/* The same with the receipt of a model (verify.h), which is JSON. */
int meta_write_receipt(const char *path, const char *sha256, uint64_t bytes,
                       const char *const *inputs, const char *device, double seconds,
                       const char *receipt, struct err *e);
#endif
