/* hf_apr.h - a Hugging Face folder's weights as an .apr, for tests that need no tokenizer */
#ifndef HF_APR_H
#define HF_APR_H
#include "apr.h"
#include "hparams.h"
#include "safetensors.h"

/* config.json and model.safetensors as an .apr without tokenizer. */
static int convert(const char *dir, const char *out, struct err *e)
{
    char path[600];
    struct hparams h;
    struct safetensors s = {0};
    cJSON *config, *meta = cJSON_CreateObject();
    snprintf(path, sizeof path, "%s/config.json", dir);
    config = json_load(path, e);
    int rc = config ? hparams_from_config(&h, config, NULL, e) : e->code;
    if (rc == 0)
        rc = hparams_to_meta(&h, meta, e);
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    if (rc == 0 && (rc = safetensors_open(&s, path, e)) == 0)
        rc = apr_write(out, meta, s.tensor, s.n_tensor, NULL, NULL, NULL, e);
    safetensors_close(&s);
    cJSON_Delete(config);
    cJSON_Delete(meta);
    return rc;
}
#endif
