/* recipe_jobs - foreach stages repeated, paths, command lines, canonical arguments */
#include "catalog.h"
#include "hash.h"
#include "json.h"
#include "paths.h"
#include "recipe.h"
#include "recipe_impl.h"
#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Options that change how long a stage takes, never what it writes: another value re-runs nothing.
 */
static const char *const no_effect[] = {"threads", "jobs", "alert", NULL};
/* Options whose value names a page of configs/, with the key there that names a catalog entry. */
static const struct {
    const char *opt, *page, *data;
} pages[] = {{"bench", "configs/bench/%s.yaml", "data"},
             {"eval-bench", "configs/bench/%s.yaml", "data"},
             {"strategy", "configs/prompts/%s.yaml", NULL}};

/* $var becomes the value; the loader has checked that no other variable is there. */
static const char *fill(struct recipe *r, const struct recipe_job *j, const char *text)
{
    const size_t len = j->value ? strlen(j->value) : 0;
    size_t k, n = strlen(text) + 1;
    const char *p = text;
    char *out, *w;
    if (!j->value || !recipe_var(text, &k))
        return text;
    for (; (p = recipe_var(p, &k)); p += k)
        n += len;
    if (!(out = w = recipe_bytes(r, n)))
        return "";
    while ((p = recipe_var(text, &k))) {
        memcpy(w, text, (size_t)(p - text));
        w += p - text;
        memcpy(w, j->value, len);
        w += len;
        text = p + k;
    }
    memcpy(w, text, strlen(text) + 1);
    return out;
}

/* Absolute paths under the current directory are shown relative to it. */
static const char *shorten(struct recipe *r, const char *path)
{
    char cwd[PATH_MAX];
    size_t n = getcwd(cwd, sizeof cwd) ? strlen(cwd) : 0;
    return recipe_keep(r, "%s",
                       n > 1 && strncmp(path, cwd, n) == 0 && path[n] == '/' ? path + n + 1 : path);
}

static int digest(struct recipe *r, const char *path, const char **hex, struct err *e)
{
    char h[65];
    int rc;
    *hex = "";
    if (!r->ask.digest)
        return 0;
    if ((rc = sums_digest(&r->sums, path, h, e)) < 0)
        return rc;
    *hex = recipe_keep(r, "%s", h);
    return 0;
}

/* A catalog entry: its path, and its digest checked against the catalog. */
static int from_catalog(struct recipe *r, const char *name, const char **path, const char **hex,
                        struct err *e)
{
    struct catalog_entry *c = malloc(sizeof *c);
    int rc = c ? catalog_find(c, name, e) : err_set(e, ERR_NOMEM, "out of memory");
    *hex = "";
    if (rc == 0) {
        *path = shorten(r, c->path);
        if (access(*path, R_OK))
            rc = err_set(e, ERR_NOINPUT, "%s: catalog entry %s is not there%s%s", *path, name,
                         c->url[0] ? "; it comes from " : "", c->url);
        else if ((rc = digest(r, *path, hex, e)) == 0 && (*hex)[0] && strcmp(*hex, c->sha256))
            rc = err_set(e, ERR_DATA, "%s: sha256 is %s, data/catalog.yaml says %s", *path, *hex,
                         c->sha256);
    }
    free(c);
    return rc;
}

static int from_file(struct recipe *r, const char *text, const char **path, const char **hex,
                     struct err *e)
{
    char found[PATH_MAX];
    int rc = paths_find(text, found, sizeof found, e);
    *path = text;
    *hex = "";
    if (rc < 0)
        return rc;
    *path = shorten(r, found);
    return digest(r, *path, hex, e);
}

static int find_model(struct recipe *r, struct err *e)
{
    struct recipe_model *m = &r->model;
    int rc;
    m->sha256 = "";
    if (m->fetched) {
        m->path = recipe_keep(r, "%s/model", r->dir);
        return 0;
    }
    rc = strncmp(m->source, "catalog:", 8) == 0
             ? from_catalog(r, m->source + 8, &m->path, &m->sha256, e)
             : from_file(r, m->source, &m->path, &m->sha256, e);
    return rc < 0 ? err_prefix(e, "%s", m->config) : 0;
}

/* ---- which jobs feed a job ---- */

/* Of the jobs of a stage that another names. */
static int feeds(const struct recipe_job *from, const struct recipe_job *to)
{
    return !to->value || !from->value || strcmp(to->stage->var, from->stage->var) ||
           strcmp(to->value, from->value) == 0;
}

/* ---- command lines ---- */

static const char *quoted(struct recipe *r, const char *s)
{
    const char *p = s;
    char *out, *w;
    size_t n = 3;
    while (*p && (isalnum((unsigned char)*p) || strchr("-_./+,@:=%", *p)))
        p++;
    if (*s && !*p)
        return s;
    for (p = s; *p; p++)
        n += *p == '\'' ? 4 : 1;
    if (!(out = w = malloc(n)))
        return r->nomem = 1, "";
    *w++ = '\'';
    for (p = s; *p; p++) {
        if (*p == '\'') {
            memcpy(w, "'\\''", 4);
            w += 4;
        } else {
            *w++ = *p;
        }
    }
    *w++ = '\'';
    *w = 0;
    s = recipe_keep(r, "%s", out);
    free(out);
    return s;
}

static void add_option(struct recipe *r, struct recipe_list *words, const char *opt,
                       const char *value)
{
    const char *between = value[0] == '-' || !value[0] ? "=" : " ";
    recipe_push(r, words, recipe_keep(r, "--%s%s%s", opt, between, quoted(r, value)));
}

/* The tool's name, then words with a space before each. */
static const char *command(struct recipe *r, const char *tool, const struct recipe_list *operands,
                           const struct recipe_list *options)
{
    const struct recipe_list *const part[] = {operands, options};
    size_t n = strlen(tool) + 1;
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < part[k]->n; i++)
            n += 1 + strlen(part[k]->v[i]);
    char *s = recipe_bytes(r, n), *w = s;
    if (!s)
        return "";
    w = stpcpy(w, tool);
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < part[k]->n; i++) {
            *w++ = ' ';
            w = stpcpy(w, part[k]->v[i]);
        }
    return s;
}

/* ---- canonical arguments ---- */

struct files { /* outside files of a job with their digests, in the order of the recipe */
    struct recipe_list path, hex;
};

static int note_file(struct recipe *r, struct files *f, const char *path, const char *hex)
{
    return recipe_push(r, &f->path, path) < 0 || recipe_push(r, &f->hex, hex) < 0 ? ERR_NOMEM : 0;
}

/* Pages of configs/ that an option names, and the data that the page names. */
static int note_page(struct recipe *r, struct files *f, const char *opt, const char *value,
                     struct err *e)
{
    const char *path, *hex, *data, *text;
    struct yaml_doc d = {0};
    int rc = 0;
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        if (strcmp(pages[i].opt, opt) || !value[0] || strchr(value, '/'))
            continue;
        text = strcmp(opt, "strategy") ? recipe_keep(r, "configs/bench/%s.yaml", value)
                                       : recipe_keep(r, "configs/prompts/%s.yaml", value);
        if ((rc = from_file(r, text, &path, &hex, e)) < 0 || (rc = note_file(r, f, path, hex)) < 0)
            return rc;
        if (!pages[i].data)
            continue;
        if ((rc = yaml_load(&d, path, e)) < 0)
            return rc;
        data = yaml_str(&d, d.root, pages[i].data, NULL, e);
        data = data ? recipe_keep(r, "%s", data) : NULL;
        yaml_free(&d);
        if (e->code)
            return e->code;
        if (data && ((rc = from_catalog(r, data, &path, &hex, e)) < 0 ||
                     (rc = note_file(r, f, path, hex)) < 0))
            return rc;
    }
    return rc;
}

static void json_value(struct json_out *j, const char *type, const char *v)
{
    if (strcmp(type, "int") == 0 || strcmp(type, "float") == 0)
        json_num(j, strtod(v, NULL)); /* 2.0e-4 and 0.0002 are the same argument */
    else if (strcmp(type, "flag") == 0)
        json_bool(j, strcmp(v, "true") == 0);
    else
        json_str(j, v);
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct toolopt *const *)a)->name,
                  (*(const struct toolopt *const *)b)->name);
}

static int listed(const char *const *l, const char *s)
{
    while (*l && strcmp(*l, s))
        l++;
    return *l != NULL;
}

static const struct recipe_set *given(const struct recipe_stage *s, const char *name)
{
    for (int i = 0; i < s->n_set; i++)
        if (strcmp(s->set[i].opt->name, name) == 0)
            return &s->set[i];
    return NULL;
}

static int is_file(const struct recipe_stage *s, const char *name)
{
    for (int i = 0; i < s->n_ref; i++)
        if (s->ref[i].opt && strcmp(s->ref[i].opt, name) == 0)
            return 1;
    for (int i = 0; i < s->n_out; i++)
        if (strcmp(s->out[i].opt, name) == 0)
            return 1;
    return strcmp(name, "output") == 0;
}

static int write_options(struct recipe *r, const struct recipe_job *j, struct json_out *o,
                         struct files *f, struct err *e)
{
    const struct tooltab *t = j->stage->tool;
    const struct toolopt **opt = calloc((size_t)t->n_opt + 1, sizeof *opt);
    int rc = 0;
    if (!opt)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (int i = 0; i < t->n_opt; i++)
        opt[i] = &t->opt[i];
    qsort(opt, (size_t)t->n_opt, sizeof *opt, by_name);
    json_key(o, "options");
    json_begin(o, '{');
    for (int i = 0; i < t->n_opt && rc == 0; i++) {
        const struct recipe_set *s = given(j->stage, opt[i]->name);
        if (is_file(j->stage, opt[i]->name) || listed(no_effect, opt[i]->name))
            continue;
        json_key(o, opt[i]->name);
        if (strcmp(opt[i]->type, "list") == 0 || (s && s->n > 1)) {
            json_begin(o, '[');
            for (int k = 0; s && k < s->n; k++)
                json_str(o, fill(r, j, s->v[k]));
            json_end(o, ']');
        } else {
            const char *v = s ? fill(r, j, s->v[0]) : opt[i]->dflt;
            json_value(o, opt[i]->type, v);
            rc = note_page(r, f, opt[i]->name, v, e);
        }
    }
    json_end(o, '}');
    free(opt);
    return rc;
}

static void write_files(struct json_out *o, const struct files *f)
{
    json_key(o, "files");
    json_begin(o, '{');
    for (int i = 0; i < f->path.n; i++) {
        int seen = 0;
        for (int k = 0; k < i; k++)
            seen |= strcmp(f->path.v[i], f->path.v[k]) == 0;
        if (!seen)
            json_kv_str(o, f->path.v[i], f->hex.v[i]);
    }
    json_end(o, '}');
}

/* ---- one job ---- */

/* The files of one input; outside ones are noted with their digests. */
static int input_paths(struct recipe *r, struct recipe_job *j, const struct recipe_ref *ref,
                       struct files *f, struct recipe_list *out, struct err *e)
{
    const char *path, *hex;
    struct err why = {0};
    int rc = 0, k;
    switch (ref->kind) {
    case REF_MODEL:
        if (r->model.fetched)
            recipe_push(r, &j->deps, r->model.path);
        else
            note_file(r, f, r->model.path, r->model.sha256);
        recipe_push(r, out, r->model.path);
        break;
    case REF_FILE:
    case REF_CATALOG:
        rc = ref->kind == REF_FILE ? from_file(r, fill(r, j, ref->text), &path, &hex, &why)
                                   : from_catalog(r, fill(r, j, ref->text), &path, &hex, &why);
        if (rc == ERR_DATA || rc == ERR_NOMEM)
            return err_set(e, rc, "%s", why.msg);
        if (rc < 0)
            return yaml_err(&r->doc, ref->at, e, "missing input: %s", why.msg);
        note_file(r, f, path, hex);
        recipe_push(r, out, path);
        break;
    case REF_STAGE:
        for (int i = 0; i < r->stage[ref->stage].n_job && !r->nomem; i++) {
            const struct recipe_job *from = &r->job[r->stage[ref->stage].first_job + i];
            if (!feeds(from, j))
                continue;
            for (k = 0;
                 ref->side && k < from->stage->n_out && strcmp(from->stage->out[k].opt, ref->side);
                 k++)
                ;
            recipe_push(r, out, ref->side ? from->side[k] : from->path);
            if (ref->side) /* a plan sees the first target of a group alone remade */
                recipe_push(r, &j->deps, from->side[k]);
            recipe_push(r, &j->deps, from->target);
        }
        break;
    }
    return rc;
}

static int build_job(struct recipe *r, struct recipe_job *j, struct err *e)
{
    const struct recipe_stage *s = j->stage;
    struct json_out o = {0};
    struct files f = {0};
    struct err why = {0};
    struct recipe_list operands = {0}, options = {0};
    const char *hex;
    int rc = 0;
    json_begin(&o, '{');
    json_kv_str(&o, "schema", "args/1");
    json_kv_str(&o, "tool", s->tool->name);
    json_kv_int(&o, "output", s->tool->output);
    if (r->ask.strict && r->ask.digest && (rc = digest(r, s->tool->exe, &hex, e)) == 0)
        json_kv_str(&o, "sha256", hex);
    json_key(&o, "inputs");
    json_begin(&o, '[');
    for (int i = 0; i < s->n_ref && rc == 0; i++) {
        struct recipe_list l = {0};
        rc = input_paths(r, j, &s->ref[i], &f, &l, e);
        for (int k = 0; k < l.n; k++) {
            json_str(&o, s->ref[i].opt ? recipe_keep(r, "%s=%s", s->ref[i].opt, l.v[k]) : l.v[k]);
            if (s->ref[i].opt)
                add_option(r, &options, s->ref[i].opt, l.v[k]);
            else
                recipe_push(r, &operands, l.v[k]);
        }
    }
    json_end(&o, ']');
    for (int i = 0; i < s->n_out; i++)
        add_option(r, &options, s->out[i].opt, j->side[i]);
    for (int i = 0; i < s->n_set && rc == 0; i++)
        for (int k = 0; k < s->set[i].n && rc == 0; k++) {
            const char *v = fill(r, j, s->set[i].v[k]), *name = s->set[i].opt->name;
            if ((rc = toolopt_check(s->set[i].opt, v, &why)) < 0)
                yaml_err(&r->doc, s->node, e, "%s", why.msg);
            if (strcmp(s->set[i].opt->type, "flag"))
                add_option(r, &options, name, v);
            else
                recipe_push(r, &options,
                            recipe_keep(r, "--%s%s", name, strcmp(v, "true") ? "=false" : ""));
        }
    if (rc == 0 && (rc = write_options(r, j, &o, &f, &why)) < 0)
        rc = rc == ERR_NOINPUT ? yaml_err(&r->doc, s->node, e, "missing input: %s", why.msg)
                               : err_set(e, rc, "%s", why.msg);
    write_files(&o, &f);
    json_end(&o, '}');
    char *text = json_take(&o, NULL);
    j->args = recipe_keep(r, "%s\n", text ? text : "");
    r->nomem |= !text;
    free(text);
    if (!j->to)
        recipe_push(r, &options, recipe_keep(r, "-o %s", j->path));
    j->command = command(r, s->tool->name, &operands, &options);
    return rc;
}

/* The fetch of a model that is not here; apr-pull may not be built, then the job says so (69). */
static void fetch_job(struct recipe *r, struct recipe_job *j)
{
    j->name = "fetch";
    j->path = j->target = r->model.path;
    j->command = recipe_keep(r, "apr pull %s -o %s", r->model.source, r->model.path);
    j->args = recipe_keep(r, "{\"schema\":\"args/1\",\"tool\":\"apr-pull\",\"source\":\"%s\"}\n",
                          r->model.source);
}

/* Stages that gather all benchmarks write other files when other benchmarks were asked for. */
static void mark_suffix(struct recipe *r, struct recipe_stage *s)
{
    for (int i = 0; r->bench_asked && i < s->n_ref; i++) {
        const struct recipe_stage *from =
            s->ref[i].kind == REF_STAGE ? &r->stage[s->ref[i].stage] : NULL;
        int per_bench = s->var && strcmp(s->var, "bench") == 0;
        if (from && (from->suffix || (from->var && strcmp(from->var, "bench") == 0 && !per_bench)))
            s->suffix = 1;
    }
}

static void name_job(struct recipe *r, struct recipe_job *j, const char *suffix)
{
    const struct recipe_stage *s = j->stage;
    j->name = recipe_keep(r, "%s%s%s%s", s->name, j->value ? "." : "", j->value ? j->value : "",
                          s->suffix ? suffix : "");
    j->path = recipe_keep(r, "%s/%s%s", r->dir, j->name, s->kind->ext);
    j->target = s->kind->file ? recipe_keep(r, "%s/%s", j->path, s->kind->file) : j->path;
    j->to = tooltab_opt(s->tool, "output") ? NULL : j->path;
    for (int k = 0; k < s->n_out; k++)
        j->side[k] = recipe_keep(r, "%s/%s.%s.%s", r->dir, j->name, s->out[k].opt, s->out[k].ext);
}

int recipe_jobs(struct recipe *r, struct err *e)
{
    const char *suffix = "", *sums = recipe_keep(r, "%s/inputs.sum", r->dir);
    int n = 1, rc;
    if (r->ask.digest && (rc = sums_load(&r->sums, sums, e)) < 0)
        return rc;
    for (int i = 0; i < r->bench.n; i++)
        suffix = recipe_keep(r, "%s%s%s", suffix, i ? "+" : ".", r->bench.v[i]);
    for (int i = 0; i < r->n_stage; i++)
        n += r->stage[i].var ? r->stage[i].each.n : 1;
    r->job = calloc((size_t)n, sizeof *r->job);
    if (!r->job)
        return err_set(e, ERR_NOMEM, "out of memory");
    if ((rc = find_model(r, e)) < 0)
        return rc;
    if (r->model.fetched)
        fetch_job(r, &r->job[r->n_job++]);
    for (int i = 0; i < r->n_stage; i++) {
        struct recipe_stage *s = &r->stage[r->order[i]];
        mark_suffix(r, s);
        s->first_job = r->n_job;
        for (int k = 0; k < (s->var ? s->each.n : 1); k++) {
            struct recipe_job *j = &r->job[r->n_job++];
            j->stage = s;
            j->value = s->var ? s->each.v[k] : NULL;
            name_job(r, j, suffix);
            if ((rc = build_job(r, j, e)) < 0 || r->nomem)
                return r->nomem ? recipe_full(r, e) : rc;
        }
        s->n_job = r->n_job - s->first_job;
    }
    return r->nomem ? recipe_full(r, e) : 0;
}
