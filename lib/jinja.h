/* jinja.h - chat templates: the part of Jinja2 that they are written in, parsed once, rendered often
 *
 * Rendering follows Jinja2 3.1 as transformers sets it up (trim_blocks, lstrip_blocks, loop controls, a
 * sandbox without changes to its data, tojson without HTML escapes), Python's rules included.  What
 * is not supported is refused when the template is parsed, with construct and line.
 *
 * Every byte of the text that is rendered carries a mark that tells whether it was written by the template
 * (or by a variable that is trusted like it), or came from outside: a message may spell <|im_end|>, but
 * it cannot end its turn.
 *
 * A template is immutable and shared by threads; each rendering has variables of its own. */
#ifndef JINJA_H
#define JINJA_H
#include "err.h"
#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct jinja;
struct jinja_vars;

/* Parse n bytes; `where` begins error messages ("WHERE:LINE: ..."). ERR_DATA, ERR_NOMEM. */
int jinja_parse(struct jinja **t, const char *text, size_t n, const char *where, struct err *e);
void jinja_free(struct jinja *t);
/* 1 if the template reads a variable of that name anywhere. */
int jinja_uses(const struct jinja *t, const char *name);

/* Variables of one rendering. NULL: out of memory. */
struct jinja_vars *jinja_vars_new(void);
void jinja_vars_free(struct jinja_vars *v);
/* A text; from the template's side (a bos token) if trusted. */
int jinja_set_str(struct jinja_vars *v, const char *name, const char *s, int trusted,
                  struct err *e);
int jinja_set_bool(struct jinja_vars *v, const char *name, int on, struct err *e);
/* n bytes of JSON, as Python's json module reads them; all texts in it are from outside. */
int jinja_set_json(struct jinja_vars *v, const char *name, const char *s, size_t n, struct err *e);
/* All members of a JSON object as variables; texts are trusted if so said. */
int jinja_set_all(struct jinja_vars *v, const char *s, size_t n, int trusted, struct err *e);
/* What strftime_now tells, instead of the clock. */
void jinja_set_time(struct jinja_vars *v, struct tm now);

enum { JINJA_OUTSIDE = 1 };
struct jinja_text {
    char *s;       /* (n), malloc; a NUL behind */
    uint8_t *mark; /* (n), malloc; JINJA_OUTSIDE or 0 for each byte */
    size_t n;
};
/* Render. The variables are used up: free them. ERR_DATA with the line: what Python would raise, the
 * template's own raise_exception, a limit (see jinja_limit below). */
int jinja_render(const struct jinja *t, struct jinja_vars *v, struct jinja_text *out,
                 struct err *e);

/* Limits against templates that are hostile, or wrong: real ones stay far below all of them. */
enum jinja_limit {
    JINJA_SOURCE = 1 << 20, /* bytes of a template; the largest in use have 40 kB */
    JINJA_NAMES = 4096,     /* different names in a template; they have tens */
    JINJA_NESTING = 120,    /* blocks and brackets within each other when parsing */
    JINJA_DEPTH = 800, /* of evaluation: macros that call themselves; Python ends at 1000 frames */
    JINJA_STEPS =
        20000000, /* nodes evaluated, and 64 bytes of text handled count as one: some seconds */
    JINJA_MEMORY = 256 << 20 /* bytes of values and texts of one rendering */
};
#endif
