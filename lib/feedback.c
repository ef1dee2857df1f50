/* feedback - from a verdict to the words that a second round is given */
#include "feedback.h"
#include "pycall.h"
#include "sandbox.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// clang-format off
/* elsewhere: of a program in another language, where that is not the same */
static const struct { const char *verdict, *says, *elsewhere; } kinds[] = {
    {"wrong_answer",   "It returns a wrong result.", NULL},
    {"exception",      "It raises an exception", NULL},
    {"syntax_error",   "It is not valid Python", "Its syntax is not valid"},
    {"compile_error",  "It does not compile.", NULL},
    {"no_entry_point", "It does not define the function that is asked for", NULL},
    {"no_code",        "It holds no code.", NULL},
    {"bad_return",     "It returns something that is not plain data (numbers, text, lists, tuples, sets, dicts).",
     "It returns something that is not plain data."},
    {"early_exit",     "It ends the whole program instead of returning a result.", NULL},
    {"crash",          "It crashes the interpreter.", "It crashes."},
    {"timeout_cpu",    "It does not come to an end in the time allowed.", NULL},
    {"timeout_wall",   "It does not come to an end in the time allowed.", NULL},
    {"memory",         "It needs too much memory.", NULL},
    {"output_limit",   "It writes too much output.", NULL},
    {"file_limit",     "It writes files that are too large.", NULL},
    {"process_limit",  "It starts too many processes or threads.", NULL},
    {"forbidden",      "It makes a system call that is not allowed.", NULL}};

/* Python's own exceptions that a solution can meet, and three of JavaScript's. */
static const char *const exceptions[] = {
    "ArithmeticError", "AssertionError", "AttributeError", "BufferError", "EOFError", "Exception", "FileExistsError",
    "FileNotFoundError", "FloatingPointError", "ImportError", "IndentationError", "IndexError", "IsADirectoryError",
    "KeyError", "LookupError", "MemoryError", "ModuleNotFoundError", "NameError", "NotImplementedError", "OSError",
    "OverflowError", "PermissionError", "RecursionError", "ReferenceError", "RuntimeError", "StopAsyncIteration",
    "StopIteration", "SyntaxError", "SystemError", "TabError", "TimeoutError", "TypeError", "UnboundLocalError",
    "UnicodeDecodeError", "UnicodeEncodeError", "UnicodeError", "ValueError", "ZeroDivisionError", "Error", "RangeError",
    "URIError", NULL};

static const char *const types[] = {
    "int", "float", "complex", "bool", "str", "bytes", "bytearray", "list", "tuple", "dict", "set", "frozenset", "range",
    "NoneType", "function", "builtin_function_or_method", "method", "type", "module", "generator", "map", "filter", "zip",
    "enumerate", "reversed", "slice", "dict_keys", "dict_values", "dict_items", "list_iterator", "str_iterator", "object",
    "collections.deque", "collections.defaultdict", "collections.OrderedDict", "defaultdict", "Counter", "deque",
    "ellipsis", "NotImplementedType", "re.Match", "set_iterator", "tuple_iterator", "dict_keyiterator", NULL};

/* CPython 3.11's messages (Objects/, Python/, Modules/).  In them
 *   %n  a name that the program has        %t  one of the types above, or a class of the program
 *   %o  an operator                        %v  any value: not passed on */
static const char *const messages[] = {
    "name '%n' is not defined",
    "cannot access local variable '%n' where it is not associated with a value",
    "local variable '%n' referenced before assignment",
    "cannot access free variable '%n' where it is not associated with a value in enclosing scope",
    "free variable '%n' referenced before assignment in enclosing scope",
    "list index out of range", "string index out of range", "tuple index out of range", "range object index out of range",
    "list assignment index out of range", "bytearray index out of range", "pop from empty list", "pop index out of range",
    "pop from an empty deque", "pop from an empty set", "'pop from an empty set'", "'popitem(): dictionary is empty'",
    "deque index out of range", "list indices must be integers or slices, not %t", "string indices must be integers, not '%t'",
    "string indices must be integers", "tuple indices must be integers or slices, not %t",
    "slice indices must be integers or None or have an __index__ method", "'%t' object is not iterable",
    "'%t' object is not subscriptable", "'%t' object is not callable", "'%t' object is not an iterator",
    "'%t' object is not reversible", "'%t' object does not support item assignment",
    "'%t' object doesn't support item deletion", "'%t' object cannot be interpreted as an integer",
    "'%t' object has no attribute '%n'", "type object '%t' has no attribute '%n'", "module '%n' has no attribute '%n'",
    "No module named '%n'", "cannot import name '%n' from '%n' (%v)", "cannot import name '%n' from '%n'",
    "unsupported operand type(s) for %o: '%t' and '%t'", "unsupported operand type(s) for ** or pow(): '%t' and '%t'",
    "bad operand type for unary %o: '%t'", "bad operand type for abs(): '%t'",
    "'%o' not supported between instances of '%t' and '%t'", "can only concatenate %t (not \"%t\") to %t",
    "can only join an iterable", "sequence item %v: expected str instance, %t found",
    "can't multiply sequence by non-int of type '%t'", "unhashable type: '%t'", "cannot unpack non-iterable %t object",
    "not enough values to unpack (%v)", "too many values to unpack (%v)", "object of type '%t' has no len()",
    "argument of type '%t' is not iterable", "expected string or bytes-like object, got '%t'",
    "expected string or bytes-like object", "'in <string>' requires string as left operand, not %t",
    "invalid literal for int() with base %v: %v", "could not convert string to float: %v",
    "int() argument must be a string, a bytes-like object or a real number, not '%t'",
    "float() argument must be a string or a real number, not '%t'", "int() can't convert non-string with explicit base",
    "type %t doesn't define __round__ method", "must be real number, not %t", "must be str, not %t",
    "substring not found", "subsection not found", "%v is not in list", "list.remove(x): x not in list",
    "list.index(x): x not in list", "tuple.index(x): x not in tuple", "%v is not in range", "%v is not in deque",
    "min() arg is an empty sequence", "max() arg is an empty sequence", "reduce() of empty iterable with no initial value",
    "mean requires at least one data point", "no median for empty data", "division by zero",
    "integer division or modulo by zero", "integer modulo by zero", "float division by zero", "float modulo",
    "float floor division by zero", "float divmod()", "0.0 cannot be raised to a negative power",
    "pow() 3rd argument cannot be 0", "math domain error", "math range error", "cannot convert float NaN to integer",
    "cannot convert float infinity to integer", "negative shift count", "factorial() not defined for negative values",
    "isqrt() argument must be nonnegative", "slice step cannot be zero", "range() arg 3 must not be zero",
    "empty separator", "chr() arg not in range(0x110000)", "ord() expected a character, but string of length %v found",
    "ord() expected string of length 1, but %t found", "maximum recursion depth exceeded",
    "maximum recursion depth exceeded in comparison", "maximum recursion depth exceeded while calling a Python object",
    "dictionary changed size during iteration", "dictionary keys changed during iteration",
    "Set changed size during iteration", "deque mutated during iteration", "generator already executing",
    "%n() missing %v required positional argument: %v", "%n() missing %v required positional arguments: %v",
    "%n() takes %v positional arguments but %v were given", "%n() takes %v positional argument but %v were given",
    "%n() takes from %v to %v positional arguments but %v were given", "%n() got an unexpected keyword argument '%n'",
    "%n() got multiple values for argument '%n'", "%n() takes no arguments", "%n() takes no keyword arguments",
    "%n() takes exactly one argument (%v given)", "%n() missing %v required keyword-only argument: %v",
    "%n expected at least %v argument, got %v", "%n expected at least %v arguments, got %v",
    "%n expected at most %v argument, got %v", "%n expected at most %v arguments, got %v",
    "%n() argument must be %v, not %t", "sum() can't sum strings [use ''.join(seq) instead]",
    "int too large to convert to float", "cannot fit 'int' into an index-sized integer",
    "Exceeds the limit (%v digits) for integer string conversion%v", "Python int too large to convert to C ssize_t",
    "not all arguments converted during string formatting", "not enough arguments for format string",
    "Replacement index %v out of range for positional args tuple", "unknown format code '%v' for object of type '%t'",
    "Unknown format code '%v' for object of type '%t'", "generator raised StopIteration", "exceptions must derive from BaseException",
    "math.comb is not defined for negative values", "k must be a non-negative integer", "can't set attributes of built-in/extension type '%t'",
    /* syntax */
    "invalid syntax", "invalid syntax. Perhaps you forgot a comma?", "invalid syntax. Maybe you meant '==' or ':=' instead of '='?",
    "expected ':'", "expected '('", "expected 'except' or 'finally' block", "unexpected indent",
    "expected an indented block after %v on line %v", "unindent does not match any outer indentation level",
    "unterminated string literal (detected at line %v)", "unterminated triple-quoted string literal (detected at line %v)",
    "'%o' was never closed", "unmatched '%o'", "closing parenthesis '%o' does not match opening parenthesis '%o'",
    "closing parenthesis '%o' does not match opening parenthesis '%o' on line %v", "unexpected EOF while parsing",
    "unexpected character after line continuation character", "invalid character '%v' (U+%v)",
    "invalid non-printable character U+%v", "cannot assign to %v", "cannot delete %v", "'return' outside function",
    "'break' outside loop", "'continue' not properly in loop", "'yield' outside function", "'await' outside async function",
    "non-default argument follows default argument", "positional argument follows keyword argument",
    "positional argument follows keyword argument unpacking", "duplicate argument '%n' in function definition",
    "inconsistent use of tabs and spaces in indentation", "invalid decimal literal", "invalid hexadecimal literal",
    "leading zeros in decimal integer literals are not permitted; use an 0o prefix for octal integers",
    "EOL while scanning string literal", "EOF while scanning triple-quoted string literal", "f-string: %v",
    "name '%n' is used prior to global declaration", "name '%n' is parameter and global", "no binding for nonlocal '%n' found",
    "name '%n' is assigned to before global declaration", "Missing parentheses in call to 'print'. Did you mean print(...)?",
    "too many statically nested blocks", "source code string cannot contain null bytes", NULL};
// clang-format on

/* ---- words ---- */

/* 1 if the text has the word of n bytes at s. */
static int has_word(const char *text, const char *s, size_t n)
{
    for (const char *p = text; *p;) {
        size_t k = 0;
        while (pycall_word(p[k]))
            k++;
        if (k == n && n && !memcmp(p, s, n))
            return 1;
        p += k ? k : 1;
    }
    return 0;
}

static int listed(const char *const *list, const char *s, size_t n)
{
    for (; *list; list++)
        if (strlen(*list) == n && !memcmp(*list, s, n))
            return 1;
    return 0;
}

/* 1 if the program has "class NAME". */
static int is_class(const char *program, const char *s, size_t n)
{
    for (const char *p = program; (p = strstr(p, "class ")); p += 6)
        if ((p == program || !pycall_word(p[-1])) && !strncmp(p + 6, s, n) &&
            !pycall_word(p[6 + n]))
            return 1;
    return 0;
}

/* ---- Python's messages ---- */

struct hole {
    char kind;
    const char *s;
    size_t n;
};
enum { MAX_HOLES = 8, MAX_TRIES = 10000 };

static int fits(char kind, const char *s, size_t n, const char *program)
{
    switch (kind) {
    case 'n':
        if (n == 0 || isdigit((unsigned char)*s) || pycall_word(s[n])) /* no message goes on so */
            return 0;
        for (size_t i = 0; i < n; i++)
            if (!pycall_word(s[i]))
                return 0;
        return has_word(program, s, n);
    case 't':
        return listed(types, s, n) || (n && is_class(program, s, n));
    case 'o':
        return n >= 1 && n <= 3 && strspn(s, "+-*/%@&|^~<>=!()[]{}") >= n;
    default:
        return 1;
    }
}

/* Match text against a message; holes in order. *tries bounds the search. */
static int match(const char *m, const char *text, const char *program, struct hole *hole, int depth,
                 int *tries)
{
    while (*m && *m != '%' && *m == *text)
        m++, text++;
    if (*m != '%')
        return !*m && !*text;
    if (depth == MAX_HOLES)
        return 0;
    for (size_t n = 0;; n++) {
        if (++*tries > MAX_TRIES)
            return 0;
        if (fits(m[1], text, n, program) &&
            match(m + 2, text + n, program, hole, depth + 1, tries)) {
            hole[depth] = (struct hole){m[1], text, n};
            return 1;
        }
        if (!text[n])
            return 0;
    }
}

/* 1 if the program has the text as a string of its own: a sentence, so no value can pass for one. */
static int is_own_text(const char *program, const char *text)
{
    size_t n = strlen(text);
    if (!strchr(text, ' '))
        return 0;
    for (const char *p = program; (p = strstr(p, text)); p++)
        if (p > program && (p[-1] == '"' || p[-1] == '\'') && p[n] == p[-1])
            return 1;
    return 0;
}

/* Write ": " and what may be passed on of an exception's text. */
static void put_message(FILE *f, const char *text, const char *program)
{
    struct hole hole[MAX_HOLES];
    if (is_own_text(program, text)) {
        fprintf(f, ": %s", text);
        return;
    }
    for (const char *const *m = messages; *m; m++) {
        int k = 0, tries = 0;
        if (!match(*m, text, program, hole, 0, &tries))
            continue;
        fputs(": ", f);
        for (const char *p = *m; *p; p++) {
            if (*p != '%') {
                fputc(*p, f);
                continue;
            }
            if (hole[k].kind == 'v')
                fputs("...", f);
            else
                fwrite(hole[k].s, 1, hole[k].n, f);
            k++, p++;
        }
        return;
    }
}

/* Write the line of that number (from 1), unless there is none or it is blank. */
static void put_line(FILE *f, const char *program, long number)
{
    const char *p = program;
    for (; p && number > 1; number--)
        p = (p = strchr(p, '\n')) ? p + 1 : NULL;
    size_t n = p && number == 1 ? strcspn(p, "\r\n") : 0;
    if (n > (p ? strspn(p, " \t") : 0))
        fprintf(f, " The line is\n%.*s", (int)n, p);
}

/* What may be told of an exception, "NAME: TEXT". */
static void put_exception(FILE *f, const char *detail, const char *program)
{
    static const char where[] = " (solution.py, line ";
    size_t n = strcspn(detail, ":");
    char text[1024], *place = NULL;
    if (!listed(exceptions, detail, n) && !is_class(program, detail, n)) {
        fputs(".", f);
        return;
    }
    fprintf(f, ", %.*s", (int)n, detail);
    snprintf(text, sizeof text, "%s", detail[n] && detail[n + 1] == ' ' ? detail + n + 2 : "");
    for (char *p = text; (p = strstr(p, where)); p++)
        place = p;
    if (place)
        *place = 0;
    put_message(f, text, program);
    fputs(".", f);
    if (place)
        put_line(f, program, strtol(place + strlen(where), NULL, 10));
}

/* ---- examples that the prompt shows ---- */

/* The next character of a call that matters: white space outside of quotes does not, nor the kind of
 * quotes. 0 at the end. */
static char next_char(const char **p, const char *end, char *quote)
{
    while (*p < end && !*quote && isspace((unsigned char)**p))
        ++*p;
    if (*p >= end)
        return 0;
    char c = *(*p)++;
    if (c != '\'' && c != '"')
        return c;
    if (!*quote)
        *quote = c;
    else if (*quote == c)
        *quote = 0;
    return '"';
}

static int same_call(const char *a, const char *a_end, const char *b, const char *b_end)
{
    char x, y, qa = 0, qb = 0;
    do {
        x = next_char(&a, a_end, &qa);
        y = next_char(&b, b_end, &qb);
    } while (x == y && x);
    return x == y;
}

struct call {
    const char *open, *end; /* its arguments with their brackets; NULL: the detail has none */
};

/* Behind "base input 1 of 3: " and the call; in one process "input 1: " alone (configs/sandbox/evalplus.py). */
static const char *skip_input(const char *detail, const char *entry, struct call *call)
{
    const char *p = detail, *q;
    size_t n = strlen(entry);
    if (!strncmp(p, "base ", 5) || !strncmp(p, "plus ", 5))
        p += 5;
    if (strncmp(p, "input ", 6) || !isdigit((unsigned char)p[6]) || !(q = strstr(p, ": ")))
        return detail;
    p = q + 2;
    if (strncmp(p, entry, n) || p[n] != '(' || !(q = pycall_end(p + n)))
        return p;
    *call = (struct call){p + n, q};
    return !strncmp(q, ": ", 2) ? q + 2 : q;
}

/* What the detail says behind the call that failed, which is *call. */
static const char *failed_call(const struct bench_task *t, const char *detail, struct call *call)
{
    const char *entry = bench_entry(t), *open;
    *call = (struct call){0};
    if (t->judge == BENCH_EXPECTED)
        return skip_input(detail, entry, call);
    if (pycall_find(detail, "candidate", &open) ||
        (t->judge == BENCH_PROGRAM && entry && pycall_find(detail, entry, &open)))
        *call = (struct call){open, pycall_end(open)};
    return detail;
}

/* Where text makes that call, with *end behind it; NULL if it does not. */
static const char *shown_in(const char *text, const char *entry, const struct call *call,
                            const char **end)
{
    const char *open;
    for (const char *p = text; (p = pycall_find(p, entry, &open)); p = open)
        if ((*end = pycall_end(open)) && same_call(call->open, call->end, open, *end))
            return p;
    return NULL;
}

/* The call that failed, if the prompt shows it: as its docstring spells it, or the assert that makes it. */
static void put_shown_call(FILE *f, const struct bench_task *t, const struct call *call,
                           int tests_shown)
{
    const char *entry = bench_entry(t), *p, *end;
    if (!call->end || !entry)
        return;
    if (t->entry_point && (p = shown_in(t->prompt, entry, call, &end)))
        fprintf(f, " One of the examples fails: %.*s", (int)(end - p), p);
    for (int i = 0; !t->entry_point && tests_shown && i < t->n_tests; i++)
        if (shown_in(t->tests[i], entry, call, &end)) {
            fprintf(f, "\nThe test that fails is\n%s", t->tests[i]);
            return;
        }
}

/* The sentence for a verdict. */
static const char *sentence(const struct bench_task *t, const char *verdict)
{
    size_t i = 0, n = sizeof kinds / sizeof *kinds;
    while (i < n && strcmp(kinds[i].verdict, verdict))
        i++;
    if (i == n)
        return "It fails its tests.";
    if (t->judge == BENCH_INPUT && !strcmp(verdict, "no_entry_point"))
        return "It is not a call of f.";
    return t->judge == BENCH_PROGRAM && kinds[i].elsewhere ? kinds[i].elsewhere : kinds[i].says;
}

char *feedback_text(const struct bench_task *t, const char *code, const char *verdict,
                    const char *detail, long run, long total, int tests_shown)
{
    /* its tests are the asserts of the prompt, and just these */
    int listed_tests = t->judge != BENCH_EXPECTED && !t->test && total == t->n_tests,
        shown = tests_shown && listed_tests && run >= 1 && run <= total;
    int raised = !strcmp(verdict, "exception") || !strcmp(verdict, "syntax_error");
    const char *got = detail ? strstr(detail, "; got ") : NULL, *entry = bench_entry(t);
    char *program = sandbox_program(t, code), *out = NULL;
    struct call call;
    const char *said = failed_call(t, detail ? detail : "", &call);
    size_t len = 0;
    FILE *f = program ? open_memstream(&out, &len) : NULL;
    if (f) {
        fputs(sentence(t, verdict), f);
        if (raised && shown && detail)
            fprintf(f, ", %s.", detail);
        else if (raised)
            put_exception(f, said, program);
        else if (!strcmp(verdict, "no_entry_point") && t->judge != BENCH_INPUT)
            fprintf(f, "%s%s.", entry ? ", " : "", entry ? entry : "");
        if (shown)
            fprintf(f, "\nThe test that fails is\n%s", t->tests[run - 1]);
        if (shown && got && !strcmp(verdict, "wrong_answer"))
            fprintf(f, "\nand what comes back is\n%s", got + strlen("; got "));
        if (!shown && (!strcmp(verdict, "wrong_answer") || t->judge == BENCH_EXPECTED))
            put_shown_call(f, t, &call, tests_shown);
    }
    free(program);
    if (!f || fclose(f) != 0) {
        free(out);
        return NULL;
    }
    return out;
}
