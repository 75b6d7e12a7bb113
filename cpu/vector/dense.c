/*
 * dense.c - fully connected layers. Weights are read as they lie, [outputs][inputs], once a
 * pass whatever the batch: nothing is packed that is as large as memory is slow.
 *
 * Inputs that come from maps are brought into the weights' order first, map by map: images
 * are small beside weights.
 */
#include <string.h>

#include "path.h"
#include "tile.h"

/* Dot products at a time: of so many weights' rows with so many images. */
#define DOTS (ROWS > 6 ? 8 : 4)
#define IMAGES 3
#define RUN 512u    /* inputs at a time: rows of weights stay in the first cache */
#define OUTPUTS 32u /* of an item */

typedef struct an_dense_work {
    const an_queue *q;
    const an_dense_shape *s;
    uint32_t batch;
    const float *x, *w, *b, *dy;
    float *y, *dx, *dw, *db;
    float *flat;    /* [batch][inputs], in the weights' order */
    float *strips;  /* of a matrix product: shared, */
    float *private; /* and each worker's */
    size_t worker;  /* numbers of that */
} an_dense_work;

static uint32_t blocks(uint32_t count, uint32_t size)
{
    return (count + size - 1) / size;
}

static uint32_t at_most(uint32_t count, uint32_t limit)
{
    return count < limit ? count : limit;
}

/* --- from pixels to maps, and back --------------------------------------------------------- */

/* to[j][i] = from[i][j] */
static void transpose(const float *from, uint32_t rows, uint32_t columns, float *to)
{
    uint32_t i, j, k, end;

    for (i = 0; i < rows; i += VL)
        for (end = at_most(rows, i + VL), j = 0; j < columns; j++)
            for (k = i; k < end; k++)
                to[(size_t)j * rows + k] = from[(size_t)k * columns + j];
}

static void flatten_item(uint32_t image, uint32_t worker, void *arg)
{
    const an_dense_work *d = arg;
    const an_dense_shape *s = d->s;
    size_t slab = s->inputs / s->slabs, at = (size_t)image * s->inputs;
    uint32_t k;

    (void)worker;
    for (k = 0; k < s->slabs; k++, at += slab)
        transpose(d->x + at, s->pixels, (uint32_t)slab / s->pixels, d->flat + at);
}

static void unflatten_item(uint32_t image, uint32_t worker, void *arg)
{
    const an_dense_work *d = arg;
    const an_dense_shape *s = d->s;
    size_t slab = s->inputs / s->slabs, at = (size_t)image * s->inputs;
    uint32_t k;

    (void)worker;
    for (k = 0; k < s->slabs; k++, at += slab)
        transpose(d->flat + at, (uint32_t)slab / s->pixels, s->pixels, d->dx + at);
}

/* x in the weights' order. */
static const float *flat_input(an_dense_work *d)
{
    if (d->s->pixels == 1) return d->x;
    an__cpu_parallel(d->q, d->batch, flatten_item, d);
    return d->flat;
}

/* --- forward: dot products ----------------------------------------------------------------- */

/* sum[o][i] += weights' row o * image i, over `count` inputs. */
AN_INLINE void dots(const uint32_t rows, const uint32_t images, const float *w,
                    const float *x, size_t pitch, uint32_t count, vec sum[DOTS][IMAGES])
{
    uint32_t k, o, i;

    for (k = 0; k < count; k += VL) {
        uint32_t part = count - k;
        vec image[IMAGES];

#pragma GCC unroll 3
        for (i = 0; i < images; i++) image[i] = vec_load_part(x + i * pitch + k, part);
#pragma GCC unroll 8
        for (o = 0; o < rows; o++) {
            const vec weight = vec_load_part(w + o * pitch + k, part);

#pragma GCC unroll 3
            for (i = 0; i < images; i++) sum[o][i] = vec_fma(weight, image[i], sum[o][i]);
        }
    }
}

/* The same with sums in memory, for rows and images that are constants. */
#define DOTS_OF(rows, images)                                                            \
    static void dots_##rows##_##images(const float *w, const float *x, size_t pitch,     \
                                       uint32_t count, vec(*memory)[IMAGES])             \
    {                                                                                    \
        vec sum[DOTS][IMAGES];                                                           \
        uint32_t o, i;                                                                   \
                                                                                         \
        for (o = 0; o < rows; o++)                                                       \
            for (i = 0; i < images; i++) sum[o][i] = memory[o][i];                       \
        dots(rows, images, w, x, pitch, count / VL * VL, sum);                           \
        if (count % VL > 0)                                                              \
            dots(rows, images, w + count / VL * VL, x + count / VL * VL, pitch,          \
                 count % VL, sum);                                                       \
        for (o = 0; o < rows; o++)                                                       \
            for (i = 0; i < images; i++) memory[o][i] = sum[o][i];                       \
    }

#if ROWS > 6
DOTS_OF(8, 1)
DOTS_OF(8, 2)
DOTS_OF(8, 3)
#else
DOTS_OF(4, 1)
DOTS_OF(4, 2)
DOTS_OF(4, 3)
#endif
DOTS_OF(1, 1)
DOTS_OF(1, 2)
DOTS_OF(1, 3)

static void some_dots(uint32_t rows, uint32_t images, const float *w, const float *x,
                      size_t pitch, uint32_t count, vec (*sums)[IMAGES])
{
    static void (*const whole[])(const float *, const float *, size_t, uint32_t,
                                 vec(*)[IMAGES]) = {
#if ROWS > 6
        dots_8_1,
        dots_8_2,
        dots_8_3
#else
        dots_4_1,
        dots_4_2,
        dots_4_3
#endif
    };
    static void (*const one[])(const float *, const float *, size_t, uint32_t,
                               vec(*)[IMAGES]) = {dots_1_1, dots_1_2, dots_1_3};
    uint32_t o;

    if (rows == DOTS)
        whole[images - 1](w, x, pitch, count, sums);
    else
        for (o = 0; o < rows; o++)
            one[images - 1](w + o * pitch, x, pitch, count, sums + o);
}

#define GROUP_IMAGES 48u /* whose sums a worker keeps, for DOTS rows */

/* DOTS outputs of some images: runs of inputs outermost, so that the weights of a run are
 * used for all images while they are near. */
static void dense_rows(const an_dense_work *d, const float *x, uint32_t output,
                       uint32_t rows, uint32_t image, uint32_t images)
{
    const an_dense_shape *s = d->s;
    vec sums[GROUP_IMAGES / IMAGES][DOTS][IMAGES];
    uint32_t k, i, o, j;

    for (i = 0; i < images; i += IMAGES)
        for (o = 0; o < rows; o++)
            for (j = 0; j < IMAGES; j++) sums[i / IMAGES][o][j] = vec_set(0);
    for (k = 0; k < s->inputs; k += RUN)
        for (i = 0; i < images; i += IMAGES)
            some_dots(rows, at_most(images - i, IMAGES),
                      d->w + (size_t)output * s->inputs + k,
                      x + (size_t)(image + i) * s->inputs + k, s->inputs,
                      at_most(s->inputs - k, RUN), sums[i / IMAGES]);
    for (i = 0; i < images; i++)
        for (o = 0; o < rows; o++) {
            float y = vec_sum(sums[i / IMAGES][o][i % IMAGES]) + d->b[output + o];

            d->y[(size_t)(image + i) * s->outputs + output + o] =
                s->relu && y < 0 ? 0 : y;
        }
}

static void forward_item(uint32_t item, uint32_t worker, void *arg)
{
    const an_dense_work *d = arg;
    uint32_t first = item * OUTPUTS, end = at_most(d->s->outputs, first + OUTPUTS), image;
    const float *x = d->s->pixels == 1 ? d->x : d->flat;

    (void)worker;
    for (; first < end; first += DOTS)
        for (image = 0; image < d->batch; image += GROUP_IMAGES)
            dense_rows(d, x, first, at_most(end - first, DOTS), image,
                       at_most(d->batch - image, GROUP_IMAGES));
}

/* --- backward: tiles of sums ---------------------------------------------------------------- */

#define DEPTH 256u       /* outputs at a time */
#define BREADTH (8 * VL) /* inputs of an item, four blocks of COLS */

/* A matrix [rows][columns] as strips of `wide` columns: [strip][row][wide], zeros behind. */
typedef struct an_stripping {
    const float *from;
    float *to;
    uint32_t rows, columns, wide;
} an_stripping;

static void strip_item(uint32_t strip, uint32_t worker, void *arg)
{
    const an_stripping *m = arg;
    uint32_t first = strip * m->wide, count = at_most(m->columns - first, m->wide), r, c;
    const float *from = m->from + first;
    float *to = m->to + (size_t)strip * m->rows * m->wide;

    (void)worker;
    for (r = 0; r < m->rows; r++, from += m->columns, to += m->wide) {
        for (c = 0; c < count; c++) to[c] = from[c];
        for (; c < m->wide; c++) to[c] = 0;
    }
}

static void strip(const an_queue *q, const float *from, uint32_t rows, uint32_t columns,
                  uint32_t wide, float *to)
{
    an_stripping m = {from, to, rows, columns, wide};

    an__cpu_parallel(q, blocks(columns, wide), strip_item, &m);
}

/* dx, BREADTH inputs of all images: dy * w. Weights are brought together, DEPTH rows of them
 * at a time; strips has dy, [strip of DEPTH outputs][image][DEPTH + VL]. */
static void data_item(uint32_t item, uint32_t worker, void *arg)
{
    const an_dense_work *d = arg;
    const an_dense_shape *s = d->s;
    uint32_t first = item * BREADTH, count = at_most(s->inputs - first, BREADTH), o, r, c;
    uint32_t tiles = tiles_of(d->batch), tile;
    float *pack = d->private + worker * d->worker;
    float *dx = s->pixels == 1 ? d->dx : d->flat;
    an_terms t = {NULL, NULL, 1, 1, 0, DEPTH + VL, 0, 0, 1, 0, 0, COLS};
    an_sums sum = {NULL, s->inputs, 0, 0, NULL, 0};

    for (o = 0; o < s->outputs; o += DEPTH) {
        t.run = at_most(s->outputs - o, DEPTH);
        for (c = 0; c < count; c += COLS) {
            uint32_t cols = at_most(count - c, COLS), k;
            const float *from = d->w + (size_t)o * s->inputs + first + c;
            float *to = pack + (size_t)c * DEPTH;

            for (r = 0; r < t.run; r++, from += s->inputs, to += COLS) {
                for (k = 0; k < cols; k++) to[k] = from[k];
                for (; k < COLS; k++) to[k] = 0;
            }
        }
        sum.add = o > 0;
        for (tile = 0; tile < tiles; tile++) {
            uint32_t image = share(d->batch, tiles, tile);
            uint32_t rows = share(d->batch, tiles, tile + 1) - image;

            t.a = d->strips + ((size_t)o / DEPTH * d->batch + image) * (DEPTH + VL);
            for (c = 0; c < count; c += COLS) {
                t.b = pack + (size_t)c * DEPTH;
                sum.c = dx + (size_t)image * s->inputs + first + c;
                sum.cols = at_most(count - c, COLS);
                V(tile)(rows, &t, &sum);
            }
        }
    }
}

/* dw, a tile's rows of outputs: dy^T * x. strips: x, [strip of COLS inputs][image][COLS],
 * then dy, [strip of ROWS outputs][image][ROWS]. */
static void weights_item(uint32_t item, uint32_t worker, void *arg)
{
    const an_dense_work *d = arg;
    const an_dense_shape *s = d->s;
    uint32_t first = item * ROWS, rows = at_most(s->outputs - first, ROWS), i, o, image;
    const float *x = d->strips;
    const float *dy = x + (size_t)blocks(s->inputs, COLS) * d->batch * COLS +
                      (size_t)item * d->batch * ROWS;
    an_terms t = {dy, x, 1, 1, d->batch, 1, 0, 0, ROWS, 0, 0, COLS};
    an_sums sum = {NULL, s->inputs, 0, 0, NULL, 0};

    (void)worker;
    for (i = 0; i < s->inputs; i += COLS) {
        t.b = x + (size_t)i * d->batch;
        sum.c = d->dw + (size_t)first * s->inputs + i;
        sum.cols = at_most(s->inputs - i, COLS);
        V(tile)(rows, &t, &sum);
    }
    for (o = 0; o < rows; o++) {
        double total = 0;

        for (image = 0; image < d->batch; image++)
            total += (double)dy[(size_t)image * ROWS + o];
        d->db[first + o] = (float)total;
    }
}

/* --- scratch and operations ----------------------------------------------------------------- */

static size_t up(size_t count)
{
    return (count + 15) / 16 * 16;
}

static size_t place(an_dense_work *d, float *at)
{
    const an_dense_shape *s = d->s;
    size_t flat = s->pixels == 1 ? 0 : up((size_t)d->batch * s->inputs);
    size_t data = (size_t)blocks(s->outputs, DEPTH) * d->batch * (DEPTH + VL);
    size_t x = (size_t)blocks(s->inputs, COLS) * d->batch * COLS;
    size_t dy = (size_t)blocks(s->outputs, ROWS) * d->batch * ROWS;
    size_t strips = up(data > x + dy ? data : x + dy);

    d->worker = (size_t)DEPTH * BREADTH;
    if (at != NULL) {
        d->flat = at;
        d->strips = at + flat;
        d->private = d->strips + strips;
    }
    return flat + strips;
}

size_t V(dense_scratch)(an_device *device, const an_dense_shape *s, uint32_t batch)
{
    an_dense_work d;
    size_t shared;

    memset(&d, 0, sizeof d);
    d.s = s;
    d.batch = batch;
    shared = place(&d, NULL);
    return (shared + d.worker * device->host->threads) * sizeof(float);
}

static an_dense_work work_of(const an_queue *q, const an_dense_shape *s, uint32_t batch)
{
    an_dense_work d;

    memset(&d, 0, sizeof d);
    d.q = q;
    d.s = s;
    d.batch = batch;
    place(&d, q->scratch);
    return d;
}

an_status V(dense_forward)(an_queue *q, const an_dense_shape *s, uint32_t batch,
                           const float *x, const float *w, const float *b, float *y)
{
    an_dense_work d = work_of(q, s, batch);

    d.x = x;
    d.w = w;
    d.b = b;
    d.y = y;
    flat_input(&d);
    an__cpu_parallel(q, blocks(s->outputs, OUTPUTS), forward_item, &d);
    return AN_OK;
}

an_status V(dense_backward_data)(an_queue *q, const an_dense_shape *s, uint32_t batch,
                                 const float *w, const float *dy, float *dx)
{
    an_dense_work d = work_of(q, s, batch);
    uint32_t o, image;

    d.w = w;
    d.dx = dx;
    for (o = 0; o < s->outputs; o += DEPTH)
        for (image = 0; image < batch; image++)
            memcpy(d.strips + ((size_t)o / DEPTH * batch + image) * (DEPTH + VL),
                   dy + (size_t)image * s->outputs + o,
                   at_most(s->outputs - o, DEPTH) * sizeof *dy);
    an__cpu_parallel(q, blocks(s->inputs, BREADTH), data_item, &d);
    if (s->pixels > 1) an__cpu_parallel(q, batch, unflatten_item, &d);
    return AN_OK;
}

an_status V(dense_backward_weights)(an_queue *q, const an_dense_shape *s, uint32_t batch,
                                    const float *x, const float *dy, float *dw, float *db)
{
    an_dense_work d = work_of(q, s, batch);

    d.x = x;
    d.dw = dw;
    d.db = db;
    strip(q, flat_input(&d), batch, s->inputs, COLS, d.strips);
    strip(q, dy, batch, s->outputs, ROWS,
          d.strips + (size_t)blocks(s->inputs, COLS) * batch * COLS);
    an__cpu_parallel(q, blocks(s->outputs, ROWS), weights_item, &d);
    return AN_OK;
}
