/* recipe2mk - compile a recipe to Make rules and one file of arguments a stage */
#include "cli.h"
#include "outfile.h"
#include "recipe.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct {
    const char *model, *bench;
    int strict;
} o;
static const struct cli_opt opts[] = {
    CLI_STR(0, "model", &o.model, "NAME", "a page of configs/models instead of the recipe's own"),
    CLI_STR(0, "bench", &o.bench, "LIST", "benchmarks instead of the recipe's own"),
    CLI_FLAG(0, "strict", &o.strict, "a rebuilt tool re-runs its stages (its sha256 counts)"),
    CLI_END};
static const struct cli cli = {.name = "recipe2mk",
                               .what = "compile a recipe to Make rules",
                               .usage = "R.yaml DIR [--model NAME] [--bench LIST] [--strict]",
                               .example =
                                   "recipe2mk recipes/recipe-a.yaml runs/recipe-a@tiny-coder-29m",
                               .opts = opts,
                               .see = "recipe-check(1), recipe(5), make(1)",
                               .output_version = 1};

static void make_dir(const char *path)
{
    char *p = cli_strdup(path);
    struct err e = {0};
    for (char *s = p + 1;; s++)
        if (*s == '/' || !*s) {
            char was = *s;
            *s = 0;
            if (mkdir(p, 0777) && errno != EEXIST) {
                err_errno(&e, ERR_CANTCREAT, "%s", p);
                cli_die(&e);
            }
            if (!(*s = was))
                break;
        }
    free(p);
}

/* Write text to path unless it says so already: an equal file keeps its time, so nothing re-runs.
 */
static void write_new(const char *path, const char *text, size_t n)
{
    struct outfile out;
    struct err e = {0};
    FILE *f = fopen(path, "rb");
    char *old = f ? cli_malloc(n + 1) : NULL;
    int same = f && fread(old, 1, n + 1, f) == n && memcmp(old, text, n) == 0;
    if (f)
        fclose(f);
    free(old);
    if (same)
        return;
    if (outfile_open(&out, path, &e) < 0)
        cli_die(&e);
    if (outfile_write(&out, text, n, &e) < 0 || outfile_commit(&out, &e) < 0) {
        outfile_abort(&out);
        cli_die(&e);
    }
}

/* $ is Make's own; the rest of a command is already quoted for the shell. */
static void put_command(FILE *f, const char *s)
{
    for (; *s; s++) {
        if (*s == '$')
            putc('$', f);
        putc(*s, f);
    }
}

/* A stage's doc, for the plan: inside a call, so without Make's own characters; $(,) is a comma. */
static void put_doc(FILE *f, const char *s)
{
    for (; *s; s++)
        if (*s == ',')
            fputs("$(,)", f);
        else
            putc(strchr("$()#\\", *s) ? ' ' : *s, f);
}

static void put_deps(FILE *f, const struct recipe *r, const struct recipe_job *j)
{
    fprintf(f, " %s/%s.args", r->dir, j->name);
    for (int k = 0; k < j->deps.n; k++)
        fprintf(f, " \\\n    %s", j->deps.v[k]);
}

static void put_rule(FILE *f, const struct recipe *r, int i)
{
    const struct recipe_job *j = &r->job[i];
    int sides = j->stage ? j->stage->n_out : 0;
    putc('\n', f);
    if (sides) { /* under -n GNU Make 4.3 forgets that grouped targets were remade */
        fputs("_deps :=", f);
        put_deps(f, r, j);
        fputs("\nifneq ($(plan_only),)\n", f);
        for (int k = 0; k < sides; k++)
            fprintf(f, "%s: | %s ;\n", j->side[k], j->target);
        fprintf(f, "%s: $(_deps)\nelse\n%s", j->target, j->target);
        for (int k = 0; k < sides; k++)
            fprintf(f, " %s", j->side[k]);
        fputs(" &: $(_deps)\nendif", f);
    } else {
        fprintf(f, "%s:", j->target);
        put_deps(f, r, j);
    }
    fprintf(f, "\n\t$(call stage,%s,%d/%d,%s,%s,%s,", j->name, i + 1, r->n_job,
            j->stage && j->stage->uses ? j->stage->uses : "", j->to ? j->to : "",
            j->stage && j->stage->show ? "show" : "");
    put_doc(f, j->stage ? j->stage->doc : "the model from where it is published");
    putc(')', f);
    put_command(f, j->command);
    fprintf(f, "%s%s%s\n", j->to ? "$(call to," : "", j->to ? j->to : "", j->to ? ")" : "");
}

static void put_rules(FILE *f, const struct recipe *r)
{
    fprintf(f, "# %s with %s - generated from %s by recipe2mk; do not edit\n", r->name,
            r->model.name, r->doc.path);
    fprintf(f,
            "# mk/recipe.mk defines stage (name, number, device, stdout, show, doc); the command "
            "follows it\nrecipe_targets :=");
    for (int i = 0; i < r->n_job; i++)
        fprintf(f, " \\\n    %s", r->job[i].target);
    putc('\n', f);
    for (int i = 0; i < r->n_job; i++)
        put_rule(f, r, i);
}

int main(int argc, char **argv)
{
    struct recipe r;
    struct err e = {0};
    char path[PATH_MAX], *text = NULL;
    size_t n = 0;
    cli_parse(&cli, &argc, &argv);
    if (argc != 2)
        cli_usage("expected a recipe and a folder, found %d operands", argc);
    struct recipe_ask ask = {.path = argv[0],
                             .dir = argv[1],
                             .model = o.model,
                             .bench = o.bench,
                             .digest = 1,
                             .strict = o.strict};
    if (recipe_load(&r, &ask, &e) < 0 || recipe_jobs(&r, &e) < 0)
        cli_die(&e);
    for (int i = 0; i < r.warn.n; i++)
        cli_warn("warning: %s", r.warn.v[i]);
    make_dir(r.dir);
    for (int i = 0; i < r.n_job; i++) {
        snprintf(path, sizeof path, "%s/%s.args", r.dir, r.job[i].name);
        write_new(path, r.job[i].args, strlen(r.job[i].args));
    }
    snprintf(path, sizeof path, "%s/inputs.sum", r.dir);
    if (sums_save(&r.sums, path, &e) < 0)
        cli_die(&e);
    FILE *f = open_memstream(&text, &n);
    if (!f)
        cli_die(&(struct err){ERR_NOMEM, "out of memory"});
    put_rules(f, &r);
    if (fclose(f))
        cli_die(&(struct err){ERR_NOMEM, "out of memory"});
    snprintf(path, sizeof path, "%s/recipe.mk", r.dir);
    write_new(path, text, n);
    free(text);
    recipe_free(&r);
    return cli_exit(0);
}
