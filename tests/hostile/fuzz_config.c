/* fuzz_config - libFuzzer entry: whatever config.json says, it is refused or has a RoPE table and survives .apr
 * metadata (make fuzz) */
#include "hparams.h"
#include "json.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static float table[3 * 4096];
    struct err e = {0};
    struct hparams h, back;
    cJSON *c = json_parse((const char *)p, n, "fuzz", &e), *m = cJSON_CreateObject();
    if (c && m && hparams_from_config(&h, c, NULL, &e) == 0) {
        hparams_rope_table(&h, 0, h.n_ctx, 0, 3, table);
        hparams_rope_table(&h, 1, 1, 0, 3, table);
        if (hparams_to_meta(&h, m, &e) < 0 || hparams_from_meta(&back, m, &e) < 0 ||
            memcmp(&h, &back, sizeof h))
            abort();
    }
    cJSON_Delete(c);
    cJSON_Delete(m);
    return 0;
}
