/* apr-report - scores, comparisons and training metrics on one Markdown page */
#include "cli.h"
#include "outfile.h"
#include "report.h"
#include <stdlib.h>
#include <string.h>

static struct {
    const char *title, *out;
    int print;
} o = {.title = "Report", .out = "-"};

static const struct cli_opt opts[] = {
    // clang-format off
    CLI_STR('t', "title", &o.title, "TEXT", "heading of the page"),
    CLI_FLAG(0, "print", &o.print, "with -o: write the page to stdout too"),
    CLI_STR('o', "output", &o.out, "FILE", "write here (- is stdout)"),
    CLI_END // clang-format on
};
static const struct cli cli = {
    .name = "apr-report",
    .what = "put scores, comparisons and training metrics on one Markdown page",
    .usage = "FILE.. [options]",
    .example = "apr-report --title 'Run 7' base-score.basic.jsonl compare.basic.jsonl -o report.md",
    .opts = opts,
    .see = "passk(1), apr-compare(1), schema(7)",
    .output_version = 1};

int main(int argc, char **argv)
{
    struct err e = {0};
    struct report r;
    struct outfile f = {0};
    char *text = NULL;
    size_t n = 0;
    cli_parse(&cli, &argc, &argv);
    if (argc == 0)
        cli_usage("expected at least one file of records");
    double start = cli_now();
    int rc = report_init(&r, &e);
    for (int i = 0; i < argc && !rc; i++)
        rc = report_read(&r, argv[i], &e);
    if (rc)
        cli_die(&e);
    FILE *page = open_memstream(&text, &n);
    if (page)
        report_markdown(&r, o.title, page);
    if (!page || ferror(page) || fclose(page)) {
        err_set(&e, ERR_NOMEM, "out of memory for the page");
        cli_die(&e);
    }
    if (outfile_open(&f, o.out, &e) || outfile_write(&f, text, n, &e)) {
        outfile_abort(&f);
        cli_die(&e);
    }
    if (outfile_commit(&f, &e))
        cli_die(&e);
    if (strcmp(o.out, "-")) {
        if (meta_write(o.out, f.hex, f.bytes, (const char *const *)argv, NULL, cli_now() - start,
                       &e))
            cli_die(&e);
        if (o.print)
            fwrite(text, 1, n, stdout); /* cli_exit sees a failure */
    }
    free(text);
    report_free(&r);
    return cli_exit(0);
}
