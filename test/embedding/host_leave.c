/*
 * host_leave.c - main() returns while other threads infer and train: the process ends
 * with 0. And with a library to load, argv[2]: it is loaded, used and closed again and
 * again, and leaves no memory behind.
 *
 * usage: host_leave MICROSECONDS PATH, PATH an an_cpu_path; host_leave load LIBRARY
 */
#define _DEFAULT_SOURCE
#include <alexnet.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { IMAGES = 8, NUMBERS = IMAGES * 3 * 32 * 32 };

static float images[NUMBERS];
static an_model *models[2];
static an_trainer *trainer;

static void *infer(void *arg)
{
    float p[IMAGES * 10];

    while (an_infer(models[0], images, IMAGES, p, IMAGES * 10) == AN_OK) continue;
    return arg;
}

static void *train(void *arg)
{
    static const int32_t labels[IMAGES] = {1, 2, 3, 4, 5, 6, 7, 8};

    while (an_train_step(trainer, images, labels, IMAGES, NULL) == AN_OK) continue;
    return arg;
}

static int leave(useconds_t after, an_cpu_path path)
{
    an_context_config context;
    an_model_config config;
    pthread_t thread;
    an_context *ctx;

    an_context_config_init(&context, sizeof context);
    context.threads = 3;
    context.cpu_path = path;
    an_model_config_init(&config, sizeof config);
    config.arch = AN_ARCH_CIFAR10;
    if (an_context_create(&ctx, &context) != AN_OK)
        return 0; /* the processor lacks the path */
    if (an_model_create(&models[0], ctx, &config) != AN_OK ||
        an_model_create(&models[1], ctx, &config) != AN_OK ||
        an_trainer_create(&trainer, models[1], NULL) != AN_OK ||
        pthread_create(&thread, NULL, infer, NULL) != 0 ||
        pthread_create(&thread, NULL, infer, NULL) != 0 ||
        pthread_create(&thread, NULL, train, NULL) != 0)
        return 1;
    usleep(after);
    return 0;
}

/* KiB of anonymous memory that the process has. */
static long memory_now(void)
{
    char line[128];
    long kib = -1;
    FILE *file = fopen("/proc/self/status", "r");

    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "RssAnon: %ld", &kib) == 1) break;
    if (file != NULL) fclose(file);
    return kib;
}

#define FIND(name) (*(void **)(void *)&name##_ = dlsym(library, #name))

/* One inference on the path that multiplies by OpenBLAS, by this thread alone. */
static int load_and_close(const char *path)
{
    an_status (*an_context_create_)(an_context **, const an_context_config *);
    an_status (*an_model_create_)(an_model **, an_context *, const an_model_config *);
    an_status (*an_infer_)(an_model *, const float *, uint32_t, float *, size_t);
    void (*an_model_destroy_)(an_model *), (*an_context_destroy_)(an_context *);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    an_context_config context = {
        .size = sizeof context, .threads = 1, .cpu_path = AN_CPU_PATH_REFERENCE};
    an_model_config config;
    an_context *ctx;
    an_model *model;
    float p[IMAGES * 10];
    int done;

    if (library == NULL || FIND(an_context_create) == NULL ||
        FIND(an_model_create) == NULL || FIND(an_infer) == NULL ||
        FIND(an_model_destroy) == NULL || FIND(an_context_destroy) == NULL)
        return 1;
    an_model_config_init(&config, sizeof config);
    config.arch = AN_ARCH_CIFAR10;
    if (an_context_create_(&ctx, &context) != AN_OK ||
        an_model_create_(&model, ctx, &config) != AN_OK)
        return 1;
    done = an_infer_(model, images, IMAGES, p, IMAGES * 10) == AN_OK;
    an_model_destroy_(model);
    an_context_destroy_(ctx);
    return dlclose(library) != 0 || !done;
}

static int load_often(const char *path)
{
    enum { FIRST = 5, AGAIN = 30, EACH = 16 }; /* KiB: a buffer of OpenBLAS's is more */
    long before = 0, after;
    int i;

    for (i = 0; i < FIRST + AGAIN; i++) {
        if (load_and_close(path) != 0) return 1;
        if (i == FIRST - 1) before = memory_now();
    }
    after = memory_now();
    if (after - before <= AGAIN * EACH) return 0;
    fprintf(stderr, "host_leave: %ld KiB became %ld in %d times\n", before, after, AGAIN);
    return 1;
}

int main(int argc, char **argv)
{
    if (argc != 3) return 2;
    if (strcmp(argv[1], "load") == 0) return load_often(argv[2]);
    return leave((useconds_t)atoi(argv[1]), (an_cpu_path)atoi(argv[2]));
}
