/* ckpt.h - a training run's state in one file, written whole: resume is exact
 *
 * magic "APRCKPT1", u64 length of a JSON header {key, step, n_param, moment_bytes}, the header, then
 * the weights as f32 and both moments as they are (optim.h), then the sha256 of all before.  The order of the data,
 * dropout and the learning rate follow from the step, so nothing else is kept.  Little-endian.
 *
 * With ranks the first one writes all shares, so that the file is the same for any number of them; the others send it
 * theirs, and each reads its own from the file. */
#ifndef CKPT_H
#define CKPT_H
#include "params.h"

/* key: what must be equal for a resume to make sense (arguments and inputs' digests).  p after optim_begin.  Every rank
 * calls it. */
int ckpt_save(const char *path, const char *key, const struct params *p, long step, struct err *e);
/* The key of the checkpoint there and its step; "" if there is none. */
int ckpt_key(const char *path, char *key, size_t size, long *step, struct err *e);
/* 1: loaded into p, *step set; 0: no file, or one of another run; ERR_DATA: damaged. */
int ckpt_load(const char *path, const char *key, struct params *p, long *step, struct err *e);
#endif
