/*
 * test_hygiene.c - the library as a guest: memory that runs out at any moment, many
 * threads, forks. What a host that links the shared object can see stands in host.c.
 */
#define _GNU_SOURCE
#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alexnet.h"
#include "expect.h"
#include "scratch.h"
#include "test.h"

enum { NUMBERS = 3 * 32 * 32 };

/* --- memory that runs out ---------------------------------------------------------- */

typedef struct counting {
    pthread_mutex_t lock;
    long calls, fail_at; /* the call that fails, counted from 1; 0: none */
    long held;           /* blocks */
} counting;

static void *count_alloc(size_t bytes, void *user)
{
    counting *c = user;
    void *memory = NULL;

    pthread_mutex_lock(&c->lock);
    if (++c->calls != c->fail_at) memory = malloc(bytes);
    c->held += memory != NULL;
    pthread_mutex_unlock(&c->lock);
    return memory;
}

static void count_release(void *memory, void *user)
{
    counting *c = user;

    pthread_mutex_lock(&c->lock);
    c->held--;
    pthread_mutex_unlock(&c->lock);
    free(memory);
}

/* Everything a host does; returns the first failure, with all that was made destroyed.
 * After a failure the model, if there is one, must still answer as it did before. */
static an_status whole_life(counting *c, const char *path)
{
    static float images[2 * NUMBERS];
    static const int32_t labels[2] = {1, 2};
    an_context *ctx = NULL;
    an_model *model = NULL, *loaded = NULL;
    an_trainer *trainer = NULL, *resumed = NULL;
    an_context_config context;
    an_model_config config;
    an_trainer_config training;
    an_evaluation e;
    an_layer_time rows[4];
    float p[20], again[20];
    uint8_t pixels[64 * 48 * 3] = {0};
    an_image image;
    an_status status;
    int i;

    an_context_config_init(&context, sizeof context);
    context.threads = 2;
    context.alloc = count_alloc;
    context.release = count_release;
    context.alloc_user = c;
    an_model_config_init(&config, sizeof config);
    config.arch = AN_ARCH_CIFAR10;
    config.width = 0.1f;
    an_trainer_config_init(&training, sizeof training);
    training.batch = 2;
    an_evaluation_init(&e, sizeof e);
    an_image_init(&image, sizeof image);
    image.pixels = pixels;
    image.width = 64;
    image.height = 48;
    for (i = 0; i < 4; i++) an_layer_time_init(&rows[i], sizeof rows[i]);

    status = an_context_create(&ctx, &context);
    if (status == AN_OK) status = an_model_create(&model, ctx, &config);
    if (status == AN_OK) status = an_model_set_class_name(model, 0, "zero");
    if (status == AN_OK) status = an_infer(model, images, 1, p, ENOUGH);
    if (status == AN_OK)
        status = an_infer(model, images, 2, p, ENOUGH); /* more than planned for */
    if (status == AN_OK) status = an_infer_images(model, &image, 1, p, ENOUGH);
    if (status == AN_OK) status = an_evaluate(model, images, labels, 2, &e);
    if (status == AN_OK) status = an_model_profile(model, 1, 1, rows, 4);
    if (status == AN_OK) status = an_trainer_create(&trainer, model, &training);
    if (status == AN_OK) status = an_train_step(trainer, images, labels, 2, NULL);
    if (status == AN_OK) status = an_trainer_save(trainer, path);
    if (status == AN_OK) status = an_model_load(&loaded, ctx, path, NULL);
    if (status == AN_OK) status = an_trainer_load(&resumed, loaded, path);
    if (status == AN_OK) status = an_train_step(resumed, images, labels, 2, NULL);

    c->fail_at = 0;
    if (model != NULL) {
        ck_assert_int_eq(an_infer(model, images, 2, p, ENOUGH), AN_OK);
        ck_assert_int_eq(an_infer(model, images, 2, again, ENOUGH), AN_OK);
        ck_assert_mem_eq(p, again, sizeof p);
    }
    an_trainer_destroy(resumed);
    an_trainer_destroy(trainer);
    an_model_destroy(loaded);
    an_model_destroy(model);
    an_context_destroy(ctx);
    return status;
}

START_TEST(any_allocation_may_fail)
{
    counting c = {PTHREAD_MUTEX_INITIALIZER, 0, 0, 0};
    char path[SCRATCH];
    long calls, i;

    scratch_file(path);
    ck_assert_int_eq(whole_life(&c, path), AN_OK);
    ck_assert_int_eq(c.held, 0);
    calls = c.calls;
    ck_assert_int_gt(calls, 80);
    for (i = 1; i <= calls; i++) {
        an_status status;

        c.calls = 0;
        c.fail_at = i;
        status = whole_life(&c, path);
        /* the two calls that only whole_life()'s own check makes may come last */
        ck_assert_msg(status == AN_ERROR_MEMORY || (status == AN_OK && i > calls - 4),
                      "allocation %ld of %ld: %d %s", i, calls, (int)status,
                      an_error_message());
        ck_assert_msg(c.held == 0, "allocation %ld: %ld blocks leaked", i, c.held);
    }
    unlink(path);
}
END_TEST

/* The same for packs, loaders, schedules and what a model takes of them. */
static an_status data_life(counting *c, const char *folder)
{
    static uint8_t pixels[36 * 36 * 3];
    an_context *ctx = NULL;
    an_model *model = NULL, *other = NULL;
    an_pack_writer *packing = NULL;
    an_pack *pack = NULL;
    an_loader *loader = NULL;
    an_trainer *trainer = NULL;
    an_context_config context;
    an_pack_writer_config packed;
    an_loader_config loading;
    an_model_config config;
    an_trainer_config training;
    an_source source;
    an_batch batch;
    an_image image;
    float vector[64 * 64], p[10];
    an_status status;
    int i;

    scratch_remove(folder);
    an_context_config_init(&context, sizeof context);
    context.threads = 1;
    context.alloc = count_alloc;
    context.release = count_release;
    context.alloc_user = c;
    an_pack_writer_config_init(&packed, sizeof packed);
    packed.side = 36;
    packed.classes = 2;
    packed.part_bytes = 1;
    packed.resume = 1;
    an_model_config_init(&config, sizeof config);
    config.arch = AN_ARCH_CIFAR10;
    config.width = 0.1f;
    config.classes = 2;
    an_trainer_config_init(&training, sizeof training);
    training.batch = 2;
    training.micro_batch = 1;
    an_loader_config_init(&loading, sizeof loading);
    loading.batch = 2;
    an_source_init(&source, sizeof source);
    an_batch_init(&batch, sizeof batch);
    an_image_init(&image, sizeof image);
    image.pixels = pixels;
    image.width = image.height = 36;

    status = an_context_create(&ctx, &context);
    if (status == AN_OK) status = an_pack_writer_create(&packing, ctx, folder, &packed);
    for (i = 0; i < 3 && status == AN_OK; i++) {
        memset(pixels, 40 * i, sizeof pixels / 2);
        status = an_pack_writer_set_class_name(packing, (uint32_t)i % 2, "name");
        if (status == AN_OK) status = an_pack_writer_add(packing, pixels, NULL, 0, i % 2);
        if (status == AN_OK && i == 1) status = an_pack_writer_sync(packing);
    }
    an_pack_writer_destroy(packing);
    packing = NULL;
    if (status == AN_OK) status = an_pack_writer_create(&packing, ctx, folder, &packed);
    if (status == AN_OK) status = an_pack_writer_add(packing, pixels, NULL, 0, 0);
    if (status == AN_OK) status = an_pack_writer_finish(packing);
    if (status == AN_OK) status = an_pack_open(&pack, ctx, folder, NULL, NULL);
    if (status == AN_OK) status = an_model_create(&model, ctx, &config);
    if (status == AN_OK) status = an_pack_prepare_model(pack, model, 1, 1);
    if (status == AN_OK) status = an_model_create(&other, ctx, &config);
    if (status == AN_OK) status = an_model_transfer(other, model, NULL, NULL);
    if (status == AN_OK) status = an_pack_source(pack, &source);
    source.scratch_bytes = 10;
    if (status == AN_OK) status = an_loader_create(&loader, model, &source, &loading);
    if (status == AN_OK) status = an_loader_next(loader, &batch);
    if (status == AN_OK) status = an_trainer_create(&trainer, model, &training);
    if (status == AN_OK) status = an_recipe_schedule("fine-tune", trainer, 0, 0);
    if (status == AN_OK)
        status = an_train_step(trainer, batch.images, batch.labels, batch.count, NULL);
    if (status == AN_OK) status = an_trainer_end_epoch(trainer, 0.5, NULL);
    if (status == AN_OK) status = an_infer_views(model, &image, 1, 10, p, ENOUGH);
    if (status == AN_OK)
        status = an_infer_layer_images(model, &image, 1, "conv3", AN_POINT_OUTPUT, vector,
                                       ENOUGH);

    c->fail_at = 0;
    an_loader_destroy(loader);
    an_trainer_destroy(trainer);
    an_model_destroy(other);
    an_model_destroy(model);
    an_pack_destroy(pack);
    an_pack_writer_destroy(packing);
    an_context_destroy(ctx);
    return status;
}

START_TEST(any_allocation_of_the_data_may_fail)
{
    counting c = {PTHREAD_MUTEX_INITIALIZER, 0, 0, 0};
    char folder[SCRATCH];
    long calls, i;

    scratch_folder(folder);
    ck_assert_msg(data_life(&c, folder) == AN_OK, "%s", an_error_message());
    ck_assert_int_eq(c.held, 0);
    calls = c.calls;
    ck_assert_int_gt(calls, 100);
    for (i = 1; i <= calls; i++) {
        an_status status;

        c.calls = 0;
        c.fail_at = i;
        status = data_life(&c, folder);
        ck_assert_msg(status == AN_ERROR_MEMORY || status == AN_OK,
                      "allocation %ld of %ld: %d %s", i, calls, (int)status,
                      an_error_message());
        /* Names of files that are only to be removed may be done without. */
        ck_assert_msg(status == AN_ERROR_MEMORY || i < calls, "allocation %ld", i);
        ck_assert_msg(c.held == 0, "allocation %ld: %ld blocks leaked", i, c.held);
    }
    scratch_remove(folder);
}
END_TEST

/* A step, and an inference of a size seen before, allocate nothing. */
START_TEST(steady_state_allocates_nothing)
{
    counting c = {PTHREAD_MUTEX_INITIALIZER, 0, 0, 0};
    static float images[4 * NUMBERS];
    static const int32_t labels[4] = {0, 1, 2, 3};
    an_context_config context;
    an_trainer_config training;
    an_model_config config;
    an_context *ctx;
    an_model *model;
    an_trainer *trainer;
    float p[40];
    long before;

    an_context_config_init(&context, sizeof context);
    context.alloc = count_alloc;
    context.release = count_release;
    context.alloc_user = &c;
    an_model_config_init(&config, sizeof config);
    config.arch = AN_ARCH_CIFAR10;
    an_trainer_config_init(&training, sizeof training);
    training.batch = 4;
    ck_assert_int_eq(an_context_create(&ctx, &context), AN_OK);
    ck_assert_int_eq(an_model_create(&model, ctx, &config), AN_OK);
    ck_assert_int_eq(an_trainer_create(&trainer, model, &training), AN_OK);
    ck_assert_int_eq(an_infer(model, images, 4, p, ENOUGH), AN_OK);
    before = c.calls;
    ck_assert_int_eq(an_train_step(trainer, images, labels, 4, NULL), AN_OK);
    ck_assert_int_eq(an_train_step(trainer, images, labels, 3, NULL), AN_OK);
    ck_assert_int_eq(an_infer(model, images, 4, p, ENOUGH), AN_OK);
    ck_assert_int_eq(an_infer(model, images, 1, p, ENOUGH), AN_OK);
    ck_assert_int_eq(c.calls, before);
    an_trainer_destroy(trainer);
    an_model_destroy(model);
    an_context_destroy(ctx);
}
END_TEST

/* --- threads ----------------------------------------------------------------------- */

enum { THREADS = 8, ROUNDS = 12 };

typedef struct crowd {
    an_model *model;
    const float *images, *want; /* one at a time: rows of `want` */
    int wrong;
} crowd;

static void *one_of_crowd(void *arg)
{
    crowd *c = arg;
    float p[10];
    int i;

    for (i = 0; i < ROUNDS; i++) {
        if (an_infer(c->model, c->images + i % 4 * NUMBERS, 1, p, ENOUGH) != AN_OK ||
            memcmp(p, c->want + i % 4 * 10, sizeof p) != 0)
            __atomic_fetch_add(&c->wrong, 1, __ATOMIC_RELAXED);
        /* a failure of one's own leaves the others' messages alone */
        if (an_infer(c->model, c->images, 0, p, ENOUGH) != AN_ERROR_ARGUMENT ||
            strstr(an_error_message(), "count is 0") == NULL)
            __atomic_fetch_add(&c->wrong, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

START_TEST(eight_threads_share_a_model)
{
    float images[4 * NUMBERS], want[40];
    an_context_config context;
    an_model_config config;
    pthread_t thread[THREADS];
    an_context *ctx;
    uint32_t seed = 1;
    crowd c;
    int i;

    for (i = 0; i < 4 * NUMBERS; i++) {
        seed = seed * 1664525u + 1013904223u;
        images[i] = (float)(seed >> 8) / 8388608.0f - 1;
    }
    an_context_config_init(&context, sizeof context);
    context.threads = 3;
    an_model_config_init(&config, sizeof config);
    config.arch = AN_ARCH_CIFAR10;
    ck_assert_int_eq(an_context_create(&ctx, &context), AN_OK);
    ck_assert_int_eq(an_model_create(&c.model, ctx, &config), AN_OK);
    for (i = 0; i < 4; i++)
        ck_assert_int_eq(
            an_infer(c.model, images + i * NUMBERS, 1, want + i * 10, ENOUGH), AN_OK);
    c.images = images;
    c.want = want;
    c.wrong = 0;
    for (i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, one_of_crowd, &c), 0);
    for (i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
    ck_assert_int_eq(c.wrong, 0);
    an_model_destroy(c.model);
    an_context_destroy(ctx);
}
END_TEST

/* More threads between contexts than OpenBLAS has places for. */
static void *own_context(void *arg)
{
    static float image[NUMBERS];
    an_context_config context;
    an_model_config config;
    an_context *ctx;
    an_model *model;
    float p[10];
    int *wrong = arg, i;

    an_context_config_init(&context, sizeof context);
    context.threads = 20;
    an_model_config_init(&config, sizeof config);
    config.arch = AN_ARCH_CIFAR10;
    if (an_context_create(&ctx, &context) != AN_OK ||
        an_model_create(&model, ctx, &config) != AN_OK) {
        __atomic_fetch_add(wrong, 1, __ATOMIC_RELAXED);
        return NULL;
    }
    for (i = 0; i < 5; i++)
        if (an_infer(model, image, 1, p, ENOUGH) != AN_OK)
            __atomic_fetch_add(wrong, 1, __ATOMIC_RELAXED);
    an_model_destroy(model);
    an_context_destroy(ctx);
    return NULL;
}

START_TEST(many_contexts_at_once)
{
    pthread_t thread[12];
    int wrong = 0, i;

    for (i = 0; i < 12; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, own_context, &wrong), 0);
    for (i = 0; i < 12; i++) pthread_join(thread[i], NULL);
    ck_assert_int_eq(wrong, 0);
}
END_TEST

/* --- small stacks ------------------------------------------------------------------ */

typedef struct small_life {
    uint32_t arch, path;
    an_status status;
} small_life;

/* One thread, so that all is computed on its stack. */
static void *in_a_small_stack(void *arg)
{
    static const int32_t labels[2] = {1, 2};
    small_life *life = arg;
    an_context *ctx = NULL;
    an_model *model = NULL;
    an_trainer *trainer = NULL;
    an_context_config context;
    an_model_config config;
    an_model_info info;
    float *images = NULL, p[20];

    an_context_config_init(&context, sizeof context);
    context.threads = 1;
    context.cpu_path = life->path;
    an_model_config_init(&config, sizeof config);
    config.arch = life->arch;
    config.classes = 10;
    config.width = 0.5f;
    an_model_info_init(&info, sizeof info);
    life->status = an_context_create(&ctx, &context);
    if (life->status == AN_OK) life->status = an_model_create(&model, ctx, &config);
    if (life->status == AN_OK) life->status = an_model_describe(model, &info);
    if (life->status == AN_OK)
        images = calloc((size_t)6 * info.image_size * info.image_size, sizeof *images);
    if (life->status == AN_OK) life->status = an_infer(model, images, 2, p, ENOUGH);
    if (life->status == AN_OK) life->status = an_trainer_create(&trainer, model, NULL);
    if (life->status == AN_OK)
        life->status = an_train_step(trainer, images, labels, 2, NULL);
    free(images);
    an_trainer_destroy(trainer);
    an_model_destroy(model);
    an_context_destroy(ctx);
    return NULL;
}

/* Runs `body` with so much stack; 16 KiB of it more, for what threads take of it
 * themselves. Sanitizers' frames are larger. */
static void with_stack(size_t kib, void *(*body)(void *arg), void *arg)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    const size_t factor = 16;
#else
    const size_t factor = 1;
#endif
    pthread_attr_t attributes;
    pthread_t thread;

    pthread_attr_init(&attributes);
    ck_assert_int_eq(pthread_attr_setstacksize(&attributes, factor * (kib + 16) << 10),
                     0);
    ck_assert_int_eq(pthread_create(&thread, &attributes, body, arg), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
}

START_TEST(calls_fit_into_a_small_stack)
{
    static const uint32_t archs[] = {AN_ARCH_CIFAR10, AN_ARCH_KRIZHEVSKY2012};
    small_life life = {archs[_i], 0, AN_OK};

    for (life.path = AN_CPU_PATH_REFERENCE; life.path <= AN_CPU_PATH_AVX512;
         life.path++) {
        with_stack(96, in_a_small_stack, &life);
        ck_assert(life.status == AN_OK || life.status == AN_ERROR_BACKEND);
        ck_assert(life.status == AN_OK || life.path != AN_CPU_PATH_REFERENCE);
    }
}
END_TEST

typedef struct nested {
    char path[64];
    an_status status;
} nested;

static void *load_nested(void *arg)
{
    nested *n = arg;
    an_context *ctx;
    an_model *model = NULL;
    an_context_config config;

    an_context_config_init(&config, sizeof config);
    config.threads = 1;
    if (an_context_create(&ctx, &config) != AN_OK) return NULL;
    n->status = an_model_load(&model, ctx, n->path, NULL);
    an_context_destroy(ctx);
    return NULL;
}

/* A header of arrays or objects within each other, as many as jansson follows, and
 * more. */
START_TEST(nested_headers_fit_into_a_stack)
{
    static const size_t depths[] = {2040, 100000};
    const char *open = _i % 2 ? "{\"a\":" : "[", *close = _i % 2 ? "}" : "]";
    size_t depth = depths[_i / 2], bytes, i;
    uint64_t length;
    nested n = {"", AN_OK};
    FILE *file;

    scratch_file(n.path);
    file = fopen(n.path, "wb");
    ck_assert_ptr_nonnull(file);
    bytes = depth * (strlen(open) + 1) + strlen("{\"a\":0}");
    length = (bytes + 7) / 8 * 8;
    fwrite(&length, sizeof length, 1, file);
    fputs("{\"a\":", file);
    for (i = 0; i < depth; i++) fputs(open, file);
    fputs("0", file);
    for (i = 0; i < depth; i++) fputs(close, file);
    fprintf(file, "}%*s", (int)(length - bytes), "");
    ck_assert_int_eq(fclose(file), 0);
    with_stack(240, load_nested, &n);
    ck_assert_int_eq(n.status, AN_ERROR_FORMAT);
    ck_assert_int_eq(unlink(n.path), 0);
}
END_TEST

/* --- forks ------------------------------------------------------------------------- */

/* In the child: every use is refused, destroying frees, a context of its own works. */
static int in_child(an_context *ctx, an_model *model, an_trainer *trainer)
{
    static float image[NUMBERS];
    const int32_t label = 0;
    an_context *own;
    an_model *other;
    an_context_config context;
    an_model_config config;
    float p[10];
    uint32_t count;

    alarm(20); /* a hang ends as a signal */
    if (an_infer(model, image, 1, p, ENOUGH) != AN_ERROR_FORKED) return 1;
    if (an_train_step(trainer, image, &label, 1, NULL) != AN_ERROR_FORKED) return 2;
    if (an_device_count(ctx, &count) != AN_ERROR_FORKED) return 3;
    if (an_model_save(model, "/dev/null") != AN_ERROR_FORKED) return 4;
    if (strstr(an_error_message(), "fork") == NULL) return 5;
    an_trainer_destroy(trainer);
    an_model_destroy(model);
    an_context_destroy(ctx);
    an_model_config_init(&config, sizeof config);
    config.arch = AN_ARCH_CIFAR10;
    an_context_config_init(&context, sizeof context);
#ifdef __SANITIZE_THREAD__
    context.threads = 1; /* gcc's TSan loses count of threads made after a fork */
#endif
    if (an_context_create(&own, &context) != AN_OK) return 6;
    if (an_model_create(&other, own, &config) != AN_OK) return 7;
    if (an_infer(other, image, 1, p, ENOUGH) != AN_OK) return 8;
    an_model_destroy(other);
    an_context_destroy(own);
    return 0;
}

static int rounds; /* of keep_busy() */

static void *keep_busy(void *arg)
{
    crowd *c = arg;
    float p[10];

    while (!__atomic_load_n(&c->wrong, __ATOMIC_RELAXED)) {
        if (an_infer(c->model, c->images, 1, p, ENOUGH) != AN_OK) abort();
        __atomic_fetch_add(&rounds, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

START_TEST(a_forked_child_gets_an_error)
{
    static float images[NUMBERS];
    an_context_config context;
    an_model_config config;
    an_context *ctx;
    an_trainer *trainer;
    pthread_t thread;
    crowd c = {NULL, images, NULL, 0};
    float p[10];
    int i;

    an_context_config_init(&context, sizeof context);
    context.threads = 3;
    an_model_config_init(&config, sizeof config);
    config.arch = AN_ARCH_CIFAR10;
    ck_assert_int_eq(an_context_create(&ctx, &context), AN_OK);
    ck_assert_int_eq(an_model_create(&c.model, ctx, &config), AN_OK);
    ck_assert_int_eq(an_trainer_create(&trainer, c.model, NULL), AN_OK);
    ck_assert_int_eq(an_infer(c.model, images, 1, p, ENOUGH), AN_OK);
    ck_assert_int_eq(pthread_create(&thread, NULL, keep_busy, &c), 0);
    /* In the midst of its products. (While a thread starts it holds locks of gcc's ASan,
     * too, which a child would wait for in vain.) */
    while (__atomic_load_n(&rounds, __ATOMIC_RELAXED) < 50) sched_yield();
    for (i = 0; i < 10; i++) { /* while another thread holds locks, now and then */
        pid_t child = fork();
        int status;

        if (child == 0) _exit(in_child(ctx, c.model, trainer));
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "child: %x", status);
    }
    __atomic_store_n(&c.wrong, 1, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    ck_assert_int_eq(an_infer(c.model, images, 1, p, ENOUGH), AN_OK);
    an_trainer_destroy(trainer);
    an_model_destroy(c.model);
    an_context_destroy(ctx);
}
END_TEST

Suite *hygiene_suite(void)
{
    Suite *suite = suite_create("hygiene");
    TCase *tc = tcase_create("hygiene");

    tcase_set_timeout(tc, 300);
    tcase_add_test(tc, any_allocation_may_fail);
    tcase_add_test(tc, any_allocation_of_the_data_may_fail);
    tcase_add_test(tc, steady_state_allocates_nothing);
    tcase_add_test(tc, eight_threads_share_a_model);
    tcase_add_test(tc, many_contexts_at_once);
    tcase_add_loop_test(tc, calls_fit_into_a_small_stack, 0, 2);
    tcase_add_loop_test(tc, nested_headers_fit_into_a_stack, 0, 4);
    tcase_add_test(tc, a_forked_child_gets_an_error);
    suite_add_tcase(suite, tc);
    return suite;
}
