/*
 * choose.h - one test of a suite by its name: AN_TEST=NAME. Check itself chooses by suite
 * (CK_RUN_SUITE) and by case (CK_RUN_CASE), no finer.
 */
#ifndef AN_TEST_CHOOSE_H
#define AN_TEST_CHOOSE_H

#include <check.h>

/* Whether $AN_TEST is not set, or is this name. After test_list() no test is wanted: their
 * names are printed instead. */
int test_wanted(const char *name);
void test_list(void);

#undef tcase_add_test
#undef tcase_add_loop_test
#define tcase_add_test(tc, test) tcase_add_loop_test(tc, test, 0, 1)
#define tcase_add_loop_test(tc, test, first, end)                                        \
    do {                                                                                 \
        if (test_wanted((test)->name))                                                   \
            _tcase_add_test((tc), (test), 0, 0, (int)(first), (int)(end));               \
    } while (0)

#endif
