/* test_speed - sums, percentiles and formats of measurements; what a test measures adds up */
#include "import.h"
#include "json.h"
#include "speed.h"
#include "tap.h"
#include <math.h>
#include <string.h>
#include <unistd.h>

static void test_sums(void)
{
    const double v[] = {4, 1, 3, 2}, one[] = {7};
    double hundred[100];
    struct speed_sum s = speed_sum(v, 4);
    ok(s.median == 2.5 && s.mean == 2.5 && s.min == 1 && s.max == 4 &&
           fabs(s.sd - 1.2909944487) < 1e-9,
       "of four: median %g, deviation %g", s.median, s.sd);
    s = speed_sum(v, 3);
    ok(s.median == 3, "of three: the middle");
    s = speed_sum(one, 1);
    ok(s.median == 7 && s.sd == 0, "of one");
    ok(isnan(speed_sum(v, 0).median), "of none");
    for (int i = 0; i < 100; i++)
        hundred[i] = i + 1;
    ok(speed_percentile(hundred, 100, 50) == 50 && speed_percentile(hundred, 100, 99) == 99 &&
           speed_percentile(hundred, 100, 100) == 100 && speed_percentile(hundred, 100, 0) == 1,
       "percentiles by nearest rank");
    ok(speed_percentile(one, 1, 50) == 7 && speed_percentile(hundred, 5, 90) == 5, "of few");
}

static void test_lists(void)
{
    static const char *const bad[] = {
        "",    "x",  "1,",  ",1", "1,,2",    "1 2", "0,1",
        "1,0", "-1", "1.5", "+3", "1000001", "1x",  "99999999999999999999"};
    int v[4];
    struct err e = {0};
    ok(speed_list("512", "p", v, 4, &e) == 1 && v[0] == 512, "one number");
    ok(speed_list("1,8,32", "p", v, 4, &e) == 3 && v[2] == 32, "three");
    ok(speed_list("0", "p", v, 4, &e) == 0, "none");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err b = {0};
        ok(speed_list(bad[i], "--prompt", v, 4, &b) == ERR_USAGE && strstr(b.msg, "--prompt"),
           "\"%s\": %s", bad[i], b.msg);
    }
    ok(speed_list("1,2,3,4,5", "p", v, 4, &e) == ERR_USAGE, "too many: %s", e.msg);
}

static void test_formats(void)
{
    struct speed s = {0};
    struct speed_head h = {.model = "a \"b\", c",
                           .device = "cpu:x",
                           .file = 3 << 20,
                           .kv_type = "f16",
                           .precision = "bf16",
                           .threads = 2,
                           .reps = 3};
    struct speed_row *r = speed_add(&s, "tg4", "tok/s", 3);
    struct err e = {0};
    size_t n;
    for (int i = 0; i < 3; i++)
        r->value[i] = 100 * (i + 1);
    r->step = malloc(4 * sizeof *r->step);
    r->n_step = 4;
    for (int i = 0; i < 4; i++)
        r->step[i] = 0.001 * (i + 1);
    r->peak = 5 << 20;
    r->kv = 4096;
    speed_add(&s, "load", "s", 1)->value[0] = 0.25;
    char *t = speed_text(&s, &h, SPEED_TABLE, &n);
    ok(t && n == strlen(t) &&
           strcmp(t, "a \"b\", c: 3 MiB, cpu:x, 2 threads, KV f16, 3 repetitions\n\n"
                     "test  median  unit       +-  p50 ms  p90 ms  p99 ms  max ms  MiB\n"
                     "tg4    200.0  tok/s  50.0 %    2.00    4.00    4.00    4.00    5\n"
                     "load  0.2500  s       0.0 %                                     \n") == 0,
       "table");
    free(t);
    t = speed_text(&s, &h, SPEED_MD, &n);
    ok(t && strstr(t,
                   "\n| test | median | unit  |     +- | p50 ms | p90 ms | p99 ms | max ms | MiB |"
                   "\n|---|--:|---|--:|--:|--:|--:|--:|--:|"
                   "\n| tg4  |  200.0 | tok/s | 50.0 % |   2.00 |"),
       "Markdown");
    free(t);
    t = speed_text(&s, &h, SPEED_CSV, &n);
    char *second = t ? strchr(t, '\n') : NULL;
    ok(second &&
           strcmp(
               second + 1,
               "\"a \"\"b\"\", c\",3145728,cpu:x,2,f16,tg4,tok/s,3,200,200,100,100,300,"
               "2.0000,4.0000,4.0000,4.0000,4096,5242880\n"
               "\"a \"\"b\"\", c\",3145728,cpu:x,2,f16,load,s,1,0.25,0.25,0,0.25,0.25,,,,,0,0\n") ==
               0,
       "CSV");
    free(t);
    t = speed_text(&s, &h, SPEED_JSON, &n);
    cJSON *j = t ? json_parse(t, n - 1, "speed", &e) : NULL;
    const cJSON *tests = cJSON_GetObjectItem(j, "tests"), *tg = cJSON_GetArrayItem(tests, 0),
                *load = cJSON_GetArrayItem(tests, 1);
    ok(j && t[n - 1] == '\n' && strcmp(json_get_str(j, "schema", "", &e), "speed/1") == 0 &&
           cJSON_GetArraySize(tests) == 2 && json_get_num(tg, "median", 0, &e) == 200 &&
           json_get_num(cJSON_GetObjectItem(tg, "step_ms"), "p90", 0, &e) == 4 &&
           cJSON_GetArraySize(cJSON_GetObjectItem(tg, "values")) == 3 &&
           !cJSON_GetObjectItem(load, "step_ms") && !cJSON_GetObjectItem(load, "peak_bytes"),
       "JSON");
    cJSON_Delete(j);
    free(t);
    speed_free(&s);
}

static int close_to(double a, double b)
{
    return fabs(a - b) <= 1e-9 * fabs(b);
}

/* On the slow reference device, whose asserts look at every row of a batch. */
static void test_run(const char *path)
{
    static const struct speed_test bad = {1, 100000, 1, 0}, many = {1025, 1, 1, 1};
    struct speed_conf c = {.reps = 2, .warmup = 1, .chunk = 7, .kv_type = KN_F16};
    struct speed s = {0};
    struct kn_dev *d;
    struct model m;
    struct err e = {0};
    kn_open(&d, "ref:q", 1);
    if (model_load(&m, path, d, KN_W_INFER, 0, &e) < 0) {
        ok(0, "%s", e.msg);
        return;
    }
    const struct speed_test t[] = {
        {1, 10, 0, 0}, {1, 0, 5, 0}, {1, 9, 4, 0}, {3, 10, 3, 1}, {9, 5, 2, 1}};
    int rc = 0;
    for (size_t i = 0; i < sizeof t / sizeof *t && rc == 0; i++)
        rc = speed_run(&s, &m, &c, &t[i], &e);
    static const char *const names[] = {"pp10",  "tg5",   "pp9+tg4", "pp10x3",
                                        "tg3x3", "pp5x9", "tg2x9"};
    int good = rc == 0 && s.n == 7;
    for (int i = 0; i < s.n; i++)
        good &= strcmp(s.row[i].name, names[i]) == 0 && s.row[i].n == 2 && s.row[i].value[0] > 0 &&
                s.row[i].value[1] > 0 && s.row[i].kv > 0;
    ok(good, "prompts cut anywhere, steps, both, batches larger than a chunk: 7 rows %s", e.msg);
    double total = 0;
    for (int k = 0; good && k < s.row[1].n_step; k++)
        total += s.row[1].step[k];
    ok(good && s.row[1].n_step == 10 && s.row[4].n_step == 6 && !s.row[0].step &&
           close_to(5 / s.row[1].value[0] + 5 / s.row[1].value[1], total),
       "the steps' times are the whole time");
    int sorted = 1;
    for (int k = 1; good && k < s.row[2].n_step; k++)
        sorted &= s.row[2].step[k - 1] <= s.row[2].step[k];
    ok(good && sorted && s.row[2].n_step == 8, "in ascending order");
    ok(speed_run(&s, &m, &c, &bad, &e) == ERR_USAGE, "longer than the context: %s", e.msg);
    e.code = 0;
    ok(speed_run(&s, &m, &c, &many, &e) == ERR_USAGE, "%s", e.msg);
    model_free(&m);
    kn_close(d);
    speed_free(&s);
}

static void test_start(const char *path)
{
    struct speed_conf c = {.reps = 2, .warmup = 0, .kv_type = KN_F16};
    struct speed s = {0};
    struct err e = {0};
    ok(speed_start(&s, path, "ref:q", 1, KN_W_INFER, &c, &e) == 0 && s.n == 2 &&
           s.row[0].value[1] > 0 && s.row[1].value[1] >= s.row[0].value[1] &&
           s.row[1].peak > 1 << 20,
       "load, then the first token, in processes of their own %s", e.msg);
    ok(speed_start(&s, "/none", "ref:q", 1, KN_W_INFER, &c, &e) == ERR_NOINPUT &&
           strstr(e.msg, "/none"),
       "%s", e.msg);
    e.code = 0;
    ok(speed_start(&s, path, "abacus", 1, KN_W_INFER, &c, &e) == ERR_UNAVAILABLE &&
           strstr(e.msg, "abacus"),
       "%s", e.msg);
    speed_free(&s);
}

static void test_training(const char *path)
{
    static const char *const names[] = {"lora_forward", "loss", "optimizer", "train_step"};
    struct speed_conf c = {.reps = 2, .warmup = 0};
    struct speed s = {0};
    struct kn_dev *d;
    struct model m;
    struct err e = {0};
    kn_open(&d, "cpu", 1);
    if (model_load(&m, path, d, KN_W_TRAIN, 0, &e) < 0) {
        ok(0, "%s", e.msg);
        return;
    }
    int good = speed_train(&s, &m, &c, "all", 24, &e) == 0 && s.n == 4;
    for (int i = 0; i < s.n; i++)
        good &= strcmp(s.row[i].name, names[i]) == 0 && s.row[i].value[1] > 0;
    ok(good && s.row[3].value[1] > s.row[2].value[1],
       "four pieces of training; a step holds an optimizer's %s", e.msg);
    ok(speed_train(&s, &m, &c, "loss", 24, &e) == 0 && s.n == 5, "or one");
    ok(speed_train(&s, &m, &c, "all", 1 << 20, &e) == ERR_USAGE, "%s", e.msg);
    model_free(&m);
    kn_close(d);
    speed_free(&s);
}

int main(void)
{
    char path[] = "/tmp/test_speed.XXXXXX";
    struct import_done done;
    struct err e = {0};
    int fd = mkstemp(path);
    close(fd);
    test_sums();
    test_lists();
    test_formats();
    ok(import_gguf(TOP "/tests/vectors/tiny.gguf", path, NULL, &done, &e) == 0, "a model %s",
       e.msg);
    test_start(path); /* before there are threads */
    test_run(path);
    test_training(path);
    unlink(path);
    return done_testing();
}
