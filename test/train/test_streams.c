/*
 * test_streams.c - random numbers of training: which outputs dropout takes, and where
 * pictures are cropped and mirrored. Each draw belongs to a seed, a step, a layer and a
 * place in the batch, and to nothing else.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "small.h"
#include "test.h"
#include "trials.h"

/* --- the generator, by itself ------------------------------------------------------ */

/* Philox 4x32-10, as its authors wrote it down (SC 2011, section 3.3). */
static void philox(uint64_t seed, const uint32_t counter[4], uint32_t out[4])
{
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)}, c[4], i;

    memcpy(c, counter, sizeof c);
    for (i = 0; i < 10; i++) {
        uint64_t left = UINT64_C(0xD2511F53) * c[0], right = UINT64_C(0xCD9E8D57) * c[2];
        uint32_t next[4];

        next[0] = (uint32_t)(right >> 32) ^ c[1] ^ key[0];
        next[1] = (uint32_t)right;
        next[2] = (uint32_t)(left >> 32) ^ c[3] ^ key[1];
        next[3] = (uint32_t)left;
        memcpy(c, next, sizeof c);
        key[0] += 0x9E3779B9u;
        key[1] += 0xBB67AE85u;
    }
    memcpy(out, c, sizeof c);
}

/* Word `place` of a stream at a step. */
static uint32_t word_at(uint64_t seed, uint32_t stream, uint64_t step, uint64_t place)
{
    uint32_t counter[4] = {(uint32_t)(place / 4), stream, (uint32_t)step,
                           (uint32_t)(step >> 32)};
    uint32_t out[4];

    philox(seed, counter, out);
    return out[place % 4];
}

/* Known answers of Random123's own tests. */
START_TEST(the_accounts_generator_is_philox)
{
    static const uint32_t counter[4] = {0x243f6a88u, 0x85a308d3u, 0x13198a2eu,
                                        0x03707344u};
    static const uint32_t want[4] = {0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u};
    uint32_t got[4];

    philox(UINT64_C(0x299f31d0a4093822), counter, got);
    expect_bytes(got, want, sizeof got, "Philox 4x32-10 of pi's digits");
}
END_TEST

/* --- dropout ----------------------------------------------------------------------- */

enum { MOST_UNITS = 1024 };

typedef struct mask {
    unsigned char kept[MOST_UNITS];
    uint32_t units;
} mask;

/* tanh, so that what is 0 was dropped; rates of 0, so that all steps are alike. */
static void open_drops(bench *b, an_model_config config, uint64_t seed, uint32_t micro)
{
    an_trainer_config training = small_training(SMALL_BATCH);

    config.activation = AN_ACTIVATION_TANH;
    training.rate = training.bias_rate = 0;
    training.seed = seed;
    training.micro_batch = micro;
    bench_open(b, &config, &training, 1);
}

/* The gradient of the last image of a step of count images, each a piece of its own. */
static float *last_gradient(bench *b, const char *name, uint32_t count, size_t *numbers)
{
    uint32_t index;
    float *values;

    expect_ok(an_parameter_find(b->model, name, &index));
    expect_ok(an_train_step(b->trainer, b->images, b->labels, count, NULL));
    *numbers = b->model->net.plan->params[index].count;
    values = malloc(*numbers * sizeof *values);
    expect_ok(
        an__weights_get(count > 1 ? &b->trainer->micro_gradient : &b->trainer->gradient,
                        &b->model->net, index, values));
    return values;
}

/* What a dense layer read of that image: the gradient's column is 0 where its input
 * was. */
static mask mask_before(bench *b, const char *weight, uint32_t count)
{
    size_t numbers, i;
    float *g = last_gradient(b, weight, count, &numbers);
    uint32_t index;
    mask m;

    memset(&m, 0, sizeof m);
    expect_ok(an_parameter_find(b->model, weight, &index));
    m.units = b->model->net.plan->params[index].shape[1];
    ck_assert_uint_le(m.units, MOST_UNITS);
    for (i = 0; i < numbers; i++) m.kept[i % m.units] |= g[i] != 0;
    free(g);
    return m;
}

/* The way back: the gradient of a bias is 0 where the unit's output was dropped. */
static mask mask_behind(bench *b, const char *bias, uint32_t count)
{
    size_t numbers, i;
    float *g = last_gradient(b, bias, count, &numbers);
    mask m;

    memset(&m, 0, sizeof m);
    m.units = (uint32_t)numbers;
    for (i = 0; i < numbers; i++) m.kept[i] = g[i] != 0;
    free(g);
    return m;
}

/* Of the layer of that number, for an image at that place in the batch, by the
 * account. */
static void expect_mask(const mask *got, uint64_t seed, uint32_t layer, uint64_t step,
                        uint32_t place, double rate, const char *what)
{
    uint32_t i;

    for (i = 0; i < got->units; i++) {
        uint64_t position = (uint64_t)place * got->units + i;
        double drawn =
            (word_at(seed, AN_STREAM_DROPOUT + layer, step, position) >> 8) / 16777216.0;

        expect_count(got->kept[i], drawn >= rate,
                     "%s: unit %u of layer %u, image %u, step %llu, seed %llx", what, i,
                     layer, place, (unsigned long long)step, (unsigned long long)seed);
    }
}

/* Both layers of the paper's net, forward and back, at several steps and places, of a
 * whole net and of one in two towers, whose halves are those of the whole layer. */
START_TEST(dropouts_masks_are_those_of_their_place)
{
    an_model_config config = small_config(AN_ARCH_PAPER);
    const uint64_t seed = UINT64_C(0x123456789abcdef1);
    uint32_t place;
    bench b;
    mask m;

    config.towers = (uint32_t)_i;
    open_drops(&b, config, seed, 1);
    for (place = 0; place < 5; place++) {
        uint64_t step = an_trainer_iteration(b.trainer);

        m = mask_before(&b, "fc7.weight", place + 1);
        expect_mask(&m, seed, 5, step, place, 0.5, "what fc7 read");
        m = mask_before(&b, "fc8.weight", place + 1);
        expect_mask(&m, seed, 6, step + 1, place, 0.5, "what fc8 read");
        m = mask_behind(&b, "fc6.bias", place + 1);
        expect_mask(&m, seed, 5, step + 2, place, 0.5, "what came back to fc6");
        m = mask_behind(&b, "fc7.bias", place + 1);
        expect_mask(&m, seed, 6, step + 3, place, 0.5, "what came back to fc7");
        if (place == 2) b.trainer->at.iteration = UINT64_C(0x300000007);
    }
    bench_close(&b);
}
END_TEST

/* torchvision's first dropout is of maps of 2 x 2 pixels: units are counted map by
 * map. */
START_TEST(dropout_of_maps_counts_in_the_hosts_order)
{
    an_model_config config = small_config(AN_ARCH_TORCHVISION);
    uint32_t place;
    bench b;
    mask m;

    config.image_size = 111;
    config.dropout_rate = 0.3f;
    open_drops(&b, config, 77, 1);
    for (place = 0; place < 2; place++) {
        uint64_t step = an_trainer_iteration(b.trainer);

        m = mask_before(&b, "classifier.1.weight", place + 1);
        expect_count(m.units, 4 * b.model->net.plan->layers[4].maps, "inputs of fc6");
        expect_mask(&m, 77, 4, step, place, (double)0.3f, "what fc6 read");
    }
    bench_close(&b);
}
END_TEST

/* Two masks that have nothing to do with each other agree in a share p * p + q * q of
 * their units: within 4.5 standard deviations, which a seed that is fixed passes for
 * good. */
static void expect_unrelated(const mask *a, const mask *b, const char *what)
{
    double n = a->units, sigma = sqrt(n) / 2, agree = 0;
    uint32_t i;

    expect_count(a->units, b->units, "%s", what);
    for (i = 0; i < a->units; i++) agree += a->kept[i] == b->kept[i];
    expect_number(agree, n / 2, 4.5 * sigma, "%s: units that agree", what);
}

static mask mask_of(uint64_t seed, uint64_t step, uint32_t place, uint32_t micro,
                    const char *weight)
{
    an_model_config config = small_config(AN_ARCH_PAPER);
    bench b;
    mask m;

    config.width = 0.08f;
    open_drops(&b, config, seed, micro);
    b.trainer->at.iteration = step;
    m = mask_before(&b, weight, place + 1);
    bench_close(&b);
    return m;
}

/* Another seed (either half of it), step (either half), place, layer: another mask; the
 * same of all: the same. */
START_TEST(each_of_seed_step_place_and_layer_makes_another_mask)
{
    const mask one = mask_of(5, 9, 0, 1, "fc7.weight");
    mask m = mask_of(5, 9, 0, 1, "fc7.weight");

    expect_bytes(&m, &one, sizeof m, "the same of all");
    m = mask_of(6, 9, 0, 1, "fc7.weight");
    expect_unrelated(&m, &one, "another seed");
    m = mask_of(5 | UINT64_C(1) << 32, 9, 0, 1, "fc7.weight");
    expect_unrelated(&m, &one, "another seed's upper half");
    m = mask_of(5, 10, 0, 1, "fc7.weight");
    expect_unrelated(&m, &one, "the next step");
    m = mask_of(5, 9 | UINT64_C(1) << 32, 0, 1, "fc7.weight");
    expect_unrelated(&m, &one, "a step 2^32 later");
    m = mask_of(5, 9, 1, 1, "fc7.weight");
    expect_unrelated(&m, &one, "the next image");
    m = mask_of(5, 9, 3, 1, "fc7.weight");
    expect_unrelated(&m, &one, "an image of another piece");
    m = mask_of(5, 9, 0, 1, "fc8.weight");
    expect_unrelated(&m, &one, "the next layer");
}
END_TEST

/* Over some thousand units the share that is dropped is the rate, within 4 standard
 * deviations. */
START_TEST(the_share_that_is_dropped_is_the_rate)
{
    static const float rates[] = {0.1f, 0.5f, 0.8f};
    an_model_config config = small_config(AN_ARCH_PAPER);
    double dropped = 0, units = 0, rate = (double)rates[_i];
    uint32_t step, i;
    bench b;

    config.dropout_rate = rates[_i];
    config.width = 0.06f;
    open_drops(&b, config, 3, 1);
    for (step = 0; step < 20; step++) {
        mask m = mask_before(&b, step % 2 ? "fc7.weight" : "fc8.weight", 1 + step % 3);

        for (i = 0; i < m.units; i++) dropped += !m.kept[i];
        units += m.units;
    }
    expect_number(dropped / units, rate, 4 * sqrt(rate * (1 - rate) / units),
                  "share of %.0f units", units);
    bench_close(&b);
}
END_TEST

/* What is kept counts 1, or 1 / (1 - rate) where training makes up for the rest. With
 * weights of 0 in fc7 and fc8 the loss is the same in either case, and fc7's outputs are
 * those of its biases: the gradient of fc8's weights then has the factor alone. */
START_TEST(what_is_kept_is_scaled_as_the_config_says)
{
    static const uint32_t scaling[] = {AN_DROPOUT_SCALING_TEST, AN_DROPOUT_SCALING_TRAIN};
    float *g[2];
    size_t count, i;
    int k;

    for (k = 0; k < 2; k++) {
        an_model_config config = small_config(AN_ARCH_PAPER);
        bench b;

        config.dropout_rate = 0.2f;
        config.dropout_scaling = scaling[k];
        open_drops(&b, config, 4, 0);
        fill_parameter(b.model, "fc7.weight", 0);
        fill_parameter(b.model, "fc7.bias", 0.5f);
        fill_parameter(b.model, "fc8.weight", 0);
        g[k] = last_gradient(&b, "fc8.weight", 1, &count);
        bench_close(&b);
    }
    for (i = 0; i < count; i++) g[0][i] *= 1 / (1 - 0.2f);
    expect_floats(g[1], g[0], count, 1e-6, "1 / (1 - rate) where training makes up");
    free(g[0]);
    free(g[1]);
}
END_TEST

/* --- views of pictures ------------------------------------------------------------- */

enum { SIDE = 24, SIZE = 16, ROOM = SIDE - SIZE, PICTURES = SMALL_BATCH };

/* Pictures that have their final side already, and nets that see a part of them. The
 * structs are a later version's, so that it is their size that leads from one to the
 * next. */
typedef struct gallery {
    bench b;
    uint8_t pixels[PICTURES][SIDE * SIDE * 3];
    struct {
        an_image now;
        uint64_t later[3];
    } pictures[PICTURES];
} gallery;

static gallery *open_gallery(uint64_t seed, uint32_t augment, uint32_t micro)
{
    an_model_config config = small_config(AN_ARCH_CIFAR10);
    an_trainer_config training = small_training(PICTURES);
    gallery *g = calloc(1, sizeof *g);
    an_preprocessing p;
    uint32_t i;

    config.image_size = SIZE;
    config.width = 0.1f;
    training.seed = seed;
    training.augment = augment;
    training.micro_batch = micro;
    bench_open(&g->b, &config, &training, 1);
    an_preprocessing_init(&p, sizeof p);
    expect_ok(an_model_get_preprocessing(g->b.model, &p));
    p.side = SIDE;
    expect_ok(an_model_set_preprocessing(g->b.model, &p));
    noise_bytes(&g->pixels[0][0], sizeof g->pixels, 2);
    for (i = 0; i < PICTURES; i++) {
        an_image_init(&g->pictures[i].now, sizeof g->pictures[i]);
        g->pictures[i].now.pixels = g->pixels[i];
        g->pictures[i].now.width = g->pictures[i].now.height = SIDE;
    }
    return g;
}

static void close_gallery(gallery *g)
{
    bench_close(&g->b);
    free(g);
}

static void step_gallery(gallery *g, uint32_t count)
{
    expect_ok(an_train_step_images(g->b.trainer, &g->pictures[0].now, g->b.labels, count,
                                   NULL));
}

/* The views of a step's pieces but the last are gone when it ends; of a whole step all
 * are there. */
static void expect_views(const gallery *g, uint64_t seed, uint64_t step, uint32_t augment)
{
    uint32_t i;

    for (i = 0; i < PICTURES; i++) {
        const an_view *v = &g->b.trainer->views[i];
        uint64_t places = ROOM + 1;
        uint32_t x =
            (uint32_t)(word_at(seed, AN_STREAM_VIEW, step, 4 * i) * places >> 32);
        uint32_t y =
            (uint32_t)(word_at(seed, AN_STREAM_VIEW, step, 4 * i + 1) * places >> 32);
        uint32_t mirror = word_at(seed, AN_STREAM_VIEW, step, 4 * i + 2) >> 31;

        if (!(augment & AN_AUGMENT_CROP)) x = y = ROOM / 2;
        if (!(augment & AN_AUGMENT_MIRROR)) mirror = 0;
        expect_count(v->x, x, "picture %u, step %llu", i, (unsigned long long)step);
        expect_count(v->y, y, "picture %u, step %llu", i, (unsigned long long)step);
        expect_count(v->mirror, mirror, "picture %u, step %llu", i,
                     (unsigned long long)step);
        expect_number(v->divisor, 1, 0, "picture %u: no noise of colours", i);
    }
}

START_TEST(views_are_those_of_seed_step_and_place)
{
    const uint64_t seed = UINT64_C(0xabcdef0123456789);
    gallery *g = open_gallery(seed, (uint32_t)_i, 0);
    uint64_t step;

    for (step = 0; step < 4; step++) {
        if (step == 2) g->b.trainer->at.iteration = UINT64_C(0x500000002);
        step_gallery(g, PICTURES);
        expect_views(g, seed, step < 2 ? step : UINT64_C(0x500000000) + step,
                     (uint32_t)_i);
    }
    close_gallery(g);
}
END_TEST

/* The input that a view makes of a picture, by itself. */
static void own_input(const gallery *g, uint32_t picture, const an_view *v, float *out)
{
    const an_preprocessing *p = &g->b.model->input.p;
    uint32_t x, y, c;

    for (c = 0; c < 3; c++)
        for (y = 0; y < SIZE; y++)
            for (x = 0; x < SIZE; x++) {
                uint32_t column = v->x + (v->mirror ? SIZE - 1 - x : x);
                uint8_t pixel = g->pixels[picture][((v->y + y) * SIDE + column) * 3 + c];

                out[(c * SIZE + y) * SIZE + x] =
                    ((float)pixel - p->mean[c]) * p->scale[c];
            }
}

/* Each picture is trained on by its own view, in pieces too: the same parameters, to the
 * bit, as from floats that were cropped here. */
START_TEST(each_picture_is_seen_by_its_own_view)
{
    static const uint32_t micro[] = {0, 3, 1};
    const uint32_t augment = AN_AUGMENT_CROP | AN_AUGMENT_MIRROR;
    gallery *seen = open_gallery(9, augment, 0), *g = open_gallery(9, augment, micro[_i]);
    gallery *floats = open_gallery(10, augment, micro[_i]);
    float input[PICTURES * 3 * SIZE * SIZE];
    uint32_t step, i;

    for (step = 0; step < 3; step++) {
        step_gallery(seen, PICTURES);
        step_gallery(g, PICTURES);
        for (i = 0; i < PICTURES; i++)
            own_input(seen, i, &seen->b.trainer->views[i], input + i * 3 * SIZE * SIZE);
        expect_ok(
            an_train_step(floats->b.trainer, input, floats->b.labels, PICTURES, NULL));
        same_parameters(g->b.model, floats->b.model, 0, "cropped here");
    }
    close_gallery(seen);
    close_gallery(g);
    close_gallery(floats);
}
END_TEST

/* Every place is as likely as the others, to the last; half are mirrored; none of the
 * three tells of another. 16 steps of 8 pictures by 20 seeds: 2560 draws. */
START_TEST(places_and_mirrors_are_alike)
{
    enum { SEEDS = 20, STEPS = 16 };
    double xs[ROOM + 1] = {0}, ys[ROOM + 1] = {0}, mirrored = 0, n = 0, together = 0;
    double by_mirror[2] = {0, 0};
    uint32_t seed, step, i;

    for (seed = 0; seed < SEEDS; seed++) {
        gallery *g = open_gallery(seed, AN_AUGMENT_CROP | AN_AUGMENT_MIRROR, 0);

        for (step = 0; step < STEPS; step++) {
            step_gallery(g, PICTURES);
            for (i = 0; i < PICTURES; i++) {
                const an_view *v = &g->b.trainer->views[i];

                ck_assert_uint_le(v->x, ROOM);
                ck_assert_uint_le(v->y, ROOM);
                ck_assert_uint_le(v->mirror, 1);
                xs[v->x]++;
                ys[v->y]++;
                mirrored += v->mirror;
                by_mirror[v->mirror] += v->x - ROOM / 2.0;
                together += (v->x - ROOM / 2.0) * (v->y - ROOM / 2.0);
                n++;
            }
        }
        close_gallery(g);
    }
    /* Counts within 4.5 standard deviations; sums have n * variance 20/3 (of one), its
     * square (of a product). */
    for (i = 0; i <= ROOM; i++) {
        double want = n / (ROOM + 1), sigma = sqrt(want * ROOM / (ROOM + 1));

        expect_number(xs[i], want, 4.5 * sigma, "crops at column %u", i);
        expect_number(ys[i], want, 4.5 * sigma, "crops at row %u", i);
    }
    expect_number(mirrored, n / 2, 4.5 * sqrt(n) / 2, "mirrored of %.0f", n);
    expect_number(by_mirror[0], 0, 4.5 * sqrt(n / 2 * 20 / 3), "columns, not mirrored");
    expect_number(by_mirror[1], 0, 4.5 * sqrt(n / 2 * 20 / 3), "columns, mirrored");
    expect_number(together, 0, 4.5 * sqrt(n) * 20 / 3, "columns times rows");
}
END_TEST

Suite *streams_suite(void)
{
    Suite *suite = suite_create("streams");
    TCase *tc = tcase_create("streams");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, the_accounts_generator_is_philox);
    tcase_add_loop_test(tc, dropouts_masks_are_those_of_their_place, 1, 3);
    tcase_add_test(tc, dropout_of_maps_counts_in_the_hosts_order);
    tcase_add_test(tc, each_of_seed_step_place_and_layer_makes_another_mask);
    tcase_add_loop_test(tc, the_share_that_is_dropped_is_the_rate, 0, 3);
    tcase_add_test(tc, what_is_kept_is_scaled_as_the_config_says);
    tcase_add_loop_test(tc, views_are_those_of_seed_step_and_place, 0, 4);
    tcase_add_loop_test(tc, each_picture_is_seen_by_its_own_view, 0, 3);
    tcase_add_test(tc, places_and_mirrors_are_alike);
    suite_add_tcase(suite, tc);
    return suite;
}
