/*
 * fixtures.c - small pictures, packs and models for the example programs.
 */
#define _XOPEN_SOURCE 700
#include "fixtures.h"
#include "expect.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

const char *inside(const char *name)
{
    static char paths[8][512];
    static unsigned next;
    char *path = paths[next++ % 8];

    ck_assert_int_lt(snprintf(path, 512, "%s/%s", programs_folder(), name), 512);
    return path;
}

void folder_make(const char *name)
{
    char path[512];
    size_t i, length = strlen(programs_folder());

    strcpy(path, inside(name));
    for (i = length + 1; path[i - 1] != '\0'; i++)
        if (path[i] == '/' || path[i] == '\0') {
            char end = path[i];

            path[i] = '\0';
            mkdir(path, 0777);
            path[i] = end;
        }
}

void bytes_write(const char *name, const void *bytes, size_t count)
{
    FILE *file = fopen(inside(name), "wb");

    ck_assert_msg(file != NULL, "%s cannot be written", name);
    ck_assert_uint_eq(fwrite(bytes, 1, count, file), count);
    ck_assert_int_eq(fclose(file), 0);
}

void text_write(const char *name, const char *format, ...)
{
    FILE *file = fopen(inside(name), "w");
    va_list list;

    ck_assert_msg(file != NULL, "%s cannot be written", name);
    va_start(list, format);
    vfprintf(file, format, list);
    va_end(list);
    ck_assert_int_eq(fclose(file), 0);
}

/* --- pictures ---------------------------------------------------------------------- */

void waves(uint8_t *pixels, uint32_t width, uint32_t height, uint32_t seed)
{
    uint32_t state = seed * 2654435761u + 12345, x, y, c;
    double from[3], along[3][2];

    for (c = 0; c < 3; c++) {
        from[c] = 60 + (state >> 8) % 136;
        state = state * 1664525u + 1013904223u;
        along[c][0] = (state >> 24) / 500.0;
        along[c][1] = (state >> 16 & 255) / 500.0;
        state = state * 1664525u + 1013904223u;
    }
    for (y = 0; y < height; y++)
        for (x = 0; x < width; x++)
            for (c = 0; c < 3; c++) {
                double wave = sin(x * along[c][0] + y * along[c][1]);

                state = state * 1664525u + 1013904223u;
                *pixels++ = (uint8_t)(from[c] + 45 * wave + (state >> 28));
            }
}

static void put_long(uint8_t *to, uint32_t value)
{
    to[0] = (uint8_t)(value >> 24);
    to[1] = (uint8_t)(value >> 16);
    to[2] = (uint8_t)(value >> 8);
    to[3] = (uint8_t)value;
}

/* A chunk of a PNG file: length, type, data, CRC of both. */
static void put_chunk(FILE *file, const char *type, const uint8_t *data, uint32_t bytes)
{
    uint32_t crc = 0xffffffffu, i;
    uint8_t word[4];
    int bit;

    put_long(word, bytes);
    fwrite(word, 1, 4, file);
    fwrite(type, 1, 4, file);
    fwrite(data, 1, bytes, file);
    for (i = 0; i < 4 + bytes; i++) {
        crc ^= i < 4 ? (uint8_t)type[i] : data[i - 4];
        for (bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    put_long(word, ~crc);
    fwrite(word, 1, 4, file);
}

/* zlib's form of `count` bytes, in stored blocks of a row each. */
static size_t store_rows(uint8_t *out, const uint8_t *pixels, uint32_t row, uint32_t rows)
{
    uint32_t a = 1, b = 0, y, i;
    uint8_t *at = out;

    *at++ = 0x78;
    *at++ = 0x01;
    for (y = 0; y < rows; y++) {
        uint32_t length = row + 1; /* the row's filter first: none */
        const uint8_t *from = at + 5;

        *at++ = y + 1 == rows;
        *at++ = (uint8_t)length;
        *at++ = (uint8_t)(length >> 8);
        *at++ = (uint8_t)~length;
        *at++ = (uint8_t)(~length >> 8);
        *at++ = 0;
        memcpy(at, pixels + (size_t)y * row, row);
        at += row;
        for (i = 0; i < length; i++) {
            a = (a + from[i]) % 65521;
            b = (b + a) % 65521;
        }
    }
    put_long(at, b << 16 | a);
    return (size_t)(at + 4 - out);
}

void png_write(const char *name, const uint8_t *pixels, uint32_t width, uint32_t height,
               uint32_t channels)
{
    static const uint8_t types[] = {0, 0, 4, 2, 6};
    uint8_t head[13] = {0}, *data = malloc(height * (size_t)(channels * width + 6) + 6);
    FILE *file = fopen(inside(name), "wb");

    ck_assert_msg(file != NULL, "%s cannot be written", name);
    fwrite("\x89PNG\r\n\x1a\n", 1, 8, file);
    put_long(head, width);
    put_long(head + 4, height);
    head[8] = 8;
    head[9] = types[channels];
    put_chunk(file, "IHDR", head, sizeof head);
    put_chunk(file, "IDAT", data,
              (uint32_t)store_rows(data, pixels, channels * width, height));
    put_chunk(file, "IEND", head, 0);
    ck_assert_int_eq(fclose(file), 0);
    free(data);
}

void png_waves(const char *name, uint32_t width, uint32_t height, uint32_t seed)
{
    uint8_t *pixels = malloc((size_t)3 * width * height);

    waves(pixels, width, height, seed);
    png_write(name, pixels, width, height, 3);
    free(pixels);
}

picture picture_of(const char *name)
{
    const char *error;
    picture p;

    error = picture_read(&p, inside(name));
    ck_assert_msg(error == NULL, "%s: wanted a picture, got: %s", name, error);
    return p;
}

uint32_t pixel_at(const picture *p, uint32_t x, uint32_t y)
{
    const uint8_t *at = p->pixels + 3 * ((size_t)y * p->width + x);

    if (x >= p->width || y >= p->height)
        ck_abort_msg("(%u, %u) of a picture of %u x %u", x, y, p->width, p->height);
    return (uint32_t)at[0] << 16 | (uint32_t)at[1] << 8 | at[2];
}

void expect_pixel(const picture *p, uint32_t x, uint32_t y, uint32_t wanted,
                  const char *what)
{
    uint32_t got = pixel_at(p, x, y);

    if (got != wanted)
        ck_abort_msg("%s at (%u, %u): got %06x, wanted %06x", what, x, y, got, wanted);
}

void expect_same_picture(const char *got, const char *wanted)
{
    picture a = picture_of(got), b = picture_of(wanted);
    uint32_t x, y, different = 0, first_x = 0, first_y = 0;

    ck_assert_msg(a.width == b.width && a.height == b.height,
                  "%s: %u x %u pixels, wanted %u x %u", got, a.width, a.height, b.width,
                  b.height);
    for (y = 0; y < a.height; y++)
        for (x = 0; x < a.width; x++) {
            if (pixel_at(&a, x, y) == pixel_at(&b, x, y)) continue;
            if (different++ > 0) continue;
            first_x = x;
            first_y = y;
        }
    ck_assert_msg(different == 0,
                  "%s: %u pixels differ from %s, the first at (%u, %u): got %06x, wanted "
                  "%06x",
                  got, different, wanted, first_x, first_y,
                  pixel_at(&a, first_x, first_y), pixel_at(&b, first_x, first_y));
    picture_free(&a);
    picture_free(&b);
}

/* --- packs and models -------------------------------------------------------------- */

an_context *context_make(void)
{
    an_context_config config;
    an_context *ctx;

    an_context_config_init(&config, sizeof config);
    config.threads = 1;
    expect_ok(an_context_create(&ctx, &config));
    return ctx;
}

uint32_t path_of(an_context *ctx)
{
    an_device_info info;

    an_device_info_init(&info, sizeof info);
    expect_ok(an_device_describe(ctx, 0, &info));
    return info.cpu_path;
}

void pack_make(an_context *ctx, const char *name, const pack_spec *spec)
{
    uint8_t *pixels = malloc((size_t)3 * spec->side * spec->side), *bytes = NULL;
    an_pack_writer_config config;
    an_pack_writer *packing;
    size_t count = 0;
    uint32_t i;

    an_pack_writer_config_init(&config, sizeof config);
    config.side = spec->side;
    config.classes = spec->classes;
    config.fit = spec->fit;
    if (spec->kind != 0) config.kind = spec->kind;
    expect_ok(an_pack_writer_create(&packing, ctx, inside(name), &config));
    for (i = 0; spec->names != NULL && i < spec->classes; i++)
        expect_ok(an_pack_writer_set_class_name(packing, i, spec->names[i]));
    for (i = 0; i < spec->count; i++) {
        waves(pixels, spec->side, spec->side, i);
        if (spec->kind == AN_PACK_JPEG)
            bytes = picture_encode(pixels, spec->side, 90, &count);
        expect_ok(an_pack_writer_add(packing, pixels, bytes, count,
                                     (int32_t)(i * 5 % spec->classes)));
        free(bytes);
        bytes = NULL;
    }
    expect_ok(an_pack_writer_finish(packing));
    an_pack_writer_destroy(packing);
    free(pixels);
}

an_pack *pack_of(an_context *ctx, const char *name)
{
    an_pack *pack;

    expect_ok(an_pack_open(&pack, ctx, inside(name), picture_decode, NULL));
    return pack;
}

an_image image_of(const uint8_t *pixels, uint32_t width, uint32_t height)
{
    an_image image;

    an_image_init(&image, sizeof image);
    image.pixels = pixels;
    image.width = width;
    image.height = height;
    return image;
}

an_model_config tiny_config(uint32_t classes, uint64_t seed)
{
    an_model_config c;

    an_model_config_init(&c, sizeof c);
    c.arch = AN_ARCH_CIFAR10;
    c.width = 0.1f;
    c.image_size = TINY;
    c.classes = classes;
    c.initialisation = AN_INIT_HE;
    c.seed = seed;
    return c;
}

an_model_config tiny_config_with_fc7(uint32_t classes, uint64_t seed)
{
    an_model_config c = tiny_config(classes, seed);

    c.arch = AN_ARCH_TORCHVISION;
    c.width = 0.02f;
    c.image_size = 64;
    return c;
}

/* The last layer before the softmax, of eight pictures. */
static float *last_numbers(an_model *model, const an_model_info *info, uint32_t pictures)
{
    enum { SIDE = 64 };
    uint8_t *pixels = malloc((size_t)pictures * 3 * SIDE * SIDE);
    an_image *images = malloc(pictures * sizeof *images);
    float *values = malloc((size_t)pictures * info->classes * sizeof *values);
    an_layer_info last;
    uint32_t i;

    an_layer_info_init(&last, sizeof last);
    expect_ok(an_layer_describe(model, info->layers - 1, &last));
    for (i = 0; i < pictures; i++) {
        waves(pixels + i * 3 * SIDE * SIDE, SIDE, SIDE, i);
        images[i] = image_of(pixels + i * 3 * SIDE * SIDE, SIDE, SIDE);
    }
    expect_ok(an_infer_layer_images(model, images, pictures, last.name, AN_POINT_LINEAR,
                                    values, ENOUGH));
    free(images);
    free(pixels);
    return values;
}

/* Numbers before the softmax that are about 2 apart, and about 0 in the mean of each
 * class: what a trained model has, whose answers are all classes in turn. Its biases are
 * 0 before. */
static void sharpen(an_model *model)
{
    enum { COUNT = 16 };
    an_model_info info;
    float *values, *biases;
    double squares = 0;
    uint32_t c, i;

    an_model_info_init(&info, sizeof info);
    expect_ok(an_model_describe(model, &info));
    values = last_numbers(model, &info, COUNT);
    biases = malloc(info.classes * sizeof *biases);
    for (c = 0; c < info.classes; c++) {
        double mean = 0;

        for (i = 0; i < COUNT; i++) mean += (double)values[i * info.classes + c] / COUNT;
        for (i = 0; i < COUNT; i++)
            squares += pow((double)values[i * info.classes + c] - mean, 2);
        biases[c] = (float)-mean;
    }
    squares = 2 / sqrt(squares / COUNT / info.classes);
    expect_ok(an_parameter_set(model, info.parameters - 1, biases, info.classes));
    weights_scale(model, (float)squares);
    free(values);
    free(biases);
}

void weights_scale(an_model *model, float factor)
{
    an_parameter_info p;
    an_model_info info;
    uint32_t index;

    an_model_info_init(&info, sizeof info);
    an_parameter_info_init(&p, sizeof p);
    expect_ok(an_model_describe(model, &info));
    for (index = info.parameters - 2; index < info.parameters; index++) {
        float *values;
        uint64_t i;

        expect_ok(an_parameter_describe(model, index, &p));
        values = malloc(p.count * sizeof *values);
        expect_ok(an_parameter_get(model, index, values, p.count));
        for (i = 0; i < p.count; i++) values[i] *= factor;
        expect_ok(an_parameter_set(model, index, values, p.count));
        free(values);
    }
}

an_model *model_make(an_context *ctx, const char *name, const an_model_config *config,
                     uint32_t side, const char *const *names)
{
    an_preprocessing p;
    an_model *model;
    uint32_t i;

    an_preprocessing_init(&p, sizeof p);
    expect_ok(an_model_create(&model, ctx, config));
    expect_ok(an_model_get_preprocessing(model, &p));
    p.side = side;
    p.fit = AN_FIT_CROP;
    expect_ok(an_model_set_preprocessing(model, &p));
    for (i = 0; names != NULL && i < config->classes; i++)
        expect_ok(an_model_set_class_name(model, i, names[i]));
    sharpen(model);
    expect_ok(an_model_save(model, inside(name)));
    return model;
}

/* --- what programs said ------------------------------------------------------------ */

void expect_line(const char *text, const char *format, ...)
{
    char line[2048];
    const char *at = text;
    size_t length;
    va_list list;

    va_start(list, format);
    length = (size_t)vsnprintf(line, sizeof line, format, list);
    va_end(list);
    while ((at = strstr(at, line)) != NULL) {
        if ((at == text || at[-1] == '\n') && (at[length] == '\n' || at[length] == '\0'))
            return;
        at++;
    }
    ck_abort_msg("wanted the line \"%s\", got \"%s\"", line, text);
}

void expect_no_line(const char *text, const char *words)
{
    ck_assert_msg(strstr(text, words) == NULL, "wanted nothing about \"%s\", got \"%s\"",
                  words, text);
}

size_t numbers_of(const char *text, double *numbers, size_t most)
{
    size_t count = 0;
    const char *at = text;

    while (*at != '\0' && count < most) {
        int begins =
            isdigit((unsigned char)*at) || (*at == '-' && isdigit((unsigned char)at[1]));
        char *end;

        if (!begins || (at > text && isalnum((unsigned char)at[-1]))) {
            at++;
            continue;
        }
        numbers[count++] = strtod(at, &end);
        at = end;
    }
    return count;
}

size_t lines_of(const char *text)
{
    size_t count = 0;

    for (; *text != '\0'; text++) count += *text == '\n';
    return count;
}

void expect_exit(int code, const char *words, void (*fn)(void *), void *arg)
{
    char *text;
    int status;
    pid_t child = fork();

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        if (freopen(inside(".exit"), "w", stderr) == NULL) _exit(99);
        fn(arg);
        _exit(98); /* it came back */
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    text = file_read(".exit", NULL);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == code &&
                      strstr(text, words) != NULL,
                  "wanted exit status %d and \"%s\", got %d and \"%s\"", code, words,
                  WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), text);
    free(text);
}
