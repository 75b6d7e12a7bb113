/*
 * input.c - what a pass reads: floats, or crops of pictures as bytes, and their way to a device.
 */
#include <string.h>

#include "engine/engine.h"

/* --- what a pass reads ------------------------------------------------------------------ */

static an_status
upload_crops(an_exec *exec, uint32_t tower, uint32_t batch, const an_feed *feed,
             an_status (*upload)(an_queue *, void *, const void *, size_t))
{
    const uint32_t size = feed->input->size;

    AN_TRY(upload(exec->queue[tower], exec->device_crops[tower][feed->place], feed->crops,
                  (size_t)batch * 3 * size * size));
    return upload(exec->queue[tower], exec->device_views[tower][feed->place], feed->views,
                  batch * sizeof *feed->views);
}

an_status an__exec_send(an_exec *exec, uint32_t batch, an_feed *feed)
{
    uint32_t t;

    for (t = 0; t < exec->plan->towers; t++)
        AN_TRY(upload_crops(exec, t, batch, feed, exec->slots[t].backend->upload_beside));
    feed->is_there = 1;
    return AN_OK;
}

static an_status load_crops(an_exec *exec, uint32_t tower, uint32_t batch,
                            const an_feed *feed)
{
    const an_backend *backend = exec->slots[tower].backend;
    an_queue *queue = exec->queue[tower];
    const an_tensor *input = &exec->plan->tensors[exec->plan->input[tower]];
    an_picture_shape s = an__picture_shape(feed->input);
    const float *mean = feed->input->mean_image;

    s.precision = input->precision;
    s.form = input->form;
    if (!feed->is_there) AN_TRY(upload_crops(exec, tower, batch, feed, backend->upload));
    if (mean != NULL && exec->mean_version != feed->input->mean_version)
        AN_TRY(backend->upload(queue, exec->device_mean[tower], mean,
                               an__mean_count(feed->input) * sizeof *mean));
    return backend->pictures(queue, &s, batch, exec->device_crops[tower][feed->place],
                             exec->device_views[tower][feed->place],
                             mean != NULL ? exec->device_mean[tower] : NULL,
                             an__exec_value(exec, exec->plan->input[tower]));
}

an_status an__exec_load(an_exec *exec, uint32_t batch, const an_feed *feed)
{
    uint32_t t;

    for (t = 0; t < exec->plan->towers; t++) {
        const an_tensor *input = &exec->plan->tensors[exec->plan->input[t]];
        an_order order = an__tensor_order(input, batch);

        if (feed->floats == NULL)
            AN_TRY(load_crops(exec, t, batch, feed));
        else
            AN_TRY(exec->slots[t].backend->put(exec->queue[t], &order,
                                               an__exec_value(exec, exec->plan->input[t]),
                                               0, feed->floats, input->count * batch));
    }
    if (feed->floats == NULL) exec->mean_version = feed->input->mean_version;
    return AN_OK;
}

/* Crops and views in two places: those of the next step may come while the last one's are
 * read. */
static an_status device_staging(an_exec *exec, uint32_t tower, const an_input *input)
{
    const an_slot *slot = &exec->slots[tower];
    const size_t bytes[3] = {(size_t)exec->batch * 3 * input->size * input->size,
                             exec->batch * sizeof(an_view),
                             an__mean_count(input) * sizeof(float)};
    void *memory[2 * AN_MARKS + 1] = {NULL};
    an_status status = AN_OK;
    uint32_t i;

    for (i = 0; i < 2 * AN_MARKS + 1 && status == AN_OK; i++)
        status = slot->backend->alloc(slot->device, bytes[i / AN_MARKS], &memory[i]);
    if (status != AN_OK) {
        for (i = 0; i < 2 * AN_MARKS + 1; i++) an__device_release(slot, memory[i]);
        return status;
    }
    for (i = 0; i < AN_MARKS; i++) {
        an__device_release(slot, exec->device_crops[tower][i]);
        an__device_release(slot, exec->device_views[tower][i]);
        exec->device_crops[tower][i] = memory[i];
        exec->device_views[tower][i] = memory[AN_MARKS + i];
    }
    an__device_release(slot, exec->device_mean[tower]);
    exec->device_mean[tower] = memory[2 * AN_MARKS];
    return AN_OK;
}

an_status an__exec_staging(an_exec *exec, const an_input *input)
{
    size_t numbers = exec->plan->tensors[exec->plan->input[0]].count * exec->batch;
    uint32_t t;

    if (exec->slots[0].backend->pictures == NULL) {
        if (exec->staging == NULL)
            exec->staging =
                an__alloc(&exec->ctx->memory, numbers * sizeof *exec->staging);
        return exec->staging != NULL ? AN_OK : AN_ERROR_MEMORY;
    }
    if (exec->crops == NULL)
        AN_TRY(an__host_alloc(exec->ctx, &exec->slots[0], numbers, &exec->crops));
    if (exec->staged_side == input->p.side) return AN_OK;
    exec->staged_side = 0; /* if one tower's fails the others' are of no use */
    for (t = 0; t < exec->plan->towers; t++) AN_TRY(device_staging(exec, t, input));
    exec->staged_side = input->p.side;
    exec->mean_version = 0;
    return AN_OK;
}

an_status an__exec_stage(an_exec *exec, const an_input *input, const an_image *pictures,
                         uint32_t count, const an_view *views, an_feed *feed)
{
    AN_TRY(an__exec_staging(exec, input));
    memset(feed, 0, sizeof *feed);
    feed->views = views;
    feed->input = input;
    if (exec->staging != NULL) {
        an__images_prepare(exec->ctx, input, pictures, count, views, exec->staging);
        feed->floats = exec->staging;
    } else {
        an__images_crop(exec->ctx, input, pictures, count, views, exec->crops);
        feed->crops = exec->crops;
    }
    return AN_OK;
}
