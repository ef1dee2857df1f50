/* receipt - sidecars read and followed back to the first inputs */
#include "receipt.h"
#include "hash.h"
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void receipts_free(struct receipts *r)
{
    for (int i = 0; i < r->n; i++) {
        free(r->v[i].path);
        cJSON_Delete(r->v[i].meta);
    }
    free(r->v);
    memset(r, 0, sizeof *r);
}

const struct receipt *receipts_by_sha256(const struct receipts *r, const char *sha256)
{
    for (int i = 0; i < r->n && sha256[0]; i++)
        if (strcmp(r->v[i].sha256, sha256) == 0)
            return &r->v[i];
    return NULL;
}

static const char *text(const cJSON *meta, const char *key)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(meta, key);
    return cJSON_IsString(v) ? v->valuestring : "";
}

int receipt_input(const struct receipt *v, int k, const char **path, const char **sha256)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(v->meta, "inputs");
    const cJSON *in = cJSON_GetArrayItem(list, k);
    *path = text(in, "path");
    *sha256 = text(in, "sha256");
    return in != NULL;
}

/* PATH.meta.json, or for a file in a folder that is one artifact, FOLDER.meta.json. 0 = none. */
static int sidecar(const char *path, char side[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    if ((size_t)snprintf(side, PATH_MAX, "%s.meta.json", path) < PATH_MAX && !access(side, R_OK))
        return 1;
    return slash && slash != path &&
           snprintf(side, PATH_MAX, "%.*s.meta.json", (int)(slash - path), path) < PATH_MAX &&
           !access(side, R_OK);
}

static void read_sidecar(struct receipt *v)
{
    char side[PATH_MAX];
    struct err ignored = {0};
    v->tool = v->version = v->host = v->device = v->end = "";
    v->seconds = NAN;
    if (!sidecar(v->path, side))
        return;
    v->meta = json_load(side, &ignored);
    if (!v->meta || strcmp(text(v->meta, "schema"), "meta/1")) {
        cJSON_Delete(v->meta);
        v->meta = NULL;
        v->state = RECEIPT_DAMAGED;
        return;
    }
    const cJSON *seconds = cJSON_GetObjectItemCaseSensitive(v->meta, "seconds");
    v->tool = text(v->meta, "tool");
    v->version = text(v->meta, "version");
    v->host = text(v->meta, "host");
    v->device = text(v->meta, "device");
    v->end = text(v->meta, "end");
    v->seconds = cJSON_IsNumber(seconds) ? seconds->valuedouble : NAN;
    v->state = !v->sha256[0] || strcmp(text(v->meta, "sha256"), v->sha256) == 0 ? RECEIPT_OK
                                                                                : RECEIPT_CHANGED;
}

static int add(struct receipts *r, const char *path, const char *sha256, int direct, struct err *e)
{
    for (int i = 0; i < r->n; i++)
        if (strcmp(r->v[i].path, path) == 0 && strcmp(r->v[i].sha256, sha256) == 0) {
            r->v[i].direct |= direct;
            return 0;
        }
    if (r->n == RECEIPTS) {
        r->left_out++;
        return 0;
    }
    if (r->n == r->cap) {
        struct receipt *v = realloc(r->v, (size_t)(r->cap + 64) * sizeof *v);
        if (!v)
            return err_set(e, ERR_NOMEM, "out of memory");
        r->v = v;
        r->cap += 64;
    }
    struct receipt *v = &r->v[r->n];
    *v = (struct receipt){.path = strdup(path), .direct = direct};
    if (!v->path)
        return err_set(e, ERR_NOMEM, "out of memory");
    if (strlen(sha256) == 64)
        memcpy(v->sha256, sha256, 65);
    r->n++;
    read_sidecar(v);
    return 0;
}

int receipts_add(struct receipts *r, const char *path, struct err *e)
{
    struct stat st;
    char hex[65] = "";
    int rc;
    if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && (rc = hash_sha256_file(path, hex, e)) < 0)
        return rc;
    return add(r, path, hex, 1, e);
}

int receipts_note(struct receipts *r, const char *path, struct err *e)
{
    struct stat st;
    int before = r->n, rc = add(r, path, "", 1, e);
    if (rc < 0 || r->n == before || !r->v[before].meta)
        return rc;
    struct receipt *v = &r->v[before];
    const cJSON *bytes = cJSON_GetObjectItemCaseSensitive(v->meta, "bytes");
    if (strlen(text(v->meta, "sha256")) == 64)
        memcpy(v->sha256, text(v->meta, "sha256"), 65);
    if (stat(path, &st) ||
        (S_ISREG(st.st_mode) && cJSON_IsNumber(bytes) && bytes->valuedouble != (double)st.st_size))
        v->state = RECEIPT_CHANGED;
    return 0;
}

int receipts_follow(struct receipts *r, struct err *e)
{
    const char *path, *sha256;
    int rc;
    for (int i = 0; i < r->n; i++) /* r->n grows */
        for (int k = 0; receipt_input(&r->v[i], k, &path, &sha256); k++)
            if ((rc = add(r, path, sha256, 0, e)) < 0)
                return rc;
    return 0;
}
