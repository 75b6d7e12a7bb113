/*
 * dataset.h - labelled images in memory, fitted once to the size that training crops from.
 */
#ifndef DATASET_H
#define DATASET_H

#include <alexnet.h>
#include <stdint.h>

typedef struct sample {
    uint8_t *pixels; /* side * side * 3 */
    int32_t label;
} sample;

typedef struct dataset {
    uint32_t side, classes;
    char **class_names;
    sample *train, *held_out;
    uint32_t train_count, held_out_count;
    uint32_t skipped;     /* files that could not be read */
    uint64_t fingerprint; /* of names, labels and split: the same data gives the same */
} dataset;

/* Reads a folder with a folder of JPEG and PNG files per class, or with CIFAR-10's binary
 * batches (data_batch_1.bin ...), fitted to the size that the model crops from. every: each
 * every-th image of a class, by name, is held out (0: none). Says on stderr what it skips;
 * exits with 1 if a class is left empty. */
void dataset_read(dataset *data, const char *folder, const an_model *model,
                  uint32_t every);
void dataset_free(dataset *data);

/* Mean and standard deviation of each colour over the training images. */
void dataset_colours(const dataset *data, double mean[3], double deviation[3]);

/* A sample as the library takes it; its pixels stay the data set's. */
an_image dataset_image(const dataset *data, const sample *from);
/* Adds the held-out images, their centre views, to `evaluation`. */
an_status dataset_evaluate(const dataset *data, an_model *model,
                           an_evaluation *evaluation);

#endif
