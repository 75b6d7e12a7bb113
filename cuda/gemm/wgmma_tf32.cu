/*
 * wgmma_tf32.cu - wgmma.cuh's kernels of TF32: forward products, and the data's
 * gradients, which are computed as such (conv.cu).
 */
#include "gemm/wgmma.cuh"

an_status an__cuda_wgmma_tf32(an_queue *q, const an_gemm *g)
{
    return wgmma_product<float, AN_FORWARD, an_products_wgmma_tf32>(
        q, g, an__cuda_wgmma_tile(AN_FORWARD, g).n);
}
