/* apr2gguf - write a model as a GGUF file */
#include "adapter.h"
#include "cli.h"
#include "export.h"
#include "outfile.h"
#include "verify.h"
#include <string.h>

static struct {
    const char *out, *max_size, *adapter;
    long max_tensors;
    int no_verify;
} o;

static const struct cli_opt opts[] = {
    // clang-format off
    CLI_STR('o', "output", &o.out, "FILE", "write the GGUF file here (- is stdout); required"),
    CLI_STR('a', "adapter", &o.adapter, "DIR", "write this LoRA adapter (PEFT folder) of IN.apr, not the model"),
    CLI_STR(0, "split-max-size", &o.max_size, "N[K|M|G]", "several files, of at most this much each: OUT-00001-of-00003.gguf"),
    CLI_INT(0, "split-max-tensors", &o.max_tensors, "N", "several files, of at most N tensors each; 0: no bound", 0, 1 << 30),
    CLI_FLAG(0, "no-verify", &o.no_verify, "do not compare the result with its source; the receipt says so"),
    CLI_END // clang-format on
};
static const struct cli cli = {.name = "apr2gguf",
                               .what = "turn a .apr model into a GGUF file",
                               .usage = "IN.apr -o OUT.gguf [options]",
                               .example = "apr2gguf model.apr -o model.gguf",
                               .opts = opts,
                               .see = "apr-quant(1), gguf2apr(1), st2apr(1), apr(5)",
                               .output_version = 1};

/* One file or several, each with its sidecar. */
static int convert(const char *in, const struct gguf_split *split, struct export_done *done,
                   struct err *e)
{
    double start = clock_now();
    struct verify check = {.off = o.no_verify};
    const struct export_look look = {verify_gguf, &check};
    const struct export_look *const shown = o.no_verify ? NULL : &look;
    struct apr_receipt unused;
    struct gguf_piece *piece = NULL;
    const char *const inputs[] = {in, NULL};
    int n = 0, rc;
    verify_begin(&check, &unused);
    if (!split->max_bytes && !split->max_tensors) {
        rc = export_gguf(in, o.out, shown, done, e);
        if (rc == 0 && done->bytes)
            rc = meta_write_receipt(o.out, done->sha256, done->bytes, inputs, NULL,
                                    clock_now() - start, check.text, e);
    } else {
        rc = export_gguf_split(in, o.out, split, shown, &piece, &n, done, e);
        for (int i = 0; i < n && rc == 0; i++)
            rc = meta_write_receipt(piece[i].path, piece[i].sha256, piece[i].bytes, inputs, NULL,
                                    clock_now() - start, check.text, e);
        gguf_pieces_free(piece, n);
    }
    if (rc == 0 && verify_failed(&check))
        cli_warn("%s: not verified: %s", o.out, check.why);
    return rc;
}

static int convert_adapter(const char *base, struct err *e)
{
    double start = clock_now();
    struct adapter_done done;
    char weights[4200];
    if (adapter_to_gguf(base, o.adapter, o.out, &done, e) < 0)
        return e->code;
    if (!done.bytes)
        return 0;
    snprintf(weights, sizeof weights, "%s/adapter_model.safetensors", o.adapter);
    printf("%s: %d modules, rank %d, scale %g\n", o.out, done.modules, done.rank, done.scale);
    return meta_write(o.out, done.sha256, done.bytes, (const char *const[]){weights, base, NULL},
                      NULL, clock_now() - start, e);
}

int main(int argc, char **argv)
{
    struct err e = {0};
    struct export_done done;
    cli_parse(&cli, &argc, &argv);
    if (argc != 1 || !o.out)
        cli_usage(argc != 1 ? "one IN.apr is needed" : "-o OUT.gguf is needed");
    struct gguf_split split = {.max_tensors = (int)o.max_tensors};
    if (o.max_size && !(split.max_bytes = gguf_split_size(o.max_size)))
        cli_usage("--split-max-size: expected a size as 500M or 2G, found '%s'", o.max_size);
    if ((split.max_bytes || split.max_tensors) && strcmp(o.out, "-") == 0)
        cli_usage("several files do not fit into standard output");
    if (o.adapter && (split.max_bytes || split.max_tensors || o.no_verify))
        cli_usage("an adapter is one file, and always compared");
    if (o.adapter) {
        if (convert_adapter(argv[0], &e) < 0)
            cli_die(&e);
        return cli_exit(0);
    }
    if (convert(argv[0], &split, &done, &e) < 0)
        cli_die(&e);
    if (done.no_tokenizer)
        cli_warn("%s: no tokenizer: the GGUF file holds weights alone", argv[0]);
    if (done.tokenizer_loses)
        cli_warn("%s: tokenizer: GGUF says nothing of spaces that added tokens take with them, nor "
                 "of normalization",
                 argv[0]);
    if (done.window_lost)
        cli_warn("%s: llama.cpp computes this architecture without its sliding window: results "
                 "differ beyond %d positions",
                 argv[0], done.window_lost);
    return cli_exit(0);
}
