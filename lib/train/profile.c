/*
 * profile.c - where the time goes: one pass with a clock after every operation.
 */
#include <stdio.h>
#include <string.h>

#include "train/train.h"

AN_INIT_ZERO(an_layer_time)
AN_INIT_ZERO(an_kernel_time)

/* What a profile needs of its own; weights to update, and theirs, only when training. */
typedef struct an_profile {
    an_session *session;
    an_weights weights, velocity, gradient;
    float *images;  /* null where pictures are staged as bytes */
    an_view *views; /* null where they are not */
    int32_t *labels;
    an_layer_time *times; /* [layers] */
} an_profile;

static void profile_free(an_profile *p, an_model *model)
{
    if (p->session != NULL) {
        an__free(&model->net.ctx->memory, p->session->exec.seconds);
        an__session_destroy(p->session);
    }
    an__weights_free(&p->weights, &model->net);
    an__weights_free(&p->velocity, &model->net);
    an__weights_free(&p->gradient, &model->net);
    an__free(&model->net.ctx->memory, p->images);
    an__free(&model->net.ctx->memory, p->views);
    an__free(&model->net.ctx->memory, p->labels);
    an__free(&model->net.ctx->memory, p->times);
}

/* Random pictures as training gives them to a device that prepares them itself. */
static an_status make_crops(an_profile *p, an_model *model, uint32_t batch)
{
    size_t count = (size_t)batch * 3 * model->input.size * model->input.size, i;
    uint32_t word[4];

    AN_TRY(an__session_reserve(p->session, &model->input));
    p->views = an__alloc_zero(&model->net.ctx->memory, batch * sizeof *p->views);
    if (p->views == NULL) return AN_ERROR_MEMORY;
    for (i = 0; i < batch; i++) p->views[i].divisor = 1;
    for (i = 0; i < count; i += sizeof word) {
        an__random4(1, AN_STREAM_INIT, 0, (uint32_t)(i / sizeof word), word);
        memcpy(p->session->staging.crops + i, word,
               count - i < sizeof word ? count - i : sizeof word);
    }
    return AN_OK;
}

static an_status make_images(an_profile *p, an_model *model, uint32_t batch)
{
    const an_plan *plan = model->net.plan;
    size_t elements = plan->tensors[plan->input[0]].count * batch, i;

    p->images = an__alloc(&model->net.ctx->memory, elements * sizeof *p->images);
    if (p->images == NULL) return AN_ERROR_MEMORY;
    for (i = 0; i < elements; i += 4) {
        uint32_t word[4], j;

        an__random4(1, AN_STREAM_INIT, 0, (uint32_t)(i / 4), word);
        for (j = 0; j < 4 && i + j < elements; j++)
            p->images[i + j] = (float)word[j] * (2 / 4294967296.0f) - 1;
    }
    return AN_OK;
}

static an_status profile_make(an_profile *p, an_model *model, uint32_t batch,
                              int training)
{
    const an_plan *plan = model->net.plan;
    an_context *ctx = model->net.ctx;

    AN_TRY(an__session_create(&p->session, &model->net, batch, training));
    if (training) {
        AN_TRY(an__weights_alloc(&p->weights, &model->net));
        AN_TRY(an__weights_alloc(&p->velocity, &model->net));
        AN_TRY(an__weights_alloc(&p->gradient, &model->net));
    }
    p->labels = an__alloc_zero(&ctx->memory, batch * sizeof *p->labels);
    p->times = an__alloc_zero(&ctx->memory, plan->row.layers * sizeof *p->times);
    p->session->exec.seconds =
        an__alloc(&ctx->memory, 2 * plan->op_count * sizeof(double));
    if (p->labels == NULL || p->times == NULL || p->session->exec.seconds == NULL)
        return AN_ERROR_MEMORY;
    return model->net.backend->async != NULL ? make_crops(p, model, batch)
                                             : make_images(p, model, batch);
}

static an_parameter_part update_part(const an_profile *p, const an_model *model,
                                     uint32_t index, uint32_t tower)
{
    return an__weights_update_part(&model->net, index, tower, &p->gradient, &p->velocity,
                                   &p->weights);
}

/* The weights that are updated are the profile's own: the model's stay what they are. */
static an_status profile_update(an_profile *p, an_model *model)
{
    const an_plan *plan = model->net.plan;
    an_exec *exec = &p->session->exec;
    double since = an__seconds(), now;
    uint32_t i, t;

    for (i = 0; i < plan->param_count; i++) {
        for (t = 0; t < plan->towers; t++) {
            an_parameter_part part = update_part(p, model, i, t);

            if (plan->params[i].part[t] == 0) continue;
            AN_TRY(exec->backend->update(exec->queue[t], &part, 1, exec->faults[t]));
            AN_TRY(exec->backend->sync(exec->queue[t]));
        }
        now = an__seconds();
        p->times[plan->params[i].layer].update += now - since;
        since = now;
    }
    return AN_OK;
}

/* What a training step begins with. */
static an_status profile_begin(an_profile *p, an_model *model, uint32_t batch)
{
    an_exec *exec = &p->session->exec;
    an_step step;
    uint32_t i, t;

    memset(&step, 0, sizeof step);
    for (i = 0; i < AN_MAX_UPDATES; i++) {
        step.update[i].rate = 0.01f; /* the paper, section 5 */
        step.update[i].momentum = 0.9f;
        step.update[i].decay = 0.0005f;
    }
    for (t = 0; t < model->net.plan->towers; t++)
        AN_TRY(exec->backend->begin_step(exec->queue[t], &step));
    AN_TRY(an__session_faults_clear(p->session));
    return an__session_labels(p->session, batch, p->labels);
}

static an_status profile_pass(an_profile *p, an_model *model, uint32_t batch,
                              int training)
{
    const an_plan *plan = model->net.plan;
    an_exec *exec = &p->session->exec;
    an_pass_input in;

    if (p->session->exec.seconds != NULL)
        memset(p->session->exec.seconds, 0, 2 * plan->op_count * sizeof(double));
    memset(p->times, 0, plan->row.layers * sizeof *p->times);
    memset(&in, 0, sizeof in);
    in.floats = p->images;
    if (p->views != NULL) {
        in.crops = p->session->staging.crops;
        in.views = p->views;
        in.input = &model->input;
    }
    AN_TRY(an__session_load(p->session, batch, &in));
    if (training) AN_TRY(profile_begin(p, model, batch));
    AN_TRY(an__exec_sync(exec));
    AN_TRY(an__exec_forward(exec, &model->net.weights, batch, training));
    if (!training) return AN_OK;
    AN_TRY(an__session_loss(p->session, batch));
    AN_TRY(an__exec_backward(exec, &model->net.weights, &p->gradient, batch));
    return AN_OK;
}

/* All of a caller's rows, before any is written: each begins with its size, the first
 * one's. */
static an_status rows_check(const void *rows, uint32_t count, size_t least)
{
    size_t stride, size;
    uint32_t i;

    memcpy(&stride, rows, sizeof stride);
    AN_CHECK(stride >= least, "rows[0].size is %zu: less than %zu, was it initialised?",
             stride, least);
    for (i = 1; i < count; i++) {
        memcpy(&size, (const char *)rows + i * stride, sizeof size);
        AN_CHECK(size == stride, "rows[%u].size is %zu, that of rows[0] is %zu", i, size,
                 stride);
    }
    return AN_OK;
}

static void note_algorithm(an_layer_time *time, const an_model *model, const an_op *op,
                           uint32_t batch)
{
    const an_net *net = &model->net;
    const an_prepack_table *prepack = net->backend->prepack;
    uint32_t algorithm = 0;
    size_t bytes;

    if (op->kind != AN_OP_CONV) return;
    if (prepack != NULL)
        algorithm =
            prepack->conv_algorithm(net->device[op->tower], &op->u.conv, batch, &bytes);
    snprintf(time->algorithm, sizeof time->algorithm, "%s",
             net->backend->algorithms[algorithm]);
}

static an_status profile_rows(const an_profile *p, const an_model *model, uint32_t batch,
                              an_layer_time *rows)
{
    const an_plan *plan = model->net.plan;
    size_t stride = rows->size;
    uint32_t i;

    for (i = 0; i < plan->op_count; i++) {
        p->times[plan->ops[i].layer].forward += p->session->exec.seconds[i];
        p->times[plan->ops[i].layer].backward +=
            p->session->exec.seconds[plan->op_count + i];
        note_algorithm(&p->times[plan->ops[i].layer], model, &plan->ops[i], batch);
    }
    for (i = 0; i < plan->row.layers; i++) {
        memcpy(p->times[i].name, plan->layers[i].name, sizeof p->times[i].name);
        AN_TRY(an__struct_write((char *)rows + i * stride, &p->times[i], sizeof *rows,
                                sizeof *rows, "rows"));
    }
    return AN_OK;
}

an_status an_model_profile(an_model *model, uint32_t batch, uint32_t training,
                           an_layer_time *rows, uint32_t count)
{
    AN_ENTER;
    an_profile profile;
    an_status status;
    uint32_t pass;

    AN_TRY(an__model_check(model));
    AN_CHECK(batch >= 1 && batch <= 8192, "batch is %u: must be 1 to 8192", batch);
    AN_CHECK(training <= 1, "training is %u: must be 0 or 1", training);
    AN_CHECK(rows != NULL, "rows is null");
    AN_CHECK(count == model->net.plan->row.layers, "count is %u: the model has %u layers",
             count, model->net.plan->row.layers);
    AN_TRY(rows_check(rows, count, sizeof *rows));
    memset(&profile, 0, sizeof profile);
    status = profile_make(&profile, model, batch, (int)training);
    /* The first pass touches the buffers, the second counts. */
    for (pass = 0; pass < 2 && status == AN_OK; pass++) {
        status = profile_pass(&profile, model, batch, (int)training);
        if (status == AN_OK && training) status = profile_update(&profile, model);
    }
    if (status == AN_OK) status = profile_rows(&profile, model, batch, rows);
    profile_free(&profile, model);
    return status;
}

/* --- kernel by kernel -------------------------------------------------------------- */

#define MOST_LAUNCHES 512u

static an_status trace_all(an_exec *exec, const char *label)
{
    uint32_t t;

    exec->traced = label != NULL;
    for (t = 0; t < exec->plan->towers; t++)
        AN_TRY(exec->backend->trace->trace(exec->queue[t], label));
    return AN_OK;
}

/* All parameters as a step updates them, but dense weights that wait for their
 * gradients. */
static an_status trace_update(an_profile *p, const an_model *model)
{
    const an_plan *plan = model->net.plan;
    an_exec *exec = &p->session->exec;
    an_parameter_part small[AN_MAX_UPDATES], deferred[AN_MAX_UPDATES];
    uint32_t i, t;

    AN_TRY(trace_all(exec, "update"));
    for (t = 0; t < plan->towers; t++) {
        uint32_t n = 0, waiting = 0;

        for (i = 0; i < plan->param_count; i++) {
            const an_param *param = &plan->params[i];
            an_parameter_part part = update_part(p, model, i, t);

            if (part.count == 0) continue;
            if (exec->deferred_images && !param->is_bias && param->dims == 2)
                deferred[waiting++] = part;
            else
                small[n++] = part;
        }
        AN_TRY(exec->backend->update(exec->queue[t], small, n, exec->faults[t]));
        if (exec->deferred_images)
            AN_TRY(an__exec_deferred_update(exec, t, deferred, waiting, exec->faults[t]));
    }
    return AN_OK;
}

static an_status add_launch(const an_traced *launch, an_kernel_time *all,
                            uint32_t capacity, uint32_t *count)
{
    char name[sizeof all->name];
    uint32_t i;

    snprintf(name, sizeof name, "%.24s: %.36s", launch->label, launch->what);
    for (i = 0; i < *count && strcmp(all[i].name, name) != 0;) i++;
    AN_CHECK(i < capacity, "capacity is %u: there are more kinds of kernels", capacity);
    if (i == *count) {
        memcpy(all[i].name, name, sizeof name);
        (*count)++;
    }
    all[i].launches++;
    all[i].seconds += launch->seconds;
    all[i].flops += launch->flops;
    all[i].bytes += launch->bytes;
    return AN_OK;
}

/* all: [capacity], zeroed. */
static an_status trace_pass(an_profile *p, an_model *model, uint32_t batch, int training,
                            an_kernel_time *all, uint32_t capacity, uint32_t *count)
{
    an_exec *exec = &p->session->exec;
    an_traced *launches =
        an__alloc(&model->net.ctx->memory, MOST_LAUNCHES * sizeof *launches);
    an_status status = launches != NULL ? AN_OK : AN_ERROR_MEMORY;
    uint32_t t, i, n;

    if (status == AN_OK) status = trace_all(exec, "input");
    if (status == AN_OK) status = profile_pass(p, model, batch, training);
    if (status == AN_OK && training) status = trace_update(p, model);
    for (t = 0; t < exec->plan->towers && status == AN_OK; t++) {
        status =
            exec->backend->trace->read_trace(exec->queue[t], launches, MOST_LAUNCHES, &n);
        for (i = 0; i < n && status == AN_OK; i++)
            status = add_launch(&launches[i], all, capacity, count);
    }
    an__free(&model->net.ctx->memory, launches);
    return status;
}

an_status an_model_profile_kernels(an_model *model, uint32_t batch, uint32_t training,
                                   an_kernel_time *rows, uint32_t capacity,
                                   uint32_t *count)
{
    AN_ENTER;
    an_kernel_time *all;
    an_profile profile;
    an_status status;
    uint32_t kinds = 0, i;

    AN_TRY(an__model_check(model));
    AN_CHECK(batch >= 1 && batch <= 8192, "batch is %u: must be 1 to 8192", batch);
    AN_CHECK(training <= 1, "training is %u: must be 0 or 1", training);
    AN_CHECK(rows != NULL, "rows is null");
    AN_CHECK(capacity >= 1 && capacity <= 4096, "capacity is %u: must be 1 to 4096",
             capacity);
    AN_CHECK(count != NULL, "count is null");
    AN_TRY(rows_check(rows, capacity, sizeof *rows));
    if (model->net.backend->trace == NULL) {
        *count = 0;
        return AN_OK;
    }
    all = an__alloc_zero(&model->net.ctx->memory, capacity * sizeof *all);
    if (all == NULL) return AN_ERROR_MEMORY;
    memset(&profile, 0, sizeof profile);
    status = profile_make(&profile, model, batch, (int)training);
    if (status == AN_OK) {
        an__free(&model->net.ctx->memory,
                 profile.session->exec.seconds); /* no clock but the kernels' */
        profile.session->exec.seconds = NULL;
        profile.session->exec.deferred_images =
            training && model->net.plan->defers ? batch : 0;
        status =
            profile_pass(&profile, model, batch, (int)training); /* the first touch */
    }
    if (status == AN_OK)
        status = trace_pass(&profile, model, batch, (int)training, all, capacity, &kinds);
    profile_free(&profile, model);
    for (i = 0; i < kinds && status == AN_OK; i++)
        status = an__struct_write((char *)rows + i * rows->size, &all[i], sizeof *rows,
                                  sizeof *rows, "rows");
    an__free(&model->net.ctx->memory, all);
    if (status == AN_OK) *count = kinds;
    return status;
}
