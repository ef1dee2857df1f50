/* swiglu - y = silu(gate) * up; the same with other activations; maps of single elements */
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

static float act_float(enum kn_act act, float x)
{
    return act == KN_GELU ? kn_gelu(x) : kn_silu(x);
}

static double act_double(enum kn_act act, double x)
{
    double u = sqrt(2 / M_PI) * (x + 0.044715 * x * x * x);
    return act == KN_GELU ? x * (1 + tanh(u)) / 2 : x / (1 + exp(-x));
}

int ref_glu(struct kn_dev *d, struct kn_at y_at, struct kn_at gate_at, struct kn_at up_at,
            enum kn_act act, int m, int n)
{
    int rounded = ref_dev(d)->rounded;
    float *y = ref_f32(d, y_at);
    const float *gate = ref_f32(d, gate_at), *up = ref_f32(d, up_at);
    for (size_t i = 0; i < (size_t)m * (size_t)n; i++) {
        if (rounded)
            y[i] = up ? act_float(act, gate[i]) * up[i] : act_float(act, gate[i]);
        else
            y[i] = (float)(act_double(act, gate[i]) * (up ? up[i] : 1));
    }
    return KN_OK;
}

static float map_float(enum kn_map map, float x, float s)
{
    return map == KN_SCALE     ? x * s
           : map == KN_CAP     ? s * kn_tanh(x / s)
           : map == KN_SIGMOID ? kn_sigmoid(x)
                               : 0;
}

static double map_double(enum kn_map map, double x, double s)
{
    return map == KN_SCALE     ? x * s
           : map == KN_CAP     ? s * tanh(x / s)
           : map == KN_SIGMOID ? 1 / (1 + exp(-x))
                               : 0;
}

int ref_map(struct kn_dev *d, struct kn_at x_at, enum kn_map map, float s, int m, int n)
{
    float *x = ref_f32(d, x_at);
    for (size_t i = 0; i < (size_t)m * (size_t)n; i++)
        x[i] = ref_dev(d)->rounded ? map_float(map, x[i], s) : (float)map_double(map, x[i], s);
    return KN_OK;
}
