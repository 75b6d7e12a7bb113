/*
 * ref.h - every operation, slowly and in double precision, straight from its definition.
 * This is the specification that backends are tested against. Shapes as in backend.h.
 */
#ifndef AN_TEST_REF_H
#define AN_TEST_REF_H

#include "train/train.h"

void ref_conv_forward(const an_conv_shape *s, uint32_t batch, const double *x,
                      const double *w, const double *b, double *y);
void ref_conv_backward(const an_conv_shape *s, uint32_t batch, const double *x,
                       const double *w, const double *dy, double *dx, double *dw,
                       double *db);
void ref_dense_forward(const an_dense_shape *s, uint32_t batch, const double *x,
                       const double *w, const double *b, double *y);
void ref_dense_backward(const an_dense_shape *s, uint32_t batch, const double *x,
                        const double *w, const double *dy, double *dx, double *dw,
                        double *db);
void ref_activation_forward(uint32_t kind, size_t count, double *y);
void ref_activation_backward(uint32_t kind, size_t count, const double *y, double *dy);
/* within 0: across maps; 1: within a map */
void ref_lrn_forward(const an_lrn_shape *s, int within, uint32_t batch, const double *x,
                     double *y);
void ref_lrn_backward(const an_lrn_shape *s, int within, uint32_t batch, const double *x,
                      const double *dy, double *dx);
void ref_pool_forward(const an_pool_shape *s, uint32_t batch, const double *x, double *y);
void ref_pool_backward(const an_pool_shape *s, uint32_t batch, const double *x,
                       const double *dy, double *dx);
void ref_dropout(const an_dropout_shape *s, uint32_t batch, uint64_t seed,
                 uint64_t iteration, double *x);
void ref_softmax(uint32_t classes, uint32_t batch, double *x);
/* Returns the mean loss; dx may be null. */
double ref_softmax_loss(uint32_t classes, uint32_t batch, const double *x,
                        const int32_t *labels, double *dx);
void ref_update(const an_update *u, size_t count, const double *g, double *v, double *w);

#endif
