/* dev - open a device, and turn its failures into errors with the backend's reason */
#include "dev.h"

int dev_open(struct kn_dev **d, const char *name, int threads, struct err *e)
{
    const int rc = kn_open(d, name, threads);
    const char *why = rc < 0 ? kn_why(NULL) : "";
    if (rc == 0)
        return 0;
    return err_set(e, rc == KN_ENOMEM ? ERR_NOMEM : ERR_UNAVAILABLE, "device %s: %s%s%s", name,
                   kn_strerror(rc), *why ? ": " : "", why);
}

int dev_failed(const struct kn_dev *d, const char *what, int rc, struct err *e)
{
    const char *why = kn_why(d);
    return err_set(e, rc == KN_ENOMEM ? ERR_NOMEM : ERR_UNAVAILABLE, "%s on %s: %s%s%s", what,
                   d->name, kn_strerror(rc), *why ? ": " : "", why);
}
