/*
 * conv.cu - convolution as products of gathered images (gemm.h), forward and both
 * backward passes; a dense layer is one of 1 x 1 pixels.
 *
 * Where a product has few tiles, partial sums over parts of k are computed, and a kernel
 * of its own adds them in their order and finishes them. The same is done with the tower
 * halves of joined maps (halves 2), each of which is a product, in an order that lets
 * this tower work while a half is on its way: forward, this tower's own half comes first;
 * backward, the gradient of the other tower's half, for which that one waits.
 */
#include "gemm/epilogue.h"
#include "gemm/map.h"
#include "gemm/pipeline.h"
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

/* What the three products have in common. */
static an_gemm gemm_of(const an_conv_shape *s)
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

/* The dtype of tensors, and of the weights that products read, prepacked or not. */
static uint32_t dtype_of(const an_conv_shape *s)
{
    return an__cuda_dtype(s->precision);
}

/* The address of an element of such an operand. */
static void *beyond(const an_conv_shape *s, an_operand o, size_t element)
{
    return (char *)an__cuda_address(o) + element * an__dtype_bytes(dtype_of(s));
}

/* Elements from one half to the other, of x and of a row of w. */
static size_t x_half(const an_gemm *g)
{
    return (size_t)g->in_height * g->in_width * g->in_pitch;
}

static size_t w_half(const an_gemm *g)
{
    return (size_t)g->kernel * g->kernel * g->in_maps;
}

static an_status product(an_queue *q, uint32_t precision, an_product kind, an_gemm *g,
                         const char *what)
{
    /* Elements of one half of x and of y, and weights; a gradient or an update of those
     * is float32. */
    double pixels = kind == AN_WEIGHTS ? g->k : g->m;
    double images = pixels / (kind == AN_DATA ? (double)g->in_height * g->in_width
                                              : (double)g->out_height * g->out_width);
    double x = images * g->in_height * g->in_width * g->in_maps * g->groups;
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

/* Places are counted in 32 bits, and rows are below 2^31, as divide() wants them. */
static an_status batch_check(an_queue *q, const an_conv_shape *s, uint32_t batch)
{
    an_gemm g = gemm_of(s);
    uint64_t in = (uint64_t)g.in_image * batch, out = (uint64_t)g.out_image * batch;

    if ((in > out ? in : out) >> 31 == 0) return AN_OK;
    return q->device->host->fail(AN_ERROR_ARGUMENT,
                                 "a batch of %u has too many elements for cuda: %llu",
                                 batch, (unsigned long long)(in > out ? in : out));
}

/* --- prepacked weights ------------------------------------------------------------- */

/* Weights lie as [output map][half][row][column][map]. Prepacked they have the type that
 * products want, and the rows, columns and maps of the space-to-depth layout. */
struct packing {
    const float *w;
    void *prepacked;
    size_t count;
    uint32_t kernel, taps;
    an_space_to_depth s2d;
};

/* The place, among weights as they lie, of element i of those in a space-to-depth layout;
 * false: it stands for none, and is 0. */
static __device__ __forceinline__ bool s2d_weight_place(uint32_t kernel, uint32_t taps,
                                                        const an_space_to_depth &f,
                                                        uint32_t i, size_t *place)
{
    uint32_t maps = s2d_used(f), tap = i / maps, map = i - tap * maps, pixel = map / 3;
    uint32_t output = tap / (taps * taps), at = tap - output * (taps * taps);
    uint32_t y = at / taps * f.side + pixel / f.side;
    uint32_t x = at % taps * f.side + pixel % f.side;

    *place = (((size_t)output * kernel + y) * kernel + x) * 3 + map % 3;
    return pixel < f.side * f.side && y < kernel && x < kernel;
}

template <class T> static __global__ void pack_kernel(packing p)
{
    for (AN_CUDA_EACH(i, p.count)) {
        size_t from = i;
        bool there = p.s2d.side == 0 ||
                     s2d_weight_place(p.kernel, p.taps, p.s2d, (uint32_t)i, &from);

        put_element((T *)p.prepacked + i, there ? p.w[from] : 0);
    }
}

/* Whether the precision asks for prepacked weights. */
static bool is_packed(const an_conv_shape *s)
{
    return s->precision == AN_PRECISION_BF16 || s->precision == AN_PRECISION_TF32;
}

/* Whether the data's gradient is computed as a forward product: the convolution of the
 * output's gradient by a kernel that is rotated by half a turn. Both the gradient and the
 * weights lie along k then. wgmma takes TF32 in no other way; in BF16, a step of the main
 * loop has half as many instructions so. */
static bool is_rotated(const an_conv_shape *s)
{
    return is_packed(s) && s->kernel > 1 && s->s2d.side == 0 && s->stride == 1 &&
           s->pad < s->kernel;
}

/* Prepacked weights, rotated for that: [half][group][map][row][column][output map], rows
 * and columns from the last to the first. They are made anew each time, in the queue's
 * scratch memory. */
struct turning {
    const void *prepacked;
    void *rotated;
    uint32_t halves, groups, taps; /* taps: all of a kernel */
    uint32_t maps, out_maps;       /* of a group */
};

#define SIDE 32 /* of a part of a matrix that is transposed at a time */

/* A block transposes a part of [output map][map], of one tap. Grid: matrices, parts of
 * the output maps, of the maps. */
template <class T> static __global__ void turn_kernel(turning t)
{
    T *part = (T *)shared_memory(); /* [SIDE][SIDE + 1] */
    uint32_t tap = blockIdx.x % t.taps, plane = blockIdx.x / t.taps;
    uint32_t group = plane % t.groups, half = plane / t.groups;
    uint32_t output0 = blockIdx.y * SIDE, map0 = blockIdx.z * SIDE;
    uint32_t column = threadIdx.x % SIDE, first = threadIdx.x / SIDE;

    for (uint32_t row = first; row < SIDE; row += blockDim.x / SIDE) {
        uint32_t output = output0 + row, map = map0 + column;
        size_t from = (size_t)(group * t.out_maps + output) * t.halves + half;

        if (output < t.out_maps && map < t.maps)
            part[row * (SIDE + 1) + column] =
                ((const T *)t.prepacked)[(from * t.taps + tap) * t.maps + map];
    }
    __syncthreads();
    for (uint32_t row = first; row < SIDE; row += blockDim.x / SIDE) {
        uint32_t map = map0 + row, output = output0 + column;
        size_t to = (size_t)(plane * t.maps + map) * t.taps + t.taps - 1 - tap;

        if (output < t.out_maps && map < t.maps)
            ((T *)t.rotated)[to * t.out_maps + output] = part[column * (SIDE + 1) + row];
    }
}

uint32_t an__cuda_conv_algorithm(an_device *, const an_conv_shape *s, uint32_t,
                                 size_t *bytes)
{
    an_gemm g = gemm_of(s);

    *bytes = is_packed(s) || s->s2d.side != 0
                 ? (size_t)s->out_maps * g.w_pitch * an__dtype_bytes(dtype_of(s))
                 : 0;
    return 0;
}

an_status an__cuda_conv_prepack(an_queue *q, const an_conv_shape *s, uint32_t,
                                an_operand w, an_operand prepacked)
{
    an_gemm g = gemm_of(s);
    packing p = {an__cuda_floats(w),
                 an__cuda_address(prepacked),
                 (size_t)s->out_maps * g.w_pitch,
                 s->kernel,
                 g.kernel,
                 s->s2d};
    void (*kernel)(packing) = s->precision == AN_PRECISION_BF16   ? pack_kernel<an_bf16>
                              : s->precision == AN_PRECISION_TF32 ? pack_kernel<an_tf32>
                                                                  : pack_kernel<float>;

    an__cuda_cost(q, 0, dtype_of(s), (double)p.count, 4.0 * (double)p.count);
    return an__cuda_each(q, kernel, p.count, p, "packed weights");
}

/* --- partial sums ------------------------------------------------------------------ */

#define BLOCKS 264u /* the largest `fill` of an__cuda_split_size() */

/* Divides k into parts, since few tiles would leave some of the device idle. The result
 * is how many partial sums of the bias's gradient can come with them. */
static uint32_t split(const an_device *device, uint32_t precision, an_product kind,
                      an_gemm *g)
{
    an_split_size size = an__cuda_split_size(device, precision, kind, g);
    uint32_t most = size.tiles >= size.fill ? 1 : size.fill / size.tiles;
    uint32_t deep = (g->k + AN_CUDA_DEEP - 1) / AN_CUDA_DEEP;

    g->splits = most < deep ? most : deep;
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
    size_t most = all * (deep < BLOCKS ? deep : BLOCKS);

    if (most > BLOCKS * area) most = BLOCKS * area;
    return halves * (halves > 1 && most < all ? all : most);
}

#define BIAS_PARTS 264u /* the most parts of the pixels, for the gradient of a bias */

/* Bytes of scratch memory for partial sums, a multiple of what any copy wants. No smaller
 * batch needs more. */
static size_t parts_bytes(const an_conv_shape *s, uint32_t batch, int training)
{
    an_gemm g = gemm_of(s);
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
        elements = (size_t)BIAS_PARTS * s->out_maps;
        if (elements > most) most = elements;
    }
    return (most * sizeof(float) + 255) / 256 * 256;
}

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

    an__cuda_cost(q, 0, dtype_of(s), all * (g->epilogue.x != NULL ? 2 : 1),
                  4 * all * parts);
    return an__cuda_each(q, AN_CUDA_BY_DTYPE_OF(dtype_of(s), finish_kernel, PRODUCT),
                         (size_t)g->groups * g->m * g->n, f, "a product's sums");
}

/* --- forward ----------------------------------------------------------------------- */

/* Of convolutions and dense layers. */
an_status an__cuda_forward(an_queue *q, const an_conv_shape *s, uint32_t batch,
                           an_operand x, an_operand w, an_operand prepacked,
                           const an_epilogue *to, an_operand y)
{
    an_use use(q->device);
    an_gemm g = gemm_of(s);
    bool is_prepacked = prepacked.buffer != NULL;
    float *scratch = (float *)q->scratch;
    uint32_t i;

    AN_CUDA_TRY(batch_check(q, s, batch));
    AN_CUDA_TRY(an__cuda_alive(q->device));
    g.m = batch * s->out_height * s->out_width;
    g.n = g.out_maps;
    g.k = g.kernel * g.kernel * g.in_maps;
    g.c = an__cuda_address(y);
    g.epilogue = *to;
    g.c_float = y.dtype == AN_DTYPE_FP32;
    g.rounded = s->precision == AN_PRECISION_TF32 && is_prepacked;
    split(q->device, s->precision, AN_FORWARD, &g);
    if (s->halves == 1) AN_CUDA_TRY(an__cuda_complete_receive(q));
    for (i = 0; i < s->halves; i++) {
        uint32_t half = s->halves == 1 ? 0 : i == 0 ? s->local_half : 1 - s->local_half;

        if (i == 1) AN_CUDA_TRY(an__cuda_complete_receive(q));
        g.a = beyond(s, x, half * x_half(&g));
        g.b = beyond(s, is_prepacked ? prepacked : w, half * w_half(&g));
        if (g.splits * s->halves > 1)
            g.parts = scratch + (size_t)half * g.splits * g.groups * g.m * g.n;
        AN_CUDA_TRY(product(q, s->precision, AN_FORWARD, &g, "a product"));
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
    an_gemm g = gemm_of(s), t = g;

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

/* Turns weights; they lie behind the partial sums in the scratch memory. */
static an_status turn(an_queue *q, const an_conv_shape *s, uint32_t batch,
                      an_operand prepacked, an_operand *rotated)
{
    an_gemm g = gemm_of(s);
    bool is_bf16 = s->precision == AN_PRECISION_BF16;

    *rotated = an__operand(q->scratch, parts_bytes(s, batch, 1), AN_DTYPE_BYTES);
    turning t = {an__cuda_address(prepacked),
                 an__cuda_address(*rotated),
                 s->halves,
                 s->groups,
                 g.kernel * g.kernel,
                 g.in_maps,
                 g.out_maps};

    an__cuda_cost(q, 0, dtype_of(s), 2.0 * s->out_maps * g.w_pitch, 0);
    return an__cuda_launch(
        q, is_bf16 ? turn_kernel<an_bf16> : turn_kernel<an_tf32>,
        dim3(s->halves * s->groups * t.taps, (g.out_maps + SIDE - 1) / SIDE,
             (g.in_maps + SIDE - 1) / SIDE),
        dim3(AN_CUDA_THREADS),
        SIDE * (SIDE + 1) * (is_bf16 ? sizeof(an_bf16) : sizeof(an_tf32)), t,
        "rotated weights");
}

an_status an__cuda_conv_backward_data(an_queue *q, const an_conv_shape *s, uint32_t batch,
                                      an_operand w, an_operand prepacked, an_operand dy,
                                      an_operand x, an_operand dx)
{
    an_use use(q->device);
    bool is_prepacked = prepacked.buffer != NULL, rotates = is_prepacked && is_rotated(s),
         is_forward = rotates || (is_prepacked && is_across(q->device, s, batch));
    an_product kind = is_forward ? AN_FORWARD : AN_DATA;
    an_gemm lying = gemm_of(s), g = is_forward ? turned_gemm(s, batch) : lying;
    an_operand rotated = an__no_operand();
    uint32_t i;

    AN_CUDA_TRY(batch_check(q, s, batch));
    AN_CUDA_TRY(an__cuda_complete_receive(q));
    if (rotates) AN_CUDA_TRY(turn(q, s, batch, prepacked, &rotated));
    data_sizes(&g, s, batch);
    g.a = an__cuda_address(dy);
    split(q->device, s->precision, kind, &g);
    for (i = 0; i < s->halves; i++) {
        uint32_t half = s->halves == 1 ? 0 : i == 0 ? 1 - s->local_half : s->local_half;

        g.b = rotates ? beyond(s, rotated, half * (size_t)s->out_maps * w_half(&lying))
                      : beyond(s, is_prepacked ? prepacked : w, half * w_half(&lying));
        g.c = beyond(s, dx, half * x_half(&lying));
        if (s->mask != 0) g.epilogue.x = beyond(s, x, half * x_half(&lying));
        g.epilogue.mask = s->mask;
        if (g.splits > 1) g.parts = (float *)q->scratch;
        AN_CUDA_TRY(product(q, s->precision, kind, &g, "a product for the data"));
        if (g.splits > 1)
            AN_CUDA_TRY(is_forward ? finish<AN_FORWARD>(q, s, &g, g.splits)
                                   : finish<AN_DATA>(q, s, &g, g.splits));
        if (s->halves == 2 && i == 0) AN_CUDA_TRY(an__cuda_early(q, g.c));
    }
    return AN_OK;
}

/* --- backward: gradients of weights and biases ------------------------------------- */

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
    an_gemm g = gemm_of(s);

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
    size_t parts = parts_bytes(s, batch, training), rotated = 0, biases;

    if (!training) return parts;
    if (is_rotated(s))
        rotated = (size_t)s->out_maps * g.w_pitch * an__dtype_bytes(dtype_of(s));
    biases = an__cuda_split_size(device, s->precision, AN_WEIGHTS, &g).biases;
    if (biases > 0 && biases < BLOCKS) biases = BLOCKS;
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
    return (float *)((char *)q->scratch + parts_bytes(s, batch, 1));
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
    uint32_t parts =
        (pixels + 127) / 128 < BIAS_PARTS ? (pixels + 127) / 128 : BIAS_PARTS;
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

    an__cuda_cost(q, 0, dtype_of(s), (double)pixels * s->out_maps, 0);
    AN_CUDA_TRY(an__cuda_launch(
        q,
        width == 8 ? AN_CUDA_BY_DTYPE_OF(dtype_of(s), bias_kernel, 8)
                   : AN_CUDA_BY_DTYPE_OF(dtype_of(s), bias_kernel, 1),
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
        *biases = split(q->device, s->precision, AN_WEIGHTS, &g);
        if (g.splits > 1 || s->s2d.side != 0) g.parts = (float *)q->scratch;
        if (*biases > 0) g.bias_parts = bias_parts_at(q, s, batch);
    }
    for (half = 0; half < s->halves; half++) {
        size_t first = half * w_half(&g), all = (size_t)g.groups * g.m * g.n;

        g.b = beyond(s, x, half * x_half(&g));
        if (to != NULL) {
            g.updated = an__cuda_updated(*to);
            g.updated.v += first;
            g.updated.w += first;
            if (g.updated.prepacked != NULL) g.updated.prepacked += first;
        } else {
            g.c = an__cuda_floats(dw) + first;
        }
        AN_CUDA_TRY(
            product(q, s->precision, AN_WEIGHTS, &g, "a product for the weights"));
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

    AN_CUDA_TRY(batch_check(q, s, batch));
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

    AN_CUDA_TRY(batch_check(q, s, batch));
    AN_CUDA_TRY(an__cuda_complete_receive(q));
    return weights(q, s, batch, x, dy, an__no_operand(), weight, faults, &biases);
}
