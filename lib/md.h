/* md.h - text in a line of Markdown
 *
 * What would start markup, end a table's cell or the line is escaped; characters that are not seen,
 * and bytes that are no text, are made visible as in a page (html.h). */
#ifndef MD_H
#define MD_H
#include <stdio.h>

void md_text(FILE *f, const char *s);
#endif
