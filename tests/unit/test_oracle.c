/* test_oracle - the union of runs, unique wins, classes, agreement, dominant failures */
#include "oracle.h"
#include "tap.h"
#include <math.h>
#include <string.h>

static struct err e;

/* A run of tasks T/0 ..., one letter a sample: pass, wrong answer, exception, harness error, flaky
 * pass; "pw x" are two tasks. */
static struct score_book run(const char *text)
{
    struct score_book s = {NULL, 0};
    int task = 0;
    for (; *text; text++) {
        char id[32];
        if (*text == ' ') {
            task++;
            continue;
        }
        snprintf(id, sizeof id, "T/%d", task);
        score_add(&s, "b", id, -1,
                  *text == 'w'   ? VERDICT_wrong_answer
                  : *text == 'x' ? VERDICT_exception
                  : *text == 'h' ? VERDICT_harness_error
                                 : VERDICT_pass,
                  *text == 'f', &e);
    }
    return s;
}

static int join(struct oracle *o, struct score_book *book, int n, int partial)
{
    static const char *const name[] = {"A", "B", "C"};
    const struct score_set *set[3];
    memset(&e, 0, sizeof e);
    for (int i = 0; i < n; i++)
        set[i] = &book[i].set[0];
    return oracle_join(o, set, name, n, partial, 0.95, &e);
}

static void test_single(void)
{
    /* T/0 always, 1 only A, 2 only C, 3 two of three, 4 and 5 never */
    struct score_book s[] = {run("p p w p w x"), run("p w w p x x"), run("p w f x x w")};
    struct oracle o;
    struct json_out j = {0};
    char metric[64];
    ok(join(&o, s, 3, 0) == 0 && o.n == 6 && o.solved == 4 && o.always == 1, "classes");
    oracle_metric(&o, metric, sizeof metric);
    ok(strcmp(metric, "pass@3") == 0, "three runs are pass@3");
    ok(o.unique[0] == 1 && o.unique[1] == 0 && o.unique[2] == 1 && o.task[2].last == 2,
       "unique wins");
    ok(fabs(o.agree[0] - 5 / 6.0) < 1e-15 && fabs(o.agree[1] - 3 / 6.0) < 1e-15 &&
           fabs(o.kappa[0] - 2 / 3.0) < 1e-12,
       "agreement of A and B %.3f (kappa %.3f), of A and C %.3f", o.agree[0], o.kappa[0],
       o.agree[1]);
    ok(o.task[0].dominant == -1 && o.task[4].dominant == VERDICT_exception &&
           o.task[5].dominant == VERDICT_exception && o.task[2].dominant == VERDICT_wrong_answer,
       "dominant failures");
    ok(o.task[2].flaky && !o.task[1].flaky, "flaky");
    oracle_json(&j, &o, 1);
    char *text = json_take(&j, NULL);
    ok(text && strstr(text, "\"metric\":\"pass@3\"") && !strstr(text, "pass@1"),
       "no pass@1 beside it");
    free(text);
    oracle_free(&o);
    for (int i = 0; i < 3; i++)
        score_free(&s[i]);
}

static void test_many(void)
{
    /* two and more samples: solved twice is solved */
    struct score_book s[] = {run("pp pw ww ww"), run("pp ww pp xx")};
    struct oracle o;
    char metric[64];
    ok(join(&o, s, 2, 0) == 0 && o.solved == 3 && o.always == 1 && o.attempts[1] == 4,
       "two passes of a run count as solved");
    oracle_metric(&o, metric, sizeof metric);
    ok(strcmp(metric, "pass@4") == 0, "two runs of two samples are pass@4");
    ok(o.task[3].dominant == VERDICT_wrong_answer, "a tie goes to the kind that is first");
    ok(fabs(o.agree[0] - (1 + 0.5 + 0 + 1) / 4) < 1e-15, "agreement of drawn samples: %.3f",
       o.agree[0]);
    oracle_free(&o);
    score_free(&s[1]);
    s[1] = run("pp h pp xx p");
    ok(join(&o, s, 2, 0) == ERR_DATA && strstr(e.msg, "T/4"), "%s", e.msg);
    oracle_free(&o);
    ok(join(&o, s, 2, 1) == 0 && o.n == 3 && o.n_harness == 1 && o.n_lone == 1,
       "harness errors and lone tasks are left out");
    oracle_free(&o);
    score_free(&s[1]);
    s[1] = run("p w p p");
    ok(join(&o, s, 2, 0) == 0 && (oracle_metric(&o, metric, sizeof metric), 1) &&
           strcmp(metric, "pass@3") == 0,
       "two and one: %s", metric);
    oracle_free(&o);
    score_free(&s[1]);
    s[1] = run("p w pp p");
    ok(join(&o, s, 2, 0) == 0 && (oracle_metric(&o, metric, sizeof metric), 1) &&
           strcmp(metric, "pass@3..4") == 0,
       "unequal: %s", metric);
    oracle_free(&o);
    score_free(&s[0]);
    score_free(&s[1]);
    struct score_book t[] = {run("p p"), run("p p")};
    ok(join(&o, t, 2, 0) == 0 && o.agree[0] == 1 && isnan(o.kappa[0]), "no spread: no kappa");
    oracle_free(&o);
    score_free(&t[0]);
    score_free(&t[1]);
}

static void test_choice(void)
{
    struct score_book s[] = {run("p w"), run("w p"), run("h h")};
    struct oracle o;
    char metric[128], *text;
    struct json_out j = {0};
    score_choice(&s[0], "b", "best of 8 by majority", 1, &e);
    ok(join(&o, s, 2, 0) == 0 && (oracle_metric(&o, metric, sizeof metric), 1) &&
           strcmp(metric, "pass@2, chosen answers in 1 of 2 runs") == 0,
       "one run's answers were chosen: %s", metric);
    oracle_json(&j, &o, 0);
    text = json_take(&j, NULL);
    ok(text && strstr(text, "{\"run\":\"A\",\"choice\":\"best of 8 by majority\",") &&
           strstr(text, "{\"run\":\"B\",\"unique\":"),
       "and the record says which");
    free(text);
    oracle_free(&o);
    score_choice(&s[1], "b", "best of 8 by majority", 1, &e);
    ok(join(&o, s, 2, 0) == 0 && (oracle_metric(&o, metric, sizeof metric), 1) &&
           strcmp(metric, "pass@2, best of 8 by majority") == 0,
       "both, in one way: %s", metric);
    oracle_free(&o);
    ok(join(&o, s, 3, 0) == ERR_DATA &&
           strstr(e.msg, "no task left: 2 in every run, with nothing but harness errors in one"),
       "%s", e.msg);
    oracle_free(&o);
    for (int i = 0; i < 3; i++)
        score_free(&s[i]);
}

int main(void)
{
    test_choice();
    test_single();
    test_many();
    return done_testing();
}
