/* test_rank - groups of equal behaviour, ties, errors; log-probability, length, number; labels */
#include "rank.h"
#include "tap.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = 8 };
static struct rank_sample s[N];
static char reason[RANK_REASON];

/* Samples 0.. with these outputs ("a b" = two; NULL = none were run). */
static int set(const char *const *outputs)
{
    struct err e = {0};
    int n = 0;
    for (; outputs[n]; n++) {
        s[n] = (struct rank_sample){.sample = n, .code = "x", .logprob = NAN};
        s[n].outputs = json_parse(outputs[n], strlen(outputs[n]), "t", &e);
    }
    return n;
}

/* The sample that wins by majority, with mean log-probabilities or NULL. */
static long wins(const char *const *outputs, const double *logprob)
{
    struct err e = {0};
    int n = set(outputs), best;
    for (int i = 0; logprob && i < n; i++)
        s[i].logprob = logprob[i];
    best = rank_choose(RANK_MAJORITY, s, n, reason, &e);
    for (int i = 0; i < n; i++)
        cJSON_Delete((cJSON *)(uintptr_t)s[i].outputs);
    return best < 0 ? -1 : s[best].sample;
}
#define LIST(...)    ((const char *const[]){__VA_ARGS__, NULL})
#define NUMBERS(...) ((const double[]){__VA_ARGS__})

static void majority(void)
{
    ok(wins(LIST("[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]"), NULL) == 1 &&
           !strcmp(reason, "2 of 3 behave alike"),
       "the larger group: %s", reason);
    ok(wins(LIST("[\"a\",\"b\"]", "[\"a\",\"c\"]", "[\"d\",\"b\"]"), NULL) == 0,
       "equal on all inputs, not on some; a tie goes to the lowest number");
    ok(wins(LIST("[\"a\"]", "[\"b\"]", "[\"b\"]", "[\"a\"]"), NUMBERS(-3, -2, -1, -2)) == 2,
       "a tie of groups goes to the likeliest sample");
    ok(wins(LIST("[\"a\"]", "[\"b\"]", "[\"b\"]"), NUMBERS(-0.1, -2, -1)) == 2,
       "size before likelihood; the likeliest of the group");
    ok(wins(LIST("[\"a\"]", "[\"a\"]", "[\"a\"]"), NUMBERS(NAN, -2, NAN)) == 1,
       "an unknown likelihood is below all");
    ok(wins(LIST("[\"!E\",\"!E\"]", "[\"!E\",\"!E\"]", "[\"!E\",\"a\"]"), NULL) == 2,
       "a group of errors does not beat a sample that works");
    ok(wins(LIST("[\"!E\",\"a\"]", "[\"!F\",\"a\"]", "[\"!F\",\"a\"]"), NULL) == 1,
       "the kind of an error is behaviour");
    ok(wins(LIST("[\"!E\"]", "[\"!F\"]", "[\"!F\"]"), NULL) == 1 &&
           !strcmp(reason, "none returns anything"),
       "errors alone: %s", reason);
    ok(wins(LIST("[]", "[]"), NULL) == 0, "no inputs");
    ok(wins(LIST("[]", "[\"a\",\"b\"]", "[\"a\"]"), NULL) == 1, "nothing ran, some ran");
    ok(wins(LIST("[\"a\"]"), NULL) == 0, "one sample");
    struct rank_sample none[2] = {{.sample = 4, .code = "", .logprob = NAN},
                                  {.sample = 2, .code = "", .logprob = NAN}};
    struct err e = {0};
    ok(rank_choose(RANK_MAJORITY, none, 2, reason, &e) == 1, "no behaviour known: lowest number");
}

static void others(void)
{
    struct err e = {0};
    struct rank_sample v[] = {{3, "pass", -1.5, 4, NULL},
                              {0, "  \n", -0.1, 1, NULL},
                              {1, "def f(): pass", -0.5, 9, NULL},
                              {2, "else", -0.5, 7, NULL}};
    ok(rank_choose(RANK_LOGPROB, v, 4, reason, &e) == 2 &&
           !strcmp(reason, "mean -0.500000 over 9 tokens"),
       "logprob: the likeliest with code, the lowest number of a tie: %s", reason);
    ok(rank_choose(RANK_SHORTEST, v, 4, reason, &e) == 3 && !strcmp(reason, "4 bytes"),
       "shortest: with code, the lowest number: %s", reason);
    ok(rank_choose(RANK_FIRST, v, 4, reason, &e) == 1, "first is the plain sample 0");
    ok(rank_choose(RANK_SHORTEST, v + 1, 1, reason, &e) == 0, "without code if there is no other");
}

static void labels(void)
{
    struct err e = {0};
    char buf[40];
    cJSON *v = json_parse("{\"rank\":{\"label\":\"best of 4 by x\"}}", 35, "t", &e);
    ok(rank_label(buf, sizeof buf, NULL, "2 rounds") == 0 && !strcmp(buf, "2 rounds"), "a label");
    ok(rank_label(buf, sizeof buf, v, "2 rounds") == 0 &&
           !strcmp(buf, "best of 4 by x, then 2 rounds"),
       "a second one: %s", buf);
    ok(rank_label(buf, 20, v, "2 rounds") < 0, "no room");
    cJSON_Delete(v);
}

int main(void)
{
    majority();
    others();
    labels();
    return done_testing();
}
