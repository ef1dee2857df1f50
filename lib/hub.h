/* hub.h - models on a Hugging Face hub: names, settings of its clients, listings, and its cache on disk
 *
 * The cache is that of huggingface_hub, which finds what we fetched and the other way round:
 *     CACHE/models--ORG--NAME/blobs/OID                     the bytes, OID their sha256 (large) or git's sha1
 *                             snapshots/COMMIT/PATH         a link to ../../blobs/OID
 *                             refs/REV                      the commit that a branch or tag was
 *                             .apr/COMMIT.json              ours: the hub's listing of that commit
 *     CACHE/.locks/models--ORG--NAME/OID.lock               flock while a blob is fetched
 * No network here (pull.h has it).  A listing is hostile input: names, sizes and digests are checked. */
#ifndef HUB_H
#define HUB_H
#include "err.h"
#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#define HUB_SCHEME "hf://"
#define HUB_RECORD ".hub.json" /* in a folder that apr-pull -o made: where it came from (pull/1) */
enum { HUB_FILES = 100000, HUB_DEPTH = 32 }; /* of one repository; folders of a path */

/* hf://[datasets/]ORG/NAME[@REV][:FILE] */
struct hub_name {
    char kind[12]; /* "models", "datasets" */
    char repo[200], rev[200], file[1024];
};
int hub_name(struct hub_name *n, const char *text, struct err *e);
/* Is it a relative path that stays where it is put: UTF-8, no empty, "." or ".." part, no control byte? */
int hub_path_ok(const char *s);
/* The same from the address of a file on the hub: ENDPOINT/ORG/NAME/resolve/REV/FILE; 0 = it is one, 1 = another
 * address. */
int hub_name_of_url(struct hub_name *n, const char *url, const char *endpoint, struct err *e);

/* HF_ENDPOINT, HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME, HF_TOKEN, HF_TOKEN_PATH, HF_HUB_OFFLINE, as huggingface_hub
 * reads them.  ERR_CONFIG for a value that cannot be. */
struct hub {
    char endpoint[512]; /* without a slash at its end */
    char cache[PATH_MAX / 2];
    char token[512]; /* "": none */
    int offline;
};
int hub_settings(struct hub *h, struct err *e);

struct hub_file {
    char *path;
    uint64_t size;
    char oid[65]; /* hex: 64 digits are sha256, 40 git's sha1 of a blob */
};
struct hub_list {
    char commit[41];
    struct hub_file *file; /* sorted by path */
    int n;
};
int hub_by_path(const void *a,
                const void *b); /* order of two struct hub_file, for qsort and bsearch */
/* The files of a snapshot's folder by its links; a file that is no link into blobs/ has the oid "". */
int hub_list_walk(struct hub_list *l, const char *dir, const char *commit, struct err *e);
/* The hub's answer to /api/models/REPO/revision/REV?blobs=true. */
int hub_list_parse(struct hub_list *l, const char *json, size_t n, const char *where,
                   struct err *e);
/* Keep what is asked for: the file by name (a split GGUF with all its parts), else what matches one of include
 * (none: all) and none of exclude; shell patterns, where * crosses slashes.  ERR_NOINPUT if nothing is left. */
int hub_list_select(struct hub_list *l, const char *file, const char *const *include, int n_include,
                    const char *const *exclude, int n_exclude, struct err *e);
void hub_list_free(struct hub_list *l);

/* A place inside the repository's folder of the cache: hub_path(h, n, buf, "blobs/%s", oid). */
int hub_path(const struct hub *h, const struct hub_name *n, char buf[PATH_MAX], struct err *e,
             const char *fmt, ...) __attribute__((format(printf, 5, 6)));
int hub_make_parents(const char *path, struct err *e); /* mkdir -p of its folder */
/* A small file whole, by a temporary and rename. */
int hub_put(const char *path, const char *text, struct err *e);
/* The commit that rev is known to be: itself, or what refs/ says; ERR_NOINPUT if it is not known. */
int hub_commit(const struct hub *h, const struct hub_name *n, char commit[41], struct err *e);
int hub_link(const struct hub *h, const struct hub_name *n, const char *commit,
             const struct hub_file *f, struct err *e);
/* The listing kept with a commit; ERR_NOINPUT if there is none. */
int hub_list_load(const struct hub *h, const struct hub_name *n, const char *commit,
                  struct hub_list *l, struct err *e);
/* What the cache has of n, without a network: the folder of the snapshot, or the file where n names one.
 * ERR_NOINPUT names what is missing and says how to get it. */
int hub_cached(const struct hub *h, const struct hub_name *n, char path[PATH_MAX], struct err *e);

/* The path that an operand names: hf://... is looked up in the cache, anything else is the path. */
int hub_operand(const char *operand, char path[PATH_MAX], struct err *e);

/* Where a folder or file came from, "hf://ORG/NAME@COMMIT", and its listing: of a snapshot in a cache, or of a
 * folder that apr-pull -o made.  0, or ERR_NO if nothing tells. */
int hub_origin(const char *path, char origin[512], struct hub_list *l, struct err *e);
#endif
