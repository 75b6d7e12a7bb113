/*
 * conv_weights.cu - the gradients of a convolution's weights and biases, and updates by
 * the former; the scratch memory of all of convolution.
 */
#include "ops/conv.h"
#include "runtime/element.h"
#include "runtime/space_to_depth.h"

/* out[i] = sum over p of parts[p][i], in that order. */
struct adding {
    const float *parts;
    float *out;
    size_t count, pitch; /* out: rows of by_row.d elements, so far apart */
    an_divisor by_row;
    uint32_t parts_count;
    uint32_t kernel, taps; /* of weights in a space-to-depth layout */
    an_space_to_depth s2d;
};

static __global__ void add_parts(adding a)
{
    for (AN_CUDA_EACH(i, a.count)) {
        uint32_t row = divide((uint32_t)i, a.by_row);
        size_t to = row * a.pitch + i - row * a.by_row.d;
        float sum = 0;

        if (a.s2d.side != 0 &&
            !s2d_weight_place(a.kernel, a.taps, a.s2d, (uint32_t)i, &to))
            continue;
#pragma unroll 4
        for (uint32_t p = 0; p < a.parts_count; p++) sum += a.parts[p * a.count + i];
        a.out[to] = sum;
    }
}

/* The products for the weights of a batch. */
static an_gemm weights_gemm(const an_conv_shape *s, uint32_t batch)
{
    an_gemm g = an__cuda_conv_gemm(s);

    g.m = g.out_maps;
    g.n = g.kernel * g.kernel * g.in_maps;
    g.k = batch * s->out_height * s->out_width;
    return g;
}

/* What lies behind the partial sums: rotated weights, then partial sums of the bias's
 * gradient, of which a part of k has a row for each row of tiles. All parts together have
 * no more tiles than fill a device, unless there is but one part. */
size_t an__cuda_conv_scratch(an_device *device, const an_conv_shape *s, uint32_t batch,
                             int training)
{
    an_gemm g = weights_gemm(s, batch);
    size_t parts = an__cuda_conv_parts_bytes(s, batch, training), rotated = 0, biases;

    if (!training) return parts;
    if (is_rotated(s))
        rotated = (size_t)s->out_maps * g.w_pitch * an__dtype_bytes(conv_dtype(s));
    biases = an__cuda_split_size(device, s->precision, AN_WEIGHTS, &g).biases;
    if (biases > 0 && biases < AN_CUDA_BLOCKS) biases = AN_CUDA_BLOCKS;
    biases *= s->out_maps * sizeof(float);
    return parts + (rotated > biases ? rotated : biases);
}

/* A block adds the pixels of one part: a thread those of one row, for V maps, and then
 * some threads the rows. */
struct bias_sums {
    const void *dy;
    float *parts; /* [part][maps] */
    uint32_t pixels, maps, part;
    uint32_t pieces, rows; /* threads beside each other, and below */
};

template <class T, int V> static __global__ void bias_kernel(bias_sums s)
{
    float *sums = (float *)shared_memory(); /* [rows][pieces * V] */
    uint32_t piece = threadIdx.x % s.pieces, row = threadIdx.x / s.pieces;
    uint32_t map = (blockIdx.x * s.pieces + piece) * V, first = blockIdx.y * s.part;
    uint32_t end = first + s.part < s.pixels ? first + s.part : s.pixels;
    float sum[V];

#pragma unroll
    for (int i = 0; i < V; i++) sum[i] = 0;
    if (row < s.rows && map < s.maps)
#pragma unroll 8
        for (uint32_t p = first + row; p < end; p += s.rows) {
            float v[V];

            get_elements((const T *)s.dy + (size_t)p * s.maps + map, v);
#pragma unroll
            for (int i = 0; i < V; i++) sum[i] += v[i];
        }
    if (row < s.rows) put_elements(sums + (row * s.pieces + piece) * V, sum);
    __syncthreads();
    for (uint32_t i = threadIdx.x; i < s.pieces * V; i += blockDim.x) {
        uint32_t at = blockIdx.x * s.pieces * V + i;
        float all = 0;

        if (at >= s.maps) break;
        for (uint32_t r = 0; r < s.rows; r++) all += sums[r * s.pieces * V + i];
        s.parts[(size_t)blockIdx.y * s.maps + at] = all;
    }
}

/* A block adds the partial sums of 8 maps: each of 32 rows of threads some of them, and
 * then the first row those sums. */
struct bias_parts {
    const float *parts; /* [part][maps] */
    float *out;
    uint32_t count, maps;
};

static __global__ void add_bias_parts(bias_parts b)
{
    float *sums = (float *)shared_memory(); /* [32][8] */
    uint32_t row = threadIdx.x / 8, map = blockIdx.x * 8 + threadIdx.x % 8;
    float sum = 0;

    if (map < b.maps)
#pragma unroll 8
        for (uint32_t p = row; p < b.count; p += 32)
            sum += b.parts[(size_t)p * b.maps + map];
    sums[threadIdx.x] = sum;
    __syncthreads();
    if (row > 0 || map >= b.maps) return;
    for (uint32_t r = 1; r < 32; r++) sum += sums[r * 8 + threadIdx.x];
    b.out[map] = sum;
}

/* Where partial sums lie that come with those of the weights. */
static float *bias_parts_at(an_queue *q, const an_conv_shape *s, uint32_t batch)
{
    return (float *)((char *)q->scratch + an__cuda_conv_parts_bytes(s, batch, 1));
}

/* db, from so many partial sums. */
static an_status add_biases(an_queue *q, const an_conv_shape *s, const float *parts,
                            uint32_t count, an_operand db)
{
    bias_parts add = {parts, an__cuda_floats(db), count, s->out_maps};

    an__cuda_cost(q, 0, AN_DTYPE_FP32, (double)count * s->out_maps, 0);
    return an__cuda_launch(q, add_bias_parts, dim3((s->out_maps + 7) / 8), dim3(256),
                           256 * sizeof(float), add, "a bias's gradient");
}

static an_status bias_gradient(an_queue *q, const an_conv_shape *s, uint32_t batch,
                               an_operand dy, an_operand db)
{
    uint32_t pixels = batch * s->out_height * s->out_width;
    uint32_t parts = (pixels + 127) / 128 < AN_CUDA_BIAS_PARTS ? (pixels + 127) / 128
                                                               : AN_CUDA_BIAS_PARTS;
    uint32_t width = s->out_maps % 8 == 0 ? 8 : 1, all = s->out_maps / width;
    /* Few pieces beside each other, so that there are many rows and blocks: more loads
     * are in flight. */
    uint32_t pieces = all % 8 == 0 || all > 64 ? 8 : all < 4 ? all : 4;
    bias_sums sums = {an__cuda_address(dy),
                      parts > 1 ? (float *)q->scratch : an__cuda_floats(db),
                      pixels,
                      s->out_maps,
                      (pixels + parts - 1) / parts,
                      pieces,
                      AN_CUDA_THREADS / pieces};

    an__cuda_cost(q, 0, conv_dtype(s), (double)pixels * s->out_maps, 0);
    AN_CUDA_TRY(an__cuda_launch(
        q,
        width == 8 ? AN_CUDA_BY_DTYPE_OF(conv_dtype(s), bias_kernel, 8)
                   : AN_CUDA_BY_DTYPE_OF(conv_dtype(s), bias_kernel, 1),
        dim3((all + pieces - 1) / pieces, parts), dim3(AN_CUDA_THREADS),
        (size_t)sums.rows * pieces * width * sizeof(float), sums, "a bias's gradient"));
    return parts == 1 ? AN_OK : add_biases(q, s, sums.parts, parts, db);
}

/* The gradient of weights, to dw; or, where `to` is not null, to what it updates.
 * Partial sums of the bias's gradient may come with it: *biases of them, behind those of
 * the weights'. */
static an_status weights(an_queue *q, const an_conv_shape *s, uint32_t batch,
                         an_operand x, an_operand dy, an_operand dw,
                         const an_parameter_part *to, an_operand faults, uint32_t *biases)
{
    an_gemm g = weights_gemm(s, batch);
    uint32_t half;

    *biases = 0;
    g.a = an__cuda_address(dy);
    if (to != NULL) {
        g.split_k = (g.k + 63) / 64 * 64;
        g.faults = an__cuda_floats(faults);
        g.step = q->step;
    } else {
        *biases = an__cuda_conv_split(q->device, s->precision, AN_WEIGHTS, &g);
        if (g.splits > 1 || s->s2d.side != 0) g.parts = (float *)q->scratch;
        if (*biases > 0) g.bias_parts = bias_parts_at(q, s, batch);
    }
    for (half = 0; half < s->halves; half++) {
        size_t first = half * w_half(&g), all = (size_t)g.groups * g.m * g.n;

        g.b = conv_address(s, x, half * x_half(&g));
        if (to != NULL) {
            g.updated = an__cuda_updated(*to);
            g.updated.v += first;
            g.updated.w += first;
            if (g.updated.prepacked != NULL) g.updated.prepacked += first;
        } else {
            g.c = an__cuda_floats(dw) + first;
        }
        AN_CUDA_TRY(an__cuda_conv_product(q, s->precision, AN_WEIGHTS, &g,
                                          "a product for the weights"));
        g.bias_parts = NULL; /* one half's are enough */
        if (g.parts != NULL) {
            adding add = {
                g.parts,  (float *)g.c, all,      g.w_pitch, an__cuda_divisor(g.n),
                g.splits, s->kernel,    g.kernel, s->s2d};

            an__cuda_cost(q, 0, AN_DTYPE_FP32, (double)all * (g.splits + 1), 0);
            AN_CUDA_TRY(an__cuda_each(q, add_parts, all, add, "a weight's gradient"));
        }
    }
    return AN_OK;
}

an_status an__cuda_conv_backward_weights(an_queue *q, const an_conv_shape *s,
                                         uint32_t batch, an_operand x, an_operand dy,
                                         an_operand dw, an_operand db)
{
    an_use use(q->device);
    uint32_t biases = 0;

    AN_CUDA_TRY(an__cuda_conv_check(q, s, batch));
    AN_CUDA_TRY(an__cuda_complete_receive(q));
    if (dw.buffer != NULL)
        AN_CUDA_TRY(weights(q, s, batch, x, dy, dw, NULL, an__no_operand(), &biases));
    return biases > 0 ? add_biases(q, s, bias_parts_at(q, s, batch), biases, db)
                      : bias_gradient(q, s, batch, dy, db);
}

an_status an__cuda_weight_update(an_queue *q, const an_conv_shape *s, uint32_t batch,
                                 an_operand x, an_operand dy,
                                 const an_parameter_part *weight, an_operand faults)
{
    an_use use(q->device);
    uint32_t biases;

    AN_CUDA_TRY(an__cuda_conv_check(q, s, batch));
    AN_CUDA_TRY(an__cuda_complete_receive(q));
    return weights(q, s, batch, x, dy, an__no_operand(), weight, faults, &biases);
}
