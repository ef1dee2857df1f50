/* memplan.h - how much memory inference or training of a model takes, before anything is loaded
 *
 * A plan reads headers alone: of a .apr or GGUF file, of a SafeTensors folder, or a config.json.  Every size
 * comes from the function that the tools themselves allocate or ask for room with (model_need, forward_bytes,
 * engine_fixed_bytes, backward_bytes, kn_count.h), so that a plan and an admission cannot differ.
 *
 * The total is the most memory resident (VmHWM) of the tool that does the work, when its sequences are as long
 * and as many as the plan says and share no text: pages of the mapped model file that the work keeps reading
 * count as weights, allocated memory that is never touched does not count. */
#ifndef MEMPLAN_H
#define MEMPLAN_H
#include "backward.h"
#include "engine.h"
#include "json.h"
#include "optim.h"
#include "quant.h"
#include <stdio.h>

/* The model: hyper-parameters and the tensors as a .apr made of it has them. */
struct memplan_model {
    struct hparams h;
    struct tensor *tensor; /* (n_tensor) sorted by name, no data; owned */
    int n_tensor;
    char format[16];            /* "apr" "gguf" "safetensors" "config" */
    uint64_t params, bytes;     /* of all tensors */
    size_t tokenizer, metadata; /* bytes in memory */
    int guessed;                /* both, from the number of tokens alone */
};
/* path: see above; mix: types of the weights as apr-quant would write them, or NULL: the source's own (a
 * config.json's "dtype"). ERR_NOINPUT, ERR_DATA, ERR_UNAVAILABLE for what cannot be planned. */
int memplan_open(struct memplan_model *m, const char *path, const struct quant_mix *mix,
                 struct err *e);
void memplan_close(struct memplan_model *m);

enum memplan_method { MEMPLAN_INFERENCE, MEMPLAN_LORA, MEMPLAN_QLORA, MEMPLAN_FULL };
extern const char *const memplan_methods[]; /* their names, then NULL */
struct memplan_conf {
    enum memplan_method method;
    int n_ctx;   /* positions of a sequence; of training, of a sample */
    int batch;   /* sequences at once; of training, samples of a batch */
    int kv_type; /* inference */
    int chunk;
    struct lora_conf lora; /* training */
    int pack, recompute, mixed;
    struct optim optim; /* moment and muon */
    int ranks;          /* that share the moments; 0: 1 */
};
/* Code and data of a tool and of the libraries it is linked with, its stacks and heap: measured, of apr-gen. */
enum { MEMPLAN_PROGRAM = 15 << 19 };
enum { MEMPLAN_LINES = 16 };
struct memplan_line {
    const char *part, *what; /* "weights", "prepared for products" */
    size_t bytes;
    int guessed; /* no formula stands behind it */
};
struct memplan {
    struct memplan_line line[MEMPLAN_LINES];
    int n_line;
    size_t weights, kv, activations, optimizer, other, total; /* sums of lines by part */
    size_t file;                                              /* bytes of the matrices in a file */
    size_t embedding_rows; /* of the total: at most, if every token is another one */
};
/* dev: opened for its arithmetic and threads; nothing is allocated on it. */
int memplan_make(struct memplan *p, const struct memplan_model *m, const struct memplan_conf *c,
                 const struct kn_dev *dev, struct err *e);
/* Shown: the members of a plan/1 record, without its braces; lines for people. */
struct memplan_shown {
    const struct memplan *p;
    const struct memplan_model *m;
    const struct memplan_conf *c;
    const char *path;
    const struct kn_dev *dev;
    size_t room;
};
void memplan_json(struct json_out *j, const struct memplan_shown *x);
void memplan_text(FILE *f, const struct memplan_shown *x);
#endif
