/* import_gguf - a GGUF file as a .apr file */
#include "hub.h"
#include "import_impl.h"
#include <stdlib.h>
#include <string.h>

static const struct tensor *find(const void *source, const char *name)
{
    return gguf_tensor(source, name);
}

static int ignored(const struct hparams *h, const char *name)
{
    /* are in h as RoPE scaling (hparams_from_gguf) */
    return strcmp(name, "rope_freqs.weight") == 0 ||
           (h->rope_scaling == ROPE_LONG && (strcmp(name, "rope_factors_long.weight") == 0 ||
                                             strcmp(name, "rope_factors_short.weight") == 0));
}

static char *text_of(const struct gguf_str *s)
{
    char *p = s && utf8_valid(s->p, s->n) && !memchr(s->p, 0, s->n) ? malloc(s->n + 1) : NULL;
    if (p) {
        memcpy(p, s->p, s->n);
        p[s->n] = 0;
    }
    return p;
}

static void copy_text(cJSON *meta, const char *key, const struct gguf *g, const char *from)
{
    char *s = text_of(gguf_string(g, from));
    if (s)
        cJSON_AddStringToObject(meta, key, s);
    free(s);
}

/* A list of strings as JSON; NULL if one is no text (aprender's copy is then left out). */
static cJSON *list_of(const struct gguf *g, const char *key)
{
    const struct gguf_kv *kv = gguf_find(g, key);
    cJSON *list = kv && kv->strs && kv->type == GGUF_ARRAY ? cJSON_CreateArray() : NULL;
    for (uint64_t i = 0; list && i < kv->n; i++) {
        char *s = text_of(&kv->strs[i]);
        cJSON *v = s ? cJSON_CreateString(s) : NULL;
        free(s);
        if (!v || !cJSON_AddItemToArray(list, v)) {
            cJSON_Delete(list);
            return NULL;
        }
    }
    return list;
}

/* Weights alone: llama.cpp's converter says so for a model without a vocabulary. */
static int no_vocabulary(const struct gguf *g)
{
    const struct gguf_str *s = gguf_string(g, "tokenizer.ggml.model");
    return s && ((s->n == 4 && memcmp(s->p, "none", 4) == 0) ||
                 (s->n == 8 && memcmp(s->p, "no_vocab", 8) == 0));
}

/* A file of a hub's snapshot: "hf://ORG/NAME@COMMIT:FILE". */
static void origin_of(const char *in, char origin[600])
{
    struct hub_list l;
    struct err none = {0};
    const char *slash = strrchr(in, '/');
    if (hub_origin(in, origin, &l, &none) < 0) {
        *origin = 0;
        return;
    }
    hub_list_free(&l);
    size_t n = strlen(origin);
    snprintf(origin + n, 600 - n, ":%s", slash ? slash + 1 : in);
}

static int take(struct import *im, const char *out, struct import_done *done, struct err *e)
{
    struct gguf g;
    char *template = NULL, origin[600];
    int rc = gguf_open(&g, im->path, e);
    if (rc < 0)
        return rc;
    if ((rc = hparams_from_gguf(&im->h, &g, e)) < 0 ||
        (!no_vocabulary(&g) && (rc = bpe_load_gguf(&im->tok, &g, e)) < 0))
        goto done;
    origin_of(im->path, origin);
    im->origin = origin;
    done->origin_known = *origin != 0;
    im->source = &g;
    im->tensor = g.tensor;
    im->n_tensor = g.n_tensor;
    im->map = g.map;
    im->n_map = g.n_map;
    im->template = template = text_of(gguf_string(&g, "tokenizer.chat_template"));
    if (!im->look) {
        im->vocabulary = list_of(&g, "tokenizer.ggml.tokens");
        im->merges = list_of(&g, "tokenizer.ggml.merges");
    }
    if (!(im->meta = cJSON_CreateObject())) {
        rc = err_set(e, ERR_NOMEM, "%s: out of memory", im->path);
        goto done;
    }
    copy_text(im->meta, "name", &g, "general.name");
    copy_text(im->meta, "license", &g, "general.license");
    copy_text(im->meta, "author", &g, "general.author");
    copy_text(im->meta, "description", &g, "general.description");
    rc = import_write(im, out, done, e);
done:
    cJSON_Delete(im->meta);
    cJSON_Delete(im->vocabulary);
    cJSON_Delete(im->merges);
    free(template);
    bpe_free(im->tok);
    gguf_close(&g);
    return rc;
}

int import_gguf(const char *in, const char *out, const struct import_opts *o,
                struct import_done *done, struct err *e)
{
    struct import im = {
        .path = in, .format = "gguf", .gguf_names = 1, .find = find, .ignored = ignored};
    if (o)
        im.opts = (struct import_opts){.receipt = o->receipt, .shown = o->shown};
    return take(&im, out, done, e);
}

int view_gguf(const char *path, int (*look)(void *arg, const struct view *v, struct err *e),
              void *arg, struct err *e)
{
    struct import_done done;
    struct import im = {.path = path,
                        .format = "gguf",
                        .gguf_names = 1,
                        .find = find,
                        .ignored = ignored,
                        .look = look,
                        .look_arg = arg};
    return take(&im, NULL, &done, e);
}
