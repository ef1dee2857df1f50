/* qa_impl.h - what the gates share: the open model, its prompt, a verdict in words */
#ifndef QA_IMPL_H
#define QA_IMPL_H
#include "model.h"
#include "qa.h"
#include "request.h"

struct qa_job {
    struct qa *q;
    const struct qa_conf *c;
    const struct qa_opts *o;
    const char *path;
    struct apr file; /* open if file.map.p */
    struct err broken;
    struct hparams h;
    struct kn_dev *dev;
    struct model m; /* loaded if loaded */
    int loaded;
    struct err load; /* why not */
    struct qa_previous {
        int there;
        double tok_s; /* NAN if that gate did not run */
        char device[32];
        int threads;
        char passed[QA_N]; /* gates that passed then */
    } previous;
};
typedef void qa_fn(struct qa_job *j, struct qa_gate *g);
qa_fn qa_capability, qa_contract, qa_metadata, qa_classifier;  /* qa_model.c */
qa_fn qa_golden, qa_throughput, qa_regression;                 /* qa_work.c */
qa_fn qa_formats, qa_speedup, qa_ollama, qa_ptx, qa_isolation; /* qa_peer.c */

void qa_say(struct qa_gate *g, enum qa_status s, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* qa_work.c: tokens a second of single steps on a loaded model; NAN with g failed. */
double qa_rate(const struct model *m, const struct qa_conf *c, struct qa_gate *g);
/* The texts that a model answers to prompts, greedily, `batch` at a time; text[i] is malloc'ed. */
int qa_answers(const struct model *m, const char *const *prompt, int n, int batch, int max_tokens,
               char **text, struct err *e);
/* Logits (n_tok, n_vocab) of all positions of a prompt, chat template and tokenizer as the model has them; ids
 * (n_tok) too. Both malloc. */
int qa_logits(const struct model *m, const char *prompt, float **x, int32_t **ids, int *n_tok,
              struct err *e);
/* How near b is to a: the least cosine of a position, in double, the largest difference, positions whose largest
 * logit is the same. */
struct qa_near {
    double cosine, most;
    int same, n, finite;
};
struct qa_near qa_compare(const float *a, const float *b, int n_tok, int n_vocab);
#define QA_PROMPT                                                                                  \
    "Write a Python function add(a, b) that returns the sum of a and b, and one that sorts a "     \
    "list."
#endif
