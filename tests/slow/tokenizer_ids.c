/* tokenizer_ids - ids of many files, one line each, by one load of a tokenizer (see tokenizers.sh)
 *
 * usage: tokenizer_ids tokenizer.json FILE...; FILE.back gets the decoded text of files with --decode
 * before them. */
#include "bpe.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *read_file(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return NULL;
    fseek(f, 0, SEEK_END);
    long size = ftell(f);
    rewind(f);
    char *s = malloc((size_t)size + 1);
    *n = s ? fread(s, 1, (size_t)size, f) : 0;
    fclose(f);
    return s;
}

static int one(const struct bpe *b, const char *path, int decode)
{
    struct err e = {0};
    size_t n, m;
    int32_t *ids = NULL;
    char *s = read_file(path, &n), name[4096];
    long k = s ? bpe_encode(b, s, n, BPE_SPECIAL, &ids, &e) : -1;
    if (k < 0) {
        fprintf(stderr, "%s: %s\n", path, s ? e.msg : "cannot read");
        return 1;
    }
    for (long i = 0; i < k; i++)
        printf(i ? " %d" : "%d", ids[i]);
    putchar('\n');
    if (decode) {
        snprintf(name, sizeof name, "%s.back", path);
        char *t = bpe_decode(b, ids, (size_t)k, 0, &m);
        FILE *f = fopen(name, "wb");
        if (!t || !f)
            return 1;
        fwrite(t, 1, m, f);
        fclose(f);
        free(t);
    }
    free(ids);
    free(s);
    return 0;
}

int main(int argc, char **argv)
{
    struct err e = {0};
    struct bpe *b;
    int bad = 0, decode = 0;
    if (argc < 2 || bpe_load_json(&b, argv[1], &e)) {
        fprintf(stderr, "%s\n", argc < 2 ? "usage: tokenizer_ids tokenizer.json FILE..." : e.msg);
        return 1;
    }
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--decode") == 0)
            decode = 1;
        else if (strcmp(argv[i], "--no-decode") == 0)
            decode = 0;
        else
            bad |= one(b, argv[i], decode);
    }
    bpe_free(b);
    return bad;
}
