/* plugin.h - a backend that is a shared object beside the executable, opened when its device is asked for */
#ifndef KN_PLUGIN_H
#define KN_PLUGIN_H
#include "kernels.h"

/* The table of backend `stem` ("cuda"), from lib/apr/STEM.so in the folder above the executable's or the one
 * above that; no search path is asked.  It stays open.  NULL with the reason in why (size). */
const struct kn_ops *kn_plugin(const char *stem, char *why, size_t size);
/* The file that ops came from; "" if from none. */
const char *kn_plugin_file(const struct kn_ops *ops);
#endif
