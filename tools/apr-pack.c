/* apr-pack - keep a model's weights as the CPU uses them, so that the next start is quick */
#include "cli.h"
#include "dev.h"
#include "model.h"
#include "outfile.h"
#include <stdlib.h>

static struct {
    const char *out, *device;
    long threads;
} o = {.device = "cpu"};

static const struct cli_opt opts[] = {
    // clang-format off
    CLI_STR('o', "output", &o.out, "FILE", "instead of M.apr.packed, where the other tools look"),
    CLI_STR(0, "device", &o.device, "D", "whose layout: cpu (all its paths share one)"),
    CLI_INT(0, "threads", &o.threads, "N", "0 = all cores", 0, 1024),
    CLI_END // clang-format on
};
static const struct cli cli = {.name = "apr-pack",
                               .what = "repack a model's weights once, for quick starts",
                               .usage = "[-o FILE] M.apr",
                               .example = "apr-pack m.apr && apr-gen -m m.apr -p 'def add(a, b):'",
                               .opts = opts,
                               .see = "apr-gen(1), apr-ppl(1), apr-bench(1)",
                               .output_version = 1};

static void pack(const struct model *m, const char *out, double start)
{
    const char *inputs[] = {m->file.path, NULL};
    const int max = m->file.n_tensor;
    const struct tensor **t = cli_malloc((size_t)max * sizeof *t);
    const struct kn_weight **w = cli_malloc((size_t)max * sizeof *w);
    struct err e = {0};
    uint64_t bytes = 0;
    char hex[65];
    int n = model_weights(m, t, w, max);
    if (packed_write(out, &m->file, m->dev, t, w, n, hex, &bytes, &e) < 0 ||
        meta_write(out, hex, bytes, inputs, m->dev->name, clock_now() - start, &e) < 0)
        cli_die(&e);
    free(t);
    free(w);
}

int main(int argc, char **argv)
{
    struct err e = {0};
    struct kn_dev *dev;
    struct model m;
    char beside[4096];
    double start = clock_now();
    cli_parse(&cli, &argc, &argv);
    if (argc != 1)
        cli_usage("one model is needed");
    if (!o.out && packed_path(argv[0], beside, sizeof beside) < 0)
        cli_usage("the model's name is too long: give -o FILE");
    if (dev_open(&dev, o.device, (int)o.threads, &e) < 0)
        cli_die(&e);
    if (!*kn_layout(dev)) {
        err_set(&e, ERR_UNAVAILABLE, "device %s: keeps no packed weights", o.device);
        cli_die(&e);
    }
    if (model_load(&m, argv[0], dev, KN_W_INFER | MODEL_LATER, 0, &e) < 0)
        cli_die(&e);
    pack(&m, o.out ? o.out : beside, start);
    model_free(&m);
    kn_close(dev);
    return cli_exit(0);
}
