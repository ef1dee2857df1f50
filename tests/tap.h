/* tap.h - the whole of our unit-test library: TAP on stdout for prove */
#ifndef TAP_H
#define TAP_H
#include <stdio.h>
#include <stdlib.h>
static int tap_n, tap_bad;
#define ok(cond, ...)                                                                              \
    do {                                                                                           \
        int tap_ok = !!(cond);                                                                     \
        tap_bad += !tap_ok;                                                                        \
        printf("%sok %d - ", tap_ok ? "" : "not ", ++tap_n);                                       \
        printf(__VA_ARGS__);                                                                       \
        printf("\n");                                                                              \
        if (!tap_ok)                                                                               \
            printf("# failed at %s:%d: %s\n", __FILE__, __LINE__, #cond);                          \
        fflush(stdout);                                                                            \
    } while (0)
#define skip(...)      (printf("ok %d # SKIP ", ++tap_n), printf(__VA_ARGS__), printf("\n"))
#define done_testing() (printf("1..%d\n", tap_n), tap_bad != 0)
#endif
