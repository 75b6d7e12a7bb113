/*
 * probes.cu - asks a card whether each instruction of ptx.h, mma.h and tma.h does what
 * its host version does, one at a time, with the layouts of the backend's kernels; and
 * how the CUDA runtime behaves while a stream is captured. Needs nothing but the runtime:
 *
 *   nvcc -t 0 -std=c++17 -O1 -Iinclude -Ilib -Icuda -Itest/card \
 *       -gencode arch=compute_90a,code=sm_90a \
 *       -gencode 'arch=compute_80,code=[sm_80,compute_80]' -o probes test/card/probes.cu
 *   ./probes            all; with NAME...: those whose names begin so; with --list: names
 *
 * A line for each: `pass NAME`; `FAIL NAME: row R column C: got X expected Y; n of m
 * wrong`; `fact NAME: ...`, what nothing relies upon or no document says; `not asked
 * NAME: why`. Exit status: 0, 1 if one failed, 77 without a card. Under test/cuda-host it
 * asks the host versions, which proves the probes: they must pass, and with a mistake
 * planted must not (faults.sh).
 */
#include "products.h"
#include "single.h"
#include "tensors.h"

/* --- the runtime ------------------------------------------------------------------- */

static void add_one(Numbers<uint32_t> &to)
{
    launch(add_one_kernel, 1, 64, 0, Words{to.there, to.there});
}

/* That a launch works, after all that. */
static bool adds_one(Numbers<uint32_t> &numbers)
{
    Vector want(64);

    for (uint32_t i = 0; i < 64; i++) {
        numbers[i] = i;
        want[i] = i + 1;
    }
    numbers.up();
    add_one(numbers);
    must(cudaStreamSynchronize(stream), "a launch");
    numbers.down();
    return same(numbers.host, want, 64, as_hex);
}

static void begin_capture()
{
    must(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal),
         "begin of a capture");
}

/* Ends it, and does so many times what was captured. */
static void replay(int times)
{
    cudaGraph_t graph = NULL;
    cudaGraphExec_t ready = NULL;

    must(cudaStreamEndCapture(stream, &graph), "end of a capture");
    must(cudaGraphInstantiate(&ready, graph, 0), "a graph");
    for (int i = 0; i < times; i++)
        must(cudaGraphLaunch(ready, stream), "a graph's launch");
    must(cudaStreamSynchronize(stream), "a graph");
    cudaGraphExecDestroy(ready);
    cudaGraphDestroy(graph);
}

static void ask_capture()
{
    Numbers<uint32_t> numbers(64);
    Vector want(64);

    /* So that the kernel is there before it is captured. */
    if (!adds_one(numbers)) return;
    for (uint32_t i = 0; i < 64; i++) {
        numbers[i] = i;
        want[i] = i + 3;
    }
    numbers.up();
    begin_capture();
    add_one(numbers);
    replay(3);
    numbers.down();
    same(numbers.host, want, 64, as_hex);
}

/* How much memory is free, asked within a capture that is otherwise in order. */
static void ask_capture_memory()
{
    Numbers<uint32_t> numbers(64);
    size_t free_bytes = 0, total = 0;
    cudaGraph_t graph = NULL;
    cudaError_t asked, left, ended;

    numbers.up();
    begin_capture();
    add_one(numbers);
    asked = cudaMemGetInfo(&free_bytes, &total);
    left = cudaGetLastError();
    ended = cudaStreamEndCapture(stream, &graph);
    cudaGetLastError();
    if (graph != NULL) cudaGraphDestroy(graph);
    if (!adds_one(numbers)) return;
    say("fact",
        "cudaMemGetInfo: %s (%.1f of %.1f GiB), the last error then: %s, end of the "
        "capture: %s, a graph: %s; a launch after it works",
        name_of(asked), (double)free_bytes / 1073741824.0, (double)total / 1073741824.0,
        name_of(left), name_of(ended), ended == cudaSuccess ? "yes" : "no");
}

/* What the backend would meet if it allocated within one. */
static void ask_capture_malloc()
{
    Numbers<uint32_t> numbers(64);
    size_t free_bytes = 0, total = 0;
    void *memory = NULL;
    cudaGraph_t graph = NULL;
    cudaError_t made, left, asked, ended, after;

    numbers.up();
    begin_capture();
    add_one(numbers);
    made = cudaMalloc(&memory, 1 << 20);
    left = cudaGetLastError();
    asked = cudaMemGetInfo(&free_bytes, &total);
    ended = cudaStreamEndCapture(stream, &graph);
    after = cudaGetLastError();
    if (memory != NULL) cudaFree(memory);
    if (graph != NULL) cudaGraphDestroy(graph);
    if (!adds_one(numbers)) return;
    say("fact",
        "cudaMalloc: %s, the last error then: %s, cudaMemGetInfo then: %s, end of the "
        "capture: %s, the last error then: %s; a launch after it works",
        name_of(made), name_of(left), name_of(asked), name_of(ended), name_of(after));
}

/* What must not be done within one: the backend waits for nothing there. */
static void ask_capture_wait()
{
    Numbers<uint32_t> numbers(64);
    cudaGraph_t graph = NULL;
    cudaError_t waited, ended;

    numbers.up();
    begin_capture();
    add_one(numbers);
    waited = cudaStreamSynchronize(stream);
    cudaGetLastError();
    ended = cudaStreamEndCapture(stream, &graph);
    cudaGetLastError();
    if (graph != NULL) cudaGraphDestroy(graph);
    if (!adds_one(numbers)) return;
    say("fact",
        "cudaStreamSynchronize: %s, end of the capture: %s; a launch after it works",
        name_of(waited), name_of(ended));
}

/* Rows of 64 numbers to the other device's, with room between them, and back to another
 * place. */
static void ask_peer_copy()
{
    enum { COLUMNS = 64, PITCH = 96, HIGH = 40 };
    Numbers<uint32_t> from(HIGH * COLUMNS), back(HIGH * COLUMNS);
    uint32_t *there = NULL;
    int count = 0, can[2] = {0, 0};

    must(cudaGetDeviceCount(&count), "devices");
    if (count < 2) {
        say("not asked", "one device");
        return;
    }
    must(cudaDeviceCanAccessPeer(&can[0], 0, 1), "peers");
    must(cudaDeviceCanAccessPeer(&can[1], 1, 0), "peers");
    if (!can[0] || !can[1]) {
        say("not asked", "the first two devices are no peers");
        return;
    }
    must(cudaDeviceEnablePeerAccess(1, 0), "peers");
    must(cudaSetDevice(1), "the second device");
    must(cudaDeviceEnablePeerAccess(0, 0), "peers");
    must(cudaMalloc((void **)&there, HIGH * PITCH * 4), "its memory");
    must(cudaSetDevice(0), "the first device");
    for (size_t i = 0; i < from.host.size(); i++) from[i] = 0x10000u + (uint32_t)i;
    from.up();
    back.up();
    begin_capture();
    must(cudaMemcpy2DAsync(there, PITCH * 4, from.there, COLUMNS * 4, COLUMNS * 4, HIGH,
                           cudaMemcpyDefault, stream),
         "a captured copy to the second device");
    must(cudaMemcpy2DAsync(back.there, COLUMNS * 4, there, PITCH * 4, COLUMNS * 4, HIGH,
                           cudaMemcpyDefault, stream),
         "a captured copy from the second device");
    replay(2);
    back.down();
    cudaFree(there);
    same(back.host, from.host, COLUMNS, as_hex);
}

/* --- all of them ------------------------------------------------------------------- */

static std::vector<Probe> probes;

/* What the host run takes for a mistake, and ends the process for. */
template <void (*ASK)()> static void on_card()
{
#ifdef __CUDACC__
    ASK();
#else
    say("not asked", "the host run refuses it");
    static_cast<void>(ASK);
#endif
}

static void add(void (*ask)(), bool hopper, const char *format, ...)
{
    Probe p;
    va_list args;

    va_start(args, format);
    vsnprintf(p.name, sizeof p.name, format, args);
    va_end(args);
    p.ask = ask;
    p.hopper = hopper;
    probes.push_back(p);
}

template <bool A_ALONG, bool B_ALONG, int N> static void add_wgmma_bf16()
{
    const char *a = A_ALONG ? "k" : "mn", *b = B_ALONG ? "k" : "mn";

    add(ask_wgmma_bf16<A_ALONG, B_ALONG, N, true>, true,
        "wgmma_bf16/%s.%s/%d/places-of-A", a, b, N);
    add(ask_wgmma_bf16<A_ALONG, B_ALONG, N, false>, true,
        "wgmma_bf16/%s.%s/%d/places-of-B", a, b, N);
}

template <bool A_ALONG, bool B_ALONG> static void add_all_wgmma_bf16()
{
    add_wgmma_bf16<A_ALONG, B_ALONG, 32>();
    add_wgmma_bf16<A_ALONG, B_ALONG, 48>();
    add_wgmma_bf16<A_ALONG, B_ALONG, 64>();
    add_wgmma_bf16<A_ALONG, B_ALONG, 96>();
    add_wgmma_bf16<A_ALONG, B_ALONG, 128>();
    add_wgmma_bf16<A_ALONG, B_ALONG, 192>();
}

template <int N> static void add_wgmma_tf32()
{
    add(ask_wgmma_tf32<N, true>, true, "wgmma_tf32/%d/places-of-A", N);
    add(ask_wgmma_tf32<N, false>, true, "wgmma_tf32/%d/places-of-B", N);
}

int main(int, char **argv)
{
    add(ask_copy<4>, false, "cp_async/4");
    add(ask_copy<16>, false, "cp_async/16");
    add(ask_groups, false, "cp_async/groups");
    add(ask_ldmatrix<false>, false, "ldmatrix/straight");
    add(ask_ldmatrix<true>, false, "ldmatrix/rotated");
    add(ask_float_parts<true>, false, "ldmatrix/float32");
    add(ask_float_parts<false>, false, "float32-across");
    add(ask_bf16_parts<true>, false, "ldmatrix/bf16");
    add(ask_bf16_parts<false>, false, "ldmatrix/bf16-rotated");
    add(ask_mma_bf16_a, false, "mma_bf16/places-of-A");
    add(ask_mma_bf16_b, false, "mma_bf16/places-of-B");
    add(ask_mma_tf32_a, false, "mma_tf32/places-of-A");
    add(ask_mma_tf32_b, false, "mma_tf32/places-of-B");
    add(ask_to_bf16x2, false, "to_bf16x2/borders");
    add(ask_to_bf16x2_great, false, "to_bf16x2/greatest");
    add(ask_to_bf16x2_tiny, false, "to_bf16x2/below-normal");
    add(ask_to_bf16x2_odd, false, "to_bf16x2/infinite-and-NaN");
    add(ask_to_tf32, false, "to_tf32/borders");
    add(ask_to_tf32_great, false, "to_tf32/greatest");
    add(ask_to_tf32_tiny, false, "to_tf32/below-normal");
    add(ask_to_tf32_odd, false, "to_tf32/infinite-and-NaN");
    add(ask_mma_tf32_low_bits, false, "mma_tf32/low-bits");
    add(ask_mma_tf32_sums, false, "mma_tf32/sums");
    add_all_wgmma_bf16<true, true>();
    add_all_wgmma_bf16<true, false>();
    add_all_wgmma_bf16<false, true>();
    add_all_wgmma_bf16<false, false>();
    add(ask_wgmma_whole, true, "wgmma_bf16/k.mn/96-in-one/places-of-B");
    add_wgmma_tf32<48>();
    add_wgmma_tf32<64>();
    add_wgmma_tf32<96>();
    add_wgmma_tf32<128>();
    add_wgmma_tf32<192>();
    add(on_card<ask_wgmma_tf32_low_bits>, true, "wgmma_tf32/low-bits");
    add(ask_loop<true, true>, true, "loop/k.k/fenced");
    add(on_card<ask_loop<true, false>>, true, "loop/k.k/not-fenced");
    add(ask_loop<false, true>, true, "loop/mn.mn/fenced");
    add(on_card<ask_loop<false, false>>, true, "loop/mn.mn/not-fenced");
    add(ask_copy_rows, true, "copy_rows/edges");
    add(ask_copy_windows<0, 0>, true, "copy_windows/first-tap");
    add(ask_copy_windows<1, 2>, true, "copy_windows/another-tap");
    add(ask_phases, true, "mbarrier/phases");
    add(ask_capture, false, "capture/replayed");
    add(ask_capture_memory, false, "capture/cudaMemGetInfo");
    add(ask_capture_malloc, false, "capture/cudaMalloc");
    add(ask_capture_wait, false, "capture/cudaStreamSynchronize");
    add(ask_peer_copy, false, "capture/copy-between-devices");
    return run_probes(probes, argv);
}
