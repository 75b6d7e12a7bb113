/*
 * dataset.c - labelled images from a folder per class, or from CIFAR-10's binary batches.
 */
#define _POSIX_C_SOURCE 200809L
#include "dataset.h"

#include <alexnet.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "options.h"
#include "picture.h"

static void give_up(const char *what, const char *name)
{
    fprintf(stderr, "%s: %s\n", name, what);
    exit(1);
}

static char *join(const char *folder, const char *name)
{
    char *path = allocate(strlen(folder) + strlen(name) + 2);

    sprintf(path, "%s/%s", folder, name);
    return path;
}

static void hash_in(dataset *data, const char *text)
{
    for (; *text != '\0'; text++) /* FNV-1a */
        data->fingerprint = (data->fingerprint ^ (unsigned char)*text) * 1099511628211u;
}

static void add_sample(dataset *data, uint8_t *pixels, uint32_t label, uint32_t index,
                       uint32_t every)
{
    int held_out = every > 0 && index % every == every - 1;
    sample **list = held_out ? &data->held_out : &data->train;
    uint32_t *count = held_out ? &data->held_out_count : &data->train_count;

    if ((*count & (*count - 1)) == 0) { /* a power of two: full */
        *list = realloc(*list, (*count > 0 ? 2 * (size_t)*count : 1) * sizeof **list);
        if (*list == NULL) give_up("no memory for the list of images", "dataset");
    }
    (*list)[*count].pixels = pixels;
    (*list)[(*count)++].label = (int32_t)label;
}

static uint8_t *fitted(const dataset *data, const uint8_t *pixels, uint32_t width,
                       uint32_t height)
{
    uint8_t *out = allocate((size_t)data->side * data->side * 3);
    an_image image;

    an_image_init(&image, sizeof image);
    image.pixels = pixels;
    image.width = width;
    image.height = height;
    if (an_image_fit(&image, data->side, out) != AN_OK) {
        free(out);
        return NULL;
    }
    return out;
}

/* --- a folder per class ------------------------------------------------------------------ */

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name); /* not the locale's order */
}

static int is_picture(const char *name)
{
    const char *dot = strrchr(name, '.');

    return dot != NULL && (strcasecmp(dot, ".jpg") == 0 ||
                           strcasecmp(dot, ".jpeg") == 0 || strcasecmp(dot, ".png") == 0);
}

static uint32_t read_class(dataset *data, const char *folder, uint32_t label,
                           uint32_t every)
{
    struct dirent **names;
    int count = scandir(folder, &names, visible, by_name), i;
    uint32_t kept = 0;

    for (i = 0; i < count; i++) {
        char *path = join(folder, names[i]->d_name);
        const char *error;
        uint8_t *pixels = NULL;
        picture p;

        if (is_picture(names[i]->d_name)) {
            error = picture_read(&p, path);
            if (error == NULL) {
                pixels = fitted(data, p.pixels, p.width, p.height);
                error = an_error_message();
                picture_free(&p);
            }
            if (pixels == NULL) {
                fprintf(stderr, "%s: skipped: %s\n", path, error);
                data->skipped++;
            } else {
                add_sample(data, pixels, label, kept++, every);
                hash_in(data, names[i]->d_name);
            }
        }
        free(path);
        free(names[i]);
    }
    if (count >= 0) free(names);
    return kept;
}

static int has_pictures(const char *folder)
{
    struct dirent **names;
    int count = scandir(folder, &names, visible, by_name), i, any = 0;

    for (i = 0; i < count; i++) {
        any |= is_picture(names[i]->d_name);
        free(names[i]);
    }
    if (count >= 0) free(names);
    return any;
}

static void read_folders(dataset *data, const char *folder, uint32_t every)
{
    struct dirent **names;
    int count = scandir(folder, &names, visible, by_name), i;

    if (count < 0) give_up("cannot be read as a folder", folder);
    data->class_names = allocate((size_t)count * sizeof *data->class_names);
    for (i = 0; i < count; i++) {
        char *path = join(folder, names[i]->d_name);

        if (has_pictures(path)) {
            if (isatty(STDERR_FILENO))
                fprintf(stderr, "\rreading class %u: %-40.40s", data->classes + 1,
                        names[i]->d_name);
            data->class_names[data->classes] = allocate(strlen(names[i]->d_name) + 1);
            strcpy(data->class_names[data->classes], names[i]->d_name);
            hash_in(data, names[i]->d_name);
            if (read_class(data, path, data->classes++, every) == 0)
                give_up("no picture of this class can be read", path);
        }
        free(path);
        free(names[i]);
    }
    free(names);
    if (isatty(STDERR_FILENO)) fprintf(stderr, "\r%60s\r", "");
    if (data->classes < 2)
        give_up("has neither two folders of pictures nor data_batch_1.bin", folder);
}

/* --- CIFAR-10's binary batches: a byte of label, then 32 x 32 red, green, blue ------------- */

enum {
    CIFAR_SIDE = 32,
    CIFAR_PLANE = CIFAR_SIDE * CIFAR_SIDE,
    CIFAR_RECORD = 1 + 3 * CIFAR_PLANE
};

static void read_batch(dataset *data, FILE *file, const char *path, uint32_t seen[10],
                       uint32_t every)
{
    unsigned char record[CIFAR_RECORD], rgb[3 * CIFAR_PLANE];
    size_t got;
    int i, c;

    while ((got = fread(record, 1, sizeof record, file)) == sizeof record) {
        uint32_t label = record[0];

        if (label > 9) give_up("is no CIFAR-10 batch: a label is above 9", path);
        for (i = 0; i < CIFAR_PLANE; i++)
            for (c = 0; c < 3; c++) rgb[3 * i + c] = record[1 + c * CIFAR_PLANE + i];
        add_sample(data, fitted(data, rgb, CIFAR_SIDE, CIFAR_SIDE), label, seen[label]++,
                   every);
    }
    if (got != 0) give_up("is no CIFAR-10 batch: its last record is cut short", path);
    hash_in(data, path);
}

static int read_cifar(dataset *data, const char *folder, uint32_t every)
{
    static const char *const names[10] = {"airplane", "automobile", "bird", "cat",
                                          "deer",     "dog",        "frog", "horse",
                                          "ship",     "truck"};
    uint32_t seen[10] = {0}, batch, i;
    char name[32];

    for (batch = 1; batch <= 5; batch++) {
        char *path;
        FILE *file;

        snprintf(name, sizeof name, "data_batch_%u.bin", batch);
        path = join(folder, name);
        file = fopen(path, "rb");
        free(path);
        if (file == NULL) break;
        read_batch(data, file, name, seen, every);
        fclose(file);
    }
    if (batch == 1) return 0;
    data->classes = 10;
    data->class_names = allocate(10 * sizeof *data->class_names);
    for (i = 0; i < 10; i++) {
        if (seen[i] == 0) give_up("has no image of this class", names[i]);
        data->class_names[i] = allocate(16);
        strcpy(data->class_names[i], names[i]);
    }
    return 1;
}

/* --- both -------------------------------------------------------------------------------- */

void dataset_read(dataset *data, const char *folder, const an_model *model,
                  uint32_t every)
{
    an_preprocessing p;

    an_preprocessing_init(&p, sizeof p);
    if (an_model_get_preprocessing(model, &p) != AN_OK) fail(folder);
    memset(data, 0, sizeof *data);
    data->side = p.side;
    data->fingerprint = 14695981039346656037u + every;
    if (!read_cifar(data, folder, every)) read_folders(data, folder, every);
    if (data->skipped > 0) fprintf(stderr, "%u pictures were skipped\n", data->skipped);
    if (data->train_count == 0) give_up("has no image to train on", folder);
}

void dataset_free(dataset *data)
{
    uint32_t i;

    for (i = 0; i < data->train_count; i++) free(data->train[i].pixels);
    for (i = 0; i < data->held_out_count; i++) free(data->held_out[i].pixels);
    for (i = 0; i < data->classes; i++) free(data->class_names[i]);
    free(data->train);
    free(data->held_out);
    free(data->class_names);
}

void dataset_colours(const dataset *data, double mean[3], double deviation[3])
{
    double count = (double)data->train_count * data->side * data->side;
    double sum[3] = {0, 0, 0}, squares[3] = {0, 0, 0};
    size_t pixels = (size_t)data->side * data->side, j;
    uint32_t i;
    int c;

    for (i = 0; i < data->train_count; i++) {
        const uint8_t *at = data->train[i].pixels;

        for (j = 0; j < pixels; j++, at += 3)
            for (c = 0; c < 3; c++) {
                sum[c] += at[c];
                squares[c] += at[c] * at[c];
            }
    }
    for (c = 0; c < 3; c++) {
        mean[c] = sum[c] / count;
        deviation[c] = sqrt(fmax(squares[c] / count - mean[c] * mean[c], 1));
    }
}

an_image dataset_image(const dataset *data, const sample *from)
{
    an_image image;

    an_image_init(&image, sizeof image);
    image.pixels = from->pixels;
    image.width = image.height = data->side;
    return image;
}

an_status dataset_evaluate(const dataset *data, an_model *model,
                           an_evaluation *evaluation)
{
    enum { AT_ONCE = 64 };
    uint32_t first, count, i;
    an_image images[AT_ONCE];
    int32_t labels[AT_ONCE];

    for (first = 0; first < data->held_out_count; first += count) {
        const sample *from = &data->held_out[first];
        an_status status;

        count = data->held_out_count - first < AT_ONCE ? data->held_out_count - first
                                                       : AT_ONCE;
        for (i = 0; i < count; i++) {
            images[i] = dataset_image(data, &from[i]);
            labels[i] = from[i].label;
        }
        status = an_evaluate_images(model, images, labels, count, evaluation);
        if (status != AN_OK) return status;
    }
    return AN_OK;
}
