/* md - text escaped for Markdown */
#include "md.h"
#include <string.h>

void md_text(FILE *f, const char *s)
{
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (strchr("\\`*|<[", c))
            putc('\\', f);
        putc(c < 0x20 || c == 0x7F ? ' ' : c, f);
    }
}
