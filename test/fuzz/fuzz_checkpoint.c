/*
 * fuzz_checkpoint.c - any bytes as a checkpoint: a status, and nothing worse. In
 * libFuzzer's form: clang -fsanitize=fuzzer,address compiles it without fuzz_main.c.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "fuzz.h"

typedef struct bytes {
    const uint8_t *data;
    size_t left;
} bytes;

static ptrdiff_t read_bytes(void *to, size_t count, void *user)
{
    bytes *b = user;

    if (count > b->left) count = b->left;
    memcpy(to, b->data, count);
    b->data += count;
    b->left -= count;
    return (ptrdiff_t)count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static float images[3 * 32 * 32];
    an_context_config config;
    an_context *ctx = NULL;
    an_model *model = NULL;
    an_trainer *trainer = NULL;
    bytes b = {data, size};

    an_context_config_init(&config, sizeof config);
    config.threads = 1;
    if (an_context_create(&ctx, &config) != AN_OK) return 0;
    if (an_model_read(&model, ctx, read_bytes, &b, NULL) == AN_OK) {
        an_model_info info;
        float p[10];

        b.data = data;
        b.left = size;
        (void)an_trainer_read(&trainer, model, read_bytes, &b);
        an_model_info_init(&info, sizeof info);
        if (an_model_describe(model, &info) == AN_OK && info.image_size == 32 &&
            info.classes == 10)
            (void)an_infer(model, images, 1, p, sizeof p / sizeof *p);
    }
    an_trainer_destroy(trainer);
    an_model_destroy(model);
    an_context_destroy(ctx);
    return 0;
}
