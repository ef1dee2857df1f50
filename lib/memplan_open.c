/* memplan_open - a model's hyper-parameters and tensors from whatever describes it, without its data */
#include "bpe.h"
#include "import.h"
#include "info.h"
#include "memplan.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int nomem(struct err *e)
{
    return err_set(e, ERR_NOMEM, "out of memory");
}

/* The tensors that an architecture wants, all F32. */
static int wanted(struct memplan_model *m, struct err *e)
{
    struct import_want w;
    int n = 0;
    while (import_wanted(&m->h, n, &w))
        n++;
    if (!(m->tensor = calloc((size_t)n + 1, sizeof *m->tensor)))
        return nomem(e);
    for (int i = 0; i < n; i++) {
        struct tensor *t = &m->tensor[i];
        import_wanted(&m->h, i, &w);
        *t = (struct tensor){
            .type = KN_F32, .ndim = w.ndim, .dim = {w.dim[0], w.ndim == 2 ? w.dim[1] : 0}};
        snprintf(t->name, sizeof t->name, "%s", w.name);
        if (!(t->bytes = tensor_bytes(t->type, t->ndim, t->dim)))
            return err_set(e, ERR_DATA, "tensor %s: its size fits no file", t->name);
    }
    m->n_tensor = n;
    return 0;
}

static int set_type(struct tensor *t, int type, struct err *e)
{
    size_t bytes;
    if (!tensor_is_weight(type) || !tensor_size(type, t->ndim, t->dim, &bytes))
        return err_set(e, ERR_DATA, "tensor %s: type %s is no weight of that shape", t->name,
                       tensor_type_name(type));
    t->type = type;
    t->bytes = bytes;
    return 0;
}

/* Each gets the type that the file has under its own name for it; FP8 becomes BF16 (import.h). */
static int types_of(struct memplan_model *m, const struct info *f, struct err *e)
{
    const int gguf = strcmp(f->format, "gguf") == 0, apr = strcmp(f->format, "apr") == 0;
    struct import_want w;
    struct tensor key;
    for (int i = 0; import_wanted(&m->h, i, &w); i++) {
        const char *name = apr ? w.name : gguf ? w.gguf : w.hf;
        snprintf(key.name, sizeof key.name, "%s", name);
        const struct tensor *t =
            bsearch(&key, f->tensor, (size_t)f->n_tensor, sizeof *t, tensor_by_name);
        if (!t)
            return err_set(e, ERR_DATA, "%s: tensor %s: missing", f->path, name);
        const int type = t->type == TENSOR_F8_E4M3 ? KN_BF16 : t->type;
        if (set_type(&m->tensor[i], type, e) < 0) {
            err_prefix(e, "%s", f->path);
            return e->code;
        }
    }
    return 0;
}

static int quantized(struct memplan_model *m, const struct quant_mix *mix, struct err *e)
{
    int *type = calloc((size_t)m->n_tensor + 1, sizeof *type), rc;
    if (!type)
        return nomem(e);
    rc = quant_plan(mix, m->tensor, m->n_tensor, type, e);
    for (int i = 0; i < m->n_tensor && rc == 0; i++)
        rc = set_type(&m->tensor[i], type[i], e);
    free(type);
    return rc;
}

/* A usual tokenizer; the metadata of a .apr hold its tokens and merges as text for other readers. */
static void guess_tokenizer(struct memplan_model *m, int n)
{
    enum { TEXT = 43 }; /* bytes a token */
    m->tokenizer = bpe_guess_memory(n);
    m->metadata = (size_t)n * TEXT;
    m->guessed = 1;
}

static int config_type(const cJSON *c, struct err *e)
{
    const char *name = json_get_str(c, "dtype", json_get_str(c, "torch_dtype", "bfloat16", e), e);
    if (e->code)
        return -1;
    const int type = strcmp(name, "float32") == 0    ? KN_F32
                     : strcmp(name, "float16") == 0  ? KN_F16
                     : strcmp(name, "bfloat16") == 0 ? KN_BF16
                                                     : -1;
    if (type < 0)
        err_set(e, ERR_DATA, "dtype: expected float32, float16 or bfloat16, found \"%.40s\"", name);
    return type;
}

static int from_config(struct memplan_model *m, const char *path, struct err *e)
{
    cJSON *c = json_load(path, e);
    int type = -1;
    if (!c)
        return e->code;
    if (!cJSON_IsObject(c))
        err_set(e, ERR_DATA, "expected a JSON object");
    else if (hparams_from_config(&m->h, c, NULL, e) == 0 && hparams_check(&m->h, e) == 0)
        type = config_type(c, e);
    cJSON_Delete(c);
    if (e->code == 0 && wanted(m, e) == 0)
        for (int i = 0; i < m->n_tensor && e->code == 0; i++)
            set_type(&m->tensor[i], type, e);
    if (e->code)
        err_prefix(e, "%s", path);
    snprintf(m->format, sizeof m->format, "config");
    return e->code;
}

static int from_file(struct memplan_model *m, const char *path, struct err *e)
{
    struct info f;
    if (info_open(&f, path, e) < 0)
        return e->code;
    snprintf(m->format, sizeof m->format, "%s", f.format);
    if (!f.has_h)
        *e = f.why;
    else {
        m->h = f.h;
        if (hparams_check(&m->h, e) == 0 && wanted(m, e) == 0)
            types_of(m, &f, e);
    }
    const struct tensor *t = f.apr.map.p ? apr_tensor(&f.apr, APR_TOKENIZER) : NULL;
    if (t) {
        m->tokenizer = bpe_tables_memory(t->data, t->bytes);
    } else if (strcmp(f.format, "apr")) {
        guess_tokenizer(m, f.n_tokens > 0 ? f.n_tokens : m->h.n_vocab);
    }
    if (f.apr.map.p) {
        m->metadata = json_memory(f.apr.meta) + (size_t)f.apr.data_off;
    }
    info_close(&f);
    return e->code;
}

/* A config.json, or a folder that has one and no weights. */
static int config_alone(const char *path, char *config, size_t size)
{
    struct stat st;
    char other[PATH_MAX];
    const size_t n = strlen(path);
    if (stat(path, &st) < 0)
        return 0;
    if (!S_ISDIR(st.st_mode)) {
        const size_t k = strlen(".json"), index = strlen(".index.json");
        snprintf(config, size, "%s", path);
        return n > k && strcmp(path + n - k, ".json") == 0 &&
               !(n > index && strcmp(path + n - index, ".index.json") == 0);
    }
    snprintf(config, size, "%s/config.json", path);
    if (stat(config, &st) < 0)
        return 0;
    static const char *const weights[] = {"model.safetensors", "model.safetensors.index.json"};
    for (int i = 0; i < 2; i++) {
        snprintf(other, sizeof other, "%s/%s", path, weights[i]);
        if (stat(other, &st) == 0)
            return 0;
    }
    return 1;
}

int memplan_open(struct memplan_model *m, const char *path, const struct quant_mix *mix,
                 struct err *e)
{
    char config[PATH_MAX];
    memset(m, 0, sizeof *m);
    int rc = config_alone(path, config, sizeof config) ? from_config(m, config, e)
                                                       : from_file(m, path, e);
    if (rc == 0 && mix)
        rc = quantized(m, mix, e);
    if (rc < 0) {
        memplan_close(m);
        return rc;
    }
    if (!m->tokenizer && strcmp(m->format, "config") == 0)
        guess_tokenizer(m, m->h.n_vocab);
    for (int i = 0; i < m->n_tensor; i++) {
        m->params += tensor_count(&m->tensor[i]);
        m->bytes += m->tensor[i].bytes;
    }
    qsort(m->tensor, (size_t)m->n_tensor, sizeof *m->tensor, tensor_by_name);
    return 0;
}

void memplan_close(struct memplan_model *m)
{
    free(m->tensor);
    m->tensor = NULL;
    m->n_tensor = 0;
}
