/*
 * dense.cu - dense layers, which are convolutions of images of one pixel by kernels of
 * one tap. The order of a weight's inputs is that of the tensor it reads (device.h), so
 * that nothing moves.
 */
#include "gemm/few.h"

static an_conv_shape pixel(const an_dense_shape *s)
{
    an_conv_shape c = {};

    c.in_maps = s->inputs;
    c.out_maps = s->outputs;
    c.in_height = c.in_width = c.out_height = c.out_width = 1;
    c.kernel = c.stride = c.groups = 1;
    c.halves = s->halves;
    c.local_half = s->local_half;
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

/* The prepacked weights of a dense layer are a bfloat16 copy, in the same order. */
size_t an__cuda_dense_prepack_bytes(an_device *, const an_dense_shape *s, uint32_t, int)
{
    return s->precision == AN_PRECISION_BF16
               ? (size_t)s->inputs * s->outputs * an__dtype_bytes(AN_DTYPE_BF16)
               : 0;
}

an_status an__cuda_dense_prepack(an_queue *q, const an_dense_shape *s, an_operand w,
                                 an_operand prepacked)
{
    an_conv_shape c = pixel(s);

    return an__cuda_conv_prepack(q, &c, 0, w, prepacked);
}

an_status an__cuda_dense_forward(an_queue *q, const an_dense_shape *s, uint32_t batch,
                                 an_operand x, an_operand w, an_operand prepacked,
                                 an_operand b, const an_dropout_shape *dropout,
                                 an_operand y)
{
    an_conv_shape c = pixel(s);
    an_epilogue to = {};

    to.bias = an__cuda_floats(b);
    to.relu = s->relu;
    to.factor = s->factor;
    if (dropout != NULL) {
        to.drop = *dropout;
        to.step = q->step;
    }
    if (an__cuda_is_few(s, batch))
        return an__cuda_few(q, s, batch, x, prepacked.buffer != NULL ? prepacked : w, &to,
                            y);
    return an__cuda_forward(q, &c, batch, x, w, prepacked, &to, y);
}

an_status an__cuda_dense_backward_data(an_queue *q, const an_dense_shape *s,
                                       uint32_t batch, an_operand w, an_operand prepacked,
                                       an_operand dy, an_operand x, an_operand dx)
{
    an_conv_shape c = pixel(s);

    return an__cuda_conv_backward_data(q, &c, batch, w, prepacked, dy, x, dx);
}

an_status an__cuda_dense_backward_weights(an_queue *q, const an_dense_shape *s,
                                          uint32_t batch, an_operand x, an_operand dy,
                                          an_operand dw, an_operand db)
{
    an_conv_shape c = pixel(s);

    return an__cuda_conv_backward_weights(q, &c, batch, x, dy, dw, db);
}

an_status an__cuda_dense_update(an_queue *q, const an_dense_shape *s, uint32_t batch,
                                an_operand x, an_operand dy,
                                const an_parameter_part *weight, an_operand faults)
{
    an_conv_shape c = pixel(s);

    return an__cuda_weight_update(q, &c, batch, x, dy, weight, faults);
}
