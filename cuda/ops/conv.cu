/*
 * conv.cu - convolution as products of gathered images (gemm.h), forward and backward to
 * the data; a dense layer is one of 1 x 1 pixels.
 *
 * Where a product has few tiles, partial sums over parts of k are computed, and a kernel
 * of its own adds them in their order and finishes them. The same is done with the tower
 * halves of joined maps (halves 2), each of which is a product, in an order that lets
 * this tower work while a half is on its way: forward, this tower's own half comes first;
 * backward, the gradient of the other tower's half, for which that one waits.
 */
#include "gemm/epilogue.h"
#include "gemm/pipeline.h"
#include "ops/conv.h"

struct finishing {
    an_gemm g;
    uint32_t count; /* of partial sums, for each element */
    an_divisor by_plane, by_columns;
};

template <class T, an_product PRODUCT> static __global__ void finish_kernel(finishing f)
{
    const an_gemm &g = f.g;
    size_t plane = (size_t)g.m * g.n, all = plane * g.groups;

    for (AN_CUDA_EACH(i, all)) {
        uint32_t group = divide((uint32_t)i, f.by_plane);
        uint32_t place = (uint32_t)i - group * (uint32_t)plane;
        uint32_t m = divide(place, f.by_columns), n = place - m * g.n, at;
        float sum = 0;

#pragma unroll 4
        for (uint32_t p = 0; p < f.count; p++) sum += g.parts[p * all + i];
        at = group_offset<PRODUCT>(g, group) + an_map<PRODUCT>::c_row(g, m) + n;
        sum = finished<T>(g.epilogue, sum, m, group * columns_of<PRODUCT>(g) + n, at);
        if (g.c_float)
            ((float *)g.c)[at] = sum;
        else
            put_element((T *)g.c + at, sum);
    }
}

template <an_product PRODUCT>
static an_status finish(an_queue *q, const an_conv_shape *s, const an_gemm *g,
                        uint32_t parts)
{
    finishing f = {*g, parts, an__cuda_divisor(g->m * g->n), an__cuda_divisor(g->n)};
    double all = (double)g->groups * g->m * g->n;

    an__cuda_cost(q, 0, conv_dtype(s), all * (g->epilogue.x != NULL ? 2 : 1),
                  4 * all * parts);
    return an__cuda_each(q, AN_CUDA_BY_DTYPE_OF(conv_dtype(s), finish_kernel, PRODUCT),
                         (size_t)g->groups * g->m * g->n, f, "a product's sums");
}

/* --- forward ----------------------------------------------------------------------- */

/* Of convolutions and dense layers. */
an_status an__cuda_forward(an_queue *q, const an_conv_shape *s, uint32_t batch,
                           an_operand x, an_operand w, an_operand prepacked,
                           const an_epilogue *to, an_operand y)
{
    an_use use(q->device);
    an_gemm g = an__cuda_conv_gemm(s);
    bool is_prepacked = prepacked.buffer != NULL;
    float *scratch = (float *)q->scratch;
    uint32_t i;

    AN_CUDA_TRY(an__cuda_conv_check(q, s, batch));
    AN_CUDA_TRY(an__cuda_alive(q->device));
    g.m = batch * s->out_height * s->out_width;
    g.n = g.out_maps;
    g.k = g.kernel * g.kernel * g.in_maps;
    g.c = an__cuda_address(y);
    g.epilogue = *to;
    g.c_float = y.dtype == AN_DTYPE_FP32;
    g.rounded = s->precision == AN_PRECISION_TF32 && is_prepacked;
    an__cuda_conv_split(q->device, s->precision, AN_FORWARD, &g);
    if (s->halves == 1) AN_CUDA_TRY(an__cuda_complete_receive(q));
    for (i = 0; i < s->halves; i++) {
        uint32_t half = s->halves == 1 ? 0 : i == 0 ? s->local_half : 1 - s->local_half;

        if (i == 1) AN_CUDA_TRY(an__cuda_complete_receive(q));
        g.a = conv_address(s, x, half * x_half(&g));
        g.b = conv_address(s, is_prepacked ? prepacked : w, half * w_half(&g));
        if (g.splits * s->halves > 1)
            g.parts = scratch + (size_t)half * g.splits * g.groups * g.m * g.n;
        AN_CUDA_TRY(an__cuda_conv_product(q, s->precision, AN_FORWARD, &g, "a product"));
    }
    if (g.parts == NULL) return AN_OK;
    g.parts = scratch;
    return finish<AN_FORWARD>(q, s, &g, g.splits * s->halves);
}

an_status an__cuda_conv_forward(an_queue *q, const an_conv_shape *s, uint32_t batch,
                                an_operand x, an_operand w, an_operand prepacked,
                                an_operand b, an_operand y)
{
    an_epilogue to = {};

    to.bias = an__cuda_floats(b);
    to.relu = s->relu;
    return an__cuda_forward(q, s, batch, x, w, prepacked, &to, y);
}

/* --- backward: the data's gradient ------------------------------------------------- */

/* Of a product whose result is the gradient of a batch's data. */
static void data_sizes(an_gemm *g, const an_conv_shape *s, uint32_t batch)
{
    g->m = batch * s->in_height * s->in_width;
    g->n = s->in_maps / s->halves / s->groups;
    g->k = g->kernel * g->kernel * (s->out_maps / s->groups);
    g->by_width = an__cuda_divisor(s->in_width);
    g->by_pixels = an__cuda_divisor(s->in_height * s->in_width);
}

/* The forward product in which dy and dx have changed places: with rotated weights or, of
 * 1 x 1 pixels, with weights across k. */
static an_gemm turned_gemm(const an_conv_shape *s, uint32_t batch)
{
    an_gemm g = an__cuda_conv_gemm(s), t = g;

    t.in_height = g.out_height;
    t.in_width = g.out_width;
    t.in_maps = g.out_maps;
    t.in_pitch = g.out_pitch;
    t.in_image = g.out_image;
    t.by_in_maps = g.by_out_maps;
    t.out_height = g.in_height;
    t.out_width = g.in_width;
    t.out_maps = g.in_maps;
    t.out_pitch = g.in_pitch;
    t.out_image = g.in_image;
    t.by_out_maps = g.by_in_maps;
    t.pad = g.kernel - 1 - g.pad;
    t.rounded = s->precision == AN_PRECISION_TF32;
    t.across = !is_rotated(s);
    if (!t.across) t.w_pitch = g.kernel * g.kernel * g.out_maps;
    data_sizes(&t, s, batch);
    return t;
}

/* Whether the data's gradient of a dense layer is computed by the pipeline, whose tiles
 * are made for many images. */
static bool is_across(const an_device *device, const an_conv_shape *s, uint32_t batch)
{
    an_gemm g = turned_gemm(s, batch);
    an_pipeline_tiles tiles;

    return batch >= 64 && s->kernel == 1 && s->stride == 1 && s->pad == 0 &&
           s->groups == 1 && s->s2d.side == 0 &&
           an__cuda_pipeline_tiles(device, s->precision, AN_FORWARD, &g, &tiles);
}

an_status an__cuda_conv_backward_data(an_queue *q, const an_conv_shape *s, uint32_t batch,
                                      an_operand w, an_operand prepacked, an_operand dy,
                                      an_operand x, an_operand dx)
{
    an_use use(q->device);
    bool is_prepacked = prepacked.buffer != NULL, rotates = is_prepacked && is_rotated(s),
         is_forward = rotates || (is_prepacked && is_across(q->device, s, batch));
    an_product kind = is_forward ? AN_FORWARD : AN_DATA;
    an_gemm lying = an__cuda_conv_gemm(s), g = is_forward ? turned_gemm(s, batch) : lying;
    an_operand rotated = an__no_operand();
    uint32_t i;

    AN_CUDA_TRY(an__cuda_conv_check(q, s, batch));
    AN_CUDA_TRY(an__cuda_complete_receive(q));
    if (rotates) AN_CUDA_TRY(an__cuda_conv_rotate(q, s, batch, prepacked, &rotated));
    data_sizes(&g, s, batch);
    g.a = an__cuda_address(dy);
    an__cuda_conv_split(q->device, s->precision, kind, &g);
    for (i = 0; i < s->halves; i++) {
        uint32_t half = s->halves == 1 ? 0 : i == 0 ? 1 - s->local_half : s->local_half;

        g.b = rotates
                  ? conv_address(s, rotated, half * (size_t)s->out_maps * w_half(&lying))
                  : conv_address(s, is_prepacked ? prepacked : w, half * w_half(&lying));
        g.c = conv_address(s, dx, half * x_half(&lying));
        if (s->mask != 0) g.epilogue.x = conv_address(s, x, half * x_half(&lying));
        g.epilogue.mask = s->mask;
        if (g.splits > 1) g.parts = (float *)q->scratch;
        AN_CUDA_TRY(
            an__cuda_conv_product(q, s->precision, kind, &g, "a product for the data"));
        if (g.splits > 1)
            AN_CUDA_TRY(is_forward ? finish<AN_FORWARD>(q, s, &g, g.splits)
                                   : finish<AN_DATA>(q, s, &g, g.splits));
        if (s->halves == 2 && i == 0) AN_CUDA_TRY(an__cuda_early(q, g.c));
    }
    return AN_OK;
}
