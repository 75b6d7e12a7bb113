/*
 * cuda_runtime.h - of the host run: as much of CUDA's language and runtime as cuda/ uses,
 * for g++. A test double; see README.md.
 */
#ifndef HOST_RUN_CUDA_RUNTIME_H
#define HOST_RUN_CUDA_RUNTIME_H

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

/* --- language ---------------------------------------------------------------------- */

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __restrict__ __restrict
#define __grid_constant__
#define __launch_bounds__(...)

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c)
    {
    }
};

struct alignas(16) float4 {
    float x, y, z, w;
};

struct alignas(8) uint2 {
    uint32_t x, y;
};

struct alignas(16) uint4 {
    uint32_t x, y, z, w;
};

#if defined(__SANITIZE_THREAD__)
/* For what belongs to the double itself, or that it does for threads other than the one
 * that runs. */
#define HOST_RUN_QUIET __attribute__((no_sanitize("thread")))
#else
#define HOST_RUN_QUIET
#endif

namespace host_run
{

/* Where the running thread is. */
struct Place {
    dim3 thread, block, block_size, grid;
};
extern Place place;

void barrier();
void *shared();
bool in_shared(const void *p, size_t bytes); /* of the running block */

/* What the lanes of a warp bring to an instruction that all execute, and take from it. */
struct Lanes {
    uint32_t in[32][16], out[32][8];
    const void *address[32];
};
Lanes &lanes(); /* of the running thread's warp */
unsigned lane();
/* Waits until all lanes are here; the last to come runs `all` first. */
void converge(void (*all)(Lanes &));

/* As tensor cores round a sum of products to float32 (Fasi, Higham, Mikaitis, Pranesh:
 * Numerical behavior of NVIDIA tensor cores, 2021). */
inline float towards_zero(double x)
{
    float near = (float)x;

    return std::fabs((double)near) > std::fabs(x) && !std::isinf(x)
               ? std::nextafterf(near, 0)
               : near;
}

/* Copies that this thread has begun: delivered when waited for. */
void copy_begin(void *to, const void *from, unsigned bytes, bool zeros);
void copy_commit();
void copy_wait(unsigned pending_groups);

/* Products of warpgroups, from descriptors; done when waited for, each thread's own
 * numbers by itself. proxy_fence: what this thread has copied may be read by them. */
void proxy_fence();
void wgmma_begin(float *d, int n, uint64_t a, uint64_t b, bool a_across, bool b_across);
void wgmma_begin_tf32(float *d, int n, const uint32_t *a, uint64_t b); /* a: registers */
void wgmma_commit();
void wgmma_wait(unsigned pending_groups);

/* Mbarriers, and copies of tensors that arrive at them (tensor.cc). */
void phase_init(uint64_t *barrier, uint32_t arrivals);
void phase_arrive(uint64_t *barrier, uint32_t bytes);
void phase_wait(uint64_t *barrier, uint32_t parity);
void copy_rows(void *to, const void *map, uint64_t *barrier, uint32_t column,
               uint32_t row);
void copy_windows(void *to, const void *map, uint64_t *barrier, uint32_t number, int w,
                  int h, uint32_t image, uint32_t tap_w, uint32_t tap_h);
void transfers_end(); /* of a block */

/* This thread waits until something is so; for TSan, what is known at an object, and
 * told. */
void wait_until(bool (*condition)(const void *, unsigned), const void *of,
                unsigned which);
void acquire(char *object);
void release(char *object);

/* Whether this call is to fail, of a kind of control.h's; 0: one of its own. */
bool must_fail(int kind);

[[noreturn]] void fault(const char *what); /* of the kernel that runs; ends the process */

} // namespace host_run

#define threadIdx (host_run::place.thread)
#define blockIdx (host_run::place.block)
#define blockDim (host_run::place.block_size)
#define gridDim (host_run::place.grid)

#define __syncthreads host_run::barrier

HOST_RUN_QUIET inline float __shfl_xor_sync(unsigned, float value, int other)
{
    host_run::Lanes &lanes = host_run::lanes();
    unsigned lane = host_run::lane();
    float result;

    std::memcpy(&lanes.in[lane][0], &value, sizeof value);
    lanes.in[lane][1] = (uint32_t)other;
    host_run::converge([](host_run::Lanes &l) HOST_RUN_QUIET {
        for (unsigned i = 0; i < 32; i++) l.out[i][0] = l.in[i ^ l.in[i][1]][0];
    });
    std::memcpy(&result, &lanes.out[lane][0], sizeof result);
    return result;
}

HOST_RUN_QUIET inline void __syncwarp()
{
    char *meeting = (char *)&host_run::lanes();

    host_run::release(meeting);
    host_run::converge([](host_run::Lanes &) HOST_RUN_QUIET {});
    host_run::acquire(meeting);
}

inline float atomicExch(float *p, float value)
{
    __atomic_store(p, &value, __ATOMIC_RELAXED);
    return 0; /* the old value: nobody here asks for it */
}

template <class T> T __ldg(const T *p)
{
    return *p;
}

inline float rsqrtf(float x)
{
    return (float)(1 / std::sqrt((double)x));
}

inline unsigned __umulhi(unsigned a, unsigned b)
{
    return (unsigned)((uint64_t)a * b >> 32);
}

/* --- runtime ----------------------------------------------------------------------- */

enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInvalidConfiguration = 9,
    cudaErrorInvalidDevice = 101,
    cudaErrorNoDevice = 100,
    cudaErrorInsufficientDriver = 35,
    cudaErrorPeerAccessAlreadyEnabled = 704,
    cudaErrorLaunchFailure = 719,
    cudaErrorStreamCaptureUnsupported = 900,
    cudaErrorStreamCaptureUnjoined = 904,
    cudaErrorStreamCaptureIsolation = 905,
    cudaErrorStreamCaptureWrongThread = 908
};
enum cudaMemcpyKind {
    cudaMemcpyHostToDevice = 1,
    cudaMemcpyDeviceToHost = 2,
    cudaMemcpyDeviceToDevice = 3,
    cudaMemcpyDefault = 4
};
enum { cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2 };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal = 1 };

enum cudaDeviceAttr {
    cudaDevAttrClockRate = 13,
    cudaDevAttrMemoryClockRate = 36,
    cudaDevAttrGlobalMemoryBusWidth = 37
};

struct cudaDeviceProp {
    char name[256];
    size_t totalGlobalMem, sharedMemPerBlockOptin;
    int multiProcessorCount, major, minor, l2CacheSize;
};

typedef struct host_run_stream *cudaStream_t;
typedef struct host_run_event *cudaEvent_t;
typedef struct host_run_graph *cudaGraph_t;
typedef struct host_run_graph *cudaGraphExec_t;

extern "C" {
const char *cudaGetErrorString(cudaError_t error);
const char *cudaGetErrorName(cudaError_t error);
cudaError_t cudaGetLastError();
cudaError_t cudaGetDeviceCount(int *count);
cudaError_t cudaDriverGetVersion(int *version);
cudaError_t cudaRuntimeGetVersion(int *version);
cudaError_t cudaGetDevice(int *device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *prop, int device);
cudaError_t cudaDeviceCanAccessPeer(int *can, int device, int peer);
cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned flags);
cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total);
cudaError_t cudaMalloc(void **out, size_t bytes);
cudaError_t cudaFree(void *memory);
enum cudaMemoryType {
    cudaMemoryTypeUnregistered,
    cudaMemoryTypeHost,
    cudaMemoryTypeDevice
};
struct cudaPointerAttributes {
    cudaMemoryType type;
};
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes *attributes, const void *p);
cudaError_t cudaMallocHost(void **out, size_t bytes);
#define cudaFreeHost cudaFree
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t begin, cudaEvent_t end);
cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int device);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from,
                              size_t from_pitch, size_t width, size_t height,
                              cudaMemcpyKind kind, cudaStream_t stream);
#define cudaMemcpyAsync(to, from, bytes, kind, stream)                                   \
    cudaMemcpy2DAsync(to, bytes, from, bytes, bytes, 1, kind, stream)
cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *out);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph,
                                 unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
#define cudaGraphExecDestroy cudaGraphDestroy
enum cudaDriverEntryPointQueryResult {
    cudaDriverEntryPointSuccess,
    cudaDriverEntryPointSymbolNotFound
};
enum { cudaEnableDefault = 0 };
cudaError_t cudaGetDriverEntryPointByVersion(const char *name, void **function,
                                             unsigned version, unsigned long long flags,
                                             cudaDriverEntryPointQueryResult *found);
}

namespace host_run
{

/* Runs a block to its end. */
void run_block(dim3 grid, dim3 index, dim3 block, size_t shared_bytes,
               void (*run)(const void *kernel, const void *params), const void *kernel,
               const void *params);
cudaError_t allow_shared(const void *kernel, int bytes);
/* `run` calls the kernel, once for each thread; `params` is kept until the block runs. */
cudaError_t launch(const void *kernel, dim3 grid, dim3 block, size_t shared_bytes,
                   cudaStream_t stream,
                   void (*run)(const void *kernel, const void *params),
                   const void *params, size_t params_bytes);
} // namespace host_run

template <class Params>
cudaError_t cudaFuncSetAttribute(void (*kernel)(Params), cudaFuncAttribute, int value)
{
    return host_run::allow_shared((const void *)kernel, value);
}

/* Kernels have one parameter, a struct. */
template <class Params>
cudaError_t cudaLaunchKernel(void (*kernel)(Params), dim3 grid, dim3 block, void **args,
                             size_t shared_bytes, cudaStream_t stream)
{
    return host_run::launch((const void *)kernel, grid, block, shared_bytes, stream,
                            [](const void *k, const void *params) {
                                ((void (*)(Params))k)(*(const Params *)params);
                            },
                            args[0], sizeof(Params));
}

#endif
