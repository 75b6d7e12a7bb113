/*
 * fuse.c - fits a plan to a backend: which operations it does in one, and how its tensors lie.
 *
 * Forward, a product may take along the ReLU and the dropout that work in place on what it
 * gives, and a normalisation the pooling that alone reads it. Back, the ways of ReLU and dropout
 * ask only which outputs are positive: a product that reads those outputs can say so when it
 * gives their gradient, and a pooling that marks its maxima leaves out those that are not.
 */
#include "network/network.h"

/* The next operation behind `op` that reads the tensor; op_count: there is none. */
static uint32_t next_reader(const an_plan *plan, uint32_t op, uint32_t tensor)
{
    uint32_t i = op + 1;

    while (i < plan->op_count && plan->ops[i].in != tensor &&
           !(plan->ops[i].kind == AN_OP_EXCHANGE && plan->ops[i].other == tensor))
        i++;
    return i;
}

static int is_product(const an_op *op)
{
    return op->kind == AN_OP_CONV || op->kind == AN_OP_DENSE;
}

static int is_relu(const an_op *op)
{
    return op->kind == AN_OP_ACTIVATION && op->u.activation == AN_ACTIVATION_RELU;
}

/* Whether the numbers of a tensor, as operation `end` finds them, have been through ReLU:
 * directly, or before a normalisation or pooling, which keep signs. */
static int is_rectified(const an_plan *plan, uint32_t tensor, uint32_t end)
{
    while (end-- > 0) {
        const an_op *op = &plan->ops[end];

        if (op->out != tensor) continue;
        if (op->kind == AN_OP_LRN || op->kind == AN_OP_LRN_WITHIN ||
            op->kind == AN_OP_POOL)
            return is_rectified(plan, op->in, end);
        if (op->kind != AN_OP_DROPOUT || op->in != op->out) return is_relu(op);
    }
    return 0;
}

/* --- forward ---------------------------------------------------------------------------- */

static void fuse_product(an_plan *plan, uint32_t i, uint32_t fuses)
{
    an_op *op = &plan->ops[i];
    uint32_t next = next_reader(plan, i, op->out);

    if (!(fuses & AN_FUSES_RELU) || next == plan->op_count || !is_relu(&plan->ops[next]))
        return;
    op->relu = next;
    plan->ops[next].folded |= AN_FOLDED_FORWARD;
    next = next_reader(plan, next, op->out);
    if (!(fuses & AN_FUSES_DROPOUT) || op->kind != AN_OP_DENSE ||
        next == plan->op_count || plan->ops[next].kind != AN_OP_DROPOUT ||
        plan->ops[next].out != op->out)
        return;
    op->dropout = next;
    plan->ops[next].folded |= AN_FOLDED_FORWARD;
}

static void fuse_pool(an_plan *plan, uint32_t i, const an_slot *slot)
{
    const an_backend *b = slot->backend;
    an_op *op = &plan->ops[i];
    uint32_t before = i;

    op->marks = b->pool_marks != NULL ? b->pool_marks(&op->u.pool) : 0;
    op->u.pool.relu =
        (uint32_t)(op->marks > 0 && is_rectified(plan, op->in, i)); /* for the way back */
    while (before-- > 0 && plan->ops[before].out != op->in) continue;
    if (plan->ops[before].kind != AN_OP_LRN || op->marks == 0 ||
        b->lrn_pool_fits == NULL ||
        !b->lrn_pool_fits(slot->device, &plan->ops[before].u.lrn, &op->u.pool))
        return;
    plan->ops[before].pool = i;
    op->folded |= AN_FOLDED_FORWARD | AN_FOLDED_BACKWARD;
}

/* --- back -------------------------------------------------------------------------------- */

/* Whether all that reads the tensor behind `op` can leave out where it is not positive. */
static int readers_mask(const an_plan *plan, uint32_t op, uint32_t tensor)
{
    while ((op = next_reader(plan, op, tensor)) < plan->op_count) {
        const an_op *reader = &plan->ops[op];

        if (reader->kind == AN_OP_EXCHANGE) {
            if (!readers_mask(plan, op, reader->out)) return 0;
        } else if (reader->kind == AN_OP_LRN) {
            if (reader->pool == 0 || !plan->ops[reader->pool].u.pool.relu) return 0;
        } else if (reader->kind == AN_OP_POOL) {
            if (!reader->u.pool.relu) return 0;
        } else if (!is_product(reader)) {
            return 0;
        }
    }
    return 1;
}

static void set_mask(an_plan *plan, uint32_t op, uint32_t tensor, float mask)
{
    while ((op = next_reader(plan, op, tensor)) < plan->op_count) {
        an_op *reader = &plan->ops[op];

        if (reader->kind == AN_OP_EXCHANGE) set_mask(plan, op, reader->out, mask);
        if (reader->kind == AN_OP_CONV) reader->u.conv.mask = mask;
        if (reader->kind == AN_OP_DENSE) reader->u.dense.mask = mask;
    }
}

/* The ways back of the ReLU or the dropout `i`, and of the dropout that follows ReLU in place. */
static void fuse_mask(an_plan *plan, uint32_t i)
{
    an_op *op = &plan->ops[i];
    uint32_t next = next_reader(plan, i, op->out), last = i;

    if (op->in != op->out || (op->folded & AN_FOLDED_BACKWARD)) return;
    if (is_relu(op) && next < plan->op_count && plan->ops[next].kind == AN_OP_DROPOUT &&
        plan->ops[next].out == op->out)
        last = next;
    if (!is_relu(op) && (op->kind != AN_OP_DROPOUT || !is_rectified(plan, op->in, i)))
        return;
    if (!readers_mask(plan, last, op->out)) return;
    set_mask(plan, last, op->out,
             plan->ops[last].kind == AN_OP_DROPOUT ? plan->ops[last].u.dropout.scale : 1);
    op->folded |= AN_FOLDED_BACKWARD;
    plan->ops[last].folded |= AN_FOLDED_BACKWARD;
}

/* --- tensors ------------------------------------------------------------------------------ */

size_t an__number_bytes(uint32_t precision)
{
    return precision == AN_PRECISION_BF16 ? 2 : sizeof(float);
}

static void fit_tensors(an_plan *plan, const an_backend *backend)
{
    uint32_t i, t;

    plan->precision = backend->narrow && plan->config.precision == AN_PRECISION_BF16
                          ? AN_PRECISION_BF16
                          : AN_PRECISION_FP32;
    for (i = 0; i < plan->op_count; i++) {
        an_op *op = &plan->ops[i];

        if (op->kind == AN_OP_POOL) op->u.pool.precision = plan->precision;
        if (op->kind == AN_OP_LRN || op->kind == AN_OP_LRN_WITHIN)
            op->u.lrn.precision = plan->precision;
        if (op->kind == AN_OP_DROPOUT) op->u.dropout.precision = plan->precision;
        if (op->kind == AN_OP_DENSE && op->out == plan->output) op->u.dense.wide = 1;
        if (op->kind == AN_OP_CONV && backend->input_form != NULL)
            for (t = 0; t < plan->towers; t++)
                if (op->in == plan->input[t]) {
                    backend->input_form(&op->u.conv, &op->u.conv.form);
                    plan->tensors[op->in].form = op->u.conv.form;
                }
    }
    for (i = 0; i < plan->tensor_count; i++) {
        an_tensor *t2 = &plan->tensors[i];
        const an_form *form = &t2->form;

        t2->precision = i == plan->output ? AN_PRECISION_FP32 : plan->precision;
        t2->numbers =
            form->side == 0 ? t2->count : (size_t)form->rows * form->columns * form->maps;
        t2->bytes = t2->numbers * an__number_bytes(t2->precision);
    }
}

void an__plan_fit(an_plan *plan, const an_slot *slot)
{
    uint32_t fuses = slot->backend->fuses, i;

    plan->holds = (fuses & AN_FUSES_UPDATE) != 0;
    fit_tensors(plan, slot->backend);
    for (i = 0; i < plan->op_count; i++) {
        if (is_product(&plan->ops[i])) fuse_product(plan, i, fuses);
        if (plan->ops[i].kind == AN_OP_POOL) fuse_pool(plan, i, slot);
    }
    for (i = 0; i < plan->op_count && fuses & AN_FUSES_MASK; i++) fuse_mask(plan, i);
}
