/* check.h - is this model whole and does it compute what it should: ten stages, each a real check
 *
 * Stages compare layer 0 of the device with device ref (double, unrounded activations) on a real
 * prompt; the logits are of the whole model. */
#ifndef CHECK_H
#define CHECK_H
#include "apr.h"

enum { CHECK_STAGES = 10, CHECK_POINTS = 10 };
struct check_stage {
    const char *name; /* "Tokenizer" "Embedding" "RoPE" "Q/K/V" "Attention" "MLP" "LayerNorm" "LM
                         Head" "Logits" "Sampler" */
    int ok;
    char detail[256]; /* what was measured, or why it failed */
};
struct check {
    int container; /* the file's checksums hold */
    char detail[512];
    char device[32];
    struct check_stage stage[CHECK_STAGES];
    int score;          /* CHECK_POINTS for each stage; 0 if the container is damaged */
    const char *letter; /* A+ (all) A B C D F */
    int receipt_holds; /* it says that the model was compared with its source, and is of these weights */
    char receipt[512];              /* what it says, for people */
    char receipt_json[APR_RECEIPT]; /* "null": none */
};
/* A damaged model is a result (0), not an error; errors are a file that cannot be opened, a device
 * that is not there, memory. */
int check_model(struct check *c, const char *path, const char *device, int n_threads,
                struct err *e);
#endif
