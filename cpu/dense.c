/*
 * dense.c - fully connected layers: y [batch][outputs] = x [batch][inputs] * w^T + b,
 * with w [outputs][inputs].
 */
#include <string.h>

#include "cpu.h"

#define OUTPUTS 128u /* of one item */
#define INPUTS 512u

typedef struct an_dense_work {
    const an_dense_shape *s;
    uint32_t batch;
    const float *x, *w, *b, *dy;
    float *y, *dx, *dw, *db;
} an_dense_work;

static an_dense_work work_of(const an_dense_shape *s, uint32_t batch)
{
    an_dense_work d;

    memset(&d, 0, sizeof d);
    d.s = s;
    d.batch = batch;
    return d;
}

static uint32_t blocks(uint32_t count, uint32_t size)
{
    return (count + size - 1) / size;
}

static uint32_t block_size(uint32_t count, uint32_t first, uint32_t size)
{
    return count - first < size ? count - first : size;
}

static void forward_item(uint32_t item, uint32_t worker, void *arg)
{
    const an_dense_work *d = arg;
    uint32_t first = item * OUTPUTS, count = block_size(d->s->outputs, first, OUTPUTS);
    uint32_t image, i;
    an_gemm g;

    (void)worker;
    g.m = d->batch;
    g.n = count;
    g.k = d->s->inputs;
    g.a = d->x;
    g.lda = d->s->inputs;
    g.b = d->w + (size_t)first * d->s->inputs;
    g.ldb = d->s->inputs;
    g.c = d->y + first;
    g.ldc = d->s->outputs;
    g.ta = g.add = 0;
    g.tb = 1;
    an__cpu_gemm(&g);
    for (image = 0; image < d->batch; image++)
        for (i = 0; i < count; i++)
            d->y[(size_t)image * d->s->outputs + first + i] += d->b[first + i];
}

an_status an__cpu_dense_forward(an_queue *q, const an_dense_shape *s, uint32_t batch,
                                an_operand x, an_operand w, an_operand prepacked,
                                an_operand b, const an_dropout_shape *dropout,
                                an_operand y)
{
    an_dense_work d = work_of(s, batch);

    (void)dropout;
    (void)prepacked;
    d.x = an__cpu_floats(x);
    d.w = an__cpu_floats(w);
    d.b = an__cpu_floats(b);
    d.y = an__cpu_floats(y);
    an__cpu_parallel(q, blocks(s->outputs, OUTPUTS), forward_item, &d);
    return AN_OK;
}

static void data_item(uint32_t item, uint32_t worker, void *arg)
{
    const an_dense_work *d = arg;
    uint32_t first = item * INPUTS;
    an_gemm g;

    (void)worker;
    g.m = d->batch;
    g.n = block_size(d->s->inputs, first, INPUTS);
    g.k = d->s->outputs;
    g.a = d->dy;
    g.lda = d->s->outputs;
    g.b = d->w + first;
    g.ldb = d->s->inputs;
    g.c = d->dx + first;
    g.ldc = d->s->inputs;
    g.ta = g.tb = g.add = 0;
    an__cpu_gemm(&g);
}

an_status an__cpu_dense_backward_data(an_queue *q, const an_dense_shape *s,
                                      uint32_t batch, an_operand w, an_operand prepacked,
                                      an_operand dy, an_operand x, an_operand dx)
{
    an_dense_work d = work_of(s, batch);

    (void)prepacked;
    (void)x;
    d.w = an__cpu_floats(w);
    d.dy = an__cpu_floats(dy);
    d.dx = an__cpu_floats(dx);
    an__cpu_parallel(q, blocks(s->inputs, INPUTS), data_item, &d);
    return AN_OK;
}

static void weights_item(uint32_t item, uint32_t worker, void *arg)
{
    const an_dense_work *d = arg;
    uint32_t first = item * OUTPUTS, count = block_size(d->s->outputs, first, OUTPUTS);
    uint32_t image, i;
    an_gemm g;

    (void)worker;
    g.m = count;
    g.n = d->s->inputs;
    g.k = d->batch;
    g.a = d->dy + first;
    g.lda = d->s->outputs;
    g.b = d->x;
    g.ldb = d->s->inputs;
    g.c = d->dw + (size_t)first * d->s->inputs;
    g.ldc = d->s->inputs;
    g.ta = 1;
    g.tb = g.add = 0;
    an__cpu_gemm(&g);
    for (i = first; i < first + count; i++) {
        double sum = 0;

        for (image = 0; image < d->batch; image++)
            sum += (double)d->dy[(size_t)image * d->s->outputs + i];
        d->db[i] = (float)sum;
    }
}

an_status an__cpu_dense_backward_weights(an_queue *q, const an_dense_shape *s,
                                         uint32_t batch, an_operand x, an_operand dy,
                                         an_operand dw, an_operand db)
{
    an_dense_work d = work_of(s, batch);

    d.x = an__cpu_floats(x);
    d.dy = an__cpu_floats(dy);
    d.dw = an__cpu_floats(dw);
    d.db = an__cpu_floats(db);
    an__cpu_parallel(q, blocks(s->outputs, OUTPUTS), weights_item, &d);
    return AN_OK;
}
