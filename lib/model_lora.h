/* model_lora.h - LoRA adapters beside a model's weights: nothing is merged, each row of a step chooses its own
 *
 * PEFT's folders (peft.h).  The base's product of a row is what it is without adapters, to the bit; what an adapter adds is
 * computed in float32 (struct kn_lora).  The set owns all it loads and must outlive what runs the model. */
#ifndef MODEL_LORA_H
#define MODEL_LORA_H
#include "model.h"

struct model_adapter {
    char *name, *path;
    char sha256[65];        /* of adapter_model.safetensors */
    char *config, *weights; /* the folder's two files */
    double scale;
    int rank, dora, modules;
};
struct model_lora {
    struct model_adapter *v; /* (n) */
    int n;
    struct kn_adapter_width width;
    /* kernels' side */
    struct kn_lora *layer; /* (n_layer, MODEL_LORA_PARTS, n) */
    void **own;            /* float rows that weights were made from, and the like */
    size_t n_own, cap_own;
    struct kn_at column; /* DoRA's factors */
    size_t column_used;  /* floats */
    struct model *m;
};
enum { MODEL_LORA_PARTS = 7 }; /* q k v o gate up down */

/* Load n adapters, each "NAME=DIR", or "DIR" whose last part is its name, and put them beside m's weights: forward.h and
 * engine.h then know them by number, from 0.  other_base: take one that was trained on other weights too.
 * ERR_USAGE: no name, or one twice; ERR_DATA: it does not fit, or changes what only a merge can change, by name;
 * ERR_UNAVAILABLE: DoRA on a device whose memory the host does not read. */
int model_lora_load(struct model_lora *s, struct model *m, const char *const *spec, int n,
                    int other_base, struct err *e);
/* Number of the adapter of that name, -1: none. */
int model_lora_find(const struct model_lora *s, const char *name);
/* All names, "a, b"; "none" without any. */
void model_lora_names(const struct model_lora *s, char *text, size_t size);
void model_lora_free(struct model_lora *s); /* before the model goes */
/* What a batch of so many rows takes for them; 0 without adapters. */
size_t model_lora_bytes(const struct model *m, int max_tok);
#endif
