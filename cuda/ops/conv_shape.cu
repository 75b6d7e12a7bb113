/*
 * conv_shape.cu - a convolution's shape as that of products, how these are divided, and
 * what they cost.
 */
#include "ops/conv.h"
#include "runtime/space_to_depth.h"

an_divisor an__cuda_divisor(uint32_t d)
{
    an_divisor by = {d, 0, 0};

    while (((uint64_t)1 << by.shift) < d) by.shift++;
    by.factor =
        (uint32_t)((((uint64_t)1 << 32) * (((uint64_t)1 << by.shift) - d)) / d + 1);
    return by;
}

/* --- shapes ------------------------------------------------------------------------ */

/* Taps along a side of the kernel; in a space-to-depth layout, squares. */
static uint32_t taps_of(const an_conv_shape *s)
{
    return s->s2d.side == 0 ? s->kernel : (s->kernel + s->s2d.side - 1) / s->s2d.side;
}

/* The network's input as squares over which the kernel's stride steps, with as many maps
 * as 16-byte copies want. In bfloat16, what would lie across two lines of the second
 * cache, 128 bytes, has one of its own: a window's pixels cost it a look for each
 * line. */
void an__cuda_input_layout(const an_conv_shape *s, an_space_to_depth *s2d)
{
    an_space_to_depth f = {s->stride, s->pad, 0, 0, 0};
    uint32_t taps = (s->kernel + f.side - 1) / f.side;
    uint32_t rows = (s->in_height + f.pad + f.side - 1) / f.side;
    uint32_t columns = (s->in_width + f.pad + f.side - 1) / f.side;

    if (s->in_maps != 3 || s->groups != 1 || s->halves != 1) return;
    f.rows = s->out_height + taps - 1 > rows ? s->out_height + taps - 1 : rows;
    f.columns = s->out_width + taps - 1 > columns ? s->out_width + taps - 1 : columns;
    f.maps = s2d_used(f);
    if (s->precision == AN_PRECISION_BF16 && f.maps > 32 && f.maps < 64) f.maps = 64;
    *s2d = f;
}

an_gemm an__cuda_conv_gemm(const an_conv_shape *s)
{
    bool squares = s->s2d.side != 0;
    an_gemm g = {};

    g.groups = s->groups;
    g.splits = 1;
    g.in_height = squares ? s->s2d.rows : s->in_height;
    g.in_width = squares ? s->s2d.columns : s->in_width;
    g.out_height = s->out_height;
    g.out_width = s->out_width;
    g.kernel = taps_of(s);
    g.stride = squares ? 1 : s->stride;
    g.pad = squares ? 0 : s->pad;
    g.in_pitch = squares ? s->s2d.maps : s->in_maps / s->halves;
    g.out_pitch = s->out_maps;
    g.in_maps = squares ? s2d_used(s->s2d) : g.in_pitch / s->groups;
    g.out_maps = s->out_maps / s->groups;
    g.w_pitch = s->halves * g.kernel * g.kernel * g.in_maps;
    g.in_image = s->halves * g.in_pitch * g.in_height * g.in_width;
    g.out_image = s->out_maps * s->out_height * s->out_width;
    g.by_in_maps = an__cuda_divisor(g.in_maps);
    g.by_out_maps = an__cuda_divisor(g.out_maps);
    g.by_kernel = an__cuda_divisor(g.kernel);
    g.by_stride = an__cuda_divisor(g.stride);
    g.by_width = an__cuda_divisor(s->out_width);
    g.by_pixels = an__cuda_divisor(s->out_height * s->out_width);
    return g;
}

an_status an__cuda_conv_product(an_queue *q, uint32_t precision, an_product kind,
                                an_gemm *g, const char *what)
{
    /* Elements of one half of x and of y, and weights; a gradient or an update of those
     * is float32. */
    double pixels = kind == AN_WEIGHTS ? g->k : g->m;
    double images = pixels / (kind == AN_DATA ? (double)g->in_height * g->in_width
                                              : (double)g->out_height * g->out_width);
    double x = images * g->in_height * g->in_width * g->in_pitch;
    double y = images * g->out_height * g->out_width * g->out_pitch;
    double w = (double)g->groups * g->out_maps * g->kernel * g->kernel * g->in_maps;
    double parts = g->parts == NULL ? 0 : 4.0 * g->groups * g->splits * g->m * g->n;
    double flops = 2.0 * g->groups * g->m * g->n * g->k;
    double *c = kind == AN_FORWARD ? &y : &x;

    g->what = what;
    if (kind != AN_WEIGHTS) *c *= g->parts != NULL ? 0 : g->epilogue.x != NULL ? 2 : 1;
    if (kind != AN_WEIGHTS)
        an__cuda_cost(q, flops, an__cuda_dtype(precision), x + y + w, parts);
    else
        an__cuda_cost(q, flops, an__cuda_dtype(precision), x + y,
                      g->parts != NULL    ? parts
                      : g->faults == NULL ? 4 * w
                                          : (g->updated.prepacked != NULL ? 18 : 16) * w);
    return an__cuda_gemm(q, precision, kind, g);
}

an_status an__cuda_conv_check(an_queue *q, const an_conv_shape *s, uint32_t batch)
{
    an_gemm g = an__cuda_conv_gemm(s);
    uint64_t in = (uint64_t)g.in_image * batch, out = (uint64_t)g.out_image * batch;

    if ((in > out ? in : out) >> 31 == 0) return AN_OK;
    return q->device->host->fail(AN_ERROR_ARGUMENT,
                                 "a batch of %u has too many elements for cuda: %llu",
                                 batch, (unsigned long long)(in > out ? in : out));
}

uint32_t an__cuda_conv_algorithm(an_device *, const an_conv_shape *s, uint32_t,
                                 size_t *bytes)
{
    an_gemm g = an__cuda_conv_gemm(s);

    *bytes = is_packed(s) || s->s2d.side != 0
                 ? (size_t)s->out_maps * g.w_pitch * an__dtype_bytes(conv_dtype(s))
                 : 0;
    return 0;
}

/* --- partial sums ------------------------------------------------------------------ */

uint32_t an__cuda_conv_split(const an_device *device, uint32_t precision, an_product kind,
                             an_gemm *g)
{
    an_split_size size = an__cuda_split_size(device, precision, kind, g);

    g->splits = parts_of(size.tiles, size.fill, g->k);
    g->split_k =
        ((g->k + g->splits - 1) / g->splits + size.depth - 1) / size.depth * size.depth;
    g->splits = (g->k + g->split_k - 1) / g->split_k;
    return g->splits * size.biases;
}

/* Elements of the partial sums, no fewer than those of any smaller batch. */
static size_t parts_elements(const an_gemm *g, uint32_t halves)
{
    const size_t area = 128 * 192; /* of the largest tile */
    size_t all = (size_t)g->groups * g->m * g->n,
           deep = (g->k + AN_CUDA_DEEP - 1) / AN_CUDA_DEEP;
    size_t most = all * (deep < AN_CUDA_BLOCKS ? deep : AN_CUDA_BLOCKS);

    if (most > AN_CUDA_BLOCKS * area) most = AN_CUDA_BLOCKS * area;
    return halves * (halves > 1 && most < all ? all : most);
}

size_t an__cuda_conv_parts_bytes(const an_conv_shape *s, uint32_t batch, int training)
{
    an_gemm g = an__cuda_conv_gemm(s);
    size_t most, elements;

    g.m = batch * s->out_height * s->out_width;
    g.n = g.out_maps;
    g.k = g.kernel * g.kernel * g.in_maps;
    most = parts_elements(&g, s->halves);
    if (training) {
        g.m = batch * s->in_height * s->in_width;
        g.n = g.in_maps;
        g.k = g.kernel * g.kernel * g.out_maps;
        elements = parts_elements(&g, 1);
        if (elements > most) most = elements;
        g.m = g.out_maps;
        g.n = g.kernel * g.kernel * g.in_maps;
        g.k = batch * s->out_height * s->out_width;
        elements = parts_elements(&g, 1);
        if (elements > most) most = elements;
        elements = (size_t)AN_CUDA_BIAS_PARTS * s->out_maps;
        if (elements > most) most = elements;
    }
    return (most * sizeof(float) + 255) / 256 * 256;
}
