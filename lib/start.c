/* start - a model on the device that was asked for, or on the best one that does it */
#include "start.h"
#include "cli.h"
#include "dev.h"
#include "parity.h"
#include <string.h>

static int check(const char *path, struct kn_dev *dev, int threads, struct err *e)
{
    struct parity_conf c;
    struct apr a;
    int cached, rc = parity_conf_load(&c, NULL, e);
    if (rc < 0)
        return rc;
    if ((rc = apr_open(&a, path, e)) == 0) {
        rc = parity_gate(NULL, &a, dev, &c, threads, &cached, e);
        apr_close(&a);
    }
    parity_conf_free(&c);
    return rc;
}

static int start_one(struct model *m, struct kn_dev **dev, const char *path, const char *device,
                     int threads, int flags, int n_ctx, struct err *e)
{
    const int exact = flags & START_EXACT && strcmp(device, "cuda") == 0;
    int rc = dev_open(dev, exact ? "cuda:exact" : device, threads, e);
    if (rc < 0)
        return rc;
    if (kn_file(*dev)) /* not cpu or ref, which others are compared with */
        rc = check(path, *dev, threads, e);
    if (rc == 0)
        rc = model_load(m, path, *dev, flags & ~START_EXACT, n_ctx, e);
    if (rc < 0) {
        kn_close(*dev);
        *dev = NULL;
    }
    return rc;
}

int start_model(struct model *m, struct kn_dev **dev, const char *path, const char *device,
                int threads, int flags, int n_ctx, struct err *e)
{
    static const char *const order[] = {"cuda", "vulkan", "cpu"};
    enum { N = sizeof order / sizeof *order };
    if (strcmp(device, "auto") != 0)
        return start_one(m, dev, path, device, threads, flags, n_ctx, e);
    for (int i = 0; i < N; i++) {
        struct err why = {0};
        const int rc = start_one(m, dev, path, order[i], threads, flags, n_ctx, &why);
        if (rc == 0) {
            cli_warn("device auto: %s%s%s", (*dev)->name, (*dev)->hardware[0] ? ", " : "",
                     (*dev)->hardware);
            return 0;
        }
        /* a damaged model is that on every device */
        if (i == N - 1 || (rc != ERR_UNAVAILABLE && rc != ERR_NOMEM)) {
            *e = why;
            return rc;
        }
        cli_warn("device auto: not %s: %s", order[i], why.msg);
    }
    return ERR_SOFTWARE;
}
