/* apr-ppl - perplexity of a text, by the conventions of llama-perplexity
 *
 * The text is encoded once and cut into chunks of --ctx tokens without overlap; the first token of
 * a chunk becomes the BOS token if the model adds one.  Each chunk starts with an empty context,
 * and only its second half is scored: positions ctx/2 to ctx-2 predict their successors. */
#include "cli.h"
#include "dev.h"
#include "forward.h"
#include "json.h"
#include "outfile.h"
#include "sampler.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct {
    long ctx, threads, chunks;
    const char *device, *out, *kv_type;
    int json;
} o = {.ctx = 512, .device = "cpu", .out = "-", .kv_type = "f32"};

// clang-format off
static const struct cli_opt opts[] = {
    CLI_INT(0, "ctx", &o.ctx, "N", "tokens of a chunk", 4, 1e9),
    CLI_INT(0, "chunks", &o.chunks, "N", "stop after N chunks; 0 = all", 0, 1e9),
    CLI_STR('o', "output", &o.out, "FILE", "write here"),
    CLI_FLAG(0, "json", &o.json, "one JSON object"),
    CLI_CHOICE(0, "kv-type", &o.kv_type, "f32|f16|q8_0", "numbers of the KV cache"),
    CLI_STR(0, "device", &o.device, "D", "cpu, cpu:avx2, cpu:avx512, cuda, ref ..."),
    CLI_INT(0, "threads", &o.threads, "N", "0 = all cores; changes no result", 0, 1024),
    CLI_END};
// clang-format on
static const struct cli cli = {.name = "apr-ppl",
                               .what = "perplexity of a text",
                               .usage = "M.apr [options] [TEXT]",
                               .example = "apr-ppl m.apr wiki.test.raw",
                               .opts = opts,
                               .see = "apr-gen(1), apr-check(1)",
                               .output_version = 1};

enum { STEP = 64 }; /* rows of a step: bounds the logits' memory at large vocabularies */

struct score {
    long n, chunks, tokens;
    double nll, nll2; /* sums of -log p and of its square */
};

/* All of a file or of stdin; NUL-terminated. */
static char *read_text(const char *path, size_t *n, struct err *e)
{
    FILE *f = strcmp(path, "-") ? fopen(path, "rb") : stdin;
    char *s = NULL;
    size_t cap = 0, got;
    *n = 0;
    if (!f) {
        err_errno(e, ERR_NOINPUT, "%s", path);
        cli_die(e);
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
        cli_die(e);
    }
    if (f != stdin)
        fclose(f);
    s[*n] = 0;
    return s;
}

/* One chunk of ids from an empty context; the rows from ctx/2 to ctx-2 are scored. */
static void chunk(struct forward *f, const int32_t *ids, float *logits, struct score *s,
                  struct err *e)
{
    int ctx = (int)o.ctx, first = ctx / 2;
    int32_t pos[STEP], seq[STEP] = {0}, out[STEP];
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
                            .blocks = table};
        if (forward_step(f, &r, e) < 0)
            cli_die(e);
        if (n_out && (rc = kn_read(f->d, logits, f->logits,
                                   (size_t)n_out * (size_t)V * sizeof *logits)) < 0) {
            dev_failed(f->d, "logits", rc, e);
            cli_die(e);
        }
        for (int i = 0; i < n_out; i++) {
            double nll = -sampler_logprob(logits + (size_t)i * (size_t)V, V, ids[at + out[i] + 1]);
            if (!isfinite(nll)) {
                err_set(e, ERR_DATA, "chunk %ld, position %d: the log-probability is not finite",
                        s->chunks, at + out[i]);
                cli_die(e);
            }
            s->nll += nll;
            s->nll2 += nll * nll;
            s->n++;
        }
    }
    s->chunks++;
    free(table);
}

static void report(const struct score *s, const struct model *m, double seconds, struct err *e)
{
    double mean = s->nll / (double)s->n, var = s->nll2 / (double)s->n - mean * mean,
           ppl = exp(mean);
    double error = s->n > 1 && var > 0 ? sqrt(var / (double)(s->n - 1)) * ppl : 0;
    struct outfile f;
    struct json_out j = {0};
    char text[200];
    int rc = outfile_open(&f, o.out, e);
    if (rc == 0 && o.json) {
        json_begin(&j, '{');
        json_kv_str(&j, "schema", "ppl/1");
        json_kv_num(&j, "ppl", ppl);
        json_kv_num(&j, "stderr", error);
        json_kv_num(&j, "nll", mean);
        json_kv_int(&j, "tokens", s->tokens);
        json_kv_int(&j, "scored", s->n);
        json_kv_int(&j, "chunks", s->chunks);
        json_kv_int(&j, "ctx", o.ctx);
        json_kv_str(&j, "device", m->dev->name);
        json_end(&j, '}');
        rc = j.failed ? err_set(e, ERR_NOMEM, "out of memory") : outfile_write(&f, j.buf, j.len, e);
        if (rc == 0)
            rc = outfile_write(&f, "\n", 1, e);
        free(j.buf);
    } else if (rc == 0) {
        snprintf(text, sizeof text,
                 "perplexity %.4f +- %.4f (%ld tokens scored in %ld chunks of %ld)\n", ppl, error,
                 s->n, s->chunks, o.ctx);
        rc = outfile_write(&f, text, strlen(text), e);
    }
    if (rc < 0 || outfile_commit(&f, e) < 0)
        cli_die(e);
    if (cli_verbose)
        cli_warn("%.0f tokens/s", (double)(s->chunks * o.ctx) / seconds);
}

int main(int argc, char **argv)
{
    struct err e = {0};
    struct model m;
    struct forward f;
    struct kn_dev *dev;
    struct score s = {0};
    struct cli_progress progress = {.what = "apr-ppl", .unit = "chunks"};
    int32_t *ids;
    size_t n;
    cli_parse(&cli, &argc, &argv);
    if (argc < 1 || argc > 2)
        cli_usage("expected a model and at most one text");
    char *text = read_text(argc > 1 ? argv[1] : "-", &n, &e);
    if (dev_open(&dev, o.device, (int)o.threads, &e) < 0)
        cli_die(&e);
    if (model_load(&m, argv[0], dev, KN_W_INFER, (int)o.ctx, &e) < 0)
        cli_die(&e);
    if (!m.tok)
        cli_die(&(struct err){ERR_DATA, "the model has no tokenizer"});
    long n_ids = bpe_encode(m.tok, text, n, BPE_BOS, &ids, &e);
    free(text);
    if (n_ids < 0)
        cli_die(&e);
    if (n_ids < o.ctx) {
        err_set(&e, ERR_DATA, "%s: %ld tokens, a chunk needs %ld", argc > 1 ? argv[1] : "-", n_ids,
                o.ctx);
        cli_die(&e);
    }
    int blocks = (int)((o.ctx + KN_TILE - 1) / KN_TILE);
    if (forward_new(&f, &m, STEP, 1, STEP, blocks, blocks, kn_type_by_name(o.kv_type), &e) < 0)
        cli_die(&e);
    float *logits = cli_malloc((size_t)STEP * (size_t)m.h.n_vocab * sizeof *logits);
    long n_chunk = n_ids / o.ctx;
    if (o.chunks && o.chunks < n_chunk)
        n_chunk = o.chunks;
    s.tokens = n_ids;
    progress.total = (double)n_chunk;
    double start = clock_now();
    for (long c = 0; c < n_chunk; c++) {
        char now[40];
        if (m.h.add_bos && m.h.bos >= 0)
            ids[c * o.ctx] = m.h.bos;
        chunk(&f, ids + c * o.ctx, logits, &s, &e);
        snprintf(now, sizeof now, "ppl %.4f", exp(s.nll / (double)s.n));
        cli_progress(&progress, (double)(c + 1), now);
    }
    cli_progress_end(&progress, (double)n_chunk, NULL);
    report(&s, &m, clock_now() - start, &e);
    free(logits);
    free(ids);
    forward_free(&f);
    model_free(&m);
    kn_close(dev);
    return cli_exit(0);
}
