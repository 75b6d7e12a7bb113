/*
 * gemm_tf32.cu - products by tensor cores, factors rounded to TF32.
 */
#include "gemm/gemm.cuh"

template <int TM, int TN, int THREADS, class TileA, class TileB>
using an_products_tf32 = an_products_mma_tf32<TM, TN, THREADS, TileA, TileB, false>;

an_status an__cuda_gemm_tf32(an_queue *q, an_product product, const an_gemm *g)
{
    return gemm_product<an_products_tf32>(q, product, g);
}
