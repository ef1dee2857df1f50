/* test_card - the front matter of a card keeps to the Hub's model card specification */
#include "card.h"
#include "tap.h"
#include "yaml.h"
#include <string.h>
#include <unistd.h>

static char dir[] = "/tmp/test_card.XXXXXX";

static void path_of(char path[512], const char *name)
{
    snprintf(path, 512, "%s/%s", dir, name);
}

static void put(const char *name, const char *s, size_t n)
{
    char path[512];
    path_of(path, name);
    FILE *f = fopen(path, "wb");
    fwrite(s, 1, n, f);
    fclose(f);
}

static const char *scalar(const struct yaml *m, const char *key)
{
    const struct yaml *v = m ? yaml_get(m, key) : NULL;
    return v && v->kind == YAML_K_SCALAR ? v->text : NULL;
}

/* hub-docs modelcard.md: name; task.type; dataset.type and .name; metrics[].type and .value */
static void check_index(const struct yaml *index, const char *name)
{
    const struct yaml *model = index ? index->child : NULL;
    const struct yaml *results = model ? yaml_get(model, "results") : NULL;
    int n = 0;
    ok(model && !model->next && scalar(model, "name") && strcmp(scalar(model, "name"), name) == 0,
       "one model, named %s", model ? scalar(model, "name") : "");
    for (const struct yaml *r = results ? results->child : NULL; r; r = r->next, n++) {
        const struct yaml *task = yaml_get(r, "task"), *set = yaml_get(r, "dataset"),
                          *metrics = yaml_get(r, "metrics");
        ok(scalar(task, "type") && scalar(set, "type") && scalar(set, "name"),
           "result %d: %s on %s", n, scalar(task, "type"), scalar(set, "type"));
        ok(metrics && metrics->kind == YAML_K_LIST && metrics->child, "result %d has metrics", n);
        for (const struct yaml *m = metrics ? metrics->child : NULL; m; m = m->next)
            ok(scalar(m, "type") && scalar(m, "value") && strtod(scalar(m, "value"), NULL) > 0,
               "%s = %s", scalar(m, "type"), scalar(m, "value"));
    }
    ok(n == 2, "two benchmarks: a result each");
}

static void card(const char *name, const char *tag)
{
    char path[512], *text = NULL;
    size_t n = 0;
    struct err e = {0};
    struct card c;
    struct yaml_doc d;
    const char *in[] = {dir}, *tags[] = {tag};
    struct card_ask ask = {
        .path = in, .n_path = 1, .name = name, .tag = tags, .n_tag = 1, .license = "Apache-2.0"};
    FILE *f = open_memstream(&text, &n);
    int rc = card_read(&c, &ask, &e);
    rc = rc ? rc : card_write(&c, f, &e);
    fclose(f);
    ok(rc == 0 && strncmp(text, "---\n", 4) == 0, "written: %s", e.msg);
    char *end = strstr(text, "\n---\n");
    put("front.yaml", text + 4, end ? (size_t)(end + 1 - text - 4) : 0);
    path_of(path, "front.yaml");
    rc = yaml_load(&d, path, &e);
    ok(rc == 0, "the front matter is YAML: %s", e.msg);
    if (rc == 0) {
        const struct yaml *list = yaml_get(d.root, "tags");
        ok(strcmp(scalar(d.root, "license"), "apache-2.0") == 0, "license");
        ok(list && list->child && strcmp(list->child->text, "code") == 0 && list->child->next &&
               strcmp(list->child->next->text, tag) == 0,
           "tags: %s", tag);
        check_index(yaml_get(d.root, "model-index"), name);
        yaml_free(&d);
    }
    unlink(path);
    free(text);
    card_free(&c);
}

int main(void)
{
    // clang-format off
    static const char scores[] =
        "{\"schema\":\"score/1\",\"bench\":\"humaneval\",\"metric\":\"pass@1\",\"value\":0.5,\"passed\":82,\"n_task\":164,\"n_sample\":164,\"wilson\":[0.4,0.6]}\n"
        "{\"schema\":\"score/1\",\"bench\":\"humaneval\",\"metric\":\"pass@10\",\"value\":0.75,\"passed\":82,\"n_task\":164,\"n_sample\":1640,\"bootstrap\":[0.4,0.6]}\n"
        "{\"schema\":\"score/1\",\"bench\":\"my: \\\"own\\\"\",\"metric\":\"pass@1\",\"value\":0.25,\"passed\":1,\"n_task\":4,\"n_sample\":4,\"wilson\":[0.1,0.6]}\n";
    // clang-format on
    char path[512];
    if (!mkdtemp(dir))
        return 1;
    put("a-score.jsonl", scores, sizeof scores - 1);
    card("plain-name", "tag");
    card("yes", "null");
    card("1.5", "- x");
    card("a: b # c", "\"quoted\" \\ back");
    card("'\xc3\xa9\xe4\xbd\xa0 @x", "*anchor");
    path_of(path, "a-score.jsonl");
    unlink(path);
    rmdir(dir);
    return done_testing();
}
