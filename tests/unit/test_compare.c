/* test_compare - pairing of tasks, McNemar or sign flips, Holm over all comparisons */
#include "compare.h"
#include "tap.h"
#include <math.h>
#include <string.h>

static struct err e;

/* A run of n tasks T/0 ..; task i has `samples` samples, of which pass[i] - '0' pass. */
static struct score_book run(const char *pass, int samples)
{
    struct score_book s = {NULL, 0};
    for (int i = 0; pass[i]; i++) {
        char id[32];
        snprintf(id, sizeof id, "T/%d", i);
        for (int k = 0; k < samples; k++)
            score_add(&s, "b", id, k,
                      pass[i] == 'h'      ? VERDICT_harness_error
                      : k < pass[i] - '0' ? VERDICT_pass
                                          : VERDICT_exception,
                      0, &e);
    }
    return s;
}

static void test_single(void)
{
    struct score_book a = run("111110000011111", 1), b = run("111111111100000", 1);
    struct comparison c;
    ok(compare_pair(&c, &a.set[0], &b.set[0], 0, &e) == 0 &&
           compare_test(&c, 0.95, 1000, 0, &e) == 0 && c.single && c.n == 15,
       "15 pairs");
    ok(c.only_a == 5 && c.only_b == 5 && c.difference == 0 && c.p == 1 && c.pass_a == 10 &&
           c.boot[0] < 0 && c.boot[1] > 0,
       "five each way: p = 1");
    compare_free(&c);
    score_free(&a);
    score_free(&b);
    a = run("h11110", 1);
    b = run("1h0011", 1);
    ok(compare_pair(&c, &a.set[0], &b.set[0], 0, &e) == 0 && c.n == 4 && c.n_harness == 2 &&
           compare_test(&c, 0.95, 1000, 0, &e) == 0 && c.difference == -0.25 && c.only_a == 2,
       "harness errors leave their tasks out");
    compare_free(&c);
    score_free(&b);
    b = run("1h00111", 1);
    ok(compare_pair(&c, &a.set[0], &b.set[0], 0, &e) == ERR_DATA && strstr(e.msg, "T/6"), "%s",
       e.msg);
    compare_free(&c);
    memset(&e, 0, sizeof e);
    ok(compare_pair(&c, &a.set[0], &b.set[0], 1, &e) == 0 && c.n_lone == 1 && c.n == 4,
       "unless partial");
    compare_free(&c);
    score_free(&a);
    score_free(&b);
}

static void test_harness(void)
{
    struct score_book a = run("hh1", 1), b = run("11h", 1);
    struct comparison c;
    memset(&e, 0, sizeof e);
    ok(compare_pair(&c, &a.set[0], &b.set[0], 0, &e) == ERR_DATA &&
           strstr(e.msg, "no task left: 3 in both files, with nothing but harness errors"),
       "%s", e.msg);
    compare_free(&c);
    memset(&e, 0, sizeof e);
    score_free(&a);
    score_free(&b);
}

/* What two runs say of the difference that would show. */
static int says(const char *pass_a, const char *pass_b, int samples, const char *line)
{
    struct score_book a = run(pass_a, samples), b = run(pass_b, samples);
    struct comparison c;
    char *text = NULL;
    size_t n;
    FILE *f = open_memstream(&text, &n);
    compare_pair(&c, &a.set[0], &b.set[0], 0, &e);
    compare_test(&c, 0.95, 1000, 0, &e);
    compare_text(f, &c, 1);
    fclose(f);
    int found = strstr(text, line) != NULL;
    free(text);
    compare_free(&c);
    score_free(&a);
    score_free(&b);
    return found && e.code == 0;
}

static void test_detectable(void)
{
    ok(says("111110000011111", "111111111111111", 1, "  detectable   47.6 points at 80 % power\n"),
       "five of 15 differ, one way: more than these would show");
    ok(says("111111111111111", "111111111111111", 1, "  detectable   47.6 points at 80 % power\n"),
       "none differs: the same");
    ok(says("11111", "00000", 1, "  detectable   nothing: too few tasks\n"), "five tasks");
    ok(says("22", "22", 2, "  detectable   unknown: all tasks differ alike\n"),
       "no spread, from which more samples are judged");
}

static void test_many(void)
{
    struct score_book a = run("55555000", 5), b = run("33333000", 5);
    struct comparison c;
    ok(compare_pair(&c, &a.set[0], &b.set[0], 0, &e) == 0 &&
           compare_test(&c, 0.95, 1000, 0, &e) == 0 && !c.single && c.only_a == 5 &&
           fabs(c.difference + 0.25) < 1e-15,
       "five samples a task: rates");
    ok(c.p == 2.0 / 32 && isnan(c.mid_p), "five differences of one sign: p = 2 / 2^5, exactly");
    ok(fabs(c.detectable - 2.801585218 * sqrt(0.3 / 7 / 8)) < 1e-9, "detectable: %.3f",
       c.detectable);
    compare_free(&c);
    score_free(&a);
    score_free(&b);
}

int main(void)
{
    struct comparison c[3] = {{.p = 0.01}, {.p = 0.04}, {.p = 0.03}};
    test_single();
    test_harness();
    test_detectable();
    test_many();
    ok(compare_holm(c, 3, &e) == 0 && fabs(c[0].holm_p - 0.03) < 1e-15 &&
           fabs(c[1].holm_p - 0.06) < 1e-15 && fabs(c[2].holm_p - 0.06) < 1e-15 && c[1].p == 0.04,
       "Holm, the raw p kept");
    return done_testing();
}
