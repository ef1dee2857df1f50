/* swiglu - y = silu(gate) * up */
#include "poly.h"
#include "ref/ref.h"

int ref_swiglu(struct kn_dev *d, struct kn_at y_at, struct kn_at gate_at, struct kn_at up_at, int m,
               int n)
{
    int rounded = ref_dev(d)->rounded;
    float *y = ref_f32(d, y_at);
    const float *gate = ref_f32(d, gate_at), *up = ref_f32(d, up_at);
    for (size_t i = 0; i < (size_t)m * (size_t)n; i++) {
        double g = gate[i];
        y[i] = rounded ? kn_silu(gate[i]) * up[i] : (float)(g / (1 + exp(-g)) * up[i]);
    }
    return KN_OK;
}
