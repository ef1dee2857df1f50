/* hub_pull - which files of a repository are missing in the cache, fetched, then linked into the snapshot */
#include "hub_pull.h"
#include "hash.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* RFC 3986: what may stand in a path as it is; '/' only where slash is set. */
static void encode(char *to, size_t size, const char *s, int slash)
{
    size_t n = 0;
    for (; *s && n + 4 < size; s++) {
        unsigned char c = (unsigned char)*s;
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            strchr("-._~", c) || (c == '/' && slash))
            to[n++] = (char)c;
        else
            n += (size_t)snprintf(to + n, 4, "%%%02X", c);
    }
    to[n] = 0;
}

/* ---- the listing ---- */

static int ask_hub(const struct hub *h, const struct hub_name *n, const struct pull_opts *o,
                   struct hub_list *l, struct err *e)
{
    char url[2048], rev[700], path[PATH_MAX], *text;
    size_t size;
    encode(rev, sizeof rev, n->rev, 0);
    snprintf(url, sizeof url, "%s/api/%s/%s/revision/%s?blobs=true", h->endpoint, n->kind, n->repo,
             rev);
    int rc = pull_text(url, o, &text, &size, e);
    if (rc < 0)
        return rc;
    if ((rc = hub_list_parse(l, text, size, n->repo, e)) == 0) {
        if ((rc = hub_path(h, n, path, e, ".apr/%s.json", l->commit)) == 0)
            rc = hub_put(path, text, e);
        if (rc < 0)
            hub_list_free(l);
    }
    free(text);
    return rc;
}

/* Of a commit that is known: as the hub told it once, or as the snapshot is. */
static int known_list(const struct hub *h, const struct hub_name *n, struct hub_list *l,
                      struct err *e)
{
    struct err why = {0};
    char commit[41], path[PATH_MAX];
    int rc = hub_commit(h, n, commit, e);
    if (rc < 0 || hub_list_load(h, n, commit, l, &why) == 0)
        return rc;
    if (hub_path(h, n, path, e, "snapshots/%s", commit) < 0)
        return e->code;
    return h->offline ? hub_list_walk(l, path, commit, e) : ERR_NOINPUT;
}

static int get_list(const struct hub *h, const struct hub_want *w, const struct pull_opts *o,
                    struct hub_list *l, struct err *e)
{
    struct err none = {0};
    int fixed = strspn(w->name.rev, "0123456789abcdef") == 40 && !w->name.rev[40];
    if (h->offline)
        return known_list(h, &w->name, l, e);
    if (fixed && known_list(h, &w->name, l, &none) == 0)
        return 0;
    return ask_hub(h, &w->name, o, l, e);
}

/* ---- the files ---- */

struct work {
    struct pull_item *item;     /* n of them */
    const struct hub_file **of; /* item[k] is this file of the list */
    int n;
};

static int blob_path(const struct hub *h, const struct hub_want *w, const struct hub_file *f,
                     char path[PATH_MAX], struct err *e)
{
    return *f->oid ? hub_path(h, &w->name, path, e, "blobs/%s", f->oid)
                   : err_set(e, ERR_DATA, "%s: no digest is known", f->path);
}

/* Is its blob there, and as long as it should be (and of its digest, if that is to be looked at)? */
static int have(const struct hub *h, const struct hub_want *w, const struct hub_file *f,
                struct err *e)
{
    char path[PATH_MAX];
    struct stat st;
    if (h->offline && !*f->oid) /* a plain file of another client's snapshot */
        return 1;
    if (blob_path(h, w, f, path, e) < 0)
        return e->code;
    if (stat(path, &st))
        return 0;
    int good = S_ISREG(st.st_mode) && (uint64_t)st.st_size == f->size;
    if (good && w->verify && (good = hash_oid_file(path, f->oid, e)) < 0)
        return good;
    if (good)
        return 1;
    if (h->offline)
        return err_set(e, ERR_DATA, "%s: %s: not the bytes that its name says", f->path, path);
    if (unlink(path))
        return err_errno(e, ERR_CANTCREAT, "%s", path);
    return 0;
}

static int by_oid(const void *a, const void *b)
{
    const struct hub_file *x = *(const struct hub_file *const *)a,
                          *y = *(const struct hub_file *const *)b;
    int c = strcmp(x->oid, y->oid);
    return c ? c : (x > y) - (x < y);
}

static int by_place(const void *a, const void *b)
{
    const struct hub_file *x = *(const struct hub_file *const *)a,
                          *y = *(const struct hub_file *const *)b;
    return (x > y) - (x < y);
}

/* Files of equal bytes are one blob. */
static int drop_doubles(const struct hub_file **of, int n)
{
    int kept = 0;
    qsort(of, (size_t)n, sizeof *of, by_oid);
    for (int i = 0; i < n; i++)
        if (!kept || strcmp(of[kept - 1]->oid, of[i]->oid))
            of[kept++] = of[i];
    qsort(of, (size_t)kept, sizeof *of, by_place);
    return kept;
}

static int make_item(const struct hub *h, const struct hub_want *w, const char *commit,
                     const struct hub_file *f, struct pull_item *item, struct err *e)
{
    char url[6000], path[PATH_MAX], blob[PATH_MAX], lock[PATH_MAX];
    const struct hub_name *n = &w->name;
    encode(path, sizeof path, f->path, 1);
    snprintf(url, sizeof url, "%s/%s%s%s/resolve/%s/%s", h->endpoint,
             strcmp(n->kind, "models") ? n->kind : "", strcmp(n->kind, "models") ? "/" : "",
             n->repo, commit, path);
    if (blob_path(h, w, f, blob, e) < 0 || hub_make_parents(blob, e) < 0 ||
        hub_path(h, n, path, e, "%s.lock", f->oid) < 0)
        return e->code;
    /* CACHE/.locks/models--X/OID.lock, as huggingface_hub has it */
    if (snprintf(lock, sizeof lock, "%s/.locks%s", h->cache, path + strlen(h->cache)) >=
        (int)sizeof lock)
        return err_set(e, ERR_CANTCREAT, "%s: path too long", lock);
    *item = (struct pull_item){.name = f->path,
                               .url = strdup(url),
                               .path = strdup(blob),
                               .lock = strdup(lock),
                               .size = f->size,
                               .oid = f->oid,
                               .key = f->oid};
    if (!item->url || !item->path || !item->lock)
        return err_set(e, ERR_NOMEM, "out of memory");
    return hub_make_parents(lock, e);
}

static int plan(const struct hub *h, const struct hub_want *w, const struct hub_list *l,
                struct work *k, struct err *e)
{
    int n = 0, rc = 0;
    k->of = malloc(((size_t)l->n + 1) * sizeof *k->of);
    k->item = calloc((size_t)l->n + 1, sizeof *k->item);
    if (!k->of || !k->item)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (int i = 0; i < l->n; i++) {
        if ((rc = have(h, w, &l->file[i], e)) < 0)
            return rc;
        if (!rc)
            k->of[n++] = &l->file[i];
    }
    if (n && h->offline)
        return err_set(e, ERR_NOINPUT, "%s: %s and %d more are not in the cache (%s)", w->name.repo,
                       k->of[0]->path, n - 1, h->cache);
    n = drop_doubles(k->of, n);
    for (rc = 0; k->n < n && rc == 0; k->n += rc == 0)
        rc = make_item(h, w, l->commit, k->of[k->n], &k->item[k->n], e);
    return rc;
}

static int link_all(const struct hub *h, const struct hub_want *w, const struct hub_list *l,
                    struct err *e)
{
    char path[PATH_MAX];
    for (int i = 0; i < l->n; i++)
        if (hub_link(h, &w->name, l->commit, &l->file[i], e) < 0)
            return e->code;
    if (strcmp(w->name.rev, l->commit) == 0)
        return 0;
    return hub_path(h, &w->name, path, e, "refs/%s", w->name.rev) < 0 ? e->code
                                                                      : hub_put(path, l->commit, e);
}

int hub_pull(const struct hub *h, const struct hub_want *w, const struct pull_opts *o,
             struct hub_got *got, struct err *e)
{
    struct work k = {0};
    struct hub_list *l = &got->list;
    int rc;
    memset(got, 0, sizeof *got);
    if ((rc = get_list(h, w, o, l, e)) < 0)
        return rc;
    if ((rc = hub_list_select(l, w->name.file, w->include, w->n_include, w->exclude, w->n_exclude,
                              e)) < 0) {
        err_prefix(e, "%s@%s", w->name.repo, w->name.rev);
        goto done;
    }
    if (!(got->fetched = calloc((size_t)l->n + 1, sizeof *got->fetched))) {
        rc = err_set(e, ERR_NOMEM, "out of memory");
        goto done;
    }
    if ((rc = plan(h, w, l, &k, e)) < 0 || (rc = pull_files(k.item, k.n, o, e)) < 0 ||
        (!h->offline && (rc = link_all(h, w, l, e)) < 0))
        goto done;
    for (int i = 0; i < k.n; i++)
        got->pulled += got->fetched[k.of[i] - l->file] = k.item[i].fetched;
    for (int i = 0; i < l->n; i++)
        got->bytes += l->file[i].size;
    rc = hub_path(h, &w->name, got->path, e, "snapshots/%s%s%s", l->commit,
                  *w->name.file ? "/" : "", w->name.file);
done:
    for (int i = 0; k.item && i < l->n; i++) {
        free((char *)k.item[i].url);
        free((char *)k.item[i].path);
        free((char *)k.item[i].lock);
    }
    free(k.item);
    free(k.of);
    if (rc < 0)
        hub_got_free(got);
    return rc;
}

void hub_got_free(struct hub_got *got)
{
    hub_list_free(&got->list);
    free(got->fetched);
    memset(got, 0, sizeof *got);
}
