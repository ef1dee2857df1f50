/* html.h - HTML pages that hold hostile text safely: everything escaped, no outside resource
 *
 * A page carries its style sheet and script inline and forbids all else by a Content-Security-Policy
 * with their digests, so markup that slipped in could neither run nor load anything.  Text is made
 * visible too: control characters, bidirectional overrides and broken UTF-8 are shown, not obeyed. */
#ifndef HTML_H
#define HTML_H
#include "err.h"
#include <stddef.h>
#include <stdio.h>

/* printf whose %s (and %.*s) escape for element content and quoted attributes. Knows s d ld f g e c
 * and %%; flags, width and precision as in printf. */
void html_put(FILE *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void html_text(FILE *f, const char *s, size_t n);
/* What shows the character at s[0..n-1], n > 0: bytes in out[16], their number in *len. Returns how
 * many bytes of s that is. */
size_t html_show(const char *s, size_t n, char out[16], size_t *len);
/* The text of n bytes with everything unseen made visible, not escaped (malloc; NULL = no memory). */
char *html_visible(const char *s, size_t n);
/* The largest k <= max that ends no character of s in the middle. */
size_t html_cut(const char *s, size_t n, size_t max);

/* configs/report/NAME of the project's root; the caller frees. */
int html_asset(const char *name, char **text, struct err *e);
/* Up to and with <body>; js may be "". Style and script must not hold "</style" or "</script". */
void html_begin(FILE *f, const char *title, const char *css, const char *js);
void html_end(FILE *f, const char *js);
/* A block of data for the script: JSON in which no markup can end it. */
void html_data(FILE *f, const char *id, const char *json);
#endif
