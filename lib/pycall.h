/* pycall.h - calls in Python source: enough of its lexer to find where one ends */
#ifndef PYCALL_H
#define PYCALL_H
#include "bench.h"
#include <stddef.h>

int pycall_word(char c); /* 1 if c can be part of a name */
/* Behind the bracket that closes the one at p, quotes and comments minded; NULL if none does. */
const char *pycall_end(const char *p);
/* The next call of name (a whole word, white space allowed before its bracket) at or after p: its
 * first character, with *open at the bracket; NULL = none. */
const char *pycall_find(const char *p, const char *name, const char **open);
/* The function that a task asks for: bench_entry, or where that finds none the first name that
 * MBPP's first assert calls (126 tests a function called sum). buf holds it; NULL if there is none. */
const char *pycall_entry(const struct bench_task *t, char *buf, size_t size);
#endif
