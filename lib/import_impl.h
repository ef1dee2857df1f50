/* import_impl.h - what the readers of the foreign formats hand to import.c */
#ifndef IMPORT_IMPL_H
#define IMPORT_IMPL_H
#include "bpe.h"
#include "import.h"

struct import {
    const char *path, *format; /* as given; "gguf", "safetensors" */
    struct hparams h;
    struct import_opts opts;
    struct bpe *tok;            /* NULL: none wanted */
    cJSON *meta;                /* name, license and the like; taken over */
    cJSON *vocabulary, *merges; /* lists as aprender reads them; taken over; NULL: left out */
    const char *template;       /* Jinja, or NULL */
    const char *eos;            /* the tokenizer's end token by name, or NULL */
    const char *origin;         /* "hf://ORG/NAME@COMMIT", or NULL */
    uint64_t fp8_block
        [2]; /* rows, columns of a block of FP8 weights with a scale of its own; 0: the model is none of FP8 */
    int gguf_names;
    const void *source;
    const struct tensor *(*find)(const void *source, const char *name);
    int (*ignored)(const struct hparams *h,
                   const char *name); /* tensors that carry nothing; may be NULL */
    const struct tensor *tensor;      /* all of the source */
    int n_tensor;
    const struct mapfile *map; /* files of the source */
    int n_map;
    int (*look)(void *arg, const struct view *v,
                struct err *e); /* shown in place of being written */
    void *look_arg;
    /* import.c's own */
    struct tensor *out;
    const struct tensor **used; /* source of out[i] */
    struct tensor *part;        /* where it is a part of the source's: that part */
    struct tensor *shown;       /* of a view */
};
/* import_fill.c: types and bytes of what is written.  Is FP8 with its scales what we can read? */
int import_fp8_check(const struct import *im, const struct tensor *t, struct err *e);
/* ERR_DATA if a weight of a plain type has scales beside it, which would be left out. */
int import_stray_scale(const struct import *im, const struct tensor *t, struct err *e);
/* The pages of a source tensor leave memory. */
void import_forget(const struct import *im, const struct tensor *t);
int import_types(struct import *im, int n, struct err *e); /* of out[0..n), from used */
int import_fill(void *im, int i, void *buf, struct err *e);
/* Values of an FP8 tensor times their scales. */
int import_fp8(const struct import *im, const struct tensor *w, float *x, struct err *e);

int import_write(struct import *im, const char *out, struct import_done *done, struct err *e);
#endif
