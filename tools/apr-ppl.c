/* apr-ppl - perplexity of a text, by the conventions of llama-perplexity
 *
 * The text is encoded once and cut into chunks of --ctx tokens without overlap; the first token of
 * a chunk becomes the BOS token if the model adds one.  Each chunk starts with an empty context,
 * and only its second half is scored: positions ctx/2 to ctx-2 predict their successors.
 * --kl-divergence-base keeps the distributions of those positions in a file; with --kl-divergence the model
 * is compared with them. */
#include "cli.h"
#include "dev.h"
#include "forward.h"
#include "json.h"
#include "kldbase.h"
#include "model_lora.h"
#include "outfile.h"
#include "sampler.h"
#include "start.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct {
    long ctx, threads, chunks;
    const char *device, *out, *kv_type, *base, *adapter;
    int json, kl, exact, other_base;
} o = {.device = "cpu", .out = "-", .kv_type = "f32"};

// clang-format off
static const struct cli_opt opts[] = {
    CLI_INT(0, "ctx", &o.ctx, "N", "tokens of a chunk; 0 = 512, or as the base file has it", 0, 1e9),
    CLI_INT(0, "chunks", &o.chunks, "N", "stop after N chunks; 0 = all", 0, 1e9),
    CLI_STR('a', "adapter", &o.adapter, "DIR", "a LoRA adapter beside the model's weights"),
    CLI_FLAG(0, "other-base", &o.other_base, "take an adapter that was trained on other weights"),
    CLI_STR(0, "kl-divergence-base", &o.base, "FILE", "write the distributions there, or compare with those"),
    CLI_FLAG(0, "kl-divergence", &o.kl, "KL divergence from the base file, whose tokens are the text"),
    CLI_STR('o', "output", &o.out, "FILE", "write here"),
    CLI_FLAG(0, "json", &o.json, "one JSON object"),
    CLI_CHOICE(0, "kv-type", &o.kv_type, "f32|f16|q8_0", "numbers of the KV cache"),
    CLI_STR(0, "device", &o.device, "D", "cpu, cpu:avx2, cpu:avx512, cuda, auto, ref ..."),
    CLI_FLAG(0, "exact", &o.exact, "prompts too in the arithmetic of every device (as --device cuda:exact)"),
    CLI_INT(0, "threads", &o.threads, "N", "0 = all cores; changes no result", 0, 1024),
    CLI_END};
// clang-format on
static const struct cli cli = {.name = "apr-ppl",
                               .what = "perplexity of a text; KL divergence from another model",
                               .usage = "M.apr [options] [TEXT]",
                               .example = "apr-ppl m.apr wiki.test.raw",
                               .opts = opts,
                               .see = "apr-gen(1), apr-check(1)",
                               .output_version = 1};

enum { STEP = 64 }; /* rows of a step: bounds the logits' memory at large vocabularies */

struct score {
    long n, chunks, tokens;
    double nll, nll2;    /* sums of -log p and of its square */
    struct kldbase base; /* to compare with */
    struct kld kld;
    void *row; /* of the base file that is written; or NULL */
};

static struct outfile keep; /* the base file that is written */

static _Noreturn void fail(struct err *e)
{
    outfile_abort(&keep);
    cli_die(e);
}

/* All of a file or of stdin; NUL-terminated. */
static char *read_text(const char *path, size_t *n, struct err *e)
{
    FILE *f = strcmp(path, "-") ? fopen(path, "rb") : stdin;
    char *s = NULL;
    size_t cap = 0, got;
    *n = 0;
    if (!f) {
        err_errno(e, ERR_NOINPUT, "%s", path);
        fail(e);
    }
    do {
        if (cap - *n < 2) {
            char *t = realloc(s, cap = cap ? 2 * cap : 65536);
            if (!t)
                cli_die(&(struct err){ERR_NOMEM, "out of memory"});
            s = t;
        }
        got = fread(s + *n, 1, cap - *n - 1, f);
        *n += got;
    } while (got);
    if (ferror(f)) {
        err_errno(e, errno == EISDIR ? ERR_NOINPUT : ERR_IO, "%s", path);
        fail(e);
    }
    if (f != stdin)
        fclose(f);
    s[*n] = 0;
    return s;
}

/* One position of a chunk, and the token that follows it. */
static void score(struct score *s, const float *logits, int V, int at, int32_t next, struct err *e)
{
    struct kld_row r = {.nll = -sampler_logprob(logits, V, next)};
    int rc = 0;
    if (!isfinite(r.nll)) {
        err_set(e, ERR_DATA, "chunk %ld, position %d: the log-probability is not finite", s->chunks,
                at);
        fail(e);
    }
    if (o.kl && (rc = kldbase_compare(&s->base, (int)s->chunks, at - (int)o.ctx / 2, logits, next,
                                      &r, e)) == 0)
        rc = kld_add(&s->kld, &r, e);
    if (s->row) {
        kldbase_pack(logits, V, s->row);
        rc = outfile_write(&keep, s->row, kldbase_bytes(V), e);
    }
    if (rc < 0)
        fail(e);
    s->nll += r.nll;
    s->nll2 += r.nll * r.nll;
    s->n++;
}

/* One chunk of ids from an empty context; the rows from ctx/2 to ctx-2 are scored. */
static void chunk(struct forward *f, const int32_t *ids, float *logits, struct score *s,
                  struct err *e)
{
    int ctx = (int)o.ctx, first = ctx / 2;
    int32_t pos[STEP], seq[STEP] = {0}, first_adapter[STEP] = {0}, out[STEP];
    const int n_block = f->max_blocks, V = f->m->h.n_vocab;
    int32_t *table = cli_malloc((size_t)n_block * sizeof *table);
    for (int i = 0; i < n_block; i++)
        table[i] = i;
    for (int at = 0; at < ctx - 1; at += STEP) {
        int n = ctx - 1 - at < STEP ? ctx - 1 - at : STEP, n_out = 0, rc;
        for (int i = 0; i < n; i++) {
            pos[i] = at + i;
            if (at + i >= first)
                out[n_out++] = i;
        }
        struct kn_rows r = {.n_tok = n,
                            .n_seq = 1,
                            .n_out = n_out,
                            .tok = ids + at,
                            .pos = pos,
                            .seq = seq,
                            .out = out,
                            .adapter = f->m->lora ? first_adapter : NULL,
                            .blocks = table};
        if (forward_step(f, &r, e) < 0)
            fail(e);
        if (n_out && (rc = kn_read(f->d, logits, f->logits,
                                   (size_t)n_out * (size_t)V * sizeof *logits)) < 0) {
            dev_failed(f->d, "logits", rc, e);
            fail(e);
        }
        for (int i = 0; i < n_out; i++)
            score(s, logits + (size_t)i * (size_t)V, V, at + out[i], ids[at + out[i] + 1], e);
    }
    s->chunks++;
    free(table);
}

static void put_ppl(struct json_out *j, double ppl, double error, const struct score *s)
{
    json_kv_str(j, "schema", "ppl/1");
    json_kv_num(j, "ppl", ppl);
    json_kv_num(j, "stderr", error);
    json_kv_num(j, "nll", s->nll / (double)s->n);
    json_kv_int(j, "tokens", s->tokens);
    json_kv_int(j, "scored", s->n);
}

static int print_json(struct outfile *f, const struct score *s, const struct kld_summary *k,
                      double ppl, double error, const char *device, struct err *e)
{
    struct json_out j = {0};
    json_begin(&j, '{');
    if (o.kl) {
        json_kv_str(&j, "schema", "kld/1");
        kld_json(&j, k);
    } else {
        put_ppl(&j, ppl, error, s);
    }
    json_kv_int(&j, "chunks", s->chunks);
    json_kv_int(&j, "ctx", o.ctx);
    json_kv_str(&j, "device", device);
    json_end(&j, '}');
    int rc = j.failed ? err_set(e, ERR_NOMEM, "out of memory") : outfile_write(f, j.buf, j.len, e);
    free(j.buf);
    return rc < 0 ? rc : outfile_write(f, "\n", 1, e);
}

static void report(struct score *s, const struct model *m, double seconds, struct err *e)
{
    double mean = s->nll / (double)s->n, var = s->nll2 / (double)s->n - mean * mean,
           ppl = exp(mean);
    double error = s->n > 1 && var > 0 ? sqrt(var / (double)(s->n - 1)) * ppl : 0;
    struct kld_summary k;
    struct outfile f;
    int rc = outfile_open(&f, o.out, e);
    if (o.kl)
        kld_summary(&k, &s->kld);
    if (rc == 0 && o.json)
        rc = print_json(&f, s, &k, ppl, error, m->dev->name, e);
    else if (rc == 0 && o.kl)
        kld_text(f.f, &k);
    else if (rc == 0)
        fprintf(f.f, "perplexity %.4f +- %.4f (%ld tokens scored in %ld chunks of %ld)\n", ppl,
                error, s->n, s->chunks, o.ctx);
    if (rc < 0 || outfile_commit(&f, e) < 0)
        fail(e);
    if (cli_verbose)
        cli_warn("%.0f tokens/s", (double)(s->chunks * o.ctx) / seconds);
}

/* The text's ids, malloc'ed; they fill a chunk at least. */
static int32_t *encode(const struct model *m, const char *path, long *n_ids, struct err *e)
{
    int32_t *ids = NULL;
    size_t n;
    char *text = read_text(path, &n, e);
    if (!m->tok)
        cli_die(&(struct err){ERR_DATA, "the model has no tokenizer"});
    *n_ids = bpe_encode(m->tok, text, n, BPE_BOS, &ids, e);
    free(text);
    if (*n_ids >= 0 && *n_ids < o.ctx)
        err_set(e, ERR_DATA, "%s: %ld tokens, a chunk needs %ld", path, *n_ids, o.ctx);
    if (e->code)
        fail(e);
    return ids;
}

/* The same from the base file, which must be of this vocabulary. */
static int32_t *base_ids(const struct model *m, const struct kldbase *b, long *n_ids, struct err *e)
{
    *n_ids = (long)b->n_chunk * b->n_ctx;
    if (b->n_vocab != m->h.n_vocab) {
        err_set(e, ERR_DATA, "%s: distributions over %d ids, the model has %d", o.base, b->n_vocab,
                m->h.n_vocab);
        fail(e);
    }
    int32_t *ids = cli_malloc((size_t)*n_ids * sizeof *ids);
    memcpy(ids, b->tok, (size_t)*n_ids * sizeof *ids);
    return ids;
}

/* All chunks. */
static void run(struct score *s, const struct model *m, int32_t *ids, long n_chunk, struct err *e)
{
    struct cli_progress progress = {.what = "apr-ppl", .unit = "chunks", .total = (double)n_chunk};
    int blocks = (int)((o.ctx + KN_TILE - 1) / KN_TILE);
    struct forward f;
    char now[40];
    float *logits = cli_malloc((size_t)STEP * (size_t)m->h.n_vocab * sizeof *logits);
    if (forward_new(&f, m, STEP, 1, STEP, blocks, blocks, kn_type_by_name(o.kv_type), e) < 0)
        fail(e);
    for (long c = 0; c < n_chunk; c++) {
        if (m->h.add_bos && m->h.bos >= 0)
            ids[c * o.ctx] = m->h.bos;
        chunk(&f, ids + c * o.ctx, logits, s, e);
        snprintf(now, sizeof now, "ppl %.4f", exp(s->nll / (double)s->n));
        cli_progress(&progress, (double)(c + 1), now);
    }
    cli_progress_end(&progress, (double)n_chunk, NULL);
    free(logits);
    forward_free(&f);
}

/* What the options ask for together. */
static void check_usage(int argc)
{
    if (argc < 1 || argc > 2)
        cli_usage("expected a model and at most one text");
    if (o.kl && (argc > 1 || !o.base))
        cli_usage(o.base ? "--kl-divergence: the tokens are those of the base file, not of a text"
                         : "--kl-divergence: expected --kl-divergence-base FILE");
    if (o.base && strcmp(o.base, "-") == 0)
        cli_usage("--kl-divergence-base: expected a file");
    if (o.ctx > 0 && o.ctx < 4)
        cli_usage("--ctx: expected 4 or more, found %ld", o.ctx);
}

int main(int argc, char **argv)
{
    struct err e = {0};
    struct model m;
    struct model_lora lora = {0};
    struct kn_dev *dev;
    struct score s = {0};
    long n_ids;
    cli_parse(&cli, &argc, &argv);
    check_usage(argc);
    if (o.kl && kldbase_open(&s.base, o.base, &e) < 0)
        cli_die(&e);
    if (o.kl && o.ctx && o.ctx != s.base.n_ctx)
        cli_usage("--ctx %ld: %s has chunks of %d", o.ctx, o.base, s.base.n_ctx);
    if (!o.ctx)
        o.ctx = o.kl ? s.base.n_ctx : 512;
    if (start_model(&m, &dev, argv[0], o.device, (int)o.threads,
                    KN_W_INFER | (o.exact ? START_EXACT : 0), (int)o.ctx, &e) < 0)
        cli_die(&e);
    if (o.adapter && model_lora_load(&lora, &m, &o.adapter, 1, o.other_base, &e) < 0)
        cli_die(&e);
    int32_t *ids =
        o.kl ? base_ids(&m, &s.base, &n_ids, &e) : encode(&m, argc > 1 ? argv[1] : "-", &n_ids, &e);
    long n_chunk = n_ids / o.ctx;
    if (o.chunks && o.chunks < n_chunk)
        n_chunk = o.chunks;
    s.tokens = n_ids;
    if (o.base && !o.kl) {
        s.row = cli_malloc(kldbase_bytes(m.h.n_vocab));
        if (outfile_open(&keep, o.base, &e) < 0 ||
            kldbase_begin(&keep, (int)o.ctx, m.h.n_vocab, (int)n_chunk, ids, &e) < 0)
            fail(&e);
    }
    double start = clock_now();
    run(&s, &m, ids, n_chunk, &e);
    if (s.row && outfile_commit(&keep, &e) < 0)
        cli_die(&e);
    report(&s, &m, clock_now() - start, &e);
    free(s.row);
    free(ids);
    kld_free(&s.kld);
    kldbase_close(&s.base);
    model_lora_free(&lora);
    model_free(&m);
    kn_close(dev);
    return cli_exit(0);
}
