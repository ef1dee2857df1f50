/* extract.h - the code in a model's answer
 *
 * Heuristics over text, no parser of Python: a thinking block is left out, the first complete code
 * fence that defines what is asked for wins, a fence that the end of the answer cut off is taken as
 * it is, and an answer without fences is read from its first line of code to the first line of
 * prose. */
#ifndef EXTRACT_H
#define EXTRACT_H
#include <stddef.h>

enum extract_how {
    EXTRACT_NONE,       /* no code */
    EXTRACT_FENCE,      /* a complete fence */
    EXTRACT_OPEN_FENCE, /* a fence without an end */
    EXTRACT_RAW,        /* code without fences */
    EXTRACT_THINKING    /* only inside the thinking block */
};
/* The code in text (n bytes): malloc'ed, NUL-terminated, "" if there is none; NULL if memory ran
 * out. entry: the name that must be defined, or NULL. NUL bytes in text end it. */
char *extract_code(const char *text, size_t n, const char *entry, enum extract_how *how);
const char *extract_how_name(enum extract_how how); /* as in code/1 */

/* 1 if code has a line that binds name at column 0: def, async def, class, or an assignment. */
int extract_defines(const char *code, const char *name);
#endif
