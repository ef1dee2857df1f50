/* adapter.h - a LoRA adapter as llama.cpp has it in GGUF, from PEFT's folder and back
 *
 * general.type "adapter", adapter.type "lora", adapter.lora.alpha; of each module NAME.lora_a (rank, in) and
 * NAME.lora_b (out, rank) under the base's GGUF names (llama.cpp's convert_lora_to_gguf.py and llama-adapter.cpp).
 * llama.cpp scales by alpha / rank and knows no other rule, so that the alpha of a rank-stabilized adapter is written
 * times sqrt(rank).  Rows of lora_b change their order where the base's q and k do.  adapter_config.json goes along as
 * the text adapter.peft_config, a key of ours, and comes back byte for byte while it says the same scale; adapter.base_weights is
 * the metadata of that name.
 *
 * The base tells names, shapes and the order of rows; its weights are not read. */
#ifndef ADAPTER_H
#define ADAPTER_H
#include "err.h"
#include <stdint.h>

struct adapter_done {
    char sha256[65];
    uint64_t bytes; /* of the file; of adapter_model.safetensors; 0: standard output */
    int modules, rank;
    double scale;
};
/* dir: PEFT's folder (peft.h).  What is written is read back and compared before it gets its name.  ERR_DATA names a
 * module that the base does not have, or that GGUF keeps in one tensor with others (phi3's q, k and v, experts). */
int adapter_to_gguf(const char *base, const char *dir, const char *out, struct adapter_done *done,
                    struct err *e);
/* dir appears whole or not at all.  Tensors in blocks become F32.  ERR_DATA names what PEFT's layout, or ours, does not
 * hold: other tensors, modules of unequal rank, invocation tokens. */
int adapter_from_gguf(const char *base, const char *in, const char *dir, struct adapter_done *done,
                      struct err *e);
#endif
