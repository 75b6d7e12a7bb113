/*
 * pipeline_forward.cu - pipeline.cuh's kernels of forward products, in a file of their
 * own so that files compile in parallel.
 */
#include "gemm/pipeline.cuh"

template <int DEPTH>
static an_status launch(an_queue *q, const an_gemm *g, const an_pipeline_tiles *t)
{
    if (t->columns == 192) return pipeline_launch<AN_FORWARD, 3, 192, DEPTH>(q, g, t);
    if (t->columns == 96) return pipeline_launch<AN_FORWARD, 4, 96, DEPTH>(q, g, t);
    if (t->columns == 64) return pipeline_launch<AN_FORWARD, 4, 64, DEPTH>(q, g, t);
    if (t->warpgroups == 3) return pipeline_launch<AN_FORWARD, 3, 128, DEPTH>(q, g, t);
    return pipeline_launch<AN_FORWARD, 4, 128, DEPTH>(q, g, t);
}

static an_status launch_across(an_queue *q, const an_gemm *g, const an_pipeline_tiles *t)
{
    if (t->columns == 192) return pipeline_launch<AN_DATA, 3, 192, 64>(q, g, t);
    if (t->warpgroups == 3) return pipeline_launch<AN_DATA, 3, 128, 64>(q, g, t);
    return pipeline_launch<AN_DATA, 4, 128, 64>(q, g, t);
}

an_status an__cuda_pipeline_forward(an_queue *q, const an_gemm *g,
                                    const an_pipeline_tiles *t)
{
    if (g->across) return launch_across(q, g, t);
    return t->depth == 64 ? launch<64>(q, g, t) : launch<48>(q, g, t);
}
