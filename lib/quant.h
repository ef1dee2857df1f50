/* quant.h - weight types of a model: which tensor gets which (mixes), and the conversion itself
 *
 * A mix is a name as llama.cpp's: "q4_k_m" is Q4_K with Q6_K where it pays.  The rules are those of its
 * src/llama-quant.cpp without an importance matrix, so that a file of ours has the size and quality
 * that people know under that name.  Nothing here owns anything. */
#ifndef QUANT_H
#define QUANT_H
#include "err.h"
#include "tensor.h"

struct quant_mix {
    const char *name;
    int base; /* enum kn_type of most tensors */
};
#define QUANT_MIXES "q8_0|q6_k|q5_k_m|q5_1|q5_0|q4_k_m|q4_k_s|q4_1|q4_0|f16|bf16|f32"
/* NULL if there is no such mix. */
const struct quant_mix *quant_mix(const char *name);

/* type[i] for each of a model's n tensors (Hugging Face names), by the mix:
 * - a name ending in "norm.weight", one dimension, a name not ending in "weight", and a router
 *   ("mlp.gate.weight") stay exact: F32.  Tensors that are no weights (U8 tables) keep their type.
 * - the rest gets the base type, but
 *   the head, or the embedding where the head is tied to it: Q6_K (Q8_0 with q8_0);
 *   q4_k_m, q5_k_m: Q6_K for v_proj and down_proj of the first and last eighth of the layers and of
 *   every third layer between; q4_k_s: Q5_K for v_proj of layers 0 to 3 and down_proj of the first eighth.
 * - rows that are no multiple of 256: Q4_K becomes Q5_0, Q5_K Q5_1, Q6_K Q8_0; of 32: F16.
 * ERR_DATA for a tensor of a type that cannot be read. */
int quant_plan(const struct quant_mix *mix, const struct tensor *t, int n, int *type,
               struct err *e);
/* Would the conversion round values that were rounded to blocks before (Q8_0 to Q4_K, Q8_0 to F16)? */
int quant_loses_twice(int from, int to);

/* One tensor to `type`, with tensor_size(type, ...) bytes at dst; equal bytes for any n_threads (0 =
 * all cores).  NaN, infinity or a value that the type cannot hold is ERR_DATA naming tensor and place. */
int quant_convert(const struct tensor *t, int type, void *dst, int n_threads, struct err *e);
#endif
