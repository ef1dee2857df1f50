/* jinja_method - methods of strings, dictionaries, lists and of `loop`, as Python has them */
#include "jinja_impl.h"
#include <string.h>
#include <utf8proc.h>

#define STR   (1u << J_STR)
#define DICT  (1u << J_DICT)
#define LIST  (1u << J_LIST)
#define TUPLE (1u << J_TUPLE)
#define LOOP  (1u << J_LOOP)

/* ---- arguments ---- */

static int64_t whole(struct jx *x, struct jv v, int64_t otherwise)
{
    if (!j_given(v))
        return otherwise;
    if (v.t != J_INT && v.t != J_BOOL)
        jx_fail(x, "expected a whole number, found '%s'", j_type(v));
    return x->failed ? otherwise : v.u.i;
}

static const struct jstr *text(struct jx *x, struct jv v)
{
    static const struct jstr none = {.s = ""};
    if (v.t == J_STR)
        return v.u.s;
    jx_fail(x, v.t == J_UNDEF ? "'%s' is undefined" : "expected a string, found '%s'",
            v.t == J_UNDEF && v.u.what ? v.u.what : j_type(v));
    return &none;
}

/* ---- strings ---- */

static struct jv m_strip(struct jx *x, struct jv self, const struct jv *arg)
{
    return jtext_strip(x, self.u.s, arg[0], 3);
}

static struct jv m_lstrip(struct jx *x, struct jv self, const struct jv *arg)
{
    return jtext_strip(x, self.u.s, arg[0], 1);
}

static struct jv m_rstrip(struct jx *x, struct jv self, const struct jv *arg)
{
    return jtext_strip(x, self.u.s, arg[0], 2);
}

static struct jv m_split(struct jx *x, struct jv self, const struct jv *arg)
{
    return jtext_split(x, self.u.s, arg[0], whole(x, arg[1], -1), 0);
}

static struct jv m_rsplit(struct jx *x, struct jv self, const struct jv *arg)
{
    return jtext_split(x, self.u.s, arg[0], whole(x, arg[1], -1), 1);
}

static struct jv m_upper(struct jx *x, struct jv self, const struct jv *arg)
{
    (void)arg;
    return jtext_case(x, self.u.s, 'u');
}

static struct jv m_lower(struct jx *x, struct jv self, const struct jv *arg)
{
    (void)arg;
    return jtext_case(x, self.u.s, 'l');
}

static struct jv m_capitalize(struct jx *x, struct jv self, const struct jv *arg)
{
    (void)arg;
    return jtext_case(x, self.u.s, 'c');
}

static struct jv m_title(struct jx *x, struct jv self, const struct jv *arg)
{
    (void)arg;
    return jtext_case(x, self.u.s, 't');
}

static struct jv m_replace(struct jx *x, struct jv self, const struct jv *arg)
{
    return jtext_replace(x, self.u.s, text(x, arg[0]), text(x, arg[1]), whole(x, arg[2], -1));
}

static int has(struct jx *x, const struct jstr *s, const struct jstr *part, int at_end)
{
    return part->n <= s->n && !jx_spend(x, part->n) &&
           memcmp(s->s + (at_end ? s->n - part->n : 0), part->s, part->n) == 0;
}

/* One text or a tuple of them. */
static struct jv begins_or_ends(struct jx *x, struct jv self, struct jv what, int at_end)
{
    if (what.t != J_TUPLE)
        return j_bool(has(x, self.u.s, text(x, what), at_end));
    for (size_t i = 0; i < what.u.l->n && !x->failed; i++)
        if (has(x, self.u.s, text(x, what.u.l->v[i]), at_end))
            return j_bool(1);
    return j_bool(0);
}

static struct jv m_startswith(struct jx *x, struct jv self, const struct jv *arg)
{
    return begins_or_ends(x, self, arg[0], 0);
}

static struct jv m_endswith(struct jx *x, struct jv self, const struct jv *arg)
{
    return begins_or_ends(x, self, arg[0], 1);
}

static struct jv m_removeprefix(struct jx *x, struct jv self, const struct jv *arg)
{
    const struct jstr *s = self.u.s, *p = text(x, arg[0]);
    return has(x, s, p, 0) ? j_sub(x, s, p->n, s->n - p->n) : self;
}

static struct jv m_removesuffix(struct jx *x, struct jv self, const struct jv *arg)
{
    const struct jstr *s = self.u.s, *p = text(x, arg[0]);
    return has(x, s, p, 1) ? j_sub(x, s, 0, s->n - p->n) : self;
}

static struct jv position(const struct jstr *s, size_t at)
{
    struct jstr before = {.s = s->s, .n = at};
    return j_int(at > s->n ? -1 : (int64_t)j_points(&before));
}

static struct jv m_find(struct jx *x, struct jv self, const struct jv *arg)
{
    const struct jstr *what = text(x, arg[0]);
    return jx_spend(x, self.u.s->n) ? j_none() : position(self.u.s, j_find(self.u.s, 0, what));
}

static struct jv m_rfind(struct jx *x, struct jv self, const struct jv *arg)
{
    const struct jstr *what = text(x, arg[0]), *s = self.u.s;
    if (jx_spend(x, s->n) || what->n > s->n)
        return j_int(-1);
    for (size_t i = s->n - what->n + 1; i-- > 0 && !jx_spend(x, what->n);)
        if (memcmp(s->s + i, what->s, what->n) == 0)
            return position(s, i);
    return j_int(-1);
}

static struct jv m_index(struct jx *x, struct jv self, const struct jv *arg)
{
    if (self.t == J_STR) {
        struct jv at = m_find(x, self, arg);
        return at.t == J_INT && at.u.i < 0 ? jx_fail(x, "substring not found") : at;
    }
    for (size_t i = 0; i < self.u.l->n && !x->failed; i++)
        if (j_eq(x, self.u.l->v[i], arg[0]))
            return j_int((int64_t)i);
    return jx_fail(x, "the value is not in the list");
}

static struct jv m_count(struct jx *x, struct jv self, const struct jv *arg)
{
    int64_t n = 0;
    if (self.t != J_STR) {
        for (size_t i = 0; i < self.u.l->n && !x->failed; i++)
            n += j_eq(x, self.u.l->v[i], arg[0]);
        return j_int(n);
    }
    const struct jstr *s = self.u.s, *what = text(x, arg[0]);
    if (jx_spend(x, s->n) || what->n == 0)
        return j_int((int64_t)j_points(s) + 1);
    for (size_t at = 0; (at = j_find(s, at, what)) <= s->n; at += what->n)
        n++;
    return j_int(n);
}

static struct jv m_join(struct jx *x, struct jv self, const struct jv *arg)
{
    return jtext_join(x, self.u.s, j_iter(x, arg[0]), 1);
}

static struct jv m_splitlines(struct jx *x, struct jv self, const struct jv *arg)
{
    const struct jstr *s = self.u.s;
    struct jlist *l;
    struct jv v = j_list(x, J_LIST, &l);
    int keep = j_given(arg[0]) && j_true(arg[0]);
    jx_spend(x, s->n);
    for (size_t i = 0, from = 0; i < s->n && !x->failed;) {
        uint8_t c = (uint8_t)s->s[i];
        size_t n = (c >= 10 && c <= 13) || (c >= 0x1c && c <= 0x1e);
        if (c == '\r' && i + 1 < s->n && s->s[i + 1] == '\n')
            n = 2;
        if (c == 0xc2 && (uint8_t)s->s[i + 1] == 0x85)
            n = 2;
        if (c == 0xe2 && (uint8_t)s->s[i + 1] == 0x80 && ((uint8_t)s->s[i + 2] & 0xfe) == 0xa8)
            n = 3;
        i += n ? n : 1;
        if (n || i == s->n) {
            jlist_add(x, l, j_sub(x, s, from, i - from - (keep ? 0 : n)));
            from = i;
        }
    }
    return v;
}

/* Categories of all characters in a set of bits, and at least one character. */
static struct jv all_are(struct jx *x, struct jv self, unsigned bits)
{
    const struct jstr *s = self.u.s;
    if (jx_spend(x, s->n))
        return j_bool(0);
    for (size_t i = 0; i < s->n;) {
        int32_t c;
        utf8proc_ssize_t k =
            utf8proc_iterate((const uint8_t *)s->s + i, (utf8proc_ssize_t)(s->n - i), &c);
        if (k <= 0 || !(bits >> utf8proc_category(c) & 1))
            return j_bool(0);
        i += (size_t)k;
    }
    return j_bool(s->n > 0);
}

#define BIT(c) (1u << UTF8PROC_CATEGORY_##c)
static const unsigned letters = BIT(LU) | BIT(LL) | BIT(LT) | BIT(LM) | BIT(LO);

static struct jv m_isalpha(struct jx *x, struct jv self, const struct jv *arg)
{
    (void)arg;
    return all_are(x, self, letters);
}

static struct jv m_isdecimal(struct jx *x, struct jv self, const struct jv *arg)
{
    (void)arg;
    return all_are(x, self, BIT(ND));
}

static struct jv by_test(struct jx *x, struct jv self, const char *test)
{
    struct jargs none = {0};
    return j_bool(jtest_apply(x, jtest_find(test, strlen(test)), self, &none));
}

static struct jv m_isupper(struct jx *x, struct jv self, const struct jv *arg)
{
    (void)arg;
    return by_test(x, self, "upper");
}

static struct jv m_islower(struct jx *x, struct jv self, const struct jv *arg)
{
    (void)arg;
    return by_test(x, self, "lower");
}

static struct jv m_isspace(struct jx *x, struct jv self, const struct jv *arg)
{
    (void)arg;
    const struct jstr *s = self.u.s;
    for (size_t i = 0, n; i < s->n && !jx_spend(x, 0); i += n)
        if (!jtext_is_space(s->s + i, s->n - i, &n))
            return j_bool(0);
    return j_bool(s->n > 0);
}

/* One "{...}" of str.format: a number, a name, or nothing. */
static struct jv field(struct jx *x, const char *s, size_t n, size_t *next,
                       const struct jargs *args)
{
    size_t at = 0, digits = 0;
    while (digits < n && s[digits] >= '0' && s[digits] <= '9' && digits < 6)
        at = at * 10 + (size_t)(s[digits++] - '0');
    if (n == 0)
        at = (*next)++;
    if (n == 0 || digits == n)
        return at < args->n ? args->v[at] : jx_fail(x, "format: too few arguments");
    for (size_t k = 0; k < args->n_kw; k++)
        if (strlen(args->name[args->n + k]) == n && memcmp(args->name[args->n + k], s, n) == 0)
            return args->v[args->n + k];
    return jx_fail(x, "format: the field {%.*s} is not supported or not given",
                   (int)(n < 40 ? n : 40), s);
}

static struct jv m_format(struct jx *x, struct jv self, const struct jargs *args)
{
    const struct jstr *s = self.u.s;
    struct jbuf b = {0};
    size_t next = 0;
    for (size_t i = 0; i < s->n && !x->failed; i++) {
        char c = s->s[i];
        if ((c == '{' || c == '}') && i + 1 < s->n && s->s[i + 1] == c)
            jbuf_sub(x, &b, s, i++, 1);
        else if (c == '{') {
            const char *end = memchr(s->s + i, '}', s->n - i);
            if (!end)
                return jx_fail(x, "format: a { without }");
            size_t n = (size_t)(end - s->s) - i - 1;
            jprint_str(x, &b, field(x, s->s + i + 1, n, &next, args));
            i += n + 1;
        } else if (c == '}')
            return jx_fail(x, "format: a } without {");
        else
            jbuf_sub(x, &b, s, i, 1);
    }
    return jbuf_take(x, &b);
}

/* ---- dictionaries ---- */

struct jv jdict_list(struct jx *x, const struct jdict *d, int what, enum jtype t)
{
    struct jlist *l, *pair;
    struct jv v = j_list(x, t, &l);
    for (size_t i = 0; i < d->n && !x->failed; i++) {
        struct jv item = what == 'k' ? d->key[i] : d->val[i];
        if (what == 'i') {
            item = j_list(x, J_TUPLE, &pair);
            jlist_add(x, pair, d->key[i]);
            jlist_add(x, pair, d->val[i]);
        }
        jlist_add(x, l, item);
    }
    if (!x->failed)
        l->kind = what == 'k' ? "dict_keys" : what == 'v' ? "dict_values" : "dict_items";
    return v;
}

static struct jv m_get(struct jx *x, struct jv self, const struct jv *arg)
{
    const struct jv *v = jdict_get(x, self.u.d, arg[0]);
    return v ? *v : j_given(arg[1]) ? arg[1] : j_none();
}

static struct jv m_items(struct jx *x, struct jv self, const struct jv *arg)
{
    (void)arg;
    return jdict_list(x, self.u.d, 'i', J_VIEW);
}

static struct jv m_keys(struct jx *x, struct jv self, const struct jv *arg)
{
    (void)arg;
    return jdict_list(x, self.u.d, 'k', J_VIEW);
}

static struct jv m_values(struct jx *x, struct jv self, const struct jv *arg)
{
    (void)arg;
    return jdict_list(x, self.u.d, 'v', J_VIEW);
}

static struct jv m_copy(struct jx *x, struct jv self, const struct jv *arg)
{
    (void)x;
    (void)arg;
    return self; /* nothing ever changes */
}

/* ---- loop ---- */

static struct jv m_cycle(struct jx *x, struct jv self, const struct jargs *args)
{
    return args->n ? args->v[self.u.loop->i % args->n] : jx_fail(x, "no items for cycling given");
}

static struct jv m_changed(struct jx *x, struct jv self, const struct jargs *args)
{
    struct jlist *l;
    struct jv now = j_list(x, J_TUPLE, &l);
    for (size_t i = 0; i < args->n; i++)
        jlist_add(x, l, args->v[i]);
    struct jloop *loop = self.u.loop;
    int changed = !j_given(loop->changed) || !j_eq(x, loop->changed, now);
    loop->changed = now;
    return j_bool(changed);
}

struct jv jloop_attr(struct jx *x, struct jloop *l, const char *name)
{
    int64_t n = (int64_t)l->items->n, i = (int64_t)l->i;
    const struct {
        const char *name;
        struct jv v;
    } has_[] = {{"index", j_int(i + 1)},
                {"index0", j_int(i)},
                {"revindex", j_int(n - i)},
                {"revindex0", j_int(n - i - 1)},
                {"first", j_bool(i == 0)},
                {"last", j_bool(i == n - 1)},
                {"length", j_int(n)},
                {"depth", j_int(1)},
                {"depth0", j_int(0)},
                {"previtem", i > 0 && i <= n ? l->items->v[i - 1] : j_undef("loop.previtem")},
                {"nextitem", i + 1 < n ? l->items->v[i + 1] : j_undef("loop.nextitem")}};
    for (size_t k = 0; k < sizeof has_ / sizeof *has_; k++)
        if (strcmp(has_[k].name, name) == 0)
            return has_[k].v;
    const struct jmethod_row *row = jmethod_find(name, J_LOOP);
    struct jmethod *m = row ? jx_alloc(x, sizeof *m) : NULL;
    if (!m)
        return j_undef(name);
    *m = (struct jmethod){row, {J_LOOP, {.loop = l}}};
    return (struct jv){J_METHOD, {.method = m}};
}

/* ---- the table ---- */

/* what would change its object: the sandbox says it is not there */
#define UNSAFE(name, types)                                                                        \
    {                                                                                              \
        name, types, name " (it would change its object)", NULL, 0, NULL                           \
    }
static const struct jmethod_row methods[] = {
    // clang-format off
    {"strip", STR, "chars", m_strip, 0, NULL}, {"lstrip", STR, "chars", m_lstrip, 0, NULL},
    {"rstrip", STR, "chars", m_rstrip, 0, NULL},
    {"split", STR, "sep,maxsplit", m_split, 0, NULL}, {"rsplit", STR, "sep,maxsplit", m_rsplit, 0, NULL},
    {"splitlines", STR, "keepends", m_splitlines, 0, NULL},
    {"startswith", STR, "prefix", m_startswith, 1, NULL}, {"endswith", STR, "suffix", m_endswith, 1, NULL},
    {"removeprefix", STR, "prefix", m_removeprefix, 1, NULL},
    {"removesuffix", STR, "suffix", m_removesuffix, 1, NULL},
    {"upper", STR, "", m_upper, 0, NULL}, {"lower", STR, "", m_lower, 0, NULL},
    {"capitalize", STR, "", m_capitalize, 0, NULL}, {"title", STR, "", m_title, 0, NULL},
    {"replace", STR, "old,new,count", m_replace, 2, NULL},
    {"find", STR, "sub", m_find, 1, NULL}, {"rfind", STR, "sub", m_rfind, 1, NULL},
    {"index", STR | LIST | TUPLE, "sub", m_index, 1, NULL},
    {"count", STR | LIST | TUPLE, "sub", m_count, 1, NULL},
    {"join", STR, "iterable", m_join, 1, NULL}, {"format", STR, NULL, NULL, 0, m_format},
    {"isalpha", STR, "", m_isalpha, 0, NULL}, {"isdecimal", STR, "", m_isdecimal, 0, NULL},
    {"isupper", STR, "", m_isupper, 0, NULL}, {"islower", STR, "", m_islower, 0, NULL},
    {"isspace", STR, "", m_isspace, 0, NULL},
    {"get", DICT, "key,default", m_get, 1, NULL}, {"items", DICT, "", m_items, 0, NULL},
    {"keys", DICT, "", m_keys, 0, NULL}, {"values", DICT, "", m_values, 0, NULL},
    {"copy", DICT | LIST, "", m_copy, 0, NULL},
    {"cycle", LOOP, NULL, NULL, 0, m_cycle}, {"changed", LOOP, NULL, NULL, 0, m_changed},
    UNSAFE("append", LIST), UNSAFE("extend", LIST), UNSAFE("insert", LIST), UNSAFE("remove", LIST),
    UNSAFE("reverse", LIST), UNSAFE("sort", LIST), UNSAFE("pop", LIST | DICT), UNSAFE("clear", LIST | DICT),
    UNSAFE("popitem", DICT), UNSAFE("setdefault", DICT), UNSAFE("update", DICT),
    // clang-format on
};

const struct jmethod_row *jmethod_find(const char *name, int type)
{
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if ((type < 0 || methods[i].types >> type & 1) && strcmp(methods[i].name, name) == 0)
            return &methods[i];
    return NULL;
}
