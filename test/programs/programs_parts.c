/*
 * programs_parts.c - what the programs share: command lines, tables of epochs.
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/history.h"
#include "programs.h"

/* A run that goes on keeps the rows up to its epoch, and with them every number. */
START_TEST(a_table_of_epochs_is_read_up_to_where_a_run_goes_on)
{
    char path[256];
    history whole = {NULL, 0}, part = {NULL, 0};
    epoch_row row;
    csv table;
    size_t i;

    snprintf(path, sizeof path, "%s/run.csv", programs_folder());
    for (i = 1; i <= 3; i++) {
        double n = (double)i;
        const epoch_row made = {
            n,         10 * n, 2 / n,    0.25 * n, i == 2 ? NAN : 1.5 * n,
            0.125 * n, 0.5,    0.01 / n, 3 * n,    0.5 * n};

        history_add(&whole, &made);
    }
    ck_assert_int_eq(history_write_csv(&whole, path), 0);
    table = csv_read("run.csv");
    expect_count(table.rows, 3, "rows");
    for (i = 0; i < 3; i++) {
        row = whole.rows[i];
        expect_number(csv_cell(&table, i, "epoch"), row.epoch, 0, "row %zu", i);
        expect_number(csv_cell(&table, i, "iteration"), row.iteration, 0, "row %zu", i);
        expect_number(csv_cell(&table, i, "train_loss"), row.train_loss, 1e-6, "row %zu",
                      i);
        expect_number(csv_cell(&table, i, "train_top1"), row.train_top1, 1e-6, "row %zu",
                      i);
        if (i == 1)
            ck_assert(isnan(csv_cell(&table, i, "held_out_loss")));
        else
            expect_number(csv_cell(&table, i, "held_out_loss"), row.held_out_loss, 1e-6,
                          "row %zu", i);
        expect_number(csv_cell(&table, i, "held_out_top1"), row.held_out_top1, 1e-6,
                      "row %zu", i);
        expect_number(csv_cell(&table, i, "held_out_top5"), row.held_out_top5, 1e-6,
                      "row %zu", i);
        expect_number(csv_cell(&table, i, "rate"), row.rate, 1e-7, "row %zu", i);
        expect_number(csv_cell(&table, i, "seconds"), row.seconds, 0.005, "row %zu", i);
        expect_number(csv_cell(&table, i, "waited"), row.waited, 0.0005, "row %zu", i);
    }
    history_read(&part, path, 2);
    expect_count(part.count, 2, "a run that goes on after epoch 2");
    expect_number(part.rows[1].epoch, 2, 0, "the last row");
    expect_number(part.rows[1].rate, 0.005, 1e-7, "the last row");
    csv_free(&table);
    free(whole.rows);
    free(part.rows);
}
END_TEST

Suite *parts_suite(void)
{
    Suite *suite = suite_create("parts");
    TCase *tc = tcase_create("tables");

    tcase_add_checked_fixture(tc, programs_setup, programs_teardown);
    tcase_add_test(tc, a_table_of_epochs_is_read_up_to_where_a_run_goes_on);
    suite_add_tcase(suite, tc);
    return suite;
}
