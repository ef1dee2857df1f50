/* md - text escaped for Markdown */
#include "md.h"
#include "html.h"
#include <string.h>

void md_text(FILE *f, const char *s)
{
    char out[16];
    size_t len;
    for (size_t n = strlen(s); n;) {
        size_t k = html_show(s, n, out, &len);
        if (strchr("\\`*|<[", *s))
            putc('\\', f);
        if (*s == '\n' || *s == '\t')
            out[0] = ' ';
        fwrite(out, 1, len, f);
        s += k;
        n -= k;
    }
}
