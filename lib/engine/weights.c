/*
 * weights.c - parameters, velocities and gradients on their devices, a part for each
 * tower.
 */
#include <string.h>

#include "engine/engine.h"

void an__weights_free(an_weights *w, const an_net *net)
{
    uint32_t i, t;

    /* What was begun may still be writing. */
    for (t = 0; t < net->plan->towers; t++)
        if (net->queue[t] != NULL) net->backend->sync(net->queue[t]);
    for (i = 0; i < net->plan->param_count; i++)
        for (t = 0; t < net->plan->towers; t++)
            an__operand_release(net->backend, net->device[t], &w->part[i][t]);
    memset(w, 0, sizeof *w);
}

an_status an__weights_reserve(an_weights *w, const an_net *net, uint32_t index)
{
    uint32_t t;

    for (t = 0; t < net->plan->towers; t++) {
        size_t count = net->plan->params[index].part[t];

        if (count > 0)
            AN_TRY(an__operand_alloc(net->backend, net->device[t], count, AN_DTYPE_FP32,
                                     &w->part[index][t]));
    }
    return AN_OK;
}

static an_status part_clear(const an_weights *w, const an_net *net, uint32_t index,
                            uint32_t tower)
{
    static const char zeros[16384];
    size_t count = net->plan->params[index].part[tower], done, part;
    const size_t most = sizeof zeros / sizeof(float);

    for (done = 0; done < count; done += part) {
        part = count - done < most ? count - done : most;
        AN_TRY(net->backend->upload(net->queue[tower],
                                    an__operand_from(w->part[index][tower], done), zeros,
                                    part * sizeof(float)));
    }
    return AN_OK;
}

an_status an__weights_alloc(an_weights *w, const an_net *net)
{
    an_status status = AN_OK;
    uint32_t i, t;

    memset(w, 0, sizeof *w);
    for (i = 0; i < net->plan->param_count && status == AN_OK; i++) {
        status = an__weights_reserve(w, net, i);
        for (t = 0; t < net->plan->towers && status == AN_OK; t++)
            status = part_clear(w, net, i, t);
    }
    /* Other queues than the model's will use it. */
    for (t = 0; t < net->plan->towers && status == AN_OK; t++)
        status = net->backend->sync(net->queue[t]);
    if (status != AN_OK) an__weights_free(w, net);
    return status;
}

static an_order order_of(const an_param *param, uint32_t tower)
{
    size_t row = (size_t)param->halves * param->maps * param->pixels;
    an_order order = {.rows = param->part[tower] / row,
                      .halves = param->halves,
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

    return net->backend->put(net->queue[tower], &order, w->part[index][tower], first,
                             values, count);
}

an_status an__weights_get_part(const an_weights *w, const an_net *net, uint32_t index,
                               uint32_t tower, size_t first, float *values, size_t count)
{
    an_order order = order_of(&net->plan->params[index], tower);

    return net->backend->get(net->queue[tower], &order, values, w->part[index][tower],
                             first, count);
}

an_status an__weights_get(const an_weights *w, const an_net *net, uint32_t index,
                          float *values)
{
    const an_param *param = &net->plan->params[index];
    uint32_t t;

    for (t = 0; t < net->plan->towers; t++) {
        if (param->part[t] == 0) continue;
        AN_TRY(an__weights_get_part(w, net, index, t, 0, values + param->first[t],
                                    param->part[t]));
        AN_TRY(net->backend->sync(net->queue[t]));
    }
    return AN_OK;
}

an_status an__weights_set(const an_weights *w, const an_net *net, uint32_t index,
                          const float *values)
{
    const an_param *param = &net->plan->params[index];
    uint32_t t;

    for (t = 0; t < net->plan->towers; t++) {
        if (param->part[t] == 0) continue;
        AN_TRY(an__weights_put_part(w, net, index, t, 0, values + param->first[t],
                                    param->part[t]));
        AN_TRY(net->backend->sync(net->queue[t]));
    }
    return AN_OK;
}

an_parameter_part an__weights_update_part(const an_net *net, uint32_t index,
                                          uint32_t tower, const an_weights *gradient,
                                          const an_weights *velocity,
                                          const an_weights *weights)
{
    an_parameter_part part = {.index = index,
                              .count = net->plan->params[index].part[tower],
                              .g = gradient->part[index][tower],
                              .v = velocity->part[index][tower],
                              .w = weights->part[index][tower],
                              .prepacked = an__no_operand()};

    return part;
}
