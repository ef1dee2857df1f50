/* apr-quant - change the weight type of a model */
#include "apr.h"
#include "blocks.h"
#include "cli.h"
#include "imatrix.h"
#include "import.h"
#include "outfile.h"
#include "quant.h"
#include "verify.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct {
    const char *out, *type, *imatrix, *output_type, *embed_type;
    struct cli_list rules;
    int plan, requantize, pure, no_verify;
    long threads;
} o = {.out = "-"};

static const struct cli_opt opts[] = {
    // clang-format off
    CLI_CHOICE('t', "type", &o.type, QUANT_MIXES, "type or mix of types of the weights"),
    CLI_STR('o', "output", &o.out, "FILE", "write here (- is stdout)"),
    CLI_STR(0, "imatrix", &o.imatrix, "FILE", "how much each column counts (apr-imatrix, llama-imatrix)"),
    CLI_LIST(0, "tensor-type", &o.rules, "REGEX=TYPE", "type of the tensors whose name matches (repeatable)"),
    CLI_STR(0, "output-tensor-type", &o.output_type, "TYPE", "type of the head"),
    CLI_STR(0, "token-embedding-type", &o.embed_type, "TYPE", "type of the embedding"),
    CLI_FLAG(0, "pure", &o.pure, "all weights of the mix's base type"),
    CLI_FLAG(0, "plan", &o.plan, "only print the bytes of each tensor and type"),
    CLI_FLAG(0, "requantize", &o.requantize, "allow weights that are quantized already to be rounded again"),
    CLI_INT(0, "threads", &o.threads, "N", "threads (0: all cores)", 0, 256),
    CLI_FLAG(0, "no-verify", &o.no_verify, "do not compare the result with its source; the receipt says so"),
    CLI_END // clang-format on
};
static const struct cli cli = {.name = "apr-quant",
                               .what = "change the weight type of a model",
                               .usage = "IN.apr --type TYPE -o OUT.apr [options]",
                               .example = "apr-quant m.apr --type q4_k_m -o m-q4_k_m.apr",
                               .opts = opts,
                               .see = "apr-imatrix(1), gguf2apr(1), st2apr(1), apr-ppl(1)",
                               .output_version = 3};

struct work {
    const struct apr *in;
    struct tensor *out;
    struct imatrix imatrix;
    struct cli_progress progress;
    double done;
};

static int type_named(const char *name, const char *option)
{
    int type = name ? kn_type_by_name(name) : -1;
    if (name && (type < 0 || type == KN_I32))
        cli_usage("--%s %s: no type of weights", option, name);
    return type;
}

/* The entry that a tensor's columns have, and where in it; NULL if there is none. */
static const struct imatrix_entry *entry_of(const struct imatrix *m, const struct tensor *t,
                                            size_t *first, size_t *n)
{
    char name[TENSOR_NAME + 1];
    int expert;
    const size_t cols = (size_t)tensor_cols(t);
    const struct imatrix_entry *x =
        import_gguf_name(t->name, name, sizeof name, &expert) ? imatrix_find(m, name) : NULL;
    if (!x)
        return NULL;
    *first = expert >= 0 ? (size_t)expert * cols : 0;
    *n = expert >= 0 ? cols : x->n_mat * x->cols;
    return x;
}

/* Every entry that will be used must fit; the embedding's may differ, as in llama.cpp. */
static int check_imatrix(const struct work *w, struct err *e)
{
    int with = 0, without = 0, first = -1;
    size_t at, n;
    for (int i = 0; i < w->in->n_tensor; i++) {
        const struct tensor *t = &w->in->tensor[i];
        if (!tensor_is_weight(w->out[i].type) || !quant_is_rounded(w->out[i].type))
            continue;
        const struct imatrix_entry *x = entry_of(&w->imatrix, t, &at, &n);
        const size_t cols = (size_t)tensor_cols(t);
        if (x && (at > x->n_mat * x->cols || n > x->n_mat * x->cols - at || n % cols ||
                  tensor_rows(t) % (n / cols)))
            return err_set(e, ERR_DATA,
                           "%s: weight %s: %zu x %zu values, tensor %s has %zu columns", o.imatrix,
                           x->name, x->n_mat, x->cols, t->name, cols);
        with += x != NULL;
        /* embedding and head are usually not in it */
        if (!x && strncmp(t->name, "model.layers.", 13) == 0 && without++ == 0)
            first = i;
    }
    if (!with)
        return err_set(e, ERR_DATA, "%s: it names none of this model's weights", o.imatrix);
    if (without)
        cli_warn("%s: nothing about %d of the weights, the first is %s", o.imatrix, without,
                 w->in->tensor[first].name);
    return 0;
}

static int fill(void *arg, int i, void *buf, struct err *e)
{
    struct work *w = arg;
    const struct tensor *t = &w->in->tensor[i];
    size_t at, n = 0;
    const struct imatrix_entry *x = entry_of(&w->imatrix, t, &at, &n);
    float *mean = NULL;
    if (x) {
        mean = cli_malloc(x->n_mat * x->cols * sizeof *mean);
        imatrix_mean(x, mean);
    }
    int rc =
        quant_convert_weighted(t, w->out[i].type, x ? mean + at : NULL, n, buf, (int)o.threads, e);
    free(mean);
    mapfile_forget(&w->in->map, t->data, t->bytes);
    w->done += (double)w->out[i].bytes;
    cli_progress(&w->progress, w->done / 1048576, w->out[i].name);
    return rc;
}

/* each tensor with both types and its bytes */
static void print_tensors(const struct apr *a, const struct tensor *t)
{
    char shape[200];
    printf("tensor\tshape\tfrom\tto\tbytes\n");
    for (int i = 0; i < a->n_tensor; i++)
        printf("%s\t%s\t%s\t%s\t%zu\n", t[i].name, tensor_shape(&t[i], shape, sizeof shape),
               tensor_type_name(a->tensor[i].type), tensor_type_name(t[i].type), t[i].bytes);
    printf("\n");
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
    int *type = cli_malloc((size_t)a->n_tensor * sizeof *type), rc = 0, twice = 0;
    const char *arch = json_get_str(a->meta, "architecture", "", e);
    struct quant_rules r = {.mix = quant_mix(o.type),
                            .pure = o.pure,
                            .imatrix = o.imatrix != NULL,
                            .llama = arch && strcmp(arch, "llama") == 0,
                            .output_type = type_named(o.output_type, "output-tensor-type"),
                            .embed_type = type_named(o.embed_type, "token-embedding-type")};
    for (int i = 0; i < o.rules.n && rc == 0; i++)
        rc = quant_rule_add(&r, o.rules.v[i], e);
    if (rc == 0)
        rc = quant_plan_rules(&r, a->tensor, a->n_tensor, type, e);
    quant_rules_free(&r);
    if (rc == 0)
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
    if (!q || !cJSON_AddStringToObject(q, "quant_type", quant_mix(o.type)->name) ||
        !cJSON_AddNumberToObject(
            q, "bits", kn_type_info(base)->block_bytes * 8 / kn_type_info(base)->block_len) ||
        !cJSON_AddNumberToObject(q, "block_size", kn_type_info(base)->block_len) ||
        !cJSON_AddBoolToObject(q, "symmetric",
                               base == KN_Q8_0 || base == KN_Q4_0 || base == KN_Q5_0 ||
                                   base == KN_Q3_K || base == KN_Q6_K) ||
        !cJSON_AddNumberToObject(meta, "bits_per_weight", values > 0 ? 8 * bytes / values : 0))
        return err_set(e, ERR_NOMEM, "out of memory");
    for (int i = 0; i < n; i++)
        if (t[i].type == KN_NF4) {
            cJSON_DeleteItemFromObjectCaseSensitive(meta, "aprender_cannot_read");
            if (!cJSON_AddStringToObject(meta, "aprender_cannot_read",
                                         "tensors of type NF4, id 176: only apr has it"))
                return err_set(e, ERR_NOMEM, "out of memory");
            break;
        }
    return 0;
}

static int write_model(struct work *w, const char *path, struct err *e)
{
    const struct apr *a = w->in;
    struct tensor *t = w->out;
    double start = clock_now();
    struct verify check = {.off = o.no_verify, .threads = (int)o.threads};
    struct apr_receipt receipt;
    struct view from = {.name = NULL};
    struct stat st;
    char sha[65];
    verify_begin(&check, &receipt);
    for (int i = 0; i < a->n_tensor; i++)
        w->progress.total += t[i].data ? 0 : (double)t[i].bytes / 1048576;
    cJSON *meta = apr_derive_meta(a->meta, e);
    int rc = meta ? describe(meta, t, a->n_tensor, e) : e->code;
    if (rc == 0 && (rc = verify_source(&check, &receipt, &from, a, e)) == 0)
        rc = apr_write_receipt(o.out, meta, t, a->n_tensor, fill, w, &receipt, sha, e);
    view_apr_free(&from);
    cJSON_Delete(meta);
    cli_progress_end(&w->progress, w->done / 1048576, NULL);
    if (rc == 0 && strcmp(o.out, "-") != 0) {
        const char *in[] = {path, o.imatrix, NULL};
        uint64_t bytes = stat(o.out, &st) == 0 ? (uint64_t)st.st_size : 0;
        rc = meta_write_receipt(o.out, sha, bytes, in, "cpu", clock_now() - start, check.text, e);
    }
    if (rc == 0 && verify_failed(&check))
        cli_warn("%s: not verified: %s", o.out, check.why);
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
    struct work w = {.in = &a, .out = t, .progress = {.what = "quantizing", .unit = "MiB"}};
    /* damage would get a good checksum here: none is written from a damaged file */
    if (plan_output(&a, t, &e) < 0 ||
        (o.imatrix && (imatrix_read(&w.imatrix, o.imatrix, &e) < 0 || check_imatrix(&w, &e) < 0)) ||
        (!o.plan && (apr_verify(&a, &e) < 0 || write_model(&w, argv[0], &e) < 0))) {
        if (strncmp(e.msg, "tensor ", 7) == 0) /* of which file? */
            err_prefix(&e, "%s", argv[0]);
        cli_die(&e);
    }
    if (o.plan) {
        print_tensors(&a, t);
        print_plan(t, a.n_tensor);
    }
    imatrix_free(&w.imatrix);
    free(t);
    apr_close(&a);
    return cli_exit(0);
}
