/* apr-plan - bytes that a model's inference or training takes, before anything is loaded */
#include "cli.h"
#include "json.h"
#include "memplan.h"
#include "room.h"
#include <stdlib.h>
#include <string.h>

static struct {
    const char *method, *type, *kv_type, *targets, *precision, *device, *optim, *optim_state;
    long ctx, batch, chunk, rank, pack, threads, world_size;
    double dropout, vram;
    int recompute, json;
} o = {.method = "inference",
       .kv_type = "f32",
       .targets = "all",
       .precision = "f32",
       .device = "cpu",
       .optim = "adamw",
       .optim_state = "f32",
       .world_size = 1,
       .chunk = 512,
       .rank = 16,
       .pack = 2048};

// clang-format off
static const struct cli_opt opts[] = {
    CLI_CHOICE('m', "method", &o.method, "inference|lora|qlora|full|auto", "what is to be done; auto: what fits"),
    CLI_INT('c', "ctx", &o.ctx, "N", "positions of a sequence or sample; 0 = the model's, 512 for training", 0, 1e9),
    CLI_INT('b', "batch", &o.batch, "N", "sequences at once, or samples of a batch; 0 = 1, 8 for training", 0, 1e6),
    CLI_CHOICE('t', "type", &o.type, QUANT_MIXES, "types of the weights, as apr-quant would write them"),
    CLI_CHOICE(0, "kv-type", &o.kv_type, "f32|f16|q8_0", "numbers of the KV cache"),
    CLI_INT(0, "chunk", &o.chunk, "N", "rows of a step", 1, 65536),
    CLI_INT('r', "rank", &o.rank, "N", "rank of the adapters", 1, 4096),
    CLI_STR(0, "targets", &o.targets, "LIST", "layers with an adapter, as apr-lora's"),
    CLI_FLOAT(0, "dropout", &o.dropout, "F", "dropout of the adapters' input", 0, 0.99),
    CLI_INT(0, "pack", &o.pack, "N", "rows of a pass of training", 1, 1 << 20),
    CLI_FLAG(0, "recompute", &o.recompute, "keep one layer's activations and run layers twice"),
    CLI_CHOICE(0, "precision", &o.precision, "f32|bf16", "operands of training's products"),
    CLI_CHOICE(0, "optim", &o.optim, "adamw|muon", "full: the optimizer of the layers' matrices"),
    CLI_CHOICE(0, "optim-state", &o.optim_state, "f32|bf16|8bit", "the optimizer's moments"),
    CLI_INT(0, "world-size", &o.world_size, "N", "processes that share the moments", 1, 64),
    CLI_FLOAT(0, "vram", &o.vram, "GB", "memory that there is; 0 = what this machine can give", 0, 1e6),
    CLI_STR(0, "device", &o.device, "D", "cpu, cpu:avx2, cpu:avx512, ref ..."),
    CLI_INT(0, "threads", &o.threads, "N", "0 = all cores", 0, 1024),
    CLI_FLAG(0, "json", &o.json, "one JSON object"),
    CLI_END};
// clang-format on
static const struct cli cli = {
    .name = "apr-plan",
    .what = "bytes that a model takes, before it is loaded",
    .usage = "M.apr|M.gguf|DIR|config.json [options]",
    .example = "apr-plan qwen2.5-coder-7b/config.json --type q4_k_m -c 8192 -b 4",
    .opts = opts,
    .see = "apr-gen(1), apr-lora(1), apr-quant(1), apr-info(1)",
    .output_version = 1};

struct plan {
    struct memplan_model m;
    struct memplan_conf c;
    struct memplan p;
};

static int is_float(const struct memplan_model *m)
{
    for (int i = 0; i < m->n_tensor; i++)
        if (m->tensor[i].ndim == 2 && kn_type_info(m->tensor[i].type)->block_len > 1)
            return 0;
    return 1;
}

/* One method's plan. QLoRA is LoRA on a quantized base: NF4 where the model is floats and no type is given. */
static int make(struct plan *x, const char *path, enum memplan_method method,
                const struct kn_dev *dev, struct err *e)
{
    const int training = method != MEMPLAN_INFERENCE;
    const struct quant_mix *mix = o.type ? quant_mix(o.type) : NULL;
    int rc = memplan_open(&x->m, path, mix, e);
    if (rc == 0 && method == MEMPLAN_QLORA && is_float(&x->m)) {
        if (mix)
            return err_set(e, ERR_USAGE, "--type %s is not quantized: that is --method lora",
                           o.type);
        memplan_close(&x->m);
        rc = memplan_open(&x->m, path, quant_mix("nf4"), e);
    }
    x->c = (struct memplan_conf){.method = method,
                                 .n_ctx = (int)o.ctx,
                                 .batch = o.batch    ? (int)o.batch
                                          : training ? 8
                                                     : 1,
                                 .kv_type = kn_type_by_name(o.kv_type),
                                 .chunk = (int)o.chunk,
                                 .lora = {.rank = (int)o.rank, .dropout = o.dropout},
                                 .pack = (int)o.pack,
                                 .recompute = o.recompute,
                                 .mixed = strcmp(o.precision, "bf16") == 0,
                                 .ranks = (int)o.world_size};
    x->c.optim.muon = method == MEMPLAN_FULL && strcmp(o.optim, "muon") == 0;
    optim_moment(o.optim_state, &x->c.optim.moment);
    if (rc == 0 && !x->c.n_ctx)
        x->c.n_ctx = training && x->m.h.n_ctx > 512 ? 512 : x->m.h.n_ctx;
    if (rc == 0 && (rc = lora_select(o.targets, &x->c.lora, e)) == 0 &&
        (rc = memplan_make(&x->p, &x->m, &x->c, dev, e)) < 0)
        err_prefix(e, "%s", path);
    return rc;
}

/* upstream's auto: all weights, else adapters, else adapters on a quantized base: the first that fits */
static int choose(struct plan *x, const char *path, const struct kn_dev *dev, size_t room,
                  struct err *e)
{
    for (int method = MEMPLAN_FULL; method >= MEMPLAN_LORA; method--) {
        const enum memplan_method order[] = {MEMPLAN_QLORA, MEMPLAN_LORA, MEMPLAN_FULL};
        const int rc = make(x, path, order[method - 1], dev, e);
        if (rc < 0 || x->p.total <= room || method == MEMPLAN_LORA)
            return rc;
        memplan_close(&x->m);
    }
    return 0;
}

static void print_json(const struct memplan_shown *shown)
{
    struct json_out j = {0};
    struct err e = {0};
    json_begin(&j, '{');
    memplan_json(&j, shown);
    json_end(&j, '}');
    if (json_line(&j, stdout, &e) < 0)
        cli_die(&e);
    free(j.buf);
}

int main(int argc, char **argv)
{
    static struct plan x;
    struct err e = {0};
    struct kn_dev *dev;
    int rc, method = 0;
    cli_parse(&cli, &argc, &argv);
    if (argc != 1)
        cli_usage("one model is needed");
    if ((rc = kn_open(&dev, o.device, (int)o.threads)) < 0) {
        err_set(&e, ERR_UNAVAILABLE, "device %s: %s", o.device, kn_strerror(rc));
        cli_die(&e);
    }
    const size_t room = o.vram > 0 ? (size_t)(o.vram * 1e9) : room_available("");
    while (memplan_methods[method] && strcmp(memplan_methods[method], o.method))
        method++;
    rc = !memplan_methods[method] ? choose(&x, argv[0], dev, room, &e)
                                  : make(&x, argv[0], (enum memplan_method)method, dev, &e);
    if (rc < 0)
        cli_die(&e);
    const struct memplan_shown shown = {&x.p, &x.m, &x.c, argv[0], dev, room};
    if (o.json)
        print_json(&shown);
    else
        memplan_text(stdout, &shown);
    memplan_close(&x.m);
    kn_close(dev);
    return cli_exit(x.p.total <= room ? 0 : 1);
}
