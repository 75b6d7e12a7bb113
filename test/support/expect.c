/*
 * expect.c - comparisons and their messages.
 */
#include "expect.h"

#include <check.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { SHOWN = 4 /* differences of an array */, LINE = 1024 };

#define DESCRIBE(text, format)                                                           \
    do {                                                                                 \
        va_list list;                                                                    \
        va_start(list, format);                                                          \
        vsnprintf(text, sizeof text, format, list);                                      \
        va_end(list);                                                                    \
    } while (0)

void expect_ok_at(const char *file, int line, const char *call, an_status got)
{
    ck_assert_msg(got == AN_OK, "%s:%d: %s: wanted ok, got %s: \"%s\"", file, line, call,
                  an_status_string(got), an_error_message());
}

void expect_refused_at(const char *file, int line, const char *call, an_status got,
                       an_status wanted, const char *words)
{
    ck_assert_msg(got == wanted, "%s:%d: %s: wanted %s, got %s: \"%s\"", file, line, call,
                  an_status_string(wanted), an_status_string(got),
                  got == AN_OK ? "" : an_error_message());
    ck_assert_msg(words == NULL || strstr(an_error_message(), words) != NULL,
                  "%s:%d: %s: wanted a message with \"%s\", got \"%s\"", file, line, call,
                  words, an_error_message());
}

void expect_count_at(const char *file, int line, const char *name, uint64_t got,
                     uint64_t wanted, const char *format, ...)
{
    char text[LINE];

    DESCRIBE(text, format);
    ck_assert_msg(got == wanted, "%s:%d: %s: %s is %llu, wanted %llu", file, line, text,
                  name, (unsigned long long)got, (unsigned long long)wanted);
}

void expect_number_at(const char *file, int line, const char *name, double got,
                      double wanted, double bound, const char *format, ...)
{
    char text[LINE];

    DESCRIBE(text, format);
    ck_assert_msg(fabs(got - wanted) <= bound,
                  "%s:%d: %s: %s is %.9g, wanted %.9g within %g", file, line, text, name,
                  got, wanted, bound);
}

void expect_text_at(const char *file, int line, const char *name, const char *got,
                    const char *wanted, const char *format, ...)
{
    char text[LINE];

    DESCRIBE(text, format);
    ck_assert_msg(got != NULL && strcmp(got, wanted) == 0,
                  "%s:%d: %s: %s is \"%s\", wanted \"%s\"", file, line, text, name,
                  got == NULL ? "(null)" : got, wanted);
}

static int apart(float got, float wanted, double bound)
{
    if (bound == 0) return memcmp(&got, &wanted, sizeof got) != 0;
    return !(fabs((double)got - (double)wanted) <= bound);
}

void expect_floats_at(const char *file, int line, const float *got, const float *wanted,
                      size_t count, double bound, const char *format, ...)
{
    char text[LINE], shown[LINE] = "";
    double largest = 0, limit;
    size_t i, different = 0, length = 0;

    for (i = 0; i < count; i++) largest = fmax(largest, fabs((double)wanted[i]));
    limit = bound * largest;
    if (bound > 0 && limit == 0) limit = bound; /* nothing but zeros is wanted */
    for (i = 0; i < count; i++) {
        if (!apart(got[i], wanted[i], limit)) continue;
        if (different++ < SHOWN)
            length += (size_t)snprintf(shown + length, sizeof shown - length,
                                       "\n  [%zu]: got %.9g, wanted %.9g", i,
                                       (double)got[i], (double)wanted[i]);
    }
    DESCRIBE(text, format);
    ck_assert_msg(different == 0,
                  "%s:%d: %s: %zu of %zu numbers differ by more than %g (%g of the "
                  "largest, %g)%s",
                  file, line, text, different, count, limit, bound, largest, shown);
}

void expect_other_floats_at(const char *file, int line, const float *got,
                            const float *wanted, size_t count, const char *format, ...)
{
    char text[LINE];

    DESCRIBE(text, format);
    ck_assert_msg(memcmp(got, wanted, count * sizeof *got) != 0,
                  "%s:%d: %s: all %zu numbers are the same, from %.9g on; wanted others",
                  file, line, text, count, (double)got[0]);
}

void expect_bytes_at(const char *file, int line, const void *got, const void *wanted,
                     size_t count, const char *format, ...)
{
    const unsigned char *g = got, *w = wanted;
    char text[LINE], shown[LINE] = "";
    size_t i, different = 0, length = 0;

    for (i = 0; i < count; i++) {
        if (g[i] == w[i]) continue;
        if (different++ < SHOWN)
            length += (size_t)snprintf(shown + length, sizeof shown - length,
                                       "\n  [%zu]: got %u, wanted %u", i, g[i], w[i]);
    }
    DESCRIBE(text, format);
    ck_assert_msg(different == 0, "%s:%d: %s: %zu of %zu bytes differ%s", file, line,
                  text, different, count, shown);
}
