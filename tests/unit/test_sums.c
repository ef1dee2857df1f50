/* test_sums - remembered digests: taken again when size, time or inode change */
#include "hash.h"
#include "sums.h"
#include "tap.h"
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/test_sums.XXXXXX";
static char file[64], memory[64];

static void put(const char *text)
{
    FILE *f = fopen(file, "wb");
    if (f) {
        fputs(text, f);
        fclose(f);
    }
}

int main(void)
{
    struct sums s;
    struct err e = {0};
    char a[65], b[65], want[65];
    if (!mkdtemp(dir))
        return 1;
    snprintf(file, sizeof file, "%s/x", dir);
    snprintf(memory, sizeof memory, "%s.sum", dir);
    put("abc");
    hash_sha256_mem("abc", 3, want);
    ok(sums_load(&s, memory, &e) == 0 && s.n == 0, "no memory yet");
    ok(sums_digest(&s, file, a, &e) == 0 && strcmp(a, want) == 0 && s.fresh, "digest of a file");
    ok(sums_save(&s, memory, &e) == 0, "save");
    sums_free(&s);
    ok(sums_load(&s, memory, &e) == 0 && s.n == 1, "load");
    ok(sums_digest(&s, file, b, &e) == 0 && strcmp(a, b) == 0 && !s.fresh, "remembered");
    put("abcd");
    ok(sums_digest(&s, file, b, &e) == 0 && strcmp(a, b) && s.fresh && s.n == 1, "another size");
    ok(sums_digest(&s, dir, a, &e) == 0 && strcmp(a, b), "digest of a folder");
    put("abce");
    struct stat st;
    ok(stat(file, &st) == 0 && sums_digest(&s, dir, b, &e) == 0 && strcmp(a, b),
       "of its files' content");
    ok(sums_digest(&s, "/nonexistent", b, &e) == ERR_NOINPUT, "no such file: %s", e.msg);
    sums_free(&s);
    FILE *f = fopen(memory, "wb");
    fprintf(f, "xyz\n%s 1 2 3 \n%s 1 2 3 p\n%.10s 1 2 3 q\n%s 1 2 3 torn", want, want, want, want);
    fclose(f);
    memset(&e, 0, sizeof e);
    ok(sums_load(&s, memory, &e) == 0 && s.n == 1, "damaged lines are forgotten");
    sums_free(&s);
    unlink(memory);
    unlink(file);
    rmdir(dir);
    return done_testing();
}
