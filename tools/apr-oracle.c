/* apr-oracle - several runs of one benchmark together: what any of them solves, and how they fail */
#include "cli.h"
#include "json.h"
#include "oracle.h"
#include "textout.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_FILE = 64 };
static struct {
    const char *out;
    struct cli_list bench;
    double ci;
    int failures, json, partial;
} o = {.out = "-", .ci = 0.95};

static const struct cli_opt opts[] = {
    // clang-format off
    CLI_LIST('b', "bench", &o.bench, "NAME", "take only tasks of this benchmark"),
    CLI_FLAG(0, "failures", &o.failures, "group the tasks that fail by their most frequent verdict"),
    CLI_FLAG(0, "partial", &o.partial, "take the tasks that every file has"),
    CLI_FLOAT(0, "ci", &o.ci, "LEVEL", "level of the interval", 0.5, 0.9999),
    CLI_FLAG(0, "json", &o.json, "write oracle/1 records"),
    CLI_STR('o', "output", &o.out, "FILE", "write here (- is stdout)"),
    CLI_END // clang-format on
};
static const struct cli cli = {.name = "apr-oracle",
                               .what = "what any of several runs solves, and how they fail",
                               .usage = "A.jsonl B.jsonl.. [options]",
                               .example = "apr-oracle standard.jsonl few-shot.jsonl --failures",
                               .opts = opts,
                               .see = "passk(1), apr-compare(1), apr-report(1), schema(7)",
                               .output_version = 2};

/* One benchmark over all files. */
static int join(const struct score_book *book, char **name, int n_file, const char *bench,
                FILE *out, struct err *e)
{
    const struct score_set *set[MAX_FILE];
    struct oracle r = {0};
    struct json_out j = {0};
    int rc = 0;
    for (int i = 0; i < n_file; i++)
        if (!(set[i] = score_set(&book[i], bench)))
            return err_set(e, ERR_DATA, "%s: no verdicts of benchmark %s, which %s has", name[i],
                           bench, name[0]);
    if ((rc = oracle_join(&r, set, (const char *const *)name, n_file, o.partial, o.ci, e)) == 0) {
        if (r.n_harness)
            cli_warn("%s: %d task%s left out: harness errors", bench, r.n_harness,
                     r.n_harness == 1 ? "" : "s");
        if (r.n_lone)
            cli_warn("%s: %d task%s not in every file", bench, r.n_lone, r.n_lone == 1 ? "" : "s");
        if (o.json) {
            oracle_json(&j, &r, o.failures);
            rc = json_line(&j, out, e);
        } else {
            oracle_text(out, &r, o.failures);
        }
    }
    free(j.buf);
    oracle_free(&r);
    return rc;
}

static int report(const struct score_book *book, char **name, int n_file, FILE *out, struct err *e)
{
    int rc = 0;
    for (int i = 1; i < n_file; i++)
        if (book[i].n_set != book[0].n_set)
            return err_set(e, ERR_DATA, "%s has %d benchmarks, %s has %d", name[0], book[0].n_set,
                           name[i], book[i].n_set);
    for (int i = 0; i < book[0].n_set && !rc; i++)
        rc = join(book, name, n_file, book[0].set[i].bench, out, e);
    return rc;
}

int main(int argc, char **argv)
{
    struct err e = {0};
    struct score_book book[MAX_FILE] = {{NULL, 0}};
    char *text = NULL;
    size_t n = 0;
    cli_parse(&cli, &argc, &argv);
    if (argc < 2)
        cli_usage("expected two or more files of verdicts, found %d", argc);
    if (argc > MAX_FILE)
        cli_usage("at most %d files", MAX_FILE);
    double start = clock_now();
    if (score_read_files(book, argv, argc, o.bench.v, o.bench.n, &e))
        cli_die(&e);
    FILE *out = open_memstream(&text, &n);
    if (!out)
        err_set(&e, ERR_NOMEM, "out of memory");
    else if (!report(book, argv, argc, out, &e) && fclose(out))
        err_set(&e, ERR_NOMEM, "out of memory");
    if (e.code || textout_write(o.out, text, n, (const char *const *)argv, clock_now() - start, &e))
        cli_die(&e);
    free(text);
    for (int i = 0; i < argc; i++)
        score_free(&book[i]);
    return cli_exit(0);
}
