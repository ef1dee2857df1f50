/* device - the CUDA device: opening, memory, graphs, and its table of calls */
#include "cuda/train_ops.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LANDING = 4 << 20 }; /* bytes of a piece of what is read */

int cu_status(struct kn_dev *d, cudaError_t err, const char *what)
{
    if (err == cudaSuccess)
        return KN_OK;
    snprintf(d->why, sizeof d->why, "%s: %s", what, cudaGetErrorString(err));
    return err == cudaErrorMemoryAllocation ? KN_ENOMEM : KN_EDEVICE;
}

__global__ static void probe(void)
{
}

/* The card, and that this build has code for it. */
static int check_card(struct kn_dev *d)
{
    int count = 0, driver = 0;
    cudaDeviceProp p;
    cudaFuncAttributes a;
    cudaDriverGetVersion(&driver);
    if (driver == 0) {
        snprintf(d->why, sizeof d->why, "no NVIDIA driver");
        return KN_EDEVICE;
    }
    cudaError_t err = cudaGetDeviceCount(&count);
    if (err == cudaErrorInsufficientDriver) {
        snprintf(d->why, sizeof d->why, "the driver has CUDA %d.%d, this build needs %d.%d",
                 driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000,
                 CUDART_VERSION % 1000 / 10);
        return KN_EDEVICE;
    }
    if (err == cudaSuccess && count == 0)
        err = cudaErrorNoDevice;
    int rc = cu_status(d, err, "looking for a card");
    if (rc != KN_OK || (rc = cu_status(d, cudaGetDeviceProperties(&p, 0), "card 0")) != KN_OK)
        return KN_EDEVICE;
    if (cudaFuncGetAttributes(&a, (const void *)probe) != cudaSuccess) {
        cudaGetLastError();
        snprintf(d->why, sizeof d->why,
                 "%.60s is of compute capability %d.%d, for which this build has no code "
                 "(CUDA_ARCH)",
                 p.name, p.major, p.minor);
        return KN_EDEVICE;
    }
    return KN_OK;
}

/* The version that the driver's module says it has, "?" if it says none. */
static void driver_version(char *to, size_t size)
{
    char line[256] = "", *p = line;
    FILE *f = fopen("/proc/driver/nvidia/version", "r");
    snprintf(to, size, "?");
    if (!f)
        return;
    if (fgets(line, sizeof line, f))
        for (char *word; (word = strsep(&p, " \t\n")) != NULL;)
            if (word[0] >= '0' && word[0] <= '9' && strchr(word, '.')) {
                snprintf(to, size, "%.30s", word);
                break;
            }
    fclose(f);
}

/* What results could depend on. */
static void name_hardware(struct kn_dev *d)
{
    cudaDeviceProp p;
    char version[32];
    int cuda = 0;
    driver_version(version, sizeof version);
    cudaDriverGetVersion(&cuda);
    if (cudaGetDeviceProperties(&p, 0) == cudaSuccess)
        snprintf(d->hardware, sizeof d->hardware, "%.80s, driver %s, CUDA %d.%d", p.name, version,
                 cuda / 1000, cuda % 1000 / 10);
}

static int cu_open(struct kn_dev *dev, const char *opt, int n_threads)
{
    (void)n_threads;
    const int exact = strcmp(opt, "exact") == 0;
    if (*opt && !exact) {
        snprintf(dev->why, sizeof dev->why, "expected cuda or cuda:exact");
        return KN_EDEVICE;
    }
    int rc = check_card(dev);
    if (rc != KN_OK)
        return rc;
    struct cu_dev *c = (struct cu_dev *)calloc(1, sizeof *c);
    if (!c)
        return KN_ENOMEM;
    if ((rc = cu_status(dev, cudaStreamCreateWithFlags(&c->stream, cudaStreamNonBlocking),
                        "a stream")) != KN_OK ||
        (rc = cu_status(dev, cudaMallocHost(&c->landing, LANDING), "room for results")) != KN_OK) {
        free(c);
        return rc;
    }
    int major = 0, minor = 0;
    cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0);
    cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0);
    cudaDeviceGetAttribute(&c->processors, cudaDevAttrMultiProcessorCount, 0);
    c->early = major >= 9;
    c->hopper = major == 9 && minor == 0;
    dev->priv = c;
    name_hardware(dev);
    snprintf(dev->name, sizeof dev->name, exact ? "cuda:exact" : "cuda");
    dev->n_threads = 1;
    dev->exact = exact;
    dev->step = exact ? ACT_ROWS : 2048;
    return KN_OK;
}

static void cu_close(struct kn_dev *dev)
{
    struct cu_dev *c = cu_dev(dev);
    cudaStreamSynchronize(c->stream);
    for (struct cu_old *o = c->old, *next; o; o = next) {
        next = o->next;
        cudaFree(o->p);
        free(o);
    }
    for (int i = 0; i < CU_ROOMS; i++)
        cudaFree(c->room[i].p);
    cudaFree(c->act.q);
    cudaFree(c->wide.x);
    cudaFree(c->wide.h);
    cudaFree(c->wide.w[0]);
    cudaFree(c->wide.w[1]);
    cudaFree(c->stage);
    cudaFree(c->first);
    cudaFree(c->books);
    cudaFreeHost(c->landing);
    cudaStreamDestroy(c->stream);
    free(c);
}

static int cu_alloc(struct kn_dev *d, size_t bytes, struct kn_buf **out)
{
    struct cu_buf *b = (struct cu_buf *)calloc(1, sizeof *b);
    if (!b)
        return KN_ENOMEM;
    const size_t whole = bytes ? bytes : 1;
    int rc = cu_status(d, cudaMalloc(&b->p, whole), "a buffer");
    if (rc == KN_OK)
        rc = cu_status(d, cudaMemsetAsync(b->p, 0, whole, cu_dev(d)->stream), "a buffer");
    if (rc != KN_OK) {
        cudaFree(b->p);
        free(b);
        return rc;
    }
    *out = &b->buf;
    return KN_OK;
}

static int cu_alloc_host(struct kn_dev *d, size_t bytes, struct kn_buf **out)
{
    struct cu_buf *b = (struct cu_buf *)calloc(1, sizeof *b);
    if (!b)
        return KN_ENOMEM;
    const size_t whole = bytes ? bytes : 1;
    int rc = cu_status(d, cudaHostAlloc(&b->p, whole, cudaHostAllocMapped), "a buffer");
    if (rc != KN_OK) {
        free(b);
        return rc;
    }
    memset(b->p, 0, whole);
    b->host = 1;
    *out = &b->buf;
    return KN_OK;
}

static void *cu_host(struct kn_dev *d, struct kn_at a)
{
    const struct cu_buf *b = (const struct cu_buf *)a.buf;
    (void)d;
    return b->host ? b->p + a.off : NULL;
}

static void cu_free(struct kn_dev *d, struct kn_buf *buf)
{
    struct cu_buf *b = (struct cu_buf *)buf;
    cudaStreamSynchronize(cu_dev(d)->stream);
    if (b->host)
        cudaFreeHost(b->p);
    else
        cudaFree(b->p);
    free(b);
}

static int cu_sync(struct kn_dev *d)
{
    return cu_status(d, cudaStreamSynchronize(cu_dev(d)->stream), "waiting for the card");
}

/* The caller may change src at once. */
static int cu_write(struct kn_dev *d, struct kn_at dst, const void *src, size_t bytes)
{
    int rc =
        cu_status(d, cudaMemcpyAsync(cu_f32(dst), src, bytes, cudaMemcpyDefault, cu_dev(d)->stream),
                  "to the card");
    return rc != KN_OK ? rc : cu_sync(d);
}

static int cu_read(struct kn_dev *d, void *dst, struct kn_at src, size_t bytes)
{
    int rc = cu_status(
        d, cudaMemcpyAsync(dst, cu_f32(src), bytes, cudaMemcpyDeviceToHost, cu_dev(d)->stream),
        "from the card");
    return rc != KN_OK ? rc : cu_sync(d);
}

int cu_forget(struct kn_dev *d, void *p)
{
    struct cu_dev *c = cu_dev(d);
    struct cu_old *old = p ? (struct cu_old *)calloc(1, sizeof *old) : NULL;
    if (!old)
        return p ? KN_ENOMEM : KN_OK;
    *old = (struct cu_old){c->old, p};
    c->old = old;
    return KN_OK;
}

int cu_reserve(struct kn_dev *d, int k)
{
    struct cu_dev *c = cu_dev(d);
    const size_t n = ((size_t)k + 255) / 256 * 256;
    if ((size_t)c->act_k >= n)
        return KN_OK;
    char *p = NULL;
    int rc = cu_status(d, cudaMalloc(&p, ACT_ROWS * (2 * n + n / 16 * 2 + n / 32 * 4)),
                       "room for activations");
    if (rc == KN_OK && (rc = cu_forget(d, c->act.q)) != KN_OK)
        cudaFree(p);
    if (rc != KN_OK)
        return rc;
    c->act_k = (int)n;
    c->act.q = (int8_t *)p;
    c->act.sum = (int32_t *)(p + ACT_ROWS * 2 * n);
    c->act.scale = (float *)(p + ACT_ROWS * (2 * n + n / 16 * 2));
    return KN_OK;
}

/* ---- a step as a graph ---- */

static int cu_graph_begin(struct kn_dev *d)
{
    return cu_status(d, cudaStreamBeginCapture(cu_dev(d)->stream, cudaStreamCaptureModeThreadLocal),
                     "a graph");
}

static int cu_graph_end(struct kn_dev *d, struct kn_graph **out)
{
    cudaGraph_t g;
    cudaGraphExec_t e = NULL;
    int rc = cu_status(d, cudaStreamEndCapture(cu_dev(d)->stream, &g), "a graph");
    if (rc != KN_OK)
        return rc;
    rc = cu_status(d, cudaGraphInstantiate(&e, g, 0), "a graph");
    cudaGraphDestroy(g);
    *out = (struct kn_graph *)e;
    return rc;
}

static int cu_graph_launch(struct kn_dev *d, struct kn_graph *g)
{
    return cu_status(d, cudaGraphLaunch((cudaGraphExec_t)g, cu_dev(d)->stream), "a graph");
}

static void cu_graph_free(struct kn_dev *d, struct kn_graph *g)
{
    (void)d;
    cudaGraphExecDestroy((cudaGraphExec_t)g);
}

extern "C" {
extern const struct kn_ops kn_cuda_ops;
__attribute__((visibility("default"))) const struct kn_ops kn_cuda_ops = {
    .version = KN_VERSION,
    .name = "cuda",
    .open = cu_open,
    .close = cu_close,
    .alloc = cu_alloc,
    .alloc_host = cu_alloc_host,
    .free = cu_free,
    .write = cu_write,
    .read = cu_read,
    .host = cu_host,
    .sync = cu_sync,
    .graph_begin = cu_graph_begin,
    .graph_end = cu_graph_end,
    .graph_launch = cu_graph_launch,
    .graph_free = cu_graph_free,
    .weight_new = cu_weight_new,
    .weight_free = cu_weight_free,
    .batch_new = cu_batch_new,
    .batch_set = cu_batch_set,
    .batch_free = cu_batch_free,
    .kv_new = cu_kv_new,
    .kv_copy = cu_kv_copy,
    .kv_free = cu_kv_free,
    .embed = cu_embed,
    .rms_norm = cu_rms_norm,
    .matmul = cu_matmul,
    .rope = cu_rope,
    .kv_write = cu_kv_write,
    .attention = cu_attention,
    .swiglu = cu_swiglu,
    .take_out = cu_take_out,
    .layer_norm = cu_layer_norm,
    .glu = cu_glu,
    .map = cu_map,
    .take_rows = cu_take_rows,
    .add_rows = cu_add_rows,
    .moe_route = cu_moe_route,
    .qkv = cu_qkv,
    .ffn = cu_ffn,
    .head = cu_head,
    .attn_out = cu_attn_out,
    .argmax = cu_argmax,
    .top = cu_top,
    .train = &cu_train_ops,
};
}
