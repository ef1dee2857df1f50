/* parity_gate - the comparison before a device is used, and the cache of those that passed */
#include "cache.h"
#include "hash.h"
#include "outfile.h"
#include "parity_impl.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>

void parity_identify(struct parity *p, const struct apr *a, const struct kn_dev *dev)
{
    memset(p, 0, sizeof *p);
    snprintf(p->path, sizeof p->path, "%s", a->path);
    snprintf(p->device, sizeof p->device, "%s", dev->name);
    snprintf(p->hardware, sizeof p->hardware, "%s", dev->hardware);
    char *meta = cJSON_PrintUnformatted(a->meta);
    hash_sha256_mem(meta ? meta : "", meta ? strlen(meta) : 0, p->model);
    free(meta);
    /* the program by its version, a backend of its own by its bytes */
    char hex[65] = "";
    struct err none = {0};
    const char *file = kn_file(dev);
    if (file && hash_sha256_file(file, hex, &none) < 0)
        hex[0] = 0;
    snprintf(p->build, sizeof p->build, "%s%s%.64s", APR_VERSION, *hex ? " " : "", hex);
}

/* What a result depends on, as the name of its file. */
static void key_of(char hex[65], const struct parity *p, const struct apr *a,
                   const struct parity_conf *c)
{
    struct json_out j = {0};
    const struct parity_limits *l[] = {&c->exact, &c->rounded, &c->flt, &c->ref};
    json_begin(&j, '[');
    json_str(&j, "parity gate 2");
    json_str(&j, p->model);
    json_int(&j, (long long)a->map.n);
    json_str(&j, p->device);
    json_str(&j, p->hardware);
    json_str(&j, p->build);
    json_str(&j, c->prompt);
    json_int(&j, c->positions);
    json_int(&j, c->singly);
    for (int i = 0; i < 4; i++) {
        json_num(&j, l[i]->logits);
        json_num(&j, l[i]->tokens);
        json_bool(&j, l[i]->bits);
    }
    json_end(&j, ']');
    hash_sha256_mem(j.buf ? j.buf : "", j.len, hex);
    free(j.buf);
}

/* A receipt that passed: of this key, as its name says, and whole. */
static int passed_before(const char *path)
{
    struct err e = {0};
    cJSON *v = json_load(path, &e);
    const int yes = v && strcmp(json_get_str(v, "schema", "", &e), "parity/1") == 0 &&
                    json_get_bool(v, "passed", 0, &e) && !e.code;
    cJSON_Delete(v);
    return yes;
}

/* Not being able to is no failure: the next start compares again. */
static void remember(const char *path, const struct parity *p)
{
    struct json_out j = {0};
    struct outfile f;
    struct err e = {0};
    parity_json(&j, p);
    if (outfile_open(&f, path, &e) == 0 &&
        (json_line(&j, f.f, &e) < 0 || outfile_commit(&f, &e) < 0))
        outfile_abort(&f);
    free(j.buf);
}

int parity_gate(struct parity *p, const struct apr *a, struct kn_dev *dev,
                const struct parity_conf *c, int threads, int *cached, struct err *e)
{
    struct parity_want w = {.conf = c, .peer = {"cpu"}, .n_peer = 1, .threads = threads};
    struct parity mine;
    char hex[65], name[80], path[PATH_MAX];
    p = p ? p : &mine;
    parity_identify(p, a, dev);
    key_of(hex, p, a, c);
    snprintf(name, sizeof name, "parity/%s.json", hex);
    const int keep = cache_dir(name, path, sizeof path) == 0;
    *cached = keep && passed_before(path);
    if (*cached) {
        p->passed = 1;
        return 0;
    }
    w.made = !dev->exact;
    int rc = parity_compare(p, a, dev, &w, e);
    if (rc == 0 && p->passed && w.made) {
        parity_free(p);
        parity_identify(p, a, dev);
        w.made = 0;
        w.peer[0] = PARITY_FLOAT;
        rc = parity_compare(p, a, dev, &w, e);
    }
    if (rc < 0)
        return rc;
    if (!p->passed)
        rc = err_set(e, ERR_UNAVAILABLE, "%s on %s does not compute what %s does: %s (apr-parity)",
                     a->path, dev->name, p->peer[0].name, p->peer[0].why);
    else if (keep)
        remember(path, p);
    if (p == &mine)
        parity_free(p);
    return rc;
}
