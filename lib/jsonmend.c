/* jsonmend - NUL and lone surrogates in JSON become U+FFFD */
#include "jsonmend.h"
#include <string.h>

static int unit(const char *s, const char *end) /* the value of \uXXXX at s, or -1 */
{
    int v = 0;
    if (end - s < 6 || s[0] != '\\' || s[1] != 'u')
        return -1;
    for (int i = 2; i < 6; i++) {
        int c = s[i], d = c >= '0' && c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
        if (d < 0 || d > 15 || (d < 10 && !(c >= '0' && c <= '9')))
            return -1;
        v = v * 16 + d;
    }
    return v;
}

size_t json_mend(char *s, size_t n)
{
    char *end = s + n;
    size_t count = 0;
    while ((s = memchr(s, '\\', (size_t)(end - s))) && end - s > 1) {
        int v = unit(s, end), next = v >= 0 ? unit(s + 6, end) : -1;
        if (v >= 0xD800 && v < 0xDC00 && next >= 0xDC00 && next < 0xE000) {
            s += 12;
        } else if (v == 0 || (v >= 0xD800 && v < 0xE000)) {
            memcpy(s, "\\ufffd", 6);
            s += 6;
            count++;
        } else
            s += 2;
    }
    return count;
}
