/*
 * update.cu - stochastic gradient descent with momentum (the paper, section 5), of all
 * parameters in one launch; the scaling of tensors; the search for elements that are not
 * finite.
 */
#include "gemm/update.h"

/* Arrays of elements are cut into pieces, which are counted through all arrays: a block
 * works on one piece after another, and a thread on four elements of each. */
enum { PIECE = AN_CUDA_THREADS * 4 };

template <class Row, uint32_t MOST> struct an_pieces {
    Row row[MOST];
    uint32_t end[MOST]; /* pieces up to the end of this row */
    uint32_t count;

    __host__ void add(const Row &added)
    {
        row[count] = added;
        end[count] = all() + (uint32_t)((added.count + PIECE - 1) / PIECE);
        count++;
    }

    __host__ __device__ __forceinline__ uint32_t all() const
    {
        return count > 0 ? end[count - 1] : 0;
    }

    double elements() const
    {
        double sum = 0;

        for (uint32_t i = 0; i < count; i++) sum += (double)row[i].count;
        return sum;
    }

    /* The row that a piece belongs to; *first: this thread's first element of it. */
    __device__ __forceinline__ const Row &of(uint32_t piece, size_t *first) const
    {
        uint32_t i = 0;

        while (piece >= end[i]) i++;
        *first = (size_t)(piece - (i > 0 ? end[i - 1] : 0)) * PIECE + threadIdx.x * 4;
        return row[i];
    }
};

template <class Params>
static an_status on_pieces(an_queue *q, void (*kernel)(Params), const Params &p,
                           const char *what)
{
    an_use use(q->device);
    uint32_t pieces = p.pieces.all();

    AN_CUDA_TRY(an__cuda_complete_receive(q));
    if (pieces == 0) return AN_OK;
    return an__cuda_launch(q, kernel, dim3(pieces < 4096 ? pieces : 4096),
                           dim3(AN_CUDA_THREADS), 0, p, what);
}

struct updating {
    an_pieces<an_updated, AN_MAX_UPDATES> pieces;
    const an_step *step;
    const float *faults;
};

/* Elements are moved four at a time where that many are left. */
static __global__ void update_kernel(updating d)
{
    if (*d.faults != 0) return;
    for (uint32_t piece = blockIdx.x; piece < d.pieces.all(); piece += gridDim.x) {
        size_t i;
        const an_updated &part = d.pieces.of(piece, &i);
        const an_update u = d.step->update[part.index];

        if (u.rate == 0) continue;
        if (i + 4 <= part.count) {
            float4 v = *(const float4 *)(part.v + i), w = *(const float4 *)(part.w + i);
            const float4 g = *(const float4 *)(part.g + i);

            update_element(u, g.x, &v.x, &w.x);
            update_element(u, g.y, &v.y, &w.y);
            update_element(u, g.z, &v.z, &w.z);
            update_element(u, g.w, &v.w, &w.w);
            *(float4 *)(part.v + i) = v;
            *(float4 *)(part.w + i) = w;
            if (part.prepacked != NULL) {
                uint32_t *to = (uint32_t *)part.prepacked + i / 2;

                to[0] = to_bf16x2(float_word(w.x), float_word(w.y));
                to[1] = to_bf16x2(float_word(w.z), float_word(w.w));
            }
            continue;
        }
        for (; i < part.count; i++) {
            update_element(u, part.g[i], part.v + i, part.w + i);
            if (part.prepacked != NULL) put_element(part.prepacked + i, part.w[i]);
        }
    }
}

an_status an__cuda_update(an_queue *q, const an_parameter_part *parts, uint32_t count,
                          an_operand faults)
{
    updating u = {{}, q->step, an__cuda_floats(faults)};

    for (uint32_t i = 0; i < count; i++) u.pieces.add(an__cuda_updated(parts[i]));
    an__cuda_cost(q, 0, AN_DTYPE_FP32, 0, 20 * u.pieces.elements());
    return on_pieces(q, update_kernel, u, "an update");
}

/* An an_array by its address. */
struct looked_through {
    const void *x;
    size_t count;
    uint32_t dtype;
};

struct looking {
    an_pieces<looked_through, AN_MAX_ARRAYS> pieces;
    float *faults;
};

/* 0 if these elements are finite, else a NaN, which stays one in any sum. */
template <class T>
static __device__ __forceinline__ float zeros(const T *x, size_t i, size_t count)
{
    float sum = 0;

    if (i + 4 <= count) {
#pragma unroll
        for (int k = 0; k < 4; k++) sum += get_element(x + i + k) * 0.0f;
    } else {
        for (; i < count; i++) sum += get_element(x + i) * 0.0f;
    }
    return sum;
}

static __global__ void finite_kernel(looking l)
{
    float sum = 0;

    for (uint32_t piece = blockIdx.x; piece < l.pieces.all(); piece += gridDim.x) {
        size_t i;
        const looked_through &a = l.pieces.of(piece, &i);

        sum += a.dtype == AN_DTYPE_BF16 ? zeros((const an_bf16 *)a.x, i, a.count)
                                        : zeros((const float *)a.x, i, a.count);
    }
    if (!(sum == 0)) atomicExch(l.faults, 1.0f);
}

an_status an__cuda_all_finite(an_queue *q, const an_array *arrays, uint32_t count,
                              an_operand faults)
{
    looking l = {{}, an__cuda_floats(faults)};

    for (uint32_t i = 0; i < count; i++)
        l.pieces.add({an__cuda_address(arrays[i].x), arrays[i].count, arrays[i].x.dtype});
    an__cuda_cost(q, 0, AN_DTYPE_FP32, l.pieces.elements(), 0);
    return on_pieces(q, finite_kernel, l, "the look for infinities");
}

struct scaling {
    size_t count;
    float factor;
    void *x;
};

template <class T> static __global__ void scale_kernel(scaling s)
{
    T *x = (T *)s.x;

    for (AN_CUDA_EACH(i, s.count)) put_element(x + i, get_element(x + i) * s.factor);
}

an_status an__cuda_scale(an_queue *q, size_t count, float factor, an_operand x)
{
    scaling s = {count, factor, an__cuda_address(x)};

    return an__cuda_each(q, AN_CUDA_BY_DTYPE(x.dtype, scale_kernel), count, s, "scaling");
}
