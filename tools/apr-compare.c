/* apr-compare - runs of one benchmark, task by task: is the difference real */
#include "cli.h"
#include "compare.h"
#include "json.h"
#include "textout.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_FILE = 64 };
static struct {
    const char *out;
    struct cli_list bench;
    double ci;
    long boot, seed;
    int all_pairs, json, partial;
} o = {.out = "-", .ci = 0.95, .boot = 10000};

static const struct cli_opt opts[] = {
    // clang-format off
    CLI_FLAG(0, "all-pairs", &o.all_pairs, "every pair, not each against the first"),
    CLI_LIST('b', "bench", &o.bench, "NAME", "take only tasks of this benchmark"),
    CLI_FLAG(0, "partial", &o.partial, "compare the tasks that both files have"),
    CLI_FLOAT(0, "ci", &o.ci, "LEVEL", "level of the intervals", 0.5, 0.9999),
    CLI_INT(0, "boot", &o.boot, "N", "bootstrap resamples of tasks, and sign flips", 100, 1000000),
    CLI_INT(0, "seed", &o.seed, "N", "seed of both", 0, 1L << 53),
    CLI_FLAG(0, "json", &o.json, "write compare/1 records"),
    CLI_STR('o', "output", &o.out, "FILE", "write here (- is stdout)"),
    CLI_END // clang-format on
};
static const struct cli cli = {.name = "apr-compare",
                               .what = "compare files of verdicts, task by task",
                               .usage = "A.jsonl B.jsonl.. [options]",
                               .example = "apr-compare base.jsonl tuned.jsonl",
                               .opts = opts,
                               .see = "passk(1), apr-oracle(1), apr-report(1), schema(7)",
                               .output_version = 3};

/* Each benchmark of a, in b too: into c[0..]; returns their number or a negative error. */
static int compare_files(struct comparison *c, const struct score_book *a, const char *name_a,
                         const struct score_book *b, const char *name_b, struct err *e)
{
    if (a->n_set != b->n_set)
        return err_set(e, ERR_DATA, "%s has %d benchmarks, %s has %d", name_a, a->n_set, name_b,
                       b->n_set);
    for (int i = 0; i < a->n_set; i++) {
        const struct score_set *set = score_set(b, a->set[i].bench);
        if (!set)
            return err_set(e, ERR_DATA, "%s: no verdicts of benchmark %s, which %s has", name_b,
                           a->set[i].bench, name_a);
        if (compare_pair(&c[i], &a->set[i], set, o.partial, e) ||
            compare_test(&c[i], o.ci, o.boot, (uint64_t)o.seed, e))
            return err_prefix(e, "%s, %s", name_a, name_b);
        c[i].choice_a = a->set[i].choice;
        c[i].choice_b = score_set(b, a->set[i].bench)->choice;
        c[i].name_a = name_a;
        c[i].name_b = name_b;
        if (c[i].n_harness)
            cli_warn("%s: %d task%s left out: harness errors", c[i].bench, c[i].n_harness,
                     c[i].n_harness == 1 ? "" : "s");
        if (c[i].n_lone)
            cli_warn("%s: %d task%s in one file only", c[i].bench, c[i].n_lone,
                     c[i].n_lone == 1 ? "" : "s");
    }
    return a->n_set;
}

static int report(const struct score_book *book, char **name, int n_file, FILE *out, struct err *e)
{
    int n = 0, rc = 0, pairs = o.all_pairs ? n_file * (n_file - 1) / 2 : n_file - 1,
        room = pairs * book[0].n_set;
    struct comparison *c = cli_malloc((size_t)room * sizeof *c);
    struct json_out j = {0};
    for (int i = 0; i < (o.all_pairs ? n_file : 1); i++)
        for (int k = i + 1; k < n_file && rc >= 0; k++)
            if ((rc = compare_files(&c[n], &book[i], name[i], &book[k], name[k], e)) > 0)
                n += rc;
    if (rc >= 0)
        rc = compare_holm(c, n, e);
    for (int i = 0; i < n && rc >= 0; i++) {
        if (o.json) {
            compare_json(&j, &c[i], n);
            rc = json_line(&j, out, e);
        } else {
            compare_text(out, &c[i], n);
        }
    }
    for (int i = 0; i < room; i++)
        compare_free(&c[i]);
    free(j.buf);
    free(c);
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
    else if (report(book, argv, argc, out, &e) >= 0 && fclose(out))
        err_set(&e, ERR_NOMEM, "out of memory");
    if (e.code || textout_write(o.out, text, n, (const char *const *)argv, clock_now() - start, &e))
        cli_die(&e);
    free(text);
    for (int i = 0; i < argc; i++)
        score_free(&book[i]);
    return cli_exit(0);
}
