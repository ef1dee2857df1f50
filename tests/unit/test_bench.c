/* test_bench - benchmarks and prompts as shipped, and what happens when they are damaged */
#include "bench_private.h"
#include "prompt.h"
#include "tap.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void shipped(void)
{
    static const struct {
        const char *name;
        int n, mbpp;
        const char *first;
    } want[] = {{"basic", 164, 0, "Basic/0"},
                {"basic-mbpp", 100, 1, "9001"},
                {"humaneval", 164, 0, "HumanEval/0"},
                {"mbpp", 500, 1, "11"}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        struct err e = {0};
        struct bench b;
        int rc = bench_load(&b, want[i].name, &e);
        ok(rc == 0 && b.n == want[i].n && b.mbpp == want[i].mbpp &&
               !strcmp(b.task[0].task_id, want[i].first),
           "%s: %d tasks %s", want[i].name, b.n, e.msg);
        int all = rc == 0;
        for (int k = 0; k < b.n; k++)
            all = all && bench_find(&b, b.task[k].task_id) == &b.task[k];
        ok(all && !bench_find(&b, "none") && !bench_find(&b, ""), "%s: every task is found by id",
           want[i].name);
        if (!strcmp(want[i].name, "mbpp"))
            ok(bench_find(&b, "367") && bench_find(&b, "367")->fault &&
                   !bench_find(&b, "366")->fault,
               "mbpp: the broken item is marked");
        bench_free(&b);
    }
}

static int put(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    return f && fputs(text, f) >= 0 && fclose(f) == 0;
}

static void damaged(const char *dir)
{
    static const struct {
        const char *what, *text;
        int code;
    } bad[] = {
        {"no final newline", "{\"task_id\":1,\"text\":\"t\",\"test_list\":[\"assert 1\"]}",
         ERR_DATA},
        {"not JSON", "{\"task_id\":1,\n", ERR_DATA},
        {"no task_id", "{\"text\":\"t\",\"test_list\":[\"assert 1\"]}\n", ERR_DATA},
        {"no tests", "{\"task_id\":1,\"text\":\"t\",\"test_list\":[]}\n", ERR_DATA},
        {"tests that are numbers", "{\"task_id\":1,\"text\":\"t\",\"test_list\":[1]}\n", ERR_DATA},
        {"no prompt", "{\"task_id\":\"a\",\"entry_point\":\"f\",\"test\":\"x\"}\n", ERR_DATA},
        {"prompt that is a number",
         "{\"task_id\":\"a\",\"prompt\":1,\"entry_point\":\"f\",\"test\":\"x\"}\n", ERR_DATA},
        {"an id twice",
         "{\"task_id\":1,\"text\":\"t\",\"test_list\":[\"a\"]}\n{\"task_id\":1,\"text\":\"t\","
         "\"test_list\":[\"a\"]}\n",
         ERR_DATA},
        {"empty", "", ERR_DATA},
    };
    char path[4096];
    struct bench b;
    snprintf(path, sizeof path, "%s/b.jsonl", dir);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err e = {0};
        put(path, bad[i].text);
        int rc = bench_load(&b, path, &e);
        ok(rc == bad[i].code && strstr(e.msg, "b.jsonl"), "%s: %s", bad[i].what, e.msg);
    }
    unlink(path);
    struct err e = {0};
    ok(bench_load(&b, "no-such-bench", &e) == ERR_NOINPUT, "%s", e.msg);
    snprintf(path, sizeof path, "%s/b.yaml", dir);
    put(path, "name: x\ndata: basic\nformat: humaneval\nn_task: 7\n");
    e = (struct err){0};
    ok(bench_load(&b, path, &e) == ERR_DATA && strstr(e.msg, "expected 7"), "%s", e.msg);
    put(path, "name: x\ndata: basic\nformat: humaneval\ncolour: red\n");
    e = (struct err){0};
    ok(bench_load(&b, path, &e) == ERR_CONFIG && strstr(e.msg, "colour"), "%s", e.msg);
    put(path, "name: x\ndata: nothing-of-that-name\nformat: humaneval\n");
    e = (struct err){0};
    ok(bench_load(&b, path, &e) < 0, "%s", e.msg);
    unlink(path);
}

static void prompts(void)
{
    struct bench b;
    struct prompt p;
    struct err e = {0};
    if (bench_load(&b, "basic", &e) < 0 || prompt_load(&p, "standard", &e) < 0) {
        ok(0, "%s", e.msg);
        return;
    }
    char *s = prompt_text(&p, &b, &b.task[0], &e);
    ok(s && !strncmp(
                s,
                "Complete the following Python function. Return the whole function.\n\ndef f(n):\n",
                78),
       "standard, humaneval");
    ok(s && s[strlen(s) - 1] == '"', "no white space at the prompt's end");
    free(s);
    bench_free(&b);
    ok(bench_load(&b, "mbpp", &e) == 0, "mbpp");
    s = prompt_text(&p, &b, &b.task[0], &e);
    ok(s &&
           strstr(s, "string.\nYour code should pass these tests:\n\nassert "
                     "remove_Occ(\"hello\",\"l\") == \"heo\"\n") &&
           s[strlen(s) - 1] != '\n',
       "standard, mbpp");
    free(s);
    bench_free(&b);
    prompt_free(&p);
    e = (struct err){0};
    ok(prompt_load(&p, "no-such-strategy", &e) == ERR_NOINPUT, "%s", e.msg);
}

/* The function that a prompt ends in, whatever stands before it. */
static void heads(void)
{
    static const struct {
        enum bench_lang lang;
        const char *prompt, *name;
    } t[] = {
        {BENCH_CPP, "#include<vector>\nusing namespace std;\nbool f(vector<int> a){\n", "f"},
        {BENCH_CPP, "int help(int n){ return g(n); }\nstring f (string s)\n{", "f"},
        {BENCH_CPP, "/* f(1) is \"( */\n// g(2)\n#define M(x) \\\n h(x)\nint k(int a = m(1)) {",
         "k"},
        {BENCH_CPP,
         "struct U { U(int a) : x(a) {} bool operator==(int b) { return x == b; } int x; };\n"
         "std::map<int, std::string> f(U u) {\n",
         "f"},
        {BENCH_CPP, "std::vector<int> f(int n) noexcept(true) {\n", "f"},
        {BENCH_C, "static int a[] = {1, 2};\nchar *f(const char *s, int n[n])\n{\n", "f"},
        {BENCH_C, "int g(void);\nchar q = '(';\n\nlong f(long n)", "f"},
        {BENCH_C, "int x;\n", NULL},
        {BENCH_C, "", NULL},
        {BENCH_C, "/* f(", NULL},
        {BENCH_C, "\"f(", NULL},
        {BENCH_C, ")))]}} int f(", "f"},
        {BENCH_JAVASCRIPT, "/* const g = () => {\nconst h = 1\n*/\nconst f = (a) => {\n", "f"},
        {BENCH_JAVASCRIPT, "const help = (n) => {\n  const x = 1\n}\nfunction f$1(a){\n", "f$1"},
        {BENCH_JAVASCRIPT, "const {a, b} = require('x')\nasync function f(a){\n", "f"},
        {BENCH_JAVASCRIPT, "const f = function g(a) {\n", "f"},
        {BENCH_JAVASCRIPT, "//function g(a){\n`\nvar h`\nlet f = a => {", "f"},
        {BENCH_JAVASCRIPT, "constant(1)\n", NULL},
        {BENCH_JAVASCRIPT, "const", NULL}};
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        char *name = bench_head(t[i].lang, t[i].prompt);
        ok(name ? t[i].name && !strcmp(name, t[i].name) : !t[i].name, "head of %s %zu: %s",
           bench_lang_name(t[i].lang), i, name ? name : "none");
        free(name);
    }
}

int main(void)
{
    char dir[] = "/tmp/test_bench.XXXXXX";
    if (!mkdtemp(dir))
        return 1;
    shipped();
    damaged(dir);
    prompts();
    heads();
    rmdir(dir);
    return done_testing();
}
