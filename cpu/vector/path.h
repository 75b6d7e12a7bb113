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

an_put_fn V(put);
an_get_fn V(get);
an_conv_scratch_fn V(conv_scratch);
an_conv_algorithm_fn V(conv_algorithm);
an_conv_prepack_fn V(conv_prepack);
an_conv_forward_fn V(conv_forward);
an_conv_backward_data_fn V(conv_backward_data);
an_conv_backward_weights_fn V(conv_backward_weights);
an_dense_scratch_fn V(dense_scratch);
an_dense_prepack_bytes_fn V(dense_prepack_bytes);
an_dense_prepack_fn V(dense_prepack);
an_dense_forward_fn V(dense_forward);
an_dense_backward_data_fn V(dense_backward_data);
an_dense_backward_weights_fn V(dense_backward_weights);
an_activation_forward_fn V(activation_forward);
an_activation_backward_fn V(activation_backward);
an_lrn_forward_fn V(lrn_forward);
an_lrn_backward_fn V(lrn_backward);
an_lrn_forward_fn V(lrn_within_forward);
an_lrn_backward_fn V(lrn_within_backward);
an_pool_forward_fn V(pool_forward);
an_pool_backward_fn V(pool_backward);
an_dropout_fn V(dropout);
an_softmax_fn V(softmax);
an_softmax_loss_fn V(softmax_loss);
an_update_fn V(update);

#endif
