/* trainrun_key - the digest of all that a run's result depends on */
#include "hash.h"
#include "trainrun.h"
#include <stdlib.h>
#include <string.h>

static void add_samples(struct hash_sha256 *h, const struct dataset *d)
{
    hash_sha256_add(h, &d->n, sizeof d->n);
    for (int i = 0; i < d->n; i++) {
        const struct dataset_sample *s = &d->s[i];
        const int shape[2] = {s->n, s->n_prompt};
        hash_sha256_add(h, shape, sizeof shape);
        hash_sha256_add(h, d->ids + s->at, (size_t)s->n * sizeof *d->ids);
    }
    for (int i = 0; i < d->n_label; i++)
        hash_sha256_add(h, d->label[i], strlen(d->label[i]) + 1);
    for (size_t i = 0; i < d->n_record; i++) {
        const uint64_t at = d->record[i];
        hash_sha256_add(h, &at, sizeof at);
    }
}

/* Threads, paths of outputs and the like are left out. */
int trainrun_key(struct trainrun *r, const char *base, struct err *e)
{
    const struct trainrun_opts *o = r->o;
    char text[1024];
    struct hash_sha256 h, data;
    char hex[65], *meta = cJSON_PrintUnformatted(r->model->file.meta); /* has the tensors' hashes */
    if (!meta || hash_sha256_init(&h) < 0 || hash_sha256_init(&data) < 0)
        return err_set(e, ERR_NOMEM, "%s", base);
    hash_sha256_add(&h, meta, strlen(meta));
    free(meta);
    snprintf(
        text, sizeof text,
        "%s|%zu|%ld %.17g %.17g %d %u %s|%.17g %ld %ld %ld %.17g %s %.17g %.17g|%ld %ld %ld %ld "
        "%s|%.17g %.17g %d|%ld %ld %s|%s %d|%.300s|%s %s",
        o->method, r->model->file.map.n, o->rank, o->alpha, o->dropout, o->rslora,
        r->lora.c.targets, r->model->dev->name, o->lr, o->epochs, o->batch, o->accum, o->warmup,
        o->schedule, o->weight_decay, o->clip, o->max_seq_len, o->seed, o->max_steps, o->pack,
        o->precision, o->ratio, o->decay, o->dora, o->eval_every, o->patience, o->keep, o->task,
        o->prompt_loss, o->eval_bench ? o->eval_bench : "", o->optim, o->optim_state);
    if (r->lora.c.pattern)
        hash_sha256_add(&h, r->lora.c.pattern, strlen(r->lora.c.pattern));
    hash_sha256_add(&h, text, strlen(text));
    add_samples(&data, &r->data);
    add_samples(&data, &r->val);
    hash_sha256_hex(&h, r->key);
    hash_sha256_hex(&data, hex);
    memcpy(r->key + TRAINRUN_KEY_OPTS, hex, 64 - TRAINRUN_KEY_OPTS);
    return 0;
}
