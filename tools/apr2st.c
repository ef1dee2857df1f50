/* apr2st - write a model as a Hugging Face folder */
#include "cli.h"
#include "export.h"
#include "outfile.h"
#include "verify.h"
#include <string.h>

static struct {
    const char *out, *dtype, *max_size;
    long max_tensors;
    int no_verify;
} o;

static const struct cli_opt opts[] = {
    // clang-format off
    CLI_STR('o', "output", &o.out, "DIR", "write the folder here; required"),
    CLI_CHOICE('t', "dtype", &o.dtype, "f32|bf16|f16", "type of the matrices; default: as they are, blocks as bf16"),
    CLI_STR(0, "split-max-size", &o.max_size, "N[K|M|G]", "several files of weights, of at most this much each, with an index"),
    CLI_INT(0, "split-max-tensors", &o.max_tensors, "N", "several files of weights, of at most N tensors each; 0: no bound", 0, 1 << 30),
    CLI_FLAG(0, "no-verify", &o.no_verify, "do not compare the result with its source; the receipt says so"),
    CLI_END // clang-format on
};
static const struct cli cli = {.name = "apr2st",
                               .what = "turn a .apr model into a Hugging Face folder",
                               .usage = "IN.apr -o DIR [options]",
                               .example = "apr2st model.apr -o model-hf",
                               .opts = opts,
                               .see = "apr2gguf(1), st2apr(1), apr(5)",
                               .output_version = 2};

static enum import_type type_of(const char *s)
{
    return !s                       ? IMPORT_KEEP
           : strcmp(s, "f32") == 0  ? IMPORT_F32
           : strcmp(s, "bf16") == 0 ? IMPORT_BF16
                                    : IMPORT_F16;
}

/* Without slashes at the end: the sidecar lies beside the folder, not in it. */
static const char *bare(const char *path)
{
    char *s = cli_strdup(path);
    for (size_t n = strlen(s); n > 1 && s[n - 1] == '/';)
        s[--n] = 0;
    return s;
}

int main(int argc, char **argv)
{
    double start = clock_now();
    struct err e = {0};
    struct export_done done;
    struct verify check = {.off = 0};
    const struct export_look look = {verify_safetensors, &check};
    struct apr_receipt unused;
    cli_parse(&cli, &argc, &argv);
    if (argc != 1 || !o.out)
        cli_usage(argc != 1 ? "one IN.apr is needed" : "-o DIR is needed");
    o.out = bare(o.out);
    struct gguf_split split = {.max_tensors = (int)o.max_tensors};
    if (o.max_size && !(split.max_bytes = gguf_split_size(o.max_size)))
        cli_usage("--split-max-size: expected a size as 500M or 2G, found '%s'", o.max_size);
    check.off = o.no_verify;
    verify_begin(&check, &unused);
    if (export_st(argv[0], o.out, type_of(o.dtype), &split, o.no_verify ? NULL : &look, &done, &e) <
        0)
        cli_die(&e);
    if (verify_failed(&check))
        cli_warn("%s: not verified: %s", o.out, check.why);
    if (done.no_tokenizer)
        cli_warn("%s: no tokenizer: the folder holds weights and configuration alone", argv[0]);
    if (meta_write_receipt(o.out, done.sha256, done.bytes, (const char *const[]){argv[0], NULL},
                           NULL, clock_now() - start, check.text, &e) < 0)
        cli_die(&e);
    return cli_exit(0);
}
