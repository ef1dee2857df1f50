/* pytype - types of Python values: from annotations, names and values; values from types */
#include "pytype.h"
#include "pycall.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 8, MAX_PARTS = 8 };

void pytype_free(struct pytype *t)
{
    for (int i = 0; i < t->n_part; i++)
        pytype_free(&t->part[i]);
    free(t->part);
    *t = (struct pytype){0};
}

static struct pytype *add_part(struct pytype *t)
{
    struct pytype *p = realloc(t->part, ((size_t)t->n_part + 1) * sizeof *p);
    if (!p)
        return NULL;
    t->part = p;
    p[t->n_part] = (struct pytype){0};
    return &p[t->n_part++];
}

/* ---- annotations ---- */

// clang-format off
static const struct { const char *name; enum pytype_kind kind; } annotations[] = {
    {"int", PYTYPE_INT}, {"float", PYTYPE_FLOAT}, {"complex", PYTYPE_FLOAT}, {"str", PYTYPE_STR}, {"bool", PYTYPE_BOOL},
    {"None", PYTYPE_NONE}, {"Any", PYTYPE_ANY}, {"object", PYTYPE_ANY}, {"list", PYTYPE_LIST}, {"List", PYTYPE_LIST},
    {"Sequence", PYTYPE_LIST}, {"Iterable", PYTYPE_LIST}, {"Collection", PYTYPE_LIST}, {"tuple", PYTYPE_TUPLE},
    {"Tuple", PYTYPE_TUPLE}, {"set", PYTYPE_SET}, {"Set", PYTYPE_SET}, {"dict", PYTYPE_DICT}, {"Dict", PYTYPE_DICT},
    {"Mapping", PYTYPE_DICT}, {"Optional", PYTYPE_UNKNOWN}, {"Union", PYTYPE_UNKNOWN}};
// clang-format on

static void space(const char **p)
{
    while (isspace((unsigned char)**p))
        ++*p;
}

static int read_type(struct pytype *t, const char **p, int depth);

/* The parts in square brackets, if they follow. */
static int read_parts(struct pytype *t, const char **p, int depth)
{
    space(p);
    if (**p != '[')
        return 0;
    do {
        ++*p;
        space(p);
        if (t->kind == PYTYPE_TUPLE && !strncmp(*p, "...", 3)) {
            *p += 3;
            t->any_length = 1;
        } else {
            struct pytype *part = t->n_part < MAX_PARTS ? add_part(t) : NULL;
            if (!part || read_type(part, p, depth + 1) < 0)
                return -1;
        }
        space(p);
    } while (**p == ',');
    return *(*p)++ == ']' ? 0 : -1;
}

/* Put the first part that is not None in the place of a union. */
static void choose(struct pytype *t)
{
    int at = 0;
    while (at + 1 < t->n_part && t->part[at].kind == PYTYPE_NONE)
        at++;
    struct pytype first = t->part[at];
    t->part[at] = (struct pytype){0};
    pytype_free(t);
    *t = first;
}

static int read_type(struct pytype *t, const char **p, int depth)
{
    char name[32];
    size_t n = 0, i = 0;
    int is_union = 0;
    space(p);
    if (!strncmp(*p, "typing.", 7))
        *p += 7;
    while (pycall_word((*p)[n]))
        n++;
    if (depth > MAX_DEPTH || n == 0 || n >= sizeof name)
        return -1;
    memcpy(name, *p, n);
    name[n] = 0;
    while (i < sizeof annotations / sizeof *annotations && strcmp(annotations[i].name, name))
        i++;
    if (i == sizeof annotations / sizeof *annotations)
        return -1;
    *p += n;
    t->kind = annotations[i].kind;
    is_union = t->kind == PYTYPE_UNKNOWN;
    if (read_parts(t, p, depth) < 0 || (is_union && !t->n_part))
        return -1;
    if (is_union)
        choose(t);
    space(p);
    if (**p == '|') {
        struct pytype other = {0};
        int rc;
        ++*p;
        rc = read_type(&other, p, depth + 1);
        if (rc == 0 && t->kind == PYTYPE_NONE) {
            pytype_free(t);
            *t = other;
        } else {
            pytype_free(&other);
        }
        return rc;
    }
    return 0;
}

int pytype_read(struct pytype *t, const char **p)
{
    *t = (struct pytype){0};
    if (read_type(t, p, 0) == 0) {
        space(p);
        if (**p == ',' || **p == ')' || **p == '=')
            return 0;
    }
    pytype_free(t);
    return -1;
}

/* ---- names ---- */

/* Kind and, of a list, the kind of its elements, by whole names; digits at the end do not count. */
// clang-format off
static const struct { const char *names; enum pytype_kind kind, part; } usual[] = {
    {" n m k i j x y z a b c d num number count size length width height limit start end value target total age year day month "
     "hour minute second index base exp power digit depth step ", PYTYPE_INT, 0},
    {" s t st str string text word sentence name char letter message prefix suffix pattern test_str path date time_str key ",
     PYTYPE_STR, 0},
    {" price radius threshold rate weight ratio temperature ", PYTYPE_FLOAT, 0},
    {" l lst list li arr array nums numbers values items data xs ys seq sequence lis test_list elements scores grades ",
     PYTYPE_LIST, PYTYPE_INT},
    {" strings words names strs texts sentences letters planets ", PYTYPE_LIST, PYTYPE_STR},
    {" tup tuple test_tup interval ", PYTYPE_TUPLE, PYTYPE_INT},
    {" dict dic d1 mapping counts test_dict ", PYTYPE_DICT, 0},
    {" flag reverse strict ", PYTYPE_BOOL, 0}};
// clang-format on

int pytype_of_name(struct pytype *t, const char *name)
{
    char word[64];
    size_t n = strlen(name), i = 0;
    *t = (struct pytype){0};
    while (n > 1 && (isdigit((unsigned char)name[n - 1]) || name[n - 1] == '_'))
        n--;
    if (n + 3 > sizeof word)
        return 0;
    word[0] = ' ';
    for (size_t k = 0; k < n; k++)
        word[1 + k] = (char)tolower((unsigned char)name[k]);
    memcpy(word + 1 + n, " ", 2);
    while (i < sizeof usual / sizeof *usual && !strstr(usual[i].names, word))
        i++;
    if (!strcmp(word, " grid ") || !strcmp(word, " matrix ")) {
        t->kind = PYTYPE_LIST;
        if (add_part(t) && add_part(t->part))
            t->part->kind = PYTYPE_LIST, t->part->part->kind = PYTYPE_INT;
        return 1;
    }
    if (i == sizeof usual / sizeof *usual)
        return 0;
    t->kind = usual[i].kind;
    t->any_length = t->kind == PYTYPE_TUPLE;
    if (usual[i].part && add_part(t))
        t->part->kind = usual[i].part;
    return 1;
}

/* ---- values ---- */

static enum pytype_kind kind_of(enum pylit_kind k)
{
    static const enum pytype_kind same[] = {PYTYPE_NONE,  PYTYPE_BOOL, PYTYPE_INT,
                                            PYTYPE_FLOAT, PYTYPE_STR,  PYTYPE_LIST,
                                            PYTYPE_TUPLE, PYTYPE_SET,  PYTYPE_DICT};
    return same[k];
}

static int join(struct pytype *t, const struct pylit *v, int depth)
{
    enum pytype_kind kind = kind_of(v->kind);
    int pair = v->kind == PYLIT_DICT, fixed;
    if (depth > MAX_DEPTH || t->kind == PYTYPE_ANY || (v->kind == PYLIT_NONE && t->kind))
        return 0;
    if ((t->kind == PYTYPE_INT || t->kind == PYTYPE_FLOAT) &&
        (v->kind == PYLIT_INT || v->kind == PYLIT_FLOAT)) {
        t->kind = v->kind == PYLIT_FLOAT ? PYTYPE_FLOAT : t->kind;
        return 0;
    }
    if (t->kind > PYTYPE_NONE && t->kind != kind) {
        pytype_free(t);
        t->kind = PYTYPE_ANY;
        return 0;
    }
    int fresh = t->kind <= PYTYPE_NONE;
    t->kind = kind;
    if (v->kind < PYLIT_LIST)
        return 0;
    /* a tuple has a type for each place, until one of another length shows that it has not */
    fixed = v->kind == PYLIT_TUPLE && v->n <= MAX_PARTS && !t->any_length &&
            (fresh || t->n_part == v->n);
    if (v->kind == PYLIT_TUPLE && !fixed)
        t->any_length = 1;
    for (int i = 0; i < v->n; i++) {
        int at = fixed ? i : pair ? i % 2 : 0;
        while (t->n_part <= at)
            if (!add_part(t))
                return -1;
        if (join(&t->part[at], &v->item[i], depth + 1) < 0)
            return -1;
    }
    return 0;
}

int pytype_join(struct pytype *t, const struct pylit *v)
{
    return join(t, v, 0);
}

static int make_text(struct pylit *v, struct rng *r)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz ABC019";
    for (int n = (int)rng_below(r, 9); n > 0; n--)
        if (pylit_insert_char(v, v->n, (uint32_t)letters[rng_below(r, sizeof letters - 1)]) < 0)
            return -1;
    return 0;
}

static int make(struct pylit *v, const struct pytype *t, struct rng *r, int depth)
{
    static const enum pytype_kind loose[] = {PYTYPE_INT, PYTYPE_INT, PYTYPE_STR, PYTYPE_FLOAT};
    static const struct pytype text = {.kind = PYTYPE_STR}, /* of a dict's key */
        number = {.kind = PYTYPE_INT};                      /* of elements nothing is known of */
    enum pytype_kind kind = t->kind;
    int n;
    *v = (struct pylit){0};
    if (kind == PYTYPE_ANY || kind == PYTYPE_UNKNOWN)
        kind = loose[rng_below(r, 4)];
    while (kind_of(v->kind) != kind)
        v->kind++;
    switch (kind) {
    case PYTYPE_BOOL:
        v->i = (int64_t)rng_below(r, 2);
        return 0;
    case PYTYPE_INT:
        n = (int)rng_below(r, 8);
        v->i = n == 0   ? (int64_t)rng_below(r, 1000)
               : n == 1 ? -(int64_t)rng_below(r, 20)
                        : (int64_t)rng_below(r, 21);
        return 0;
    case PYTYPE_FLOAT:
        v->f = (double)rng_below(r, 200) / 4 - (rng_below(r, 4) ? 0 : 25);
        return 0;
    case PYTYPE_STR:
        return make_text(v, r);
    case PYTYPE_NONE:
        return 0;
    default:
        break;
    }
    if (depth > MAX_DEPTH)
        return 0;
    n = kind == PYTYPE_TUPLE && !t->any_length && t->n_part ? t->n_part : (int)rng_below(r, 7);
    if (kind == PYTYPE_SET)
        n++; /* {} would be a dict */
    for (int i = 0; i < (kind == PYTYPE_DICT ? 2 * n : n); i++) {
        int at = kind == PYTYPE_DICT ? i % 2 : kind == PYTYPE_TUPLE && !t->any_length ? i : 0;
        const struct pytype *part = at < t->n_part                   ? &t->part[at]
                                    : kind == PYTYPE_DICT && at == 0 ? &text
                                                                     : &number;
        struct pylit item;
        if (make(&item, part, r, depth + 1) < 0 || pylit_insert(v, v->n, &item) < 0) {
            pylit_free(v);
            return -1;
        }
    }
    return 0;
}

int pytype_make(struct pylit *v, const struct pytype *t, struct rng *r)
{
    return make(v, t, r, 0);
}
