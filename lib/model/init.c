/*
 * init.c - the values that parameters begin with: random numbers that depend on the seed
 * and on their place alone.
 */
#include <math.h>
#include <string.h>

#include "model/model.h"

typedef struct an_filling {
    const an_param *param;
    uint64_t seed;
    uint32_t stream;
    double sigma,
        bound;      /* gaussian of sigma, or uniform within bound: one of them is 0 */
    float constant; /* where both are */
    float *values;
} an_filling;

/* Four numbers from the generator's block of the same place in the whole tensor. */
static void fill_four(const an_filling *f, uint32_t block)
{
    size_t at = (size_t)block * 4, i;
    uint32_t word[4];
    double four[4];

    an__random4(f->seed, f->stream, 0, block, word);
    for (i = 0; i < 4; i++) four[i] = (2 * an__uniform(word[i]) - 1) * f->bound;
    if (f->sigma > 0)
        for (i = 0; i < 4; i += 2) {
            double radius = f->sigma * sqrt(-2 * log(an__uniform(word[i])));
            double angle = 6.283185307179586 * an__uniform(word[i + 1]);

            four[i] = radius * cos(angle);
            four[i + 1] = radius * sin(angle);
        }
    for (i = 0; i < 4 && at + i < f->param->count; i++)
        f->values[at + i] = (float)four[i];
}

#define FILL_BLOCKS 4096u /* of four elements, for one thread at a time */

static void fill_item(uint32_t item, uint32_t worker, void *arg)
{
    const an_filling *f = arg;
    uint32_t blocks = (uint32_t)((f->param->count + 3) / 4), block = item * FILL_BLOCKS;
    uint32_t end = blocks - block < FILL_BLOCKS ? blocks : block + FILL_BLOCKS;

    (void)worker;
    for (; block < end; block++) fill_four(f, block);
}

an_status an__weights_init(an_weights *w, const an_net *net)
{
    const an_plan *plan = net->plan;
    an_context *ctx = net->ctx;
    size_t most = 0, j;
    an_status status = AN_OK;
    an_filling f;
    uint32_t i;

    for (i = 0; i < plan->param_count; i++)
        if (plan->params[i].count > most) most = plan->params[i].count;
    memset(&f, 0, sizeof f);
    f.seed = plan->config.seed;
    f.values = an__alloc(&ctx->memory, most * sizeof *f.values);
    if (f.values == NULL) return AN_ERROR_MEMORY;

    for (i = 0; i < plan->param_count && status == AN_OK; i++) {
        const an_layer_row *row = &plan->row.layer[plan->params[i].layer];
        double inputs = plan->params[i].inputs;

        f.param = &plan->params[i];
        f.stream = AN_STREAM_INIT + i;
        f.sigma = f.bound = 0;
        f.constant = 0;
        switch (plan->config.initialisation) {
        case AN_INIT_FAN_IN: f.bound = 1 / sqrt(inputs); break;
        case AN_INIT_HE: f.sigma = f.param->is_bias ? 0 : sqrt(2 / inputs); break;
        default:
            f.sigma = f.param->is_bias ? 0 : (double)row->sigma;
            f.constant = f.param->is_bias ? row->bias : 0;
            break;
        }
        if (f.sigma > 0 || f.bound > 0) {
            size_t blocks = (f.param->count + 3) / 4;

            an__pool_run(ctx->pool, (uint32_t)((blocks + FILL_BLOCKS - 1) / FILL_BLOCKS),
                         fill_item, &f);
        } else {
            for (j = 0; j < f.param->count; j++) f.values[j] = f.constant;
        }
        status = an__weights_reserve(w, net, i);
        if (status == AN_OK) status = an__weights_set(w, net, i, f.values);
    }
    an__free(&ctx->memory, f.values);
    return status;
}
