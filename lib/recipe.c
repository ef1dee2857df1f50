/* recipe - load a recipe and check it against the tools that will run it */
#include "recipe.h"
#include "paths.h"
#include "recipe_impl.h"
#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_STAGES = 200, MAX_KEPT = 256 << 20 };

/* Golden order: a later phase undoes or wastes what an earlier one should have done before it. */
// clang-format off
static const struct { int first, then; const char *why; } bad_order[] = {
    {FINETUNE, DISTILL,  "distillation overwrites what finetuning taught: distill first"},
    {MERGE,    DISTILL,  "distillation overwrites the merged weights: distill first"},
    {PRUNE,    DISTILL,  "distillation fills pruned weights again: prune later"},
    {PRUNE,    FINETUNE, "finetuning fills pruned weights again: prune later"},
    {PRUNE,    MERGE,    "merging fills pruned weights again: prune later"},
    {QUANTIZE, DISTILL,  "quantization belongs last: every later change is rounded twice"},
    {QUANTIZE, FINETUNE, "quantization belongs last: every later change is rounded twice"},
    {QUANTIZE, MERGE,    "quantization belongs last: every later change is rounded twice"},
    {QUANTIZE, PRUNE,    "quantization belongs last: pruning needs the exact weights"},
    {COMPILE,  DISTILL,  "a compiled model is an end product"},
    {COMPILE,  FINETUNE, "a compiled model is an end product"},
    {COMPILE,  MERGE,    "a compiled model is an end product"},
    {COMPILE,  PRUNE,    "a compiled model is an end product"},
    {COMPILE,  QUANTIZE, "a compiled model is an end product"}};
// clang-format on

/* ---- memory: texts and arrays that live as long as the recipe ---- */

struct kept {
    struct kept *next;
    char data[];
};

void *recipe_bytes(struct recipe *r, size_t n)
{
    struct kept *k = n < MAX_KEPT - r->kept_bytes ? calloc(1, sizeof *k + n) : NULL;
    if (!k) {
        r->nomem = 1;
        return NULL;
    }
    r->kept_bytes += n;
    k->next = r->kept;
    r->kept = k;
    return k->data;
}

const char *recipe_keep(struct recipe *r, const char *fmt, ...)
{
    va_list ap;
    char *p;
    int n;
    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0 || !(p = recipe_bytes(r, (size_t)n + 1)))
        return "";
    va_start(ap, fmt);
    vsnprintf(p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return p;
}

int recipe_push(struct recipe *r, struct recipe_list *l, const char *text)
{
    if ((l->n & (l->n - 1)) ==
        0) { /* full at 0, 1, 2, 4, 8, ...: the old block stays until the end */
        const char **v = recipe_bytes(r, (size_t)(l->n ? 2 * l->n : 1) * sizeof *v);
        if (!v)
            return ERR_NOMEM;
        if (l->n)
            memcpy(v, l->v, (size_t)l->n * sizeof *v);
        l->v = v;
    }
    l->v[l->n++] = text;
    return 0;
}

void recipe_free(struct recipe *r)
{
    for (int i = 0; i < r->n_tab; i++)
        tooltab_free(&r->tab[i]);
    yaml_free(&r->doc);
    sums_free(&r->sums);
    free(r->job);
    for (struct kept *k = r->kept, *next; k; k = next) {
        next = k->next;
        free(k);
    }
    memset(r, 0, sizeof *r);
}

const char *recipe_near(struct recipe *r, const char *word, const char *const *words)
{
    const char *near = words ? yaml_near(word, words) : NULL;
    return near ? recipe_keep(r, ", did you mean '%s'?", near) : "";
}

int recipe_full(const struct recipe *r, struct err *e)
{
    return err_set(e, ERR_NOMEM, "%s: takes more than %d MiB, or than there are", r->ask.path,
                   MAX_KEPT >> 20);
}

/* ---- names and lists ---- */

/* Names become file names and Make targets. */
int recipe_name_ok(const char *s, const char *more)
{
    size_t n = strlen(s);
    if (!n || n > 100 || !isalnum((unsigned char)*s))
        return 0;
    for (; *s; s++)
        if (!isalnum((unsigned char)*s) && !strchr(more, *s))
            return 0;
    return 1;
}

int recipe_path_ok(const char *s)
{
    if (!*s || *s == '-')
        return 0;
    for (; *s; s++)
        if (!isalnum((unsigned char)*s) && !strchr("-_./+,@", *s))
            return 0;
    return 1;
}

/* A scalar or a list of scalars. */
int recipe_texts(struct recipe *r, const struct yaml *n, struct recipe_list *l, struct err *e)
{
    if (n->kind == YAML_K_SCALAR)
        return recipe_push(r, l, n->text);
    if (n->kind != YAML_K_LIST)
        return yaml_err(&r->doc, n, e, "%s: expected a text or a list, found a map", n->key);
    for (const struct yaml *m = n->child; m; m = m->next) {
        if (m->kind != YAML_K_SCALAR)
            return yaml_err(&r->doc, m, e, "%s: expected a text", n->key);
        if (recipe_push(r, l, m->text) < 0)
            return ERR_NOMEM;
    }
    return 0;
}

/* Names of FOLDER's .yaml files, for suggestions. */
static const char **yaml_names(struct recipe *r, const char *folder)
{
    struct recipe_list l = {0};
    char dir[PATH_MAX];
    struct err ignored = {0};
    DIR *d = paths_find(folder, dir, sizeof dir, &ignored) == 0 ? opendir(dir) : NULL;
    for (struct dirent *en; d && (en = readdir(d));) {
        size_t n = strlen(en->d_name);
        if (n > 5 && strcmp(en->d_name + n - 5, ".yaml") == 0)
            recipe_push(r, &l, recipe_keep(r, "%.*s", (int)(n - 5), en->d_name));
    }
    if (d)
        closedir(d);
    recipe_push(r, &l, NULL);
    return l.v;
}

static const char *base_name(struct recipe *r, const char *path)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    size_t n = strlen(base);
    return recipe_keep(r, "%.*s", (int)(n > 5 && strcmp(base + n - 5, ".yaml") == 0 ? n - 5 : n),
                       base);
}

/* ---- the model's own page ---- */

static int load_model(struct recipe *r, struct err *e)
{
    static const char *const keys[] = {"schema", "source",   "format",  "doc",    "architecture",
                                       "params", "n_layer",  "n_embd",  "n_head", "n_head_kv",
                                       "n_ff",   "head_dim", "n_vocab", "n_ctx",  "rope_theta",
                                       "tied",   "rms_eps",  "licence", NULL};
    struct recipe_model *m = &r->model;
    const struct yaml *at = yaml_get(r->doc.root, "model");
    const char *want = r->ask.model, *s;
    char found[PATH_MAX];
    struct yaml_doc d = {0};
    struct err missing = {0};
    int rc;
    if (!want && !(want = yaml_str(&r->doc, r->doc.root, "model", NULL, e)))
        return e->code ? e->code
                       : yaml_err(&r->doc, r->doc.root, e,
                                  "no model: name one of configs/models (model: "
                                  "configs/models/NAME.yaml)");
    m->name = base_name(r, want);
    m->config = strchr(want, '/') ? want : recipe_keep(r, "configs/models/%s.yaml", m->name);
    if (!recipe_name_ok(m->name, "-_.+"))
        return yaml_err(&r->doc, at, e, "model: '%.60s' cannot be part of a file name", m->name);
    if (paths_find(m->config, found, sizeof found, &missing) < 0) {
        const char *near = recipe_near(r, m->name, yaml_names(r, "configs/models"));
        return r->ask.model
                   ? err_set(e, ERR_CONFIG, "model '%s': no %s%s", m->name, m->config, near)
                   : yaml_err(&r->doc, at, e, "model: no %s%s", m->config, near);
    }
    if ((rc = yaml_load(&d, found, e)) < 0)
        return rc;
    if ((rc = yaml_only(&d, d.root, keys, e)) < 0)
        goto done;
    s = yaml_str(&d, d.root, "schema", "", e);
    if (!e->code && strcmp(s, "model/1"))
        yaml_err(&d, yaml_get(d.root, "schema"), e, "schema: expected model/1, found '%.40s'", s);
    s = yaml_str(&d, d.root, "source", "", e);
    m->source = recipe_keep(r, "%s", s);
    m->fetched = strncmp(s, "hf://", 5) == 0;
    if (!e->code && (!*s || !recipe_path_ok(m->fetched                  ? s + 5
                                            : strncmp(s, "catalog:", 8) ? s
                                                                        : s + 8)))
        yaml_err(&d, yaml_get(d.root, "source"), e,
                 "source: expected a path, catalog:NAME or hf://OWNER/NAME, found '%.100s'", s);
    s = yaml_str(&d, d.root, "format", "", e);
    m->format = recipe_keep(r, "%s", s);
    if (!e->code && strcmp(s, "gguf") && strcmp(s, "safetensors"))
        yaml_err(&d, yaml_get(d.root, "format"), e,
                 "format: expected gguf or safetensors, found '%.40s'", s);
    rc = e->code;
done:
    yaml_free(&d);
    return rc;
}

static int load_benches(struct recipe *r, struct err *e)
{
    const struct yaml *at = yaml_get(r->doc.root, "bench");
    struct recipe_list own = {0};
    char found[PATH_MAX];
    int rc = at ? recipe_texts(r, at, &own, e) : 0, same;
    if (rc < 0)
        return rc;
    if (r->ask.bench) {
        const char *p = r->ask.bench;
        for (size_t k; *p; p += k + (p[k] == ',')) {
            k = strcspn(p, ",");
            if ((rc = recipe_push(r, &r->bench, recipe_keep(r, "%.*s", (int)k, p))) < 0)
                return rc;
        }
        same = own.n == r->bench.n;
        for (int i = 0; same && i < own.n; i++)
            same = strcmp(own.v[i], r->bench.v[i]) == 0;
        r->bench_asked = !same;
    } else {
        r->bench = own;
    }
    for (int i = 0; i < r->bench.n; i++) {
        const char *b = r->bench.v[i];
        struct err missing = {0};
        for (int j = 0; j < i; j++)
            if (strcmp(b, r->bench.v[j]) == 0)
                return err_set(e, ERR_CONFIG, "benchmark '%s' is named twice", b);
        if (recipe_name_ok(b, "-_.") && paths_find(recipe_keep(r, "configs/bench/%s.yaml", b),
                                                   found, sizeof found, &missing) == 0)
            continue;
        const char *near = recipe_near(r, b, yaml_names(r, "configs/bench"));
        return r->ask.bench
                   ? err_set(e, ERR_CONFIG, "benchmark '%s': no configs/bench/%s.yaml%s", b, b,
                             near)
                   : yaml_err(&r->doc, at, e, "bench: no configs/bench/%s.yaml%s", b, near);
    }
    return 0;
}

/* ---- the whole ---- */

/* Secondary outputs that others name must exist; foreach values must fit. */
static int check_refs(struct recipe *r, struct err *e)
{
    for (int i = 0; i < r->n_stage; i++)
        for (int k = 0; k < r->stage[i].n_ref; k++) {
            const struct recipe_ref *ref = &r->stage[i].ref[k];
            const struct recipe_stage *s = &r->stage[i],
                                      *from = ref->kind == REF_STAGE ? &r->stage[ref->stage] : NULL;
            int j = 0, found = 0;
            if (!from)
                continue;
            while (ref->side && j < from->n_out && strcmp(from->out[j].opt, ref->side))
                j++;
            if (ref->side && j == from->n_out)
                return yaml_err(&r->doc, ref->at, e,
                                "missing input '%s': stage %s has no '%s' under outputs:",
                                ref->text, from->name, ref->side);
            if (!s->var || !from->var || strcmp(s->var, from->var))
                continue;
            for (int a = 0; a < s->each.n; a++, found = 0) {
                for (int b = 0; b < from->each.n; b++)
                    found |= strcmp(s->each.v[a], from->each.v[b]) == 0;
                if (!found)
                    return yaml_err(&r->doc, ref->at, e, "stage %s is not repeated for %s = %s",
                                    from->name, s->var, s->each.v[a]);
            }
        }
    return 0;
}

/* Depth first, in the order of the file; the path so far is what the message shows. */
static int visit(struct recipe *r, int i, int *n, const char *path, struct err *e)
{
    struct recipe_stage *s = &r->stage[i];
    int rc;
    s->mark = 1;
    path = recipe_keep(r, "%s%s", path, s->name);
    for (int k = 0; k < s->n_ref; k++) {
        const struct recipe_ref *ref = &s->ref[k];
        if (ref->kind != REF_STAGE || r->stage[ref->stage].mark == 2)
            continue;
        if (r->stage[ref->stage].mark == 1)
            return yaml_err(&r->doc, ref->at, e, "a cycle: %s needs %s", path,
                            r->stage[ref->stage].name);
        if ((rc = visit(r, ref->stage, n, recipe_keep(r, "%s needs ", path), e)) < 0)
            return rc;
    }
    s->mark = 2;
    r->order[(*n)++] = i;
    return 0;
}

/* Every pair of stages where the weights of the first reach the second. */
static void check_order(struct recipe *r, const struct recipe_stage *first,
                        struct recipe_stage *then, int mark)
{
    if (then->mark == mark)
        return;
    then->mark = mark;
    for (int k = 0; k < then->n_ref; k++) {
        if (then->ref[k].kind != REF_STAGE)
            continue;
        struct recipe_stage *from = &r->stage[then->ref[k].stage];
        if (!from->kind->phase && strcmp(from->kind->ext, ".apr"))
            continue; /* no weights in it */
        for (size_t i = 0; i < sizeof bad_order / sizeof *bad_order; i++)
            if (from->kind->phase == bad_order[i].first &&
                first->kind->phase == bad_order[i].then && from->warned != mark) {
                from->warned = mark;
                recipe_push(r, &r->warn,
                            recipe_keep(r, "%s:%d:%d: stage %s comes after %s: %s", r->doc.path,
                                        first->node->key_line, first->node->key_col, first->name,
                                        from->name, bad_order[i].why));
            }
        check_order(r, first, from, mark);
    }
}

/* An alert is obeyed by the option of a tool, or refused. */
static const struct {
    const char *what, *op, *action, *opt, *say; /* say: the option that takes the message */
} obeyed[] = {{"loss", ">", "stop", "max-loss", "alert"}};

/* recipe_load_stage left room for one of each. */
static int set_option(struct recipe *r, struct recipe_stage *s, const struct toolopt *opt,
                      const char *value)
{
    struct recipe_set *set = &s->set[s->n_set++];
    set->opt = opt;
    set->v = recipe_bytes(r, sizeof *set->v);
    if (!set->v)
        return ERR_NOMEM;
    set->v[0] = value;
    set->n = 1;
    return 0;
}

static int load_alert(struct recipe *r, const struct yaml *n, struct err *e)
{
    static const char *const keys[] = {"condition", "action", "message", NULL};
    char what[32], op[3], rest[2];
    double limit;
    const char *cond, *action, *value, *message;
    size_t len;
    int rc = yaml_only(&r->doc, n, keys, e), k = 0, takers = 0,
        n_known = sizeof obeyed / sizeof *obeyed;
    if (rc < 0)
        return rc;
    cond = yaml_str(&r->doc, n, "condition", "", e);
    action = yaml_str(&r->doc, n, "action", "stop", e);
    message = yaml_str(&r->doc, n, "message", "", e);
    if (e->code)
        return e->code;
    if (strpbrk(message, "\n\r") || recipe_var(message, &len))
        return yaml_err(&r->doc, yaml_get(n, "message"), e,
                        "message: expected plain text, without a line end or a variable");
    if (sscanf(cond, "%31[a-z_] %2[<>=] %lf %1s", what, op, &limit, rest) != 3)
        return yaml_err(&r->doc, n, e,
                        "condition: expected something like loss > 10, found '%.60s'", cond);
    while (k < n_known && (strcmp(what, obeyed[k].what) || strcmp(op, obeyed[k].op) ||
                           strcmp(action, obeyed[k].action)))
        k++;
    if (k == n_known)
        return yaml_err(&r->doc, n, e,
                        "no tool can obey '%.60s' with action '%.20s'; known: loss > N, stop", cond,
                        action);
    value = recipe_keep(r, "%.9g", limit);
    for (int i = 0; i < r->n_stage; i++) {
        struct recipe_stage *s = &r->stage[i];
        const struct toolopt *opt = tooltab_opt(s->tool, obeyed[k].opt);
        if (!opt)
            continue;
        takers++;
        for (int j = 0; j < s->n_set; j++)
            if (s->set[j].opt == opt)
                return yaml_err(&r->doc, n, e, "stage %s has a limit of its own (%s)", s->name,
                                opt->name);
        if ((rc = set_option(r, s, opt, value)) < 0)
            return rc;
        opt = tooltab_opt(s->tool, obeyed[k].say);
        int said = !opt || !message[0];
        for (int j = 0; !said && j < s->n_set; j++)
            said = s->set[j].opt == opt;
        if (!said && (rc = set_option(r, s, opt, message)) < 0)
            return rc;
    }
    return takers ? 0
                  : yaml_err(&r->doc, n, e,
                             "no stage of this recipe has an option --%s to obey it with",
                             obeyed[k].opt);
}

static int load_monitoring(struct recipe *r, struct err *e)
{
    static const char *const keys[] = {"alerts", NULL};
    const struct yaml *at = yaml_get(r->doc.root, "monitoring"), *list = yaml_get(at, "alerts");
    int rc;
    if (!at || (at->kind == YAML_K_SCALAR && !at->text[0]))
        return 0;
    if ((rc = yaml_only(&r->doc, at, keys, e)) < 0)
        return rc;
    if (list && list->kind != YAML_K_LIST)
        return yaml_err(&r->doc, list, e, "alerts: expected a list, each alert after '- '");
    for (const struct yaml *n = list ? list->child : NULL; n; n = n->next)
        if ((rc = load_alert(r, n, e)) < 0)
            return rc;
    return 0;
}

static int load(struct recipe *r, const struct recipe_ask *ask, struct err *e)
{
    static const char *const top[] = {"schema",     "doc",    "model", "bench",
                                      "monitoring", "stages", NULL};
    const struct yaml *stages;
    const char *schema;
    int rc, n = 0;
    memset(r, 0, sizeof *r);
    r->ask = *ask;
    if ((rc = yaml_load(&r->doc, ask->path, e)) < 0)
        return rc;
    if ((rc = yaml_only(&r->doc, r->doc.root, top, e)) < 0)
        return rc;
    schema = yaml_str(&r->doc, r->doc.root, "schema", "", e);
    if (!e->code && strcmp(schema, "recipe/1"))
        yaml_err(&r->doc, yaml_get(r->doc.root, "schema"), e,
                 "schema: expected recipe/1, found '%.40s'", schema);
    yaml_str(&r->doc, r->doc.root, "doc", "", e);
    if (e->code)
        return e->code;
    r->name = base_name(r, strcmp(ask->path, "-") ? ask->path : "stdin");
    if (!recipe_name_ok(r->name, "-_."))
        return err_set(e, ERR_CONFIG, "%s: the name cannot be part of a file name", ask->path);
    if ((rc = load_model(r, e)) < 0 || (rc = load_benches(r, e)) < 0)
        return rc;
    r->dir = ask->dir ? ask->dir : recipe_keep(r, "runs/%s@%s", r->name, r->model.name);
    if (!recipe_path_ok(r->dir))
        return err_set(e, ERR_USAGE, "%s: a path of letters, digits and . _ - + , @ / was expected",
                       r->dir);
    stages = yaml_get(r->doc.root, "stages");
    if (!stages || stages->kind != YAML_K_MAP)
        return yaml_err(&r->doc, stages ? stages : r->doc.root, e,
                        "expected stages: with one map a stage");
    for (const struct yaml *m = stages->child; m; m = m->next)
        n++;
    if (n > MAX_STAGES)
        return yaml_err(&r->doc, stages, e, "more than %d stages", MAX_STAGES);
    r->stage = recipe_bytes(r, (size_t)n * sizeof *r->stage);
    r->order = recipe_bytes(r, (size_t)n * sizeof *r->order);
    r->tab = recipe_bytes(r, (size_t)n * sizeof *r->tab);
    if (!r->stage || !r->order || !r->tab)
        return ERR_NOMEM;
    for (const struct yaml *m = stages->child; m; m = m->next) {
        struct yaml key = {.line = m->key_line, .col = m->key_col};
        if (!recipe_name_ok(m->key, "-_") || strcmp(m->key, "model") == 0 ||
            strcmp(m->key, "inputs") == 0 || strcmp(m->key, "fetch") == 0 ||
            strcmp(m->key, "log") == 0)
            return yaml_err(&r->doc, &key, e, "'%.60s' cannot be the name of a stage", m->key);
        if (m->kind != YAML_K_MAP)
            return yaml_err(&r->doc, m, e, "stage %s: expected a map", m->key);
        r->stage[r->n_stage++] = (struct recipe_stage){.name = m->key, .node = m};
    }
    for (int i = 0; i < r->n_stage; i++)
        if ((rc = recipe_load_stage(r, &r->stage[i], e)) < 0)
            return rc;
    n = 0;
    if ((rc = check_refs(r, e)) < 0 || (rc = load_monitoring(r, e)) < 0)
        return rc;
    for (int i = 0; i < r->n_stage; i++)
        if (r->stage[i].mark != 2 && (rc = visit(r, i, &n, "", e)) < 0)
            return rc;
    for (int i = 0; i < r->n_stage; i++)
        check_order(r, &r->stage[i], &r->stage[i], 3 + i);
    return 0;
}

int recipe_load(struct recipe *r, const struct recipe_ask *ask, struct err *e)
{
    int rc = load(r, ask, e);
    return r->nomem ? recipe_full(r, e) : rc;
}
