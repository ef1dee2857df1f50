/* import_st - a Hugging Face folder as a .apr file */
#include "hash.h"
#include "hub.h"
#include "import_impl.h"
#include "safetensors.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct tensor *find(const void *source, const char *name)
{
    return safetensors_get(source, name);
}

/* transformers ties the head whatever the file holds; inv_freq is recomputed from the config. */
static int ignored(const struct hparams *h, const char *name)
{
    size_t n = strlen(name);
    static const char inv[] = ".rotary_emb.inv_freq";
    return (h->tied && strcmp(name, "lm_head.weight") == 0) ||
           (n >= sizeof inv - 1 && strcmp(name + n - (sizeof inv - 1), inv) == 0);
}

/* What goes with FP8 weights: their scales (import_fill.c), and those of activations, which are not rounded here. */
static int ignored_fp8(const struct hparams *h, const char *name)
{
    static const char *const ends[] = {".weight_scale_inv", ".weight_scale", ".input_scale",
                                       ".k_scale", ".v_scale"};
    size_t n = strlen(name);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        size_t k = strlen(ends[i]);
        if (n > k && strcmp(name + n - k, ends[i]) == 0)
            return 1;
    }
    return ignored(h, name);
}

/* FP8 folders of the three kinds that import_fill.c reads; the key is taken out, so that any other stays and is
 * refused by its name. */
static int take_fp8(struct import *im, cJSON *config, struct err *e)
{
    cJSON *q = cJSON_GetObjectItemCaseSensitive(config, "quantization_config");
    const cJSON *block = cJSON_GetObjectItemCaseSensitive(q, "weight_block_size");
    struct err none = {0};
    const char *method = json_get_str(q, "quant_method", "", &none);
    int fp8 = (strcmp(method, "fp8") == 0 &&
               strcmp(json_get_str(q, "fmt", "e4m3", &none), "e4m3") == 0) ||
              strcmp(method, "fbgemm_fp8") == 0 ||
              (strcmp(method, "compressed-tensors") == 0 &&
               strcmp(json_get_str(q, "format", "", &none), "float-quantized") == 0);
    if (!fp8)
        return 0;
    im->fp8_block[0] = im->fp8_block[1] = 128; /* transformers' FineGrainedFP8Config */
    for (int i = 0; cJSON_IsArray(block) && i < 2; i++) {
        const cJSON *v = cJSON_GetArrayItem(block, i);
        if (!cJSON_IsNumber(v) || !(v->valuedouble >= 1 && v->valuedouble <= 1 << 20) ||
            cJSON_GetArraySize(block) != 2)
            return err_set(e, ERR_DATA,
                           "quantization_config: weight_block_size: expected two sizes");
        im->fp8_block[i] = (uint64_t)v->valuedouble;
    }
    im->ignored = ignored_fp8;
    cJSON_DeleteItemFromObjectCaseSensitive(config, "quantization_config");
    return 0;
}

static cJSON *load(const char *dir, const char *name, int needed, struct err *e)
{
    char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (!needed && access(path, F_OK))
        return NULL;
    cJSON *v = json_load(path, e);
    if (v && !cJSON_IsObject(v)) {
        err_set(e, ERR_DATA, "%s: expected a JSON object", path);
        cJSON_Delete(v);
        return NULL;
    }
    return v;
}

/* A whole text file, or NULL. */
static char *slurp(const char *dir, const char *name)
{
    char path[PATH_MAX + 64], *s = NULL;
    struct mapfile m;
    struct err none = {0};
    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (mapfile_open(&m, path, &none) < 0)
        return NULL;
    if (utf8_valid((const char *)m.p, m.n) && !(m.n && memchr(m.p, 0, m.n)) &&
        (s = malloc(m.n + 1))) {
        memcpy(s, m.p ? (const char *)m.p : "", m.n);
        s[m.n] = 0;
    }
    mapfile_close(&m);
    return s;
}

/* "eos_token": "x" or {"content": "x", ...} */
static const char *token_text(const cJSON *config, const char *key)
{
    const cJSON *v = config ? cJSON_GetObjectItemCaseSensitive(config, key) : NULL;
    if (cJSON_IsObject(v))
        v = cJSON_GetObjectItemCaseSensitive(v, "content");
    return cJSON_IsString(v) ? v->valuestring : NULL;
}

/* "chat_template": text, or a list of {"name","template"} of which "default" counts. */
static const char *template_text(const cJSON *config)
{
    const cJSON *v = config ? cJSON_GetObjectItemCaseSensitive(config, "chat_template") : NULL, *t;
    if (cJSON_IsString(v))
        return v->valuestring;
    for (t = cJSON_IsArray(v) ? v->child : NULL; t; t = t->next) {
        struct err none = {0};
        const char *name = json_get_str(t, "name", "", &none),
                   *text = json_get_str(t, "template", NULL, &none);
        if (strcmp(name, "default") == 0)
            return text;
    }
    return NULL;
}

static int put_token(cJSON **slot, int n, const char *text, double id)
{
    if (!(id >= 0 && id < n) || slot[(int)id])
        return 0;
    return (slot[(int)id] = cJSON_CreateString(text)) != NULL;
}

/* Vocabulary by id and merges "a b", as aprender wants them, from tokenizer.json; both or neither.
 * Its structure was checked by bpe_load_json. */
static void lists_of(struct import *im, const cJSON *t)
{
    const cJSON *model = cJSON_GetObjectItemCaseSensitive(t, "model"),
                *vocab = cJSON_GetObjectItemCaseSensitive(model, "vocab"),
                *merges = cJSON_GetObjectItemCaseSensitive(model, "merges"),
                *added = cJSON_GetObjectItemCaseSensitive(t, "added_tokens"), *v;
    int n = bpe_n_vocab(im->tok), good = cJSON_IsObject(vocab) && cJSON_IsArray(merges);
    cJSON **slot = good ? calloc((size_t)n + 1, sizeof *slot) : NULL;
    if (!slot)
        return;
    for (v = vocab->child; v && good; v = v->next)
        good = put_token(slot, n, v->string, v->valuedouble);
    for (v = cJSON_IsArray(added) ? added->child : NULL; v && good; v = v->next) {
        struct err none = {0};
        double id = json_get_num(v, "id", -1, &none);
        if (id >= 0 && id < n && !slot[(int)id])
            good = put_token(slot, n, json_get_str(v, "content", "", &none), id);
    }
    im->vocabulary = cJSON_CreateArray();
    for (int i = 0; i < n; i++) {
        char pad[32];
        snprintf(pad, sizeof pad, "[PAD%d]", i);
        if (!slot[i])
            slot[i] = cJSON_CreateString(pad);
        if (!im->vocabulary || !slot[i] || !cJSON_AddItemToArray(im->vocabulary, slot[i])) {
            cJSON_Delete(slot[i]);
            good = 0;
        }
    }
    free(slot);
    im->merges = cJSON_CreateArray();
    for (v = merges->child; v && good; v = v->next) {
        char pair[1024];
        size_t k = sizeof pair; /* one that is longer cannot be cut */
        const cJSON *a = cJSON_IsArray(v) ? v->child : NULL;
        if (cJSON_IsString(v))
            k = (size_t)snprintf(pair, sizeof pair, "%s", v->valuestring);
        else if (a && a->next && cJSON_IsString(a) && cJSON_IsString(a->next))
            k = (size_t)snprintf(pair, sizeof pair, "%s %s", a->valuestring, a->next->valuestring);
        good = k < sizeof pair && im->merges &&
               cJSON_AddItemToArray(im->merges, cJSON_CreateString(pair));
    }
    if (!good) {
        cJSON_Delete(im->vocabulary);
        cJSON_Delete(im->merges);
        im->vocabulary = im->merges = NULL;
    }
}

/* The folder of the configuration files, and a name for the model, from the operand. */
static void folder_of(const char *in, char dir[PATH_MAX])
{
    struct stat st;
    const char *slash = strrchr(in, '/');
    if (stat(in, &st) == 0 && S_ISDIR(st.st_mode))
        snprintf(dir, PATH_MAX, "%s", in);
    else
        snprintf(dir, PATH_MAX, "%.*s", slash ? (int)(slash - in) + 1 : 1, slash ? in : ".");
    for (size_t n = strlen(dir); n > 1 && dir[n - 1] == '/';)
        dir[--n] = 0;
}

struct texts {
    cJSON *config, *generation, *tokenizer_config, *tokenizer;
    char *template;
};

static int load_texts(struct texts *x, struct import *im, const char *dir, struct err *e)
{
    char path[PATH_MAX + 32];
    int rc;
    if (!(x->config = load(dir, "config.json", 1, e)))
        return e->code;
    x->generation = load(dir, "generation_config.json", 0, e);
    x->tokenizer_config = load(dir, "tokenizer_config.json", 0, e);
    if (e->code)
        return e->code;
    if (take_fp8(im, x->config, e) < 0)
        return err_prefix(e, "%s/config.json", dir);
    if ((rc = hparams_from_config(&im->h, x->config, x->generation, e)) < 0)
        return err_prefix(e, "%s/config.json", dir);
    if (im->opts.no_tokenizer)
        return 0;
    snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    if ((rc = bpe_load_json(&im->tok, path, e)) < 0)
        return rc;
    struct err none = {0};
    if ((x->tokenizer = load(dir, "tokenizer.json", 1, &none)))
        lists_of(im, x->tokenizer);
    x->template = slurp(dir, "chat_template.jinja");
    im->template = x->template ? x->template : template_text(x->tokenizer_config);
    im->eos = token_text(x->tokenizer_config, "eos_token");
    return 0;
}

/* The file's own keys, for who writes such a file again; without what the .apr file has elsewhere. */
static int carry(cJSON *meta, const char *key, const cJSON *v, struct err *e)
{
    enum { ROOM = 256 << 10 };
    cJSON *copy = v ? cJSON_Duplicate(v, 1) : NULL;
    if (!v)
        return 0;
    cJSON_DeleteItemFromObjectCaseSensitive(copy, "chat_template");
    cJSON_DeleteItemFromObjectCaseSensitive(copy, "added_tokens_decoder");
    char *text = copy ? cJSON_PrintUnformatted(copy) : NULL;
    int fits = text && strlen(text) <= ROOM;
    if (!text || (fits && !cJSON_AddItemToObject(meta, key, copy))) {
        cJSON_Delete(copy);
        free(text);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    free(text);
    if (fits)
        return 0;
    cJSON_Delete(copy);
    return err_set(e, ERR_DATA, "%s.json: more than %d bytes", key, ROOM);
}

/* --enforce-provenance: the folder's files are the ones that the hub has at that commit. */
static int enforce(const char *dir, const char *origin, const struct hub_list *l, struct err *e)
{
    char path[PATH_MAX + 1100];
    if (strcasestr(origin, "-gguf@"))
        return err_set(e, ERR_DATA, "%s: a repository of conversions, not of the original", origin);
    for (int i = 0; i < l->n; i++) {
        const struct hub_file *f = &l->file[i];
        snprintf(path, sizeof path, "%s/%s", dir, f->path);
        if (access(path, F_OK))
            continue;
        int rc = *f->oid ? hash_oid_file(path, f->oid, e) : 0;
        if (rc < 0)
            return rc;
        if (!rc)
            return err_set(e, ERR_DATA, "%s: not the bytes of %s: expected digest %s", path, origin,
                           *f->oid ? f->oid : "of a link into the cache, found a plain file");
    }
    return 0;
}

static int name_meta(struct import *im, const struct texts *x, const char *dir, struct err *e)
{
    const char *slash = strrchr(dir, '/'), *base = slash ? slash + 1 : dir;
    const cJSON *archs = cJSON_GetObjectItemCaseSensitive(x->config, "architectures");
    const cJSON *first = cJSON_IsArray(archs) ? archs->child : NULL;
    const char *name = json_get_str(x->config, "_name_or_path", NULL, e);
    if (e->code || !(im->meta = cJSON_CreateObject()))
        return err_set(e, ERR_NOMEM, "%s: out of memory", dir);
    name = name && *name ? name : base;
    if (carry(im->meta, "generation_config", x->generation, e) < 0 ||
        carry(im->meta, "tokenizer_config", x->tokenizer_config, e) < 0)
        return err_prefix(e, "%s", dir);
    int good = cJSON_AddStringToObject(im->meta, "name", name) &&
               cJSON_AddStringToObject(im->meta, "hf_model_type", im->h.arch) &&
               (!cJSON_IsString(first) ||
                cJSON_AddStringToObject(im->meta, "hf_architecture", first->valuestring));
    return good ? 0 : err_set(e, ERR_NOMEM, "%s: out of memory", dir);
}

static int take(struct import *im, const char *out, struct import_done *done, struct err *e)
{
    const char *in = im->path;
    struct safetensors s;
    struct texts x = {0};
    char dir[PATH_MAX], origin[512] = "";
    struct hub_list files;
    int rc = safetensors_open(&s, in, e);
    if (rc < 0)
        return rc;
    folder_of(in, dir);
    if ((rc = hub_origin(in, origin, &files, e)) == ERR_NO)
        *origin = 0;
    else if (rc < 0)
        goto done;
    else if (im->opts.enforce && (rc = enforce(dir, origin, &files, e)) < 0) {
        hub_list_free(&files);
        goto done;
    } else
        hub_list_free(&files);
    im->origin = origin;
    if ((rc = load_texts(&x, im, dir, e)) < 0 || (rc = name_meta(im, &x, dir, e)) < 0)
        goto done;
    im->source = &s;
    im->tensor = s.tensor;
    im->n_tensor = s.n_tensor;
    im->map = s.map;
    im->n_map = s.n_map;
    rc = import_write(im, out, done, e);
    done->origin_known = *origin != 0;
done:
    cJSON_Delete(im->meta);
    cJSON_Delete(im->vocabulary);
    cJSON_Delete(im->merges);
    cJSON_Delete(x.config);
    cJSON_Delete(x.generation);
    cJSON_Delete(x.tokenizer_config);
    cJSON_Delete(x.tokenizer);
    free(x.template);
    bpe_free(im->tok);
    safetensors_close(&s);
    return rc;
}

int import_safetensors(const char *in, const char *out, const struct import_opts *o,
                       struct import_done *done, struct err *e)
{
    struct import im = {
        .path = in, .format = "safetensors", .opts = *o, .find = find, .ignored = ignored};
    return take(&im, out, done, e);
}

int view_safetensors(const char *path, int no_tokenizer,
                     int (*look)(void *arg, const struct view *v, struct err *e), void *arg,
                     struct err *e)
{
    struct import_done done;
    struct import im = {.path = path,
                        .format = "safetensors",
                        .opts = {.no_tokenizer = no_tokenizer},
                        .find = find,
                        .ignored = ignored,
                        .look = look,
                        .look_arg = arg};
    return take(&im, NULL, &done, e);
}
