/* arch - the table of architectures */
#include "arch.h"
#include <stdio.h>
#include <string.h>

/* Fine-tunes and derivatives say the model_type of their base: qwen2.5-coder and deepseek-r1-distill-qwen are
 * qwen2, smollm, deepseek-r1-distill-llama and code llama are llama, phi-4 and phi-4-mini are phi3. */
static const struct arch archs[] = {
    // clang-format off
    {"qwen2", "qwen2", "Qwen2ForCausalLM", ARCH_QKV_BIAS, WINDOW_ASKED, 0, 0},
    {"qwen3", "qwen3", "Qwen3ForCausalLM", ARCH_QK_NORM | ARCH_BIAS_KEYS, WINDOW_ASKED, 128, 0},
    {"llama", "llama", "LlamaForCausalLM", ARCH_BIAS_KEYS | ARCH_GGUF_PAIRS, WINDOW_NONE, 0, 0},
    {"mistral", "llama", "MistralForCausalLM", ARCH_GGUF_PAIRS, WINDOW_ALL, 0, 4096},
    {"qwen2_moe", "qwen2moe", "Qwen2MoeForCausalLM", ARCH_QKV_BIAS | ARCH_MOE | ARCH_SHARED,
     WINDOW_ASKED, 0, 0},
    {"qwen3_moe", "qwen3moe", "Qwen3MoeForCausalLM",
     ARCH_QK_NORM | ARCH_BIAS_KEYS | ARCH_MOE | ARCH_TOP_NORM, WINDOW_ASKED, 0, 0},
    {"phi3", "phi3", "Phi3ForCausalLM", ARCH_FUSED | ARCH_PARTIAL, WINDOW_ALL, 0, 0},
    {"gemma2", "gemma2", "Gemma2ForCausalLM",
     ARCH_POST_NORM | ARCH_ONE_PLUS | ARCH_GELU | ARCH_EMBD_ROOT | ARCH_CAPS | ARCH_SCALAR | ARCH_TIED,
     WINDOW_ALTERNATE, 256, 4096},
    {"gemma3_text", "gemma3", "Gemma3ForCausalLM",
     ARCH_QK_NORM | ARCH_POST_NORM | ARCH_ONE_PLUS | ARCH_GELU | ARCH_EMBD_ROOT | ARCH_CAPS |
     ARCH_SCALAR | ARCH_TWO_BASES | ARCH_TIED, WINDOW_FIVE_OF_SIX, 256, 4096},
    {"starcoder2", "starcoder2", "Starcoder2ForCausalLM", ARCH_LAYER_NORM | ARCH_GELU | ARCH_TIED,
     WINDOW_ALL, 0, 0},
    {"granite", "granite", "GraniteForCausalLM",
     ARCH_BIAS_KEYS | ARCH_MULTIPLIERS | ARCH_GGUF_PAIRS, WINDOW_NONE, 0, 0},
    // clang-format on
};
enum { N_ARCH = sizeof archs / sizeof *archs };

const struct arch *arch_by_name(const char *name)
{
    for (int i = 0; name && i < N_ARCH; i++)
        if (strcmp(archs[i].name, name) == 0)
            return &archs[i];
    return NULL;
}

const struct arch *arch_by_gguf(const char *name, int windowed)
{
    const struct arch *first = NULL;
    for (int i = 0; name && i < N_ARCH; i++)
        if (strcmp(archs[i].gguf, name) == 0) {
            first = first ? first : &archs[i];
            if ((archs[i].window != WINDOW_NONE) == (windowed != 0))
                return &archs[i];
        }
    return first;
}

const char *arch_names(void)
{
    static char list[32 * N_ARCH];
    size_t at = 0;
    for (int i = 0; i < N_ARCH; i++)
        at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", i ? ", " : "", archs[i].name);
    return list;
}
