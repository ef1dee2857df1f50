/* st2apr - import a Hugging Face folder of SafeTensors */
#include "cli.h"
#include "import.h"
#include "outfile.h"
#include <string.h>

static struct {
    const char *out, *type;
    int no_tokenizer;
} o = {.type = "keep"};

static const struct cli_opt opts[] = {
    // clang-format off
    CLI_STR('o', "output", &o.out, "FILE", "write the .apr file here (- is stdout); required"),
    CLI_CHOICE('t', "type", &o.type, "keep|f32|f16|bf16", "type of the matrices"),
    CLI_FLAG(0, "no-tokenizer", &o.no_tokenizer, "take the weights alone; such a model has no text"),
    CLI_END // clang-format on
};
static const struct cli cli = {.name = "st2apr",
                               .what = "turn a Hugging Face folder into a .apr file",
                               .usage = "DIR|FILE.safetensors -o OUT.apr [options]",
                               .example = "st2apr Qwen2.5-Coder-0.5B-Instruct/ -o coder.apr",
                               .opts = opts,
                               .see = "gguf2apr(1), apr-info(1), apr-check(1), apr(5)",
                               .output_version = 2};

int main(int argc, char **argv)
{
    static const char *const types[] = {"keep", "f32", "f16", "bf16"};
    double start = clock_now();
    struct err e = {0};
    struct import_done done = {.bytes = 0};
    cli_parse(&cli, &argc, &argv);
    if (argc != 1 || !o.out)
        cli_usage(argc != 1 ? "one folder or file is needed" : "-o OUT.apr is needed");
    struct import_opts how = {.no_tokenizer = o.no_tokenizer};
    while (strcmp(types[how.type], o.type))
        how.type++;
    if (import_safetensors(argv[0], o.out, &how, &done, &e) < 0)
        cli_die(&e);
    if (done.bytes &&
        meta_write(o.out, done.sha256, done.bytes, (const char *const[]){argv[0], NULL}, NULL,
                   clock_now() - start, &e) < 0)
        cli_die(&e);
    return cli_exit(0);
}
