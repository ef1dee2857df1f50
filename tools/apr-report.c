/* apr-report - scores, comparisons, tasks and training on one page: Markdown,
 * HTML or JSON */
#include "board.h"
#include "cli.h"
#include "outfile.h"
#include "paths.h"
#include "report.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static struct {
    const char *title, *out, *page, *format, *leaderboard, *history;
    int print;
} o = {
    .title = "Report", .out = "-", .page = "", .format = "auto", .leaderboard = "", .history = ""};

static const struct cli_opt opts[] = {
    // clang-format off
    CLI_STR('t', "title", &o.title, "TEXT", "heading of the page"),
    CLI_CHOICE(0, "format", &o.format, "auto|md|html|json", "auto: by the ending of the output, else md"),
    CLI_STR(0, "page", &o.page, "FILE", "write the HTML page here too"),
    CLI_STR(0, "leaderboard", &o.leaderboard, "DIR", "instead: all scores under DIR (runs/), ranked"),
    CLI_STR(0, "history", &o.history, "FILE", "with --leaderboard: append new results here, show all"),
    CLI_FLAG(0, "print", &o.print, "with -o: write the output to stdout too"),
    CLI_STR('o', "output", &o.out, "FILE", "write here (- is stdout)"),
    CLI_END // clang-format on
};
static const struct cli cli = {.name = "apr-report",
                               .what = "put scores, comparisons, tasks and training on one page",
                               .usage = "FILE.. [options] | --leaderboard DIR [options]",
                               .example = "apr-report --title 'Run 7' base-verdicts.basic.jsonl "
                                          "tuned-verdicts.basic.jsonl -o report.html",
                               .opts = opts,
                               .see = "passk(1), apr-compare(1), apr-card(1), schema(7)",
                               .output_version = 2};

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

/* The page of a report, or of a leaderboard. */
static char *render(const struct report *r, const struct board *b, const char *as, size_t *n,
                    struct err *e)
{
    char *text = NULL;
    const char *title = b && strcmp(o.title, "Report") == 0 ? "Leaderboard" : o.title;
    FILE *page = open_memstream(&text, n);
    int rc = 0;
    if (page && strcmp(as, "md") == 0)
        b ? board_markdown(b, title, page) : report_markdown(r, title, page);
    else if (page && strcmp(as, "html") == 0)
        rc = b ? board_html(b, title, page, e) : report_html(r, title, page, e);
    else if (page)
        rc = b ? board_json(b, page, e) : report_json(r, title, page, e);
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
    if (outfile_commit(&f, e) || (strcmp(path, "-") && meta_write(path, f.hex, f.bytes, inputs,
                                                                  NULL, clock_now() - start, e)))
        cli_die(e);
}

/* The history that is shown; "" without a leaderboard. */
static const char *history(void)
{
    static char path[PATH_MAX];
    if (!o.leaderboard[0] || o.history[0])
        return o.history;
    snprintf(path, sizeof path, "%s/history.jsonl", o.leaderboard);
    return path;
}

/* Each output would replace the other, or the history. */
static void check_outputs(void)
{
    if (paths_same(o.page, o.out))
        cli_usage("--page and --output go to different files");
    if (paths_same(history(), o.out) || paths_same(history(), o.page))
        cli_usage("%s is the history: the page goes to another file", history());
}

static void read_board(struct board *b, struct err *e)
{
    int rc = board_read(b, o.leaderboard, e), added = 0;
    if (rc == 0)
        rc = o.history[0] ? board_remember(b, o.history, &added, e)
                          : board_history(b, history(), 1, e);
    if (rc < 0)
        cli_die(e);
    for (int i = 0; i < b->n_complaint; i++)
        cli_warn("%s: left out", b->complaint[i]);
    if (cli_verbose && o.history[0])
        cli_warn("%s: %d new result%s", o.history, added, added == 1 ? "" : "s");
}

static void warn_left(const struct report *r)
{
    char words[160];
    for (int i = 0; i < r->n_left; i++)
        cli_warn("%s, run %s: %s", r->left[i].bench, r->run[r->left[i].run],
                 report_left_words(&r->left[i], words));
}

int main(int argc, char **argv)
{
    struct err e = {0};
    struct report r = {0};
    struct board b = {0}, *board;
    size_t n = 0, n_page = 0;
    cli_parse(&cli, &argc, &argv);
    board = o.leaderboard[0] ? &b : NULL;
    if (board ? argc != 0 : argc == 0)
        cli_usage(board ? "--leaderboard takes no FILE" : "expected at least one file of records");
    if (o.history[0] && !board)
        cli_usage("--history needs --leaderboard");
    check_outputs();
    const char *const *inputs = board ? NULL : (const char *const *)argv;
    double start = clock_now();
    int rc = report_init(&r, &e);
    if (!rc)
        rc = report_expect(&r, (const char *const *)argv, argc, &e);
    for (int i = 0; i < argc && !rc; i++)
        rc = report_read(&r, argv[i], &e);
    if (rc)
        cli_die(&e);
    if (board)
        read_board(board, &e);
    warn_left(&r);
    char *page = o.page[0] ? render(&r, board, "html", &n_page, &e) : NULL;
    char *text = render(&r, board, format(), &n, &e);
    if (page) /* before the output, which is what make looks at */
        write_out(o.page, page, n_page, inputs, start, &e);
    write_out(o.out, text, n, inputs, start, &e);
    if (strcmp(o.out, "-") && o.print)
        fwrite(text, 1, n, stdout); /* cli_exit sees a failure */
    free(page);
    free(text);
    int status = b.damage ? err_exit_code(b.damage) : 0;
    report_free(&r);
    board_free(&b);
    return cli_exit(status);
}
