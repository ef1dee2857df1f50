/* test_verify - a copy that is not what it should be is found, whatever is wrong with it; the receipt's place in the file
 */
#include "blocks.h"
#include "chat.h"
#include "hash.h"
#include "tap.h"
#include "tiny_model.h"
#include "verify_impl.h"
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

static char good[] = "/tmp/test_verify_a.XXXXXX", bad[] = "/tmp/test_verify_b.XXXXXX",
            out[] = "/tmp/test_verify_c.XXXXXX";
static struct err e;

static struct tensor *find(struct tensor *t, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(t[i].name, name) == 0)
            return &t[i];
    abort();
}

/* ---- what may be wrong ---- */

static void one_value(struct tensor *t, int *n, struct hparams *h)
{
    float *x = (float *)(uintptr_t)find(t, *n, "model.embed_tokens.weight")->data;
    (void)h;
    x[(h->n_vocab - 1) * EMBD] += 1e-3f; /* a row that no prompt has */
}
static void other_base(struct tensor *t, int *n, struct hparams *h)
{
    (void)t, (void)n;
    h->rope_theta = 5e4;
}
static void no_stop(struct tensor *t, int *n, struct hparams *h)
{
    (void)t, (void)n;
    h->n_stop = 0;
}
static void bos_first(struct tensor *t, int *n, struct hparams *h)
{
    (void)t, (void)n;
    h->bos = 8186;
    h->add_bos = 1;
}
/* The same numbers, where BF16 holds them. */
static void to_bf16(struct tensor *x)
{
    uint16_t *to = (uint16_t *)(uintptr_t)x->data;
    for (size_t i = 0; i < x->bytes / sizeof(float); i++) {
        uint32_t bits;
        memcpy(&bits, (const float *)x->data + i, sizeof bits);
        to[i] = (uint16_t)(bits >> 16);
    }
    x->type = KN_BF16;
    x->bytes /= 2;
}
static void rounded(struct tensor *t, int *n, struct hparams *h)
{
    (void)h;
    to_bf16(find(t, *n, "model.layers.0.mlp.up_proj.weight"));
}
static void infinite(struct tensor *t, int *n, struct hparams *h)
{
    struct tensor *x = find(t, *n, "model.layers.1.mlp.down_proj.weight");
    (void)h;
    for (int i = 0; i < EMBD * FF; i++)
        ((float *)(uintptr_t)x->data)[i] = 3e38f;
    to_bf16(x);
}

/* ---- */

static int compare(struct verify *v, void (*change)(struct tensor *, int *, struct hparams *))
{
    struct apr a, b;
    struct view from, to;
    struct err own = {0};
    e = own;
    if (tiny_model(bad, change, &e) < 0 || apr_open(&a, good, &e) < 0 ||
        apr_open(&b, bad, &e) < 0 || view_apr(&from, &a, &e) < 0 || view_apr(&to, &b, &e) < 0) {
        printf("# %s\n", e.msg);
        return 1;
    }
    *v = (struct verify){.from = &from, .threads = 1};
    int rc = verify_views(v, &to, apr_weights_id(&b), &e);
    view_apr_free(&to);
    view_apr_free(&from);
    apr_close(&b);
    apr_close(&a);
    return rc;
}

static double number(const char *receipt, const char *key)
{
    cJSON *o = cJSON_Parse(receipt);
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
    double x = cJSON_IsNumber(v) ? v->valuedouble : cJSON_IsBool(v) ? cJSON_IsTrue(v) : NAN;
    cJSON_Delete(o);
    return x;
}

static void test_views(void)
{
    struct verify v, again;
    char line[400], copy[APR_RECEIPT];
    ok(compare(&v, NULL) == 0 && number(v.text, "verified") == 1 && !v.why[0] &&
           number(v.text, "max_diff") == 0 && number(v.text, "tensors_equal") == 20 &&
           strstr(v.text, "\"promise\":\"equal\""),
       "equal: %s%s", v.text, e.msg);
    cJSON *r = cJSON_Parse(v.text);
    const uint64_t id = strtoull(json_get_str(r, "weights", "", &e), NULL, 16);
    ok(verify_line(r, id, line, sizeof line) && strstr(line, "logits equal"), "said: %s", line);
    ok(!verify_line(r, id + 1, line, sizeof line) && strstr(line, "other weights"),
       "of other weights: %s", line);
    cJSON_Delete(r);
    ok(!verify_line(NULL, id, line, sizeof line) && strncmp(line, "none", 4) == 0, "none: %s",
       line);
    ok(compare(&v, one_value) == ERR_DATA && strstr(e.msg, "model.embed_tokens.weight"),
       "one value in a row that nobody reads: %s", e.msg);
    ok(compare(&v, other_base) == ERR_DATA && strstr(e.msg, "logits differ"),
       "equal bytes, another RoPE: %s", e.msg);
    ok(compare(&v, no_stop) == ERR_DATA && strstr(e.msg, "8186"), "a stop id is lost: %s", e.msg);
    ok(compare(&v, bos_first) == ERR_DATA && strstr(e.msg, "BOS"), "BOS: %s", e.msg);
    ok(compare(&v, infinite) < 0 && strstr(e.msg, "not finite"), "no numbers: %s", e.msg);
    ok(compare(&v, rounded) == 0 && number(v.text, "max_diff") > 0 &&
           number(v.text, "kl_mean") > 0 && number(v.text, "kl_mean") <= number(v.text, "kl_max") &&
           number(v.text, "tensors_equal") == 19 && strstr(v.text, "\"promise\":\"none\""),
       "rounded: numbers: %s%s", v.text, e.msg);
    memcpy(copy, v.text, sizeof copy);
    compare(&again, rounded);
    ok(strcmp(copy, again.text) == 0, "the same numbers again");
}

/* The source has a tensor more than the copy: one that no logit tells of. */
static void test_lost(void)
{
    static const float bias[EMBD];
    struct apr a;
    struct view from, to;
    e = (struct err){0};
    if (apr_open(&a, good, &e) < 0 || view_apr(&from, &a, &e) < 0 || view_apr(&to, &a, &e) < 0)
        abort();
    struct tensor *t = malloc(((size_t)from.n + 1) * sizeof *t);
    struct verify v = {.from = &from, .threads = 1};
    memcpy(t, from.t, (size_t)from.n * sizeof *t);
    struct tensor *x = &t[from.n++];
    *x = (struct tensor){.type = KN_F32, .ndim = 1, .dim = {EMBD}, .data = bias};
    x->bytes = sizeof bias;
    snprintf(x->name, sizeof x->name, "model.layers.0.self_attn.q_proj.bias");
    qsort(t, (size_t)from.n, sizeof *t, tensor_by_name);
    from.t = t;
    ok(verify_views(&v, &to, 0, &e) == ERR_DATA &&
           strstr(e.msg, "tensor model.layers.0.self_attn.q_proj.bias, which"),
       "a tensor is lost: %s", e.msg);
    for (int i = 0; i < from.n; i++)
        if (strcmp(t[i].name, "model.layers.0.self_attn.q_proj.bias") == 0)
            snprintf(t[i].name, sizeof t[i].name, "lm_head.weight");
    qsort(t, (size_t)from.n, sizeof *t, tensor_by_name);
    e = (struct err){0};
    ok(verify_views(&v, &to, 0, &e) == 0, "a head that is the embedding once more may go %s",
       e.msg);
    free(t);
    view_apr_free(&to);
    view_apr_free(&from);
    apr_close(&a);
}

/* ---- conversations ---- */

/* verify_chat's answer for two metadata of the same model, or an error. */
static int chats(const struct view *v, const char *a, const char *b)
{
    struct view from = *v, to = *v;
    cJSON *x = cJSON_Parse(a), *y = cJSON_Parse(b);
    int same = 0;
    from.meta = x;
    to.meta = y;
    e = (struct err){0};
    const int rc = verify_chat(&from, &to, &same, &e);
    cJSON_Delete(x);
    cJSON_Delete(y);
    return rc < 0 ? rc : same;
}

static void test_chats(void)
{
    static const char *const some[] = {
        "{\"chat_format\": \"chatml\"}",
        "{\"chat_format\": \"chatml\", \"chat_system\": \"It's a \\\\ test\\n{{ x }} {# '\"}"};
    struct apr a;
    struct view v;
    if (apr_open(&a, good, &e) < 0 || view_apr(&v, &a, &e) < 0)
        abort();
    for (int i = 0; i < 2; i++) {
        cJSON *m = cJSON_Parse(some[i]), *t = cJSON_CreateObject();
        char *words = chat_meta_template(m, v.tok, &e);
        cJSON_AddStringToObject(t, "chat_template", words ? words : "");
        char *carried = cJSON_PrintUnformatted(t);
        ok(chats(&v, some[i], some[i]) == 1 && chats(&v, some[i], carried) == 1 && !e.code,
           "%s: its template says the same %s", some[i], e.msg);
        ok(chats(&v, some[i], "{}") == 0 && chats(&v, some[i], some[!i]) == 0,
           "%s: lost, or another one", some[i]);
        free(words);
        free(carried);
        cJSON_Delete(m);
        cJSON_Delete(t);
    }
    ok(chats(&v, "{\"chat_format\": \"raw\"}", "{}") == -1 && chats(&v, "{}", some[0]) == -1 &&
           chats(&v, "{\"chat_format\": \"other\"}", "{}") == -1,
       "no template: nothing to be lost");
    view_apr_free(&v);
    apr_close(&a);
}

/* ---- the writer ---- */

struct looking {
    int rc;
    uint64_t size;
    char name[200], say[APR_RECEIPT];
};

static int look(void *arg, const char *file, char text[APR_RECEIPT], struct err *err)
{
    struct looking *l = arg;
    struct apr a;
    struct stat st;
    snprintf(l->name, sizeof l->name, "%s", file);
    l->size = stat(file, &st) == 0 ? (uint64_t)st.st_size : 0;
    int rc = apr_open(&a, file, err);
    if (rc < 0)
        return rc;
    rc = apr_verify(&a, err); /* whole, footer and all, before it is looked at */
    apr_close(&a);
    snprintf(text, APR_RECEIPT, "%s", l->say);
    return rc < 0 ? rc : l->rc < 0 ? err_set(err, l->rc, "not a copy") : 0;
}

static int fill(void *arg, int i, void *buf, struct err *err)
{
    const struct tensor *t = arg;
    (void)err;
    memset(buf, i + 1, t[i].bytes);
    return 0;
}

static int write_with(struct looking *l, int streamed, char sha[65])
{
    static const float x[64] = {1, 2, 3};
    struct tensor t[2] = {{.name = "b.weight", .type = KN_F32, .ndim = 2, .dim = {4, 16}},
                          {.name = "a.weight", .type = KN_F32, .ndim = 1, .dim = {3}}};
    struct apr_receipt r = {
        .text = "{\"schema\":\"receipt/1\",\"verified\":false}", .look = look, .arg = l};
    t[0].bytes = 256, t[1].bytes = 12;
    t[0].data = t[1].data = streamed ? NULL : x;
    e = (struct err){0};
    cJSON *meta = cJSON_CreateObject();
    int rc = apr_write_receipt(out, meta, t, 2, fill, t, &r, sha, &e);
    cJSON_Delete(meta);
    return rc;
}

static void test_writer(void)
{
    struct looking l = {.say = "{\"schema\":\"receipt/1\",\"verified\":true,\"rows\":7}"};
    struct apr a;
    struct stat st;
    char sha[65], hex[65];
    for (int streamed = 0; streamed < 2; streamed++) {
        ok(write_with(&l, streamed, sha) == 0 && strncmp(l.name, out, strlen(out)) == 0 &&
               strcmp(l.name, out),
           "streamed %d: looked at under a temporary name: %s", streamed, e.msg);
        ok(apr_open(&a, out, &e) == 0 && apr_verify(&a, &e) == 0, "checksums hold: %s", e.msg);
        cJSON *r = cJSON_GetObjectItemCaseSensitive(a.meta, "receipt");
        ok(r && !r->next && json_get_int(r, "rows", 0, &e) == 7, "the last member: the receipt");
        apr_close(&a);
        ok(stat(out, &st) == 0 && (uint64_t)st.st_size == l.size, "the size did not change");
        ok(hash_sha256_file(out, hex, &e) == 0 && strcmp(sha, hex) == 0,
           "the digest is the file's");
    }
    l.rc = ERR_DATA;
    strcpy(l.say, "{}");
    ok(write_with(&l, 1, sha) == ERR_DATA && strstr(e.msg, "not a copy") &&
           strncmp(e.msg, out, strlen(out)) == 0 && access(l.name, F_OK) != 0,
       "refused: %s", e.msg);
    e = (struct err){0};
    ok(hash_sha256_file(out, hex, &e) == 0 && strlen(hex) == 64 && apr_open(&a, out, &e) == 0 &&
           json_get_int(cJSON_GetObjectItemCaseSensitive(a.meta, "receipt"), "rows", 0, &e) == 7,
       "what was there before is there");
    apr_close(&a);
    /* a derived model is another one */
    e = (struct err){0};
    if (apr_open(&a, out, &e) == 0) {
        cJSON *m = apr_derive_meta(a.meta, &e);
        ok(m && !cJSON_GetObjectItemCaseSensitive(m, "receipt"), "not carried on");
        cJSON_Delete(m);
        apr_close(&a);
    }
}

int main(void)
{
    int fd[] = {mkstemp(good), mkstemp(bad), mkstemp(out)};
    for (int i = 0; i < 3; i++)
        close(fd[i]);
    ok(tiny_model(good, NULL, &e) == 0, "a model %s", e.msg);
    test_views();
    test_lost();
    test_chats();
    test_writer();
    unlink(good);
    unlink(bad);
    unlink(out);
    return done_testing();
}
