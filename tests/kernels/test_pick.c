/* test_pick.c - kernels/pick.h: every path's passes over logits against plain loops, to the bit */
#include "pick.h"
#include "poly.h"

#include "tap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 300 };

static float value(unsigned *state, int kind)
{
    *state = *state * 1664525u + 1013904223u;
    const float v = (float)(int)(*state >> 8) / 1e6f - 8;
    return kind == 0 ? v : kind == 1 ? roundf(v) : *state % 5 ? v * 20 : -INFINITY;
}

/* what differs, or NULL */
static const char *differs(const struct kn_pick *p, const float *x, int n, float t, float scale)
{
    float max = -INFINITY, w[MOST + 1];
    int nan = 0, first = n, from = n / 3;
    for (int i = 0; i < n; i++) {
        max = x[i] > max ? x[i] : max;
        nan |= x[i] != x[i];
        first = first == n && i >= from && x[i] >= t ? i : first;
    }
    const float got = p->max(n, x);
    if (nan ? got == got : got != max)
        return "max";
    if (!nan && p->next(x, from, n, t) != first)
        return "next";
    if (max == -INFINITY)
        return NULL;
    w[n] = 42;
    p->exps(n, x, max, scale, w);
    for (int i = 0; i < n; i++) {
        const float want = kn_exp((x[i] - max) * scale);
        if (want == want ? memcmp(&w[i], &want, sizeof want) != 0 : w[i] == w[i])
            return "exps";
    }
    return w[n] == 42 ? NULL : "exps beyond the end";
}

int main(void)
{
    static const char *const paths[] = {"generic", "avx2", "avx512", "neon"};
    ok(kn_pick(NULL) != NULL && kn_pick("none") == NULL,
       "a path for this machine, none by another name");
    for (size_t p = 0; p < sizeof paths / sizeof *paths; p++) {
        const struct kn_pick *pick = kn_pick(paths[p]);
        const char *bad = NULL;
        unsigned state = 1;
        if (!pick) {
            skip("%s: this machine lacks it", paths[p]);
            continue;
        }
        for (int n = 1; n <= MOST && !bad; n++)
            for (int kind = 0; kind < 3 && !bad; kind++) {
                /* as long as it is, so that a sanitizer sees reads beyond */
                float *x = malloc((size_t)n * sizeof *x);
                for (int i = 0; i < n; i++)
                    x[i] = value(&state, kind);
                bad = differs(pick, x, n, x[n / 2], kind == 1 ? 1 / 0.7f : 1);
                bad = bad ? bad : differs(pick, x, n, INFINITY, 3);
                bad = bad ? bad : differs(pick, x, n, -INFINITY, 1);
                x[state % (unsigned)n] = NAN;
                bad = bad ? bad : differs(pick, x, n, 1, 1);
                free(x);
            }
        ok(!bad && !strcmp(pick->path, paths[p]), "%s %s", paths[p], bad ? bad : "");
    }
    return done_testing();
}
