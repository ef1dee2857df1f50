/* outdir - output folders: a temporary one, renamed */
#include "outdir.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A folder of plain files: all that we ever make. */
static int remove_flat(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *f;
    if (!d)
        return -1;
    while ((f = readdir(d)))
        if (strcmp(f->d_name, ".") && strcmp(f->d_name, ".."))
            unlinkat(dirfd(d), f->d_name, 0);
    closedir(d);
    return rmdir(dir);
}

/* Temporaries of processes that are gone. */
static void sweep(const char *path)
{
    char dir[4096], name[4400];
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    size_t n = strlen(base);
    struct dirent *f;
    if (slash)
        snprintf(dir, sizeof dir, "%.*s", (int)(slash - path + 1), path);
    DIR *d = opendir(slash ? dir : ".");
    while (d && (f = readdir(d))) {
        char *end;
        if (strncmp(f->d_name, base, n) || strncmp(f->d_name + n, ".tmp.", 5))
            continue;
        long pid = strtol(f->d_name + n + 5, &end, 10);
        if (*end || pid <= 0 || kill((pid_t)pid, 0) == 0 || errno != ESRCH)
            continue;
        snprintf(name, sizeof name, "%s%s", slash ? dir : "", f->d_name);
        struct stat st;
        if (lstat(name, &st) == 0 && S_ISDIR(st.st_mode))
            remove_flat(name);
    }
    if (d)
        closedir(d);
}

/* A folder that will be replaced must hold nothing but what the new one brings. */
static int only_ours(const char *path, const char *const *ours, struct err *e)
{
    DIR *d = opendir(path);
    struct dirent *f;
    int rc = d ? 0 : err_errno(e, ERR_CANTCREAT, "%s", path);
    while (rc == 0 && (f = readdir(d))) {
        int known = strcmp(f->d_name, ".") == 0 || strcmp(f->d_name, "..") == 0;
        for (int i = 0; !known && ours[i]; i++)
            known = fnmatch(ours[i], f->d_name, 0) == 0;
        if (!known)
            rc = err_set(e, ERR_CANTCREAT, "%s: holds %.200s, which would be lost: not replaced",
                         path, f->d_name);
    }
    if (d)
        closedir(d);
    return rc;
}

/* The names, and no temporary of a process that is gone. */
static int begin(struct outdir *o, const char *path, struct err *e)
{
    size_t n = strlen(path);
    *o = (struct outdir){0};
    while (n > 1 && path[n - 1] == '/')
        n--;
    o->path = strndup(path, n);
    o->tmp = malloc(n + 32);
    if (!o->path || !o->tmp)
        return err_set(e, ERR_NOMEM, "%s", path);
    snprintf(o->tmp, n + 32, "%s.tmp.%ld", o->path, (long)getpid());
    sweep(o->path);
    return 0;
}

/* The folder, if rc is 0 so far. */
static int make(struct outdir *o, int rc, struct err *e)
{
    if (rc == 0 && mkdir(o->tmp, 0777))
        rc = err_errno(e, ERR_CANTCREAT, "%s", o->tmp);
    if (rc) {
        free(o->tmp); /* not ours to remove */
        o->tmp = NULL;
        outdir_abort(o);
    }
    return rc;
}

int outdir_beside(struct outdir *o, const char *path, struct err *e)
{
    return make(o, begin(o, path, e), e);
}

int outdir_open(struct outdir *o, const char *path, const char *const *ours, struct err *e)
{
    struct stat st;
    int rc = begin(o, path, e);
    if (rc == 0 && lstat(o->path, &st) == 0)
        rc = S_ISDIR(st.st_mode) ? only_ours(o->path, ours, e)
                                 : err_set(e, ERR_CANTCREAT, "%s: exists and is no folder", path);
    return make(o, rc, e);
}

int outdir_commit(struct outdir *o, struct err *e)
{
    int rc = 0, fd = open(o->tmp, O_RDONLY | O_DIRECTORY);
    if (fd < 0 || fsync(fd))
        rc = err_errno(e, ERR_IO, "%s", o->tmp);
    if (fd >= 0)
        close(fd);
    if (rc == 0 && renameat2(AT_FDCWD, o->tmp, AT_FDCWD, o->path, RENAME_NOREPLACE) == 0) {
        free(o->tmp);
        o->tmp = NULL;
    } else if (rc == 0 &&
               (errno != EEXIST || renameat2(AT_FDCWD, o->tmp, AT_FDCWD, o->path, RENAME_EXCHANGE)))
        rc = err_errno(e, ERR_CANTCREAT, "%s", o->path);
    outdir_abort(o); /* after an exchange tmp is the old folder */
    return rc;
}

void outdir_abort(struct outdir *o)
{
    if (o->tmp)
        remove_flat(o->tmp);
    free(o->tmp);
    free(o->path);
    *o = (struct outdir){0};
}
