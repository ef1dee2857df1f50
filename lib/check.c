/* check - the ten stages of apr-check */
#include "check.h"
#include "dev.h"
#include "forward.h"
#include "rng.h"
#include "sampler.h"
#include "verify.h"
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENIZER, EMBEDDING, ROPE, QKV, ATTENTION, MLP, NORM, HEAD, LOGITS, SAMPLER };
enum {
    ROWS = 16
}; /* of the prompt: one layer of a 7B model in scalar double stays a matter of seconds */

/* What one layer gave on one device; pointers into one allocation. */
struct trace {
    float *embd, *norm, *q, *att, *mlp, *logits;
    float *mem;
    int n_tok;
    size_t n_embd, n_q, n_vocab;
};

static void say(struct check_stage *s, int good, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void say(struct check_stage *s, int good, const char *fmt, ...)
{
    va_list ap;
    s->ok = good;
    va_start(ap, fmt);
    vsnprintf(s->detail, sizeof s->detail, fmt, ap);
    va_end(ap);
}

/* ---- tokenizer ---- */

static int round_trip(const struct bpe *b, const char *text)
{
    struct err e = {0};
    int32_t *ids = NULL;
    size_t n = 0;
    long k = bpe_encode(b, text, strlen(text), 0, &ids, &e);
    char *back = k < 0 ? NULL : bpe_decode(b, ids, (size_t)k, 0, &n);
    int same = back && n == strlen(text) && memcmp(back, text, n) == 0;
    free(ids);
    free(back);
    return same;
}

static void check_tokenizer(struct check_stage *s, const struct model *m)
{
    static const char *const texts[] = {
        "def add(a, b):\n    return a + b\n",
        "x = {'k': [1, 2.5e-3, None]}  # \ttab\r\n",
        "\xc3\xa9t\xc3\xa9 \xe4\xb8\xad\xe6\x96\x87 \xf0\x9f\x99\x82 12345",
        "   leading, trailing   ",
        "<|im_start|>user is text here<|im_end|>",
    };
    if (!m->tok) {
        say(s, 0, "the file has no tokenizer");
        return;
    }
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (!round_trip(m->tok, texts[i])) {
            say(s, 0, "text %zu does not survive encoding and decoding", i);
            return;
        }
    if (m->h.n_stop == 0) {
        say(s, 0, "the model has no stop id");
        return;
    }
    for (int i = 0; i < m->h.n_stop; i++)
        if (m->h.stop[i] < 0 || m->h.stop[i] >= m->n_real) {
            say(s, 0, "stop id %d is no token", (int)m->h.stop[i]);
            return;
        }
    say(s, 1, "%d tokens, %d stop ids, %zu texts come back", bpe_n_vocab(m->tok), m->h.n_stop,
        sizeof texts / sizeof *texts);
}

/* ---- embedding, RoPE ---- */

static void check_embedding(struct check_stage *s, const struct model *m, const struct trace *t,
                            const int32_t *ids)
{
    const struct tensor *w = apr_tensor(&m->file, "model.embed_tokens.weight");
    float *x = malloc(t->n_embd * sizeof *x);
    double sum = 0;
    if (!x) {
        say(s, 0, "out of memory");
        return;
    }
    for (int r = 0; r < m->h.n_vocab; r++) {
        tensor_values(w, (uint64_t)r * t->n_embd, x, t->n_embd);
        for (size_t i = 0; i < t->n_embd; i++) {
            if (!isfinite(x[i])) {
                say(s, 0, "row %d, element %zu is not finite", r, i);
                free(x);
                return;
            }
            sum += (double)x[i] * x[i];
        }
    }
    for (int r = 0; r < t->n_tok; r++) {
        tensor_values(w, (uint64_t)ids[r] * t->n_embd, x, t->n_embd);
        for (size_t i = 0; m->h.embd_scale != 0 && i < t->n_embd; i++)
            x[i] *= (float)m->h.embd_scale;
        if (memcmp(x, t->embd + (size_t)r * t->n_embd, t->n_embd * sizeof *x)) {
            say(s, 0, "the device reads row %d otherwise than the file has it", (int)ids[r]);
            free(x);
            return;
        }
    }
    free(x);
    say(s, sum > 0, "%d rows finite, root mean square %.3g; rows read back equal", m->h.n_vocab,
        sqrt(sum / ((double)m->h.n_vocab * (double)t->n_embd)));
}

/* inv_freq_k in double: the formulas of hparams_rope_table, but not its rounding */
static double inv_freq(const struct hparams *h, int n_ctx, int k)
{
    const double two_pi = 6.283185307179586476925;
    double power = pow(h->rope_theta, 2.0 * k / hparams_rope_dim(h)), inv = 1 / power;
    if (h->rope_scaling == ROPE_LINEAR)
        return inv / h->rope_factor;
    if (h->rope_scaling == ROPE_LLAMA3) {
        double wave = two_pi / inv, ratio = h->rope_orig_ctx / wave;
        if (ratio > h->rope_high)
            return inv;
        if (ratio < h->rope_low)
            return inv / h->rope_factor;
        double mix = (ratio - h->rope_low) / (h->rope_high - h->rope_low);
        return (1 - mix) * inv / h->rope_factor + mix * inv;
    }
    if (h->rope_scaling == ROPE_YARN) {
        double low, high;
        hparams_yarn_range(h, &low, &high);
        double ramp = fmin(fmax((k - low) / (high - low), 0), 1);
        return inv * (ramp / h->rope_factor + 1 - ramp);
    }
    if (h->rope_scaling == ROPE_LONG)
        return inv / (double)(n_ctx > h->rope_orig_ctx ? h->rope_long : h->rope_short)[k];
    return inv;
}

/* The table rounds inv_freq and the angle to float: 2^-23 of the angle, and the result to float. */
static void check_rope(struct check_stage *s, const struct model *m)
{
    const int hd = hparams_rope_dim(&m->h), half = hd / 2;
    const double attn = m->h.rope_attn != 0 ? m->h.rope_attn : hparams_rope_own_attn(&m->h);
    float *row = malloc((size_t)hd * sizeof *row);
    double worst = 0;
    int n = 0;
    for (int p = 0; row && p < m->n_ctx; p = p < 8 ? p + 1
                                             : p * 2 < m->n_ctx - 1 || p == m->n_ctx - 1
                                                 ? p * 2
                                                 : m->n_ctx - 1) {
        if (kn_read(m->dev, row, kn_plus(m->rope, (size_t)p * (size_t)hd * sizeof *row),
                    (size_t)hd * sizeof *row) < 0)
            break;
        n++;
        for (int k = 0; k < half; k++) {
            double a = p * inv_freq(&m->h, m->n_ctx, k), allowed = (2.5e-7 * a + 2e-7) * attn;
            double d = fmax(fabs(attn * cos(a) - row[k]), fabs(attn * sin(a) - row[half + k]));
            if (!(d <= allowed)) {
                say(s, 0, "position %d, pair %d: (%.7g, %.7g), expected (%.7g, %.7g)", p, k, row[k],
                    row[half + k], attn * cos(a), attn * sin(a));
                free(row);
                return;
            }
            worst = d > worst ? d : worst;
        }
    }
    free(row);
    say(s, n > 0, "%d positions up to %d against the formula, largest difference %.1e", n,
        m->n_ctx - 1, worst);
}

/* ---- one layer on a device ---- */

static void trace_free(struct trace *t)
{
    free(t->mem);
    memset(t, 0, sizeof *t);
}

static int trace_new(struct trace *t, const struct hparams *h, int n_tok, struct err *e)
{
    const size_t n = (size_t)n_tok, embd = n * (size_t)h->n_embd,
                 q = n * (size_t)h->n_head * (size_t)h->head_dim;
    t->n_tok = n_tok;
    t->n_embd = (size_t)h->n_embd;
    t->n_q = (size_t)h->n_head * (size_t)h->head_dim;
    t->n_vocab = (size_t)h->n_vocab;
    t->mem = calloc(3 * embd + 2 * q + t->n_vocab, sizeof(float));
    if (!t->mem)
        return err_set(e, ERR_NOMEM, "out of memory");
    t->embd = t->mem;
    t->norm = t->embd + embd;
    t->mlp = t->norm + embd;
    t->q = t->mlp + embd;
    t->att = t->q + q;
    t->logits = t->att + q;
    return 0;
}

/* Layer 0 and the head on the rows of r, every intermediate result read back. */
static int trace_run(struct trace *t, const struct model *m, const struct kn_rows *r, struct err *e)
{
    struct model one = *m; /* a view: the same weights, one layer */
    struct forward f;
    struct kn_dev *d = m->dev;
    const struct kn_attn *a = &m->layer[0].attn;
    const size_t n = (size_t)r->n_tok, embd = n * t->n_embd * sizeof(float),
                 q = n * t->n_q * sizeof(float);
    int rc;
    one.h.n_layer = 1;
    if ((rc = forward_new(&f, &one, r->n_tok, 1, 1, 1, 1, KN_F32, e)) < 0)
        return rc;
    if ((rc = forward_batch(&f, r, e)) < 0)
        goto done;
    if ((rc = forward_embed(&f)) < 0 || (rc = kn_read(d, t->embd, f.x, embd)) < 0 ||
        (rc = a->norm_bias.buf
                  ? kn_layer_norm(d, f.tmp, f.x, a->norm, a->norm_bias, a->eps, r->n_tok,
                                  (int)t->n_embd)
                  : kn_rms_norm(d, f.tmp, f.x, a->norm, a->eps, r->n_tok, (int)t->n_embd)) < 0 ||
        (rc = kn_read(d, t->norm, f.tmp, embd)) < 0 ||
        (rc = kn_qkv(d, f.q, f.x, f.tmp, f.kv, 0, a, f.batch)) < 0 ||
        (rc = kn_read(d, t->q, f.q, q)) < 0 ||
        (rc = kn_attention(d, f.att, f.q, f.kv, 0, a, f.batch)) < 0 ||
        (rc = kn_read(d, t->att, f.att, q)) < 0 ||
        (rc = kn_attn_out(d, f.x, f.att, f.tmp, a, f.batch)) < 0 ||
        (rc = kn_ffn(d, f.x, f.tmp, &m->layer[0].ffn, f.batch)) < 0 ||
        (rc = kn_read(d, t->mlp, f.x, embd)) < 0 || (rc = forward_head(&f)) < 0 ||
        (rc = kn_read(d, t->logits, f.logits, t->n_vocab * sizeof(float))) < 0)
        dev_failed(d, "logits", rc, e);
done:
    forward_free(&f);
    return e->code;
}

/* Relative error |a - b| / |b| over n numbers; infinite if one is not finite. */
static double relative(const float *a, const float *b, size_t n)
{
    double diff = 0, norm = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(a[i]) || !isfinite(b[i]))
            return INFINITY;
        diff += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        norm += (double)b[i] * b[i];
    }
    return norm > 0 ? sqrt(diff / norm) : diff > 0 ? INFINITY : 0;
}

/* Float weights differ from double by rounding alone; 8-bit activations by about 0.5 % of a row's
 * norm for each product, three products deep at most. */
static double tolerance(const struct kn_weight *w)
{
    return kn_type_info(w->type)->act_block ? 0.05 : 1e-4;
}

static void compare(struct check_stage *s, const char *what, const float *a, const float *b,
                    size_t n, double allowed)
{
    double d = relative(a, b, n);
    say(s, d <= allowed, "%s: relative difference from ref %.1e, allowed %.0e", what, d, allowed);
}

/* ---- norms, logits, sampler ---- */

static void check_norm(struct check_stage *s, const struct model *m, const struct trace *t)
{
    double worst = 0;
    const struct tensor *w = apr_tensor(&m->file, "model.layers.0.input_layernorm.weight");
    const struct tensor *bias = apr_tensor(&m->file, "model.layers.0.input_layernorm.bias");
    float *g = calloc(2 * t->n_embd, sizeof *g), *b = g ? g + t->n_embd : NULL; /* no bias: 0 */
    if (!g) {
        say(s, 0, "out of memory");
        return;
    }
    kn_dequantize(w->type, w->data, g, t->n_embd);
    for (size_t i = 0; m->h.norm_adds_one && i < t->n_embd; i++)
        g[i] += 1;
    if (bias)
        kn_dequantize(bias->type, bias->data, b, t->n_embd);
    for (int r = 0; r < t->n_tok; r++) {
        const float *x = t->embd + (size_t)r * t->n_embd, *y = t->norm + (size_t)r * t->n_embd;
        double sum = 0, mean = 0;
        for (size_t i = 0; bias && i < t->n_embd; i++)
            mean += x[i] / (double)t->n_embd;
        for (size_t i = 0; i < t->n_embd; i++)
            sum += (x[i] - mean) * (x[i] - mean);
        double scale = 1 / sqrt(sum / (double)t->n_embd + m->h.rms_eps);
        for (size_t i = 0; i < t->n_embd; i++) {
            double want = (x[i] - mean) * scale * g[i] + b[i],
                   d = fabs(y[i] - want) / (fabs(want) + 1e-3);
            worst = d > worst || isnan(d) ? d : worst;
        }
    }
    free(g);
    say(s, worst <= 1e-5, "%d norms finite; layer 0 against the formula, largest difference %.1e",
        2 * m->h.n_layer + 1, worst);
}

static void check_logits(struct check_stage *s, const struct model *m, const float *x)
{
    double min = INFINITY, max = -INFINITY;
    for (int i = 0; i < m->h.n_vocab; i++) {
        if (!isfinite(x[i])) {
            say(s, 0, "the logit of id %d is not finite", i);
            return;
        }
        min = x[i] < min ? x[i] : min;
        max = x[i] > max ? x[i] : max;
    }
    say(s, max - min > 1e-3, "%d layers: %d logits from %.3g to %.3g", m->h.n_layer, m->h.n_vocab,
        min, max);
}

static void check_sampler(struct check_stage *s, const struct model *m, float *x)
{
    struct sampler greedy = {.top_p = 1, .repeat_penalty = 1},
                   warm = {.temperature = 2, .top_p = 1, .repeat_penalty = 1};
    struct sampler_scratch *w = sampler_scratch_new(m->h.n_vocab);
    const int V = m->h.n_vocab;
    int best = 0, same = 1, differ = 0, padded = 0;
    if (!w) {
        say(s, 0, "out of memory");
        return;
    }
    for (int i = 1; i < m->n_real; i++)
        if (x[i] > x[best])
            best = i;
    int32_t got = sampler_next(&greedy, w, x, V, m->n_real, NULL, 0, 1, 1, NULL);
    for (uint64_t p = 0; p < 32; p++) {
        int32_t a =
            sampler_next(&warm, w, x, V, m->n_real, NULL, 0, rng_key(1, "check", 0), p, NULL);
        same &=
            a == sampler_next(&warm, w, x, V, m->n_real, NULL, 0, rng_key(1, "check", 0), p, NULL);
        differ +=
            a != sampler_next(&warm, w, x, V, m->n_real, NULL, 0, rng_key(2, "check", 0), p, NULL);
        padded += a >= m->n_real;
    }
    sampler_scratch_free(w);
    say(s, got == best && same && !padded,
        "greedy takes id %d%s; 32 seeded draws %s, %d differ under another seed", (int)got,
        got == best ? "" : ", which is not the largest", same ? "repeat" : "do not repeat", differ);
}

/* Logits of the whole model after the rows. */
static int whole(const struct model *m, const struct kn_rows *r, float *x, struct err *e)
{
    struct forward f;
    int rc = forward_new(&f, m, r->n_tok, 1, 1, 1, 1, KN_F32, e);
    if (rc < 0)
        return rc;
    if ((rc = forward_step(&f, r, e)) == 0 &&
        kn_read(f.d, x, f.logits, (size_t)m->h.n_vocab * sizeof *x) < 0)
        rc = err_set(e, ERR_SOFTWARE, "%s: cannot read the logits", f.d->name);
    forward_free(&f);
    return rc;
}

static int stages(struct check *c, const struct model *m, const struct model *ref, struct err *e)
{
    static const char text[] =
        "def add(a, b):\n    \"\"\"Return the sum of a and b.\"\"\"\n    return a + b\n";
    int32_t pos[ROWS], seq[ROWS] = {0}, ids[ROWS], out, block = 0, *enc = NULL;
    struct trace a = {0}, b = {0};
    long n = m->tok ? bpe_encode(m->tok, text, strlen(text), 0, &enc, e) : 0;
    float *x = NULL;
    int rc;
    if (n < 0)
        return (int)n;
    for (int i = 0; i < ROWS; i++) {
        pos[i] = i;
        ids[i] = n ? enc[i % n] : i * 7 % m->h.n_vocab;
    }
    free(enc);
    int n_tok = m->n_ctx < ROWS ? m->n_ctx : ROWS;
    out = n_tok - 1;
    struct kn_rows r = {.n_tok = n_tok,
                        .n_seq = 1,
                        .n_out = 1,
                        .tok = ids,
                        .pos = pos,
                        .seq = seq,
                        .out = &out,
                        .blocks = &block};
    check_tokenizer(&c->stage[TOKENIZER], m);
    check_rope(&c->stage[ROPE], m);
    if ((rc = trace_new(&a, &m->h, n_tok, e)) < 0 || (rc = trace_new(&b, &m->h, n_tok, e)) < 0 ||
        (rc = trace_run(&a, m, &r, e)) < 0 || (rc = trace_run(&b, ref, &r, e)) < 0)
        goto done;
    const struct model_layer *l = m->layer;
    const size_t rows = (size_t)n_tok;
    check_embedding(&c->stage[EMBEDDING], m, &a, ids);
    check_norm(&c->stage[NORM], m, &a);
    compare(&c->stage[QKV], "q of layer 0", a.q, b.q, rows * a.n_q, tolerance(l->attn.q));
    compare(&c->stage[ATTENTION], "attention of layer 0", a.att, b.att, rows * a.n_q,
            tolerance(l->attn.v));
    compare(&c->stage[MLP], "output of layer 0", a.mlp, b.mlp, rows * a.n_embd,
            tolerance(l->ffn.moe ? l->moe.down[0] : l->ffn.down));
    compare(&c->stage[HEAD], "head over layer 0", a.logits, b.logits, a.n_vocab,
            tolerance(m->head));
    x = malloc(a.n_vocab * sizeof *x);
    if (!x) {
        rc = err_set(e, ERR_NOMEM, "out of memory");
    } else if ((rc = whole(m, &r, x, e)) == 0) {
        check_logits(&c->stage[LOGITS], m, x);
        check_sampler(&c->stage[SAMPLER], m, x);
    }
done:
    free(x);
    trace_free(&a);
    trace_free(&b);
    return rc;
}

static void grade(struct check *c)
{
    static const struct {
        int at_least;
        const char *letter;
    } scale[] = {{100, "A+"}, {90, "A"}, {80, "B"}, {70, "C"}, {60, "D"}, {0, "F"}};
    int i = 0;
    c->score = 0;
    for (int s = 0; s < CHECK_STAGES; s++)
        c->score += c->container && c->stage[s].ok ? CHECK_POINTS : 0;
    while (c->score < scale[i].at_least)
        i++;
    c->letter = scale[i].letter;
}

/* Everything about damage goes into the result; what is left is an error. */
static int damaged(struct check *c, struct err *e, const char *where)
{
    if (e->code != ERR_DATA)
        return e->code;
    for (int s = 0; s < CHECK_STAGES; s++)
        if (!c->stage[s].detail[0])
            say(&c->stage[s], 0, "not reached: %s", where);
    if (!c->detail[0])
        snprintf(c->detail, sizeof c->detail, "%s", e->msg);
    *e = (struct err){0};
    grade(c);
    return 0;
}

static void read_receipt(struct check *c, const struct apr *a)
{
    cJSON *r = cJSON_GetObjectItemCaseSensitive(a->meta, "receipt");
    c->receipt_holds = verify_line(r, apr_weights_id(a), c->receipt, sizeof c->receipt);
    if (!cJSON_IsObject(r) ||
        !cJSON_PrintPreallocated(r, c->receipt_json, (int)sizeof c->receipt_json, 0))
        snprintf(c->receipt_json, sizeof c->receipt_json, "null");
}

int check_model(struct check *c, const char *path, const char *device, int n_threads, struct err *e)
{
    static const char *const names[CHECK_STAGES] = {
        "Tokenizer", "Embedding", "RoPE",    "Q/K/V",  "Attention",
        "MLP",       "LayerNorm", "LM Head", "Logits", "Sampler"};
    struct kn_dev *dev = NULL, *ref = NULL;
    struct model m = {0}, r = {0};
    struct apr file;
    int rc;
    memset(c, 0, sizeof *c);
    snprintf(c->receipt, sizeof c->receipt, "none: the file cannot be read");
    snprintf(c->receipt_json, sizeof c->receipt_json, "null");
    for (int i = 0; i < CHECK_STAGES; i++)
        c->stage[i].name = names[i];
    if (apr_open(&file, path, e) < 0)
        return damaged(c, e, "the file cannot be read");
    rc = apr_verify(&file, e);
    read_receipt(c, &file);
    apr_close(&file);
    if (rc < 0)
        return damaged(c, e, "the checksums do not hold");
    c->container = 1;
    if ((rc = dev_open(&dev, device, n_threads, e)) < 0)
        return rc;
    snprintf(c->device, sizeof c->device, "%s", dev->name);
    if ((rc = dev_open(&ref, "ref", n_threads, e)) == 0 &&
        (rc = model_load(&m, path, dev, KN_W_INFER, 0, e)) == 0 &&
        (rc = model_load(&r, path, ref, KN_W_INFER, 0, e)) == 0)
        rc = stages(c, &m, &r, e);
    if (r.dev)
        model_free(&r);
    if (m.dev)
        model_free(&m);
    kn_close(ref);
    kn_close(dev);
    if (rc < 0)
        return damaged(c, e, "the model does not load");
    grade(c);
    return 0;
}
