/* hub_copy - files of the cache in a folder of their own, for who wants no links into a cache */
#include "hub_pull.h"
#include "json.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LINK_FROM = 10 << 20
}; /* bytes; smaller files are copied, so that editing one leaves the cache alone */

static int copy_bytes(int from, int to, const char *path, struct err *e)
{
    static const size_t chunk = 1 << 20;
    ssize_t k;
    while ((k = copy_file_range(from, NULL, to, NULL, 1u << 30, 0)) > 0)
        ;
    if (k == 0)
        return 0;
    char *buf = malloc(chunk);
    if (!buf)
        return err_set(e, ERR_NOMEM, "%s: out of memory", path);
    lseek(from, 0, SEEK_SET);
    lseek(to, 0, SEEK_SET);
    int rc = 0;
    while (rc == 0 && (k = read(from, buf, chunk)) != 0) {
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0 || write(to, buf, (size_t)k) != k)
            rc = err_errno(e, ERR_IO, "%s", path);
    }
    free(buf);
    return rc;
}

int hub_copy_file(const char *from, const char *path, struct err *e)
{
    char tmp[PATH_MAX + 32], self[40];
    struct stat st, old;
    int in = open(from, O_RDONLY | O_CLOEXEC), out, rc = 0;
    snprintf(tmp, sizeof tmp, "%s.tmp.%ld", path, (long)getpid());
    if (in < 0 || fstat(in, &st)) {
        err_errno(e, ERR_NOINPUT, "%s", from);
        if (in >= 0)
            close(in);
        return e->code;
    }
    unlink(tmp);
    if (stat(path, &old) == 0 && old.st_dev == st.st_dev && old.st_ino == st.st_ino) {
        close(in);
        return 0;
    }
    /* what was opened, whatever links led to it */
    snprintf(self, sizeof self, "/proc/self/fd/%d", in);
    if (st.st_size < LINK_FROM || linkat(AT_FDCWD, self, AT_FDCWD, tmp, AT_SYMLINK_FOLLOW)) {
        out = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        rc = out < 0 ? err_errno(e, ERR_CANTCREAT, "%s", path) : copy_bytes(in, out, path, e);
        if (out >= 0 && close(out) && rc == 0)
            rc = err_errno(e, ERR_IO, "%s", path);
    }
    close(in);
    if (rc == 0 && rename(tmp, path))
        rc = err_errno(e, ERR_CANTCREAT, "%s", path);
    if (rc < 0)
        unlink(tmp);
    return rc;
}

/* What an earlier call put there and this one did not: by its record, or all if nobody else puts anything there. */
static void drop_old(const char *dir, const struct hub_list *l, int all)
{
    struct hub_list old;
    struct err none = {0};
    char origin[512], path[PATH_MAX + 1100];
    if (all ? hub_list_walk(&old, dir, "", &none) : hub_origin(dir, origin, &old, &none))
        return;
    for (int i = 0; i < old.n; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, old.file[i].path);
        if (!bsearch(&old.file[i], l->file, (size_t)l->n, sizeof *l->file, hub_by_path))
            unlink(path);
    }
    hub_list_free(&old);
}

/* The folder to fill: DIR itself if we made it before, else DIR.part. */
static int place(const char *dir, char work[PATH_MAX], struct err *e)
{
    struct stat st;
    int k = snprintf(work, PATH_MAX, "%s/%s", dir, HUB_RECORD);
    if (k >= PATH_MAX - 8)
        return err_set(e, ERR_CANTCREAT, "%.200s: path too long", dir);
    int ours = access(work, F_OK) == 0, there = lstat(dir, &st) == 0;
    if (there && !ours && (!S_ISDIR(st.st_mode) || rmdir(dir))) /* an empty one may go */
        return err_set(e, ERR_CANTCREAT,
                       "%s: is there already, and not from apr-pull: not replaced", dir);
    snprintf(work, PATH_MAX, there && ours ? "%s" : "%s.part", dir);
    if (mkdir(work, 0777) && errno != EEXIST)
        return err_errno(e, ERR_CANTCREAT, "%s", work);
    return 0;
}

static int fill(const struct hub *h, const struct hub_name *n, const struct hub_list *l,
                const char *work, struct err *e)
{
    char from[PATH_MAX], to[2 * PATH_MAX];
    for (int i = 0; i < l->n; i++) {
        const struct hub_file *f = &l->file[i];
        if (snprintf(to, sizeof to, "%s/%s", work, f->path) >= PATH_MAX)
            return err_set(e, ERR_CANTCREAT, "%s: path too long", f->path);
        if (hub_path(h, n, from, e, "snapshots/%s/%s", l->commit, f->path) < 0 ||
            hub_make_parents(to, e) < 0 || hub_copy_file(from, to, e) < 0)
            return e->code;
    }
    return 0;
}

int hub_copy_out(const struct hub *h, const struct hub_name *n, const struct hub_list *l,
                 const char *given, const char *record, struct err *e)
{
    char dir[PATH_MAX], work[PATH_MAX], path[PATH_MAX + 16];
    size_t k = strlen(given);
    while (k > 1 && given[k - 1] == '/')
        k--;
    if (snprintf(dir, sizeof dir, "%.*s", (int)k, given) >= (int)sizeof dir - 16)
        return err_set(e, ERR_CANTCREAT, "%.200s: path too long", given);
    if (hub_make_parents(dir, e) < 0 || place(dir, work, e) < 0)
        return e->code;
    int lock = open(work, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;
    if (lock < 0)
        return err_errno(e, ERR_CANTCREAT, "%s", work);
    if (flock(lock, LOCK_EX | LOCK_NB)) {
        close(lock);
        return err_set(e, ERR_LOCKED, "%s: another process fills it", work);
    }
    snprintf(path, sizeof path, "%s/%s", work, HUB_RECORD);
    if ((rc = fill(h, n, l, work, e)) == 0) {
        drop_old(work, l, strcmp(work, dir) != 0);
        rc = hub_put(path, record, e);
    }
    if (rc == 0 && strcmp(work, dir) && (fsync(lock) || rename(work, dir)))
        rc = err_errno(e, ERR_CANTCREAT, "%s", dir);
    close(lock);
    return rc;
}
