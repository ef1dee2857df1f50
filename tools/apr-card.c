/* apr-card - write a model card from a run's sidecars and scores */
#include "card.h"
#include "cli.h"
#include "outfile.h"
#include <stdlib.h>
#include <string.h>

static struct {
    const char *out, *name, *run, *base, *license, *recipe, *decontam;
    struct cli_list language, tag;
} o = {.out = "-"};

static const struct cli_opt opts[] = {
    // clang-format off
    CLI_STR(0, "name", &o.name, "NAME", "name of the model (MODEL-RECIPE of the folder)"),
    CLI_STR(0, "run", &o.run, "NAME", "the run whose scores are this model's (that of the weights made last)"),
    CLI_STR(0, "base", &o.base, "OWNER/NAME", "base model on the Hub (that of the model's page in configs)"),
    CLI_STR(0, "license", &o.license, "ID", "licence of this model (that of the base)"),
    CLI_LIST(0, "language", &o.language, "CODE", "language, may be repeated (code)"),
    CLI_LIST(0, "tag", &o.tag, "TAG", "a further tag, may be repeated"),
    CLI_STR(0, "recipe", &o.recipe, "FILE", "recipe to quote (that of the folder's name)"),
    CLI_STR(0, "decontam", &o.decontam, "FILE", "receipt that the data was freed of the benchmarks' problems"),
    CLI_STR('o', "output", &o.out, "FILE", "write here (- is stdout)"),
    CLI_END // clang-format on
};
static const struct cli cli = {.name = "apr-card",
                               .what = "write a model card from a run's sidecars and scores",
                               .usage = "RUN_DIR | FILE.. [options]",
                               .example = "apr-card runs/recipe-a@tiny-coder-29m -o README.md",
                               .opts = opts,
                               .see = "apr-report(1), schema(7)",
                               .output_version = 2};

int main(int argc, char **argv)
{
    struct err e = {0};
    struct card c;
    struct outfile f = {0};
    char *text = NULL;
    size_t n = 0;
    cli_parse(&cli, &argc, &argv);
    if (argc == 0)
        cli_usage("expected the folder of a run, or files of records");
    double start = clock_now();
    struct card_ask ask = {.path = (const char *const *)argv,
                           .n_path = argc,
                           .name = o.name,
                           .run = o.run,
                           .base = o.base,
                           .license = o.license,
                           .recipe = o.recipe,
                           .decontam = o.decontam,
                           .language = o.language.v,
                           .n_language = o.language.n,
                           .tag = o.tag.v,
                           .n_tag = o.tag.n};
    FILE *page = open_memstream(&text, &n);
    int rc = page ? card_read(&c, &ask, &e) : err_set(&e, ERR_NOMEM, "out of memory");
    if (rc == 0)
        rc = card_write(&c, page, &e);
    if (rc < 0)
        cli_die(&e);
    if (ferror(page) || fclose(page))
        cli_die(&(struct err){ERR_NOMEM, "out of memory for the card"});
    if (outfile_open(&f, o.out, &e) || outfile_write(&f, text, n, &e)) {
        outfile_abort(&f);
        cli_die(&e);
    }
    if (outfile_commit(&f, &e) ||
        (strcmp(o.out, "-") && meta_write(o.out, f.hex, f.bytes, (const char *const *)argv, NULL,
                                          clock_now() - start, &e)))
        cli_die(&e);
    free(text);
    card_free(&c);
    return cli_exit(0);
}
