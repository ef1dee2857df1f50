/* pylit - plain literals of Python */
#include "pylit.h"
#include "unicode.h"
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 24, MAX_ITEMS = 4096 }; /* an example in a prompt is far below both */

void pylit_free(struct pylit *v)
{
    for (int i = 0; v->item && i < v->n; i++)
        pylit_free(&v->item[i]);
    free(v->item);
    free(v->s);
    *v = (struct pylit){0};
}

static int grow(struct pylit *v)
{
    size_t size = v->kind == PYLIT_STR ? sizeof *v->s : sizeof *v->item;
    int cap = v->cap ? 2 * v->cap : 8;
    if (v->n < v->cap)
        return 0;
    void *p = realloc(v->kind == PYLIT_STR ? (void *)v->s : (void *)v->item, (size_t)cap * size);
    if (!p)
        return -1;
    if (v->kind == PYLIT_STR)
        v->s = p;
    else
        v->item = p;
    v->cap = cap;
    return 0;
}

int pylit_insert_char(struct pylit *v, int i, uint32_t c)
{
    if (grow(v) < 0)
        return -1;
    memmove(v->s + i + 1, v->s + i, (size_t)(v->n - i) * sizeof *v->s);
    v->s[i] = c;
    v->n++;
    return 0;
}

int pylit_insert(struct pylit *v, int i, struct pylit *item)
{
    if (grow(v) < 0) {
        pylit_free(item);
        return -1;
    }
    memmove(v->item + i + 1, v->item + i, (size_t)(v->n - i) * sizeof *v->item);
    v->item[i] = *item;
    v->n++;
    return 0;
}

void pylit_remove(struct pylit *v, int i)
{
    size_t rest = (size_t)(--v->n - i);
    if (v->kind == PYLIT_STR) {
        memmove(v->s + i, v->s + i + 1, rest * sizeof *v->s);
    } else {
        pylit_free(&v->item[i]);
        memmove(v->item + i, v->item + i + 1, rest * sizeof *v->item);
    }
}

int pylit_copy(struct pylit *to, const struct pylit *from)
{
    *to = (struct pylit){.kind = from->kind, .i = from->i, .f = from->f};
    for (int i = 0; i < from->n; i++) {
        struct pylit item;
        if (from->kind == PYLIT_STR
                ? pylit_insert_char(to, i, from->s[i]) < 0
                : pylit_copy(&item, &from->item[i]) < 0 || pylit_insert(to, i, &item) < 0) {
            pylit_free(to);
            return -1;
        }
    }
    return 0;
}

int pylit_equal(const struct pylit *a, const struct pylit *b)
{
    if (a->kind != b->kind || a->n != b->n || a->i != b->i || a->f != b->f)
        return 0;
    for (int i = 0; i < a->n; i++)
        if (a->kind == PYLIT_STR ? a->s[i] != b->s[i] : !pylit_equal(&a->item[i], &b->item[i]))
            return 0;
    return 1;
}

/* ---- reading ---- */

static void space(const char **p)
{
    while (isspace((unsigned char)**p))
        ++*p;
}

/* One UTF-8 character. 0 at the end or if it is none. */
static uint32_t utf8(const char **p)
{
    const unsigned char *s = (const unsigned char *)*p;
    int n = *s < 0x80 ? 1 : *s >= 0xf0 ? 4 : *s >= 0xe0 ? 3 : *s >= 0xc2 ? 2 : 0;
    uint32_t c = n == 1 ? *s : n ? *s & (0xffu >> (n + 1)) : 0;
    for (int i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (s[i] & 0x3f);
    }
    if (n > 2 && unicode_bad_utf8(*p, (size_t)n) < (size_t)n) /* beyond U+10FFFF, and the like */
        return 0;
    *p += n;
    return c;
}

/* What stands behind a backslash; UINT32_MAX if it is not understood. */
static uint32_t escape(const char **p)
{
    static const char names[] = "n\nt\tr\r\\\\''\"\"a\ab\bf\fv\v";
    char c = *(*p)++;
    for (const char *s = names; *s; s += 2)
        if (*s == c)
            return (uint32_t)s[1];
    int digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    uint32_t v = 0;
    if (c >= '0' && c <= '7') {
        v = (uint32_t)(c - '0');
        for (int i = 0; i < 2 && **p >= '0' && **p <= '7'; i++)
            v = v * 8 + (uint32_t)(*(*p)++ - '0');
        return v;
    }
    for (int i = 0; i < digits; i++, ++*p) {
        if (!isxdigit((unsigned char)**p))
            return UINT32_MAX;
        v = v << 4 |
            (uint32_t)(isdigit((unsigned char)**p) ? **p - '0'
                                                   : tolower((unsigned char)**p) - 'a' + 10);
    }
    return digits && v < 0x110000 && (v < 0xd800 || v > 0xdfff) ? v : UINT32_MAX;
}

static int read_str(struct pylit *v, const char **p)
{
    char quote = *(*p)++;
    v->kind = PYLIT_STR;
    if ((*p)[0] == quote && (*p)[1] == quote) /* a long string, or the end of the docstring */
        return -1;
    while (**p != quote) {
        uint32_t c;
        if (!**p || **p == '\n' || **p == '\r')
            return -1;
        if (**p == '\\') {
            ++*p;
            if ((c = escape(p)) == UINT32_MAX)
                return -1;
        } else if (!(c = utf8(p))) {
            return -1;
        }
        if (v->n == MAX_ITEMS || pylit_insert_char(v, v->n, c) < 0)
            return -1;
    }
    ++*p;
    return 0;
}

static int read_number(struct pylit *v, const char **p)
{
    const char *s = *p, *q = s + (*s == '-' || *s == '+');
    char *end;
    size_t digits = strspn(q, "0123456789");
    char after = q[digits];
    if (!digits && !(*q == '.' && isdigit((unsigned char)q[1])))
        return -1;
    errno = 0;
    if ((after == '.' && q[digits + 1] != '.') || after == 'e' || after == 'E') {
        v->kind = PYLIT_FLOAT;
        v->f = strtod(s, &end);
        if (!isfinite(v->f))
            return -1;
    } else {
        v->kind = PYLIT_INT;
        v->i = strtoll(s, &end, 10);
        if (errno || (digits > 1 && *q == '0'))
            return -1;
    }
    *p = end;
    return isalnum((unsigned char)*end) || *end == '_' ? -1 : 0;
}

static int read_value(struct pylit *v, const char **p, int depth);

/* Elements up to the closing bracket. *commas: how many stood there. */
static int read_items(struct pylit *v, const char **p, char close, int depth, int *commas)
{
    *commas = 0;
    for (space(p); **p != close; space(p)) {
        struct pylit item;
        if (v->n >= MAX_ITEMS || read_value(&item, p, depth + 1) < 0 ||
            pylit_insert(v, v->n, &item) < 0)
            return -1;
        space(p);
        if (close == '}' && **p == ':' && (v->kind == PYLIT_DICT || v->n == 1)) {
            v->kind = PYLIT_DICT;
            ++*p;
            if (read_value(&item, p, depth + 1) < 0 || pylit_insert(v, v->n, &item) < 0)
                return -1;
            space(p);
        } else if (v->kind == PYLIT_DICT) {
            return -1;
        }
        if (**p != close && **p != ',')
            return -1;
        if (**p == ',') {
            ++*commas;
            ++*p;
        }
    }
    ++*p;
    return 0;
}

static int read_bracket(struct pylit *v, const char **p, int depth)
{
    char open = *(*p)++;
    int commas, rc;
    v->kind = open == '[' ? PYLIT_LIST : open == '(' ? PYLIT_TUPLE : PYLIT_SET;
    rc = read_items(v, p, open == '[' ? ']' : open == '(' ? ')' : '}', depth, &commas);
    if (rc == 0 && open == '{' && v->n == 0)
        v->kind = PYLIT_DICT;
    if (rc == 0 && open == '(' && v->n == 1 && !commas) { /* brackets around a value */
        struct pylit inner = v->item[0];
        free(v->item);
        *v = inner;
    }
    return rc;
}

static int read_word(struct pylit *v, const char **p)
{
    static const char *const words[] = {"None", "False", "True"};
    for (int i = 0; i < 3; i++) {
        size_t n = strlen(words[i]);
        char after = strncmp(*p, words[i], n) ? '_' : (*p)[n];
        if (isalnum((unsigned char)after) || after == '_')
            continue;
        *v = (struct pylit){.kind = i ? PYLIT_BOOL : PYLIT_NONE, .i = i == 2};
        *p += n;
        return 0;
    }
    return -1;
}

static int read_value(struct pylit *v, const char **p, int depth)
{
    int rc;
    *v = (struct pylit){0};
    space(p);
    if (depth > MAX_DEPTH || !**p)
        return -1;
    if (strchr("[({", **p))
        rc = read_bracket(v, p, depth);
    else if (**p == '\'' || **p == '"')
        rc = read_str(v, p);
    else if (isdigit((unsigned char)**p) || strchr("+-.", **p))
        rc = read_number(v, p);
    else
        rc = read_word(v, p);
    if (rc < 0)
        pylit_free(v);
    return rc;
}

int pylit_read(struct pylit *v, const char **p)
{
    return read_value(v, p, 0);
}

int pylit_read_args(struct pylit *v, const char *p)
{
    int commas;
    *v = (struct pylit){.kind = PYLIT_TUPLE};
    p++;
    if (read_items(v, &p, ')', 0, &commas) == 0)
        return 0;
    pylit_free(v);
    return -1;
}

/* ---- writing ---- */

static void write_str(FILE *f, const struct pylit *v)
{
    fputc('\'', f);
    for (int i = 0; i < v->n; i++) {
        uint32_t c = v->s[i];
        if (c == '\'' || c == '\\')
            fprintf(f, "\\%c", (int)c);
        else if (c == '\n' || c == '\r' || c == '\t')
            fprintf(f, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
        else if (c < 0x20 || (c >= 0x7f && c < 0xa0))
            fprintf(f, "\\x%02x", (unsigned)c);
        else if (c < 0x80)
            fputc((int)c, f);
        else if (c < 0x800)
            fprintf(f, "%c%c", (int)(0xc0 | c >> 6), (int)(0x80 | (c & 0x3f)));
        else if (c < 0x10000)
            fprintf(f, "%c%c%c", (int)(0xe0 | c >> 12), (int)(0x80 | (c >> 6 & 0x3f)),
                    (int)(0x80 | (c & 0x3f)));
        else
            fprintf(f, "%c%c%c%c", (int)(0xf0 | c >> 18), (int)(0x80 | (c >> 12 & 0x3f)),
                    (int)(0x80 | (c >> 6 & 0x3f)), (int)(0x80 | (c & 0x3f)));
    }
    fputc('\'', f);
}

/* The shortest text that reads back the same, recognisable as a float. */
static void write_float(FILE *f, double v)
{
    char buf[40];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(buf, sizeof buf, "%.*g", digits, v);
        if (strtod(buf, NULL) == v)
            break;
    }
    fprintf(f, "%s%s", buf, strpbrk(buf, ".e") ? "" : ".0");
}

void pylit_write_args(FILE *f, const struct pylit *v)
{
    for (int i = 0; i < v->n; i++) {
        if (i)
            fputs(v->kind == PYLIT_DICT && i % 2 ? ": " : ", ", f);
        pylit_write(f, &v->item[i]);
    }
}

void pylit_write(FILE *f, const struct pylit *v)
{
    static const char open[] = {
        [PYLIT_LIST] = '[', [PYLIT_TUPLE] = '(', [PYLIT_SET] = '{', [PYLIT_DICT] = '{'};
    static const char close[] = {
        [PYLIT_LIST] = ']', [PYLIT_TUPLE] = ')', [PYLIT_SET] = '}', [PYLIT_DICT] = '}'};
    switch (v->kind) {
    case PYLIT_NONE:
        fputs("None", f);
        break;
    case PYLIT_BOOL:
        fputs(v->i ? "True" : "False", f);
        break;
    case PYLIT_INT:
        fprintf(f, "%lld", (long long)v->i);
        break;
    case PYLIT_FLOAT:
        write_float(f, v->f);
        break;
    case PYLIT_STR:
        write_str(f, v);
        break;
    default:
        fputc(open[v->kind], f);
        pylit_write_args(f, v);
        if (v->kind == PYLIT_TUPLE && v->n == 1)
            fputc(',', f);
        fputc(close[v->kind], f);
    }
}
