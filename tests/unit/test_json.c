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

int main(void)
{
    struct err e = {0};
    struct json_out j = {0};
    struct jsonl *r = calloc(1, sizeof *r);
    char path[] = "/tmp/test_json.XXXXXX";
    ok(parses("{\"a\":[1,2]}"), "an object");
    ok(!parses("{\"a\":1,\"a\":2}"), "duplicate key refused");
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
