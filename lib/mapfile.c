/* mapfile - read-only mapped input files, and checked sizes */
#include "mapfile.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* A pipe cannot be mapped: its bytes go to memory that is unmapped in the same way. */
static int read_pipe(struct mapfile *m, int fd, struct err *e)
{
    size_t cap = 1 << 20, n = 0;
    uint8_t *p = mmap(NULL, cap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ssize_t k = 1;
    while (p != MAP_FAILED && k) {
        if (n == cap) {
            void *grown = mremap(p, cap, 2 * cap, MREMAP_MAYMOVE);
            if (grown == MAP_FAILED)
                munmap(p, cap);
            p = grown;
            cap *= 2;
            continue;
        }
        k = read(fd, p + n, cap - n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0) {
            munmap(p, cap);
            return err_errno(e, ERR_IO, "%s", m->path);
        }
        n += (size_t)k;
    }
    if (p == MAP_FAILED)
        return err_errno(e, ERR_NOMEM, "%s: %zu bytes", m->path, cap);
    /* keep whole pages only, so that mapfile_close's length covers all of it */
    size_t page = (size_t)sysconf(_SC_PAGESIZE), used = (n + page - 1) / page * page;
    if (used < cap)
        munmap(p + used, cap - used);
    m->p = used ? p : NULL;
    m->n = n;
    return 0;
}

int mapfile_open(struct mapfile *m, const char *path, struct err *e)
{
    struct stat st;
    int in = strcmp(path, "-") == 0, rc = 0;
    int fd = in ? 0 : open(path, O_RDONLY | O_CLOEXEC);
    *m = (struct mapfile){NULL, 0, in ? "standard input" : path, 0};
    if (fd < 0)
        return err_errno(e, ERR_NOINPUT, "%s", path);
    if (in && fstat(fd, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)))
        return read_pipe(m, fd, e);
    if (fstat(fd, &st) < 0)
        rc = err_errno(e, ERR_NOINPUT, "%s", path);
    else if (!S_ISREG(st.st_mode))
        rc = err_set(e, ERR_NOINPUT, "%s: expected a regular file", path);
    else if (st.st_size > 0) {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED)
            rc = err_errno(e, ERR_OS, "%s: mapping its %lld bytes", path, (long long)st.st_size);
        else {
            m->p = p;
            m->n = (size_t)st.st_size;
            m->mapped = 1;
        }
    }
    if (!in)
        close(fd);
    return rc;
}

void mapfile_close(struct mapfile *m)
{
    if (m->p)
        munmap((void *)m->p, m->n);
    m->p = NULL;
    m->n = 0;
}

void mapfile_forget(const struct mapfile *m, const void *p, size_t n)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const uintptr_t from = ((uintptr_t)p + page - 1) / page * page,
                    to = ((uintptr_t)p + n) / page * page;
    if (m->mapped && from < to)
        madvise((void *)from, to - from, MADV_DONTNEED);
}

int size_mul(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

int size_add(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}
