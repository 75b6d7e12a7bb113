/*
 * update.cu - stochastic gradient descent with momentum (the paper, section 5), of all parameters
 * in one launch; what else is done number by number, and the look for numbers that are none.
 */
#include "number.h"

#include "cuda.h"

/* Parameters as one row of pieces: a block takes piece after piece, a thread four numbers. */
enum { PIECE = AN_CUDA_THREADS * 4 };

struct parts {
    an_parameter_part part[AN_MAX_UPDATES];
    uint32_t end[AN_MAX_UPDATES]; /* pieces up to and with this part's */
    uint32_t count;
    const an_step *step;
    const float *given; /* update: faults */
    float *faults;      /* look for them */
};

/* Which part a piece is of; *first: its first number there. */
static __device__ __forceinline__ const an_parameter_part &
part_of(const parts &p, uint32_t piece, size_t *first)
{
    uint32_t i = 0;

    while (piece >= p.end[i]) i++;
    *first = (size_t)(piece - (i > 0 ? p.end[i - 1] : 0)) * PIECE + threadIdx.x * 4;
    return p.part[i];
}

static __device__ __forceinline__ void update_number(const an_update &u, const float g,
                                                     float *v, float *w)
{
    *v = u.momentum * *v - u.decay * u.rate * *w - u.rate * g;
    *w += *v;
}

/* Numbers are moved four at a time where there are so many. */
static __global__ void update_kernel(parts p)
{
    if (*p.given != 0) return;
    for (uint32_t piece = blockIdx.x; piece < p.end[p.count - 1]; piece += gridDim.x) {
        size_t i, end;
        const an_parameter_part &part = part_of(p, piece, &i);
        const an_update u = p.step->update[part.index];

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
        for (end = part.count; i < end; i++) {
            update_number(u, part.g[i], part.v + i, part.w + i);
            if (part.pack != NULL) put_number((an_bf16 *)part.pack + i, part.w[i]);
        }
    }
}

static __global__ void finite_parts_kernel(parts p)
{
    float sum = 0;

    /* 0 for what is finite, else a NaN, which no sum loses */
    for (uint32_t piece = blockIdx.x; piece < p.end[p.count - 1]; piece += gridDim.x) {
        size_t i;
        const an_parameter_part &part = part_of(p, piece, &i);

        if (i + 4 <= part.count) {
            const float4 g = *(const float4 *)(part.g + i);

            sum += g.x * 0.0f + g.y * 0.0f + g.z * 0.0f + g.w * 0.0f;
            continue;
        }
        for (; i < part.count; i++) sum += part.g[i] * 0.0f;
    }
    if (!(sum == 0)) atomicExch(p.faults, 1.0f);
}

/* One row of pieces for all parts. */
static an_status on_parts(an_queue *q, void (*kernel)(parts), parts *p,
                          const an_parameter_part *part, uint32_t count, const char *what)
{
    an_use use(q->device);
    uint32_t i, pieces = 0;

    AN_CUDA_TRY(an__cuda_settle(q));
    for (i = 0; i < count; i++) {
        p->part[i] = part[i];
        p->end[i] = pieces += (uint32_t)((part[i].count + PIECE - 1) / PIECE);
    }
    p->count = count;
    if (pieces == 0) return AN_OK;
    return an__cuda_launch(q, kernel, dim3(pieces < 4096 ? pieces : 4096),
                           dim3(AN_CUDA_THREADS), 0, *p, what);
}

an_status an__cuda_update(an_queue *q, const an_parameter_part *part, uint32_t count,
                          const float *faults)
{
    parts p = {};

    p.step = q->step;
    p.given = faults;
    return on_parts(q, update_kernel, &p, part, count, "an update");
}

an_status an__cuda_gradients_finite(an_queue *q, const an_parameter_part *part,
                                    uint32_t count, float *faults)
{
    parts p = {};

    p.faults = faults;
    return on_parts(q, finite_parts_kernel, &p, part, count, "the look for infinities");
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

struct looking {
    size_t count;
    const void *x;
    float *faults;
};

template <class T> static __global__ void finite_kernel(looking l)
{
    float sum = 0;

    for (AN_CUDA_EACH(i, l.count)) sum += get_number((const T *)l.x + i) * 0.0f;
    if (!(sum == 0)) atomicExch(l.faults, 1.0f);
}

an_status an__cuda_all_finite(an_queue *q, uint32_t precision, size_t count,
                              const float *x, float *faults)
{
    looking l = {count, x, faults};

    return an__cuda_each(q, AN_CUDA_BY_NUMBER(precision, finite_kernel), count, l,
                         "the look for infinities");
}
