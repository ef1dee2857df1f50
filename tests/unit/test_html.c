/* test_html - what is escaped, shown and cut; the page's frame */
#include "html.h"
#include "tap.h"
#include <string.h>

static char *text;
static size_t size;

static FILE *begin(void)
{
    free(text);
    text = NULL;
    return open_memstream(&text, &size);
}

static int is(FILE *f, const char *want)
{
    fclose(f);
    if (strcmp(text, want) == 0)
        return 1;
    printf("# expected %s\n# found    %s\n", want, text);
    return 0;
}

static const struct {
    const char *in, *shown;
    size_t n;
} cases[] = {{"plain\n\ttext", "plain\n\ttext", 11},
             {"a\0b\x1b[31m\x7f\r", "a␀b␛[31m␡␍", 10},
             {"\xff\xfe", "��", 2},
             {"\xed\xa0\x80", "���", 3}, /* a surrogate as UTF-8 */
             {"\xc0\xaf", "��", 2},      /* an overlong slash */
             {"\xf0\x9f\x98", "���", 3}, /* cut short */
             {"\xf0\x9f\x98\x80 é 你", "😀 é 你", 11},
             {"\xe2\x80\xae", "⟨202E⟩", 3}, /* right-to-left override */
             {"\xe2\x80\xa8", "⟨2028⟩", 3}, /* line separator */
             {"\xc2\x85", "⟨0085⟩", 2},     /* next line */
             {"\xef\xbb\xbf", "⟨FEFF⟩", 3},
             {"\xf3\xa0\x81\x81", "⟨E0041⟩", 4}, /* a tag character */
             {"\xe2\x80\x8d", "\xe2\x80\x8d", 3} /* the joiner of emoji stays */};

int main(void)
{
    struct err e = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *s = html_visible(cases[i].in, cases[i].n);
        ok(s && strcmp(s, cases[i].shown) == 0, "shown %zu", i);
        free(s);
    }
    FILE *f = begin();
    html_text(f, "<a href=\"x\">'&'\xe2\x80\xa8</a>", 22);
    ok(is(f, "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;⟨2028⟩&lt;/a&gt;"), "escaped");
    f = begin();
    html_put(f, "<b>%s</b>%5d|%ld|%.2f|%g|%c|%%|%.*s|%.3s", "<i>", 42, -7L, 0.125, 1e6, '<', 2,
             "abc", "a&bc");
    ok(is(f, "<b>&lt;i&gt;</b>   42|-7|0.12|1e+06|&lt;|%|ab|a&amp;b"), "html_put");
    ok(html_cut("añb", 4, 2) == 1 && html_cut("añb", 4, 3) == 3 && html_cut("ab", 2, 9) == 2 &&
           html_cut("ñ", 2, 0) == 0,
       "a cut ends no character in the middle");
    f = begin();
    html_data(f, "d", "{\"a\":\"</script><!--\"}");
    ok(is(f, "<script type=\"application/json\" "
             "id=\"d\">{\"a\":\"\\u003c/script>\\u003c!--\"}</script>\n"),
       "data");
    f = begin();
    html_begin(f, "</title><script>", "", "alert(1)");
    fclose(f);
    ok(strstr(text, "<title>&lt;/title&gt;&lt;script&gt;</title>") != NULL, "the title is text");
    /* printf '' | openssl dgst -sha256 -binary | base64, and 'alert(1)' */
    ok(strstr(text, "style-src 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='") &&
           strstr(text, "script-src 'sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI='"),
       "the policy names the digests");
    char *css = NULL;
    ok(html_asset("report.css", &css, &e) == 0 && css, "%s", e.msg);
    free(css);
    e.code = 0;
    ok(html_asset("nope.css", &css, &e) == ERR_NOINPUT, "%s", e.msg);
    free(text);
    return done_testing();
}
