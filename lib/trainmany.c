/* trainmany - runs of training that take turns */
#include "trainmany.h"
#include <stdlib.h>
#include <string.h>

static int room(struct trainmany *t, int n, struct err *e)
{
    *t = (struct trainmany){.run = calloc((size_t)n + 1, sizeof *t->run),
                            .text = calloc(3 * (size_t)n + 1, sizeof *t->text),
                            .done = calloc((size_t)n + 1, sizeof *t->done)};
    return t->run && t->text && t->done ? 0 : err_set(e, ERR_NOMEM, "%d runs", n);
}

int trainmany_one(struct trainmany *t, const struct trainrun_opts *o, struct err *e)
{
    int rc = room(t, 1, e);
    if (rc)
        return rc;
    t->run[t->n++] =
        (struct trainrun){.data_path = o->data, .out = o->out, .metrics_path = o->metrics};
    return 0;
}

static char *keep(struct trainmany *t, const char *s, size_t n)
{
    char *copy = strndup(s, n);
    if (copy)
        t->text[t->n_text++] = copy;
    return copy;
}

/* The name of a run's metrics: every % of the pattern is its OUT. */
static char *metrics(struct trainmany *t, const char *pattern, const char *out)
{
    char *text = NULL, *kept;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    for (const char *p = pattern; f && *p; p++)
        if (*p == '%')
            fputs(out, f);
        else
            putc(*p, f);
    if (!f || fclose(f))
        return NULL;
    kept = keep(t, text, n);
    free(text);
    return kept;
}

/* "DATA:OUT" of n characters. */
static int add(struct trainmany *t, const struct trainrun_opts *o, const char *item, size_t n,
               struct err *e)
{
    const char *const colon = memrchr(item, ':', n);
    struct trainrun *r = &t->run[t->n];
    size_t len = colon ? n - (size_t)(colon - item) - 1 : 0;
    while (len > 1 && colon[len] == '/')
        len--;
    if (!colon || colon == item || len == 0)
        return err_set(e, ERR_USAGE, "--adapters: '%.*s': expected DATA:OUT", (int)n, item);
    r->data_path = keep(t, item, (size_t)(colon - item));
    r->out = keep(t, colon + 1, len);
    if (r->out && o->metrics)
        r->metrics_path = metrics(t, o->metrics, r->out);
    if (!r->data_path || !r->out || (o->metrics && !r->metrics_path))
        return err_set(e, ERR_NOMEM, "--adapters");
    for (int i = 0; i < t->n; i++)
        if (strcmp(t->run[i].out, r->out) == 0)
            return err_set(e, ERR_USAGE, "--adapters: two are to be written to %s", r->out);
    t->n++;
    return 0;
}

int trainmany_parse(struct trainmany *t, const struct trainrun_opts *o, const char *const *list,
                    int n, struct err *e)
{
    int most = 0;
    for (int i = 0; i < n; i++) {
        most++;
        for (const char *p = list[i]; *p; p++)
            most += *p == ',';
    }
    if (room(t, most, e))
        return e->code;
    for (int i = 0; i < n; i++)
        for (const char *p = list[i];;) {
            const size_t len = strcspn(p, ",");
            if (add(t, o, p, len, e))
                return e->code;
            if (!p[len])
                break;
            p += len + 1;
        }
    return 0;
}

int trainmany_new(struct trainmany *t, const struct trainrun_opts *o, struct model *m,
                  const char *base, void (*tell)(void *out, const char *line), struct err *e)
{
    for (int i = 0; i < t->n; i++) {
        struct trainrun *r = &t->run[i];
        r->tell = tell;
        r->arg = t->n > 1 ? (void *)(uintptr_t)r->out : NULL;
        r->with = i ? &t->run[0] : NULL;
        if (trainrun_new(r, o, m, base, e))
            return e->code;
    }
    return 0;
}

int trainmany_step(struct trainmany *t, struct trainrun **at, int *last, struct err *e)
{
    int left = 0;
    while (t->done[t->turn]) /* there is one: else 0 was returned */
        t->turn = (t->turn + 1) % t->n;
    *at = &t->run[t->turn];
    int rc = trainrun_step(*at, e);
    if (rc < 0)
        return t->n > 1 ? err_prefix(e, "%s", (*at)->out) : rc;
    *last = t->done[t->turn] = rc == 0;
    t->turn = (t->turn + 1) % t->n;
    for (int i = 0; i < t->n; i++)
        left += !t->done[i];
    return left > 0;
}

void trainmany_free(struct trainmany *t)
{
    for (int i = t->n - 1; i >= 0; i--) /* the first one's memory is the others' too */
        trainrun_free(&t->run[i]);
    for (int i = 0; i < t->n_text; i++)
        free(t->text[i]);
    free(t->run);
    free(t->text);
    free(t->done);
    memset(t, 0, sizeof *t);
}
