/* peft.h - adapters in PEFT's folder layout, to be added to a base's weights
 *
 * adapter_config.json and adapter_model.safetensors with base_model.model.<module>.lora_A.weight
 * (rank, in) and lora_B.weight (out, rank); names with ".default" before ".weight" are taken too.
 * What would change the result and is not supported (per-module ranks, biases, saved modules)
 * is refused by name. */
#ifndef PEFT_H
#define PEFT_H
#include "err.h"
#include "safetensors.h"

struct peft {
    struct safetensors s;
    char path[4096];
    int rank, n_mod;
    double alpha, scale; /* scale: alpha / rank, or alpha / sqrt(rank) with rslora */
    int rslora, dora;
    char base_id[17]; /* of the base's weights (lora_save), 16 hex digits; "": not told */
    int used;         /* modules that peft_add met */
};
int peft_open(struct peft *p, const char *dir, struct err *e);
void peft_close(struct peft *p);
/* Does the base's tensor ("model.layers.0.self_attn.q_proj.weight") have an adapter? 1, 0, or
 * ERR_DATA if the shapes do not fit (n, k). */
int peft_has(const struct peft *p, const char *tensor, int n, int k, struct err *e);
/* w(n, k) += scale B A in f32, with DoRA then each row times its magnitude / norm; *max_delta: the largest change. */
int peft_add(struct peft *p, const char *tensor, float *w, int n, int k, double *max_delta,
             struct err *e);
/* Every module of the adapter must be a tensor of the base: ERR_DATA names the first that is none.
 */
int peft_check_names(const struct peft *p, const struct tensor *base, int n, struct err *e);
/* Tensor A (or B) of the adapter of a base's tensor; NULL if it has none. */
const struct tensor *peft_tensor(const struct peft *p, const char *tensor, char ab);
/* With DoRA: the magnitudes of tensor "MODULE.weight" with n rows; NULL with *e filled. */
const struct tensor *peft_magnitude(const struct peft *p, const char *tensor, int n, struct err *e);
/* An adapter's tensor in f32, malloc'ed, all finite; NULL with *e filled. */
float *peft_values(const struct peft *p, const struct tensor *t, struct err *e);
/* row(k) = row i of b(n, rank) a(rank, k).  With DoRA what then scales row i of w: magnitude / |w + scale row|, 0 for a row of
 * zeros. */
void peft_row(float *row, const float *a, const float *b, int rank, int i, int k);
double peft_factor(float magnitude, const float *w, const float *row, float scale, int k);
/* An adapter that tells which weights it was trained on fits no others: ERR_DATA if they are not `id`
 * (apr_weights_id; 0: not known) of the base at `path`.  other: what to do all the same, for the message. */
int peft_check_base(const struct peft *p, const char *dir, uint64_t id, const char *path,
                    const char *other, struct err *e);

/* adapter_config.json into an existing folder. */
struct peft_config {
    const char *base; /* base_model_name_or_path */
    int rank, rslora, dora;
    double alpha, dropout;
    const char *const *target; /* (n_target) last parts of the modules' names */
    int n_target;
    const char *pattern; /* in place of the list: a regular expression; or NULL */
    int classifies;      /* "score" is saved beside: a sequence classifier */
};
int peft_save_config(const char *dir, const struct peft_config *c, struct err *e);
#endif
