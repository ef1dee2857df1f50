/* dev.h - a device for a tool: opened by name, and what a failed call of kernels.h means for it */
#ifndef DEV_H
#define DEV_H
#include "err.h"
#include "kernels.h"

/* kn_open; ERR_UNAVAILABLE with the backend's reason. */
int dev_open(struct kn_dev **d, const char *name, int threads, struct err *e);
/* What to answer for rc < 0 of a kn_ call on d, `what` said first: ERR_NOMEM, or ERR_UNAVAILABLE for what the
 * backend does not have and for a device that failed. */
int dev_failed(const struct kn_dev *d, const char *what, int rc, struct err *e);
#endif
