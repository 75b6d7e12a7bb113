/*
 * softmax.cu - probabilities, and their cross-entropy with the labels. A block has an image;
 * sums are in double, as on the CPU, and always in the same order.
 */
#include "number.h"

#include "device.h"

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

/* Of one number from each thread: the maximum (a NaN is lost, as the sum will have it), or
 * the sum. */
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

/* T: of dx. */
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
            put_number((T *)s.dx + row + i, (float)((p - (i == label)) / s.batch));
        if (s.p != NULL) s.p[row + i] = (float)p;
    }
}

static an_status run(an_queue *q, uint32_t precision, const scoring &s)
{
    an_use use(q->device);

    an__cuda_cost(q, 0, precision, s.dx != NULL ? (double)s.batch * s.classes : 0,
                  8.0 * s.batch * s.classes);
    AN_CUDA_TRY(an__cuda_settle(q));
    return an__cuda_launch(q, AN_CUDA_BY_NUMBER(precision, softmax_kernel), dim3(s.batch),
                           dim3(THREADS), THREADS * sizeof(double), s, "softmax");
}

an_status an__cuda_softmax(an_queue *q, uint32_t classes, uint32_t batch, float *x)
{
    scoring s = {classes, batch, x, NULL, NULL, x, NULL, NULL};

    return run(q, AN_PRECISION_FP32, s);
}

an_status an__cuda_softmax_loss(an_queue *q, uint32_t classes, uint32_t batch,
                                const float *x, const int32_t *labels, uint32_t precision,
                                float *dx, an_rank *ranks, double *loss)
{
    scoring s = {classes, batch, x, labels, dx, NULL, ranks, loss};

    return run(q, precision, s);
}
