/*
 * activation.c - ReLU, tanh and sigmoid, in place; their backward passes need the output
 * alone.
 */
#include "exponential.h"
#include "path.h"

typedef struct an_activation_work {
    size_t count;
    const float *y;
    float *x; /* forward: becomes y; backward: dy, becomes dx */
} an_activation_work;

/* A loop over a chunk of numbers, as a body of items. */
#define BODY(name, expression)                                                           \
    static void name(uint32_t item, uint32_t worker, void *arg)                          \
    {                                                                                    \
        const an_activation_work *a = arg;                                               \
        const float *y = a->y;                                                           \
        float *x = a->x;                                                                 \
        size_t i, end;                                                                   \
                                                                                         \
        (void)worker;                                                                    \
        (void)y;                                                                         \
        for (an__cpu_chunk(a->count, item, &i, &end); i < end; i++) x[i] = (expression); \
    }

BODY(relu_item, x[i] < 0 ? 0 : x[i]) /* a NaN stays one */
BODY(tanh_item, tanh_of(x[i]))
BODY(sigmoid_item, sigmoid_of(x[i]))
BODY(relu_back_item, y[i] > 0 ? x[i] : 0)
BODY(tanh_back_item, x[i] * (1 - y[i] * y[i]))
BODY(sigmoid_back_item, x[i] * (y[i] * (1 - y[i])))

static an_status run(an_queue *q, size_t count, const float *y, float *x, an_body_fn body)
{
    an_activation_work a = {count, y, x};

    an__cpu_parallel(q, an__cpu_chunks(count), body, &a);
    return AN_OK;
}

an_status V(activation_forward)(an_queue *q, uint32_t kind, size_t count, an_operand y)
{
    return run(q, count, NULL, an__cpu_floats(y),
               kind == AN_ACTIVATION_TANH      ? tanh_item
               : kind == AN_ACTIVATION_SIGMOID ? sigmoid_item
                                               : relu_item);
}

an_status V(activation_backward)(an_queue *q, uint32_t kind, size_t count, an_operand y,
                                 an_operand dy)
{
    return run(q, count, an__cpu_floats(y), an__cpu_floats(dy),
               kind == AN_ACTIVATION_TANH      ? tanh_back_item
               : kind == AN_ACTIVATION_SIGMOID ? sigmoid_back_item
                                               : relu_back_item);
}
