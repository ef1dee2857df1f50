/* apr-imatrix - importance matrix of a model over a text, for apr-quant and llama-quantize */
#include "cli.h"
#include "collect.h"
#include "dev.h"
#include "forward.h"
#include "outfile.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct {
    long ctx, chunks, threads;
    const char *out, *format, *device;
    struct cli_list in;
    int head;
} o = {.ctx = 512, .out = "imatrix.gguf", .format = "gguf", .device = "cpu"};

// clang-format off
static const struct cli_opt opts[] = {
    CLI_STR('o', "output", &o.out, "FILE", "write here (- is stdout)"),
    CLI_CHOICE(0, "output-format", &o.format, "gguf|dat", "llama.cpp's format, or its older one"),
    CLI_LIST(0, "in-file", &o.in, "FILE", "add the sums of this importance matrix (repeatable)"),
    CLI_FLAG(0, "process-output", &o.head, "of the output layer too"),
    CLI_INT(0, "ctx", &o.ctx, "N", "tokens of a chunk", 16, 1e6),
    CLI_INT(0, "chunks", &o.chunks, "N", "stop after N chunks; 0 = all", 0, 1e9),
    CLI_STR(0, "device", &o.device, "D", "cpu, cpu:avx2, cpu:avx512, ref ..."),
    CLI_INT(0, "threads", &o.threads, "N", "0 = all cores; changes no result", 0, 1024),
    CLI_END};
// clang-format on
static const struct cli cli = {.name = "apr-imatrix",
                               .what = "importance matrix of a model over a text",
                               .usage = "[M.apr [TEXT]] -o FILE [options]",
                               .example = "apr-imatrix m.apr text.txt -o m.imatrix.gguf",
                               .opts = opts,
                               .see = "apr-quant(1), apr-ppl(1)",
                               .output_version = 1};

enum { STEP = 128 }; /* rows of a step; changes no result */

/* One chunk of ids from an empty context, every row of it. */
static int chunk(struct forward *f, const int32_t *ids, const int32_t *table, struct err *e)
{
    int32_t pos[STEP], seq[STEP] = {0}, out[STEP];
    int rc = 0;
    for (int at = 0; at < o.ctx && rc == 0; at += STEP) {
        const int n = o.ctx - at < STEP ? (int)o.ctx - at : STEP;
        for (int i = 0; i < n; i++) {
            pos[i] = at + i;
            out[i] = i;
        }
        const struct kn_rows r = {.n_tok = n,
                                  .n_seq = 1,
                                  .n_out = o.head ? n : 0,
                                  .tok = ids + at,
                                  .pos = pos,
                                  .seq = seq,
                                  .out = out,
                                  .blocks = table};
        rc = forward_step(f, &r, e);
    }
    return rc;
}

/* All chunks of n ids; sums into m. */
static int run(struct model *m, int32_t *ids, long n, struct imatrix *im, struct err *e)
{
    const int blocks = (int)((o.ctx + KN_TILE - 1) / KN_TILE);
    struct cli_progress progress = {.what = "apr-imatrix", .unit = "chunks"};
    struct forward f;
    struct collect *c;
    long n_chunk = n / o.ctx;
    int32_t *table = cli_malloc((size_t)blocks * sizeof *table);
    int rc = forward_new(&f, m, STEP, 1, STEP, blocks, blocks, KN_F32, e);
    if (rc < 0)
        return rc;
    if (o.chunks && o.chunks < n_chunk)
        n_chunk = o.chunks;
    for (int i = 0; i < blocks; i++)
        table[i] = i;
    progress.total = (double)n_chunk;
    if ((rc = collect_begin(&c, m, im, o.head, e)) == 0) {
        for (long k = 0; k < n_chunk && rc == 0; k++) {
            if (m->h.add_bos && m->h.bos >= 0)
                ids[k * o.ctx] = m->h.bos;
            rc = chunk(&f, ids + k * o.ctx, table, e);
            cli_progress(&progress, (double)(k + 1), NULL);
        }
        struct err end = {0};
        if (collect_end(c, &end) < 0 && rc == 0) {
            *e = end;
            rc = e->code;
        }
    }
    im->chunks += (uint32_t)n_chunk;
    cli_progress_end(&progress, (double)n_chunk, NULL);
    forward_free(&f);
    free(table);
    return rc;
}

/* Sums of the model over the text. */
static int collect_text(const char *path, const char *text, struct imatrix *im, struct err *e)
{
    struct mapfile map = {0};
    struct kn_dev *dev = NULL;
    struct model m;
    int32_t *ids = NULL;
    int rc = mapfile_open(&map, text, e);
    if (rc < 0)
        return rc;
    if ((rc = dev_open(&dev, o.device, (int)o.threads, e)) < 0)
        goto closed;
    if ((rc = model_load(&m, path, dev, KN_W_INFER, (int)o.ctx, e)) < 0)
        goto closed;
    long n = m.tok ? bpe_encode(m.tok, (const char *)map.p, map.n, BPE_BOS, &ids, e)
                   : err_set(e, ERR_DATA, "%s: the model has no tokenizer", path);
    if (n < 0)
        rc = e->code;
    else if (n < o.ctx)
        rc = err_set(e, ERR_DATA, "%s: %ld tokens, a chunk needs %ld", text, n, o.ctx);
    if (rc == 0)
        rc = run(&m, ids, n, im, e);
    if (rc == 0)
        rc = imatrix_dataset(im, text, e);
    free(ids);
    model_free(&m);
closed:
    kn_close(dev);
    mapfile_close(&map);
    return rc;
}

int main(int argc, char **argv)
{
    struct err e = {0};
    struct imatrix im = {0}, one;
    const double start = clock_now();
    char sha[65];
    struct stat st;
    cli_parse(&cli, &argc, &argv);
    if (argc > 2 || (argc == 0 && !o.in.n))
        cli_usage("expected a model and a text, or --in-file");
    im.chunk_size = (uint32_t)o.ctx; /* imatrix_add counts by it what a .dat counts in chunks */
    for (int i = 0; i < o.in.n; i++) {
        if (imatrix_read(&one, o.in.v[i], &e) < 0 || imatrix_add(&im, &one, &e) < 0)
            cli_die(&e);
        imatrix_free(&one);
    }
    if ((argc && collect_text(argv[0], argc > 1 ? argv[1] : "-", &im, &e) < 0) ||
        imatrix_write(&im, o.out, strcmp(o.format, "dat") == 0, sha, &e) < 0)
        cli_die(&e);
    if (strcmp(o.out, "-")) {
        const char *in[] = {argc ? argv[0] : o.in.v[0], NULL};
        const uint64_t bytes = stat(o.out, &st) == 0 ? (uint64_t)st.st_size : 0;
        if (meta_write(o.out, sha, bytes, in, argc ? o.device : "cpu", clock_now() - start, &e) < 0)
            cli_die(&e);
    }
    imatrix_free(&im);
    return cli_exit(0);
}
