/*
 * test_floats.c - a host's floating-point environment: its directions of rounding, its
 * traps and its flags do not reach the library, and are left as they are; and numbers too
 * small to be normal are zeros to the CPU.
 */
#define _GNU_SOURCE
#include <check.h>
#include <fenv.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "memfile.h"
#include "test.h"
#include "world.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

/* What a host may have: a direction, traps, flags that were set, and whether it flushes
 * denormals. */
static const struct {
    int direction, traps, flags, flush;
} hosts[] = {{FE_TONEAREST, 0, FE_OVERFLOW | FE_INEXACT, 0},
             {FE_UPWARD, 0, 0, 0},
             {FE_DOWNWARD, 0, FE_INVALID, 0},
             {FE_TOWARDZERO, 0, 0, 1},
             {FE_TONEAREST, FE_ALL_EXCEPT, 0, 0},
             {FE_UPWARD, FE_ALL_EXCEPT, 0, 1}};

enum { HOSTS = sizeof hosts / sizeof hosts[0] };

static void become(int host)
{
    fesetenv(FE_DFL_ENV);
    fesetround(hosts[host].direction);
#if defined(__x86_64__)
    if (hosts[host].flush) _mm_setcsr(_mm_getcsr() | 0x8040);
#endif
    feraiseexcept(hosts[host].flags);
    feenableexcept(hosts[host].traps);
}

/* Whether the environment is the host's, after which it is the default one again. */
static int is_still(int host)
{
    int same = fegetround() == hosts[host].direction &&
               fegetexcept() == hosts[host].traps &&
               fetestexcept(FE_ALL_EXCEPT) == hosts[host].flags;

#if defined(__x86_64__)
    same = same && !(_mm_getcsr() & 0x8040) == !hosts[host].flush;
#endif
    fesetenv(FE_DFL_ENV);
    return same;
}

/* A call in the host's environment. */
#define IN(host, call, wanted)                                                           \
    do {                                                                                 \
        an_status status_;                                                               \
        become(host);                                                                    \
        status_ = (call);                                                                \
        ck_assert_msg(is_still(host), "%s: host %d's environment is another", #call,     \
                      host);                                                             \
        ck_assert_msg(status_ == (wanted), "%s: host %d: %s: %s", #call, host,           \
                      an_status_string(status_), an_error_message());                    \
    } while (0)

/* A context, its models and a trainer made, used and written: all in one environment. */
static memfile use(int host, uint32_t path, float *probabilities)
{
    static float images[4 * TINY_NUMBERS];
    static uint8_t pixels[4 * 5 * 3];
    const int32_t labels[4] = {0, 1, 2, 3};
    an_trainer_config training = small_training(4);
    an_model_config config = tiny_config();
    memfile file = {NULL, 0, 0, 0, 0, 0};
    an_context_config context;
    an_context *ctx;
    an_model *model;
    an_trainer *trainer;
    an_image image;

    an_context_config_init(&context, sizeof context);
    context.threads = 3;
    context.cpu_path = path;
    noise_floats(images, 4 * TINY_NUMBERS, 5, 1);
    noise_bytes(pixels, sizeof pixels, 6);
    an_image_init(&image, sizeof image);
    image.pixels = pixels;
    image.width = 5;
    image.height = 4;
    IN(host, an_context_create(&ctx, &context), AN_OK);
    IN(host, an_model_create(&model, ctx, &config), AN_OK);
    IN(host, an_trainer_create(&trainer, model, &training), AN_OK);
    IN(host, an_train_step(trainer, images, labels, 4, NULL), AN_OK);
    IN(host, an_train_step(trainer, images, labels, 4, NULL), AN_OK);
    IN(host, an_infer(model, images, 4, probabilities, 40), AN_OK);
    IN(host, an_infer_views(model, &image, 1, 10, probabilities + 40, 10), AN_OK);
    IN(host, an_trainer_write(trainer, memfile_write, &file), AN_OK);
    an_trainer_destroy(trainer);
    an_model_destroy(model);
    IN(host, an_model_read(&model, ctx, memfile_read, &file, NULL), AN_OK);
    IN(host, an_infer(model, images, 1, probabilities + 50, 10), AN_OK);
    an_model_destroy(model);
    an_context_destroy(ctx);
    return file;
}

/* Probabilities, and a checkpoint with its weights and its numbers in decimal. */
START_TEST(bits_do_not_depend_on_the_hosts_environment)
{
    const uint32_t path = _i == 0 ? AN_CPU_PATH_REFERENCE : AN_CPU_PATH_BEST;
    float wanted[60], got[60];
    memfile file = use(0, path, wanted);
    int host;

    for (host = 1; host < HOSTS; host++) {
        memfile other = use(host, path, got);

        expect_bytes(got, wanted, sizeof wanted, "probabilities of host %d", host);
        expect_count(other.bytes, file.bytes, "bytes of the file of host %d", host);
        expect_bytes(other.data, file.data, file.bytes, "the file of host %d", host);
        memfile_free(&other);
    }
    memfile_free(&file);
}
END_TEST

static void give_traps(world *w, outputs *out, int host)
{
    an_trainer_config training = small_training(2);
    an_preprocessing p = {.size = sizeof p};
    an_pack_info info = {.size = sizeof info};

    IN(host, an_pack_describe(w->pack, &info), AN_OK);
    IN(host, an_pack_mean_image(w->pack, out->floats, 3 * SIDE * SIDE), AN_OK);
    IN(host, an_model_get_preprocessing(w->model, &p), AN_OK);
    p.scale[1] = NAN;
    IN(host, an_model_set_preprocessing(w->model, &p), AN_ERROR_ARGUMENT);
    p.scale[1] = 1e38f;
    IN(host, an_model_set_preprocessing(w->free_model, &p), AN_OK);
    IN(host, an_preprocess(w->free_model, &w->image, 0, out->floats, ENOUGH), AN_OK);
    IN(host, an_trainer_set_rates(w->trainer, NAN, 0), AN_ERROR_ARGUMENT);
    IN(host, an_trainer_set_rates(w->trainer, 1e-45f, 1e-45f), AN_OK);
    IN(host, an_trainer_end_epoch(w->trainer, NAN, &out->epoch), AN_ERROR_ARGUMENT);
    IN(host, an_trainer_end_epoch(w->trainer, 1.0 / 3, &out->epoch), AN_OK);
    IN(host, an_recipe_schedule("paper", w->trainer, 0, 0), AN_OK);
    training.rate = INFINITY;
    IN(host, an_trainer_create(&out->trainer, w->free_model, &training),
       AN_ERROR_ARGUMENT);
    IN(host, an_evaluate(w->model, w->images, w->labels, 2, &out->sum), AN_OK);
    IN(host, an_score(out->floats, 2, w->labels, 0, &out->sum), AN_ERROR_ARGUMENT);
    IN(host, an_train_step_batch(w->trainer, &w->batch, &out->stats), AN_OK);
    w->images[7] = INFINITY;
    IN(host, an_train_step(w->trainer, w->images, w->labels, 2, &out->stats),
       AN_ERROR_DIVERGED);
    w->images[7] = 0;
    IN(host, an_trainer_save(w->trainer, w->file), AN_OK);
    IN(host, an_loader_next(w->loader, &w->batch), AN_OK);
    IN(host, an_model_profile(w->model, 1, 0, NULL, 0), AN_ERROR_ARGUMENT);
}

/* What divides, overflows, underflows or compares a NaN raises no signal. */
START_TEST(no_trap_is_sprung)
{
    outputs out, before;
    world w;
    int host;

    for (host = 0; host < HOSTS; host++) {
        world_open(&w, NULL);
        outputs_open(&out, &before);
        give_traps(&w, &out, host);
        world_close(&w);
    }
}
END_TEST

/* conv1's outputs, of weights, or of images, that are too small to be normal: the bits of
 * those of zeros. So an Intel processor, too, multiplies them at its usual speed. */
START_TEST(denormals_are_zeros)
{
    static const uint32_t paths[] = {AN_CPU_PATH_REFERENCE, AN_CPU_PATH_AVX2,
                                     AN_CPU_PATH_AVX512};
    const an_model_config config = tiny_config();
    an_context *ctx = small_context(2, paths[_i]);
    float *images = malloc(TINY_NUMBERS * sizeof *images), *wanted, *got;
    uint32_t shape[3];
    an_model *model;
    size_t count, i;

    if (ctx == NULL) { /* the processor lacks that path */
        free(images);
        return;
    }
    expect_ok(an_model_create(&model, ctx, &config));
    expect_ok(an_activation_count(model, "conv1", 1, &count, shape));
    wanted = malloc(count * sizeof *wanted);
    got = malloc(count * sizeof *got);
    fill_parameter(model, "conv1.bias", 0);
    for (i = 0; i < TINY_NUMBERS; i++) images[i] = 0;
    expect_ok(an_infer_layer(model, images, 1, "conv1", 1, wanted, count));
    for (i = 0; i < TINY_NUMBERS; i++) images[i] = 1e-39f;
    fill_parameter(model, "conv1.weight", 1000);
    expect_ok(an_infer_layer(model, images, 1, "conv1", 1, got, count));
    expect_floats(got, wanted, count, 0, "of small images");
    for (i = 0; i < TINY_NUMBERS; i++) images[i] = 1000;
    fill_parameter(model, "conv1.weight", 1e-39f);
    expect_ok(an_infer_layer(model, images, 1, "conv1", 1, got, count));
    expect_floats(got, wanted, count, 0, "of small weights");
    free(images);
    free(wanted);
    free(got);
    an_model_destroy(model);
    an_context_destroy(ctx);
}
END_TEST

Suite *floats_suite(void)
{
    Suite *suite = suite_create("floats");
    TCase *tc = tcase_create("floats");

    tcase_add_loop_test(tc, bits_do_not_depend_on_the_hosts_environment, 0, 2);
    tcase_add_test(tc, no_trap_is_sprung);
    tcase_add_loop_test(tc, denormals_are_zeros, 0, 3);
    suite_add_tcase(suite, tc);
    return suite;
}
