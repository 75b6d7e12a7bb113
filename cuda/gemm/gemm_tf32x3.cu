/*
 * gemm_tf32x3.cu - products by tensor cores, each in three of TF32.
 */
#include "gemm/gemm.cuh"

template <int TM, int TN, int THREADS, class TileA, class TileB>
using an_products_tf32x3 = an_products_mma_tf32<TM, TN, THREADS, TileA, TileB, true>;

an_status an__cuda_gemm_tf32x3(an_queue *q, an_product product, const an_gemm *g)
{
    return gemm_product<an_products_tf32x3, false>(q, product, g);
}
