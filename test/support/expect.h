/*
 * expect.h - comparisons that say what was expected, what came, where, and with which
 * parameters.
 *
 * Each takes at its end a format with arguments, which name what is compared and the
 * parameters of the case: "conv2's weights after %u steps". A failure's message begins
 * with the file and line of the comparison.
 */
#ifndef AN_TEST_EXPECT_H
#define AN_TEST_EXPECT_H

#include <stddef.h>
#include <stdint.h>

#include "alexnet.h"

#define EXPECT_HERE __FILE__, __LINE__
/* A capacity, where it is not what a test asks: the buffer is as large as the call
 * needs. */
#define ENOUGH SIZE_MAX
#define EXPECT_FORMAT(string) __attribute__((format(printf, string, string + 1)))

/* The call returns AN_OK; else the message has the status and an_error_message(). */
#define expect_ok(call) expect_ok_at(EXPECT_HERE, #call, (call))

/* The call returns `status`, and an_error_message() contains `words`, unless that is
 * null. */
#define expect_refused(call, status, words)                                              \
    expect_refused_at(EXPECT_HERE, #call, (call), (status), (words))

/* Whole numbers and floating-point numbers. |got - wanted| <= bound; bound 0: equal. NaN
 * equals nothing. */
#define expect_count(got, wanted, ...)                                                   \
    expect_count_at(EXPECT_HERE, #got, (uint64_t)(got), (uint64_t)(wanted), __VA_ARGS__)
#define expect_number(got, wanted, bound, ...)                                           \
    expect_number_at(EXPECT_HERE, #got, (double)(got), (double)(wanted), (bound),        \
                     __VA_ARGS__)
#define expect_text(got, wanted, ...)                                                    \
    expect_text_at(EXPECT_HERE, #got, (got), (wanted), __VA_ARGS__)

/* Arrays of floats: every |got - wanted| <= bound * (the largest |wanted|); bound 0: the
 * same bits. The message has the first differences with their indices, and how many there
 * are. */
#define expect_floats(got, wanted, count, bound, ...)                                    \
    expect_floats_at(EXPECT_HERE, (got), (wanted), (count), (bound), __VA_ARGS__)
/* The opposite: at least one number differs. */
#define expect_other_floats(got, wanted, count, ...)                                     \
    expect_other_floats_at(EXPECT_HERE, (got), (wanted), (count), __VA_ARGS__)
#define expect_bytes(got, wanted, count, ...)                                            \
    expect_bytes_at(EXPECT_HERE, (got), (wanted), (count), __VA_ARGS__)

void expect_ok_at(const char *file, int line, const char *call, an_status got);
void expect_refused_at(const char *file, int line, const char *call, an_status got,
                       an_status wanted, const char *words);
void expect_count_at(const char *file, int line, const char *name, uint64_t got,
                     uint64_t wanted, const char *format, ...) EXPECT_FORMAT(6);
void expect_number_at(const char *file, int line, const char *name, double got,
                      double wanted, double bound, const char *format, ...)
    EXPECT_FORMAT(7);
void expect_text_at(const char *file, int line, const char *name, const char *got,
                    const char *wanted, const char *format, ...) EXPECT_FORMAT(6);
void expect_floats_at(const char *file, int line, const float *got, const float *wanted,
                      size_t count, double bound, const char *format, ...)
    EXPECT_FORMAT(7);
void expect_other_floats_at(const char *file, int line, const float *got,
                            const float *wanted, size_t count, const char *format, ...)
    EXPECT_FORMAT(6);
void expect_bytes_at(const char *file, int line, const void *got, const void *wanted,
                     size_t count, const char *format, ...) EXPECT_FORMAT(6);

#endif
