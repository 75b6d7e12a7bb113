/*
 * gemm_fp32.cu - products in strict float32, without tensor cores.
 */
#include "gemm/gemm.cuh"

an_status an__cuda_gemm_fp32(an_queue *q, an_product product, const an_gemm *g)
{
    return gemm_product<an_products_fp32>(q, product, g);
}
