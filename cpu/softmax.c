/*
 * softmax.c - probabilities, and their cross-entropy with the labels.
 */
#include <math.h>
#include <stddef.h>

#include "cpu.h"

typedef struct an_softmax_work {
    uint32_t classes, batch;
    const float *x;
    const int32_t *labels;
    float *dx, *p;
    an_rank *ranks;
    double *loss;
} an_softmax_work;

an_rank an__cpu_rank(const float *x, uint32_t classes, uint32_t label)
{
    an_rank rank = {0, 0};
    uint32_t i;

    for (i = 0; i < classes; i++) {
        rank.greater += x[i] > x[label];
        rank.equal += x[i] == x[label];
    }
    return rank;
}

/* ln of the sum of e^x, in double. A NaN or an infinity anywhere makes it one. */
static double log_sum_exp(const float *x, uint32_t classes)
{
    double sum = 0;
    float max = x[0];
    uint32_t i;

    for (i = 1; i < classes; i++) max = x[i] > max ? x[i] : max;
    for (i = 0; i < classes; i++) sum += exp((double)x[i] - (double)max);
    return (double)max + log(sum);
}

static void softmax_item(uint32_t image, uint32_t worker, void *arg)
{
    const an_softmax_work *s = arg;
    const float *x = s->x + (size_t)image * s->classes;
    float *p = s->p + (size_t)image * s->classes;
    double total = log_sum_exp(x, s->classes);
    uint32_t i;

    (void)worker;
    for (i = 0; i < s->classes; i++) p[i] = (float)exp((double)x[i] - total);
}

an_status an__cpu_softmax(an_queue *q, uint32_t classes, uint32_t batch, an_operand x)
{
    an_softmax_work s = {classes, batch, an__cpu_floats(x), NULL, NULL, an__cpu_floats(x),
                         NULL,    NULL};

    an__cpu_parallel_gradual(q, batch, softmax_item, &s);
    return AN_OK;
}

static void loss_item(uint32_t image, uint32_t worker, void *arg)
{
    const an_softmax_work *s = arg;
    size_t row = (size_t)image * s->classes;
    uint32_t label = (uint32_t)s->labels[image], i;
    double total = log_sum_exp(s->x + row, s->classes);

    (void)worker;
    s->loss[image] = total - (double)s->x[row + label];
    s->ranks[image] = an__cpu_rank(s->x + row, s->classes, label);
    for (i = 0; i < s->classes; i++) { /* x is read before dx may take its place */
        double p = exp((double)s->x[row + i] - total);

        s->dx[row + i] = (float)((p - (i == label)) / s->batch);
    }
}

an_status an__cpu_softmax_loss(an_queue *q, uint32_t classes, uint32_t batch,
                               const an_loss_operands *o)
{
    an_softmax_work s = {classes,
                         batch,
                         an__cpu_floats(o->logits),
                         an__cpu_address(o->labels),
                         an__cpu_floats(o->dx),
                         NULL,
                         an__cpu_address(o->ranks),
                         an__cpu_address(o->losses)};

    an__cpu_parallel(q, batch, loss_item, &s);
    return AN_OK;
}
