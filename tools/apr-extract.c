/* apr-extract - the code in a model's answers (sample/1 to code/1) */
#include "bench.h"
#include "cli.h"
#include "extract.h"
#include "json.h"
#include "jsonmend.h"
#include "outfile.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct {
    const char *bench, *lang, *out;
    int sanitize, as_is, stats;
} o = {.out = "-"};

static const struct cli_opt opts[] = {
    // clang-format off
    CLI_STR('b', "bench", &o.bench, "NAME", "prefer code that defines this benchmark's entry points"),
    CLI_CHOICE(0, "lang", &o.lang, "python|c|cpp|javascript", "the language that was asked for (the benchmark's, or python)"),
    CLI_FLAG(0, "sanitize", &o.sanitize, "keep imports and what the entry point needs, nothing else"),
    CLI_FLAG(0, "as-is", &o.as_is, "change nothing inside the piece of text that is chosen"),
    CLI_FLAG(0, "stats", &o.stats, "say on stderr what was found, as -v does"),
    CLI_STR('o', "output", &o.out, "FILE", "write here (- is stdout)"),
    CLI_END // clang-format on
};
static const struct cli cli = {.name = "apr-extract",
                               .what = "take the code out of a model's answers",
                               .usage = "[options] [FILE]",
                               .example =
                                   "apr-extract samples.jsonl | apr-sandbox --bench basic | passk",
                               .opts = opts,
                               .see = "apr-gen(1), apr-sandbox(1), schema(7)",
                               .output_version = 4};

static struct {
    long n, how[EXTRACT_HOWS], parses, defines, bodies, mended, joined, dropped, thoughts,
        overflows, replaced;
} count;

static void add_up(const struct extract *x, int replaced)
{
    count.n++;
    count.how[x->how]++;
    count.parses += x->parses == 1;
    count.defines += x->defines == 1;
    count.bodies += x->body;
    count.mended += x->mended != 0;
    count.joined += x->parts > 1;
    count.dropped += x->dropped > 0;
    count.thoughts += x->thought != EXTRACT_NO_THOUGHT;
    count.overflows += x->thought == EXTRACT_OVERFLOW;
    count.replaced += replaced;
}

static void summary(void)
{
    fprintf(stderr, "%s: %ld answers:", cli_name(), count.n);
    for (int i = 1; i <= EXTRACT_HOWS; i++)
        fprintf(stderr, "%s %ld %s", i > 1 ? "," : "", count.how[i % EXTRACT_HOWS],
                extract_how_name(i % EXTRACT_HOWS));
    fprintf(stderr, "\n%s: %ld parse", cli_name(), count.parses);
    if (o.bench)
        fprintf(stderr, ", %ld define the entry point", count.defines);
    fprintf(stderr, "; %ld bodies, %ld mended, %ld joined, %ld lost statements\n", count.bodies,
            count.mended, count.joined, count.dropped);
    fprintf(stderr, "%s: %ld with thinking, %ld of them without its end\n", cli_name(),
            count.thoughts, count.overflows);
    if (count.replaced)
        fprintf(stderr, "%s: %ld with NUL or lone surrogates, now U+FFFD\n", cli_name(),
                count.replaced);
}

static void write_found(struct json_out *j, const struct extract *x, enum bench_lang lang)
{
    json_kv_str(j, "how", extract_how_name(x->how));
    json_kv_str(j, "lang", bench_lang_name(lang));
    if (x->how == EXTRACT_NONE)
        return;
    json_kv_str(j, "form", x->answer ? "answer" : x->body ? "body" : "program");
    if (x->parses >= 0)
        json_kv_bool(j, "parses", x->parses);
    if (x->defines >= 0)
        json_kv_bool(j, "defines", x->defines);
    if (x->parts > 1)
        json_kv_int(j, "joined", x->parts);
    if (x->dropped)
        json_kv_int(j, "dropped", x->dropped);
    if (x->mended) {
        json_key(j, "mended");
        json_begin(j, '[');
        for (int i = 0; i < EXTRACT_MENDS; i++)
            if (x->mended >> i & 1)
                json_str(j, extract_mend_name(i));
        json_end(j, ']');
    }
    if (x->why) {
        char error[160];
        snprintf(error, sizeof error, "line %ld: %s", x->line, x->why);
        json_kv_str(j, "error", error);
    }
}

struct answer { /* what a record says */
    const char *key, *bench, *text, *thinking;
    int open; /* the thinking has no end */
    long sample, tokens;
    double logprob; /* NAN: not there */
    char buf[64];
};

/* A text, or a whole number as its digits; without one the line's number. */
static int read_key(const struct jsonl *r, struct answer *a, struct err *e)
{
    const cJSON *id = cJSON_GetObjectItemCaseSensitive(r->v, "task_id");
    double d = cJSON_IsNumber(id) ? id->valuedouble : (double)r->lineno;
    if (id && !cJSON_IsNull(id) && !cJSON_IsString(id) && !cJSON_IsNumber(id))
        return err_set(e, ERR_DATA, "\"task_id\": expected a text or a whole number");
    if (d != floor(d) || fabs(d) > 9e15)
        return err_set(e, ERR_DATA, "\"task_id\": expected a text or a whole number, found %g", d);
    snprintf(a->buf, sizeof a->buf, "%.0f", d);
    a->key = cJSON_IsString(id) ? id->valuestring : a->buf;
    return 0;
}

/* The name without what EvalPlus and the makers of MBPP append for their editions of the same tasks. */
static size_t family(const char *bench)
{
    const char *plus = strstr(bench, "plus"), *clean = strstr(bench, "-sanitized");
    return plus ? (size_t)(plus - bench) : clean ? (size_t)(clean - bench) : strlen(bench);
}

/* May answers to the tasks of `from` be judged by those of `by`? */
static int same_tasks(const char *from, const char *by)
{
    size_t n = family(from);
    return n == family(by) && !memcmp(from, by, n);
}

static int read_record(const struct jsonl *r, struct answer *a, struct err *e)
{
    const char *finish = json_get_str(r->v, "finish", "", e);
    a->text = json_get_str(r->v, "text", NULL, e);
    a->bench = json_get_str(r->v, "bench", NULL, e);
    a->thinking = json_get_str(r->v, "thinking", NULL, e);
    a->sample = json_get_int(r->v, "sample", 0, e);
    a->tokens = json_get_int(r->v, "tokens_generated", -1, e);
    a->logprob = json_get_num(r->v, "logprob_sum", NAN, e);
    if (a->sample < 0)
        err_set(e, ERR_DATA, "\"sample\": expected 0 or more, found %ld", a->sample);
    if (read_key(r, a, e) < 0 || e->code)
        return err_prefix(e, "%s:%ld", r->path, r->lineno);
    if (!a->text)
        return err_set(e, ERR_DATA, "%s:%ld: text is missing", r->path, r->lineno);
    int open = !a->text[strspn(a->text, " \t\r\n")] && strcmp(finish, "stop"); /* others' records */
    a->open = json_get_bool(r->v, "thinking_open", open, e);
    return e->code ? err_prefix(e, "%s:%ld", r->path, r->lineno) : 0;
}

/* What a task asks for. */
static struct extract_opts asked(const struct bench *b, const struct bench_task *t)
{
    struct extract_opts opt = {.sanitize = o.sanitize, .as_is = o.as_is};
    opt.lang = o.lang ? (enum bench_lang)bench_lang_parse(o.lang) : b ? b->lang : BENCH_PYTHON;
    if (!t)
        return opt;
    opt.entry = bench_entry(t);
    if (opt.entry && !*opt.entry) /* the benchmark does not say */
        opt.entry = NULL;
    opt.prompt = b->mbpp ? NULL : t->prompt;
    opt.no_body = b->mbpp || t->judge == BENCH_IO;
    if (t->judge == BENCH_IO && !t->called) { /* all of it is the program */
        opt.reads = 1;
        opt.sanitize = 0;
    }
    opt.asked = t->judge == BENCH_OUTPUT  ? EXTRACT_VALUE
                : t->judge == BENCH_INPUT ? EXTRACT_CALL
                                          : EXTRACT_CODE;
    return opt;
}

/* LiveCodeBench asks for a method of Solution; a function of that name is as good. */
static int find(struct extract *x, const struct answer *a, const struct bench *b,
                const struct bench_task *t, enum bench_lang *lang, struct err *e)
{
    struct extract_opts opt = asked(b, t);
    struct extract method;
    size_t n = strlen(a->text);
    *lang = opt.lang;
    if (extract_find(x, a->text, n, a->thinking, a->open, &opt, e) < 0)
        return e->code;
    if (!t || t->judge != BENCH_IO || !t->called || x->defines == 1)
        return 0;
    opt.entry = "Solution";
    opt.method = bench_entry(t);
    if (extract_find(&method, a->text, n, a->thinking, a->open, &opt, e) < 0) {
        free(x->code);
        return e->code;
    }
    free(method.defines == 1 ? x->code : method.code);
    if (method.defines == 1)
        *x = method;
    return 0;
}

static void write_record(struct json_out *j, const struct answer *a, const struct extract *x,
                         const char *bench, enum bench_lang lang)
{
    json_begin(j, '{');
    json_kv_str(j, "schema", "code/1");
    json_kv_str(j, "task_id", a->key);
    json_kv_int(j, "sample", a->sample);
    if (bench)
        json_kv_str(j, "bench", bench);
    json_kv_str(j, "code", x->code);
    write_found(j, x, lang);
    json_kv_int(j, "fences", x->fences);
    json_kv_int(j, "candidates", x->candidates);
    if (x->thought)
        json_kv_str(j, "thinking", x->thought == EXTRACT_OVERFLOW ? "overflow" : "closed");
    if (a->tokens >= 0)
        json_kv_int(j, "tokens_generated", a->tokens);
    if (!isnan(a->logprob)) {
        json_key(j, "logprob_sum");
        json_f32(j, (float)a->logprob);
    }
    json_end(j, '}');
}

/* One sample/1 record, or {"task_id","text"}, as a code/1 line. */
static int convert(const struct jsonl *r, const struct bench *b, int replaced, struct json_out *j,
                   struct err *e)
{
    struct answer a;
    struct extract x;
    enum bench_lang lang;
    const struct bench_task *t = NULL;
    if (read_record(r, &a, e) < 0)
        return e->code;
    if (b && a.bench && !same_tasks(a.bench, b->name))
        return err_set(e, ERR_DATA, "%s:%ld: the answer is to the benchmark %.200s, not %s",
                       r->path, r->lineno, a.bench, b->name);
    if (b && !(t = bench_find(b, a.key)))
        return err_set(e, ERR_DATA, "%s:%ld: task_id %.200s is not in the benchmark %s", r->path,
                       r->lineno, a.key, b->name);
    if (find(&x, &a, b, t, &lang, e) < 0)
        return err_prefix(e, "%s:%ld", r->path, r->lineno);
    add_up(&x, replaced);
    write_record(j, &a, &x, b ? b->name : a.bench, lang);
    free(x.code);
    return j->failed ? err_set(e, ERR_NOMEM, "%s:%ld: out of memory", r->path, r->lineno) : 0;
}

/* The next record; *replaced if it held NUL or lone surrogates, which are U+FFFD now. */
static int next_record(struct jsonl *r, int *replaced, struct err *e)
{
    long before = r->lineno;
    int rc = jsonl_next(r, e);
    struct err again = {0};
    char where[400];
    cJSON *v;
    *replaced = 0;
    if (r->lineno == before || json_mend(r->line, r->len) == 0)
        return rc;
    snprintf(where, sizeof where, "%s:%ld", r->path, r->lineno);
    v = json_parse(r->line, r->len, where, &again);
    if (!v || !cJSON_IsObject(v)) {
        cJSON_Delete(v);
        return rc;
    }
    cJSON_Delete(r->v);
    r->v = v;
    *replaced = 1;
    memset(e, 0, sizeof *e);
    return 1;
}

/* Write all there is; a line that is damaged is told, and counted in *bad. */
static int run(struct jsonl *r, const struct bench *b, struct outfile *f, long *bad, struct err *e)
{
    struct json_out j = {0};
    int rc, replaced;
    while ((rc = next_record(r, &replaced, e)) != 0) {
        if (rc > 0 && jsonl_schema(r, "sample/1", 1, e) == 0 &&
            convert(r, b, replaced, &j, e) == 0 && outfile_write(f, j.buf, j.len, e) == 0)
            outfile_write(f, "\n", 1, e);
        json_reset(&j);
        if (e->code && e->code != ERR_DATA)
            break;
        if (e->code) {
            cli_warn("%s", e->msg);
            memset(e, 0, sizeof *e);
            ++*bad;
        }
    }
    free(j.buf);
    return e->code;
}

int main(int argc, char **argv)
{
    double start = clock_now();
    struct err e = {0};
    struct bench b = {0};
    struct jsonl r;
    struct outfile f = {0};
    long bad = 0;
    cli_parse(&cli, &argc, &argv);
    if (argc > 1)
        cli_usage("one FILE at most");
    const char *in = argc ? argv[0] : "-";
    if (o.bench && bench_load(&b, o.bench, &e) < 0)
        cli_die(&e);
    if (o.bench && o.lang && bench_lang_parse(o.lang) != (int)b.lang)
        cli_usage("--lang %s: the benchmark %s is in %s", o.lang, b.name, bench_lang_name(b.lang));
    if (jsonl_open(&r, in, &e) < 0 || outfile_open(&f, o.out, &e) < 0)
        cli_die(&e);
    if (run(&r, o.bench ? &b : NULL, &f, &bad, &e) < 0 ||
        (!(bad && !count.n) && outfile_commit(&f, &e) < 0)) {
        outfile_abort(&f);
        cli_die(&e);
    }
    if (bad && !count.n) /* nothing to write, and it was said why */
        outfile_abort(&f);
    else if (strcmp(o.out, "-")) {
        const char *inputs[] = {in, NULL};
        if (meta_write(o.out, f.hex, f.bytes, strcmp(in, "-") ? inputs : inputs + 1, "cpu",
                       clock_now() - start, &e) < 0)
            cli_die(&e);
    }
    if (o.stats || cli_verbose)
        summary();
    jsonl_close(&r);
    bench_free(&b);
    return cli_exit(bad ? err_exit_code(ERR_DATA) : 0);
}
