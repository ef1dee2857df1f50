/* test_inputs - literals read and written, types from annotations, inputs from what a prompt shows */
#include "inputs.h"
#include "pylit.h"
#include "pytype.h"
#include "tap.h"
#include <stdlib.h>
#include <string.h>

/* The text of a literal after reading and writing; "-" if it is refused. */
static const char *again(const char *text)
{
    static char out[400];
    struct pylit v;
    const char *p = text;
    if (pylit_read(&v, &p) < 0)
        return "-";
    FILE *f = fmemopen(out, sizeof out, "w");
    pylit_write(f, &v);
    fclose(f);
    pylit_free(&v);
    return out;
}

static void literals(void)
{
    static const struct {
        const char *in, *out;
    } t[] = {{"1", "1"},
             {" -17 ", "-17"},
             {"9223372036854775807", "9223372036854775807"},
             {"9223372036854775808", "-"},
             {"'\xf4\x8f\xbf\xbd'", "'\xf4\x8f\xbf\xbd'"},
             {"'\xf4\x90\x80\x80'", "-"},
             {"'\xed\xa0\x80'", "-"},
             {"007", "-"},
             {"0x10", "-"},
             {"1_000", "-"},
             {"1j", "-"},
             {"1.", "1.0"},
             {".5", "0.5"},
             {"-2.50", "-2.5"},
             {"1e22", "1e+22"},
             {"1e999", "-"},
             {"nan", "-"},
             {"True", "True"},
             {"None", "None"},
             {"Truest", "-"},
             {"x", "-"},
             {"''", "''"},
             {"\"it's\"", "'it\\'s'"},
             {"'a\\n\\t\\\\\\x41\\u00e9\\0'", "'a\\n\\t\\\\A\xc3\xa9\\x00'"},
             {"'\\ud800'", "-"},
             {"'\\q'", "-"},
             {"'\xf0\x9f\x99\x82'", "'\xf0\x9f\x99\x82'"},
             {"'\xff'", "-"},
             {"'a", "-"},
             {"'a\rb'", "-"},
             {"'''a'''", "-"},
             {"[]", "[]"},
             {"[1,[2.0,'b'],]", "[1, [2.0, 'b']]"},
             {"(1)", "1"},
             {"(1,)", "(1,)"},
             {"()", "()"},
             {"{}", "{}"},
             {"{1, 2}", "{1, 2}"},
             {"{'a':1, 2:[3]}", "{'a': 1, 2: [3]}"},
             {"{1:2, 3}", "-"},
             {"{1, 2:3}", "-"},
             {"[1 2]", "-"},
             {"[1,,2]", "-"},
             {"[f(1)]", "-"},
             {"[[1], [2] None]", "-"},
             {"[", "-"},
             {"", "-"},
             {"[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]", "-"}};
    for (size_t i = 0; i < sizeof t / sizeof *t; i++)
        ok(!strcmp(again(t[i].in), t[i].out), "%s -> %s", t[i].in, again(t[i].in));
}

/* A type as a word. */
static void spell(FILE *f, const struct pytype *t)
{
    static const char *const names[] = {"?",    "None",  "bool", "int",  "float", "str",
                                        "list", "tuple", "set",  "dict", "any"};
    fprintf(f, "%s%s", names[t->kind], t->any_length ? "*" : "");
    for (int i = 0; i < t->n_part; i++) {
        fputc(i ? ' ' : '[', f);
        spell(f, &t->part[i]);
    }
    if (t->n_part)
        fputc(']', f);
}

static int is_type(const char *annotation, const char *want)
{
    char out[200];
    struct pytype t;
    const char *p = annotation;
    FILE *f = fmemopen(out, sizeof out, "w");
    if (pytype_read(&t, &p) < 0)
        fputs("-", f);
    else
        spell(f, &t);
    fclose(f);
    pytype_free(&t);
    if (strcmp(out, want))
        printf("# %s\n", out);
    return !strcmp(out, want);
}

static void types(void)
{
    static const struct {
        const char *in, *out;
    } t[] = {{"int)", "int"},
             {" List[int] = None", "list[int]"},
             {"typing.List[typing.Tuple[int, str]],", "list[tuple[int str]]"},
             {"Tuple[float, ...])", "tuple*[float]"},
             {"Optional[Dict[str, List[int]]],", "dict[str list[int]]"},
             {"Union[None, str, int])", "str"},
             {"int | None)", "int"},
             {"None | set[int])", "set[int]"},
             {"Any)", "any"},
             {"Callable[[int], int])", "-"},
             {"List[int)", "-"},
             {"Optional)", "-"},
             {"'int')", "-"},
             {"List[List[List[List[List[List[List[List[List[List[List[int]]]]]]]]]]])", "-"},
             {"int + 1)", "-"}};
    for (size_t i = 0; i < sizeof t / sizeof *t; i++)
        ok(is_type(t[i].in, t[i].out), "%s", t[i].in);
}

/* The first inputs for a prompt that asks for f, joined by " ; ". */
static const char *first(const char *prompt, int n, enum inputs_from *from)
{
    static char out[4000];
    struct err e = {0};
    struct inputs in;
    struct bench_task t = {.task_id = "t", .prompt = (char *)(uintptr_t)prompt, .entry_point = "f"};
    if (inputs_make(&in, &t, 20, 0, &e) < 0)
        return "out of memory";
    out[0] = 0;
    for (int i = 0; i < in.n && i < n; i++)
        snprintf(out + strlen(out), sizeof out - strlen(out), "%s%s", i ? " ; " : "", in.v[i]);
    *from = in.from;
    inputs_free(&in);
    return out;
}

static void examples(void)
{
    static const struct {
        const char *prompt, *want, *what;
        int n;
        enum inputs_from from;
    } t[] = {{"def f(a, b=1):\n    \"\"\"\n    >>> f([1], 2)\n    3\n    f((4,)) == 5, f(x), f(1, "
              "2, 3), f([1],  2)\n",
              "[1], 2 ; (4,)", "calls with literals, each once, no more arguments than parameters",
              2, INPUTS_EXAMPLES},
             {"def g(f):\n    pass\n\ndef f(n):\n    '''f(7), not g(8) or xf(9)'''\n", "7",
              "the right function", 1, INPUTS_EXAMPLES},
             {"def f(arr, k):\n    \"\"\"\n    Input: arr = [4, 2], k=1\n    and arr: [3], k : 5 "
              "(arr == [9])\n",
              "[4, 2], 1 ; [3], 5", "assignments", 2, INPUTS_EXAMPLES},
             {"def f(grid):\n    \"\"\"\n    Input: [[1]]\n", "[[1]]",
              "the input of the only parameter", 1, INPUTS_EXAMPLES},
             {"def f():\n    \"\"\"Return 1.\"\"\"\n", "", "no parameters", 20, INPUTS_TYPES},
             {"x = 1\n", "", "no definition", 20, INPUTS_NOTHING}};
    enum inputs_from from = INPUTS_NOTHING;
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        const char *got = first(t[i].prompt, t[i].n, &from);
        ok(!strcmp(got, t[i].want) && from == t[i].from, "%s: %s", t[i].what, got);
    }
    ok(first("def f(s: str, sep: str = ', )'):\n    pass\n", 1, &from)[0] == '\'' &&
           from == INPUTS_TYPES,
       "an annotation");
    ok(first("def f(words):\n    pass\n", 1, &from)[0] == '[' && from == INPUTS_NAMES, "a name");
    ok(first("def f(\n    qqq, *more):\n", 1, &from)[0] != 0 && from == INPUTS_NAMES, "no idea");
}

static void asserts(void)
{
    static char *tests[] = {"assert set(g ( [1, 2], 'a')) == {f(3)}", "assert g([], '') == g(x)"};
    struct bench_task t = {
        .task_id = "7", .prompt = "Do g(99).", .called = "g", .tests = tests, .n_tests = 2};
    struct inputs in, other;
    struct err e = {0};
    int same = 0;
    ok(inputs_make(&in, &t, 32, 5, &e) == 0 && in.n == 32 && !strcmp(in.v[0], "[1, 2], 'a'") &&
           !strcmp(in.v[1], "[], ''"),
       "mbpp: the asserts' calls");
    inputs_make(&other, &t, 32, 6, &e);
    for (int i = 2; i < 32; i++)
        same += !strcmp(in.v[i], other.v[i]);
    ok(same < 20, "another seed, other inputs");
    inputs_free(&other);
    t.test = t.canonical = (char *)(uintptr_t) "def check(c):\n    assert g([77], 'hidden')\n";
    inputs_make(&other, &t, 32, 5, &e);
    for (int i = same = 0; i < 32; i++)
        same += !strcmp(in.v[i], other.v[i]);
    ok(same == 32, "the same seed, the same inputs, whatever test and solution are");
    inputs_free(&other);
    inputs_free(&in);
    t.called = NULL;
    t.n_tests = 0;
    ok(inputs_make(&in, &t, 32, 5, &e) == 0 && in.n == 0, "no function, no inputs");
    inputs_free(&in);
}

int main(void)
{
    literals();
    types();
    examples();
    asserts();
    return done_testing();
}
