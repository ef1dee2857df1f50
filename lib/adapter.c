/* adapter - a LoRA adapter in GGUF, from PEFT's folder and back */
#include "adapter.h"
#include "blocks.h"
#include "export_impl.h"
#include "gguf_write.h"
#include "import.h"
#include "outdir.h"
#include "outfile.h"
#include "peft.h"
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CONFIG     "adapter_config.json"
#define WEIGHTS    "adapter_model.safetensors"
#define CONFIG_KEY "adapter.peft_config"
#define BASE_KEY   "adapter.base_weights"

/* The base, and the adapter's tensors on their way. */
struct adapter {
    struct apr base;
    struct hparams h;
    int pairs;          /* RoPE of the base in GGUF */
    struct tensor *out; /* (n) under the target's names, A and B by turns; data NULL: fill */
    const struct tensor **from;
    int *heads; /* of out[i], if its rows change their order */
    int n, rank, to_gguf;
};

static int open_base(struct adapter *a, const char *base, struct err *e)
{
    struct import_want w;
    size_t n = 0;
    memset(a, 0, sizeof *a);
    if (apr_open(&a->base, base, e) < 0)
        return e->code;
    if (hparams_from_meta(&a->h, a->base.meta, e) < 0 || hparams_check(&a->h, e) < 0)
        return err_prefix(e, "%s", base);
    a->pairs = hparams_has(&a->h, ARCH_GGUF_PAIRS);
    while (import_wanted(&a->h, (int)n, &w))
        n++;
    a->out = calloc(2 * n + 1, sizeof *a->out);
    a->from = calloc(2 * n + 1, sizeof *a->from);
    a->heads = calloc(2 * n + 1, sizeof *a->heads);
    return a->out && a->from && a->heads ? 0 : err_set(e, ERR_NOMEM, "%s: out of memory", base);
}

static void close_base(struct adapter *a)
{
    free(a->out);
    free(a->from);
    free(a->heads);
    apr_close(&a->base);
}

static int fill(void *arg, int i, void *buf, struct err *e)
{
    const struct adapter *a = arg;
    const struct tensor *from = a->from[i], *to = &a->out[i];
    const void *plain = from->data;
    void *wide = NULL;
    if (to->type != from->type) {
        if (!(wide = malloc(to->bytes)))
            return err_set(e, ERR_NOMEM, "tensor %s: out of memory", from->name);
        tensor_values(from, 0, wide, (size_t)tensor_count(from));
        plain = wide;
    }
    if (a->heads[i])
        export_permute(plain, buf, to->dim[0], to->bytes, a->heads[i],
                       a->to_gguf ? a->pairs : a->h.rope_pairs);
    else
        memcpy(buf, plain, to->bytes);
    free(wide);
    return 0;
}

/* One tensor of an adapter; b: its rows are those of the base's. */
static void add(struct adapter *a, const struct tensor *from, const char *name,
                const struct import_want *w, int b)
{
    struct tensor *t = &a->out[a->n];
    const int plain = from->type == KN_F32 || from->type == KN_F16 || from->type == KN_BF16;
    *t = *from;
    memset(t->name, 0, sizeof t->name);
    snprintf(t->name, sizeof t->name, "%s", name);
    a->from[a->n] = from;
    a->heads[a->n] = b ? export_heads(&a->h, a->pairs, w->gguf) : 0;
    if (!plain)
        t->type = KN_F32;
    t->bytes = tensor_bytes(t->type, t->ndim, t->dim);
    if (!plain || a->heads[a->n])
        t->data = NULL;
    a->n++;
}

static int refuse_part(const struct import_want *w, struct err *e)
{
    return err_set(e, ERR_DATA,
                   "tensor %s: GGUF has it in one tensor with others (%s): no adapter of it alone",
                   w->name, w->gguf);
}

/* ---- a GGUF file as PEFT's tensors ---- */

static int is_text(const struct gguf *g, const char *key, const char *text)
{
    const struct gguf_str *s = gguf_string(g, key);
    return s && s->n == strlen(text) && memcmp(s->p, text, s->n) == 0;
}

static int check_keys(const struct adapter *a, const struct gguf *g, struct err *e)
{
    const char *arch = arch_by_name(a->h.arch)->gguf;
    if (!is_text(g, "general.type", "adapter"))
        return err_set(e, ERR_DATA, "general.type: expected adapter");
    if (!is_text(g, "adapter.type", "lora"))
        return err_set(e, ERR_DATA, "adapter.type: expected lora");
    if (!is_text(g, "general.architecture", arch))
        return err_set(e, ERR_DATA, "general.architecture: expected %s, that of the base", arch);
    if (gguf_find(g, "adapter.alora.invocation_tokens"))
        return err_set(e, ERR_DATA, "adapter.alora.invocation_tokens is not supported");
    return 0;
}

static int check_shape(struct adapter *a, const struct tensor *t, const struct import_want *w,
                       int b, struct err *e)
{
    char found[200];
    const uint64_t r = t->ndim == 2 ? t->dim[b] : 0, side = t->ndim == 2 ? t->dim[!b] : 0;
    if (!tensor_is_weight(t->type))
        return err_set(e, ERR_DATA, "tensor %s: type %s is no weight", t->name,
                       tensor_type_name(t->type));
    if (side != w->dim[!b] || r < 1 || r > 65536)
        return err_set(e, ERR_DATA, "tensor %s: shape %s: expected %llu values beside the rank",
                       t->name, tensor_shape(t, found, sizeof found),
                       (unsigned long long)w->dim[!b]);
    if (a->rank && r != (uint64_t)a->rank)
        return err_set(e, ERR_DATA, "tensor %s: rank %llu, others have %d: not supported", t->name,
                       (unsigned long long)r, a->rank);
    a->rank = (int)r;
    const int64_t bad = tensor_not_finite(t);
    return bad < 0 ? 0
                   : err_set(e, ERR_DATA, "tensor %s: element %lld is not finite", t->name,
                             (long long)bad);
}

static const struct tensor *half(const struct gguf *g, const struct import_want *w, int b)
{
    char name[100];
    snprintf(name, sizeof name, "%s.lora_%c", w->gguf, b ? 'b' : 'a');
    return gguf_tensor(g, name);
}

static int module_in(struct adapter *a, const struct gguf *g, const struct import_want *w,
                     struct err *e)
{
    char name[TENSOR_NAME + 40];
    const struct tensor *t[2] = {half(g, w, 0), half(g, w, 1)};
    const int stem = (int)strlen(w->name) - (int)strlen(".weight");
    if (!t[0] && !t[1])
        return 0;
    if (w->part.gguf)
        return refuse_part(w, e);
    if (!t[0] || !t[1])
        return err_set(e, ERR_DATA, "tensor %s: the other half of the pair is missing",
                       t[t[0] == NULL]->name);
    for (int b = 0; b < 2; b++) {
        if (check_shape(a, t[b], w, b, e) < 0)
            return e->code;
        snprintf(name, sizeof name, "base_model.model.%.*s.lora_%c.weight", stem, w->name,
                 b ? 'B' : 'A');
        add(a, t[b], name, w, b);
    }
    return 0;
}

static int used(const struct adapter *a, const struct tensor *t)
{
    for (int i = 0; i < a->n; i++)
        if (a->from[i] == t)
            return 1;
    return 0;
}

static int gather_gguf(struct adapter *a, const struct gguf *g, struct err *e)
{
    struct import_want w;
    if (check_keys(a, g, e) < 0)
        return e->code;
    for (int i = 0; import_wanted(&a->h, i, &w); i++)
        if (w.ndim == 2 && module_in(a, g, &w, e) < 0)
            return e->code;
    for (int i = 0; i < g->n_tensor; i++)
        if (!used(a, &g->tensor[i]))
            return err_set(e, ERR_DATA, "tensor %s: no adapter of a weight that the base has",
                           g->tensor[i].name);
    return a->n ? 0 : err_set(e, ERR_DATA, "no adapter inside");
}

/* What B A is multiplied with; llama.cpp takes an alpha of 0 for none. */
static double scale_of(const struct gguf *g, int rank, struct err *e)
{
    const double alpha = gguf_num(g, "adapter.lora.alpha", 0, e);
    return alpha != 0 ? alpha / rank : 1;
}

/* ---- to GGUF ---- */

struct exporting {
    struct adapter a;
    struct peft p;
    const char *base;
};

static int module_out(struct exporting *x, const struct import_want *w, struct err *e)
{
    char name[100];
    const int has = peft_has(&x->p, w->name, (int)w->dim[0], (int)w->dim[1], e);
    if (has <= 0)
        return has;
    if (w->part.gguf)
        return refuse_part(w, e);
    for (int b = 0; b < 2; b++) {
        snprintf(name, sizeof name, "%s.lora_%c", w->gguf, b ? 'b' : 'a');
        add(&x->a, peft_tensor(&x->p, w->name, b ? 'B' : 'A'), name, w, b);
    }
    return 0;
}

static int gather_peft(struct exporting *x, struct err *e)
{
    struct import_want w;
    if (peft_check_names(&x->p, x->a.base.tensor, x->a.base.n_tensor, e) < 0)
        return e->code;
    for (int i = 0; import_wanted(&x->a.h, i, &w); i++)
        if (w.ndim == 2 && module_out(x, &w, e) < 0)
            return e->code;
    return x->a.n == 2 * x->p.n_mod
               ? 0
               : err_set(e, ERR_DATA, "%s: %d modules, %d of them are tensors of %s", x->p.path,
                         x->p.n_mod, x->a.n / 2, x->a.h.arch);
}

/* adapter_config.json as it is; NULL: it is no text or too long to carry. */
static char *config_text(const char *dir)
{
    enum { ROOM = 256 << 10 };
    char path[PATH_MAX];
    struct mapfile m;
    struct err none = {0};
    char *s = NULL;
    if ((size_t)snprintf(path, sizeof path, "%s/" CONFIG, dir) >= sizeof path ||
        mapfile_open(&m, path, &none) < 0)
        return NULL;
    if (m.n && m.n <= ROOM && utf8_valid((const char *)m.p, m.n) && !memchr(m.p, 0, m.n) &&
        (s = malloc(m.n + 1))) {
        memcpy(s, m.p, m.n);
        s[m.n] = 0;
    }
    mapfile_close(&m);
    return s;
}

/* llama.cpp's alpha for the adapter's scale. */
static float alpha_of(const struct peft *p)
{
    return (float)(p->rslora ? p->alpha * sqrt((double)p->rank) : p->alpha);
}

static uint32_t file_type(int type)
{
    return type == KN_F16 ? 1 : type == KN_BF16 ? 32 : 0; /* enum llama_ftype */
}

/* The file that was written says what the folder says. */
static int read_back(void *arg, const char *path, struct err *e)
{
    const struct exporting *x = arg;
    struct adapter b;
    struct gguf g;
    int rc = gguf_open(&g, path, e);
    if (rc < 0)
        return rc;
    if ((rc = open_base(&b, x->base, e)) == 0 && (rc = gather_gguf(&b, &g, e)) == 0 &&
        b.n != x->a.n)
        rc = err_set(e, ERR_DATA, "%d tensors, expected %d", b.n, x->a.n);
    for (int i = 0; rc == 0 && i < b.n; i++) {
        /* both were gathered in the order of import_wanted */
        const struct tensor *was = x->a.heads[i] ? x->a.from[i] : &x->a.out[i], *is = &b.out[i];
        void *buf = malloc(is->bytes + 1);
        if (!buf)
            rc = err_set(e, ERR_NOMEM, "out of memory");
        else if ((rc = fill(&b, i, buf, e)) == 0 &&
                 (was->bytes != is->bytes || memcmp(buf, was->data, is->bytes)))
            rc = err_set(e, ERR_DATA, "tensor %s: its bytes are not those of the adapter",
                         b.from[i]->name);
        free(buf);
    }
    if (rc == 0 && (float)(scale_of(&g, b.rank, e) * b.rank) != alpha_of(&x->p) && x->p.alpha != 0)
        rc = err_set(e, ERR_DATA, "adapter.lora.alpha is not that of the adapter");
    close_base(&b);
    gguf_close(&g);
    return rc < 0 ? err_prefix(e, "%s", x->p.path) : 0;
}

static void put_keys(struct gguf_out *w, const struct exporting *x, const char *config)
{
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(x->a.base.meta, "name");
    gguf_out_str(w, "general.architecture", arch_by_name(x->a.h.arch)->gguf);
    gguf_out_str(w, "general.type", "adapter");
    if (cJSON_IsString(name))
        gguf_out_str(w, "general.base_model.0.name", name->valuestring);
    gguf_out_u32(w, "general.file_type", file_type(x->a.out[0].type));
    gguf_out_u32(w, "general.quantization_version", 2);
    gguf_out_str(w, "adapter.type", "lora");
    gguf_out_f32(w, "adapter.lora.alpha", alpha_of(&x->p));
    if (config)
        gguf_out_str(w, CONFIG_KEY, config);
    if (x->p.base_id[0])
        gguf_out_str(w, BASE_KEY, x->p.base_id);
}

int adapter_to_gguf(const char *base, const char *dir, const char *out, struct adapter_done *done,
                    struct err *e)
{
    struct exporting x = {.base = base};
    struct gguf_out w = {.look = read_back, .look_arg = &x};
    char *config = NULL;
    struct stat st;
    int rc;
    memset(done, 0, sizeof *done);
    if ((rc = open_base(&x.a, base, e)) < 0 || (rc = peft_open(&x.p, dir, e)) < 0)
        goto done;
    x.a.to_gguf = 1;
    if (x.p.dora)
        rc = err_set(e, ERR_DATA, "%s/" CONFIG ": use_dora: GGUF has no place for its magnitudes",
                     dir);
    else if (x.p.alpha == 0) /* llama.cpp would take it for 1 */
        rc = err_set(e, ERR_DATA, "%s/" CONFIG ": lora_alpha is 0, which GGUF cannot say", dir);
    else
        rc = gather_peft(&x, e);
    if (rc < 0)
        goto done;
    config = config_text(dir);
    put_keys(&w, &x, config);
    rc = gguf_write(out, &w, x.a.out, x.a.n, fill, &x.a, done->sha256, e);
    done->modules = x.p.n_mod;
    done->rank = x.p.rank;
    done->scale = x.p.scale;
    if (rc == 0 && strcmp(out, "-") && stat(out, &st) == 0)
        done->bytes = (uint64_t)st.st_size;
done:
    gguf_out_free(&w);
    free(config);
    peft_close(&x.p);
    close_base(&x.a);
    return rc;
}

/* ---- from GGUF ---- */

static int write_text(const char *dir, const struct gguf_str *s, struct err *e)
{
    char path[PATH_MAX];
    struct outfile f;
    int rc;
    snprintf(path, sizeof path, "%s/" CONFIG, dir);
    if ((rc = outfile_open(&f, path, e)) < 0)
        return rc;
    if ((rc = outfile_write(&f, s->p, s->n, e)) < 0)
        outfile_abort(&f);
    else
        rc = outfile_commit(&f, e);
    return rc;
}

/* The last parts of the modules' names, each once. */
static int write_config(const struct adapter *a, const char *dir, const char *base, double scale,
                        struct err *e)
{
    char(*names)[64] = calloc((size_t)a->n + 1, sizeof *names);
    const char **target = calloc((size_t)a->n + 1, sizeof *target);
    struct peft_config c = {.base = base,
                            .rank = a->rank,
                            .alpha = hparams_plain((double)(float)(scale * a->rank)),
                            .target = target};
    int rc = names && target ? 0 : err_set(e, ERR_NOMEM, "out of memory");
    for (int i = 0; rc == 0 && i < a->n; i += 2) {
        const char *end = strstr(a->out[i].name, ".lora_A."), *p = end;
        int k = 0;
        while (p > a->out[i].name && p[-1] != '.')
            p--;
        snprintf(names[c.n_target], sizeof *names, "%.*s", (int)(end - p), p);
        while (k < c.n_target && strcmp(target[k], names[c.n_target]))
            k++;
        if (k == c.n_target) {
            target[k] = names[k];
            c.n_target++;
        }
    }
    if (rc == 0)
        rc = peft_save_config(dir, &c, e);
    free(target);
    free(names);
    return rc;
}

/* Does the folder's own reader see this scale? */
static int says_scale(const char *dir, int rank, double scale, struct err *e)
{
    struct peft p;
    if (peft_open(&p, dir, e) < 0)
        return 0;
    const int same = p.rank == rank && alpha_of(&p) == (float)(scale * rank);
    peft_close(&p);
    return same;
}

static int write_folder(struct adapter *a, const struct gguf *g, const char *dir, const char *base,
                        double scale, char *sha256, struct err *e)
{
    char path[PATH_MAX];
    struct err other = {0};
    const struct gguf_str *own = gguf_string(g, CONFIG_KEY), *id = gguf_string(g, BASE_KEY);
    char base_id[17];
    cJSON *meta = cJSON_CreateObject();
    int rc;
    if (!meta || !cJSON_AddStringToObject(meta, "format", "pt"))
        rc = err_set(e, ERR_NOMEM, "out of memory");
    else if (id && id->n == sizeof base_id - 1 &&
             (snprintf(base_id, sizeof base_id, "%.*s", (int)id->n, id->p),
              !cJSON_AddStringToObject(meta, "base_weights", base_id)))
        rc = err_set(e, ERR_NOMEM, "out of memory");
    else if ((size_t)snprintf(path, sizeof path, "%s/" WEIGHTS, dir) >= sizeof path)
        rc = err_set(e, ERR_CANTCREAT, "%s: path too long", dir);
    else
        rc = safetensors_stream(path, a->out, a->n, fill, a, meta, sha256, e);
    cJSON_Delete(meta);
    if (rc < 0)
        return rc;
    if (own && (rc = write_text(dir, own, e)) < 0)
        return rc;
    if (own && says_scale(dir, a->rank, scale, &other))
        return 0;
    if ((rc = write_config(a, dir, base, scale, e)) < 0)
        return rc;
    return says_scale(dir, a->rank, scale, e) ? 0
           : e->code                          ? e->code
                     : err_set(e, ERR_SOFTWARE, "%s: the scale is lost", dir);
}

int adapter_from_gguf(const char *base, const char *in, const char *dir, struct adapter_done *done,
                      struct err *e)
{
    static const char *const ours[] = {CONFIG, WEIGHTS, NULL};
    struct adapter a;
    struct outdir d = {0};
    struct gguf g;
    struct stat st;
    char path[PATH_MAX];
    int rc;
    memset(done, 0, sizeof *done);
    if ((rc = gguf_open(&g, in, e)) < 0)
        return rc;
    if ((rc = open_base(&a, base, e)) < 0)
        goto done;
    if (gather_gguf(&a, &g, e) < 0) {
        rc = err_prefix(e, "%s", in);
        goto done;
    }
    done->modules = a.n / 2;
    done->rank = a.rank;
    done->scale = scale_of(&g, a.rank, e);
    if (e->code || !isfinite(done->scale)) {
        rc = err_set(e, ERR_DATA, "adapter.lora.alpha is no number");
        rc = err_prefix(e, "%s", in);
        goto done;
    }
    if ((rc = outdir_open(&d, dir, ours, e)) < 0 ||
        (rc = write_folder(&a, &g, d.tmp, base, done->scale, done->sha256, e)) < 0)
        goto done;
    snprintf(path, sizeof path, "%s/" WEIGHTS, d.tmp);
    done->bytes = stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
    rc = outdir_commit(&d, e);
done:
    outdir_abort(&d);
    close_base(&a);
    gguf_close(&g);
    return rc;
}
