/*
 * main.c - runs the suites of the example programs; CK_RUN_SUITE and CK_RUN_CASE choose.
 */
#include <stdlib.h>

#include "programs.h"

int main(void)
{
    SRunner *runner = srunner_create(parts_suite());
    int failed;

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
