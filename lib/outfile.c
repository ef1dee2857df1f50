/* outfile - outputs that appear whole or not at all, resumable part files, sidecars */
#include "outfile.h"
#include "cli.h"
#include "hash.h"
#include "json.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char *join(const char *a, const char *b)
{
    size_t n = strlen(a), k = strlen(b);
    char *s = malloc(n + k + 1);
    if (s) {
        memcpy(s, a, n);
        memcpy(s + n, b, k + 1);
    }
    return s;
}

static void dir_of(const char *path, char *dir, size_t size)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        snprintf(dir, size, ".");
    else
        snprintf(dir, size, "%.*s", (int)(slash == path ? 1 : slash - path), path);
}

/* Temporaries of processes that are gone: a kill -9 leaves them behind. */
static void sweep(const char *path)
{
    char dir[PATH_MAX], full[2 * PATH_MAX];
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    size_t n = strlen(base);
    dir_of(path, dir, sizeof dir);
    DIR *d = opendir(dir);
    if (!d)
        return;
    for (struct dirent *en; (en = readdir(d));) {
        if (strncmp(en->d_name, base, n) || strncmp(en->d_name + n, ".tmp.", 5))
            continue;
        char *end;
        long pid = strtol(en->d_name + n + 5, &end, 10);
        if (*end || pid <= 0 || pid == getpid() || kill((pid_t)pid, 0) == 0 || errno != ESRCH)
            continue;
        snprintf(full, sizeof full, "%s/%s", dir, en->d_name);
        unlink(full);
    }
    closedir(d);
}

int outfile_sync_dir(const char *path)
{
    char dir[PATH_MAX];
    dir_of(path, dir, sizeof dir);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int rc = fsync(fd);
    close(fd);
    return rc && errno != EINVAL && errno != EROFS ? -1 : 0;
}

int outfile_open(struct outfile *o, const char *path, struct err *e)
{
    char suffix[32];
    struct hash_sha256 *sha;
    memset(o, 0, sizeof *o);
    o->path = join(path, "");
    o->sha = sha = calloc(1, sizeof *sha);
    if (!o->path || !sha || hash_sha256_init(sha) < 0)
        return err_set(e, ERR_NOMEM, "%s: out of memory", path);
    if (strcmp(path, "-") == 0) {
        o->f = stdout;
        return 0;
    }
    struct stat st;
    if (stat(path, &st) == 0 &&
        !S_ISREG(st.st_mode)) { /* a device or pipe is written, never replaced */
        o->f = S_ISDIR(st.st_mode) ? NULL : fopen(path, "wb");
        if (!o->f) {
            if (S_ISDIR(st.st_mode))
                err_set(e, ERR_CANTCREAT, "%s: is a directory", path);
            else
                err_errno(e, ERR_CANTCREAT, "%s", path);
            outfile_abort(o);
            return ERR_CANTCREAT;
        }
        return 0;
    }
    sweep(path);
    snprintf(suffix, sizeof suffix, ".tmp.%ld", (long)getpid());
    o->tmp = join(path, suffix);
    int fd = o->tmp ? open(o->tmp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666) : -1;
    o->f = fd >= 0 ? fdopen(fd, "w+b") : NULL;
    if (!o->f) {
        err_errno(e, ERR_CANTCREAT, "%s", path);
        if (fd >= 0)
            close(fd);
        outfile_abort(o);
        return ERR_CANTCREAT;
    }
    return 0;
}

int outfile_write(struct outfile *o, const void *p, size_t n, struct err *e)
{
    if (n == 0)
        return 0;
    if (fwrite(p, 1, n, o->f) != n)
        return err_errno(e, ERR_IO, "%s", o->path);
    if (!o->patched)
        hash_sha256_add(o->sha, p, n);
    o->bytes += n;
    return 0;
}

void outfile_patches(struct outfile *o)
{
    o->patched = o->tmp != NULL;
}

int outfile_pad(struct outfile *o, size_t align, struct err *e)
{
    static const char zeros[4096];
    size_t left = (align - o->bytes % align) % align;
    while (left) {
        size_t k = left < sizeof zeros ? left : sizeof zeros;
        int rc = outfile_write(o, zeros, k, e);
        if (rc < 0)
            return rc;
        left -= k;
    }
    return 0;
}

int outfile_patch(struct outfile *o, uint64_t off, const void *p, size_t n, struct err *e)
{
    if (fflush(o->f))
        return err_errno(e, ERR_IO, "%s", o->path);
    for (const char *s = p; n;) {
        ssize_t k = pwrite(fileno(o->f), s, n, (off_t)off);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return err_errno(e, ERR_IO, "%s", o->path);
        s += k;
        off += (uint64_t)k;
        n -= (size_t)k;
    }
    o->patched = 1;
    return 0;
}

static int digest_again(struct outfile *o, struct err *e)
{
    static const size_t chunk = 1 << 20;
    char unused[65], *buf = malloc(chunk);
    int rc = 0;
    if (!buf)
        return err_set(e, ERR_NOMEM, "%s: out of memory", o->path);
    hash_sha256_hex(o->sha, unused);
    if (hash_sha256_init(o->sha) < 0)
        rc = err_set(e, ERR_NOMEM, "%s: out of memory", o->path);
    for (uint64_t off = 0; !rc && off < o->bytes;) {
        ssize_t k = pread(fileno(o->f), buf, chunk, (off_t)off);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0) {
            rc = err_errno(e, ERR_IO, "%s", o->path);
            break;
        }
        hash_sha256_add(o->sha, buf, (size_t)k);
        off += (uint64_t)k;
    }
    free(buf);
    return rc;
}

int outfile_commit(struct outfile *o, struct err *e)
{
    int rc = 0;
    if (fflush(o->f) || ferror(o->f))
        rc = err_errno(e, ERR_IO, "%s", o->path);
    else if (o->patched && (rc = digest_again(o, e)) < 0)
        ;
    else if (o->tmp && fsync(fileno(o->f)))
        rc = err_errno(e, ERR_IO, "%s", o->path);
    if (o->f != stdout && fclose(o->f) && !rc)
        rc = err_errno(e, ERR_IO, "%s", o->path);
    o->f = NULL;
    if (!rc && o->tmp && rename(o->tmp, o->path))
        rc = err_errno(e, ERR_CANTCREAT, "%s", o->path);
    if (!rc && o->tmp && outfile_sync_dir(o->path))
        rc = err_errno(e, ERR_IO, "%s", o->path);
    if (!rc) {
        hash_sha256_hex(o->sha, o->hex);
        free(o->tmp);
        o->tmp = NULL;
    }
    outfile_abort(o);
    return rc;
}

void outfile_abort(struct outfile *o)
{
    char unused[65];
    if (o->f && o->f != stdout)
        fclose(o->f);
    if (o->tmp)
        unlink(o->tmp);
    if (o->sha && ((struct hash_sha256 *)o->sha)->ctx)
        hash_sha256_hex(o->sha, unused);
    free(o->sha);
    free(o->tmp);
    free(o->path);
    o->f = NULL;
    o->sha = NULL;
    o->tmp = o->path = NULL;
}

/* ---- part files ---- */

int partfile_open(struct partfile *p, const char *path, const char *key,
                  int (*seen)(void *arg, const char *line, size_t n, struct err *e), void *arg,
                  struct err *e)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    long good = 0;
    int rc = 0;
    memset(p, 0, sizeof *p);
    p->path = join(path, "");
    p->part = join(path, ".part");
    if (!p->path || !p->part) {
        rc = err_set(e, ERR_NOMEM, "%s: out of memory", path);
        goto fail;
    }
    struct stat st; /* said now, not when the work is done */
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        rc = err_set(e, ERR_CANTCREAT, "%s: is a directory", path);
        goto fail;
    }
    int fd = open(p->part, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    p->f = fd >= 0 ? fdopen(fd, "r+b") : NULL;
    if (!p->f) {
        rc = err_errno(e, ERR_CANTCREAT, "%s", p->part);
        if (fd >= 0)
            close(fd);
        goto fail;
    }
    if (flock(fd, LOCK_EX | LOCK_NB)) { /* ends with the process: a kill leaves no lock behind */
        rc = err_set(e, ERR_LOCKED, "%s: another process is writing it", p->part);
        fclose(p->f);
        p->f = NULL; /* theirs, so partfile_close must not judge it */
        goto fail;
    }
    n = getline(&line, &cap, p->f);
    if (n > 0 && line[n - 1] == '\n' && (size_t)n == strlen(key) + 1 &&
        memcmp(line, key, (size_t)n - 1) == 0) {
        good = n;
        while ((n = getline(&line, &cap, p->f)) > 0 && line[n - 1] == '\n') {
            line[n - 1] = 0;
            if (seen && (rc = seen(arg, line, (size_t)n - 1, e)) < 0)
                goto fail;
            good += n;
            p->kept++;
        }
    }
    if (ftruncate(fd, good) || fseek(p->f, good, SEEK_SET)) {
        rc = err_errno(e, ERR_IO, "%s", p->part);
        goto fail;
    }
    if (!good && (rc = partfile_line(p, key, strlen(key), e)) < 0)
        goto fail;
    free(line);
    return 0;
fail:
    free(line);
    partfile_close(p);
    return rc;
}

int partfile_line(struct partfile *p, const char *line, size_t n, struct err *e)
{
    if (fwrite(line, 1, n, p->f) != n || fputc('\n', p->f) == EOF || fflush(p->f))
        return err_errno(e, ERR_IO, "%s", p->part);
    return 0;
}

int partfile_commit(struct partfile *p, struct err *e)
{
    struct outfile o;
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    int rc = outfile_open(&o, p->path, e), first = 1;
    if (rc < 0)
        return rc;
    rewind(p->f);
    while (rc == 0 && (n = getline(&line, &cap, p->f)) > 0) {
        if (!first)
            rc = outfile_write(&o, line, (size_t)n, e);
        first = 0;
    }
    free(line);
    if (rc == 0)
        rc = outfile_commit(&o, e);
    else
        outfile_abort(&o);
    if (rc == 0)
        unlink(p->part);
    partfile_close(p);
    return rc;
}

/* Nothing behind the key line: no work is kept, so nothing should lie about. */
static int partfile_empty(struct partfile *p)
{
    struct stat st;
    int c;
    if (fstat(fileno(p->f), &st) || st.st_nlink == 0)
        return 0;
    clearerr(p->f);
    rewind(p->f);
    while ((c = getc(p->f)) != EOF && c != '\n')
        ;
    return c == EOF || getc(p->f) == EOF;
}

void partfile_close(struct partfile *p)
{
    if (p->f) {
        if (partfile_empty(p))
            unlink(p->part);
        fclose(p->f);
    }
    free(p->path);
    free(p->part);
    memset(p, 0, sizeof *p);
}

/* ---- sidecars ---- */

/* The digest of an input: its own sidecar's when the size agrees and the sidecar is not older. */
static int input_digest(const char *path, char hex[65], struct err *e)
{
    char side[PATH_MAX];
    struct stat a, b;
    snprintf(side, sizeof side, "%s.meta.json", path);
    if (stat(path, &a) == 0 && stat(side, &b) == 0 && b.st_mtime >= a.st_mtime) {
        struct err ignored = {0};
        cJSON *v = json_load(side, &ignored);
        const char *s = v ? json_get_str(v, "sha256", NULL, &ignored) : NULL;
        int ok =
            s && strlen(s) == 64 && json_get_num(v, "bytes", -1, &ignored) == (double)a.st_size;
        if (ok)
            memcpy(hex, s, 65);
        cJSON_Delete(v);
        if (ok)
            return 0;
    }
    if (stat(path, &a) == 0 && !S_ISREG(a.st_mode)) { /* a folder or a pipe has no single digest */
        hex[0] = 0;
        return 0;
    }
    return hash_sha256_file(path, hex, e);
}

int meta_write(const char *path, const char *sha256, uint64_t bytes, const char *const *inputs,
               const char *device, double seconds, struct err *e)
{
    return meta_write_receipt(path, sha256, bytes, inputs, device, seconds, NULL, e);
}

int meta_write_receipt(const char *path, const char *sha256, uint64_t bytes,
                       const char *const *inputs, const char *device, double seconds,
                       const char *receipt, struct err *e)
{
    char side[PATH_MAX], host[256] = "", when[32], hex[65];
    struct json_out j = {0};
    struct outfile o;
    time_t now = time(NULL);
    struct tm tm;
    int rc;
    gethostname(host, sizeof host - 1);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
    snprintf(side, sizeof side, "%s.meta.json", path);
    json_begin(&j, '{');
    json_kv_str(&j, "schema", "meta/1");
    json_kv_str(&j, "sha256", sha256);
    json_kv_int(&j, "bytes", (long long)bytes);
    json_kv_str(&j, "tool", cli_name());
    json_kv_str(&j, "version", APR_VERSION);
    char *args = cli_args_json();
    json_key(&j, "args");
    json_raw(&j, args ? args : "null");
    free(args);
    json_key(&j, "inputs");
    json_begin(&j, '[');
    for (int i = 0; inputs && inputs[i]; i++) {
        if (strcmp(inputs[i], "-") == 0)
            continue;
        if ((rc = input_digest(inputs[i], hex, e)) < 0) {
            free(json_take(&j, NULL));
            return rc;
        }
        json_begin(&j, '{');
        json_kv_str(&j, "path", inputs[i]);
        json_kv_str(&j, "sha256", hex);
        json_end(&j, '}');
    }
    json_end(&j, ']');
    json_kv_str(&j, "end", when);
    json_kv_num(&j, "seconds", seconds);
    json_kv_str(&j, "host", host);
    json_kv_str(&j, "device", device ? device : "");
    if (receipt) {
        json_key(&j, "receipt");
        json_raw(&j, receipt);
    }
    json_end(&j, '}');
    size_t n;
    char *s = json_take(&j, &n);
    if (!s)
        return err_set(e, ERR_NOMEM, "%s: out of memory", side);
    if ((rc = outfile_open(&o, side, e)) == 0) {
        if ((rc = outfile_write(&o, s, n, e)) == 0 && (rc = outfile_write(&o, "\n", 1, e)) == 0)
            rc = outfile_commit(&o, e);
        else
            outfile_abort(&o);
    }
    free(s);
    return rc;
}
