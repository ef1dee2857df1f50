/* apr-report - scores, comparisons, tasks and training on one page: Markdown, HTML or JSON */
#include "cli.h"
#include "outfile.h"
#include "report.h"
#include <stdlib.h>
#include <string.h>

static struct {
    const char *title, *out, *page, *format;
    int print;
} o = {.title = "Report", .out = "-", .page = "", .format = "auto"};

static const struct cli_opt opts[] = {
    // clang-format off
    CLI_STR('t', "title", &o.title, "TEXT", "heading of the page"),
    CLI_CHOICE(0, "format", &o.format, "auto|md|html|json", "auto: by the ending of the output, else md"),
    CLI_STR(0, "page", &o.page, "FILE", "write the HTML page here too"),
    CLI_FLAG(0, "print", &o.print, "with -o: write the output to stdout too"),
    CLI_STR('o', "output", &o.out, "FILE", "write here (- is stdout)"),
    CLI_END // clang-format on
};
static const struct cli cli = {.name = "apr-report",
                               .what = "put scores, comparisons, tasks and training on one page",
                               .usage = "FILE.. [options]",
                               .example = "apr-report --title 'Run 7' base-verdicts.basic.jsonl "
                                          "tuned-verdicts.basic.jsonl -o report.html",
                               .opts = opts,
                               .see = "passk(1), apr-compare(1), schema(7)",
                               .output_version = 1};

static int ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);
    return n >= k && strcmp(s + n - k, end) == 0;
}

/* "md", "html" or "json" */
static const char *format(void)
{
    if (strcmp(o.format, "auto"))
        return o.format;
    return ends_with(o.out, ".html") || ends_with(o.out, ".htm") ? "html"
           : ends_with(o.out, ".json")                           ? "json"
                                                                 : "md";
}

static char *render(const struct report *r, const char *as, size_t *n, struct err *e)
{
    char *text = NULL;
    FILE *page = open_memstream(&text, n);
    int rc = 0;
    if (page && strcmp(as, "md") == 0)
        report_markdown(r, o.title, page);
    else if (page && strcmp(as, "html") == 0)
        rc = report_html(r, o.title, page, e);
    else if (page)
        rc = report_json(r, o.title, page, e);
    if (!page || ferror(page) || fclose(page))
        rc = err_set(e, ERR_NOMEM, "out of memory for the page");
    if (rc < 0)
        cli_die(e);
    return text;
}

static void write_out(const char *path, const char *text, size_t n, const char *const *inputs,
                      double start, struct err *e)
{
    struct outfile f = {0};
    if (outfile_open(&f, path, e) || outfile_write(&f, text, n, e)) {
        outfile_abort(&f);
        cli_die(e);
    }
    if (outfile_commit(&f, e) ||
        (strcmp(path, "-") && meta_write(path, f.hex, f.bytes, inputs, NULL, cli_now() - start, e)))
        cli_die(e);
}

int main(int argc, char **argv)
{
    struct err e = {0};
    struct report r = {0};
    size_t n = 0, n_page = 0;
    cli_parse(&cli, &argc, &argv);
    if (argc == 0)
        cli_usage("expected at least one file of records");
    const char *const *inputs = (const char *const *)argv;
    double start = cli_now();
    int rc = report_init(&r, &e);
    for (int i = 0; i < argc && !rc; i++)
        rc = report_read(&r, argv[i], &e);
    if (rc)
        cli_die(&e);
    char *page = o.page[0] ? render(&r, "html", &n_page, &e) : NULL;
    char *text = render(&r, format(), &n, &e);
    if (page) /* before the output, which is what make looks at */
        write_out(o.page, page, n_page, inputs, start, &e);
    write_out(o.out, text, n, inputs, start, &e);
    if (strcmp(o.out, "-") && o.print)
        fwrite(text, 1, n, stdout); /* cli_exit sees a failure */
    free(page);
    free(text);
    report_free(&r);
    return cli_exit(0);
}
