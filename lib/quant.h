/* quant.h - weight types of a model: which tensor gets which (mixes), and the conversion itself
 *
 * A mix is a name as llama.cpp's: "q4_k_m" is Q4_K with Q6_K where it pays.  The rules are those of its
 * src/llama-quant.cpp, so that a file of ours has the size and quality that people know under that name. */
#ifndef QUANT_H
#define QUANT_H
#include "err.h"
#include "tensor.h"
#include <regex.h>

struct quant_mix {
    const char *name;
    int base; /* enum kn_type of most tensors */
};
#define QUANT_MIXES                                                                                \
    "q8_0|q6_k|q5_k_m|q5_k_s|q5_1|q5_0|q4_k_m|q4_k_s|q4_1|q4_0|iq4_nl|iq4_xs|q3_k_l|q3_k_m|q3_k_"  \
    "s|"                                                                                           \
    "q2_k|mxfp4|nf4|f16|bf16|f32|int8|int4|fp16|q4k|q4km|q5k|q6k"
/* NULL if there is no such mix. The last seven are aprender's names for others. */
const struct quant_mix *quant_mix(const char *name);

struct quant_rule {
    regex_t regex;
    int type;
};
struct quant_rules {
    const struct quant_mix *mix;
    int pure;                /* the mix's base type for all */
    int imatrix;             /* there is one: a few mixes choose other types then */
    int llama;               /* the architecture is llama */
    int output_type;         /* of the head, or of an embedding that is the head; -1: by the mix */
    int embed_type;          /* of the embedding; -1: by the mix */
    struct quant_rule *rule; /* the first that matches decides; owned */
    int n_rule;
};
/* "REGEX=TYPE" as llama-quantize's --tensor-type has it. ERR_USAGE says what is wrong. */
int quant_rule_add(struct quant_rules *r, const char *text, struct err *e);
void quant_rules_free(struct quant_rules *r);

/* type[i] for each of a model's n tensors (Hugging Face names):
 * - a name ending in "norm.weight", one dimension, a name not ending in "weight", and a router
 *   ("mlp.gate.weight") stay exact: F32.  Tensors that are no weights (U8 tables) keep their type.
 * - embed_type and output_type, else (not for f32, f16, bf16) the first rule whose expression is found in
 *   the tensor's name, GGUF's or Hugging Face's; else the mix: the base type, but more for the head, the
 *   values, the down projections, as quant_mix.c's functions say.
 * - rows that are no multiple of 256: Q2_K and Q3_K become Q4_0, Q4_K Q5_0, Q5_K Q5_1, Q6_K Q8_0, IQ4_XS
 *   IQ4_NL; of 32: F16.
 * ERR_DATA for a tensor of a type that cannot be read. */
int quant_plan_rules(const struct quant_rules *r, const struct tensor *t, int n, int *type,
                     struct err *e);
/* The same by the mix alone. */
int quant_plan(const struct quant_mix *mix, const struct tensor *t, int n, int *type,
               struct err *e);
int quant_is_rounded(int type); /* not F32, F16 or BF16 */
/* Would the conversion round values that were rounded to blocks before (Q8_0 to Q4_K, Q8_0 to F16)? */
int quant_loses_twice(int from, int to);

/* One tensor to `type`, with tensor_size(type, ...) bytes at dst; equal bytes for any n_threads (0 =
 * all cores).  weight: how much each column counts (imatrix.h), n_weight of them: one for each column, or
 * for each of each matrix of a tensor of three dimensions; NULL: none.  NaN, infinity or a value that the
 * type cannot hold is ERR_DATA naming tensor and place. */
int quant_convert_weighted(const struct tensor *t, int type, const float *weight, size_t n_weight,
                           void *dst, int n_threads, struct err *e);
int quant_convert(const struct tensor *t, int type, void *dst, int n_threads, struct err *e);
#endif
