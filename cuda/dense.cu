/*
 * dense.cu - dense layers: convolutions of images of one pixel, whose kernel is one tap. The
 * order of a weight's inputs is that of the tensor it reads (device.h), so that nothing moves.
 */
#include "few.h"

static an_conv_shape pixel(const an_dense_shape *s)
{
    an_conv_shape c = {};

    c.in_maps = s->inputs;
    c.out_maps = s->outputs;
    c.in_height = c.in_width = c.out_height = c.out_width = 1;
    c.kernel = c.stride = c.groups = 1;
    c.slabs = s->slabs;
    c.own = s->own;
    c.precision = s->precision;
    c.mask = s->mask;
    return c;
}

size_t an__cuda_dense_scratch(an_device *device, const an_dense_shape *s, uint32_t batch,
                              int training)
{
    an_conv_shape c = pixel(s);

    return an__cuda_conv_scratch(device, &c, batch, training);
}

size_t an__cuda_dense_way(an_device *device, const an_dense_shape *s, uint32_t batch,
                          int training)
{
    (void)device;
    (void)batch;
    (void)training;
    return s->precision == AN_PRECISION_BF16
               ? (size_t)s->inputs * s->outputs * an__cuda_number_bytes(s->precision)
               : 0;
}

an_status an__cuda_dense_pack(an_queue *q, const an_dense_shape *s, const float *w,
                              void *pack)
{
    an_conv_shape c = pixel(s);

    return an__cuda_conv_pack(q, &c, 0, w, (float *)pack);
}

an_status an__cuda_dense_forward(an_queue *q, const an_dense_shape *s, uint32_t batch,
                                 const float *x, const float *w, const void *pack,
                                 const float *b, const an_dropout_shape *drop, float *y)
{
    an_conv_shape c = pixel(s);
    an_finish to = {};

    to.bias = b;
    to.relu = s->relu;
    to.factor = s->factor;
    if (drop != NULL) {
        to.drop = *drop;
        to.step = q->step;
    }
    if (an__cuda_is_few(s, batch))
        return an__cuda_few(q, s, batch, x, pack != NULL ? pack : w, &to, y);
    return an__cuda_forward(q, &c, batch, x, w, pack, &to, s->wide, y);
}

an_status an__cuda_dense_backward_data(an_queue *q, const an_dense_shape *s,
                                       uint32_t batch, const float *w, const void *pack,
                                       const float *dy, const float *x, float *dx)
{
    an_conv_shape c = pixel(s);

    return an__cuda_conv_backward_data(q, &c, batch, w, (const float *)pack, dy, x, dx);
}

an_status an__cuda_dense_backward_weights(an_queue *q, const an_dense_shape *s,
                                          uint32_t batch, const float *x, const float *dy,
                                          float *dw, float *db)
{
    an_conv_shape c = pixel(s);

    return an__cuda_conv_backward_weights(q, &c, batch, x, dy, dw, db);
}

an_status an__cuda_dense_update(an_queue *q, const an_dense_shape *s, uint32_t batch,
                                const float *x, const float *dy,
                                const an_parameter_part *weight, const float *faults)
{
    an_conv_shape c = pixel(s);

    return an__cuda_weight_update(q, &c, batch, x, dy, weight, faults);
}
