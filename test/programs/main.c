/*
 * main.c - runs the suites of the example programs. CK_RUN_SUITE, CK_RUN_CASE and AN_TEST
 * choose; check --list prints the names of the tests.
 */
#include <stdlib.h>
#include <string.h>

#include "programs.h"

int main(int argc, char **argv)
{
    SRunner *runner;
    int failed, list = argc == 2 && strcmp(argv[1], "--list") == 0;

    if (list) test_list();
    runner = srunner_create(parts_suite());
    if (list) return EXIT_SUCCESS;
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
