/* chat_model - the conversations of a loaded model: its template, or the format that its file names */
#include "chat_model.h"

static const char *template_of(const struct model *m)
{
    const cJSON *t = cJSON_GetObjectItemCaseSensitive(m->file.meta, "chat_template");
    return cJSON_IsString(t) ? t->valuestring : NULL;
}

int model_has_chat(const struct model *m)
{
    return m->chat_format || template_of(m);
}

int model_chat(struct chat **c, const struct model *m, struct err *e)
{
    struct chat_source s = {.name = m->file.path ? m->file.path : "model",
                            .template = template_of(m),
                            .format = m->chat_format,
                            .system = m->chat_system};
    s.special = cJSON_GetObjectItemCaseSensitive(m->file.meta, "special_tokens");
    return chat_open(c, &s, m->tok, e);
}
