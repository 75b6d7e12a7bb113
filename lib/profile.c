/*
 * profile.c - where the time goes: one pass with a clock after every operation.
 */
#include <stdio.h>
#include <string.h>

#include "internal.h"

/* What a profile needs of its own; weights to update, and theirs, only when training. */
typedef struct an_profile {
    an_exec *exec;
    an_weights weights, velocity, gradient;
    float *images;
    int32_t *labels;
    an_layer_time *times; /* [layers] */
} an_profile;

static void profile_free(an_profile *p, an_model *model)
{
    if (p->exec != NULL) {
        an__free(model->ctx, p->exec->seconds);
        an__exec_destroy(p->exec);
    }
    an__weights_free(&p->weights, model);
    an__weights_free(&p->velocity, model);
    an__weights_free(&p->gradient, model);
    an__free(model->ctx, p->images);
    an__free(model->ctx, p->labels);
    an__free(model->ctx, p->times);
}

static an_status profile_make(an_profile *p, an_model *model, uint32_t batch,
                              int training)
{
    const an_plan *plan = model->plan;
    an_context *ctx = model->ctx;
    size_t numbers = plan->tensors[plan->input[0]].count * batch, i;

    AN_TRY(an__exec_create(&p->exec, model, batch, training));
    if (training) {
        AN_TRY(an__weights_alloc(&p->weights, model));
        AN_TRY(an__weights_alloc(&p->velocity, model));
        AN_TRY(an__weights_alloc(&p->gradient, model));
    }
    p->images = an__alloc(ctx, numbers * sizeof *p->images);
    p->labels = an__alloc_zero(ctx, batch * sizeof *p->labels);
    p->times = an__alloc_zero(ctx, plan->row.layers * sizeof *p->times);
    p->exec->seconds = an__alloc(ctx, 2 * plan->op_count * sizeof(double));
    if (p->images == NULL || p->labels == NULL || p->times == NULL ||
        p->exec->seconds == NULL)
        return AN_ERROR_MEMORY;
    for (i = 0; i < numbers; i += 4) {
        uint32_t word[4], j;

        an__random4(1, AN_STREAM_INIT, 0, (uint32_t)(i / 4), word);
        for (j = 0; j < 4 && i + j < numbers; j++)
            p->images[i + j] = (float)word[j] * (2 / 4294967296.0f) - 1;
    }
    return AN_OK;
}

/* Of weights of its own: the model's stay what they are. */
static an_status profile_update(an_profile *p, an_model *model)
{
    const an_plan *plan = model->plan;
    double since = an__seconds(), now;
    uint32_t i, t;

    for (i = 0; i < plan->param_count; i++) {
        for (t = 0; t < plan->towers; t++) {
            const an_backend *backend = model->slots[t].backend;
            an_parameter_part part = {i,
                                      plan->params[i].part[t],
                                      p->gradient.part[i][t],
                                      p->velocity.part[i][t],
                                      p->weights.part[i][t],
                                      NULL};

            if (plan->params[i].part[t] == 0) continue;
            AN_TRY(backend->update(p->exec->queue[t], &part, 1, p->exec->faults[t]));
            AN_TRY(backend->sync(p->exec->queue[t]));
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
    static const float none[2] = {0, 0};
    an_exec *exec = p->exec;
    an_step step;
    uint32_t i, t;

    memset(&step, 0, sizeof step);
    for (i = 0; i < AN_MAX_UPDATES; i++) {
        step.update[i].rate = 0.01f; /* the paper, section 5 */
        step.update[i].momentum = 0.9f;
        step.update[i].decay = 0.0005f;
    }
    for (t = 0; t < model->plan->towers; t++) {
        AN_TRY(exec->slots[t].backend->begin_step(exec->queue[t], &step));
        AN_TRY(exec->slots[t].backend->upload(exec->queue[t], exec->faults[t], none,
                                              sizeof none));
    }
    return an__exec_labels(exec, batch, p->labels);
}

static an_status profile_pass(an_profile *p, an_model *model, uint32_t batch,
                              int training)
{
    const an_plan *plan = model->plan;
    an_feed feed;

    memset(p->exec->seconds, 0, 2 * plan->op_count * sizeof(double));
    memset(p->times, 0, plan->row.layers * sizeof *p->times);
    memset(&feed, 0, sizeof feed);
    feed.floats = p->images;
    AN_TRY(an__exec_load(p->exec, batch, &feed));
    if (training) AN_TRY(profile_begin(p, model, batch));
    AN_TRY(an__exec_sync(p->exec));
    AN_TRY(an__exec_forward(p->exec, &model->weights, batch, training));
    if (!training) return AN_OK;
    AN_TRY(an__exec_loss(p->exec, batch));
    AN_TRY(an__exec_backward(p->exec, &model->weights, &p->gradient, batch));
    return profile_update(p, model);
}

/* sizeof in 1.0 */
#define LEAST_TIME offsetof(an_layer_time, way)

/* How the first tower does it. */
static void note_way(an_layer_time *time, const an_model *model, const an_op *op,
                     uint32_t batch)
{
    const an_slot *slot = &model->slots[op->tower];
    uint32_t way = 0;
    size_t bytes;

    if (op->kind != AN_OP_CONV) return;
    if (slot->backend->conv_way != NULL)
        way = slot->backend->conv_way(slot->device, &op->u.conv, batch, &bytes);
    snprintf(time->way, sizeof time->way, "%s", slot->backend->ways[way]);
}

static an_status profile_rows(const an_profile *p, const an_model *model, uint32_t batch,
                              an_layer_time *rows)
{
    const an_plan *plan = model->plan;
    size_t stride = rows->size;
    uint32_t i;

    for (i = 0; i < plan->op_count; i++) {
        p->times[plan->ops[i].layer].forward += p->exec->seconds[i];
        p->times[plan->ops[i].layer].backward += p->exec->seconds[plan->op_count + i];
        note_way(&p->times[plan->ops[i].layer], model, &plan->ops[i], batch);
    }
    for (i = 0; i < plan->row.layers; i++) {
        memcpy(p->times[i].name, plan->layers[i].name, sizeof p->times[i].name);
        AN_TRY(an__struct_write((char *)rows + i * stride, &p->times[i], sizeof *rows,
                                LEAST_TIME, "rows"));
    }
    return AN_OK;
}

an_status an_model_profile(an_model *model, uint32_t batch, uint32_t training,
                           an_layer_time *rows, uint32_t count)
{
    an_profile profile;
    an_status status;
    uint32_t pass;

    AN_TRY(an__model_check(model));
    AN_CHECK(batch >= 1 && batch <= 8192, "batch is %u: must be 1 to 8192", batch);
    AN_CHECK(training <= 1, "training is %u: must be 0 or 1", training);
    AN_CHECK(rows != NULL, "rows is null");
    AN_CHECK(count == model->plan->row.layers, "count is %u: the model has %u layers",
             count, model->plan->row.layers);
    AN_CHECK(rows->size >= LEAST_TIME,
             "rows[0].size is %zu: less than %zu, was it "
             "initialised?",
             rows->size, LEAST_TIME);
    memset(&profile, 0, sizeof profile);
    status = profile_make(&profile, model, batch, (int)training);
    /* The first pass touches the buffers, the second counts. */
    for (pass = 0; pass < 2 && status == AN_OK; pass++)
        status = profile_pass(&profile, model, batch, (int)training);
    if (status == AN_OK) status = profile_rows(&profile, model, batch, rows);
    profile_free(&profile, model);
    return status;
}
