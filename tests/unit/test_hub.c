/* test_hub - names, settings, listings, the cache's places, and files that come in ranges */
#include "gguf_split.h"
#include "hash.h"
#include "hub.h"
#include "pull_part.h"
#include "tap.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/test_hub.XXXXXX";

static void names(void)
{
    struct hub_name n;
    struct err e = {0};
    ok(hub_name(&n, "hf://Org/Name.1-x@refs/pr/3:a/b.gguf", &e) == 0 &&
           strcmp(n.repo, "Org/Name.1-x") == 0 && strcmp(n.rev, "refs/pr/3") == 0 &&
           strcmp(n.file, "a/b.gguf") == 0 && strcmp(n.kind, "models") == 0,
       "all parts %s", e.msg);
    ok(hub_name(&n, "hf://datasets/o/n", &e) == 0 && strcmp(n.kind, "datasets") == 0 &&
           strcmp(n.rev, "main") == 0 && !*n.file,
       "a data set, main");
    ok(hub_name(&n, "hf://gpt2", &e) == 0 && strcmp(n.repo, "gpt2") == 0, "one word");
    static const char *const bad[] = {
        "hf://",         "org/name",      "hf:/o/n",         "hf://o/n/x",    "hf://o//n",
        "hf://../n",     "hf://o/..",     "hf://-o/n",       "hf://o/n-",     "hf://o--p/n",
        "hf://o/n..m",   "hf://o/n@",     "hf://o/n@a/../b", "hf://o/n@a?b",  "hf://o/n:",
        "hf://o/n:../a", "hf://o/n:/a",   "hf://o/n:a//b",   "hf://o/n:a\\b", "hf://o/n:a\nb",
        "hf://o/n:a/.",  "hf://o/n:\xff", "hf://o/n b",      "hf://o/",       "hf:///n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err why = {0};
        ok(hub_name(&n, bad[i], &why) == ERR_USAGE, "refused: %zu", i);
    }
    char deep[400] = "hf://o/n:a";
    for (int i = 0; i < HUB_DEPTH; i++)
        strcat(deep, "/a");
    ok(hub_name(&n, deep, &e) == ERR_USAGE, "too deep");
    ok(hub_name_of_url(&n, "https://hub/o/n/resolve/v1/a/b.bin?x=1", "https://hub", &e) == 0 &&
           strcmp(n.rev, "v1") == 0 && strcmp(n.file, "a/b.bin") == 0,
       "an address of the hub");
    ok(hub_name_of_url(&n, "https://hub.evil/o/n/resolve/v1/a", "https://hub", &e) == 1 &&
           hub_name_of_url(&n, "https://hub/file", "https://hub", &e) == 1,
       "other addresses");
}

static void settings(void)
{
    struct hub h;
    struct err e = {0};
    unsetenv("HF_HUB_CACHE");
    unsetenv("HUGGINGFACE_HUB_CACHE");
    unsetenv("HF_HOME");
    unsetenv("HF_TOKEN");
    unsetenv("HUGGING_FACE_HUB_TOKEN");
    unsetenv("HF_TOKEN_PATH");
    unsetenv("HF_ENDPOINT");
    unsetenv("HF_HUB_OFFLINE");
    unsetenv("TRANSFORMERS_OFFLINE");
    setenv("XDG_CACHE_HOME", "/x", 1);
    ok(hub_settings(&h, &e) == 0 && strcmp(h.cache, "/x/huggingface/hub") == 0 && !*h.token &&
           !h.offline && strcmp(h.endpoint, "https://huggingface.co") == 0,
       "nothing set %s", e.msg);
    setenv("HF_HOME", "/h", 1);
    setenv("HF_HUB_OFFLINE", "YES", 1);
    setenv("HF_TOKEN", " hf_x\n", 1);
    setenv("HF_ENDPOINT", "https://mirror/base//", 1);
    ok(hub_settings(&h, &e) == 0 && strcmp(h.cache, "/h/hub") == 0 && h.offline &&
           strcmp(h.token, "hf_x") == 0 && strcmp(h.endpoint, "https://mirror/base") == 0,
       "all set");
    setenv("HF_HUB_CACHE", "/c", 1);
    ok(hub_settings(&h, &e) == 0 && strcmp(h.cache, "/c") == 0, "the cache itself");
    setenv("HF_TOKEN", "a b", 1);
    ok(hub_settings(&h, &e) == ERR_CONFIG && !strstr(e.msg, "a b"), "a token of two words: %s",
       e.msg);
    e.code = 0;
    setenv("HF_TOKEN", "a", 1);
    setenv("HF_ENDPOINT", "https://u:p@host", 1);
    ok(hub_settings(&h, &e) == ERR_CONFIG, "an endpoint with a user");
}

static void listings(void)
{
    static const char text[] =
        "{\"id\":\"x\",\"sha\":\"0123456789abcdef0123456789abcdef01234567\",\"siblings\":["
        "{\"rfilename\":\"m-00002-of-00002.gguf\",\"size\":2,\"blobId\":"
        "\"1111111111111111111111111111111111111111\"},"
        "{\"rfilename\":\"m-00001-of-00002.gguf\",\"size\":2,\"blobId\":"
        "\"2222222222222222222222222222222222222222\"},"
        "{\"rfilename\":\"a/"
        "c.json\",\"size\":3,\"blobId\":\"3333333333333333333333333333333333333333\",\"lfs\":null},"
        "{\"rfilename\":\"w\",\"size\":130,\"blobId\":\"4444444444444444444444444444444444444444\","
        "\"lfs\":"
        "{\"size\":9,\"sha256\":"
        "\"5555555555555555555555555555555555555555555555555555555555555555\"}}]}";
    static const char *const json[] = {"*.json"};
    struct hub_list l;
    struct err e = {0};
    ok(hub_list_parse(&l, text, sizeof text - 1, "t", &e) == 0 && l.n == 4 &&
           strcmp(l.file[0].path, "a/c.json") == 0 && l.file[3].size == 9 &&
           strlen(l.file[3].oid) == 64 && strlen(l.file[0].oid) == 40,
       "sorted, large files by sha256 %s", e.msg);
    ok(hub_list_select(&l, "m-00001-of-00002.gguf", NULL, 0, NULL, 0, &e) == 0 && l.n == 2,
       "a part brings the others");
    hub_list_free(&l);
    hub_list_parse(&l, text, sizeof text - 1, "t", &e);
    ok(hub_list_select(&l, "", json, 1, NULL, 0, &e) == 0 && l.n == 1, "* crosses slashes");
    ok(hub_list_select(&l, "", NULL, 0, json, 1, &e) == ERR_NOINPUT && l.n == 0, "nothing left");
    hub_list_free(&l);
    for (size_t n = 0; n < sizeof text - 1; n++) {
        struct err why = {0};
        if (hub_list_parse(&l, text, n, "t", &why) == 0) {
            ok(0, "cut at %zu is accepted", n);
            hub_list_free(&l);
        }
    }
    ok(1, "cut anywhere it is refused");
}

/* Fill bytes [at, at + n) of span i with the pattern of the whole. */
static int put(struct part *p, int i, size_t n, struct err *e)
{
    char b[4096];
    for (size_t k = 0; k < n; k++)
        b[k] = (char)((p->span[i].at + k) * 7 % 251);
    return part_write(p, i, b, n, e);
}

static void parts(void)
{
    char path[64], side[80];
    struct part p;
    struct err e = {0};
    snprintf(path, sizeof path, "%s/blob", dir);
    snprintf(side, sizeof side, "%s.part.state", path);
    ok(part_open(&p, path, 10000, "key", 3000, &e) == 0 && p.n == 4 && p.span[3].end == 10000 &&
           !part_complete(&p),
       "four ranges %s", e.msg);
    struct part q;
    struct err busy = {0};
    ok(part_open(&q, path, 10000, "key", 3000, &busy) == ERR_LOCKED, "locked: %s", busy.msg);
    put(&p, 0, 100, &e);
    put(&p, 2, 3000, &e);
    part_save(&p, &e);
    part_close(&p);
    ok(part_open(&p, path, 10000, "key", 99, &e) == 0 && p.n == 4 && part_done(&p) == 3100 &&
           p.span[0].at == 100,
       "it goes on");
    part_close(&p);
    ok(part_open(&p, path, 10000, "other", 3000, &e) == 0 && part_done(&p) == 0,
       "other bytes start again");
    put(&p, 0, 3000, &e);
    part_close(&p);
    ok(part_open(&p, path, 10001, "other", 3000, &e) == 0 && part_done(&p) == 0,
       "another size too");
    part_close(&p);
    struct err damaged = {0};
    part_open(&p, path, 10000, "key", 3000, &e);
    put(&p, 0, 3000, &e);
    part_close(&p);
    int fd = open(side, O_WRONLY);
    ok(pwrite(fd, "\1", 1, 130) == 1 && part_open(&p, path, 10000, "key", 3000, &damaged) == 0 &&
           part_done(&p) == 0,
       "a damaged table starts again");
    close(fd);
    for (int i = 0; i < 4; i++)
        while (p.span[i].at < p.span[i].end)
            put(&p, i, p.span[i].end - p.span[i].at > 1000 ? 1000 : p.span[i].end - p.span[i].at,
                &e);
    ok(part_complete(&p) && part_commit(&p, &e) == 0 && access(side, F_OK) != 0, "complete %s",
       e.msg);
    part_close(&p);
    FILE *f = fopen(path, "rb");
    int right = 1, c;
    long n = 0;
    for (; (c = getc(f)) != EOF; n++)
        right &= c == (int)(n * 7 % 251);
    fclose(f);
    ok(right && n == 10000, "the bytes");
    char hex[41];
    ok(hash_git_blob_file("/dev/null", hex, &e) != 0, "a device is no file");
    e.code = 0;
    ok(part_open(&p, path, 0, "k", 1, &e) == 0 && part_complete(&p) && part_commit(&p, &e) == 0 &&
           hash_git_blob_file(path, hex, &e) == 0 &&
           strcmp(hex, "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391") == 0,
       "an empty file, as git calls it: %s", hex);
    part_close(&p);
    unlink(path);
}

/* DIR/.hub.json comes with a folder from anywhere. */
static void records(void)
{
    static const char commit[] = "0123456789abcdef0123456789abcdef01234567";
    static const struct {
        const char *source, *bytes;
        int rc;
    } v[] = {{"hf://a/b", "3", 0},
             {"hf://a/b@main:x", "3", 0},
             {"", "3", ERR_DATA},
             {"hf:", "3", ERR_DATA},
             {"https://a/b", "3", ERR_DATA},
             {"hf://a/b", "-1", ERR_DATA},
             {"hf://a/b", "1e300", ERR_DATA}};
    char path[200], text[400], origin[512];
    snprintf(path, sizeof path, "%s/%s", dir, HUB_RECORD);
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        struct err e = {0};
        struct hub_list l;
        snprintf(text, sizeof text,
                 "{\"source\":\"%s\",\"commit\":\"%s\",\"files\":[{\"path\":\"x\",\"bytes\":%s,"
                 "\"oid\":\"%s\"}]}",
                 v[i].source, commit, v[i].bytes, commit);
        int rc = hub_put(path, text, &e);
        rc = rc ? rc : hub_origin(dir, origin, &l, &e);
        ok(rc == v[i].rc && (rc || (l.n == 1 && !strncmp(origin, "hf://a/b@0123", 13))),
           "a record of \"%s\", %s bytes %s", v[i].source, v[i].bytes, e.msg);
        if (rc == 0)
            hub_list_free(&l);
    }
    unlink(path);
}

int main(void)
{
    if (!mkdtemp(dir))
        return 1;
    names();
    settings();
    listings();
    parts();
    records();
    ok(gguf_split_size("5M") == 5000000 && gguf_split_size("2G") == 2000000000 &&
           gguf_split_size("7") == 7 && gguf_split_size("3K") == 3000,
       "sizes of split files");
    ok(!gguf_split_size("5MB") && !gguf_split_size("M") && !gguf_split_size("-1") &&
           !gguf_split_size(" 1") && !gguf_split_size("99999999999G"),
       "and what is none");
    rmdir(dir);
    return done_testing();
}
