/* apr_meta.h - the metadata of a .apr as a tree in which large lists stay text */
#ifndef APR_META_H
#define APR_META_H
#include "err.h"
#include "json.h"

/* json_parse, but a member of the object that is a large array of strings, as the vocabulary is, becomes
 * a cJSON_Raw: checked, carried on and printed byte for byte, but not taken apart. */
cJSON *apr_meta_parse(const char *s, size_t n, const char *where, struct err *e);
#endif
