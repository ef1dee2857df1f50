/* test_json - strict reading, exact writing, JSONL line numbers */
#include "json.h"
#include "tap.h"
#include <string.h>
#include <unistd.h>

static int parses(const char *s)
{
    struct err e = {0};
    cJSON *v = json_parse(s, strlen(s), "t:1", &e);
    cJSON_Delete(v);
    return v != NULL;
}

/* Of n members inside a list the last is called as number k: refused, and taken without that. */
static int far_duplicate(int n, int k)
{
    char *s = malloc((size_t)n * 20 + 40), *w = s;
    w += sprintf(w, "[{\"a\":1}, {");
    for (int i = 0; i < n; i++)
        w += sprintf(w, "\"m%x\":0,", i * 7919 % n);
    sprintf(w, "\"m%x\":0}]", k);
    int bad = parses(s);
    sprintf(w, "\"n\":0}]");
    int good = parses(s);
    free(s);
    return !bad && good;
}

int main(void)
{
    struct err e = {0};
    struct json_out j = {0};
    struct jsonl *r = calloc(1, sizeof *r);
    char path[] = "/tmp/test_json.XXXXXX";
    ok(parses("{\"a\":[1,2]}"), "an object");
    ok(!parses("{\"a\":1,\"a\":2}"), "duplicate key refused");
    ok(far_duplicate(30, 20) && far_duplicate(5000, 20) && far_duplicate(20000, 2),
       "duplicate key refused, however many are between");
    ok(!parses("{\"a\":1} x"), "text after the value refused");
    ok(!parses("{\"a\":\"\xff\"}"), "invalid UTF-8 refused");
    ok(!parses("{\"a\":"), "truncated");
    ok(utf8_valid("\xf0\x9f\x99\x82", 4) && !utf8_valid("\xed\xa0\x80", 3) &&
           !utf8_valid("\xc0\x80", 2),
       "UTF-8: no surrogates, no overlong forms");
    json_begin(&j, '{');
    json_kv_num(&j, "x", 0.1);
    json_kv_str(&j, "s", "a\"\\\n\x01\xff");
    json_end(&j, '}');
    ok(strcmp(j.buf, "{\"x\":0.1,\"s\":\"a\\\"\\\\\\n\\u0001\xEF\xBF\xBD\"}") == 0,
       "writer escapes: %s", j.buf);
    free(json_take(&j, NULL));
    int fd = mkstemp(path);
    const char *text = "{\"schema\":\"sample/1\"}\n{\"x\":1}\n{\"y\":2}";
    ok(write(fd, text, strlen(text)) == (ssize_t)strlen(text), "write");
    close(fd);
    ok(jsonl_open(r, path, &e) == 0, "open");
    ok(jsonl_next(r, &e) == 1 && jsonl_schema(r, "sample/1", 0, &e) == 0,
       "first record, its schema");
    ok(jsonl_next(r, &e) == 1 && r->lineno == 2, "second record");
    ok(jsonl_next(r, &e) == ERR_DATA && strstr(e.msg, ":3: truncated"), "torn last line: %s",
       e.msg);
    jsonl_close(r);
    free(r);
    unlink(path);
    return done_testing();
}
