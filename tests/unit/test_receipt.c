/* test_receipt - sidecars found, compared and followed; damage and circles */
#include "hash.h"
#include "receipt.h"
#include "tap.h"
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/test_receipt.XXXXXX";

static void put(const char *name, const char *text)
{
    FILE *f = fopen(name, "wb");
    fputs(text, f);
    fclose(f);
}

/* NAME.meta.json; inputs: JSON */
static void side(const char *name, const char *sha256, const char *tool, const char *inputs)
{
    char path[256], text[4096];
    snprintf(path, sizeof path, "%s.meta.json", name);
    snprintf(text, sizeof text,
             "{\"schema\":\"meta/"
             "1\",\"sha256\":\"%s\",\"bytes\":4,\"tool\":\"%s\",\"version\":\"1\",\"inputs\":%s,"
             "\"seconds\":1.5,\"host\":\"h\",\"end\":\"2026\"}",
             sha256, tool, inputs);
    put(path, text);
}

static const struct receipt *find(const struct receipts *r, const char *path)
{
    for (int i = 0; i < r->n; i++)
        if (strcmp(r->v[i].path, path) == 0)
            return &r->v[i];
    return NULL;
}

int main(void)
{
    struct receipts r = {0};
    struct err e = {0};
    char hex[65], inputs[600];
    const char *path, *sha256;
    if (!mkdtemp(dir) || chdir(dir))
        return 1;
    put("a", "aaaa");
    hash_sha256_mem("aaaa", 4, hex);
    snprintf(inputs, sizeof inputs,
             "[{\"path\":\"b\",\"sha256\":\"%064d\"},{\"path\":\"f/file\",\"sha256\":\"%064d\"},7]",
             1, 2);
    side("a", hex, "made-a", inputs);
    side("b", "another", "made-b",
         "[{\"path\":\"a\",\"sha256\":\"\"},{\"path\":\"gone\",\"sha256\":\"x\"}]");
    mkdir("f", 0777);
    snprintf(inputs, sizeof inputs, "%064d", 2);
    side("f", inputs, "made-f", "[]");
    put("damaged", "x");
    put("damaged.meta.json", "{\"schema\":\"meta/2\"}");
    ok(receipts_add(&r, "a", &e) == 0 && receipts_add(&r, "damaged", &e) == 0 && r.n == 2,
       "added %s", e.msg);
    ok(r.v[0].state == RECEIPT_OK && strcmp(r.v[0].sha256, hex) == 0 &&
           strcmp(r.v[0].tool, "made-a") == 0 && r.v[0].seconds == 1.5 &&
           strcmp(r.v[0].device, "") == 0 && r.v[0].direct,
       "the file has the digest of its sidecar");
    ok(r.v[1].state == RECEIPT_DAMAGED && !r.v[1].meta && isnan(r.v[1].seconds),
       "a damaged sidecar");
    ok(receipts_follow(&r, &e) == 0, "followed");
    ok(find(&r, "b") && find(&r, "b")->state == RECEIPT_CHANGED && !find(&r, "b")->direct,
       "an input that has another digest now");
    ok(find(&r, "f/file") && find(&r, "f/file")->state == RECEIPT_OK &&
           strcmp(find(&r, "f/file")->tool, "made-f") == 0,
       "a file in a folder that is one artifact");
    ok(find(&r, "gone") && find(&r, "gone")->state == RECEIPT_NONE && !find(&r, "gone")->sha256[0],
       "an input without a sidecar, and a digest that is none");
    ok(r.n == 7, "a circle ends: %d receipts", r.n);
    ok(receipts_by_sha256(&r, hex) == &r.v[0] && !receipts_by_sha256(&r, ""), "found by digest");
    ok(receipt_input(&r.v[0], 1, &path, &sha256) && strcmp(path, "f/file") == 0 &&
           receipt_input(&r.v[0], 2, &path, &sha256) && !path[0] &&
           !receipt_input(&r.v[0], 3, &path, &sha256),
       "inputs");
    receipts_free(&r);
    ok(receipts_note(&r, "a", &e) == 0 && r.v[0].state == RECEIPT_OK &&
           strcmp(r.v[0].sha256, hex) == 0,
       "noted");
    put("a", "aaaaa");
    receipts_free(&r);
    ok(receipts_note(&r, "a", &e) == 0 && r.v[0].state == RECEIPT_CHANGED, "another size");
    receipts_free(&r);
    char cmd[64];
    snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
    ok(system(cmd) == 0, "gone");
    return done_testing();
}
