/*
 * deferred.c - the gradients of dense layers' weights that a backward pass has left out:
 * they are computed where they are needed, in the update or when they are asked for.
 */
#include "engine/engine.h"

/* Whether it is a dense layer that learns: of these, gradients are deferred. */
static int learns_dense(const an_exec *exec, const an_op *op)
{
    return op->kind == AN_OP_DENSE && !exec->frozen[op->layer];
}

an_status an__exec_deferred_gradients(an_exec *exec, const an_weights *g)
{
    uint32_t i;

    for (i = 0; i < exec->plan->op_count; i++) {
        const an_op *op = &exec->plan->ops[i];

        if (learns_dense(exec, op))
            AN_TRY(exec->backend->dense_backward_weights(
                exec->queue[op->tower], &op->u.dense, exec->deferred_images,
                an__exec_value(exec, op->in), an__exec_gradient(exec, op->out),
                g->part[op->weight][op->tower], g->part[op->bias][op->tower]));
    }
    return AN_OK;
}

an_status an__exec_deferred_update(an_exec *exec, uint32_t tower,
                                   const an_parameter_part *parts, uint32_t count,
                                   an_operand faults)
{
    uint32_t i, part;

    for (i = 0; i < exec->plan->op_count; i++) {
        const an_op *op = &exec->plan->ops[i];

        if (op->tower != tower || !learns_dense(exec, op)) continue;
        for (part = 0; part < count && parts[part].index != op->weight;) part++;
        AN_TRY(an__exec_label(exec, op, "update"));
        AN_TRY(exec->backend->fused->dense_update(
            exec->queue[tower], &op->u.dense, exec->deferred_images,
            an__exec_value(exec, op->in), an__exec_gradient(exec, op->out), &parts[part],
            faults));
    }
    return AN_OK;
}

uint32_t an__exec_deferred_arrays(const an_exec *exec, uint32_t tower, an_array *arrays)
{
    uint32_t i, count = 0;

    for (i = 0; i < exec->plan->op_count; i++) {
        const an_op *op = &exec->plan->ops[i];
        an_array array = {an__exec_gradient(exec, op->out),
                          exec->plan->tensors[op->out].count * exec->deferred_images};

        if (op->tower == tower && learns_dense(exec, op)) arrays[count++] = array;
    }
    return count;
}
