/* apr-quant - change the weight type of a model */
#include "apr.h"
#include "blocks.h"
#include "cli.h"
#include "outfile.h"
#include "quant.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct {
    const char *out, *type;
    int plan, requantize;
    long threads;
} o = {.out = "-"};

static const struct cli_opt opts[] = {
    // clang-format off
    CLI_CHOICE('t', "type", &o.type, QUANT_MIXES, "type or mix of types of the weights"),
    CLI_STR('o', "output", &o.out, "FILE", "write here (- is stdout)"),
    CLI_FLAG(0, "plan", &o.plan, "only print the bytes of each type"),
    CLI_FLAG(0, "requantize", &o.requantize, "allow weights that are quantized already to be rounded again"),
    CLI_INT(0, "threads", &o.threads, "N", "threads (0: all cores)", 0, 256),
    CLI_END // clang-format on
};
static const struct cli cli = {.name = "apr-quant",
                               .what = "change the weight type of a model",
                               .usage = "IN.apr --type TYPE -o OUT.apr [options]",
                               .example = "apr-quant m.apr --type q4_k_m -o m-q4_k_m.apr",
                               .opts = opts,
                               .see = "gguf2apr(1), st2apr(1), apr-ppl(1)",
                               .output_version = 1};

struct work {
    const struct apr *in;
    struct tensor *out;
    struct cli_progress progress;
    double done;
};

static int fill(void *arg, int i, void *buf, struct err *e)
{
    struct work *w = arg;
    int rc = quant_convert(&w->in->tensor[i], w->out[i].type, buf, (int)o.threads, e);
    w->done += (double)w->out[i].bytes;
    cli_progress(&w->progress, w->done / 1048576, w->out[i].name);
    return rc;
}

/* type, tensors, values and bytes: of each type that occurs, then of all */
static void print_plan(const struct tensor *t, int n)
{
    uint64_t all = 0, bytes = 0;
    printf("type\ttensors\tvalues\tbytes\n");
    for (int type = 0; type < 256; type++) {
        int count = 0;
        uint64_t values = 0, sum = 0;
        for (int i = 0; i < n; i++)
            if (t[i].type == type) {
                count++;
                values += tensor_count(&t[i]);
                sum += t[i].bytes;
            }
        if (count)
            printf("%s\t%d\t%" PRIu64 "\t%" PRIu64 "\n", tensor_type_name(type), count, values,
                   sum);
        all += tensor_is_weight(type) ? values : 0;
        bytes += sum;
    }
    printf("all\t%d\t%" PRIu64 "\t%" PRIu64 "\n", n, all, bytes);
}

/* The types and sizes of what will be written, in the order of the input. Tensors that keep their
 * type are converted too where they are weights: that checks them for NaN. */
static int plan_output(const struct apr *a, struct tensor *out, struct err *e)
{
    int *type = cli_malloc((size_t)a->n_tensor * sizeof *type), rc, twice = 0;
    if ((rc = quant_plan(quant_mix(o.type), a->tensor, a->n_tensor, type, e)) == 0)
        for (int i = 0; i < a->n_tensor; i++) {
            out[i] = a->tensor[i];
            out[i].type = type[i];
            if (tensor_is_weight(type[i])) {
                out[i].data = NULL;
                out[i].bytes = tensor_bytes(type[i], out[i].ndim, out[i].dim);
            }
            if (!quant_loses_twice(a->tensor[i].type, type[i]))
                continue;
            if (!o.requantize) {
                rc = err_set(
                    e, ERR_DATA,
                    "tensor %s is quantized already (%s): rounding it again to %s loses more "
                    "than starting from the original; --requantize does it all the same",
                    a->tensor[i].name, tensor_type_name(a->tensor[i].type),
                    tensor_type_name(type[i]));
                break;
            }
            twice++;
        }
    if (twice)
        cli_warn("%d tensors are rounded a second time", twice);
    free(type);
    return rc;
}

/* {"quant_type":"q4_k_m","bits":4.9}: keys that aprender's reader knows; the mix by its name */
static int describe(cJSON *meta, const struct tensor *t, int n, struct err *e)
{
    double bytes = 0, values = 0;
    int base = quant_mix(o.type)->base;
    cJSON_DeleteItemFromObjectCaseSensitive(meta, "quantization");
    for (int i = 0; i < n; i++)
        if (tensor_is_weight(t[i].type)) {
            bytes += (double)t[i].bytes;
            values += (double)tensor_count(&t[i]);
        }
    if (kn_type_info(base)->block_len == 1)
        return 0;
    cJSON *q = cJSON_AddObjectToObject(meta, "quantization");
    /* bits is an integer there: that of the base type, 4 for Q4_K's 4.5 */
    if (!q || !cJSON_AddStringToObject(q, "quant_type", o.type) ||
        !cJSON_AddNumberToObject(
            q, "bits", kn_type_info(base)->block_bytes * 8 / kn_type_info(base)->block_len) ||
        !cJSON_AddNumberToObject(q, "block_size", kn_type_info(base)->block_len) ||
        !cJSON_AddBoolToObject(q, "symmetric",
                               base == KN_Q8_0 || base == KN_Q4_0 || base == KN_Q5_0 ||
                                   base == KN_Q6_K) ||
        !cJSON_AddNumberToObject(meta, "bits_per_weight", values > 0 ? 8 * bytes / values : 0))
        return err_set(e, ERR_NOMEM, "out of memory");
    return 0;
}

static int write_model(const struct apr *a, const char *path, struct tensor *t, struct err *e)
{
    struct work w = {.in = a, .out = t, .progress = {.what = "quantizing", .unit = "MiB"}};
    double start = clock_now();
    struct stat st;
    char sha[65];
    for (int i = 0; i < a->n_tensor; i++)
        w.progress.total += t[i].data ? 0 : (double)t[i].bytes / 1048576;
    cJSON *meta = apr_derive_meta(a->meta, e);
    int rc = meta ? describe(meta, t, a->n_tensor, e) : e->code;
    if (rc == 0)
        rc = apr_write(o.out, meta, t, a->n_tensor, fill, &w, sha, e);
    cJSON_Delete(meta);
    cli_progress_end(&w.progress, w.done / 1048576, NULL);
    if (rc == 0 && strcmp(o.out, "-") != 0) {
        const char *in[] = {path, NULL};
        uint64_t bytes = stat(o.out, &st) == 0 ? (uint64_t)st.st_size : 0;
        rc = meta_write(o.out, sha, bytes, in, "cpu", clock_now() - start, e);
    }
    return rc;
}

int main(int argc, char **argv)
{
    struct err e = {0};
    struct apr a;
    cli_parse(&cli, &argc, &argv);
    if (argc != 1)
        cli_usage(argc ? "one model at a time" : "which model?");
    if (!o.type)
        cli_usage("--type is needed");
    if (apr_open(&a, argv[0], &e) < 0)
        cli_die(&e);
    struct tensor *t = cli_malloc((size_t)a.n_tensor * sizeof *t);
    /* damage would get a good checksum here: none is written from a damaged file */
    if (plan_output(&a, t, &e) < 0 ||
        (!o.plan && (apr_verify(&a, &e) < 0 || write_model(&a, argv[0], t, &e) < 0))) {
        if (strncmp(e.msg, "tensor ", 7) == 0) /* of which file? */
            err_prefix(&e, "%s", argv[0]);
        cli_die(&e);
    }
    if (o.plan)
        print_plan(t, a.n_tensor);
    free(t);
    apr_close(&a);
    return cli_exit(0);
}
