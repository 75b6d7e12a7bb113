/*
 * replay.c - all targets in one program, without libFuzzer: every input of the corpus as
 * it is, then mutations of them, the same ones each time.
 *
 * usage: replay [--mutations N] CORPUS [TARGET...]   CORPUS: a folder with one for each
 * target, or for one target a file. N mutations of each target, or none.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mutate.h"

enum { LARGEST = 1 << 20, MOST = 4096 };

/* --- targets ----------------------------------------------------------------------- */

/* Each is compiled with its functions named so; not all have a mutator. */
#define TARGET(name)                                                                     \
    int fuzz_##name##_input(const uint8_t *data, size_t size);                           \
    size_t fuzz_##name##_mutate(uint8_t *data, size_t size, size_t max, unsigned seed)   \
        __attribute__((weak));
#include "targets.h"
#undef TARGET

typedef struct target {
    const char *name;
    int (*input)(const uint8_t *data, size_t size);
    size_t (*mutate)(uint8_t *data, size_t size, size_t max, unsigned seed);
} target;

static const target targets[] = {
#define TARGET(name) {#name, fuzz_##name##_input, fuzz_##name##_mutate},
#include "targets.h"
#undef TARGET
};

/* --- when one fails ---------------------------------------------------------------- */

/* What is running, so that whoever finds the process dead can try it again. */
static struct {
    const target *target;
    char path[512];
    unsigned seed; /* 0: the file as it is */
    const uint8_t *data;
    size_t size;
} now;

static void say_which(void)
{
    char name[128];
    FILE *file;

    snprintf(name, sizeof name, "crash-%s", now.target != NULL ? now.target->name : "");
    fprintf(stderr, "replay: %s, mutation %u: the input is in %s\n", now.path, now.seed,
            name);
    file = fopen(name, "wb");
    if (file == NULL) return;
    (void)fwrite(now.data, 1, now.size, file);
    fclose(file);
}

static void on_signal(int number)
{
    signal(number, SIG_DFL);
    say_which();
    raise(number);
}

/* Sanitizers end a process in their own way. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static void watch(void)
{
    static const int numbers[] = {SIGABRT, SIGBUS, SIGFPE, SIGILL};
    size_t i;

    for (i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        signal(numbers[i], on_signal);
    if (__sanitizer_set_death_callback != NULL)
        __sanitizer_set_death_callback(say_which);
    else
        signal(SIGSEGV, on_signal);
}

/* --- mutations --------------------------------------------------------------------- */

static fuzz_dice dice;

/* In place of libFuzzer's: a few bytes changed, moved, dropped or repeated. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max)
{
    uint32_t times = 1 + fuzz_roll(&dice, 4);

    while (times-- > 0) {
        size_t at = fuzz_roll(&dice, (uint32_t)size + 1);
        size_t other = fuzz_roll(&dice, (uint32_t)size + 1);
        size_t count = 1 + fuzz_roll(&dice, 8);

        if (count > size - at || count > size - other) {
            if (size < max) data[size++] = (uint8_t)fuzz_roll(&dice, 256);
            continue;
        }
        switch (fuzz_roll(&dice, 6)) {
        case 0: data[at] = (uint8_t)fuzz_roll(&dice, 256); break;
        case 1: data[at] ^= (uint8_t)(1u << fuzz_roll(&dice, 8)); break;
        case 2: memmove(data + at, data + other, count); break;
        case 3: memset(data + at, fuzz_roll(&dice, 2) ? 0xff : 0, count); break;
        case 4:
            memmove(data + at, data + at + count, size - at - count);
            size -= count;
            break;
        default:
            if (size + count > max) break;
            memmove(data + at + count, data + at, size - at);
            size += count;
        }
    }
    return size;
}

/* --- inputs ------------------------------------------------------------------------ */

typedef struct input {
    uint8_t *data;
    size_t size;
} input;

static input input_read(const char *path)
{
    input in = {NULL, 0};
    FILE *file = fopen(path, "rb");

    if (file == NULL || (in.data = malloc(LARGEST)) == NULL) {
        fprintf(stderr, "replay: cannot read %s: %s\n", path, strerror(errno));
        exit(1);
    }
    in.size = fread(in.data, 1, LARGEST, file);
    fclose(file);
    in.data = realloc(in.data, in.size + 1);
    if (in.data == NULL) exit(1);
    return in;
}

/* In memory of just its size, so that a sanitizer sees a byte too many. */
static void run(const target *t, const uint8_t *data, size_t size, unsigned seed)
{
    uint8_t *exact = malloc(size > 0 ? size : 1);

    if (exact == NULL) exit(1);
    if (size > 0) memcpy(exact, data, size);
    now.target = t;
    now.seed = seed;
    now.data = exact;
    now.size = size;
    (void)t->input(exact, size);
    free(exact);
}

static void run_mutated(const target *t, const input *in, unsigned seed)
{
    static uint8_t copy[LARGEST];
    size_t size = in->size;
    uint32_t times;

    dice = fuzz_dice_of(seed);
    times = 1 + fuzz_roll(&dice, 3);
    memcpy(copy, in->data, size);
    while (times-- > 0) {
        unsigned next = fuzz_roll(&dice, UINT32_MAX);

        size = t->mutate != NULL ? t->mutate(copy, size, sizeof copy, next)
                                 : LLVMFuzzerMutate(copy, size, sizeof copy);
    }
    run(t, copy, size, seed);
}

static int is_usual(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* By name, so that mutations are the same everywhere; the names are not the locale's. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void input_path(const char *folder, const struct dirent *entry)
{
    snprintf(now.path, sizeof now.path, "%s/%.255s", folder, entry->d_name);
}

static void run_target(const target *t, const char *corpus, unsigned long mutations)
{
    static input inputs[MOST];
    struct dirent **entries;
    char folder[256];
    unsigned long i;
    int count, k;

    snprintf(folder, sizeof folder, "%.200s/%s", corpus, t->name);
    count = scandir(folder, &entries, is_usual, by_name);
    if (count <= 0 || count > MOST) {
        fprintf(stderr, "replay: %s has no inputs\n", folder);
        exit(1);
    }
    for (k = 0; k < count; k++) {
        input_path(folder, entries[k]);
        inputs[k] = input_read(now.path);
        run(t, inputs[k].data, inputs[k].size, 0);
    }
    for (i = 0; i < mutations; i++) {
        k = (int)(i % (unsigned long)count);
        input_path(folder, entries[k]);
        run_mutated(t, &inputs[k], (unsigned)i + 1);
    }
    for (k = 0; k < count; k++) {
        free(inputs[k].data);
        free(entries[k]);
    }
    free(entries);
    printf("  fuzz: %-12s %4d inputs, %lu mutations\n", t->name, count, mutations);
    fflush(stdout);
}

/* --- main -------------------------------------------------------------------------- */

static int is_chosen(const target *t, char **names, int count)
{
    int i;

    for (i = 0; i < count; i++)
        if (strcmp(names[i], t->name) == 0) return 1;
    return count == 0;
}

int main(int argc, char **argv)
{
    unsigned long mutations = 0;
    int first = 1, ran = 0;
    struct stat info;
    size_t i;

    if (argc > 2 && strcmp(argv[1], "--mutations") == 0) {
        mutations = strtoul(argv[2], NULL, 10);
        first = 3;
    }
    if (argc <= first || stat(argv[first], &info) != 0) {
        fprintf(stderr, "usage: replay [--mutations N] CORPUS [TARGET...]\n");
        return 1;
    }
    watch();
    for (i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        if (!is_chosen(&targets[i], argv + first + 1, argc - first - 1)) continue;
        ran++;
        if (S_ISDIR(info.st_mode)) {
            run_target(&targets[i], argv[first], mutations);
        } else {
            input in = input_read(argv[first]);

            snprintf(now.path, sizeof now.path, "%s", argv[first]);
            run(&targets[i], in.data, in.size, 0);
            free(in.data);
        }
    }
    if (ran == 0) fprintf(stderr, "replay: there is no such target\n");
    return ran == 0;
}
