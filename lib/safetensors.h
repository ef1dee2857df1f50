/* safetensors.h - SafeTensors: one file, or a folder with shards and index.json; and a writer */
#ifndef SAFETENSORS_H
#define SAFETENSORS_H
#include "err.h"
#include "json.h"
#include "mapfile.h"
#include "tensor.h"

struct safetensors {
    struct mapfile *map;
    int n_map;
    struct tensor *tensor; /* sorted by name */
    int n_tensor;
    cJSON *metadata; /* __metadata__ of the first file, or NULL */
};
/* path: a .safetensors file, an .index.json, or a folder that holds model.safetensors(.index.json). */
int safetensors_open(struct safetensors *s, const char *path, struct err *e);
void safetensors_close(struct safetensors *s);
const struct tensor *safetensors_get(const struct safetensors *s, const char *name);
/* Write one file whole. metadata: string -> string object or NULL. */
int safetensors_write(const char *path, const struct tensor *t, int n, const cJSON *metadata,
                      char *sha256, struct err *e);
/* The same where some t[i].data are NULL: fill(arg, i, buf) writes t[i].bytes bytes, one tensor at a time. */
int safetensors_stream(const char *path, const struct tensor *t, int n,
                       int (*fill)(void *arg, int i, void *buf, struct err *e), void *arg,
                       const cJSON *metadata, char *sha256, struct err *e);
#endif
