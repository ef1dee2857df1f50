/* card.h - a model card: where a model comes from, how it was made, on what data, what it scores
 *
 * Everything is read from a run's sidecars and records; what they do not say is said to be not known.
 * The front matter follows the Hub's model card specification
 * (github.com/huggingface/hub-docs, modelcard.md and docs/hub/model-cards.md). */
#ifndef CARD_H
#define CARD_H
#include "receipt.h"
#include "report.h"

enum { CARD_STAGES = 64, CARD_DATA = 64 };
struct card_ask {            /* NULL or "" = not given */
    const char *const *path; /* one folder of a run, or files of records */
    int n_path;
    const char *name, *run, *base, *license, *recipe, *decontam;
    const char *const *language, *const *tag;
    int n_language, n_tag;
};
struct card_data {
    const struct receipt *file;
    char entry[64], licence[64], origin[256]; /* of the catalog; "" = not in it */
    long records;
    const char *role;   /* "training", "validation", "data" */
    int decontaminated; /* made by data-decontam, or named by the receipt that was given */
};
struct card {
    struct card_ask ask;
    struct report report;
    struct receipts receipts;
    char name[256], recipe[128], model[128]; /* recipe and model of the folder RECIPE@MODEL */
    char base[256], base_licence[64], base_origin[512]; /* base: id on the Hub; "" = none */
    char recipe_path[4096];                             /* "" = not found */
    const char
        *relation; /* finetune, adapter, quantized, merge; NULL = the base itself or unknown */
    int run;       /* whose scores are the model's; -1 = none */
    const struct receipt *weights;            /* NULL = the sidecars do not lead to them */
    const struct receipt *stage[CARD_STAGES]; /* that made the weights, first to last */
    int n_stage;
    struct card_data data[CARD_DATA];
    int n_data;
    cJSON *decontam;
};
/* Gather. ERR_DATA for damaged records, or a decontamination receipt that names none of the data;
 * ERR_NOINPUT; ERR_CONFIG for a bad page of configs. */
/* A name as recipes and models have it, which a command line can hold as it is. */
int card_name_ok(const char *s);
int card_read(struct card *c, const struct card_ask *ask, struct err *e);
int card_write(const struct card *c, FILE *out, struct err *e);
void card_free(struct card *c);
#endif
