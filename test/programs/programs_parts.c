/*
 * programs_parts.c - what the programs share: tables of epochs, the line of progress.
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/history.h"
#include "common/progress.h"
#include "common/quote.h"
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

/* Asked half a second beyond a whole one, so that a busy machine says the same. */
static void expect_left(double left, const char *words)
{
    char path[256], line[256] = "";
    progress p = {0, 0, 100, 0};
    int screen = dup(STDERR_FILENO);
    FILE *file;

    snprintf(path, sizeof path, "%s/progress.txt", programs_folder());
    ck_assert_ptr_nonnull(freopen(path, "w", stderr));
    p.started = seconds_now() - 1e6; /* 100 of them in a million seconds */
    p.shown = p.started;
    progress_lines = 1;
    progress_show(&p, "epoch 3", (left + 0.5) / 1e4);
    dup2(screen, STDERR_FILENO);
    close(screen);
    file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_ptr_nonnull(fgets(line, sizeof line, file));
    fclose(file);
    expect_text(line, words, "%g s left", left);
}

START_TEST(the_time_left_is_in_hours_minutes_and_seconds)
{
    expect_left(0, "epoch 3  0.0 images/s  0:00:00 left\n");
    expect_left(59, "epoch 3  0.0 images/s  0:00:59 left\n");
    expect_left(125, "epoch 3  0.0 images/s  0:02:05 left\n");
    expect_left(3600, "epoch 3  0.0 images/s  1:00:00 left\n");
    expect_left(2 * 86400 + 35 * 60 + 7, "epoch 3  0.0 images/s  48:35:07 left\n");
}
END_TEST

START_TEST(what_a_terminal_obeys_is_shown)
{
    static const struct {
        const char *text, *wanted;
    } cases[] = {
        {"", ""},
        {"a \xc3\xa9 \xe2\x82\xac \xf0\x9f\x8c\xb7 \xc2\xa0~",
         "a \xc3\xa9 \xe2\x82\xac \xf0\x9f\x8c\xb7 \xc2\xa0~"},
        {"\033[2J\n\t\x7f", "\\x1b[2J\\x0a\\x09\\x7f"},
        {"\xc2\x9b"
         "0m \xc2\xad",
         "\\u009b0m \\u00ad"},
        {"a\xe2\x80\xae"
         "b\xe2\x81\xa6\xd8\x9c",
         "a\\u202eb\\u2066\\u061c"},
        {"\xe2\x80\x8b\xef\xbb\xbf\xe2\x80\xaf", "\\u200b\\ufeff\xe2\x80\xaf"},
        {"\xf3\xa0\x81\x81!", "\\ue0041!"},
        {"\xff\xc3(\xe2\x82 \xed\xa0\x80", "\\xff\\xc3(\\xe2\\x82 \\xed\\xa0\\x80"},
    };
    size_t i;

    for (i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_text(shown(cases[i].text), cases[i].wanted, "case %zu", i);
}
END_TEST

Suite *parts_suite(void)
{
    Suite *suite = suite_create("parts");
    TCase *tc = tcase_create("tables");

    tcase_add_checked_fixture(tc, programs_setup, programs_teardown);
    tcase_add_test(tc, a_table_of_epochs_is_read_up_to_where_a_run_goes_on);
    tcase_add_test(tc, what_a_terminal_obeys_is_shown);
    tcase_add_test(tc, the_time_left_is_in_hours_minutes_and_seconds);
    suite_add_tcase(suite, tc);
    return suite;
}
