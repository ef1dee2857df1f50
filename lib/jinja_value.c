/* jinja_value - the values of a template: arena, strings with marks, lists, dictionaries */
#include "jinja_impl.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- memory ---- */

struct jblock {
    struct jblock *next;
    size_t n, used;
    _Alignas(16) char bytes[];
};

void *jarena_alloc(struct jarena *a, size_t n)
{
    enum { BLOCK = 16 << 10 };
    if (n > SIZE_MAX - 16 - a->limit) /* neither sum below can overflow */
        return NULL;
    n = (n + 15) & ~(size_t)15;
    if (!a->head || a->head->n - a->head->used < n) {
        size_t room = n > BLOCK / 4 ? n : BLOCK;
        if (a->used + room > a->limit)
            return NULL;
        struct jblock *b = calloc(1, sizeof *b + room);
        if (!b)
            return NULL;
        b->n = room;
        a->used += room;
        if (room == n && a->head) { /* a large one goes behind: the head still has room */
            b->next = a->head->next;
            a->head->next = b;
            b->used = n;
            return b->bytes;
        }
        b->next = a->head;
        a->head = b;
    }
    void *p = a->head->bytes + a->head->used;
    a->head->used += n;
    return p;
}

void jarena_free(struct jarena *a)
{
    for (struct jblock *b = a->head, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    a->head = NULL;
}

/* ---- failing ---- */

struct jv jx_fail(struct jx *x, const char *fmt, ...)
{
    char msg[400];
    va_list ap;
    if (!x->failed) {
        va_start(ap, fmt);
        vsnprintf(msg, sizeof msg, fmt, ap);
        va_end(ap);
        x->failed = 1;
        if (x->t)
            err_set(x->e, ERR_DATA, "%s:%d: %s", x->t->where, x->line, msg);
        else
            err_set(x->e, ERR_DATA, "%s", msg);
    }
    return j_undef(NULL);
}

int jx_spend(struct jx *x, size_t bytes)
{
    x->steps += 1 + (long)(bytes / 64);
    if (x->steps > x->most)
        jx_fail(x, "the template takes more than %ld steps", x->most);
    return x->failed;
}

int jx_enter(struct jx *x)
{
    if (++x->depth > JINJA_DEPTH)
        jx_fail(x, "more than %d evaluations within each other", JINJA_DEPTH);
    return x->failed;
}

void jx_leave(struct jx *x)
{
    x->depth--;
}

void *jx_alloc(struct jx *x, size_t n)
{
    void *p = x->failed ? NULL : jarena_alloc(x->a, n);
    if (!p)
        jx_fail(x, "the template needs more than %d MiB", JINJA_MEMORY >> 20);
    return p;
}

/* ---- strings ---- */

static struct jstr empty = {.s = ""};

struct jv j_str(struct jx *x, const char *s, size_t n, int mark)
{
    struct jstr *o = jx_alloc(x, sizeof *o);
    if (!o)
        return (struct jv){J_STR, {.s = &empty}};
    *o = (struct jstr){.s = s, .n = n, .mark = (uint8_t)mark};
    return (struct jv){J_STR, {.s = o}};
}

struct jv j_text(struct jx *x, const char *s)
{
    return j_str(x, s, strlen(s), 0);
}

struct jv j_sub(struct jx *x, const struct jstr *s, size_t at, size_t n)
{
    struct jv v = j_str(x, s->s + at, n, s->mark);
    if (!x->failed) {
        v.u.s->m = s->m ? s->m + at : NULL;
        v.u.s->markup = s->markup;
    }
    return v;
}

static int grow(struct jx *x, struct jbuf *b, size_t n)
{
    if (b->cap - b->n >= n)
        return x->failed;
    size_t cap = b->cap < 128 ? 256 : 2 * b->cap;
    if (n > JINJA_MEMORY) {
        jx_fail(x, "the template needs more than %d MiB", JINJA_MEMORY >> 20);
        return -1;
    }
    while (cap - b->n < n)
        cap *= 2;
    char *s = jx_alloc(x, 2 * cap);
    if (!s)
        return -1;
    if (b->n) {
        memcpy(s, b->s, b->n);
        memcpy(s + cap, b->m, b->n);
    }
    b->s = s;
    b->m = (uint8_t *)s + cap;
    b->cap = cap;
    return 0;
}

void jbuf_add(struct jx *x, struct jbuf *b, const char *s, size_t n, int mark)
{
    if (n == 0 || jx_spend(x, n) || grow(x, b, n))
        return;
    memcpy(b->s + b->n, s, n);
    memset(b->m + b->n, mark, n);
    b->seen |= mark ? 2 : 1;
    b->n += n;
}

void jbuf_sub(struct jx *x, struct jbuf *b, const struct jstr *s, size_t at, size_t n)
{
    size_t from = b->n;
    jbuf_add(x, b, s->s + at, n, s->mark);
    if (s->m && b->n > from) {
        memcpy(b->m + from, s->m + at, n);
        b->seen |= 3;
    }
}

void jbuf_str(struct jx *x, struct jbuf *b, const struct jstr *s)
{
    jbuf_sub(x, b, s, 0, s->n);
}

struct jv jbuf_take(struct jx *x, struct jbuf *b)
{
    struct jv v = j_str(x, b->n ? b->s : "", b->n, b->seen == 2);
    if (!x->failed && b->seen == 3)
        v.u.s->m = b->m;
    return v;
}

size_t j_points(const struct jstr *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        n += (s->s[i] & 0xc0) != 0x80;
    return n;
}

size_t j_offset(const struct jstr *s, size_t point)
{
    size_t i = 0;
    for (; i < s->n; i++)
        if ((s->s[i] & 0xc0) != 0x80 && point-- == 0)
            break;
    return i;
}

size_t j_find(const struct jstr *s, size_t from, const struct jstr *what)
{
    if (what->n > s->n || from > s->n - what->n)
        return s->n + 1;
    const char *p = what->n ? memmem(s->s + from, s->n - from, what->s, what->n) : s->s + from;
    return p ? (size_t)(p - s->s) : s->n + 1;
}

int j_is_str(struct jv v, const char *s)
{
    return v.t == J_STR && v.u.s->n == strlen(s) && memcmp(v.u.s->s, s, v.u.s->n) == 0;
}

/* ---- lists ---- */

struct jv j_list(struct jx *x, enum jtype t, struct jlist **l)
{
    static struct jlist nothing;
    struct jlist *o = jx_alloc(x, sizeof *o);
    *l = o ? o : &nothing; /* adding to it fails, as x->failed is set */
    return (struct jv){t, {.l = *l}};
}

int jlist_add(struct jx *x, struct jlist *l, struct jv v)
{
    if (jx_spend(x, 0))
        return -1;
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 4;
        struct jv *p = jx_alloc(x, cap * sizeof *p);
        if (!p)
            return -1;
        if (l->n)
            memcpy(p, l->v, l->n * sizeof *p);
        l->v = p;
        l->cap = cap;
    }
    l->v[l->n++] = v;
    return 0;
}

/* ---- dictionaries ---- */

struct jv j_dict(struct jx *x, struct jdict **d)
{
    static struct jdict nothing;
    struct jdict *o = jx_alloc(x, sizeof *o);
    *d = o ? o : &nothing;
    return (struct jv){J_DICT, {.d = *d}};
}

static uint32_t hash_bytes(const char *s, size_t n)
{
    uint64_t h = 14695981039346656037ull; /* FNV-1a */
    for (size_t i = 0; i < n; i++)
        h = (h ^ (uint8_t)s[i]) * 1099511628211ull;
    return (uint32_t)(h ^ h >> 32);
}

static uint32_t hash(struct jv v)
{
    if (v.t == J_STR)
        return hash_bytes(v.u.s->s, v.u.s->n);
    if (j_number(v)) { /* 1, 1.0 and true are one key */
        double d = j_double(v);
        d = d == 0 ? 0 : d;
        return hash_bytes((const char *)&d, sizeof d);
    }
    return 0;
}

static int hashable(struct jx *x, struct jv v)
{
    if (v.t == J_LIST || v.t == J_DICT)
        jx_fail(x, "unhashable type: '%s'", j_type(v));
    return !jx_spend(x, v.t == J_STR ? v.u.s->n : 0);
}

static size_t find(struct jx *x, const struct jdict *d, struct jv key)
{
    if (!d->slot) {
        for (size_t i = 0; i < d->n; i++)
            if (j_eq(x, d->key[i], key))
                return i;
        return SIZE_MAX;
    }
    for (uint32_t h = hash(key);; h++) {
        uint32_t i = d->slot[h & (d->n_slot - 1)];
        if (!i)
            return SIZE_MAX;
        if (jx_spend(x, 0) || j_eq(x, d->key[i - 1], key))
            return i - 1;
    }
}

static void enter_slot(struct jdict *d, size_t i)
{
    uint32_t h = hash(d->key[i]);
    while (d->slot[h & (d->n_slot - 1)])
        h++;
    d->slot[h & (d->n_slot - 1)] = (uint32_t)i + 1;
}

static int grow_dict(struct jx *x, struct jdict *d)
{
    size_t cap = d->cap ? 2 * d->cap : 8;
    struct jv *v = jx_alloc(x, 2 * cap * sizeof *v);
    if (!v)
        return -1;
    if (d->n) {
        memcpy(v, d->key, d->n * sizeof *v);
        memcpy(v + cap, d->val, d->n * sizeof *v);
    }
    d->key = v;
    d->val = v + cap;
    d->cap = cap;
    if (cap < 32) /* few keys are compared one by one */
        return 0;
    d->n_slot = 4 * cap;
    if (!(d->slot = jx_alloc(x, d->n_slot * sizeof *d->slot)))
        return -1;
    for (size_t i = 0; i < d->n; i++)
        enter_slot(d, i);
    return 0;
}

int jdict_put(struct jx *x, struct jdict *d, struct jv key, struct jv val)
{
    if (!hashable(x, key) || jx_spend(x, 0))
        return -1;
    size_t i = find(x, d, key);
    if (i != SIZE_MAX) {
        d->val[i] = val;
        return 0;
    }
    if (d->n == d->cap && grow_dict(x, d))
        return -1;
    d->key[d->n] = key;
    d->val[d->n++] = val;
    if (d->slot)
        enter_slot(d, d->n - 1);
    return 0;
}

const struct jv *jdict_get(struct jx *x, const struct jdict *d, struct jv key)
{
    if (!hashable(x, key))
        return NULL;
    size_t i = find(x, d, key);
    return i == SIZE_MAX ? NULL : &d->val[i];
}

const struct jv *jdict_find(const struct jdict *d, const char *key)
{
    if (d->slot) {
        struct jstr s = {.s = key, .n = strlen(key)};
        struct jv k = {J_STR, {.s = &s}};
        for (uint32_t h = hash(k);; h++) {
            uint32_t i = d->slot[h & (d->n_slot - 1)];
            if (!i)
                return NULL;
            if (j_is_str(d->key[i - 1], key))
                return &d->val[i - 1];
        }
    }
    for (size_t i = 0; i < d->n; i++)
        if (j_is_str(d->key[i], key))
            return &d->val[i];
    return NULL;
}
