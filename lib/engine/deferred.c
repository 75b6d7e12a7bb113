/*
 * deferred.c - dense layers' weights whose gradients a backward pass has not computed: they are
 * computed where they are needed, in the update or when they are asked for.
 */
#include "engine/engine.h"

static int waits(const an_exec *exec, const an_op *op)
{
    return op->kind == AN_OP_DENSE && !exec->frozen[op->layer];
}

an_status an__exec_held_gradients(an_exec *exec, const an_weights *g, uint32_t batch)
{
    uint32_t i;

    for (i = 0; i < exec->plan->op_count; i++) {
        const an_op *op = &exec->plan->ops[i];

        if (waits(exec, op))
            AN_TRY(exec->slots[op->tower].backend->dense_backward_weights(
                exec->queue[op->tower], &op->u.dense, batch, an__exec_value(exec, op->in),
                an__exec_gradient(exec, op->out), g->part[op->weight][op->tower],
                g->part[op->bias][op->tower]));
    }
    return AN_OK;
}

an_status an__exec_held_update(an_exec *exec, uint32_t tower, uint32_t batch,
                               const an_parameter_part *parts, uint32_t count,
                               const float *faults)
{
    uint32_t i, part;

    for (i = 0; i < exec->plan->op_count; i++) {
        const an_op *op = &exec->plan->ops[i];

        if (op->tower != tower || !waits(exec, op)) continue;
        for (part = 0; part < count && parts[part].index != op->weight;) part++;
        AN_TRY(an__exec_label(exec, op, "update"));
        AN_TRY(exec->slots[tower].backend->dense_update(
            exec->queue[tower], &op->u.dense, batch, an__exec_value(exec, op->in),
            an__exec_gradient(exec, op->out), &parts[part], faults));
    }
    return AN_OK;
}

uint32_t an__exec_held_arrays(const an_exec *exec, uint32_t tower, uint32_t batch,
                              an_array *arrays)
{
    uint32_t i, count = 0;

    for (i = 0; i < exec->plan->op_count; i++) {
        const an_op *op = &exec->plan->ops[i];
        an_array array = {an__exec_gradient(exec, op->out),
                          exec->plan->tensors[op->out].count * batch,
                          exec->plan->precision};

        if (op->tower == tower && waits(exec, op)) arrays[count++] = array;
    }
    return count;
}
