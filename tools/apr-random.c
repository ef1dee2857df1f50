/* apr-random - a model of random weights in a true shape, for measuring speed without a download */
#include "cli.h"
#include "outfile.h"
#include "random_model.h"
#include <string.h>
#include <sys/stat.h>

static struct {
    const char *out, *shape, *type;
    long seed;
} o = {.out = "-", .shape = "qwen2.5-0.5b", .type = "q4_k_m"};

// clang-format off
static const struct cli_opt opts[] = {
    CLI_CHOICE(0, "shape", &o.shape, RANDOM_SHAPES, "model whose shape it has"),
    CLI_CHOICE('t', "type", &o.type, RANDOM_MIXES, "type or mix of types of the weights"),
    CLI_INT(0, "seed", &o.seed, "N", "other weights for another number", 0, 9e15),
    CLI_STR('o', "output", &o.out, "FILE", "write here (- is stdout)"),
    CLI_END};
// clang-format on
static const struct cli cli = {.name = "apr-random",
                               .what = "make a model of random weights",
                               .usage = "--shape SHAPE --type TYPE -o OUT.apr",
                               .example = "apr-random --shape qwen2.5-1.5b --type q8_0 -o r.apr",
                               .opts = opts,
                               .see = "apr-bench(1), apr2gguf(1), apr-quant(1)",
                               .output_version = 2};

static void show(void *arg, uint64_t bytes)
{
    cli_progress(arg, (double)bytes / 1048576, NULL);
}

int main(int argc, char **argv)
{
    struct err e = {0};
    struct random_model m;
    struct cli_progress p = {.what = "writing", .unit = "MiB"};
    struct stat st;
    const char *none[] = {NULL};
    char sha[65];
    double start = clock_now();
    cli_parse(&cli, &argc, &argv);
    if (argc != 0)
        cli_usage("no operands: the output is -o FILE");
    if (random_model_new(&m, o.shape, o.type, (uint64_t)o.seed, &e) < 0)
        cli_die(&e);
    p.total = (double)random_model_bytes(&m) / 1048576;
    if (random_model_write(&m, o.out, sha, show, &p, &e) < 0)
        cli_die(&e);
    cli_progress_end(&p, p.total, NULL);
    random_model_free(&m);
    if (strcmp(o.out, "-") != 0 && stat(o.out, &st) == 0 && S_ISREG(st.st_mode) &&
        meta_write(o.out, sha, (uint64_t)st.st_size, none, "cpu", clock_now() - start, &e) < 0)
        cli_die(&e);
    return cli_exit(0);
}
