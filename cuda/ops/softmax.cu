/*
 * softmax.cu - probabilities, and their cross-entropy with the labels. A block computes
 * those of one image; sums are in double, as on the CPU, and always in the same order.
 */
#include "runtime/device.h"
#include "runtime/element.h"

struct scoring {
    uint32_t classes, batch;
    const float *x;
    const int32_t *labels; /* null: probabilities alone */
    void *dx;              /* null: none */
    float *p;              /* null: none */
    an_rank *ranks;
    double *loss;
};

enum { THREADS = 128 };

/* The sum of one value from each thread, or their maximum (from which a NaN may be lost:
 * it is in the sum that follows). */
template <bool SUM>
static __device__ __forceinline__ double reduce(double *shared, double x)
{
    shared[threadIdx.x] = x;
    __syncthreads();
    for (uint32_t half = THREADS / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) {
            double other = shared[threadIdx.x + half];

            if (SUM)
                shared[threadIdx.x] += other;
            else if (other > shared[threadIdx.x])
                shared[threadIdx.x] = other;
        }
        __syncthreads();
    }
    x = shared[0];
    __syncthreads();
    return x;
}

/* T: the type of dx. */
template <class T> static __global__ void softmax_kernel(scoring s)
{
    double *shared = (double *)shared_memory();
    size_t row = (size_t)blockIdx.x * s.classes;
    const float *x = s.x + row;
    double max = (double)x[0], sum = 0, total;
    uint32_t label = 0, i;

    for (i = threadIdx.x; i < s.classes; i += THREADS)
        if ((double)x[i] > max) max = (double)x[i];
    max = reduce<false>(shared, max);
    for (i = threadIdx.x; i < s.classes; i += THREADS) sum += exp((double)x[i] - max);
    total = max + log(reduce<true>(shared, sum));
    if (s.labels != NULL) {
        double greater = 0, equal = 0;

        label = (uint32_t)s.labels[blockIdx.x];
        for (i = threadIdx.x; i < s.classes; i += THREADS) {
            greater += x[i] > x[label];
            equal += x[i] == x[label];
        }
        greater = reduce<true>(shared, greater); /* x is read before dx takes its place */
        equal = reduce<true>(shared, equal);
        if (threadIdx.x == 0) {
            an_rank rank = {(uint32_t)greater, (uint32_t)equal};

            s.ranks[blockIdx.x] = rank;
            s.loss[blockIdx.x] = total - (double)x[label];
        }
        __syncthreads();
    }
    for (i = threadIdx.x; i < s.classes; i += THREADS) {
        double p = exp((double)x[i] - total);

        if (s.dx != NULL)
            put_element((T *)s.dx + row + i, (float)((p - (i == label)) / s.batch));
        if (s.p != NULL) s.p[row + i] = (float)p;
    }
}

/* dtype: of dx. */
static an_status run(an_queue *q, uint32_t dtype, const scoring &s)
{
    an_use use(q->device);

    an__cuda_cost(q, 0, dtype, s.dx != NULL ? (double)s.batch * s.classes : 0,
                  8.0 * s.batch * s.classes);
    AN_CUDA_TRY(an__cuda_complete_receive(q));
    return an__cuda_launch(q, AN_CUDA_BY_DTYPE(dtype, softmax_kernel), dim3(s.batch),
                           dim3(THREADS), THREADS * sizeof(double), s, "softmax");
}

an_status an__cuda_softmax(an_queue *q, uint32_t classes, uint32_t batch, an_operand x)
{
    float *p = an__cuda_floats(x);
    scoring s = {classes, batch, p, NULL, NULL, p, NULL, NULL};

    return run(q, AN_DTYPE_FP32, s);
}

an_status an__cuda_softmax_loss(an_queue *q, uint32_t classes, uint32_t batch,
                                const an_loss_operands *o)
{
    scoring s = {classes,
                 batch,
                 an__cuda_floats(o->logits),
                 (const int32_t *)an__cuda_address(o->labels),
                 an__cuda_address(o->dx),
                 NULL,
                 (an_rank *)an__cuda_address(o->ranks),
                 (double *)an__cuda_address(o->losses)};

    return run(q, o->dx.dtype, s);
}
