/*
 * fuse.c - fits a plan to a backend: which operations it does in one, and how its tensors
 * lie.
 *
 * Forward, a product may fuse the ReLU and the dropout that work in place on its output,
 * and a normalisation the pooling that alone reads its output. Backward, ReLU and dropout
 * ask only which of their outputs are positive: a product that reads those outputs can
 * mask their gradient when it computes it, and a pooling that keeps an argmax mask leaves
 * out maxima that are not positive. The backend is asked by pattern and shape; this file
 * alone decides.
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

/* --- what the backend can ---------------------------------------------------------- */

/* The backend and device that the plan is fitted to. */
typedef struct an_target {
    const an_backend *backend;
    const an_device *device;
} an_target;

/* A fusion that an operation takes part in, without its pattern. */
static an_fusion fusion_of(const an_plan *plan, const an_op *op)
{
    an_fusion fusion = {.dtype = plan->dtype};

    if (op->kind == AN_OP_CONV) fusion.conv = &op->u.conv;
    if (op->kind == AN_OP_DENSE) fusion.dense = &op->u.dense;
    if (op->kind == AN_OP_POOL) fusion.pool = &op->u.pool;
    return fusion;
}

static int can(const an_target *on, const an_fusion *fusion)
{
    return an__can_fuse(on->backend, on->device, fusion);
}

/* --- forward ----------------------------------------------------------------------- */

/* What a product fuses: the pattern with ReLU, and then with dropout. */
static void fuse_product(an_plan *plan, uint32_t i, const an_target *on)
{
    an_op *op = &plan->ops[i];
    uint32_t relu = next_reader(plan, i, op->out), dropout;
    an_fusion fusion = fusion_of(plan, op);

    fusion.pattern = op->kind == AN_OP_CONV ? AN_FUSE_CONV_RELU : AN_FUSE_DENSE_RELU;
    if (relu == plan->op_count || !is_relu(&plan->ops[relu]) || !can(on, &fusion)) return;
    op->relu = relu;
    plan->ops[relu].fused_away |= AN_FUSED_AWAY_FORWARD;
    dropout = next_reader(plan, relu, op->out);
    if (op->kind != AN_OP_DENSE || dropout == plan->op_count ||
        plan->ops[dropout].kind != AN_OP_DROPOUT || plan->ops[dropout].out != op->out)
        return;
    fusion.pattern = AN_FUSE_DENSE_DROPOUT;
    fusion.dropout = &plan->ops[dropout].u.dropout;
    if (!can(on, &fusion)) return;
    op->dropout = dropout;
    plan->ops[dropout].fused_away |= AN_FUSED_AWAY_FORWARD;
}

static void fuse_pool(an_plan *plan, uint32_t i, const an_target *on)
{
    an_op *op = &plan->ops[i];
    uint32_t before = i;
    an_fusion fusion = fusion_of(plan, op);

    fusion.pattern = AN_FUSE_ARGMAX;
    if (!can(on, &fusion)) return;
    op->argmax_bytes = on->backend->fused->argmax_bytes(&op->u.pool);
    op->u.pool.relu = (uint32_t)is_rectified(plan, op->in, i); /* for the backward pass */
    while (before-- > 0 && plan->ops[before].out != op->in) continue;
    if (plan->ops[before].kind != AN_OP_LRN) return;
    fusion.pattern = AN_FUSE_LRN_POOL;
    fusion.lrn = &plan->ops[before].u.lrn;
    if (!can(on, &fusion)) return;
    plan->ops[before].pool = i;
    op->fused_away |= AN_FUSED_AWAY_FORWARD | AN_FUSED_AWAY_BACKWARD;
}

/* --- backward ---------------------------------------------------------------------- */

/* Whether all that reads the tensor behind `op` can leave out where it is not
 * positive. */
static int readers_mask(const an_plan *plan, uint32_t op, uint32_t tensor,
                        const an_target *on)
{
    while ((op = next_reader(plan, op, tensor)) < plan->op_count) {
        const an_op *reader = &plan->ops[op];

        if (reader->kind == AN_OP_EXCHANGE) {
            if (!readers_mask(plan, op, reader->out, on)) return 0;
        } else if (reader->kind == AN_OP_LRN) {
            if (reader->pool == 0 || !plan->ops[reader->pool].u.pool.relu) return 0;
        } else if (reader->kind == AN_OP_POOL) {
            if (!reader->u.pool.relu) return 0;
        } else {
            an_fusion fusion = fusion_of(plan, reader);

            fusion.pattern =
                reader->kind == AN_OP_CONV ? AN_FUSE_CONV_MASK : AN_FUSE_DENSE_MASK;
            if (!is_product(reader) || !can(on, &fusion)) return 0;
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

/* The backward pass of the ReLU or the dropout `i`, and of the dropout that follows ReLU
 * in place. */
static void fuse_mask(an_plan *plan, uint32_t i, const an_target *on)
{
    an_op *op = &plan->ops[i];
    uint32_t next = next_reader(plan, i, op->out), last = i;

    if (op->in != op->out || (op->fused_away & AN_FUSED_AWAY_BACKWARD)) return;
    if (is_relu(op) && next < plan->op_count && plan->ops[next].kind == AN_OP_DROPOUT &&
        plan->ops[next].out == op->out)
        last = next;
    if (!is_relu(op) && (op->kind != AN_OP_DROPOUT || !is_rectified(plan, op->in, i)))
        return;
    if (!readers_mask(plan, last, op->out, on)) return;
    set_mask(plan, last, op->out,
             plan->ops[last].kind == AN_OP_DROPOUT ? plan->ops[last].u.dropout.scale : 1);
    op->fused_away |= AN_FUSED_AWAY_BACKWARD;
    plan->ops[last].fused_away |= AN_FUSED_AWAY_BACKWARD;
}

/* --- tensors ----------------------------------------------------------------------- */

static void lay_out_input(an_plan *plan, an_op *conv, const an_prepack_table *prepack)
{
    prepack->input_layout(&conv->u.conv, &conv->u.conv.s2d);
    plan->tensors[conv->in].s2d = conv->u.conv.s2d;
}

static void fit_tensors(an_plan *plan, const an_backend *backend)
{
    uint32_t i, t;

    plan->dtype = backend->bf16_tensors && plan->config.precision == AN_PRECISION_BF16
                      ? AN_DTYPE_BF16
                      : AN_DTYPE_FP32;
    for (i = 0; i < plan->op_count; i++)
        for (t = 0; t < plan->towers; t++)
            if (plan->ops[i].kind == AN_OP_CONV && plan->ops[i].in == plan->input[t] &&
                backend->prepack != NULL && backend->prepack->input_layout != NULL)
                lay_out_input(plan, &plan->ops[i], backend->prepack);
    for (i = 0; i < plan->tensor_count; i++) {
        an_tensor *tensor = &plan->tensors[i];
        const an_space_to_depth *s2d = &tensor->s2d;

        tensor->dtype = i == plan->output ? AN_DTYPE_FP32 : plan->dtype;
        tensor->elements =
            s2d->side == 0 ? tensor->count : (size_t)s2d->rows * s2d->columns * s2d->maps;
        tensor->bytes = tensor->elements * an__dtype_bytes(tensor->dtype);
    }
}

/* --- all --------------------------------------------------------------------------- */

/* What is fused in the update, and whether slices of a batch gain. */
static void fit_passes(an_plan *plan, const an_target *on)
{
    const an_fusion prepack = {.pattern = AN_FUSE_UPDATE_PREPACK, .dtype = plan->dtype};
    uint32_t i;

    plan->updates_prepack = can(on, &prepack);
    plan->defers = 1;
    for (i = 0; i < plan->op_count; i++) {
        an_op *op = &plan->ops[i];
        an_fusion fusion = fusion_of(plan, op);

        fusion.pattern = AN_FUSE_SLICES;
        if (op->kind == AN_OP_CONV) op->sliced = can(on, &fusion);
        fusion.pattern = AN_FUSE_DENSE_UPDATE;
        if (op->kind == AN_OP_DENSE && !can(on, &fusion)) plan->defers = 0;
    }
}

int an__plan_fuses_towers(const an_backend *backend, const an_device *device)
{
    const an_fusion towers = {.pattern = AN_FUSE_TOWERS};

    return an__can_fuse(backend, device, &towers);
}

void an__plan_fit(an_plan *plan, const an_backend *backend, const an_device *device)
{
    const an_target on = {backend, device};
    uint32_t i;

    fit_tensors(plan, backend);
    fit_passes(plan, &on);
    for (i = 0; i < plan->op_count; i++) {
        if (is_product(&plan->ops[i])) fuse_product(plan, i, &on);
        if (plan->ops[i].kind == AN_OP_POOL) fuse_pool(plan, i, &on);
    }
    for (i = 0; i < plan->op_count; i++) fuse_mask(plan, i, &on);
}
