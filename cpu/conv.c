/*
 * conv.c - convolution as matrix products over unfolded images (im2col).
 *
 * For one image and group, the columns matrix has a row for each (map, ky, kx) that a
 * kernel reads, and a column for each output pixel:
 *
 *     y  [maps out][pixels]     = w [maps out][rows] * columns [rows][pixels]  + b
 *     dw [maps out][rows]      += dy [maps out][pixels] * columns^T
 *     dcolumns [rows][pixels]   = w^T * dy, folded back onto dx
 */
#include <string.h>

#include "cpu.h"

/* One group's view of the shape. */
typedef struct an_unfold {
    uint32_t maps_in, maps_out;
    uint32_t rows;              /* maps_in * kernel * kernel */
    uint32_t pixels;            /* out_height * out_width */
    size_t in_image, out_image; /* numbers of one image, all groups */
    size_t in_group, out_group; /* of one group of it */
} an_unfold;

static an_unfold unfold_of(const an_conv_shape *s)
{
    an_unfold u;

    u.maps_in = s->in_maps / s->groups;
    u.maps_out = s->out_maps / s->groups;
    u.rows = u.maps_in * s->kernel * s->kernel;
    u.pixels = s->out_height * s->out_width;
    u.in_group = (size_t)u.maps_in * s->in_height * s->in_width;
    u.out_group = (size_t)u.maps_out * u.pixels;
    u.in_image = u.in_group * s->groups;
    u.out_image = u.out_group * s->groups;
    return u;
}

/* The output columns [first, end) whose input column, for kernel column kx, lies within
 * the image. */
static void inside(const an_conv_shape *s, uint32_t kx, uint32_t *first, uint32_t *end)
{
    uint32_t before = s->pad > kx ? (s->pad - kx + s->stride - 1) / s->stride : 0;
    uint32_t limit = s->in_width + s->pad; /* x * stride + kx must stay below */
    uint32_t after = limit > kx ? (limit - kx + s->stride - 1) / s->stride : 0;

    *first = before < s->out_width ? before : s->out_width;
    *end = after < s->out_width ? after : s->out_width;
    if (*end < *first) *end = *first;
}

/* Rows [row, row_end) of the columns matrix, for the output lines [y, y_end). x: the
 * group's maps. columns: rows after one another, (y_end - y) * out_width numbers each. */
static void im2col(const an_conv_shape *s, const float *x, uint32_t row, uint32_t row_end,
                   uint32_t y, uint32_t y_end, float *columns)
{
    const uint32_t area = s->kernel * s->kernel;

    for (; row < row_end; row++) {
        const float *map = x + (size_t)(row / area) * s->in_height * s->in_width;
        uint32_t ky = row % area / s->kernel, kx = row % s->kernel, first, end, oy, ox;

        inside(s, kx, &first, &end);
        for (oy = y; oy < y_end; oy++, columns += s->out_width) {
            uint32_t iy = oy * s->stride + ky; /* counted from the padding's top */
            const float *line;

            if (iy < s->pad || iy - s->pad >= s->in_height) {
                memset(columns, 0, s->out_width * sizeof *columns);
                continue;
            }
            /* line[ox * stride + kx - pad]; the index is never negative where it is
             * used */
            line = map + (size_t)(iy - s->pad) * s->in_width;
            for (ox = 0; ox < first; ox++) columns[ox] = 0;
            if (s->stride == 1 && end > first)
                memcpy(columns + first, line + (first + kx - s->pad),
                       (end - first) * sizeof *columns);
            else
                for (ox = first; ox < end; ox++)
                    columns[ox] = line[ox * s->stride + kx - s->pad];
            for (ox = end; ox < s->out_width; ox++) columns[ox] = 0;
        }
    }
}

/* Adds the columns matrix of `maps` whole maps, all output lines, onto x. */
static void col2im(const an_conv_shape *s, uint32_t maps, const float *columns, float *x)
{
    const uint32_t area = s->kernel * s->kernel;
    uint32_t row;

    memset(x, 0, (size_t)maps * s->in_height * s->in_width * sizeof *x);
    for (row = 0; row < maps * area; row++) {
        float *map = x + (size_t)(row / area) * s->in_height * s->in_width;
        uint32_t ky = row % area / s->kernel, kx = row % s->kernel, first, end, oy, ox;

        inside(s, kx, &first, &end);
        for (oy = 0; oy < s->out_height; oy++, columns += s->out_width) {
            uint32_t iy = oy * s->stride + ky;
            float *line;

            if (iy < s->pad || iy - s->pad >= s->in_height) continue;
            line = map + (size_t)(iy - s->pad) * s->in_width;
            if (end > first) line += first * s->stride + kx - s->pad;
            for (ox = first; ox < end; ox++, line += s->stride) *line += columns[ox];
        }
    }
}

/* --- how work is cut: by shape and batch alone ------------------------------------- */

/* Output lines of one forward item: pixels enough for an efficient product, few enough
 * that a small batch still gives every thread something. */
static uint32_t tile_lines(const an_conv_shape *s, uint32_t batch)
{
    uint32_t pixels = batch >= 8 ? 512 : 128;
    uint32_t lines = (pixels + s->out_width - 1) / s->out_width;
    uint32_t tiles;

    if (lines > s->out_height) lines = s->out_height;
    tiles = (s->out_height + lines - 1) / lines;
    return (s->out_height + tiles - 1) / tiles; /* of even size */
}

/* Column rows of one item of the weights' gradient. A power of two of them shares out
 * evenly. */
static uint32_t weight_blocks(const an_unfold *u)
{
    uint32_t blocks = 16;

    while (blocks > 1 && u->rows / blocks < 64) blocks /= 2;
    return blocks;
}

/* Maps of one item of the input's gradient. */
static uint32_t data_blocks(const an_unfold *u, uint32_t batch)
{
    return batch < 4 && u->maps_in % 4 == 0 ? 4 : 1;
}

size_t an__cpu_conv_scratch(an_device *device, const an_conv_shape *s, uint32_t batch,
                            int training)
{
    an_unfold u = unfold_of(s);
    size_t worker = (size_t)u.rows * u.pixels * sizeof(float); /* the whole matrix */

    (void)batch;
    (void)training;
    worker = (worker + 63) / 64 * 64;
    return worker * device->host->threads;
}

/* --- forward ----------------------------------------------------------------------- */

typedef struct an_conv_work {
    const an_queue *queue;
    const an_conv_shape *s;
    an_unfold u;
    uint32_t batch, blocks, lines;
    const float *x, *w, *b, *dy;
    float *y, *dx, *dw, *db;
} an_conv_work;

static void forward_item(uint32_t item, uint32_t worker, void *arg)
{
    const an_conv_work *c = arg;
    const an_conv_shape *s = c->s;
    const an_unfold *u = &c->u;
    uint32_t tile = item % c->blocks, group = item / c->blocks % s->groups;
    uint32_t image = item / c->blocks / s->groups;
    uint32_t y = tile * c->lines, y_end = y + c->lines, map;
    float *columns = an__cpu_scratch(c->queue, worker), *out;
    size_t pixels, i;
    an_gemm g;

    if (y_end > s->out_height) y_end = s->out_height;
    pixels = (size_t)(y_end - y) * s->out_width;
    im2col(s, c->x + image * u->in_image + group * u->in_group, 0, u->rows, y, y_end,
           columns);
    out = c->y + image * u->out_image + group * u->out_group + (size_t)y * s->out_width;
    for (map = 0; map < u->maps_out; map++)
        for (i = 0; i < pixels; i++)
            out[(size_t)map * u->pixels + i] = c->b[group * u->maps_out + map];
    g.m = u->maps_out;
    g.n = pixels;
    g.k = u->rows;
    g.a = c->w + (size_t)group * u->maps_out * u->rows;
    g.lda = u->rows;
    g.b = columns;
    g.ldb = pixels;
    g.c = out;
    g.ldc = u->pixels;
    g.ta = g.tb = 0;
    g.add = 1;
    an__cpu_gemm(&g);
}

an_status an__cpu_conv_forward(an_queue *q, const an_conv_shape *s, uint32_t batch,
                               an_operand x, an_operand w, an_operand prepacked,
                               an_operand b, an_operand y)
{
    an_conv_work c;

    (void)prepacked;
    memset(&c, 0, sizeof c);
    c.queue = q;
    c.s = s;
    c.u = unfold_of(s);
    c.lines = tile_lines(s, batch);
    c.blocks = (s->out_height + c.lines - 1) / c.lines;
    c.x = an__cpu_floats(x);
    c.w = an__cpu_floats(w);
    c.b = an__cpu_floats(b);
    c.y = an__cpu_floats(y);
    an__cpu_parallel(q, batch * s->groups * c.blocks, forward_item, &c);
    return AN_OK;
}

/* --- backward: the input's gradient ------------------------------------------------ */

static void data_item(uint32_t item, uint32_t worker, void *arg)
{
    const an_conv_work *c = arg;
    const an_conv_shape *s = c->s;
    const an_unfold *u = &c->u;
    uint32_t block = item % c->blocks, group = item / c->blocks % s->groups;
    uint32_t image = item / c->blocks / s->groups, maps = u->maps_in / c->blocks;
    uint32_t rows = u->rows / c->blocks;
    float *columns = an__cpu_scratch(c->queue, worker);
    an_gemm g;

    g.m = rows;
    g.n = u->pixels;
    g.k = u->maps_out;
    g.a = c->w + (size_t)group * u->maps_out * u->rows + (size_t)block * rows;
    g.lda = u->rows;
    g.b = c->dy + image * u->out_image + group * u->out_group;
    g.ldb = u->pixels;
    g.c = columns;
    g.ldc = u->pixels;
    g.ta = 1;
    g.tb = g.add = 0;
    an__cpu_gemm(&g);
    col2im(s, maps, columns,
           c->dx + image * u->in_image + group * u->in_group +
               (size_t)block * maps * s->in_height * s->in_width);
}

an_status an__cpu_conv_backward_data(an_queue *q, const an_conv_shape *s, uint32_t batch,
                                     an_operand w, an_operand prepacked, an_operand dy,
                                     an_operand x, an_operand dx)
{
    an_conv_work c;

    (void)prepacked;
    (void)x;
    memset(&c, 0, sizeof c);
    c.queue = q;
    c.s = s;
    c.u = unfold_of(s);
    c.blocks = data_blocks(&c.u, batch);
    c.w = an__cpu_floats(w);
    c.dy = an__cpu_floats(dy);
    c.dx = an__cpu_floats(dx);
    an__cpu_parallel(q, batch * s->groups * c.blocks, data_item, &c);
    return AN_OK;
}

/* --- backward: the weights' gradient ----------------------------------------------- */

/* A block of the columns' rows is a block of dw's columns: each item walks over all
 * images in order, and owns what it adds to. */
static void weights_item(uint32_t item, uint32_t worker, void *arg)
{
    const an_conv_work *c = arg;
    const an_conv_shape *s = c->s;
    const an_unfold *u = &c->u;
    uint32_t block = item % c->blocks, group = item / c->blocks, image;
    uint32_t row = (uint32_t)((uint64_t)u->rows * block / c->blocks);
    uint32_t row_end = (uint32_t)((uint64_t)u->rows * (block + 1) / c->blocks);
    float *columns = an__cpu_scratch(c->queue, worker);
    an_gemm g;

    g.m = u->maps_out;
    g.n = row_end - row;
    g.k = u->pixels;
    g.lda = u->pixels;
    g.b = columns;
    g.ldb = u->pixels;
    g.c = c->dw + (size_t)group * u->maps_out * u->rows + row;
    g.ldc = u->rows;
    g.ta = 0;
    g.tb = 1;
    for (image = 0; image < c->batch; image++) {
        im2col(s, c->x + image * u->in_image + group * u->in_group, row, row_end, 0,
               s->out_height, columns);
        g.a = c->dy + image * u->out_image + group * u->out_group;
        g.add = image > 0;
        an__cpu_gemm(&g);
    }
}

static void bias_item(uint32_t map, uint32_t worker, void *arg)
{
    const an_conv_work *c = arg;
    double sum = 0;
    uint32_t image, i;

    (void)worker;
    for (image = 0; image < c->batch; image++) {
        const float *dy = c->dy + image * c->u.out_image + (size_t)map * c->u.pixels;

        for (i = 0; i < c->u.pixels; i++) sum += (double)dy[i];
    }
    c->db[map] = (float)sum;
}

an_status an__cpu_conv_backward_weights(an_queue *q, const an_conv_shape *s,
                                        uint32_t batch, an_operand x, an_operand dy,
                                        an_operand dw, an_operand db)
{
    an_conv_work c;

    memset(&c, 0, sizeof c);
    c.queue = q;
    c.s = s;
    c.u = unfold_of(s);
    c.batch = batch;
    c.blocks = weight_blocks(&c.u);
    c.x = an__cpu_floats(x);
    c.dy = an__cpu_floats(dy);
    c.dw = an__cpu_floats(dw);
    c.db = an__cpu_floats(db);
    an__cpu_parallel(q, s->groups * c.blocks, weights_item, &c);
    an__cpu_parallel(q, s->out_maps, bias_item, &c);
    return AN_OK;
}
