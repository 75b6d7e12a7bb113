/*
 * weights.c - parameters, velocities and gradients on their devices, a piece per tower.
 */
#include <math.h>
#include <string.h>

#include "internal.h"

void an__weights_free(an_weights *w, const an_net *net)
{
    uint32_t i, t;

    /* What was begun may still be writing. */
    for (t = 0; t < net->plan->towers; t++)
        if (net->queue[t] != NULL) net->slots[t].backend->sync(net->queue[t]);
    for (i = 0; i < net->plan->param_count; i++)
        for (t = 0; t < net->plan->towers; t++)
            if (w->part[i][t] != NULL)
                net->slots[t].backend->release(net->slots[t].device, w->part[i][t]);
    memset(w, 0, sizeof *w);
}

static an_status part_alloc(an_weights *w, const an_net *net, uint32_t index,
                            uint32_t tower)
{
    static const char zeros[16384];
    const an_slot *slot = &net->slots[tower];
    size_t bytes = net->plan->params[index].part[tower] * sizeof(float), done, part;
    void *memory = NULL;

    if (bytes == 0) return AN_OK;
    AN_TRY(slot->backend->alloc(slot->device, bytes, &memory));
    w->part[index][tower] = memory;
    for (done = 0; done < bytes; done += part) {
        part = bytes - done < sizeof zeros ? bytes - done : sizeof zeros;
        AN_TRY(
            slot->backend->upload(net->queue[tower], (char *)memory + done, zeros, part));
    }
    return AN_OK;
}

an_status an__weights_alloc(an_weights *w, const an_net *net)
{
    an_status status = AN_OK;
    uint32_t i, t;

    memset(w, 0, sizeof *w);
    for (i = 0; i < net->plan->param_count && status == AN_OK; i++)
        for (t = 0; t < net->plan->towers && status == AN_OK; t++)
            status = part_alloc(w, net, i, t);
    /* Other queues than the model's will use it. */
    for (t = 0; t < net->plan->towers && status == AN_OK; t++)
        status = net->slots[t].backend->sync(net->queue[t]);
    if (status != AN_OK) an__weights_free(w, net);
    return status;
}

static an_order order_of(const an_param *param, uint32_t tower)
{
    size_t row = (size_t)param->slabs * param->maps * param->pixels;
    an_order order = {.rows = param->part[tower] / row,
                      .slabs = param->slabs,
                      .maps = param->maps,
                      .pixels = param->pixels,
                      .weights = 1};

    return order;
}

an_status an__weights_put_part(const an_weights *w, const an_net *net, uint32_t index,
                               uint32_t tower, size_t first, const float *values,
                               size_t count)
{
    an_order order = order_of(&net->plan->params[index], tower);

    return net->slots[tower].backend->put(net->queue[tower], &order,
                                          w->part[index][tower], first, values, count);
}

an_status an__weights_get_part(const an_weights *w, const an_net *net, uint32_t index,
                               uint32_t tower, size_t first, float *values, size_t count)
{
    an_order order = order_of(&net->plan->params[index], tower);

    return net->slots[tower].backend->get(net->queue[tower], &order, values,
                                          w->part[index][tower], first, count);
}

an_status an__weights_get(const an_weights *w, const an_net *net, uint32_t index,
                          float *values)
{
    const an_param *param = &net->plan->params[index];
    uint32_t t;

    for (t = 0; t < net->plan->towers; t++) {
        const an_backend *backend = net->slots[t].backend;

        if (param->part[t] == 0) continue;
        AN_TRY(an__weights_get_part(w, net, index, t, 0, values + param->first[t],
                                    param->part[t]));
        AN_TRY(backend->sync(net->queue[t]));
    }
    return AN_OK;
}

an_status an__weights_set(const an_weights *w, const an_net *net, uint32_t index,
                          const float *values)
{
    const an_param *param = &net->plan->params[index];
    uint32_t t;

    for (t = 0; t < net->plan->towers; t++) {
        const an_backend *backend = net->slots[t].backend;

        if (param->part[t] == 0) continue;
        AN_TRY(an__weights_put_part(w, net, index, t, 0, values + param->first[t],
                                    param->part[t]));
        AN_TRY(backend->sync(net->queue[t]));
    }
    return AN_OK;
}

/* --- initialisation ------------------------------------------------------------------- */

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

#define FILL_BLOCKS 4096u /* of four numbers, for one thread at a time */

static void fill_item(uint32_t item, uint32_t worker, void *arg)
{
    const an_filling *f = arg;
    uint32_t blocks = (uint32_t)((f->param->count + 3) / 4), block = item * FILL_BLOCKS;
    uint32_t end = blocks - block < FILL_BLOCKS ? blocks : block + FILL_BLOCKS;

    (void)worker;
    for (; block < end; block++) fill_four(f, block);
}

an_status an__weights_init(const an_weights *w, const an_net *net)
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
        status = an__weights_set(w, net, i, f.values);
    }
    an__free(&ctx->memory, f.values);
    return status;
}
