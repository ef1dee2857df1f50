/* import_fill - types of an import's tensors and their bytes: kept, converted, quantized, FP8 with its scales
 *
 * One tensor at a time: what was read of the source leaves memory again. */
#include "blocks.h"
#include "import_impl.h"
#include "quant.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void import_forget(const struct import *im, const struct tensor *t)
{
    const uint8_t *p = t->data;
    for (int i = 0; i < im->n_map; i++)
        if (p >= im->map[i].p && p < im->map[i].p + im->map[i].n)
            mapfile_forget(&im->map[i], p, t->bytes);
}

/* ---- FP8: E4M3 values times a scale of the tensor, of its row, or of its block ----
 *
 * Three habits, all with w = value * scale: one number; (rows) or (rows, 1); or (rows / bh, cols / bw) rounded up
 * (DeepSeek-V3's fp8_cast_bf16.py; Hugging Face's finegrained_fp8 and compressed-tensors).  The name is that of
 * the weight with _scale_inv or _scale behind it: "inv" is what the activations were divided by, not 1 / scale. */

struct scales {
    const struct tensor *t;
    uint64_t block[2]; /* rows and columns that share a scale */
    uint64_t stride;   /* scales in a row of blocks */
};

static double scale_at(const struct tensor *t, uint64_t i)
{
    float x;
    size_t size = t->bytes / (size_t)tensor_count(t);
    kn_dequantize(t->type, (const uint8_t *)t->data + i * size, &x, 1);
    return (double)x;
}

static const struct tensor *find_scale(const struct import *im, const char *name)
{
    static const char *const ends[] = {"_scale_inv", "_scale"};
    char text[TENSOR_NAME + 16];
    const struct tensor *t = NULL;
    for (size_t i = 0; i < 2 && !t; i++) {
        snprintf(text, sizeof text, "%s%s", name, ends[i]);
        t = im->find(im->source, text);
    }
    return t;
}

static uint64_t up(uint64_t n, uint64_t by)
{
    return n / by + (n % by != 0);
}

static int get_scales(const struct import *im, const struct tensor *w, struct scales *s,
                      struct err *e)
{
    const struct tensor *t = find_scale(im, w->name);
    uint64_t rows = tensor_rows(w), cols = tensor_cols(w), bh = im->fp8_block[0],
             bw = im->fp8_block[1];
    char found[200], want[200];
    if (!bh)
        return err_set(e, ERR_DATA,
                       "tensor %s: FP8, and config.json has no quantization_config of it", w->name);
    if (!t)
        return err_set(e, ERR_DATA,
                       "tensor %s: FP8 without its scales: expected %s_scale_inv or %s_scale",
                       w->name, w->name, w->name);
    if ((t->type != KN_F32 && t->type != KN_F16 && t->type != KN_BF16) || !tensor_count(t))
        return err_set(e, ERR_DATA, "tensor %s: scales of type %s, expected F32, F16 or BF16",
                       t->name, tensor_type_name(t->type));
    s->t = t;
    s->stride = 1;
    if (tensor_count(t) == 1) {
        s->block[0] = rows;
        s->block[1] = cols;
    } else if ((t->ndim == 1 || (t->ndim == 2 && t->dim[1] == 1)) && t->dim[0] == rows) {
        s->block[0] = 1;
        s->block[1] = cols;
    } else if (t->ndim == 2 && t->dim[0] == up(rows, bh) && t->dim[1] == up(cols, bw)) {
        s->block[0] = bh;
        s->block[1] = bw;
        s->stride = t->dim[1];
    } else {
        return err_set(e, ERR_DATA,
                       "tensor %s: shape %s does not fit %s: expected one scale, %" PRIu64
                       ", or (%" PRIu64 ", %" PRIu64 ") of blocks of (%" PRIu64 ", %" PRIu64 ")",
                       t->name, tensor_shape(t, found, sizeof found),
                       tensor_shape(w, want, sizeof want), rows, up(rows, bh), up(cols, bw), bh,
                       bw);
    }
    int64_t bad = tensor_not_finite(t);
    return bad < 0 ? 0
                   : err_set(e, ERR_DATA, "tensor %s: NaN or infinity at element %" PRId64, t->name,
                             bad);
}

/* formats.md 8: bias 7, no infinity, 0x7f and 0xff are NaN */
static float e4m3(uint8_t v)
{
    int exponent = v >> 3 & 15, mantissa = v & 7;
    float x = exponent ? ldexpf((float)(8 + mantissa), exponent - 10) : ldexpf((float)mantissa, -9);
    return v & 0x80 ? -x : x;
}

int import_fp8(const struct import *im, const struct tensor *w, float *x, struct err *e)
{
    struct scales s;
    const uint8_t *p = w->data;
    uint64_t rows = tensor_rows(w), cols = tensor_cols(w);
    float value[256];
    if (get_scales(im, w, &s, e) < 0)
        return e->code;
    for (int i = 0; i < 256; i++)
        value[i] = e4m3((uint8_t)i);
    for (uint64_t r = 0; r < rows; r++)
        for (uint64_t c = 0; c < cols;) {
            float scale = (float)scale_at(s.t, r / s.block[0] * s.stride + c / s.block[1]);
            uint64_t end = (c / s.block[1] + 1) * s.block[1];
            for (end = end < cols ? end : cols; c < end; c++, p++, x++) {
                *x = value[*p] * scale;
                if (!isfinite(*x))
                    return err_set(e, ERR_DATA, "tensor %s: beyond F32 at row %" PRIu64, w->name,
                                   r);
            }
        }
    return 0;
}

int import_fp8_check(const struct import *im, const struct tensor *t, struct err *e)
{
    struct scales s;
    const uint8_t *p = t->data;
    if (get_scales(im, t, &s, e) < 0)
        return e->code;
    for (size_t i = 0; i < t->bytes; i++)
        if ((p[i] & 0x7f) == 0x7f)
            return err_set(e, ERR_DATA, "tensor %s: NaN at element %zu", t->name, i);
    return 0;
}

int import_stray_scale(const struct import *im, const struct tensor *t, struct err *e)
{
    const struct tensor *s = im->gguf_names ? NULL : find_scale(im, t->name);
    return s ? err_set(e, ERR_DATA, "tensor %s: scales of weights that are %s, not F8_E4M3",
                       s->name, tensor_type_name(t->type))
             : 0;
}

/* ---- which type ---- */

/* FP8 is no type of ours: its values times their scales are BF16 unless another type is asked for. */
static int kept_type(const struct tensor *t)
{
    return t->type == TENSOR_F8_E4M3 ? KN_BF16 : t->type;
}

/* Norms and biases are only ever widened. */
static int target_type(const struct import *im, const struct tensor *t)
{
    switch (im->opts.type) {
    case IMPORT_KEEP:
        break;
    case IMPORT_F32:
        return KN_F32;
    case IMPORT_F16:
        return t->ndim > 1 ? KN_F16 : kept_type(t);
    case IMPORT_BF16:
        return t->ndim > 1 ? KN_BF16 : kept_type(t);
    }
    return kept_type(t);
}

int import_types(struct import *im, int n, struct err *e)
{
    int *type = malloc(((size_t)n + 1) * sizeof *type), rc = 0;
    if (!type)
        return err_set(e, ERR_NOMEM, "%s: out of memory", im->path);
    for (int i = 0; i < n; i++) {
        type[i] = target_type(im, im->used[i]);
        im->out[i].type = type[i]; /* of what quant_plan looks at */
    }
    if (im->opts.quantize) {
        for (int i = 0; i < n && rc == 0; i++)
            if (quant_loses_twice(im->used[i]->type, im->opts.quantize->base))
                rc = err_set(e, ERR_DATA, "tensor %s: %s is quantized already", im->used[i]->name,
                             tensor_type_name(im->used[i]->type));
        if (rc == 0)
            rc = quant_plan(im->opts.quantize, im->out, n, type, e);
    }
    for (int i = 0; i < n && rc == 0; i++) {
        struct tensor *t = &im->out[i];
        t->type = type[i];
        t->bytes = tensor_bytes(t->type, t->ndim, t->dim);
        t->data = NULL; /* import_fill brings it, and lets go of the source */
    }
    free(type);
    return rc < 0 ? err_prefix(e, "%s", im->path) : 0;
}

/* ---- the bytes ---- */

static int fill_fp8(const struct import *im, const struct tensor *from, const struct tensor *to,
                    void *buf, struct err *e)
{
    struct tensor plain = *from;
    if (to->type == KN_F32)
        return import_fp8(im, from, buf, e);
    plain.type = KN_F32;
    plain.bytes = tensor_bytes(KN_F32, from->ndim, from->dim);
    float *x = plain.bytes ? malloc(plain.bytes) : NULL;
    if (!x)
        return err_set(e, ERR_NOMEM, "out of memory");
    plain.data = x;
    int rc = import_fp8(im, from, x, e);
    if (rc == 0)
        rc = quant_convert(&plain, to->type, buf, im->opts.threads, e);
    free(x);
    return rc;
}

int import_fill(void *arg, int i, void *buf, struct err *e)
{
    const struct import *im = arg;
    const struct tensor *from = im->used[i], *to = &im->out[i];
    int rc = 0;
    if (from->type == TENSOR_F8_E4M3)
        rc = fill_fp8(im, from, to, buf, e);
    else if (from->type == to->type)
        memcpy(buf, from->data, from->bytes);
    else
        rc = quant_convert(from, to->type, buf, im->opts.threads, e);
    import_forget(im, from);
    return rc < 0 ? err_prefix(e, "%s", im->path) : 0;
}
