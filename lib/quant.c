/* quant - one tensor to another type, on threads, with every value checked */
#include "quant.h"
#include "blocks.h"
#include "mapfile.h"
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- one tensor ---- */

enum { CHUNK = 1 << 16 }; /* values: a multiple of every block; 256 KiB of f32 a thread */

struct job {
    const struct tensor *t;
    int type;
    char *dst;
    const float *weight;     /* or NULL */
    uint64_t cols, mat_rows; /* weight[row / mat_rows][col] */
    uint64_t chunk;          /* values of one: CHUNK, or whole rows where there are weights */
    float *absmax;           /* of NF4's blocks: filled by the first pass */
    int pass;
    uint64_t count, n_chunk;
    float limit;                /* of magnitudes that the type can hold */
    _Atomic uint64_t next, bad; /* first chunk not taken; lowest index of a value refused */
};

static void note_bad(struct job *j, uint64_t i)
{
    uint64_t old = atomic_load(&j->bad);
    while (i < old && !atomic_compare_exchange_weak(&j->bad, &old, i))
        ;
}

/* n values from `first` on, already widened and checked */
static void convert_values(struct job *j, const float *x, uint64_t first, size_t n)
{
    if (j->type == KN_NF4) {
        if (j->pass == 0)
            kn_nf4_absmax(x, n, j->absmax + first / KN_NF4_BLOCK);
        else
            kn_nf4_codes(x, n, j->absmax + first / KN_NF4_BLOCK, (uint8_t *)j->dst + first / 2);
        return;
    }
    char *dst = j->dst + kn_row_bytes(j->type, (size_t)first);
    if (!j->weight) {
        kn_quantize(j->type, x, dst, n);
        return;
    }
    const size_t cols = (size_t)j->cols, bytes = kn_row_bytes(j->type, cols);
    for (size_t i = 0; i < n; i += cols, dst += bytes) {
        uint64_t mat = (first + i) / cols / j->mat_rows;
        kn_quantize_row(j->type, x + i, dst, cols, j->weight + mat * cols);
    }
}

static void *convert_chunks(void *arg)
{
    struct job *j = arg;
    float *x = malloc((size_t)j->chunk * sizeof *x);
    if (!x)
        return NULL; /* the other threads take the chunks; if none is left, quant_convert sees it */
    for (uint64_t c; (c = atomic_fetch_add(&j->next, 1)) < j->n_chunk;) {
        uint64_t first = c * j->chunk, left = j->count - first;
        size_t n = left < j->chunk ? (size_t)left : (size_t)j->chunk;
        tensor_values(j->t, first, x, n);
        size_t i = kn_first_beyond(x, n, j->limit);
        if (i < n)
            note_bad(j, first + i);
        else if (j->type == KN_NF4 && j->t->type == KN_NF4)
            continue; /* copied whole, once all is checked */
        else if (j->type == j->t->type)
            memcpy(j->dst + kn_row_bytes(j->type, (size_t)first),
                   (const char *)j->t->data + kn_row_bytes(j->type, (size_t)first),
                   kn_row_bytes(j->type, n));
        else
            convert_values(j, x, first, n);
    }
    free(x);
    return NULL;
}

static int refuse(const struct job *j, struct err *e)
{
    const struct tensor *t = j->t;
    uint64_t bad = j->bad, cols = tensor_cols(t), at = bad - bad % CHUNK;
    float *x = malloc(CHUNK * sizeof *x);
    if (!x)
        return err_set(e, ERR_NOMEM, "tensor %s: out of memory", t->name);
    size_t n = j->count - at < CHUNK ? (size_t)(j->count - at) : CHUNK;
    tensor_values(t, at, x, n);
    double v = x[bad - at];
    free(x);
    if (!isfinite(v))
        return err_set(e, ERR_DATA,
                       "tensor %s: element %" PRIu64 " (row %" PRIu64 ", column %" PRIu64
                       ") is %s, expected a finite number",
                       t->name, bad, bad / cols, bad % cols, isnan(v) ? "NaN" : "infinite");
    return err_set(e, ERR_DATA,
                   "tensor %s: element %" PRIu64 " (row %" PRIu64 ", column %" PRIu64
                   ") is %g, beyond what %s holds (%g)",
                   t->name, bad, bad / cols, bad % cols, v, kn_type_info(j->type)->name,
                   (double)j->limit);
}

static int all_cores(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

static void run_threads(struct job *j, int n_threads)
{
    enum { MAX_THREADS = 256 };
    pthread_t thread[MAX_THREADS];
    int n = n_threads > 0 ? n_threads : all_cores(), started = 0;
    n = n < MAX_THREADS ? n : MAX_THREADS;
    atomic_store(&j->next, 0);
    while (started < n - 1 && (uint64_t)started + 1 < j->n_chunk &&
           pthread_create(&thread[started], NULL, convert_chunks, j) == 0)
        started++;
    convert_chunks(j);
    for (int i = 0; i < started; i++)
        pthread_join(thread[i], NULL);
}

static int check_job(const struct job *j, size_t n_weight, struct err *e)
{
    const struct tensor *t = j->t;
    size_t bytes;
    if (!tensor_is_weight(t->type) || !tensor_is_weight(j->type))
        return err_set(e, ERR_DATA, "tensor %s: cannot convert %s to %s", t->name,
                       tensor_type_name(t->type), tensor_type_name(j->type));
    if (!tensor_size(j->type, t->ndim, t->dim, &bytes))
        return err_set(e, ERR_DATA,
                       "tensor %s: %" PRIu64 " columns do not divide into blocks of %s", t->name,
                       tensor_cols(t), tensor_type_name(j->type));
    if (!tensor_size(t->type, t->ndim, t->dim, &bytes) || bytes != t->bytes || (bytes && !t->data))
        return err_set(e, ERR_DATA, "tensor %s: %s of this shape takes %zu bytes, found %zu",
                       t->name, tensor_type_name(t->type), bytes, t->bytes);
    if (j->weight && (!j->cols || n_weight % j->cols || tensor_rows(t) % (n_weight / j->cols)))
        return err_set(e, ERR_DATA,
                       "tensor %s: %zu weights of columns do not fit %" PRIu64 " columns", t->name,
                       n_weight, j->cols);
    return 0;
}

int quant_convert_weighted(const struct tensor *t, int type, const float *weight, size_t n_weight,
                           void *dst, int n_threads, struct err *e)
{
    struct job j = {.t = t, .type = type, .dst = dst, .bad = UINT64_MAX, .chunk = CHUNK};
    int rc;
    if (quant_is_rounded(type) && type != KN_NF4 && type != t->type)
        j.weight = weight;
    j.cols = tensor_cols(t);
    if ((rc = check_job(&j, n_weight, e)) < 0)
        return rc;
    j.count = tensor_count(t);
    if (j.weight) {
        if (!j.count)
            return 0;
        j.mat_rows = tensor_rows(t) / (n_weight / j.cols);
        j.chunk = j.cols < CHUNK ? CHUNK / j.cols * j.cols : j.cols;
    }
    j.n_chunk = (j.count + j.chunk - 1) / j.chunk;
    /* blocks hold f16 scales; 65504 is the largest f16, 0x1.fep127 the largest bf16 */
    j.limit = type == KN_F32 ? 0x1.fffffep127f : type == KN_BF16 ? 0x1.fep127f : 65504.0f;
    if (type == t->type && quant_is_rounded(type))
        j.limit = 0x1.fffffep127f; /* copied: it need only be finite */
    if (type == KN_NF4 && t->type != KN_NF4 &&
        !(j.absmax = calloc((size_t)(j.count / KN_NF4_BLOCK + 1), sizeof *j.absmax)))
        return err_set(e, ERR_NOMEM, "tensor %s: out of memory", t->name);
    run_threads(&j, n_threads);
    rc = j.bad != UINT64_MAX ? refuse(&j, e)
         : atomic_load(&j.next) < j.n_chunk
             ? err_set(e, ERR_NOMEM, "tensor %s: out of memory", t->name)
             : 0;
    if (rc == 0 && j.absmax) { /* scales first: codes are taken with the exact ones */
        kn_nf4_nest(j.absmax, (size_t)j.count, dst);
        j.pass = 1;
        run_threads(&j, n_threads);
        if (atomic_load(&j.next) < j.n_chunk)
            rc = err_set(e, ERR_NOMEM, "tensor %s: out of memory", t->name);
    } else if (rc == 0 && type == KN_NF4) {
        memcpy(dst, t->data, t->bytes);
    }
    free(j.absmax);
    return rc;
}

int quant_convert(const struct tensor *t, int type, void *dst, int n_threads, struct err *e)
{
    return quant_convert_weighted(t, type, NULL, 0, dst, n_threads, e);
}
