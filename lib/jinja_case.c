/* jinja_case - upper and lower case as Python has them: by Unicode, some letters becoming several */
#include "jinja_impl.h"
#include <string.h>
#include <utf8proc.h>

/* SpecialCasing.txt of Unicode, the unconditional rows: code points whose upper case is several, in order */
static const struct {
    uint32_t c;
    const char *up;
} several[] = {
    // clang-format off
    {0x00df, "\x53\x53"}, {0x0149, "\xca\xbc\x4e"}, {0x01f0, "\x4a\xcc\x8c"},
    {0x0390, "\xce\x99\xcc\x88\xcc\x81"}, {0x03b0, "\xce\xa5\xcc\x88\xcc\x81"},
    {0x0587, "\xd4\xb5\xd5\x92"}, {0x1e96, "\x48\xcc\xb1"}, {0x1e97, "\x54\xcc\x88"},
    {0x1e98, "\x57\xcc\x8a"}, {0x1e99, "\x59\xcc\x8a"}, {0x1e9a, "\x41\xca\xbe"},
    {0x1f50, "\xce\xa5\xcc\x93"}, {0x1f52, "\xce\xa5\xcc\x93\xcc\x80"},
    {0x1f54, "\xce\xa5\xcc\x93\xcc\x81"}, {0x1f56, "\xce\xa5\xcc\x93\xcd\x82"},
    {0x1f80, "\xe1\xbc\x88\xce\x99"}, {0x1f81, "\xe1\xbc\x89\xce\x99"},
    {0x1f82, "\xe1\xbc\x8a\xce\x99"}, {0x1f83, "\xe1\xbc\x8b\xce\x99"},
    {0x1f84, "\xe1\xbc\x8c\xce\x99"}, {0x1f85, "\xe1\xbc\x8d\xce\x99"},
    {0x1f86, "\xe1\xbc\x8e\xce\x99"}, {0x1f87, "\xe1\xbc\x8f\xce\x99"},
    {0x1f88, "\xe1\xbc\x88\xce\x99"}, {0x1f89, "\xe1\xbc\x89\xce\x99"},
    {0x1f8a, "\xe1\xbc\x8a\xce\x99"}, {0x1f8b, "\xe1\xbc\x8b\xce\x99"},
    {0x1f8c, "\xe1\xbc\x8c\xce\x99"}, {0x1f8d, "\xe1\xbc\x8d\xce\x99"},
    {0x1f8e, "\xe1\xbc\x8e\xce\x99"}, {0x1f8f, "\xe1\xbc\x8f\xce\x99"},
    {0x1f90, "\xe1\xbc\xa8\xce\x99"}, {0x1f91, "\xe1\xbc\xa9\xce\x99"},
    {0x1f92, "\xe1\xbc\xaa\xce\x99"}, {0x1f93, "\xe1\xbc\xab\xce\x99"},
    {0x1f94, "\xe1\xbc\xac\xce\x99"}, {0x1f95, "\xe1\xbc\xad\xce\x99"},
    {0x1f96, "\xe1\xbc\xae\xce\x99"}, {0x1f97, "\xe1\xbc\xaf\xce\x99"},
    {0x1f98, "\xe1\xbc\xa8\xce\x99"}, {0x1f99, "\xe1\xbc\xa9\xce\x99"},
    {0x1f9a, "\xe1\xbc\xaa\xce\x99"}, {0x1f9b, "\xe1\xbc\xab\xce\x99"},
    {0x1f9c, "\xe1\xbc\xac\xce\x99"}, {0x1f9d, "\xe1\xbc\xad\xce\x99"},
    {0x1f9e, "\xe1\xbc\xae\xce\x99"}, {0x1f9f, "\xe1\xbc\xaf\xce\x99"},
    {0x1fa0, "\xe1\xbd\xa8\xce\x99"}, {0x1fa1, "\xe1\xbd\xa9\xce\x99"},
    {0x1fa2, "\xe1\xbd\xaa\xce\x99"}, {0x1fa3, "\xe1\xbd\xab\xce\x99"},
    {0x1fa4, "\xe1\xbd\xac\xce\x99"}, {0x1fa5, "\xe1\xbd\xad\xce\x99"},
    {0x1fa6, "\xe1\xbd\xae\xce\x99"}, {0x1fa7, "\xe1\xbd\xaf\xce\x99"},
    {0x1fa8, "\xe1\xbd\xa8\xce\x99"}, {0x1fa9, "\xe1\xbd\xa9\xce\x99"},
    {0x1faa, "\xe1\xbd\xaa\xce\x99"}, {0x1fab, "\xe1\xbd\xab\xce\x99"},
    {0x1fac, "\xe1\xbd\xac\xce\x99"}, {0x1fad, "\xe1\xbd\xad\xce\x99"},
    {0x1fae, "\xe1\xbd\xae\xce\x99"}, {0x1faf, "\xe1\xbd\xaf\xce\x99"},
    {0x1fb2, "\xe1\xbe\xba\xce\x99"}, {0x1fb3, "\xce\x91\xce\x99"}, {0x1fb4, "\xce\x86\xce\x99"},
    {0x1fb6, "\xce\x91\xcd\x82"}, {0x1fb7, "\xce\x91\xcd\x82\xce\x99"},
    {0x1fbc, "\xce\x91\xce\x99"}, {0x1fc2, "\xe1\xbf\x8a\xce\x99"}, {0x1fc3, "\xce\x97\xce\x99"},
    {0x1fc4, "\xce\x89\xce\x99"}, {0x1fc6, "\xce\x97\xcd\x82"},
    {0x1fc7, "\xce\x97\xcd\x82\xce\x99"}, {0x1fcc, "\xce\x97\xce\x99"},
    {0x1fd2, "\xce\x99\xcc\x88\xcc\x80"}, {0x1fd3, "\xce\x99\xcc\x88\xcc\x81"},
    {0x1fd6, "\xce\x99\xcd\x82"}, {0x1fd7, "\xce\x99\xcc\x88\xcd\x82"},
    {0x1fe2, "\xce\xa5\xcc\x88\xcc\x80"}, {0x1fe3, "\xce\xa5\xcc\x88\xcc\x81"},
    {0x1fe4, "\xce\xa1\xcc\x93"}, {0x1fe6, "\xce\xa5\xcd\x82"},
    {0x1fe7, "\xce\xa5\xcc\x88\xcd\x82"}, {0x1ff2, "\xe1\xbf\xba\xce\x99"},
    {0x1ff3, "\xce\xa9\xce\x99"}, {0x1ff4, "\xce\x8f\xce\x99"}, {0x1ff6, "\xce\xa9\xcd\x82"},
    {0x1ff7, "\xce\xa9\xcd\x82\xce\x99"}, {0x1ffc, "\xce\xa9\xce\x99"}, {0xfb00, "\x46\x46"},
    {0xfb01, "\x46\x49"}, {0xfb02, "\x46\x4c"}, {0xfb03, "\x46\x46\x49"},
    {0xfb04, "\x46\x46\x4c"}, {0xfb05, "\x53\x54"}, {0xfb06, "\x53\x54"},
    {0xfb13, "\xd5\x84\xd5\x86"}, {0xfb14, "\xd5\x84\xd4\xb5"}, {0xfb15, "\xd5\x84\xd4\xbb"},
    {0xfb16, "\xd5\x8e\xd5\x86"}, {0xfb17, "\xd5\x84\xd4\xbd"},
    // clang-format on
};

static const char *special_upper(int32_t c)
{
    size_t lo = 0, hi = sizeof several / sizeof *several;
    if (c < 0xdf)
        return NULL;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (several[mid].c == (uint32_t)c)
            return several[mid].up;
        if (several[mid].c < (uint32_t)c)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

static void put(struct jx *x, struct jbuf *b, int32_t c, int upper, int title, int mark)
{
    uint8_t o[4];
    const char *s = upper && !title ? special_upper(c) : c == 0x130 && !upper ? "i\xcc\x87" : NULL;
    if (title && special_upper(c) && utf8proc_totitle(c) == c)
        s = c == 0xdf ? "Ss" : special_upper(c);
    if (s) {
        jbuf_add(x, b, s, strlen(s), mark);
        return;
    }
    c = !upper ? utf8proc_tolower(c) : title ? utf8proc_totitle(c) : utf8proc_toupper(c);
    jbuf_add(x, b, (char *)o, (size_t)utf8proc_encode_char(c, o), mark);
}

static int is_letter(int32_t c)
{
    utf8proc_category_t k = utf8proc_category(c);
    return k == UTF8PROC_CATEGORY_LU || k == UTF8PROC_CATEGORY_LL || k == UTF8PROC_CATEGORY_LT;
}

/* how: 'u' upper, 'l' lower, 'c' only the first letter upper, 't' the first of each word (str.title), 'w' the
 * first of what blanks and opening brackets divide (Jinja's title) */
struct jv jtext_case(struct jx *x, const struct jstr *s, int how)
{
    struct jbuf b = {0};
    int begin = 1;
    for (size_t i = 0; i < s->n && !x->failed;) {
        int32_t c;
        size_t len;
        utf8proc_ssize_t k =
            utf8proc_iterate((const uint8_t *)s->s + i, (utf8proc_ssize_t)(s->n - i), &c);
        if (k <= 0)
            break; /* texts are UTF-8 throughout */
        int upper = how == 'u' || (how != 'l' && begin);
        put(x, &b, c, upper, upper && (how == 't' || how == 'c'), s->m ? s->m[i] : s->mark);
        if (how == 't')
            begin = !is_letter(c);
        else if (how == 'w')
            begin =
                jtext_is_space(s->s + i, s->n - i, &len) || (c < 0x80 && c && strchr("-({[<", c));
        else
            begin = 0;
        i += (size_t)k;
    }
    struct jv v = jbuf_take(x, &b);
    if (!x->failed)
        v.u.s->markup = s->markup;
    return v;
}
