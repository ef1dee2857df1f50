/* arch.h - what the architectures are: one row each in one table
 *
 * A new one is a row in arch.c (its names in the three formats, what its layers have, which keys of config.json
 * it takes), rows in import_names.c's list of tensors if it names some in a new way, and a golden case in
 * tests/vectors/arch. */
#ifndef ARCH_H
#define ARCH_H

enum arch_trait {
    ARCH_QKV_BIAS = 1 << 0,  /* q, k, v have biases whatever config.json says */
    ARCH_BIAS_KEYS = 1 << 1, /* attention_bias: q, k, v and o; mlp_bias */
    ARCH_QK_NORM = 1 << 2,   /* an RMSNorm of each head of q and k */
    ARCH_POST_NORM = 1 << 3, /* a norm of what attention and MLP add, too */
    ARCH_ONE_PLUS =
        1 << 4, /* Hugging Face's norms hold w for a factor of 1 + w, GGUF's the factor */
    ARCH_LAYER_NORM =
        1 << 5,         /* LayerNorm with bias; the MLP is c_proj(act(c_fc)); use_bias: of all */
    ARCH_GELU = 1 << 6, /* the tanh form; else SiLU */
    ARCH_EMBD_ROOT = 1 << 7,    /* embeddings times sqrt(hidden_size) */
    ARCH_CAPS = 1 << 8,         /* attn_logit_softcapping, final_logit_softcapping */
    ARCH_SCALAR = 1 << 9,       /* query_pre_attn_scalar */
    ARCH_MULTIPLIERS = 1 << 10, /* embedding_, attention_, residual_multiplier, logits_scaling */
    ARCH_MOE = 1 << 11,         /* num_experts */
    ARCH_SHARED = 1 << 12,      /* ... and a shared one behind a gate */
    ARCH_FUSED = 1 << 13,       /* files hold q, k, v in one tensor, gate and up in another */
    ARCH_GGUF_PAIRS = 1 << 14,  /* GGUF's rows of q and k are for neighbouring pairs */
    ARCH_TWO_BASES = 1 << 15,   /* windowed layers have a RoPE base of their own */
    ARCH_TIED = 1 << 16,        /* tie_word_embeddings if config.json does not say */
    ARCH_PARTIAL = 1 << 17,     /* partial_rotary_factor, longrope */
    ARCH_TOP_NORM = 1 << 18,    /* GGUF means chosen weights that sum to 1 */
};
/* which layers have a sliding window, where layer_types does not say it */
enum arch_window {
    WINDOW_NONE,
    WINDOW_ASKED,      /* use_sliding_window: from layer max_window_layers on */
    WINDOW_ALL,        /* if sliding_window is a number */
    WINDOW_ALTERNATE,  /* all but every 2nd */
    WINDOW_FIVE_OF_SIX /* all but every 6th */
};
struct arch {
    const char *name;     /* model_type of config.json; the .apr's architecture */
    const char *gguf;     /* general.architecture */
    const char *hf_class; /* architectures[0] of config.json */
    unsigned traits;      /* enum arch_trait */
    enum arch_window window;
    int head_dim;       /* if config.json does not say; 0: hidden_size / heads */
    int default_window; /* if config.json does not say; 0: none */
};
const struct arch *arch_by_name(const char *name); /* NULL if unknown */
/* The first of that GGUF name whose use of windows is as asked (llama and mistral share one). */
const struct arch *arch_by_gguf(const char *name, int windowed);
const char *arch_names(void); /* "qwen2, qwen3 ..." for an error */
#endif
