/* pull.h - files over HTTP: parallel ranges, resumed after kill -9, checked before they appear
 *
 * A file is fetched into PATH.part, with a table of the ranges and how far each is in PATH.part.state; both are
 * there after a kill at any point, and the next run goes on from them.  When all bytes are there their digest
 * is compared, and only then PATH.part becomes PATH.  Servers are hostile: what a range answers is compared
 * with what was asked, nothing is written beyond the size that is expected, redirects lead to http(s) alone and
 * never from https to http, and the token goes to the origin of `endpoint` and no other. */
#ifndef PULL_H
#define PULL_H
#include "err.h"
#include <stddef.h>
#include <stdint.h>

#define PULL_UNKNOWN UINT64_MAX /* a size that the server does not tell */

struct pull_opts {
    const char *endpoint, *token; /* token "" or NULL: none */
    long connections;             /* at once, of all files together */
    long retries;                 /* failures in a row, of one file, without progress between */
    long stall;                   /* seconds without a byte that count as a failure */
    uint64_t range;               /* bytes; ranges are no smaller; 0: one stream a file */
    void (*progress)(void *arg, uint64_t done, uint64_t total);
    void (*say)(void *arg, const char *text); /* a wait or a new start; may be NULL */
    void *arg;
};

struct pull_item {
    const char *name;       /* for messages */
    const char *url, *path; /* path: whole or not there */
    const char *lock;       /* flock while it is fetched; NULL: PATH.part itself */
    uint64_t size;          /* or PULL_UNKNOWN; the size found, at the end */
    const char *oid;  /* sha256, or git's sha1 of a blob, in hex; "": nothing to compare with */
    const char *key;  /* which bytes these are, for resuming; "": never resumed */
    uint64_t fetched; /* out: bytes that came over the network; 0: it was there */
};
/* All or an error; what is complete stays, and what is not can be resumed.
 * ERR_NOINPUT: the server has no such file, or not for us; ERR_UNAVAILABLE: no answer within the retries;
 * ERR_DATA: other bytes than expected, twice. */
int pull_files(struct pull_item *v, int n, const struct pull_opts *o, struct err *e);

/* A body of at most 64 MiB, with a NUL behind it. */
int pull_text(const char *url, const struct pull_opts *o, char **text, size_t *n, struct err *e);
/* What a server says of a file without sending it. */
struct pull_head {
    uint64_t size;
    char validator[200]; /* strong ETag, or Last-Modified; "" if neither */
    int ranges;          /* it says that it takes ranges */
};
int pull_head(const char *url, const struct pull_opts *o, struct pull_head *head, struct err *e);
#endif
