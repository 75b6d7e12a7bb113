/*
 * main.c - runs all suites, or all but some: check --without SUITE..., so that make can
 * run those beside them. CK_RUN_SUITE, CK_RUN_CASE and the rest of Check's environment
 * choose, too, and AN_TEST a test by its name; check --list prints the names.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rig.h"
#include "scratch.h"
#include "test.h"

static const struct {
    const char *name;
    Suite *(*make)(void);
} suites[] = {{"layout", layout_suite},
              {"api", api_suite},
              {"config", config_suite},
              {"images", images_suite},
              {"ops", ops_suite},
              {"minimal", minimal_suite},
              {"cuda", cuda_suite},
              {"steps", steps_suite},
              {"plugin", plugin_suite},
              {"infer", infer_suite},
              {"edges", edges_suite},
              {"execution", execution_suite},
              {"inference", inference_suite},
              {"train", train_suite},
              {"golden", golden_suite},
              {"checkpoint", checkpoint_suite},
              {"pack", pack_suite},
              {"damage", damage_suite},
              {"loader", loader_suite},
              {"recipes", recipes_suite},
              {"hygiene", hygiene_suite},
              {"ablations", ablations_suite},
              {"fields", fields_suite},
              {"plans", plans_suite},
              {"starts", starts_suite},
              {"structs", structs_suite},
              {"strides", strides_suite},
              {"limits", limits_suite},
              {"data_limits", data_limits_suite},
              {"statuses", statuses_suite},
              {"states", states_suite},
              {"scarcity", scarcity_suite},
              {"contexts", contexts_suite},
              {"processors", processors_suite},
              {"precision", precision_suite},
              {"feeds", feeds_suite},
              {"trainer_config", trainer_config_suite},
              {"schedule", schedule_suite},
              {"streams", streams_suite},
              {"pieces", pieces_suite},
              {"weights", weights_suite},
              {"repeat", repeat_suite},
              {"transfer", transfer_suite},
              {"recipe_rows", recipe_rows_suite},
              {"resume", resume_suite},
              {"other_files", other_files_suite},
              {"metadata", metadata_suite},
              {"tensors", tensors_suite},
              {"saving", saving_suite},
              {"pictures", pictures_suite},
              {"rows", rows_suite},
              {"means", means_suite},
              {"epochs", epochs_suite},
              {"batches", batches_suite},
              {"sources", sources_suite},
              {"packs", packs_suite},
              {"pack_models", pack_models_suite},
              {"index", index_suite},
              {"packing", packing_suite},
              {"pool", pool_suite},
              {"disk", disk_suite},
              {"writers", writers_suite},
              {"json", json_suite},
              {"text", text_suite},
              {"arrivals", arrivals_suite},
              {"floats", floats_suite}};

static int is_among(const char *name, char **names, int count)
{
    while (count-- > 0)
        if (strcmp(name, names[count]) == 0) return 1;
    return 0;
}

int main(int argc, char **argv)
{
    int list = argc == 2 && strcmp(argv[1], "--list") == 0, failed, left_out = 0;
    int without = argc > 2 && strcmp(argv[1], "--without") == 0 ? argc - 2 : 0;
    SRunner *runner = srunner_create(NULL);
    size_t i;

    /* Seconds a test, as others run beside it; read where a case of tests is made. */
    setenv("CK_DEFAULT_TIMEOUT", "60", 0);
    if (list) test_list();
    for (i = 0; i < sizeof suites / sizeof suites[0]; i++) {
        if (is_among(suites[i].name, argv + 2, without))
            left_out++;
        else
            srunner_add_suite(runner, suites[i].make());
    }
    if (list) return EXIT_SUCCESS;
    if (left_out != without || (argc > 1 && without == 0)) {
        fprintf(stderr, "usage: check [--list | --without SUITE...]\n");
        return EXIT_FAILURE;
    }
    rig_report();
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
