/*
 * gemm_bf16.cu - products by tensor cores, factors rounded to BF16, sums in float32.
 */
#include "gemm.cuh"

template <int TM, int TN, int THREADS>
struct products_bf16 : an_products_tensor<TM, TN, THREADS, true> {
};

an_status an__cuda_gemm_bf16(an_queue *q, an_product product, const an_gemm *g)
{
    return gemm_product<products_bf16>(q, product, g);
}
