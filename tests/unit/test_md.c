/* test_md - text in Markdown: nothing starts markup, nothing stays unseen */
#include "md.h"
#include "tap.h"
#include <stdlib.h>
#include <string.h>

int main(void)
{
    static const struct {
        const char *in, *out;
    } t[] = {{"", ""},
             {"plain few_shot # > é 😀", "plain few_shot # > é 😀"},
             {"__init__ ~~x~~ &lt;", "\\_\\_init\\_\\_ \\~\\~x\\~\\~ \\&lt;"},
             {"\\ ` * | < [", "\\\\ \\` \\* \\| \\< \\["},
             {"a\nb\tc\r", "a b c␍"},
             {"\x1b[31m\x7f", "␛\\[31m␡"},
             {"\xc2\x9b"
              "31m",
              "⟨009B⟩31m"},
             {"x\u202ey\u2066\ufeff", "x⟨202E⟩y⟨2066⟩⟨FEFF⟩"},
             {"\xff|\xe2\x80", "�\\|��"}};
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        char *s = NULL;
        size_t n = 0;
        FILE *f = open_memstream(&s, &n);
        md_text(f, t[i].in);
        fclose(f);
        ok(strcmp(s, t[i].out) == 0, "text %zu: %s", i, t[i].out);
        free(s);
    }
    return done_testing();
}
