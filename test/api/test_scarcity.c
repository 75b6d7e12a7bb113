/*
 * test_scarcity.c - each function by itself while memory runs out at each of its
 * allocations; and every function that takes an object, in a forked child.
 */
#define _GNU_SOURCE
#include <check.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "expect.h"
#include "shortage.h"
#include "test.h"
#include "world.h"

static counted counts;
static world w;
static outputs out, before;
static an_pack_writer *packing;
static an_model *model; /* of an action's own */
static uint8_t picture[BYTES];

static void setup(void)
{
    an_pack_writer_config config;

    world_open(&w, &counts);
    outputs_open(&out, &before);
    config = packing_config(1, 1);
    expect_ok(an_pack_writer_create(&packing, w.at.ctx, inside(&w.at, "begun"), &config));
    make_picture(3, picture);
}

static void teardown(void)
{
    an_pack_writer_destroy(packing);
    world_close(&w);
    expect_count((uint64_t)counts.blocks, 0, "blocks after all is destroyed");
    expect_count((uint64_t)counts.wrong, 0, "wrong uses of the allocator");
}

/* --- actions ----------------------------------------------------------------------- */

static void nothing(void)
{
}

static void copy_back(void)
{
    memcpy(&out, &before, sizeof out);
}

/* Plain ones undo nothing but what they have written. */
#define ACTION(name, call)                                                               \
    static an_status name(void)                                                          \
    {                                                                                    \
        return call;                                                                     \
    }

static an_status model_create(void)
{
    an_model_config config = world_model();

    return an_model_create(&out.model, w.at.ctx, &config);
}

static an_status model_create_towers(void)
{
    an_model_config config = small_config(AN_ARCH_PAPER);

    config.width = 0.02f;
    config.towers = 2;
    config.devices = "cpu,cpu";
    return an_model_create(&out.model, w.at.ctx, &config);
}

static void model_undo(void)
{
    an_model_destroy(out.model);
    copy_back();
}

static an_status trainer_create(void)
{
    an_trainer_config training = small_training(4);

    training.micro_batch = 2;
    return an_trainer_create(&out.trainer, w.free_model, &training);
}

static void trainer_undo(void)
{
    an_trainer_destroy(out.trainer);
    copy_back();
}

static an_status loader_create(void)
{
    an_source source = world_source(&w);
    an_loader_config loading = world_loading();

    source.scratch_bytes = 10;
    loading.workers = 2;
    return an_loader_create(&out.loader, model, &source, &loading);
}

ACTION(train_step, an_train_step(w.trainer, w.images, w.labels, 2, &out.stats))

static void pack_undo(void)
{
    an_pack_destroy(out.pack);
    copy_back();
}

static void packing_undo(void)
{
    an_pack_writer_destroy(out.packing);
    copy_back();
}

ACTION(pack_open, an_pack_open(&out.pack, w.at.ctx, inside(&w.at, "pack"), NULL, NULL))

static an_status packing_new(void)
{
    const an_pack_writer_config config = packing_config(1, 0);

    return an_pack_writer_create(&out.packing, w.at.ctx, inside(&w.at, "new"), &config);
}

/* What `packing` has begun, and left. */
static an_status packing_resume(void)
{
    const an_pack_writer_config config = packing_config(1, 1);

    return an_pack_writer_create(&out.packing, w.at.ctx, inside(&w.at, "begun"), &config);
}

static void begin_packing(void)
{
    int i;

    for (i = 0; i < 2; i++) expect_ok(an_pack_writer_add(packing, picture, NULL, 0, i));
    expect_ok(an_pack_writer_set_class_name(packing, 1, "one"));
    expect_ok(an_pack_writer_sync(packing));
}

static void leave_packing(void)
{
    begin_packing();
    an_pack_writer_destroy(packing);
    packing = NULL;
}

static void all_classes(void)
{
    begin_packing();
    expect_ok(an_pack_writer_add(packing, picture, NULL, 0, 2));
}

static an_status load(int copy)
{
    an_load_config config;

    an_load_config_init(&config, sizeof config);
    config.copy = (uint32_t)copy;
    return an_model_load(&out.model, w.at.ctx, w.file, &config);
}

ACTION(load_mapped, load(0))
ACTION(load_copied, load(1))
ACTION(trainer_load, an_trainer_load(&out.trainer, w.free_model, w.file))

/* A descriptor, as a FILE would want memory of its own. */
static ptrdiff_t read_file(void *data, size_t bytes, void *user)
{
    return read(*(int *)user, data, bytes);
}

static an_status model_read(void)
{
    int file = open(w.file, O_RDONLY);
    an_status status = an_model_read(&out.model, w.at.ctx, read_file, &file, NULL);

    close(file);
    return status;
}

static an_status trainer_read(void)
{
    int file = open(w.file, O_RDONLY);
    an_status status = an_trainer_read(&out.trainer, w.free_model, read_file, &file);

    close(file);
    return status;
}

static int write_nowhere(const void *data, size_t bytes, void *user)
{
    (void)data;
    (void)bytes;
    (void)user;
    return 0;
}

/* A model that has never computed, with a mean image, and as small as a pack's
 * pictures. */
static void fresh_model(void)
{
    static float mean[3 * SIDE * SIDE];
    an_model_config config = world_model();

    config.image_size = SIDE;
    config.classes = CLASSES;
    expect_ok(an_model_create(&model, w.at.ctx, &config));
    expect_ok(an_model_set_mean_image(model, mean, 3 * SIDE * SIDE));
}

static void destroy_fresh(void)
{
    an_model_destroy(model);
    copy_back();
}

static void loader_and_fresh(void)
{
    an_loader_destroy(out.loader);
    destroy_fresh();
}

static an_status profile(uint32_t training)
{
    an_layer_time rows[4];
    int i;

    for (i = 0; i < 4; i++) an_layer_time_init(&rows[i], sizeof rows[i]);
    return an_model_profile(model, 1, training, rows, 4);
}

ACTION(profile_forward, profile(0))
ACTION(profile_training, profile(1))
ACTION(model_save, an_model_save(w.model, w.file))
ACTION(trainer_save, an_trainer_save(w.trainer, w.file))
ACTION(model_write, an_model_write(w.model, write_nowhere, NULL))
ACTION(trainer_write, an_trainer_write(w.trainer, write_nowhere, NULL))
ACTION(transfer, an_model_transfer(w.free_model, w.model, NULL, &out.number))
ACTION(class_name, an_model_set_class_name(w.model, 0, "name"))
ACTION(mean_image, an_model_set_mean_image(model, w.images, 3 * SIDE * SIDE))
ACTION(prepare_model, an_pack_prepare_model(w.pack, model, 1, 1))
ACTION(infer, an_infer(model, w.images, 1, out.floats, ENOUGH))
ACTION(infer_images, an_infer_images(model, &w.image, 1, out.floats, ENOUGH))
ACTION(infer_views, an_infer_views(model, &w.image, 1, 10, out.floats, ENOUGH))
ACTION(infer_layer, an_infer_layer(model, w.images, 1, "conv2", 1, out.floats, ENOUGH))
ACTION(infer_layer_images,
       an_infer_layer_images(model, &w.image, 1, "conv2", 1, out.floats, ENOUGH))
ACTION(evaluate, an_evaluate(model, w.images, w.labels, 1, &out.sum))
ACTION(evaluate_images, an_evaluate_images(model, &w.image, w.labels, 1, &out.sum))
ACTION(packing_name, an_pack_writer_set_class_name(packing, 0, "name"))
ACTION(packing_add, an_pack_writer_add(packing, picture, NULL, 0, 0))
ACTION(packing_sync, an_pack_writer_sync(packing))
ACTION(packing_finish, an_pack_writer_finish(packing))

/* keeps: what is allocated on the way stays the model's or packing's, whatever becomes of
 * the call. spares: allocations that are done without, of names of files that are only to
 * be removed. */
static const struct {
    const char *what;
    int least, keeps, spares; /* least: allocations */
    void (*prepare)(void);
    an_status (*act)(void);
    void (*undo)(void);
} actions[] = {
    {"an_model_create", 10, 0, 0, nothing, model_create, model_undo},
    {"an_model_create in two towers", 30, 0, 0, nothing, model_create_towers, model_undo},
    {"an_trainer_create", 20, 1, 0, nothing, trainer_create, trainer_undo},
    {"an_loader_create", 10, 0, 0, fresh_model, loader_create, loader_and_fresh},
    {"an_pack_open", 5, 0, 0, nothing, pack_open, pack_undo},
    {"an_pack_writer_create", 5, 0, 2, nothing, packing_new, packing_undo},
    {"an_pack_writer_create to go on", 8, 0, 1, leave_packing, packing_resume,
     packing_undo},
    {"an_model_load, mapped", 5, 0, 0, nothing, load_mapped, model_undo},
    {"an_model_load, copied", 10, 0, 0, nothing, load_copied, model_undo},
    {"an_model_read", 10, 0, 0, nothing, model_read, model_undo},
    {"an_trainer_load", 10, 1, 0, nothing, trainer_load, trainer_undo},
    {"an_trainer_read", 10, 1, 0, nothing, trainer_read, trainer_undo},
    {"an_model_save", 2, 0, 0, nothing, model_save, nothing},
    {"an_trainer_save", 2, 0, 0, nothing, trainer_save, nothing},
    {"an_model_write", 1, 0, 0, nothing, model_write, nothing},
    {"an_trainer_write", 1, 0, 0, nothing, trainer_write, nothing},
    {"an_model_transfer", 1, 0, 0, nothing, transfer, copy_back},
    {"an_model_set_class_name", 1, 0, 0, nothing, class_name, nothing},
    {"an_model_set_mean_image", 1, 0, 0, fresh_model, mean_image, destroy_fresh},
    {"an_pack_prepare_model", 4, 0, 0, fresh_model, prepare_model, destroy_fresh},
    {"an_model_profile", 5, 1, 0, fresh_model, profile_forward, destroy_fresh},
    {"an_model_profile of training", 15, 1, 0, fresh_model, profile_training,
     destroy_fresh},
    {"an_infer", 5, 1, 0, fresh_model, infer, destroy_fresh},
    {"an_infer_images", 6, 1, 0, fresh_model, infer_images, destroy_fresh},
    {"an_infer_views", 6, 1, 0, fresh_model, infer_views, destroy_fresh},
    {"an_infer_layer", 5, 1, 0, fresh_model, infer_layer, destroy_fresh},
    {"an_infer_layer_images", 6, 1, 0, fresh_model, infer_layer_images, destroy_fresh},
    {"an_evaluate", 5, 1, 0, fresh_model, evaluate, destroy_fresh},
    {"an_evaluate_images", 6, 1, 0, fresh_model, evaluate_images, destroy_fresh},
    {"an_train_step", 0, 0, 0, nothing, train_step, copy_back},
    {"an_pack_writer_set_class_name", 1, 0, 0, nothing, packing_name, nothing},
    {"an_pack_writer_add", 2, 1, 0, nothing, packing_add, nothing},
    {"an_pack_writer_sync", 1, 0, 0, begin_packing, packing_sync, nothing},
    {"an_pack_writer_finish", 3, 0, 1, all_classes, packing_finish, nothing},
};

/* The call with that allocation failing, refused or done without. */
static an_status fail_at(int action, long fail)
{
    const char *what = actions[action].what;
    long blocks = counts.blocks;
    an_status status;

    counts.calls = 0;
    counts.fail_at = fail;
    status = actions[action].act();
    counts.fail_at = 0;
    if (status == AN_OK) return status;
    ck_assert_msg(status == AN_ERROR_MEMORY &&
                      strstr(an_error_message(), "no memory for ") != NULL,
                  "%s, allocation %ld: %s: \"%s\"", what, fail, an_status_string(status),
                  an_error_message());
    expect_bytes(&out, &before, sizeof out, "%s, allocation %ld", what, fail);
    if (!actions[action].keeps)
        expect_count((uint64_t)counts.blocks, (uint64_t)blocks, "%s, allocation %ld",
                     what, fail);
    return status;
}

/* Until no allocation is the one that fails. What has been refused is done the next
 * time. */
START_TEST(each_call_survives_each_lack_of_memory)
{
    const char *what = actions[_i].what;
    int spares = 0, more = 1;
    long fail;

    actions[_i].prepare();
    for (fail = 1; more; fail++) {
        if (fail_at(_i, fail) != AN_OK) continue;
        more = counts.calls >= fail;
        spares += more;
        actions[_i].undo();
        if (actions[_i].act == packing_finish) more = 0; /* which is done once */
    }
    ck_assert_msg(fail - 2 >= actions[_i].least, "%s: %ld allocations", what, fail - 2);
    ck_assert_msg(spares <= actions[_i].spares, "%s: %d failures that nobody noticed",
                  what, spares);
}
END_TEST

/* The same for malloc(), whoever calls it: one failure, at each place in turn, or all
 * from there on. What stood before still stands: both files load afterwards. */
START_TEST(each_call_survives_each_failure_of_malloc)
{
    int action = _i / 2, all = _i % 2, more = 1;
    const char *what = actions[action].what;
    an_model *loaded;
    long fail;

    if (!shortage_works()) return;
    actions[action].prepare();
    for (fail = 1; more; fail++) {
        long blocks = counts.blocks, calls;
        an_status status;

        shortage_begin(fail, all ? LONG_MAX : fail);
        status = actions[action].act();
        calls = shortage_end();
        more = calls >= fail;
        if (status == AN_OK) {
            actions[action].undo();
            if (actions[action].act == packing_finish) more = 0;
            continue;
        }
        ck_assert_msg(status == AN_ERROR_MEMORY, "%s, malloc() number %ld: %s: \"%s\"",
                      what, fail, an_status_string(status), an_error_message());
        expect_bytes(&out, &before, sizeof out, "%s, malloc() number %ld", what, fail);
        if (!actions[action].keeps)
            expect_count((uint64_t)counts.blocks, (uint64_t)blocks,
                         "%s, malloc() number %ld", what, fail);
    }
    ck_assert_msg(fail - 2 >= actions[action].least, "%s: %ld calls of malloc()", what,
                  fail - 2);
    expect_ok(an_model_load(&loaded, w.at.ctx, w.file, NULL));
    an_model_destroy(loaded);
}
END_TEST

/* Without which the test above would see nothing, and be content. */
START_TEST(malloc_can_be_made_to_fail)
{
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    void *volatile block;
    void *volatile other;
    long calls;

    shortage_begin(1, 1);
    block = malloc(10);
    other = malloc(10);
    calls = shortage_end();
    ck_assert_ptr_null(block);
    ck_assert_ptr_nonnull(other);
    ck_assert_int_ge(calls, 2);
    free(other);
    ck_assert(shortage_works());
#endif
}
END_TEST

/* The context itself, of which nothing is left, not even a thread. */
START_TEST(a_context_survives_each_lack_of_memory)
{
    an_context_config config;
    an_context *ctx = (an_context *)&w;
    an_status status = AN_ERROR_MEMORY;
    counted own;
    long fail;

    an_context_config_init(&config, sizeof config);
    config.threads = 3;
    for (fail = 1; status != AN_OK; fail++) {
        counted_allocator(&config, &own);
        own.fail_at = fail;
        status = an_context_create(&ctx, &config);
        if (status == AN_OK) break;
        expect_refused(status, AN_ERROR_MEMORY, "no memory for ");
        ck_assert_ptr_eq(ctx, (an_context *)&w);
        expect_count((uint64_t)own.blocks, 0, "blocks after allocation %ld", fail);
    }
    ck_assert_int_ge(fail, 3);
    an_context_destroy(ctx);
    expect_count((uint64_t)own.blocks, 0, "blocks after all");
    expect_count((uint64_t)own.wrong, 0, "wrong uses of the allocator");
}
END_TEST

/* --- in a forked child ------------------------------------------------------------- */

/* In place of the C library's: a child in another name space for processes may have its
 * parent's number. */
static pid_t pretended; /* 0: none */

pid_t getpid(void)
{
    return pretended != 0 ? pretended : (pid_t)syscall(SYS_getpid);
}

static char *told; /* shared: the first call that did otherwise, or "" */

#define FORKED(call)                                                                     \
    do {                                                                                 \
        an_status status_ = (call);                                                      \
        if (told[0] == '\0' &&                                                           \
            (status_ != AN_ERROR_FORKED || strstr(an_error_message(), "fork") == NULL || \
             memcmp(&out, &before, sizeof out) != 0))                                    \
            snprintf(told, 400, "%s: %s: \"%.200s\"", #call, an_status_string(status_),  \
                     an_error_message());                                                \
    } while (0)

static void use_context_and_models(void)
{
    const an_pack_writer_config config = packing_config(1, 0);
    an_parameter_info parameter = {.size = sizeof parameter};
    an_preprocessing p = {.size = sizeof p};
    an_kernel_time kernel = {.size = sizeof kernel};
    an_model_config settings = {.size = sizeof settings};
    an_model_info info = {.size = sizeof info};
    an_layer_info layer = {.size = sizeof layer};
    an_layer_time rows[4] = {{.size = sizeof rows[0]},
                             {.size = sizeof rows[0]},
                             {.size = sizeof rows[0]},
                             {.size = sizeof rows[0]}};
    ptrdiff_t nothing_read = 0;

    FORKED(an_device_count(w.at.ctx, &out.number));
    FORKED(an_device_describe(w.at.ctx, 0, &out.device));
    FORKED(an_model_create(&out.model, w.at.ctx, NULL));
    FORKED(an_model_load(&out.model, w.at.ctx, w.file, NULL));
    FORKED(an_model_read(&out.model, w.at.ctx, read_file, &nothing_read, NULL));
    FORKED(an_pack_open(&out.pack, w.at.ctx, w.at.folder, NULL, NULL));
    FORKED(an_pack_writer_create(&out.packing, w.at.ctx, w.file, &config));
    FORKED(an_model_describe(w.model, &info));
    FORKED(an_model_get_config(w.model, &settings));
    FORKED(an_layer_describe(w.model, 0, &layer));
    FORKED(an_model_profile(w.model, 1, 0, rows, 4));
    FORKED(an_model_profile_kernels(w.model, 1, 0, &kernel, 1, &out.number));
    FORKED(an_model_set_class_name(w.model, 0, "a"));
    FORKED(an_parameter_describe(w.model, 0, &parameter));
    FORKED(an_parameter_find(w.model, "conv1.bias", &out.number));
    FORKED(an_parameter_get(w.model, 1, out.floats, 8));
    FORKED(an_parameter_set(w.model, 1, w.images, 8));
    FORKED(an_model_set_preprocessing(w.model, &p));
    FORKED(an_model_get_preprocessing(w.model, &p));
    FORKED(an_model_set_mean_image(w.model, NULL, 0));
    FORKED(an_model_get_mean_image(w.model, out.floats, 3072));
    FORKED(an_preprocess(w.model, &w.image, 0, out.floats, ENOUGH));
    FORKED(an_infer(w.model, w.images, 1, out.floats, ENOUGH));
    FORKED(an_infer_images(w.model, &w.image, 1, out.floats, ENOUGH));
    FORKED(an_infer_views(w.model, &w.image, 1, 1, out.floats, ENOUGH));
    FORKED(an_evaluate(w.model, w.images, w.labels, 1, &out.sum));
    FORKED(an_evaluate_images(w.model, &w.image, w.labels, 1, &out.sum));
    FORKED(an_activation_count(w.model, "conv1", 1, &out.count, out.shape));
    FORKED(an_infer_layer(w.model, w.images, 1, "conv1", 1, out.floats, ENOUGH));
    FORKED(an_infer_layer_images(w.model, &w.image, 1, "conv1", 1, out.floats, ENOUGH));
    FORKED(an_model_save(w.model, w.file));
    FORKED(an_model_write(w.model, write_nowhere, NULL));
    FORKED(an_model_transfer(w.free_model, w.model, NULL, &out.number));
}

static void use_the_rest(void)
{
    const an_source source = world_source(&w);
    an_trainer_config training = {.size = sizeof training};
    an_loader_info loading = {.size = sizeof loading};
    an_pack_info info = {.size = sizeof info};
    an_source filled = {.size = sizeof filled};
    ptrdiff_t nothing_read = 0;

    FORKED(an_trainer_create(&out.trainer, w.free_model, NULL));
    FORKED(an_trainer_load(&out.trainer, w.free_model, w.file));
    FORKED(an_trainer_read(&out.trainer, w.free_model, read_file, &nothing_read));
    FORKED(an_train_step(w.trainer, w.images, w.labels, 1, &out.stats));
    FORKED(an_train_step_images(w.trainer, &w.image, w.labels, 1, &out.stats));
    FORKED(an_train_step_batch(w.trainer, &w.batch, &out.stats));
    FORKED(an_train_step_begin(w.trainer, &w.batch));
    FORKED(an_train_step_end(w.trainer, &out.stats));
    FORKED(an_trainer_get_config(w.trainer, &training));
    FORKED(an_trainer_set_rates(w.trainer, 0, 0));
    FORKED(an_trainer_set_layer_rates(w.trainer, "conv1", 0, 0));
    FORKED(an_trainer_get_layer_rates(w.trainer, "conv1", out.floats, out.floats));
    FORKED(an_trainer_set_schedule(w.trainer, NULL, 0));
    FORKED(an_trainer_end_epoch(w.trainer, 0, &out.epoch));
    FORKED(an_trainer_epoch(w.trainer, &out.number, &out.number));
    FORKED(an_trainer_get_gradient(w.trainer, 1, out.floats, 8));
    FORKED(an_trainer_set_note(w.trainer, out.note));
    FORKED(an_trainer_get_note(w.trainer, out.note));
    FORKED(an_trainer_save(w.trainer, w.file));
    FORKED(an_trainer_write(w.trainer, write_nowhere, NULL));
    FORKED(an_recipe_schedule("paper", w.trainer, 0, 0));
    FORKED(an_pack_describe(w.pack, &info));
    FORKED(an_pack_read(w.pack, 0, out.bytes, ENOUGH, &out.label));
    FORKED(an_pack_mean_image(w.pack, out.floats, 3 * SIDE * SIDE));
    FORKED(an_pack_prepare_model(w.pack, w.model, 0, 0));
    FORKED(an_pack_source(w.pack, &filled));
    FORKED(an_pack_writer_set_class_name(packing, 0, "a"));
    FORKED(an_pack_writer_add(packing, picture, NULL, 0, 0));
    FORKED(an_pack_writer_skip(packing));
    FORKED(an_pack_writer_sync(packing));
    FORKED(an_pack_writer_finish(packing));
    FORKED(an_loader_create(&out.loader, w.model, &source, NULL));
    FORKED(an_loader_next(w.loader, &out.batch));
    FORKED(an_loader_seek(w.loader, 0, 0));
    FORKED(an_loader_describe(w.loader, &loading));
}

/* All memory goes with the objects there, too. */
static void destroy_all(void)
{
    an_context_destroy(w.at.ctx);
    an_model_destroy(w.model);
    an_model_destroy(w.free_model);
    an_trainer_destroy(w.trainer);
    an_loader_destroy(w.loader);
    an_pack_destroy(w.pack);
    an_pack_writer_destroy(packing);
    if (told[0] == '\0' && counts.blocks != 0)
        snprintf(told, 400, "%ld blocks are left", counts.blocks);
}

START_TEST(a_forked_child_may_destroy_alone)
{
    const size_t bytes = 4096;
    pid_t child;
    int status;

    told = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(told, MAP_FAILED);
    if (_i == 1) pretended = getpid();
    child = fork();
    if (child == 0) {
        alarm(20); /* a hang ends as a signal */
        use_context_and_models();
        use_the_rest();
        destroy_all();
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child: %x", status);
    expect_text(told, "", "in the child");
    expect_ok(
        an_infer(w.model, w.images, 1, out.floats, ENOUGH)); /* its parent goes on */
    expect_ok(an_loader_next(w.loader, &w.batch));
    munmap(told, bytes);
    pretended = 0;
}
END_TEST

Suite *scarcity_suite(void)
{
    Suite *suite = suite_create("scarcity");
    TCase *tc = tcase_create("scarcity");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, each_call_survives_each_lack_of_memory, 0,
                        (int)(sizeof actions / sizeof actions[0]));
    tcase_add_loop_test(tc, each_call_survives_each_failure_of_malloc, 0,
                        2 * ((int)(sizeof actions / sizeof actions[0])));
    tcase_add_test(tc, malloc_can_be_made_to_fail);
    tcase_add_test(tc, a_context_survives_each_lack_of_memory);
    tcase_add_loop_test(tc, a_forked_child_may_destroy_alone, 0, 2);
    suite_add_tcase(suite, tc);
    return suite;
}
