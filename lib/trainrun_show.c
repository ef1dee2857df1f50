/* trainrun_show - a run for people: the tokens of its first step, and how it goes */
#include "flops.h"
#include "speed.h"
#include "trainrun.h"
#include <stdlib.h>
#include <string.h>

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
        if (trainrun_classifies(r->o) && t == s->n - 1)
            len = strlen(text = d->label[id]);
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

double trainrun_document(const struct trainrun *r)
{
    /* every window of text cuts one document in two */
    const double mean = (double)r->data.n_ids / ((double)r->data.n + (double)r->data.n_record) - 1;
    return mean > 1 ? mean : 1;
}

void trainrun_progress(const struct trainrun *r, double peak, char *line, size_t size)
{
    const struct trainrun_opts *o = r->o;
    const size_t memory = speed_peak();
    const int n =
        snprintf(line, size, "step %ld/%ld, loss %.4f", r->step, r->trainer.total, r->last.loss);
    size_t used = n > 0 && (size_t)n < size ? (size_t)n : 0;
    if (peak > 0 && r->seconds > 0) {
        const double each =
            flops_token(&r->model->h, trainrun_is_full(o), o->recompute, trainrun_document(r));
        const int k = snprintf(line + used, size - used, ", MFU %.1f %% of %.2f TFLOP/s",
                               100 * each * r->tokens / r->seconds / peak, peak / 1e12);
        used += k > 0 && (size_t)k < size - used ? (size_t)k : 0;
    }
    if (memory)
        snprintf(line + used, size - used, ", %.2f GiB", (double)memory / (1 << 30));
}
