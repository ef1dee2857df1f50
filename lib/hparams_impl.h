/* hparams_impl.h - what the readers of the three spellings share */
#ifndef HPARAMS_IMPL_H
#define HPARAMS_IMPL_H
#include "hparams.h"

/* ERR_DATA with key and name if it is no architecture of the table. */
int hparams_set_arch(struct hparams *h, const struct arch *a, const char *key, const char *name,
                     struct err *e);
int hparams_add_stops(struct hparams *h, const cJSON *v, const char *key, struct err *e);
/* A whole number from 0 to INT32_MAX under one of the names; dflt negative: it must be there. */
int hparams_whole(const cJSON *o, const char *const *names, long dflt, int *out, struct err *e);
#define WHOLE(o, out, dflt, e, ...)                                                                \
    hparams_whole(o, (const char *const[]){__VA_ARGS__, NULL}, dflt, out, e)
int32_t hparams_id(const cJSON *o, const char *key, struct err *e); /* -1: none */
/* {"rope_type":"llama3","factor":8,...}: older files say "type". */
int hparams_read_scaling(struct hparams *h, const cJSON *o, const char *key, struct err *e);
#endif
