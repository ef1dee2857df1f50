/* pycall.h - calls in Python source: enough of its lexer to find where one ends */
#ifndef PYCALL_H
#define PYCALL_H
#include <stddef.h>

int pycall_word(char c); /* 1 if c can be part of a name */
/* Behind the bracket that closes the one at p, quotes and comments minded; NULL if none does. */
const char *pycall_end(const char *p);
/* The next call of name (a whole word, white space allowed before its bracket) at or after p: its
 * first character, with *open at the bracket; NULL = none. */
const char *pycall_find(const char *p, const char *name, const char **open);
/* What an assert of MBPP's tests: the first name that it calls and that Python's own functions do not wrap around
 * such a call, else the first that it calls at all (126 tests a function called sum). malloc; NULL if it
 * calls nothing or memory ran out. */
char *pycall_tested(const char *assert);
#endif
