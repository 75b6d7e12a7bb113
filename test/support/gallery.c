/*
 * gallery.c - pictures in memory, and an account of what a network reads of them.
 */
#define _POSIX_C_SOURCE 200809L
#include "gallery.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "expect.h"
#include "host_run.h"
#include "small.h"

/* --- pictures ---------------------------------------------------------------------- */

int32_t gallery_label(uint64_t index)
{
    return (int32_t)(index * 7 % 10);
}

static int fetch(uint64_t index, an_sample *sample, void *user)
{
    gallery *g = user;

    __atomic_add_fetch(&g->fetched, 1, __ATOMIC_RELAXED);
    if (g->pause > 0) {
        struct timespec pause = {0, (long)g->pause * 1000};

        nanosleep(&pause, NULL);
    }
    if (index == g->failing) return 1;
    sample->pixels = g->pixels + index % g->shape.count * g->picture;
    sample->width = g->shape.width;
    sample->height = g->shape.height;
    sample->row_bytes = g->shape.row_bytes;
    sample->label = index == g->mislabelled ? 10 : gallery_label(index);
    return 0;
}

static void make_model(gallery *g)
{
    static const float axes[3][3] = {
        {0.6f, 0.64f, 0.48f}, {-0.8f, 0.48f, 0.36f}, {0, -0.6f, 0.8f}};
    an_preprocessing p;
    an_model_config config;
    uint32_t c;

    an_model_config_init(&config, sizeof config);
    config.arch = AN_ARCH_CIFAR10;
    config.width = 0.1f;
    config.image_size = g->shape.size;
    config.devices = g->shape.devices;
    expect_ok(an_model_create(&g->model, g->ctx, &config));
    an_preprocessing_init(&p, sizeof p);
    p.side = g->shape.side;
    for (c = 0; c < 3; c++) {
        p.mean[c] = (float)(10 + 11 * c);
        p.scale[c] = 0.25f * (float)(1 << c); /* powers of 2: no product is rounded */
        p.colour_deviation[c] = (float)(60 / (1 + 2 * c));
    }
    memcpy(p.colour_axis, axes, sizeof axes);
    gallery_set(g, &p);
}

gallery_shape square_shape(uint32_t count, uint32_t side, uint32_t size)
{
    gallery_shape s = {count, side, side, side, size, 0, NULL};

    return s;
}

void gallery_open(gallery *g, const gallery_shape *shape)
{
    size_t pitch = shape->row_bytes > 0 ? shape->row_bytes : (size_t)3 * shape->width;

    memset(g, 0, sizeof *g);
    g->shape = *shape;
    if (shape->devices != NULL) {
        g->ctx = plugin_context(host_run_path(), 2);
    } else {
        an_context_config context;

        an_context_config_init(&context, sizeof context);
        context.threads = 2;
        expect_ok(an_context_create(&g->ctx, &context));
    }
    make_model(g);
    g->picture = (shape->height - 1) * pitch + (size_t)3 * shape->width;
    g->pixels = malloc(shape->count * g->picture);
    noise_bytes(g->pixels, shape->count * g->picture, 3);
    g->failing = g->mislabelled = NOBODY;
    an_source_init(&g->source, sizeof g->source);
    g->source.count = shape->count;
    g->source.fetch = fetch;
    g->source.user = g;
}

void gallery_close(gallery *g)
{
    an_model_destroy(g->model);
    an_context_destroy(g->ctx);
    free(g->pixels);
}

an_image gallery_image(const gallery *g, uint32_t index)
{
    an_image image;

    an_image_init(&image, sizeof image);
    image.pixels = g->pixels + index * g->picture;
    image.width = g->shape.width;
    image.height = g->shape.height;
    image.row_bytes = g->shape.row_bytes;
    return image;
}

an_preprocessing gallery_preprocessing(const gallery *g)
{
    an_preprocessing p;

    an_preprocessing_init(&p, sizeof p);
    expect_ok(an_model_get_preprocessing(g->model, &p));
    return p;
}

void gallery_set(gallery *g, const an_preprocessing *p)
{
    expect_ok(an_model_set_preprocessing(g->model, p));
}

float *gallery_mean_image(gallery *g, uint32_t seed)
{
    size_t side = gallery_preprocessing(g).side, count = 3 * side * side, i;
    float *mean = malloc(count * sizeof *mean);
    uint8_t *bytes = malloc(count);

    noise_bytes(bytes, count, seed);
    for (i = 0; i < count; i++) mean[i] = bytes[i];
    free(bytes);
    expect_ok(an_model_set_mean_image(g->model, mean, count));
    return mean;
}

/* --- loaders ----------------------------------------------------------------------- */

an_loader_config gallery_loading(uint32_t batch, uint32_t workers)
{
    an_loader_config c;

    an_loader_config_init(&c, sizeof c);
    c.batch = batch;
    c.workers = workers;
    c.seed = UINT64_C(0x123456789abcdef);
    return c;
}

an_loader *gallery_loader(gallery *g, const an_loader_config *c)
{
    an_loader *loader = NULL;

    expect_ok(an_loader_create(&loader, g->model, &g->source, c));
    return loader;
}

an_batch gallery_next(an_loader *loader)
{
    an_batch batch;

    an_batch_init(&batch, sizeof batch);
    expect_ok(an_loader_next(loader, &batch));
    return batch;
}

/* --- the account ------------------------------------------------------------------- */

spot spot_at(uint32_t x, uint32_t y, uint32_t mirror)
{
    spot s = {x, y, mirror, {0, 0, 0}, 1};

    return s;
}

/* One axis of `size` pixels scaled to `scaled`, of which the middle `side` are kept:
 * rows of weights, [side][size], each of sum 1. In units of input pixels output pixel
 * i is a triangle about the middle of what it covers, as wide to either side as an
 * output pixel is, but never narrower than an input pixel. */
static double *axis_weights(uint32_t size, uint32_t scaled, uint32_t side)
{
    double *weights = calloc((size_t)side * size, sizeof *weights);
    double pixel = (double)size / scaled, wide = pixel > 1 ? pixel : 1;
    uint32_t i, j;

    for (i = 0; i < side; i++) {
        double middle = (i + (scaled - side) / 2 + 0.5) * pixel, sum = 0;

        for (j = 0; j < size; j++) {
            double far = fabs(j + 0.5 - middle) / wide;

            if (far < 1) sum += weights[(size_t)i * size + j] = 1 - far;
        }
        for (j = 0; j < size; j++) weights[(size_t)i * size + j] /= sum;
    }
    return weights;
}

void account_fit(const an_image *image, uint32_t side, uint32_t fit, double *out)
{
    uint32_t width = image->width, height = image->height, x, y, i, c;
    uint32_t shorter = width < height ? width : height;
    double wide = floor((double)width * side / shorter + 0.5);
    double high = floor((double)height * side / shorter + 0.5);
    size_t pitch = image->row_bytes > 0 ? image->row_bytes : (size_t)3 * width;
    double *across, *down, *row = malloc((size_t)3 * width * sizeof *row);

    if (fit == AN_FIT_WARP) wide = high = side;
    across = axis_weights(width, (uint32_t)wide, side);
    down = axis_weights(height, (uint32_t)high, side);
    memset(out, 0, (size_t)3 * side * side * sizeof *out);
    for (y = 0; y < side; y++) {
        memset(row, 0, (size_t)3 * width * sizeof *row);
        for (i = 0; i < height; i++) {
            double weight = down[(size_t)y * height + i];

            if (weight == 0) continue;
            for (x = 0; x < 3 * width; x++)
                row[x] += weight * image->pixels[i * pitch + x];
        }
        for (x = 0; x < side; x++)
            for (i = 0; i < width; i++) {
                double weight = across[(size_t)x * width + i];

                for (c = 0; weight > 0 && c < 3; c++)
                    out[3 * (y * side + x) + c] += weight * row[3 * i + c];
            }
    }
    free(across);
    free(down);
    free(row);
}

void account_input(const an_preprocessing *p, const float *mean_image, uint32_t size,
                   const uint8_t *fitted, const spot *s, float *out)
{
    uint32_t side = p->side, room = (side - size) / 2, x, y, c;

    for (c = 0; c < 3; c++)
        for (y = 0; y < size; y++)
            for (x = 0; x < size; x++) {
                /* What stands at x once the crop is mirrored, or not. */
                uint32_t from = s->x + (s->mirror ? size - 1 - x : x), to = room + x;
                double mean = (double)p->mean[c];

                if (mean_image != NULL && p->mean_moves)
                    mean = (double)mean_image[(c * side + s->y + y) * side + from];
                else if (mean_image != NULL)
                    mean = (double)mean_image[(c * side + room + y) * side + to];
                out[((p->bgr ? 2 - c : c) * size + y) * size + x] =
                    (float)((fitted[3 * ((s->y + y) * side + from) + c] - mean +
                             s->move[c]) /
                            s->divisor * (double)p->scale[c]);
            }
}

void account_words(uint64_t seed, uint32_t stream, uint64_t time, uint32_t block,
                   uint32_t out[4])
{
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)}, round;
    uint32_t x[4] = {block, stream, (uint32_t)time, (uint32_t)(time >> 32)};

    for (round = 0; round < 10; round++) {
        uint64_t left = UINT64_C(0xD2511F53) * x[0], right = UINT64_C(0xCD9E8D57) * x[2];

        x[0] = (uint32_t)(right >> 32) ^ x[1] ^ (key[0] + round * 0x9E3779B9u);
        x[1] = (uint32_t)right;
        x[2] = (uint32_t)(left >> 32) ^ x[3] ^ (key[1] + round * 0xBB67AE85u);
        x[3] = (uint32_t)left;
    }
    memcpy(out, x, sizeof x);
}

void account_order(uint64_t seed, uint32_t epoch, uint32_t count, uint32_t *order)
{
    uint32_t i, word[4];

    for (i = 0; i < count; i++) order[i] = i;
    for (i = count; i-- > 1;) { /* position i with one of those up to it */
        uint32_t other, was = order[i];

        account_words(seed, 0x400, epoch, i / 4, word);
        other = (uint32_t)((uint64_t)word[i % 4] * (i + 1) >> 32);
        order[i] = order[other];
        order[other] = was;
    }
}

/* Of N(0, 1), by Box and Muller's method, from words above 0 and up to 1. */
static void three_normal(const uint32_t word[4], double out[3])
{
    double u[4];
    int i;

    for (i = 0; i < 4; i++) u[i] = ldexp((double)word[i] + 1, -32);
    out[0] = sqrt(-2 * log(u[0])) * cos(2 * acos(-1) * u[1]);
    out[1] = sqrt(-2 * log(u[0])) * sin(2 * acos(-1) * u[1]);
    out[2] = sqrt(-2 * log(u[2])) * cos(2 * acos(-1) * u[3]);
}

spot account_spot(const an_loader_config *c, const an_preprocessing *p, uint32_t size,
                  uint32_t epoch, uint32_t number)
{
    uint32_t margin = p->side - size, word[4], i, k;
    spot s = spot_at(margin / 2, margin / 2, 0);
    double normal[3];

    account_words(c->seed, 0x500, epoch, number / c->crop_group, word);
    if (c->augment & AN_AUGMENT_CROP) {
        s.x = (uint32_t)floor(ldexp((double)word[0], -32) * (margin + 1));
        s.y = (uint32_t)floor(ldexp((double)word[1], -32) * (margin + 1));
    }
    if (c->augment & AN_AUGMENT_MIRROR) s.mirror = word[2] >= 0x80000000u;
    if (!(c->augment & AN_AUGMENT_COLOUR)) return s;
    if (c->colour_epochs != 0 && epoch >= c->colour_epochs) return s;
    account_words(c->seed, 0x600, epoch, number, word);
    three_normal(word, normal);
    for (i = 0; i < 3; i++) {
        double far = (double)p->colour_deviation[i];

        if (c->colour_rule == AN_COLOUR_EIGENVALUE) far = 255 * pow(far / 255, 2);
        for (k = 0; k < 3; k++)
            s.move[k] +=
                (double)c->colour_sigma * normal[i] * far * (double)p->colour_axis[i][k];
    }
    s.divisor = (double)c->colour_divisor;
    return s;
}

static void account_picture(const gallery *g, const an_loader_config *c,
                            const float *mean_image, const an_batch *batch, uint32_t i,
                            const char *what)
{
    uint32_t size = g->shape.size;
    an_preprocessing p = gallery_preprocessing(g);
    an_image image = gallery_image(g, (uint32_t)batch->indices[i]);
    spot s = account_spot(c, &p, size, batch->epoch, batch->step * c->batch + i);
    uint8_t *fitted = malloc((size_t)3 * p.side * p.side);
    float *wanted = malloc((size_t)3 * size * size * sizeof *wanted);

    expect_ok((p.fit == AN_FIT_WARP ? an_image_warp : an_image_fit)(&image, p.side,
                                                                    fitted, ENOUGH));
    account_input(&p, mean_image, size, fitted, &s, wanted);
    expect_floats(batch->images + (size_t)i * 3 * size * size, wanted,
                  (size_t)3 * size * size, ACCOUNT_BOUND,
                  "%s: epoch %u, step %u, image %u, which is picture %u at (%u, %u)%s",
                  what, batch->epoch, batch->step, i, (unsigned)batch->indices[i], s.x,
                  s.y, s.mirror ? " mirrored" : "");
    free(fitted);
    free(wanted);
}

void account_batch(gallery *g, const an_loader_config *c, const float *mean_image,
                   const an_batch *batch, uint32_t epoch, uint32_t step, const char *what)
{
    uint32_t count = g->shape.count, steps = count / c->batch + (count % c->batch > 0), i;
    uint32_t first = step * c->batch, left = count - first;
    uint32_t *order = malloc(count * sizeof *order);

    expect_count(batch->epoch, epoch, "%s", what);
    expect_count(batch->step, step, "%s, epoch %u", what, epoch);
    expect_count(batch->last, step == steps - 1, "%s: step %u of %u", what, step, steps);
    expect_count(batch->count, left < c->batch ? left : c->batch, "%s: step %u of %u",
                 what, step, steps);
    account_order(c->seed, epoch, count, order);
    for (i = 0; i < batch->count; i++) {
        uint32_t index = c->shuffle ? order[first + i] : first + i;

        expect_count(batch->indices[i], index, "%s: epoch %u, step %u, image %u", what,
                     epoch, step, i);
        expect_count(batch->labels[i], gallery_label(index),
                     "%s: epoch %u, step %u, image %u", what, epoch, step, i);
        if (batch->images != NULL) account_picture(g, c, mean_image, batch, i, what);
    }
    free(order);
}
