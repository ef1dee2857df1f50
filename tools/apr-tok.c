/* apr-tok - text to token ids and back */
#include "apr.h"
#include "bpe.h"
#include "cli.h"
#include "gguf.h"
#include "json.h"
#include "outfile.h"
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct {
    const char *out;
    int decode, special, bos, count, json;
    long threads;
} o = {.out = "-"};

static const struct cli_opt opts[] = {
    // clang-format off
    CLI_FLAG('d', "decode", &o.decode, "read ids, write text"),
    CLI_FLAG('s', "special", &o.special, "text may spell special tokens; keep them when decoding"),
    CLI_FLAG(0, "bos", &o.bos, "put the beginning-of-text token first if the model does"),
    CLI_FLAG('c', "count", &o.count, "write only the number of tokens"),
    CLI_FLAG(0, "json", &o.json, "write one JSON object: n, ids, tokens (or text)"),
    CLI_INT(0, "threads", &o.threads, "N", "0 = all cores; changes no result", 0, 1024),
    CLI_STR('o', "output", &o.out, "FILE", "write here (- is stdout)"),
    CLI_END // clang-format on
};
static const struct cli cli = {.name = "apr-tok",
                               .what = "turn text into token ids, or ids into text",
                               .usage = "MODEL.apr|MODEL.gguf|tokenizer.json [FILE] [options]",
                               .example = "apr-tok m.apr --count prompt.txt",
                               .opts = opts,
                               .see = "apr-gen(1), gguf2apr(1)",
                               .output_version = 1};

/* The tokenizer of any of the three kinds of file, told apart by the first bytes. */
static int load(struct bpe **b, const char *path, struct err *e)
{
    FILE *f = fopen(path, "rb");
    char magic[4] = "";
    if (!f)
        return err_errno(e, ERR_NOINPUT, "%s", path);
    size_t n = fread(magic, 1, sizeof magic, f);
    fclose(f);
    if (n == 4 && memcmp(magic, "GGUF", 4) == 0) {
        struct gguf g;
        int rc = gguf_open(&g, path, e);
        if (!rc)
            rc = bpe_load_gguf(b, &g, e);
        gguf_close(&g);
        return rc;
    }
    if (n == 4 && memcmp(magic, "APR", 4) == 0) {
        struct apr a;
        int rc = apr_open(&a, path, e);
        const struct tensor *t = rc ? NULL : apr_tensor(&a, APR_TOKENIZER);
        if (!rc)
            rc = t ? bpe_load_tables(b, t->data, t->bytes, path, e)
                   : err_set(e, ERR_DATA, "%s: no tensor %s", path, APR_TOKENIZER);
        apr_close(&a);
        return rc;
    }
    return bpe_load_json(b, path, e);
}

static char *read_all(const char *path, size_t *n, struct err *e)
{
    FILE *f = strcmp(path, "-") ? fopen(path, "rb") : stdin;
    char *buf = NULL;
    size_t cap = 0, k;
    *n = 0;
    if (!f) {
        err_errno(e, ERR_NOINPUT, "%s", path);
        return NULL;
    }
    do {
        if (cap - *n < 65536) {
            char *p = realloc(buf, cap = 2 * cap + 65536);
            if (!p) {
                err_set(e, ERR_NOMEM, "%s: out of memory", path);
                break;
            }
            buf = p;
        }
        *n += k = fread(buf + *n, 1, cap - *n - 1, f);
    } while (k);
    if (!e->code && ferror(f))
        err_errno(e, errno == EISDIR ? ERR_NOINPUT : ERR_IO, "%s", path);
    if (f != stdin)
        fclose(f);
    if (e->code) {
        free(buf);
        return NULL;
    }
    buf[*n] = 0;
    return buf;
}

/* Numbers between spaces, commas and brackets: apr-tok's own output or a JSON array. */
static long read_ids(const struct bpe *b, const char *path, const char *s, size_t n, int32_t **ids,
                     struct err *e)
{
    size_t k = 0, unused;
    *ids = cli_malloc((n / 2 + 1) * sizeof **ids);
    for (size_t i = 0; i < n;) {
        long v = 0;
        size_t from = i;
        if (isspace((unsigned char)s[i]) || strchr(",[]", s[i] ? s[i] : '?')) {
            i++;
            continue;
        }
        for (; isdigit((unsigned char)s[i]) && v < INT32_MAX / 10; i++)
            v = 10 * v + (s[i] - '0');
        if (i == from || isdigit((unsigned char)s[i]))
            return err_set(e, ERR_DATA, "%s: byte %zu: expected a token id, found '%.20s'", path,
                           from, s + from);
        if (!bpe_token(b, (int32_t)v, &unused))
            return err_set(e, ERR_DATA, "%s: byte %zu: token %ld of %d", path, from, v,
                           bpe_n_vocab(b));
        (*ids)[k++] = (int32_t)v;
    }
    return (long)k;
}

static void print_json(struct json_out *j, const struct bpe *b, const int32_t *ids, long n)
{
    json_begin(j, '{');
    json_kv_int(j, "n", n);
    json_key(j, "ids");
    json_begin(j, '[');
    for (long i = 0; i < n; i++)
        json_int(j, ids[i]);
    json_end(j, ']');
    json_key(j, o.decode ? "text" : "tokens");
    size_t k;
    if (o.decode) {
        char *s = bpe_decode(b, ids, (size_t)n, !o.special, &k);
        json_strn(j, s ? s : "", s ? k : 0);
        free(s);
    } else {
        json_begin(j, '[');
        for (long i = 0; i < n; i++) {
            const char *s = bpe_token(b, ids[i], &k);
            json_strn(j, s, k);
        }
        json_end(j, ']');
    }
    json_end(j, '}');
}

/* The ids of the whole text; a long one is shared by the threads. */
static long encode(const struct bpe *b, const char *text, size_t n, int32_t **ids, struct err *e)
{
    struct bpe_text t = {.s = text, .n = n};
    size_t bad;
    int flags = (o.special ? BPE_SPECIAL : 0) | (o.bos ? BPE_BOS : 0);
    int rc = bpe_encode_many(b, &t, 1, flags, (int)o.threads, &bad, e);
    *ids = t.ids;
    return rc ? rc : t.n_ids;
}

static char *put_id(char *p, int32_t id)
{
    char digit[12];
    int n = 0;
    do
        digit[n++] = (char)('0' + id % 10);
    while (id /= 10);
    while (n)
        *p++ = digit[--n];
    return p;
}

/* What goes to the output, malloc. */
static char *render(const struct bpe *b, const int32_t *ids, long n, size_t *len)
{
    struct json_out j = {0};
    if (o.decode && !o.json && !o.count)
        return bpe_decode(b, ids, (size_t)n, !o.special, len);
    if (o.json && !o.count) {
        print_json(&j, b, ids, n);
        char *s = json_take(&j, len);
        if (s)
            s[(*len)++] = '\n'; /* over the NUL */
        return s;
    }
    size_t cap = 24 + (o.count ? 0 : (size_t)n * 12);
    char *s = malloc(cap), *p = s;
    if (!s)
        return NULL;
    if (o.count)
        p += snprintf(p, 24, "%ld", n);
    else
        for (long i = 0; i < n; i++) {
            if (i)
                *p++ = ' ';
            p = put_id(p, ids[i]);
        }
    *p++ = '\n';
    *len = (size_t)(p - s);
    return s;
}

int main(int argc, char **argv)
{
    struct err e = {0};
    struct bpe *b = NULL;
    struct outfile f = {0};
    int32_t *ids = NULL;
    size_t n, len = 0;
    cli_parse(&cli, &argc, &argv);
    if (argc < 1 || argc > 2)
        cli_usage("expected a model or tokenizer.json, and at most one file");
    double start = clock_now();
    const char *in = argc == 2 ? argv[1] : "-";
    if (load(&b, argv[0], &e))
        cli_die(&e);
    char *text = read_all(in, &n, &e);
    if (!text)
        cli_die(&e);
    long k = o.decode ? read_ids(b, in, text, n, &ids, &e) : encode(b, text, n, &ids, &e);
    if (k < 0) {
        if (!o.decode)
            err_prefix(&e, "%s", in);
        cli_die(&e);
    }
    char *s = render(b, ids, k, &len);
    if (!s)
        err_set(&e, ERR_NOMEM, "out of memory");
    if (e.code || outfile_open(&f, o.out, &e) || outfile_write(&f, s, len, &e)) {
        outfile_abort(&f);
        cli_die(&e);
    }
    if (outfile_commit(&f, &e))
        cli_die(&e);
    const char *inputs[] = {argv[0], in, NULL};
    if (strcmp(o.out, "-") &&
        meta_write(o.out, f.hex, f.bytes, inputs, NULL, clock_now() - start, &e))
        cli_die(&e);
    free(s);
    free(text);
    free(ids);
    bpe_free(b);
    return cli_exit(0);
}
