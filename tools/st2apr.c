/* st2apr - import a Hugging Face folder of SafeTensors */
#include "cli.h"
#include "front.h"
#include "hub.h"
#include "import.h"
#include "outfile.h"
#include "verify.h"
#include <string.h>

static struct {
    const char *out, *type, *quantize;
    int no_tokenizer, enforce, no_verify;
    long threads;
} o = {.type = "keep"};

static const struct cli_opt opts[] = {
    // clang-format off
    CLI_STR('o', "output", &o.out, "FILE", "write the .apr file here (- is stdout); required"),
    CLI_CHOICE('t', "type", &o.type, "keep|f32|f16|bf16", "type of the matrices"),
    CLI_STR('Q', "quantize", &o.quantize, "MIX", "quantize as it is read: q4k, q4_k_m, q8_0, ... as apr-quant's --type"),
    CLI_INT(0, "threads", &o.threads, "N", "threads that convert; 0: all", 0, 256),
    CLI_FLAG(0, "enforce-provenance", &o.enforce, "the files must be those that the hub has, where a hub is known"),
    CLI_FLAG(0, "no-tokenizer", &o.no_tokenizer, "take the weights alone; such a model has no text"),
    CLI_FLAG(0, "no-verify", &o.no_verify, "do not compare the result with its source; the receipt says so"),
    CLI_END // clang-format on
};
static const struct cli cli = {.name = "st2apr",
                               .what = "turn a Hugging Face folder into a .apr file",
                               .usage = "DIR|FILE.safetensors|hf://ORG/NAME -o OUT.apr [options]",
                               .example = "st2apr Qwen2.5-Coder-0.5B-Instruct/ -o coder.apr",
                               .opts = opts,
                               .see = "gguf2apr(1), apr-info(1), apr-check(1), apr(5)",
                               .output_version = 3};

int main(int argc, char **argv)
{
    static const char *const types[] = {"keep", "f32", "f16", "bf16"};
    double start = clock_now();
    struct err e = {0};
    struct import_done done = {.bytes = 0};
    char in[PATH_MAX];
    cli_parse(&cli, &argc, &argv);
    if (argc != 1 || !o.out)
        cli_usage(argc != 1 ? "one folder or file is needed" : "-o OUT.apr is needed");
    struct verify check = {.off = o.no_verify, .threads = (int)o.threads};
    struct apr_receipt receipt;
    struct import_opts how = {.no_tokenizer = o.no_tokenizer,
                              .enforce = o.enforce,
                              .threads = (int)o.threads,
                              .receipt = &receipt,
                              .shown = &check.from};
    while (strcmp(types[how.type], o.type))
        how.type++;
    if (o.quantize && how.type)
        cli_usage("--type or --quantize, not both");
    if (o.quantize && !(how.quantize = quant_mix(front_type(o.quantize))))
        cli_usage("--quantize: expected one of " QUANT_MIXES ", found '%s'", o.quantize);
    verify_begin(&check, &receipt);
    if (hub_operand(argv[0], in, &e) < 0 || import_safetensors(in, o.out, &how, &done, &e) < 0)
        cli_die(&e);
    if (o.enforce && !done.origin_known)
        cli_warn("%s: nothing tells where it came from: its digests are recorded, not compared",
                 argv[0]);
    if (verify_failed(&check))
        cli_warn("%s: not verified: %s", o.out, check.why);
    if (done.bytes &&
        meta_write_receipt(o.out, done.sha256, done.bytes, (const char *const[]){in, NULL}, NULL,
                           clock_now() - start, check.text, &e) < 0)
        cli_die(&e);
    return cli_exit(0);
}
