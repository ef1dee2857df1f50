/* quant_mix - which tensor gets which type: llama.cpp's mixes, rules by regular expression, fallbacks
 *
 * The rules are those of llama_tensor_get_type in llama.cpp's src/llama-quant.cpp (v0.5.0), whose
 * names of tensors they speak of; ours are Hugging Face's. */
#include "blocks.h"
#include "import.h"
#include "quant.h"
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum mix_kind { PLAIN, Q2, Q3_S, Q3_M, Q3_L, Q4_S, Q4_M, Q5_S, Q5_M, Q4_OLD, Q5_OLD, IQ4 };
static const struct {
    struct quant_mix mix;
    enum mix_kind kind;
} mixes[] = {
    // clang-format off
    {{"q8_0", KN_Q8_0}, PLAIN},      {{"q6_k", KN_Q6_K}, PLAIN},    {{"q5_k_m", KN_Q5_K}, Q5_M},
    {{"q5_k_s", KN_Q5_K}, Q5_S},     {{"q5_1", KN_Q5_1}, PLAIN},    {{"q5_0", KN_Q5_0}, Q5_OLD},
    {{"q4_k_m", KN_Q4_K}, Q4_M},     {{"q4_k_s", KN_Q4_K}, Q4_S},   {{"q4_1", KN_Q4_1}, PLAIN},
    {{"q4_0", KN_Q4_0}, Q4_OLD},     {{"iq4_nl", KN_IQ4_NL}, IQ4},  {{"iq4_xs", KN_IQ4_XS}, IQ4},
    {{"q3_k_l", KN_Q3_K}, Q3_L},     {{"q3_k_m", KN_Q3_K}, Q3_M},   {{"q3_k_s", KN_Q3_K}, Q3_S},
    {{"q2_k", KN_Q2_K}, Q2},         {{"mxfp4", KN_MXFP4}, PLAIN},  {{"nf4", KN_NF4}, PLAIN},
    {{"f16", KN_F16}, PLAIN},        {{"bf16", KN_BF16}, PLAIN},    {{"f32", KN_F32}, PLAIN},
    // clang-format on
};
enum { N_MIXES = sizeof mixes / sizeof *mixes };
/* aprender's names (as apr(1) takes them) */
static const char *const alias[][2] = {{"int4", "q4_0"},  {"int8", "q8_0"},  {"fp16", "f16"},
                                       {"q4k", "q4_k_m"}, {"q5k", "q5_k_m"}, {"q4km", "q4_k_m"},
                                       {"q6k", "q6_k"}};

const struct quant_mix *quant_mix(const char *name)
{
    for (size_t i = 0; i < sizeof alias / sizeof *alias; i++)
        if (strcmp(alias[i][0], name) == 0)
            name = alias[i][1];
    for (int i = 0; i < N_MIXES; i++)
        if (strcmp(mixes[i].mix.name, name) == 0)
            return &mixes[i].mix;
    return NULL;
}

static enum mix_kind kind_of(const struct quant_mix *mix)
{
    for (int i = 0; i < N_MIXES; i++)
        if (strcmp(mixes[i].mix.name, mix->name) == 0)
            return mixes[i].kind;
    return PLAIN;
}

int quant_is_rounded(int type)
{
    return kn_type_info(type)->block_len > 1;
}

static int ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

/* Layer of "model.layers.12.…" and what follows; -1 outside of layers. */
static int layer_of(const char *name, const char **rest)
{
    int layer, used = 0;
    *rest = name;
    if (sscanf(name, "model.layers.%5d.%n", &layer, &used) == 1 && used > 0 && layer >= 0) {
        *rest = name + used;
        return layer;
    }
    return -1;
}

/* ---- the mixes ---- */

enum category { OTHER, EMBED, HEAD, VALUE, KEY, ATTN_OUT, DOWN };

struct model {
    int n_layer, untied, n_expert, gqa;
    int *values,
        *downs; /* how many layers before a layer have these by a rule: llama.cpp counts them out */
};

static enum category category_of(const char *gguf)
{
    /* in llama.cpp's order: attn_qkv counts as attn_v */
    return !strcmp(gguf, "output.weight")                                     ? HEAD
           : !strcmp(gguf, "token_embd.weight")                               ? EMBED
           : strstr(gguf, "attn_qkv.weight") || strstr(gguf, "attn_v.weight") ? VALUE
           : strstr(gguf, "attn_k.weight")                                    ? KEY
           : strstr(gguf, "attn_output.weight")                               ? ATTN_OUT
           : strstr(gguf, "ffn_down")                                         ? DOWN
                                                                              : OTHER;
}

/* use_more_bits of llama-quant.cpp: both ends, and every third layer between */
static int more_bits(int i, int n)
{
    return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
}

static int value_type(enum mix_kind kind, int base, int i, const struct model *m, int llama)
{
    int type = base;
    switch (kind) {
    case Q2:
        type = m->gqa >= 4 ? KN_Q4_K : KN_Q3_K;
        break;
    case Q3_M:
        type = i < 2 ? KN_Q5_K : KN_Q4_K;
        break;
    case Q3_L:
        type = KN_Q5_K;
        break;
    case IQ4:
        type = m->gqa >= 4 ? KN_Q5_K : base;
        break;
    case Q4_M:
    case Q5_M:
        type = more_bits(i, m->n_layer) ? KN_Q6_K : base;
        break;
    case Q4_S:
        type = i < 4 ? KN_Q5_K : base;
        break;
    default:
        break;
    }
    /* llama.cpp's "70B": eight heads share these, so that more bits cost little */
    if (llama && m->n_layer == 80 && m->gqa > 1 && (type == KN_Q3_K || type == KN_Q4_K))
        type = KN_Q5_K;
    return m->n_expert == 8 ? KN_Q8_0 : type;
}

static int down_type(enum mix_kind kind, int base, int i, const struct model *m, int imatrix)
{
    const int n = m->n_layer, early = i < n / 8;
    switch (kind) {
    case Q2:
        return KN_Q3_K;
    case Q3_M:
        return i < n / 16 ? KN_Q5_K : KN_Q4_K;
    case Q3_L:
        return KN_Q5_K;
    case Q4_M:
    case Q5_M:
        return more_bits(i, n) ? KN_Q6_K : base;
    case Q4_S:
        return early ? KN_Q5_K : base;
    case IQ4:
        return early && !imatrix ? KN_Q5_K : base;
    case Q4_OLD:
        return early && imatrix ? KN_Q4_1 : base;
    case Q5_OLD:
        return early && imatrix ? KN_Q5_1 : base;
    default:
        return base;
    }
}

static int attn_out_type(enum mix_kind kind, int base, const struct model *m)
{
    if (m->n_expert == 8)
        return kind == Q2 || kind == Q3_S || kind == Q3_M || kind == Q4_S || kind == Q4_M ||
                       kind == IQ4
                   ? KN_Q5_K
                   : base;
    return kind == Q2 ? KN_Q3_K : kind == Q3_M ? KN_Q4_K : kind == Q3_L ? KN_Q5_K : base;
}

static int mixed_type(const struct quant_rules *r, const struct tensor *t, const char *gguf,
                      const struct model *m)
{
    const enum mix_kind kind = kind_of(r->mix);
    const int base = r->mix->base;
    const char *rest;
    const int layer = layer_of(t->name, &rest);
    const enum category c = category_of(gguf);
    if (c == HEAD || (c == EMBED && !m->untied)) {
        if (r->output_type >= 0)
            return r->output_type;
        if (base == KN_NF4)
            return KN_BF16;
        return base == KN_Q8_0 || tensor_cols(t) % (uint64_t)kn_type_info(base)->block_len
                   ? KN_Q8_0
                   : KN_Q6_K;
    }
    if (base == KN_NF4) /* as bitsandbytes: linear layers alone */
        return c == EMBED ? KN_BF16 : base;
    if (layer < 0 || layer >= m->n_layer)
        return base;
    switch (c) {
    case VALUE:
        return value_type(kind, base, layer - m->values[layer], m, r->llama);
    case KEY:
        return m->n_expert == 8 ? KN_Q8_0 : base;
    case DOWN:
        return down_type(kind, base, m->n_expert > 1 ? layer : layer - m->downs[layer], m,
                         r->imatrix);
    case ATTN_OUT:
        return attn_out_type(kind, base, m);
    default:
        return base;
    }
}

/* A type of the same size or the next larger one whose block divides the row (tensor_type_fallback). */
static int fitting_type(int type, uint64_t cols)
{
    if (type == KN_NF4)
        return type; /* blocks run across row ends */
    if (cols % (uint64_t)kn_type_info(type)->block_len == 0)
        return type;
    type = type == KN_IQ4_XS                    ? KN_IQ4_NL
           : type == KN_Q2_K || type == KN_Q3_K ? KN_Q4_0
           : type == KN_Q4_K                    ? KN_Q5_0
           : type == KN_Q5_K                    ? KN_Q5_1
           : type == KN_Q6_K                    ? KN_Q8_0
                                                : type;
    return cols % (uint64_t)kn_type_info(type)->block_len ? KN_F16 : type;
}

/* ---- what the tensors tell of the model ---- */

static void look_at(const struct tensor *t, const char *gguf, int layer, int expert,
                    struct model *m, uint64_t rows[2])
{
    const enum category c = category_of(gguf);
    m->untied |= c == HEAD;
    if (expert >= m->n_expert)
        m->n_expert = expert + 1;
    if (strstr(gguf, "ffn_gate_inp.weight") && t->ndim == 2 && t->dim[0] < 65536 &&
        (int)t->dim[0] > m->n_expert)
        m->n_expert = (int)t->dim[0];
    if (layer < 0)
        return;
    if (strstr(gguf, "attn_q.weight") && !rows[0])
        rows[0] = tensor_rows(t);
    if (c == KEY && !rows[1])
        rows[1] = tensor_rows(t);
}

static struct model survey(const struct tensor *t, int n)
{
    const char *rest;
    char gguf[TENSOR_NAME + 1];
    uint64_t rows[2] = {0, 0};
    int expert;
    struct model m = {.gqa = 1};
    for (int i = 0; i < n; i++) {
        int layer = layer_of(t[i].name, &rest);
        m.n_layer = layer >= m.n_layer ? layer + 1 : m.n_layer;
        if (import_gguf_name(t[i].name, gguf, sizeof gguf, &expert))
            look_at(&t[i], gguf, layer, expert, &m, rows);
    }
    if (rows[1] && rows[0] / rows[1] < 65536)
        m.gqa = rows[0] / rows[1] ? (int)(rows[0] / rows[1]) : 1;
    return m;
}

/* ---- rules by regular expression ---- */

/* POSIX has no \d, \w, \s and no (?:…), which ECMAScript's have (llama.cpp's are those): the first are
 * written out, the last means the same as (…) where only a match is asked for. NULL: out of memory. */
static char *to_posix(const char *s)
{
    static const char *const class[][2] = {{"d", "[0-9]"},
                                           {"w", "[A-Za-z0-9_]"},
                                           {"s", "[ \t]"},
                                           {"D", "[^0-9]"},
                                           {"W", "[^A-Za-z0-9_]"}};
    char *out = malloc(strlen(s) * 15 + 1);
    size_t n = 0;
    int inside = 0; /* of [ ] */
    for (; out && *s; s++) {
        if (*s == '\\' && s[1] && !inside) {
            const char *as = NULL;
            for (size_t i = 0; i < sizeof class / sizeof *class; i++)
                if (s[1] == class[i][0][0])
                    as = class[i][1];
            if (as) {
                memcpy(out + n, as, strlen(as));
                n += strlen(as);
            } else {
                out[n++] = *s;
                out[n++] = s[1];
            }
            s++;
            continue;
        }
        if (*s == '[' && !inside)
            inside = 1;
        else if (*s == ']')
            inside = 0;
        if (!inside && strncmp(s, "(?:", 3) == 0) {
            out[n++] = '(';
            s += 2;
            continue;
        }
        out[n++] = *s;
    }
    if (out)
        out[n] = 0;
    return out;
}

int quant_rule_add(struct quant_rules *r, const char *text, struct err *e)
{
    const char *eq = strrchr(text, '=');
    char why[200], *posix = NULL, *pattern = NULL;
    struct quant_rule *more, one;
    int rc;
    if (!eq || eq == text || !eq[1])
        return err_set(e, ERR_USAGE, "\"%s\": expected REGEX=TYPE", text);
    if ((one.type = kn_type_by_name(eq + 1)) < 0 || one.type == KN_I32)
        return err_set(e, ERR_USAGE, "\"%s\": %s is no type of weights", text, eq + 1);
    pattern = strndup(text, (size_t)(eq - text));
    for (char *p = pattern; p && *p; p++)
        *p = (char)tolower((unsigned char)*p); /* names are lower case: llama.cpp does the same */
    posix = pattern ? to_posix(pattern) : NULL;
    more = posix ? realloc(r->rule, ((size_t)r->n_rule + 1) * sizeof *more) : NULL;
    if (more)
        r->rule = more;
    if (!more) {
        rc = err_set(e, ERR_NOMEM, "out of memory");
    } else if ((rc = regcomp(&one.regex, posix, REG_EXTENDED | REG_NOSUB)) != 0) {
        regerror(rc, &one.regex, why, sizeof why);
        rc = err_set(e, ERR_USAGE, "\"%s\": %s", text, why);
    } else {
        r->rule[r->n_rule++] = one;
    }
    free(posix);
    free(pattern);
    return rc;
}

void quant_rules_free(struct quant_rules *r)
{
    for (int i = 0; i < r->n_rule; i++)
        regfree(&r->rule[i].regex);
    free(r->rule);
    r->rule = NULL;
    r->n_rule = 0;
}

/* Type by the first rule that matches the name in GGUF or in Hugging Face; -1 if none does. */
static int ruled_type(const struct quant_rules *r, const char *name, const char *gguf)
{
    for (int i = 0; i < r->n_rule; i++)
        if ((*gguf && regexec(&r->rule[i].regex, gguf, 0, NULL, 0) == 0) ||
            regexec(&r->rule[i].regex, name, 0, NULL, 0) == 0)
            return r->rule[i].type;
    return -1;
}

/* ---- the plan ---- */

static int count_ruled(const struct quant_rules *r, const struct tensor *t, int n, struct model *m,
                       struct err *e)
{
    char gguf[TENSOR_NAME + 1];
    const char *rest;
    int expert, v = 0, d = 0;
    m->values = calloc((size_t)m->n_layer + 1, sizeof *m->values);
    m->downs = calloc((size_t)m->n_layer + 1, sizeof *m->downs);
    if (!m->values || !m->downs)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (int i = 0; i < n && r->n_rule; i++) {
        const int layer = layer_of(t[i].name, &rest);
        if (layer < 0 || !import_gguf_name(t[i].name, gguf, sizeof gguf, &expert) ||
            ruled_type(r, t[i].name, gguf) < 0)
            continue;
        if (category_of(gguf) == VALUE)
            m->values[layer] = 1;
        if (category_of(gguf) == DOWN)
            m->downs[layer] = 1;
    }
    for (int l = 0; l < m->n_layer; l++) { /* from marks to how many before */
        const int one_v = m->values[l], one_d = m->downs[l];
        m->values[l] = v;
        m->downs[l] = d;
        v += one_v;
        d += one_d;
    }
    return 0;
}

static int stays_exact(const struct tensor *t)
{
    return t->ndim < 2 || !ends_with(t->name, "weight") || ends_with(t->name, "norm.weight") ||
           ends_with(t->name, "mlp.gate.weight");
}

static int planned_type(const struct quant_rules *r, const struct tensor *t, const struct model *m)
{
    char gguf[TENSOR_NAME + 1] = "";
    int expert, type;
    if (!import_gguf_name(t->name, gguf, sizeof gguf, &expert))
        gguf[0] = 0;
    const enum category c = category_of(gguf);
    if (c == EMBED && r->embed_type >= 0)
        return fitting_type(r->embed_type, tensor_cols(t));
    if (c == HEAD && r->output_type >= 0)
        return fitting_type(r->output_type, tensor_cols(t));
    if (!quant_is_rounded(r->mix->base))
        return r->mix->base;
    type = ruled_type(r, t->name, gguf);
    if (type < 0)
        type = r->pure ? r->mix->base : mixed_type(r, t, gguf, m);
    return fitting_type(type, tensor_cols(t));
}

int quant_plan_rules(const struct quant_rules *r, const struct tensor *t, int n, int *type,
                     struct err *e)
{
    struct model m = survey(t, n);
    int rc = count_ruled(r, t, n, &m, e);
    for (int i = 0; i < n && rc == 0; i++) {
        const char *name = t[i].name;
        if (!tensor_is_weight(t[i].type)) {
            if (ends_with(name, ".weight") || ends_with(name, ".bias"))
                rc = err_set(e, ERR_DATA, "tensor %s: cannot convert type %s", name,
                             tensor_type_name(t[i].type));
            type[i] = t[i].type;
        } else {
            type[i] = stays_exact(&t[i]) ? KN_F32 : planned_type(r, &t[i], &m);
        }
    }
    free(m.values);
    free(m.downs);
    return rc;
}

int quant_plan(const struct quant_mix *mix, const struct tensor *t, int n, int *type, struct err *e)
{
    const struct quant_rules r = {.mix = mix, .output_type = -1, .embed_type = -1};
    return quant_plan_rules(&r, t, n, type, e);
}

int quant_loses_twice(int from, int to)
{
    return from != to && quant_is_rounded(from) && to != KN_F32;
}
