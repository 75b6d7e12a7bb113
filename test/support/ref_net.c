/*
 * ref_net.c - a model's whole network in double precision. Nothing is shared in place:
 * each operation keeps what it wrote.
 */
#include "ref_net.h"

#include <stdlib.h>
#include <string.h>

#define MOST_BATCH 4

ref_net *ref_net_create(const an_model *model)
{
    ref_net *net = calloc(1, sizeof *net);
    uint32_t i;
    size_t j;

    net->plan = model->net.plan;
    for (i = 0; i < model->net.plan->param_count; i++) {
        size_t count = model->net.plan->params[i].count;
        float *values = malloc(count * sizeof *values);

        net->weight[i] = malloc(count * sizeof(double));
        net->gradient[i] = calloc(count, sizeof(double));
        if (an_parameter_get(model, i, values, count) != AN_OK) abort();
        for (j = 0; j < count; j++) net->weight[i][j] = (double)values[j];
        free(values);
    }
    for (i = 0; i < model->net.plan->tensor_count; i++) {
        net->value[i] =
            calloc(model->net.plan->tensors[i].count * MOST_BATCH, sizeof(double));
        net->slope[i] =
            calloc(model->net.plan->tensors[i].count * MOST_BATCH, sizeof(double));
    }
    for (i = 0; i < model->net.plan->op_count; i++)
        net->kept[i] = calloc(
            model->net.plan->tensors[model->net.plan->ops[i].out].count * MOST_BATCH,
            sizeof(double));
    return net;
}

void ref_net_destroy(ref_net *net)
{
    uint32_t i;

    for (i = 0; i < AN_MAX_PARAMS; i++) {
        free(net->weight[i]);
        free(net->gradient[i]);
    }
    for (i = 0; i < AN_MAX_OPS; i++) {
        free(net->value[i]);
        free(net->slope[i]);
        free(net->kept[i]);
    }
    free(net);
}

/* The part of a whole parameter that an operation's tower has. */
static double *part(const ref_net *net, double *const *whole, uint32_t index,
                    uint32_t tower)
{
    return whole[index] + net->plan->params[index].first[tower];
}

/* Half `from` of an exchange between its own tensor and the joined one. back: adds. */
static void exchange(ref_net *net, const an_op *op, uint32_t half, uint32_t batch,
                     int back)
{
    const an_tensor *tensor = &net->plan->tensors[half];
    size_t joined = net->plan->tensors[op->out].count, n, i;

    for (n = 0; n < batch; n++)
        for (i = 0; i < tensor->count; i++) {
            size_t a = n * tensor->count + i,
                   b = n * joined + tensor->tower * tensor->count + i;

            if (back)
                net->slope[half][a] += net->slope[op->out][b];
            else
                net->value[op->out][b] = net->value[half][a];
        }
}

/* Testing: the share that training keeps, unless training made up for it (paper, 4.2). */
static void dropout_for_testing(const an_dropout_shape *s, size_t count, double *y)
{
    size_t i;

    for (i = 0; s->scale == 1 && i < count; i++) y[i] *= 1 - (double)s->rate;
}

static void forward_op(ref_net *net, uint32_t index, uint32_t batch, int training,
                       uint64_t seed, uint64_t iteration)
{
    const an_op *op = &net->plan->ops[index];
    const double *x = net->value[op->in];
    double *y = net->value[op->out], *w = part(net, net->weight, op->weight, op->tower);
    double *b = part(net, net->weight, op->bias, op->tower);
    size_t count = net->plan->tensors[op->out].count * batch;

    switch (op->kind) {
    case AN_OP_CONV: ref_conv_forward(&op->u.conv, batch, x, w, b, y); break;
    case AN_OP_DENSE: ref_dense_forward(&op->u.dense, batch, x, w, b, y); break;
    case AN_OP_ACTIVATION: ref_activation_forward(op->u.activation, count, y); break;
    case AN_OP_LRN: ref_lrn_forward(&op->u.lrn, 0, batch, x, y); break;
    case AN_OP_LRN_WITHIN: ref_lrn_forward(&op->u.lrn, 1, batch, x, y); break;
    case AN_OP_POOL: ref_pool_forward(&op->u.pool, batch, x, y); break;
    case AN_OP_DROPOUT:
        memmove(y, x, count * sizeof *y);
        if (training)
            ref_dropout(&op->u.dropout, batch, seed, iteration, y);
        else
            dropout_for_testing(&op->u.dropout, count, y);
        break;
    case AN_OP_EXCHANGE:
        exchange(net, op, op->in, batch, 0);
        exchange(net, op, op->other, batch, 0);
        break;
    }
    memcpy(net->kept[index], y, count * sizeof *y);
}

/* What operation `index` read: what the last one before it left in that tensor. */
static const double *read_by(const ref_net *net, uint32_t index)
{
    uint32_t tensor = net->plan->ops[index].in;

    while (index-- > 0)
        if (net->plan->ops[index].out == tensor) return net->kept[index];
    return net->value[tensor];
}

static void backward_op(ref_net *net, uint32_t index, uint32_t batch, uint64_t seed,
                        uint64_t iteration)
{
    const an_op *op = &net->plan->ops[index];
    const double *x = read_by(net, index), *dy = net->slope[op->out];
    double *w = part(net, net->weight, op->weight, op->tower), *dx = net->slope[op->in];
    double *dw = part(net, net->gradient, op->weight, op->tower);
    double *db = part(net, net->gradient, op->bias, op->tower);
    size_t count = net->plan->tensors[op->out].count * batch;

    switch (op->kind) {
    case AN_OP_CONV: ref_conv_backward(&op->u.conv, batch, x, w, dy, dx, dw, db); break;
    case AN_OP_DENSE:
        ref_dense_backward(&op->u.dense, batch, x, w, dy, dx, dw, db);
        break;
    case AN_OP_ACTIVATION:
        ref_activation_backward(op->u.activation, count, net->kept[index], dx);
        break;
    case AN_OP_LRN: ref_lrn_backward(&op->u.lrn, 0, batch, x, dy, dx); break;
    case AN_OP_LRN_WITHIN: ref_lrn_backward(&op->u.lrn, 1, batch, x, dy, dx); break;
    case AN_OP_POOL: ref_pool_backward(&op->u.pool, batch, x, dy, dx); break;
    case AN_OP_DROPOUT:
        memmove(dx, dy, count * sizeof *dx);
        ref_dropout(&op->u.dropout, batch, seed, iteration, dx);
        break;
    case AN_OP_EXCHANGE:
        exchange(net, op, op->in, batch, 1);
        exchange(net, op, op->other, batch, 1);
        break;
    }
}

static void forward(ref_net *net, const float *images, uint32_t batch, int training,
                    uint64_t seed, uint64_t iteration)
{
    uint32_t t, op;
    size_t i;

    if (batch > MOST_BATCH) abort();
    for (t = 0; t < net->plan->towers; t++)
        for (i = 0; i < net->plan->tensors[net->plan->input[t]].count * batch; i++)
            net->value[net->plan->input[t]][i] = (double)images[i];
    for (op = 0; op < net->plan->op_count; op++)
        forward_op(net, op, batch, training, seed, iteration);
}

void ref_net_infer(ref_net *net, const float *images, uint32_t batch)
{
    forward(net, images, batch, 0, 0, 0);
}

double ref_net_loss(ref_net *net, const float *images, const int32_t *labels,
                    uint32_t batch, uint64_t seed, uint64_t iteration)
{
    forward(net, images, batch, 1, seed, iteration);
    return ref_softmax_loss(net->plan->config.classes, batch,
                            net->value[net->plan->output], labels, NULL);
}

double ref_net_gradients(ref_net *net, const float *images, const int32_t *labels,
                         uint32_t batch, uint64_t seed, uint64_t iteration)
{
    uint32_t output = net->plan->output, i, op;
    double loss;

    forward(net, images, batch, 1, seed, iteration);
    for (i = 0; i < net->plan->tensor_count; i++) /* exchanges add */
        memset(net->slope[i], 0, net->plan->tensors[i].count * batch * sizeof(double));
    loss = ref_softmax_loss(net->plan->config.classes, batch, net->value[output], labels,
                            net->slope[output]);
    for (op = net->plan->op_count; op-- > 0;)
        backward_op(net, op, batch, seed, iteration);
    return loss;
}
