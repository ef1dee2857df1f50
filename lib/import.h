/* import.h - a foreign model as a .apr file: weights under Hugging Face's names, tokenizer, template, stop ids
 *
 * Every tensor that the architecture needs must be there with its shape, and no other: a missing, an extra
 * or a misshapen one is ERR_DATA with its name.  Weights are kept byte for byte unless a type is asked for;
 * NaN and infinity are refused. */
#ifndef IMPORT_H
#define IMPORT_H
#include "apr.h"
#include "hparams.h"
#include "quant.h"
#include "view.h"

enum import_type { IMPORT_KEEP, IMPORT_F32, IMPORT_F16, IMPORT_BF16 };
struct import_opts {
    enum import_type type; /* of matrices; norms and biases are only ever widened to F32 */
    int no_tokenizer;      /* weights alone */
    int enforce;           /* refuse what is no original, and bytes that are not the hub's */
    const struct quant_mix *quantize; /* NULL: as type says */
    int threads;                      /* 0: all */
    struct apr_receipt *receipt;      /* NULL: the file has none */
    const struct view *
        *shown; /* gets the source as it is, for the time that receipt->look takes; or NULL */
};
struct import_done {
    char sha256[65];
    uint64_t bytes; /* of the file */
    struct hparams h;
    int origin_known; /* the metadata say which repository and commit it is */
};
/* o: receipt and shown count; NULL: neither. */
int import_gguf(const char *in, const char *out, const struct import_opts *o,
                struct import_done *done, struct err *e);
/* in: a folder, or a .safetensors or .index.json file with config.json and tokenizer.json beside it. */
int import_safetensors(const char *in, const char *out, const struct import_opts *o,
                       struct import_done *done, struct err *e);

/* The tensors of an architecture, i = 0, 1, ...: 1 with Hugging Face's and GGUF's names and the shape, 0 at
 * the end (import_names.c). Parts of one tensor follow each other. */
struct import_want {
    char name[TENSOR_NAME + 1]; /* in .apr */
    char gguf[80], hf[120];     /* in the others */
    int ndim;
    uint64_t dim[2];
    struct import_part { /* where GGUF (or Hugging Face) has it in one tensor with others */
        int gguf, hf,
            stacked; /* stacked: tensor `first` of `whole`, else rows from `first` on of `whole` */
        uint64_t first, whole;
    } part;
    int norm; /* may hold w for a factor of 1 + w */
};
int import_wanted(const struct hparams *h, int i, struct import_want *w);
/* GGUF's name of a matrix of a .apr, of any architecture: 1, or 0 if it has none (or it does not fit). *expert:
 * which of the matrices that GGUF keeps under that one name, -1 if it keeps one. */
int import_gguf_name(const char *name, char *out, size_t size, int *expert);
/* What w asks for as a part of the tensor `whole` (NULL: missing), which its file calls name: in *part, over the same
 * bytes.  NULL: ERR_DATA, it has not the shape. */
const struct tensor *import_part(const struct import_want *w, const struct tensor *whole,
                                 const char *name, struct tensor *part, struct err *e);
/* Is t (NULL: missing), which its file calls name, what w asks for: its shape, weights, finite? ERR_DATA that
 * begins with the tensor; of another type it says "type T" and `refusal`. */
int import_check(const struct import_want *w, const char *name, const struct tensor *t,
                 const char *refusal, struct err *e);
/* Ends of a turn or text that a chat model may write, whatever its files name as eos: the i-th text, NULL at
 * the end. Special tokens of these texts become stop ids; llama.cpp knows them all by their texts too. */
const char *import_end_mark(int i);
#endif
