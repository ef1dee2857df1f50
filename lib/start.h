/* start.h - a model on the device that a tool was asked for: opened, loaded, and checked before it is used */
#ifndef START_H
#define START_H
#include "model.h"

/* dev_open and model_load for inference.  A device other than cpu and ref has to compute what the CPU does (parity.h):
 * if it does not, ERR_UNAVAILABLE.  flags: KN_W_* and what model_load takes; START_EXACT: of a device with an exact mode
 * that one ("cuda" is "cuda:exact").  Device "auto" is the first of cuda, vulkan and cpu that opens, loads the model and
 * passes; which one it is, and why not those before, is said (cli_warn).  The caller frees both. */
enum { START_EXACT = 1 << 17 };
int start_model(struct model *m, struct kn_dev **dev, const char *path, const char *device,
                int threads, int flags, int n_ctx, struct err *e);
#endif
