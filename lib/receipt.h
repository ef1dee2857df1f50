/* receipt.h - the sidecars (meta/1) of files and of what they were made from
 *
 * A sidecar X.meta.json tells the tool, version, arguments, inputs with digests, time, host of X
 * (outfile.h).  Receipts follow the inputs back to what came from outside. */
#ifndef RECEIPT_H
#define RECEIPT_H
#include "err.h"
#include "json.h"

enum receipt_state {
    RECEIPT_NONE,    /* no sidecar */
    RECEIPT_OK,      /* the digest in the sidecar is the one that the file or its user has */
    RECEIPT_CHANGED, /* it is another one */
    RECEIPT_DAMAGED  /* a sidecar that cannot be read */
};
struct receipt {
    char *path;
    int direct;      /* named by the caller, not found as an input of another */
    char sha256[65]; /* of the file (direct), or as its user's sidecar recorded it; "" = unknown */
    enum receipt_state state;
    cJSON *meta; /* NULL without a sidecar */
    /* of the sidecar; "" if absent */
    const char *tool, *version, *host, *device, *end;
    double seconds; /* NAN if absent */
};
struct receipts {
    struct receipt *v;
    int n, cap;
    int left_out; /* inputs beyond RECEIPTS */
};
enum { RECEIPTS = 1000 };
/* Add a file: its digest is taken ("" for a folder or pipe) and its sidecar read. */
int receipts_add(struct receipts *r, const char *path, struct err *e);
/* The same without reading the file, for large ones: the digest is its sidecar's, the state OK if the
 * size still is what the sidecar says. */
int receipts_note(struct receipts *r, const char *path, struct err *e);
/* Add the inputs of all that is there, theirs, and so on. A missing sidecar is no error. */
int receipts_follow(struct receipts *r, struct err *e);
const struct receipt *receipts_by_sha256(const struct receipts *r, const char *sha256);
/* Input k of a receipt: path and digest; 0 if there is none. */
int receipt_input(const struct receipt *v, int k, const char **path, const char **sha256);
void receipts_free(struct receipts *r);
#endif
