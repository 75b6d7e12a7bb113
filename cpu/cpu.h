/*
 * cpu.h - what the files of this folder and of vector/ share.
 *
 * An item owns its outputs, and no sum depends on how work is cut into items: so the bits of
 * a result are the same for any number of threads.
 */
#ifndef AN_CPU_H
#define AN_CPU_H

#include "device/device.h"

struct an_device {
    const an_host *host;
};

struct an_queue {
    an_device *device;
    size_t scratch_bytes;
    void *scratch; /* 64-byte aligned */
    an_step step;
};

/* Runs body for each item on the host's threads. */
void an__cpu_parallel(const an_queue *q, uint32_t items, an_body_fn body, void *arg);
/* A worker's equal share of the queue's scratch. */
float *an__cpu_scratch(const an_queue *q, uint32_t worker);

/* Elementwise work: chunks of this many numbers are items. */
#define AN_CHUNK 32768u
uint32_t an__cpu_chunks(size_t count);
/* Numbers [*from, *to) of chunk `item`. */
void an__cpu_chunk(size_t count, uint32_t item, size_t *from, size_t *to);

/* c = a * b, or c += a * b with add; a is m x k, b is k x n, row after row. ta, tb: the
 * matrix is stored transposed. lda, ldb, ldc: numbers from one stored row to the next. */
typedef struct an_gemm {
    size_t m, n, k;
    const float *a, *b;
    float *c;
    size_t lda, ldb, ldc;
    int ta, tb, add;
} an_gemm;

/* private_blas.c, where it is linked: frees the locks that OpenBLAS's threads held in the
 * process that this one was forked from. */
void an__blas_forked(void) __attribute__((weak));
extern __thread int an__in_blas; /* the thread is in a product */
/* Before the first product on a queue: of each process, forked ones too. Any thread. */
void an__cpu_gemm_begin(void);
void an__cpu_gemm(const an_gemm *g);

/* Devices, queues and operations, as an_backend has them. */
an_status an__cpu_count(const an_host *host, uint32_t *count);
an_status an__cpu_describe(const an_host *host, uint32_t index, an_device_info *info);
an_status an__cpu_open(an_device **out, uint32_t index, const an_host *host);
void an__cpu_close(an_device *device);
an_status an__cpu_alloc(an_device *device, size_t bytes, void **out);
void an__cpu_release(an_device *device, void *memory);
an_status an__cpu_queue_open(an_queue **out, an_device *device, size_t scratch_bytes);
void an__cpu_queue_close(an_queue *queue);
an_status an__cpu_sync(an_queue *queue);
an_status an__cpu_copy(an_queue *queue, void *to, const void *from, size_t bytes);
an_status an__cpu_begin_step(an_queue *queue, const an_step *step);
an_status an__cpu_exchange(an_queue *to_queue, float *to, size_t to_pitch,
                           an_queue *from_queue, const float *from, size_t from_pitch,
                           size_t count, uint32_t batch, uint32_t precision, int add);
an_status an__cpu_scale(an_queue *q, uint32_t precision, size_t count, float factor,
                        float *x);
an_status an__cpu_all_finite(an_queue *q, const an_array *arrays, uint32_t count,
                             float *faults);
/* Calls update(q, &parts[i]) of those that are to be changed. */
an_status an__cpu_update_parts(an_queue *q, const an_parameter_part *parts,
                               uint32_t count, const float *faults,
                               void (*update)(an_queue *q,
                                              const an_parameter_part *part));
size_t an__cpu_conv_scratch(an_device *device, const an_conv_shape *s, uint32_t batch,
                            int training);
an_status an__cpu_conv_forward(an_queue *q, const an_conv_shape *s, uint32_t batch,
                               const float *x, const float *w, const float *pack,
                               const float *b, float *y);
an_status an__cpu_conv_backward_data(an_queue *q, const an_conv_shape *s, uint32_t batch,
                                     const float *w, const float *pack, const float *dy,
                                     const float *x, float *dx);
an_status an__cpu_conv_backward_weights(an_queue *q, const an_conv_shape *s,
                                        uint32_t batch, const float *x, const float *dy,
                                        float *dw, float *db);
an_status an__cpu_dense_forward(an_queue *q, const an_dense_shape *s, uint32_t batch,
                                const float *x, const float *w, const void *pack,
                                const float *b, const an_dropout_shape *drop, float *y);
an_status an__cpu_dense_backward_data(an_queue *q, const an_dense_shape *s,
                                      uint32_t batch, const float *w, const void *pack,
                                      const float *dy, const float *x, float *dx);
an_status an__cpu_dense_backward_weights(an_queue *q, const an_dense_shape *s,
                                         uint32_t batch, const float *x, const float *dy,
                                         float *dw, float *db);
an_status an__cpu_activation_forward(an_queue *q, uint32_t kind, uint32_t precision,
                                     size_t count, float *y);
an_status an__cpu_activation_backward(an_queue *q, uint32_t kind, uint32_t precision,
                                      size_t count, const float *y, float *dy);
an_status an__cpu_lrn_forward(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                              const float *x, float *y);
an_status an__cpu_lrn_backward(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                               const float *x, const float *dy, float *dx);
an_status an__cpu_lrn_within_forward(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                                     const float *x, float *y);
an_status an__cpu_lrn_within_backward(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                                      const float *x, const float *dy, float *dx);
an_status an__cpu_pool_forward(an_queue *q, const an_pool_shape *s, uint32_t batch,
                               const float *x, float *y, void *marks);
an_status an__cpu_pool_backward(an_queue *q, const an_pool_shape *s, uint32_t batch,
                                const float *x, const void *marks, const float *dy,
                                float *dx);
an_status an__cpu_dropout(an_queue *q, const an_dropout_shape *s, uint32_t batch,
                          float *x);
/* Of the label among x's classes. */
an_rank an__cpu_rank(const float *x, uint32_t classes, uint32_t label);
an_status an__cpu_softmax(an_queue *q, uint32_t classes, uint32_t batch, float *x);
an_status an__cpu_softmax_loss(an_queue *q, uint32_t classes, uint32_t batch,
                               const float *x, const int32_t *labels, uint32_t precision,
                               float *dx, an_rank *ranks, double *loss);
an_status an__cpu_update(an_queue *q, const an_parameter_part *parts, uint32_t count,
                         const float *faults);

#endif
