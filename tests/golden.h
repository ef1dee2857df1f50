/* golden.h - a model on a device against a golden case: logits, hidden states, greedy tokens */
#ifndef GOLDEN_H
#define GOLDEN_H
#include "apr.h"
#include "export.h"
#include "forward.h"
#include "import.h"
#include "safetensors.h"
#include "tap.h"
#include "verify.h"
#include <math.h>
#include <string.h>

/* What is written is compared with its source, as the tools do (verify.h). */
static struct verify checked = {.threads = 1};
static const struct export_look gguf_checked = {verify_gguf, &checked};

/* 0, or -1 if nothing was compared. */
static int was_checked(void)
{
    if (checked.why[0])
        printf("# not compared: %s\n", checked.why);
    return checked.why[0] ? -1 : 0;
}

/* A Hugging Face folder without tokenizer. */
static int folder_to_apr(const char *dir, const char *apr, struct err *e)
{
    struct apr_receipt r;
    const struct import_opts o = {.no_tokenizer = 1, .receipt = &r, .shown = &checked.from};
    struct import_done done;
    verify_begin(&checked, &r);
    int rc = import_safetensors(dir, apr, &o, &done, e);
    return rc ? rc : was_checked();
}

struct golden {
    struct safetensors s;
    int n_pos, n_tok, n_embd, n_layer, n_vocab;
    const int32_t *ids, *positions, *greedy;
    const float *logits, *hidden;
};

static int load_golden(struct golden *g, const char *dir, const struct hparams *h, struct err *e)
{
    char path[600];
    snprintf(path, sizeof path, "%s/golden.safetensors", dir);
    if (safetensors_open(&g->s, path, e) < 0)
        return e->code;
    const struct tensor *ids = safetensors_get(&g->s, "input_ids"),
                        *pos = safetensors_get(&g->s, "positions");
    g->n_tok = (int)ids->dim[1];
    g->n_pos = (int)pos->dim[0];
    g->ids = ids->data;
    g->positions = pos->data;
    g->greedy = safetensors_get(&g->s, "greedy")->data;
    g->logits = safetensors_get(&g->s, "logits")->data;
    g->hidden = safetensors_get(&g->s, "hidden_last")->data;
    g->n_embd = h->n_embd;
    g->n_layer = h->n_layer;
    g->n_vocab = h->n_vocab;
    return 0;
}

enum { SEQS = 2, CHUNK = 77, BLOCKS = 16, GREEDY_FROM = 32, GREEDY = 48 };

/* The last row of each sequence after the embedding and each layer, kept while the last chunk runs.
 */
struct hidden {
    struct forward *f;
    int n_embd, row[SEQS];
    float *x; /* (n_layer + 1, SEQS, n_embd) */
};

static void keep(void *arg, int layer, struct kn_at x, int n_tok)
{
    struct hidden *h = arg;
    (void)n_tok;
    for (int s = 0; s < SEQS; s++)
        if (h->row[s] >= 0)
            kn_read(h->f->d, h->x + (size_t)(layer * SEQS + s) * (size_t)h->n_embd,
                    kn_plus(x, (size_t)h->row[s] * (size_t)h->n_embd * sizeof(float)),
                    (size_t)h->n_embd * sizeof(float));
}

static double worst(const float *a, const float *b, size_t n)
{
    double max = 0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - b[i]);
        max = d > max || isnan(d) ? (isnan(d) ? INFINITY : d) : max;
    }
    return max;
}

/* Both sequences side by side in chunks that split blocks; largest differences of logits and
 * hidden. */
static int compare(struct forward *f, const struct golden *g, double *logits, double *hidden,
                   struct err *e)
{
    const size_t V = (size_t)g->n_vocab, C = (size_t)g->n_embd;
    int32_t tok[2 * CHUNK], pos[2 * CHUNK], seq[2 * CHUNK], out[2 * CHUNK], blocks[SEQS * BLOCKS];
    struct hidden h = {.f = f, .n_embd = g->n_embd};
    float *y = malloc(2 * CHUNK * V * sizeof *y);
    int rc = 0;
    h.x = calloc((size_t)(g->n_layer + 1) * SEQS * C, sizeof *h.x);
    f->watch = keep;
    f->watch_arg = &h;
    for (int i = 0; i < SEQS * BLOCKS; i++)
        blocks[i] = i * 7 % (SEQS * BLOCKS); /* scattered */
    *logits = 0;
    for (int at = 0; at < g->n_tok && rc == 0; at += CHUNK) {
        int n = g->n_tok - at < CHUNK ? g->n_tok - at : CHUNK, m = 0, n_out = 0, which[2 * CHUNK];
        for (int s = 0; s < SEQS; s++) {
            h.row[s] = at + n == g->n_tok ? s * n + n - 1 : -1;
            for (int i = 0; i < n; i++, m++) {
                tok[m] = g->ids[s * g->n_tok + at + i];
                pos[m] = at + i;
                seq[m] = s;
                for (int p = 0; p < g->n_pos; p++)
                    if (g->positions[p] == at + i) {
                        which[n_out] = s * g->n_pos + p;
                        out[n_out++] = m;
                    }
            }
        }
        struct kn_rows r = {.n_tok = m,
                            .n_seq = SEQS,
                            .n_out = n_out,
                            .tok = tok,
                            .pos = pos,
                            .seq = seq,
                            .out = out,
                            .blocks = blocks};
        if ((rc = forward_step(f, &r, e)) == 0 && n_out)
            rc = kn_read(f->d, y, f->logits, (size_t)n_out * V * sizeof *y);
        for (int i = 0; i < n_out && rc == 0; i++) {
            double d = worst(y + (size_t)i * V, g->logits + (size_t)which[i] * V, V);
            *logits = d > *logits ? d : *logits;
        }
    }
    /* the last hidden state is the one after the final norm */
    struct kn_at a;
    float *last = h.x + (size_t)g->n_layer * SEQS * C;
    if (rc == 0 && (rc = kn_alloc(f->d, SEQS * C * sizeof(float), &a)) == 0) {
        kn_write(f->d, a, last, SEQS * C * sizeof(float));
        if (f->m->out_bias.buf)
            kn_layer_norm(f->d, a, a, f->m->out_norm, f->m->out_bias, (float)f->m->h.rms_eps, SEQS,
                          g->n_embd);
        else
            kn_rms_norm(f->d, a, a, f->m->out_norm, (float)f->m->h.rms_eps, SEQS, g->n_embd);
        kn_read(f->d, last, a, SEQS * C * sizeof(float));
        kn_free(f->d, a);
    }
    *hidden = worst(h.x, g->hidden, (size_t)(g->n_layer + 1) * SEQS * C);
    f->watch = NULL;
    free(h.x);
    free(y);
    return rc;
}

/* 48 greedy tokens of both sequences from their first 32; the number that agree from the start. */
static int greedy(struct forward *f, const struct golden *g, struct err *e)
{
    const size_t V = (size_t)g->n_vocab;
    int32_t tok[SEQS * GREEDY_FROM], pos[SEQS * GREEDY_FROM], seq[SEQS * GREEDY_FROM], out[SEQS],
        blocks[SEQS * BLOCKS];
    float *y = malloc(SEQS * V * sizeof *y);
    int same = 0;
    for (int i = 0; i < SEQS * BLOCKS; i++)
        blocks[i] = i;
    for (int t = 0; t < GREEDY; t++) {
        int n = t ? 1 : GREEDY_FROM;
        for (int s = 0; s < SEQS; s++) {
            for (int i = 0; i < n; i++) {
                tok[s * n + i] = t ? g->greedy[s * GREEDY + t - 1] : g->ids[s * g->n_tok + i];
                pos[s * n + i] = t ? GREEDY_FROM + t - 1 : i;
                seq[s * n + i] = s;
            }
            out[s] = s * n + n - 1;
        }
        struct kn_rows r = {.n_tok = SEQS * n,
                            .n_seq = SEQS,
                            .n_out = SEQS,
                            .tok = tok,
                            .pos = pos,
                            .seq = seq,
                            .out = out,
                            .blocks = blocks};
        if (forward_step(f, &r, e) < 0 || kn_read(f->d, y, f->logits, SEQS * V * sizeof *y) < 0)
            break;
        for (int s = 0; s < SEQS; s++) {
            size_t best = 0;
            for (size_t v = 1; v < V; v++)
                if (y[(size_t)s * V + v] > y[(size_t)s * V + best])
                    best = v;
            same += (int32_t)best == g->greedy[s * GREEDY + t];
        }
    }
    free(y);
    return same;
}

/* n_ctx: positions asked for, 0 = the model's own (longrope depends on it) */
static void device(const char *name, const char *dev_name, const char *apr, const char *dir,
                   int n_ctx)
{
    struct err e = {0};
    struct kn_dev *dev;
    struct model m;
    struct forward f;
    struct golden g = {0};
    double logits = 0, hidden = 0;
    if (kn_open(&dev, dev_name, 1) < 0) {
        skip("%s on %s: no such device here", name, dev_name);
        return;
    }
    if (model_load(&m, apr, dev, KN_W_INFER, n_ctx, &e) < 0) {
        ok(0, "%s on %s: %s", name, dev_name, e.msg);
        kn_close(dev);
        return;
    }
    if (load_golden(&g, dir, &m.h, &e) == 0 &&
        forward_new(&f, &m, 2 * CHUNK, SEQS, 2 * CHUNK, BLOCKS, SEQS * BLOCKS, KN_F32, &e) == 0) {
        int rc = compare(&f, &g, &logits, &hidden, &e);
        ok(rc == 0 && logits <= 2e-4, "%s on %s: logits within 2e-4 (%.1e) %s", name, dev_name,
           logits, e.msg);
        ok(hidden <= 2e-4, "%s on %s: hidden states within 2e-4 (%.1e)", name, dev_name, hidden);
        int same = greedy(&f, &g, &e);
        ok(same == SEQS * GREEDY, "%s on %s: %d of %d greedy tokens", name, dev_name, same,
           SEQS * GREEDY);
        forward_free(&f);
    } else {
        ok(0, "%s on %s: %s", name, dev_name, e.msg);
    }
    safetensors_close(&g.s);
    model_free(&m);
    kn_close(dev);
}

/* The same model after a GGUF file: llama's rows of q and k have moved, and its RoPE with them. */
static void by_gguf(const char *name, const char *apr, const char *dir, int n_ctx)
{
    char gguf[200], back[200], what[80];
    struct err e = {0};
    struct export_done out;
    struct import_done in;
    snprintf(gguf, sizeof gguf, "%s.gguf", apr);
    snprintf(back, sizeof back, "%s.back", apr);
    snprintf(what, sizeof what, "%s by way of GGUF", name);
    int rc = export_gguf(apr, gguf, &gguf_checked, &out, &e);
    if (rc == 0 && (rc = was_checked()) == 0)
        rc = import_gguf(gguf, back, NULL, &in, &e);
    ok(rc == 0, "%s: written and read %s", what, e.msg);
    if (rc == 0) {
        ok(in.h.rope_pairs == hparams_has(&in.h, ARCH_GGUF_PAIRS), "%s: RoPE's pairs", what);
        device(what, "cpu", back, dir, n_ctx);
    }
}
#endif
