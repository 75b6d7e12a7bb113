/*
 * vectors.c - vectors in a file, and the nearest of them.
 */
#include "vectors.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "output.h"

#define HEAD_BYTES 64

void vectors_write(const vectors *v, const char *path)
{
    char head[HEAD_BYTES] = {0};
    output o;

    snprintf(head, sizeof head, "alexnet-similar 2 %zu %zu\n", v->count, v->size);
    if (output_begin(&o, path) == 0) {
        fwrite(head, sizeof head, 1, o.file);
        fwrite(v->probe, sizeof *v->probe, v->size, o.file);
        fwrite(v->values, sizeof *v->values, v->count * v->size, o.file);
        if (output_end(&o) == 0) return;
    }
    fprintf(stderr, "%s: %s\n", path, strerror(errno));
    exit(1);
}

vectors vectors_read(const char *path, uint64_t count)
{
    FILE *file = fopen(path, "rb");
    char head[HEAD_BYTES];
    vectors v = {NULL, NULL, 0, 0};

    if (file == NULL) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        exit(1);
    }
    if (fread(head, sizeof head, 1, file) != 1 || head[HEAD_BYTES - 1] != '\0' ||
        sscanf(head, "alexnet-similar 2 %zu %zu", &v.count, &v.size) != 2 ||
        v.size > 1 << 24)
        usage_error("%s: is no index of this program", path);
    if (v.count != count)
        usage_error("%s: has %zu pictures, the pack %llu", path, v.count,
                    (unsigned long long)count);
    v.probe = allocate(v.size * sizeof *v.probe);
    v.values = allocate(v.count * v.size * sizeof *v.values);
    if (fread(v.probe, sizeof *v.probe, v.size, file) != v.size ||
        fread(v.values, sizeof *v.values, v.count * v.size, file) != v.count * v.size)
        usage_error("%s: is cut short", path);
    fclose(file);
    return v;
}

void vectors_free(vectors *v)
{
    free(v->values);
    free(v->probe);
}

static double distance(const float *a, const float *b, size_t size)
{
    double sum = 0;
    size_t i;

    for (i = 0; i < size; i++) sum += (double)(a[i] - b[i]) * (double)(a[i] - b[i]);
    return sum;
}

int vectors_same_probe(const vectors *v, const float *probe)
{
    double length = 0;
    size_t i;

    for (i = 0; i < v->size; i++) length += (double)probe[i] * (double)probe[i];
    return distance(v->probe, probe, v->size) <= 1e-8 * length;
}

void vectors_nearest(const vectors *v, const float *query, size_t except, size_t *order,
                     size_t most)
{
    double *best = allocate(most * sizeof *best);
    size_t found = 0, i, at;

    for (i = 0; i < v->count; i++) {
        double d;

        if (i == except) continue;
        d = distance(query, v->values + i * v->size, v->size);
        if (found == most && d >= best[most - 1]) continue;
        if (found < most) found++;
        for (at = found - 1; at > 0 && best[at - 1] > d; at--) {
            best[at] = best[at - 1];
            order[at] = order[at - 1];
        }
        best[at] = d;
        order[at] = i;
    }
    free(best);
}
