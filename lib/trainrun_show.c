/* trainrun_show - the tokens of a run's first step, with what loss is taken on */
#include "trainrun.h"
#include <stdlib.h>

static void show_sample(struct trainrun *r, FILE *f, uint32_t number)
{
    const struct dataset *d = &r->data;
    const struct dataset_sample *s = &d->s[number];
    const size_t *next = dataset_next(d, s->at), *end = next ? d->record + d->n_record : NULL;
    for (int t = 0, first = 0; t < s->n; t++) {
        const int32_t id = d->ids[s->at + (size_t)t];
        const int begins = next < end && *next == s->at + (size_t)t;
        size_t len = 0;
        const char *text = bpe_token(r->model->tok, id, &len);
        if (begins)
            first = t, next++;
        json_reset(&r->line);
        json_strn(&r->line, text ? text : "", len);
        fprintf(f, "%u\t%d\t%d\t%d\t%.*s\n", number, t - first, id, t >= s->n_prompt && !begins,
                (int)r->line.len, r->line.buf);
    }
}

int trainrun_show(struct trainrun *r, FILE *f, struct err *e)
{
    const long want = r->o->batch * r->o->accum, n = want < r->data.n ? want : r->data.n;
    uint32_t *order = malloc((size_t)r->data.n * sizeof *order);
    if (!order)
        return err_set(e, ERR_NOMEM, "an order of %d samples", r->data.n);
    dataset_order(order, r->data.n, (uint64_t)r->o->seed, 0);
    for (long i = 0; i < n; i++)
        show_sample(r, f, order[i]);
    json_reset(&r->line);
    free(order);
    return 0;
}
