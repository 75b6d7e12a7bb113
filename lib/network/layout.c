/*
 * layout.c - where each tensor lies in its tower's arena.
 *
 * Time is counted in operations: forward 0 .. n - 1, then, when training, the backward
 * pass of operation i at 2n - 1 - i. A tensor's value and its gradient each live from a
 * first to a last moment; two blocks may share bytes if their lives do not meet.
 */
#include <stdint.h>
#include <string.h>

#include "network/network.h"

#define ALIGN 64 /* bytes: a cache line, and the widest vector */
#define NEVER (-2)

typedef struct an_block {
    int first, last; /* life; first NEVER: does not live */
    uint32_t tower;
    size_t bytes, *offset;
} an_block;

static void live(an_block *block, int moment)
{
    if (block->first == NEVER || moment < block->first) block->first = moment;
    if (moment > block->last) block->last = moment;
}

/* The operation of `tower` that reads what the exchange `op` has joined, or a like one:
 * the first of that tower's behind it that is none itself. */
static int reader(const an_plan *plan, uint32_t op, uint32_t tower)
{
    uint32_t i;

    for (i = op + 1; i < plan->op_count; i++)
        if (plan->ops[i].tower == tower && plan->ops[i].kind != AN_OP_EXCHANGE)
            return (int)i;
    return (int)op;
}

/* Operations that are done slice by slice are all alive together. */
static void live_slices(const an_plan *plan, uint32_t batch, an_block *value)
{
    uint32_t i, count, j;

    for (i = 0; i < plan->op_count; i++) {
        count = an__plan_sliced(plan, i, batch);
        for (j = i; j < i + count; j++) {
            live(&value[plan->ops[j].in], (int)i);
            live(&value[plan->ops[j].in], (int)(i + count - 1));
            live(&value[plan->ops[j].out], (int)i);
            live(&value[plan->ops[j].out], (int)(i + count - 1));
        }
        if (count > 0) i += count - 1;
    }
}

/* A pooling that a normalisation fuses is done with it: what lies between lives
 * nowhere. */
static void live_pooled(const an_plan *plan, int i, an_block *value, an_block *gradient,
                        an_block *argmax)
{
    const an_op *op = &plan->ops[i], *pool = &plan->ops[op->pool];
    int back = 2 * (int)plan->op_count - 1 - i;

    live(&value[op->in], i);
    live(&value[op->in], back);
    live(&value[pool->out], i);
    live(&gradient[pool->out], back);
    live(&gradient[op->in], back);
    live(&argmax[op->pool], i);
    live(&argmax[op->pool], back);
}

static void lives(const an_plan *plan, int training, an_block *value, an_block *gradient,
                  an_block *argmax)
{
    int n = (int)plan->op_count, i;

    for (i = 0; i < n; i++) {
        const an_op *op = &plan->ops[i];
        int back = 2 * n - 1 - i;

        if (training && op->pool != 0) live_pooled(plan, i, value, gradient, argmax);
        if (training && (op->pool != 0 || (op->fused_away && op->kind == AN_OP_POOL)))
            continue;
        if (training && op->argmax_bytes > 0) {
            live(&argmax[i], i);
            live(&argmax[i], back);
        }
        live(&value[op->in], i);
        live(&value[op->out], i);
        /* Testing, a normalisation has both outputs: layers asked for by name may end at
         * its own. With a pooling it writes that one's while it reads. */
        if (op->pool != 0) live(&value[plan->ops[op->pool].out], i);
        /* A half may be on its way until its own tower reads the joined maps. */
        if (op->kind == AN_OP_EXCHANGE)
            live(&value[op->other], reader(plan, (uint32_t)i, 1 - op->tower));
        if (!training) continue;
        if (op->kind == AN_OP_DENSE && plan->defers) { /* until the update */
            live(&value[op->in], 2 * n);
            live(&gradient[op->out], 2 * n);
        }
        if (an__op_needs_input(op)) live(&value[op->in], back);
        if (an__op_needs_output(op)) live(&value[op->out], back);
        live(&gradient[op->out], back);
        live(&gradient[op->in], back);
        if (op->kind == AN_OP_EXCHANGE) live(&gradient[op->other], back);
    }
    live(&value[plan->output], n); /* read once the forward pass is over */
    if (training) live(&gradient[plan->output], n);
    /* The images come before all; nobody asks for their gradient. */
    for (i = 0; i < (int)plan->towers; i++) {
        live(&value[plan->input[i]], -1);
        gradient[plan->input[i]].first = NEVER;
    }
}

static int meet(const an_block *a, const an_block *b)
{
    return a->tower == b->tower && a->first <= b->last && b->first <= a->last;
}

/* The lowest offset at which `block` meets none of the `placed` ones. */
static size_t lowest(const an_block *block, an_block *const *placed, uint32_t count)
{
    size_t offset = 0;
    uint32_t i;
    int moved;

    do {
        moved = 0;
        for (i = 0; i < count; i++) {
            const an_block *other = placed[i];

            if (meet(block, other) && offset < *other->offset + other->bytes &&
                *other->offset < offset + block->bytes) {
                offset = *other->offset + other->bytes;
                moved = 1;
            }
        }
    } while (moved);
    return offset;
}

an_status an__layout_make(an_layout *layout, const an_plan *plan, uint32_t batch,
                          int training)
{
    an_block blocks[3 * AN_MAX_OPS], *order[3 * AN_MAX_OPS];
    uint32_t tensors = plan->tensor_count, all = 2 * tensors + plan->op_count;
    uint32_t i, j, count = 0;

    memset(layout, 0, sizeof *layout);
    for (i = 0; i < all; i++) {
        const an_tensor *tensor = &plan->tensors[i % tensors];
        an_block *block = &blocks[i];
        uint32_t op = i - 2 * tensors;
        size_t bytes = tensor->bytes;

        block->first = block->last = NEVER;
        block->tower = tensor->tower;
        block->offset = i < tensors ? &layout->value[i] : &layout->gradient[i - tensors];
        if (i >= 2 * tensors) {
            bytes = plan->ops[op].argmax_bytes;
            block->tower = plan->ops[op].tower;
            block->offset = &layout->argmax[op];
        }
        if (!an__multiply(bytes, batch, &block->bytes) ||
            block->bytes > SIZE_MAX / 4 / AN_MAX_OPS)
            return an__fail(AN_ERROR_ARGUMENT, "a batch of %u is too large to address",
                            batch);
        block->bytes = (block->bytes + ALIGN - 1) / ALIGN * ALIGN;
    }
    live_slices(plan, batch, blocks);
    lives(plan, training, blocks, blocks + tensors, blocks + 2 * tensors);

    /* Large ones first: small ones find room between them. */
    for (i = 0; i < all; i++) {
        if (blocks[i].first == NEVER) continue;
        for (j = count++; j > 0 && order[j - 1]->bytes < blocks[i].bytes; j--)
            order[j] = order[j - 1];
        order[j] = &blocks[i];
    }
    for (i = 0; i < count; i++) {
        size_t *end = &layout->bytes[order[i]->tower];

        *order[i]->offset = lowest(order[i], order, i);
        if (*order[i]->offset + order[i]->bytes > *end)
            *end = *order[i]->offset + order[i]->bytes;
    }
    return AN_OK;
}
