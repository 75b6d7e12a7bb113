/*
 * test_structs.c - structs of older and newer callers: for every struct that the header
 * has, and every function that takes or fills one, what is read, what is written, and
 * what is refused.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "test.h"
#include "world.h"

static world w;

static void setup(void)
{
    world_open(&w, NULL);
}

static void teardown(void)
{
    world_close(&w);
}

/* --- what fills a struct, and what is done with it --------------------------------- */

#define PREPARE_PLAIN(type)                                                              \
    static void prepare_##type(void *s, size_t size)                                     \
    {                                                                                    \
        an_##type##_init(s, size);                                                       \
    }

PREPARE_PLAIN(device_info)
PREPARE_PLAIN(model_info)
PREPARE_PLAIN(layer_info)
PREPARE_PLAIN(parameter_info)
PREPARE_PLAIN(evaluation)
PREPARE_PLAIN(step_stats)
PREPARE_PLAIN(epoch_info)
PREPARE_PLAIN(pack_info)
PREPARE_PLAIN(loader_info)
PREPARE_PLAIN(recipe_info)
PREPARE_PLAIN(load_config)
PREPARE_PLAIN(rate_change)
PREPARE_PLAIN(batch)

static void prepare_source(void *s, size_t size)
{
    const an_source source = world_source(&w);

    an_source_init(s, size);
    memcpy((char *)s + sizeof size, (const char *)&source + sizeof size,
           sizeof source - sizeof size);
}

static void prepare_loader(void *s, size_t size)
{
    const an_loader_config config = world_loading();

    an_loader_config_init(s, size);
    memcpy((char *)s + sizeof size, (const char *)&config + sizeof size,
           sizeof config - sizeof size);
}

static void prepare_context(void *s, size_t size)
{
    an_context_config_init(s, size);
    ((an_context_config *)s)->threads = 1;
}

static void prepare_model(void *s, size_t size)
{
    const an_model_config config = world_model();

    an_model_config_init(s, size);
    memcpy((char *)s + sizeof size, (const char *)&config + sizeof size,
           sizeof config - sizeof size);
}

static void prepare_input(void *s, size_t size)
{
    an_preprocessing *p = s;
    int c;

    an_preprocessing_init(p, size);
    p->side = WORLD_SIDE;
    for (c = 0; c < 3; c++) p->scale[c] = 1;
}

static void prepare_picture(void *s, size_t size)
{
    an_image *image = s;

    an_image_init(image, size);
    image->pixels = w.pixels;
    image->width = image->height = WORLD_SIDE;
}

static void prepare_training(void *s, size_t size)
{
    an_trainer_config_init(s, size);
    ((an_trainer_config *)s)->batch = 2;
}

static void prepare_packing(void *s, size_t size)
{
    an_pack_writer_config *config = s;

    an_pack_writer_config_init(config, size);
    config->side = SIDE;
    config->classes = CLASSES;
}

static void prepare_filled_batch(void *s, size_t size)
{
    an_batch_init(s, size);
    memcpy((char *)s + sizeof size, (const char *)&w.batch + sizeof size,
           sizeof w.batch - sizeof size);
}

/* What was not made is as it was; what was made goes. */
#define MAKING(type, call, destroy)                                                      \
    type *made = (type *)&w;                                                             \
    an_status status = call;                                                             \
                                                                                         \
    if (status == AN_OK)                                                                 \
        destroy(made);                                                                   \
    else                                                                                 \
        ck_assert_ptr_eq(made, (type *)&w);                                              \
    return status

static an_status context_create(void *s)
{
    MAKING(an_context, an_context_create(&made, s), an_context_destroy);
}

static an_status model_create(void *s)
{
    MAKING(an_model, an_model_create(&made, w.at.ctx, s), an_model_destroy);
}

static an_status trainer_create(void *s)
{
    MAKING(an_trainer, an_trainer_create(&made, w.free_model, s), an_trainer_destroy);
}

static an_status model_load(void *s)
{
    MAKING(an_model, an_model_load(&made, w.at.ctx, w.file, s), an_model_destroy);
}

static ptrdiff_t read_file(void *data, size_t bytes, void *user)
{
    return (ptrdiff_t)fread(data, 1, bytes, user);
}

static an_status read_model(an_model **out, FILE *file, void *s)
{
    an_status status = an_model_read(out, w.at.ctx, read_file, file, s);

    fclose(file);
    return status;
}

static an_status model_read(void *s)
{
    MAKING(an_model, read_model(&made, fopen(w.file, "rb"), s), an_model_destroy);
}

static an_status packing_create(void *s)
{
    MAKING(an_pack_writer,
           an_pack_writer_create(&made, w.at.ctx, inside(&w.at, "new"), s),
           an_pack_writer_destroy);
}

static an_status loader_source(void *s)
{
    const an_loader_config config = world_loading();

    {
        MAKING(an_loader, an_loader_create(&made, w.model, s, &config),
               an_loader_destroy);
    }
}

static an_status loader_settings(void *s)
{
    const an_source source = world_source(&w);

    {
        MAKING(an_loader, an_loader_create(&made, w.model, &source, s),
               an_loader_destroy);
    }
}

static const int32_t labels[2] = {1, 0};
static float out[WORLD_PICTURE];
static const float halves[2] = {0.5f, 0.5f};
static an_evaluation sum = {.size = sizeof sum};

/* Calls with one struct; the others, where there are some, are right. */
#define CALL(name, call)                                                                 \
    static an_status name(void *s)                                                       \
    {                                                                                    \
        return call;                                                                     \
    }

CALL(set_input, an_model_set_preprocessing(w.free_model, s))
CALL(get_input, an_model_get_preprocessing(w.free_model, s))
CALL(image_fit, an_image_fit(s, WORLD_SIDE, (uint8_t *)out, ENOUGH))
CALL(image_warp, an_image_warp(s, WORLD_SIDE, (uint8_t *)out, ENOUGH))
CALL(preprocess, an_preprocess(w.model, s, 0, out, ENOUGH))
CALL(infer_images, an_infer_images(w.model, s, 1, out, ENOUGH))
CALL(infer_views, an_infer_views(w.model, s, 1, 10, out, ENOUGH))
CALL(infer_layer_images,
     an_infer_layer_images(w.model, s, 1, "conv3", AN_POINT_OUTPUT, out, ENOUGH))
CALL(evaluate_picture, an_evaluate_images(w.model, s, labels, 1, &sum))
CALL(train_step_pictures, an_train_step_images(w.trainer, s, labels, 1, NULL))
CALL(train_step_batch, an_train_step_batch(w.trainer, s, NULL))
CALL(set_schedule, an_trainer_set_schedule(w.trainer, s, 1))
CALL(evaluate, an_evaluate(w.model, w.images, labels, 1, s))
CALL(evaluate_images, an_evaluate_images(w.model, &w.image, labels, 1, s))
CALL(score, an_score(halves, 2, labels, 1, s))
CALL(step_stats, an_train_step(w.trainer, w.images, labels, 1, s))
CALL(step_stats_images, an_train_step_images(w.trainer, &w.image, labels, 1, s))
CALL(step_stats_batch, an_train_step_batch(w.trainer, &w.batch, s))
CALL(end_epoch, an_trainer_end_epoch(w.trainer, 0.5, s))
CALL(loader_next, an_loader_next(w.loader, s))
CALL(apply_trainer, an_recipe_apply("paper", 0, NULL, s, NULL))
CALL(apply_loader, an_recipe_apply("paper", 0, NULL, NULL, s))
CALL(device_describe, an_device_describe(w.at.ctx, 0, s))
CALL(model_describe, an_model_describe(w.free_model, s))
CALL(get_config, an_model_get_config(w.model, s))
CALL(layer_describe, an_layer_describe(w.model, 1, s))
CALL(parameter_describe, an_parameter_describe(w.model, 1, s))
CALL(trainer_get_config, an_trainer_get_config(w.trainer, s))
CALL(pack_describe, an_pack_describe(w.pack, s))
CALL(pack_source, an_pack_source(w.pack, s))
CALL(loader_describe, an_loader_describe(w.loader, s))
CALL(recipe_describe, an_recipe_describe(1, s))
CALL(recipe_models, an_recipe_apply("krizhevsky2012", 0, s, NULL, NULL))

static an_status step_begin(void *s)
{
    an_status status = an_train_step_begin(w.trainer, s);

    if (status == AN_OK) expect_ok(an_train_step_end(w.trainer, NULL));
    return status;
}

static an_status step_end(void *s)
{
    an_status status;

    expect_ok(an_train_step_begin(w.trainer, &w.batch));
    status = an_train_step_end(w.trainer, s);
    if (status != AN_OK) expect_ok(an_train_step_end(w.trainer, NULL));
    return status;
}

/* --- the rules --------------------------------------------------------------------- */

typedef enum kind { READ, FILLED, BOTH } kind;

typedef struct rule {
    const char *what, *name; /* the call; what its messages call the struct */
    size_t known, least;     /* sizeof now, and in the release that it came with */
    kind kind;
    int varies; /* what is filled in is another each time */
    void (*prepare)(void *s, size_t size);
    an_status (*call)(void *s);
} rule;

/* A struct that no release has made longer. */
#define SAME(type) sizeof(type), sizeof(type)

static const rule rules[] = {
    {"an_context_create", "config", SAME(an_context_config), READ, 0, prepare_context,
     context_create},
    {"an_model_create", "config", SAME(an_model_config), READ, 0, prepare_model,
     model_create},
    {"an_model_set_preprocessing", "preprocessing", SAME(an_preprocessing), READ, 0,
     prepare_input, set_input},
    {"an_image_fit", "image", SAME(an_image), READ, 0, prepare_picture, image_fit},
    {"an_image_warp", "image", SAME(an_image), READ, 0, prepare_picture, image_warp},
    {"an_preprocess", "image", SAME(an_image), READ, 0, prepare_picture, preprocess},
    {"an_infer_images", "image", SAME(an_image), READ, 0, prepare_picture, infer_images},
    {"an_infer_views", "image", SAME(an_image), READ, 0, prepare_picture, infer_views},
    {"an_infer_layer_images", "image", SAME(an_image), READ, 0, prepare_picture,
     infer_layer_images},
    {"an_evaluate_images' picture", "image", SAME(an_image), READ, 0, prepare_picture,
     evaluate_picture},
    {"an_train_step_images", "image", SAME(an_image), READ, 0, prepare_picture,
     train_step_pictures},
    {"an_trainer_create", "config", SAME(an_trainer_config), READ, 0, prepare_training,
     trainer_create},
    {"an_trainer_set_schedule", "changes", SAME(an_rate_change), READ, 0,
     prepare_rate_change, set_schedule},
    {"an_model_load", "config", SAME(an_load_config), READ, 0, prepare_load_config,
     model_load},
    {"an_model_read", "config", SAME(an_load_config), READ, 0, prepare_load_config,
     model_read},
    {"an_pack_writer_create", "config", SAME(an_pack_writer_config), READ, 0,
     prepare_packing, packing_create},
    {"an_loader_create's source", "source", SAME(an_source), READ, 0, prepare_source,
     loader_source},
    {"an_loader_create's config", "config", SAME(an_loader_config), READ, 0,
     prepare_loader, loader_settings},
    {"an_train_step_batch", "batch", SAME(an_batch), READ, 0, prepare_filled_batch,
     train_step_batch},
    {"an_train_step_begin", "batch", SAME(an_batch), READ, 0, prepare_filled_batch,
     step_begin},
    {"an_evaluate", "evaluation", SAME(an_evaluation), BOTH, 0, prepare_evaluation,
     evaluate},
    {"an_evaluate_images", "evaluation", SAME(an_evaluation), BOTH, 0, prepare_evaluation,
     evaluate_images},
    {"an_score", "evaluation", SAME(an_evaluation), BOTH, 0, prepare_evaluation, score},
    {"an_train_step", "stats", SAME(an_step_stats), BOTH, 1, prepare_step_stats,
     step_stats},
    {"an_train_step_images' stats", "stats", SAME(an_step_stats), BOTH, 1,
     prepare_step_stats, step_stats_images},
    {"an_train_step_batch's stats", "stats", SAME(an_step_stats), BOTH, 1,
     prepare_step_stats, step_stats_batch},
    {"an_train_step_end", "stats", SAME(an_step_stats), BOTH, 1, prepare_step_stats,
     step_end},
    {"an_trainer_end_epoch", "info", SAME(an_epoch_info), BOTH, 1, prepare_epoch_info,
     end_epoch},
    {"an_loader_next", "batch", SAME(an_batch), BOTH, 1, prepare_batch, loader_next},
    {"an_recipe_apply's model", "model", SAME(an_model_config), BOTH, 0, prepare_model,
     recipe_models},
    {"an_recipe_apply's trainer", "trainer", SAME(an_trainer_config), BOTH, 0,
     prepare_training, apply_trainer},
    {"an_recipe_apply's loader", "loader", SAME(an_loader_config), BOTH, 0,
     prepare_loader, apply_loader},
    {"an_device_describe", "info", SAME(an_device_info), FILLED, 0, prepare_device_info,
     device_describe},
    {"an_model_describe", "info", SAME(an_model_info), FILLED, 0, prepare_model_info,
     model_describe},
    {"an_model_get_config", "config", SAME(an_model_config), FILLED, 0, prepare_model,
     get_config},
    {"an_layer_describe", "info", SAME(an_layer_info), FILLED, 0, prepare_layer_info,
     layer_describe},
    {"an_parameter_describe", "info", SAME(an_parameter_info), FILLED, 0,
     prepare_parameter_info, parameter_describe},
    {"an_model_get_preprocessing", "preprocessing", SAME(an_preprocessing), FILLED, 0,
     prepare_input, get_input},
    {"an_trainer_get_config", "config", SAME(an_trainer_config), FILLED, 0,
     prepare_training, trainer_get_config},
    {"an_pack_describe", "info", SAME(an_pack_info), FILLED, 0, prepare_pack_info,
     pack_describe},
    {"an_pack_source", "source", SAME(an_source), FILLED, 0, prepare_source, pack_source},
    {"an_loader_describe", "info", SAME(an_loader_info), FILLED, 1, prepare_loader_info,
     loader_describe},
    {"an_recipe_describe", "info", SAME(an_recipe_info), FILLED, 0, prepare_recipe_info,
     recipe_describe},
};

enum { ROOM = 1024, MORE = 72, FILL = 0xa5 };

/* A struct at the beginning of some room, all of which is watched. */
typedef union room {
    unsigned char bytes[ROOM];
    size_t size;
    void *aligned;
} room;

static void prepare(const rule *r, room *s, size_t size)
{
    size_t i;

    memset(s->bytes, FILL, ROOM);
    r->prepare(s, size);
    expect_count(s->size, size, "%s: size after init", r->what);
    for (i = size; i < ROOM && s->bytes[i] == FILL; i++) continue;
    ck_assert_msg(i == ROOM, "%s: init of %zu bytes writes byte %zu", r->what, size, i);
}

/* With all that is behind the struct, where there is nothing for the library to touch. */
static void untouched(const rule *r, const room *s, const room *before, size_t from,
                      const char *when)
{
    size_t i;

    for (i = from; i < ROOM && s->bytes[i] == before->bytes[i]; i++) continue;
    ck_assert_msg(i == ROOM, "%s, size %zu: byte %zu was written %s", r->what,
                  before->size, i, when);
}

static void check_good(const rule *r, size_t size, const room *whole)
{
    size_t i, end = size < r->known ? size : r->known;
    room s, before;

    prepare(r, &s, size);
    before = s;
    ck_assert_msg(r->call(&s) == AN_OK, "%s, size %zu of %zu: \"%s\"", r->what, size,
                  r->known, an_error_message());
    expect_count(s.size, size, "%s: size after the call", r->what);
    untouched(r, &s, &before, r->kind == READ ? 0 : size, "by a call that succeeded");
    for (i = sizeof size; i < end && r->kind != READ && !r->varies; i++)
        ck_assert_msg(s.bytes[i] == whole->bytes[i],
                      "%s, size %zu: byte %zu is %u, in a struct of all fields it is %u",
                      r->what, size, i, s.bytes[i], whole->bytes[i]);
    for (i = r->known; i < size; i++)
        ck_assert_msg(s.bytes[i] == 0, "%s, size %zu: byte %zu is not 0", r->what, size,
                      i);
}

static void check_refused(const rule *r, const room *s, an_status wanted,
                          const char *words)
{
    room after = *s;
    an_status got = r->call(&after);

    ck_assert_msg(got == wanted && strstr(an_error_message(), words) != NULL,
                  "%s, size %zu of %zu: wanted %s with \"%s\", got %s: \"%s\"", r->what,
                  s->size, r->known, an_status_string(wanted), words,
                  an_status_string(got), an_error_message());
    untouched(r, &after, s, 0, "by a call that failed");
}

/* A field of a newer header that is set: nobody knows what to do with it, if it is read;
 * what is only filled in has no such field yet. */
static void check_later_field(const rule *r, size_t at)
{
    char words[96];
    size_t i;
    room s;

    prepare(r, &s, r->known + MORE);
    s.bytes[at] = 1;
    if (r->kind != FILLED) {
        snprintf(words, sizeof words, "%s has a field beyond byte %zu set", r->name,
                 r->known);
        check_refused(r, &s, AN_ERROR_VERSION, words);
        return;
    }
    ck_assert_msg(r->call(&s) == AN_OK, "%s: \"%s\"", r->what, an_error_message());
    for (i = r->known; i < r->known + MORE; i++)
        ck_assert_msg(s.bytes[i] == 0, "%s: byte %zu is left as it was", r->what, i);
}

static void check_size_below(const rule *r, size_t size)
{
    char words[96];
    room s;

    prepare(r, &s, r->known);
    s.size = size;
    snprintf(words, sizeof words, "%s.size is %zu: less than %zu", r->name, size,
             r->least);
    check_refused(r, &s, AN_ERROR_ARGUMENT, words);
}

START_TEST(structs_of_other_versions_are_taken_or_refused)
{
    const rule *r = &rules[_i];
    room whole;

    prepare(r, &whole, r->known);
    ck_assert_msg(r->call(&whole) == AN_OK, "%s: \"%s\"", r->what, an_error_message());
    check_good(r, r->known, &whole);
    check_good(r, r->known + 1, &whole);
    check_good(r, r->known + MORE, &whole);
    check_good(r, r->least, &whole);
    check_good(r, (r->known + r->least) / 2, &whole);
    check_later_field(r, r->known);
    check_later_field(r, r->known + MORE / 2);
    check_later_field(r, r->known + MORE - 1);
    check_size_below(r, r->least - 1);
    check_size_below(r, sizeof(size_t));
    check_size_below(r, 1);
    check_size_below(r, 0);
    check_good(r, r->known, &whole); /* what was refused has spoilt nothing */
}
END_TEST

/* A struct of a later release, which has grown by two fields, and callers who know none,
 * one or all of them: of what a caller does not have, a config's default stays, and
 * nothing is written. */
START_TEST(fields_that_a_caller_does_not_have_are_as_before)
{
    typedef struct grown {
        size_t size;
        uint32_t first, second, third;
        double fourth;
    } grown;
    enum { LEAST = offsetof(grown, third) };
    static const size_t sizes[] = {LEAST, offsetof(grown, fourth), sizeof(grown)};
    const grown defaults = {sizeof(grown), 1, 2, 3, 4};
    size_t i;

    for (i = 0; i < 3; i++) {
        const size_t size = sizes[i];
        const grown given = {size, 10, 20, 30, 40};
        grown read = defaults, filled;

        expect_ok(an__struct_read(&read, &given, sizeof read, LEAST, "config"));
        expect_count(read.size, sizeof read, "the library's own size");
        expect_count(read.first, 10, "size %zu", size);
        expect_count(read.second, 20, "size %zu", size);
        expect_count(read.third, i > 0 ? 30 : 3, "size %zu", size);
        expect_number(read.fourth, i > 1 ? 40 : 4, 0, "size %zu", size);
        memset(&filled, FILL, sizeof filled);
        filled.size = size;
        expect_ok(an__struct_write(&filled, &given, sizeof given, LEAST, "info"));
        expect_count(filled.size, size, "the caller's size");
        expect_bytes((char *)&filled + sizeof size, (const char *)&given + sizeof size,
                     size - sizeof size, "what the caller has room for");
        expect_count(((unsigned char *)&filled)[sizeof filled - 1],
                     size == sizeof filled
                         ? ((const unsigned char *)&given)[sizeof given - 1]
                         : FILL,
                     "the last byte of a caller's %zu", size);
        an__struct_init(&filled, size, &defaults, sizeof defaults);
        expect_count(filled.size, size, "as it was given");
        expect_count(filled.second, 2, "a default");
    }
    {
        grown read = defaults;
        const grown given = {LEAST - 1, 10, 20, 30, 40};

        expect_refused(an__struct_read(&read, &given, sizeof read, LEAST, "config"),
                       AN_ERROR_ARGUMENT, "config.size is");
        expect_bytes(&read, &defaults, sizeof read, "a config that is too short");
    }
}
END_TEST

Suite *structs_suite(void)
{
    Suite *suite = suite_create("structs");
    TCase *tc = tcase_create("structs");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, structs_of_other_versions_are_taken_or_refused, 0,
                        (int)(sizeof rules / sizeof rules[0]));
    tcase_add_test(tc, fields_that_a_caller_does_not_have_are_as_before);
    suite_add_tcase(suite, tc);
    return suite;
}
