/* gguf2apr - import a GGUF model */
#include "cli.h"
#include "import.h"
#include "outfile.h"
#include <string.h>

static struct {
    const char *out;
} o;

static const struct cli_opt opts[] = {
    // clang-format off
    CLI_STR('o', "output", &o.out, "FILE", "write the .apr file here (- is stdout); required"),
    CLI_END // clang-format on
};
static const struct cli cli = {.name = "gguf2apr",
                               .what = "turn a GGUF model into a .apr file",
                               .usage = "IN.gguf -o OUT.apr",
                               .example = "gguf2apr model-Q4_K_M.gguf -o model.apr",
                               .opts = opts,
                               .see = "st2apr(1), apr-info(1), apr-check(1), apr(5)",
                               .output_version = 2};

int main(int argc, char **argv)
{
    double start = clock_now();
    struct err e = {0};
    struct import_done done = {.bytes = 0};
    cli_parse(&cli, &argc, &argv);
    if (argc != 1 || !o.out)
        cli_usage(argc != 1 ? "one IN.gguf is needed" : "-o OUT.apr is needed");
    if (import_gguf(argv[0], o.out, &done, &e) < 0)
        cli_die(&e);
    if (done.bytes &&
        meta_write(o.out, done.sha256, done.bytes, (const char *const[]){argv[0], NULL}, NULL,
                   clock_now() - start, &e) < 0)
        cli_die(&e);
    return cli_exit(0);
}
