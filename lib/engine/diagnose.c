/*
 * diagnose.c - where numbers that are not finite came from.
 */
#include "engine/engine.h"

an_status an__exec_finite(an_exec *exec, uint32_t tower, const an_array *array,
                          int *finite)
{
    const an_backend *backend = exec->backend;
    float faults = 0;

    AN_TRY(
        backend->upload(exec->queue[tower], exec->faults[tower], &faults, sizeof faults));
    AN_TRY(backend->all_finite(exec->queue[tower], array, 1, exec->faults[tower]));
    AN_TRY(backend->download(exec->queue[tower], &faults, exec->faults[tower],
                             sizeof faults));
    AN_TRY(backend->sync(exec->queue[tower]));
    *finite = faults == 0;
    return AN_OK;
}

static an_status tensor_finite(an_exec *exec, uint32_t tensor, uint32_t batch,
                               int *finite)
{
    const an_tensor *t = &exec->plan->tensors[tensor];
    const an_array array = {an__exec_value(exec, tensor), t->elements * batch};

    return an__exec_finite(exec, t->tower, &array, finite);
}

static an_status find_nonfinite(an_session *session, const an_weights *w, uint32_t batch,
                                const an_pass_input *in, int training, const char **where)
{
    an_exec *exec = &session->exec;
    const an_plan *plan = exec->plan;
    uint32_t op;
    int finite;

    *where = plan->layers[plan->row.layers - 1].name;
    AN_TRY(an__session_load(session, batch, in));
    AN_TRY(tensor_finite(exec, plan->input[0], batch, &finite));
    if (!finite) {
        *where = "input";
        return AN_OK;
    }
    for (op = 0; op < plan->op_count; op++) {
        const an_op *o = &plan->ops[op];

        if (o->fused_away & AN_FUSED_AWAY_FORWARD) continue;
        AN_TRY(an__exec_operation(exec, o, w, batch, training, plan->op_count));
        AN_TRY(tensor_finite(exec, o->pool != 0 ? plan->ops[o->pool].out : o->out, batch,
                             &finite));
        if (!finite) {
            *where = plan->layers[o->layer].name;
            return AN_OK;
        }
    }
    return AN_OK;
}

an_status an__session_diverged(an_session *session, const an_weights *w, uint32_t batch,
                               const an_pass_input *in, int training)
{
    const char *where;

    AN_TRY(find_nonfinite(session, w, batch, in, training, &where));
    return an__fail(AN_ERROR_DIVERGED, "%s is the first layer whose output is not finite",
                    where);
}
