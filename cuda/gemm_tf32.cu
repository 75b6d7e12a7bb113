/*
 * gemm_tf32.cu - products by tensor cores, factors rounded to TF32.
 */
#include "gemm.cuh"

an_status an__cuda_gemm_tf32(an_queue *q, an_product product, const an_gemm *g)
{
    return gemm_product<an_products_tf32>(q, product, g);
}
