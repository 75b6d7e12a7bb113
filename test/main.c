/*
 * main.c - runs all suites; CK_RUN_SUITE, CK_RUN_CASE and the rest of Check's environment
 * choose among them.
 */
#include <stdlib.h>

#include "rig.h"
#include "test.h"

int main(void)
{
    SRunner *runner = srunner_create(layout_suite());
    int failed;

    srunner_add_suite(runner, api_suite());
    srunner_add_suite(runner, config_suite());
    srunner_add_suite(runner, images_suite());
    srunner_add_suite(runner, ops_suite());
    srunner_add_suite(runner, cuda_suite());
    srunner_add_suite(runner, steps_suite());
    srunner_add_suite(runner, plugin_suite());
    srunner_add_suite(runner, infer_suite());
    srunner_add_suite(runner, train_suite());
    srunner_add_suite(runner, golden_suite());
    srunner_add_suite(runner, checkpoint_suite());
    srunner_add_suite(runner, pack_suite());
    srunner_add_suite(runner, damage_suite());
    srunner_add_suite(runner, loader_suite());
    srunner_add_suite(runner, recipes_suite());
    srunner_add_suite(runner, hygiene_suite());
    rig_report();
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
