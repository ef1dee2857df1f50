/* report.h - records of many kinds gathered by run, benchmark and task, and the pages made of them
 *
 * Files are told apart by the schema of their records: score/1, compare/1, metric/1, oracle/1,
 * verdict/1 (scored here, and kept by task), and the texts of tasks: prompt/1, sample/1, code/1.
 * The run that a file belongs to is seen from its name: base-score.basic.jsonl is "base", and so is
 * base-code.basic.jsonl; where report_expect saw two such files, it is "x/base", x the folder.  Texts
 * are kept up to REPORT_TEXT bytes each and REPORT_TEXTS together. */
#ifndef REPORT_H
#define REPORT_H
#include "err.h"
#include "json.h"
#include <stdio.h>

enum {
    REPORT_RUNS = 32,
    REPORT_ROWS = 128,
    REPORT_KINDS = 64, /* names of verdicts */
    REPORT_TEXT = 64 << 10,
    REPORT_TEXTS = 128 << 20,
    REPORT_PAGE = 16 << 20 /* bytes of text in a page: all are cut to the size that fits */
};
struct report_cell {                     /* one score; present if n_task > 0 */
    double value, ci[2], level, ceiling; /* ceiling: tasks that can be passed; NAN = not said */
    long passed, n_sample, n_task;
    cJSON *verdicts; /* object: verdict -> count, or NULL */
    int judged;      /* made of verdicts here, not read */
};
struct report_text { /* what is kept of a text; s NULL = there is none */
    char *s;
    size_t n, full; /* bytes kept, bytes it had */
};
struct report_try { /* one sample of a task in one run */
    long sample;
    int kind; /* index into report.kind, -1 = not judged */
    struct report_text detail, code, text, thinking;
    char finish[12], how[12];
    int run, total, exit, signal, attempt, flaky;
    /* NAN = not recorded */
    double tokens, prompt_tokens, tok_s, inference_ms, cpu_ms, wall_ms, rss_kb;
};
struct report_prompt {
    char *run; /* by the name of its file; that of no run = every run's */
    long sample;
    struct report_text prompt, system, earlier, prefill; /* earlier: turns before the prompt */
};
struct report_task {
    char *id;
    struct report_prompt *prompt;
    int n_prompt;
    struct report_tries {
        struct report_try *v;
        int n, cap;
    } run[REPORT_RUNS];
};
struct report_bench { /* tasks in order of appearance */
    char *name;
    struct report_task *task;
    int n, cap;
    int *slot, n_slot; /* hash of ids: index + 1 */
};
struct report_point {
    double step, value;
};
struct report_curve {
    struct report_point *v;
    long n, cap;
};
struct report_file {
    char *path, *schema; /* of its first record */
    long n, mended;      /* records; of them with bytes or escapes that are no text */
};
struct report {
    char *run[REPORT_RUNS];
    int scored[REPORT_RUNS]; /* has a score: a column of the tables */
    int tried[REPORT_RUNS];  /* has tries of tasks: a line of the grid */
    int n_run;
    struct report_row {
        char *bench, *metric;
        struct report_cell cell[REPORT_RUNS];
    } * row; /* (REPORT_ROWS) */
    int n_row;
    cJSON *compare, *oracle; /* arrays of compare/1, oracle/1 */
    struct report_training {
        char *name;
        struct report_curve loss, val, lr, grad_norm; /* loss and val: NAN values are kept */
        double epoch;
    } * training;
    int n_training;
    struct report_bench *bench;
    int n_bench;
    char *kind[REPORT_KINDS];
    int n_kind;
    cJSON *enforced, *trust; /* object: what verdicts say -> count */
    size_t text_bytes;
    struct report_file *file;
    int n_file;
    struct report_twin { /* files of one name in several folders */
        char *stem;      /* without .jsonl and .gz */
        int parts;       /* of the folders' paths that tell them apart */
    } * twin;
    int n_twin;
    struct report_left { /* a run's benchmark with harness errors */
        char *bench;
        int run;
        long harness; /* samples that nobody judged */
        long n, of;   /* tasks without any that was, of how many; of = 0: the record does not say */
    } * left;
    int n_left;
};
int report_init(struct report *r, struct err *e);
/* The files to come, for the names of their runs; before the first report_read. */
int report_expect(struct report *r, const char *const *path, int n, struct err *e);
int report_read(struct report *r, const char *path, struct err *e);
void report_free(struct report *r);

/* Comparison i as numbers; p_adjusted is Holm's over all comparisons. */
struct report_difference {
    char *a, *b; /* runs; malloc */
    const char *bench;
    double difference, ci[2], level, p, p_adjusted, detectable, rate_a, rate_b;
    int paired_test; /* McNemar's; else a permutation test */
    long n_task, pass_a, pass_b, only_a, only_b;
};
/* All of them (malloc; report_differences_free) and their number; NULL if memory ran out. */
struct report_difference *report_differences(const struct report *r, int *n);
void report_differences_free(struct report_difference *d, int n);
/* What a file's name says about its run, benchmark known or ""; `texts`: a file of samples, code or
 * prompts. malloc, NULL = no memory. */
char *report_run_name(const char *path, const char *bench, int texts);
/* The same with the folder where report_expect saw files of one name. */
char *report_name(const struct report *r, const char *path, const char *bench, int texts);
/* The same for one of n files of a record, with the folder where another's run has this name. */
char *report_name_among(const struct report *r, const char *path, const char *bench,
                        const char *const *other, int n);
/* The task has a try in some run. */
int report_task_tried(const struct report *r, const struct report_task *t);

/* What left[i] says after the names of run and benchmark: "1 of 2 tasks left out: ...". */
const char *report_left_words(const struct report_left *left, char buf[160]);
/* The level that all scores have; NAN if they differ. */
double report_level(const struct report *r);
/* value, its interval, and passed of n are what a score can be. */
int report_in_range(double value, const double ci[2], double level, long passed, long n);

/* The pages. Markdown shows scores, differences, runs together, training and verdicts. */
void report_markdown(const struct report *r, const char *title, FILE *out);
/* Of it all but the verdicts, under headings that begin with mark ("###"). */
void report_markdown_results(const struct report *r, const char *mark, FILE *out);
int report_html(const struct report *r, const char *title, FILE *out, struct err *e);
int report_json(const struct report *r, const char *title, FILE *out, struct err *e);
#endif
