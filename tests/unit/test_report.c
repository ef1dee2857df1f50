/* test_report - records joined by run, task and sample; texts mended, kept and cut */
#include "report.h"
#include "report_page.h"
#include "tap.h"
#include "verdict.h"
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/test_report.XXXXXX";

static const char *file(const char *name, const char *lines, size_t n)
{
    static char path[4][512];
    static int k;
    k = (k + 1) % 4;
    snprintf(path[k], sizeof path[k], "%s/%s", dir, name);
    FILE *f = fopen(path[k], "wb");
    fwrite(lines, 1, n ? n : strlen(lines), f);
    fclose(f);
    return path[k];
}

static void names(void)
{
    static const struct {
        const char *path, *bench, *run;
        int texts;
    } n[] = {{"runs/x/base-score.basic.jsonl", "basic", "base", 0},
             {"base-verdicts.jsonl.gz", "basic", "base", 0},
             {"base-basic.jsonl", "basic", "base", 0},
             {"base-code.basic.jsonl", "basic", "base-code", 0},
             {"base-code.basic.jsonl", "basic", "base", 1},
             {"a/base-samples.jsonl", "", "base", 1},
             {"prompts.basic.jsonl", "basic", "prompts", 1},
             {"-code.jsonl", "", "-code", 1}};
    for (size_t i = 0; i < sizeof n / sizeof *n; i++) {
        char *s = report_run_name(n[i].path, n[i].bench, n[i].texts);
        ok(s && strcmp(s, n[i].run) == 0, "%s is %s", n[i].path, s);
        free(s);
    }
}

static void joined(void)
{
    // clang-format off
    static const char verdicts[] =
        "{\"schema\":\"verdict/1\",\"task_id\":\"T/1\",\"sample\":1,\"bench\":\"b\",\"passed\":true,\"verdict\":\"pass\","
            "\"tests\":{\"run\":3,\"total\":4},\"cpu_ms\":2.5}\n"
        "{\"schema\":\"verdict/1\",\"task_id\":\"T/1\",\"sample\":0,\"bench\":\"b\",\"passed\":false,\"verdict\":\"memory\"}\n"
        "{\"schema\":\"verdict/1\",\"task_id\":7,\"sample\":0,\"bench\":\"b\",\"passed\":false,\"verdict\":\"crash\"}\n";
    static const char code[] = /* a lone surrogate, a pair, NUL, an escaped backslash before u0000 */
        "{\"schema\":\"code/1\",\"task_id\":\"T/1\",\"sample\":1,\"bench\":\"b\",\"code\":\"x\\ud800\\ud83d\\ude00\\u0000\\\\u0000y\"}\n"
        "{\"schema\":\"code/1\",\"task_id\":\"7\",\"bench\":\"b\",\"code\":\"\xff\"}\n"
        "{\"schema\":\"code/1\",\"task_id\":\"only code\",\"bench\":\"b\",\"code\":\"z\"}\n";
    // clang-format on
    struct report r;
    struct err e = {0};
    long cut;
    ok(report_init(&r, &e) == 0 &&
           report_read(&r, file("a-verdicts.b.jsonl", verdicts, 0), &e) == 0 &&
           report_read(&r, file("a-code.b.jsonl", code, 0), &e) == 0,
       "read: %s", e.msg);
    ok(r.n_run == 1 && r.n_bench == 1 && r.bench[0].n == 3 && r.tried[0] && r.scored[0],
       "one run, one benchmark, %d tasks", r.bench[0].n);
    const struct report_tries *t = &r.bench[0].task[0].run[0];
    ok(t->n == 2 && t->v[0].sample == 1 && t->v[0].run == 3 && t->v[0].total == 4 &&
           t->v[0].cpu_ms == 2.5 && isnan(t->v[1].cpu_ms) &&
           strcmp(r.kind[t->v[1].kind], "memory") == 0,
       "samples of a task");
    ok(strcmp(t->v[0].code.s, "x�😀␀\\u0000y") == 0, "mended: %s", t->v[0].code.s);
    ok(strcmp(r.bench[0].task[1].id, "7") == 0 &&
           strcmp(r.bench[0].task[1].run[0].v[0].code.s, "�") == 0 && r.file[1].mended == 2 &&
           r.file[1].n == 3,
       "a number as task_id; mended records are counted");
    ok(r.bench[0].task[2].run[0].v[0].kind == -1, "code without a verdict is not judged");
    ok(report_text_limit(&r, &cut) == REPORT_TEXT && cut == 0, "nothing is cut");
    report_free(&r);
}

/* Texts of 5 MB each: what is kept of one is bounded, and so is the page. */
static void big(void)
{
    struct report r;
    struct err e = {0};
    size_t n = 5 << 20, len = 0, page = 0;
    char *code = malloc(n + 1), *lines = NULL, *html = NULL;
    memset(code, 'x', n);
    code[n] = 0;
    FILE *f = open_memstream(&lines, &len);
    for (int i = 0; i < 400; i++)
        fprintf(f, "{\"schema\":\"code/1\",\"task_id\":\"%d\",\"bench\":\"b\",\"code\":\"%.*s\"}\n",
                i, i < 2 ? (int)n : 100000, code);
    fclose(f);
    long cut;
    int rc = report_init(&r, &e);
    rc = rc ? rc : report_read(&r, file("a-code.b.jsonl", lines, len), &e);
    ok(rc == 0 && r.bench[0].task[0].run[0].v[0].code.full == n &&
           r.bench[0].task[0].run[0].v[0].code.n == REPORT_TEXT,
       "5 MB: %zu bytes are kept", r.bench[0].task[0].run[0].v[0].code.n);
    size_t limit = report_text_limit(&r, &cut);
    ok(limit == 32 << 10 && cut == 400, "400 texts of 100 kB are cut to %zu", limit);
    f = open_memstream(&html, &page);
    rc = report_html(&r, "t", f, &e);
    fclose(f);
    ok(rc == 0 && page < REPORT_PAGE + (4 << 20) && strstr(html, "\"code+\":5210112"),
       "the page has %zu bytes", page);
    free(html);
    free(code);
    free(lines);
    report_free(&r);
}

/* Every kind of verdict has a letter and a colour of its group. */
static void kinds(void)
{
    struct report r;
    struct err e = {0};
    char *lines = NULL, *html = NULL;
    size_t len = 0, page = 0;
    FILE *f = open_memstream(&lines, &len);
    for (int i = 0; i < VERDICT_COUNT; i++)
        fprintf(f,
                "{\"schema\":\"verdict/"
                "1\",\"task_id\":\"%d\",\"bench\":\"b\",\"passed\":%s,\"verdict\":\"%s\"}\n",
                i, i == VERDICT_pass ? "true" : "false", verdict_name(i));
    fclose(f);
    f = open_memstream(&html, &page);
    int rc = report_init(&r, &e);
    rc = rc ? rc : report_read(&r, file("x.jsonl", lines, len), &e);
    rc = rc ? rc : report_html(&r, "t", f, &e);
    fclose(f);
    ok(rc == 0 && !strstr(html, "class=\"v-other\""), "%d kinds of verdict are known: %s",
       VERDICT_COUNT, e.msg);
    free(html);
    free(lines);
    report_free(&r);
}

static void refused(void)
{
    static const struct {
        const char *line, *says;
    } bad[] = {
        {"{\"schema\":\"code/1\",\"code\":1}\n", "\"code\": expected a string"},
        {"{\"schema\":\"sample/1\",\"text\":\"a\",\"sample\":0.5}\n", "expected a whole number"},
        {"{\"schema\":\"verdict/2\"}\n", "found verdict/2"},
        {"{\"schema\":\"code/1\",\"code\":\"a\"", "truncated"},
        {"[1]\n", "expected a JSON object"},
        {"\n", "empty line"},
        {"{\"a\":\xff}\n", "not JSON"},
        {"", "no records"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct report r;
        struct err e = {0};
        report_init(&r, &e);
        int rc = report_read(&r, file("x.jsonl", bad[i].line, 0), &e);
        ok(rc == ERR_DATA && strstr(e.msg, bad[i].says) && strstr(e.msg, "x.jsonl"), "%s", e.msg);
        report_free(&r);
    }
}

int main(void)
{
    if (!mkdtemp(dir))
        return 1;
    names();
    joined();
    big();
    kinds();
    refused();
    static const char *const made[] = {"a-verdicts.b.jsonl", "a-code.b.jsonl", "x.jsonl"};
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", dir, made[i]);
        unlink(path);
    }
    rmdir(dir);
    return done_testing();
}
