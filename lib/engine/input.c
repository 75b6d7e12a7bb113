/*
 * input.c - what comes into a session's passes: floats, or crops of pictures as bytes,
 * and how they get to a device.
 *
 * Crops and views have a slot for each step in flight: those of the next step may come
 * while those of the last one are read.
 */
#include <string.h>

#include "engine/engine.h"

/* --- room -------------------------------------------------------------------------- */

/* Room on a tower's device. All of it is had, or none. */
static an_status device_reserve(an_staging *staging, const an_exec *exec, uint32_t tower,
                                const an_input *input)
{
    enum { COUNT = 2 * AN_MAX_IN_FLIGHT + 1 };
    const size_t bytes[3] = {(size_t)exec->batch * 3 * input->size * input->size,
                             exec->batch * sizeof(an_view),
                             an__mean_count(input) * sizeof(float)};
    an_operand *had[COUNT], made[COUNT];
    an_status status = AN_OK;
    uint32_t i;

    for (i = 0; i < AN_MAX_IN_FLIGHT; i++) {
        had[i] = &staging->device_crops[tower][i];
        had[AN_MAX_IN_FLIGHT + i] = &staging->device_views[tower][i];
    }
    had[COUNT - 1] = &staging->device_mean[tower];
    for (i = 0; i < COUNT; i++) {
        made[i] = an__no_operand();
        if (status == AN_OK)
            status =
                an__operand_alloc(exec->backend, exec->device[tower],
                                  bytes[i / AN_MAX_IN_FLIGHT], AN_DTYPE_BYTES, &made[i]);
    }
    for (i = 0; i < COUNT; i++) {
        an__operand_release(exec->backend, exec->device[tower],
                            status == AN_OK ? had[i] : &made[i]);
        if (status == AN_OK) *had[i] = made[i];
    }
    return status;
}

an_status an__session_reserve(an_session *session, const an_input *input)
{
    an_exec *exec = &session->exec;
    an_staging *staging = &session->staging;
    size_t elements = exec->plan->tensors[exec->plan->input[0]].count * exec->batch;
    uint32_t t;

    if (exec->backend->async == NULL) {
        if (staging->floats == NULL)
            staging->floats =
                an__alloc(&exec->ctx->memory, elements * sizeof *staging->floats);
        return staging->floats != NULL ? AN_OK : AN_ERROR_MEMORY;
    }
    if (staging->crops == NULL)
        AN_TRY(an__host_alloc(exec->ctx, exec->backend, exec->device[0], elements,
                              &staging->crops));
    if (staging->side == input->p.side) return AN_OK;
    staging->side = 0; /* if one tower's fails the others' are of no use */
    for (t = 0; t < exec->plan->towers; t++)
        AN_TRY(device_reserve(staging, exec, t, input));
    staging->side = input->p.side;
    staging->mean_version = 0;
    return AN_OK;
}

void an__staging_close(an_staging *staging, const an_exec *exec)
{
    const an_backend *backend = exec->backend;
    uint32_t t, i;

    for (t = 0; t < exec->plan->towers; t++) {
        for (i = 0; i < AN_MAX_IN_FLIGHT; i++) {
            an__operand_release(backend, exec->device[t], &staging->device_crops[t][i]);
            an__operand_release(backend, exec->device[t], &staging->device_views[t][i]);
        }
        an__operand_release(backend, exec->device[t], &staging->device_mean[t]);
    }
    an__free(&exec->ctx->memory, staging->floats);
    an__host_free(exec->ctx, backend, exec->device[0], staging->crops);
}

/* --- pictures ---------------------------------------------------------------------- */

an_status an__session_stage(an_session *session, const an_input *input,
                            const an_image *pictures, uint32_t count,
                            const an_view *views, an_pass_input *in)
{
    an_context *ctx = session->exec.ctx;
    an_staging *staging = &session->staging;

    AN_TRY(an__session_reserve(session, input));
    memset(in, 0, sizeof *in);
    in->views = views;
    in->input = input;
    if (staging->floats != NULL) {
        an__images_prepare(ctx, input, pictures, count, views, staging->floats);
        in->floats = staging->floats;
    } else {
        an__images_crop(ctx, input, pictures, count, views, staging->crops);
        in->crops = staging->crops;
    }
    return AN_OK;
}

#define SENT_TOGETHER 32u /* pictures whose crops are sent while the next are cut */

/* --- to the device ----------------------------------------------------------------- */

static an_status upload_crops(an_session *session, uint32_t tower, uint32_t batch,
                              const an_pass_input *in, an_upload_fn *upload)
{
    an_queue *queue = session->exec.queue[tower];
    const an_staging *staging = &session->staging;
    const uint32_t size = in->input->size;

    AN_TRY(upload(queue, staging->device_crops[tower][in->slot], in->crops,
                  (size_t)batch * 3 * size * size));
    return upload(queue, staging->device_views[tower][in->slot], in->views,
                  batch * sizeof *in->views);
}

/* Waits for uploads, of which `status` tells; if one has failed, for the others. */
static an_status wait_uploads(const an_exec *exec, an_status status)
{
    uint32_t t;

    for (t = 0; t < exec->plan->towers; t++) {
        an_status waited = exec->backend->async->wait_upload(exec->queue[t]);

        if (status == AN_OK) status = waited;
    }
    return status;
}

an_status an__session_upload(an_session *session, uint32_t batch, an_pass_input *in)
{
    const an_exec *exec = &session->exec;
    an_status status = AN_OK;
    uint32_t t;

    for (t = 0; t < exec->plan->towers && status == AN_OK; t++)
        status = upload_crops(session, t, batch, in, exec->backend->async->upload_async);
    in->uploaded = 1;
    return wait_uploads(exec, status);
}

/* Crops of `count` pictures from picture `first` on, cut and on their way. */
static an_status send_part(an_session *session, const an_input *input,
                           const an_image *pictures, uint32_t first, uint32_t count,
                           const an_pass_input *in)
{
    const an_exec *exec = &session->exec;
    an_staging *staging = &session->staging;
    size_t image = (size_t)3 * input->size * input->size, at = first * image;
    uint32_t t;

    an__images_crop(
        exec->ctx, input,
        (const an_image *)(const void *)((const char *)pictures + first * pictures->size),
        count, in->views + first, staging->crops + at);
    for (t = 0; t < exec->plan->towers; t++)
        AN_TRY(exec->backend->async->upload_async(
            exec->queue[t], an__operand_from(staging->device_crops[t][in->slot], at),
            staging->crops + at, count * image));
    return AN_OK;
}

an_status an__session_send(an_session *session, const an_input *input,
                           const an_image *pictures, uint32_t count, const an_view *views,
                           an_pass_input *in)
{
    const an_exec *exec = &session->exec;
    an_status status = AN_OK;
    uint32_t done, part, t;

    AN_TRY(an__session_reserve(session, input));
    in->crops = session->staging.crops;
    in->views = views;
    in->input = input;
    for (done = 0; done < count && status == AN_OK; done += part) {
        part = count - done < SENT_TOGETHER ? count - done : SENT_TOGETHER;
        status = send_part(session, input, pictures, done, part, in);
    }
    for (t = 0; t < exec->plan->towers && status == AN_OK; t++)
        status = exec->backend->async->upload_async(
            exec->queue[t], session->staging.device_views[t][in->slot], views,
            count * sizeof *views);
    in->uploaded = 1;
    return wait_uploads(exec, status);
}

static an_status load_crops(an_session *session, uint32_t tower, uint32_t batch,
                            const an_pass_input *in)
{
    an_exec *exec = &session->exec;
    const an_staging *staging = &session->staging;
    an_queue *queue = exec->queue[tower];
    const uint32_t tensor = exec->plan->input[tower];
    const float *mean = in->input->mean_image;
    an_preprocess_shape s = an__preprocess_shape(in->input);

    s.s2d = exec->plan->tensors[tensor].s2d;
    if (!in->uploaded)
        AN_TRY(upload_crops(session, tower, batch, in, exec->backend->upload));
    if (mean != NULL && staging->mean_version != in->input->mean_version)
        AN_TRY(exec->backend->upload(queue, staging->device_mean[tower], mean,
                                     an__mean_count(in->input) * sizeof *mean));
    return exec->backend->async->preprocess(
        queue, &s, batch, staging->device_crops[tower][in->slot],
        staging->device_views[tower][in->slot],
        mean != NULL ? staging->device_mean[tower] : an__no_operand(),
        an__exec_value(exec, tensor));
}

an_status an__session_load(an_session *session, uint32_t batch, const an_pass_input *in)
{
    an_exec *exec = &session->exec;
    uint32_t t;

    for (t = 0; t < exec->plan->towers; t++) {
        const uint32_t tensor = exec->plan->input[t];
        const an_tensor *input = &exec->plan->tensors[tensor];
        an_order order = an__tensor_order(input, batch);

        if (in->floats == NULL)
            AN_TRY(load_crops(session, t, batch, in));
        else
            AN_TRY(exec->backend->put(exec->queue[t], &order,
                                      an__exec_value(exec, tensor), 0, in->floats,
                                      input->count * batch));
    }
    if (in->floats == NULL) session->staging.mean_version = in->input->mean_version;
    return AN_OK;
}
