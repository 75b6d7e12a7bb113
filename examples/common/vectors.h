/*
 * vectors.h - what a network sees in the pictures of a pack: a vector each, in a file,
 * and the nearest of them.
 */
#ifndef VECTORS_H
#define VECTORS_H

#include <stddef.h>
#include <stdint.h>

/* The file: a line of text in 64 bytes, then the probe, then the vectors, float32 as the
 * machine has them. */
typedef struct vectors {
    float *values; /* [count][size] */
    float *probe;  /* [size], of a made-up picture: tells which model and layer it was */
    size_t count, size;
} vectors;

/* Both exit where they fail, and leave no half of a file. */
void vectors_write(const vectors *v, const char *path);
/* count: of the pack, which the file's must equal. */
vectors vectors_read(const char *path, uint64_t count);

void vectors_free(vectors *v);

/* Whether `probe` is the file's, but for rounding. */
int vectors_same_probe(const vectors *v, const float *probe);

/* The `most` vectors nearest to `query` by Euclidean distance into `order`, nearest
 * first; number `except` is left out. */
void vectors_nearest(const vectors *v, const float *query, size_t except, size_t *order,
                     size_t most);

#endif
