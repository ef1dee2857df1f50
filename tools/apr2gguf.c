/* apr2gguf - write a model as a GGUF file */
#include "cli.h"
#include "export.h"
#include "outfile.h"

static struct {
    const char *out;
} o;

static const struct cli_opt opts[] = {
    // clang-format off
    CLI_STR('o', "output", &o.out, "FILE", "write the GGUF file here (- is stdout); required"),
    CLI_END // clang-format on
};
static const struct cli cli = {.name = "apr2gguf",
                               .what = "turn a .apr model into a GGUF file",
                               .usage = "IN.apr -o OUT.gguf",
                               .example = "apr2gguf model.apr -o model.gguf",
                               .opts = opts,
                               .see = "apr-quant(1), gguf2apr(1), st2apr(1), apr(5)",
                               .output_version = 1};

int main(int argc, char **argv)
{
    double start = clock_now();
    struct err e = {0};
    struct export_done done;
    cli_parse(&cli, &argc, &argv);
    if (argc != 1 || !o.out)
        cli_usage(argc != 1 ? "one IN.apr is needed" : "-o OUT.gguf is needed");
    if (export_gguf(argv[0], o.out, &done, &e) < 0)
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
    if (done.bytes &&
        meta_write(o.out, done.sha256, done.bytes, (const char *const[]){argv[0], NULL}, NULL,
                   clock_now() - start, &e) < 0)
        cli_die(&e);
    return cli_exit(0);
}
