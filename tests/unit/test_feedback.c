/* test_feedback - what a second round is told: the program's and Python's own words, no hidden value */
#include "feedback.h"
#include "tap.h"
#include <stdlib.h>
#include <string.h>

static struct bench_task task = {
    .task_id = "x/1",
    .prompt =
        "def f(s: str, n: int) -> str:\n    \"\"\"Repeat.\n    >>> f('a b', 2)\n    'a ba b'\n"
        "    >>> f(\"\", 0)\n    ''\n    \"\"\"\n",
    .entry_point = "f",
    .test = "def check(candidate):\n    assert candidate('secret', 7) == 'x'\n"};
static char *asserts[] = {"assert g('secret', 41) == [5]", "assert g('', 0) == []"};
static struct bench_task words = {
    .task_id = "2", .prompt = "Do it.", .called = "g", .tests = asserts, .n_tests = 2, .setup = ""};
static const char code[] = "class Odd(Exception):\n    pass\n\n\ndef f(s, n):\n"
                           "    if n > 9:\n        raise ValueError('n must not be so large')\n"
                           "    return undefined[s] + s.foo(n)\n";

/* 1 if the feedback on a humaneval verdict is this text. */
static int says(const char *verdict, const char *detail, const char *want)
{
    char *s = feedback_text(&task, code, verdict, detail, 1, 3, 0);
    int same = s && !strcmp(s, want);
    if (!same)
        printf("# %s\n", s ? s : "NULL");
    free(s);
    return same;
}

static int raises(const char *detail, const char *rest)
{
    char want[400];
    snprintf(want, sizeof want, "It raises an exception%s.", rest);
    return says("exception", detail, want);
}

static void exceptions(void)
{
    static const struct {
        const char *detail, *rest, *what;
    } t[] = {
        {"NameError: name 'undefined' is not defined",
         ", NameError: name 'undefined' is not defined", "a name of the program"},
        {"NameError: name 'secret' is not defined", ", NameError", "a name of the test is not"},
        {"KeyError: 'secret'", ", KeyError", "a key is a value"},
        {"KeyError: 9", ", KeyError", "even one that the program has"},
        {"IndexError: list index out of range", ", IndexError: list index out of range",
         "Python's message"},
        {"ValueError: invalid literal for int() with base 10: 'secret'",
         ", ValueError: invalid literal for int() with base ...: ...", "without the value in it"},
        {"ValueError: 7 is not in list", ", ValueError: ... is not in list", "at its begin too"},
        {"ValueError: secret", ", ValueError", "a text of the program's making"},
        {"ValueError: n must not be so large", ", ValueError: n must not be so large",
         "a sentence that the program has"},
        {"ValueError: must not be", ", ValueError", "but not a part of it"},
        {"Odd: secret", ", Odd", "a class of the program"},
        {"secret: 7", "", "a class made up while it ran"},
        {"secret", "", "the same without a text"},
        {"AttributeError: 'str' object has no attribute 'foo'",
         ", AttributeError: 'str' object has no attribute 'foo'", "type and attribute"},
        {"AttributeError: 'secret' object has no attribute 'foo'", ", AttributeError",
         "no type of that name"},
        {"TypeError: unsupported operand type(s) for +: 'int' and 'str'",
         ", TypeError: unsupported operand type(s) for +: 'int' and 'str'", "operator and types"},
        {"TypeError: f() takes 2 positional arguments but 41 were given",
         ", TypeError: f() takes ... positional arguments but ... were given", "no numbers"},
        {"TypeError: '<' not supported between instances of 'NoneType' and 'int'",
         ", TypeError: '<' not supported between instances of 'NoneType' and 'int'", "comparison"},
        {"", "", "no detail"}};
    for (size_t i = 0; i < sizeof t / sizeof *t; i++)
        ok(raises(t[i].detail, t[i].rest), "%s", t[i].what);
    char big[4000];
    memset(big, '\'', sizeof big);
    memcpy(big, "TypeError: ", 11);
    big[sizeof big - 1] = 0;
    ok(raises(big, ", TypeError"), "a long text of quotes: no match, no hang");
}

static void verdicts(void)
{
    ok(says("syntax_error", "SyntaxError: expected ':' (solution.py, line 6)",
            "It is not valid Python, SyntaxError: expected ':'. The line is\n    if n > 9:"),
       "a syntax error quotes the line");
    ok(says("syntax_error",
            "SyntaxError: unterminated string literal (detected at line 41) (solution.py, line 99)",
            "It is not valid Python, SyntaxError: unterminated string literal (detected at line "
            "...)."),
       "no line of that number");
    ok(says("wrong_answer", "assert 1 of 3: candidate('secret', 7) == 'x'; got 'secret'",
            "It returns a wrong result."),
       "a hidden assert is not shown, nor what came back");
    ok(says("wrong_answer", "assert 2 of 3: candidate( \"a b\",2 ) == 'x'; got 7",
            "It returns a wrong result. One of the examples fails: f('a b', 2)"),
       "an example of the docstring is, as it stands there");
    ok(says("wrong_answer", "assert 2 of 3: candidate('ab', 2) == 'x'; got 7",
            "It returns a wrong result."),
       "white space in a string is no white space between tokens");
    ok(says("wrong_answer", "assert 2 of 3: candidate('a b', 2", "It returns a wrong result."),
       "a call that is cut off");
    ok(says("timeout_cpu", "more than 3 s", "It does not come to an end in the time allowed."),
       "time");
    ok(says("no_entry_point", "nothing defines f",
            "It does not define the function that is asked for, f."),
       "no entry point");
    ok(says("fail", "secret", "It fails its tests."), "a verdict of another tool");
    ok(says("new_kind", NULL, "It fails its tests."), "a kind that is not known");
}

static int tests_shown = 1;

/* 1 if the feedback on an mbpp verdict is this text. */
static int tells(const char *verdict, const char *detail, long run, long total, const char *want)
{
    char *s =
        feedback_text(&words, "def g(s, n): pass\n", verdict, detail, run, total, tests_shown);
    int same = s && !strcmp(s, want);
    if (!same)
        printf("# %s\n", s ? s : "NULL");
    free(s);
    return same;
}

static void shown_asserts(void)
{
    ok(tells("wrong_answer", "assert 1 of 2: g('secret', 41) == [5]; got [6]", 1, 2,
             "It returns a wrong result.\nThe test that fails is\nassert g('secret', 41) == [5]\n"
             "and what comes back is\n[6]"),
       "mbpp: its asserts are in the prompt");
    ok(tells("exception", "KeyError: 'secret'", 1, 2,
             "It raises an exception, KeyError: 'secret'.\nThe test that fails is\n"
             "assert g('secret', 41) == [5]"),
       "mbpp: so is what an exception can say");
    ok(tells("wrong_answer", "assert 1 of 9: g('other', 3); got 4", 1, 9,
             "It returns a wrong result."),
       "mbpp: more tests than the prompt has: nothing");
    ok(tells("exception", "KeyError: 'other'", 0, 2, "It raises an exception, KeyError."),
       "mbpp: not in a test");
    tests_shown = 0;
    ok(tells("wrong_answer", "assert 1 of 2: g('secret', 41) == [5]; got [6]", 1, 2,
             "It returns a wrong result."),
       "mbpp: a prompt without the asserts");
}

int main(void)
{
    exceptions();
    verdicts();
    shown_asserts();
    return done_testing();
}
