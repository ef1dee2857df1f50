/* yaml - the strict YAML subset of recipes and configs, over libyaml's events */
#include "yaml.h"
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h> /* libyaml's: our own directory is searched for quoted names only */

enum {
    MAX_BYTES = 1 << 20, /* of a file; recipes have a few kB */
    MAX_DEPTH = 16,
    MAX_NODES = 20000, /* bounds the quadratic search for duplicate keys too */
};

static int at(const struct yaml_doc *d, int line, int col, struct err *e, int code, const char *fmt,
              ...) __attribute__((format(printf, 6, 7)));

static int at(const struct yaml_doc *d, int line, int col, struct err *e, int code, const char *fmt,
              ...)
{
    char msg[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    return err_set(e, code, "%s:%d:%d: %s", d->path, line, col, msg);
}

int yaml_err(const struct yaml_doc *d, const struct yaml *n, struct err *e, const char *fmt, ...)
{
    char msg[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    return at(d, n ? n->line : 1, n ? n->col : 1, e, ERR_CONFIG, "%s", msg);
}

/* ---- reading ---- */

static int read_all(struct yaml_doc *d, char **text, size_t *len, struct err *e)
{
    FILE *f = strcmp(d->path, "-") ? fopen(d->path, "rb") : stdin;
    char *buf = malloc(MAX_BYTES + 1);
    size_t n = 0;
    int rc = 0;
    if (!f)
        rc = err_errno(e, ERR_NOINPUT, "%s", d->path);
    else if (!buf)
        rc = err_set(e, ERR_NOMEM, "%s: out of memory", d->path);
    else if ((n = fread(buf, 1, MAX_BYTES + 1, f)), ferror(f))
        rc = err_errno(e, ERR_NOINPUT, "%s", d->path);
    else if (n > MAX_BYTES)
        rc = err_set(e, ERR_CONFIG, "%s: larger than %d bytes", d->path, MAX_BYTES);
    if (f && f != stdin)
        fclose(f);
    if (rc < 0) {
        free(buf);
        return rc;
    }
    *text = buf;
    *len = n;
    return 0;
}

static void place_of(const char *s, size_t pos, int *line, int *col)
{
    *line = *col = 1;
    for (size_t i = 0; i < pos; i++) {
        if (s[i] == '\n') {
            ++*line;
            *col = 1;
        } else if (((unsigned char)s[i] & 0xc0) != 0x80) { /* columns count characters */
            ++*col;
        }
    }
}

static int refuse_tabs(const struct yaml_doc *d, const char *s, size_t n, struct err *e)
{
    const char *tab = memchr(s, '\t', n);
    int line, col;
    if (!tab)
        return 0;
    place_of(s, (size_t)(tab - s), &line, &col);
    return at(d, line, col, e, ERR_CONFIG, "a tab: use spaces (\"\\t\" in a quoted text)");
}

static int parser_error(const struct yaml_doc *d, const yaml_parser_t *p, const char *text,
                        size_t n, struct err *e)
{
    int line, col;
    if (p->error == YAML_MEMORY_ERROR)
        return err_set(e, ERR_NOMEM, "%s: out of memory", d->path);
    if (p->error == YAML_READER_ERROR) { /* no mark, an offset */
        place_of(text, p->problem_offset < n ? p->problem_offset : n, &line, &col);
        return at(d, line, col, e, ERR_CONFIG, "%s", p->problem ? p->problem : "unreadable");
    }
    line = (int)p->problem_mark.line + 1;
    col = (int)p->problem_mark.column + 1;
    return at(d, line, col, e, ERR_CONFIG, "%s%s%s", p->problem ? p->problem : "not YAML",
              p->context ? " " : "", p->context ? p->context : "");
}

/* ---- the tree ---- */

struct builder {
    struct yaml_doc *d;
    struct {
        struct yaml *node, *last; /* a map or list, its latest child */
    } stack[MAX_DEPTH];
    int depth, nodes;
    char *key; /* of the next value, in a map */
    int key_line, key_col;
};

static void free_nodes(struct yaml *n)
{
    while (n) { /* as deep as MAX_DEPTH */
        struct yaml *next = n->next;
        free_nodes(n->child);
        free(n->key);
        free(n->text);
        free(n);
        n = next;
    }
}

void yaml_free(struct yaml_doc *d)
{
    free_nodes(d->root);
    free(d->path);
    d->root = NULL;
    d->path = NULL;
}

/* A new node under the innermost open map or list; it takes over the pending key. */
static int attach(struct builder *b, enum yaml_kind kind, int line, int col, struct yaml **out,
                  struct err *e)
{
    struct yaml *n;
    if (++b->nodes > MAX_NODES)
        return at(b->d, line, col, e, ERR_CONFIG, "more than %d values", MAX_NODES);
    if (!(n = calloc(1, sizeof *n)))
        return err_set(e, ERR_NOMEM, "%s: out of memory", b->d->path);
    n->kind = kind;
    n->line = line;
    n->col = col;
    n->key = b->key;
    n->key_line = b->key_line;
    n->key_col = b->key_col;
    b->key = NULL;
    if (!b->depth)
        b->d->root = n;
    else if (b->stack[b->depth - 1].last)
        b->stack[b->depth - 1].last->next = n;
    else
        b->stack[b->depth - 1].node->child = n;
    if (b->depth)
        b->stack[b->depth - 1].last = n;
    *out = n;
    return 0;
}

static int in_map_without_key(const struct builder *b)
{
    return b->depth && b->stack[b->depth - 1].node->kind == YAML_K_MAP && !b->key;
}

static int open_nested(struct builder *b, const yaml_event_t *ev, enum yaml_kind kind, int flow,
                       const void *anchor, const void *tag, struct err *e)
{
    int line = (int)ev->start_mark.line + 1, col = (int)ev->start_mark.column + 1, rc;
    struct yaml *n;
    if (flow)
        return at(b->d, line, col, e, ERR_CONFIG,
                  "flow style ([..] or {..}): write one member a line%s",
                  kind == YAML_K_LIST ? ", each after '- '" : "");
    if (anchor || tag)
        return at(b->d, line, col, e, ERR_CONFIG, "%s are not part of the subset",
                  anchor ? "anchors (&)" : "tags (!)");
    if (in_map_without_key(b))
        return at(b->d, line, col, e, ERR_CONFIG, "a key must be a plain word");
    if (b->depth == MAX_DEPTH)
        return at(b->d, line, col, e, ERR_CONFIG, "nested deeper than %d", MAX_DEPTH);
    if ((rc = attach(b, kind, line, col, &n, e)) < 0)
        return rc;
    b->stack[b->depth].node = n;
    b->stack[b->depth++].last = NULL;
    return 0;
}

static int scalar(struct builder *b, const yaml_event_t *ev, struct err *e)
{
    int line = (int)ev->start_mark.line + 1, col = (int)ev->start_mark.column + 1, rc;
    const char *text = (const char *)ev->data.scalar.value;
    yaml_scalar_style_t style = ev->data.scalar.style;
    struct yaml *n;
    char *copy;
    if (ev->data.scalar.anchor || ev->data.scalar.tag)
        return at(b->d, line, col, e, ERR_CONFIG, "%s are not part of the subset",
                  ev->data.scalar.anchor ? "anchors (&)" : "tags (!)");
    if (style == YAML_LITERAL_SCALAR_STYLE || style == YAML_FOLDED_SCALAR_STYLE)
        return at(b->d, line, col, e, ERR_CONFIG,
                  "a block text (| or >): write it in \"quotes\", \\n for a line end");
    if (strlen(text) != ev->data.scalar.length)
        return at(b->d, line, col, e, ERR_CONFIG, "a zero byte in a text");
    if (!(copy = strdup(text)))
        return err_set(e, ERR_NOMEM, "%s: out of memory", b->d->path);
    if (in_map_without_key(b)) {
        b->key = copy;
        b->key_line = line;
        b->key_col = col;
        if (!*copy)
            return at(b->d, line, col, e, ERR_CONFIG, "an empty key");
        for (const struct yaml *m = b->stack[b->depth - 1].node->child; m; m = m->next)
            if (strcmp(m->key, copy) == 0)
                return at(b->d, line, col, e, ERR_CONFIG, "duplicate key '%.60s', first in line %d",
                          copy, m->key_line);
        return 0;
    }
    if ((rc = attach(b, YAML_K_SCALAR, line, col, &n, e)) < 0) {
        free(copy);
        return rc;
    }
    n->text = copy;
    return 0;
}

/* 1 = the stream has ended */
static int take_event(struct builder *b, const yaml_event_t *ev, struct err *e)
{
    int line = (int)ev->start_mark.line + 1, col = (int)ev->start_mark.column + 1;
    switch (ev->type) {
    case YAML_STREAM_END_EVENT:
        return 1;
    case YAML_DOCUMENT_START_EVENT:
        if (b->d->root)
            return at(b->d, line, col, e, ERR_CONFIG, "a second document: one a file");
        if (ev->data.document_start.version_directive ||
            ev->data.document_start.tag_directives.start !=
                ev->data.document_start.tag_directives.end)
            return at(b->d, line, col, e, ERR_CONFIG, "directives (%%) are not part of the subset");
        return 0;
    case YAML_ALIAS_EVENT:
        return at(b->d, line, col, e, ERR_CONFIG, "aliases (*) are not part of the subset");
    case YAML_SCALAR_EVENT:
        return scalar(b, ev, e);
    case YAML_SEQUENCE_START_EVENT:
        return open_nested(b, ev, YAML_K_LIST,
                           ev->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE,
                           ev->data.sequence_start.anchor, ev->data.sequence_start.tag, e);
    case YAML_MAPPING_START_EVENT:
        return open_nested(b, ev, YAML_K_MAP,
                           ev->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE,
                           ev->data.mapping_start.anchor, ev->data.mapping_start.tag, e);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        b->depth--;
        return 0;
    default: /* begin of stream, end of document */
        return 0;
    }
}

int yaml_load(struct yaml_doc *d, const char *path, struct err *e)
{
    struct builder b = {.d = d};
    yaml_parser_t p;
    yaml_event_t ev;
    char *text = NULL;
    size_t n = 0;
    int rc;
    d->root = NULL;
    if (!(d->path = strdup(path)))
        return err_set(e, ERR_NOMEM, "%s: out of memory", path);
    if ((rc = read_all(d, &text, &n, e)) < 0 || (rc = refuse_tabs(d, text, n, e)) < 0)
        goto done;
    if (!yaml_parser_initialize(&p)) {
        rc = err_set(e, ERR_NOMEM, "%s: out of memory", path);
        goto done;
    }
    yaml_parser_set_encoding(&p, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&p, (const unsigned char *)text, n);
    while (rc == 0) {
        if (!yaml_parser_parse(&p, &ev)) {
            rc = parser_error(d, &p, text, n, e);
            break;
        }
        rc = take_event(&b, &ev, e);
        yaml_event_delete(&ev);
    }
    yaml_parser_delete(&p);
    free(b.key);
    if (rc == 1)
        rc = d->root && d->root->kind != YAML_K_SCALAR
                 ? 0
                 : at(d, 1, 1, e, ERR_CONFIG, "expected a map or a list, found %s",
                      d->root && d->root->text[0] ? "a text" : "nothing");
done:
    free(text);
    if (rc < 0)
        yaml_free(d);
    return rc;
}

/* ---- looking things up ---- */

const struct yaml *yaml_get(const struct yaml *map, const char *key)
{
    if (!map || map->kind != YAML_K_MAP)
        return NULL;
    for (const struct yaml *n = map->child; n; n = n->next)
        if (strcmp(n->key, key) == 0)
            return n;
    return NULL;
}

const char *yaml_str(const struct yaml_doc *d, const struct yaml *map, const char *key,
                     const char *dflt, struct err *e)
{
    const struct yaml *n = yaml_get(map, key);
    if (!n)
        return dflt;
    if (n->kind != YAML_K_SCALAR) {
        yaml_err(d, n, e, "%s: expected a text, found a %s", key,
                 n->kind == YAML_K_MAP ? "map" : "list");
        return dflt;
    }
    return n->text;
}

/* A number in plain decimal form; 0 if the text is none. */
static int number(const char *s, double *v)
{
    char *end;
    if (!isdigit((unsigned char)*s) && !strchr("+-.", *s))
        return 0; /* strtod would take nan, inf and leading space */
    errno = 0;
    *v = strtod(s, &end);
    return end != s && !*end && !errno && isfinite(*v) && !strpbrk(s, "xX");
}

double yaml_num(const struct yaml_doc *d, const struct yaml *map, const char *key, double dflt,
                struct err *e)
{
    const char *s = yaml_str(d, map, key, NULL, e);
    double v;
    if (!s)
        return dflt;
    if (!number(s, &v)) {
        yaml_err(d, yaml_get(map, key), e, "%s: expected a number, found '%.60s'", key, s);
        return dflt;
    }
    return v;
}

long yaml_int(const struct yaml_doc *d, const struct yaml *map, const char *key, long dflt,
              struct err *e)
{
    const char *s = yaml_str(d, map, key, NULL, e);
    double v;
    if (!s)
        return dflt;
    if (!number(s, &v) || v != floor(v) || fabs(v) > 9007199254740992.0) { /* 2^53 */
        yaml_err(d, yaml_get(map, key), e, "%s: expected a whole number, found '%.60s'", key, s);
        return dflt;
    }
    return (long)v;
}

/* Edit distance (insert, delete, replace) of two short words; 99 for long ones. */
static int distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    int row[65];
    if (n > 64 || m > 64)
        return 99;
    for (size_t j = 0; j <= m; j++)
        row[j] = (int)j;
    for (size_t i = 1; i <= n; i++) {
        int diag = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= m; j++) {
            int best = diag + (a[i - 1] != b[j - 1]);
            diag = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[m];
}

const char *yaml_near(const char *word, const char *const *words)
{
    const char *best = NULL;
    int least = 99;
    size_t len = strlen(word);
    for (; *words; words++) {
        int k = distance(word, *words);
        size_t n = strlen(*words), common = len < n ? len : n;
        if (common >= 3 && 2 * common >= len && strncmp(*words, word, common) == 0 && k > 2)
            k = 2; /* the beginning of a word, or a word with something after it */
        if (k < least) {
            least = k;
            best = *words;
        }
    }
    return least <= 1 + (int)len / 4 ? best : NULL;
}

int yaml_only(const struct yaml_doc *d, const struct yaml *map, const char *const *keys,
              struct err *e)
{
    if (!map)
        return 0;
    if (map->kind != YAML_K_MAP)
        return yaml_err(d, map, e, "%s%sexpected a map (key: value), found a %s",
                        map->key ? map->key : "", map->key ? ": " : "",
                        map->kind == YAML_K_LIST ? "list" : "text");
    for (const struct yaml *n = map->child; n; n = n->next) {
        const char *const *k = keys;
        while (*k && strcmp(*k, n->key))
            k++;
        if (!*k) {
            const char *near = yaml_near(n->key, keys);
            return at(d, n->key_line, n->key_col, e, ERR_CONFIG, "unknown key '%.60s'%s%s%s",
                      n->key, near ? ", did you mean '" : "", near ? near : "", near ? "'?" : "");
        }
    }
    return 0;
}
