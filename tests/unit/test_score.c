/* test_score - gathering verdicts, files of other evaluators, ceilings, gates */
#include "bench.h"
#include "score.h"
#include "tap.h"
#include <math.h>
#include <string.h>
#include <unistd.h>

#define RESULTS TOP "/tests/vectors/results/"
static char path[64] = "/tmp/test_score.XXXXXX";

/* A book of the text, in a file. */
static int read_text(struct score_book *s, const char *text, struct err *e)
{
    FILE *f = fopen(path, "wb");
    *s = (struct score_book){NULL, 0};
    memset(e, 0, sizeof *e);
    fwrite(text, 1, strlen(text), f);
    fclose(f);
    return score_read(s, path, "unnamed", e);
}

static void refused(const char *text, const char *message)
{
    struct score_book s;
    struct err e;
    int rc = read_text(&s, text, &e);
    ok(rc == ERR_DATA && strncmp(e.msg, path, strlen(path)) == 0 && strstr(e.msg, message),
       "refused: %s", e.msg + (rc ? strlen(path) : 0));
    score_free(&s);
}

static double value(const struct score_set *s, long k)
{
    struct score r;
    struct err e = {0};
    return score_eval(s, k, 0.95, 200, 0, &r, &e) < 0 ? NAN : r.value;
}

static void test_adding(void)
{
    struct score_book s = {NULL, 0};
    struct err e = {0};
    int rc = 0;
    for (long i = 0; i < 1000000 && !rc;
         i++) /* one task: 10^12 steps if each looked at all before */
        rc = score_add(&s, "b", "t", (i * 7919) % 1000000, i % 2 ? VERDICT_pass : VERDICT_crash, 0,
                       &e);
    ok(rc == 0 && s.set[0].task[0].n == 1000000 && s.set[0].task[0].c == 500000,
       "a million samples of one task, in no order");
    ok(score_add(&s, "b", "t", 31337, VERDICT_pass, 0, &e) == ERR_DATA && strstr(e.msg, "31337"),
       "a second verdict: %s", e.msg);
    score_free(&s);

    memset(&e, 0, sizeof e);
    for (int i = 0; i < 300; i++) {
        char id[32];
        snprintf(id, sizeof id, "T/%d", i % 100);
        score_add(&s, i % 2 ? "odd" : "even", id, -1,
                  i < 100 ? VERDICT_harness_error : VERDICT_pass, i == 7, &e);
    }
    ok(s.n_set == 2 && s.set[0].n_task == 50 && s.set[0].n_sample == 100 &&
           s.set[0].n_harness == 50,
       "benchmarks apart, harness errors apart");
    ok(score_find(score_set(&s, "odd"), "T/7")->flaky && !score_find(&s.set[0], "T/7") &&
           !score_set(&s, "none"),
       "found by name");
    ok(value(&s.set[0], 2) == 1 && isnan(value(&s.set[0], 3)), "k counts judged samples");
    score_free(&s);

    long n[SCORE_KINDS] = {0};
    int order[SCORE_KINDS];
    n[VERDICT_crash] = 5;
    n[VERDICT_exception] = 5;
    n[SCORE_FAIL] = 9;
    ok(score_kinds(n, order) == 3 && order[0] == SCORE_FAIL && order[1] == VERDICT_exception &&
           order[2] == VERDICT_crash,
       "kinds by number, then as verdict.h has them");
    for (int k = 0; k < SCORE_KINDS; k++)
        rc |= score_kind_parse(score_kind(k)) != k;
    ok(rc == 0 && score_kind_parse("bogus") == -1, "names of kinds");
}

static void test_exact(void)
{
    struct score_book s = {NULL, 0};
    struct err e = {0};
    score_add_count(&s, "b", "a", 3, 1, &e);
    score_add_count(&s, "b", "b", 3, 2, &e);
    score_add_count(&s, "b", "c", 7, 3, &e);
    score_add_count(&s, "b", "d", 7, 4, &e);
    ok(value(&s.set[0], 1) == 0.5, "(1/3 + 2/3 + 3/7 + 4/7) / 4 is 0.5");
    ok(score_add_count(&s, "b", "a", 1, 1, &e) == ERR_DATA, "a second count: %s", e.msg);
    memset(&e, 0, sizeof e);
    ok(score_add(&s, "b", "a", 9, VERDICT_pass, 0, &e) == ERR_DATA, "a sample after a count: %s",
       e.msg);
    memset(&e, 0, sizeof e);
    for (int i = 0; i < 40; i++) { /* denominators without an end: 41 primes and more */
        char id[32];
        snprintf(id, sizeof id, "p%d", i);
        score_add_count(&s, "primes", id, 1009 + 2 * i, 500, &e);
    }
    score_add_count(&s, "large", "a", 999983, 499979, &e); /* primes whose product is beyond 2^53 */
    score_add_count(&s, "large", "b", 999979, 499989, &e);
    score_add_count(&s, "large", "c", 999961, 499980, &e);
    ok(fabs(value(score_set(&s, "large"), 1) - 0.5) < 1e-4, "and with few tasks");
    double want = 0;
    for (int i = 0; i < 40; i++)
        want += 500.0 / (1009 + 2 * i) / 40;
    ok(fabs(value(score_set(&s, "primes"), 1) - want) < 1e-15, "too large for one fraction: %.17g",
       want);
    score_free(&s);
}

static void check_file(const char *name, int set, const char *bench, double p1, int n_task,
                       long n_sample)
{
    struct score_book s = {NULL, 0};
    struct err e = {0};
    char file[512];
    snprintf(file, sizeof file, RESULTS "%s", name);
    int rc = score_read(&s, file, "unnamed", &e);
    ok(rc == 0 && s.n_set > set && strcmp(s.set[set].bench, bench) == 0 &&
           value(&s.set[set], 1) == p1 && s.set[set].n_task == n_task &&
           s.set[set].n_sample == n_sample,
       "%s: %s, pass@1 %g %s", name, bench, p1, e.msg);
    score_free(&s);
}

static void test_files(void)
{
    struct score_book s = {NULL, 0};
    struct err e = {0};
    check_file("human-eval_results.jsonl", 0, "unnamed", 0.5, 1, 6);
    check_file("evalplus_eval_results.json", 0, "humaneval", 4.0 / 6, 3, 6);
    check_file("evalplus_eval_results.json", 1, "humanevalplus", 0.5, 3, 6);
    check_file("evalplus-0.2.0_eval_results.json", 0, "mbpp", 0.75, 2, 4);
    check_file("evalplus-0.2.0_eval_results.json", 1, "mbppplus", 0.5, 2, 4);
    check_file("leaderboard-standard.json", 0, "humaneval", 0.5, 4, 12);
    check_file("leaderboard-few-shot.json", 0, "humaneval", 5.0 / 12, 4, 12);
    ok(score_read(&s, RESULTS "evalplus_eval_results.json", "x", &e) == 0 &&
           s.set[0].kind[SCORE_TIMEOUT] == 1 && s.set[1].kind[SCORE_FAIL] == 2,
       "statuses become verdicts; the extra tests take over a failure of the base tests");
    score_free(&s);
    ok(score_read(&s, RESULTS "human-eval_results.jsonl", "x", &e) == 0 &&
           s.set[0].kind[SCORE_TIMEOUT] == 1 && s.set[0].kind[SCORE_FAIL] == 2,
       "human-eval's results too");
    score_free(&s);
    ok(score_read(&s, RESULTS "leaderboard-few-shot.json", "x", &e) == 0 && s.set[0].n_error == 1 &&
           score_find(&s.set[0], "HumanEval/3")->c == 2,
       "apr-leaderboard: two passes of three are two, and errors are counted");
    score_free(&s);
    ok(read_text(
           &s,
           "{\"eval\": {\"HumanEval/0\": [{\"base_status\": \"pass\", \"plus_status\": null}]}}",
           &e) == 0 &&
           s.n_set == 1,
       "EvalPlus with --base-only: one benchmark");
    score_free(&s);
    ok(score_read(&s, "/dev/null", "x", &e) == ERR_DATA, "%s", e.msg);
}

#define V(rest) "{\"schema\":\"verdict/1\",\"task_id\":\"a\"," rest "}\n"
static void test_refusals(void)
{
    refused("nonsense\n", ":1: not JSON");
    refused(V("\"passed\":true,\"verdict\":\"pass\"") "{\"schema\":", ":2: truncated");
    refused(V("\"passed\":true,\"verdict\":\"crash\""),
            ":1: passed is true but the verdict is crash");
    refused(V("\"passed\":false,\"verdict\":\"pass\""),
            ":1: passed is false but the verdict is pass");
    refused(V("\"passed\":false,\"verdict\":\"bogus\""), ":1: \"verdict\": expected one of");
    refused(V("\"passed\":1"), ":1: \"passed\"");
    refused(V("\"passed\":false,\"sample\":-1"), ":1: \"sample\"");
    refused(V("\"passed\":false,\"sample\":1.5"), ":1: \"sample\"");
    refused(V("\"passed\":false,\"sample\":4") V("\"passed\":true,\"sample\":4"),
            ":2: a, sample 4: a second verdict");
    refused("{\"task_id\":\"a\\nb\",\"passed\":true}\n", ":1: task_id: control character");
    refused("{\"task_id\":[],\"passed\":true}\n", ":1: \"task_id\"");
    refused("{\"task_id\":\"a\",\"result\":\"passed\",\"passed\":false}\n",
            ":1: passed is false but the result is passed");
    refused("[1]\n", ":1: expected a JSON object");
    refused("{\"eval\": {\"HumanEval/0\": [{\"base_sta", "not JSON: error at byte");
    refused("{\"eval\": {}}", "eval: no tasks");
    refused("{\"eval\": {\"HumanEval/0\": [{\"base_status\": \"passed\", \"plus_status\": null}]}}",
            "eval, HumanEval/0: status: expected pass, fail or timeout, found passed");
    refused(
        "{\"eval\": {\"A/0\": [{\"base_status\": \"pass\", \"plus_status\": \"pass\"}], \"A/1\": "
        "[{\"base_status\": \"pass\", \"plus_status\": null}]}}",
        "eval, A/1: plus_status: absent in some samples only");
    refused("{\"eval\": {\"A/0\": {\"nfiles\": 2, \"base\": [[\"success\", []]], \"plus\": []}}}",
            "eval, A/0: 2 files, but 1 results in base");
    refused("{\"eval\": {\"A/0\": {\"base\": [[\"success\", []]], \"plus\": [[\"failed\", []]]}, "
            "\"A/1\": {\"base\": [[\"success\", []]], \"plus\": []}}}",
            "eval, A/1: 1 files, but 1 results in base and 0 in plus");
    refused("{\"task_id\":1.5,\"passed\":true}\n", ":1: \"task_id\": expected a whole number");
    refused("{\"eval\": {\"A/0\": 3}}", "eval, A/0: expected an array of samples");
    refused("{\"benchmark\": \"humaneval\", \"results\": {\"total\": 164, \"passed\": 97}}",
            "no \"problems\"");
    refused("{\"benchmark\": \"b\", \"results\": {}, \"problems\": [{\"task_id\": \"a\", \"n\": 2, "
            "\"passed\": 3}]}",
            "problems[0]: a: 3 passed of 2 samples");
    refused("{\"benchmark\": \"b\", \"results\": {}, \"problems\": [{\"task_id\": \"a\", \"n\": 1, "
            "\"passed\": 1}, {\"task_id\": \"a\", \"n\": 1, \"passed\": 1}]}",
            "problems[1]: a: a second result");
    refused("{\"benchmark\": \"b\", \"results\": {\"total\": 2, \"passed\": 1}, \"problems\": "
            "[{\"task_id\": \"a\", \"n\": 1, \"passed\": 1}]}",
            "results say 1 of 2 tasks passed, problems 1 of 1");
    refused("{\"benchmark\": \"b\", \"results\": {\"errors\": 1}, \"problems\": "
            "[{\"task_id\": \"a\", \"n\": 1, \"passed\": 1}]}",
            "results say 1 errors among 0 tasks that failed");
    refused("{\"benchmark\": 7, \"problems\": [1]}", "\"benchmark\": expected a string");
    refused("{\"benchmark\": \"b\", \"problems\": [1]}", "problems[0]: expected task_id");
}

/* What Python's json writes for texts that no UTF-8 can hold: no matter in a completion. */
static void test_mended(void)
{
    static const char *const texts[] = {
        "{\"task_id\":\"A/"
        "0\",\"completion\":\"x='\\ud83d'\",\"result\":\"passed\",\"passed\":true}\n",
        "{\"task_id\":\"A/0\",\"completion\":\"x\\u0000\",\"result\":\"passed\",\"passed\":true}\n",
        "{\"eval\": {\"A/0\": [{\"solution\": \"\\ud83d\", \"base_status\": \"pass\"}]}}",
        "{\"eval\": {\"A/0\": [{\"solution\": \"\\u0000\", \"base_status\": \"pass\"}]}}",
        "{\"schema\":\"verdict/1\",\"task_id\":\"A/0\",\"passed\":true,\"detail\":\"\\udc00\"}\n"};
    struct score_book s;
    struct err e;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        int rc = read_text(&s, texts[i], &e);
        ok(rc == 0 && s.n_set == 1 && s.set[0].task[0].c == 1, "read: %s%s", texts[i],
           rc ? e.msg : "");
        score_free(&s);
    }
    refused(
        "{\"task_id\":\"a\\ud800\",\"passed\":true}\n{\"task_id\":\"a\\ud801\",\"passed\":true}\n",
        ":1: task_id or bench: NUL or a lone surrogate");
    refused("{\"task_id\":\"a\",\"bench\":\"b\\u0000\",\"passed\":true}\n",
            ":1: task_id or bench: NUL");
    refused(
        "{\"eval\": {\"a\\u0000\": [{\"base_status\": \"pass\"}], \"a\\udc00\": [{\"base_status\": "
        "\"pass\"}]}}",
        "duplicate key");
}

/* A string that ends beyond the first 65536 bytes, which end the allocation too: nothing behind them
 * is looked at (the address sanitizer tells), with a backslash as the last byte too. */
static void test_long_string(void)
{
    static char text[70200];
    for (int k = 0; k < 2; k++) {
        struct score_book s;
        struct err e;
        int n = sprintf(text, "{\"completion\":\"");
        memset(text + n, 'A', 70000);
        if (k)
            memcpy(text + 65535, "\\\\", 2);
        sprintf(text + n + 70000, "\",\"task_id\":\"A/0\",\"passed\":true}\n");
        ok(read_text(&s, text, &e) == 0 && s.set[0].task[0].c == 1, "70,000 characters first %s",
           e.msg);
        score_free(&s);
    }
}

/* As refused(), of names that are printed as they are; other readers make them visible. */
static void not_plain(const char *text, const char *message)
{
    struct score_book s;
    struct err e;
    int lax = read_text(&s, text, &e), strict;
    score_free(&s);
    memset(&e, 0, sizeof e);
    strict = score_read_known(&s, path, NULL, 0, &e);
    ok(lax == 0 && strict == ERR_DATA && strncmp(e.msg, path, strlen(path)) == 0 &&
           strstr(e.msg, message),
       "not printed: %s", e.msg + (strict ? strlen(path) : 0));
    score_free(&s);
}

static void test_names(void)
{
    not_plain("{\"task_id\":\"a\",\"bench\":\"b\\u202e\\u009b2J\",\"passed\":true}\n",
              ":1: bench: a character that is not seen: b\xE2\x9F\xA8"
              "202E\xE2\x9F\xA9\xE2\x9F\xA8"
              "009B\xE2\x9F\xA9"
              "2J");
    not_plain("{\"task_id\":\"a\\u200f\",\"passed\":true}\n",
              ":1: task_id: a character that is not seen");
    not_plain("{\"eval\": {\"a\\u200f/0\": [{\"base_status\": \"pass\"}]}}", "eval, a");
    not_plain(V("\"passed\":true,\"rank\":{\"label\":\"\\u2066\"}"),
              ":1: rank: a character that is not");
    refused(V("\"passed\":true,\"rank\":{\"label\":\"x\\ty\"}"), ":1: rank: control character 9");
    struct score_book s;
    struct err e;
    read_text(&s, "{\"task_id\":\"T\\u00e4sk \\u4efb\\u52a1 \\ud83d\\ude00\",\"passed\":true}\n",
              &e);
    score_free(&s);
    ok(score_read_known(&s, path, NULL, 0, &e) == 0, "letters of all the world are names: %s",
       s.n_set ? s.set[0].task[0].id : e.msg);
    score_free(&s);
}

static void test_outcome(void)
{
    static const struct {
        const char *json, *error; /* the error, or NULL: pass is told */
    } cases[] = {
        {"{\"passed\":true,\"verdict\":null,\"result\":null}", NULL},
        {"{\"passed\":true,\"verdict\":\"pass\"}", NULL},
        {"{\"passed\":true,\"result\":\"passed\"}", NULL},
        {"{\"passed\":true,\"verdict\":\"harness_error\"}", "the verdict is harness_error"},
        {"{\"passed\":true,\"result\":\"timed out\"}", "the result is timed out"},
        {"{\"passed\":true,\"verdict\":\"won\"}", "found won"},
        {"{\"passed\":true,\"verdict\":1}", "found no string"},
        {"{\"verdict\":\"pass\"}", "\"passed\": expected true or false"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e = {0};
        cJSON *v = cJSON_Parse(cases[i].json);
        int kind =
            score_outcome(cJSON_GetObjectItem(v, "passed"), cJSON_GetObjectItem(v, "verdict"),
                          cJSON_GetObjectItem(v, "result"), &e);
        ok(cases[i].error ? kind == -1 && e.code == ERR_DATA && strstr(e.msg, cases[i].error)
                          : kind == VERDICT_pass && e.code == 0,
           "%s: %s", cases[i].json, e.msg);
        cJSON_Delete(v);
    }
}

static void test_known(void)
{
    struct bench_task tasks[] = {{.task_id = "HumanEval/0"},
                                 {.task_id = "HumanEval/1"},
                                 {.task_id = "HumanEval/2", .fault = "cannot be"}};
    int order[] = {0, 1, 2};
    struct bench b[] = {{.name = "other"}, /* has no tasks */
                        {.name = "humaneval", .task = tasks, .n = 3, .order = order, .ceiling = 2}};
    struct score_book s, t = {NULL, 0};
    struct err e;
    read_text(&s, "{\"task_id\":\"HumanEval/1\",\"passed\":true}\n", &e);
    score_free(&s);
    ok(score_read_known(&s, path, b, 2, &e) == 0 && strcmp(s.set[0].bench, "humaneval") == 0,
       "a record without a benchmark belongs to the one that has its task");
    score_free(&s);
    ok(score_read_known(&s, path, b, 1, &e) == ERR_DATA &&
           strstr(e.msg, ":1: benchmark other has no task HumanEval/1"),
       "unknown task: %s", e.msg + strlen(path));
    score_free(&s);
    memset(&e, 0, sizeof e);
    ok(score_read_known(&s, RESULTS "evalplus_eval_results.json", &b[1], 1, &e) == 0 &&
           s.n_set == 1,
       "of EvalPlus's two benchmarks the one that was named");
    struct score_limit l;
    ok(score_limit_bench(&l, &s.set[0], &b[1], &e) == 0 && l.ceiling == 2 && l.n == 3 &&
           l.n_skip == 1 && l.skip[2] && l.n_odd == 1,
       "ceiling and faults of the benchmark");
    score_limit_free(&l);
    ok(score_read_known(&t, RESULTS "evalplus_eval_results.json", &b[0], 1, &e) == ERR_DATA &&
           strstr(e.msg,
                  "eval, HumanEval/0: expected verdicts of benchmark other, found humaneval"),
       "none was named");
    score_free(&t);
    memset(&e, 0, sizeof e);
    score_add(&t, "humaneval", "HumanEval/0", 0, VERDICT_pass, 0, &e);
    score_add(&t, "humaneval", "HumanEval/1", 0, VERDICT_crash, 0, &e);
    ok(score_limit_canon(&l, &s.set[0], &t.set[0], &e) == ERR_DATA && strstr(e.msg, "HumanEval/2"),
       "%s", e.msg);
    memset(&e, 0, sizeof e);
    score_add(&t, "humaneval", "HumanEval/2", 0, VERDICT_pass, 0, &e);
    ok(score_limit_canon(&l, &s.set[0], &t.set[0], &e) == 0 && l.ceiling == 2 && l.n == 3 &&
           l.skip[1] && l.n_skip == 1 && l.n_odd == 0,
       "ceiling measured by reference solutions");
    struct score r;
    ok(score_eval_but(&s.set[0], l.skip, 1, 0.95, 100, 0, &r, &e) == 0 && r.n_task == 2 &&
           r.value == 1,
       "the score without what they do not pass");
    score_limit_free(&l);
    score_free(&s);
    score_free(&t);
}

static void test_page(void)
{
    ok(score_page_tasks("humaneval") == 164 && score_page_tasks("none") == 0 &&
           score_page_tasks("") == 0 && score_page_tasks("../bench/humaneval") == 0,
       "tasks of a benchmark by its page, which a name cannot lead away from");
}

static void test_gates(void)
{
    static const char *const bad[] = {
        "",           "pass@1",      "pass@0>=0.5",  "pass@1>=1.5",
        "pass@1>=x",  "pass@1<=0.5", "pass@1>=0.5 ", "pass@1=0.5",
        "pass@-1>=0", "pass@1>=nan", "pass1>=0.5",   "b:c:pass@1>=0.5"};
    struct score_gate g;
    struct err e = {0};
    struct score_set s = {.bench = "b"};
    struct score r = {.k = 10, .value = 0.9, .clustered = {0.8, 0.95}};
    int refusals = 0;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        memset(&e, 0, sizeof e);
        refusals += score_gate_parse(&g, bad[i], &e) == ERR_USAGE;
    }
    ok(refusals == (int)(sizeof bad / sizeof *bad), "%d texts that are no gate", refusals);
    memset(&e, 0, sizeof e);
    ok(score_gate_parse(&g, "pass@10>=0.8", &e) == 0 && g.k == 10 &&
           score_gate_applies(&g, &s, &r) && score_gate_met(&g, &r),
       "the bound is the wanted value: met by >=");
    ok(score_gate_parse(&g, "b:pass@10>0.8", &e) == 0 && score_gate_applies(&g, &s, &r) &&
           !score_gate_met(&g, &r),
       "not by >, whatever the value");
    ok(score_gate_parse(&g, "a:pass@10>0.8", &e) == 0 && !score_gate_applies(&g, &s, &r) &&
           score_gate_parse(&g, "pass@1>0.8", &e) == 0 && !score_gate_applies(&g, &s, &r),
       "another benchmark's, another k's");
}

int main(void)
{
    close(mkstemp(path));
    test_adding();
    test_exact();
    test_files();
    test_refusals();
    test_mended();
    test_long_string();
    test_names();
    test_outcome();
    test_known();
    test_page();
    test_gates();
    unlink(path);
    return done_testing();
}
