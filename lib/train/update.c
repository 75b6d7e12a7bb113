/*
 * update.c - from a step's gradients to its updates: whether all are finite, where not.
 */
#include <string.h>

#include "train/train.h"

int an__is_held(const an_trainer *trainer, const an_param *param)
{
    return trainer->exec->held && !param->is_bias && param->dims == 2;
}

/* What a tower has of the parameters that learn: of all but those whose gradients are held,
 * or of those. */
static uint32_t parts_of(const an_trainer *trainer, uint32_t tower, int held,
                         an_parameter_part parts[AN_MAX_UPDATES])
{
    const an_model *model = trainer->model;
    uint32_t packs = model->net.slots[tower].backend->fuses & AN_FUSES_PACKS, i,
             count = 0;

    for (i = 0; i < model->net.plan->param_count; i++) {
        const an_param *param = &model->net.plan->params[i];
        an_parameter_part part = {i,
                                  param->part[tower],
                                  trainer->gradient.part[i][tower],
                                  trainer->velocity.part[i][tower],
                                  model->net.weights.part[i][tower],
                                  packs ? an__net_plain_pack(&model->net, i, tower)
                                        : NULL};

        if (part.count > 0 && !trainer->exec->frozen[param->layer] &&
            an__is_held(trainer, param) == held)
            parts[count++] = part;
    }
    return count;
}

/* Sets the faults of a tower's gradients, and of both towers', where some are not finite. A
 * held gradient is a sum of products of its layer's input, of which the loss has told, and its
 * output's gradient, which is looked at instead. */
an_status an__gradients_check(const an_trainer *trainer, uint32_t count)
{
    const an_plan *plan = trainer->model->net.plan;
    const an_exec *exec = trainer->exec;
    const an_backend *backend = exec->slots[0].backend;
    an_parameter_part parts[AN_MAX_UPDATES];
    an_array arrays[AN_MAX_ARRAYS];
    uint32_t i, t, n;

    for (t = 0; t < plan->towers; t++) {
        n = parts_of(trainer, t, 0, parts);
        for (i = 0; i < n; i++) {
            an_array array = {parts[i].g, parts[i].count, AN_PRECISION_FP32};

            arrays[i] = array;
        }
        if (exec->held) n += an__exec_held_arrays(exec, t, count, arrays + n);
        AN_TRY(backend->all_finite(exec->queue[t], arrays, n, exec->faults[t]));
    }
    for (t = 0; t < plan->towers; t++)
        for (i = 0; i < plan->towers; i++)
            AN_TRY(backend->exchange(exec->queue[t], exec->faults[t] + 1, 1,
                                     exec->queue[i], exec->faults[i], 1, 1, 1,
                                     AN_PRECISION_FP32, i > 0));
    return AN_OK;
}

/* Which gradient it was: from the loss down, as they were computed, the first is where it
 * began. */
an_status an__gradient_fault(const an_trainer *trainer)
{
    const an_plan *plan = trainer->model->net.plan;
    uint32_t i, t;
    int finite;

    if (trainer->exec->held)
        AN_TRY(an__exec_held_gradients(trainer->exec, &trainer->gradient,
                                       trainer->held_count));
    for (i = plan->param_count; i-- > 0;)
        for (t = 0; t < plan->towers; t++) {
            an_array array = {trainer->gradient.part[i][t], plan->params[i].part[t],
                              AN_PRECISION_FP32};

            if (plan->params[i].part[t] == 0 ||
                trainer->exec->frozen[plan->params[i].layer])
                continue;
            AN_TRY(an__exec_finite(trainer->exec, t, &array, &finite));
            if (!finite)
                return an__fail(
                    AN_ERROR_DIVERGED,
                    "%s is the first layer, from the loss down, whose gradient "
                    "(%s) is not finite",
                    plan->layers[plan->params[i].layer].name, plan->params[i].name);
        }
    return an__fail(AN_ERROR_DIVERGED, "the loss's gradient is not finite");
}

/* A rate of 0 leaves a parameter as it is, as in the original: no decay, and its velocity
 * waits. */
an_status an__update_all(const an_trainer *trainer, uint32_t count)
{
    const an_model *model = trainer->model;
    an_exec *exec = trainer->exec;
    an_parameter_part parts[AN_MAX_UPDATES];
    uint32_t t, n;

    for (t = 0; t < model->net.plan->towers; t++) {
        const an_backend *backend = exec->slots[t].backend;
        const float *faults = exec->faults[t] + 1;

        n = parts_of(trainer, t, 0, parts);
        AN_TRY(backend->update(exec->queue[t], parts, n, faults));
        if (exec->held) {
            n = parts_of(trainer, t, 1, parts);
            AN_TRY(an__exec_held_update(exec, t, count, parts, n, faults));
        }
        if (backend->fuses & AN_FUSES_PACKS)
            AN_TRY(an__net_repack(&trainer->model->net, t, exec->queue[t]));
    }
    return AN_OK;
}

/* What the queues have to know of a step, of its images from `first` on; ahead: how many steps
 * before it have not ended. */
an_status an__step_begin(const an_trainer *trainer, uint32_t first, uint32_t ahead)
{
    const an_trainer_config *c = &trainer->config;
    const an_plan *plan = trainer->model->net.plan;
    an_exec *exec = trainer->exec;
    an_step step;
    uint32_t i, t;

    memset(&step, 0, sizeof step);
    step.seed = c->seed;
    step.iteration = trainer->at.iteration + ahead;
    step.first = first;
    for (i = 0; i < plan->param_count; i++) {
        an_update *u = &step.update[i];

        u->rate =
            an__trainer_rate(trainer, plan->params[i].layer, plan->params[i].is_bias);
        u->decay = plan->params[i].is_bias ? c->bias_decay : c->weight_decay;
        u->momentum = c->momentum;
    }
    for (t = 0; t < plan->towers; t++)
        AN_TRY(exec->slots[t].backend->begin_step(exec->queue[t], &step));
    return AN_OK;
}
