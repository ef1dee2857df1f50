/* apr-diff - two models side by side: tensors, numbers, tokenizer, chat template, logits */
#include "cli.h"
#include "diff.h"
#include "outfile.h"
#include <math.h>
#include <stdlib.h>

static struct {
    struct diff_limits limits;
    const char *filter, *tensor, *prompts, *text, *out;
    long ctx, limit, threads;
    int json, weights, all;
} o = {.limits = {INFINITY, INFINITY, INFINITY, -1, 0}, .out = "-"};

// clang-format off
static const struct cli_opt opts[] = {
    CLI_FLOAT(0, "threshold", &o.limits.max, "X", "largest difference of a value that is no difference", 0, 1e38),
    CLI_FLOAT(0, "rel-rms", &o.limits.rel_rms, "X", "largest RMS of a tensor's differences over the RMS of A", 0, 1e38),
    CLI_FLOAT(0, "cosine", &o.limits.cosine, "X", "least cosine of a tensor", -1, 1),
    CLI_FLOAT(0, "kl", &o.limits.kl, "X", "largest mean KL divergence of the logits, in nats", 0, 1e38),
    CLI_FLOAT(0, "same-top", &o.limits.same_top, "X", "least share of positions with the same first choice", 0, 1),
    CLI_STR(0, "prompts", &o.prompts, "FILE", "compare logits on these prompts (JSONL)"),
    CLI_STR(0, "text", &o.text, "FILE", "compare logits on this text, in chunks as apr-ppl has them"),
    CLI_INT(0, "ctx", &o.ctx, "N", "tokens of a chunk, and of a prompt at most; 0 = 512", 0, 1e6),
    CLI_STR(0, "filter", &o.filter, "REGEX", "tensors whose name matches"),
    CLI_STR(0, "tensor", &o.tensor, "TEXT", "tensors whose name contains this"),
    CLI_FLAG(0, "weights", &o.weights, "tensors alone: not numbers, tokenizer, template"),
    CLI_INT(0, "limit", &o.limit, "N", "show the N tensors that differ most; 0 = all, by name", 0, 1e9),
    CLI_FLAG(0, "all", &o.all, "show equal tensors too"),
    CLI_FLAG(0, "json", &o.json, "one JSON object"),
    CLI_STR('o', "output", &o.out, "FILE", "write here"),
    CLI_INT(0, "threads", &o.threads, "N", "of the logits; 0 = all cores; changes no result", 0, 1024),
    CLI_END};
// clang-format on
static const struct cli cli = {.name = "apr-diff",
                               .what = "compare two models of any formats",
                               .usage = "A B [options]",
                               .example =
                                   "apr-diff coder-hf/ coder-q4_k_m.gguf --prompts prompts.jsonl",
                               .opts = opts,
                               .see = "apr-info(1), apr-ppl(1), apr-quant(1)",
                               .output_version = 1};

static void report(const struct diff *d, struct err *e)
{
    struct outfile f;
    int rc = outfile_open(&f, o.out, e);
    if (rc == 0 && o.json) {
        struct json_out j = {0};
        if ((rc = diff_json(&j, d, o.limit, e)) == 0)
            rc = json_line(&j, f.f, e);
        free(j.buf);
    } else if (rc == 0) {
        rc = diff_text(f.f, d, o.limit, o.all, e);
    }
    if (rc < 0)
        outfile_abort(&f);
    if (rc < 0 || outfile_commit(&f, e) < 0)
        cli_die(e);
}

int main(int argc, char **argv)
{
    struct err e = {0};
    struct diff d;
    regex_t filter;
    cli_parse(&cli, &argc, &argv);
    if (argc != 2)
        cli_usage("expected two models");
    if (o.ctx > 0 && o.ctx < 4)
        cli_usage("--ctx: expected 4 or more, found %ld", o.ctx);
    if ((isfinite(o.limits.kl) || o.limits.same_top > 0) && !o.prompts && !o.text)
        cli_usage("--kl and --same-top are of logits: expected --prompts or --text");
    struct diff_want want = {.limits = o.limits,
                             .tensor = o.tensor,
                             .weights = o.weights,
                             .prompts = o.prompts,
                             .text = o.text,
                             .ctx = o.ctx,
                             .threads = (int)o.threads};
    if (o.filter) {
        if (regcomp(&filter, o.filter, REG_EXTENDED | REG_NOSUB))
            cli_usage("--filter: not a regular expression: %s", o.filter);
        want.filter = &filter;
    }
    if (diff_models(&d, argv[0], argv[1], &want, &e) < 0)
        cli_die(&e);
    report(&d, &e);
    const int same = d.same;
    diff_free(&d);
    if (o.filter)
        regfree(&filter);
    return cli_exit(same ? 0 : 1);
}
