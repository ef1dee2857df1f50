/* moment_book.h - the values of 8-bit moments: bitsandbytes' dynamic map, for host and card alike (T5 of train.h) */
#ifndef KN_MOMENT_BOOK_H
#define KN_MOMENT_BOOK_H
#include <math.h>

enum { KN_CODES = 256, KN_DECADES = 7 };
struct kn_book {
    float map[KN_CODES], mid[KN_CODES]; /* ascending; mid[i]: between codes i and i + 1 */
    int zero;
};

/* Decade i has the middles of 2^i (unsigned 2^(i+1)) equal parts of 0.1 to 1, times 10^(i - 6); zero and 1 besides:
 * create_dynamic_map of bitsandbytes' functional.py. */
static inline void kn_make_book(struct kn_book *b, int is_signed)
{
    double v[KN_CODES];
    int n = 0;
    b->zero = 0;
    for (int i = 0; i < KN_DECADES; i++) {
        const int parts = 1 << (i + !is_signed);
        for (int k = 0; k < parts; k++) {
            const double x = (0.1 + 0.9 * (k + 0.5) / parts) * pow(10, i - (KN_DECADES - 1));
            v[n++] = x;
            if (is_signed)
                v[n++] = -x;
        }
    }
    v[n++] = 0;
    v[n++] = 1;
    for (int i = 1; i < n; i++) /* into order */
        for (int k = i; k > 0 && v[k - 1] > v[k]; k--) {
            const double x = v[k];
            v[k] = v[k - 1];
            v[k - 1] = x;
        }
    for (int i = 0; i < KN_CODES; i++) {
        b->map[i] = (float)v[i];
        b->mid[i] = i + 1 < KN_CODES ? (float)((v[i] + v[i + 1]) / 2) : INFINITY;
        if (v[i] == 0)
            b->zero = i;
    }
}
#endif
