/*
 * plan.c - from a network's table to operations, tensors and parameters, in order.
 *
 * A network in two towers is emitted twice, layer by layer: tower t computes half t of
 * each layer's maps from half t of the maps before, and where a layer reads all maps an
 * EXCHANGE puts both halves together first. The last layer stands on tower 0 alone.
 */
#include <stdio.h>
#include <string.h>

#include "network/network.h"

AN_INIT_ZERO(an_layer_info)

typedef struct an_planner {
    an_plan *plan;
    uint32_t now[AN_MAX_TOWERS];  /* the tensor each tower holds */
    int whole;                    /* that is all maps, not a half */
    uint32_t maps, height, width; /* of both halves together */
    uint32_t layer;
} an_planner;

static uint32_t add_tensor(an_planner *p, uint32_t tower, uint32_t maps)
{
    an_tensor *tensor = &p->plan->tensors[p->plan->tensor_count];

    tensor->tower = tower;
    tensor->maps = maps;
    tensor->height = p->height;
    tensor->width = p->width;
    tensor->count = (size_t)maps * p->height * p->width;
    tensor->halves = 1;
    return p->plan->tensor_count++;
}

/* An operation from the tower's tensor into itself; callers change what differs. */
static an_op *add_op(an_planner *p, an_op_kind kind, uint32_t tower)
{
    an_op *op = &p->plan->ops[p->plan->op_count++];

    memset(op, 0, sizeof *op);
    op->kind = kind;
    op->tower = tower;
    op->layer = p->layer;
    op->in = op->out = p->now[tower];
    return op;
}

static void add_exchange(an_planner *p, uint32_t towers)
{
    uint32_t t, halves[AN_MAX_TOWERS];

    if (p->whole || p->plan->towers == 1) return;
    memcpy(halves, p->now, sizeof halves);
    for (t = 0; t < towers; t++) {
        an_op *op = add_op(p, AN_OP_EXCHANGE, t);

        op->other = halves[1 - t];
        op->out = p->now[t] = add_tensor(p, t, p->maps);
        p->plan->tensors[op->out].halves = 2;
        p->plan->exchange_floats += p->plan->tensors[op->other].count;
    }
    p->whole = 1;
}

/* Output of a window that moves over `size` with `pad` zeros before, and as many behind
 * or, with `ceil`, as many as the last position wants. 0: the window does not fit. */
static uint32_t positions(uint32_t size, uint32_t pad, uint32_t kernel, uint32_t stride,
                          uint32_t ceil)
{
    uint32_t room = size + 2 * pad;

    if (room < kernel) return 0;
    return (room - kernel + (ceil ? stride - 1 : 0)) / stride + 1;
}

static an_status too_small(const an_planner *p, const char *what)
{
    return an__fail(AN_ERROR_ARGUMENT,
                    "config.image_size is %u: too small, %s's %s gets %u x %u pixels",
                    p->plan->config.image_size, p->plan->row.layer[p->layer].name, what,
                    p->width, p->height);
}

/* --- parameters -------------------------------------------------------------------- */

static uint32_t add_param(an_planner *p, const char *suffix, uint32_t inputs, int last)
{
    an_plan *plan = p->plan;
    an_param *param = &plan->params[plan->param_count];
    const an_layer_info *info = &plan->layers[p->layer];
    uint32_t t, towers = last ? 1 : plan->towers;

    snprintf(param->name, sizeof param->name, "%s.%s",
             plan->row.layer[p->layer].file_name, suffix);
    param->layer = p->layer;
    param->inputs = inputs;
    param->is_bias = strcmp(suffix, "bias") == 0;
    param->shape[0] = info->maps;
    param->shape[1] = param->shape[2] = param->shape[3] = 1;
    param->dims = 1;
    param->count = info->maps;
    param->halves = param->maps = param->pixels = 1;
    if (!param->is_bias) {
        const an_tensor *in = &plan->tensors[p->now[0]];

        param->halves = in->halves;
        param->pixels =
            info->is_conv ? info->kernel * info->kernel : in->height * in->width;
        param->maps = inputs / param->pixels / param->halves;
        param->dims = info->is_conv ? 4 : 2;
        param->shape[1] = info->is_conv ? info->in_maps / info->groups : inputs;
        if (info->is_conv) param->shape[2] = param->shape[3] = info->kernel;
        param->count *= inputs;
    }
    for (t = 0; t < towers; t++) {
        param->part[t] = param->count / towers;
        param->first[t] = t * param->part[t];
    }
    plan->parameter_count += param->count;
    return plan->param_count++;
}

/* --- layers ------------------------------------------------------------------------ */

/* Shapes of the layer with weights itself, in the network's terms. */
static an_status describe_layer(an_planner *p, const an_layer_row *row)
{
    an_plan *plan = p->plan;
    an_layer_info *info = &plan->layers[p->layer];
    uint32_t covered;

    an_layer_info_init(info, sizeof *info);
    snprintf(info->name, sizeof info->name, "%s", row->name);
    snprintf(info->stages, sizeof info->stages, "%s", row->stages);
    info->is_conv = row->kind == AN_LAYER_CONV;
    info->kernel = row->kernel;
    info->stride = row->stride;
    info->groups = row->groups;
    info->in_maps = p->maps;
    info->in_height = p->height;
    info->in_width = p->width;
    info->maps = row->maps != 0 ? row->maps : plan->config.classes;
    info->height = info->width = 1;
    if (info->is_conv) {
        info->height =
            positions(p->height, row->pad, row->kernel, row->stride, row->ceil);
        info->width = positions(p->width, row->pad, row->kernel, row->stride, row->ceil);
        if (info->height == 0) return too_small(p, "convolution");
        covered = (info->height - 1) * row->stride + row->kernel;
        info->pad_before = row->pad;
        info->pad_after =
            covered > p->height + row->pad ? covered - p->height - row->pad : 0;
    }
    return AN_OK;
}

static void emit_linear(an_planner *p, const an_layer_row *row, int last)
{
    an_plan *plan = p->plan;
    an_layer_info *info = &plan->layers[p->layer];
    uint32_t towers = last ? 1 : plan->towers, weight, bias, t;
    uint32_t inputs =
        info->in_maps / info->groups *
        (info->is_conv ? info->kernel * info->kernel : info->in_height * info->in_width);

    if (row->groups == 1) add_exchange(p, towers);
    weight = add_param(p, "weight", inputs, last);
    bias = add_param(p, "bias", inputs, last);
    info->parameter_count = plan->params[weight].count + plan->params[bias].count;
    info->multiply_adds =
        (uint64_t)plan->params[weight].count * info->height * info->width;
    plan->multiply_adds += info->multiply_adds;
    plan->units += (uint64_t)info->maps * info->height * info->width;

    p->maps = info->maps;
    p->height = info->height;
    p->width = info->width;
    for (t = 0; t < towers; t++) {
        const an_tensor *in = &plan->tensors[p->now[t]];
        an_op *op = add_op(p, info->is_conv ? AN_OP_CONV : AN_OP_DENSE, t);

        op->weight = weight;
        op->bias = bias;
        op->out = p->now[t] = add_tensor(p, t, info->maps / towers);
        if (info->is_conv) {
            an_conv_shape *s = &op->u.conv;

            s->in_maps = in->maps;
            s->in_height = in->height;
            s->in_width = in->width;
            s->out_maps = info->maps / towers;
            s->out_height = info->height;
            s->out_width = info->width;
            s->kernel = info->kernel;
            s->stride = info->stride;
            s->pad = info->pad_before;
            s->groups = info->groups > towers ? info->groups / towers : 1;
            s->halves = in->halves;
            s->local_half = t;
            s->precision = plan->config.precision;
        } else {
            op->u.dense.inputs = (uint32_t)in->count;
            op->u.dense.outputs = info->maps / towers;
            op->u.dense.halves = in->halves;
            op->u.dense.pixels = in->height * in->width;
            op->u.dense.local_half = t;
            op->u.dense.precision = plan->config.precision;
        }
    }
    p->whole = towers == 1;
}

static void emit_activation(an_planner *p, uint32_t tower)
{
    add_op(p, AN_OP_ACTIVATION, tower)->u.activation = p->plan->config.activation;
}

static void emit_lrn(an_planner *p, const an_lrn_row *row, int within, uint32_t tower)
{
    const an_tensor *x = &p->plan->tensors[p->now[tower]];
    an_op *op = add_op(p, within ? AN_OP_LRN_WITHIN : AN_OP_LRN, tower);
    an_lrn_shape *s = &op->u.lrn;

    s->maps = x->maps;
    s->height = x->height;
    s->width = x->width;
    s->size = row->size;
    s->groups = row->per_tower && p->plan->towers == 1 ? 2 : 1;
    s->k = row->k;
    s->alpha = row->alpha;
    s->beta = row->beta;
    op->out = p->now[tower] = add_tensor(p, tower, x->maps);
}

/* p->height and p->width are already those of the output. */
static void emit_pool(an_planner *p, const an_layer_row *row, uint32_t tower)
{
    const an_tensor *x = &p->plan->tensors[p->now[tower]];
    an_op *op = add_op(p, AN_OP_POOL, tower);
    an_pool_shape *s = &op->u.pool;

    s->maps = x->maps;
    s->in_height = x->height;
    s->in_width = x->width;
    s->out_height = p->height;
    s->out_width = p->width;
    s->kernel = row->pool_kernel;
    s->stride = row->pool_stride;
    op->out = p->now[tower] = add_tensor(p, tower, x->maps);
}

static void emit_dropout(an_planner *p, uint32_t tower, uint32_t towers)
{
    an_plan *plan = p->plan;
    an_op *op = add_op(p, AN_OP_DROPOUT, tower), *before = op - 1;
    an_dropout_shape *s = &op->u.dropout;
    uint32_t units = (uint32_t)plan->tensors[op->in].count;

    s->units = units;
    s->total = units * towers;
    s->first = units * tower;
    s->pixels = plan->tensors[op->in].height * plan->tensors[op->in].width;
    s->layer = p->layer;
    s->rate = plan->config.dropout_rate;
    s->scale =
        plan->config.dropout_scaling == AN_DROPOUT_SCALING_TRAIN ? 1 / (1 - s->rate) : 1;
    /* Dropping in place would spoil what the backward pass of tanh and sigmoid reads.
     * That of ReLU asks only which outputs are positive, and a dropped one's gradient is
     * 0. */
    while (before->out != op->in) before--; /* the last one of this tower */
    if (before->kind == AN_OP_ACTIVATION && plan->config.activation != AN_ACTIVATION_RELU)
        op->out = p->now[tower] = add_tensor(p, tower, plan->tensors[op->in].maps);
}

static an_status emit_stages(an_planner *p, const an_layer_row *row, int last)
{
    uint32_t towers = last ? 1 : p->plan->towers, t;
    const char *stage;

    for (stage = row->stages; *stage != '\0'; stage++) {
        if (*stage == 'n' && towers == 2 && !row->lrn.per_tower)
            return an__fail(AN_ERROR_ARGUMENT,
                            "config.towers is 2: %s's response normalisation in %s reads "
                            "both halves; switch lrn off or take another preset",
                            p->plan->row.name, row->name);
        if (*stage == 'p') {
            uint32_t height = positions(p->height, 0, row->pool_kernel, row->pool_stride,
                                        row->pool_ceil);
            uint32_t width = positions(p->width, 0, row->pool_kernel, row->pool_stride,
                                       row->pool_ceil);

            if (height == 0 || width == 0) return too_small(p, "pooling");
            p->height = height;
            p->width = width;
        }
        for (t = 0; t < towers; t++) switch (*stage) {
            case 'a': emit_activation(p, t); break;
            case 'n': emit_lrn(p, &row->lrn, 0, t); break;
            case 'w': emit_lrn(p, &row->within, 1, t); break;
            case 'p': emit_pool(p, row, t); break;
            case 'd': emit_dropout(p, t, towers); break;
            default: return an__fail(AN_ERROR_INTERNAL, "stage '%c'", *stage);
            }
    }
    return AN_OK;
}

an_status an__plan_make(an_plan *plan, const an_model_config *config)
{
    an_planner planner, *p = &planner;
    uint32_t t;

    memset(plan, 0, sizeof *plan);
    memset(p, 0, sizeof *p);
    plan->config = *config;
    plan->config.devices = NULL;
    AN_TRY(an__arch_apply(&plan->row, &plan->config));
    plan->towers = plan->config.towers;
    p->plan = plan;
    p->whole = 1;
    p->maps = 3;
    p->height = p->width = plan->config.image_size;
    for (t = 0; t < plan->towers; t++) plan->input[t] = p->now[t] = add_tensor(p, t, 3);

    for (p->layer = 0; p->layer < plan->row.layers; p->layer++) {
        const an_layer_row *row = &plan->row.layer[p->layer];
        an_layer_info *info = &plan->layers[p->layer];
        int last = p->layer + 1 == plan->row.layers;

        AN_TRY(describe_layer(p, row));
        emit_linear(p, row, last);
        AN_TRY(emit_stages(p, row, last));
        info->out_maps = p->maps;
        info->out_height = p->height;
        info->out_width = p->width;
    }
    plan->output = p->now[0];
    return AN_OK;
}

an_status an__layer_find(const an_plan *plan, const char *name, const char *argument,
                         uint32_t *index)
{
    an_list list;
    uint32_t i;

    AN_CHECK(name != NULL, "%s is null", argument);
    an__list_begin(&list);
    for (i = 0; i < plan->row.layers; i++) {
        if (strcmp(plan->layers[i].name, name) == 0 ||
            strcmp(plan->row.layer[i].file_name, name) == 0) {
            *index = i;
            return AN_OK;
        }
        an__list_add(&list, plan->layers[i].name);
    }
    return an__fail(AN_ERROR_ARGUMENT, "%s is \"%.20s\": the model's layers are %s",
                    argument, name, list.text);
}

/* --- slices ------------------------------------------------------------------------ */

#define SLICE_FLOATS ((size_t)1 << 17) /* of a convolution's output, an image */

uint32_t an__plan_sliced(const an_plan *plan, uint32_t op, uint32_t batch)
{
    uint32_t end = op + 1;

    if (plan->towers > 1 || batch <= AN_SLICE || !plan->ops[op].sliced ||
        plan->tensors[plan->ops[op].out].count < SLICE_FLOATS)
        return 0;
    while (end < plan->op_count && plan->ops[end].kind != AN_OP_CONV &&
           plan->ops[end].kind != AN_OP_DENSE && plan->ops[end].kind != AN_OP_DROPOUT)
        end++;
    return end - op;
}

/* --- what the backward pass reads -------------------------------------------------- */

int an__op_needs_output(const an_op *op)
{
    return op->kind == AN_OP_ACTIVATION && !(op->fused_away & AN_FUSED_AWAY_BACKWARD);
}

int an__op_needs_input(const an_op *op)
{
    switch (op->kind) {
    case AN_OP_CONV:
    case AN_OP_DENSE:
    case AN_OP_LRN:
    case AN_OP_LRN_WITHIN: return 1;
    case AN_OP_POOL: return op->argmax_bytes == 0;
    case AN_OP_ACTIVATION:
    case AN_OP_DROPOUT:
    case AN_OP_EXCHANGE: break;
    }
    return 0;
}
