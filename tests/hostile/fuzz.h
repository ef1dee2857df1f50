/* fuzz.h - what the fuzz targets share: input as files that no disk sees, an input that is several files, tensors read
 * from end to end */
#ifndef FUZZ_H
#define FUZZ_H
#include "tensor.h"
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

enum { FUZZ_FD = 200, FUZZ_FILES = 4 };
#define FUZZ_CUT "<<<<FILE" /* between the files of one input */

/* The path of memory file i, which now holds these bytes. */
static inline const char *fuzz_file(int i, const void *p, size_t n)
{
    static char path[FUZZ_FILES][40];
    if (!path[i][0]) {
        int fd = memfd_create("fuzz", 0);
        if (fd < 0 || dup2(fd, FUZZ_FD + i) < 0)
            abort();
        close(fd);
        snprintf(path[i], sizeof path[i], "/proc/self/fd/%d", FUZZ_FD + i);
    }
    if (ftruncate(FUZZ_FD + i, 0) || pwrite(FUZZ_FD + i, p, n, 0) != (ssize_t)n)
        abort();
    return path[i];
}

/* Give memory file i this name: a link, which any process may have left here. */
static inline void fuzz_name(int i, const char *name)
{
    if (symlink(fuzz_file(i, "", 0), name) && errno != EEXIST)
        abort();
}

/* The n files of an input, cut apart, become memory files 0 to n - 1; what is missing is empty. */
static inline void fuzz_files(const uint8_t *p, size_t size, int n)
{
    for (int i = 0; i < n; i++) {
        const uint8_t *cut =
            i + 1 < n && size ? memmem(p, size, FUZZ_CUT, sizeof FUZZ_CUT - 1) : NULL;
        const size_t k = cut ? (size_t)(cut - p) : size, skip = k + (cut ? sizeof FUZZ_CUT - 1 : 0);
        fuzz_file(i, p, k);
        p += skip;
        size -= skip;
    }
}

/* Every byte of n tensors: the sanitizer sees one that is not there. */
static inline void fuzz_touch(const struct tensor *t, int n)
{
    static volatile uint64_t sum;
    for (int i = 0; i < n; i++)
        for (size_t k = 0; k < t[i].bytes; k++)
            sum += ((const uint8_t *)t[i].data)[k];
}
#endif
