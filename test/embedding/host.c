/*
 * host.c - a host program: links libalexnet.so beside an OpenBLAS of its own, and looks
 * whether anything of its own changed.
 */
#define _GNU_SOURCE
#include <alexnet.h>
#include <dlfcn.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tasks.h"
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

extern char **environ;
int openblas_get_num_threads(void);
void openblas_set_num_threads(int threads);

static int failures;

#define EXPECT(condition)                                                                \
    do {                                                                                 \
        if (!(condition)) {                                                              \
            fprintf(stderr, "host.c:%d: %s\n", __LINE__, #condition);                    \
            failures++;                                                                  \
        }                                                                                \
    } while (0)

typedef struct surroundings {
    unsigned mxcsr;
    int blas_threads, threads;
    char locale[64], folder[512];
    char **environ_at, *environ_first;
    sigset_t mask;
    struct sigaction action[32];
    long stdout_at;
} surroundings;

static surroundings look(void)
{
    surroundings s;
    int i;

    memset(&s, 0, sizeof s);
#if defined(__x86_64__)
    s.mxcsr = _mm_getcsr() & ~0x3fu; /* modes; the low bits only note what happened */
#endif
    s.blas_threads = openblas_get_num_threads();
    s.threads = threads_now();
    snprintf(s.locale, sizeof s.locale, "%s", setlocale(LC_ALL, NULL));
    if (getcwd(s.folder, sizeof s.folder) == NULL) exit(1);
    s.environ_at = environ;
    s.environ_first = environ[0];
    pthread_sigmask(SIG_BLOCK, NULL, &s.mask);
    for (i = 1; i < 32; i++) sigaction(i, NULL, &s.action[i]);
    s.stdout_at = lseek(STDOUT_FILENO, 0, SEEK_END);
    return s;
}

static void use_it(void)
{
    static float images[2 * 3 * 32 * 32];
    static const int32_t labels[2] = {3, 4};
    an_context_config context;
    an_model_config config;
    an_context *ctx = NULL;
    an_model *model = NULL;
    an_trainer *trainer = NULL;
    float p[20];

    an_context_config_init(&context, sizeof context);
    context.threads = 3;
    an_model_config_init(&config, sizeof config);
    config.arch = AN_ARCH_CIFAR10;
    EXPECT(an_context_create(&ctx, &context) == AN_OK);
    EXPECT(an_model_create(&model, ctx, &config) == AN_OK);
    EXPECT(an_infer(model, images, 2, p, sizeof p / sizeof *p) == AN_OK);
    EXPECT(an_trainer_create(&trainer, model, NULL) == AN_OK);
    EXPECT(an_train_step(trainer, images, labels, 2, NULL) == AN_OK);
    EXPECT(an_infer(model, images, 0, p, sizeof p / sizeof *p) == AN_ERROR_ARGUMENT);
    EXPECT(an_model_save(model, "/no/such/folder/model") == AN_ERROR_IO);
    an_trainer_destroy(trainer);
    an_model_destroy(model);
    an_context_destroy(ctx);
}

int main(void)
{
    surroundings before, after;
    int i;

    setlocale(LC_ALL, "");
    openblas_set_num_threads(2);
    before = look();
    use_it();
    after = look();
    EXPECT(before.mxcsr == after.mxcsr);
    EXPECT(before.blas_threads == 2 && after.blas_threads == 2);
    EXPECT(before.threads == after.threads);
    EXPECT(strcmp(before.locale, after.locale) == 0);
    EXPECT(strcmp(before.folder, after.folder) == 0);
    EXPECT(before.environ_at == after.environ_at);
    EXPECT(before.environ_first == after.environ_first);
    EXPECT(memcmp(&before.mask, &after.mask, sizeof before.mask) == 0);
    for (i = 1; i < 32; i++)
        EXPECT(before.action[i].sa_handler == after.action[i].sa_handler &&
               before.action[i].sa_flags == after.action[i].sa_flags);
    EXPECT(before.stdout_at == after.stdout_at);
    return failures != 0;
}
