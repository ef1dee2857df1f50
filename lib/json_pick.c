/* json_pick - some members of a large object, without a tree of the rest */
#include "json.h"
#include <string.h>

static const char *blank(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
        p++;
    return p;
}

/* Behind the text that begins at p, or NULL. */
static const char *text_end(const char *p, const char *end)
{
    if (p == end || *p != '"')
        return NULL;
    for (p++; p < end && *p != '"'; p++)
        if (*p == '\\' && ++p == end)
            return NULL;
    return p < end ? p + 1 : NULL;
}

/* Behind the value that begins at p, or NULL. Brackets are counted, not matched: json_parse looks at what is
 * kept. */
static const char *value_end(const char *p, const char *end)
{
    long depth = 0;
    while (p < end) {
        if (*p == '"') {
            if (!(p = text_end(p, end)))
                return NULL;
            if (depth == 0)
                return p;
            continue;
        }
        if (depth == 0 && (*p == ',' || *p == '}' || *p == ']'))
            return p;
        if (*p == '{' || *p == '[')
            depth++;
        else if ((*p == '}' || *p == ']') && --depth == 0)
            return p + 1;
        p++;
    }
    return NULL;
}

static int wanted(const char *key, size_t n, const char *const *keys)
{
    for (; *keys; keys++)
        if (strlen(*keys) == n && !memcmp(*keys, key, n))
            return 1;
    return 0;
}

static cJSON *malformed(cJSON *o, const char *where, struct err *e)
{
    cJSON_Delete(o);
    err_set(e, ERR_DATA, "%s: not a JSON object", where);
    return NULL;
}

cJSON *json_pick(const char *s, size_t n, const char *const *keys, const char *where, struct err *e)
{
    const char *end = s + n, *p = blank(s, end);
    cJSON *o = cJSON_CreateObject();
    if (!o) {
        err_set(e, ERR_NOMEM, "%s: out of memory", where);
        return NULL;
    }
    if (p == end || *p++ != '{')
        return malformed(o, where, e);
    for (p = blank(p, end); p < end && *p != '}';) {
        const char *key = p + 1, *key_end = text_end(p, end), *v, *v_end;
        if (!key_end || (v = blank(key_end, end)) == end || *v != ':')
            return malformed(o, where, e);
        v = blank(v + 1, end);
        if (!(v_end = value_end(v, end)))
            return malformed(o, where, e);
        if (wanted(key, (size_t)(key_end - 1 - key), keys)) {
            char name[64];
            size_t k = (size_t)(key_end - 1 - key);
            cJSON *item = json_parse(v, (size_t)(v_end - v), where, e);
            if (!item || k >= sizeof name) {
                cJSON_Delete(item);
                cJSON_Delete(o);
                return NULL;
            }
            memcpy(name, key, k);
            name[k] = 0;
            if (cJSON_HasObjectItem(o, name)) {
                cJSON_Delete(item);
                cJSON_Delete(o);
                err_set(e, ERR_DATA, "%s: the key \"%s\" occurs twice", where, name);
                return NULL;
            }
            cJSON_AddItemToObject(o, name, item);
        }
        p = blank(v_end, end);
        if (p < end && *p == ',')
            p = blank(p + 1, end);
        else if (p == end || *p != '}')
            return malformed(o, where, e);
    }
    if (p == end || blank(p + 1, end) != end)
        return malformed(o, where, e);
    return o;
}
