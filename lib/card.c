/* card - a run's records and sidecars read: which model, made how, of which data */
#include "card.h"
#include "catalog.h"
#include "paths.h"
#include "yaml.h"
#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES = 10000, DEPTH = 64 };

void card_free(struct card *c)
{
    report_free(&c->report);
    receipts_free(&c->receipts);
    cJSON_Delete(c->decontam);
    memset(c, 0, sizeof *c);
}

static int ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);
    return n >= k && strcmp(s + n - k, end) == 0;
}

static int one_of(const char *s, const char *const *list)
{
    while (*list && strcmp(*list, s))
        list++;
    return *list != NULL;
}

/* ---- reading a folder ---- */

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* 1 if the first record is of a kind that a card shows. */
static int is_result(const char *path)
{
    static const char *const wanted[] = {"score/1", "compare/1", "oracle/1", "metric/1", NULL};
    struct jsonl *in = malloc(sizeof *in);
    struct err ignored = {0};
    int is = 0;
    if (in && jsonl_open(in, path, &ignored) == 0) {
        if (jsonl_next(in, &ignored) == 1) {
            const cJSON *s = cJSON_GetObjectItemCaseSensitive(in->v, "schema");
            is = cJSON_IsString(s) && one_of(s->valuestring, wanted);
        }
        jsonl_close(in);
    }
    free(in);
    return is;
}

/* A page made of the rest, such as an earlier card, is no part of the model. */
static int is_page(const char *sidecar)
{
    static const char *const pages[] = {"apr-report", "apr-card", NULL};
    struct err ignored = {0};
    cJSON *v = json_load(sidecar, &ignored);
    const char *tool = v ? json_get_str(v, "tool", "", &ignored) : "";
    int is = one_of(tool, pages);
    cJSON_Delete(v);
    return is;
}

static int read_folder(struct card *c, const char *dir, struct err *e)
{
    struct dirent **list;
    char path[PATH_MAX];
    int n = scandir(dir, &list, NULL, by_name), rc = 0;
    if (n < 0)
        return err_errno(e, ERR_NOINPUT, "%s", dir);
    for (int i = 0; i < n; i++) {
        const char *name = list[i]->d_name;
        int fits = (size_t)snprintf(path, sizeof path, "%s/%s", dir, name) < sizeof path;
        if (rc == 0 && fits && name[0] != '.' && ends_with(name, ".jsonl") && is_result(path))
            rc = report_read(&c->report, path, e);
        if (rc == 0 && fits && name[0] != '.' && ends_with(name, ".meta.json") && !is_page(path)) {
            path[strlen(path) - strlen(".meta.json")] = 0;
            rc = receipts_note(&c->receipts, path, e);
        }
        free(list[i]);
    }
    free(list);
    return rc;
}

static int read_inputs(struct card *c, struct err *e)
{
    struct stat st;
    int rc = report_expect(&c->report, c->ask.path, c->ask.n_path, e);
    if (rc < 0)
        return rc;
    if (c->ask.n_path == 1 && stat(c->ask.path[0], &st) == 0 && S_ISDIR(st.st_mode))
        rc = read_folder(c, c->ask.path[0], e);
    else
        for (int i = 0; i < c->ask.n_path && rc == 0; i++)
            if ((rc = report_read(&c->report, c->ask.path[i], e)) == 0)
                rc = receipts_add(&c->receipts, c->ask.path[i], e);
    return rc < 0 ? rc : receipts_follow(&c->receipts, e);
}

/* RECIPE@MODEL from the folder, or that of the first file. */
static void read_name(struct card *c)
{
    char full[PATH_MAX], *end, *base, *at;
    struct stat st;
    if (!realpath(c->ask.path[0], full) || stat(full, &st))
        return;
    if (!S_ISDIR(st.st_mode) && (end = strrchr(full, '/')))
        *end = 0;
    base = strrchr(full, '/') ? strrchr(full, '/') + 1 : full;
    if (!(at = strchr(base, '@')))
        return;
    *at = 0;
    snprintf(c->recipe, sizeof c->recipe, "%.127s", base);
    snprintf(c->model, sizeof c->model, "%.127s", at + 1);
}

/* ---- the chain of what was made ---- */

static const struct receipt *input_of(const struct card *c, const struct receipt *v, int k)
{
    const char *path, *sha256;
    if (!receipt_input(v, k, &path, &sha256))
        return NULL;
    const struct receipt *found = receipts_by_sha256(&c->receipts, sha256);
    for (int i = 0; !found && i < c->receipts.n; i++) /* a folder has no digest */
        if (strcmp(c->receipts.v[i].path, path) == 0)
            found = &c->receipts.v[i];
    return found;
}

static int n_input(const struct receipt *v)
{
    const char *path, *sha256;
    int n = 0;
    while (receipt_input(v, n, &path, &sha256))
        n++;
    return n;
}

/* Is this the first walk's visit to v? A file may be reached in many ways, and nobody promises that
 * sidecars form no circle. */
static int first_visit(const struct card *c, const struct receipt *v, unsigned char *walked)
{
    size_t i = (size_t)(v - c->receipts.v);
    return walked[i] ? 0 : (walked[i] = 1);
}

/* The weights that the answers behind a file came from: the first input of apr-gen. */
static const struct receipt *weights_of(const struct card *c, const struct receipt *v, int depth,
                                        unsigned char *walked)
{
    const struct receipt *found = NULL;
    if (!v || depth == DEPTH || !first_visit(c, v, walked))
        return NULL;
    if (strcmp(v->tool, "apr-gen") == 0)
        return input_of(c, v, 0);
    for (int k = n_input(v) - 1; k >= 0 && !found; k--)
        found = weights_of(c, input_of(c, v, k), depth + 1, walked);
    return found;
}

static int is_data(const struct receipt *v)
{
    return ends_with(v->path, ".jsonl") || ends_with(v->path, ".jsonl.gz") ||
           ends_with(v->path, ".json") || ends_with(v->path, ".txt");
}

static int seen(const struct card *c, const struct receipt *v)
{
    for (int i = 0; i < c->n_stage; i++)
        if (c->stage[i] == v)
            return 1;
    for (int i = 0; i < c->n_data; i++)
        if (c->data[i].file == v)
            return 1;
    return 0;
}

static const char *arg(const struct receipt *v, const char *key)
{
    const cJSON *args = cJSON_GetObjectItemCaseSensitive(v->meta, "args");
    const cJSON *a = cJSON_GetObjectItemCaseSensitive(args, key);
    return cJSON_IsString(a) ? a->valuestring : "";
}

/* Inputs first: stages in the order in which they ran. */
static void visit(struct card *c, const struct receipt *v, int depth, unsigned char *walked)
{
    if (!v->meta || depth == DEPTH || !first_visit(c, v, walked))
        return;
    for (int k = 0; k < n_input(v); k++) {
        const struct receipt *in = input_of(c, v, k);
        if (!in || seen(c, in))
            continue;
        if (is_data(in) && c->n_data < CARD_DATA)
            c->data[c->n_data++] =
                (struct card_data){.file = in,
                                   .decontaminated = strcmp(in->tool, "data-decontam") == 0,
                                   .role = strcmp(in->path, arg(v, "data")) == 0  ? "training"
                                           : strcmp(in->path, arg(v, "val")) == 0 ? "validation"
                                                                                  : "data"};
        visit(c, in, depth + 1, walked);
    }
    if (!seen(c, v) && !is_data(v) && c->n_stage < CARD_STAGES)
        c->stage[c->n_stage++] = v;
}

static int chain_length(struct card *c, const struct receipt *v, unsigned char *walked)
{
    c->n_stage = c->n_data = 0;
    memset(walked, 0, (size_t)c->receipts.n);
    if (v)
        visit(c, v, 0, walked);
    return c->n_stage;
}

/* The run of a file of scores, by its name; -1 if it is none of the report's. */
static int run_of(const struct card *c, const char *path)
{
    for (int i = 0; i < c->report.n_row; i++) {
        char *name = report_name(&c->report, path, c->report.row[i].bench, 0);
        for (int k = 0; name && k < c->report.n_run; k++)
            if (strcmp(c->report.run[k], name) == 0) {
                free(name);
                return k;
            }
        free(name);
    }
    return -1;
}

/* The model is what the asked run answered with; else the weights that were made last: those with
 * the longest chain; else the last run. */
static int choose_run(struct card *c, struct err *e)
{
    int longest = -1;
    unsigned char *walked = malloc((size_t)c->receipts.n + 1);
    if (!walked)
        return err_set(e, ERR_NOMEM, "out of memory");
    c->run = -1;
    for (int k = 0; k < c->report.n_run; k++)
        if (c->ask.run ? strcmp(c->report.run[k], c->ask.run) == 0 : c->report.scored[k])
            c->run = k;
    if (c->ask.run && c->run < 0) {
        free(walked);
        return err_set(e, ERR_DATA, "no scores of a run called %s", c->ask.run);
    }
    for (int i = 0; i < c->receipts.n; i++) {
        const struct receipt *v = &c->receipts.v[i];
        int run = strcmp(v->tool, "passk") == 0 || strcmp(v->tool, "apr-sandbox") == 0
                      ? run_of(c, v->path)
                      : -1;
        memset(walked, 0, (size_t)c->receipts.n);
        const struct receipt *w = run < 0 ? NULL : weights_of(c, v, 0, walked);
        int length = w && (!c->ask.run || run == c->run) ? chain_length(c, w, walked) : -1;
        if (length > longest) {
            longest = length;
            c->run = run;
            c->weights = w;
        }
    }
    chain_length(c, c->weights, walked);
    free(walked);
    return 0;
}

/* ---- what the configs know ---- */

int card_name_ok(const char *s)
{
    for (const char *p = s; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("-_.+", *p))
            return 0;
    return s[0] && s[0] != '.';
}

static int read_model_page(struct card *c, struct err *e)
{
    char path[PATH_MAX];
    struct yaml_doc d;
    if (!card_name_ok(c->model) || !paths_root() ||
        (size_t)snprintf(path, sizeof path, "%s/configs/models/%s.yaml", paths_root(), c->model) >=
            sizeof path ||
        access(path, R_OK))
        return 0;
    if (yaml_load(&d, path, e) < 0)
        return e->code;
    const char *source = yaml_str(&d, d.root, "source", "", e);
    snprintf(c->base_licence, sizeof c->base_licence, "%s", yaml_str(&d, d.root, "licence", "", e));
    snprintf(c->base_origin, sizeof c->base_origin, "%s, %s", c->model, source);
    if (strncmp(source, "hf://", 5) == 0)
        snprintf(c->base, sizeof c->base, "%s", source + 5);
    yaml_free(&d);
    return e->code;
}

/* The catalog's entry with this digest: its name, or 0. */
static int in_catalog(const char *sha256, struct catalog_entry *found, struct err *e)
{
    char path[PATH_MAX];
    struct yaml_doc d;
    int hit = 0;
    if (!sha256[0] || !paths_root() ||
        (size_t)snprintf(path, sizeof path, "%s/data/catalog.yaml", paths_root()) >= sizeof path ||
        access(path, R_OK))
        return 0;
    if (yaml_load(&d, path, e) < 0)
        return e->code;
    for (const struct yaml *m = d.root ? d.root->child : NULL; m && !hit; m = m->next)
        hit = m->kind == YAML_K_MAP && strcmp(yaml_str(&d, m, "sha256", "", e), sha256) == 0 &&
              m->key && catalog_find(found, m->key, e) == 0;
    yaml_free(&d);
    return e->code ? e->code : hit;
}

static int read_catalog(struct card *c, struct err *e)
{
    struct catalog_entry *entry = malloc(sizeof *entry);
    int hit = entry ? 0 : err_set(e, ERR_NOMEM, "out of memory");
    for (int i = 0; i < c->n_data && hit >= 0; i++)
        if ((hit = in_catalog(c->data[i].file->sha256, entry, e)) > 0) {
            struct card_data *d = &c->data[i];
            memcpy(d->entry, entry->name, sizeof d->entry);
            memcpy(d->licence, entry->licence, sizeof d->licence);
            memcpy(d->origin, entry->origin, sizeof d->origin);
            d->records = entry->records;
        }
    /* the first stage's input is what the model came as */
    const struct receipt *first = c->n_stage ? input_of(c, c->stage[0], 0) : NULL;
    if (hit >= 0 && first && (hit = in_catalog(first->sha256, entry, e)) > 0) {
        snprintf(c->base_origin, sizeof c->base_origin, "%s, %s", entry->name, entry->origin);
        if (!c->base_licence[0])
            memcpy(c->base_licence, entry->licence, sizeof c->base_licence);
    }
    free(entry);
    return hit < 0 ? hit : 0;
}

static void relation(struct card *c)
{
    int adapter = 0, fused = 0, merged = 0, smaller = 0;
    for (int i = 0; i < c->n_stage; i++) {
        const char *t = c->stage[i]->tool;
        adapter |= strcmp(t, "apr-lora") == 0 || strcmp(t, "apr-align") == 0;
        fused |= strcmp(t, "apr-fuse") == 0 || strcmp(t, "apr-distill") == 0 ||
                 strcmp(t, "apr-prune") == 0;
        merged |= strcmp(t, "apr-merge") == 0;
        smaller |= strcmp(t, "apr-quant") == 0;
    }
    c->relation = merged    ? "merge"
                  : fused   ? "finetune"
                  : adapter ? "adapter"
                  : smaller ? "quantized"
                            : NULL;
}

/* ---- decontamination ---- */

static int names_digest(const cJSON *v, const char *sha256)
{
    if (cJSON_IsString(v) && strcmp(v->valuestring, sha256) == 0)
        return 1;
    for (const cJSON *k = v ? v->child : NULL; k; k = k->next)
        if (names_digest(k, sha256))
            return 1;
    return 0;
}

/* A receipt says nothing about this model unless it names the digest of its data. */
static int read_decontam(struct card *c, struct err *e)
{
    int named = 0;
    if (!c->ask.decontam)
        return 0;
    if (!(c->decontam = json_load(c->ask.decontam, e)))
        return e->code;
    if (!cJSON_IsObject(c->decontam))
        return err_set(e, ERR_DATA, "%s: expected one JSON object", c->ask.decontam);
    for (int i = 0; i < c->n_data; i++)
        if (c->data[i].file->sha256[0] && names_digest(c->decontam, c->data[i].file->sha256))
            named = c->data[i].decontaminated = 1;
    return named ? 0
                 : err_set(e, ERR_DATA,
                           "%s: a receipt that names the sha256 of none of the model's data",
                           c->ask.decontam);
}

static int find_recipe(struct card *c, struct err *e)
{
    char name[256];
    if (c->ask.recipe)
        return paths_find(c->ask.recipe, c->recipe_path, sizeof c->recipe_path, e);
    if (!card_name_ok(c->recipe) || !paths_root())
        return 0;
    snprintf(name, sizeof name, "recipes/%s.yaml", c->recipe);
    struct err none = {0};
    if (paths_find(name, c->recipe_path, sizeof c->recipe_path, &none) < 0)
        c->recipe_path[0] = 0;
    return 0;
}

int card_read(struct card *c, const struct card_ask *ask, struct err *e)
{
    int rc;
    memset(c, 0, sizeof *c);
    c->ask = *ask;
    c->run = -1;
    if ((rc = report_init(&c->report, e)) < 0 || (rc = read_inputs(c, e)) < 0)
        return rc;
    read_name(c);
    if ((rc = choose_run(c, e)) < 0 || (rc = read_model_page(c, e)) < 0 ||
        (rc = read_catalog(c, e)) < 0 || (rc = read_decontam(c, e)) < 0 ||
        (rc = find_recipe(c, e)) < 0)
        return rc;
    relation(c);
    if (ask->base)
        snprintf(c->base, sizeof c->base, "%s", ask->base);
    if (ask->name)
        snprintf(c->name, sizeof c->name, "%s", ask->name);
    else if (c->recipe[0])
        snprintf(c->name, sizeof c->name, "%s-%s", c->model, c->recipe);
    else
        snprintf(c->name, sizeof c->name, "%s", c->run >= 0 ? c->report.run[c->run] : "model");
    return 0;
}
