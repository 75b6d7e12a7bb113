/*
 * choose.h - one test of a suite by its name: AN_TEST=NAME, or of a test that is a loop
 * one round: AN_TEST=NAME:INDEX. Check itself chooses by suite (CK_RUN_SUITE) and by case
 * (CK_RUN_CASE), no finer.
 */
#ifndef AN_TEST_CHOOSE_H
#define AN_TEST_CHOOSE_H

#include <check.h>

/* Whether $AN_TEST is not set, or names this test; of a loop from *first to *end - 1 they
 * become the round that it names. After test_list() no test is wanted: their names are
 * printed instead. */
int test_wanted(const char *name, int *first, int *end);
void test_list(void);
/* The suite that the test was added to: of several tests of that name, the first. */
const char *suite_of_test(const char *name);
Suite *note_suite(Suite *suite, const char *name);

#define suite_create(name) note_suite((suite_create)(name), (name))
#undef tcase_add_test
#undef tcase_add_loop_test
#define tcase_add_test(tc, test) tcase_add_loop_test(tc, test, 0, 1)
#define tcase_add_loop_test(tc, test, first, end)                                        \
    do {                                                                                 \
        int first_ = (int)(first), end_ = (int)(end);                                    \
                                                                                         \
        if (test_wanted((test)->name, &first_, &end_))                                   \
            _tcase_add_test((tc), (test), 0, 0, first_, end_);                           \
    } while (0)

#endif
