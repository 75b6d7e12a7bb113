/*
 * update.cu - stochastic gradient descent with momentum (the paper, section 5), of all parameters
 * in one launch; what else is done number by number, and the look for numbers that are none.
 */
#include "number.h"

#include "update.h"

/* Rows of numbers as one row of pieces: a block takes piece after piece, a thread four numbers. */
enum { PIECE = AN_CUDA_THREADS * 4 };

template <class Row, uint32_t MOST> struct an_pieces {
    Row row[MOST];
    uint32_t end[MOST]; /* pieces up to and with this row's */
    uint32_t count;

    __host__ void make(const Row *rows, uint32_t n)
    {
        uint32_t pieces = 0;

        for (count = 0; count < n; count++) {
            row[count] = rows[count];
            end[count] = pieces += (uint32_t)((rows[count].count + PIECE - 1) / PIECE);
        }
    }

    __host__ __device__ __forceinline__ uint32_t all() const
    {
        return count > 0 ? end[count - 1] : 0;
    }

    double numbers() const
    {
        double sum = 0;

        for (uint32_t i = 0; i < count; i++) sum += (double)row[i].count;
        return sum;
    }

    /* Which row a piece is of; *first: this thread's first number there. */
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

    AN_CUDA_TRY(an__cuda_settle(q));
    if (pieces == 0) return AN_OK;
    return an__cuda_launch(q, kernel, dim3(pieces < 4096 ? pieces : 4096),
                           dim3(AN_CUDA_THREADS), 0, p, what);
}

struct updating {
    an_pieces<an_parameter_part, AN_MAX_UPDATES> pieces;
    const an_step *step;
    const float *faults;
};

/* Numbers are moved four at a time where there are so many. */
static __global__ void update_kernel(updating d)
{
    if (*d.faults != 0) return;
    for (uint32_t piece = blockIdx.x; piece < d.pieces.all(); piece += gridDim.x) {
        size_t i;
        const an_parameter_part &part = d.pieces.of(piece, &i);
        const an_update u = d.step->update[part.index];

        if (u.rate == 0) continue;
        if (i + 4 <= part.count) {
            float4 v = *(const float4 *)(part.v + i), w = *(const float4 *)(part.w + i);
            const float4 g = *(const float4 *)(part.g + i);

            update_number(u, g.x, &v.x, &w.x);
            update_number(u, g.y, &v.y, &w.y);
            update_number(u, g.z, &v.z, &w.z);
            update_number(u, g.w, &v.w, &w.w);
            *(float4 *)(part.v + i) = v;
            *(float4 *)(part.w + i) = w;
            if (part.pack != NULL) {
                uint32_t *to = (uint32_t *)part.pack + i / 2;

                to[0] = to_bf16x2(float_word(w.x), float_word(w.y));
                to[1] = to_bf16x2(float_word(w.z), float_word(w.w));
            }
            continue;
        }
        for (; i < part.count; i++) {
            update_number(u, part.g[i], part.v + i, part.w + i);
            if (part.pack != NULL) put_number((an_bf16 *)part.pack + i, part.w[i]);
        }
    }
}

an_status an__cuda_update(an_queue *q, const an_parameter_part *parts, uint32_t count,
                          const float *faults)
{
    updating d = {{}, q->step, faults};

    d.pieces.make(parts, count);
    an__cuda_cost(q, 0, AN_PRECISION_FP32, 0, 20 * d.pieces.numbers());
    return on_pieces(q, update_kernel, d, "an update");
}

struct looking {
    an_pieces<an_array, AN_MAX_ARRAYS> pieces;
    float *faults;
};

/* 0 for what is finite, else a NaN, which no sum loses. */
template <class T>
static __device__ __forceinline__ float zeros(const T *x, size_t i, size_t count)
{
    float sum = 0;

    if (i + 4 <= count) {
#pragma unroll
        for (int k = 0; k < 4; k++) sum += get_number(x + i + k) * 0.0f;
    } else {
        for (; i < count; i++) sum += get_number(x + i) * 0.0f;
    }
    return sum;
}

static __global__ void finite_kernel(looking l)
{
    float sum = 0;

    for (uint32_t piece = blockIdx.x; piece < l.pieces.all(); piece += gridDim.x) {
        size_t i;
        const an_array &a = l.pieces.of(piece, &i);

        sum += a.precision == AN_PRECISION_BF16
                   ? zeros((const an_bf16 *)(const void *)a.p, i, a.count)
                   : zeros(a.p, i, a.count);
    }
    if (!(sum == 0)) atomicExch(l.faults, 1.0f);
}

an_status an__cuda_all_finite(an_queue *q, const an_array *arrays, uint32_t count,
                              float *faults)
{
    looking l = {{}, faults};

    l.pieces.make(arrays, count);
    an__cuda_cost(q, 0, AN_PRECISION_FP32, l.pieces.numbers(), 0);
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

    for (AN_CUDA_EACH(i, s.count)) put_number(x + i, get_number(x + i) * s.factor);
}

an_status an__cuda_scale(an_queue *q, uint32_t precision, size_t count, float factor,
                         float *x)
{
    scaling s = {count, factor, x};

    return an__cuda_each(q, AN_CUDA_BY_NUMBER(precision, scale_kernel), count, s,
                         "scaling");
}
