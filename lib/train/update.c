/*
 * update.c - from a step's gradients to its updates: whether all are finite, where not.
 */
#include <string.h>

#include "train/train.h"

int an__gradient_is_deferred(const an_trainer *trainer, const an_param *param)
{
    return trainer->session->exec.deferred_images && !param->is_bias && param->dims == 2;
}

/* The tower's parts of the parameters that learn: of those whose gradients are deferred,
 * or of all others. */
static uint32_t parts_of(const an_trainer *trainer, uint32_t tower, int deferred,
                         an_parameter_part parts[AN_MAX_UPDATES])
{
    const an_model *model = trainer->model;
    int prepacks = model->net.plan->updates_prepack;
    uint32_t i, count = 0;

    for (i = 0; i < model->net.plan->param_count; i++) {
        const an_param *param = &model->net.plan->params[i];
        an_parameter_part part =
            an__weights_update_part(&model->net, i, tower, &trainer->gradient,
                                    &trainer->velocity, &model->net.weights);

        if (prepacks) part.prepacked = an__net_bf16_copy(&model->net, i, tower);
        if (part.count > 0 && !trainer->session->exec.frozen[param->layer] &&
            an__gradient_is_deferred(trainer, param) == deferred)
            parts[count++] = part;
    }
    return count;
}

/* Sets the faults of a tower's gradients, and of both towers', where some are not finite.
 * A deferred gradient is a sum of products of its layer's input, of which the loss has
 * told, and its output's gradient, which is looked at instead. */
an_status an__gradients_check(const an_trainer *trainer)
{
    const an_plan *plan = trainer->model->net.plan;
    const an_exec *exec = &trainer->session->exec;
    const an_backend *backend = exec->backend;
    an_parameter_part parts[AN_MAX_UPDATES];
    an_array arrays[AN_MAX_ARRAYS];
    uint32_t i, t, n;

    for (t = 0; t < plan->towers; t++) {
        n = parts_of(trainer, t, 0, parts);
        for (i = 0; i < n; i++) {
            an_array array = {parts[i].g, parts[i].count};

            arrays[i] = array;
        }
        if (exec->deferred_images) n += an__exec_deferred_arrays(exec, t, arrays + n);
        AN_TRY(backend->all_finite(exec->queue[t], arrays, n, exec->faults[t]));
    }
    return an__session_faults_join(trainer->session);
}

/* Which gradient it was: from the loss down, as they were computed, the first is where it
 * began. */
an_status an__gradient_fault(const an_trainer *trainer)
{
    const an_plan *plan = trainer->model->net.plan;
    uint32_t i, t;
    int finite;

    if (trainer->session->exec.deferred_images)
        AN_TRY(an__exec_deferred_gradients(&trainer->session->exec, &trainer->gradient));
    for (i = plan->param_count; i-- > 0;)
        for (t = 0; t < plan->towers; t++) {
            an_array array = {trainer->gradient.part[i][t], plan->params[i].part[t]};

            if (plan->params[i].part[t] == 0 ||
                trainer->session->exec.frozen[plan->params[i].layer])
                continue;
            AN_TRY(an__exec_finite(&trainer->session->exec, t, &array, &finite));
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
an_status an__update_all(const an_trainer *trainer)
{
    const an_model *model = trainer->model;
    an_exec *exec = &trainer->session->exec;
    an_parameter_part parts[AN_MAX_UPDATES];
    uint32_t t, n;

    for (t = 0; t < model->net.plan->towers; t++) {
        an_operand faults = an__operand_from(exec->faults[t], 1);

        n = parts_of(trainer, t, 0, parts);
        AN_TRY(exec->backend->update(exec->queue[t], parts, n, faults));
        if (exec->deferred_images) {
            n = parts_of(trainer, t, 1, parts);
            AN_TRY(an__exec_deferred_update(exec, t, parts, n, faults));
        }
        if (model->net.plan->updates_prepack)
            AN_TRY(an__net_prepack_again(&trainer->model->net, t, exec->queue[t]));
    }
    return AN_OK;
}

/* What the queues have to know of a step, of its images from `first` on; ahead: how many
 * steps before it have not ended. */
an_status an__step_begin(const an_trainer *trainer, uint32_t first, uint32_t ahead)
{
    const an_trainer_config *c = &trainer->config;
    const an_plan *plan = trainer->model->net.plan;
    an_exec *exec = &trainer->session->exec;
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
        AN_TRY(exec->backend->begin_step(exec->queue[t], &step));
    return AN_OK;
}
