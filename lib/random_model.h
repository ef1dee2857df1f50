/* random_model.h - models of random weights in true shapes: for measuring speed, where only sizes count
 *
 * Nothing is rounded from floats: the blocks of each type are drawn as they will lie in the file, so
 * that a model is made about as fast as it can be written.  Every tensor depends on its name, shape,
 * type and the seed alone.
 *
 * What is drawn, so that activations stay as they are in a trained model:
 * - matrices: mean 0, standard deviation 1/sqrt(columns): a normed row keeps its size of 1 through
 *   every product, and the residual grows like the square root of the layers (to about 10 of 64).
 *   Integers of a block are uniform over their range; scales of blocks differ by up to a quarter.
 * - norms: 0.9 to 1.1; biases: -0.1 to 0.1. */
#ifndef RANDOM_MODEL_H
#define RANDOM_MODEL_H
#include "bpe.h"
#include "hparams.h"
#include "quant.h"
#include "tensor.h"

/* what is drawn: the mixes whose blocks fill_blocks knows */
#define RANDOM_MIXES "q8_0|q6_k|q5_k_m|q5_1|q5_0|q4_k_m|q4_k_s|q4_1|q4_0|f16|bf16|f32"
#define RANDOM_SHAPES                                                                              \
    "qwen2.5-0.5b|qwen2.5-1.5b|qwen2.5-3b|qwen2.5-7b|qwen2.5-14b|qwen2.5-32b|"                     \
    "qwen3-0.6b|qwen3-1.7b|qwen3-4b|qwen3-8b|tiny-coder-29m"

struct random_model {
    char name[64]; /* "random qwen2.5-0.5b q4_k_m" */
    struct hparams h;
    uint64_t seed;
    struct bpe *tok;  /* made-up vocabulary, as many tokens as the true one has */
    struct tensor *t; /* (n) with the mix's types, no data; the last is the tokenizer, with data */
    int n;
    void *tables; /* the tokenizer's */
};
/* All but the weights. ERR_USAGE for a shape that is not of RANDOM_SHAPES, or a mix of RANDOM_MIXES. */
int random_model_new(struct random_model *m, const char *shape, const char *mix, uint64_t seed,
                     struct err *e);
void random_model_free(struct random_model *m);
uint64_t random_model_bytes(const struct random_model *m); /* of the weights */
/* Write a .apr file, one tensor in memory at a time. done(arg, bytes) after each; may be NULL. */
int random_model_write(const struct random_model *m, const char *out, char sha256[65],
                       void (*done)(void *arg, uint64_t bytes), void *arg, struct err *e);
/* The values of one weight tensor, t->bytes bytes at dst. */
void random_model_fill(const struct tensor *t, uint64_t seed, void *dst);
#endif
