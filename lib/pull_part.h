/* pull_part.h - a file that comes in ranges: its bytes, and a table of what is there that survives kill -9 */
#ifndef PULL_PART_H
#define PULL_PART_H
#include "err.h"
#include <stddef.h>
#include <stdint.h>

enum { PART_SPANS = 64 };
struct part_span {
    uint64_t begin, end, at; /* begin <= at <= end: bytes before at are there */
};
struct part {
    int fd, state; /* PATH.part, PATH.part.state; -1: closed */
    uint64_t size, unsaved;
    char key[80];
    uint32_t n;
    struct part_span span[PART_SPANS];
    char *path;
};
/* Go on with what an earlier process left if it is of the same key and size, else begin; the file has its whole
 * length from the start, so that a full disk is told now.  size UINT64_MAX: one span without an end.
 * range: spans are no smaller; 0: one.  Locks PATH.part: ERR_LOCKED if another process has it. */
int part_open(struct part *p, const char *path, uint64_t size, const char *key, uint64_t range,
              struct err *e);
/* Forget all bytes: again, as one span if `whole`. */
int part_reset(struct part *p, int whole, uint64_t range, struct err *e);
int part_write(struct part *p, int span, const void *bytes, size_t n, struct err *e);
int part_save(struct part *p, struct err *e); /* the table; part_write does it every 64 KiB */
uint64_t part_done(const struct part *p);     /* bytes that are there */
int part_complete(const struct part *p);
int part_commit(struct part *p, struct err *e); /* fsync, PATH.part becomes PATH */
void part_remove(struct part *p);
void part_close(struct part *p);
#endif
