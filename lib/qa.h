/* qa.h - the twelve gates before a release: each measures, or says why it could not
 *
 * A gate passes if what it compared was within its threshold, fails if not, and is skipped, with the reason,
 * if it was not asked for or if what it compares with is not there (a GPU, ollama, an earlier report).  A gate
 * that compared nothing never passes.  The order is that of upstream's `apr qa`. */
#ifndef QA_H
#define QA_H
#include "err.h"
#include "json.h"
#include <stdio.h>

/* id, name in reports, its option to leave it out ("skip-" before it) */
#define QA_GATES(X)                                                                                \
    X(CAPABILITY, "capability_match", "capability")                                                \
    X(CONTRACT, "tensor_contract", "contract")                                                     \
    X(METADATA, "metadata_plausibility", "metadata")                                               \
    X(GOLDEN, "golden_output", "golden")                                                           \
    X(THROUGHPUT, "throughput", "throughput")                                                      \
    X(REGRESSION, "performance_regression", "regression")                                          \
    X(FORMATS, "format_parity", "format-parity")                                                   \
    X(SPEEDUP, "gpu_speedup", "gpu-speedup")                                                       \
    X(OLLAMA, "ollama_parity", "ollama")                                                           \
    X(PTX, "ptx_parity", "ptx-parity")                                                             \
    X(ISOLATION, "gpu_state_isolation", "gpu-state")                                               \
    X(CLASSIFIER, "classifier_head", "classifier")
enum qa_id {
#define X(id, name, skip) QA_##id,
    QA_GATES(X)
#undef X
        QA_N
};
enum qa_status { QA_SKIP, QA_PASS, QA_FAIL };
struct qa_gate {
    const char *name;
    enum qa_status status;
    char message[400];       /* what was compared, or why not */
    double value, threshold; /* NAN: none */
    const char *unit;        /* of both; "" */
    double seconds;
};

/* A file of thresholds (configs/qa.yaml describes it). */
struct qa_case {
    char *model, *prompt, *expect; /* model: how its name begins; NULL = any that chats */
    int exact;                     /* the whole text, not a part of it */
};
struct qa_range {
    char *arch; /* NULL = any other */
    double min, max;
};
struct qa_conf {
    int min_executed;
    struct qa_range *theta; /* (n_theta) plausible RoPE bases */
    int n_theta;
    double min_ctx, max_ctx, min_eps, max_eps,
        max_padding;        /* padding rows of the embedding, share */
    struct qa_case *golden; /* (n_golden) */
    int n_golden, golden_tokens;
    double min_tok_s, max_drop; /* max_drop: share of the earlier report's rate */
    int tokens, reps;
    double format_cosine,
        format_top1; /* least cosine of a position's logits; share of equal argmax */
    double gpu_speedup, gpu_cosine, ollama_ratio;
};
int qa_conf_load(struct qa_conf *c, const char *path, struct err *e);
void qa_conf_free(struct qa_conf *c);

struct qa_opts {
    const char *device, *gpu; /* the second: what the three gates of a GPU run on */
    int threads;
    int skip[QA_N];
    const char *source;   /* the weights that the model was made from, or NULL */
    const char *ollama;   /* the same model's name in ollama, or NULL */
    const char *previous; /* an earlier report, or NULL */
    const char *tmp;      /* folder for files of format_parity; NULL: TMPDIR or /tmp */
    int classifier;       /* a head must be there */
    void (*tell)(void *arg, const struct qa_gate *g); /* after each; may be NULL */
    void *arg;
};
struct qa {
    const char *path;
    char name[128], arch[32], device[32];
    int threads;
    double params;
    struct qa_gate gate[QA_N];
    int executed, failed, skipped, min_executed, passed;
};
/* A model that fails is a result (0).  Errors: files that cannot be opened, a device that is not there, a
 * report that is none or of another model. */
int qa_run(struct qa *q, const char *path, const struct qa_conf *c, const struct qa_opts *o,
           struct err *e);
void qa_json(struct json_out *j, const struct qa *q); /* qa/1 of schema.7 */
void qa_text(FILE *out, const struct qa *q);
const char *qa_status_name(enum qa_status s); /* "skip" "pass" "fail" */
#endif
