/*
 * minimal.c - the smallest complete backend, for the author of the next one
 * (docs/BACKEND.md): the core table of lib/device/backend.h in plain loops, on one
 * thread, and no optional table.
 *
 * It has two devices with memory of their own. Tensors are float32 in the host's order
 * (NCHW). A queue does each operation at once. The library owns devices, queues and
 * buffers; their memory is the host's. A buffer is a handle, and address() alone makes an
 * address of an operand. Every sum of products is in double precision, in one order, and
 * rounded to float32 once.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.c" /* dropout's generator, the one thing of the library's */
#include "device/backend.h"
#pragma GCC diagnostic ignored "-Wunused-parameter" /* plain loops need less than all */

struct an_device {
    const an_host *host;
};

struct an_queue {
    const an_device *device;
    an_step step;     /* of the last begin_step() */
    double scratch[]; /* zeros, between operations */
};

typedef struct an_buffer { /* the library knows it as a void * */
    const an_device *device;
    size_t bytes;
    unsigned char memory[];
} an_buffer;

/* --- devices, their memory, queues ------------------------------------------------- */

static an_status device_count(const an_host *host, uint32_t *count)
{
    *count = 2;
    return AN_OK;
}

static an_status device_describe(const an_host *host, uint32_t index, an_device_info *out)
{
    snprintf(out->backend, sizeof out->backend, "minimal");
    snprintf(out->device, sizeof out->device, "minimal:%u", index);
    snprintf(out->name, sizeof out->name, "plain loops on one thread");
    out->units = 1;
    return AN_OK;
}

static an_status device_open(an_device **out, uint32_t index, const an_host *host)
{
    an_device *device = host->alloc(sizeof *device, host->user);

    if (device == NULL) return AN_ERROR_MEMORY; /* the host has set the message */
    device->host = host;
    *out = device;
    return AN_OK;
}

static void device_close(an_device *device)
{
    device->host->release(device, device->host->user);
}

/* A new buffer is full of NaNs, so that nobody relies on what it holds. */
static an_status buffer_alloc(an_device *device, size_t bytes, void **out)
{
    an_buffer *buffer = device->host->alloc(sizeof *buffer + bytes, device->host->user);

    if (buffer == NULL) return AN_ERROR_MEMORY;
    buffer->device = device;
    buffer->bytes = bytes;
    memset(buffer->memory, 0xff, bytes);
    *out = buffer;
    return AN_OK;
}

static void buffer_release(an_device *device, void *buffer)
{
    device->host->release(buffer, device->host->user);
}

/* An operand that is none, is another device's, or does not begin within its buffer is a
 * mistake of the library's, and ends the test. A backend for users never ends a
 * process. */
static void *address(const an_queue *q, an_operand operand)
{
    an_buffer *buffer = operand.buffer;

    if (buffer == NULL || buffer->device != q->device ||
        operand.offset >= buffer->bytes ||
        operand.offset % an__dtype_bytes(operand.dtype) != 0)
        abort();
    return buffer->memory + operand.offset;
}

static an_status queue_open(an_queue **out, an_device *device, size_t scratch_bytes)
{
    an_queue *q = device->host->alloc(sizeof *q + scratch_bytes, device->host->user);

    if (q == NULL) return AN_ERROR_MEMORY;
    memset(q->scratch, 0, scratch_bytes);
    q->device = device;
    *out = q;
    return AN_OK;
}

static void queue_close(an_queue *q)
{
    q->device->host->release(q, q->device->host->user);
}

static an_status queue_sync(an_queue *q)
{
    return AN_OK;
}

static an_status upload(an_queue *q, an_operand to, const void *from, size_t bytes)
{
    memcpy(address(q, to), from, bytes);
    return AN_OK;
}

static an_status download(an_queue *q, void *to, an_operand from, size_t bytes)
{
    memcpy(to, address(q, from), bytes);
    return AN_OK;
}

static an_status put(an_queue *q, const an_order *order, an_operand to, size_t first,
                     const float *from, size_t count)
{
    return upload(q, an__operand_from(to, first), from, count * sizeof *from);
}

static an_status get(an_queue *q, const an_order *order, float *to, an_operand from,
                     size_t first, size_t count)
{
    return download(q, to, an__operand_from(from, first), count * sizeof *to);
}

static an_status copy(an_queue *to_queue, const an_copy_shape *s, an_operand to,
                      an_queue *from_queue, an_operand from)
{
    const float *x = address(from_queue, from);
    float *y = address(to_queue, to);
    size_t row, i;

    for (row = 0; row < s->rows; row++, x += s->from_pitch, y += s->to_pitch)
        for (i = 0; i < s->count; i++) y[i] = s->accumulate ? y[i] + x[i] : x[i];
    return AN_OK;
}

static an_status begin_step(an_queue *q, const an_step *step)
{
    q->step = *step;
    return AN_OK;
}

/* --- convolutions and dense layers: x and y are [image][map][row][column], w is [output
 * map][input map of its group][row][column]. In this order a joined tensor's halves are
 * the first and the last of its maps, so that `halves` asks for nothing. prepacked, relu,
 * mask and s2d belong to the optional tables. */

typedef struct an_counts { /* of elements */
    size_t x, y, w;
} an_counts;

static an_counts counts_of(const an_conv_shape *s, uint32_t batch)
{
    an_counts counts;

    counts.x = (size_t)batch * s->in_maps * s->in_height * s->in_width;
    counts.y = (size_t)batch * s->out_maps * s->out_height * s->out_width;
    counts.w = (size_t)s->out_maps * (s->in_maps / s->groups) * s->kernel * s->kernel;
    return counts;
}

/* Room for the sums of a whole x, y or w. */
static size_t conv_scratch(an_device *device, const an_conv_shape *s, uint32_t batch,
                           int training)
{
    const an_counts counts = counts_of(s, batch);

    return (counts.x + counts.y + counts.w) * sizeof(double);
}

/* A convolution is a set of products of an x, a w and a y. Forward sums x * w for each y;
 * backward sums y * w for each x, and x * y for each w: what is null of the three is what
 * is summed, into `sum`. With more threads than one, each would have sums of its own. */
static void add_products(const an_conv_shape *s, uint32_t batch, const float *x,
                         const float *w, const float *y, double *sum)
{
    const uint32_t in = s->in_maps / s->groups, out = s->out_maps / s->groups;
    const uint32_t k = s->kernel;
    uint32_t c, ky, kx, oy, ox;
    size_t n, m, yi = 0;

    for (n = 0; n < batch; n++)
        for (m = 0; m < s->out_maps; m++)
            for (oy = 0; oy < s->out_height; oy++)
                for (ox = 0; ox < s->out_width; ox++, yi++)
                    for (c = 0; c < in; c++)
                        for (ky = 0; ky < k; ky++)
                            for (kx = 0; kx < k; kx++) {
                                /* Above and left of the image these wrap around. */
                                uint32_t iy = oy * s->stride + ky - s->pad;
                                uint32_t ix = ox * s->stride + kx - s->pad;
                                size_t map = n * s->in_maps + m / out * in + c;
                                size_t xi = (map * s->in_height + iy) * s->in_width + ix;
                                size_t wi = ((m * in + c) * k + ky) * k + kx;

                                if (iy >= s->in_height || ix >= s->in_width) continue;
                                if (y == NULL) sum[yi] += (double)x[xi] * (double)w[wi];
                                if (x == NULL) sum[xi] += (double)y[yi] * (double)w[wi];
                                if (w == NULL) sum[wi] += (double)x[xi] * (double)y[yi];
                            }
}

/* Rounds the sums, and leaves zeros for those of the next operation. */
static an_status take_sums(an_queue *q, an_operand to, size_t count)
{
    float *values = address(q, to);
    size_t i;

    for (i = 0; i < count; i++) values[i] = (float)q->scratch[i];
    memset(q->scratch, 0, count * sizeof *q->scratch);
    return AN_OK;
}

static an_status conv_forward(an_queue *q, const an_conv_shape *s, uint32_t batch,
                              an_operand x, an_operand w, an_operand prepacked,
                              an_operand b, an_operand y)
{
    const size_t count = counts_of(s, batch).y, plane = count / batch / s->out_maps;
    const float *bias = address(q, b);
    size_t i;

    for (i = 0; i < count; i++) q->scratch[i] = (double)bias[i / plane % s->out_maps];
    add_products(s, batch, address(q, x), address(q, w), NULL, q->scratch);
    return take_sums(q, y, count);
}

static an_status conv_backward_data(an_queue *q, const an_conv_shape *s, uint32_t batch,
                                    an_operand w, an_operand prepacked, an_operand dy,
                                    an_operand x, an_operand dx)
{
    add_products(s, batch, NULL, address(q, w), address(q, dy), q->scratch);
    return take_sums(q, dx, counts_of(s, batch).x);
}

static an_status conv_backward_weights(an_queue *q, const an_conv_shape *s,
                                       uint32_t batch, an_operand x, an_operand dy,
                                       an_operand dw, an_operand db)
{
    const size_t count = counts_of(s, batch).y, plane = count / batch / s->out_maps;
    const float *dys = address(q, dy);
    size_t i;

    add_products(s, batch, address(q, x), NULL, dys, q->scratch);
    take_sums(q, dw, counts_of(s, batch).w);
    for (i = 0; i < count; i++) q->scratch[i / plane % s->out_maps] += (double)dys[i];
    return take_sums(q, db, s->out_maps);
}

/* A dense layer is a convolution of one pixel, whose maps are the units. */
#define ONE_PIXEL(s)                                                                     \
    (&(const an_conv_shape){(s)->inputs, 1, 1, (s)->outputs, 1, 1, 1, 1, .groups = 1})

static size_t dense_scratch(an_device *device, const an_dense_shape *s, uint32_t batch,
                            int training)
{
    return conv_scratch(device, ONE_PIXEL(s), batch, training);
}

static an_status dense_forward(an_queue *q, const an_dense_shape *s, uint32_t batch,
                               an_operand x, an_operand w, an_operand prepacked,
                               an_operand b, const an_dropout_shape *drop, an_operand y)
{
    return conv_forward(q, ONE_PIXEL(s), batch, x, w, prepacked, b, y);
}

static an_status dense_backward_data(an_queue *q, const an_dense_shape *s, uint32_t batch,
                                     an_operand w, an_operand prepacked, an_operand dy,
                                     an_operand x, an_operand dx)
{
    return conv_backward_data(q, ONE_PIXEL(s), batch, w, prepacked, dy, x, dx);
}

static an_status dense_backward_weights(an_queue *q, const an_dense_shape *s,
                                        uint32_t batch, an_operand x, an_operand dy,
                                        an_operand dw, an_operand db)
{
    return conv_backward_weights(q, ONE_PIXEL(s), batch, x, dy, dw, db);
}

/* --- activations, scale, dropout: in place ----------------------------------------- */

static an_status activation_forward(an_queue *q, uint32_t kind, size_t n, an_operand y)
{
    float *ys = address(q, y);
    size_t i;

    for (i = 0; i < n; i++)
        ys[i] = kind == AN_ACTIVATION_TANH      ? (float)tanh((double)ys[i])
                : kind == AN_ACTIVATION_SIGMOID ? (float)(1 / (1 + exp(-(double)ys[i])))
                : ys[i] < 0                     ? 0
                                                : ys[i]; /* ReLU keeps a NaN */
    return AN_OK;
}

static an_status activation_backward(an_queue *q, uint32_t kind, size_t n, an_operand y,
                                     an_operand dy)
{
    const float *ys = address(q, y);
    float *dys = address(q, dy);
    size_t i;

    for (i = 0; i < n; i++)
        dys[i] *= kind == AN_ACTIVATION_TANH      ? 1 - ys[i] * ys[i]
                  : kind == AN_ACTIVATION_SIGMOID ? ys[i] * (1 - ys[i])
                                                  : (float)(ys[i] > 0);
    return AN_OK;
}

static an_status scale(an_queue *q, size_t count, float factor, an_operand x)
{
    float *xs = address(q, x);
    size_t i;

    for (i = 0; i < count; i++) xs[i] *= factor;
    return AN_OK;
}

/* A unit's random number is 24 bits of one word of the library's generator, so that the
 * same seed gives the same mask on every backend. */
static an_status dropout(an_queue *q, const an_dropout_shape *s, uint32_t batch,
                         an_operand x)
{
    float *xs = address(q, x);
    uint32_t n, u, word[4];

    for (n = 0; n < batch; n++)
        for (u = 0; u < s->units; u++) {
            uint64_t at = (q->step.first + n) * s->total + s->first + u;

            an__random4(q->step.seed, AN_STREAM_DROPOUT + s->layer, q->step.iteration,
                        (uint32_t)(at / 4), word);
            *xs++ *= (float)(word[at % 4] >> 8) / 16777216 >= s->rate ? s->scale : 0;
        }
    return AN_OK;
}

/* --- local response normalisation, whose sums are of j in i's window:
 *
 *     y_i  = x_i * s_i^-beta            s_i = k + alpha * sum of x_j^2
 *     dx_i = dy_i * s_i^-beta - 2 alpha beta x_i * sum of dy_j x_j s_j^(-beta-1)
 *
 * j is in i's window where i is in j's: both directions sum over the same windows. */

/* Element d of the window around element i; 0: it lies outside. What is negative wraps
 * around. */
static int lrn_input(const an_lrn_shape *s, int within, size_t i, uint32_t d, size_t *j)
{
    const uint32_t group = s->maps / s->groups, half = s->size / 2;
    uint32_t row = (uint32_t)(i / s->width % s->height);
    uint32_t column = (uint32_t)(i % s->width);
    size_t map = i / s->width / s->height; /* of all images */

    if (within) {
        row += d / s->size - half;
        column += d % s->size - half;
    } else {
        if ((uint32_t)(map % group) + d - half >= group) return 0;
        map = map + d - half;
    }
    *j = (map * s->height + row) * s->width + column;
    return row < s->height && column < s->width;
}

/* s_i^power. Squares beyond the range of float32 make s_i infinite. */
static double lrn_scale(const an_lrn_shape *s, int within, const float *x, size_t i,
                        double power)
{
    uint32_t size = within ? s->size * s->size : s->size, d;
    double sum = 0;
    size_t j;

    for (d = 0; d < size; d++)
        if (lrn_input(s, within, i, d, &j)) sum += (double)x[j] * (double)x[j];
    return pow((double)(float)((double)s->k + (double)s->alpha * sum), power);
}

/* Gives dx; or y, where dy is none: the same with x for dy, without the sum. */
static an_status lrn(an_queue *q, const an_lrn_shape *s, int within, uint32_t batch,
                     an_operand x, an_operand dy, an_operand result)
{
    const size_t count = (size_t)batch * s->maps * s->height * s->width;
    const double beta = (double)s->beta;
    const float *xs = address(q, x), *dys = dy.buffer != NULL ? address(q, dy) : xs;
    uint32_t size = dy.buffer == NULL ? 0 : within ? s->size * s->size : s->size, d;
    float *results = address(q, result);
    size_t i, j;

    for (i = 0; i < count; i++) {
        double sum = 0;

        for (d = 0; d < size; d++)
            if (lrn_input(s, within, i, d, &j))
                sum += (double)dys[j] * (double)xs[j] *
                       lrn_scale(s, within, xs, j, -beta - 1);
        results[i] = (float)((double)dys[i] * lrn_scale(s, within, xs, i, -beta) -
                             2 * (double)s->alpha * beta * (double)xs[i] * sum);
    }
    return AN_OK;
}

#define LRN(name, within)                                                                \
    static an_status name##_forward(an_queue *q, const an_lrn_shape *s, uint32_t batch,  \
                                    an_operand x, an_operand y)                          \
    {                                                                                    \
        return lrn(q, s, within, batch, x, an__no_operand(), y);                         \
    }                                                                                    \
    static an_status name##_backward(an_queue *q, const an_lrn_shape *s, uint32_t batch, \
                                     an_operand x, an_operand dy, an_operand dx)         \
    {                                                                                    \
        return lrn(q, s, within, batch, x, dy, dx);                                      \
    }
LRN(lrn, 0)
LRN(lrn_within, 1)

/* --- max-pooling ------------------------------------------------------------------- */

/* Element d of the window of output i; 0: it lies behind the image's edge. */
static int pool_input(const an_pool_shape *s, size_t i, uint32_t d, size_t *j)
{
    const size_t row = i / s->out_width, map = row / s->out_height;
    const size_t iy = row % s->out_height * s->stride + d / s->kernel;
    const size_t ix = i % s->out_width * s->stride + d % s->kernel;

    *j = (map * s->in_height + iy) * s->in_width + ix;
    return iy < s->in_height && ix < s->in_width;
}

/* A NaN is its window's maximum. */
static float pool_max(const an_pool_shape *s, const float *x, size_t i)
{
    float max = -INFINITY;
    uint32_t d;
    size_t j;

    for (d = 0; d < s->kernel * s->kernel; d++)
        if (pool_input(s, i, d, &j) && (x[j] > max || isnan(x[j]))) max = x[j];
    return max;
}

static an_status pool_forward(an_queue *q, const an_pool_shape *s, uint32_t batch,
                              an_operand x, an_operand y, an_operand argmax)
{
    const size_t count = (size_t)batch * s->maps * s->out_height * s->out_width;
    float *ys = address(q, y);
    size_t i;

    for (i = 0; i < count; i++) ys[i] = pool_max(s, address(q, x), i);
    return AN_OK;
}

static an_status pool_backward(an_queue *q, const an_pool_shape *s, uint32_t batch,
                               an_operand x, an_operand argmax, an_operand dy,
                               an_operand dx)
{
    const size_t count = (size_t)batch * s->maps * s->out_height * s->out_width;
    const float *xs = address(q, x), *dys = address(q, dy);
    float *dxs = address(q, dx);
    uint32_t d;
    size_t i, j;

    memset(dxs, 0, (size_t)batch * s->maps * s->in_height * s->in_width * sizeof *dxs);
    for (i = 0; i < count; i++)
        for (d = 0; d < s->kernel * s->kernel; d++)
            if (pool_input(s, i, d, &j) && xs[j] == pool_max(s, xs, i)) dxs[j] += dys[i];
    return AN_OK;
}

/* --- loss and update --------------------------------------------------------------- */

/* ln of the sum of e^x. A NaN or an infinity of x makes it none that is finite. */
static double log_sum_exp(const float *x, uint32_t classes)
{
    double max = (double)x[0], sum = 0;
    uint32_t i;

    for (i = 1; i < classes; i++) max = (double)x[i] > max ? (double)x[i] : max;
    for (i = 0; i < classes; i++) sum += exp((double)x[i] - max);
    return max + log(sum);
}

static an_status softmax(an_queue *q, uint32_t classes, uint32_t batch, an_operand x)
{
    float *row = address(q, x);
    uint32_t n, i;

    for (n = 0; n < batch; n++, row += classes) {
        const double total = log_sum_exp(row, classes);

        for (i = 0; i < classes; i++) row[i] = (float)exp((double)row[i] - total);
    }
    return AN_OK;
}

/* dx may be the logits: an element is read before its gradient takes its place. */
static an_status softmax_loss(an_queue *q, uint32_t classes, uint32_t batch,
                              const an_loss_operands *o)
{
    const float *x = address(q, o->logits);
    const int32_t *labels = address(q, o->labels);
    float *dx = address(q, o->dx);
    an_rank *ranks = address(q, o->ranks);
    double *losses = address(q, o->losses);
    uint32_t n, i;

    for (n = 0; n < batch; n++, x += classes, dx += classes) {
        const double total = log_sum_exp(x, classes);
        const uint32_t label = (uint32_t)labels[n];
        const float own = x[label];

        losses[n] = total - (double)own;
        ranks[n].greater = ranks[n].equal = 0;
        for (i = 0; i < classes; i++) {
            ranks[n].greater += x[i] > own;
            ranks[n].equal += x[i] == own;
            dx[i] = (float)((exp((double)x[i] - total) - (i == label)) / batch);
        }
    }
    return AN_OK;
}

static an_status update(an_queue *q, const an_parameter_part *parts, uint32_t count,
                        an_operand faults)
{
    const float *fault = address(q, faults);
    size_t i;

    for (; *fault == 0 && count > 0; count--, parts++) {
        const an_update *u = &q->step.update[parts->index];
        const float *g = address(q, parts->g);
        float *v = address(q, parts->v), *w = address(q, parts->w);

        for (i = 0; u->rate != 0 && i < parts->count; i++) {
            v[i] = u->momentum * v[i] - u->decay * u->rate * w[i] - u->rate * g[i];
            w[i] += v[i];
        }
    }
    return AN_OK;
}

static an_status all_finite(an_queue *q, const an_array *arrays, uint32_t count,
                            an_operand faults)
{
    float *fault = address(q, faults);
    size_t i;

    for (; count > 0; count--, arrays++) {
        const float *x = address(q, arrays->x);

        for (i = 0; i < arrays->count; i++)
            if (!isfinite(x[i])) *fault = 1;
    }
    return AN_OK;
}

/* --- the table, and the one symbol that a plugin exports --------------------------- */

/* clang-format off */
#define OP(name) .name = name
static const an_backend backend = {
    .abi = AN_BACKEND_ABI, .size = sizeof(an_backend), .name = "minimal",
    .algorithms = {"direct"}, .count = device_count, .describe = device_describe,
    .open = device_open, .close = device_close, .alloc = buffer_alloc,
    .release = buffer_release, .sync = queue_sync, OP(queue_open), OP(queue_close),
    OP(upload), OP(download), OP(put), OP(get), OP(copy), OP(begin_step),
    OP(conv_scratch), OP(conv_forward), OP(conv_backward_data), OP(conv_backward_weights),
    OP(dense_scratch), OP(dense_forward), OP(dense_backward_data),
    OP(dense_backward_weights), OP(activation_forward), OP(activation_backward),
    OP(lrn_forward), OP(lrn_backward), OP(lrn_within_forward), OP(lrn_within_backward),
    OP(pool_forward), OP(pool_backward), OP(dropout), OP(scale), OP(softmax),
    OP(softmax_loss), OP(update), OP(all_finite)};
/* clang-format on */

__attribute__((visibility("default"))) const an_backend *an_plugin_backend(uint32_t abi,
                                                                           uint32_t size);
const an_backend *an_plugin_backend(uint32_t abi, uint32_t size)
{
    return abi == AN_BACKEND_ABI && size == sizeof backend ? &backend : NULL;
}
