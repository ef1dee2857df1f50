/* apr-parity - does a device compute what others do: op by op, layer by layer, and the logits */
#include "cli.h"
#include "dev.h"
#include "parity.h"
#include "textout.h"
#include <stdlib.h>
#include <string.h>

static struct {
    const char *device, *limits, *out;
    struct cli_list against;
    long positions, threads;
    int json, logits, gate;
} o = {.device = "cuda", .out = "-"};

// clang-format off
static const struct cli_opt opts[] = {
    CLI_STR(0, "device", &o.device, "D", "the device that is judged"),
    CLI_LIST(0, "against", &o.against, "D", "a device to compare with (repeatable, 2 at most; cpu and ref); cpu:float is cpu with products in f32"),
    CLI_STR(0, "limits", &o.limits, "FILE", "prompt and thresholds (configs/parity.yaml)"),
    CLI_INT(0, "positions", &o.positions, "N", "of the prompt; 0 = as the file says", 0, 512),
    CLI_FLAG(0, "logits", &o.logits, "the logits alone, not ops and layers"),
    CLI_FLAG(0, "gate", &o.gate, "as before a device is used: logits against cpu, or the cached receipt"),
    CLI_INT(0, "threads", &o.threads, "N", "of devices on the CPU; 0 = all cores", 0, 1024),
    CLI_FLAG(0, "json", &o.json, "one JSON object"),
    CLI_STR('o', "output", &o.out, "FILE", "write here"),
    CLI_END};
// clang-format on
static const struct cli cli = {.name = "apr-parity",
                               .what = "compare what a device computes with other devices",
                               .usage = "M.apr [options]",
                               .example = "apr-parity m.apr --device cuda --json -o parity.json",
                               .opts = opts,
                               .see = "apr-check(1), apr-gen(1), apr-bench(1)",
                               .output_version = 1};

static void report(const struct parity *p, int cached)
{
    const char *inputs[] = {p->path, o.limits, NULL};
    struct err e = {0};
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (f && o.json) {
        struct json_out j = {0};
        parity_json(&j, p);
        json_line(&j, f, &e);
        free(j.buf);
    } else if (f && cached) {
        fprintf(f, "passed before: %s on %s, build %s\n", o.device, p->hardware, p->build);
    } else if (f) {
        parity_text(f, p);
    }
    if (!f || fclose(f))
        err_set(&e, ERR_NOMEM, "out of memory");
    if (e.code || textout_write(o.out, text, n, inputs, p->seconds, &e))
        cli_die(&e);
    free(text);
}

int main(int argc, char **argv)
{
    struct err e = {0};
    struct parity_conf c;
    struct parity p;
    struct apr a;
    struct kn_dev *dev;
    int cached = 0, rc;
    cli_parse(&cli, &argc, &argv);
    if (argc != 1)
        cli_usage(argc ? "one model at a time" : "which model?");
    if (o.against.n > PARITY_PEERS)
        cli_usage("--against: at most %d devices", PARITY_PEERS);
    if (o.positions && o.positions < PARITY_LEAST)
        cli_usage("--positions: expected %d or more, found %ld", PARITY_LEAST, o.positions);
    if (o.gate && (o.against.n || o.positions || o.logits))
        cli_usage("--gate takes none of --against, --positions, --logits");
    struct parity_want w = {.conf = &c,
                            .peer = {"cpu", "ref"},
                            .n_peer = o.against.n ? o.against.n : 2,
                            .threads = (int)o.threads,
                            .ops = !o.logits};
    for (int i = 0; i < o.against.n; i++)
        w.peer[i] = o.against.v[i];
    if (parity_conf_load(&c, o.limits, &e) < 0 || apr_open(&a, argv[0], &e) < 0 ||
        dev_open(&dev, o.device, (int)o.threads, &e) < 0)
        cli_die(&e);
    if (!o.against.n && !dev->exact && kn_file(dev)) /* prompts are not computed as the CPU does */
        w.peer[0] = PARITY_FLOAT;
    if (o.positions)
        c.positions = (int)o.positions;
    rc = o.gate ? parity_gate(&p, &a, dev, &c, (int)o.threads, &cached, &e)
                : parity_run(&p, &a, dev, &w, &e);
    if (rc < 0 && !(o.gate && p.n_peer))
        cli_die(&e);
    report(&p, cached);
    const int passed = p.passed;
    if (!passed && !o.gate) {
        const struct parity_peer *x = &p.peer[p.n_peer > 1 && !p.peer[0].why[0]];
        err_set(&e, ERR_UNAVAILABLE, "%s does not compute what %s does: %s", p.device, x->name,
                x->why);
    }
    parity_free(&p);
    kn_close(dev);
    apr_close(&a);
    parity_conf_free(&c);
    if (!passed)
        cli_die(&e);
    return cli_exit(0);
}
