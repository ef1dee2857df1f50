/* jsonmend.h - escapes in JSON that no UTF-8 text can hold
 *
 * Python's json writes a str with a lone surrogate as "\ud83d", and NUL as "\u0000": records of real
 * programs, which a strict reader refuses, or cuts short in C. */
#ifndef JSONMEND_H
#define JSONMEND_H
#include <stddef.h>

/* Overwrite those escapes in a line of JSON by \ufffd, in place. Returns how many there were. */
size_t json_mend(char *s, size_t n);
#endif
