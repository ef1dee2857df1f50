/* cli.h - command lines: one option table feeds parsing, --help, --options=json and the man-page check
 *
 *     static struct { const char *out; long rank; double lr; int rslora; } o = {.rank = 16, .lr = 1e-4};
 *     static const struct cli_opt opts[] = {
 *         CLI_STR('o', "output", &o.out, "FILE", "write here (- is stdout)"),
 *         CLI_INT(0, "rank", &o.rank, "N", "rank of A and B", 1, 4096),
 *         CLI_END};
 *     static const struct cli cli = {.name = "apr-lora", .what = "train a LoRA adapter",
 *         .usage = "MODEL.apr [options]", .example = "apr-lora m.apr --data t.jsonl -o a", .opts = opts,
 *         .see = "apr-fuse(1)", .output_version = 1};
 *     int main(int argc, char **argv) { cli_parse(&cli, &argc, &argv);  // argv: operands only, argc of them
 *
 * Every tool has -h/--help, -V/--version, -q/--quiet, -v/--verbose and --options=json without listing
 * them.  Defaults are the variables' values before the parse.  This is the only part of lib that
 * prints and exits. */
#ifndef CLI_H
#define CLI_H
#include "clock.h"
#include "err.h"
#include <stddef.h>
#include <stdio.h>

enum cli_type {
    CLI_T_END,
    CLI_T_FLAG,
    CLI_T_INT,
    CLI_T_FLOAT,
    CLI_T_STR,
    CLI_T_CHOICE,
    CLI_T_LIST
};

struct cli_list { /* a repeatable option: strings in the order given */
    const char **v;
    int n;
};
struct cli_opt {
    enum cli_type type;
    char letter; /* 0 = none */
    const char *name;
    void *var;       /* int * (flag), long *, double *, const char **, struct cli_list * */
    const char *arg; /* name of the argument in the help; for a choice "a|b|c" */
    const char *help;
    double min, max; /* of INT and FLOAT, inclusive */
};
#define CLI_FLAG(l, n, v, h)                                                                       \
    {                                                                                              \
        CLI_T_FLAG, l, n, v, NULL, h, 0, 0                                                         \
    }
#define CLI_INT(l, n, v, a, h, lo, hi)                                                             \
    {                                                                                              \
        CLI_T_INT, l, n, v, a, h, lo, hi                                                           \
    }
#define CLI_FLOAT(l, n, v, a, h, lo, hi)                                                           \
    {                                                                                              \
        CLI_T_FLOAT, l, n, v, a, h, lo, hi                                                         \
    }
#define CLI_STR(l, n, v, a, h)                                                                     \
    {                                                                                              \
        CLI_T_STR, l, n, v, a, h, 0, 0                                                             \
    }
#define CLI_CHOICE(l, n, v, a, h)                                                                  \
    {                                                                                              \
        CLI_T_CHOICE, l, n, v, a, h, 0, 0                                                          \
    }
#define CLI_LIST(l, n, v, a, h)                                                                    \
    {                                                                                              \
        CLI_T_LIST, l, n, v, a, h, 0, 0                                                            \
    }
#define CLI_END                                                                                    \
    {                                                                                              \
        CLI_T_END, 0, NULL, NULL, NULL, NULL, 0, 0                                                 \
    }

struct cli {
    const char *name, *what, *usage, *example, *see;
    const struct cli_opt *opts;
    int output_version; /* raised when the same arguments give other results; recipes re-run on it */
};

extern int cli_quiet, cli_verbose;

/* Parse; handles -h, -V and --options=json (exit 0) and bad usage (64). On return *argv holds the
 * operands (file names), *argc their number. */
void cli_parse(const struct cli *c, int *argc, char ***argv);
/* The value that a long option has now, as a string for provenance; NULL if there is no such option. */
const char *cli_value(const char *name, char *buf, size_t size);
/* All options and their values as a JSON object (malloc), for sidecars. */
char *cli_args_json(void);

/* 1 if s is one of "a|b|c". */
int cli_choice_has(const char *choices, const char *s);

const char *cli_name(void);
_Noreturn void cli_die(const struct err *e); /* "name: msg", its exit code */
_Noreturn void cli_usage(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* 64 */
void cli_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* unless quiet */
/* Close stdout with a check (a full disk is 74) and return status: `return cli_exit(0);` */
int cli_exit(int status);

/* Progress on stderr when it is a terminal or -v was given, at most one line a second.
 * done and total in units of `unit`; rate and time left are worked out here. total 0 = unknown.  On a terminal a line
 * ends where that does. */
struct cli_progress {
    const char *what, *unit;
    double total, start, last;
    int shown;
};
int cli_shows_progress(void); /* is it shown at all? */
void cli_progress(struct cli_progress *p, double done, const char *extra);
void cli_progress_end(struct cli_progress *p, double done, const char *extra);

/* strdup and malloc that die with 71: in tools only */
void *cli_malloc(size_t n);
char *cli_strdup(const char *s);
#endif
