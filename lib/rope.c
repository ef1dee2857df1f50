/* rope - the table of cosines and sines, and the rules that stretch it */
#include "hparams.h"
#include <math.h>

/* The three-part inverse of transformers' _compute_llama3_parameters: what GGUF keeps as divisors.
 */
double hparams_llama3_divisor(double inv, double factor, double low, double high, double orig)
{
    double wavelength = 2 * M_PI / inv;
    if (wavelength < orig / high)
        return 1;
    if (wavelength > orig / low)
        return factor;
    double s = (orig / wavelength - low) / (high - low);
    return 1 / ((1 - s) / factor + s);
}

double hparams_rope_own_attn(const struct hparams *h)
{
    if (h->rope_scaling == ROPE_YARN)
        return h->rope_factor > 1 ? 0.1 * log(h->rope_factor) + 1 : 1;
    if (h->rope_scaling == ROPE_LONG)
        return h->rope_factor > 1 ? sqrt(1 + log(h->rope_factor) / log(h->rope_orig_ctx)) : 1;
    return 1;
}

/* The pair, as a real number, that turns `turns` times in the original context; Hugging Face's
 * find_correction_dim. */
static double yarn_pair(const struct hparams *h, double turns)
{
    return hparams_rope_dim(h) * log(h->rope_orig_ctx / (turns * 2 * M_PI)) /
           (2 * log(h->rope_theta));
}

void hparams_yarn_range(const struct hparams *h, double *low, double *high)
{
    *low = yarn_pair(h, h->rope_high), *high = yarn_pair(h, h->rope_low);
    if (!h->rope_untruncated)
        *low = floor(*low), *high = ceil(*high);
    *low = *low > 0 ? *low : 0;
    *high = *high < hparams_rope_dim(h) - 1 ? *high : hparams_rope_dim(h) - 1;
    if (*low == *high)
        *high += 0.001; /* no division by 0 */
}

static float yarn(const struct hparams *h, int k, float power)
{
    double low, high;
    hparams_yarn_range(h, &low, &high);
    float ramp = ((float)k - (float)low) / (float)(high - low);
    ramp = ramp < 0 ? 0 : ramp > 1 ? 1 : ramp;
    float keep = 1.0f - ramp, scaled = 1.0f / ((float)h->rope_factor * power), own = 1.0f / power;
    return scaled * (1.0f - keep) + own * keep;
}

static float llama3(const struct hparams *h, float inv)
{
    float factor = (float)h->rope_factor, wavelength = (float)(2 * M_PI) / inv;
    float longest = (float)(h->rope_orig_ctx / h->rope_low),
          shortest = (float)(h->rope_orig_ctx / h->rope_high);
    if (wavelength > longest)
        return inv / factor;
    if (wavelength < shortest)
        return inv;
    float s = ((float)h->rope_orig_ctx / wavelength - (float)h->rope_low) /
              (float)(h->rope_high - h->rope_low);
    return (1.0f - s) * inv / factor + s * inv;
}

/* inv_freq of pair k, rounded to f32 at every step as transformers' modeling_rope_utils does. */
static float inv_freq(const struct hparams *h, int local, int n_ctx, int k)
{
    float exponent = (float)(2 * k) / (float)hparams_rope_dim(h);
    double theta = local && h->rope_local_theta != 0 ? h->rope_local_theta : h->rope_theta;
    float power = (float)pow((double)(float)theta, (double)exponent), inv = 1.0f / power;
    if (local && h->rope_local_theta != 0)
        return inv;
    switch (h->rope_scaling) {
    case ROPE_NONE:
        break;
    case ROPE_LINEAR:
        return inv / (float)h->rope_factor;
    case ROPE_LLAMA3:
        return llama3(h, inv);
    case ROPE_YARN:
        return yarn(h, k, power);
    case ROPE_LONG:
        return 1.0f / ((n_ctx > h->rope_orig_ctx ? h->rope_long : h->rope_short)[k] * power);
    }
    return inv;
}

void hparams_rope_table(const struct hparams *h, int local, int n_ctx, int from, int to,
                        float *table)
{
    const int dim = hparams_rope_dim(h), half = dim / 2;
    const int scaled = h->rope_scaling == ROPE_YARN || h->rope_scaling == ROPE_LONG;
    const int other = local && h->rope_local_theta != 0;
    const float attn = !scaled || other    ? 1.0f
                       : h->rope_attn != 0 ? (float)h->rope_attn
                                           : (float)hparams_rope_own_attn(h);
    for (int k = 0; k < half; k++) {
        float inv = inv_freq(h, local, n_ctx, k);
        for (int pos = from; pos < to; pos++) {
            float angle = (float)pos * inv, *row = table + (size_t)(pos - from) * (size_t)dim;
            row[k] = (float)cos((double)angle) * attn;
            row[half + k] = (float)sin((double)angle) * attn;
        }
    }
}
