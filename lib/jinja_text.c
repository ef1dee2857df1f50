/* jinja_text - what Python does with strings: strip, split, join, replace, format */
#include "jinja_impl.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

int jtext_is_space(const char *s, size_t n, size_t *len)
{
    const uint8_t *p = (const uint8_t *)s;
    *len = 1;
    if (*p < 0x80)
        return *p == ' ' || (*p >= 9 && *p <= 13) || (*p >= 0x1c && *p <= 0x1f);
    for (*len = 1; *len < n && (s[*len] & 0xc0) == 0x80;)
        ++*len;
    if (*len == 2)
        return p[0] == 0xc2 && (p[1] == 0x85 || p[1] == 0xa0);
    if (*len != 3)
        return 0;
    uint32_t c = (p[0] & 15u) << 12 | (p[1] & 63u) << 6 | (p[2] & 63u);
    return c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
           c == 0x202f || c == 0x205f || c == 0x3000;
}

static size_t char_len(const struct jstr *s, size_t i)
{
    size_t n = 1;
    while (i + n < s->n && (s->s[i + n] & 0xc0) == 0x80)
        n++;
    return n;
}

/* Is the character of n bytes at s one of chars (NULL: white space)? */
static int is_one_of(const char *s, size_t n, const struct jstr *chars)
{
    size_t len;
    if (!chars)
        return jtext_is_space(s, n, &len);
    for (size_t i = 0; i < chars->n; i += len) {
        len = char_len(chars, i);
        if (len == n && memcmp(chars->s + i, s, n) == 0)
            return 1;
    }
    return 0;
}

/* sides: 1 = left, 2 = right */
struct jv jtext_strip(struct jx *x, const struct jstr *s, struct jv chars, int sides)
{
    size_t from = 0, to = s->n, n;
    if (j_given(chars) && chars.t != J_NONE && chars.t != J_STR)
        return jx_fail(x, "strip: expected a string, found '%s'", j_type(chars));
    const struct jstr *set = chars.t == J_STR ? chars.u.s : NULL;
    if (jx_spend(x, s->n * (set ? set->n / 4 + 1 : 1)))
        return j_undef(NULL);
    while (sides & 1 && from < to && is_one_of(s->s + from, n = char_len(s, from), set))
        from += n;
    while (sides & 2 && to > from) {
        for (n = 1; to - n > from && (s->s[to - n] & 0xc0) == 0x80;)
            n++;
        if (!is_one_of(s->s + to - n, n, set))
            break;
        to -= n;
    }
    return from == 0 && to == s->n ? (struct jv){J_STR, {.s = (struct jstr *)(uintptr_t)s}}
                                   : j_sub(x, s, from, to - from);
}

struct jv jtext_replace(struct jx *x, const struct jstr *s, const struct jstr *from,
                        const struct jstr *to, int64_t count)
{
    struct jbuf b = {0};
    size_t at = 0, hit;
    if (jx_spend(x, s->n))
        return j_undef(NULL);
    while (!x->failed && count-- != 0) {
        hit = j_find(s, at, from);
        if (hit > s->n)
            break;
        jbuf_sub(x, &b, s, at, hit - at);
        jbuf_str(x, &b, to);
        at = hit + from->n;
        if (from->n == 0) { /* between all characters */
            if (at >= s->n)
                break;
            size_t n = char_len(s, at);
            jbuf_sub(x, &b, s, at, n);
            at += n;
        }
        jx_spend(x, 0);
    }
    if (at < s->n)
        jbuf_sub(x, &b, s, at, s->n - at);
    return jbuf_take(x, &b);
}

/* ---- split ---- */

static struct jv reversed(struct jx *x, const struct jlist *l)
{
    struct jlist *o;
    struct jv v = j_list(x, J_LIST, &o);
    for (size_t i = l->n; i-- > 0 && !x->failed;)
        jlist_add(x, o, l->v[i]);
    return v;
}

/* At white space, runs of it counting as one. */
static void split_blank(struct jx *x, const struct jstr *s, int64_t max, struct jlist *l)
{
    size_t i = 0, n;
    while (!x->failed) {
        while (i < s->n && jtext_is_space(s->s + i, s->n - i, &n))
            i += n;
        if (i >= s->n)
            return;
        size_t from = i;
        if (max >= 0 && (int64_t)l->n >= max) {
            jlist_add(x, l, j_sub(x, s, i, s->n - i));
            return;
        }
        while (i < s->n && !jtext_is_space(s->s + i, s->n - i, &n))
            i += n;
        jlist_add(x, l, j_sub(x, s, from, i - from));
    }
}

static void split_left(struct jx *x, const struct jstr *s, const struct jstr *sep, int64_t max,
                       struct jlist *l)
{
    size_t at = 0, hit;
    while (!x->failed && (max < 0 || (int64_t)l->n < max) && (hit = j_find(s, at, sep)) <= s->n) {
        jlist_add(x, l, j_sub(x, s, at, hit - at));
        at = hit + sep->n;
    }
    jlist_add(x, l, j_sub(x, s, at, s->n - at));
}

static struct jv split_right(struct jx *x, const struct jstr *s, const struct jstr *sep,
                             int64_t max)
{
    struct jlist *l;
    size_t end = s->n, i = s->n;
    j_list(x, J_LIST, &l);
    while (i >= sep->n && (int64_t)l->n < max && !jx_spend(x, sep->n)) {
        if (memcmp(s->s + i - sep->n, sep->s, sep->n)) {
            i--;
            continue;
        }
        jlist_add(x, l, j_sub(x, s, i, end - i));
        end = i -= sep->n;
    }
    jlist_add(x, l, j_sub(x, s, 0, end));
    return reversed(x, l);
}

struct jv jtext_split(struct jx *x, const struct jstr *s, struct jv sep, int64_t max, int right)
{
    struct jlist *l;
    struct jv v = j_list(x, J_LIST, &l);
    if (jx_spend(x, s->n))
        return v;
    if (!j_given(sep) || sep.t == J_NONE) {
        if (right && max >= 0)
            return jx_fail(x, "rsplit at white space with a limit is not supported");
        split_blank(x, s, max, l);
        return v;
    }
    if (sep.t != J_STR)
        return jx_fail(x, "split: expected a string, found '%s'", j_type(sep));
    if (sep.u.s->n == 0)
        return jx_fail(x, "empty separator");
    if (right && max >= 0)
        return split_right(x, s, sep.u.s, max);
    split_left(x, s, sep.u.s, max, l);
    return v;
}

/* strict: all must be strings already (str.join); else str() is taken of each (the filter). */
struct jv jtext_join(struct jx *x, const struct jstr *sep, const struct jlist *l, int strict)
{
    struct jbuf b = {0};
    for (size_t i = 0; l && i < l->n && !x->failed; i++) {
        if (strict && l->v[i].t != J_STR)
            return jx_fail(x, "join: item %zu: expected a string, found '%s'", i, j_type(l->v[i]));
        if (i)
            jbuf_str(x, &b, sep);
        jprint_str(x, &b, l->v[i]);
    }
    return jbuf_take(x, &b);
}

/* ---- "..." % values ---- */

static void format_one(struct jx *x, struct jbuf *b, char *spec, size_t n, struct jv v)
{
    char out[400], type = spec[n - 1];
    if (type == 's' || type == 'r') {
        if (n != 2)
            jx_fail(x, "%%%c with a width is not supported", type);
        else if (type == 's')
            jprint_str(x, b, v);
        else
            jprint_repr(x, b, v);
        return;
    }
    if (!j_number(v) || (type != 'd' && type != 'i' && type != 'f' && type != 'x' && type != 'X')) {
        jx_fail(x, "%%%c of a '%s' is not supported", type, j_type(v));
        return;
    }
    if (type == 'f' && n != 2) {
        if (n != 4 || spec[1] != '.' || spec[2] < '0' || spec[2] > '9') {
            jx_fail(x, "the format %.*s is not supported", (int)n, spec);
            return;
        }
        snprintf(out, sizeof out, "%.*f", spec[2] - '0', j_double(v));
    } else if (type == 'f')
        snprintf(out, sizeof out, "%f", j_double(v));
    else if (n != 2) {
        jx_fail(x, "the format %.*s is not supported", (int)n, spec);
        return;
    } else {
        long long i = v.t == J_FLOAT ? (long long)fmax(fmin(v.u.f, 9e18), -9e18) : (long long)v.u.i;
        if (type != 'd' && type != 'i' && (v.t == J_FLOAT || i < 0)) {
            jx_fail(x, "%%%c of this number is not supported", type);
            return;
        }
        snprintf(out, sizeof out, type == 'x' ? "%llx" : type == 'X' ? "%llX" : "%lld", i);
    }
    jbuf_add(x, b, out, strlen(out), 0);
}

struct jv jtext_format(struct jx *x, const struct jstr *f, const struct jargs *args)
{
    struct jbuf b = {0};
    size_t used = 0;
    for (size_t i = 0; i < f->n && !x->failed;) {
        const char *p = memchr(f->s + i, '%', f->n - i);
        size_t at = p ? (size_t)(p - f->s) : f->n, end = at + 1;
        jbuf_sub(x, &b, f, i, at - i);
        if (!p)
            break;
        while (end < f->n && (strchr("0123456789.+-#", f->s[end]) || f->s[end] == ' ') && f->s[end])
            end++;
        char spec[16];
        if (end >= f->n || end - at + 2 > sizeof spec)
            return jx_fail(x, "incomplete format");
        memcpy(spec, f->s + at, end - at + 1);
        if (spec[1] == '%')
            jbuf_add(x, &b, "%", 1, 0);
        else if (used >= args->n)
            return jx_fail(x, "not enough arguments for format string");
        else
            format_one(x, &b, spec, end - at + 1, args->v[used++]);
        i = end + 1;
    }
    if (used < args->n)
        return jx_fail(x, "not all arguments converted during string formatting");
    return jbuf_take(x, &b);
}
