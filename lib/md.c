/* md - text escaped for Markdown */
#include "md.h"
#include "html.h"
#include <ctype.h>
#include <string.h>

/* few_shot is no markup, _few_ is. */
static int inside_word(const char *s, const char *start)
{
    return s > start && isalnum((unsigned char)s[-1]) && isalnum((unsigned char)s[1]);
}

void md_text(FILE *f, const char *s)
{
    char out[16];
    size_t len;
    const char *start = s;
    for (size_t n = strlen(s); n;) {
        size_t k = html_show(s, n, out, &len);
        if (strchr("\\`*|<[~&", *s) || (*s == '_' && !inside_word(s, start)))
            putc('\\', f);
        if (*s == '\n' || *s == '\t')
            out[0] = ' ';
        fwrite(out, 1, len, f);
        s += k;
        n -= k;
    }
}
