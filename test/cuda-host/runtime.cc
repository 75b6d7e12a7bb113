/*
 * runtime.cc - of the host run: devices, memory, streams, events, graphs, failures.
 *
 * What a stream is given is kept in a list and done when somebody waits for it: as late
 * as the runtime allows. One lock guards everything; kernels run under it.
 */
#include "control.h"
#include "cuda_runtime.h"
#include "touch.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

struct Capture;

/* Two devices of 16 GiB, peers, of compute capability 9.0. */
host_run_state host_run_now = {2, (size_t)16 << 30, 227 * 1024, 1, 9, 0, 2};

namespace
{

host_run_state &state = host_run_now;

/* Kernels are launched, but do nothing: for the account of a network whose size would
 * take hours. See README.md. */
const bool counted_alone = getenv("HOST_RUN_COUNT") != nullptr;

struct Operation {
    std::function<void()> run;
    host_run_stream *other; /* not null: an event to wait for, */
    size_t position;        /* so many of its stream's operations */
};
typedef std::map<host_run_stream *, size_t> Clock; /* how much of each stream is known */

struct Block {
    size_t bytes;
    int device; /* or PINNED */
};

size_t used[32]; /* of each device */
bool peers[32][32];
std::map<const char *, Block> blocks;
std::map<const void *, int> shared_limit;
std::recursive_mutex lock;
/* What others may still ask about. */
std::vector<host_run_stream *> &streams = *new std::vector<host_run_stream *>;
std::vector<Capture *> &captures = *new std::vector<Capture *>;
thread_local int current_device;
thread_local cudaError_t last_error;
thread_local int capturing; /* this thread may not allocate or wait meanwhile */

typedef std::lock_guard<std::recursive_mutex> Guard;

} // namespace

struct host_run_graph {
    std::vector<Operation> operations;
};

struct Capture {
    host_run_graph *graph;
    host_run_stream *origin;
    std::vector<host_run_stream *> streams;
    bool ended;
};

struct host_run_stream {
    int device;
    std::deque<Operation> waiting;
    size_t given = 0, done = 0; /* operations in all */
    Capture *capture = nullptr;
    Clock clock; /* while capturing */
};

struct host_run_event {
    host_run_stream *stream = nullptr; /* null: not recorded yet */
    size_t position = 0;
    Capture *capture = nullptr;
    Clock clock;
    bool timed = false;
    std::chrono::steady_clock::time_point when; /* timed: it was reached, */
    uint64_t touched;                           /* with so many bytes before it */
};

namespace
{

cudaError_t result(cudaError_t error)
{
    if (error != cudaSuccess) last_error = error;
    return error;
}

} // namespace

bool host_run::must_fail(int kind)
{
    if (state.fail_in == 0 ||
        (kind != state.fail_kind && state.fail_kind != HOST_RUN_ANY &&
         !(state.fail_kind == HOST_RUN_LOST && kind == HOST_RUN_LAUNCH)))
        return false;
    if (--state.fail_in > 0) return false;
    state.failed = 1;
    if (state.fail_kind == HOST_RUN_LOST) state.lost |= 1u << current_device;
    return true;
}

namespace
{

using host_run::must_fail;

cudaError_t check_device(int device)
{
    if (state.devices < 1)
        return state.devices < 0 ? cudaErrorInsufficientDriver : cudaErrorNoDevice;
    if (device < 0 || device >= state.devices) return cudaErrorInvalidDevice;
    return state.lost >> device & 1 ? cudaErrorLaunchFailure : cudaSuccess;
}

void run_until(host_run_stream *stream, size_t position);

void run_one(host_run_stream *stream)
{
    Operation operation = std::move(stream->waiting.front());

    stream->waiting.pop_front();
    if (operation.other != nullptr)
        run_until(operation.other, operation.position);
    else
        operation.run();
    stream->done++;
}

/* In a hurry, all streams but the one that is waited for do what they can. */
void hurry(const host_run_stream *slow)
{
    bool moved = state.hurry != 0;

    while (moved) {
        moved = false;
        for (host_run_stream *stream : streams)
            while (stream != slow && !stream->waiting.empty()) {
                const Operation &next = stream->waiting.front();

                if (next.other != nullptr && next.other->done < next.position) break;
                run_one(stream);
                moved = true;
            }
    }
}

void run_until(host_run_stream *stream, size_t position)
{
    while (stream->done < position && !stream->waiting.empty()) {
        hurry(stream);
        if (stream->done < position && !stream->waiting.empty()) run_one(stream);
    }
}

void give(host_run_stream *stream, std::function<void()> run,
          host_run_stream *other = nullptr, size_t position = 0)
{
    Operation operation = {std::move(run), other, position};

    if (stream->capture != nullptr) {
        stream->capture->graph->operations.push_back(std::move(operation));
        stream->clock[stream]++;
        return;
    }
    stream->waiting.push_back(std::move(operation));
    stream->given++;
}

enum { PINNED = -1, PAGEABLE = -2 };

/* Whose memory it is, all of it. Pageable: none that the runtime knows. */
int device_of(const void *p, size_t bytes)
{
    auto at = blocks.upper_bound((const char *)p);

    if (at == blocks.begin()) return PAGEABLE;
    --at;
    return (const char *)p + bytes <= at->first + at->second.bytes ? at->second.device
                                                                   : PAGEABLE;
}

/* From one device to another: directly between peers alone. */
bool may_copy(int to, int from)
{
    return to < 0 || from < 0 || to == from ||
           (state.peers && (peers[to][from] || peers[from][to]));
}

/* Only of pinned memory and devices': pageable memory is not what it takes for that. */
cudaError_t copy(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                 size_t width, size_t height, host_run_stream *stream)
{
    int to_device = device_of(to, height > 0 ? (height - 1) * to_pitch + width : 0);
    int from_device = device_of(from, height > 0 ? (height - 1) * from_pitch + width : 0);
    cudaError_t error = check_device(stream->device);

    if (error != cudaSuccess) return error;
    if (must_fail(HOST_RUN_COPY)) return cudaErrorInvalidValue;
    if (width == 0 || height == 0) return cudaSuccess;
    if ((height > 1 && (width > to_pitch || width > from_pitch)) ||
        to_device == PAGEABLE || from_device == PAGEABLE ||
        !may_copy(to_device, from_device))
        return cudaErrorInvalidValue;
    bool leaves = from_device >= 0 && to_device >= 0 && to_device != from_device;
    give(stream, [=] {
        if (leaves) state.peer_bytes += width * height;
        if (from_device == PINNED && to_device >= 0) state.up_bytes += width * height;
        for (size_t i = 0; i < height; i++)
            std::memmove((char *)to + i * to_pitch, (const char *)from + i * from_pitch,
                         width);
    });
    return cudaSuccess;
}

std::vector<host_run::Range> device_memory()
{
    std::vector<host_run::Range> all;

    for (const auto &block : blocks)
        if (block.second.device >= 0)
            all.push_back({block.first, (block.second.bytes + host_run::PAGE - 1) /
                                            host_run::PAGE * host_run::PAGE});
    return all;
}

void *get_block(size_t bytes, int device)
{
    size_t unit = state.count_touched ? host_run::PAGE : 256;
    char *memory = (char *)aligned_alloc(unit, (bytes + unit - 1) / unit * unit);

    if (memory == nullptr) return nullptr;
    std::memset(memory, counted_alone ? 0 : 0xff, bytes); /* NaNs */
    blocks[memory] = {bytes, device};
    state.allocated += bytes;
    if (device >= 0) used[device] += bytes;
    return memory;
}

} // namespace

/* --- devices and memory ------------------------------------------------------------ */

const char *cudaGetErrorString(cudaError_t error)
{
    static thread_local char text[48];

    snprintf(text, sizeof text, "host run: error %d", (int)error);
    return text;
}

const char *cudaGetErrorName(cudaError_t error)
{
    return cudaGetErrorString(error);
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = 0;
    return cudaSuccess;
}

cudaError_t cudaGetLastError()
{
    cudaError_t error = last_error;

    last_error = cudaSuccess;
    return error;
}

cudaError_t cudaGetDeviceCount(int *count)
{
    if (state.devices < 1) return result(check_device(0));
    *count = state.devices;
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = state.devices < 0 ? 0 : 13000;
    return cudaSuccess;
}

cudaError_t cudaGetDevice(int *device)
{
    *device = current_device;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int device)
{
    Guard guard(lock);

    if (device < 0 || device >= state.devices) return result(cudaErrorInvalidDevice);
    current_device = device;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *prop, int device)
{
    std::memset(prop, 0, sizeof *prop);
    snprintf(prop->name, sizeof prop->name, "host run %d (a test double)", device);
    prop->totalGlobalMem = state.memory;
    prop->sharedMemPerBlockOptin = state.shared;
    prop->multiProcessorCount = counted_alone ? 132 : state.processors;
    prop->major = state.major;
    return result(device < state.devices ? cudaSuccess : cudaErrorInvalidDevice);
}

cudaError_t cudaDeviceCanAccessPeer(int *can, int device, int peer)
{
    *can = state.peers && device != peer;
    return cudaSuccess;
}

cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned)
{
    Guard guard(lock);
    bool &enabled = peers[current_device][peer];

    if (!state.peers) return result(cudaErrorInvalidDevice);
    if (enabled) return result(cudaErrorPeerAccessAlreadyEnabled);
    enabled = true;
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total)
{
    Guard guard(lock);

    *total = state.memory;
    *free_bytes = state.memory - used[current_device];
    return result(check_device(current_device));
}

static cudaError_t allocate(void **out, size_t bytes, int device)
{
    Guard guard(lock);
    cudaError_t error = check_device(current_device);
    size_t room = device == PINNED ? bytes : state.memory - used[device];

    if (error == cudaSuccess && capturing) error = cudaErrorStreamCaptureUnsupported;
    if (error != cudaSuccess) return result(error);
    if (must_fail(HOST_RUN_ALLOC) || bytes > room)
        return result(cudaErrorMemoryAllocation);
    *out = get_block(bytes, device);
    return result(*out != nullptr ? cudaSuccess : cudaErrorMemoryAllocation);
}

cudaError_t cudaMalloc(void **out, size_t bytes)
{
    return allocate(out, bytes, current_device);
}

cudaError_t cudaMallocHost(void **out, size_t bytes)
{
    return allocate(out, bytes, PINNED);
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes *attributes, const void *p)
{
    Guard guard(lock);
    int device = device_of(p, 1);

    attributes->type = device == PINNED     ? cudaMemoryTypeHost
                       : device == PAGEABLE ? cudaMemoryTypeUnregistered
                                            : cudaMemoryTypeDevice;
    return cudaSuccess;
}

cudaError_t cudaFree(void *memory)
{
    Guard guard(lock);
    auto at = blocks.find((const char *)memory);

    if (memory == nullptr) return cudaSuccess;
    if (at == blocks.end()) return result(cudaErrorInvalidValue);
    state.allocated -= at->second.bytes;
    if (at->second.device >= 0) used[at->second.device] -= at->second.bytes;
    blocks.erase(at);
    free(memory);
    return cudaSuccess;
}

/* --- streams, events --------------------------------------------------------------- */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned)
{
    Guard guard(lock);
    cudaError_t error = check_device(current_device);

    if (error == cudaSuccess && must_fail(0)) error = cudaErrorMemoryAllocation;
    if (error != cudaSuccess) return result(error);
    *out = new host_run_stream;
    (*out)->device = current_device;
    streams.push_back(*out);
    state.streams++;
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    Guard guard(lock);

    run_until(stream, stream->given);
    state.streams--;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    Guard guard(lock);

    if (capturing) return result(cudaErrorStreamCaptureUnsupported);
    run_until(stream, stream->given);
    return result(check_device(stream->device));
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
    Guard guard(lock);
    host_run_stream *other = event->stream;
    size_t position = event->position;
    Capture *capture = event->capture;

    if (other == nullptr) return cudaSuccess;
    if (capture != nullptr && capture->ended) return result(cudaErrorInvalidValue);
    if (stream->capture == nullptr && capture != nullptr) {
        stream->capture = capture;
        capture->streams.push_back(stream);
    }
    if (stream->capture != capture) return result(cudaErrorStreamCaptureIsolation);
    if (capture != nullptr)
        for (auto &known : event->clock)
            stream->clock[known.first] =
                std::max(stream->clock[known.first], known.second);
    else
        give(stream, {}, other, position);
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags)
{
    Guard guard(lock);

    if (must_fail(0)) return result(cudaErrorMemoryAllocation);
    *out = new host_run_event;
    (*out)->timed = !(flags & cudaEventDisableTiming);
    state.events++;
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    Guard guard(lock);

    state.events--;
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    Guard guard(lock);

    if (event->timed)
        give(stream, [event] {
            event->when = std::chrono::steady_clock::now();
            event->touched = state.touched;
        });
    event->stream = stream;
    event->position = stream->given;
    event->capture = stream->capture;
    event->clock = stream->clock;
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    Guard guard(lock);

    if (event->stream == nullptr) return cudaSuccess;
    if (event->capture != nullptr) return result(cudaErrorInvalidValue);
    run_until(event->stream, event->position);
    return result(check_device(event->stream->device));
}

cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from,
                              size_t from_pitch, size_t width, size_t height,
                              cudaMemcpyKind, cudaStream_t stream)
{
    Guard guard(lock);

    return result(copy(to, to_pitch, from, from_pitch, width, height, stream));
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t begin, cudaEvent_t end)
{
    Guard guard(lock);

    if (must_fail(0) || !begin->timed || !end->timed || begin->stream == nullptr ||
        end->stream == nullptr || begin->stream->done < begin->position ||
        end->stream->done < end->position)
        return result(cudaErrorInvalidValue);
    *milliseconds =
        state.count_touched
            ? (float)(end->touched - begin->touched)
            : std::chrono::duration<float, std::milli>(end->when - begin->when).count();
    return cudaSuccess;
}

/* Of a clock of 1 GHz, memory of 2 on a bus of 1024 bits. */
cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int device)
{
    *value = attribute == cudaDevAttrClockRate         ? 1000000
             : attribute == cudaDevAttrMemoryClockRate ? 2000000
                                                       : 1024;
    return result(check_device(device));
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream)
{
    Guard guard(lock);
    cudaError_t error = check_device(stream->device);

    if (error == cudaSuccess && (must_fail(HOST_RUN_COPY) || device_of(to, bytes) < 0))
        error = cudaErrorInvalidValue;
    if (error == cudaSuccess) give(stream, [=] { std::memset(to, value, bytes); });
    return result(error);
}

/* --- graphs: what streams are given while they capture, in that order -------------- */

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode)
{
    Guard guard(lock);

    if (must_fail(0)) return result(cudaErrorMemoryAllocation);
    captures.push_back(new Capture{new host_run_graph, stream, {stream}, false});
    stream->capture = captures.back();
    capturing++;
    state.graphs++;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *out)
{
    Guard guard(lock);
    Capture *capture = stream->capture;
    size_t joined = 0;

    if (capture == nullptr || capture->origin != stream)
        return result(cudaErrorInvalidValue);
    for (auto &known : stream->clock) joined += known.second;
    for (host_run_stream *s : capture->streams) {
        s->capture = nullptr;
        s->clock.clear();
    }
    capture->ended = true;
    capturing--;
    *out = capture->graph;
    if (joined == (*out)->operations.size()) return cudaSuccess;
    cudaGraphDestroy(*out); /* the origin has not waited for all that was captured */
    *out = nullptr;
    return result(cudaErrorStreamCaptureUnjoined);
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph,
                                 unsigned long long)
{
    Guard guard(lock);

    if (must_fail(0)) return result(cudaErrorMemoryAllocation);
    *out = new host_run_graph(*graph);
    state.graphs++;
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream)
{
    Guard guard(lock);
    cudaError_t error = check_device(stream->device);

    if (error != cudaSuccess) return result(error);
    if (must_fail(HOST_RUN_LAUNCH)) return result(cudaErrorLaunchFailure);
    state.graph_launches++;
    give(stream, [graph] {
        for (auto &operation : graph->operations) operation.run();
    });
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    Guard guard(lock);

    state.graphs--;
    delete graph;
    return cudaSuccess;
}

/* --- launches ---------------------------------------------------------------------- */

namespace host_run
{

cudaError_t allow_shared(const void *kernel, int bytes)
{
    Guard guard(lock);

    if (bytes < 0 || (size_t)bytes > state.shared) return result(cudaErrorInvalidValue);
    shared_limit[kernel] = bytes;
    return cudaSuccess;
}

cudaError_t launch(const void *kernel, dim3 grid, dim3 block, size_t shared_bytes,
                   cudaStream_t stream, void (*run)(const void *, const void *),
                   const void *params, size_t params_bytes)
{
    Guard guard(lock);
    cudaError_t error = check_device(stream->device);
    auto limit = shared_limit.find(kernel);
    size_t allowed = std::max(48 * 1024, limit == shared_limit.end() ? 0 : limit->second);
    size_t threads = (size_t)block.x * block.y * block.z;

    if (error != cudaSuccess) return result(error);
    if (stream->device != current_device) return result(cudaErrorInvalidValue);
    if (threads == 0 || threads > 1024 || block.z > 64 || grid.x == 0 || grid.y == 0 ||
        grid.z == 0 || grid.x > 0x7fffffff || grid.y > 65535 || grid.z > 65535)
        return result(cudaErrorInvalidConfiguration);
    if (shared_bytes > allowed || params_bytes > 4096)
        return result(cudaErrorInvalidValue);
    if (must_fail(HOST_RUN_LAUNCH)) return result(cudaErrorLaunchFailure);
    if (state.launched != nullptr) {
        host_run_launch told = {kernel,
                                {grid.x, grid.y, grid.z},
                                (unsigned)threads,
                                shared_bytes,
                                params,
                                params_bytes};

        state.launched(&told);
    }
    std::string kept((const char *)params, params_bytes);
    std::function<void()> blocks_of = [=] {
        if (counted_alone) return;
        for (unsigned z = 0; z < grid.z; z++)
            for (unsigned y = 0; y < grid.y; y++)
                for (unsigned x = 0; x < grid.x; x++)
                    run_block(grid, dim3(x, y, z), block, shared_bytes, run, kernel,
                              kept.data());
    };
    give(stream, [=] {
        state.launches++;
        if (state.count_touched)
            state.touched += bytes_touched(device_memory(), blocks_of);
        else
            blocks_of();
    });
    return cudaSuccess;
}

} // namespace host_run
