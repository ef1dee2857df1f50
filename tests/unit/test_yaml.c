/* test_yaml - the strict subset: what is read, and every refusal with its place */
#include "tap.h"
#include "yaml.h"
#include <string.h>
#include <unistd.h>

static char path[] = "/tmp/test_yaml.XXXXXX";
static struct err e;

static int load_n(struct yaml_doc *d, const char *text, size_t n)
{
    FILE *f = fopen(path, "wb");
    memset(&e, 0, sizeof e);
    if (!f || fwrite(text, 1, n, f) != n || fclose(f))
        return -1;
    return yaml_load(d, path, &e);
}

static int load(struct yaml_doc *d, const char *text)
{
    return load_n(d, text, strlen(text));
}

/* The text is refused with 78 at line:col, and the message says `part`. */
static int refused(const char *text, const char *place, const char *part)
{
    struct yaml_doc d;
    char head[64];
    int rc = load(&d, text);
    if (rc == 0)
        yaml_free(&d);
    snprintf(head, sizeof head, "%s:%s: ", path, place);
    int good = rc == ERR_CONFIG && strncmp(e.msg, head, strlen(head)) == 0 && strstr(e.msg, part);
    if (!good)
        printf("# %d '%s', expected %s ... %s\n", rc, e.msg, head, part);
    return good && !d.root && !d.path;
}

static void reading(void)
{
    struct yaml_doc d;
    static const char *const keys[] = {"schema", "stages", "note", "none", NULL};
    ok(load(&d,
            "# a recipe\nschema: recipe/1\nstages:\n  base:\n    in:\n      - a\n      - 'b: c'\n"
            "    lr: 2.0e-4\n    n: 1e3\nnote: \"x\\ty\"  # tab by escape\nnone:\n") == 0,
       "a document: %s", e.msg);
    ok(d.root->kind == YAML_K_MAP && yaml_only(&d, d.root, keys, &e) == 0, "known keys");
    ok(strcmp(yaml_str(&d, d.root, "note", "", &e), "x\ty") == 0, "a quoted text");
    ok(strcmp(yaml_str(&d, d.root, "none", "?", &e), "") == 0, "an empty value is an empty text");
    ok(strcmp(yaml_str(&d, d.root, "absent", "?", &e), "?") == 0, "the default");
    const struct yaml *base = yaml_get(yaml_get(d.root, "stages"), "base"),
                      *in = yaml_get(base, "in");
    ok(base && base->key_line == 4 && base->key_col == 3, "where a key is");
    ok(in && in->kind == YAML_K_LIST && in->child->line == 6 && in->child->col == 9 &&
           strcmp(in->child->next->text, "b: c") == 0 && !in->child->next->next,
       "a list");
    ok(yaml_num(&d, base, "lr", 0, &e) == 2e-4 && yaml_int(&d, base, "n", 0, &e) == 1000,
       "numbers");
    ok(yaml_int(&d, base, "absent", 7, &e) == 7 && !e.code, "default of a number");
    yaml_int(&d, base, "lr", 0, &e);
    ok(e.code == ERR_CONFIG && strstr(e.msg, ":8:9: lr: expected a whole number, found '2.0e-4'"),
       "not whole: %s", e.msg);
    memset(&e, 0, sizeof e);
    yaml_num(&d, d.root, "schema", 0, &e);
    ok(e.code == ERR_CONFIG && strstr(e.msg, ":2:9: schema: expected a number"), "no number: %s",
       e.msg);
    memset(&e, 0, sizeof e);
    yaml_str(&d, base, "in", "", &e);
    ok(e.code == ERR_CONFIG && strstr(e.msg, ":6:7: in: expected a text, found a list"), "%s",
       e.msg);
    memset(&e, 0, sizeof e);
    static const char *const fewer[] = {"schema", "stage", "note", "none", NULL};
    ok(yaml_only(&d, d.root, fewer, &e) == ERR_CONFIG &&
           strstr(e.msg, ":3:1: unknown key 'stages', did you mean 'stage'?"),
       "unknown key: %s", e.msg);
    memset(&e, 0, sizeof e);
    ok(yaml_only(&d, in, keys, &e) == ERR_CONFIG && strstr(e.msg, "in: expected a map"), "%s",
       e.msg);
    yaml_free(&d);
    for (const char *const *s =
             (const char *const[]){"nan", "inf", "0x10", " 1", "1 2", "", "-", NULL};
         *s; s++) {
        char text[32];
        snprintf(text, sizeof text, "x: \"%s\"\n", *s);
        ok(load(&d, text) == 0 && (yaml_num(&d, d.root, "x", 0, &e), e.code == ERR_CONFIG),
           "'%s' is no number", *s);
        yaml_free(&d);
    }
    ok(load(&d, "---\nno: no\n") == 0 && strcmp(yaml_str(&d, d.root, "no", "", &e), "no") == 0,
       "one --- is fine, 'no' is a text");
    yaml_free(&d);
    ok(load(&d, "caf\xc3\xa9: 1\r\nb: 2\r\n") == 0 && yaml_int(&d, d.root, "b", 0, &e) == 2,
       "CR LF, UTF-8");
    yaml_free(&d);
}

static void refusals(void)
{
    ok(refused("a: 1\n\tb: 2\n", "2:1", "tab"), "tab in the indentation");
    ok(refused("a: 1 \t# x\n", "1:6", "tab"), "tab before a comment");
    ok(refused("\xc3\xa9:\t1\n", "1:3", "tab"), "columns count characters");
    ok(refused("a: 1\nb: 2\na: 3\n", "3:1", "duplicate key 'a', first in line 1"), "duplicate key");
    ok(refused("a: &x 1\n", "1:4", "anchors"), "anchor");
    ok(refused("a: &x\n  b: 1\n", "1:4", "anchors"), "anchor of a map");
    ok(refused("a: *x\n", "1:4", "aliases"), "alias");
    ok(refused("a: !!str 1\n", "1:4", "tags"), "tag");
    ok(refused("a: !x\n  - 1\n", "1:4", "tags"), "tag of a list");
    ok(refused("a: [1, 2]\n", "1:4", "flow style"), "flow list");
    ok(refused("a: {b: 1}\n", "1:4", "flow style"), "flow map");
    ok(refused("[a]: 1\n", "1:1", "flow style"), "flow as key");
    ok(refused("? - a\n: 1\n", "1:3", "a key must be a plain word"), "list as key");
    ok(refused("a: |\n  text\n", "1:4", "block text"), "literal text");
    ok(refused("a: >\n  text\n", "1:4", "block text"), "folded text");
    ok(refused("a: 1\n---\nb: 2\n", "2:1", "second document"), "second document");
    ok(refused("%YAML 1.1\n---\na: 1\n", "1:1", "directives"), "directive");
    ok(refused("a: 1\n  b: 2\n", "2:4", "mapping values are not allowed"), "bad indentation");
    ok(refused("a: \"x\n", "2:1", "unexpected end"), "open quote");
    ok(refused("\"\": 1\n", "1:1", "an empty key"), "empty key");
    ok(refused("a: \"x\\0y\"\n", "1:4", "zero byte"), "zero byte by escape");
    ok(refused("a: \xff\n", "1:4", "UTF-8"), "invalid UTF-8");
    ok(refused("a: \x01\n", "1:4", "control characters"), "control character");
    ok(refused("", "1:1", "expected a map or a list, found nothing"), "empty file");
    ok(refused("# only this\n", "1:1", "found nothing"), "comment only");
    ok(refused("word\n", "1:1", "found a text"), "a single text");
    struct yaml_doc d;
    ok(load_n(&d, "a: 1\n\0b: 2\n", 11) == ERR_CONFIG, "zero byte: %s", e.msg);
    memset(&e, 0, sizeof e);
    ok(yaml_load(&d, "/nonexistent/x.yaml", &e) == ERR_NOINPUT, "no file: %s", e.msg);
}

static void hostile(void)
{
    struct yaml_doc d;
    size_t n = 2 << 20;
    char *s = malloc(n);
    memset(s, 'a', n);
    ok(load_n(&d, s, n) == ERR_CONFIG && strstr(e.msg, "larger than"), "too large: %s", e.msg);
    n = 1 << 20;
    for (size_t i = 0; i + 1 < n; i += 2)
        memcpy(s + i, "- ", 2);
    ok(load_n(&d, s, n) == ERR_CONFIG && strstr(e.msg, ":1:33: nested deeper"), "deep: %s", e.msg);
    memset(s, '[', n);
    ok(load_n(&d, s, n) == ERR_CONFIG, "deep flow: %s", e.msg);
    for (size_t i = 0; i + 1 < n; i += 2)
        memcpy(s + i, "? ", 2);
    ok(load_n(&d, s, n) == ERR_CONFIG, "deep keys: %s", e.msg);
    for (size_t i = 0; i + 1 < n; i += 4)
        memcpy(s + i, "- a\n", 4);
    ok(load_n(&d, s, n) == ERR_CONFIG && strstr(e.msg, "more than 20000 values"), "many: %s",
       e.msg);
    size_t len = 0;
    for (int i = 0; len + 16 < n; i++)
        len += (size_t)snprintf(s + len, 16, "k%d:\n", i);
    ok(load_n(&d, s, len) == ERR_CONFIG && strstr(e.msg, "more than"), "many keys: %s", e.msg);
    /* every prefix, and every byte changed, of a small document: no crash (ASan watches) */
    static const char doc[] = "a: 1\nb:\n  - 'x'\n  - \"y\\n\"\nc:\n  d: e # f\n";
    int bad = 0;
    for (size_t i = 0; i < sizeof doc - 1; i++)
        for (int c = -1; c < 256; c += c < 0 ? 1 : 7) {
            memcpy(s, doc, sizeof doc);
            if (c >= 0)
                s[i] = (char)c;
            int rc = load_n(&d, s, c < 0 ? i : sizeof doc - 1);
            bad += rc > 0 || (rc < 0) != (e.msg[0] != 0);
            if (rc == 0)
                yaml_free(&d);
        }
    ok(bad == 0, "%zu damaged documents", (sizeof doc - 1) * 38);
    free(s);
}

static void nearness(void)
{
    static const char *const words[] = {"rank", "alpha", "learning-rate", "warmup", "lr", NULL};
    const char *n = yaml_near("rnak", words);
    ok(!n || strcmp(n, "rank") == 0, "two letters swapped in a short word");
    n = yaml_near("ranks", words);
    ok(n && strcmp(n, "rank") == 0, "a letter too many");
    n = yaml_near("warmpu", words);
    ok(n && strcmp(n, "warmup") == 0, "swapped");
    n = yaml_near("learning", words);
    ok(n && strcmp(n, "learning-rate") == 0, "half a word");
    ok(!yaml_near("temperature", words), "nothing near");
}

int main(void)
{
    int fd = mkstemp(path);
    if (fd >= 0)
        close(fd);
    reading();
    refusals();
    hostile();
    nearness();
    unlink(path);
    return done_testing();
}
