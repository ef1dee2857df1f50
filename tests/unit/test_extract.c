/* test_extract - awkward answers and the code that must come out of them */
#include "extract.h"
#include "tap.h"
#include <string.h>

#define F     "def f(x):\n    return x\n"
#define TICKS "```"

static const struct {
    const char *what, *entry, *text, *code;
    enum extract_how how;
} cases[] = {
    // clang-format off
    {"a fence", "f", TICKS "python\n" F TICKS, F, EXTRACT_FENCE},
    {"a fence and nothing known", NULL, TICKS "python\n" F TICKS "\n", F, EXTRACT_FENCE},
    {"chat around the fence", "f", "Sure! Here it is:\n\n" TICKS "python\n" F TICKS "\n\nThis returns x.", F, EXTRACT_FENCE},
    {"no language", "f", TICKS "\n" F TICKS, F, EXTRACT_FENCE},
    {"py, Python3, PYTHON", "f", TICKS "PYTHON\n" F TICKS, F, EXTRACT_FENCE},
    {"tildes", "f", "~~~python\n" F "~~~\n", F, EXTRACT_FENCE},
    {"four ticks", "f", "````python\n" F "````\n", F, EXTRACT_FENCE},
    {"carriage returns", "f", TICKS "python\r\ndef f(x):\r\n    return x\r\n" TICKS "\r\n", F, EXTRACT_FENCE},
    {"a fence in a list", "f", "1. Do:\n   " TICKS "python\n   def f(x):\n       return x\n   " TICKS, F, EXTRACT_FENCE},
    {"usage first", "f", TICKS "python\nprint(f(1))\n" TICKS "\nand\n" TICKS "python\n" F TICKS, F, EXTRACT_FENCE},
    {"usage second", "f", TICKS "python\n" F TICKS "\nUse:\n" TICKS "python\nprint(f(1))\n" TICKS, F, EXTRACT_FENCE},
    {"usage first, nothing known", NULL, TICKS "python\nf(1)\n" TICKS "\n" TICKS "python\n" F TICKS, F, EXTRACT_FENCE},
    {"a shell fence first", "f", TICKS "bash\npip install x\n" TICKS "\n" TICKS "python\n" F TICKS, F, EXTRACT_FENCE},
    {"an output fence last", "f", TICKS "\n" F TICKS "\nOutput:\n" TICKS "\n1\n" TICKS, F, EXTRACT_FENCE},
    {"two versions: the first", "f", TICKS "python\n" F TICKS "\nor\n" TICKS "python\ndef f(x): return x\n" TICKS, F, EXTRACT_FENCE},
    {"a helper, then what is asked for", "g", TICKS "python\n" F TICKS "\n" TICKS "python\ndef g(x):\n    return 1\n" TICKS,
     "def g(x):\n    return 1\n", EXTRACT_FENCE},
    {"a name that only begins alike", "f", TICKS "python\ndef f2(x):\n    return 1\n" TICKS "\n" TICKS "python\n" F TICKS, F, EXTRACT_FENCE},
    {"an assigned lambda", "f", TICKS "python\nprint(1)\n" TICKS "\n" TICKS "python\nf = lambda x: x\n" TICKS, "f = lambda x: x\n", EXTRACT_FENCE},
    {"a class", "C", TICKS "python\n" F TICKS "\n" TICKS "python\nclass C:\n    pass\n" TICKS, "class C:\n    pass\n", EXTRACT_FENCE},
    {"the fence never ends", "f", TICKS "python\n" F, F, EXTRACT_OPEN_FENCE},
    {"cut in the middle of a line", "f", TICKS "python\ndef f(x):\n    return x +", "def f(x):\n    return x +\n", EXTRACT_OPEN_FENCE},
    {"no end, then chat", "f", TICKS "python\n" F "\n**Explanation**\nIt returns x.\n", F, EXTRACT_OPEN_FENCE},
    {"no end, then Human:", "f", TICKS "python\n" F "Human: write another\n", F, EXTRACT_OPEN_FENCE},
    {"closed at the end of a line", "f", TICKS "python\ndef f(x):\n    return x" TICKS, F, EXTRACT_FENCE},
    {"complete beats open", "f", TICKS "python\n" F TICKS "\n" TICKS "python\ndef f(x):\n    return 2\n", F, EXTRACT_FENCE},
    {"one line", "f", TICKS "python def f(x): return x\n" TICKS, "def f(x): return x\n", EXTRACT_FENCE},
    {"a fence inside a docstring", "f", TICKS "python\ndef f(x):\n    \"\"\"Like\n" TICKS "\nf(1)\n" TICKS "\n    \"\"\"\n    return x\n" TICKS,
     "def f(x):\n    \"\"\"Like\n" TICKS "\nf(1)\n" TICKS "\n    \"\"\"\n    return x\n", EXTRACT_FENCE},
    {"an empty fence, then a full one", "f", TICKS "python\n" TICKS "\n" TICKS "python\n" F TICKS, F, EXTRACT_FENCE},
    {"raw", "f", F, F, EXTRACT_RAW},
    {"raw without a final newline", "f", "def f(x):\n    return x", F, EXTRACT_RAW},
    {"raw after chat", "f", "Here is the function:\n\n" F, F, EXTRACT_RAW},
    {"raw before chat", "f", F "\nThis function returns its argument.", F, EXTRACT_RAW},
    {"raw before ###", "f", F "\n### Explanation\nIt returns x.", F, EXTRACT_RAW},
    {"raw before ---", "f", F "---\nDone.", F, EXTRACT_RAW},
    {"raw before Human", "f", F "Human: and now?\n", F, EXTRACT_RAW},
    {"raw before **bold**", "f", F "**Note**: slow\n", F, EXTRACT_RAW},
    {"raw before Note:", "f", F "Note: this is slow\n", F, EXTRACT_RAW},
    {"raw before a list", "f", F "1. first\n- second\n", F, EXTRACT_RAW},
    {"raw with imports", "f", "import math\nfrom typing import List\n\n\n" F, "import math\nfrom typing import List\n\n\n" F, EXTRACT_RAW},
    {"raw with a constant above", "f", "N = 3\n\n" F, "N = 3\n\n" F, EXTRACT_RAW},
    {"raw with a constant and a call below", "f", F "N = f(3)\nprint(N)\n", F "N = f(3)\nprint(N)\n", EXTRACT_RAW},
    {"raw with a decorator", "f", "@cache\n" F, "@cache\n" F, EXTRACT_RAW},
    {"raw with a main guard", "f", F "\nif __name__ == '__main__':\n    f(1)\n", F "\nif __name__ == '__main__':\n    f(1)\n", EXTRACT_RAW},
    {"prose inside a docstring at column 0", "f", "def f(x):\n    \"\"\"\nThis is prose here.\n\"\"\"\n    return x\n",
     "def f(x):\n    \"\"\"\nThis is prose here.\n\"\"\"\n    return x\n", EXTRACT_RAW},
    {"brackets over lines", "f", "T = [\n1,\n2,\n]\n" F, "T = [\n1,\n2,\n]\n" F, EXTRACT_RAW},
    {"else and except at column 0", "f", "try:\n    import a\nexcept ImportError:\n    a = None\n" F, "try:\n    import a\nexcept ImportError:\n    a = None\n" F, EXTRACT_RAW},
    {"a body to append to the prompt", "f", "    return x\n", "    return x\n", EXTRACT_RAW},
    {"a body, then chat", "f", "    y = x\n    return y\n\nThat is all.", "    y = x\n    return y\n", EXTRACT_RAW},
    {"thinking, then a fence", "f", "<think>\n" TICKS "python\ndef f(x):\n    return 0\n" TICKS "\nNo.\n</think>\n" TICKS "python\n" F TICKS, F, EXTRACT_FENCE},
    {"thinking without its opening tag", "f", "hmm def f\n</think>\n" F, F, EXTRACT_RAW},
    {"code only in the thinking", "f", "<think>\n" TICKS "python\n" F TICKS "\n</think>\nI am done.", F, EXTRACT_THINKING},
    {"thinking that never ends", "f", "<think>\nperhaps\n" TICKS "python\n" F TICKS, F, EXTRACT_THINKING},
    {"thinking without code", "f", "<think>\nI wonder\n", "", EXTRACT_NONE},
    {"the end-of-turn mark as text", "f", TICKS "python\n" F TICKS "<|im_end|>\n<|im_start|>user\n", F, EXTRACT_FENCE},
    {"the end-of-turn mark after raw code", "f", F "<|im_end|>def g(): pass\n", F, EXTRACT_RAW},
    {"a byte order mark", "f", "\xef\xbb\xbf" F, F, EXTRACT_RAW},
    {"non-ASCII text", "f", "Voil\xc3\xa0 :\n" TICKS "python\ndef f(x):\n    return '\xe2\x82\xac'\n" TICKS, "def f(x):\n    return '\xe2\x82\xac'\n", EXTRACT_FENCE},
    {"prose alone", "f", "I cannot do that.", "", EXTRACT_NONE},
    {"prose with a keyword first", "f", "from the list we take the first\nimport the module\n", "", EXTRACT_NONE},
    {"nothing", "f", "", "", EXTRACT_NONE},
    {"white space", "f", " \n\t\n", "", EXTRACT_NONE},
    {"an empty fence", "f", TICKS "python\n" TICKS, "", EXTRACT_NONE},
    {"an open fence without code", "f", TICKS "python\n", "", EXTRACT_NONE},
    {"inline ticks are no fence", "f", "Use `f` or ``g``.\n", "", EXTRACT_NONE},
    // clang-format on
};

static struct extract find(const char *text, size_t n, const char *entry)
{
    struct extract x;
    struct err e = {0};
    struct extract_opts o = {.entry = entry};
    if (extract_find(&x, text, n, NULL, 0, &o, &e) < 0)
        abort();
    return x;
}

/* ---- tests/vectors/extract: cases between "%% case" and "%% end" ---- */

struct text {
    char *p; /* NULL = not given */
    size_t n;
};
struct vector {
    char name[200], entry[80], method[80], how[20], form[20], mended[80], thinking[20], lang[20];
    int joined, dropped, parses, defines, open, escapes;
    struct extract_opts o;
    struct text prompt, thought, answer, code;
};

static void add_line(struct text *t, const char *line)
{
    size_t n = strlen(line);
    t->p = realloc(t->p, t->n + n + 1);
    memcpy(t->p + t->n, line, n + 1);
    t->n += n;
}

static void put_char(char **w, unsigned c) /* as UTF-8 */
{
    if (c >= 0x800) {
        *(*w)++ = (char)(0xE0 | c >> 12);
        *(*w)++ = (char)(0x80 | (c >> 6 & 63));
        *(*w)++ = (char)(0x80 | (c & 63));
    } else if (c >= 0x80) {
        *(*w)++ = (char)(0xC0 | c >> 6);
        *(*w)++ = (char)(0x80 | (c & 63));
    } else
        *(*w)++ = (char)c;
}

static void unescape(struct text *t)
{
    char *w = t->p, *r = t->p, *end = t->p + t->n;
    while (r && r < end) {
        unsigned c;
        if (*r != '\\' || r + 1 == end) {
            *w++ = *r++;
        } else if (r[1] == 'u' && sscanf(r + 2, "%4x", &c) == 1) {
            put_char(&w, c);
            r += 6;
        } else if (r[1] == 'c') { /* without the newline behind */
            r += 3;
        } else {
            *w++ = r[1] == 'r' ? '\r' : r[1] == 't' ? '\t' : r[1];
            r += 2;
        }
    }
    if (t->p) {
        *w = 0;
        t->n = (size_t)(w - t->p);
    }
}

static void setting(struct vector *v, const char *line)
{
    char key[20] = "", val[180] = "";
    sscanf(line, "%%%% %19s %179[^\n]", key, val);
    if (!strcmp(key, "case"))
        snprintf(v->name, sizeof v->name, "%.199s", val);
    else if (!strcmp(key, "entry"))
        snprintf(v->entry, sizeof v->entry, "%.79s", val), v->o.entry = v->entry;
    else if (!strcmp(key, "method"))
        snprintf(v->method, sizeof v->method, "%.79s", val), v->o.method = v->method;
    else if (!strcmp(key, "how"))
        snprintf(v->how, sizeof v->how, "%.19s", val);
    else if (!strcmp(key, "form"))
        snprintf(v->form, sizeof v->form, "%.19s", val);
    else if (!strcmp(key, "mended"))
        snprintf(v->mended, sizeof v->mended, "%.79s", val);
    else if (!strcmp(key, "thinking"))
        snprintf(v->thinking, sizeof v->thinking, "%.19s", val);
    else if (!strcmp(key, "lang"))
        while (strcmp(bench_lang_name(v->o.lang), val))
            v->o.lang++;
    else if (!strcmp(key, "joined"))
        v->joined = (int)strtol(val, NULL, 10);
    else if (!strcmp(key, "dropped"))
        v->dropped = (int)strtol(val, NULL, 10);
    else if (!strcmp(key, "parses"))
        v->parses = !strcmp(val, "yes");
    else if (!strcmp(key, "defines"))
        v->defines = !strcmp(val, "yes");
    else if (!strcmp(key, "sanitize"))
        v->o.sanitize = 1;
    else if (!strcmp(key, "as-is"))
        v->o.as_is = 1;
    else if (!strcmp(key, "no-body"))
        v->o.no_body = 1;
    else if (!strcmp(key, "reads"))
        v->o.reads = 1;
    else if (!strcmp(key, "asked"))
        v->o.asked = !strcmp(val, "call") ? EXTRACT_CALL : EXTRACT_VALUE;
    else if (!strcmp(key, "open"))
        v->open = 1;
    else if (!strcmp(key, "escapes"))
        v->escapes = 1;
    else
        ok(0, "%s: what is \"%s\"", v->name, key);
}

static void show(const char *what, const char *s)
{
    printf("# %s:\n#   ", what);
    for (; *s; s++)
        if (*s == '\n')
            printf("\n#   ");
        else if (*s == '\t' || *s == '\r')
            printf("\\%c", *s == '\t' ? 't' : 'r');
        else
            putchar(*s);
    printf("\n");
}

static void mends(unsigned bits, char *s, size_t size)
{
    *s = 0;
    for (int i = 0; i < EXTRACT_MENDS; i++)
        if (bits >> i & 1)
            snprintf(s + strlen(s), size - strlen(s), "%s%s", *s ? "," : "", extract_mend_name(i));
}

static int check(struct vector *v)
{
    static const char *const thoughts[] = {"", "closed", "overflow"};
    struct extract x;
    struct err e = {0};
    char mended[100], what[300], want[300];
    const char *code = v->code.p ? v->code.p : "", *text = v->answer.p ? v->answer.p : "";
    int python = v->o.lang == BENCH_PYTHON, good;
    v->o.prompt = v->prompt.p;
    if (extract_find(&x, text, v->answer.n, v->thought.p, v->open, &v->o, &e) < 0)
        abort();
    mends(x.mended, mended, sizeof mended);
    snprintf(what, sizeof what,
             "%s %s [%s] thinking [%s] joined %d dropped %d parses %d defines %d",
             extract_how_name(x.how),
             x.answer ? "answer"
             : x.body ? "body"
                      : "program",
             mended, thoughts[x.thought], x.parts, x.dropped, x.parses, x.defines);
    if (v->o.asked && strcmp(v->how, "none"))
        strcpy(v->form, "answer");
    if (!strcmp(v->how, "none"))
        v->parses = v->defines = -1, v->joined = 0;
    snprintf(want, sizeof want,
             "%s %s [%s] thinking [%s] joined %d dropped %d parses %d defines %d", v->how, v->form,
             v->mended, v->thinking, v->joined, v->dropped, python ? v->parses : -1,
             v->o.entry && !v->o.asked ? v->defines : -1);
    good = !strcmp(x.code, code) && !strcmp(what, want);
    ok(good, "%s", v->name);
    if (strcmp(what, want))
        printf("# found  %s\n# wanted %s\n", what, want);
    if (strcmp(x.code, code)) {
        show("code", x.code);
        show("wanted", code);
    }
    free(x.code);
    return good;
}

static int vectors(const char *path)
{
    FILE *f = fopen(path, "rb");
    char line[4096];
    struct vector v;
    struct text *t = NULL;
    int n = 0, in = 0;
    while (f && fgets(line, sizeof line, f)) {
        if (!strncmp(line, "%% case", 7)) {
            memset(&v, 0, sizeof v);
            strcpy(v.how, "fence");
            strcpy(v.form, "program");
            v.joined = v.parses = v.defines = in = 1;
            t = NULL;
        }
        if (!in)
            continue;
        if (!strncmp(line, "%% prompt", 9))
            t = &v.prompt;
        else if (!strncmp(line, "%% thought", 10))
            t = &v.thought;
        else if (!strncmp(line, "%% answer", 9))
            t = &v.answer;
        else if (!strncmp(line, "%% code", 7))
            t = &v.code;
        else if (!strncmp(line, "%% end", 6)) {
            if (v.escapes)
                unescape(&v.prompt), unescape(&v.thought), unescape(&v.answer), unescape(&v.code);
            check(&v);
            free(v.prompt.p), free(v.thought.p), free(v.answer.p), free(v.code.p);
            in = 0;
            n++;
        } else if (!strncmp(line, "%% ", 3))
            setting(&v, line);
        else if (t)
            add_line(t, line);
    }
    if (f)
        fclose(f);
    return n;
}

int main(void)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct extract x = find(cases[i].text, strlen(cases[i].text), cases[i].entry);
        ok(!strcmp(x.code, cases[i].code) && x.how == cases[i].how, "%s", cases[i].what);
        if (strcmp(x.code, cases[i].code) || x.how != cases[i].how)
            printf("# %s: [%s]\n# wanted %s: [%s]\n", extract_how_name(x.how), x.code,
                   extract_how_name(cases[i].how), cases[i].code);
        free(x.code);
    }
    ok(extract_defines("async def f(x): pass", "f") && extract_defines("x=1\nf = 3", "f") &&
           !extract_defines("f == 3", "f") && !extract_defines("  def f(): pass", "f") &&
           !extract_defines("def ff(): pass", "f") && !extract_defines("", "f"),
       "extract_defines");
    int n = vectors(TOP "/tests/vectors/extract/python.txt");
    ok(n >= 120, "%d recorded answers with Python", n);
    n = vectors(TOP "/tests/vectors/extract/brace.txt");
    ok(n >= 15, "%d recorded answers with other languages", n);
    n = vectors(TOP "/tests/vectors/extract/answer.txt");
    ok(n >= 20, "%d recorded answers that are values or calls", n);
    /* every prefix of every answer: no crash, and always a result (ASan watches) */
    int all = 1;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t k = 0; k <= strlen(cases[i].text); k++) {
            char *copy = malloc(k ? k : 1);
            memcpy(copy, cases[i].text, k);
            struct extract x = find(copy, k, cases[i].entry);
            all = all && (x.how == EXTRACT_NONE) == !*x.code && strlen(x.code) == x.n;
            free(x.code);
            free(copy);
        }
    ok(all, "every prefix of every answer");
    return done_testing();
}
