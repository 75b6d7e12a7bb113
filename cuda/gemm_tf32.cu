/*
 * gemm_tf32.cu - products by tensor cores, factors rounded to TF32.
 */
#include "gemm.cuh"

template <int TM, int TN, int THREADS>
struct products_tf32 : an_products_tensor<TM, TN, THREADS, false> {
};

an_status an__cuda_gemm_tf32(an_queue *q, an_product product, const an_gemm *g)
{
    return gemm_product<products_tf32>(q, product, g);
}
