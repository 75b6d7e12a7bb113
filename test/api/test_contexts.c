/*
 * test_contexts.c - what models share: threads, allocator, devices, the log; each
 * thread's error message; and the orders in which objects may be destroyed.
 */
#define _GNU_SOURCE
#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "expect.h"
#include "host_run.h"
#include "test.h"
#include "world.h"

static an_context *context_of(uint32_t threads, uint32_t path, counted *counts)
{
    an_context_config config;
    an_context *ctx;

    an_context_config_init(&config, sizeof config);
    config.threads = threads;
    config.cpu_path = path;
    if (counts != NULL) counted_allocator(&config, counts);
    expect_ok(an_context_create(&ctx, &config));
    return ctx;
}

/* --- threads and devices ----------------------------------------------------------- */

/* Of this process, as the system counts them. */
static uint32_t threads_of_process(void)
{
    char line[128];
    unsigned count = 0;
    FILE *file = fopen("/proc/self/status", "r");

    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "Threads: %u", &count) == 1) break;
    fclose(file);
    return count;
}

START_TEST(a_context_has_the_threads_that_it_was_told)
{
    static const uint32_t asked[] = {1, 2, 5};
    cpu_set_t all, one;
    an_context *ctx;
    size_t i, cpu = 0;

    for (i = 0; i < 3; i++) { /* the caller's own is one of them */
        const uint32_t before = threads_of_process();

        ctx = context_of(asked[i], 0, NULL);
        expect_count(an_context_threads(ctx), asked[i], "asked for");
        expect_count(threads_of_process() - before, asked[i] - 1, "started");
        an_context_destroy(ctx);
        expect_count(threads_of_process(), before, "after the context");
    }
    ck_assert_int_eq(sched_getaffinity(0, sizeof all, &all), 0);
    ctx = context_of(0, 0, NULL);
    expect_count(an_context_threads(ctx), (uint64_t)CPU_COUNT(&all),
                 "processors of the process");
    an_context_destroy(ctx);
    while (!CPU_ISSET(cpu, &all)) cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
    ctx = context_of(0, 0, NULL);
    expect_count(an_context_threads(ctx), 1, "on one processor");
    an_context_destroy(ctx);
    ck_assert_int_eq(sched_setaffinity(0, sizeof all, &all), 0);
}
END_TEST

/* The processor's name as the system has it, "" if it has none. */
static void system_name(char name[96])
{
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "r");

    name[0] = '\0';
    if (file == NULL) return;
    while (name[0] == '\0' && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, "model name", 10) == 0) sscanf(line, "%*[^:]: %95[^\n]", name);
    fclose(file);
}

START_TEST(the_cpu_is_described)
{
    an_context *ctx = context_of(3, AN_CPU_PATH_REFERENCE, NULL);
    an_device_info info;
    char name[96];
    int i;

    an_device_info_init(&info, sizeof info);
    memset((char *)&info + sizeof info.size, 0x55, sizeof info - sizeof info.size);
    expect_ok(an_device_describe(ctx, 0, &info));
    expect_text(info.backend, "cpu", "device 0");
    expect_text(info.device, "cpu", "device 0");
    system_name(name);
    if (name[0] != '\0') expect_text(info.name, name, "device 0");
    expect_count(info.memory,
                 (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE),
                 "device 0");
    expect_count(info.units, 3, "threads that compute");
    expect_count(info.cpu_path, AN_CPU_PATH_REFERENCE, "device 0");
    for (i = 0; i < 4; i++) expect_number(info.flops[i], 0, 0, "a CPU's limits");
    expect_number(info.memory_rate, 0, 0, "a CPU's limits");
    an_context_destroy(ctx);
}
END_TEST

/* The best path is the last that the processor has. */
START_TEST(the_best_path_is_the_last)
{
    an_context *ctx = context_of(1, AN_CPU_PATH_BEST, NULL);
    uint32_t best = AN_CPU_PATH_AVX512;
    an_device_info info;

    while (an__cpu_path(best) == NULL) best--;
    an_device_info_init(&info, sizeof info);
    expect_ok(an_device_describe(ctx, 0, &info));
    expect_count(info.cpu_path, best, "in use");
    an_context_destroy(ctx);
}
END_TEST

START_TEST(devices_are_numbered_through_all_backends)
{
    an_context *ctx = plugin_context(host_run_path(), 2);
    an_device_info info;
    uint32_t count = 0, i;
    char device[24];

    hr_devices(3, (size_t)1 << 30, 1);
    expect_ok(an_device_count(ctx, &count));
    expect_count(count, 4, "the CPU and three");
    for (i = 0; i < count; i++) {
        snprintf(device, sizeof device, i == 0 ? "cpu" : "cuda:%u", i - 1);
        an_device_info_init(&info, sizeof info);
        expect_ok(an_device_describe(ctx, i, &info));
        expect_text(info.backend, i == 0 ? "cpu" : "cuda", "device %u", i);
        expect_text(info.device, device, "device %u", i);
        ck_assert_uint_gt(strlen(info.name), 0);
        ck_assert_uint_gt(info.units, 0);
        ck_assert_int_eq(info.cpu_path == 0, i > 0);
    }
    expect_refused(an_device_describe(ctx, count, &info), AN_ERROR_ARGUMENT,
                   "index is 4: there are 4 devices");
    an_context_destroy(ctx);
}
END_TEST

/* A device is opened once, however many models it has. */
START_TEST(many_models_share_a_device)
{
    an_model_config config = world_model();
    an_model *models[40];
    counted counts;
    an_context *ctx = context_of(1, 0, &counts);
    long first = 0, second = 0;
    int i;

    for (i = 0; i < 40; i++) {
        const long before = counts.blocks;

        config.devices = i % 2 ? "cpu:0" : "cpu";
        expect_ok(an_model_create(&models[i], ctx, &config));
        if (i == 0) first = counts.blocks - before;
        if (i == 1) second = counts.blocks - before;
        if (i > 1)
            expect_count((uint64_t)(counts.blocks - before), (uint64_t)second, "model %d",
                         i);
    }
    expect_count((uint64_t)(first - second), 1, "the device");
    for (i = 0; i < 40; i++) an_model_destroy(models[i]);
    an_context_destroy(ctx);
    expect_count((uint64_t)counts.blocks, 0, "blocks at the end");
}
END_TEST

/* Eight bytes: a header of no bytes. */
static ptrdiff_t read_zeros(void *data, size_t bytes, void *user)
{
    size_t *left = user, part = bytes < *left ? bytes : *left;

    memset(data, 0, part);
    *left -= part;
    return (ptrdiff_t)part;
}

/* Whatever the library has to ask for or to give back: some bytes, and nothing that is
 * null. */
START_TEST(an_allocator_is_never_asked_for_nothing)
{
    counted counts;
    an_context *ctx = context_of(1, 0, &counts);
    an_model *model = (an_model *)&model;
    size_t left = 8;
    void *none;

    expect_refused(an_model_read(&model, ctx, read_zeros, &left, NULL), AN_ERROR_FORMAT,
                   NULL);
    none = an__alloc_zero(&ctx->memory, 0);
    ck_assert_ptr_nonnull(none);
    an__free(&ctx->memory, none);
    an__free(&ctx->memory, NULL);
    expect_count((uint64_t)counts.wrong, 0, "wrong uses of the allocator");
    an_context_destroy(ctx);
    expect_count((uint64_t)counts.blocks, 0, "blocks at the end");
}
END_TEST

START_TEST(a_mixture_of_backends_is_refused)
{
    an_model_config config = small_config(AN_ARCH_PAPER);
    an_context *ctx = plugin_context(host_run_path(), 1);
    an_model *model = (an_model *)&model;

    config.width = 0.02f;
    config.towers = 2;
    config.devices = "cpu,cuda:0";
    expect_refused(an_model_create(&model, ctx, &config), AN_ERROR_ARGUMENT,
                   "\"cpu,cuda:0\" mixes two backends");
    config.devices = "cuda:0,cpu";
    expect_refused(an_model_create(&model, ctx, &config), AN_ERROR_ARGUMENT, "mixes two");
    ck_assert_ptr_eq(model, (an_model *)&model);
    an_context_destroy(ctx);
}
END_TEST

/* --- the log ----------------------------------------------------------------------- */

typedef struct heard {
    int count;
    an_log_level level;
    char text[400];
} heard;

static void hear(an_log_level level, const char *text, void *user)
{
    heard *h = user;

    h->count++;
    h->level = level;
    snprintf(h->text, sizeof h->text, "%s", text);
}

/* Sentences of any length, to the callback with its user; without one, to nobody. */
START_TEST(the_log_gets_a_sentence_and_its_level)
{
    an_context_config config;
    an_context *ctx;
    char filler[500];
    heard h = {0, 0, ""};

    memset(filler, 'x', sizeof filler);
    filler[499] = '\0';
    an_context_config_init(&config, sizeof config);
    config.threads = 1;
    config.log = hear;
    config.log_user = &h;
    expect_ok(an_context_create(&ctx, &config));
    an__log(&ctx->memory, AN_LOG_WARNING, "%u of %s", 7u, "these");
    expect_count((uint64_t)h.count, 1, "calls");
    expect_count(h.level, AN_LOG_WARNING, "its level");
    expect_text(h.text, "7 of these", "its text");
    an__log(&ctx->memory, AN_LOG_INFO, "%s", filler);
    expect_count(h.level, AN_LOG_INFO, "its level");
    ck_assert_uint_ge(strlen(h.text), 255);
    expect_bytes(h.text, filler, strlen(h.text), "the text as far as it goes");
    an_context_destroy(ctx);
    ctx = context_of(1, 0, NULL);
    an__log(&ctx->memory, AN_LOG_WARNING, "to nobody");
    expect_count((uint64_t)h.count, 2, "calls");
    an_context_destroy(ctx);
}
END_TEST

/* --- a limit of memory ------------------------------------------------------------- */

static an_status live_with_trainer(an_model *model)
{
    static float images[4 * TINY_NUMBERS];
    const int32_t labels[4] = {0, 1, 2, 3};
    an_trainer_config training = small_training(4);
    float probabilities[4 * 16];
    an_trainer *trainer = NULL;
    an_status status = an_trainer_create(&trainer, model, &training);

    if (status == AN_OK) status = an_train_step(trainer, images, labels, 4, NULL);
    if (status == AN_OK) status = an_infer(model, images, 4, probabilities, 4 * 16);
    an_trainer_destroy(trainer);
    return status;
}

/* A context from its making to its end, up to the first call that fails. */
static an_status live(const an_context_config *config)
{
    const an_model_config tiny = tiny_config();
    an_context *ctx = NULL;
    an_model *model = NULL;
    an_status status = an_context_create(&ctx, config);

    if (status == AN_OK) status = an_model_create(&model, ctx, &tiny);
    if (status == AN_OK) status = live_with_trainer(model);
    an_model_destroy(model);
    an_context_destroy(ctx);
    return status;
}

START_TEST(a_context_keeps_within_its_limit_of_memory)
{
    an_context_config config;
    counted counts;
    uint64_t limit;
    int refused = 0;

    an_context_config_init(&config, sizeof config);
    config.threads = 2;
    for (limit = 1; limit < (uint64_t)1 << 30; limit += limit / 4 + 1) {
        an_status status;
        char words[64];

        counted_allocator(&config, &counts);
        config.memory_limit = limit;
        status = live(&config);
        ck_assert_uint_le(counts.most, limit);
        expect_count((uint64_t)counts.blocks, 0, "blocks within %llu bytes",
                     (unsigned long long)limit);
        if (status == AN_OK) break;
        snprintf(words, sizeof words, "config.memory_limit is %llu",
                 (unsigned long long)limit);
        expect_refused(status, AN_ERROR_MEMORY, words);
        refused++;
    }
    ck_assert_msg(refused > 20 && limit > 100000 && limit < 10000000,
                  "%d limits were too low, %llu is not", refused,
                  (unsigned long long)limit);
    config.memory_limit = UINT64_MAX;
    expect_ok(live(&config));
}
END_TEST

/* And goes on with what it has; what is given back can be had again. */
START_TEST(what_a_limit_refuses_changes_nothing)
{
    const an_model_config tiny = tiny_config();
    static float images[TINY_NUMBERS];
    float before[16], after[16];
    an_context_config config;
    an_model *model[64];
    an_context *ctx;
    uint32_t count = 0, i;

    an_context_config_init(&config, sizeof config);
    config.threads = 1;
    config.memory_limit = 2 << 20;
    expect_ok(an_context_create(&ctx, &config));
    expect_ok(an_model_create(&model[count++], ctx, &tiny));
    noise_floats(images, TINY_NUMBERS, 3, 100);
    expect_ok(an_infer(model[0], images, 1, before, 16));
    while (count < 64 && an_model_create(&model[count], ctx, &tiny) == AN_OK) count++;
    ck_assert_uint_lt(count, 64);
    expect_refused(an_model_create(&model[count], ctx, &tiny), AN_ERROR_MEMORY,
                   "config.memory_limit is 2097152, of which");
    expect_ok(an_infer(model[0], images, 1, after, 16));
    expect_bytes(after, before, SMALL_CLASSES * sizeof *after, "probabilities");
    an_model_destroy(model[--count]);
    expect_ok(an_model_create(&model[count], ctx, &tiny));
    for (i = 0; i <= count; i++) an_model_destroy(model[i]);
    an_context_destroy(ctx);
}
END_TEST

/* --- messages ---------------------------------------------------------------------- */

static void *another_thread(void *arg)
{
    (void)arg;
    if (strcmp(an_error_message(), "") != 0) return "a message before any failure";
    an_context_create(NULL, NULL);
    return strcmp(an_error_message(), "out is null") == 0 ? NULL : "another message";
}

START_TEST(a_message_is_its_threads_last_failure)
{
    pthread_t thread;
    void *fault;
    uint32_t index;
    char name[500];

    expect_text(an_error_message(), "", "before any failure");
    expect_refused(an_recipe_find("nothing", &index), AN_ERROR_ARGUMENT, "\"nothing\"");
    ck_assert_int_eq(pthread_create(&thread, NULL, another_thread, NULL), 0);
    pthread_join(thread, &fault);
    ck_assert_msg(fault == NULL, "%s", (const char *)fault);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "\"nothing\""));
    expect_ok(an_recipe_find("paper", &index)); /* which leaves it as it is */
    ck_assert_ptr_nonnull(strstr(an_error_message(), "\"nothing\""));
    memset(name, 'y', sizeof name);
    name[499] = '\0';
    expect_count(an__fail(AN_ERROR_STATE, "%s", name), AN_ERROR_STATE, "passed through");
    ck_assert_uint_ge(strlen(an_error_message()), 255);
    expect_bytes(an_error_message(), name, strlen(an_error_message()),
                 "as far as it goes");
}
END_TEST

START_TEST(versions_say_the_same)
{
    char text[32];

    snprintf(text, sizeof text, "%u.%u.%u", an_version() / 10000,
             an_version() / 100 % 100, an_version() % 100);
    expect_text(an_version_string(), text, "of %u", an_version());
    ck_assert_ptr_nonnull(strstr(an_build_info(), text));
    ck_assert_ptr_nonnull(strstr(an_build_info(), "OpenBLAS"));
    ck_assert_ptr_nonnull(strstr(an_build_info(), __VERSION__));
}
END_TEST

/* --- destruction ------------------------------------------------------------------- */

enum { OBJECTS = 6 };

/* Object `which` of the world; a pack goes after the loaders on it, of which there is
 * none. */
static void destroy(world *w, int which)
{
    switch (which) {
    case 0: an_context_destroy(w->at.ctx); break;
    case 1: an_model_destroy(w->model); break;
    case 2: an_trainer_destroy(w->trainer); break;
    case 3: an_loader_destroy(w->loader); break;
    case 4: an_pack_destroy(w->pack); break;
    default: an_model_destroy(w->free_model); break;
    }
}

/* Each order that begins with one object and goes round, in both directions. */
START_TEST(objects_go_in_any_order)
{
    const int step = _i % 2 ? 1 : OBJECTS - 1;
    an_context *own;
    counted counts;
    world w;
    int i;

    world_open(&w, &counts);
    for (i = 0; i < OBJECTS; i++) {
        destroy(&w, (_i / 2 + i * step) % OBJECTS);
        ck_assert_msg(i == OBJECTS - 1 || counts.blocks > 0, "after %d objects", i + 1);
    }
    expect_count((uint64_t)counts.blocks, 0, "blocks at the end");
    expect_count((uint64_t)counts.wrong, 0, "wrong uses of the allocator");
    own = context_of(1, 0, NULL);
    w.at.ctx = own;
    remove(w.file);
    place_close(&w.at);
}
END_TEST

Suite *contexts_suite(void)
{
    Suite *suite = suite_create("contexts");
    TCase *tc = tcase_create("contexts");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_context_has_the_threads_that_it_was_told);
    tcase_add_test(tc, the_cpu_is_described);
    tcase_add_test(tc, the_best_path_is_the_last);
    tcase_add_test(tc, devices_are_numbered_through_all_backends);
    tcase_add_test(tc, many_models_share_a_device);
    tcase_add_test(tc, an_allocator_is_never_asked_for_nothing);
    tcase_add_test(tc, a_mixture_of_backends_is_refused);
    tcase_add_test(tc, the_log_gets_a_sentence_and_its_level);
    tcase_add_test(tc, a_context_keeps_within_its_limit_of_memory);
    tcase_add_test(tc, what_a_limit_refuses_changes_nothing);
    tcase_add_test(tc, a_message_is_its_threads_last_failure);
    tcase_add_test(tc, versions_say_the_same);
    tcase_add_loop_test(tc, objects_go_in_any_order, 0, 2 * OBJECTS);
    suite_add_tcase(suite, tc);
    return suite;
}
