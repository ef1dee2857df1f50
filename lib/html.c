/* html - escaped output, the frame of a page with its Content-Security-Policy */
#include "html.h"
#include "hash.h"
#include "paths.h"
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- characters ---- */

/* One character of s[0..n-1]: its code point in *u and its length, or length 0 if it is no UTF-8. */
static size_t decode(const unsigned char *s, size_t n, unsigned *u)
{
    size_t k = s[0] < 0x80                   ? 1
               : s[0] >= 0xC2 && s[0] < 0xE0 ? 2
               : s[0] >= 0xE0 && s[0] < 0xF0 ? 3
               : s[0] >= 0xF0 && s[0] < 0xF5 ? 4
                                             : 0;
    if (!k || k > n)
        return 0;
    *u = k == 1 ? s[0] : s[0] & (0xFFu >> (k + 1));
    for (size_t i = 1; i < k; i++) {
        if ((s[i] & 0xC0) != 0x80)
            return 0;
        *u = *u << 6 | (s[i] & 0x3Fu);
    }
    static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
    return *u < least[k] || *u > 0x10FFFF || (*u >= 0xD800 && *u < 0xE000) ? 0 : k;
}

/* Characters that change how others look and show nothing themselves: C1 controls, direction marks
 * and overrides (how "Trojan source" hides code, CVE-2021-42574), separators, tags. The joiners
 * U+200C and U+200D belong to words and emoji. */
static int unseen(unsigned u)
{
    return (u >= 0x80 && u < 0xA0) || u == 0x61C || u == 0x200B || u == 0x200E || u == 0x200F ||
           (u >= 0x2028 && u <= 0x202E) || (u >= 0x2060 && u <= 0x206F) || u == 0xFEFF ||
           (u >= 0xFFF9 && u <= 0xFFFB) || (u >= 0xE0000 && u <= 0xE0FFF);
}

size_t html_show(const char *s, size_t n, char out[16], size_t *len)
{
    unsigned u = 0;
    size_t k = decode((const unsigned char *)s, n, &u);
    if (!k) {
        memcpy(out, "\xEF\xBF\xBD", *len = 3);
        return 1;
    }
    if ((u < 0x20 && u != '\n' && u != '\t') || u == 0x7F) { /* U+2400 and on: control pictures */
        unsigned p = u == 0x7F ? 0x2421 : 0x2400 + u;
        out[0] = (char)0xE2;
        out[1] = (char)(0x80 | (p >> 6 & 0x3F));
        out[2] = (char)(0x80 | (p & 0x3F));
        *len = 3;
    } else if (unseen(u)) {
        *len = (size_t)snprintf(out, 16, "\xE2\x9F\xA8%04X\xE2\x9F\xA9", u);
    } else {
        memcpy(out, s, *len = k);
    }
    return k;
}

char *html_visible(const char *s, size_t n)
{
    char *text = NULL, out[16];
    size_t size = 0, len;
    FILE *f = open_memstream(&text, &size);
    if (!f)
        return NULL;
    for (size_t i = 0; i < n; fwrite(out, 1, len, f))
        i += html_show(s + i, n - i, out, &len);
    if (fclose(f)) {
        free(text);
        return NULL;
    }
    return text;
}

size_t html_cut(const char *s, size_t n, size_t max)
{
    if (n <= max)
        return n;
    for (size_t i = 0; i < 3 && max && ((unsigned char)s[max] & 0xC0) == 0x80; i++)
        max--;
    return max;
}

void html_text(FILE *f, const char *s, size_t n)
{
    char out[16];
    size_t len;
    for (size_t i = 0; i < n;) {
        const char *esc = s[i] == '&'    ? "&amp;"
                          : s[i] == '<'  ? "&lt;"
                          : s[i] == '>'  ? "&gt;"
                          : s[i] == '"'  ? "&quot;"
                          : s[i] == '\'' ? "&#39;"
                                         : NULL;
        if (esc) {
            fputs(esc, f);
            i++;
            continue;
        }
        i += html_show(s + i, n - i, out, &len);
        fwrite(out, 1, len, f);
    }
}

void html_put(FILE *f, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    while (*fmt) {
        const char *p = strchr(fmt, '%');
        size_t lead = p ? (size_t)(p - fmt) : strlen(fmt);
        fwrite(fmt, 1, lead, f);
        if (!p)
            break;
        size_t k = 1 + strspn(p + 1, "-+ #0123456789.*l");
        char spec[16], out[512];
        const char *dot = memchr(p, '.', k); /* of %s: bytes at most */
        int limit = !dot ? -1 : dot[1] == '*' ? va_arg(ap, int) : (int)strtol(dot + 1, NULL, 10);
        snprintf(spec, sizeof spec, "%.*s", (int)k + 1, p);
        fmt = p + k + 1;
        out[0] = 0;
        switch (p[k]) {
        case '%':
            putc('%', f);
            break;
        case 's': {
            const char *s = va_arg(ap, const char *);
            html_text(f, s, limit >= 0 ? strnlen(s, (size_t)limit) : strlen(s));
            break;
        }
        case 'c':
            out[0] = (char)va_arg(ap, int);
            html_text(f, out, 1);
            break;
        case 'd':
            if (memchr(p, 'l', k))
                snprintf(out, sizeof out, spec, va_arg(ap, long));
            else
                snprintf(out, sizeof out, spec, va_arg(ap, int));
            fputs(out, f);
            break;
        default: /* f g e */
            snprintf(out, sizeof out, spec, va_arg(ap, double));
            fputs(out, f);
        }
    }
    va_end(ap);
}

/* ---- the page ---- */

int html_asset(const char *name, char **text, struct err *e)
{
    char path[PATH_MAX];
    const char *root = paths_root();
    size_t n = 0, got;
    if (!root)
        return err_set(e, ERR_NOINPUT,
                       "configs/report/%s: the project's files are not beside the tool", name);
    if ((size_t)snprintf(path, sizeof path, "%s/configs/report/%s", root, name) >= sizeof path)
        return err_set(e, ERR_NOINPUT, "configs/report/%s: path too long", name);
    FILE *f = fopen(path, "rb"), *out = f ? open_memstream(text, &n) : NULL;
    if (!f)
        return err_errno(e, ERR_NOINPUT, "%s", path);
    char buf[4096];
    while (out && (got = fread(buf, 1, sizeof buf, f)) > 0)
        fwrite(buf, 1, got, out);
    int bad = ferror(f);
    fclose(f);
    if (!out || fclose(out))
        return err_set(e, ERR_NOMEM, "%s: out of memory", path);
    if (bad || !n || strlen(*text) != n || strstr(*text, "</style") || strstr(*text, "</script")) {
        free(*text);
        *text = NULL;
        return err_set(e, ERR_CONFIG, "%s: expected text without </style or </script", path);
    }
    return 0;
}

/* 'sha256-...' as Content-Security-Policy spells a digest: base64 of the 32 bytes */
static void put_digest(FILE *f, const char *text)
{
    static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char hex[65], pair[3] = "";
    unsigned byte[33] = {0};
    hash_sha256_mem(text, strlen(text), hex);
    for (int i = 0; i < 32; i++) {
        memcpy(pair, hex + 2 * i, 2);
        byte[i] = (unsigned)strtoul(pair, NULL, 16);
    }
    fputs("'sha256-", f);
    for (int i = 0; i < 33; i += 3) {
        unsigned v = byte[i] << 16 | byte[i + 1] << 8 | byte[i + 2];
        fprintf(f, "%c%c%c%c", set[v >> 18], set[v >> 12 & 63], set[v >> 6 & 63],
                i == 30 ? '=' : set[v & 63]);
    }
    fputs("'", f);
}

void html_begin(FILE *f, const char *title, const char *css, const char *js)
{
    fputs("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src ",
          f);
    put_digest(f, css);
    fputs("; script-src ", f);
    put_digest(f, js);
    fputs("; base-uri 'none'; form-action 'none'\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
          "<meta name=\"referrer\" content=\"no-referrer\">\n",
          f);
    html_put(f, "<title>%s</title>\n<style>", title);
    fputs(css, f);
    fputs("</style>\n</head>\n<body>\n", f);
}

void html_end(FILE *f, const char *js)
{
    fputs("<script>", f);
    fputs(js, f);
    fputs("</script>\n</body>\n</html>\n", f);
}

void html_data(FILE *f, const char *id, const char *json)
{
    html_put(f, "<script type=\"application/json\" id=\"%s\">", id);
    for (const char *p = json; *p; p++) /* "<" stands in strings alone, where this is the same */
        if (*p == '<')
            fputs("\\u003c", f);
        else
            putc(*p, f);
    fputs("</script>\n", f);
}
