/* export_gguf - a .apr file as a GGUF file: the inverse of import_gguf */
#include "blocks.h"
#include "chat.h"
#include "export.h"
#include "export_impl.h"
#include "gguf_write.h"
#include "import.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { QUANTIZATION_VERSION = 2 }; /* ggml's GGML_QNT_VERSION: of the block layouts */

struct writer {
    struct exporter x;
    struct gguf_out w;
    float *divisor; /* rope_freqs.weight */
    const struct export_look *look;
    const struct export_done *done;
};

/* ---- tensors ---- */

/* Divisors of the frequencies under the llama-3 rule, as generate_extra_tensors() of llama.cpp's
 * LlamaModel computes them. */
static int add_divisors(struct writer *g, struct err *e)
{
    const struct hparams *h = &g->x.h;
    int half = h->head_dim / 2;
    if (!(g->divisor = malloc((size_t)half * sizeof *g->divisor)))
        return err_set(e, ERR_NOMEM, "out of memory");
    for (int i = 0; i < half; i++) {
        double inv = pow(h->rope_theta, -2.0 * i / h->head_dim);
        g->divisor[i] = (float)hparams_llama3_divisor(inv, h->rope_factor, h->rope_low,
                                                      h->rope_high, h->rope_orig_ctx);
    }
    g->x.out[g->x.n++] = (struct tensor){.name = "rope_freqs.weight",
                                         .type = KN_F32,
                                         .ndim = 1,
                                         .dim = {(uint64_t)half},
                                         .data = g->divisor,
                                         .bytes = (size_t)half * sizeof *g->divisor};
    return 0;
}

static void add_factors(struct exporter *x, const char *name, const float *factor)
{
    struct tensor *t = &x->out[x->n++];
    *t = (struct tensor){.type = KN_F32,
                         .ndim = 1,
                         .dim = {(uint64_t)x->h.n_rope_factors},
                         .data = factor,
                         .bytes = (size_t)x->h.n_rope_factors * sizeof *factor};
    snprintf(t->name, sizeof t->name, "%s", name);
}

/* ---- keys ---- */

/* llama.cpp's enum llama_ftype of what most values have; of the mixes the one whose mark is there. */
static uint32_t file_type(const struct exporter *x)
{
    static const struct {
        uint8_t type, small, mixed; /* mixed: some matrices of v and down have more bits */
    } names[] = {{KN_F32, 0, 0},      {KN_F16, 1, 1},      {KN_Q4_0, 2, 2},   {KN_Q4_1, 3, 3},
                 {KN_Q8_0, 7, 7},     {KN_Q5_0, 8, 8},     {KN_Q5_1, 9, 9},   {KN_Q4_K, 14, 15},
                 {KN_Q5_K, 16, 17},   {KN_Q6_K, 18, 18},   {KN_BF16, 32, 32}, {KN_Q2_K, 10, 10},
                 {KN_IQ4_NL, 25, 25}, {KN_IQ4_XS, 30, 30}, {KN_MXFP4, 38, 38}};
    uint64_t values[256] = {0};
    int most = 0, mixed = 0, three = 0; /* three: 1 or 2 above Q3_K_S */
    for (int i = 0; i < x->n; i++) {
        const struct tensor *t = &x->out[i];
        if (t->ndim < 2)
            continue;
        values[t->type] += tensor_count(t);
        most = values[t->type] > values[most] ? t->type : most;
        mixed |=
            t->type == KN_Q6_K && (strstr(t->name, ".attn_v.") || strstr(t->name, ".ffn_down."));
        if (strstr(t->name, ".attn_output.") && three < 2)
            three = t->type == KN_Q5_K ? 2 : t->type == KN_Q4_K ? 1 : three;
    }
    if (most == KN_Q3_K)
        return 11 + (uint32_t)three;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].type == most)
            return mixed ? names[i].mixed : names[i].small;
    return 0;
}

static const char *key(const struct writer *g, const char *rest, char buf[100])
{
    snprintf(buf, 100, "%s.%s", arch_by_name(g->x.h.arch)->gguf, rest);
    return buf;
}

static void put_count(struct writer *g, const char *rest, int v)
{
    char buf[100];
    gguf_out_u32(&g->w, key(g, rest, buf), (uint32_t)v);
}

static void put_real(struct writer *g, const char *rest, double v)
{
    char buf[100];
    gguf_out_f32(&g->w, key(g, rest, buf), (float)v);
}

static void put_text(struct writer *g, const char *to, const char *from)
{
    const char *s = export_text(&g->x, from);
    if (s)
        gguf_out_str(&g->w, to, s);
}

static void put_general(struct writer *g)
{
    gguf_out_str(&g->w, "general.architecture", arch_by_name(g->x.h.arch)->gguf);
    gguf_out_str(&g->w, "general.type", "model");
    put_text(g, "general.name", "name");
    put_text(g, "general.author", "author");
    put_text(g, "general.description", "description");
    put_text(g, "general.license", "license");
    gguf_out_u32(&g->w, "general.file_type", file_type(&g->x));
    gguf_out_u32(&g->w, "general.quantization_version", QUANTIZATION_VERSION);
}

static void put_if(struct writer *g, const char *rest, double v)
{
    if (v != 0)
        put_real(g, rest, v);
}

static void put_rope(struct writer *g)
{
    const struct hparams *h = &g->x.h;
    char buf[100];
    put_real(g, "rope.freq_base", h->rope_theta);
    put_if(g, "rope.freq_base_swa", h->rope_local_theta);
    if (hparams_has(h, ARCH_GGUF_PAIRS | ARCH_PARTIAL))
        put_count(g, "rope.dimension_count", hparams_rope_dim(h));
    if (h->rope_scaling == ROPE_LINEAR || h->rope_scaling == ROPE_YARN) {
        gguf_out_str(&g->w, key(g, "rope.scaling.type", buf),
                     h->rope_scaling == ROPE_YARN ? "yarn" : "linear");
        put_real(g, "rope.scaling.factor", h->rope_factor);
    }
    if (h->rope_scaling == ROPE_YARN) {
        put_count(g, "rope.scaling.original_context_length", h->rope_orig_ctx);
        if (h->rope_attn != 0) /* llama.cpp multiplies the rule's own factor by it */
            put_real(g, "rope.scaling.attn_factor", h->rope_attn / hparams_rope_own_attn(h));
    }
    if (h->rope_scaling == ROPE_LONG) {
        gguf_out_str(&g->w, key(g, "rope.scaling.type", buf), "longrope");
        put_count(g, "rope.scaling.original_context_length", h->rope_orig_ctx);
        put_real(g, "rope.scaling.attn_factor",
                 h->rope_attn != 0 ? h->rope_attn : hparams_rope_own_attn(h));
    } else if (hparams_has(h, ARCH_PARTIAL)) { /* llama.cpp's converter always says it */
        put_count(g, "rope.scaling.original_context_length", h->n_ctx);
    }
}

static void put_more(struct writer *g)
{
    const struct hparams *h = &g->x.h;
    if (h->window || hparams_has(h, ARCH_PARTIAL)) /* phi-4 is known by its 0 */
        put_count(g, "attention.sliding_window", h->window);
    put_if(g, "attn_logit_softcapping", h->attn_cap);
    put_if(g, "final_logit_softcapping", h->final_cap);
    if (hparams_has(h, ARCH_MULTIPLIERS)) {
        put_if(g, "attention.scale", h->attn_scale);
        put_if(g, "embedding_scale", h->embd_scale);
        put_if(g, "residual_scale", h->residual_scale);
        put_real(g, "logit_scale", h->logit_scale != 0 ? h->logit_scale : 1);
    }
    if (!h->n_expert)
        return;
    put_count(g, "expert_count", h->n_expert);
    put_count(g, "expert_used_count", h->n_expert_used);
    put_count(g, "expert_feed_forward_length", h->n_ff_expert);
    if (h->n_ff_shared)
        put_count(g, "expert_shared_feed_forward_length", h->n_ff_shared);
}

static void put_hparams(struct writer *g)
{
    const struct hparams *h = &g->x.h;
    put_count(g, "block_count", h->n_layer);
    put_count(g, "context_length", h->n_ctx);
    put_count(g, "embedding_length", h->n_embd);
    put_count(g, "feed_forward_length", h->n_ff);
    put_count(g, "attention.head_count", h->n_head);
    put_count(g, "attention.head_count_kv", h->n_head_kv);
    if (h->qk_norm || hparams_has(h, ARCH_SCALAR) || h->n_head * (long)h->head_dim != h->n_embd) {
        put_count(g, "attention.key_length", h->head_dim);
        put_count(g, "attention.value_length", h->head_dim);
    }
    put_real(g,
             hparams_has(h, ARCH_LAYER_NORM) ? "attention.layer_norm_epsilon"
                                             : "attention.layer_norm_rms_epsilon",
             h->rms_eps);
    put_rope(g);
    put_more(g);
    put_count(g, "vocab_size", h->n_vocab);
}

/* What llama.cpp has in its code for an architecture, and no key for: a model that differs would run there with
 * other results. */
static int refuse(const struct hparams *h, struct err *e)
{
    const struct arch *a = arch_by_name(h->arch);
    const int big = h->n_layer == (h->qk_norm ? 62 : 46); /* the 27B models */
    const double scalar = big ? h->n_embd / h->n_head : h->head_dim;
    const int period = a->window == WINDOW_ALTERNATE ? 2 : a->window == WINDOW_FIVE_OF_SIX ? 6 : 0;
    if ((a->traits & ARCH_SCALAR) && h->query_scalar != scalar)
        return err_set(e, ERR_DATA, "query_pre_attn_scalar: %g: GGUF's %s has %g", h->query_scalar,
                       a->gguf, scalar);
    if ((a->traits & ARCH_EMBD_ROOT) && h->embd_scale != sqrt((double)h->n_embd))
        return err_set(e, ERR_DATA, "embedding_multiplier: %g: GGUF's %s has %g", h->embd_scale,
                       a->gguf, sqrt((double)h->n_embd));
    if ((a->traits & ARCH_QK_NORM) && h->attn_cap != 0)
        return err_set(e, ERR_DATA, "attn_logit_softcapping: GGUF's %s has none", a->gguf);
    if (h->n_expert && h->norm_topk != ((a->traits & ARCH_TOP_NORM) != 0))
        return err_set(e, ERR_DATA, "norm_topk_prob: %s: not what GGUF's %s has",
                       h->norm_topk ? "true" : "false", a->gguf);
    if (h->window && h->window < h->n_ctx &&
        (a->window == WINDOW_ASKED || h->window_from || h->window_period != period))
        return err_set(e, ERR_DATA, "sliding_window: GGUF's %s has none, or of other layers",
                       a->gguf);
    if (h->rope_untruncated)
        return err_set(e, ERR_DATA, "rope_scaling: truncate: false: GGUF has no key for it");
    if (h->rope_scaling == ROPE_YARN && (h->rope_high != 32 || h->rope_low != 1))
        return err_set(e, ERR_DATA,
                       "rope_scaling: beta_fast %g, beta_slow %g: llama.cpp has 32 and 1 for %s",
                       h->rope_high, h->rope_low, a->gguf);
    if (h->tied && (a->traits & ARCH_SHARED))
        return err_set(e, ERR_DATA, "tie_word_embeddings: true: GGUF's %s has a head", a->gguf);
    if (!h->tied && (a->traits & ARCH_POST_NORM))
        return err_set(e, ERR_DATA, "tie_word_embeddings: false: GGUF's %s has no head", a->gguf);
    return 0;
}

static int has_end_mark(const struct exporter *x, int32_t id)
{
    for (int i = 0; x->tok && import_end_mark(i); i++)
        if (bpe_id(x->tok, import_end_mark(i)) == id && bpe_is_special(x->tok, id))
            return 1;
    return 0;
}

/* One id of each kind: end of text, of turn, of message. Stop ids beyond these must be known by their
 * texts, or a reader would run on where we stop. */
static int put_stops(struct writer *g, struct err *e)
{
    static const char *const more[] = {"tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    const struct hparams *h = &g->x.h;
    int32_t eos = g->x.tok && bpe_eos(g->x.tok) >= 0 ? bpe_eos(g->x.tok)
                  : h->n_stop                        ? h->stop[0]
                                                     : -1;
    size_t used = 0;
    if (eos >= 0)
        gguf_out_u32(&g->w, "tokenizer.ggml.eos_token_id", (uint32_t)eos);
    for (int i = 0; i < h->n_stop; i++) {
        if (h->stop[i] == eos || has_end_mark(&g->x, h->stop[i]))
            continue;
        if (used == sizeof more / sizeof *more)
            return err_set(
                e, ERR_DATA,
                "stop_token_ids: %d: GGUF has keys for three ids, and this one's text is "
                "no usual end mark",
                h->stop[i]);
        gguf_out_u32(&g->w, more[used++], (uint32_t)h->stop[i]);
    }
    return 0;
}

static int put_tokenizer(struct writer *g, struct export_done *done, struct err *e)
{
    const struct hparams *h = &g->x.h;
    int32_t bos = h->bos >= 0 ? h->bos : g->x.tok ? bpe_bos(g->x.tok) : -1;
    if (!g->x.tok)
        gguf_out_str(&g->w, "tokenizer.ggml.model", "none"); /* weights alone: as llama.cpp's */
    else if (bpe_save_gguf(g->x.tok, h->n_vocab, &g->w, &done->tokenizer_loses, e) < 0)
        return e->code;
    done->no_tokenizer = !g->x.tok;
    if (put_stops(g, e) < 0)
        return e->code;
    if (bos >= 0)
        gguf_out_u32(&g->w, "tokenizer.ggml.bos_token_id", (uint32_t)bos);
    if (h->pad >= 0)
        gguf_out_u32(&g->w, "tokenizer.ggml.padding_token_id", (uint32_t)h->pad);
    gguf_out_bool(&g->w, "tokenizer.ggml.add_bos_token", h->add_bos);
    char *template = chat_meta_template(g->x.a.meta, g->x.tok, e);
    if (template)
        gguf_out_str(&g->w, "tokenizer.chat_template", template);
    free(template);
    return e->code;
}

static int show(void *arg, const char *path, struct err *e)
{
    const struct writer *g = arg;
    return export_show(&g->x, g->look, path, g->done->tokenizer_loses, e);
}

int export_gguf(const char *in, const char *out, const struct export_look *look,
                struct export_done *done, struct err *e)
{
    return export_gguf_split(in, out, NULL, look, NULL, NULL, done, e);
}

int export_gguf_split(const char *in, const char *out, const struct gguf_split *split,
                      const struct export_look *look, struct gguf_piece **piece, int *n_piece,
                      struct export_done *done, struct err *e)
{
    struct writer g = {.divisor = NULL, .look = look, .done = done};
    struct exporter *x = &g.x;
    struct err own = {0};
    struct stat st;
    int rc;
    if (!e)
        e = &own;
    memset(done, 0, sizeof *done);
    if ((rc = export_open(x, in, 1, e)) < 0)
        goto done;
    if ((rc = refuse(&x->h, e)) < 0) {
        err_prefix(e, "%s", in);
        goto done;
    }
    for (int i = 0; i < x->n; i++)
        /* llama.cpp adds and multiplies vectors in F32 only, and keeps what routes in it */
        if (x->out[i].ndim == 1 || strstr(x->out[i].name, ".ffn_gate_inp"))
            export_type(x, i, KN_F32);
    if (x->h.rope_scaling == ROPE_LLAMA3 && (rc = add_divisors(&g, e)) < 0)
        goto done;
    if (x->h.rope_scaling == ROPE_LONG) {
        add_factors(x, "rope_factors_long.weight", x->h.rope_long);
        add_factors(x, "rope_factors_short.weight", x->h.rope_short);
    }
    if (x->h.window && x->h.window < x->h.n_ctx && arch_by_name(x->h.arch)->window == WINDOW_ALL)
        done->window_lost = x->h.window;
    put_general(&g);
    put_hparams(&g);
    if (put_tokenizer(&g, done, e) < 0) {
        rc = err_prefix(e, "%s", in);
        goto done;
    }
    if (look) {
        g.w.look = show;
        g.w.look_arg = &g;
    }
    if (split) {
        rc = gguf_write_split(out, &g.w, x->out, x->n, split, export_fill, x, piece, n_piece, e);
        goto done;
    }
    rc = gguf_write(out, &g.w, x->out, x->n, export_fill, x, done->sha256, e);
    if (rc == 0 && strcmp(out, "-") && stat(out, &st) == 0)
        done->bytes = (uint64_t)st.st_size;
done:
    gguf_out_free(&g.w);
    free(g.divisor);
    export_close(x);
    return rc;
}
