/*
 * softmax.c - probabilities, and their cross-entropy with the labels.
 */
#include "exponential.h"
#include "path.h"

typedef struct an_softmax_work {
    uint32_t classes, batch;
    const float *x;
    const int32_t *labels;
    float *dx, *p;
    an_rank *ranks;
    double *loss;
} an_softmax_work;

static float largest(const float *x, uint32_t count)
{
    float part[VL], most;
    uint32_t i, k;

    for (k = 0; k < VL; k++) part[k] = x[0];
    for (i = 0; i + VL <= count; i += VL)
        for (k = 0; k < VL; k++) part[k] = x[i + k] > part[k] ? x[i + k] : part[k];
    for (k = 0; i + k < count; k++) part[k] = x[i + k] > part[k] ? x[i + k] : part[k];
    for (most = part[0], k = 1; k < VL; k++) most = part[k] > most ? part[k] : most;
    return most;
}

/* e[i] = e^(x[i] - most); returns their sum, in double. x and e may be the same. */
static double exponentials(const float *x, uint32_t count, float most, float *e)
{
    double part[VL] = {0}, sum = 0, y;
    uint32_t i, k;

    for (i = 0; i + VL <= count; i += VL)
        for (k = 0; k < VL; k++) {
            y = exp_below_0((double)x[i + k] - (double)most);
            e[i + k] = (float)y;
            part[k] += y;
        }
    for (k = 0; i + k < count; k++) {
        y = exp_below_0((double)x[i + k] - (double)most);
        e[i + k] = (float)y;
        part[k] += y;
    }
    for (k = 0; k < VL; k++) sum += part[k];
    return sum;
}

static void softmax_item(uint32_t image, uint32_t worker, void *arg)
{
    const an_softmax_work *s = arg;
    float *p = s->p + (size_t)image * s->classes, factor;
    uint32_t i;

    (void)worker;
    factor = (float)(1 / exponentials(p, s->classes, largest(p, s->classes), p));
    for (i = 0; i < s->classes; i++) p[i] *= factor;
}

an_status V(softmax)(an_queue *q, uint32_t classes, uint32_t batch, an_operand x)
{
    an_softmax_work s = {classes, batch, NULL, NULL, NULL, an__cpu_floats(x), NULL, NULL};

    an__cpu_parallel_gradual(q, batch, softmax_item, &s);
    return AN_OK;
}

/* x is read before dx takes its place. The label's slope, p - 1, is where digits could be
 * lost: that is computed in double. */
static void loss_item(uint32_t image, uint32_t worker, void *arg)
{
    const an_softmax_work *s = arg;
    size_t row = (size_t)image * s->classes;
    const float *x = s->x + row;
    float *dx = s->dx + row, most = largest(x, s->classes), dx_factor;
    uint32_t label = (uint32_t)s->labels[image], i;
    double below = (double)x[label] - (double)most, sum;

    (void)worker;
    s->ranks[image] = an__cpu_rank(x, s->classes, label);
    sum = exponentials(x, s->classes, most, dx);
    s->loss[image] = log(sum) - below;
    dx_factor = (float)(1 / (sum * s->batch));
    for (i = 0; i < s->classes; i++) dx[i] *= dx_factor;
    dx[label] = (float)((exp_below_0(below) / sum - 1) / s->batch);
}

an_status V(softmax_loss)(an_queue *q, uint32_t classes, uint32_t batch,
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
