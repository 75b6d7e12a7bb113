/*
 * winograd.c - convolution of 3 x 3 and 5 x 5 kernels with fewer multiplications:
 * Winograd, Arithmetic Complexity of Computations, 1980; Lavin and Gray, 2015.
 *
 * A tile of 6 x 6 pixels gives M x M of the output: 4 x 4 with 3 taps, 2 x 2 with 5, so
 * that 36 products stand for 144 or 100. Per map, with matrices for the points 0, 1, -1,
 * 2, -2 and infinity:
 *
 *     y = A^T [ (G g G^T) . (B^T x B) ] A
 *
 * and the products of all maps and tiles at one of the 36 places are a matrix product. A
 * worker does so many tiles from end to end that their transforms stay in its cache.
 */
#include <string.h>

#include "conv.h"

#define PLACES 36u
#define TOGETHER 6u /* blocks of maps that tiles meet while they are near */
#define CACHED                                                                           \
    200000u /* floats of transformed tiles and their sums, of a worker: under half
                          of a second cache of 2 MiB */

static uint32_t out_tile(const an_job *j)
{
    return 7 - j->kernel; /* M */
}

static uint32_t along(const an_job *j, uint32_t size)
{
    return pieces(size, out_tile(j));
}

uint32_t V(winograd_tiles)(const an_job *j)
{
    if (j->stride != 1 || (j->kernel != 3 && j->kernel != 5)) return 0;
    return along(j, j->out_width) * along(j, j->out_height);
}

/* --- weights: [part][block][place][map read][COLS] --------------------------------- */

size_t V(winograd_prepacked)(const an_job *j)
{
    return (size_t)j->parts * j->blocks * PLACES * j->reads * COLS;
}

/* G: a row for each point p, p^i / product of (p - other points); infinity has the
 * last. */
static const float to_places[6][5] = {
    {0.25f, 0, 0, 0, 0},
    {-1 / 6.0f, -1 / 6.0f, -1 / 6.0f, -1 / 6.0f, -1 / 6.0f},
    {-1 / 6.0f, 1 / 6.0f, -1 / 6.0f, 1 / 6.0f, -1 / 6.0f},
    {1 / 24.0f, 1 / 12.0f, 1 / 6.0f, 1 / 3.0f, 2 / 3.0f},
    {1 / 24.0f, -1 / 12.0f, 1 / 6.0f, -1 / 3.0f, 2 / 3.0f},
    {0, 0, 0, 0, 0}};

/* G g for `lines` columns of g, `step` apart within a column. */
AN_INLINE void weights_line(const uint32_t taps, const vec *g, uint32_t step, vec *out,
                            uint32_t out_step)
{
    uint32_t p, i;

    for (p = 0; p < 5; p++) {
        vec sum = g[0] * vec_set(to_places[p][0]);

        for (i = 1; i < taps; i++)
            sum = vec_fma(g[i * step], vec_set(to_places[p][i]), sum);
        out[p * out_step] = sum;
    }
    out[5 * out_step] = g[(taps - 1) * step];
}

AN_INLINE void weights_transform(const uint32_t k, const vec *g, float *out, size_t step)
{
    vec half[6 * 5], row[6];
    uint32_t i, p;

    for (i = 0; i < k; i++) weights_line(k, g + i, k, half + i, 5);
    for (p = 0; p < 6; p++) {
        weights_line(k, half + p * 5, 1, row, 1);
        for (i = 0; i < 6; i++) vec_store(out + (p * 6 + i) * step, row[i]);
    }
}

/* VL weights of each tap: of maps first .. first + count - 1, which all read map r. */
static void gather(const an_job *j, const float *w, uint32_t count, float *g)
{
    uint32_t taps = j->kernel * j->kernel, t, m;

    for (m = 0; m < count; m++)
        for (t = 0; t < taps; t++)
            g[t * VL + m] = w[m * j->w_map + (j->turned ? taps - 1 - t : t)];
}

void V(winograd_prepack_item)(const an_job *j, uint32_t item, float *prepacked)
{
    uint32_t first = item % j->blocks * COLS, count = block_maps(j, item % j->blocks);
    const float *w = j->w + item / j->blocks * j->w_part + first * j->w_map;
    uint32_t taps = j->kernel * j->kernel, r, half, t;
    size_t step = (size_t)j->reads * COLS;
    float g[25 * VL];
    vec v[25];

    prepacked += item * PLACES * step;
    memset(g, 0, sizeof g);
    for (half = 0; half < 2; half++) {
        uint32_t part = count > half * VL ? count - half * VL : 0;

        if (part > VL) part = VL;
        if (part < VL) memset(g, 0, sizeof g); /* there are no more than these */
        for (r = 0; r < j->reads; r++) {
            float *to = prepacked + (size_t)r * COLS + half * VL;

            gather(j, w + half * VL * j->w_map + r * j->w_read, part, g);
            for (t = 0; t < taps; t++) v[t] = vec_load(g + t * VL);
            if (j->kernel == 3)
                weights_transform(3, v, to, step);
            else
                weights_transform(5, v, to, step);
        }
    }
}

/* --- images ------------------------------------------------------------------------ */

/* B^T d */
AN_INLINE void image_line(const vec d[6], vec out[6])
{
    const vec four = vec_set(4), five = vec_set(5), two = vec_set(2);
    vec a = vec_fma(-four, d[2], d[4]), b = vec_fma(-four, d[1], d[3]);
    vec c = d[4] - d[2], e = d[3] - d[1];

    out[0] = vec_fma(four, d[0], vec_fma(-five, d[2], d[4]));
    out[1] = a + b;
    out[2] = a - b;
    out[3] = vec_fma(two, e, c);
    out[4] = vec_fma(-two, e, c);
    out[5] = vec_fma(four, d[1], vec_fma(-five, d[3], d[5]));
}

/* One vector of maps of one tile. from, at: where its pixels are, all maps, and whether
 * the place moves with the map: those outside the image are zeros that do not. */
AN_INLINE void image_transform(const float *const from[36], const uint32_t moves[36],
                               uint32_t map, uint32_t count, float *out, size_t step)
{
    vec column[6][6], in[6], row[6];
    uint32_t i, k;

#pragma GCC unroll 6
    for (i = 0; i < 6; i++) {
#pragma GCC unroll 6
        for (k = 0; k < 6; k++)
            in[k] = vec_load_part(from[k * 6 + i] + map * moves[k * 6 + i], count);
        image_line(in, column[i]);
    }
#pragma GCC unroll 6
    for (i = 0; i < 6; i++) {
#pragma GCC unroll 6
        for (k = 0; k < 6; k++) in[k] = column[k][i];
        image_line(in, row);
#pragma GCC unroll 6
        for (k = 0; k < 6; k++) vec_store_part(out + (i * 6 + k) * step, count, row[k]);
    }
}

/* A^T m: two or four outputs. */
AN_INLINE void sums_line(const uint32_t outputs, const vec m[6], vec out[4])
{
    vec a = m[1] + m[2], b = m[1] - m[2], c = m[3] + m[4], d = m[3] - m[4];

    out[0] = m[0] + a + c;
    out[1] = vec_fma(vec_set(2), d, b);
    if (outputs == 2) {
        out[1] += m[5];
        return;
    }
    out[2] = vec_fma(vec_set(4), c, a);
    out[3] = vec_fma(vec_set(8), d, b) + m[5];
}

/* --- the job ----------------------------------------------------------------------- */

typedef struct an_winograd {
    const an_job *j;
    const float *prepacked;
    float *scratch;
    size_t worker;                       /* numbers of scratch of one */
    uint32_t across, down, tiles, items; /* tiles of an image, of all; items of a part */
    uint32_t most;                       /* tiles of an item */
    uint32_t together;                   /* blocks that it does at once */
} an_winograd;

typedef struct an_place { /* of a tile */
    uint32_t image, y, x; /* of its first output pixel */
} an_place;

/* Numbers from one place to the next, of transformed tiles and of sums: a line more than
 * they are, lest all places of a tile share a set of the cache. */
static size_t in_step(const an_winograd *w)
{
    return round_up((size_t)w->most * w->j->reads, 16) + 16;
}

static size_t sums_step(const an_winograd *w)
{
    return (size_t)w->most * w->together * COLS + 16;
}

static an_place place_of(const an_winograd *w, uint32_t tile)
{
    uint32_t each = w->across * w->down, m = out_tile(w->j);
    an_place p = {tile / each, tile % each / w->across * m, tile % w->across * m};

    return p;
}

/* Tile `tile` of the part, as 36 places of `reads` maps, `step` apart. */
static void transform_in(const an_winograd *w, uint32_t part, uint32_t tile, float *out,
                         size_t step)
{
    static const float zeros[VL];
    const an_job *j = w->j;
    an_place p = place_of(w, tile);
    uint32_t half_maps = j->in_maps / j->in_halves, half, map, i, end;
    size_t pixels = (size_t)j->in_height * j->in_width;
    const float *from[36];
    uint32_t moves[36];

    for (half = 0; half < j->in_halves; half++) {
        const float *x = j->x + p.image * pixels * j->in_maps +
                         half * pixels * half_maps + part * j->apart;

        for (i = 0; i < 36; i++) {
            int64_t line = (int64_t)p.y + i / 6 - j->pad,
                    column = (int64_t)p.x + i % 6 - j->pad;

            moves[i] =
                line >= 0 && line < j->in_height && column >= 0 && column < j->in_width;
            from[i] = moves[i]
                          ? x + ((size_t)line * j->in_width + (size_t)column) * half_maps
                          : zeros;
        }
        end = j->in_halves > 1 ? half_maps : j->reads;
        for (map = 0; map + VL <= end; map += VL)
            image_transform(from, moves, map, VL, out + map, step);
        if (map < end) image_transform(from, moves, map, end - map, out + map, step);
        out += end;
    }
}

/* The outputs of one tile, of up to VL maps of a block. sums: [36][.. step ..]. */
AN_INLINE void transform_out(const uint32_t m, const an_job *j, const float *sums,
                             size_t step, const float *bias, uint32_t count, an_place p,
                             float *out, size_t pitch)
{
    const vec b = bias != NULL ? vec_load_part(bias, count) : vec_set(0);
    vec column[6][4], in[6], row[4];
    uint32_t i, k, y, x;

#pragma GCC unroll 6
    for (i = 0; i < 6; i++) {
#pragma GCC unroll 6
        for (k = 0; k < 6; k++) in[k] = vec_load(sums + (k * 6 + i) * step);
        sums_line(m, in, column[i]);
    }
#pragma GCC unroll 4
    for (y = 0; y < m; y++) {
        if (p.y + y >= j->out_height) break;
#pragma GCC unroll 6
        for (k = 0; k < 6; k++) in[k] = column[k][y];
        sums_line(m, in, row);
#pragma GCC unroll 4
        for (x = 0; x < m; x++) {
            vec value = row[x] + b;

            if (p.x + x >= j->out_width) break;
            if (j->relu) value = vec_max(vec_set(0), value);
            vec_store_part(out + ((p.y + y) * (size_t)j->out_width + p.x + x) * pitch,
                           count, value);
        }
    }
}

/* The products at all places of blocks first .. first + blocks - 1 with the item's tiles:
 * a group of tiles meets all these blocks while it is near. */
static void add_products(const an_winograd *w, uint32_t part, uint32_t first,
                         uint32_t blocks, uint32_t count, const float *in, float *sums)
{
    const an_job *j = w->j;
    uint32_t groups = tiles_of(count), place, g, block;
    size_t panel = (size_t)j->reads * COLS, wide = (size_t)w->together * COLS;
    const float *prepacked = w->prepacked + (part * j->blocks + first) * PLACES * panel;
    an_terms terms = {.outer = 1,
                      .inner = 1,
                      .run = j->reads,
                      .a_row = j->reads,
                      .a_step = 1,
                      .b_step = COLS};
    an_sums s = {.c_row = wide, .cols = COLS};

    for (place = 0; place < PLACES; place++)
        for (g = 0; g < groups; g++) {
            uint32_t row = share(count, groups, g);

            terms.a = in + place * in_step(w) + (size_t)row * j->reads;
            for (block = 0; block < blocks; block++) {
                terms.b = prepacked + (block * PLACES + place) * panel;
                /* a part of the next place's panel of this block */
                terms.ahead = terms.b + panel + g * (panel / 2);
                s.c = sums + place * sums_step(w) + row * wide + block * COLS;
                V(tile)(share(count, groups, g + 1) - row, &terms, &s);
            }
        }
}

/* What the sums of a block give for one tile. */
static void give_block(const an_winograd *w, uint32_t part, uint32_t block, uint32_t tile,
                       const float *sums)
{
    const an_job *j = w->j;
    an_place p = place_of(w, tile);
    size_t step = sums_step(w), pitch;
    float *out = job_out(j, p.image, part, &pitch) + block * COLS;
    uint32_t maps = block_maps(j, block), at;

    for (at = 0; at < maps; at += VL) {
        uint32_t each = maps - at < VL ? maps - at : VL;
        const float *bias =
            j->bias != NULL ? j->bias + part * j->maps + block * COLS + at : NULL;

        if (j->kernel == 3)
            transform_out(4, j, sums + at, step, bias, each, p, out + at, pitch);
        else
            transform_out(2, j, sums + at, step, bias, each, p, out + at, pitch);
    }
}

static void winograd_item(uint32_t item, uint32_t worker, void *arg)
{
    const an_winograd *w = arg;
    const an_job *j = w->j;
    uint32_t part = item / w->items, first = share(w->tiles, w->items, item % w->items);
    uint32_t count = share(w->tiles, w->items, item % w->items + 1) - first, block, t, b;
    float *in = w->scratch + worker * w->worker;
    float *sums = in + PLACES * in_step(w);

    for (t = 0; t < count; t++)
        transform_in(w, part, first + t, in + (size_t)t * j->reads, in_step(w));
    for (block = 0; block < j->blocks; block += w->together) {
        uint32_t blocks =
            j->blocks - block < w->together ? j->blocks - block : w->together;

        add_products(w, part, block, blocks, count, in, sums);
        for (t = 0; t < count; t++)
            for (b = 0; b < blocks; b++)
                give_block(w, part, block + b, first + t,
                           sums + ((size_t)t * w->together + b) * COLS);
    }
}

static uint32_t together(const an_job *j)
{
    return j->blocks < TOGETHER ? j->blocks : TOGETHER;
}

/* Tiles of an item: whole groups of ROWS, and two at least. */
static uint32_t most_tiles(const an_job *j)
{
    uint32_t groups = CACHED / (PLACES * (j->reads + together(j) * COLS) * ROWS);

    return (groups < 2 ? 2 : groups > 12 ? 12 : groups) * ROWS;
}

static size_t worker_floats(const an_winograd *w)
{
    return PLACES * (in_step(w) + sums_step(w));
}

static an_winograd winograd_of(const an_job *j)
{
    an_winograd w;

    memset(&w, 0, sizeof w);
    w.j = j;
    w.most = most_tiles(j);
    w.together = together(j);
    w.worker = worker_floats(&w);
    return w;
}

size_t V(winograd_scratch)(const an_job *j)
{
    return winograd_of(j).worker * j->q->device->host->threads;
}

void V(winograd)(const an_job *j, const float *prepacked, float *scratch)
{
    uint32_t threads = j->q->device->host->threads;
    an_winograd w = winograd_of(j);

    w.prepacked = prepacked;
    w.scratch = scratch;
    w.across = along(j, j->out_width);
    w.down = along(j, j->out_height);
    w.tiles = w.across * w.down * j->batch;
    w.items = pieces(w.tiles, w.most);
    /* As many as keep all threads busy to the end: how tiles are shared out changes no
     * sum. */
    w.items = (uint32_t)round_up(w.items, threads);
    if (w.items > w.tiles) w.items = w.tiles;
    an__cpu_parallel(j->q, j->parts * w.items, winograd_item, &w);
}
