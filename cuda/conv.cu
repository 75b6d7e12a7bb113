/*
 * conv.cu - convolution as products of gathered images (gemm.h), forward and both ways back;
 * a dense layer is one of 1 x 1 pixels.
 *
 * Of joined maps (slabs 2) the products of the two halves are computed one after the other,
 * in an order that lets this tower work while a half is on its way: forward its own half
 * first; back the other's gradient first, which the other tower waits for.
 */
#include "gemm.h"
#include "ptx.h"

an_divisor an__cuda_divisor(uint32_t d)
{
    an_divisor by = {d, 0, 0};

    while (((uint64_t)1 << by.shift) < d) by.shift++;
    by.factor =
        (uint32_t)((((uint64_t)1 << 32) * (((uint64_t)1 << by.shift) - d)) / d + 1);
    return by;
}

/* --- shapes --------------------------------------------------------------------------------- */

/* What the three products have in common. */
static an_gemm gemm_of(const an_conv_shape *s)
{
    an_gemm g = {};

    g.groups = s->groups;
    g.splits = 1;
    g.in_height = s->in_height;
    g.in_width = s->in_width;
    g.out_height = s->out_height;
    g.out_width = s->out_width;
    g.kernel = s->kernel;
    g.stride = s->stride;
    g.pad = s->pad;
    g.in_pitch = s->in_maps / s->slabs;
    g.out_pitch = s->out_maps;
    g.in_maps = g.in_pitch / s->groups;
    g.out_maps = s->out_maps / s->groups;
    g.w_pitch = s->slabs * s->kernel * s->kernel * g.in_maps;
    g.in_image = (size_t)s->in_maps * s->in_height * s->in_width;
    g.out_image = (size_t)s->out_maps * s->out_height * s->out_width;
    g.by_in_maps = an__cuda_divisor(g.in_maps);
    g.by_out_maps = an__cuda_divisor(g.out_maps);
    g.by_kernel = an__cuda_divisor(s->kernel);
    g.by_stride = an__cuda_divisor(s->stride);
    g.by_width = an__cuda_divisor(s->out_width);
    g.by_pixels = an__cuda_divisor(s->out_height * s->out_width);
    return g;
}

/* Numbers from one half to the other, of x and of a row of w. */
static size_t x_slab(const an_gemm *g)
{
    return (size_t)g->in_height * g->in_width * g->in_pitch;
}

static size_t w_slab(const an_gemm *g)
{
    return (size_t)g->kernel * g->kernel * g->in_maps;
}

static an_status product(an_queue *q, uint32_t precision, an_product kind,
                         const an_gemm *g)
{
    if (precision == AN_PRECISION_BF16) return an__cuda_gemm_bf16(q, kind, g);
    if (precision == AN_PRECISION_TF32) return an__cuda_gemm_tf32(q, kind, g);
    return an__cuda_gemm_fp32(q, kind, g);
}

/* Row numbers are below 2^31, as divide() wants them. */
static an_status batch_check(an_queue *q, const an_conv_shape *s, uint32_t batch)
{
    uint64_t in = (uint64_t)s->in_height * s->in_width * batch;
    uint64_t out = (uint64_t)s->out_height * s->out_width * batch;

    if ((in > out ? in : out) >> 31 == 0) return AN_OK;
    return q->device->host->fail(AN_ERROR_ARGUMENT,
                                 "a batch of %u has too many pixels for cuda: %llu",
                                 batch, (unsigned long long)(in > out ? in : out));
}

/* --- forward -------------------------------------------------------------------------------- */

an_status an__cuda_conv_forward(an_queue *q, const an_conv_shape *s, uint32_t batch,
                                const float *x, const float *w, const float *pack,
                                const float *b, float *y)
{
    an_use use(q->device);
    an_gemm g = gemm_of(s);
    uint32_t i;

    (void)pack;
    AN_CUDA_TRY(batch_check(q, s, batch));
    AN_CUDA_TRY(an__cuda_alive(q->device));
    g.m = batch * s->out_height * s->out_width;
    g.n = g.out_maps;
    g.k = g.split_k = s->kernel * s->kernel * g.in_maps;
    g.c = y;
    g.bias = b;
    if (s->slabs == 1) AN_CUDA_TRY(an__cuda_settle(q));
    for (i = 0; i < s->slabs; i++) {
        uint32_t slab = s->slabs == 1 ? 0 : i == 0 ? s->own : 1 - s->own;

        if (i == 1) AN_CUDA_TRY(an__cuda_settle(q));
        g.a = x + slab * x_slab(&g);
        g.b = w + slab * w_slab(&g);
        AN_CUDA_TRY(product(q, s->precision, AN_FORWARD, &g));
        g.accumulate = 1;
        g.bias = NULL;
    }
    return AN_OK;
}

/* --- back to the data ------------------------------------------------------------------------ */

an_status an__cuda_conv_backward_data(an_queue *q, const an_conv_shape *s, uint32_t batch,
                                      const float *w, const float *dy, float *dx)
{
    an_use use(q->device);
    an_gemm g = gemm_of(s);
    uint32_t i;

    AN_CUDA_TRY(batch_check(q, s, batch));
    AN_CUDA_TRY(an__cuda_settle(q));
    g.m = batch * s->in_height * s->in_width;
    g.n = g.in_maps;
    g.k = g.split_k = s->kernel * s->kernel * g.out_maps;
    g.a = dy;
    g.by_width = an__cuda_divisor(s->in_width);
    g.by_pixels = an__cuda_divisor(s->in_height * s->in_width);
    for (i = 0; i < s->slabs; i++) {
        uint32_t slab = s->slabs == 1 ? 0 : i == 0 ? 1 - s->own : s->own;

        g.b = w + slab * w_slab(&g);
        g.c = dx + slab * x_slab(&g);
        AN_CUDA_TRY(product(q, s->precision, AN_DATA, &g));
        if (s->slabs == 2 && i == 0) AN_CUDA_TRY(an__cuda_early(q, g.c));
    }
    return AN_OK;
}

/* --- back to the weights ---------------------------------------------------------------------- */

/* Sums of parts: out[i] = sum over p of parts[p][i], in that order. */
struct adding {
    const float *parts;
    float *out;
    size_t count, row, pitch; /* out: rows of `row` numbers, `pitch` apart */
    uint32_t parts_count;
};

static __global__ void add_parts(adding a)
{
    for (AN_CUDA_EACH(i, a.count)) {
        float sum = 0;

        for (uint32_t p = 0; p < a.parts_count; p++) sum += a.parts[p * a.count + i];
        a.out[i / a.row * a.pitch + i % a.row] = sum;
    }
}

/* Blocks that fill a large device twice over. The same for every device, so that the order of
 * sums, and with it their bits, is as well. */
#define BLOCKS 264

/* Parts of k for a sum over all pixels of a batch: few tiles would leave the device idle. */
static uint32_t splits_of(const an_gemm *g, uint32_t k)
{
    uint32_t tile = g->m <= 64 || g->n <= 64 ? 64 : 128;
    uint64_t tiles =
        (uint64_t)((g->m + tile - 1) / tile) * ((g->n + tile - 1) / tile) * g->groups;
    uint64_t most = tiles >= BLOCKS ? 1 : BLOCKS / tiles, deep = (k + 511) / 512;

    return (uint32_t)(most < deep ? most : deep);
}

#define BIAS_PARTS 64u /* of the pixels, at most */

size_t an__cuda_conv_scratch(an_device *device, const an_conv_shape *s, uint32_t batch,
                             int training)
{
    an_gemm g = gemm_of(s);
    size_t splits, weights, biases = (size_t)BIAS_PARTS * s->out_maps;

    (void)device;
    (void)batch;
    if (!training) return 0;
    g.m = g.out_maps;
    g.n = s->kernel * s->kernel * g.in_maps;
    splits = splits_of(&g, UINT32_MAX - 511);
    weights = splits == 1 ? 0 : splits * g.groups * g.m * g.n;
    return (weights > biases ? weights : biases) * sizeof(float);
}

/* A block sums 32 maps of one part of the pixels. */
struct bias_sums {
    const float *dy;
    float *parts; /* [part][maps] */
    uint32_t pixels, maps, part;
};

static __global__ void bias_kernel(bias_sums s)
{
    float *sums = (float *)shared_memory(); /* [8][32] */
    uint32_t lane = threadIdx.x % 32, row = threadIdx.x / 32,
             map = blockIdx.x * 32 + lane;
    uint32_t first = blockIdx.y * s.part;
    uint32_t end = first + s.part < s.pixels ? first + s.part : s.pixels;
    float sum = 0;

    if (map < s.maps)
        for (uint32_t p = first + row; p < end; p += 8)
            sum += s.dy[(size_t)p * s.maps + map];
    sums[row * 32 + lane] = sum;
    __syncthreads();
    if (row > 0 || map >= s.maps) return;
    sum = 0;
    for (uint32_t i = 0; i < 8; i++) sum += sums[i * 32 + lane];
    s.parts[(size_t)blockIdx.y * s.maps + map] = sum;
}

static an_status bias_gradient(an_queue *q, const an_conv_shape *s, uint32_t batch,
                               const float *dy, float *db)
{
    uint32_t pixels = batch * s->out_height * s->out_width;
    uint32_t parts =
        (pixels + 255) / 256 < BIAS_PARTS ? (pixels + 255) / 256 : BIAS_PARTS;
    bias_sums sums = {dy, (float *)q->scratch, pixels, s->out_maps,
                      (pixels + parts - 1) / parts};
    adding add = {sums.parts, db, s->out_maps, s->out_maps, s->out_maps, parts};

    AN_CUDA_TRY(an__cuda_launch(q, bias_kernel, dim3((s->out_maps + 31) / 32, parts),
                                dim3(256), 256 * sizeof(float), sums,
                                "a bias's gradient"));
    return an__cuda_each(q, add_parts, add.count, add, "a bias's gradient");
}

static an_status weight_gradient(an_queue *q, const an_conv_shape *s, an_gemm *g,
                                 float *dw)
{
    size_t all = (size_t)g->groups * g->m * g->n;
    adding add = {(const float *)q->scratch, dw, all, g->n, g->w_pitch, 0};

    g->splits = splits_of(g, g->k);
    g->split_k = (g->k + g->splits - 1) / g->splits;
    g->split_k = (g->split_k + 31) / 32 * 32;
    g->splits = add.parts_count = (g->k + g->split_k - 1) / g->split_k;
    g->c = g->splits > 1 ? (float *)q->scratch : dw;
    AN_CUDA_TRY(product(q, s->precision, AN_WEIGHTS, g));
    if (g->splits == 1) return AN_OK;
    return an__cuda_each(q, add_parts, all, add, "a weight's gradient");
}

an_status an__cuda_conv_backward_weights(an_queue *q, const an_conv_shape *s,
                                         uint32_t batch, const float *x, const float *dy,
                                         float *dw, float *db)
{
    an_use use(q->device);
    an_gemm g = gemm_of(s);
    uint32_t slab;

    AN_CUDA_TRY(batch_check(q, s, batch));
    AN_CUDA_TRY(an__cuda_settle(q));
    g.m = g.out_maps;
    g.n = s->kernel * s->kernel * g.in_maps;
    g.k = batch * s->out_height * s->out_width;
    g.a = dy;
    for (slab = 0; slab < s->slabs; slab++) {
        g.b = x + slab * x_slab(&g);
        AN_CUDA_TRY(weight_gradient(q, s, &g, dw + slab * w_slab(&g)));
    }
    return bias_gradient(q, s, batch, dy, db);
}
