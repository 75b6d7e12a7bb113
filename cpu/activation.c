/*
 * activation.c - ReLU, tanh and sigmoid, in place; their backward passes need the output
 * alone.
 */
#include <math.h>

#include "cpu.h"

typedef struct an_activation_work {
    uint32_t kind;
    size_t count;
    const float *y;
    float *x; /* forward: becomes y; backward: dy, becomes dx */
} an_activation_work;

static void forward_item(uint32_t item, uint32_t worker, void *arg)
{
    const an_activation_work *a = arg;
    float *x = a->x;
    size_t i, end;

    (void)worker;
    an__cpu_chunk(a->count, item, &i, &end);
    switch (a->kind) {
    case AN_ACTIVATION_TANH:
        for (; i < end; i++) x[i] = tanhf(x[i]);
        break;
    case AN_ACTIVATION_SIGMOID:
        for (; i < end; i++) x[i] = 1 / (1 + expf(-x[i]));
        break;
    default: /* written so that a NaN stays one */
        for (; i < end; i++) x[i] = x[i] < 0 ? 0 : x[i];
        break;
    }
}

an_status an__cpu_activation_forward(an_queue *q, uint32_t kind, size_t count,
                                     an_operand y)
{
    an_activation_work a = {kind, count, NULL, an__cpu_floats(y)};

    an__cpu_parallel(q, an__cpu_chunks(count), forward_item, &a);
    return AN_OK;
}

static void backward_item(uint32_t item, uint32_t worker, void *arg)
{
    const an_activation_work *a = arg;
    const float *y = a->y;
    float *x = a->x;
    size_t i, end;

    (void)worker;
    an__cpu_chunk(a->count, item, &i, &end);
    switch (a->kind) {
    case AN_ACTIVATION_TANH:
        for (; i < end; i++) x[i] *= 1 - y[i] * y[i];
        break;
    case AN_ACTIVATION_SIGMOID:
        for (; i < end; i++) x[i] *= y[i] * (1 - y[i]);
        break;
    default:
        for (; i < end; i++) x[i] = y[i] > 0 ? x[i] : 0;
        break;
    }
}

an_status an__cpu_activation_backward(an_queue *q, uint32_t kind, size_t count,
                                      an_operand y, an_operand dy)
{
    an_activation_work a = {kind, count, an__cpu_floats(y), an__cpu_floats(dy)};

    an__cpu_parallel(q, an__cpu_chunks(count), backward_item, &a);
    return AN_OK;
}
