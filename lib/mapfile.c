/* mapfile - read-only mapped input files, and checked sizes */
#include "mapfile.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int mapfile_open(struct mapfile *m, const char *path, struct err *e)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC), rc = 0;
    *m = (struct mapfile){NULL, 0, path};
    if (fd < 0)
        return err_errno(e, ERR_NOINPUT, "%s", path);
    if (fstat(fd, &st) < 0)
        rc = err_errno(e, ERR_NOINPUT, "%s", path);
    else if (!S_ISREG(st.st_mode))
        rc = err_set(e, ERR_NOINPUT, "%s: expected a regular file", path);
    else if (st.st_size > 0) {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED)
            rc = err_errno(e, ERR_OS, "%s: mmap", path);
        else {
            m->p = p;
            m->n = (size_t)st.st_size;
        }
    }
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

int size_mul(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

int size_add(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}
