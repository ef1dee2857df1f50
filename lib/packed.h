/* packed.h - M.apr.packed: a model's weights as a device keeps them, so that the next start need not repack
 *
 * Written whole beside the model by apr-pack; taken by model_load where it belongs to that model (sha256 of
 * its metadata, which hold a hash of every tensor) and to the device's layout.  Each weight has a hash of its
 * own, checked when it is opened.  The file is private to one layout version and one byte order: anything
 * else is passed over, as if it were not there. */
#ifndef PACKED_H
#define PACKED_H
#include "apr.h"
#include "kernels.h"

struct packed;
/* Map path for model a on dev and check it, by the device's number of threads.  1 = *p is there, 0 = no
 * such file or not for this model and device (`why`, 200 bytes, says so; "" if there is no file), negative =
 * an error: the file is damaged, or memory is short. */
int packed_open(struct packed **p, const char *path, const struct apr *a, const struct kn_dev *dev,
                char why[200], struct err *e);
/* The form of the weight made from tensor t, NULL if it holds none; aligned to 64, lives until packed_free. */
const void *packed_find(const struct packed *p, const struct tensor *t, size_t *bytes);
void packed_free(struct packed *p);

/* Write path (outfile): forms of n weights of model a, w[i] made from tensor t[i]. */
int packed_write(const char *path, const struct apr *a, const struct kn_dev *dev,
                 const struct tensor *const *t, const struct kn_weight *const *w, int n,
                 char sha256[65], uint64_t *bytes, struct err *e);
/* "M.apr.packed" into name. -1 if it is too long. */
int packed_path(const char *model, char *name, size_t size);
#endif
