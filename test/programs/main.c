/*
 * main.c - runs the suites of the example programs. CK_RUN_SUITE, CK_RUN_CASE and AN_TEST
 * choose; check --list prints the names of the tests.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "programs.h"
#include "scratch.h"

int main(int argc, char **argv)
{
    SRunner *runner;
    int failed, list = argc == 2 && strcmp(argv[1], "--list") == 0;

    if (list) test_list();
    setenv("CK_DEFAULT_TIMEOUT", "60", 0); /* seconds a test: the machine may be busy */
    runner = srunner_create(parts_suite());
    srunner_add_suite(runner, train_suite());
    srunner_add_suite(runner, setup_suite());
    srunner_add_suite(runner, rates_suite());
    srunner_add_suite(runner, from_suite());
    srunner_add_suite(runner, resume_suite());
    srunner_add_suite(runner, refusals_suite());
    srunner_add_suite(runner, options_suite());
    srunner_add_suite(runner, chart_suite());
    srunner_add_suite(runner, pipeline_suite());
    srunner_add_suite(runner, listing_suite());
    srunner_add_suite(runner, pictures_suite());
    srunner_add_suite(runner, formats_suite());
    srunner_add_suite(runner, prepare_suite());
    srunner_add_suite(runner, waits_suite());
    srunner_add_suite(runner, evaluate_suite());
    srunner_add_suite(runner, classify_suite());
    srunner_add_suite(runner, similar_suite());
    srunner_add_suite(runner, canvas_suite());
    srunner_add_suite(runner, plot_suite());
    srunner_add_suite(runner, info_suite());
    srunner_add_suite(runner, shapes_suite());
    srunner_add_suite(runner, limits_suite());
    srunner_add_suite(runner, bench_suite());
    srunner_add_suite(runner, feeds_suite());
    srunner_add_suite(runner, outputs_suite());
    if (list) return EXIT_SUCCESS;
    scratch_begin();
    srunner_run_all(runner, CK_ENV);
    scratch_end();
    failed = srunner_ntests_failed(runner);
    if (srunner_ntests_run(runner) == 0) {
        fprintf(stderr,
                "no test was run: CK_RUN_SUITE, CK_RUN_CASE or AN_TEST names none\n");
        failed = 1;
    }
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
