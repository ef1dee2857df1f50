/* score.h - verdicts gathered by benchmark and task, and what they score
 *
 * Four kinds of files are read, told apart by what is in them: verdict/1; human-eval's
 * X_results.jsonl; EvalPlus's eval_results.json, whose base and extra tests are two benchmarks,
 * "humaneval" and "humanevalplus"; apr-leaderboard's results/X.json, which counts passes by task.  A
 * harness_error is ours: it leaves its task's n and is counted apart. */
#ifndef SCORE_H
#define SCORE_H
#include "err.h"
#include "json.h"
#include "verdict.h"

struct bench;
enum { /* kinds of verdict: ours, then what the files of others say */
       SCORE_FAIL = VERDICT_COUNT,
       SCORE_TIMEOUT,
       SCORE_KINDS
};
const char *score_kind(int kind);
int score_kind_parse(const char *name); /* -1 if unknown */
/* The kind that the members of a record tell (NULL or null: it has none); -1 and *e if passed is no
 * boolean, the verdict is unknown, or one contradicts the other. */
int score_outcome(const cJSON *passed, const cJSON *verdict, const cJSON *result, struct err *e);
/* For names that are printed as they are: ERR_DATA if something in one could move a terminal's cursor,
 * end a column or change how the rest looks. what: the member that it comes from. */
int score_name(const char *what, const char *name, struct err *e);

struct score_task {
    char *id;
    long n, c;             /* samples judged, of them passed */
    long harness;          /* harness errors */
    int kind[SCORE_KINDS]; /* verdicts */
    int flaky;
    int counted; /* came as "c of n": no sample can be added */
};
struct score_set { /* one benchmark */
    char *bench;
    int named;               /* by its records, not by --bench, their task ids or nobody */
    struct score_task *task; /* in order of appearance */
    int n_task, cap_task;
    int *slot; /* hash of ids: index + 1 */
    int n_slot;
    struct score_seen *seen; /* hash of (task, sample) */
    size_t n_seen, cap_seen;
    long kind[SCORE_KINDS];
    long n_sample, n_harness; /* judged; harness errors */
    char *
        choice; /* "best of 8 by majority": how its samples were chosen among others; NULL = they were not */
    long n_inproc; /* verdicts of code that shared its process with the test */
    long n_error;  /* tasks that apr-leaderboard calls errors, without saying which: they failed */
};
struct score_book {
    struct score_set *set;
    int n_set;
};
/* Add the verdicts of a file ("-" is stdin). A record without "bench" belongs to `bench` (not
 * NULL). ERR_DATA names file and place: damage, a sample seen before, passed and verdict that
 * contradict each other. */
int score_read(struct score_book *s, const char *path, const char *bench, struct err *e);
/* The same where names will be printed as they are (score_name) and only the tasks of b[0..n-1] may
 * come (n = 0: any, "unnamed"). A record without
 * "bench" belongs to the first that has its task; of EvalPlus's two, those not in b are not read. */
int score_read_known(struct score_book *s, const char *path, const struct bench *b, int n,
                     struct err *e);
/* The same of n files, a book each, where only tasks of these benchmarks may come. */
int score_read_files(struct score_book *s, char *const *path, int n, const char *const *bench,
                     int n_bench, struct err *e);
/* One verdict; sample -1 is the next of its task. The message of an error does not say where. */
int score_add(struct score_book *s, const char *bench, const char *id, long sample, int kind,
              int flaky, struct err *e);
/* How the samples of a benchmark that has verdicts were chosen (NULL: not at all): the same for all. first: it is the
 * first of them. */
int score_choice(struct score_book *s, const char *bench, const char *choice, int first,
                 struct err *e);
int score_add_count(struct score_book *s, const char *bench, const char *id, long n, long c,
                    struct err *e);
void score_free(struct score_book *s);
struct score_set *score_set(const struct score_book *s, const char *bench);     /* NULL if absent */
const struct score_task *score_find(const struct score_set *s, const char *id); /* NULL if absent */

/* How many tasks configs/bench/NAME.yaml of the project says that a benchmark has; 0 if it does not. */
long score_page_tasks(const char *bench);

/* What a set could score at best. Free with score_limit_free. */
struct score_limit {
    long ceiling, n;     /* tasks that the reference solutions pass, of n; -1 = not measured */
    unsigned char *skip; /* by task of the set: no reference solution passes it */
    int n_skip, n_odd;   /* skipped tasks; of them some that were passed all the same */
};
/* From a benchmark's entry: its ceiling, and its faults. */
int score_limit_bench(struct score_limit *l, const struct score_set *s, const struct bench *b,
                      struct err *e);
/* From verdicts of reference solutions. ERR_DATA if one of the set's tasks is not among them. */
int score_limit_canon(struct score_limit *l, const struct score_set *s,
                      const struct score_set *canon, struct err *e);
void score_limit_free(struct score_limit *l);

struct score_gate { /* "pass@1>=0.80", "humanevalplus:pass@10>0.9" */
    const char *text;
    char bench[64]; /* "" = every one */
    long k;
    int strict; /* > */
    double wanted;
};
struct score {
    long k, n_task, n_sample, passed; /* tasks scored; samples judged and passed in them */
    double value, wilson[2], bootstrap[2];
    double clustered[2], n_effective; /* stats_wilson_tasks */
    int has_wilson;                   /* one sample a task and k = 1 */
    double level;
    /* what else score_json writes, if it is not NULL */
    const struct score_limit *limit;
    const struct score *adjusted; /* without the tasks that limit skips */
    const struct score_gate *gate;
    int n_gate;
};
/* Tasks with fewer than k judged samples are left out of *r; their number is returned (0 in a good
 * run) or a negative error; ERR_DATA if none is left. skip: by task, not 0 = leave it out; or NULL. */
int score_eval_but(const struct score_set *s, const unsigned char *skip, long k, double level,
                   long boot, uint64_t seed, struct score *r, struct err *e);
int score_eval(const struct score_set *s, long k, double level, long boot, uint64_t seed,
               struct score *r, struct err *e);
/* ERR_USAGE if the text is no gate. */
int score_gate_parse(struct score_gate *g, const char *text, struct err *e);
int score_gate_applies(const struct score_gate *g, const struct score_set *s,
                       const struct score *r); /* same k, and its benchmark */
int score_gate_met(const struct score_gate *g, const struct score *r); /* by clustered[0] */
enum {
    SCORE_METRIC = 640
}; /* bytes of a metric's name; a choice's label leaves room for the rest */
/* "pass@1", or for chosen samples "pass@1, best of 8 by majority": never the same number. */
void score_metric(char *buf, size_t size, const struct score_set *s, long k);
void score_json(struct json_out *j, const struct score_set *s, const struct score *r); /* score/1 */
/* Kinds that came up in n[SCORE_KINDS], most frequent first; returns how many. */
int score_kinds(const long *n, int order[SCORE_KINDS]);
#endif
