/* bench.h - a benchmark: its problems, how they are asked and how answers are judged
 *
 * configs/bench/NAME.yaml says where the data is (a key of the catalog), its format, which ids belong, how
 * long answers may be, which items are known to be broken; bench(5) describes both.  Whatever the format, a
 * task is asked either as code to complete (a head with its docstring) or in words with the asserts that
 * may be shown, and judged in one of the ways of enum bench_judge. */
#ifndef BENCH_H
#define BENCH_H
#include "err.h"
#include <stddef.h>

enum bench_format {
    BENCH_HUMANEVAL,
    BENCH_MBPP,
    BENCH_EVALPLUS,
    BENCH_HUMANEVAL_X,
    BENCH_STDIO,
    BENCH_CRUXEVAL,
    BENCH_MULTIPL_E,
    BENCH_BIGCODEBENCH,
    BENCH_FORMATS
};
enum bench_lang { BENCH_PYTHON, BENCH_C, BENCH_CPP, BENCH_JAVASCRIPT, BENCH_LANGS };
enum bench_judge {
    BENCH_CHECK,    /* test defines check(candidate) */
    BENCH_ASSERTS,  /* setup, then tests, one assert each (or one script) */
    BENCH_EXPECTED, /* the results of many calls are those of the reference */
    BENCH_OUTPUT,   /* an expression, which check(answer) looks at (CRUXEval) */
    BENCH_INPUT,    /* a call of f, whose arguments check(answer) looks at */
    BENCH_IO,       /* programs that read and write, or calls, by io */
    BENCH_UNITTEST, /* test defines a class of unittest */
    BENCH_PROGRAM   /* another language: test is its program */
};
struct bench_io { /* one test: what goes in, what comes out */
    char *in, *out;
};
struct bench_task {
    char *task_id;     /* an integer in the data becomes its digits */
    char *prompt;      /* the code to complete, or the task in words */
    char *entry_point; /* of a task that is code to complete; NULL where it is words */
    char *called;      /* words: what the tests call; bench_entry gives either */
    char *test;        /* by judge; or NULL */
    char **tests;      /* words: asserts that may be shown (BENCH_ASSERTS: all that there are) */
    int n_tests;
    char *setup;     /* code before the asserts; may be "" */
    char *canonical; /* reference solution: a body to append to prompt, or a program; "" = none */
    char *
        record; /* BENCH_EXPECTED: the line of the data, n_record bytes (JSON as Python writes it) */
    size_t n_record;
    const char *form, *oracle; /* BENCH_EXPECTED: bench(5); "" = none */
    double atol;
    struct bench_io *io; /* BENCH_IO */
    int n_io;
    enum bench_judge judge;
    int inproc;        /* its test cannot be run from another process */
    const char *fault; /* why no solution can pass, or NULL */
    long memory_mib;   /* limits that it needs; 0 = the benchmark's */
    double cpu_s;
};
struct bench {
    char *name, *path; /* the data file */
    char sha256[65];   /* of the data file */
    enum bench_format format;
    enum bench_lang lang;
    int mbpp;      /* asked in words with asserts, not as code to complete */
    int inproc;    /* all of its tasks */
    int packages;  /* programs see the Python packages that are installed */
    int ask_input; /* cruxeval: input, not output */
    int instruct;  /* bigcodebench: in words */
    char test_field[64];
    long max_tokens; /* of an answer */
    long memory_mib; /* limits of a job; 0 = the judge's own */
    double cpu_s;
    long ceiling; /* tasks that the reference solutions pass; -1 = not measured */
    struct bench_task *task;
    int n;
    int *order;   /* task indices by id, for bench_find */
    char **words; /* texts that tasks refer to: faults, forms, oracles */
    int n_words;
};
/* name: configs/bench/NAME.yaml, a path of such a .yaml, or a path of a data file (.jsonl,
 * .jsonl.gz), whose format is seen from its first record. */
int bench_load(struct bench *b, const char *name, struct err *e);
void bench_free(struct bench *b);
/* The function that is asked for: entry_point, or called; NULL if there is none. Lives as long as the
 * task. */
const char *bench_entry(const struct bench_task *t);
const struct bench_task *bench_find(const struct bench *b,
                                    const char *task_id); /* NULL if absent */
const char *bench_lang_name(enum bench_lang l);           /* "python", "c", "cpp", "javascript" */
int bench_lang_parse(const char *name); /* these and usual others (py, c++, js); -1 if unknown */
#endif
