/*
 * direct.c - convolution as it is written: sums over lines, columns and maps, a tile of
 * pixels by maps at a time. Images are padded first, so that no sum asks whether a column
 * is within them; lines that are not are left out.
 */
#include <string.h>

#include "conv.h"

/* --- weights: [part][block][tap][map read][COLS] ----------------------------------- */

size_t V(direct_prepacked)(const an_job *j)
{
    return (size_t)j->parts * j->blocks * j->kernel * j->kernel * j->reads * COLS;
}

void V(direct_prepack_item)(const an_job *j, uint32_t item, float *prepacked)
{
    uint32_t taps = j->kernel * j->kernel, part = item / j->blocks, t, r, m;
    uint32_t first = item % j->blocks * COLS, count = block_maps(j, item % j->blocks);
    const float *w = j->w + part * j->w_part + first * j->w_map;

    prepacked += (size_t)item * taps * j->reads * COLS;
    memset(prepacked, 0, (size_t)taps * j->reads * COLS * sizeof *prepacked);
    for (m = 0; m < count; m++)
        for (r = 0; r < j->reads; r++) {
            const float *from = w + m * j->w_map + r * j->w_read;
            float *to = prepacked + (size_t)r * COLS + m;

            for (t = 0; t < taps; t++)
                to[(size_t)t * j->reads * COLS] = from[j->turned ? taps - 1 - t : t];
        }
}

/* --- padding ----------------------------------------------------------------------- */

static int needs_padding(const an_job *j)
{
    return j->pad != 0 || padded_height(j) > j->in_height ||
           padded_width(j) > j->in_width || j->in_halves > 1;
}

static void copy_pixels(const an_job *j, const float *line, uint32_t count, float *out)
{
    size_t maps = j->in_maps / j->in_halves;
    size_t half = (size_t)j->in_height * j->in_width * maps;
    uint32_t i, k;

    if (j->in_halves == 1) {
        memcpy(out, line, count * maps * sizeof *out);
        return;
    }
    for (i = 0; i < count; i++)
        for (k = 0; k < j->in_halves; k++, out += maps)
            memcpy(out, line + k * half + i * maps, maps * sizeof *out);
}

void V(padded_lines)(const an_job *j, const float *image, uint32_t from, uint32_t to,
                     uint32_t width, float *out)
{
    size_t pitch = (size_t)width * j->in_maps, pixel = j->in_maps / j->in_halves;
    int64_t first = j->pad > 0 ? j->pad : 0; /* padded column of the first that is read */
    int64_t end = (int64_t)j->in_width + j->pad; /* behind the last one */

    if (end > width) end = width;
    if (first > end) first = end;
    for (; from < to; from++, out += pitch) {
        int64_t line = (int64_t)from - j->pad;

        if (line < 0 || line >= j->in_height || first == end) {
            memset(out, 0, pitch * sizeof *out);
            continue;
        }
        memset(out, 0, (size_t)first * j->in_maps * sizeof *out);
        copy_pixels(
            j, image + ((size_t)line * j->in_width + (size_t)(first - j->pad)) * pixel,
            (uint32_t)(end - first), out + (size_t)first * j->in_maps);
        memset(out + (size_t)end * j->in_maps, 0,
               (pitch - (size_t)end * j->in_maps) * sizeof *out);
    }
}

/* --- the sums ---------------------------------------------------------------------- */

typedef struct an_direct {
    const an_job *j;
    const float *prepacked;
    float *padded;                       /* null: images serve as they are */
    size_t image;                        /* numbers of a padded image */
    uint32_t width, first, count, bands; /* images of this round; bands of lines */
    int images_first;                    /* of the items' order */
} an_direct;

#define ROUND_BYTES ((size_t)8 << 20) /* of padded images at a time, about */
#define CACHED_BYTES ((size_t)1 << 20)

static uint32_t round_images(const an_job *j, uint32_t batch)
{
    size_t image =
        (size_t)padded_height(j) * padded_width(j) * j->in_maps * sizeof(float);
    size_t fit = ROUND_BYTES / image;

    return fit < 1 ? 1 : fit < batch ? (uint32_t)fit : batch;
}

size_t V(direct_scratch)(const an_job *j, uint32_t batch)
{
    if (!needs_padding(j)) return 0;
    return (size_t)padded_height(j) * padded_width(j) * j->in_maps *
           round_images(j, batch);
}

static void pad_item(uint32_t item, uint32_t worker, void *arg)
{
    const an_direct *d = arg;
    const an_job *j = d->j;
    uint32_t image = item / d->bands, band = item % d->bands, lines = padded_height(j);
    uint32_t from = share(lines, d->bands, band), to = share(lines, d->bands, band + 1);

    (void)worker;
    V(padded_lines)
    (j, j->x + (size_t)(d->first + image) * j->in_height * j->in_width * j->in_maps, from,
     to, d->width, d->padded + image * d->image + (size_t)from * d->width * j->in_maps);
}

/* Output lines [from, to) of one block of maps. x: the padded image. */
static void block_lines(const an_direct *d, const float *x, uint32_t image, uint32_t part,
                        uint32_t block, uint32_t from, uint32_t to)
{
    const an_job *j = d->j;
    uint32_t tiles = tiles_of(j->out_width), line, tile;
    size_t pitch, row = (size_t)d->width * j->in_maps;
    float *out = job_out(j, image, part, &pitch) + (size_t)block * COLS;
    size_t block_floats = (size_t)j->kernel * j->kernel * j->reads * COLS;
    const float *prepacked = d->prepacked + (part * j->blocks + block) * block_floats;
    an_terms t = {.inner = j->kernel,
                  .run = j->reads,
                  .a_row = j->stride * j->in_maps,
                  .a_outer = row,
                  .a_inner = j->in_maps,
                  .a_step = 1,
                  .b_outer = (size_t)j->kernel * j->reads * COLS,
                  .b_inner = (size_t)j->reads * COLS,
                  .b_step = COLS};
    an_sums s = {.c_row = pitch, .cols = block_maps(j, block), .relu = j->relu};

    if (j->reads == j->in_maps) { /* a kernel's line is one run */
        t.inner = 1;
        t.run = j->kernel * j->reads;
    }
    if (j->bias != NULL) s.bias = j->bias + part * j->maps + block * COLS;
    for (line = from; line < to; line++) {
        /* kernel lines [ky, ky_end) lie within the image */
        int64_t top = (int64_t)line * j->stride - j->pad;
        uint32_t ky = top < 0 ? (uint32_t)-top : 0, ky_end = j->kernel;

        if (top + ky_end > j->in_height)
            ky_end = top < j->in_height ? (uint32_t)(j->in_height - top) : 0;
        t.outer = ky < ky_end ? ky_end - ky : 0;
        t.b = prepacked + ky * t.b_outer;
        for (tile = 0; tile < tiles; tile++) {
            uint32_t pixel = share(j->out_width, tiles, tile);
            uint32_t rows = share(j->out_width, tiles, tile + 1) - pixel;

            t.a = x + ((size_t)line * j->stride + ky) * row +
                  (size_t)pixel * j->stride * j->in_maps + part * j->apart;
            s.c = out + ((size_t)line * j->out_width + pixel) * pitch;
            /* While these weights are used again, the next block's are fetched. */
            t.ahead =
                tile == 0 && line >= 1 && line <= COLS / 16
                    ? prepacked + block_floats + (line - 1) * (block_floats * 16 / COLS)
                    : NULL;
            V(tile)(rows, &t, &s);
        }
    }
}

static void direct_item(uint32_t item, uint32_t worker, void *arg)
{
    const an_direct *d = arg;
    const an_job *j = d->j;
    uint32_t blocks = j->parts * j->blocks, band = item % d->bands, image, block;
    const float *x;

    (void)worker;
    item /= d->bands;
    image = d->images_first ? item / blocks : item % d->count;
    block = d->images_first ? item % blocks : item / d->count;
    x = d->padded != NULL ? d->padded + image * d->image
                          : j->x + (d->first + image) * d->image;
    block_lines(d, x, d->first + image, block / j->blocks, block % j->blocks,
                share(j->out_height, d->bands, band),
                share(j->out_height, d->bands, band + 1));
}

void V(direct)(const an_job *j, const float *prepacked, float *scratch)
{
    int pads = needs_padding(j);
    uint32_t most = round_images(j, j->batch), blocks = j->parts * j->blocks;
    an_direct d = {j,
                   prepacked,
                   pads ? scratch : NULL,
                   0,
                   pads ? padded_width(j) : j->in_width,
                   0,
                   0,
                   0,
                   0};

    d.image = (size_t)(pads ? padded_height(j) : j->in_height) * d.width * j->in_maps;
    d.images_first = V(direct_prepacked)(j) * sizeof(float) <= CACHED_BYTES;
    for (; d.first < j->batch; d.first += d.count) {
        d.count = j->batch - d.first < most ? j->batch - d.first : most;
        /* Enough items for every thread; what they are does not change a sum. */
        d.bands = d.count >= 8 ? 1 : 4;
        if (pads) an__cpu_parallel(j->q, d.count * d.bands, pad_item, &d);
        if (d.count * blocks >= 16) d.bands = 1;
        an__cpu_parallel(j->q, d.count * blocks * d.bands, direct_item, &d);
    }
}
