/* md.h - text in a line of Markdown: what would start markup, end a table's cell or the line is escaped */
#ifndef MD_H
#define MD_H
#include <stdio.h>

void md_text(FILE *f, const char *s);
#endif
