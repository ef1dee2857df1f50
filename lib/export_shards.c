/* export_shards - the weights of a Hugging Face folder: one file, or several with the index that names the file of each
 * tensor, as transformers writes and reads them */
#include "export_impl.h"
#include "outfile.h"
#include "safetensors.h"
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>

/* One file's share of the exporter's tensors. */
struct shard {
    struct exporter *x;
    int first;
};

static int fill_shard(void *arg, int i, void *buf, struct err *e)
{
    const struct shard *s = arg;
    return export_fill(s->x, s->first + i, buf, e);
}

/* Tensors [first, end) as dir/name. */
static int write_shard(struct exporter *x, const char *dir, const char *name, int first, int end,
                       struct export_done *done, char sha256[65], struct err *e)
{
    char path[PATH_MAX + 64];
    struct shard s = {x, first};
    struct stat st;
    cJSON *meta = cJSON_CreateObject();
    int rc;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (!meta || !cJSON_AddStringToObject(meta, "format", "pt")) /* transformers asks for it */
        rc = err_set(e, ERR_NOMEM, "out of memory");
    else
        rc = safetensors_stream(path, x->out + first, end - first, fill_shard, &s, meta, sha256, e);
    cJSON_Delete(meta);
    if (rc == 0 && stat(path, &st) == 0)
        done->bytes += (uint64_t)st.st_size;
    return rc;
}

static void shard_name(char name[64], int i, int n)
{
    snprintf(name, 64, "model-%05d-of-%05d.safetensors", i + 1, n);
}

/* The digests are there for who checks the index's own: transformers takes no notice of them. */
static int write_index(const struct exporter *x, const char *dir, const int *first, int n,
                       char (*sha256)[65], struct export_done *done, struct err *e)
{
    struct json_out j = {0};
    char name[64];
    uint64_t total = 0;
    for (int i = 0; i < x->n; i++)
        total += x->out[i].bytes;
    json_begin(&j, '{');
    json_key(&j, "metadata");
    json_begin(&j, '{');
    json_kv_int(&j, "total_size", (long long)total);
    json_key(&j, "sha256");
    json_begin(&j, '{');
    for (int i = 0; i < n; i++) {
        shard_name(name, i, n);
        json_kv_str(&j, name, sha256[i]);
    }
    json_end(&j, '}');
    json_end(&j, '}');
    json_key(&j, "weight_map");
    json_begin(&j, '{');
    for (int i = 0; i < n; i++) {
        shard_name(name, i, n);
        for (int k = first[i]; k < first[i + 1]; k++)
            json_kv_str(&j, x->out[k].name, name);
    }
    json_end(&j, '}');
    json_end(&j, '}');
    return export_json(dir, EXPORT_INDEX, &j, done->sha256, e);
}

int export_weights(struct exporter *x, const char *dir, const struct gguf_split *split,
                   struct export_done *done, struct err *e)
{
    int *first = malloc(((size_t)x->n + 1) * sizeof *first), n = 0, rc = 0;
    char(*sha256)[65] = calloc((size_t)x->n + 1, sizeof *sha256), name[64];
    done->bytes = 0;
    if (!first || !sha256) {
        rc = err_set(e, ERR_NOMEM, "out of memory");
        goto done;
    }
    first[0] = 0;
    while (first[n] < x->n) {
        first[n + 1] = gguf_split_end(split, x->out, x->n, first[n]);
        n++;
    }
    if (n <= 1) {
        rc = write_shard(x, dir, EXPORT_WEIGHTS, 0, x->n, done, done->sha256, e);
        goto done;
    }
    if (n > 99999) {
        rc = err_set(e, ERR_CANTCREAT, "%d files, at most 99999", n);
        goto done;
    }
    for (int i = 0; i < n && rc == 0; i++) {
        shard_name(name, i, n);
        rc = write_shard(x, dir, name, first[i], first[i + 1], done, sha256[i], e);
    }
    if (rc == 0)
        rc = write_index(x, dir, first, n, sha256, done, e);
done:
    free(first);
    free(sha256);
    return rc;
}
