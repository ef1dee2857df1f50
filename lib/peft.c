/* peft - read an adapter's folder, add it to weights */
#include "peft.h"
#include "blocks.h"
#include "outfile.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char head[] = "base_model.model.";

/* What follows a module's name in that of its A or B, and of DoRA's magnitudes as PEFT saves them. */
static const char *const tails[] = {".lora_%c.weight", ".lora_%c.default.weight"};
static const char *const magnitude_tails[] = {".lora_magnitude_vector",
                                              ".lora_magnitude_vector.weight",
                                              ".lora_magnitude_vector.default.weight"};

/* "...lora_A.weight" or "...lora_A.default.weight": length of the module's name, 0 if it is
 * neither. */
static size_t module_of(const char *name, char ab)
{
    size_t n = strlen(name);
    if (strncmp(name, head, sizeof head - 1))
        return 0;
    for (int i = 0; i < 2; i++) {
        char tail[40];
        size_t k = (size_t)snprintf(tail, sizeof tail, tails[i], ab);
        if (n > k + sizeof head - 1 && strcmp(name + n - k, tail) == 0)
            return n - k - (sizeof head - 1);
    }
    return 0;
}

/* The same of "...lora_magnitude_vector" and its other spellings. */
static size_t magnitude_of(const char *name)
{
    size_t n = strlen(name);
    for (int i = 0; i < 3 && strncmp(name, head, sizeof head - 1) == 0; i++) {
        size_t k = strlen(magnitude_tails[i]);
        if (n > k + sizeof head - 1 && strcmp(name + n - k, magnitude_tails[i]) == 0)
            return n - k - (sizeof head - 1);
    }
    return 0;
}

/* The tensor of a module of so long a name with that tail, or NULL. */
static const struct tensor *named(const struct peft *p, const char *module, size_t n,
                                  const char *tail)
{
    char name[TENSOR_NAME + 1];
    if ((size_t)snprintf(name, sizeof name, "%s%.*s%s", head, (int)n, module, tail) >= sizeof name)
        return NULL;
    return safetensors_get(&p->s, name);
}

const struct tensor *peft_magnitude(const struct peft *p, const char *tensor, int n, struct err *e)
{
    const struct tensor *t = NULL;
    for (int i = 0; i < 3 && !t; i++)
        t = named(p, tensor, strlen(tensor) - 7, magnitude_tails[i]);
    if (t && t->dim[0] == (uint64_t)n)
        return t;
    if (t)
        err_set(e, ERR_DATA, "%s: tensor %s: %llu values, expected %d", p->path, t->name,
                (unsigned long long)t->dim[0], n);
    else
        err_set(e, ERR_DATA, "%s: %s has no magnitude vector", p->path, tensor);
    return NULL;
}

const struct tensor *peft_tensor(const struct peft *p, const char *tensor, char ab)
{
    const struct tensor *t = NULL;
    size_t n = strlen(tensor);
    char tail[40];
    if (n < 7 || strcmp(tensor + n - 7, ".weight"))
        return NULL;
    for (int i = 0; i < 2 && !t; i++) {
        snprintf(tail, sizeof tail, tails[i], ab);
        t = named(p, tensor, n - 7, tail);
    }
    return t;
}

/* Says a key nothing: absent, null, false, an empty list or map? */
static int is_off(const cJSON *x)
{
    return !x || cJSON_IsNull(x) || cJSON_IsFalse(x) ||
           ((cJSON_IsArray(x) || cJSON_IsObject(x)) && cJSON_GetArraySize(x) == 0);
}

/* Keys of PEFT's LoraConfig that change what the adapter computes, other than by its tensors. */
static int refuse(const struct peft *p, const cJSON *v, struct err *e)
{
    static const char *const off[] = {"rank_pattern",    /* ranks of some modules */
                                      "alpha_pattern",   /* and their scales */
                                      "modules_to_save", /* tensors in place of the base's */
                                      "lora_bias",       /* biases of B */
                                      "trainable_token_indices", /* rows of the embedding */
                                      "target_parameters",       /* what is no module's weight */
                                      "layer_replication",       /* layers, some several times */
                                      "alora_invocation_tokens", /* it acts from those tokens on */
                                      "use_qalora",              /* A on pooled inputs */
                                      "arrow_config"};           /* a router over adapters */
    /* these take what A and B begin with out of the base's weights when the adapter is loaded */
    static const char *const residual[] = {"pissa", "olora", "corda", "loftq"};
    if (strcmp(json_get_str(v, "peft_type", "LORA", e), "LORA"))
        return err_set(e, ERR_DATA, "%s: peft_type is not LORA", p->path);
    if (json_get_bool(v, "fan_in_fan_out", 0, e))
        return err_set(e, ERR_DATA, "%s: fan_in_fan_out is not supported", p->path);
    if (strcmp(json_get_str(v, "bias", "none", e), "none"))
        return err_set(e, ERR_DATA, "%s: bias is not \"none\"", p->path);
    for (size_t i = 0; i < sizeof off / sizeof *off; i++)
        if (!is_off(cJSON_GetObjectItemCaseSensitive(v, off[i])))
            return err_set(e, ERR_DATA, "%s: %s is not supported", p->path, off[i]);
    const cJSON *init = cJSON_GetObjectItemCaseSensitive(v, "init_lora_weights");
    for (size_t i = 0; i < sizeof residual / sizeof *residual; i++)
        if (cJSON_IsString(init) &&
            strncmp(init->valuestring, residual[i], strlen(residual[i])) == 0)
            return err_set(e, ERR_DATA,
                           "%s: init_lora_weights: %.40s changes the base's weights: not supported",
                           p->path, init->valuestring);
    return e->code;
}

static int read_config(struct peft *p, const char *dir, struct err *e)
{
    if (snprintf(p->path, sizeof p->path, "%s/adapter_config.json", dir) >= (int)sizeof p->path)
        return err_set(e, ERR_NOINPUT, "%s: path too long", dir);
    cJSON *v = json_load(p->path, e);
    if (!v)
        return e->code;
    long rank = json_get_int(v, "r", 8, e); /* PEFT's defaults */
    double alpha = json_get_num(v, "lora_alpha", 8, e);
    p->dora = json_get_bool(v, "use_dora", 0, e);
    int rslora = json_get_bool(v, "use_rslora", 0, e), rc = e->code ? e->code : refuse(p, v, e);
    cJSON_Delete(v);
    if (rc == 0 && (rank < 1 || rank > 65536))
        rc = err_set(e, ERR_DATA, "%s: r is %ld, expected 1 to 65536", p->path, rank);
    if (rc == 0 && !isfinite(alpha))
        rc = err_set(e, ERR_DATA, "%s: lora_alpha is not finite", p->path);
    p->rank = (int)rank;
    p->alpha = alpha;
    p->rslora = rslora;
    p->scale = alpha / (rslora ? sqrt((double)rank) : (double)rank);
    return rc;
}

static int check_tensors(struct peft *p, struct err *e)
{
    int magnitudes = 0;
    for (int i = 0; i < p->s.n_tensor; i++) {
        const struct tensor *t = &p->s.tensor[i];
        size_t a = module_of(t->name, 'A'), b = module_of(t->name, 'B'), n = a ? a : b;
        char base[TENSOR_NAME + 16];
        if (p->dora && magnitude_of(t->name)) {
            if (t->ndim != 1 || (t->type != KN_F32 && t->type != KN_F16 && t->type != KN_BF16))
                return err_set(e, ERR_DATA, "%s: tensor %s: not a float vector", p->path, t->name);
            magnitudes++;
            continue;
        }
        if (!n)
            return err_set(e, ERR_DATA, "%s: tensor %s is no lora_A or lora_B", p->path, t->name);
        if (t->ndim != 2 || t->dim[a ? 0 : 1] != (uint64_t)p->rank ||
            (t->type != KN_F32 && t->type != KN_F16 && t->type != KN_BF16))
            return err_set(e, ERR_DATA, "%s: tensor %s: not a float matrix of rank %d", p->path,
                           t->name, p->rank);
        snprintf(base, sizeof base, "%.*s.weight", (int)n, t->name + sizeof head - 1);
        if (peft_tensor(p, base, a ? 'A' : 'B') != t) /* both spellings: which of them counts? */
            return err_set(e, ERR_DATA, "%s: tensor %s is there in two spellings", p->path,
                           t->name);
        if (!peft_tensor(p, base, a ? 'B' : 'A'))
            return err_set(e, ERR_DATA, "%s: tensor %s has no lora_%c beside it", p->path, t->name,
                           a ? 'B' : 'A');
        p->n_mod += a > 0;
    }
    if (p->dora && magnitudes != p->n_mod)
        return err_set(e, ERR_DATA, "%s: use_dora with %d magnitude vectors of %d modules", p->path,
                       magnitudes, p->n_mod);
    return p->n_mod ? 0 : err_set(e, ERR_DATA, "%s: no adapter inside", p->path);
}

int peft_open(struct peft *p, const char *dir, struct err *e)
{
    memset(p, 0, sizeof *p);
    int rc = read_config(p, dir, e);
    if (rc)
        return rc;
    snprintf(p->path, sizeof p->path, "%s/adapter_model.safetensors", dir);
    if ((rc = safetensors_open(&p->s, p->path, e)) < 0)
        return rc;
    const cJSON *id = cJSON_GetObjectItemCaseSensitive(p->s.metadata, "base_weights");
    if (cJSON_IsString(id) && strlen(id->valuestring) == sizeof p->base_id - 1)
        memcpy(p->base_id, id->valuestring, sizeof p->base_id);
    if ((rc = check_tensors(p, e)))
        peft_close(p);
    return rc;
}

void peft_close(struct peft *p)
{
    safetensors_close(&p->s);
    memset(p, 0, sizeof *p);
}

int peft_has(const struct peft *p, const char *tensor, int n, int k, struct err *e)
{
    const struct tensor *a = peft_tensor(p, tensor, 'A'), *b = peft_tensor(p, tensor, 'B');
    if (!a || !b)
        return 0;
    if (a->dim[1] != (uint64_t)k || b->dim[0] != (uint64_t)n)
        return err_set(e, ERR_DATA, "%s: adapter of %s is (%llu, %llu), expected (%d, %d)", p->path,
                       tensor, (unsigned long long)b->dim[0], (unsigned long long)a->dim[1], n, k);
    return 1;
}

float *peft_values(const struct peft *p, const struct tensor *t, struct err *e)
{
    size_t n = (size_t)(t->dim[0] * (t->ndim == 2 ? t->dim[1] : 1));
    float *x = malloc((n + 1) * sizeof *x);
    if (!x) {
        err_set(e, ERR_NOMEM, "%s", t->name);
        return NULL;
    }
    kn_dequantize(t->type, t->data, x, n);
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i])) {
            err_set(e, ERR_DATA, "%s: tensor %s: element %zu is not finite", p->path, t->name, i);
            free(x);
            return NULL;
        }
    return x;
}

void peft_row(float *row, const float *a, const float *b, int rank, int i, int k)
{
    memset(row, 0, (size_t)k * sizeof *row);
    for (int r = 0; r < rank; r++) {
        const float f = b[(size_t)i * (size_t)rank + (size_t)r];
        for (int j = 0; j < k; j++)
            row[j] += f * a[(size_t)r * (size_t)k + (size_t)j];
    }
}

double peft_factor(float magnitude, const float *w, const float *row, float scale, int k)
{
    double sum = 0;
    for (int j = 0; j < k; j++) {
        const double v = (double)w[j] + (double)(scale * row[j]);
        sum += v * v;
    }
    return sum > 0 ? magnitude / sqrt(sum) : 0;
}

int peft_add(struct peft *p, const char *tensor, float *w, int n, int k, double *max_delta,
             struct err *e)
{
    int rc = peft_has(p, tensor, n, k, e);
    if (rc <= 0)
        return rc;
    float *a = peft_values(p, peft_tensor(p, tensor, 'A'), e),
          *b = a ? peft_values(p, peft_tensor(p, tensor, 'B'), e) : NULL;
    float *row = malloc((size_t)k * sizeof *row), top = 0, *mag = NULL;
    const struct tensor *magnitudes = b && p->dora ? peft_magnitude(p, tensor, n, e) : NULL;
    if (magnitudes)
        mag = peft_values(p, magnitudes, e);
    if (a && b && row && (mag || !p->dora))
        for (int i = 0; i < n; i++) {
            float *to = w + (size_t)i * (size_t)k;
            peft_row(row, a, b, p->rank, i, k);
            const double f = mag ? peft_factor(mag[i], to, row, (float)p->scale, k) : 1;
            for (int j = 0; j < k; j++) {
                float d = (float)p->scale * row[j];
                if (mag)
                    d = (float)(((double)to[j] + d) * f - to[j]);
                top = fabsf(d) > top ? fabsf(d) : top;
                to[j] += d;
            }
        }
    else if (!e->code)
        err_set(e, ERR_NOMEM, "%s: adapter", tensor);
    free(mag);
    free(a);
    free(b);
    free(row);
    *max_delta = top;
    p->used++;
    return e->code;
}

int peft_check_names(const struct peft *p, const struct tensor *base, int n, struct err *e)
{
    for (int i = 0; i < p->s.n_tensor; i++) {
        const char *name = p->s.tensor[i].name;
        size_t len = module_of(name, 'A');
        int found = len == 0;
        for (int j = 0; !found && j < n; j++)
            found = strncmp(base[j].name, name + sizeof head - 1, len) == 0 &&
                    strcmp(base[j].name + len, ".weight") == 0;
        if (!found)
            return err_set(e, ERR_DATA, "%s: the base has no tensor %.*s.weight", p->path, (int)len,
                           name + sizeof head - 1);
    }
    return 0;
}

int peft_check_base(const struct peft *p, const char *dir, uint64_t id, const char *path,
                    const char *other, struct err *e)
{
    char have[sizeof p->base_id];
    snprintf(have, sizeof have, "%016" PRIx64, id);
    if (!id || !p->base_id[0] || strcmp(have, p->base_id) == 0)
        return 0;
    return err_set(e, ERR_DATA, "%s: trained on weights %s, those of %s are %s; %s", dir,
                   p->base_id, path, have, other);
}

int peft_save_config(const char *dir, const struct peft_config *c, struct err *e)
{
    struct json_out j = {0};
    char path[4096];
    size_t n;
    if (snprintf(path, sizeof path, "%s/adapter_config.json", dir) >= (int)sizeof path)
        return err_set(e, ERR_CANTCREAT, "%s: path too long", dir);
    json_begin(&j, '{');
    json_key(&j, "alpha_pattern");
    json_raw(&j, "{}");
    json_kv_str(&j, "base_model_name_or_path", c->base);
    json_kv_str(&j, "bias", "none");
    json_kv_bool(&j, "fan_in_fan_out", 0);
    json_kv_bool(&j, "inference_mode", 1);
    json_kv_bool(&j, "init_lora_weights", 1);
    json_kv_num(&j, "lora_alpha", c->alpha);
    json_kv_num(&j, "lora_dropout", c->dropout);
    json_key(&j, "modules_to_save");
    json_raw(&j, c->classifies ? "[\"score\"]" : "null");
    json_kv_str(&j, "peft_type", "LORA");
    json_kv_int(&j, "r", c->rank);
    json_key(&j, "rank_pattern");
    json_raw(&j, "{}");
    json_key(&j, "target_modules");
    if (c->pattern)
        json_str(&j, c->pattern);
    else {
        json_begin(&j, '[');
        for (int i = 0; i < c->n_target; i++)
            json_str(&j, c->target[i]);
        json_end(&j, ']');
    }
    json_kv_str(&j, "task_type", c->classifies ? "SEQ_CLS" : "CAUSAL_LM");
    json_kv_bool(&j, "use_dora", c->dora);
    json_kv_bool(&j, "use_rslora", c->rslora);
    json_end(&j, '}');
    char *text = json_take(&j, &n);
    struct outfile o = {0};
    int rc = text ? outfile_open(&o, path, e) : err_set(e, ERR_NOMEM, "%s", path);
    if (rc == 0 && (rc = outfile_write(&o, text, n, e)) == 0 &&
        (rc = outfile_write(&o, "\n", 1, e)) == 0)
        rc = outfile_commit(&o, e);
    if (rc)
        outfile_abort(&o);
    free(text);
    return rc;
}
