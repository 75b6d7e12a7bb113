/*
 * conv_weights.c - the gradient of a convolution's weights: for each tap, a matrix
 * product over all pixels of all images.
 *
 * Images are copied into strips that a tile of sums walks along: of x, padded, a strip
 * has all pixels of the maps that are one tile's rows; of dy, of the maps that are its
 * columns. Where x has fewer maps than a tile has rows (the first layer), a kernel's line
 * of them makes the rows, and padded images serve as they are.
 */
#include <string.h>

#include "conv.h"
#include "path.h"

typedef struct an_learning {
    an_job j; /* forward's: its pad, parts, reads, maps and blocks */
    const an_conv_shape *s;
    uint32_t first, count;  /* images of this round */
    uint32_t height, width; /* of a padded image */
    int few_maps;           /* a kernel's line makes the rows */
    uint32_t tiles; /* of rows: of one tap or, with few_maps, of one line of taps */
    size_t x_image, x_strip, dy_strip; /* numbers of one image */
    const float *x, *dy;
    float *dw, *db;
    float *x_strips;  /* [part][tile][image][line][pixel][ROWS], or padded images */
    float *dy_strips; /* [part][block][image][pixel][COLS] */
    float *sums;      /* [part][block][line of taps][tap][map read][COLS] */
    float *lines;     /* [worker][a padded line of all maps] */
    double *bias;     /* [part][block][COLS] */
} an_learning;

#define ROUND_FLOATS ((size_t)4 << 20) /* of strips at a time, about */
#define CACHED_FLOATS ((size_t)200 << 10)

static an_learning learning_of(const an_conv_shape *s)
{
    an_learning l;

    memset(&l, 0, sizeof l);
    l.j = V(forward_job)(s);
    l.s = s;
    l.height = padded_height(&l.j);
    l.width = padded_width(&l.j);
    l.few_maps = l.j.reads < ROWS && s->groups == 1;
    l.tiles = tiles_of(l.few_maps ? s->kernel * l.j.reads : l.j.reads);
    l.x_strip = (size_t)l.height * l.width * (l.few_maps ? s->in_maps : ROWS);
    l.x_image = l.few_maps ? l.x_strip : l.j.parts * l.tiles * l.x_strip;
    l.dy_strip = (size_t)s->out_height * s->out_width * COLS;
    return l;
}

static uint32_t round_images(const an_learning *l, uint32_t batch)
{
    size_t image = l->x_image + l->j.parts * l->j.blocks * l->dy_strip;
    size_t fit = ROUND_FLOATS / image;

    return fit < 1 ? 1 : fit < batch ? (uint32_t)fit : batch;
}

/* Lays scratch out from `at` on; returns its numbers. */
static size_t place(an_learning *l, float *at, uint32_t images, uint32_t threads)
{
    uint32_t blocks = l->j.parts * l->j.blocks, taps = l->s->kernel * l->s->kernel;
    size_t x = round_up(l->x_image * images, 16), dy = blocks * l->dy_strip * images;
    size_t sums = (size_t)blocks * taps * l->j.reads * COLS;
    size_t line = round_up((size_t)l->width * l->s->in_maps, 16);

    if (at != NULL) {
        l->bias = (double *)(void *)at; /* this and the sums stay from round to round */
        l->sums = at + 2 * (size_t)blocks * COLS;
        l->lines = l->sums + sums;
        l->dy_strips = l->lines + line * threads;
        l->x_strips = l->dy_strips + dy;
    }
    return 2 * (size_t)blocks * COLS + sums + line * threads + dy + x;
}

size_t V(weights_scratch)(const an_device *device, const an_conv_shape *s, uint32_t batch)
{
    an_learning l = learning_of(s);

    return place(&l, NULL, round_images(&l, batch), device->host->threads);
}

/* --- strips ------------------------------------------------------------------------ */

static void fill_x(const an_learning *l, uint32_t image, uint32_t worker)
{
    const an_job *j = &l->j;
    const float *x =
        l->x + (size_t)(l->first + image) * j->in_height * j->in_width * j->in_maps;
    float *line = l->lines + worker * round_up((size_t)l->width * j->in_maps, 16);
    uint32_t y, part, tile, i, r;

    if (l->few_maps) {
        V(padded_lines)(j, x, 0, l->height, l->width, l->x_strips + image * l->x_strip);
        return;
    }
    for (y = 0; y < l->height; y++) {
        V(padded_lines)(j, x, y, y + 1, l->width, line);
        for (part = 0; part < j->parts; part++)
            for (tile = 0; tile < l->tiles; tile++) {
                uint32_t first = share(j->reads, l->tiles, tile);
                uint32_t rows = share(j->reads, l->tiles, tile + 1) - first;
                const float *from = line + part * j->apart + first;
                float *to =
                    l->x_strips +
                    ((size_t)(part * l->tiles + tile) * l->count + image) * l->x_strip +
                    (size_t)y * l->width * ROWS;

                for (i = 0; i < l->width; i++, from += j->in_maps, to += ROWS)
                    for (r = 0; r < rows; r++) to[r] = from[r];
            }
    }
}

static void fill_dy(const an_learning *l, uint32_t image)
{
    const an_job *j = &l->j;
    size_t pixels = (size_t)j->out_height * j->out_width, i;
    uint32_t part, block, m;

    for (part = 0; part < j->parts; part++)
        for (block = 0; block < j->blocks; block++) {
            uint32_t maps = block_maps(j, block);
            const float *from = l->dy + (l->first + image) * pixels * j->out_maps +
                                part * j->maps + block * COLS;
            float *to =
                l->dy_strips +
                ((size_t)(part * j->blocks + block) * l->count + image) * l->dy_strip;

            for (i = 0; i < pixels; i++, from += j->out_maps, to += COLS) {
                for (m = 0; m < maps; m++) to[m] = from[m];
                for (; m < COLS; m++) to[m] = 0;
            }
        }
}

static void fill_item(uint32_t image, uint32_t worker, void *arg)
{
    const an_learning *l = arg;

    fill_x(l, image, worker);
    fill_dy(l, image);
}

/* --- sums -------------------------------------------------------------------------- */

/* Adds what `images` images from `image` on give to one tile of one line of taps: with
 * few_maps, a tile of that line, else of each of its taps. */
static void line_sums(const an_learning *l, uint32_t part, uint32_t block, uint32_t tile,
                      uint32_t ky, uint32_t image, uint32_t images)
{
    const an_job *j = &l->j;
    uint32_t across = l->few_maps ? j->kernel * j->reads : j->reads, kx;
    uint32_t row = share(across, l->tiles, tile);
    uint32_t rows = share(across, l->tiles, tile + 1) - row;
    size_t pixel = l->few_maps ? j->in_maps : ROWS, line = l->width * pixel;
    /* output lines [from, to) for which this line of taps lies within the image */
    uint32_t from =
        j->pad > (int)ky ? ((uint32_t)j->pad - ky + j->stride - 1) / j->stride : 0;
    uint32_t limit = j->in_height + (uint32_t)j->pad, to = j->out_height;
    an_terms t = {.outer = images,
                  .run = j->out_width,
                  .a_row = 1,
                  .a_outer = l->x_strip,
                  .a_inner = j->stride * line,
                  .a_step = j->stride * pixel,
                  .b_outer = l->dy_strip,
                  .b_inner = (size_t)j->out_width * COLS,
                  .b_step = COLS};
    an_sums s = {.c_row = COLS, .cols = COLS, .add = l->first + image > 0};
    const float *x;

    if (limit <= ky)
        to = 0;
    else if ((limit - ky + j->stride - 1) / j->stride < to)
        to = (limit - ky + j->stride - 1) / j->stride;
    t.inner = from < to ? to - from : 0;
    x = l->few_maps
            ? l->x_strips + image * l->x_strip + row
            : l->x_strips +
                  ((size_t)(part * l->tiles + tile) * l->count + image) * l->x_strip;
    x += (from * j->stride + ky) * line;
    t.b = l->dy_strips +
          ((size_t)(part * j->blocks + block) * l->count + image) * l->dy_strip +
          (size_t)from * j->out_width * COLS;
    s.c = l->sums +
          ((size_t)(part * j->blocks + block) * j->kernel + ky) * j->kernel * j->reads *
              COLS +
          row * COLS;
    for (kx = 0; kx < (l->few_maps ? 1 : j->kernel); kx++) {
        t.a = x + kx * pixel;
        V(tile)(rows, &t, &s);
        s.c += (size_t)j->reads * COLS;
    }
}

/* The sum over pixels, a line at a time: lines in float, then in double. */
static void bias_sums(const an_learning *l, uint32_t item)
{
    const an_job *j = &l->j;
    double *sum = l->bias + (size_t)item * COLS;
    const float *dy = l->dy_strips + (size_t)item * l->count * l->dy_strip;
    uint32_t lines = l->count * j->out_height, i, m;
    float part[COLS];

    for (m = 0; l->first == 0 && m < COLS; m++) sum[m] = 0;
    for (; lines > 0; lines--) {
        vec left = vec_set(0), right = vec_set(0);

        for (i = 0; i < j->out_width; i++, dy += COLS) {
            left += vec_load(dy);
            right += vec_load(dy + VL);
        }
        vec_store(part, left);
        vec_store(part + VL, right);
        for (m = 0; m < COLS; m++) sum[m] += (double)part[m];
    }
}

/* item: a tile of rows of one block or, with few_maps, a line of taps of one. */
static void sums_item(uint32_t item, uint32_t worker, void *arg)
{
    const an_learning *l = arg;
    uint32_t each = l->few_maps ? l->j.kernel : l->tiles, block = item / each;
    size_t image_floats = l->x_strip + l->dy_strip, fit = CACHED_FLOATS / image_floats;
    uint32_t images = fit < 1 ? 1 : (uint32_t)fit, image, k;

    (void)worker;
    for (image = 0; image < l->count; image += images) {
        uint32_t part = block / l->j.blocks;

        if (images > l->count - image) images = l->count - image;
        for (k = 0; k < (l->few_maps ? l->tiles : l->j.kernel); k++)
            line_sums(l, part, block % l->j.blocks, l->few_maps ? k : item % each,
                      l->few_maps ? item % each : k, image, images);
    }
    if (item % each == 0) bias_sums(l, block);
}

/* --- the result: an item is an output map ------------------------------------------ */

static void result_item(uint32_t map, uint32_t worker, void *arg)
{
    const an_learning *l = arg;
    const an_job *j = &l->j;
    uint32_t part = map / j->maps, m = map % j->maps, taps = j->kernel * j->kernel, r, t;
    uint32_t block = part * j->blocks + m / COLS;
    const float *sums = l->sums + (size_t)block * taps * j->reads * COLS + m % COLS;
    float *dw = l->dw + (size_t)map * j->reads * taps;

    (void)worker;
    for (r = 0; r < j->reads; r++)
        for (t = 0; t < taps; t++)
            dw[(size_t)r * taps + t] = sums[((size_t)t * j->reads + r) * COLS];
    l->db[map] = (float)l->bias[(size_t)block * COLS + m % COLS];
}

an_status V(conv_backward_weights)(an_queue *q, const an_conv_shape *s, uint32_t batch,
                                   an_operand x, an_operand dy, an_operand dw,
                                   an_operand db)
{
    an_learning l = learning_of(s);
    uint32_t most = round_images(&l, batch), blocks = l.j.parts * l.j.blocks;

    l.x = an__cpu_floats(x);
    l.dy = an__cpu_floats(dy);
    l.dw = an__cpu_floats(dw);
    l.db = an__cpu_floats(db);
    for (; l.first < batch; l.first += l.count) {
        l.count = batch - l.first < most ? batch - l.first : most;
        place(&l, q->scratch, l.count, q->device->host->threads);
        an__cpu_parallel(q, l.count, fill_item, &l);
        an__cpu_parallel(q, blocks * (l.few_maps ? s->kernel : l.tiles), sums_item, &l);
    }
    an__cpu_parallel(q, s->out_maps, result_item, &l);
    return AN_OK;
}
