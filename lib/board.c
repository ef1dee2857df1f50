/* board - scores of all runs found, grouped, ranked */
#include "board.h"
#include "receipt.h"
#include "report.h"
#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { NAMES = 10000 }; /* in one folder, at most */

static void free_entry(struct board_entry *v)
{
    free(v->recipe);
    free(v->model);
    free(v->run);
    free(v->bench);
    free(v->metric);
    free(v->date);
    free(v->version);
    free(v->host);
}

static void free_entries(struct board_entry *v, int n)
{
    for (int i = 0; i < n; i++)
        free_entry(&v[i]);
    free(v);
}

void board_free(struct board *b)
{
    free_entries(b->v, b->n);
    free_entries(b->past, b->n_past);
    for (int i = 0; i < b->n_complaint; i++)
        free(b->complaint[i]);
    free(b->complaint);
    memset(b, 0, sizeof *b);
}

/* ---- folders ---- */

static int by_name(const void *x, const void *y)
{
    return strcmp(*(char *const *)x, *(char *const *)y);
}

/* Names in a folder, sorted, hidden ones left out; NULL-terminated. */
static int list(const char *dir, char ***out, struct err *e)
{
    DIR *d = opendir(dir);
    char **v = NULL;
    int n = 0;
    if (!d)
        return err_errno(e, ERR_NOINPUT, "%s", dir);
    for (struct dirent *en; (en = readdir(d)) && n < NAMES;) {
        if (en->d_name[0] == '.')
            continue;
        char **more = realloc(v, ((size_t)n + 2) * sizeof *v);
        if (!more || !(more[n] = strdup(en->d_name))) {
            err_set(e, ERR_NOMEM, "out of memory");
            v = more ? more : v;
            break;
        }
        v = more;
        v[++n] = NULL;
    }
    closedir(d);
    if (!v && !e->code && !(v = calloc(1, sizeof *v)))
        err_set(e, ERR_NOMEM, "out of memory");
    if (n)
        qsort(v, (size_t)n, sizeof *v, by_name);
    *out = v;
    return e->code;
}

static void free_list(char **v)
{
    for (int i = 0; v && v[i]; i++)
        free(v[i]);
    free(v);
}

/* ---- one file of scores ---- */

/* A line that was begun as a score and has no end, or a damaged one */
static int like_score(const struct jsonl *in)
{
    static const char begin[] = "{\"schema\":\"score/1\"";
    size_t n = in->line ? strnlen(in->line, sizeof begin - 1) : 0;
    return n && strncmp(in->line, begin, n) == 0;
}

/* 1 if the first record is score/1, 0 if it is another; else why none can be read is in *e, and
 * *damage is set if it was one. */
static int is_score(const char *path, int *damage, struct err *e)
{
    struct jsonl *in = malloc(sizeof *in);
    int is = in ? jsonl_open(in, path, e) : err_set(e, ERR_NOMEM, "out of memory");
    *damage = is < 0;
    if (is == 0) {
        if ((is = jsonl_next(in, e)) == 1) {
            const cJSON *s = cJSON_GetObjectItemCaseSensitive(in->v, "schema");
            is = cJSON_IsString(s) && strcmp(s->valuestring, "score/1") == 0;
        } else if (is == 0) {
            is = err_set(e, ERR_DATA, "%s: no records", path);
        } else {
            *damage = like_score(in);
        }
        jsonl_close(in);
    }
    free(in);
    return is;
}

static int complain(struct board *b, const struct err *why, int damage, struct err *e)
{
    char **v = realloc(b->complaint, ((size_t)b->n_complaint + 1) * sizeof *v);
    if (!v)
        return err_set(e, ERR_NOMEM, "out of memory");
    b->complaint = v;
    if (!(v[b->n_complaint] = strdup(why->msg)))
        return err_set(e, ERR_NOMEM, "out of memory");
    b->n_complaint++;
    if (damage && !b->damage)
        b->damage = why->code;
    return 0;
}

static void copy(char hex[65], const char *from)
{
    if (strlen(from) == 64 && strspn(from, "0123456789abcdef") == 64)
        memcpy(hex, from, 65);
}

/* The weights that the answers came from: the first input of apr-gen. */
static void find_weights(struct receipts *c, char hex[65])
{
    const char *path, *sha256;
    for (int i = 0; i < c->n; i++)
        if (strcmp(c->v[i].tool, "apr-gen") == 0 && receipt_input(&c->v[i], 0, &path, &sha256)) {
            copy(hex, sha256);
            return;
        }
}

static int add(struct board *b, const struct board_entry *of, const char *run, const char *bench,
               const char *metric, const struct report_cell *c, struct err *e)
{
    struct board_entry *v = realloc(b->v, ((size_t)b->n + 1) * sizeof *v);
    if (!v)
        return err_set(e, ERR_NOMEM, "out of memory");
    b->v = v;
    v += b->n++;
    *v = *of;
    v->recipe = strdup(of->recipe);
    v->model = strdup(of->model);
    v->date = strdup(of->date);
    v->version = strdup(of->version);
    v->host = strdup(of->host);
    v->run = strdup(run);
    v->bench = strdup(bench);
    v->metric = strdup(metric);
    v->value = c->value;
    v->level = c->level;
    v->ci[0] = c->ci[0];
    v->ci[1] = c->ci[1];
    v->passed = c->passed;
    v->n_task = c->n_task;
    v->n_sample = c->n_sample;
    return v->recipe && v->model && v->date && v->version && v->host && v->run && v->bench &&
                   v->metric
               ? 0
               : err_set(e, ERR_NOMEM, "out of memory");
}

static int read_scores(struct board *b, const char *path, char *recipe, char *model, struct err *e)
{
    struct report r;
    struct receipts c = {0};
    const char *ignored, *sha256;
    int rc = report_init(&r, e);
    if (rc == 0 && (rc = report_read(&r, path, e)) == 0 && (rc = receipts_add(&c, path, e)) == 0)
        rc = receipts_follow(&c, e);
    if (rc == 0) {
        struct board_entry of = {.recipe = recipe, .model = model};
        of.date = (char *)(uintptr_t)c.v[0].end; /* copied by add */
        of.version = (char *)(uintptr_t)c.v[0].version;
        of.host = (char *)(uintptr_t)c.v[0].host;
        copy(of.score_sha256, c.v[0].sha256);
        if (receipt_input(&c.v[0], 0, &ignored, &sha256))
            copy(of.input_sha256, sha256);
        find_weights(&c, of.weights_sha256);
        for (int i = 0; i < r.n_row && rc == 0; i++)
            for (int k = 0; k < r.n_run && rc == 0; k++)
                if (r.row[i].cell[k].n_task)
                    rc = add(b, &of, r.run[k], r.row[i].bench, r.row[i].metric, &r.row[i].cell[k],
                             e);
    }
    receipts_free(&c);
    report_free(&r);
    return rc;
}

/* The scores of a file, if it has some; all or none. */
static int read_file(struct board *b, const char *path, char *recipe, char *model, struct err *e)
{
    struct err why = {0};
    struct stat st;
    int damage, before = b->n;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
        return 0;
    int rc = is_score(path, &damage, &why);
    if (rc > 0) {
        rc = read_scores(b, path, recipe, model, &why);
        damage = 1;
    }
    if (rc >= 0)
        return 0;
    while (b->n > before)
        free_entry(&b->v[--b->n]);
    return why.code == ERR_NOMEM ? err_set(e, why.code, "%s", why.msg)
                                 : complain(b, &why, damage, e);
}

static int read_run(struct board *b, const char *dir, const char *name, struct err *e)
{
    char path[PATH_MAX], **file = NULL, *recipe = strdup(name);
    char *at = recipe ? strchr(recipe, '@') : NULL, none[] = "";
    struct stat st;
    int rc = recipe ? 0 : err_set(e, ERR_NOMEM, "out of memory");
    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (rc == 0 && (stat(path, &st) || !S_ISDIR(st.st_mode))) {
        free(recipe);
        return 0;
    }
    if (at)
        *at = 0;
    if (rc == 0)
        rc = list(path, &file, e);
    for (int i = 0; rc == 0 && file[i]; i++) {
        size_t n = strlen(file[i]);
        if (n < 6 || strcmp(file[i] + n - 6, ".jsonl") ||
            (size_t)snprintf(path, sizeof path, "%s/%s/%s", dir, name, file[i]) >= sizeof path)
            continue;
        rc = read_file(b, path, recipe, at ? at + 1 : none, e);
    }
    free_list(file);
    free(recipe);
    return rc;
}

/* ---- groups and ranks ---- */

static int number(long a, long b)
{
    return (a > b) - (a < b);
}

static int group_order(const struct board_entry *a, const struct board_entry *b)
{
    int c = strcmp(a->bench, b->bench);
    c = c ? c : strcmp(a->metric, b->metric);
    c = c ? c : number(b->n_task, a->n_task);
    c = c ? c : number(a->n_sample, b->n_sample);
    return c ? c : (a->level > b->level) - (a->level < b->level);
}

static int order(const void *x, const void *y)
{
    const struct board_entry *a = x, *b = y;
    int c = group_order(a, b);
    c = c ? c : (a->value < b->value) - (a->value > b->value);
    c = c ? c : strcmp(a->model, b->model);
    c = c ? c : strcmp(a->recipe, b->recipe);
    c = c ? c : strcmp(a->run, b->run);
    return c ? c : strcmp(a->score_sha256, b->score_sha256);
}

static void rank(struct board *b)
{
    const struct board_entry *best = b->v;
    if (b->n)
        qsort(b->v, (size_t)b->n, sizeof *b->v, order);
    for (int i = 0; i < b->n; i++) {
        struct board_entry *v = &b->v[i];
        if (i == 0 || group_order(v, best)) {
            best = v;
            b->n_group++;
        }
        v->group = b->n_group - 1;
        v->rank = v > best && v[-1].value == v->value ? v[-1].rank : (int)(v - best) + 1;
        v->near = v > best && v->ci[1] >= best->ci[0];
    }
}

int board_read(struct board *b, const char *dir, struct err *e)
{
    char **run = NULL;
    int rc = list(dir, &run, e);
    for (int i = 0; rc == 0 && run[i]; i++)
        rc = read_run(b, dir, run[i], e);
    free_list(run);
    if (rc == 0)
        rank(b);
    return rc;
}
