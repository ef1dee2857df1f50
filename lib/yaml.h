/* yaml.h - the strict YAML subset of recipes and configs, over libyaml
 *
 * Block maps and lists, plain or quoted scalars, comments.  Refused with file:line:col: tabs,
 * anchors, aliases, tags, flow style, block texts (| and >), directives, several documents,
 * duplicate keys, more than 1 MiB, 16 levels or 20000 values.  Every scalar is a string until its
 * reader types it.  Nodes belong to the document. */
#ifndef YAML_H_
#define YAML_H_
#include "err.h"

enum yaml_kind { YAML_K_SCALAR, YAML_K_MAP, YAML_K_LIST };
struct yaml {
    enum yaml_kind kind;
    int line, col; /* of the node, from 1 */
    char *key;     /* if it is a member of a map */
    int key_line, key_col;
    char *text; /* scalar */
    struct yaml *child, *next;
};
struct yaml_doc {
    char *path;
    struct yaml *root;
};
int yaml_load(struct yaml_doc *d, const char *path,
              struct err *e);   /* "-" = stdin; the root is a map or a list */
#define yaml_free yaml_doc_free /* libyaml.so exports a yaml_free of its own */
void yaml_doc_free(struct yaml_doc *d);
const struct yaml *yaml_get(const struct yaml *map, const char *key); /* NULL if absent */
/* Text of a scalar member; dflt if absent; ERR_CONFIG if it is no scalar. */
const char *yaml_str(const struct yaml_doc *d, const struct yaml *map, const char *key,
                     const char *dflt, struct err *e);
long yaml_int(const struct yaml_doc *d, const struct yaml *map, const char *key, long dflt,
              struct err *e);
double yaml_num(const struct yaml_doc *d, const struct yaml *map, const char *key, double dflt,
                struct err *e);
/* Refuse members whose key is not in the NULL-terminated list (ERR_CONFIG with file:line:col). */
int yaml_only(const struct yaml_doc *d, const struct yaml *map, const char *const *keys,
              struct err *e);
/* The word of a NULL-terminated list that was probably meant, or NULL. */
const char *yaml_near(const char *word, const char *const *words);
/* "path:line:col: ..." at a node */
int yaml_err(const struct yaml_doc *d, const struct yaml *at, struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
#endif
