/*
 * few.cu - the forward pass of a dense layer of a few images. Reading each weight once
 * takes longest there; so a warp adds up an output's products on ordinary cores, for all
 * images at once, and there are no partial sums.
 */
#include "gemm/epilogue.h"
#include "gemm/few.h"

enum {
    WARPS = 8,
    OUTPUTS = 2,    /* of a warp */
    STRIDE = 32 * 8 /* elements that a warp reads at a time */
};

struct few {
    const void *x, *w;
    void *y;
    an_epilogue epilogue;
    uint32_t inputs, outputs, y_float; /* y_float: y is float32, whatever T is */
};

/* Elements of a row from `first` on, of which a thread loads so many eights ahead. */
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

/* T: the type of tensors; W: of weights. */
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
                get_elements((const T *)f.x + (size_t)b * f.inputs + at, x);
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
            /* A lane writes one element. */
            if (lane != (uint32_t)(o * IMAGES + b) || output + o >= f.outputs) continue;
            all = finished<T>(f.epilogue, all, b, output + o, at);
            if (f.y_float)
                ((float *)f.y)[at] = all;
            else
                put_element((T *)f.y + at, all);
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
    return images <= AN_FEW && s->halves == 1 && s->inputs % 8 == 0;
}

an_status an__cuda_few(an_queue *q, const an_dense_shape *s, uint32_t images,
                       an_operand x, an_operand w, const an_epilogue *to, an_operand y)
{
    an_use use(q->device);
    double weights = (double)s->inputs * s->outputs;
    few f = {an__cuda_address(x), an__cuda_address(w), an__cuda_address(y),     *to,
             s->inputs,           s->outputs,          y.dtype == AN_DTYPE_FP32};

    AN_CUDA_TRY(an__cuda_alive(q->device));
    AN_CUDA_TRY(an__cuda_complete_receive(q));
    an__cuda_cost(q, 2 * weights * images, x.dtype,
                  weights + (double)images * (s->inputs + s->outputs), 0);
    return an__cuda_launch(q,
                           x.dtype == AN_DTYPE_BF16 ? kernel_for<an_bf16, an_bf16>(images)
                                                    : kernel_for<float, float>(images),
                           dim3((s->outputs + WARPS * OUTPUTS - 1) / (WARPS * OUTPUTS)),
                           dim3(WARPS * 32), 0, f, "a product of few images");
}
