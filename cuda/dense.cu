/*
 * dense.cu - dense layers: convolutions of images of one pixel, whose kernel is one tap. The
 * order of a weight's inputs is that of the tensor it reads (cuda.h), so that nothing moves.
 */
#include "cuda.h"

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
    return c;
}

size_t an__cuda_dense_scratch(an_device *device, const an_dense_shape *s, uint32_t batch,
                              int training)
{
    an_conv_shape c = pixel(s);

    return an__cuda_conv_scratch(device, &c, batch, training);
}

an_status an__cuda_dense_forward(an_queue *q, const an_dense_shape *s, uint32_t batch,
                                 const float *x, const float *w, const void *pack,
                                 const float *b, float *y)
{
    an_conv_shape c = pixel(s);

    (void)pack;
    return an__cuda_conv_forward(q, &c, batch, x, w, NULL, b, y);
}

an_status an__cuda_dense_backward_data(an_queue *q, const an_dense_shape *s,
                                       uint32_t batch, const float *w, const float *dy,
                                       float *dx)
{
    an_conv_shape c = pixel(s);

    return an__cuda_conv_backward_data(q, &c, batch, w, dy, dx);
}

an_status an__cuda_dense_backward_weights(an_queue *q, const an_dense_shape *s,
                                          uint32_t batch, const float *x, const float *dy,
                                          float *dw, float *db)
{
    an_conv_shape c = pixel(s);

    return an__cuda_conv_backward_weights(q, &c, batch, x, dy, dw, db);
}
