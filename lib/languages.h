/* languages.h - what programs in C, C++ and JavaScript are built and run with inside the jail
 *
 * The folder that jails show as /sandbox: copies of configs/sandbox/{js,cpp}, our objects, the compiled C++
 * headers.  Made once for a set of sources and compilers and kept in $XDG_CACHE_HOME/apr/languages or
 * ~/.cache/apr/languages; where that cannot be written, in a folder of this process. */
#ifndef LANGUAGES_H
#define LANGUAGES_H
#include "bench.h"

struct languages {
    char dir[600];
    int temporary;
};
/* ERR_UNAVAILABLE if the compiler or interpreter is not in /usr; ERR_OS if our own sources do not build. */
int languages_open(struct languages *l, enum bench_lang lang, struct err *e);
void languages_close(struct languages *l);
#endif
