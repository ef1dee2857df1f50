/* rank - choose one of several samples of a task */
#include "rank.h"
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int has_code(const struct rank_sample *s)
{
    for (const char *p = s->code; *p; p++)
        if (!isspace((unsigned char)*p))
            return 1;
    return 0;
}

/* Higher mean log-probability, then lower number. An unknown one is below all. */
static int likelier(const struct rank_sample *a, const struct rank_sample *b)
{
    double x = isnan(a->logprob) ? -INFINITY : a->logprob,
           y = isnan(b->logprob) ? -INFINITY : b->logprob;
    return x != y ? x > y : a->sample < b->sample;
}

/* ---- majority ---- */

static const char *output(const cJSON *o)
{
    return cJSON_IsString(o) ? o->valuestring : "!";
}

/* 1 if there is a result on some input. */
static int works(const struct rank_sample *s)
{
    const cJSON *o;
    cJSON_ArrayForEach(o, s->outputs) if (output(o)[0] != '!') return 1;
    return 0;
}

/* An order in which equal behaviour stands together. */
static int by_outputs(const struct rank_sample *a, const struct rank_sample *b)
{
    const cJSON *x = a->outputs ? a->outputs->child : NULL,
                *y = b->outputs ? b->outputs->child : NULL;
    for (; x && y; x = x->next, y = y->next) {
        int c = strcmp(output(x), output(y));
        if (c)
            return c;
    }
    return !!x - !!y;
}

static int compare(const void *a, const void *b)
{
    const struct rank_sample *x = *(const struct rank_sample *const *)a,
                             *y = *(const struct rank_sample *const *)b;
    int c = by_outputs(x, y);
    return c ? c : likelier(y, x) - likelier(x, y);
}

static int majority(const struct rank_sample *v, int n, char *reason, struct err *e)
{
    const struct rank_sample **order = malloc((size_t)n * sizeof *order), *best = NULL;
    int size = 0, working = 0;
    if (!order)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (int i = 0; i < n; i++)
        order[i] = &v[i];
    qsort(order, (size_t)n, sizeof *order, compare);
    for (int i = 0, k; i < n; i = k) { /* the first of a group is its likeliest */
        int w = works(order[i]);
        for (k = i + 1; k < n && by_outputs(order[i], order[k]) == 0; k++)
            ;
        int better = !best || (w != working    ? w
                               : k - i != size ? k - i > size
                                               : likelier(order[i], best));
        if (better) {
            best = order[i];
            size = k - i;
            working = w;
        }
    }
    free(order);
    if (working)
        snprintf(reason, RANK_REASON, "%d of %d behave alike", size, n);
    else
        snprintf(reason, RANK_REASON, "none returns anything");
    return (int)(best - v);
}

int rank_choose(enum rank_by by, const struct rank_sample *v, int n, char reason[RANK_REASON],
                struct err *e)
{
    int best = 0;
    if (by == RANK_MAJORITY)
        return majority(v, n, reason, e);
    for (int i = 1; i < n; i++) {
        const struct rank_sample *a = &v[i], *b = &v[best];
        int code = by == RANK_FIRST ? 0 : has_code(a) - has_code(b), better;
        if (by == RANK_LOGPROB)
            better = likelier(a, b);
        else if (by == RANK_SHORTEST && strlen(a->code) != strlen(b->code))
            better = strlen(a->code) < strlen(b->code);
        else
            better = a->sample < b->sample;
        if (code ? code > 0 : better)
            best = i;
    }
    if (by == RANK_LOGPROB)
        snprintf(reason, RANK_REASON, "mean %.6f over %ld tokens", v[best].logprob, v[best].tokens);
    else if (by == RANK_SHORTEST)
        snprintf(reason, RANK_REASON, "%zu bytes", strlen(v[best].code));
    else
        snprintf(reason, RANK_REASON, "lowest number");
    return best;
}

int rank_label(char *buf, size_t size, const cJSON *record, const char *label)
{
    const cJSON *rank = cJSON_GetObjectItemCaseSensitive(record, "rank"),
                *old = cJSON_GetObjectItemCaseSensitive(rank, "label");
    int n = cJSON_IsString(old) ? snprintf(buf, size, "%s, then %s", old->valuestring, label)
                                : snprintf(buf, size, "%s", label);
    return n < 0 || (size_t)n >= size ? -1 : 0;
}
