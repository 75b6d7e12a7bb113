/*
 * bf16_weights.cu - wgmma.cuh's kernels of one product, in a file of their own so that
 * files compile in parallel.
 */
#include "gemm/wgmma.cuh"

an_status an__cuda_bf16_weights(an_queue *q, const an_gemm *g)
{
    return bf16_product<AN_WEIGHTS>(q, g);
}
