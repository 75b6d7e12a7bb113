/*
 * few.cu - a dense layer forward of a few images: to read each weight once takes longest, so a
 * warp adds up an output's products on ordinary cores, of all images at once, and no sum is in
 * parts.
 */
#include "few.h"
#include "finish.h"

enum {
    WARPS = 8,
    OUTPUTS = 2,    /* of a warp */
    STRIDE = 32 * 8 /* numbers that a warp reads at a time */
};

struct few {
    const void *x, *w;
    void *y;
    an_finish finish;
    uint32_t inputs, outputs, wide;
};

/* Numbers of a row from `first` on, of which a thread has so many eights under way. */
template <class W> struct ahead {
    enum { EIGHTS = 4 };
    uint32_t word[EIGHTS][8 * sizeof(W) / 4];

    __device__ __forceinline__ void load(const W *row, uint32_t first, uint32_t end)
    {
#pragma unroll
        for (int i = 0; i < EIGHTS; i++)
            if (first + i * STRIDE < end) get_words(row + first + i * STRIDE, word[i]);
    }
};

/* T: of tensors; W: of weights. */
template <class T, class W, int IMAGES>
static __global__ void __launch_bounds__(WARPS * 32) few_kernel(few f)
{
    uint32_t lane = threadIdx.x % 32;
    uint32_t output = (blockIdx.x * WARPS + threadIdx.x / 32) * OUTPUTS;
    const W *w = (const W *)f.w + (size_t)output * f.inputs;
    float sum[OUTPUTS][IMAGES] = {};

    if (output >= f.outputs) return;
    for (uint32_t k = lane * 8; k < f.inputs; k += ahead<W>::EIGHTS * STRIDE) {
        ahead<W> row[OUTPUTS];

#pragma unroll
        for (int o = 0; o < OUTPUTS; o++)
            row[o].load(w + (output + o < f.outputs ? o * f.inputs : 0), k, f.inputs);
#pragma unroll
        for (int i = 0; i < ahead<W>::EIGHTS; i++) {
            uint32_t at = k + i * STRIDE;
            float weight[OUTPUTS][8], x[8];

            if (at >= f.inputs) break;
#pragma unroll
            for (int o = 0; o < OUTPUTS; o++)
                unpack((const W *)NULL, row[o].word[i], weight[o]);
#pragma unroll
            for (int b = 0; b < IMAGES; b++) {
                get_numbers((const T *)f.x + (size_t)b * f.inputs + at, x);
#pragma unroll
                for (int o = 0; o < OUTPUTS; o++)
#pragma unroll
                    for (int e = 0; e < 8; e++) sum[o][b] += x[e] * weight[o][e];
            }
        }
    }
#pragma unroll
    for (int o = 0; o < OUTPUTS; o++)
#pragma unroll
        for (int b = 0; b < IMAGES; b++) {
            uint32_t at = b * f.outputs + output + o;
            float all = sum[o][b];

#pragma unroll
            for (int other = 16; other > 0; other /= 2)
                all += __shfl_xor_sync(0xffffffffu, all, other);
            /* A lane for each number. */
            if (lane != (uint32_t)(o * IMAGES + b) || output + o >= f.outputs) continue;
            all = finished<T>(f.finish, all, b, output + o, at);
            if (f.wide)
                ((float *)f.y)[at] = all;
            else
                put_number((T *)f.y + at, all);
        }
}

template <class T, class W> static void (*kernel_for(uint32_t images))(few)
{
    return images == 1   ? few_kernel<T, W, 1>
           : images == 2 ? few_kernel<T, W, 2>
           : images == 3 ? few_kernel<T, W, 3>
                         : few_kernel<T, W, 4>;
}

bool an__cuda_is_few(const an_dense_shape *s, uint32_t images)
{
    return images <= AN_FEW && s->slabs == 1 && s->inputs % 8 == 0;
}

an_status an__cuda_few(an_queue *q, const an_dense_shape *s, uint32_t images,
                       const void *x, const void *w, const an_finish *to, void *y)
{
    an_use use(q->device);
    bool narrow = s->precision == AN_PRECISION_BF16;
    double weights = (double)s->inputs * s->outputs;
    few f = {x, w, y, *to, s->inputs, s->outputs, s->wide};

    AN_CUDA_TRY(an__cuda_alive(q->device));
    AN_CUDA_TRY(an__cuda_settle(q));
    an__cuda_cost(q, 2 * weights * images, s->precision,
                  weights + (double)images * (s->inputs + s->outputs), 0);
    return an__cuda_launch(q,
                           narrow ? kernel_for<an_bf16, an_bf16>(images)
                                  : kernel_for<float, float>(images),
                           dim3((s->outputs + WARPS * OUTPUTS - 1) / (WARPS * OUTPUTS)),
                           dim3(WARPS * 32), 0, f, "a product of few images");
}
