/* recipe-check - check a recipe against the tools that will run it, and print its plan */
#include "cli.h"
#include "recipe.h"
#include <string.h>

static struct {
    const char *model, *bench, *dir;
} o;
static const struct cli_opt opts[] = {
    CLI_STR(0, "model", &o.model, "NAME", "a page of configs/models instead of the recipe's own"),
    CLI_STR(0, "bench", &o.bench, "LIST", "benchmarks instead of the recipe's own"),
    CLI_STR(0, "dir", &o.dir, "DIR", "where the artifacts would go instead of runs/RECIPE@MODEL"),
    CLI_END};
static const struct cli cli = {.name = "recipe-check",
                               .what = "check a recipe and print its plan",
                               .usage = "R.yaml|- [--model NAME] [--bench LIST]",
                               .example = "recipe-check recipes/recipe-a.yaml",
                               .opts = opts,
                               .see = "recipe2mk(1), recipe(5)",
                               .output_version = 1};

static void print_option(const struct recipe_set *s)
{
    printf("      --%-16s", s->opt->name);
    for (int i = 0; i < s->n; i++)
        printf("%s%s", i ? ", " : " ", s->v[i]);
    putchar('\n');
}

static int is_given(const struct recipe_stage *s, const struct toolopt *opt)
{
    for (int k = 0; k < s->n_set; k++)
        if (s->set[k].opt == opt)
            return 1;
    for (int k = 0; k < s->n_ref; k++)
        if (s->ref[k].opt && strcmp(s->ref[k].opt, opt->name) == 0)
            return 1;
    return strcmp(opt->name, "output") == 0;
}

static void print_defaults(const struct recipe_stage *s)
{
    int any = 0;
    for (int i = 0; i < s->tool->n_opt; i++) {
        const struct toolopt *opt = &s->tool->opt[i];
        if (opt->dflt[0] && strcmp(opt->dflt, "false") && !is_given(s, opt))
            printf("%s --%s %s", any++ ? "" : "      defaults:", opt->name, opt->dflt);
    }
    if (any)
        putchar('\n');
}

static void print_stage(const struct recipe *r, int n, const struct recipe_stage *s)
{
    printf("\n%3d %s: %s%s%s%s%s\n", n, s->name, s->tool->name, s->uses ? ", uses " : "",
           s->uses ? s->uses : "", s->doc[0] ? " - " : "", s->doc);
    if (s->var) {
        printf("      for each %s:", s->var);
        for (int i = 0; i < s->each.n; i++)
            printf(" %s", s->each.v[i]);
        putchar('\n');
    }
    for (int i = 0; i < s->n_ref; i++)
        printf("      %s%-*s %s\n", s->ref[i].opt ? "--" : "", s->ref[i].opt ? 16 : 18,
               s->ref[i].opt ? s->ref[i].opt : "in", s->ref[i].at->text);
    for (int i = 0; i < s->n_set; i++)
        print_option(&s->set[i]);
    print_defaults(s);
    for (int i = 0; i < r->n_job; i++)
        if (r->job[i].stage == s) {
            printf("      out                %s\n", r->job[i].path);
            for (int k = 0; k < s->n_out; k++)
                printf("      --%-16s %s\n", s->out[k].opt, r->job[i].side[k]);
        }
}

int main(int argc, char **argv)
{
    struct recipe r;
    struct err e = {0};
    cli_parse(&cli, &argc, &argv);
    if (argc != 1)
        cli_usage("expected one recipe, found %d", argc);
    struct recipe_ask ask = {.path = argv[0], .model = o.model, .bench = o.bench, .dir = o.dir};
    if (recipe_load(&r, &ask, &e) < 0 || recipe_jobs(&r, &e) < 0)
        cli_die(&e);
    for (int i = 0; i < r.warn.n; i++)
        cli_warn("warning: %s", r.warn.v[i]);
    if (!cli_quiet) {
        printf("%s with %s (%s) into %s: %d stages, %d commands\n", r.name, r.model.name,
               r.model.source, r.dir, r.n_stage, r.n_job);
        for (int i = 0; i < r.n_stage; i++)
            print_stage(&r, i + 1, &r.stage[r.order[i]]);
    }
    recipe_free(&r);
    return cli_exit(0);
}
