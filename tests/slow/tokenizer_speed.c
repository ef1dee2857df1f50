/* tokenizer_speed - times the tokenizer of a .apr for tokenizer-speed.sh, which compiles and calls this */
#include "apr.h"
#include "bpe.h"
#include "mapfile.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { LOADS = 21, SNIPPETS = 1000, RUNS = 7 };

static double ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int by_value(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

static double median(double *v, size_t n)
{
    qsort(v, n, sizeof *v, by_value);
    return v[n / 2];
}

static void check(const struct err *e)
{
    if (e->code) {
        fprintf(stderr, "tokenizer_speed: %s\n", e->msg);
        exit(err_exit_code(e->code));
    }
}

/* From the name of a file to a tokenizer. */
static struct bpe *load(const char *path)
{
    struct err e = {0};
    struct apr a;
    struct bpe *b = NULL;
    apr_open(&a, path, &e);
    check(&e);
    const struct tensor *t = apr_tensor(&a, APR_TOKENIZER);
    if (t)
        bpe_load_tables(&b, t->data, t->bytes, path, &e);
    else
        err_set(&e, ERR_DATA, "%s: no tokenizer", path);
    check(&e);
    apr_close(&a);
    return b;
}

static long encode(const struct bpe *b, const struct mapfile *m, int threads)
{
    struct err e = {0};
    struct bpe_text t = {.s = (const char *)m->p, .n = m->n};
    size_t bad;
    bpe_encode_many(b, &t, 1, 0, threads, &bad, &e);
    check(&e);
    free(t.ids);
    return t.n_ids;
}

/* Texts with a NUL after each, every one encoded once. */
static void snippets(const struct bpe *b, const struct mapfile *m)
{
    static double us[SNIPPETS];
    struct err e = {0};
    size_t k = 0, bytes = 0, ids = 0;
    double sum = 0;
    for (const char *s = (const char *)m->p, *end = s + m->n; s < end && k < SNIPPETS; k++) {
        size_t n = strlen(s);
        int32_t *v;
        double start = ms();
        long got = bpe_encode(b, s, n, 0, &v, &e);
        us[k] = (ms() - start) * 1e3;
        check(&e);
        free(v);
        sum += us[k];
        bytes += n;
        ids += (size_t)got;
        s += n + 1;
    }
    printf("snippet %.2f us median, %.2f mean (%zu of %zu bytes and %zu tokens on average)\n",
           median(us, k), sum / (double)k, k, bytes / k, ids / k);
}

int main(int argc, char **argv)
{
    struct err e = {0};
    struct mapfile corpus, warm, snippet;
    struct rusage use;
    double t[LOADS];
    struct bpe *b = NULL;
    if (argc != 5) {
        fprintf(stderr, "usage: tokenizer_speed MODEL.apr CORPUS WARM SNIPPETS\n");
        return 64;
    }
    if (mapfile_open(&corpus, argv[2], &e) || mapfile_open(&warm, argv[3], &e) ||
        mapfile_open(&snippet, argv[4], &e))
        check(&e);
    for (int i = 0; i < LOADS; i++) {
        bpe_free(b);
        double start = ms();
        b = load(argv[1]);
        t[i] = ms() - start;
    }
    printf("load %.2f ms\n", median(t, LOADS));
    encode(b, &warm, 1);
    snippets(b, &snippet);
    for (int threads = 1; threads <= 2; threads++) {
        long n = 0;
        for (int i = 0; i < RUNS; i++) {
            double start = ms();
            n = encode(b, &corpus, threads);
            t[i] = (double)corpus.n / 1e3 / (ms() - start);
        }
        printf("threads %d: %.1f MB/s (%zu bytes, %ld tokens)\n", threads, median(t, RUNS),
               corpus.n, n);
    }
    getrusage(RUSAGE_SELF, &use);
    printf("memory %ld MB at most\n", use.ru_maxrss / 1024);
    return 0;
}
