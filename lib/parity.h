/* parity.h - does a device compute what other devices compute: op by op, layer by layer, and in the end the logits
 *
 * The model runs on a templated prompt, most of it in one step, then (of a long one) 16 and 4 positions and the last
 * ones one by one, since devices have kernels for each; one layer is in memory at a time.  Ops and layers get the first
 * peer's numbers as input on every device, so that each is judged by what itself does; the logits come of each device's
 * own numbers all the way.  All rows are a prompt's, or all are as tokens that were generated are (kn_rows.n_made), which
 * on a device that is not exact is another arithmetic.  Nearness is of rows, one a position: the cosine in double, the largest difference over the
 * row's largest number, and whether the bits are equal. */
#ifndef PARITY_H
#define PARITY_H
#include "apr.h"
#include "json.h"
#include "kernels.h"
#include <stdio.h>

/* id, name in reports; the small calls, the fused ones, a whole layer */
#define PARITY_OPS(X)                                                                              \
    X(EMBED, "embedding")                                                                          \
    X(NORM, "attention_norm")                                                                      \
    X(Q, "q")                                                                                      \
    X(K, "k")                                                                                      \
    X(V, "v")                                                                                      \
    X(ROPE, "rope")                                                                                \
    X(QKV, "qkv")                                                                                  \
    X(ATTENTION, "attention")                                                                      \
    X(OUT, "attention_output")                                                                     \
    X(FFN_NORM, "ffn_norm")                                                                        \
    X(GATE, "gate")                                                                                \
    X(UP, "up")                                                                                    \
    X(ACT, "activation")                                                                           \
    X(DOWN, "down")                                                                                \
    X(FFN, "ffn")                                                                                  \
    X(LAYER, "layer")                                                                              \
    X(HEAD, "head")
enum parity_op {
#define X(id, name) PARITY_##id,
    PARITY_OPS(X)
#undef X
        PARITY_N
};
enum { PARITY_PEERS = 2, PARITY_LEAST = 32 }; /* positions, at least */

/* A file of thresholds (configs/parity.yaml describes it). */
struct parity_limits {
    double op, layer, logits; /* least cosines of a row */
    double tokens;            /* share of positions that may have another first choice, at most */
    int bits;                 /* every number equal */
};
struct parity_conf {
    char *prompt;
    int positions, singly;
    struct parity_limits exact, rounded, flt, ref; /* which: limits_of() of parity.c */
};
/* path NULL: configs/parity.yaml.  ERR_NOINPUT, ERR_CONFIG with file:line:col. */
int parity_conf_load(struct parity_conf *c, const char *path, struct err *e);
void parity_conf_free(struct parity_conf *c);

struct parity_near {
    double cosine, error; /* the least, the largest */
    size_t rows, equal;
    int layer; /* where the cosine is least */
};
struct parity_peer {
    char name[32];
    struct parity_limits limits;
    struct parity_near op[PARITY_N], logits;
    struct parity_near *layer; /* (n_layer) outputs */
    int same;                  /* positions with the same first choice */
    int differs, id, id_peer;  /* the first position without, and both choices; -1: none */
    char why[200];             /* the first threshold that was missed; "": none */
};
struct parity {
    char path[512], device[32], hardware[160], build[100];
    char model[65]; /* sha256 of the file's metadata, which hold a hash of every tensor */
    int n_tok, singly, n_layer, with_ops, n_peer, passed;
    struct parity_peer peer[PARITY_PEERS];
    double seconds;
};
struct parity_want {
    const struct parity_conf *conf;
    const char *peer[PARITY_PEERS]; /* devices to compare with; the first one gives the inputs */
    int n_peer, threads, ops;       /* ops: those and layers, not the logits alone */
    int made;                       /* rows as of generated tokens */
};
/* A peer: device cpu with products in f32, weights dequantized and activations as they are. */
#define PARITY_FLOAT "cpu:float"
/* A device that is far off is a result (0).  Errors: a device that is not there, memory, a model that cannot run. */
int parity_run(struct parity *p, const struct apr *a, struct kn_dev *dev,
               const struct parity_want *w, struct err *e);
void parity_free(struct parity *p);
void parity_json(struct json_out *j, const struct parity *p); /* parity/1 of schema.7 */
void parity_text(FILE *out, const struct parity *p);
const char *parity_op_name(int op);

/* The gate before a device other than cpu and ref is used: the logits against the CPU's.  Of a device that is not exact
 * those of generated tokens first, to the bit, then those of prompts, against PARITY_FLOAT.  What passed is remembered in
 * the cache, by model, device, hardware with driver, build and thresholds; *cached says so.  ERR_UNAVAILABLE if a
 * threshold is missed.  p may be NULL. */
int parity_gate(struct parity *p, const struct apr *a, struct kn_dev *dev,
                const struct parity_conf *c, int threads, int *cached, struct err *e);
#endif
