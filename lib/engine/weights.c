/*
 * weights.c - parameters, velocities and gradients on their devices, a part for each tower.
 */
#include <string.h>

#include "engine/engine.h"

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
