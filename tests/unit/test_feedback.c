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

/* 1 if the feedback on that task's verdict is this text; the tests are shown. */
static int told(struct bench_task *t, const char *verdict, const char *detail, long total,
                const char *want)
{
    char *s = feedback_text(t, code, verdict, detail, 1, total, 1);
    int same = s && !strcmp(s, want);
    if (!same)
        printf("# %s\n", s ? s : "NULL");
    free(s);
    return same;
}

/* HumanEval+ and MBPP+: the detail names the input before it says anything else. */
static void expected(void)
{
    struct bench_task plus = task, mbpp = words;
    plus.judge = mbpp.judge = BENCH_EXPECTED;
    plus.test = NULL;
    mbpp.n_tests = 1;
    ok(told(&plus, "exception",
            "plus input 2 of 9: f('x): y', 3): IndexError: list index out of range", 12,
            "It raises an exception, IndexError: list index out of range."),
       "an exception behind a hidden call");
    ok(told(&plus, "exception", "base input 1 of 9: f('a b', 2): KeyError: 'secret'", 12,
            "It raises an exception, KeyError. One of the examples fails: f('a b', 2)"),
       "an exception behind a call of the docstring");
    ok(told(&plus, "exception", "input 3: KeyError: 'secret'", 12,
            "It raises an exception, KeyError."),
       "an exception where one process judges");
    ok(told(&plus, "exception", "plus input 2 of 9: f('secret, 3): KeyError: 7", 12,
            "It raises an exception."),
       "a call that is cut off");
    ok(told(&plus, "exception", "plus input 2 of 9: f('secret'): secret: 7", 12,
            "It raises an exception."),
       "no exception of Python's or the program's");
    ok(told(&plus, "exception", "ValueError: input 2 of 9: f('a b', 2)", 12,
            "It raises an exception, ValueError."),
       "a text of the program's making is no place of a test");
    ok(told(&plus, "wrong_answer", "base input 2 of 3: f('', 0) is ''; got 'secret'", 12,
            "It returns a wrong result. One of the examples fails: f(\"\", 0)"),
       "a wrong result of an example, without what came back");
    ok(told(&plus, "wrong_answer", "plus input 2 of 3: f('secret', 7) is 'x'; got f('a b', 2)", 12,
            "It returns a wrong result."),
       "a wrong result of a hidden call");
    ok(told(&plus, "bad_return", "base input 1 of 3: f('a b', 2): not plain data: secret", 12,
            "It returns something that is not plain data (numbers, text, lists, tuples, sets, "
            "dicts). One of the examples fails: f('a b', 2)"),
       "a result of no known type");
    ok(told(&mbpp, "wrong_answer", "base input 1 of 3: g('secret', 41) is [5]; got 7", 30,
            "It returns a wrong result.\nThe test that fails is\nassert g('secret', 41) == [5]"),
       "MBPP+: the assert that the prompt shows");
    ok(told(&mbpp, "exception", "base input 1 of 3: g('secret', 41): KeyError: 'secret'", 30,
            "It raises an exception, KeyError.\nThe test that fails is\nassert g('secret', 41) == "
            "[5]"),
       "MBPP+: the same of an exception, whose value stays hidden");
    ok(told(&mbpp, "wrong_answer", "base input 1 of 1: g('other', 1) is [5]; got 7", 1,
            "It returns a wrong result."),
       "MBPP+: one hidden test is not the one assert");
}

static void other_languages(void)
{
    struct bench_task t = task;
    t.judge = BENCH_PROGRAM;
    ok(told(&t, "wrong_answer", "assert 1 of 3: f( \"a b\", 2) == \"x\"; got 7", 3,
            "It returns a wrong result. One of the examples fails: f('a b', 2)"),
       "another language: an example by the function's name");
    ok(told(&t, "wrong_answer", "line 7: candidate(\"a b\", 2) == 7; got 8", 3,
            "It returns a wrong result. One of the examples fails: f('a b', 2)"),
       "or by the test's name for it");
    ok(told(&t, "syntax_error", "SyntaxError: Unexpected token 'secret'", 3,
            "Its syntax is not valid, SyntaxError."),
       "its syntax is not Python's");
    ok(told(&t, "exception", "RangeError: secret", 3, "It raises an exception, RangeError."),
       "an exception of JavaScript's");
    ok(told(&t, "crash", "signal 11", 3, "It crashes."), "no interpreter");
    t = (struct bench_task){.judge = BENCH_INPUT, .called = "f", .prompt = "", .setup = ""};
    ok(told(&t, "no_entry_point", "no call", 1, "It is not a call of f."), "CRUXEval's input");
}

int main(void)
{
    exceptions();
    verdicts();
    shown_asserts();
    expected();
    other_languages();
    return done_testing();
}
