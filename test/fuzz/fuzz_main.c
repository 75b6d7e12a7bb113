/*
 * fuzz_main.c - drives fuzz_checkpoint.c without libFuzzer: fuzz_checkpoint N tries N
 * mutations of a valid trainer's file, the same ones each time; other arguments are files
 * to try as they are.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

typedef struct buffer {
    uint8_t *data;
    size_t size;
} buffer;

static int append(const void *data, size_t bytes, void *user)
{
    buffer *b = user;

    b->data = realloc(b->data, b->size + bytes);
    if (b->data == NULL) return -1;
    memcpy(b->data + b->size, data, bytes);
    b->size += bytes;
    return 0;
}

static buffer valid_file(void)
{
    an_model_config config;
    an_context *ctx;
    an_model *model;
    an_trainer *trainer;
    buffer b = {NULL, 0};

    an_model_config_init(&config, sizeof config);
    config.arch = AN_ARCH_CIFAR10;
    config.width = 0.02f;
    if (an_context_create(&ctx, NULL) != AN_OK ||
        an_model_create(&model, ctx, &config) != AN_OK ||
        an_model_set_class_name(model, 1, "one") != AN_OK ||
        an_trainer_create(&trainer, model, NULL) != AN_OK ||
        an_trainer_write(trainer, append, &b) != AN_OK)
        exit(1);
    an_trainer_destroy(trainer);
    an_model_destroy(model);
    an_context_destroy(ctx);
    return b;
}

static uint32_t state = 1;

static uint32_t draw(uint32_t below)
{
    state = state * 1664525u + 1013904223u;
    return (uint32_t)((uint64_t)state * below >> 32);
}

/* A few bytes changed, moved, dropped or repeated; mostly in the header. */
static size_t mutate(uint8_t *data, size_t size)
{
    static const char likely[] = "0123456789{}[]\",:-.eE\\\xff";
    uint32_t times = 1 + draw(4);

    while (times-- > 0) {
        size_t at = draw((uint32_t)(draw(4) ? 3600 : size)), other = draw((uint32_t)size);
        size_t count = 1 + draw(12);

        if (at + count >= size || other + count >= size) continue;
        switch (draw(5)) {
        case 0: data[at] = (uint8_t)draw(256); break;
        case 1: data[at] = (uint8_t)likely[draw(sizeof likely - 1)]; break;
        case 2: memmove(data + at, data + other, count); break;
        case 3:
            memmove(data + at, data + at + count, size - at - count);
            size -= count;
            break;
        default: memset(data + at, likely[draw(10)], count); break;
        }
    }
    return size;
}

static void try_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    char piece[4096];
    buffer b = {NULL, 0};
    size_t got;

    if (file == NULL) {
        perror(path);
        exit(1);
    }
    while ((got = fread(piece, 1, sizeof piece, file)) > 0) (void)append(piece, got, &b);
    fclose(file);
    LLVMFuzzerTestOneInput(b.data, b.size);
    free(b.data);
}

int main(int argc, char **argv)
{
    unsigned long rounds = argc == 2 ? strtoul(argv[1], NULL, 10) : 0, i;
    buffer whole;
    uint8_t *copy;

    if (rounds == 0) {
        for (i = 1; i < (unsigned long)argc; i++) try_file(argv[i]);
        return 0;
    }
    whole = valid_file();
    copy = malloc(whole.size);
    for (i = 0; i < rounds && copy != NULL; i++) {
        memcpy(copy, whole.data, whole.size);
        LLVMFuzzerTestOneInput(copy, mutate(copy, whole.size));
    }
    free(copy);
    free(whole.data);
    printf("  fuzz: %lu mutated checkpoints, no harm\n", rounds);
    return 0;
}
