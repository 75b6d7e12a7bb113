/*
 * backend.cu - CUDA devices, their memory, and the backend's tables, which the plugin
 * exports.
 */
#include <stdio.h>
#include <string.h>

#include "runtime/device.h"

/* --- failures ---------------------------------------------------------------------- */

bool an__cuda_ours(const an_device *device)
{
    return device->process == device->host->process();
}

an_status an__cuda_alive(an_device *device)
{
    if (!an__cuda_ours(device))
        return device->host->fail(
            AN_ERROR_FORKED,
            "cuda:%d was opened by the process that this one was forked from",
            device->index);
    if (device->lost == cudaSuccess) return AN_OK;
    return device->host->fail(AN_ERROR_DEVICE, "cuda:%d is lost: %s", device->index,
                              cudaGetErrorString(device->lost));
}

/* A call that may not be made while a stream is captured spoils the capture, not the
 * device. */
static bool of_a_capture(cudaError_t error)
{
    return error >= cudaErrorStreamCaptureUnsupported &&
           error <= cudaErrorStreamCaptureWrongThread;
}

/* After some errors (a kernel's fault, a card that fell off the bus) no call works any
 * more. To find out, one that always works is tried. */
static void note_loss(an_device *device, cudaError_t error)
{
    size_t unused, total;
    cudaError_t asked;

    if (of_a_capture(error)) return;
    asked = cudaMemGetInfo(&unused, &total);
    if (asked == cudaSuccess) return;
    cudaGetLastError();
    if (!of_a_capture(asked)) device->lost = error;
}

an_status an__cuda_check(an_device *device, cudaError_t error, const char *what)
{
    if (error == cudaSuccess) return AN_OK;
    cudaGetLastError(); /* so that the host's own next call does not find it */
    note_loss(device, error);
    return device->host->fail(
        error == cudaErrorMemoryAllocation ? AN_ERROR_DEVICE_MEMORY : AN_ERROR_DEVICE,
        "cuda:%d: %s failed: %s", device->index, what, cudaGetErrorString(error));
}

/* --- devices ----------------------------------------------------------------------- */

/* Why there is no device. */
static const char *no_device(cudaError_t error)
{
    int driver = 0;

    if (cudaDriverGetVersion(&driver) != cudaSuccess) cudaGetLastError();
    return driver == 0 ? "there is no NVIDIA driver" : cudaGetErrorString(error);
}

/* Without a driver there are no devices, which is no failure here; cuda_open() says why
 * if it is asked for one. */
static an_status cuda_count(const an_host *host, uint32_t *count)
{
    int found = 0;

    (void)host;
    if (cudaGetDeviceCount(&found) != cudaSuccess) {
        cudaGetLastError();
        found = 0;
    }
    *count = found > AN_CUDA_DEVICES ? AN_CUDA_DEVICES : (uint32_t)found;
    return AN_OK;
}

/* Operations a clock of a multiprocessor, by an_precision: NVIDIA's whitepapers on A100
 * and H100, dense, summed in float32. */
static const struct {
    int major, minor;
    double rate[4];
} rates[] = {{8, 0, {128, 1024, 2048, 1024 / 3.0}},
             {9, 0, {256, 2048, 4096, 2048 / 3.0}}};

static void describe_limits(an_device_info *info, int device, int major, int minor)
{
    int clock = 0, memory_clock = 0, width = 0; /* kHz, kHz, bits */

    cudaDeviceGetAttribute(&clock, cudaDevAttrClockRate, device);
    cudaDeviceGetAttribute(&memory_clock, cudaDevAttrMemoryClockRate, device);
    cudaDeviceGetAttribute(&width, cudaDevAttrGlobalMemoryBusWidth, device);
    cudaGetLastError();
    info->memory_rate = 2e3 * memory_clock * (width / 8.0); /* two a clock */
    for (const auto &r : rates)
        for (int p = 0; p < 4 && r.major == major && r.minor == minor; p++)
            info->flops[p] = 1e3 * clock * info->units * r.rate[p];
}

static an_status cuda_describe(const an_host *host, uint32_t index, an_device_info *info)
{
    cudaDeviceProp properties;
    cudaError_t error = cudaGetDeviceProperties(&properties, (int)index);

    if (error != cudaSuccess) {
        cudaGetLastError();
        return host->fail(AN_ERROR_DEVICE, "cuda:%u: %s", index,
                          cudaGetErrorString(error));
    }
    snprintf(info->backend, sizeof info->backend, "cuda");
    snprintf(info->device, sizeof info->device, "cuda:%u", index);
    snprintf(info->name, sizeof info->name, "%.80s", properties.name);
    info->memory = properties.totalGlobalMem;
    info->units = (uint32_t)properties.multiProcessorCount;
    describe_limits(info, (int)index, properties.major, properties.minor);
    return AN_OK;
}

bool an__cuda_peers(an_device *to, const an_device *from)
{
    signed char *known = &to->peer[from->index];
    an_use use(to);
    int can = 0;

    if (*known == 0) {
        cudaError_t error = cudaDeviceCanAccessPeer(&can, to->index, from->index);

        if (error == cudaSuccess && can)
            error = cudaDeviceEnablePeerAccess(from->index, 0);
        *known =
            can && (error == cudaSuccess || error == cudaErrorPeerAccessAlreadyEnabled)
                ? 1
                : -1;
        cudaGetLastError();
    }
    return *known > 0;
}

static an_status cuda_open(an_device **out, uint32_t index, const an_host *host)
{
    an_device *device;
    cudaDeviceProp properties;
    int found = 0;
    cudaError_t error = cudaGetDeviceCount(&found);

    if (error != cudaSuccess) {
        cudaGetLastError();
        return host->fail(AN_ERROR_DEVICE, "devices: \"cuda:%u\", but cuda has 0: %s",
                          index, no_device(error));
    }
    device = (an_device *)host->alloc(sizeof *device, host->user);
    if (device == NULL) return AN_ERROR_MEMORY;
    memset(device, 0, sizeof *device);
    device->host = host;
    device->index = (int)index;
    device->process = host->process();
    error = cudaGetDeviceProperties(&properties, device->index);
    if (error != cudaSuccess || properties.major < 8) {
        cudaGetLastError();
        host->release(device, host->user);
        return error != cudaSuccess
                   ? host->fail(AN_ERROR_DEVICE, "cuda:%u: %s", index,
                                cudaGetErrorString(error))
                   : host->fail(
                         AN_ERROR_DEVICE,
                         "cuda:%u is of compute capability %d.%d: 8.0 is the least",
                         index, properties.major, properties.minor);
    }
    device->shared_bytes = properties.sharedMemPerBlockOptin;
    /* Whose tiles are made for the 227 KiB that a block can have there. */
    device->wgmma = properties.major == 9 && properties.minor == 0 &&
                    device->shared_bytes >= 227 * 1024;
    device->processors = (uint32_t)properties.multiProcessorCount;
    if (device->wgmma && !an__cuda_tensor_maps(device)) {
        host->release(device, host->user);
        return host->fail(
            AN_ERROR_DEVICE,
            "cuda:%u: the driver makes no tensor maps: one for CUDA 12 is the "
            "oldest that does",
            index);
    }
    *out = device;
    return AN_OK;
}

static void cuda_close(an_device *device)
{
    device->host->release(device, device->host->user);
}

/* --- memory ------------------------------------------------------------------------ */

an_status an__cuda_alloc(an_device *device, size_t bytes, void **out)
{
    an_use use(device);
    size_t unused = 0, total = 0;
    cudaError_t error;

    AN_CUDA_TRY(an__cuda_alive(device));
    error = cudaMalloc(out, bytes);
    if (error != cudaErrorMemoryAllocation)
        return an__cuda_check(device, error, "an allocation");
    cudaGetLastError();
    cudaMemGetInfo(&unused, &total);
    return device->host->fail(AN_ERROR_DEVICE_MEMORY,
                              "cuda:%d: no memory for %zu bytes: %zu of %zu are free",
                              device->index, bytes, unused, total);
}

static void cuda_release(an_device *device, void *memory)
{
    an_use use(device);

    if (an__cuda_ours(device) && cudaFree(memory) != cudaSuccess) cudaGetLastError();
}

/* --- the tables -------------------------------------------------------------------- */

static const an_prepack_table prepack = {
    an__cuda_conv_algorithm, an__cuda_conv_prepack, an__cuda_dense_prepack_bytes,
    an__cuda_dense_prepack,  an__cuda_input_layout,
};

/* All patterns but AN_FUSE_SLICES: a whole batch keeps the device busy. Only two depend
 * on the shapes. */
static int can_fuse(const an_device *, const an_fusion *f)
{
    switch (f->pattern) {
    case AN_FUSE_ARGMAX: return an__cuda_argmax_bytes(f->pool) > 0;
    case AN_FUSE_LRN_POOL: return an__cuda_can_lrn_pool(f->lrn, f->pool);
    case AN_FUSE_SLICES: return 0;
    default: return 1;
    }
}

static const an_fused_table fused = {
    (1u << AN_PATTERNS) - 1 - (1u << AN_FUSE_SLICES),
    can_fuse,
    an__cuda_argmax_bytes,
    an__cuda_lrn_pool_forward,
    an__cuda_lrn_pool_backward,
    an__cuda_dense_update,
};

static const an_async_table async = {
    an__cuda_host_alloc,  an__cuda_host_release, an__cuda_upload_async,
    an__cuda_wait_upload, an__cuda_fence,        an__cuda_wait_fence,
    an__cuda_preprocess,
};

static const an_graph_table graph = {
    an__cuda_record,
    an__cuda_recorded,
    an__cuda_replay,
    an__cuda_recording_free,
};

static const an_trace_table trace = {an__cuda_trace, an__cuda_read_trace};

/* C++17 has no designated initialisers, so that assignments name what is initialised. */
static an_backend table()
{
    an_backend b = {};

    b.abi = AN_BACKEND_ABI;
    b.size = sizeof b;
    b.name = "cuda";
    b.bf16_tensors = 1;
    b.algorithms[0] = "implicit product";
    b.count = cuda_count;
    b.describe = cuda_describe;
    b.open = cuda_open;
    b.close = cuda_close;
    b.alloc = an__cuda_alloc;
    b.release = cuda_release;
    b.queue_open = an__cuda_queue_open;
    b.queue_close = an__cuda_queue_close;
    b.sync = an__cuda_sync;
    b.upload = an__cuda_upload;
    b.download = an__cuda_download;
    b.put = an__cuda_put;
    b.get = an__cuda_get;
    b.copy = an__cuda_copy;
    b.begin_step = an__cuda_begin_step;
    b.conv_scratch = an__cuda_conv_scratch;
    b.dense_scratch = an__cuda_dense_scratch;
    b.conv_forward = an__cuda_conv_forward;
    b.conv_backward_data = an__cuda_conv_backward_data;
    b.conv_backward_weights = an__cuda_conv_backward_weights;
    b.dense_forward = an__cuda_dense_forward;
    b.dense_backward_data = an__cuda_dense_backward_data;
    b.dense_backward_weights = an__cuda_dense_backward_weights;
    b.activation_forward = an__cuda_activation_forward;
    b.activation_backward = an__cuda_activation_backward;
    b.lrn_forward = an__cuda_lrn_forward;
    b.lrn_backward = an__cuda_lrn_backward;
    b.lrn_within_forward = an__cuda_lrn_within_forward;
    b.lrn_within_backward = an__cuda_lrn_within_backward;
    b.pool_forward = an__cuda_pool_forward;
    b.pool_backward = an__cuda_pool_backward;
    b.dropout = an__cuda_dropout;
    b.scale = an__cuda_scale;
    b.softmax = an__cuda_softmax;
    b.softmax_loss = an__cuda_softmax_loss;
    b.update = an__cuda_update;
    b.all_finite = an__cuda_all_finite;
    b.prepack = &prepack;
    b.fused = &fused;
    b.async = &async;
    b.graph = &graph;
    b.trace = &trace;
    return b;
}

static const an_backend backend = table();

/* The one symbol that the plugin exports. It returns null to a library that knows another
 * table. */
extern "C" __attribute__((visibility("default"))) const an_backend *
an_plugin_backend(uint32_t abi, uint32_t size)
{
    return abi == AN_BACKEND_ABI && size == sizeof backend ? &backend : NULL;
}
