/* test_arch - every family of models against transformers, and through both formats and back
 *
 * A case is a folder of tests/vectors/arch (made by tests/gpu/golden_arch.py): config.json, weights.json from
 * which its weights are made again, golden.safetensors.  A new architecture needs a case here and nothing
 * else. */
#include "check.h"
#include "diff.h"
#include "gguf.h"
#include "golden.h"
#include "mapfile.h"
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#define CASES TOP "/tests/vectors/arch"

static char tmp[] = "/tmp/test_arch.XXXXXX";

/* ---- weights that follow from their names: golden_arch.py says how ---- */

struct recipe {
    struct tensor *t;
    int *exponent, n;
    double *offset;
};

static uint64_t splitmix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static int fill(void *arg, int i, void *buf, struct err *e)
{
    const struct recipe *r = arg;
    const struct tensor *t = &r->t[i];
    uint64_t h = 0xcbf29ce484222325u;
    (void)e;
    for (const char *c = t->name; *c; c++)
        h = (h ^ (unsigned char)*c) * 0x100000001b3u;
    for (size_t k = 0; k < tensor_count(t); k++) {
        int v = 2 * (int)(splitmix(h + k) >> 56) - 255;
        float x = (float)(ldexp(v, -r->exponent[i]) + r->offset[i]);
        if (t->type == KN_F32)
            memcpy((float *)buf + k, &x, sizeof x);
        else
            ((uint16_t *)buf)[k] = kn_f32_to_bf16(x);
    }
    return 0;
}

/* weights.json as dir/model.safetensors: matrices in bf16, which holds them exactly, vectors in f32 */
static int make_weights(const char *from, const char *dir, struct err *e)
{
    char path[600];
    struct recipe r = {0};
    snprintf(path, sizeof path, "%s/weights.json", from);
    cJSON *list = json_load(path, e);
    size_t n = (size_t)cJSON_GetArraySize(list);
    r.t = calloc(n + 1, sizeof *r.t);
    r.exponent = calloc(n + 1, sizeof *r.exponent);
    r.offset = calloc(n + 1, sizeof *r.offset);
    for (const cJSON *w = list ? list->child : NULL; w; w = w->next, r.n++) {
        struct tensor *t = &r.t[r.n];
        snprintf(t->name, sizeof t->name, "%s", cJSON_GetArrayItem(w, 0)->valuestring);
        const cJSON *shape = cJSON_GetArrayItem(w, 1);
        for (const cJSON *d = shape->child; d; d = d->next)
            t->dim[t->ndim++] = (uint64_t)d->valuedouble;
        r.exponent[r.n] = cJSON_GetArrayItem(w, 2)->valueint;
        r.offset[r.n] = cJSON_GetArrayItem(w, 3)->valuedouble;
        t->type = t->ndim > 1 ? KN_BF16 : KN_F32;
        t->bytes = tensor_bytes(t->type, t->ndim, t->dim);
    }
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    int rc = list ? safetensors_stream(path, r.t, r.n, fill, &r, NULL, NULL, e) : e->code;
    cJSON_Delete(list);
    free(r.t);
    free(r.exponent);
    free(r.offset);
    return rc;
}

static int copy(const char *from, const char *to)
{
    char cmd[1300];
    snprintf(cmd, sizeof cmd, "cp '%s' '%s'", from, to);
    return system(cmd);
}

/* dir/config.json with a key's number replaced, in rope_parameters if it is there. */
static void set_key(const char *dir, const char *key, double v)
{
    char path[600];
    struct err e = {0};
    snprintf(path, sizeof path, "%s/config.json", dir);
    cJSON *c = json_load(path, &e);
    cJSON *in = cJSON_GetObjectItemCaseSensitive(c, "rope_parameters");
    in = cJSON_GetObjectItemCaseSensitive(in, key) ? in : c;
    const int flag = cJSON_IsBool(cJSON_GetObjectItemCaseSensitive(in, key));
    cJSON_ReplaceItemInObjectCaseSensitive(in, key,
                                           flag ? cJSON_CreateBool(v != 0) : cJSON_CreateNumber(v));
    char *s = cJSON_Print(c);
    FILE *f = fopen(path, "w");
    if (f && s)
        fputs(s, f);
    if (f)
        fclose(f);
    free(s);
    cJSON_Delete(c);
}

static int same_files(const char *a, const char *b)
{
    struct mapfile x, y;
    struct err e = {0};
    if (mapfile_open(&x, a, &e) < 0 || mapfile_open(&y, b, &e) < 0)
        return 0;
    int same = x.n == y.n && memcmp(x.p, y.p, x.n) == 0;
    mapfile_close(&x);
    mapfile_close(&y);
    return same;
}

/* Hyper-parameters and tensors; which tensors may differ in type is not asked: a vector that became F32 does. */
static int same_models(const char *a, const char *b, int types)
{
    struct apr x = {0}, y = {0};
    struct hparams g, h;
    struct err e = {0};
    int same = apr_open(&x, a, &e) == 0 && apr_open(&y, b, &e) == 0 &&
               hparams_from_meta(&g, x.meta, &e) == 0 && hparams_from_meta(&h, y.meta, &e) == 0 &&
               x.n_tensor == y.n_tensor && memcmp(&g, &h, sizeof g) == 0;
    if (!same)
        printf("# hyper-parameters or the number of tensors differ %s\n", e.msg);
    for (int i = 0; same && i < x.n_tensor; i++) {
        const struct tensor *t = &x.tensor[i], *u = apr_tensor(&y, t->name);
        same = u && (!types || (t->type == u->type && memcmp(t->data, u->data, t->bytes) == 0));
        if (!same)
            printf("# %s differs\n", t->name);
    }
    apr_close(&x);
    apr_close(&y);
    return same;
}

/* ---- a case ---- */

/* apr-diff finds nothing, whatever the order of rows, the names and the parts. */
static int no_difference(const char *a, const char *b)
{
    const struct diff_want want = {.limits = {INFINITY, INFINITY, INFINITY, -1, 0}};
    struct diff d;
    struct err e = {0};
    const int same = diff_models(&d, a, b, &want, &e) == 0 && d.same && d.count[DIFF_EQUAL] == d.n;
    if (!same)
        printf("# %s", e.msg);
    if (!same && !e.code)
        diff_text(stdout, &d, 5, 0, &e);
    diff_free(&d);
    return same;
}

/* To a folder and back: the same file's tensors and numbers. */
static void by_folder(const char *name, const char *apr)
{
    char dir[200], back[200];
    struct err e = {0};
    struct export_done out;
    snprintf(dir, sizeof dir, "%s.hf", apr);
    snprintf(back, sizeof back, "%s.hf.apr", apr);
    const struct export_look look = {verify_safetensors, &checked};
    int rc = export_st(apr, dir, IMPORT_KEEP, NULL, &look, &out, &e);
    if (rc == 0 && (rc = was_checked()) == 0)
        rc = folder_to_apr(dir, back, &e);
    ok(rc == 0 && same_models(apr, back, 1), "%s: to a folder and back, the same model %s", name,
       e.msg);
    ok(rc == 0 && no_difference(dir, apr), "%s: folder and .apr are the same to apr-diff", name);
}

/* Through GGUF with the same results, and from GGUF through .apr to GGUF with the same bytes. */
static void through_gguf(const char *name, const char *apr, const char *dir, int n_ctx)
{
    char gguf[200], again[200], back[200];
    struct err e = {0};
    struct export_done out;
    struct import_done in;
    snprintf(gguf, sizeof gguf, "%s.gguf", apr);
    snprintf(back, sizeof back, "%s.back", apr);
    snprintf(again, sizeof again, "%s.again.gguf", apr);
    by_gguf(name, apr, dir, n_ctx);
    ok(no_difference(apr, gguf), "%s: .apr and GGUF are the same to apr-diff", name);
    int rc = export_gguf(back, again, &gguf_checked, &out, &e);
    ok(rc == 0 && same_files(gguf, again), "%s: GGUF to .apr to GGUF, the same bytes %s", name,
       e.msg);
    rc = rc == 0 ? import_gguf(again, gguf, NULL, &in, &e)
                 : rc; /* over the first: no longer needed */
    ok(rc == 0 && same_models(back, gguf, 1), "%s: GGUF to .apr twice, the same model %s", name,
       e.msg);
}

/* What GGUF's architecture of that name cannot say; the number with which it can. */
static const struct {
    const char *name, *key;
    double instead;
} beyond_gguf[] = {
    {"gemma2", "query_pre_attn_scalar", 32},
    {"gemma3", "query_pre_attn_scalar", 32},
    {"qwen2-moe-norm", "norm_topk_prob", -1}, /* nor a tied head: refused in any case */
    {"qwen2-window", "sliding_window", 512},
    {"llama-yarn", "beta_fast", 32},
    {"llama-yarn", "beta_slow", 1}};
enum { BEYOND = sizeof beyond_gguf / sizeof *beyond_gguf };

static int refused_key(const char *name)
{
    for (int i = 0; i < BEYOND; i++)
        if (strcmp(name, beyond_gguf[i].name) == 0)
            return i;
    return -1;
}

/* Logits at the golden's first tokens, of the first sequence, on cpu; n_ctx positions asked for; of a sequence that
 * comes to no more than these n if `alone`, else of one that may become as long as that. */
static int logits_of(const char *apr, const int32_t *ids, int n, int n_ctx, int alone, float **y,
                     struct err *e)
{
    struct kn_dev *dev;
    struct model m;
    struct forward f;
    int32_t pos[96], seq[96] = {0}, rope[96], blocks[] = {0, 1, 2};
    int rc = kn_open(&dev, "cpu", 1);
    if (rc < 0 || (rc = model_load(&m, apr, dev, KN_W_INFER, n_ctx, e)) < 0 ||
        (rc = forward_new(&f, &m, n, 1, n, 3, 3, KN_F32, e)) < 0)
        return rc;
    for (int i = 0; i < n; i++) {
        pos[i] = i;
        rope[i] = i + (alone ? model_rope_shift(&m, n) : 0);
    }
    struct kn_rows r = {.n_tok = n,
                        .n_seq = 1,
                        .n_out = n,
                        .tok = ids,
                        .pos = pos,
                        .seq = seq,
                        .out = pos,
                        .blocks = blocks,
                        .rope = rope};
    *y = calloc((size_t)n * (size_t)m.h.n_vocab, sizeof **y);
    rc = forward_step(&f, &r, e);
    if (rc == 0)
        rc = kn_read(dev, *y, f.logits, (size_t)n * (size_t)m.h.n_vocab * sizeof **y);
    forward_free(&f);
    model_free(&m);
    kn_close(dev);
    return rc;
}

/* longrope: a short sequence beside long ones has the factors that it has in a short context. */
static void short_beside_long(const char *name, const char *apr, const int32_t *ids)
{
    enum { N = 20, ORIGINAL = 24 };
    struct err e = {0};
    float *y[3] = {NULL};
    int rc = logits_of(apr, ids, N, ORIGINAL, 0, &y[0], &e);
    rc = rc ? rc : logits_of(apr, ids, N, 0, 1, &y[1], &e);
    rc = rc ? rc : logits_of(apr, ids, N, 0, 0, &y[2], &e);
    ok(rc == 0 && worst(y[0], y[1], (size_t)N * 256) == 0 &&
           worst(y[0], y[2], (size_t)N * 256) > 1e-3,
       "%s: a sequence within the first context has its factors in any context %s", name, e.msg);
    for (int i = 0; i < 3; i++)
        free(y[i]);
}

/* The case with that number changed has other results than the golden, but the same before and after GGUF. */
static void changed(const char *name, int which, const char *apr, const char *dir, const char *work)
{
    enum { N = 90 };
    char gguf[240], back[200];
    struct err e = {0};
    struct export_done out;
    struct import_done in;
    struct golden g = {0};
    struct hparams h = {0};
    float *a = NULL, *b = NULL;
    snprintf(gguf, sizeof gguf, "%s.gguf", apr);
    snprintf(back, sizeof back, "%s.back", apr);
    int rc = export_gguf(apr, gguf, NULL, &out, &e);
    ok(rc == ERR_DATA && strstr(e.msg, beyond_gguf[which].key),
       "%s: GGUF cannot say it, and it is refused: %s", name, e.msg);
    if (beyond_gguf[which].instead < 0)
        return;
    memset(&e, 0, sizeof e);
    for (int i = which; i < BEYOND; i++)
        if (strcmp(beyond_gguf[i].name, name) == 0)
            set_key(work, beyond_gguf[i].key, beyond_gguf[i].instead);
    rc = folder_to_apr(work, apr, &e);
    if (rc == 0 && (rc = export_gguf(apr, gguf, NULL, &out, &e)) == 0 &&
        (rc = import_gguf(gguf, back, NULL, &in, &e)) == 0 &&
        (rc = load_golden(&g, dir, &h, &e)) == 0 &&
        (rc = logits_of(apr, g.ids, N, 0, 0, &a, &e)) == 0)
        rc = logits_of(back, g.ids, N, 0, 0, &b, &e);
    /* from GGUF to a folder: norms that add one again */
    float *c = NULL;
    snprintf(gguf, sizeof gguf, "%s.folder", back);
    const struct export_look look = {verify_safetensors, &checked};
    int rc2 = rc == 0 ? export_st(back, gguf, IMPORT_KEEP, NULL, &look, &out, &e) : rc;
    if (rc2 == 0 && (rc2 = folder_to_apr(gguf, back, &e)) == 0)
        rc2 = logits_of(back, g.ids, N, 0, 0, &c, &e);
    ok(rc2 == 0 && worst(a, c, (size_t)N * 256) < 2e-5, "%s: and from there as a folder %s", name,
       e.msg);
    free(c);
    /* rows of q and k in another order are summed in another order */
    const double d = rc == 0 ? worst(a, b, (size_t)N * 256) : INFINITY;
    ok(hparams_has(&in.h, ARCH_GGUF_PAIRS) ? d < 2e-5 : d == 0,
       "%s with %s %g: the same after GGUF %s", name, beyond_gguf[which].key,
       beyond_gguf[which].instead, e.msg);
    free(a);
    free(b);
    safetensors_close(&g.s);
}

/* longrope: the golden's prompts are all within the short context, or all beyond it */
static int context_of(const char *apr)
{
    struct apr a = {0};
    struct hparams h = {0};
    struct err e = {0};
    int n = apr_open(&a, apr, &e) == 0 && hparams_from_meta(&h, a.meta, &e) == 0 &&
                    h.rope_scaling == ROPE_LONG && h.rope_orig_ctx >= 128
                ? h.rope_orig_ctx
                : 0;
    apr_close(&a);
    return n;
}

/* The same bits whatever the batch, the slot, the blocks, the threads and the neighbours: all rows at once, and one row
 * a step among those of another sequence; and the bits of ref:q. */
static void independent(const char *name, const char *apr, const struct golden *g, int n_ctx)
{
    enum { N = 60, OTHER = 13 };
    struct err e = {0};
    const size_t row = (size_t)g->n_vocab;
    float *y[3];
    int rc = 0;
    for (int i = 0; i < 3; i++)
        y[i] = calloc(N * row, sizeof(float));
    for (int k = 0; k < 3 && rc == 0; k++) {
        const int way = k == 1; /* row by row */
        struct kn_dev *dev;
        struct model m;
        struct forward f;
        int32_t tok[N], pos[N], seq[N], out[N], blocks[2 * BLOCKS];
        for (int i = 0; i < 2 * BLOCKS; i++)
            blocks[i] = way ? (i * 11 + 5) % (2 * BLOCKS) : i;
        if ((rc = kn_open(&dev, k == 2 ? "ref:q" : "cpu", way ? 3 : 1)) < 0)
            break;
        if ((rc = model_load(&m, apr, dev, KN_W_INFER, n_ctx, &e)) < 0 ||
            (rc = forward_new(&f, &m, N, 2, N, BLOCKS, 2 * BLOCKS, KN_F32, &e)) < 0)
            break;
        for (int at = 0; at < N && rc == 0; at += way ? 1 : N) {
            const int n = way ? 1 : N, more = way && at < OTHER; /* a row of the other sequence */
            for (int i = 0; i < n; i++) {
                tok[i + more] = g->ids[at + i];
                pos[i + more] = at + i;
                seq[i + more] = more; /* behind the other */
                out[i] = i + more;
            }
            if (more)
                tok[0] = g->ids[g->n_tok + at], pos[0] = at, seq[0] = 0;
            /* alone again, the sequence is number 0: its blocks are the second row of the table */
            const int32_t *table = way && !more ? blocks + BLOCKS : blocks;
            struct kn_rows r = {.n_tok = n + more,
                                .n_seq = 1 + more,
                                .n_out = n,
                                .tok = tok,
                                .pos = pos,
                                .seq = seq,
                                .out = out,
                                .blocks = table};
            rc = forward_step(&f, &r, &e);
            if (rc == 0)
                rc = kn_read(dev, y[k] + (size_t)at * row, f.logits,
                             (size_t)n * row * sizeof(float));
        }
        forward_free(&f);
        model_free(&m);
        kn_close(dev);
    }
    ok(rc == 0 && memcmp(y[0], y[1], N * row * sizeof(float)) == 0,
       "%s: the same bits in one batch of %d rows and row by row beside another, on 3 threads %s",
       name, N, e.msg);
    ok(rc == 0 && memcmp(y[0], y[2], N * row * sizeof(float)) == 0, "%s: the bits of ref:q", name);
    for (int i = 0; i < 3; i++)
        free(y[i]);
}

/* exported.json is the config.json that apr2st wrote when the goldens were last made; golden_arch.py loads the model
 * with it too and says whether transformers gives equal logits, so a change here means running it again. */
static void same_config(const char *name, const char *apr, const char *dir)
{
    char ours[200], theirs[500];
    struct err e = {0};
    snprintf(ours, sizeof ours, "%s.hf/config.json", apr);
    snprintf(theirs, sizeof theirs, "%s/exported.json", dir);
    cJSON *a = json_load(ours, &e), *b = json_load(theirs, &e);
    ok(a && b && cJSON_Compare(a, b, 1), "%s: the config.json of exported.json %s", name, e.msg);
    cJSON_Delete(a);
    cJSON_Delete(b);
}

static void one_case(const char *name)
{
    static const char *const devices[] = {"ref", "ref:q", "cpu"};
    struct golden g = {0};
    struct hparams h = {.n_vocab = 256};
    char dir[400], work[130], apr[150], from[600], to[400];
    struct err e = {0};
    snprintf(dir, sizeof dir, CASES "/%s", name);
    snprintf(work, sizeof work, "%s/%.80s", tmp, name);
    snprintf(apr, sizeof apr, "%s/%.80s.apr", tmp, name);
    snprintf(from, sizeof from, "%s/config.json", dir);
    snprintf(to, sizeof to, "%s/config.json", work);
    mkdir(work, 0700);
    int rc = copy(from, to);
    rc = rc ? rc : make_weights(dir, work, &e);
    rc = rc ? rc : folder_to_apr(work, apr, &e);
    ok(rc == 0, "%s: as an .apr %s", name, e.msg);
    if (rc)
        return;
    const int n_ctx = context_of(apr), which = refused_key(name);
    for (size_t d = 0; d < sizeof devices / sizeof *devices; d++)
        device(name, devices[d], apr, dir, n_ctx);
    if (load_golden(&g, dir, &h, &e) == 0)
        independent(name, apr, &g, n_ctx);
    if (strcmp(name, "phi4-mini-long") == 0)
        short_beside_long(name, apr, g.ids);
    safetensors_close(&g.s);
    struct check c;
    rc = check_model(&c, apr, "cpu", 1, &e);
    ok(rc == 0 && c.score == (CHECK_STAGES - 1) * CHECK_POINTS,
       "%s: passes every stage of apr-check but that of a tokenizer %s", name, e.msg);
    by_folder(name, apr);
    same_config(name, apr, dir);
    if (which < 0)
        through_gguf(name, apr, dir, n_ctx);
    else
        changed(name, which, apr, dir, work);
}

int main(int argc, char **argv)
{
    char cmd[200];
    struct dirent **list;
    if (!mkdtemp(tmp))
        return 1;
    int n = scandir(CASES, &list, NULL, alphasort);
    ok(n > 2, "cases");
    for (int i = 0; i < n; i++) {
        if (list[i]->d_name[0] != '.' && (argc < 2 || strcmp(argv[1], list[i]->d_name) == 0))
            one_case(list[i]->d_name);
        free(list[i]);
    }
    if (n >= 0)
        free(list);
    snprintf(cmd, sizeof cmd, "rm -r %s", tmp);
    return done_testing() | system(cmd);
}
