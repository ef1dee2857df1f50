/* textout - a text made in memory, written whole or not at all, with its sidecar */
#include "textout.h"
#include "outfile.h"
#include <string.h>

int textout_write(const char *path, const char *text, size_t n, const char *const *inputs,
                  double seconds, struct err *e)
{
    struct outfile f = {0};
    if (outfile_open(&f, path, e) || outfile_write(&f, text, n, e)) {
        outfile_abort(&f);
        return e->code;
    }
    if (outfile_commit(&f, e))
        return e->code;
    return strcmp(path, "-") ? meta_write(path, f.hex, f.bytes, inputs, NULL, seconds, e) : 0;
}
