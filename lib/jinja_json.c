/* jinja_json - JSON as values of a template, as Python's json reads it: whole numbers stay whole, the order
 * of members stays, the last of two members of one name counts */
#include "jinja_impl.h"
#include "json.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    struct jx *x;
    const char *s;
    size_t n, at;
    int mark;
};

static struct jv value(struct reader *r);

static struct jv bad(struct reader *r)
{
    return jx_fail(r->x, "JSON: byte %zu is not what it should be", r->at);
}

static void blank(struct reader *r)
{
    while (r->at < r->n && memchr(" \t\r\n", r->s[r->at], 4))
        r->at++;
}

static int take(struct reader *r, char c)
{
    blank(r);
    return r->at < r->n && r->s[r->at] == c ? (r->at++, 1) : 0;
}

static int word(struct reader *r, const char *w)
{
    size_t k = strlen(w);
    if (r->n - r->at < k || memcmp(r->s + r->at, w, k))
        return 0;
    r->at += k;
    return 1;
}

static struct jv number(struct reader *r)
{
    char buf[512];
    size_t n = 0;
    int real = 0;
    while (r->at < r->n && n + 1 < sizeof buf && memchr("+-0123456789.eE", r->s[r->at], 15)) {
        real |= memchr(".eE", r->s[r->at], 3) != NULL;
        buf[n++] = r->s[r->at++];
    }
    buf[n] = 0;
    char *end;
    errno = 0;
    struct jv v = real ? j_float(strtod(buf, &end)) : j_int(strtoll(buf, &end, 10));
    if (n == 0 || *end)
        return bad(r);
    if (!real && errno)
        return jx_fail(r->x, "JSON: a whole number beyond 64 bits");
    return v;
}

static uint32_t hex4(struct reader *r)
{
    uint32_t v = 0;
    for (int i = 0; i < 4; i++, r->at++) {
        char c = r->at < r->n ? r->s[r->at] : 0;
        if (c >= '0' && c <= '9')
            v = v * 16 + (uint32_t)(c - '0');
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            v = v * 16 + (uint32_t)((c | 32) - 'a' + 10);
        else {
            bad(r);
            return 0;
        }
    }
    return v;
}

/* What follows a backslash, as UTF-8; half of a surrogate pair becomes U+FFFD. */
static void escape(struct reader *r, struct jbuf *b)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = r->at < r->n ? r->s[r->at++] : 0;
    const char *p = c ? strchr(from, c) : NULL;
    if (p) {
        jbuf_add(r->x, b, to + (p - from), 1, r->mark);
        return;
    }
    if (c != 'u') {
        bad(r);
        return;
    }
    uint32_t u = hex4(r);
    if (u >= 0xd800 && u < 0xdc00 && word(r, "\\u")) {
        uint32_t low = hex4(r);
        if (low >= 0xdc00 && low < 0xe000)
            u = 0x10000 + ((u - 0xd800) << 10) + (low - 0xdc00);
        else
            r->at -= 6;
    }
    if (u >= 0xd800 && u < 0xe000)
        u = 0xfffd;
    uint8_t o[4];
    size_t n = 0;
    if (u < 0x80)
        o[n++] = (uint8_t)u;
    else {
        int more = u < 0x800 ? 1 : u < 0x10000 ? 2 : 3;
        o[n++] = (uint8_t)((0xf00 >> (more + 1) & 0xff) | u >> (6 * more));
        while (more--)
            o[n++] = (uint8_t)(0x80 | (u >> (6 * more) & 63));
    }
    jbuf_add(r->x, b, (char *)o, n, r->mark);
}

/* Behind the first quote. A text without escapes is not copied. */
static struct jv string(struct reader *r)
{
    struct jbuf b = {0};
    size_t from = r->at;
    while (r->at < r->n && !r->x->failed && r->s[r->at] != '"') {
        if (r->s[r->at] != '\\') {
            r->at++;
            continue;
        }
        jbuf_add(r->x, &b, r->s + from, r->at - from, r->mark);
        r->at++;
        escape(r, &b);
        from = r->at;
    }
    if (r->at >= r->n)
        return bad(r);
    size_t n = r->at++ - from;
    if (!b.n)
        return j_str(r->x, r->s + from, n, r->mark);
    jbuf_add(r->x, &b, r->s + from, n, r->mark);
    return jbuf_take(r->x, &b);
}

static struct jv list(struct reader *r)
{
    struct jlist *l;
    struct jv v = j_list(r->x, J_LIST, &l);
    if (take(r, ']'))
        return v;
    do
        jlist_add(r->x, l, value(r));
    while (!r->x->failed && take(r, ','));
    return take(r, ']') ? v : bad(r);
}

static struct jv dict(struct reader *r)
{
    struct jdict *d;
    struct jv v = j_dict(r->x, &d);
    if (take(r, '}'))
        return v;
    do {
        if (!take(r, '"'))
            return bad(r);
        struct jv key = string(r);
        if (!take(r, ':'))
            return bad(r);
        jdict_put(r->x, d, key, value(r));
    } while (!r->x->failed && take(r, ','));
    return take(r, '}') ? v : bad(r);
}

static struct jv value(struct reader *r)
{
    struct jv v = j_none();
    if (r->x->failed || jx_enter(r->x)) {
        jx_leave(r->x);
        return v;
    }
    if (take(r, '{'))
        v = dict(r);
    else if (take(r, '['))
        v = list(r);
    else if (take(r, '"'))
        v = string(r);
    else if (word(r, "true"))
        v = j_bool(1);
    else if (word(r, "false"))
        v = j_bool(0);
    else if (word(r, "NaN"))
        v = j_float(NAN);
    else if (word(r, "Infinity"))
        v = j_float(INFINITY);
    else if (word(r, "-Infinity"))
        v = j_float(-INFINITY);
    else if (!word(r, "null"))
        v = number(r);
    jx_leave(r->x);
    return v;
}

struct jv jread_json(struct jx *x, const char *s, size_t n, int mark)
{
    char *own = utf8_valid(s, n) ? jx_alloc(x, n + 1) : NULL;
    if (!own)
        return x->failed ? j_none() : jx_fail(x, "JSON: not UTF-8");
    memcpy(own, s, n);
    struct reader r = {.x = x, .s = own, .n = n, .mark = mark};
    struct jv v = value(&r);
    blank(&r);
    return r.at == n || x->failed ? v : bad(&r);
}
