/* ckpt - save and load a training run's state */
#include "ckpt.h"
#include "hash.h"
#include "json.h"
#include "mapfile.h"
#include "outfile.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char magic[8] = "APRCKPT1";
enum { SHA = 64 };

struct writer {
    struct outfile o;
    struct hash_sha256 sha;
};

static int put(struct writer *w, const void *from, size_t n, struct err *e)
{
    hash_sha256_add(&w->sha, from, n);
    return outfile_write(&w->o, from, n, e);
}

static char *header(const char *key, const struct params *p, long step, size_t *n)
{
    struct json_out j = {0};
    json_begin(&j, '{');
    json_kv_str(&j, "key", key);
    json_kv_int(&j, "step", step);
    json_kv_int(&j, "n_param", (long long)p->n);
    json_end(&j, '}');
    return json_take(&j, n);
}

int ckpt_save(const char *path, const char *key, const struct params *p, long step, struct err *e)
{
    struct writer w = {0};
    size_t n = 0, bytes = p->n * sizeof(float);
    char *text = header(key, p, step, &n), hex[SHA + 1];
    void *buf = malloc(bytes ? bytes : 1);
    uint64_t len = n;
    int rc = text && buf ? outfile_open(&w.o, path, e) : err_set(e, ERR_NOMEM, "%s", path);
    if (rc == 0 && hash_sha256_init(&w.sha) < 0)
        rc = err_set(e, ERR_NOMEM, "%s", path);
    else if (rc == 0) {
        const struct kn_at at[] = {p->w, p->m, p->v};
        if ((rc = put(&w, magic, sizeof magic, e)) == 0 && (rc = put(&w, &len, sizeof len, e)) == 0)
            rc = put(&w, text, n, e);
        for (int i = 0; rc == 0 && i < 3; i++)
            rc = kn_read(p->dev, buf, at[i], bytes)
                     ? err_set(e, ERR_SOFTWARE, "%s: parameters cannot be read", path)
                     : put(&w, buf, bytes, e);
        hash_sha256_hex(&w.sha, hex);
        if (rc == 0 && (rc = outfile_write(&w.o, hex, SHA, e)) == 0)
            rc = outfile_commit(&w.o, e);
    }
    if (rc)
        outfile_abort(&w.o);
    free(text);
    free(buf);
    return rc;
}

/* The header; *data: where what follows it begins. */
static cJSON *open_header(const struct mapfile *m, size_t *data, struct err *e)
{
    uint64_t len;
    size_t fixed = sizeof magic + sizeof len;
    if (m->n < fixed + SHA || memcmp(m->p, magic, sizeof magic)) {
        err_set(e, ERR_DATA, "%s: no checkpoint", m->path);
        return NULL;
    }
    memcpy(&len, m->p + sizeof magic, sizeof len);
    if (len > m->n - fixed - SHA) {
        err_set(e, ERR_DATA, "%s: truncated in its header", m->path);
        return NULL;
    }
    *data = fixed + (size_t)len;
    return json_parse((const char *)m->p + fixed, (size_t)len, m->path, e);
}

static int read_header(const struct mapfile *m, const char *key, const struct params *p, long *step,
                       size_t *data, struct err *e)
{
    size_t bytes = 3 * p->n * sizeof(float);
    cJSON *v = open_header(m, data, e);
    if (!v)
        return e->code;
    const char *have = json_get_str(v, "key", "", e);
    *step = json_get_int(v, "step", -1, e);
    long n_param = json_get_int(v, "n_param", -1, e);
    int same = have && strcmp(have, key) == 0;
    cJSON_Delete(v);
    if (e->code)
        return e->code;
    if (!same)
        return 0;
    if (*step < 0 || n_param < 0 || (size_t)n_param != p->n || m->n != *data + bytes + SHA)
        return err_set(e, ERR_DATA, "%s: %zu bytes, expected %zu", m->path, m->n,
                       *data + bytes + SHA);
    return 1;
}

int ckpt_load(const char *path, const char *key, struct params *p, long *step, struct err *e)
{
    struct mapfile m = {0};
    size_t data = 0, bytes = p->n * sizeof(float);
    char hex[SHA + 1];
    if (access(path, F_OK))
        return 0;
    int rc = mapfile_open(&m, path, e);
    if (rc < 0)
        return rc;
    rc = read_header(&m, key, p, step, &data, e);
    if (rc == 1) {
        hash_sha256_mem(m.p, m.n - SHA, hex);
        if (memcmp(hex, m.p + m.n - SHA, SHA))
            rc = err_set(e, ERR_DATA, "%s: damaged: its sha256 is %.16s..., expected %.16s...",
                         path, hex, (const char *)m.p + m.n - SHA);
        else if (kn_write(p->dev, p->w, m.p + data, bytes) ||
                 kn_write(p->dev, p->m, m.p + data + bytes, bytes) ||
                 kn_write(p->dev, p->v, m.p + data + 2 * bytes, bytes) || kn_sync(p->dev))
            rc = err_set(e, ERR_SOFTWARE, "%s: parameters cannot be written to %s", path,
                         p->dev->name);
    }
    mapfile_close(&m);
    return rc;
}

int ckpt_key(const char *path, char *key, size_t size, long *step, struct err *e)
{
    struct mapfile m = {0};
    size_t data;
    key[0] = 0;
    if (access(path, F_OK))
        return 0;
    int rc = mapfile_open(&m, path, e);
    if (rc < 0)
        return rc;
    cJSON *v = open_header(&m, &data, e);
    if (v) {
        snprintf(key, size, "%s", json_get_str(v, "key", "", e));
        *step = json_get_int(v, "step", -1, e);
    }
    cJSON_Delete(v);
    mapfile_close(&m);
    return e->code;
}
