/*
 * conv_pack.cu - weights as products want them: prepacked, and rotated by half a turn for
 * the data's gradient.
 */
#include "ops/conv.h"
#include "runtime/element.h"
#include "runtime/space_to_depth.h"

/* Weights lie as [output map][half][row][column][map]. Prepacked they have the type that
 * products want, and the rows, columns and maps of the space-to-depth layout. */
struct packing {
    const float *w;
    void *prepacked;
    size_t count;
    uint32_t kernel, taps;
    an_space_to_depth s2d;
};

template <class T> static __global__ void pack_kernel(packing p)
{
    for (AN_CUDA_EACH(i, p.count)) {
        size_t from = i;
        bool there = p.s2d.side == 0 ||
                     s2d_weight_place(p.kernel, p.taps, p.s2d, (uint32_t)i, &from);

        put_element((T *)p.prepacked + i, there ? p.w[from] : 0);
    }
}

/* Prepacked weights, rotated for that: [half][group][map][row][column][output map], rows
 * and columns from the last to the first. They are made anew each time, in the queue's
 * scratch memory. */
struct turning {
    const void *prepacked;
    void *rotated;
    uint32_t halves, groups, taps; /* taps: all of a kernel */
    uint32_t maps, out_maps;       /* of a group */
};

#define SIDE 32 /* of a part of a matrix that is transposed at a time */

/* A block transposes a part of [output map][map], of one tap. Grid: matrices, parts of
 * the output maps, of the maps. */
template <class T> static __global__ void turn_kernel(turning t)
{
    T *part = (T *)shared_memory(); /* [SIDE][SIDE + 1] */
    uint32_t tap = blockIdx.x % t.taps, plane = blockIdx.x / t.taps;
    uint32_t group = plane % t.groups, half = plane / t.groups;
    uint32_t output0 = blockIdx.y * SIDE, map0 = blockIdx.z * SIDE;
    uint32_t column = threadIdx.x % SIDE, first = threadIdx.x / SIDE;

    for (uint32_t row = first; row < SIDE; row += blockDim.x / SIDE) {
        uint32_t output = output0 + row, map = map0 + column;
        size_t from = (size_t)(group * t.out_maps + output) * t.halves + half;

        if (output < t.out_maps && map < t.maps)
            part[row * (SIDE + 1) + column] =
                ((const T *)t.prepacked)[(from * t.taps + tap) * t.maps + map];
    }
    __syncthreads();
    for (uint32_t row = first; row < SIDE; row += blockDim.x / SIDE) {
        uint32_t map = map0 + row, output = output0 + column;
        size_t to = (size_t)(plane * t.maps + map) * t.taps + t.taps - 1 - tap;

        if (output < t.out_maps && map < t.maps)
            ((T *)t.rotated)[to * t.out_maps + output] = part[column * (SIDE + 1) + row];
    }
}

an_status an__cuda_conv_prepack(an_queue *q, const an_conv_shape *s, uint32_t,
                                an_operand w, an_operand prepacked)
{
    an_gemm g = an__cuda_conv_gemm(s);
    packing p = {an__cuda_floats(w),
                 an__cuda_address(prepacked),
                 (size_t)s->out_maps * g.w_pitch,
                 s->kernel,
                 g.kernel,
                 s->s2d};
    void (*kernel)(packing) = s->precision == AN_PRECISION_BF16   ? pack_kernel<an_bf16>
                              : s->precision == AN_PRECISION_TF32 ? pack_kernel<an_tf32>
                                                                  : pack_kernel<float>;

    an__cuda_cost(q, 0, conv_dtype(s), (double)p.count, 4.0 * (double)p.count);
    return an__cuda_each(q, kernel, p.count, p, "packed weights");
}

an_status an__cuda_conv_rotate(an_queue *q, const an_conv_shape *s, uint32_t batch,
                               an_operand prepacked, an_operand *rotated)
{
    an_gemm g = an__cuda_conv_gemm(s);
    bool is_bf16 = s->precision == AN_PRECISION_BF16;

    *rotated =
        an__operand(q->scratch, an__cuda_conv_parts_bytes(s, batch, 1), AN_DTYPE_BYTES);
    turning t = {an__cuda_address(prepacked),
                 an__cuda_address(*rotated),
                 s->halves,
                 s->groups,
                 g.kernel * g.kernel,
                 g.in_maps,
                 g.out_maps};

    an__cuda_cost(q, 0, conv_dtype(s), 2.0 * s->out_maps * g.w_pitch, 0);
    return an__cuda_launch(
        q, is_bf16 ? turn_kernel<an_bf16> : turn_kernel<an_tf32>,
        dim3(s->halves * s->groups * t.taps, (g.out_maps + SIDE - 1) / SIDE,
             (g.in_maps + SIDE - 1) / SIDE),
        dim3(AN_CUDA_THREADS),
        SIDE * (SIDE + 1) * (is_bf16 ? sizeof(an_bf16) : sizeof(an_tf32)), t,
        "rotated weights");
}
