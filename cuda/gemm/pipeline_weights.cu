/*
 * pipeline_weights.cu - pipeline.cuh's kernels of gradients of weights, in a file of
 * their own so that files compile in parallel.
 */
#include "gemm/pipeline.cuh"

an_status an__cuda_pipeline_weights(an_queue *q, const an_gemm *g,
                                    const an_pipeline_tiles *t)
{
    switch (t->columns) {
    case 64: return pipeline_launch<AN_WEIGHTS, 3, 64, 64>(q, g, t);
    case 96: return pipeline_launch<AN_WEIGHTS, 3, 96, 64>(q, g, t);
    case 128: return pipeline_launch<AN_WEIGHTS, 3, 128, 64>(q, g, t);
    default: return pipeline_launch<AN_WEIGHTS, 3, 192, 64>(q, g, t);
    }
}
