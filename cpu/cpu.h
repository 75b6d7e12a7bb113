/*
 * cpu.h - what the files of this folder and of vector/ share.
 *
 * An item owns its outputs, and no sum depends on how work is cut into items: so the bits
 * of a result are the same for any number of threads.
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

/* Where an operand's elements begin: a buffer is an address of the host's. Null if there
 * is no such operand. */
static inline void *an__cpu_address(an_operand operand)
{
    return operand.buffer != NULL ? (char *)operand.buffer + operand.offset : NULL;
}

static inline float *an__cpu_floats(an_operand operand)
{
    return an__cpu_address(operand);
}

/* Runs body for each item on the host's threads, with denormals as zeros; and with
 * denormals as they are, for probabilities, which are to be told from each other however
 * small they are. */
void an__cpu_parallel(const an_queue *q, uint32_t items, an_body_fn body, void *arg);
void an__cpu_parallel_gradual(const an_queue *q, uint32_t items, an_body_fn body,
                              void *arg);
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
/* Before the first product on a queue, and after its last. Any thread, of forked
 * processes too. */
void an__cpu_gemm_begin(void);
void an__cpu_gemm_end(void);
int an__cpu_gemm_used(void); /* whether there is a queue that may multiply */
void an__cpu_gemm(const an_gemm *g);

/* Devices, queues and operations, as an_backend has them. */
an_count_fn an__cpu_count;
an_describe_fn an__cpu_describe;
an_open_fn an__cpu_open;
an_close_fn an__cpu_close;
an_buffer_alloc_fn an__cpu_alloc;
an_buffer_release_fn an__cpu_release;
an_queue_open_fn an__cpu_queue_open;
an_queue_close_fn an__cpu_queue_close;
an_sync_fn an__cpu_sync;
an_upload_fn an__cpu_upload;
an_download_fn an__cpu_download;
an_copy_fn an__cpu_copy;
an_begin_step_fn an__cpu_begin_step;
an_conv_scratch_fn an__cpu_conv_scratch;
an_conv_forward_fn an__cpu_conv_forward;
an_conv_backward_data_fn an__cpu_conv_backward_data;
an_conv_backward_weights_fn an__cpu_conv_backward_weights;
an_dense_forward_fn an__cpu_dense_forward;
an_dense_backward_data_fn an__cpu_dense_backward_data;
an_dense_backward_weights_fn an__cpu_dense_backward_weights;
an_activation_forward_fn an__cpu_activation_forward;
an_activation_backward_fn an__cpu_activation_backward;
an_lrn_forward_fn an__cpu_lrn_forward;
an_lrn_backward_fn an__cpu_lrn_backward;
an_lrn_forward_fn an__cpu_lrn_within_forward;
an_lrn_backward_fn an__cpu_lrn_within_backward;
an_pool_forward_fn an__cpu_pool_forward;
an_pool_backward_fn an__cpu_pool_backward;
an_dropout_fn an__cpu_dropout;
an_scale_fn an__cpu_scale;
an_softmax_fn an__cpu_softmax;
an_softmax_loss_fn an__cpu_softmax_loss;
an_update_fn an__cpu_update;
an_all_finite_fn an__cpu_all_finite;

/* Calls update(q, &parts[i]) for the parts that are to be changed. */
an_status an__cpu_update_parts(an_queue *q, const an_parameter_part *parts,
                               uint32_t count, an_operand faults,
                               void (*update)(an_queue *q,
                                              const an_parameter_part *part));
/* The rank of the label among the logits x. */
an_rank an__cpu_rank(const float *x, uint32_t classes, uint32_t label);

#endif
