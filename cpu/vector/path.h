/*
 * path.h - the operations of this folder, as an_backend has them, for one set of
 * instructions.
 */
#ifndef AN_VECTOR_PATH_H
#define AN_VECTOR_PATH_H

#include "../cpu.h"
#include "vector.h"

extern const an_backend V(backend);

/* As an__cpu_copy_rows() gives it. */
void V(copy_rows)(uint8_t *to, const uint8_t *from, size_t pitch, size_t bytes,
                  uint32_t rows);

an_status V(put)(an_queue *queue, const an_order *order, float *to, size_t first,
                 const float *from, size_t count);
an_status V(get)(an_queue *queue, const an_order *order, float *to, const float *from,
                 size_t first, size_t count);
size_t V(conv_scratch)(an_device *device, const an_conv_shape *s, uint32_t batch,
                       int training);
uint32_t V(conv_way)(an_device *device, const an_conv_shape *s, uint32_t batch,
                     size_t *bytes);
an_status V(conv_pack)(an_queue *q, const an_conv_shape *s, uint32_t way, const float *w,
                       float *pack);
an_status V(conv_forward)(an_queue *q, const an_conv_shape *s, uint32_t batch,
                          const float *x, const float *w, const float *pack,
                          const float *b, float *y);
an_status V(conv_backward_data)(an_queue *q, const an_conv_shape *s, uint32_t batch,
                                const float *w, const float *pack, const float *dy,
                                const float *x, float *dx);
an_status V(conv_backward_weights)(an_queue *q, const an_conv_shape *s, uint32_t batch,
                                   const float *x, const float *dy, float *dw, float *db);
size_t V(dense_scratch)(an_device *device, const an_dense_shape *s, uint32_t batch,
                        int training);
size_t V(dense_way)(an_device *device, const an_dense_shape *s, uint32_t batch,
                    int training);
an_status V(dense_pack)(an_queue *q, const an_dense_shape *s, const float *w, void *pack);
an_status V(dense_forward)(an_queue *q, const an_dense_shape *s, uint32_t batch,
                           const float *x, const float *w, const void *pack,
                           const float *b, const an_dropout_shape *drop, float *y);
an_status V(dense_backward_data)(an_queue *q, const an_dense_shape *s, uint32_t batch,
                                 const float *w, const void *pack, const float *dy,
                                 const float *x, float *dx);
an_status V(dense_backward_weights)(an_queue *q, const an_dense_shape *s, uint32_t batch,
                                    const float *x, const float *dy, float *dw,
                                    float *db);
an_status V(activation_forward)(an_queue *q, uint32_t kind, uint32_t precision,
                                size_t count, float *y);
an_status V(activation_backward)(an_queue *q, uint32_t kind, uint32_t precision,
                                 size_t count, const float *y, float *dy);
an_status V(lrn_forward)(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                         const float *x, float *y);
an_status V(lrn_backward)(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                          const float *x, const float *dy, float *dx);
an_status V(lrn_within_forward)(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                                const float *x, float *y);
an_status V(lrn_within_backward)(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                                 const float *x, const float *dy, float *dx);
an_status V(pool_forward)(an_queue *q, const an_pool_shape *s, uint32_t batch,
                          const float *x, float *y, void *marks);
an_status V(pool_backward)(an_queue *q, const an_pool_shape *s, uint32_t batch,
                           const float *x, const void *marks, const float *dy, float *dx);
an_status V(dropout)(an_queue *q, const an_dropout_shape *s, uint32_t batch, float *x);
an_status V(softmax)(an_queue *q, uint32_t classes, uint32_t batch, float *x);
an_status V(softmax_loss)(an_queue *q, uint32_t classes, uint32_t batch, const float *x,
                          const int32_t *labels, uint32_t precision, float *dx,
                          an_rank *ranks, double *loss);
an_status V(update)(an_queue *q, const an_parameter_part *parts, uint32_t count,
                    const float *faults);

#endif
