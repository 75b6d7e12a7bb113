/*
 * bf16_weights.cu - wgmma.cuh's kernels of one product, apart so that they compile beside the
 * others'.
 */
#include "wgmma.cuh"

an_status an__cuda_bf16_weights(an_queue *q, const an_gemm *g)
{
    return bf16_product<AN_WEIGHTS>(q, g);
}
