/* apr-fuse - merge a LoRA adapter into its base model */
#include "apr.h"
#include "blocks.h"
#include "cli.h"
#include "outfile.h"
#include "peft.h"
#include "quant.h"
#include "verify.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static struct {
    const char *adapter, *out, *type;
    long threads;
    int no_verify, other_base;
} o = {.type = "keep"};

// clang-format off
static const struct cli_opt opts[] = {
    CLI_STR('a', "adapter", &o.adapter, "DIR", "PEFT folder of the adapter; required"),
    CLI_STR('o', "output", &o.out, "FILE", "write the merged model here; required"),
    CLI_CHOICE('t', "type", &o.type, "keep|" QUANT_MIXES, "weight types of the result; keep = the base's"),
    CLI_INT(0, "threads", &o.threads, "N", "0 = all cores; changes no result", 0, 1024),
    CLI_FLAG(0, "other-base", &o.other_base, "merge though the adapter was trained on other weights"),
    CLI_FLAG(0, "no-verify", &o.no_verify, "do not compare the result with its source; the receipt says so"),
    CLI_END};
// clang-format on
static const struct cli cli = {.name = "apr-fuse",
                               .what = "merge a LoRA adapter into its base model",
                               .usage = "M.apr --adapter DIR -o OUT.apr",
                               .example = "apr-fuse base.apr --adapter tuned -o tuned.apr",
                               .opts = opts,
                               .see = "apr-lora(1), apr-quant(1)",
                               .output_version = 2};

struct fuse {
    struct apr base;
    struct peft peft;
    struct tensor *t; /* of the output */
    struct tensor
        *wide; /* of the base with the adapter, unrounded: what the result is compared with */
    double max_delta;
    char where[TENSOR_NAME + 1];
};

/* A tensor widened and merged in f32. */
static int merge(struct fuse *f, const struct tensor *from, float *w, double *delta, struct err *e)
{
    size_t n = (size_t)tensor_rows(from), k = (size_t)tensor_cols(from);
    tensor_values(from, 0, w, n * k);
    return peft_add(&f->peft, from->name, w, (int)n, (int)k, delta, e);
}

/* One changed tensor: widened, merged, converted. */
static int fill(void *arg, int i, void *buf, struct err *e)
{
    struct fuse *f = arg;
    const struct tensor *from = &f->base.tensor[i];
    size_t n = (size_t)tensor_rows(from), k = (size_t)tensor_cols(from);
    double delta = 0;
    struct tensor wide = *from;
    float *w = malloc((n * k + 1) * sizeof *w);
    if (!w)
        return err_set(e, ERR_NOMEM, "%s: %zu values", from->name, n * k);
    int rc = merge(f, from, w, &delta, e);
    if (delta > f->max_delta) {
        f->max_delta = delta;
        memcpy(f->where, from->name, sizeof f->where);
    }
    wide.type = KN_F32;
    wide.data = w;
    wide.bytes = n * k * sizeof *w;
    if (rc == 0)
        rc = quant_convert(&wide, f->t[i].type, buf, (int)o.threads, e);
    free(w);
    return rc;
}

/* The source that the result is compared with: the base, its changed tensors in f32. */
static int fill_wide(void *arg, int i, void *buf, struct err *e)
{
    struct fuse *f = arg;
    const int used = f->peft.used;
    double delta;
    int rc = merge(f, &f->base.tensor[i], buf, &delta, e);
    f->peft.used = used; /* counted when it was written */
    return rc;
}

static void forget(void *arg, const struct tensor *t)
{
    const struct fuse *f = arg;
    mapfile_forget(&f->base.map, t->data, t->bytes);
}

static int show_source(struct fuse *f, struct verify *check, struct apr_receipt *receipt,
                       struct view *from, struct err *e)
{
    int n = f->base.n_tensor, rc = verify_source(check, receipt, from, &f->base, e);
    if (rc < 0 || !(f->wide = calloc((size_t)n + 1, sizeof *f->wide)))
        return rc < 0 ? rc : err_set(e, ERR_NOMEM, "%d tensors", n);
    for (int i = 0; i < n; i++) {
        struct tensor *t = &f->wide[i];
        *t = f->base.tensor[i];
        if (t->ndim != 2 || !tensor_is_weight(t->type) ||
            peft_has(&f->peft, t->name, (int)tensor_rows(t), (int)tensor_cols(t), e) <= 0)
            continue;
        t->type = KN_F32;
        t->bytes = tensor_bytes(KN_F32, t->ndim, t->dim);
        t->data = NULL;
    }
    from->t = f->wide;
    from->fill = fill_wide;
    from->forget = forget;
    from->arg = f;
    return e->code;
}

/* What each tensor becomes: copied where neither type nor adapter changes it. */
static int plan(struct fuse *f, struct err *e)
{
    int n = f->base.n_tensor, *type = calloc((size_t)n + 1, sizeof *type), rc = 0;
    f->t = calloc((size_t)n + 1, sizeof *f->t);
    if (!type || !f->t)
        rc = err_set(e, ERR_NOMEM, "%d tensors", n);
    for (int i = 0; rc == 0 && i < n; i++)
        type[i] = f->base.tensor[i].type;
    if (rc == 0 && strcmp(o.type, "keep"))
        rc = quant_plan(quant_mix(o.type), f->base.tensor, n, type, e);
    for (int i = 0; rc == 0 && i < n; i++) {
        const struct tensor *from = &f->base.tensor[i];
        uint64_t rows = tensor_rows(from), cols = tensor_cols(from);
        int has = from->ndim == 2 && rows <= INT_MAX && cols <= INT_MAX
                      ? peft_has(&f->peft, from->name, (int)rows, (int)cols, e)
                      : 0;
        rc = has < 0 ? has : 0;
        f->t[i] = *from;
        if (rc || (!has && type[i] == from->type))
            continue;
        if (!tensor_is_weight(from->type))
            rc = err_set(e, ERR_DATA, "tensor %s: type %s cannot be merged", from->name,
                         tensor_type_name(from->type));
        f->t[i].type = type[i];
        f->t[i].data = NULL;
        if (rc == 0 && !tensor_size(type[i], from->ndim, from->dim, &f->t[i].bytes))
            rc = err_set(e, ERR_DATA, "tensor %s: its rows do not fit type %s", from->name,
                         tensor_type_name(type[i]));
    }
    free(type);
    return rc ? rc : peft_check_names(&f->peft, f->base.tensor, n, e);
}

/* The receipt would spoil a model on stdout. */
static void tell(const struct fuse *f, const char *in, const struct verify *check, const char *sha,
                 double seconds, struct err *e)
{
    char weights[4200];
    struct apr out;
    snprintf(weights, sizeof weights, "%s/adapter_model.safetensors", o.adapter);
    if (apr_open(&out, o.out, e) < 0 ||
        meta_write_receipt(o.out, sha, out.map.n, (const char *const[]){in, weights, NULL}, NULL,
                           seconds, check->text, e) < 0)
        cli_die(e);
    apr_close(&out);
    if (verify_failed(check))
        cli_warn("%s: not verified: %s", o.out, check->why);
    printf("%s: %d tensors merged, rank %d, scale %g, type %s, max |delta| %.6g in %s\n", o.out,
           f->peft.used, f->peft.rank, f->peft.scale, o.type, f->max_delta, f->where);
}

int main(int argc, char **argv)
{
    double start = clock_now();
    struct err e = {0};
    struct fuse f = {0};
    struct verify check = {.off = 0};
    struct apr_receipt receipt;
    struct view from;
    char sha[65];
    cli_parse(&cli, &argc, &argv);
    if (argc != 1 || !o.adapter || !o.out)
        cli_usage(argc != 1 ? "one M.apr is needed"
                  : !o.out  ? "-o OUT.apr is needed"
                            : "--adapter DIR is needed");
    if (apr_open(&f.base, argv[0], &e) < 0 || peft_open(&f.peft, o.adapter, &e) < 0 ||
        (!o.other_base && peft_check_base(&f.peft, o.adapter, apr_weights_id(&f.base), argv[0],
                                          "--other-base merges all the same", &e) < 0) ||
        plan(&f, &e) < 0)
        cli_die(&e);
    cJSON *meta = apr_derive_meta(f.base.meta, &e);
    check.off = o.no_verify;
    check.threads = (int)o.threads;
    verify_begin(&check, &receipt);
    /* damage would get a good checksum here: none is written from a damaged file */
    if (!meta || apr_verify(&f.base, &e) < 0 || show_source(&f, &check, &receipt, &from, &e) < 0 ||
        apr_write_receipt(o.out, meta, f.t, f.base.n_tensor, fill, &f, &receipt, sha, &e) < 0) {
        if (strncmp(e.msg, "tensor ", 7) == 0) /* of which file? */
            err_prefix(&e, "%s", argv[0]);
        cli_die(&e);
    }
    if (strcmp(o.out, "-"))
        tell(&f, argv[0], &check, sha, clock_now() - start, &e);
    view_apr_free(&from);
    cJSON_Delete(meta);
    free(f.wide);
    free(f.t);
    peft_close(&f.peft);
    apr_close(&f.base);
    return cli_exit(0);
}
