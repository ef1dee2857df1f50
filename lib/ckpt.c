/* ckpt - save and load a training run's state */
#include "ckpt.h"
#include "hash.h"
#include "json.h"
#include "mapfile.h"
#include "outfile.h"
#include "ranks.h"
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
    json_kv_int(&j, "moment_bytes", (long long)(p->m_all + p->v_all));
    json_end(&j, '}');
    return json_take(&j, n);
}

enum { CHUNK = 1 << 20 };

/* Of array `at` n bytes: into the file, or to the first rank. */
static int put_array(struct writer *w, const struct params *p, struct kn_at at, size_t n, char *buf,
                     struct err *e)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i += CHUNK) {
        const size_t len = n - i < CHUNK ? n - i : CHUNK;
        if (kn_read(p->dev, buf, kn_plus(at, i), len))
            rc = err_set(e, ERR_SOFTWARE, "parameters cannot be read");
        else
            rc = w ? put(w, buf, len, e) : ranks_send(p->ranks, 0, buf, len, e);
    }
    return rc;
}

/* Bytes of a moment of rank i's share. */
static size_t share_bytes(const struct params *p, int second, int i, int n)
{
    return params_moment_at(p, params_share(p, i + 1, n), second) -
           params_moment_at(p, params_share(p, i, n), second);
}

static int put_moments(struct writer *w, const struct params *p, int second, char *buf,
                       struct err *e)
{
    const int n = p->ranks ? p->ranks->n : 1;
    int rc = put_array(w, p, second ? p->v : p->m, share_bytes(p, second, 0, n), buf, e);
    for (int k = 1; rc == 0 && k < n; k++)
        for (size_t i = 0, all = share_bytes(p, second, k, n); rc == 0 && i < all; i += CHUNK) {
            const size_t len = all - i < CHUNK ? all - i : CHUNK;
            if ((rc = ranks_recv(p->ranks, k, buf, len, e)) == 0)
                rc = put(w, buf, len, e);
        }
    return rc;
}

static int send_moments(const struct params *p, char *buf, struct err *e)
{
    const int i = p->ranks->rank, n = p->ranks->n;
    int rc = put_array(NULL, p, p->m, share_bytes(p, 0, i, n), buf, e);
    return rc ? rc : put_array(NULL, p, p->v, share_bytes(p, 1, i, n), buf, e);
}

static int write_file(struct writer *w, const char *path, const char *key, const struct params *p,
                      long step, char *buf, struct err *e)
{
    size_t n = 0;
    char *text = header(key, p, step, &n), hex[SHA + 1];
    const uint64_t len = n;
    int rc = text ? outfile_open(&w->o, path, e) : err_set(e, ERR_NOMEM, "%s", path);
    if (rc == 0 && hash_sha256_init(&w->sha) < 0)
        rc = err_set(e, ERR_NOMEM, "%s", path);
    else if (rc == 0) {
        if ((rc = put(w, magic, sizeof magic, e)) == 0 && (rc = put(w, &len, sizeof len, e)) == 0)
            rc = put(w, text, n, e);
        rc = rc ? rc : put_array(w, p, p->w, p->n * sizeof(float), buf, e);
        rc = rc ? rc : put_moments(w, p, 0, buf, e);
        rc = rc ? rc : put_moments(w, p, 1, buf, e);
        hash_sha256_hex(&w->sha, hex);
        if (rc == 0 && (rc = outfile_write(&w->o, hex, SHA, e)) == 0)
            rc = outfile_commit(&w->o, e);
    }
    if (rc)
        outfile_abort(&w->o);
    free(text);
    return rc;
}

int ckpt_save(const char *path, const char *key, const struct params *p, long step, struct err *e)
{
    struct writer w = {0};
    char *buf = malloc(CHUNK);
    int rc;
    if (!buf)
        return err_set(e, ERR_NOMEM, "%s", path);
    if (p->ranks && p->ranks->rank > 0)
        rc = send_moments(p, buf, e);
    else
        rc = write_file(&w, path, key, p, step, buf, e);
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
    const size_t moments = p->m_all + p->v_all, bytes = p->n * sizeof(float) + moments;
    cJSON *v = open_header(m, data, e);
    if (!v)
        return e->code;
    const char *have = json_get_str(v, "key", "", e);
    *step = json_get_int(v, "step", -1, e);
    long n_param = json_get_int(v, "n_param", -1, e),
         n_moment = json_get_int(v, "moment_bytes", -1, e);
    int same = have && strcmp(have, key) == 0;
    cJSON_Delete(v);
    if (e->code)
        return e->code;
    if (!same)
        return 0;
    if (*step < 0 || n_param < 0 || (size_t)n_param != p->n || n_moment < 0 ||
        (size_t)n_moment != moments || m->n != *data + bytes + SHA)
        return err_set(e, ERR_DATA, "%s: %zu bytes, expected %zu", m->path, m->n,
                       *data + bytes + SHA);
    return 1;
}

/* This process's moments out of all. */
static int get_moments(struct params *p, const unsigned char *from, int second)
{
    const size_t begin = params_moment_at(p, p->from, second),
                 end = params_moment_at(p, p->to, second);
    return end > begin ? kn_write(p->dev, second ? p->v : p->m, from + begin, end - begin) : 0;
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
                 get_moments(p, m.p + data + bytes, 0) ||
                 get_moments(p, m.p + data + bytes + p->m_all, 1) || kn_sync(p->dev))
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
