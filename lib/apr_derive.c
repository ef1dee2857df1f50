/* apr_derive - the metadata of a model made from another: what is carried on, what is not, and the step that made it */
#include "apr.h"
#include "cli.h"
#include <stdlib.h>

cJSON *apr_derive_meta(const cJSON *meta, struct err *e)
{
    cJSON *m = cJSON_Duplicate(meta, 1), *list = NULL, *step = cJSON_CreateObject(), *args = NULL;
    char *text = cli_args_json();
    if (m) {
        list = cJSON_GetObjectItemCaseSensitive(m, "provenance");
        if (!cJSON_IsArray(list)) {
            cJSON_DeleteItemFromObjectCaseSensitive(m, "provenance");
            list = cJSON_AddArrayToObject(m, "provenance");
        }
        /* of the source file, not of the copy */
        cJSON_DeleteItemFromObjectCaseSensitive(m, "tensor_types");
        cJSON_DeleteItemFromObjectCaseSensitive(m, "tensor_xxh64");
        cJSON_DeleteItemFromObjectCaseSensitive(m, "receipt");
    }
    if (!m || !list || !step || !cJSON_AddStringToObject(step, "tool", cli_name()) ||
        !cJSON_AddStringToObject(step, "version", APR_VERSION)) {
        cJSON_Delete(m);
        cJSON_Delete(step);
        free(text);
        err_set(e, ERR_NOMEM, "out of memory");
        return NULL;
    }
    if (text && (args = cJSON_Parse(text))) {
        /* equal work gives equal bytes: where it was written, how many threads helped and how memory was
         * used do not count */
        static const char *const place[] = {"output",  "threads",   "plan",      "device",
                                            "metrics", "recompute", "save-every"};
        for (size_t i = 0; i < sizeof place / sizeof *place; i++)
            cJSON_DeleteItemFromObjectCaseSensitive(args, place[i]);
        cJSON_AddItemToObject(step, "args", args);
    }
    free(text);
    cJSON_AddItemToArray(list, step);
    return m;
}
