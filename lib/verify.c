/* verify - a written model against its source: what must be equal, what may differ and by how much */
#include "verify.h"
#include "blocks.h"
#include "verify_impl.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct found {
    struct verify_run run;
    int tensors, equal;                                /* equal: byte for byte */
    enum promise { NOTHING, ROUNDING, EQUAL } promise; /* of the logits */
    int texts, texts_same;
    int chat;
    int ran;
};

/* ---- tensors ---- */

static const struct tensor *same_name(const struct view *v, const struct tensor *t)
{
    return bsearch(t, v->t, (size_t)v->n, sizeof *v->t, tensor_by_name);
}

/* What the formats keep in another way: rows of q and k, factors of norms. */
static int kept_apart(const struct view *a, const struct view *b, const char *name)
{
    if (a->h.rope_pairs != b->h.rope_pairs &&
        (strstr(name, ".q_proj.") || strstr(name, ".k_proj.")))
        return 1;
    return a->h.norm_adds_one != b->h.norm_adds_one && strstr(name, "norm");
}

static int is_wider(int from, int to)
{
    return to == KN_F32 && (from == KN_F16 || from == KN_BF16);
}

/* Where no weight is rounded the logits are equal; rows of q and k in another order are summed in another order. */
static enum promise promise_of(const struct view *from, const struct view *to, int rounded)
{
    if (rounded || (!from->h.norm_adds_one && to->h.norm_adds_one)) /* (w + 1) - 1 is not w */
        return NOTHING;
    return from->h.rope_pairs == to->h.rope_pairs ? EQUAL : ROUNDING;
}

/* Does tensor i of `from` have the bytes of b?  1, 0 or an error. */
static int same_bytes(const struct view *from, int i, const struct tensor *b, struct err *e)
{
    const struct tensor *a = &from->t[i];
    void *made = a->data ? NULL : malloc(a->bytes + 1);
    int rc = 0;
    if (!a->data && !made)
        return err_set(e, ERR_NOMEM, "tensor %s: out of memory", a->name);
    if (made && a->bytes)
        rc = from->fill(from->arg, i, made, e);
    if (rc == 0)
        rc = a->bytes == b->bytes && memcmp(made ? made : a->data, b->data, a->bytes) == 0;
    free(made);
    return rc;
}

/* What a copy need not have: the tokenizer, whose texts are compared, and a head that is the embedding once more. */
static int is_spare(const struct view *v, const struct tensor *t)
{
    return strcmp(t->name, APR_TOKENIZER) == 0 ||
           (v->h.tied && strcmp(t->name, "lm_head.weight") == 0);
}

/* What is promised, and the bytes of what keeps its type. */
static int compare_tensors(struct found *f, const struct view *from, const struct view *to,
                           struct err *e)
{
    int rounded = 0;
    for (int i = 0; i < from->n; i++) {
        const struct tensor *a = &from->t[i], *b = same_name(to, a);
        if (!b && !is_spare(from, a))
            return err_set(e, ERR_DATA, "tensor %s, which %s has, is missing", a->name, from->name);
        if (!b || !tensor_is_weight(a->type))
            continue;
        f->tensors++;
        if (a->type != b->type) {
            rounded |= !is_wider(a->type, b->type);
            continue;
        }
        if (!b->data || kept_apart(from, to, a->name))
            continue;
        const int same = same_bytes(from, i, b, e);
        if (same < 0)
            return same;
        if (!same)
            return err_set(e, ERR_DATA, "tensor %s: its bytes are not those of %s", a->name,
                           from->name);
        f->equal++;
        if (from->forget)
            from->forget(from->arg, a);
        if (to->forget)
            to->forget(to->arg, b);
    }
    f->promise = promise_of(from, to, rounded);
    return 0;
}

/* ---- the rest ---- */

static int has_stop(const struct hparams *h, int32_t id)
{
    for (int i = 0; i < h->n_stop; i++)
        if (h->stop[i] == id)
            return 1;
    return 0;
}

static int compare_ids(const struct view *from, const struct view *to, struct err *e)
{
    if (from->h.n_vocab != to->h.n_vocab)
        return err_set(e, ERR_DATA, "%d rows of the vocabulary, %s has %d", to->h.n_vocab,
                       from->name, from->h.n_vocab);
    if (from->tok && from->h.add_bos != to->h.add_bos)
        return err_set(e, ERR_DATA, "a text begins %s BOS, in %s %s",
                       to->h.add_bos ? "with" : "without", from->name,
                       from->h.add_bos ? "with it" : "without");
    for (int i = 0; i < from->h.n_stop; i++)
        if (!has_stop(&to->h, from->h.stop[i]))
            return err_set(e, ERR_DATA, "id %d, at which %s stops, is no stop id", from->h.stop[i],
                           from->name);
    return 0;
}

static int compare_texts(struct found *f, const struct verify *v, const struct view *to,
                         const struct verify_texts *x, struct err *e)
{
    const struct view *from = v->from;
    if (compare_ids(from, to, e) < 0 || verify_tokenizer(from, to, x, &f->texts_same, e) < 0 ||
        verify_chat(from, to, &f->chat, e) < 0)
        return e->code;
    f->texts = x->n;
    if (f->texts_same >= 0 && f->texts_same < x->n && !v->tokenizer_loses)
        return err_set(e, ERR_DATA, "tokenizer: %d of %d texts have other ids than in %s",
                       x->n - f->texts_same, x->n, from->name);
    if (f->chat == 0)
        return err_set(e, ERR_DATA, "chat template: a conversation has other ids than in %s",
                       from->name);
    return 0;
}

/* Rounding in float, or of activations to 8 bits, where a bit may tip a step of 0.4 %. */
static int within_rounding(const struct verify_run *r)
{
    return r->max_diff <= 2e-4 * fmax(1, r->largest) || (r->rounds_8bit && r->kl_mean <= 1e-3);
}

static int judge(const struct found *f, const struct view *from, struct err *e)
{
    const struct verify_run *r = &f->run;
    if (f->promise == NOTHING || r->max_diff == 0 || (f->promise == ROUNDING && within_rounding(r)))
        return 0;
    return err_set(e, ERR_DATA,
                   "no weight was rounded, and the logits differ from those of %s by up to %.4g "
                   "(KL %.4g)",
                   from->name, r->max_diff, r->kl_mean);
}

/* ---- the receipt ---- */

static void put_short(struct json_out *j, const char *key, double x)
{
    char text[40];
    snprintf(text, sizeof text, "%.4g", x);
    json_key(j, key);
    json_raw(j, text);
}

static const char *tokenizer_word(const struct found *f)
{
    return f->texts_same < 0 ? "none" : f->texts_same == f->texts ? "equal" : "differs";
}

static int write_receipt(struct verify *v, const struct found *f, uint64_t weights, struct err *e)
{
    static const char *const promises[] = {"none", "rounding", "equal"};
    const struct verify_run *r = &f->run;
    struct json_out j = {0};
    char id[20];
    snprintf(id, sizeof id, "%016" PRIx64, weights);
    json_begin(&j, '{');
    json_kv_str(&j, "schema", "receipt/1");
    json_kv_bool(&j, "verified", f->ran);
    if (!f->ran)
        json_kv_str(&j, "reason", v->why);
    if (weights)
        json_kv_str(&j, "weights", id);
    json_kv_int(&j, "tensors", f->tensors);
    json_kv_int(&j, "tensors_equal", f->equal);
    json_kv_str(&j, "tokenizer", tokenizer_word(f));
    if (f->texts_same >= 0) {
        json_kv_int(&j, "texts", f->texts);
        json_kv_int(&j, "texts_same", f->texts_same);
    }
    json_kv_str(&j, "chat", f->chat < 0 ? "none" : "equal");
    if (f->ran) {
        json_kv_str(&j, "promise", promises[f->promise]);
        json_kv_int(&j, "prompts", r->prompts);
        json_kv_int(&j, "rows", r->rows);
        json_kv_str(&j, "limit", r->limit);
        put_short(&j, "max_diff", r->max_diff);
        put_short(&j, "kl_mean", r->kl_mean);
        put_short(&j, "kl_max", r->kl_max);
        json_kv_int(&j, "top1", r->top1);
        json_kv_int(&j, "greedy", r->greedy);
        json_kv_int(&j, "greedy_same", r->greedy_same);
    }
    json_end(&j, '}');
    char *s = json_take(&j, NULL);
    int fits = s && strlen(s) < sizeof v->text;
    if (fits)
        memcpy(v->text, s, strlen(s) + 1);
    free(s);
    return fits ? 0 : err_set(e, ERR_SOFTWARE, "a receipt of more than %d bytes", APR_RECEIPT - 1);
}

void verify_none(struct verify *v, const char *why)
{
    struct json_out j = {0};
    snprintf(v->why, sizeof v->why, "%s", why);
    json_begin(&j, '{');
    json_kv_str(&j, "schema", "receipt/1");
    json_kv_bool(&j, "verified", 0);
    json_kv_str(&j, "reason", v->why);
    json_end(&j, '}');
    char *s = json_take(&j, NULL);
    snprintf(v->text, sizeof v->text, "%s", s ? s : "null");
    free(s);
}

/* Is it the models that cannot be run here, not the copy that is wrong? */
static int not_here(const struct err *e)
{
    return e->code == ERR_NOMEM || e->code == ERR_UNAVAILABLE || e->code == ERR_NOINPUT;
}

int verify_views(struct verify *v, const struct view *to, uint64_t weights, struct err *e)
{
    struct verify_texts x = {0};
    struct found f = {.texts_same = -1, .chat = -1};
    int rc;
    v->why[0] = 0;
    v->piped = 0;
    if ((rc = verify_texts_load(&x, e)) < 0) {
        if (not_here(e)) {
            verify_none(v, e->msg);
            *e = (struct err){0};
            rc = 0;
        }
        goto done;
    }
    if ((rc = compare_texts(&f, v, to, &x, e)) < 0 ||
        (rc = compare_tensors(&f, v->from, to, e)) < 0)
        goto done;
    rc = verify_run(&f.run, v->from, to, &x, v->threads, e);
    f.ran = rc == 0;
    if (rc < 0 && not_here(e)) {
        snprintf(v->why, sizeof v->why, "%.*s", (int)sizeof v->why - 1, e->msg);
        *e = (struct err){0};
        rc = 0;
    }
    if (rc == 0 && f.ran)
        rc = judge(&f, v->from, e);
    if (rc == 0)
        rc = write_receipt(v, &f, weights, e);
done:
    verify_texts_free(&x);
    return rc;
}

int verify_look(void *arg, const char *file, char text[APR_RECEIPT], struct err *e)
{
    struct verify *v = arg;
    struct view to = {.name = NULL};
    struct apr a;
    int rc = apr_open(&a, file, e);
    if (rc < 0)
        return rc;
    if ((rc = apr_verify_tensors(&a, NULL, NULL, e)) == 0 && (rc = view_apr(&to, &a, e)) == 0 &&
        (rc = verify_views(v, &to, apr_weights_id(&a), e)) == 0)
        memcpy(text, v->text, APR_RECEIPT);
    view_apr_free(&to);
    apr_close(&a);
    return rc;
}

static int shown(void *arg, const struct view *to, struct err *e)
{
    return verify_views(arg, to, 0, e);
}

int verify_gguf(void *arg, const struct view *from, const char *path, int loses, struct err *e)
{
    struct verify *v = arg;
    v->from = from;
    v->tokenizer_loses = loses;
    return view_gguf(path, shown, v, e);
}

int verify_safetensors(void *arg, const struct view *from, const char *path, int loses,
                       struct err *e)
{
    struct verify *v = arg;
    v->from = from;
    v->tokenizer_loses = loses;
    return view_safetensors(path, !from->tok, shown, v, e);
}

int verify_source(struct verify *v, struct apr_receipt *r, struct view *from, const struct apr *a,
                  struct err *e)
{
    memset(from, 0, sizeof *from);
    if (v->off)
        return 0;
    v->from = from;
    if (view_apr(from, a, e) == 0)
        return 0;
    if (e->code == ERR_NOMEM)
        return e->code;
    verify_none(v, e->msg);
    v->piped = 0;
    *e = (struct err){0};
    r->look = NULL;
    memcpy(r->text, v->text, sizeof r->text);
    return 0;
}

int verify_failed(const struct verify *v)
{
    return !v->off && !v->piped && v->why[0];
}

void verify_begin(struct verify *v, struct apr_receipt *r)
{
    v->piped = 1; /* until it is looked at */
    verify_none(v, v->off ? "--no-verify" : "the output was a pipe, which cannot be read back");
    *r = (struct apr_receipt){.look = v->off ? NULL : verify_look, .arg = v};
    memcpy(r->text, v->text, sizeof r->text);
}
