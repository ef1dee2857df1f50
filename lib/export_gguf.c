/* export_gguf - a .apr file as a GGUF file: the inverse of import_gguf */
#include "apr.h"
#include "blocks.h"
#include "bpe.h"
#include "export.h"
#include "gguf_write.h"
#include "import.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { QUANTIZATION_VERSION = 2 }; /* ggml's GGML_QNT_VERSION: of the block layouts */

struct export
{
    struct apr a;
    struct hparams h;
    struct bpe *tok;
    struct gguf_out w;
    struct tensor *out;         /* GGUF names */
    const struct tensor **from; /* source of out[i]; NULL: the RoPE divisors */
    int *heads;                 /* of out[i] if its rows change their order, else 0 */
    float *divisor;             /* rope_freqs.weight */
    int n;
};

/* ---- tensors ---- */

/* llama.cpp turns neighbouring elements of a head in its llama architecture, Hugging Face element i with
 * element i + hd/2: row j*hd/2 + i of a head goes to row 2i + j (j = 0, 1), as in permute() of
 * convert_hf_to_gguf.py. */
static void permute(const uint8_t *from, uint8_t *to, size_t rows, size_t bytes, int heads)
{
    size_t hd = rows / (size_t)heads, row = bytes / rows;
    for (size_t r = 0; r < rows; r++) {
        size_t in_head = r % hd, i = in_head % (hd / 2), j = in_head / (hd / 2);
        memcpy(to + (r - in_head + 2 * i + j) * row, from + r * row, row);
    }
}

static int fill(void *arg, int i, void *buf, struct err *e)
{
    const struct export *x = arg;
    const struct tensor *from = x->from[i], *to = &x->out[i];
    int widen = to->type != from->type, heads = x->heads[i];
    void *plain = buf;
    if (widen && heads && !(plain = malloc(to->bytes)))
        return err_set(e, ERR_NOMEM, "out of memory");
    if (widen)
        kn_dequantize(from->type, from->data, plain, tensor_count(from));
    if (heads)
        permute(widen ? plain : from->data, buf, from->dim[0], to->bytes, heads);
    if (plain != buf)
        free(plain);
    return 0;
}

/* The source's tensor for w, checked. */
static const struct tensor *source_tensor(const struct export *x, const struct import_want *w,
                                          struct err *e)
{
    const struct tensor *t = apr_tensor(&x->a, w->name);
    struct tensor want = {.ndim = w->ndim, .dim = {w->dim[0], w->dim[1]}};
    char found[200], expected[80];
    int64_t bad;
    if (!t)
        err_set(e, ERR_DATA, "tensor %s: missing", w->name);
    else if (t->ndim != w->ndim || memcmp(t->dim, want.dim, (size_t)t->ndim * sizeof *t->dim))
        err_set(e, ERR_DATA, "tensor %s: shape: expected %s, found %s", w->name,
                tensor_shape(&want, expected, sizeof expected),
                tensor_shape(t, found, sizeof found));
    else if (!tensor_is_weight(t->type))
        err_set(e, ERR_DATA, "tensor %s: type %s: GGUF cannot hold it as a weight", w->name,
                tensor_type_name(t->type));
    else if ((bad = tensor_not_finite(t)) >= 0)
        err_set(e, ERR_DATA, "tensor %s: NaN or infinity at element %" PRId64, w->name, bad);
    else
        return t;
    return NULL;
}

/* Tensors that the architecture does not have would be lost. */
static int check_extra(const struct export *x, struct err *e)
{
    for (int i = 0; i < x->a.n_tensor; i++) {
        const struct tensor *t = &x->a.tensor[i];
        int k = 0;
        if (strcmp(t->name, APR_TOKENIZER) == 0 ||
            (x->h.tied && strcmp(t->name, "lm_head.weight") == 0)) /* is the embedding once more */
            continue;
        while (k < x->n && x->from[k] != t)
            k++;
        if (k == x->n)
            return err_set(e, ERR_DATA, "tensor %s: unknown to architecture %s", t->name,
                           x->h.arch);
    }
    return 0;
}

static int heads_of(const struct export *x, const char *name)
{
    if (strcmp(x->h.arch, "llama") || x->h.rope_pairs)
        return 0;
    return strstr(name, ".attn_q.") ? x->h.n_head : strstr(name, ".attn_k.") ? x->h.n_head_kv : 0;
}

/* Divisors of the frequencies under the llama-3 rule, as generate_extra_tensors() of llama.cpp's
 * LlamaModel computes them. */
static int add_divisors(struct export *x, struct err *e)
{
    const struct hparams *h = &x->h;
    int half = h->head_dim / 2;
    struct tensor *t = &x->out[x->n];
    if (!(x->divisor = malloc((size_t)half * sizeof *x->divisor)))
        return err_set(e, ERR_NOMEM, "out of memory");
    for (int i = 0; i < half; i++) {
        double inv = pow(h->rope_theta, -2.0 * i / h->head_dim);
        x->divisor[i] = (float)hparams_llama3_divisor(inv, h->rope_factor, h->rope_low,
                                                      h->rope_high, h->rope_orig_ctx);
    }
    *t = (struct tensor){.name = "rope_freqs.weight",
                         .type = KN_F32,
                         .ndim = 1,
                         .dim = {(uint64_t)half},
                         .data = x->divisor,
                         .bytes = (size_t)half * sizeof *x->divisor};
    x->n++;
    return 0;
}

static int gather(struct export *x, struct err *e)
{
    struct import_want w;
    int count = 0;
    while (import_wanted(&x->h, count, &w))
        count++;
    x->out = calloc((size_t)count + 1, sizeof *x->out);
    x->from = calloc((size_t)count + 1, sizeof *x->from);
    x->heads = calloc((size_t)count + 1, sizeof *x->heads);
    if (!x->out || !x->from || !x->heads)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (x->n = 0; x->n < count; x->n++) {
        struct tensor *t = &x->out[x->n];
        import_wanted(&x->h, x->n, &w);
        if (!(x->from[x->n] = source_tensor(x, &w, e)))
            return e->code;
        *t = *x->from[x->n];
        memcpy(t->name, w.gguf, sizeof w.gguf);
        x->heads[x->n] = heads_of(x, w.gguf);
        if (w.ndim == 1 &&
            t->type != KN_F32) { /* llama.cpp adds and multiplies vectors in F32 only */
            t->type = KN_F32;
            t->bytes = tensor_bytes(KN_F32, t->ndim, t->dim);
            t->data = NULL;
        }
        if (x->heads[x->n])
            t->data = NULL;
    }
    if (check_extra(x, e) < 0)
        return e->code;
    return x->h.rope_scaling == ROPE_LLAMA3 ? add_divisors(x, e) : 0;
}

/* ---- keys ---- */

/* llama.cpp's enum llama_ftype of what most values have; of the mixes the one whose mark is there. */
static uint32_t file_type(const struct export *x)
{
    static const struct {
        uint8_t type, small, mixed; /* mixed: some matrices of v and down are Q6_K */
    } names[] = {{KN_F32, 0, 0},    {KN_F16, 1, 1},    {KN_Q4_0, 2, 2},  {KN_Q4_1, 3, 3},
                 {KN_Q8_0, 7, 7},   {KN_Q5_0, 8, 8},   {KN_Q5_1, 9, 9},  {KN_Q4_K, 14, 15},
                 {KN_Q5_K, 16, 17}, {KN_Q6_K, 18, 18}, {KN_BF16, 32, 32}};
    uint64_t values[256] = {0};
    int most = 0, mixed = 0;
    for (int i = 0; i < x->n; i++) {
        const struct tensor *t = &x->out[i];
        if (t->ndim < 2)
            continue;
        values[t->type] += tensor_count(t);
        most = values[t->type] > values[most] ? t->type : most;
        mixed |=
            t->type == KN_Q6_K && (strstr(t->name, ".attn_v.") || strstr(t->name, ".ffn_down."));
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].type == most)
            return mixed ? names[i].mixed : names[i].small;
    return 0;
}

static const char *key(const struct export *x, const char *rest, char buf[100])
{
    snprintf(buf, 100, "%s.%s", x->h.arch, rest);
    return buf;
}

static void put_count(struct export *x, const char *rest, int v)
{
    char buf[100];
    gguf_out_u32(&x->w, key(x, rest, buf), (uint32_t)v);
}

static void put_real(struct export *x, const char *rest, double v)
{
    char buf[100];
    gguf_out_f32(&x->w, key(x, rest, buf), (float)v);
}

static void put_text(struct export *x, const char *to, const char *from)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(x->a.meta, from);
    if (cJSON_IsString(v))
        gguf_out_str(&x->w, to, v->valuestring);
}

static void put_general(struct export *x)
{
    gguf_out_str(&x->w, "general.architecture", x->h.arch);
    gguf_out_str(&x->w, "general.type", "model");
    put_text(x, "general.name", "name");
    put_text(x, "general.author", "author");
    put_text(x, "general.description", "description");
    put_text(x, "general.license", "license");
    gguf_out_u32(&x->w, "general.file_type", file_type(x));
    gguf_out_u32(&x->w, "general.quantization_version", QUANTIZATION_VERSION);
}

static void put_hparams(struct export *x)
{
    const struct hparams *h = &x->h;
    char buf[100];
    put_count(x, "block_count", h->n_layer);
    put_count(x, "context_length", h->n_ctx);
    put_count(x, "embedding_length", h->n_embd);
    put_count(x, "feed_forward_length", h->n_ff);
    put_count(x, "attention.head_count", h->n_head);
    put_count(x, "attention.head_count_kv", h->n_head_kv);
    if (h->qk_norm || h->n_head * (long)h->head_dim != h->n_embd) {
        put_count(x, "attention.key_length", h->head_dim);
        put_count(x, "attention.value_length", h->head_dim);
    }
    put_real(x, "attention.layer_norm_rms_epsilon", h->rms_eps);
    put_real(x, "rope.freq_base", h->rope_theta);
    if (strcmp(h->arch, "llama") == 0)
        put_count(x, "rope.dimension_count", h->head_dim);
    if (h->rope_scaling == ROPE_LINEAR) {
        gguf_out_str(&x->w, key(x, "rope.scaling.type", buf), "linear");
        put_real(x, "rope.scaling.factor", h->rope_factor);
    }
    put_count(x, "vocab_size", h->n_vocab);
}

static int has_end_mark(const struct export *x, int32_t id)
{
    for (int i = 0; x->tok && import_end_mark(i); i++)
        if (bpe_id(x->tok, import_end_mark(i)) == id && bpe_is_special(x->tok, id))
            return 1;
    return 0;
}

/* One id of each kind: end of text, of turn, of message. Stop ids beyond these must be known by their
 * texts, or a reader would run on where we stop. */
static int put_stops(struct export *x, struct err *e)
{
    static const char *const more[] = {"tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    const struct hparams *h = &x->h;
    int32_t eos = x->tok && bpe_eos(x->tok) >= 0 ? bpe_eos(x->tok) : h->n_stop ? h->stop[0] : -1;
    size_t used = 0;
    if (eos >= 0)
        gguf_out_u32(&x->w, "tokenizer.ggml.eos_token_id", (uint32_t)eos);
    for (int i = 0; i < h->n_stop; i++) {
        if (h->stop[i] == eos || has_end_mark(x, h->stop[i]))
            continue;
        if (used == sizeof more / sizeof *more)
            return err_set(
                e, ERR_DATA,
                "stop_token_ids: %d: GGUF has keys for three ids, and this one's text is "
                "no usual end mark",
                h->stop[i]);
        gguf_out_u32(&x->w, more[used++], (uint32_t)h->stop[i]);
    }
    return 0;
}

static int put_tokenizer(struct export *x, struct export_done *done, struct err *e)
{
    const struct hparams *h = &x->h;
    int32_t bos = h->bos >= 0 ? h->bos : x->tok ? bpe_bos(x->tok) : -1;
    if (!x->tok)
        gguf_out_str(&x->w, "tokenizer.ggml.model", "none"); /* weights alone: as llama.cpp's */
    else if (bpe_save_gguf(x->tok, h->n_vocab, &x->w, &done->tokenizer_loses, e) < 0)
        return e->code;
    done->no_tokenizer = !x->tok;
    if (put_stops(x, e) < 0)
        return e->code;
    if (bos >= 0)
        gguf_out_u32(&x->w, "tokenizer.ggml.bos_token_id", (uint32_t)bos);
    if (h->pad >= 0)
        gguf_out_u32(&x->w, "tokenizer.ggml.padding_token_id", (uint32_t)h->pad);
    gguf_out_bool(&x->w, "tokenizer.ggml.add_bos_token", h->add_bos);
    put_text(x, "tokenizer.chat_template", "chat_template");
    return 0;
}

/* ---- all of it ---- */

/* What hparams can say and llama.cpp's architecture of that name cannot compute. */
static int refuse(const struct hparams *h, struct err *e)
{
    int llama = strcmp(h->arch, "llama") == 0;
    if (!llama && h->rope_pairs)
        return err_set(e, ERR_DATA, "rope_type: 0 (adjacent pairs): GGUF's %s has split halves",
                       h->arch);
    if (h->qk_norm != (strcmp(h->arch, "qwen3") == 0))
        return err_set(e, ERR_DATA, "qk_norm: %s: not what GGUF's %s is",
                       h->qk_norm ? "true" : "false", h->arch);
    return 0;
}

static int load(struct export *x, const char *in, struct err *e)
{
    const struct tensor *t;
    int rc;
    if ((rc = apr_open(&x->a, in, e)) < 0 || (rc = apr_verify(&x->a, e)) < 0)
        return rc;
    if (hparams_from_meta(&x->h, x->a.meta, e) < 0 || refuse(&x->h, e) < 0 || gather(x, e) < 0)
        return err_prefix(e, "%s", in);
    t = apr_tensor(&x->a, APR_TOKENIZER);
    return t ? bpe_load_tables(&x->tok, t->data, t->bytes, in, e) : 0;
}

int export_gguf(const char *in, const char *out, struct export_done *done, struct err *e)
{
    struct export x = {.n = 0};
    struct err own = {0};
    struct stat st;
    int rc;
    if (!e)
        e = &own;
    memset(done, 0, sizeof *done);
    if ((rc = load(&x, in, e)) < 0)
        goto done;
    put_general(&x);
    put_hparams(&x);
    if (put_tokenizer(&x, done, e) < 0) {
        rc = err_prefix(e, "%s", in);
        goto done;
    }
    rc = gguf_write(out, &x.w, x.out, x.n, fill, &x, done->sha256, e);
    if (rc == 0 && strcmp(out, "-") && stat(out, &st) == 0)
        done->bytes = (uint64_t)st.st_size;
done:
    gguf_out_free(&x.w);
    free(x.out);
    free(x.from);
    free(x.heads);
    free(x.divisor);
    bpe_free(x.tok);
    apr_close(&x.a);
    return rc;
}
