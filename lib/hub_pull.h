/* hub_pull.h - bring files of a hub's repository into the cache, and out of it into a folder */
#ifndef HUB_PULL_H
#define HUB_PULL_H
#include "hub.h"
#include "pull.h"

struct hub_want {
    struct hub_name name;
    const char *const *include, *const *exclude;
    int n_include, n_exclude;
    int verify; /* read what was there already and compare its digest */
};
struct hub_got {
    struct hub_list list;   /* what was asked for */
    uint64_t *fetched;      /* of list.file[i]: bytes over the network, 0: it was there */
    char path[PATH_MAX];    /* the snapshot's folder, or the file where name.file is one */
    uint64_t bytes, pulled; /* sums of sizes, and of fetched */
};
/* h->offline: nothing is fetched; what is missing is ERR_NOINPUT.  A commit whose files are all there needs no
 * network either.  refs/ is written last, so that a revision found there is whole. */
int hub_pull(const struct hub *h, const struct hub_want *w, const struct pull_opts *o,
             struct hub_got *got, struct err *e);
void hub_got_free(struct hub_got *got);

/* The files in a folder of their own: hard links where they are large and the file system allows, else copies.
 * DIR appears whole (DIR.part before that); one that apr-pull made before is brought up to date, any other is
 * ERR_CANTCREAT.  record: the text of DIR/.hub.json. */
int hub_copy_out(const struct hub *h, const struct hub_name *n, const struct hub_list *l,
                 const char *dir, const char *record, struct err *e);
/* One file of the cache as `path`. */
int hub_copy_file(const char *from, const char *path, struct err *e);
#endif
