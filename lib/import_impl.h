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
    int gguf_names;
    const void *source;
    const struct tensor *(*find)(const void *source, const char *name);
    int (*ignored)(const struct hparams *h,
                   const char *name); /* tensors that carry nothing; may be NULL */
    const struct tensor *tensor;      /* all of the source */
    int n_tensor;
    const struct mapfile *map; /* files of the source */
    int n_map;
    /* import.c's own */
    struct tensor *out;
    const struct tensor **used; /* source of out[i] */
    struct tensor *part;        /* where it is a part of the source's: that part */
};
int import_write(struct import *im, const char *out, struct import_done *done, struct err *e);
#endif
