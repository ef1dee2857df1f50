/* runtime.h - the CUDA runtime's calls on the host: memory, streams, graphs, launches (included by cuda_runtime.h) */
#ifndef EMULATE_RUNTIME_H
#define EMULATE_RUNTIME_H

enum cudaError_t {
    cudaSuccess,
    cudaErrorMemoryAllocation,
    cudaErrorInsufficientDriver,
    cudaErrorNoDevice
};
enum cudaMemcpyKind {
    cudaMemcpyHostToDevice,
    cudaMemcpyDeviceToHost,
    cudaMemcpyDeviceToDevice,
    cudaMemcpyDefault
};
enum {
    cudaStreamNonBlocking,
    cudaHostAllocMapped,
    cudaEventDisableTiming,
    cudaStreamCaptureModeThreadLocal,
    CUDART_VERSION = 13000
};
enum cudaDeviceAttr {
    cudaDevAttrComputeCapabilityMajor,
    cudaDevAttrComputeCapabilityMinor,
    cudaDevAttrMultiProcessorCount,
    cudaDevAttrMaxSharedMemoryPerMultiprocessor,
    cudaDevAttrMaxSharedMemoryPerBlockOptin
};
enum {
    cudaFuncAttributeMaxDynamicSharedMemorySize,
    cudaLaunchAttributeProgrammaticStreamSerialization,
    cudaLaunchAttributeClusterDimension
};
typedef struct emu_graph {
    std::vector<std::function<void()>> call;
} * cudaGraph_t, *cudaGraphExec_t;
typedef struct emu_stream {
    cudaGraph_t recording;
} * cudaStream_t;
typedef int *cudaEvent_t;
struct cudaDeviceProp {
    char name[256];
    int major, minor;
    unsigned char uuid[16];
};
struct cudaFuncAttributes {
    int n;
};
struct cudaLaunchAttribute {
    int id;
    struct {
        int programmaticStreamSerializationAllowed;
        struct {
            unsigned x, y, z;
        } clusterDim;
    } val;
};
struct cudaLaunchConfig_t {
    dim3 gridDim, blockDim;
    size_t dynamicSmemBytes;
    cudaStream_t stream;
    cudaLaunchAttribute *attrs;
    unsigned numAttrs;
};

static inline const char *cudaGetErrorString(cudaError_t e)
{
    return e == cudaErrorMemoryAllocation ? "out of memory" : "an error";
}
static inline cudaError_t cudaGetLastError(void)
{
    return cudaSuccess;
}
static inline cudaError_t cudaDriverGetVersion(int *v)
{
    *v = CUDART_VERSION;
    return cudaSuccess;
}
static inline cudaError_t cudaGetDeviceCount(int *n)
{
    *n = 1;
    return cudaSuccess;
}
static inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int)
{
    *p = {"emulated", 9, 0, {0}};
    return cudaSuccess;
}
static inline cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *a, const void *)
{
    a->n = 0;
    return cudaSuccess;
}
static inline cudaError_t cudaFuncSetAttribute(const void *, int, int)
{
    return cudaSuccess;
}
static inline cudaError_t cudaDeviceGetAttribute(int *v, cudaDeviceAttr a, int)
{
    /* 9.1, which is not Hopper */
    *v = a == cudaDevAttrComputeCapabilityMajor   ? 9
         : a == cudaDevAttrComputeCapabilityMinor ? 1
         : a == cudaDevAttrMultiProcessorCount    ? 4
                                                  : 227 << 10;
    return cudaSuccess;
}
static inline cudaError_t cudaMemGetInfo(size_t *left, size_t *all)
{
    *left = *all = (size_t)1 << 30;
    return cudaSuccess;
}
template <class T> static inline cudaError_t cudaMalloc(T **p, size_t n)
{
    *p = (T *)aligned_alloc(256, (n + 255) / 256 * 256);
    if (!*p)
        return cudaErrorMemoryAllocation;
    memset((void *)*p, 0xff, n);
    return cudaSuccess;
}
template <class T> static inline cudaError_t cudaMallocHost(T **p, size_t n)
{
    return cudaMalloc(p, n);
}
template <class T> static inline cudaError_t cudaHostAlloc(T **p, size_t n, int)
{
    return cudaMalloc(p, n);
}
static inline cudaError_t cudaFree(void *p)
{
    free(p);
    return cudaSuccess;
}
static inline cudaError_t cudaFreeHost(void *p)
{
    free(p);
    return cudaSuccess;
}
static inline cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t n, cudaMemcpyKind,
                                          cudaStream_t)
{
    memcpy(to, from, n);
    return cudaSuccess;
}
static inline cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from,
                                            size_t from_pitch, size_t width, size_t height,
                                            cudaMemcpyKind, cudaStream_t)
{
    for (size_t i = 0; i < height; i++)
        memcpy((char *)to + i * to_pitch, (const char *)from + i * from_pitch, width);
    return cudaSuccess;
}
static inline cudaError_t cudaMemsetAsync(void *p, int v, size_t n, cudaStream_t)
{
    memset(p, v, n);
    return cudaSuccess;
}
static inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, int)
{
    *s = new emu_stream{NULL};
    return cudaSuccess;
}
static inline cudaError_t cudaStreamDestroy(cudaStream_t s)
{
    delete s;
    return cudaSuccess;
}
static inline cudaError_t cudaStreamSynchronize(cudaStream_t)
{
    return cudaSuccess;
}
static inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, int)
{
    *e = new int;
    return cudaSuccess;
}
static inline cudaError_t cudaEventDestroy(cudaEvent_t e)
{
    delete e;
    return cudaSuccess;
}
static inline cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t)
{
    return cudaSuccess;
}
static inline cudaError_t cudaEventSynchronize(cudaEvent_t)
{
    return cudaSuccess;
}
static inline cudaError_t cudaStreamBeginCapture(cudaStream_t s, int)
{
    s->recording = new emu_graph;
    return cudaSuccess;
}
static inline cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *g)
{
    *g = s->recording;
    s->recording = NULL;
    return cudaSuccess;
}
static inline cudaError_t cudaGraphInstantiate(cudaGraphExec_t *e, cudaGraph_t g, int)
{
    *e = new emu_graph(*g);
    return cudaSuccess;
}
static inline cudaError_t cudaGraphDestroy(cudaGraph_t g)
{
    delete g;
    return cudaSuccess;
}
static inline cudaError_t cudaGraphExecDestroy(cudaGraphExec_t g)
{
    delete g;
    return cudaSuccess;
}
static inline cudaError_t cudaGraphLaunch(cudaGraphExec_t g, cudaStream_t)
{
    for (auto &f : g->call)
        f();
    return cudaSuccess;
}

/* a launch, made now or recorded */
template <class... P>
static inline void emu_start(cudaStream_t s, dim3 grid, dim3 block, size_t shared, void (*f)(P...),
                             std::type_identity_t<P>... a)
{
    auto call = [=] { emu_run(grid, block, shared, [=] { f(a...); }); };
    if (s->recording)
        s->recording->call.push_back(call);
    else
        call();
}
template <class... P, class... A>
static inline cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t *c, void (*f)(P...), A... a)
{
    emu_start(c->stream, c->gridDim, c->blockDim, c->dynamicSmemBytes, f, a...);
    return cudaSuccess;
}
/* f<<<grid, block, shared, stream>>>(...), rewritten */
template <class... P>
static inline auto emu_launch(void (*f)(P...), dim3 grid, dim3 block, size_t shared, cudaStream_t s)
{
    return [=](std::type_identity_t<P>... a) { emu_start(s, grid, block, shared, f, a...); };
}
#endif
