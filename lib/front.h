/* front.h - the 19 command names of aprender, translated to our tools
 *
 * front_plan turns `import file.gguf -o x.apr --quantize q4k` into the command lines of our tools,
 * to be run one after another.  Strings live until front_free. */
#ifndef FRONT_H
#define FRONT_H
#include "err.h"

enum { FRONT_ARGS = 200, FRONT_STEPS = 8 };
struct front_step {
    const char *argv[FRONT_ARGS + 1]; /* [0] is a tool's name; NULL at the end */
    int argc;
};
struct front {
    struct front_step step[FRONT_STEPS];
    int n_step;
    const char *temporary; /* a file between two steps, to be removed at the end; or NULL */
    char *kept[64];
    int n_kept;
};
/* The names, in aprender's order; NULL at the end. */
const char *const *front_names(void);
/* What a name stands for: its first tool, and one line; NULL if it is none of them. */
const char *front_tool(const char *name, const char **what);
/* Arguments after the name. ERR_USAGE for flags or operands that do not fit; ERR_UNAVAILABLE for
 * what no tool does yet. */
int front_plan(struct front *f, const char *name, int argc, char **argv, struct err *e);
/* Our name of a weight type that aprender calls int4, int8, fp16, q4k, ...; any other as it is. */
const char *front_type(const char *theirs);
void front_free(struct front *f);
/* The flags of a name that are translated, one "theirs -> ours" a line, into buf. */
void front_flags(const char *name, char *buf, unsigned long size);
#endif
