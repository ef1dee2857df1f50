/* quant - weight types of a model: which tensor gets which (mixes), and the conversion itself */
#include "quant.h"
#include "blocks.h"
#include "mapfile.h"
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- which tensor gets which type ---- */

enum mix_kind { PLAIN, K_SMALL, K_MEDIUM };
static const struct {
    struct quant_mix mix;
    enum mix_kind kind;
} mixes[] = {
    // clang-format off
    {{"q8_0", KN_Q8_0}, PLAIN},   {{"q6_k", KN_Q6_K}, PLAIN},     {{"q5_k_m", KN_Q5_K}, K_MEDIUM},
    {{"q5_1", KN_Q5_1}, PLAIN},   {{"q5_0", KN_Q5_0}, PLAIN},     {{"q4_k_m", KN_Q4_K}, K_MEDIUM},
    {{"q4_k_s", KN_Q4_K}, K_SMALL}, {{"q4_1", KN_Q4_1}, PLAIN},   {{"q4_0", KN_Q4_0}, PLAIN},
    {{"f16", KN_F16}, PLAIN},     {{"bf16", KN_BF16}, PLAIN},     {{"f32", KN_F32}, PLAIN},
    // clang-format on
};
enum { N_MIXES = sizeof mixes / sizeof *mixes };

const struct quant_mix *quant_mix(const char *name)
{
    for (int i = 0; i < N_MIXES; i++)
        if (strcmp(mixes[i].mix.name, name) == 0)
            return &mixes[i].mix;
    return NULL;
}

static int ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

/* Layer of "model.layers.12.…"; -1 outside of layers. */
static int layer_of(const char *name)
{
    int layer, used = 0;
    if (sscanf(name, "model.layers.%8d.%n", &layer, &used) == 1 && used > 0 && layer >= 0)
        return layer;
    return -1;
}

/* use_more_bits of llama-quant.cpp: both ends, and every third layer between */
static int more_bits(int layer, int n_layer)
{
    return layer < n_layer / 8 || layer >= 7 * n_layer / 8 || (layer - n_layer / 8) % 3 == 2;
}

static int is_quantized(int type)
{
    return kn_type_info(type)->block_len > 1;
}

static int mixed_type(const struct quant_mix *mix, const char *name, int n_layer, int untied)
{
    enum mix_kind kind = mixes[0].kind;
    int layer = layer_of(name), value = ends_with(name, "self_attn.v_proj.weight"),
        down = ends_with(name, "mlp.down_proj.weight");
    for (int i = 0; i < N_MIXES; i++)
        if (strcmp(mixes[i].mix.name, mix->name) == 0)
            kind = mixes[i].kind;
    if (!is_quantized(mix->base))
        return mix->base;
    if (strcmp(name, untied ? "lm_head.weight" : "model.embed_tokens.weight") == 0)
        return mix->base == KN_Q8_0 ? KN_Q8_0 : KN_Q6_K;
    if (layer >= 0 && kind == K_MEDIUM && (value || down) && more_bits(layer, n_layer))
        return KN_Q6_K;
    if (layer >= 0 && kind == K_SMALL && ((value && layer < 4) || (down && layer < n_layer / 8)))
        return KN_Q5_K;
    return mix->base;
}

/* A type of the same size or the next larger one whose block divides the row. */
static int fitting_type(int type, uint64_t cols)
{
    if (cols % 256 && kn_type_info(type)->block_len == 256)
        type = type == KN_Q4_K ? KN_Q5_0 : type == KN_Q5_K ? KN_Q5_1 : KN_Q8_0;
    if (cols % 32 && kn_type_info(type)->block_len == 32)
        type = KN_F16;
    return type;
}

int quant_plan(const struct quant_mix *mix, const struct tensor *t, int n, int *type, struct err *e)
{
    int n_layer = 0, untied = 0;
    for (int i = 0; i < n; i++) {
        int layer = layer_of(t[i].name);
        n_layer = layer >= n_layer ? layer + 1 : n_layer;
        untied |= strcmp(t[i].name, "lm_head.weight") == 0;
    }
    for (int i = 0; i < n; i++) {
        const char *name = t[i].name;
        if (!tensor_is_weight(t[i].type)) {
            if (ends_with(name, ".weight") || ends_with(name, ".bias"))
                return err_set(e, ERR_DATA, "tensor %s: cannot convert type %s", name,
                               tensor_type_name(t[i].type));
            type[i] = t[i].type;
        } else if (t[i].ndim < 2 || !ends_with(name, "weight") || ends_with(name, "norm.weight") ||
                   ends_with(name, "mlp.gate.weight"))
            type[i] = KN_F32;
        else
            type[i] = fitting_type(mixed_type(mix, name, n_layer, untied), tensor_cols(&t[i]));
    }
    return 0;
}

int quant_loses_twice(int from, int to)
{
    return from != to && is_quantized(from) && to != KN_F32;
}

/* ---- one tensor ---- */

enum { CHUNK = 1 << 16 }; /* values: a multiple of every block; 256 KiB of f32 a thread */

struct job {
    const struct tensor *t;
    int type;
    char *dst;
    uint64_t count, n_chunk;
    float limit;                /* of magnitudes that the type can hold */
    _Atomic uint64_t next, bad; /* first chunk not taken; lowest index of a value refused */
};

static void note_bad(struct job *j, uint64_t i)
{
    uint64_t old = atomic_load(&j->bad);
    while (i < old && !atomic_compare_exchange_weak(&j->bad, &old, i))
        ;
}

static void *convert_chunks(void *arg)
{
    struct job *j = arg;
    float *x = malloc(CHUNK * sizeof *x);
    if (!x)
        return NULL; /* the other threads take the chunks; if none is left, quant_convert sees it */
    for (uint64_t c; (c = atomic_fetch_add(&j->next, 1)) < j->n_chunk;) {
        uint64_t first = c * CHUNK, left = j->count - first;
        size_t n = left < CHUNK ? (size_t)left : CHUNK;
        const char *src = (const char *)j->t->data + kn_row_bytes(j->t->type, (size_t)first);
        char *dst = j->dst + kn_row_bytes(j->type, (size_t)first);
        kn_dequantize(j->t->type, src, x, n);
        size_t i = 0;
        while (i < n && fabsf(x[i]) <= j->limit) /* false for NaN */
            i++;
        if (i < n)
            note_bad(j, first + i);
        else if (j->type == j->t->type)
            memcpy(dst, src, kn_row_bytes(j->type, n));
        else
            kn_quantize(j->type, x, dst, n);
    }
    free(x);
    return NULL;
}

static int refuse(const struct job *j, struct err *e)
{
    const struct tensor *t = j->t;
    uint64_t bad = j->bad, cols = tensor_cols(t), at = bad - bad % CHUNK;
    float *x = malloc(CHUNK * sizeof *x);
    if (!x)
        return err_set(e, ERR_NOMEM, "tensor %s: out of memory", t->name);
    size_t n = j->count - at < CHUNK ? (size_t)(j->count - at) : CHUNK;
    kn_dequantize(t->type, (const char *)t->data + kn_row_bytes(t->type, (size_t)at), x, n);
    double v = x[bad - at];
    free(x);
    if (!isfinite(v))
        return err_set(e, ERR_DATA,
                       "tensor %s: element %" PRIu64 " (row %" PRIu64 ", column %" PRIu64
                       ") is %s, expected a finite number",
                       t->name, bad, bad / cols, bad % cols, isnan(v) ? "NaN" : "infinite");
    return err_set(e, ERR_DATA,
                   "tensor %s: element %" PRIu64 " (row %" PRIu64 ", column %" PRIu64
                   ") is %g, beyond what %s holds (%g)",
                   t->name, bad, bad / cols, bad % cols, v, kn_type_info(j->type)->name,
                   (double)j->limit);
}

static int all_cores(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

int quant_convert(const struct tensor *t, int type, void *dst, int n_threads, struct err *e)
{
    enum { MAX_THREADS = 256 };
    pthread_t thread[MAX_THREADS];
    struct job j = {.t = t, .type = type, .dst = dst, .count = tensor_count(t), .bad = UINT64_MAX};
    size_t bytes;
    if (!tensor_is_weight(t->type) || !tensor_is_weight(type))
        return err_set(e, ERR_DATA, "tensor %s: cannot convert %s to %s", t->name,
                       tensor_type_name(t->type), tensor_type_name(type));
    if (!tensor_size(type, t->ndim, t->dim, &bytes))
        return err_set(e, ERR_DATA,
                       "tensor %s: %" PRIu64 " columns do not divide into blocks of %s", t->name,
                       tensor_cols(t), tensor_type_name(type));
    if (!tensor_size(t->type, t->ndim, t->dim, &bytes) || bytes != t->bytes || (bytes && !t->data))
        return err_set(e, ERR_DATA, "tensor %s: %s of this shape takes %zu bytes, found %zu",
                       t->name, tensor_type_name(t->type), bytes, t->bytes);
    j.n_chunk = (j.count + CHUNK - 1) / CHUNK;
    /* blocks hold f16 scales; 65504 is the largest f16, 0x1.fep127 the largest bf16 */
    j.limit = type == KN_F32 ? 0x1.fffffep127f : type == KN_BF16 ? 0x1.fep127f : 65504.0f;
    if (type == t->type && is_quantized(type))
        j.limit = 0x1.fffffep127f; /* copied: it need only be finite */
    int n = n_threads > 0 ? n_threads : all_cores(), started = 0;
    n = n < MAX_THREADS ? n : MAX_THREADS;
    while (started < n - 1 && (uint64_t)started + 1 < j.n_chunk &&
           pthread_create(&thread[started], NULL, convert_chunks, &j) == 0)
        started++;
    convert_chunks(&j);
    for (int i = 0; i < started; i++)
        pthread_join(thread[i], NULL);
    if (j.bad != UINT64_MAX)
        return refuse(&j, e);
    if (atomic_load(&j.next) < j.n_chunk)
        return err_set(e, ERR_NOMEM, "tensor %s: out of memory", t->name);
    return 0;
}
