/*
 * dense.c - fully connected layers. Weights are read as they lie, [outputs][inputs], once
 * a pass whatever the batch, or in bfloat16 where that is allowed.
 *
 * Inputs that come from maps are brought into the weights' order first, map by map:
 * images are small beside weights.
 */
#include <string.h>

#include "path.h"
#include "tile.h"

/* Dot products at a time: of so many weights' rows with so many images. */
#define DOTS (ROWS > 6 ? 8 : 4)
#define IMAGES 3
#define OUTPUTS 32u /* of an item */

/* From so many images on, a tile of sums has enough of them side by side. */
#define PRODUCT_IMAGES 16u

typedef struct an_dense_work {
    const an_queue *q;
    const an_dense_shape *s;
    uint32_t batch;
    const float *x, *w, *b, *dy;
    const uint16_t *prepacked; /* weights in bfloat16, or null */
    float *y, *dx, *dw, *db;
    float *flat;    /* [batch][inputs], in the weights' order */
    float *groups;  /* the same, as dot products want it */
    float *strips;  /* of a matrix product: shared, */
    float *private; /* and each worker's */
    size_t worker;  /* numbers of that */
} an_dense_work;

/* --- from pixels to maps, and back ------------------------------------------------- */

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
    size_t half = s->inputs / s->halves, at = (size_t)image * s->inputs;
    uint32_t k;

    (void)worker;
    for (k = 0; k < s->halves; k++, at += half)
        transpose(d->x + at, s->pixels, (uint32_t)half / s->pixels, d->flat + at);
}

static void unflatten_item(uint32_t image, uint32_t worker, void *arg)
{
    const an_dense_work *d = arg;
    const an_dense_shape *s = d->s;
    size_t half = s->inputs / s->halves, at = (size_t)image * s->inputs;
    uint32_t k;

    (void)worker;
    for (k = 0; k < s->halves; k++, at += half)
        transpose(d->flat + at, (uint32_t)half / s->pixels, s->pixels, d->dx + at);
}

/* x in the weights' order. */
static const float *flat_input(an_dense_work *d)
{
    if (d->s->pixels == 1) return d->x;
    an__cpu_parallel(d->q, d->batch, flatten_item, d);
    return d->flat;
}

/* --- forward: dot products --------------------------------------------------------- */

static size_t bf16_pitch(const an_dense_shape *s)
{
    return (size_t)pieces(s->inputs, VL) * VL;
}

/* Inputs at a time. Where rows of weights meet several groups of images they are to stay
 * in the first cache; else long streams are best. How long they are changes no sum. */
static uint32_t run_of(const an_dense_work *d)
{
    return d->batch > IMAGES ? 512 : 2048;
}

/* Images are brought together in groups of IMAGES, and inputs in runs, so that the dot
 * products of all groups with one run are one stream: [run][group][VL inputs][image][VL],
 * with zeros behind the last input. Where input `at` of an image is: */
static float *place_of(const an_dense_work *d, uint32_t image, uint32_t at)
{
    uint32_t first = image / IMAGES * IMAGES, most = run_of(d), run = at / most * most;
    size_t length = pieces(at_most(d->s->inputs - run, most), VL) * VL;

    return d->groups + (size_t)run * d->batch + first * length +
           (size_t)(at - run) / VL * VL * at_most(d->batch - first, IMAGES) +
           image % IMAGES * VL + at % VL;
}

static void group_item(uint32_t image, uint32_t worker, void *arg)
{
    const an_dense_work *d = arg;
    const an_dense_shape *s = d->s;
    uint32_t half = s->inputs / s->halves, maps = half / s->pixels, map, pixel, k, i;
    const float *x = d->x + (size_t)image * s->inputs;

    (void)worker;
    for (i = 0; s->pixels == 1 && i + VL <= s->inputs; i += VL)
        vec_store(place_of(d, image, i), vec_load(x + i));
    for (; s->pixels == 1 && i < s->inputs; i++) *place_of(d, image, i) = x[i];
    for (k = 0; s->pixels > 1 && k < s->halves; k++, x += half)
        for (map = 0, i = k * half; map < maps; map++)
            for (pixel = 0; pixel < s->pixels; pixel++, i++)
                *place_of(d, image, i) = x[(size_t)pixel * maps + map];
    if (s->inputs % VL == 0) return;
    for (i = s->inputs - 1; i % VL != VL - 1; i++)
        place_of(d, image, s->inputs - 1)[i + 1 - (s->inputs - 1)] = 0;
}

/* Weights as they lie, or in bfloat16: then with rows of whole vectors, zeros behind. */
typedef struct an_rows {
    const void *w;
    size_t pitch;
} an_rows;

AN_INLINE vec weights_at(const an_rows *rows, const int bf16, size_t at, uint32_t count)
{
    const float *wide = (const float *)rows->w + at;
    const uint16_t *half = (const uint16_t *)rows->w + at;

    if (bf16) return vec_load_bf16(half);
    return count >= VL ? vec_load(wide) : vec_load_first(wide, count);
}

/* sum[o][i] += weights' row o * image i, over `count` inputs from place `at` on; whole: a
 * multiple of VL. */
AN_INLINE void dots(const uint32_t rows, const uint32_t images, const int bf16,
                    const int whole, const an_rows *w, size_t at, const float *x,
                    uint32_t count, vec sum[DOTS][IMAGES])
{
    const size_t pitch = w->pitch, bytes = bf16 ? 2 : 4;
    uint32_t k, o, i;

    for (k = 0; k < count; k += VL, x += images * VL) {
        vec image[IMAGES];

        if (images == IMAGES) { /* it is in the second cache */
            _mm_prefetch((const char *)(x + 8 * IMAGES * VL), _MM_HINT_T0);
            _mm_prefetch((const char *)(x + 9 * IMAGES * VL - VL), _MM_HINT_T0);
            _mm_prefetch((const char *)(x + 9 * IMAGES * VL - 2 * VL), _MM_HINT_T0);
        }
#pragma GCC unroll 3
        for (i = 0; i < images; i++) image[i] = vec_load(x + i * VL);
#pragma GCC unroll 8
        for (o = 0; o < rows; o++) {
            const size_t place = at + o * pitch + k;
            const vec weight =
                vec_once(weights_at(w, bf16, place, whole ? VL : count - k));

            if (images < IMAGES) /* memory is all that counts then */
                _mm_prefetch((const char *)w->w + (place + 512) * bytes, _MM_HINT_T0);
#pragma GCC unroll 3
            for (i = 0; i < images; i++) sum[o][i] = vec_fma(weight, image[i], sum[o][i]);
        }
    }
}

typedef void an_dots(const an_rows *w, size_t at, const float *x, uint32_t count,
                     vec (*sums)[IMAGES]);

/* The same with sums in memory, for rows, images and precision that are constants. */
#define DOTS_OF(rows, images, bf16)                                                      \
    static void dots_##rows##_##images##_##bf16(                                         \
        const an_rows *w, size_t at, const float *x, uint32_t count, vec(*sums)[IMAGES]) \
    {                                                                                    \
        uint32_t even = bf16 ? pieces(count, VL) * VL : count / VL * VL, o, i;           \
        vec sum[DOTS][IMAGES];                                                           \
                                                                                         \
        for (o = 0; o < rows; o++)                                                       \
            for (i = 0; i < images; i++) sum[o][i] = sums[o][i];                         \
        dots(rows, images, bf16, 1, w, at, x, even, sum);                                \
        if (count > even)                                                                \
            dots(rows, images, bf16, 0, w, at + even, x + (size_t)even * images,         \
                 count - even, sum);                                                     \
        for (o = 0; o < rows; o++)                                                       \
            for (i = 0; i < images; i++) sums[o][i] = sum[o][i];                         \
    }

#define DOTS_FOR(rows)                                                                   \
    DOTS_OF(rows, 1, 0)                                                                  \
    DOTS_OF(rows, 2, 0)                                                                  \
    DOTS_OF(rows, 3, 0)                                                                  \
    DOTS_OF(rows, 1, 1)                                                                  \
    DOTS_OF(rows, 2, 1)                                                                  \
    DOTS_OF(rows, 3, 1)                                                                  \
    static an_dots *const dots_##rows[2][IMAGES] = {                                     \
        {dots_##rows##_1_0, dots_##rows##_2_0, dots_##rows##_3_0},                       \
        {dots_##rows##_1_1, dots_##rows##_2_1, dots_##rows##_3_1}};

#if ROWS > 6
DOTS_FOR(8)
#define dots_all dots_8
#else
DOTS_FOR(4)
#define dots_all dots_4
#endif
DOTS_FOR(1)

/* at: the first weight of the first row. */
static void some_dots(uint32_t rows, uint32_t images, int bf16, const an_rows *w,
                      size_t at, const float *x, uint32_t count, vec (*sums)[IMAGES])
{
    uint32_t o;

    if (rows == DOTS)
        dots_all[bf16][images - 1](w, at, x, count, sums);
    else
        for (o = 0; o < rows; o++)
            dots_1[bf16][images - 1](w, at + o * w->pitch, x, count, sums + o);
}

#define TOGETHER 12u /* images whose sums a worker keeps, for DOTS rows */

/* DOTS outputs of some images: runs of inputs outermost, so that the weights of a run are
 * used for all images while they are near. */
static void dense_rows(const an_dense_work *d, uint32_t output, uint32_t rows,
                       uint32_t image, uint32_t images)
{
    const an_dense_shape *s = d->s;
    const int bf16 = d->prepacked != NULL;
    const an_rows w = {bf16 ? d->prepacked : (const void *)d->w,
                       bf16 ? bf16_pitch(s) : s->inputs};
    vec sums[TOGETHER / IMAGES][DOTS][IMAGES];
    uint32_t run = run_of(d), k, i, o, j;

    for (i = 0; i < images; i += IMAGES)
        for (o = 0; o < rows; o++)
            for (j = 0; j < IMAGES; j++) sums[i / IMAGES][o][j] = vec_set(0);
    for (k = 0; k < s->inputs; k += run)
        for (i = 0; i < images; i += IMAGES)
            some_dots(rows, at_most(d->batch - image - i, IMAGES), bf16, &w,
                      output * w.pitch + k, place_of(d, image + i, k),
                      at_most(s->inputs - k, run), sums[i / IMAGES]);
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

    (void)worker;
    for (; first < end; first += DOTS)
        for (image = 0; image < d->batch; image += TOGETHER)
            dense_rows(d, first, at_most(end - first, DOTS), image,
                       at_most(d->batch - image, TOGETHER));
}

/* --- forward, many images: weights' rows times images side by side ----------------- */

/* Rows of weights are a large power of two apart: more than these would push each other
 * out of their set of the first cache, which has twelve places or eight. */
#define OUT_ROWS (ROWS > 6 ? 10u : 6u)
#define PRODUCT_ROWS (4 * OUT_ROWS) /* of an item */
#define PRODUCT_RUN 2048u           /* inputs at a time */

/* An image as one column of [block of COLS images][input][COLS]. */
static void column_item(uint32_t image, uint32_t worker, void *arg)
{
    const an_dense_work *d = arg;
    const an_dense_shape *s = d->s;
    uint32_t half = s->inputs / s->halves, maps = half / s->pixels, map, pixel, k;
    const float *x = d->x + (size_t)image * s->inputs;
    float *to = d->strips + (size_t)(image / COLS) * s->inputs * COLS + image % COLS;

    (void)worker;
    if (image >= d->batch) {
        for (k = 0; k < s->inputs; k++) to[(size_t)k * COLS] = 0;
        return;
    }
    for (k = 0; k < s->halves; k++, x += half)
        for (map = 0; map < maps; map++)
            for (pixel = 0; pixel < s->pixels; pixel++, to += COLS)
                *to = x[(size_t)pixel * maps + map];
}

static size_t columns(const an_dense_work *d)
{
    return (size_t)pieces(d->batch, COLS) * COLS;
}

/* y of PRODUCT_ROWS outputs, all images. */
static void product_item(uint32_t item, uint32_t worker, void *arg)
{
    const an_dense_work *d = arg;
    uint32_t inputs = d->s->inputs, outputs = d->s->outputs, first = item * PRODUCT_ROWS;
    uint32_t count = at_most(outputs - first, PRODUCT_ROWS), k, o, c, image;
    float *sums = d->private + worker * d->worker;
    size_t pitch = columns(d);
    an_terms t = {.outer = 1, .inner = 1, .a_row = inputs, .a_step = 1, .b_step = COLS};
    an_sums sum = {.c_row = pitch, .cols = COLS};

    for (k = 0; k < inputs; k += PRODUCT_RUN) {
        t.run = at_most(inputs - k, PRODUCT_RUN);
        sum.add = k > 0;
        for (o = 0; o < count; o += OUT_ROWS)
            for (c = 0; c < pitch; c += COLS) {
                t.a = d->w + (size_t)(first + o) * inputs + k;
                t.b = d->strips + (size_t)c * inputs + (size_t)k * COLS;
                sum.c = sums + o * pitch + c;
                V(tile)(at_most(count - o, OUT_ROWS), &t, &sum);
            }
    }
    for (image = 0; image < d->batch; image++)
        for (o = 0; o < count; o++) {
            float y = sums[o * pitch + image] + d->b[first + o];

            d->y[(size_t)image * outputs + first + o] = d->s->relu && y < 0 ? 0 : y;
        }
}

/* --- backward: tiles of sums ------------------------------------------------------- */

/* What of the weights is brought together at a time, outputs by inputs. */
#define DATA_BREADTH (8 * VL) /* inputs: four blocks of COLS */
#define DATA_DEPTH 256u       /* outputs */
#define GAP VL /* behind a strip's row: not all rows in one set of the cache */

/* A matrix [rows][columns] as strips of `wide` columns, `pitch` numbers a row, with zeros
 * behind: [strip][row][pitch]. */
typedef struct an_stripping {
    const float *from;
    float *to;
    uint32_t rows, columns, wide, pitch;
} an_stripping;

static void strip_item(uint32_t strip, uint32_t worker, void *arg)
{
    const an_stripping *m = arg;
    uint32_t first = strip * m->wide, count = at_most(m->columns - first, m->wide), r, c;
    const float *from = m->from + first;
    float *to = m->to + (size_t)strip * m->rows * m->pitch;

    (void)worker;
    for (r = 0; r < m->rows; r++, from += m->columns, to += m->pitch) {
        for (c = 0; c < count; c++) to[c] = from[c];
        for (; c < m->wide; c++) to[c] = 0;
    }
}

static void strip(const an_queue *q, const float *from, uint32_t rows, uint32_t columns,
                  uint32_t wide, uint32_t pitch, float *to)
{
    an_stripping m = {from, to, rows, columns, wide, pitch};

    an__cpu_parallel(q, pieces(columns, wide), strip_item, &m);
}

/* A run of a product of all images, which `strips` has as strips `depth` wide, with
 * `count` columns: panel is [block of COLS][depth][COLS]. */
static void add_run(const an_dense_work *d, uint32_t depth, uint32_t at, uint32_t run,
                    const float *panel, uint32_t count, size_t pitch, an_sums sum)
{
    uint32_t tiles = tiles_of(d->batch), tile, c;
    an_terms t = {.outer = 1,
                  .inner = 1,
                  .run = run,
                  .a_row = depth + GAP,
                  .a_step = 1,
                  .b_step = COLS};
    const float *strips = d->strips + (size_t)at / depth * d->batch * (depth + GAP);
    float *out = sum.c;

    sum.c_row = pitch;
    for (tile = 0; tile < tiles; tile++) {
        uint32_t image = share(d->batch, tiles, tile);
        uint32_t rows = share(d->batch, tiles, tile + 1) - image;

        t.a = strips + (size_t)image * (depth + GAP);
        for (c = 0; c < count; c += COLS) {
            t.b = panel + (size_t)c * depth;
            sum.c = out + image * pitch + c;
            sum.cols = at_most(count - c, COLS);
            V(tile)(rows, &t, &sum);
        }
    }
}

/* Weights [at .. at + run)[first .. first + count) as they are, brought together. */
static void pack_inputs(const an_dense_work *d, uint32_t first, uint32_t count,
                        uint32_t at, uint32_t run, float *panel)
{
    uint32_t c, r, k;

    for (c = 0; c < count; c += COLS, panel += (size_t)DATA_DEPTH * COLS) {
        const float *from = d->w + (size_t)at * d->s->inputs + first + c;
        uint32_t cols = at_most(count - c, COLS);
        float *to = panel;

        for (r = 0; r < run; r++, from += d->s->inputs, to += COLS) {
            _mm_prefetch((const char *)(from + (size_t)DATA_DEPTH * d->s->inputs),
                         _MM_HINT_T1);
            _mm_prefetch((const char *)(from + (size_t)DATA_DEPTH * d->s->inputs + VL),
                         _MM_HINT_T1);
            for (k = 0; k < cols; k++) to[k] = from[k];
            for (; k < COLS; k++) to[k] = 0;
        }
    }
}

/* dx of DATA_BREADTH inputs, all images. */
static void data_item(uint32_t item, uint32_t worker, void *arg)
{
    const an_dense_work *d = arg;
    uint32_t inputs = d->s->inputs, outputs = d->s->outputs, o;
    uint32_t first = item * DATA_BREADTH, count = at_most(inputs - first, DATA_BREADTH);
    float *panel = d->private + worker * d->worker;

    for (o = 0; o < outputs; o += DATA_DEPTH) {
        uint32_t run = at_most(outputs - o, DATA_DEPTH);
        an_sums sum = {.c = (d->s->pixels == 1 ? d->dx : d->flat) + first, .add = o > 0};

        pack_inputs(d, first, count, o, run, panel);
        add_run(d, DATA_DEPTH, o, run, panel, count, inputs, sum);
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
    const float *dy = x + (size_t)pieces(s->inputs, COLS) * d->batch * COLS +
                      (size_t)item * d->batch * ROWS;
    an_terms t = {.a = dy,
                  .b = x,
                  .outer = 1,
                  .inner = 1,
                  .run = d->batch,
                  .a_row = 1,
                  .a_step = ROWS,
                  .b_step = COLS};
    an_sums sum = {.c_row = s->inputs};

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

/* --- scratch and operations -------------------------------------------------------- */

static size_t place(an_dense_work *d, float *at)
{
    const an_dense_shape *s = d->s;
    size_t flat = s->pixels == 1 ? 0 : round_up((size_t)d->batch * s->inputs, 16);
    size_t groups = (size_t)pieces(s->inputs, VL) * VL * d->batch;
    size_t data = (size_t)pieces(s->outputs, DATA_DEPTH) * d->batch * (DATA_DEPTH + GAP);
    size_t x = (size_t)pieces(s->inputs, COLS) * d->batch * COLS;
    size_t dy = (size_t)pieces(s->outputs, ROWS) * d->batch * ROWS;
    size_t strips = larger(larger(data, x + dy), larger(groups, columns(d) * s->inputs));

    d->worker = larger((size_t)DATA_DEPTH * DATA_BREADTH, PRODUCT_ROWS * columns(d));
    if (at != NULL) {
        d->flat = at;
        d->groups = d->strips = at + flat;
        d->private = d->strips + round_up(strips, 16);
    }
    return flat + round_up(strips, 16);
}

size_t V(dense_scratch)(an_device *device, const an_dense_shape *s, uint32_t batch,
                        int training)
{
    an_dense_work d;
    size_t shared;

    (void)training; /* the backward pass needs about as much */
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

/* Few images alone are held up by the weights' bytes. */
size_t V(dense_prepack_bytes)(an_device *device, const an_dense_shape *s, uint32_t batch,
                              int training)
{
    (void)device;
    if (training || s->precision != AN_PRECISION_BF16 || batch >= PRODUCT_IMAGES)
        return 0;
    return bf16_pitch(s) * s->outputs * sizeof(uint16_t);
}

typedef struct an_bf16_work {
    const an_dense_shape *s;
    const float *w;
    uint16_t *prepacked;
} an_bf16_work;

/* To nearest, ties to even; what is not a number stays none. */
static uint16_t to_bf16(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static void bf16_item(uint32_t item, uint32_t worker, void *arg)
{
    const an_bf16_work *n = arg;
    uint32_t first = item * OUTPUTS, end = at_most(n->s->outputs, first + OUTPUTS), i;
    size_t pitch = bf16_pitch(n->s);

    (void)worker;
    for (; first < end; first++) {
        const float *from = n->w + (size_t)first * n->s->inputs;
        uint16_t *to = n->prepacked + first * pitch;

        for (i = 0; i < n->s->inputs; i++) to[i] = to_bf16(from[i]);
        for (; i < pitch; i++) to[i] = 0;
    }
}

an_status V(dense_prepack)(an_queue *q, const an_dense_shape *s, an_operand w,
                           an_operand prepacked)
{
    an_bf16_work n = {s, an__cpu_floats(w), an__cpu_address(prepacked)};

    an__cpu_parallel(q, pieces(s->outputs, OUTPUTS), bf16_item, &n);
    return AN_OK;
}

an_status V(dense_forward)(an_queue *q, const an_dense_shape *s, uint32_t batch,
                           an_operand x, an_operand w, an_operand prepacked, an_operand b,
                           const an_dropout_shape *dropout, an_operand y)
{
    an_dense_work d = work_of(q, s, batch);

    (void)dropout;
    d.x = an__cpu_floats(x);
    d.w = an__cpu_floats(w);
    d.prepacked = an__cpu_address(prepacked);
    d.b = an__cpu_floats(b);
    d.y = an__cpu_floats(y);
    if (batch < PRODUCT_IMAGES) {
        an__cpu_parallel(q, batch, group_item, &d);
        an__cpu_parallel(q, pieces(s->outputs, OUTPUTS), forward_item, &d);
    } else {
        an__cpu_parallel(q, (uint32_t)columns(&d), column_item, &d);
        an__cpu_parallel(q, pieces(s->outputs, PRODUCT_ROWS), product_item, &d);
    }
    return AN_OK;
}

an_status V(dense_backward_data)(an_queue *q, const an_dense_shape *s, uint32_t batch,
                                 an_operand w, an_operand prepacked, an_operand dy,
                                 an_operand x, an_operand dx)
{
    an_dense_work d = work_of(q, s, batch);

    (void)prepacked;
    (void)x;
    d.w = an__cpu_floats(w);
    d.dx = an__cpu_floats(dx);
    strip(q, an__cpu_floats(dy), batch, s->outputs, DATA_DEPTH, DATA_DEPTH + GAP,
          d.strips);
    an__cpu_parallel(q, pieces(s->inputs, DATA_BREADTH), data_item, &d);
    if (s->pixels > 1) an__cpu_parallel(q, batch, unflatten_item, &d);
    return AN_OK;
}

an_status V(dense_backward_weights)(an_queue *q, const an_dense_shape *s, uint32_t batch,
                                    an_operand x, an_operand dy, an_operand dw,
                                    an_operand db)
{
    an_dense_work d = work_of(q, s, batch);

    d.x = an__cpu_floats(x);
    d.dw = an__cpu_floats(dw);
    d.db = an__cpu_floats(db);
    strip(q, flat_input(&d), batch, s->inputs, COLS, COLS, d.strips);
    strip(q, an__cpu_floats(dy), batch, s->outputs, ROWS, ROWS,
          d.strips + (size_t)pieces(s->inputs, COLS) * batch * COLS);
    an__cpu_parallel(q, pieces(s->outputs, ROWS), weights_item, &d);
    return AN_OK;
}
