/* apr-extract - the code in a model's answers (sample/1 to code/1) */
#include "bench.h"
#include "cli.h"
#include "extract.h"
#include "json.h"
#include "outfile.h"
#include <stdlib.h>
#include <string.h>

static struct {
    const char *bench, *out;
} o = {.out = "-"};

static const struct cli_opt opts[] = {
    // clang-format off
    CLI_STR('b', "bench", &o.bench, "NAME", "prefer code that defines this benchmark's entry points"),
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
                               .output_version = 1};

/* One sample/1 record, or {"task_id","text"}, as a code/1 line. */
static int convert(const struct jsonl *r, const struct bench *b, struct json_out *j, struct err *e)
{
    const cJSON *id = cJSON_GetObjectItemCaseSensitive(r->v, "task_id");
    const char *text = json_get_str(r->v, "text", NULL, e),
               *bench = json_get_str(r->v, "bench", NULL, e);
    long sample = json_get_int(r->v, "sample", 0, e);
    const struct bench_task *t;
    enum extract_how how;
    char buf[64], *code;
    if (e->code)
        return err_prefix(e, "%s:%ld", r->path, r->lineno);
    if (!text)
        return err_set(e, ERR_DATA, "%s:%ld: text is missing", r->path, r->lineno);
    if (cJSON_IsNumber(id))
        snprintf(buf, sizeof buf, "%.0f", id->valuedouble);
    else if (!cJSON_IsString(id))
        snprintf(buf, sizeof buf, "%ld", r->lineno);
    const char *key = cJSON_IsString(id) ? id->valuestring : buf;
    t = b ? bench_find(b, key) : NULL;
    if (b && !t)
        return err_set(e, ERR_DATA, "%s:%ld: task_id %s is not in the benchmark %s", r->path,
                       r->lineno, key, b->name);
    if (!(code = extract_code(text, strlen(text), t ? bench_entry(t) : NULL, &how)))
        return err_set(e, ERR_NOMEM, "%s:%ld: out of memory", r->path, r->lineno);
    json_begin(j, '{');
    json_kv_str(j, "schema", "code/1");
    json_kv_str(j, "task_id", key);
    json_kv_int(j, "sample", sample);
    if (bench || b)
        json_kv_str(j, "bench", b ? b->name : bench);
    json_kv_str(j, "code", code);
    json_kv_str(j, "how", extract_how_name(how));
    json_end(j, '}');
    free(code);
    return j->failed ? err_set(e, ERR_NOMEM, "%s:%ld: out of memory", r->path, r->lineno) : 0;
}

static int run(struct jsonl *r, const struct bench *b, struct outfile *f, struct err *e)
{
    struct json_out j = {0};
    int rc;
    while ((rc = jsonl_next(r, e)) > 0) {
        if ((rc = jsonl_schema(r, "sample/1", 1, e)) < 0 || (rc = convert(r, b, &j, e)) < 0 ||
            (rc = outfile_write(f, j.buf, j.len, e)) < 0 || (rc = outfile_write(f, "\n", 1, e)) < 0)
            break;
        json_reset(&j);
    }
    free(j.buf);
    return rc;
}

int main(int argc, char **argv)
{
    double start = cli_now();
    struct err e = {0};
    struct bench b = {0};
    struct jsonl r;
    struct outfile f = {0};
    cli_parse(&cli, &argc, &argv);
    if (argc > 1)
        cli_usage("one FILE at most");
    const char *in = argc ? argv[0] : "-";
    if ((o.bench && bench_load(&b, o.bench, &e) < 0) || jsonl_open(&r, in, &e) < 0 ||
        outfile_open(&f, o.out, &e) < 0)
        cli_die(&e);
    if (run(&r, o.bench ? &b : NULL, &f, &e) < 0 || outfile_commit(&f, &e) < 0) {
        outfile_abort(&f);
        cli_die(&e);
    }
    if (strcmp(o.out, "-")) {
        const char *inputs[] = {in, NULL};
        if (meta_write(o.out, f.hex, f.bytes, strcmp(in, "-") ? inputs : inputs + 1, "cpu",
                       cli_now() - start, &e) < 0)
            cli_die(&e);
    }
    jsonl_close(&r);
    bench_free(&b);
    return cli_exit(0);
}
