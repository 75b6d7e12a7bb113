/*
 * narrow_data.cu - narrow.cuh's kernels of one product, apart so that they compile beside the
 * others'.
 */
#include "narrow.cuh"

an_status an__cuda_narrow_data(an_queue *q, const an_gemm *g)
{
    return narrow_product<AN_DATA>(q, g);
}
