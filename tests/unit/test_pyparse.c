/* test_pyparse - the recogniser of Python against recorded answers and, where it is there, CPython 3.11 */
#include "bench.h"
#include "json.h"
#include "pyparse.h"
#include "rng.h"
#include "tap.h"
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PYTHON "/usr/bin/python3"

static int parses(const char *s, size_t n)
{
    struct py_module m;
    int ok;
    if (py_parse(&m, s, n, 1) < 0)
        abort();
    ok = m.ok;
    py_module_free(&m);
    return ok;
}

/* ---- recorded ---- */

static void recorded(void)
{
    struct jsonl r;
    struct err e = {0};
    int n = 0, bad = 0;
    if (jsonl_open(&r, TOP "/tests/vectors/extract/syntax.jsonl", &e) < 0)
        abort();
    while (jsonl_next(&r, &e) > 0) {
        const char *s = json_get_str(r.v, "code", "", &e);
        int want = json_get_bool(r.v, "ok", -1, &e), got = parses(s, strlen(s));
        n++;
        if (got != want && bad++ < 20)
            printf("# syntax.jsonl:%ld: %s, CPython says %s\n", r.lineno, got ? "parses" : "fails",
                   want ? "it parses" : "it fails");
    }
    ok(n > 900 && bad == 0 && e.code == 0, "%d recorded pieces of syntax", n);
    jsonl_close(&r);
}

static void nul_and_utf8(void)
{
    ok(!parses("x\0y", 3) && !parses("'\0'", 3) && !parses("# \0", 3), "NUL is no Python");
    ok(!parses("'\xff'", 3) && !parses("# \xc3", 3) && !parses("\xe2\x82", 2) &&
           !parses("'\xed\xa0\xbd'", 5) && parses("'\xe2\x82\xac'", 5),
       "nor is what is no UTF-8");
}

/* ---- lines and names ---- */

static const char program[] = "import os.path as p, a.b\n"
                              "\n"
                              "@deco(q)\n"
                              "def f(a, b=dflt, *c: ann) -> List:\n"
                              "    global g\n"
                              "    g += outer(a)\n"
                              "    def inner(x):\n"
                              "        nonlocal a\n"
                              "        return x + b + deep\n"
                              "    loc = [i * k for i, j in items if j]\n"
                              "    return helper(loc, key=lambda r, s=d2: r.attr + s + glob)\n"
                              "# comment\n"
                              "memo[0].x, (q1, *q2) = f'{val!r:>{w}}', other; del z\n"
                              "if (w1 := g()): return_value = 1\n"
                              "class C(Base, metaclass=M):\n"
                              "    attr = 1\n"
                              "    def m(self): return attr\n"
                              "    b = attr\n"
                              "match v:\n"
                              "    case Point(x=0, y=yy) | [yy, *_]: pass\n"
                              "    case A.B: return";

static const struct {
    long line, last;
    int kind, saw;
    const char *names; /* "binds | changes | uses", sorted by length, then bytes */
} statements[] = {
    {1, 1, PY_IMPORT, 0, "a p | | "},
    {3, 11, PY_DEF, PY_SAW_LAMBDA,
     "f | | g k q d2 ann List deco deep dflt glob items outer helper"},
    {13, 13, PY_NAME, 0, "q1 q2 | memo | w z val other"},
    {14, 14, PY_IF, 0, "w1 return_value | | g"},
    {15, 18, PY_CLASS, 0, "C | | M Base attr"},
    {19, 21, PY_NAME, PY_SAW_RETURN, "yy | | A v Point"},
};

static void structure(void)
{
    struct py_module m;
    py_parse(&m, program, sizeof program - 1, 1);
    ok(m.ok && m.n == 6 && !m.more, "a program of %d statements", m.n);
    for (int i = 0; i < m.n && i < 6; i++) {
        const struct py_stmt *s = &m.stmt[i];
        char names[300] = "";
        for (int k = 0; k <= s->n_binds + s->n_changes + s->n_uses; k++) {
            int all = s->n_binds + s->n_changes;
            size_t n = strlen(names);
            n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", k == s->n_binds ? "| " : "",
                                  k == all ? "| " : "");
            if (k < all + s->n_uses)
                snprintf(names + n, sizeof names - n, "%.*s ", (int)m.name[s->name + k].n,
                         m.name[s->name + k].p);
        }
        size_t n = strlen(names), w = strlen(statements[i].names);
        if (n && w && names[n - 1] == ' ' && statements[i].names[w - 1] != ' ')
            names[n - 1] = 0;
        ok(s->line == statements[i].line && s->last_line == statements[i].last &&
               s->kind == statements[i].kind && s->saw == statements[i].saw &&
               !strcmp(names, statements[i].names),
           "statement %d", i + 1);
        if (strcmp(names, statements[i].names))
            printf("# found  %s\n# wanted %s\n", names, statements[i].names);
    }
    ok(m.stmt[0].begin == 0 && m.stmt[0].end == strlen("import os.path as p, a.b\n") &&
           m.stmt[5].end == sizeof program - 1,
       "their bytes");
    py_module_free(&m);
}

static const struct {
    const char *text;
    long line;
    int n, open;
    const char *why;
} errors[] = {
    {"x = 1\ny = = 2\n", 2, 1, 0, "invalid syntax"},
    {"def f():\n    return (1,\n\n\ndef g(): pass\n", 2, 0, 1, "a bracket is never closed"},
    {"x\ns = '''a\nb\nc", 2, 1, 1, "a long string is never closed"},
    {"s = 'a\n", 1, 0, 0, "a string is not closed on its line"},
    {"def f():\n  x\n y\n", 3, 0, 0, "unindent does not match any outer indentation level"},
    {"def f():\n\tx\n        y\n", 3, 0, 0, "inconsistent use of tabs and spaces in indentation"},
    {"def f():\nx\n", 2, 0, 0, "expected an indented block"},
    {"x\n  y\n", 2, 1, 0, "unexpected indent"},
    {"if x:\n    y = \xe2\x80\x9c"
     "a\n",
     2, 0, 0, "a character that no name can hold"},
    {"f'{a b}'\n", 1, 0, 0, "invalid syntax"},
    {"match x:\n  case 1: y z\n", 2, 0, 0, "invalid syntax"},
    {"with (a, b as c) as d: pass\n", 1, 0, 0, "invalid syntax"},
};

static void places(void)
{
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        struct py_module m;
        py_parse(&m, errors[i].text, strlen(errors[i].text), 0);
        ok(!m.ok && m.line == errors[i].line && m.n == errors[i].n && m.open == errors[i].open &&
               !strcmp(m.why, errors[i].why),
           "line %ld: %s", errors[i].line, errors[i].why);
        if (m.ok || m.line != errors[i].line || strcmp(m.why, errors[i].why))
            printf("# found line %ld: %s\n", m.line, m.why ? m.why : "nothing");
        py_module_free(&m);
    }
}

/* ---- much of one thing ---- */

static char *repeat(const char *s, size_t times, size_t *n)
{
    size_t k = strlen(s);
    char *out = malloc(k * times + 1);
    for (size_t i = 0; i < times; i++)
        memcpy(out + i * k, s, k);
    out[ *n = k * times] = 0;
    return out;
}

static void hostile(void)
{
    static const struct {
        const char *what, *unit;
        size_t times;
        int ok;
    } much[] = {{"nested parentheses", "(", 100000, 0},
                {"nested lists", "[a,", 100000, 0},
                {"nested calls", "f(", 100000, 0},
                {"lambdas", "lambda:", 100000, 0},
                {"lambdas with defaults", "lambda a=", 100000, 0},
                {"nots", "not ", 1000000, 0},
                {"signs", "-", 1000000, 0},
                {"conditions", "1 if 1 else ", 300000, 0},
                {"f-strings in f-strings", "f'{f\"{", 100000, 0},
                {"open with items", "with (", 100000, 0},
                {"match statements", "match (x)\n", 300000, 1},
                {"statements", "x\n", 1000000, 1},
                {"statements on a line", "x;", 1000000, 1},
                {"targets", "x=", 1000000, 0},
                {"attributes", "x.", 1000000, 0},
                {"continued lines", "\\\n", 1000000, 0},
                {"functions", "def f(a,b=c): return a+d\n", 100000, 1},
                {"decorators", "@a\n", 500000, 0},
                {"long strings", "'''a'''\n", 300000, 1},
                {"form feeds", "\f", 1000000, 1},
                {"indentation", " ", 30000000, 0}};
    for (size_t i = 0; i < sizeof much / sizeof *much; i++) {
        size_t n;
        char *s = repeat(much[i].unit, much[i].times, &n);
        ok(parses(s, n) == much[i].ok, "%zu times: %s", much[i].times, much[i].what);
        free(s);
    }
    struct py_module m;
    size_t n;
    char *s = repeat("a = b\n", PY_MAX_STMTS + 10, &n);
    py_parse(&m, s, n, 1);
    ok(m.ok && m.n == PY_MAX_STMTS && m.more, "what is kept has a bound");
    py_module_free(&m);
    free(s);
}

/* ---- against CPython ---- */

struct pool {
    char **v;
    int n, cap;
};

static void add(struct pool *p, const char *s, size_t n)
{
    if (p->n == p->cap)
        p->v = realloc(p->v, (size_t)(p->cap = 2 * p->cap + 64) * sizeof *p->v);
    p->v[p->n++] = strndup(s, n);
}

static void add_bench(struct pool *p, const char *name)
{
    struct bench b;
    struct err e = {0};
    if (bench_load(&b, name, &e) < 0)
        return;
    for (int i = 0; i < b.n; i++) {
        const struct bench_task *t = &b.task[i];
        char *whole = NULL;
        if (!b.mbpp && asprintf(&whole, "%s%s", t->prompt, t->canonical) >= 0)
            add(p, whole, strlen(whole));
        add(p, t->canonical, strlen(t->canonical));
        add(p, t->prompt, strlen(t->prompt));
        if (t->test && strlen(t->test) < 4000)
            add(p, t->test, strlen(t->test));
        free(whole);
    }
    bench_free(&b);
}

static int by_string(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Pieces of about 30 lines of the standard library, which holds every construct of the language. */
static void add_library(struct pool *p, const char *dir)
{
    DIR *d = opendir(dir);
    struct pool names = {0};
    for (struct dirent *f; d && (f = readdir(d));)
        if (strlen(f->d_name) > 3 && !strcmp(f->d_name + strlen(f->d_name) - 3, ".py"))
            add(&names, f->d_name, strlen(f->d_name));
    if (d)
        closedir(d);
    if (names.n)
        qsort(names.v, (size_t)names.n, sizeof *names.v, by_string);
    for (int i = 0; i < names.n; i++) {
        char path[400];
        snprintf(path, sizeof path, "%s/%s", dir, names.v[i]);
        FILE *f = fopen(path, "rb");
        char *text = malloc(1 << 19), *s = text;
        size_t n = f ? fread(text, 1, (1 << 19) - 1, f) : 0;
        text[n] = 0;
        for (int lines = 0; *s;) { /* a piece ends before a line at column 0 */
            char *q = s;
            while ((q = strchr(q, '\n')) && (++lines < 30 || strchr(" \t\n)]}#", q[1])))
                q++;
            size_t k = q ? (size_t)(q + 1 - s) : strlen(s);
            if (k < 6000)
                add(p, s, k);
            s += k;
            lines = 0;
        }
        if (f)
            fclose(f);
        free(text);
        free(names.v[i]);
    }
    free(names.v);
}

static int is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           (unsigned char)c >= 0x80;
}

/* Where the word, run of blanks or character at i ends. */
static size_t token_end(const char *s, size_t i)
{
    size_t k = i + 1;
    if (is_word(s[i]) || s[i] == ' ')
        while (s[k] && (is_word(s[i]) ? is_word(s[k]) : s[k] == ' '))
            k++;
    return s[i] ? k : i;
}

static char *splice(const char *s, size_t from, size_t to, const char *with, size_t n)
{
    size_t all = strlen(s);
    char *out = malloc(all - (to - from) + n + 1);
    memcpy(out, s, from);
    memcpy(out + from, with, n);
    memcpy(out + from + n, s + to, all - to + 1);
    return out;
}

/* One change: a token deleted, doubled, replaced or moved, the text cut, a line moved left or right. */
static char *mutate(struct rng *r, const char *s)
{
    static const char *const words[] = {"(",
                                        ")",
                                        "[",
                                        "]",
                                        "{",
                                        "}",
                                        ":",
                                        ",",
                                        "=",
                                        "==",
                                        ":=",
                                        "*",
                                        "**",
                                        ".",
                                        "...",
                                        ";",
                                        "\n",
                                        "\n    ",
                                        "\t",
                                        " ",
                                        " if ",
                                        " else ",
                                        " for ",
                                        " in ",
                                        " not ",
                                        " is ",
                                        " and ",
                                        "lambda ",
                                        "def ",
                                        "class ",
                                        "async ",
                                        "await ",
                                        "yield ",
                                        "return ",
                                        "import ",
                                        "from ",
                                        " as ",
                                        "with ",
                                        "try:",
                                        "except ",
                                        "finally:",
                                        "raise ",
                                        "global ",
                                        "del ",
                                        "assert ",
                                        "match ",
                                        "case ",
                                        "_",
                                        "None",
                                        "1",
                                        "1j",
                                        "0x",
                                        "1e",
                                        "\"",
                                        "'",
                                        "\"\"\"",
                                        "'''",
                                        "f'",
                                        "b'",
                                        "r\"",
                                        "\\",
                                        "\\\n",
                                        "#",
                                        "@",
                                        "->",
                                        "!",
                                        "?",
                                        "-",
                                        "+",
                                        "\r",
                                        "\f",
                                        "\xc3\xa9",
                                        "\xe2\x80\x8b",
                                        "\\x",
                                        "{{",
                                        "!r}",
                                        "elif ",
                                        "while "};
    size_t n = strlen(s), at = rng_below(r, n + 1), at2 = rng_below(r, n + 1),
           kind = rng_below(r, 8);
    const char *word = words[rng_below(r, sizeof words / sizeof *words)], *nl;
    while (at > 0 && is_word(s[at]) && is_word(s[at - 1])) /* whole words, and whole characters */
        at--;
    while (at2 > 0 && is_word(s[at2]) && is_word(s[at2 - 1]))
        at2--;
    switch (kind) {
    case 0: /* deleted */
        return splice(s, at, token_end(s, at), "", 0);
    case 1: /* replaced by another one of the text */
        return splice(s, at, token_end(s, at), s + at2, token_end(s, at2) - at2);
    case 2: /* doubled */
        return splice(s, at, at, s + at, token_end(s, at) - at);
    case 3: /* cut */
        return strndup(s, at);
    case 4: /* the beginning cut off */
        return strdup(s + at);
    case 5: /* a line moved left or right */
        nl = memchr(s + at, '\n', n - at);
        at = nl ? (size_t)(nl + 1 - s) : 0;
        return s[at] == ' ' && rng_below(r, 2) ? splice(s, at, at + 1 + (s[at + 1] == ' '), "", 0)
                                               : splice(s, at, at, "  ", 2);
    case 6: /* replaced by a word */
        return splice(s, at, token_end(s, at), word, strlen(word));
    default: /* a word put in */
        return splice(s, at, at, word, strlen(word));
    }
}

/* One character a text: '1' parses, '0' fails, '?' CPython ran out of its stack, 'N' it looked up the name
 * of a character. The first line says which Python this is. */
static const char script[] =
    "import ast, struct, sys, warnings\n"
    "warnings.simplefilter('ignore')\n"
    "print('%d.%d' % sys.version_info[:2])\n"
    "data = open(sys.argv[1], 'rb').read(); i = 0; out = []\n"
    "while i < len(data):\n"
    "    n, = struct.unpack_from('I', data, i)\n"
    "    text = data[i + 4:i + 4 + n].decode(); i += 4 + n\n"
    "    try: ast.parse(text); c = '1'\n"
    "    except (RecursionError, MemoryError): c = '?'\n"
    "    except SyntaxError as e: c = 'N' if 'unknown Unicode character name' in str(e) else '0'\n"
    "    except ValueError: c = '0'\n"
    "    out.append(c)\n"
    "print(''.join(out))\n";

static char *ask(const char *code, const char *arg, size_t size)
{
    char *out = calloc(1, size);
    size_t n = 0;
    int fd[2];
    if (pipe(fd) < 0)
        abort();
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fd[1], 1);
        close(fd[0]);
        execl(PYTHON, PYTHON, "-I", "-c", code, arg, (char *)NULL);
        _exit(127);
    }
    close(fd[1]);
    for (ssize_t k; n + 1 < size && (k = read(fd[0], out + n, size - n - 1)) > 0;)
        n += (size_t)k;
    close(fd[0]);
    waitpid(pid, NULL, 0);
    return out;
}

static int agree(const struct pool *p, const char *what)
{
    char path[] = "/tmp/pyparse.XXXXXX";
    int fd = mkstemp(path), bad = 0, failed = 0, unsure = 0;
    FILE *f = fdopen(fd, "wb");
    for (int i = 0; i < p->n; i++) {
        uint32_t n = (uint32_t)strlen(p->v[i]);
        fwrite(&n, 4, 1, f);
        fwrite(p->v[i], 1, n, f);
    }
    fclose(f);
    char *answer = ask(script, path, (size_t)p->n + 100), *a = answer + 5;
    unlink(path);
    if (strncmp(answer, "3.11\n", 5)) {
        skip("%s: " PYTHON " is not Python 3.11 (%.4s)", what, answer);
        free(answer);
        return 0;
    }
    for (int i = 0; i < p->n; i++) {
        int got = parses(p->v[i], strlen(p->v[i]));
        failed += a[i] == '0';
        unsure += a[i] != '0' && a[i] != '1';
        if ((a[i] == '0' || a[i] == '1') && got != a[i] - '0' && bad++ < 5)
            printf("# %s, CPython: %c:\n# %s\n", got ? "parses" : "fails", a[i], p->v[i]);
    }
    ok(bad == 0 && (int)strlen(a) == p->n + 1, "%d %s, of which %d fail and %d are not compared",
       p->n, what, failed, unsure);
    free(answer);
    return 1;
}

static void clear(struct pool *p)
{
    for (int i = 0; i < p->n; i++)
        free(p->v[i]);
    free(p->v);
    memset(p, 0, sizeof *p);
}

static void oracle(void)
{
    struct pool p = {0}, changed = {0};
    struct rng r = {.key = 311};
    if (access(PYTHON, X_OK) < 0) {
        skip("no " PYTHON " to compare with");
        return;
    }
    add_bench(&p, "humaneval");
    add_bench(&p, "mbpp");
    add_bench(&p, "basic");
    add_bench(&p, "basic-mbpp");
    add_library(&p, "/usr/lib/python3.11");
    add_library(&p, "/usr/lib/python3.11/asyncio");
    if (agree(&p, "texts of benchmarks and of the library agree with CPython")) {
        for (int i = 0; i < 12000; i++) {
            char *s = mutate(&r, p.v[rng_below(&r, (uint64_t)p.n)]);
            if (rng_below(&r, 3) == 0) {
                char *t = mutate(&r, s);
                free(s);
                s = t;
            }
            if (utf8_valid(s, strlen(s)))
                add(&changed, s, strlen(s));
            free(s);
        }
        agree(&changed, "changed texts agree with CPython");
    }
    clear(&p);
    clear(&changed);
}

static void identifiers(void)
{
    static const char code[] = "import sys, unicodedata\n"
                               "print(unicodedata.unidata_version)\n"
                               "print(''.join(str(chr(c).isidentifier() + ('a' + "
                               "chr(c)).isidentifier()) for c in range(0x110000)))\n";
    char *answer = access(PYTHON, X_OK) < 0 ? calloc(1, 1) : ask(code, NULL, 0x110000 + 100);
    int bad = 0;
    if (strncmp(answer, "14.0.0\n", 7)) {
        skip("names: no Python with Unicode 14 to compare with");
    } else {
        for (uint32_t c = 0; c < 0x110000; c++)
            if ((c < 0xD800 || c >= 0xE000) &&
                py_ident_start(c) + py_ident_char(c) != answer[7 + c] - '0' && bad++ < 20)
                printf("# U+%04X\n", c);
        ok(bad == 0, "characters of names agree with CPython on all code points");
    }
    free(answer);
}

int main(void)
{
    recorded();
    nul_and_utf8();
    structure();
    places();
    hostile();
    identifiers();
    oracle();
    return done_testing();
}
