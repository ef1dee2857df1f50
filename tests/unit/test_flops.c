/* test_flops - operations of a token against sums by hand; a rate that a device can have */
#include "flops.h"
#include "tap.h"
#include <math.h>

int main(void)
{
    /* layers of q, o 8 x 6 and k, v 8 x 3; gate, up, down 8 x 20; a head of 100 */
    const struct hparams h = {.n_layer = 2,
                              .n_embd = 8,
                              .n_head = 2,
                              .n_head_kv = 1,
                              .head_dim = 3,
                              .n_ff = 20,
                              .n_vocab = 100};
    const double n = 2 * (8 * 6 * 2 + 8 * 3 * 2 + 3 * 8 * 20) + 8 * 100;
    ok(flops_token(&h, 1, 0, 50) == 6 * n + 12 * 2 * 50 * 6, "all weights: 6 N + 12 L T d");
    ok(flops_token(&h, 0, 0, 50) == 4 * n && flops_token(&h, 0, 1, 50) == 6 * n,
       "adapters: 4 N, 6 N where layers run twice");
    for (int mixed = 0; mixed < 2; mixed++) {
        struct err e = {0};
        struct kn_dev *d = NULL;
        double rate = 0;
        ok(kn_open(&d, "cpu", 0) == 0 && flops_peak(d, mixed, &rate, &e) == 0 && rate > 1e8 &&
               rate < 1e16,
           "a rate of %s: %g %s", mixed ? "bf16" : "f32", rate, e.msg);
        kn_close(d);
    }
    return done_testing();
}
