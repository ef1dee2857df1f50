/* gguf2apr - import a GGUF model */
#include "adapter.h"
#include "cli.h"
#include "hub.h"
#include "import.h"
#include "outfile.h"
#include "verify.h"
#include <string.h>

static struct {
    const char *out, *base;
    int enforce, no_verify;
} o;

static const struct cli_opt opts[] = {
    // clang-format off
    CLI_STR('o', "output", &o.out, "FILE", "write the .apr file here (- is stdout); required"),
    CLI_STR('b', "base", &o.base, "M.apr", "IN.gguf is a LoRA adapter of this model: OUT is a PEFT folder"),
    CLI_FLAG(0, "enforce-provenance", &o.enforce, "refuse: a GGUF file is a conversion, not the original"),
    CLI_FLAG(0, "no-verify", &o.no_verify, "do not compare the result with its source; the receipt says so"),
    CLI_END // clang-format on
};
static const struct cli cli = {.name = "gguf2apr",
                               .what = "turn a GGUF model into a .apr file",
                               .usage = "IN.gguf|hf://ORG/NAME:FILE.gguf -o OUT.apr",
                               .example = "gguf2apr model-Q4_K_M.gguf -o model.apr",
                               .opts = opts,
                               .see = "st2apr(1), apr-info(1), apr-check(1), apr(5)",
                               .output_version = 3};

/* An adapter: a folder in PEFT's layout. */
static void convert_adapter(const char *in, double start, struct err *e)
{
    struct adapter_done done;
    if (adapter_from_gguf(o.base, in, o.out, &done, e) < 0 ||
        meta_write(o.out, done.sha256, done.bytes, (const char *const[]){in, o.base, NULL}, NULL,
                   clock_now() - start, e) < 0)
        cli_die(e);
    printf("%s: %d modules, rank %d, scale %g\n", o.out, done.modules, done.rank, done.scale);
}

int main(int argc, char **argv)
{
    double start = clock_now();
    struct err e = {0};
    struct import_done done = {.bytes = 0};
    struct verify check = {.off = 0};
    struct apr_receipt receipt;
    struct import_opts how = {.receipt = &receipt, .shown = &check.from};
    char in[PATH_MAX];
    cli_parse(&cli, &argc, &argv);
    if (argc != 1 || !o.out)
        cli_usage(argc != 1 ? "one IN.gguf is needed" : "-o OUT.apr is needed");
    if (o.enforce) {
        err_set(&e, ERR_DATA,
                "%s: --enforce-provenance: a GGUF file is a conversion: start from the original "
                "SafeTensors (st2apr)",
                argv[0]);
        cli_die(&e);
    }
    check.off = o.no_verify;
    verify_begin(&check, &receipt);
    if (hub_operand(argv[0], in, &e) < 0)
        cli_die(&e);
    if (o.base) {
        convert_adapter(in, start, &e);
        return cli_exit(0);
    }
    if (import_gguf(in, o.out, &how, &done, &e) < 0)
        cli_die(&e);
    if (verify_failed(&check))
        cli_warn("%s: not verified: %s", o.out, check.why);
    if (done.bytes &&
        meta_write_receipt(o.out, done.sha256, done.bytes, (const char *const[]){in, NULL}, NULL,
                           clock_now() - start, check.text, &e) < 0)
        cli_die(&e);
    return cli_exit(0);
}
