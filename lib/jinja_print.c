/* jinja_print - values of a template as text: Python's str and repr, and JSON as json.dumps writes it */
#include "jinja_impl.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

static void puts_(struct jx *x, struct jbuf *b, const char *s)
{
    jbuf_add(x, b, s, strlen(s), 0);
}

/* The shortest digits that read back equal, as Python sets them: 1e+16 from there on, 1e-05. */
size_t jprint_float(char *to, size_t n, double f)
{
    char d[40];
    int precision = 0;
    if (!isfinite(f))
        return (size_t)snprintf(to, n, "%s", isnan(f) ? "nan" : f < 0 ? "-inf" : "inf");
    do
        snprintf(d, sizeof d, "%.*e", precision, f);
    while (strtod(d, NULL) != f && ++precision < 17);
    int exp10 = (int)strtol(strchr(d, 'e') + 1, NULL, 10);
    if (exp10 >= 16 || exp10 < -4)
        return (size_t)snprintf(to, n, "%s", d);
    return (size_t)snprintf(to, n, "%.*f", precision > exp10 ? precision - exp10 : 1, f);
}

static void number(struct jx *x, struct jbuf *b, struct jv v)
{
    char s[64];
    if (v.t == J_FLOAT)
        jprint_float(s, sizeof s, v.u.f);
    else
        snprintf(s, sizeof s, "%lld", (long long)v.u.i);
    puts_(x, b, s);
}

static int printable(utf8proc_int32_t c)
{
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
        return 0;
    case UTF8PROC_CATEGORY_ZS:
        return c == ' ';
    default:
        return 1;
    }
}

static void repr_str(struct jx *x, struct jbuf *b, const struct jstr *s)
{
    const char *quote = memchr(s->s, '\'', s->n) && !memchr(s->s, '"', s->n) ? "\"" : "'";
    puts_(x, b, quote);
    for (size_t i = 0; i < s->n && !x->failed;) {
        utf8proc_int32_t c;
        char esc[16] = "";
        utf8proc_ssize_t k =
            utf8proc_iterate((const uint8_t *)s->s + i, (utf8proc_ssize_t)(s->n - i), &c);
        if (k <= 0)
            k = 1;
        else if (c == '\\' || c == *quote)
            snprintf(esc, sizeof esc, "\\%c", (char)c);
        else if (c == '\n' || c == '\r' || c == '\t')
            snprintf(esc, sizeof esc, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
        else if (!printable(c))
            snprintf(esc, sizeof esc,
                     c < 0x100     ? "\\x%02x"
                     : c < 0x10000 ? "\\u%04x"
                                   : "\\U%08x",
                     (unsigned)c);
        if (*esc)
            jbuf_add(x, b, esc, strlen(esc), s->m ? s->m[i] : s->mark);
        else
            jbuf_sub(x, b, s, i, (size_t)k);
        i += (size_t)k;
    }
    puts_(x, b, quote);
}

static void repr_list(struct jx *x, struct jbuf *b, const struct jlist *l, const char *open,
                      const char *close)
{
    puts_(x, b, open);
    for (size_t i = 0; i < l->n && !x->failed; i++) {
        if (i)
            puts_(x, b, ", ");
        jprint_repr(x, b, l->v[i]);
    }
    puts_(x, b, close);
}

static void repr_dict(struct jx *x, struct jbuf *b, const struct jdict *d)
{
    puts_(x, b, "{");
    for (size_t i = 0; i < d->n && !x->failed; i++) {
        if (i)
            puts_(x, b, ", ");
        jprint_repr(x, b, d->key[i]);
        puts_(x, b, ": ");
        jprint_repr(x, b, d->val[i]);
    }
    puts_(x, b, "}");
}

void jprint_repr(struct jx *x, struct jbuf *b, struct jv v)
{
    if (!jx_enter(x)) {
        switch (v.t) {
        case J_UNDEF:
            puts_(x, b, "Undefined");
            break;
        case J_NONE:
            puts_(x, b, "None");
            break;
        case J_BOOL:
            puts_(x, b, v.u.i ? "True" : "False");
            break;
        case J_INT:
        case J_FLOAT:
            number(x, b, v);
            break;
        case J_STR:
            repr_str(x, b, v.u.s);
            break;
        case J_LIST:
            repr_list(x, b, v.u.l, "[", "]");
            break;
        case J_TUPLE:
            repr_list(x, b, v.u.l, "(", v.u.l->n == 1 ? ",)" : ")");
            break;
        case J_DICT:
            repr_dict(x, b, v.u.d);
            break;
        case J_VIEW:
            if (strncmp(v.u.l->kind, "dict_", 5) == 0) {
                puts_(x, b, v.u.l->kind);
                repr_list(x, b, v.u.l, "([", "])");
                break;
            } /* fall through */
        default:
            jx_fail(x, "a %s cannot be printed", j_type(v));
        }
    }
    jx_leave(x);
}

void jprint_str(struct jx *x, struct jbuf *b, struct jv v)
{
    if (v.t == J_STR)
        jbuf_str(x, b, v.u.s);
    else if (v.t != J_UNDEF)
        jprint_repr(x, b, v);
}

struct jv jprint_to_str(struct jx *x, struct jv v)
{
    struct jbuf b = {0};
    if (v.t == J_STR)
        return v;
    jprint_str(x, &b, v);
    return jbuf_take(x, &b);
}

/* ---- JSON ---- */

static void json_str_(struct jx *x, struct jbuf *b, const struct jstr *s, int ascii)
{
    static const char plain[] = "\"\\\n\r\t\b\f", code[] = "\"\\nrtbf";
    size_t from = 0;
    puts_(x, b, "\"");
    for (size_t i = 0; i < s->n && !x->failed;) {
        uint8_t c = (uint8_t)s->s[i];
        const char *p = memchr(plain, c, sizeof plain - 1);
        utf8proc_int32_t u = c;
        utf8proc_ssize_t k = 1;
        char esc[16] = "";
        if (p)
            snprintf(esc, sizeof esc, "\\%c", code[p - plain]);
        else if (c < 0x20)
            snprintf(esc, sizeof esc, "\\u%04x", c);
        else if (c >= 0x80 && ascii) {
            k = utf8proc_iterate((const uint8_t *)s->s + i, (utf8proc_ssize_t)(s->n - i), &u);
            k = k > 0 ? k : 1;
            if (u > 0xffff)
                snprintf(esc, sizeof esc, "\\u%04x\\u%04x",
                         0xd800 + ((unsigned)(u - 0x10000) >> 10), 0xdc00 + ((unsigned)u & 0x3ff));
            else
                snprintf(esc, sizeof esc, "\\u%04x", (unsigned)u);
        }
        if (*esc) {
            jbuf_sub(x, b, s, from, i - from);
            jbuf_add(x, b, esc, strlen(esc), s->m ? s->m[i] : s->mark);
            from = i + (size_t)k;
        }
        i += (size_t)k;
    }
    jbuf_sub(x, b, s, from, s->n - from);
    puts_(x, b, "\"");
}

static void new_line(struct jx *x, struct jbuf *b, const struct jjson *o, int level)
{
    if (o->indent < 0)
        return;
    puts_(x, b, "\n");
    for (int i = 0; i < level * o->indent && !x->failed; i++)
        puts_(x, b, " ");
}

static void json_float(struct jx *x, struct jbuf *b, double f)
{
    if (isfinite(f))
        number(x, b, j_float(f));
    else
        puts_(x, b, isnan(f) ? "NaN" : f < 0 ? "-Infinity" : "Infinity");
}

static void json_key_(struct jx *x, struct jbuf *b, struct jv k, const struct jjson *o)
{
    if (k.t == J_STR) {
        json_str_(x, b, k.u.s, o->ascii);
        return;
    }
    if (k.t != J_NONE && !j_number(k)) {
        jx_fail(x, "a key of JSON cannot be a %s", j_type(k));
        return;
    }
    puts_(x, b, "\"");
    jprint_json(x, b, k, o, 0);
    puts_(x, b, "\"");
}

static void json_dict(struct jx *x, struct jbuf *b, const struct jdict *d, const struct jjson *o,
                      int level)
{
    struct jlist *keys = NULL;
    struct jv all = jdict_list(x, d, 'k', J_LIST);
    if (o->sort)
        keys = jsorted(x, all.u.l, j_undef(j_absent), 0, 0);
    puts_(x, b, "{");
    for (size_t i = 0; i < d->n && !x->failed; i++) {
        struct jv key = keys ? keys->v[i] : d->key[i];
        const struct jv *val = keys ? jdict_get(x, d, key) : &d->val[i];
        if (i)
            jprint_str(x, b, o->item_sep);
        new_line(x, b, o, level + 1);
        json_key_(x, b, key, o);
        jprint_str(x, b, o->key_sep);
        if (val)
            jprint_json(x, b, *val, o, level + 1);
    }
    if (d->n)
        new_line(x, b, o, level);
    puts_(x, b, "}");
}

static void json_list(struct jx *x, struct jbuf *b, const struct jlist *l, const struct jjson *o,
                      int level)
{
    puts_(x, b, "[");
    for (size_t i = 0; i < l->n && !x->failed; i++) {
        if (i)
            jprint_str(x, b, o->item_sep);
        new_line(x, b, o, level + 1);
        jprint_json(x, b, l->v[i], o, level + 1);
    }
    if (l->n)
        new_line(x, b, o, level);
    puts_(x, b, "]");
}

void jprint_json(struct jx *x, struct jbuf *b, struct jv v, const struct jjson *o, int level)
{
    if (!jx_enter(x)) {
        switch (v.t) {
        case J_NONE:
            puts_(x, b, "null");
            break;
        case J_BOOL:
            puts_(x, b, v.u.i ? "true" : "false");
            break;
        case J_INT:
            number(x, b, v);
            break;
        case J_FLOAT:
            json_float(x, b, v.u.f);
            break;
        case J_STR:
            json_str_(x, b, v.u.s, o->ascii);
            break;
        case J_LIST:
        case J_TUPLE:
            json_list(x, b, v.u.l, o, level);
            break;
        case J_DICT:
            json_dict(x, b, v.u.d, o, level);
            break;
        default:
            jx_fail(x, "Object of type %s is not JSON serializable", j_type(v));
        }
    }
    jx_leave(x);
}
