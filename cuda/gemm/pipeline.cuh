/*
 * pipeline.cuh - the kernel behind gemm.h for bfloat16 tensors on Hopper: forward, for
 * the gradients of convolutions' weights, and for the gradients of dense layers' data.
 * (That of a convolution's data is a forward product with rotated weights, conv.cu.)
 *
 * A block consists of a producer, one thread that gives copies to the tensor memory
 * accelerator, and of consumers, warpgroups that multiply 64 rows of a tile each. Between
 * them are stages of shared memory, of one step of 64 k each. A stage has two barriers:
 * `full` ends a phase when its copies have arrived, `empty` when all consumers have read
 * it. A block computes one tile after another, and the producer goes on to the next
 * tile's steps while consumers write a tile's elements.
 *
 * Step of k and rows, by product:
 *
 *              rows of a tile         columns          a step of k
 *   FORWARD    output pixels          output maps      up to 64 maps of a tap
 *   DATA       images                 inputs           64 outputs
 *   WEIGHTS    64 maps of a tap each  output maps      64 output pixels
 *
 * so that a weight's gradient is computed with its sides exchanged, as C^T. Where fewer
 * than 64 maps of a tap are left for its last step, the copy brings maps of the next
 * group, or zeros; those are not multiplied (FORWARD), or not written (WEIGHTS).
 *
 * The gradient of a bias is the sum over all pixels of what weights' columns are copied
 * from: consumers add it up beside the products, which do not wait for it. Tiles that
 * differ in their rows alone copy the same columns, and take turns with the steps.
 */
#ifndef AN_CUDA_PIPELINE_CUH
#define AN_CUDA_PIPELINE_CUH

#include "gemm/epilogue.h"
#include "gemm/pipeline.h"
#include "runtime/mma.h"

struct an_pipelined {
    an_tensor_map windows, rows; /* what a tile's rows are copied by, and its columns */
    an_gemm g;
    uint32_t down, across;       /* tiles of a group */
    uint32_t steps, split_steps; /* of k in all, and of a part */
};

enum {
    STEP = AN_ROW_NUMBERS,
    BOX_BYTES = 64 * 128, /* of 64 rows */
    SHARED_BYTES = 227 * 1024
};

/* A tile of a group, and the steps of k that are summed: all, or those of a partial
 * sum. */
struct an_task {
    uint32_t group, split, down, across, first, end;
};

static __device__ __forceinline__ an_task task_of(const an_pipelined &p, uint32_t index)
{
    uint32_t plane = p.down * p.across, z = index / plane, at = index - z * plane;
    an_task t;

    t.group = z / p.g.splits;
    t.split = z - t.group * p.g.splits;
    t.down = at / p.across; /* blocks beside each other share rows, the larger factor's */
    t.across = at - t.down * p.across;
    t.first = t.split * p.split_steps;
    t.end = t.first + p.split_steps < p.steps ? t.first + p.split_steps : p.steps;
    return t;
}

/* Where a partial sum goes; null: the sum is whole. */
static __device__ __forceinline__ float *part_of(const an_gemm &g, const an_task &t)
{
    return g.parts == NULL ? NULL
                           : g.parts + (size_t)(t.split * g.groups + t.group) * g.m * g.n;
}

static __device__ __forceinline__ uint32_t task_count(const an_pipelined &p)
{
    return p.down * p.across * p.g.groups * p.g.splits;
}

static __device__ __forceinline__ an_corner corner_of(const an_gemm &g, uint32_t pixel)
{
    an_place window = window_place(g, pixel, true);

    return {window.w, window.h, divide(pixel, g.by_pixels)};
}

/* The pieces of 64 maps that a tap has, the last of which may have fewer. */
static __device__ __forceinline__ uint32_t pieces_of(const an_gemm &g)
{
    return (g.in_maps + STEP - 1) / STEP;
}

/* DEPTH: k of a step. */
template <an_product PRODUCT, int WARPGROUPS, int N, int DEPTH> struct an_pipe;

template <int WARPGROUPS, int N, int DEPTH>
struct an_pipe<AN_FORWARD, WARPGROUPS, N, DEPTH> {
    enum {
        SPEAKERS = 1, /* of a warpgroup, who say that it has read a stage */
        LEFT_BYTES = WARPGROUPS * BOX_BYTES,
        RIGHT_BYTES = N * 128,
        PARTS = DEPTH / 16 /* products of a step */
    };
    static_assert(DEPTH % 16 == 0 && N % 32 == 0 && RIGHT_BYTES % 1024 == 0, "");

    /* Where the producer is within a tile. */
    an_corner corner;
    an_place tap; /* and its map, in step */
    uint32_t row, k, maps0;

    __device__ __forceinline__ void begin(const an_pipelined &p, const an_task &t)
    {
        corner = corner_of(p.g, t.down * WARPGROUPS * 64);
        row = t.group * p.g.out_maps + t.across * N;
        maps0 = t.group * p.g.in_maps;
        k = t.first * DEPTH;
        tap = tap_place(p.g, k, p.g.by_in_maps, true);
    }

    /* Steps come in their order. */
    __device__ __forceinline__ void load(const an_pipelined &p, uint32_t, char *stage,
                                         an_mbarrier *full)
    {
        mbarrier_expect(full, LEFT_BYTES + RIGHT_BYTES);
        copy_windows(stage, &p.windows, full, maps0 + tap.step, corner, tap.w, tap.h);
        copy_rows(stage + LEFT_BYTES, &p.rows, full, k, row);
        k += DEPTH;
        if ((tap.step += DEPTH) < p.g.in_maps) return;
        tap.step = 0;
        if (++tap.w < (int)p.g.kernel) return;
        tap.w = 0;
        tap.h++;
    }

    static __device__ __forceinline__ void multiply(float *sum, const char *stage,
                                                    int warpgroup)
    {
        uint64_t left = wgmma_descriptor(stage + warpgroup * BOX_BYTES, 16);
        uint64_t right = wgmma_descriptor(stage + LEFT_BYTES, 16);

#pragma unroll
        for (int k = 0; k < PARTS; k++)
            wgmma_bf16<N, 0, 0>(sum, wgmma_further(left, k * 32),
                                wgmma_further(right, k * 32));
    }

    /* Four neighbouring lanes have a row of 32 elements between them, each two of every
     * eight columns. They exchange them, so that each has one whole eight. */
    static __device__ __forceinline__ void eight_of(const float *sum, int half,
                                                    float (&v)[8])
    {
        int lane = (int)threadIdx.x;

#pragma unroll
        for (int j = 0; j < 4; j++)
#pragma unroll
            for (int e = 0; e < 2; e++) v[j * 2 + e] = sum[j * 4 + half * 2 + e];
#pragma unroll
        for (int bit = 1; bit < 4; bit *= 2)
#pragma unroll
            for (int j = 0; j < 4; j++) {
                if (j & bit) continue;
#pragma unroll
                for (int e = 0; e < 2; e++) {
                    float &low = v[j * 2 + e], &high = v[(j + bit) * 2 + e];
                    float got =
                        __shfl_xor_sync(0xffffffffu, lane & bit ? low : high, bit);

                    if (lane & bit)
                        low = got;
                    else
                        high = got;
                }
            }
    }

    static __device__ __forceinline__ void write(const an_pipelined &p, const an_task &t,
                                                 const float *sum)
    {
        const an_gemm &g = p.g;
        int lane = (int)threadIdx.x % 32;
        uint32_t row = t.down * WARPGROUPS * 64 + threadIdx.x / 32 * 16 + lane / 4;
        float *part = part_of(g, t);

#pragma unroll
        for (int j = 0; j < N / 32; j++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                uint32_t m = row + half * 8, n = t.across * N + j * 32 + lane % 4 * 8;
                float v[8];

                eight_of(sum + j * 16, half, v);
                if (m < g.m && n < g.n)
                    put_eight<an_bf16, AN_FORWARD, false>(g, v, m, n, t.group, part);
            }
    }
};

/* The data's gradient of a dense layer: a forward product whose weights lie across k. */
template <int WARPGROUPS, int N, int DEPTH>
struct an_pipe<AN_DATA, WARPGROUPS, N, DEPTH>
    : an_pipe<AN_FORWARD, WARPGROUPS, N, DEPTH> {
    enum { LEFT_BYTES = WARPGROUPS * BOX_BYTES, RIGHT_BYTES = N / 64 * BOX_BYTES };
    static_assert(DEPTH == STEP && N % 64 == 0, "whole blocks of 64 columns");

    __device__ __forceinline__ void load(const an_pipelined &p, uint32_t step,
                                         char *stage, an_mbarrier *full)
    {
        mbarrier_expect(full, LEFT_BYTES + RIGHT_BYTES);
        copy_windows(stage, &p.windows, full, step * STEP, this->corner, 0, 0);
#pragma unroll
        for (int i = 0; i < N / 64; i++)
            copy_rows(stage + LEFT_BYTES + i * BOX_BYTES, &p.rows, full,
                      this->row + i * 64, step * STEP);
    }

    static __device__ __forceinline__ void multiply(float *sum, const char *stage,
                                                    int warpgroup)
    {
        uint64_t left = wgmma_descriptor(stage + warpgroup * BOX_BYTES, 16);
        uint64_t right = wgmma_descriptor(stage + LEFT_BYTES, BOX_BYTES);

#pragma unroll
        for (int k = 0; k < STEP / 16; k++)
            wgmma_bf16<N, 0, 1>(sum, wgmma_further(left, k * 32),
                                wgmma_further(right, k * 16 * 128));
    }
};

template <int WARPGROUPS, int N, int DEPTH>
struct an_pipe<AN_WEIGHTS, WARPGROUPS, N, DEPTH> {
    enum {
        SPEAKERS = 4, /* warps, which read for themselves too */
        LEFT_BYTES = WARPGROUPS * BOX_BYTES,
        RIGHT_BYTES = (N + 63) / 64 * BOX_BYTES,
        BLOCKS = RIGHT_BYTES / BOX_BYTES,
        /* Columns lie in blocks of 64, of which a product reads whole ones. */
        WHOLE = N / 64 * 64,
        REST = N - WHOLE
    };
    static_assert(BLOCKS <= WARPGROUPS, "each block's biases are a warpgroup's");

    uint32_t map[WARPGROUPS], w[WARPGROUPS], h[WARPGROUPS];
    uint32_t boxes, column;

    __device__ __forceinline__ void begin(const an_pipelined &p, const an_task &t)
    {
        uint32_t pieces = pieces_of(p.g), all = p.g.kernel * p.g.kernel * pieces;

        boxes = 0;
        column = t.group * p.g.out_maps + t.across * N;
#pragma unroll
        for (int i = 0; i < WARPGROUPS; i++) {
            uint32_t piece = t.down * WARPGROUPS + i, tap = piece / pieces;

            map[i] = t.group * p.g.in_maps + (piece - tap * pieces) * STEP;
            h[i] = divide(tap, p.g.by_kernel);
            w[i] = tap - h[i] * p.g.kernel;
            boxes += piece < all;
        }
    }

    __device__ __forceinline__ void load(const an_pipelined &p, uint32_t step,
                                         char *stage, an_mbarrier *full)
    {
        an_corner corner = corner_of(p.g, step * STEP);

        mbarrier_expect(full, boxes * BOX_BYTES + (uint32_t)RIGHT_BYTES);
#pragma unroll
        for (int i = 0; i < WARPGROUPS; i++)
            if ((uint32_t)i < boxes)
                copy_windows(stage + i * BOX_BYTES, &p.windows, full, map[i], corner,
                             w[i], h[i]);
#pragma unroll
        for (int i = 0; i < RIGHT_BYTES / BOX_BYTES; i++)
            copy_rows(stage + LEFT_BYTES + i * BOX_BYTES, &p.rows, full, column + i * 64,
                      step * STEP);
    }

    static __device__ __forceinline__ void multiply(float *sum, const char *stage,
                                                    int warpgroup)
    {
        uint64_t left = wgmma_descriptor(stage + warpgroup * BOX_BYTES, BOX_BYTES);
        uint64_t right = wgmma_descriptor(stage + LEFT_BYTES, BOX_BYTES);

#pragma unroll
        for (int k = 0; k < STEP / 16; k++) {
            wgmma_bf16<WHOLE, 1, 1>(sum, wgmma_further(left, k * 16 * 128),
                                    wgmma_further(right, k * 16 * 128));
            if constexpr (REST > 0)
                wgmma_bf16<REST, 1, 1>(
                    sum + WHOLE / 2, wgmma_further(left, k * 16 * 128),
                    wgmma_further(right, k * 16 * 128 + WHOLE / 64 * BOX_BYTES));
        }
    }

    /* Adds a step's pixels to biases. A warpgroup has a block of columns, a warp 16 of
     * them, a lane eight, for every sixteenth pixel. */
    static __device__ __forceinline__ void add_bias(float (&bias)[8], const char *stage,
                                                    int warpgroup)
    {
        uint32_t pixel = threadIdx.x % 16, piece = threadIdx.x / 16 % 8;
        const char *block = stage + LEFT_BYTES + warpgroup * BOX_BYTES;
        const char *from = block + pixel * 128 + (piece ^ pixel % 8) * 16; /* swizzled */

#pragma unroll
        for (int i = 0; i < STEP / 16; i++) {
            float v[8];

            get_elements((const an_bf16 *)(from + i * 16 * 128), v);
#pragma unroll
            for (int e = 0; e < 8; e++) bias[e] += v[e];
        }
    }

    static __device__ __forceinline__ void write_bias(const an_pipelined &p,
                                                      const an_task &t, float (&bias)[8])
    {
        const an_gemm &g = p.g;
        uint32_t column = threadIdx.x / 16 * 8, output = t.across * N + column;
        float *part = g.bias_parts +
                      ((size_t)(t.split * p.down + t.down) * g.groups + t.group) * g.m;

#pragma unroll
        for (int e = 0; e < 8; e++)
#pragma unroll
            for (int bit = 1; bit < 16; bit *= 2)
                bias[e] += __shfl_xor_sync(0xffffffffu, bias[e], bit);
        if (threadIdx.x % 16 == 0 && column < N && output < g.m)
            put_elements(part + output, bias);
    }

    static __device__ __forceinline__ void write(const an_pipelined &p, const an_task &t,
                                                 const float *sum)
    {
        const an_gemm &g = p.g;
        int lane = (int)threadIdx.x % 32;
        uint32_t pieces = pieces_of(g);
        uint32_t piece = t.down * WARPGROUPS + threadIdx.x / 128, tap = piece / pieces;
        uint32_t map0 =
            (piece - tap * pieces) * STEP + threadIdx.x / 32 % 4 * 16 + lane / 4;
        float *part = part_of(g, t);
        float *to =
            part != NULL ? part : (float *)g.c + group_offset<AN_WEIGHTS>(g, t.group);
        uint32_t pitch = part != NULL ? g.n : g.w_pitch;

        if (tap >= g.kernel * g.kernel) return;
#pragma unroll
        for (int half = 0; half < 2; half++) {
            uint32_t map = map0 + half * 8;

            if (map >= g.in_maps) continue;
#pragma unroll
            for (int j = 0; j < N / 8; j++)
#pragma unroll
                for (int e = 0; e < 2; e++) {
                    uint32_t output = t.across * N + j * 8 + lane % 4 * 2 + e;

                    if (output < g.m)
                        to[(size_t)output * pitch + tap * g.in_maps + map] =
                            sum[j * 4 + half * 2 + e];
                }
        }
    }
};

template <an_product PRODUCT, int WARPGROUPS, int N, int DEPTH> struct an_stages {
    typedef an_pipe<PRODUCT, WARPGROUPS, N, DEPTH> pipe;
    enum {
        STAGE = (int)pipe::LEFT_BYTES + (int)pipe::RIGHT_BYTES,
        BARRIERS = 2 * (int)sizeof(an_mbarrier), /* of a stage */
        STAGES = (SHARED_BYTES - 1024) / ((int)STAGE + (int)BARRIERS),
        BYTES = STAGES * ((int)STAGE + (int)BARRIERS),
        CONSUMERS = WARPGROUPS * 128,
        THREADS = CONSUMERS + 32 /* a warp, of which one thread is the producer */
    };
};

/* The stage that a step uses, and the parity of its phase. */
template <int STAGES> struct an_turn {
    uint32_t stage = 0, parity = 0;

    __device__ __forceinline__ void next()
    {
        if (++stage < STAGES) return;
        stage = 0;
        parity ^= 1;
    }

    __device__ __forceinline__ uint32_t before() const
    {
        return (stage == 0 ? (uint32_t)STAGES : stage) - 1;
    }
};

/* Grid: as many blocks as there are multiprocessors, or tiles. */
template <an_product PRODUCT, int WARPGROUPS, int N, int DEPTH>
static __global__ void
    __launch_bounds__((an_stages<PRODUCT, WARPGROUPS, N, DEPTH>::THREADS), 1)
        pipeline_kernel(const __grid_constant__ an_pipelined p)
{
    typedef an_stages<PRODUCT, WARPGROUPS, N, DEPTH> of;
    typedef typename of::pipe pipe;
#if !AN_HAS_WGMMA
    __trap(); /* not launched there, so not compiled either */
#else
    char *stages = (char *)shared_memory();
    an_mbarrier *full = (an_mbarrier *)(stages + of::STAGES * of::STAGE);
    an_mbarrier *empty = full + of::STAGES;
    uint32_t tasks = task_count(p);
    an_turn<of::STAGES> turn;

    if (threadIdx.x == 0) {
        for (int i = 0; i < of::STAGES; i++) {
            mbarrier_init(full + i, 1);
            mbarrier_init(empty + i, WARPGROUPS * pipe::SPEAKERS);
        }
        mbarrier_fence_init();
    }
    __syncthreads();
    if (threadIdx.x >= of::CONSUMERS) {
        if (threadIdx.x > of::CONSUMERS) return;
        for (uint32_t i = blockIdx.x; i < tasks; i += gridDim.x) {
            an_task t = task_of(p, i);
            pipe load;

            load.begin(p, t);
            for (uint32_t step = t.first; step < t.end; step++, turn.next()) {
                mbarrier_wait(empty + turn.stage, turn.parity ^ 1);
                load.load(p, step, stages + turn.stage * of::STAGE, full + turn.stage);
            }
        }
        return;
    }
    for (uint32_t i = blockIdx.x; i < tasks; i += gridDim.x) {
        an_task t = task_of(p, i);
        int warpgroup = same_in_warp((int)threadIdx.x / 128);
        bool speaks = threadIdx.x % (128 / pipe::SPEAKERS) == 0;
        uint32_t due = t.end; /* the step whose biases are this tile's */
        float sum[N / 2], bias[8] = {0, 0, 0, 0, 0, 0, 0, 0};

#pragma unroll
        for (int j = 0; j < N / 2; j++) sum[j] = 0;
        if constexpr (PRODUCT == AN_WEIGHTS)
            if (p.g.bias_parts != NULL && warpgroup < pipe::BLOCKS)
                due = t.first + t.down;
        for (uint32_t step = t.first; step < t.end; step++, turn.next()) {
            mbarrier_wait(full + turn.stage, turn.parity);
            wgmma_fence();
            pipe::multiply(sum, stages + turn.stage * of::STAGE, warpgroup);
            wgmma_commit();
            if constexpr (PRODUCT == AN_WEIGHTS)
                if (step == due) {
                    pipe::add_bias(bias, stages + turn.stage * of::STAGE, warpgroup);
                    due += p.down;
                    __syncwarp();
                }
            wgmma_wait<1>(); /* the step before has been multiplied */
            if (step > t.first && speaks) mbarrier_arrive(empty + turn.before());
        }
        wgmma_wait<0>();
        if (t.end > t.first && speaks) mbarrier_arrive(empty + turn.before());
        pipe::write(p, t, sum);
        if constexpr (PRODUCT == AN_WEIGHTS)
            if (p.g.bias_parts != NULL) pipe::write_bias(p, t, bias);
    }
#endif
}

/* --- launching --------------------------------------------------------------------- */

template <an_product PRODUCT, int WARPGROUPS, int N, int DEPTH>
static an_status pipeline_launch(an_queue *q, const an_gemm *g,
                                 const an_pipeline_tiles *tiles)
{
    typedef an_stages<PRODUCT, WARPGROUPS, N, DEPTH> of;
    void (*kernel)(an_pipelined) = pipeline_kernel<PRODUCT, WARPGROUPS, N, DEPTH>;
    bool forward = PRODUCT != AN_WEIGHTS;
    uint32_t pixels = forward ? g->m : g->k, images = pixels / g->by_pixels.d;
    uint32_t all = tiles->down * tiles->across * g->groups * g->splits;
    an_pipelined p;

    p.g = *g;
    p.down = tiles->down;
    p.across = tiles->across;
    p.steps = (g->k + DEPTH - 1) / DEPTH;
    p.split_steps = g->split_k / DEPTH;
    AN_CUDA_TRY(an__cuda_map_windows(q->device, &p.windows, forward ? g->a : g->b, g,
                                     images, forward ? WARPGROUPS * 64 : STEP));
    if (PRODUCT == AN_FORWARD)
        AN_CUDA_TRY(an__cuda_map_rows(q->device, &p.rows, g->b, g->k,
                                      (uint64_t)g->groups * g->out_maps, g->w_pitch, N));
    else if (PRODUCT == AN_DATA)
        AN_CUDA_TRY(
            an__cuda_map_rows(q->device, &p.rows, g->b, g->n, g->k, g->w_pitch, STEP));
    else
        AN_CUDA_TRY(an__cuda_map_rows(q->device, &p.rows, g->a, g->out_pitch, pixels,
                                      g->out_pitch, STEP));
    AN_CUDA_TRY(an__cuda_check(
        q->device,
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             (int)of::BYTES),
        "a product's shared memory"));
    return an__cuda_launch(
        q, kernel, dim3(all < q->device->processors ? all : q->device->processors),
        dim3(of::THREADS), of::BYTES, p, g->what);
}

#endif
