/* train_compare.h - every device and number of threads against ref, and each other's bits */
#ifndef TRAIN_COMPARE_H
#define TRAIN_COMPARE_H
#include "train_case.h"

static inline double nmse(const float *a, const float *b, size_t n)
{
    double e = 0, s = 1e-30;
    for (size_t i = 0; i < n; i++) {
        e += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        s += (double)b[i] * b[i];
        if (!isfinite(a[i]))
            return INFINITY;
    }
    return e / s;
}

/* Of a group, the worst of its outputs: a wrong small one must not hide beside a large one. */
static inline double error_of(const struct test *t, const float *a, const float *b, size_t n)
{
    double worst = 0;
    if (!t->n_lin)
        return nmse(a, b, n);
    for (int i = 0; i < t->n_buf; i++)
        if (t->out[i]) {
            double e = nmse(a, b, t->len[i]);
            worst = e > worst ? e : worst;
            a += t->len[i], b += t->len[i];
        }
    return worst;
}

/* quick (for an emulator): without the model, which is plain C; 3 threads; fewer groups */
static int quick;
static const char *const device[] = {"cpu:amx-model", "cpu:generic", "cpu:avx2",      "cpu:avxvnni",
                                     "cpu:avx512",    "cpu:neon",    "cpu:neon_i8mm", "cpu:amx"};
/* The one device that the command line names, in place of those. */
static const char *only;
enum { DEVICES = sizeof device / sizeof *device };
static inline const char *device_of(size_t i)
{
    return only ? only : device[i];
}

/* All devices and thread counts against ref; equal bits across threads and instruction sets. */
static inline void compare(struct test *t, run_fn *run, double limit)
{
    size_t n, n2;
    double worst = 0;
    float *want = run_on("ref", 1, t, run, &n), *first = NULL;
    int ran = 0, same = 1;
    for (size_t i = quick; i < (only ? 1 : DEVICES); i++)
        for (int threads = quick ? 3 : 1; threads <= 3; threads += 2) {
            float *got = run_on(device_of(i), threads, t, run, &n2);
            if (!got)
                continue;
            double e = error_of(t, got, want, n);
            worst = e > worst ? e : worst;
            if (first)
                same &= !memcmp(first, got, n * sizeof *got);
            ran++;
            if (first)
                free(got);
            else
                first = got;
        }
    if (!ran && only)
        ok(0, "%s: %s does not do it: %s", t->name, only, kn_why(NULL));
    else if (!ran)
        skip("%s: no cpu device", t->name);
    else
        ok(want && worst < limit && same,
           "%s m %d n %d k %d type %d flags %d: %d runs, nmse %.1e%s", t->name, t->m, t->n, t->k,
           t->type, t->flags, ran, worst, same ? "" : ", bits differ");
    free(want);
    free(first);
    for (int i = 0; i < t->n_buf; i++)
        free(t->in[i]);
    free(t->rows);
}

/* The program's argument: quick, or the name of the one device to test. */
static inline int is_quick(int argc, char **argv)
{
    only = argc > 1 && strcmp(argv[1], "quick") != 0 ? argv[1] : NULL;
    return argc > 1 && strcmp(argv[1], "quick") == 0;
}
#endif
