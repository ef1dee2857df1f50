/* export_impl.h - what the writers of the foreign formats share */
#ifndef EXPORT_IMPL_H
#define EXPORT_IMPL_H
#include "apr.h"
#include "bpe.h"
#include "export.h"
#include "hparams.h"

struct exporter {
    struct apr a;
    struct hparams h;
    struct bpe *tok;            /* NULL: the file has none */
    int pairs;                  /* RoPE of the target: as hparams' rope_pairs */
    struct tensor *out;         /* names of the target; the writer sets type, bytes and data */
    const struct tensor **from; /* (n_from) sources in the order of the tensors that they go to */
    struct export_out {
        int first, n; /* its sources: from[first .. first + n - 1], one after the other */
        int heads;    /* if its rows change their order, else 0 */
        float plus;   /* a norm: what makes the target's value of the source's */
    } * how;          /* of out[i] */
    int n, n_from;    /* there is room for three more of out */
};
/* Open, verify, and gather the tensors that the architecture needs, no more and no fewer, under GGUF's
 * or Hugging Face's names; all refused that neither format's architecture of that name has. */
int export_open(struct exporter *x, const char *in, int gguf, struct err *e);
void export_close(struct exporter *x);
/* out[i] gets this type; its data come from export_fill unless they can be taken as they lie. */
void export_type(struct exporter *x, int i, int type);
int export_fill(void *x, int i, void *buf, struct err *e); /* of struct exporter */
/* What is written at path is shown with its source. */
int export_show(const struct exporter *x, const struct export_look *look, const char *path,
                int loses, struct err *e);
/* Heads of a tensor (by its GGUF name) whose rows follow RoPE, where the model and the target, of pairs or not,
 * disagree; else 0. */
int export_heads(const struct hparams *h, int pairs, const char *gguf);
/* The rows of q or k, of so many heads: from halves to neighbours if pairs, else back. */
void export_permute(const uint8_t *from, uint8_t *to, size_t rows, size_t bytes, int heads,
                    int pairs);
/* dir/name, whole: the writer's text; sha256 (65): its digest, or NULL. */
int export_json(const char *dir, const char *name, struct json_out *j, char *sha256, struct err *e);
/* The tensors as dir/model.safetensors, or, where split allows one file no more, as dir/model-00001-of-0000N.safetensors
 * and so on with their index.  Fills done's sha256 (of the one file or of the index, which has the others') and bytes. */
int export_weights(struct exporter *x, const char *dir, const struct gguf_split *split,
                   struct export_done *done, struct err *e);
#define EXPORT_WEIGHTS "model.safetensors"
#define EXPORT_INDEX   EXPORT_WEIGHTS ".index.json"
/* The text of metadata key, or NULL. */
const char *export_text(const struct exporter *x, const char *key);
#endif
