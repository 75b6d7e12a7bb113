/*
 * describe.h - the shape of a case in words, for the message of what fails.
 *
 * Each call writes over what the one before it has said.
 */
#ifndef AN_TEST_DESCRIBE_H
#define AN_TEST_DESCRIBE_H

#include "device/backend.h"

void describe(const char *format, ...) __attribute__((format(printf, 1, 2)));
void describe_conv(const an_conv_shape *s, uint32_t batch);
void describe_dense(const an_dense_shape *s, uint32_t batch);
void describe_pool(const an_pool_shape *s, uint32_t batch);
void describe_lrn(const an_lrn_shape *s, int within, uint32_t batch);
void describe_lrn_pool(const an_lrn_shape *n, const an_pool_shape *s, uint32_t batch);
void describe_dropout(const an_dropout_shape *s, uint32_t batch, const an_step *step);

const char *description(void);

#endif
