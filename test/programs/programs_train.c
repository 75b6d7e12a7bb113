/*
 * programs_train.c - train: what it prints, its table and its checkpoint, number by
 * number, beside a training loop of the test's own.
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/canvas.h"
#include "common/picture.h"
#include "common/progress.h"
#include "tiny.h"

/* --- an epoch's numbers ------------------------------------------------------------ */

/* The line of an epoch rounds what the table has. */
static void expect_line(const char *out, const epoch_row *row)
{
    epoch_line line = line_of(out, (uint32_t)row->epoch);
    double epoch = row->epoch;

    expect_number(line.loss, row->train_loss, 5.1e-5, "line of epoch %g", epoch);
    expect_number(line.top1, 100 * row->train_top1, 0.051, "line of epoch %g", epoch);
    expect_number(line.rate, row->rate, 5.1e-6 * row->rate, "line of epoch %g", epoch);
    expect_count(line.held_out, !isnan(row->held_out_loss), "line of epoch %g", epoch);
    if (!line.held_out) return;
    expect_number(line.held_out_loss, row->held_out_loss, 5.2e-5, "line of epoch %g",
                  epoch);
    expect_number(line.held_out_top1, 100 * row->held_out_top1, 0.051, "line of epoch %g",
                  epoch);
    expect_number(line.held_out_top5, 100 * row->held_out_top5, 0.051, "line of epoch %g",
                  epoch);
}

static void expect_lines(const char *out, const twin *t)
{
    size_t i;

    for (i = 0; i < t->past.count; i++) expect_line(out, &t->past.rows[i]);
    expect_count(times_in(out, "\nepoch "), t->past.count, "lines of epochs");
}

/* Five steps an epoch, the last of five pictures; the rate drops after epochs 2 and 3. */
START_TEST(every_number_is_what_a_loop_of_ones_own_has)
{
    char *out;
    plan p;
    twin t;

    plan_init(&p);
    plan_epochs(&p, 3);
    ck_assert_uint_eq(p.changes[0].epoch, 2);
    ck_assert_uint_eq(p.changes[1].epoch, 3);
    twin_run(&t, &p);
    program_succeeds(&out, "train " TINY " --epochs 3 --out run data");
    expect_run(&t, "run", "three epochs");
    expect_lines(out, &t);
    expect_number(t.past.rows[2].rate, 1e-3f, 0, "the third epoch's rate");
    expect_count(times_in(out, "7 classes, 37 training pictures, 5 steps of 8 an epoch, "
                               "1 threads\n"),
                 1, "first line of: %s", out);
    ck_assert_msg(strstr(out, "\nsaved run\n") != NULL, "no last line in: %s", out);
    free(out);
    twin_free(&t);
}
END_TEST

/* Of those to learn from, and of those held out. */
START_TEST(a_damaged_picture_ends_the_training)
{
    const char *pack = _i == 0 ? "data/train/part-0000.bin" : "data/val/part-0000.bin";

    byte_flip(pack, 16 + 10 * 3 * TINY_SIDE * TINY_SIDE);
    program_fails(1, "picture 10", "train " TINY " --epochs 1 --out run data");
    ck_assert_int_eq(tiny_exists("run"), 0);
}
END_TEST

/* What of an epoch's pictures a step has: all of it, one of them, a batch larger than the
 * pack, whole batches only. */
START_TEST(the_last_batch_weighs_by_its_pictures)
{
    static const struct {
        uint32_t batch, steps;
    } cases[] = {{1, 37}, {36, 2}, {37, 1}, {64, 1}};
    char *out, name[32], line[64];
    size_t i;

    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        plan p;
        twin t;

        plan_init(&p);
        plan_epochs(&p, 1);
        p.trainer.batch = p.loader.batch = cases[i].batch;
        twin_run(&t, &p);
        snprintf(name, sizeof name, "of%u", cases[i].batch);
        program_succeeds(&out, "train " TINY " --epochs 1 --batch %u --out %s data",
                         cases[i].batch, name);
        expect_run(&t, name, name);
        expect_lines(out, &t);
        snprintf(line, sizeof line, ", %u steps of %u an epoch,", cases[i].steps,
                 cases[i].batch);
        expect_count(times_in(out, line), 1, "\"%s\" in: %s", line, out);
        free(out);
        twin_free(&t);
    }
}
END_TEST

/* --- what is held out -------------------------------------------------------------- */

static void expect_one_epoch(const plan *p, const char *options, const char *folder,
                             const char *name)
{
    char *out;
    twin t;

    twin_run(&t, p);
    program_succeeds(&out, "train " TINY " --epochs 1 %s --out %s %s", options, name,
                     folder);
    expect_run(&t, name, options[0] != '\0' ? options : folder);
    expect_lines(out, &t);
    free(out);
    twin_free(&t);
}

/* 67 pictures: train scores 64 at a time. */
START_TEST(the_held_out_pack_is_the_one_that_was_named)
{
    const tiny_pack other = {.count = 67, .seed = 3};
    plan p;

    tiny_pack_make("other", &other);
    plan_init(&p);
    plan_epochs(&p, 1);
    p.val = "other";
    expect_one_epoch(&p, "--val other", "data", "elsewhere");
    expect_one_epoch(&p, "--val other", "data/train", "no-folder");
}
END_TEST

START_TEST(without_a_held_out_pack_or_a_look_at_it_there_are_no_such_numbers)
{
    plan p;

    plan_init(&p);
    plan_epochs(&p, 1);
    p.val = NULL;
    expect_one_epoch(&p, "", "data/train", "none");
    expect_one_epoch(&p, "--no-evaluation", "data", "unseen");
    expect_one_epoch(&p, "--no-evaluation --val data/val", "data/train", "unseen-named");
}
END_TEST

/* A pack of JPEG files trains as one of the pixels that are in them. */
START_TEST(a_pack_of_jpeg_files_is_decoded)
{
    const tiny_pack jpeg = {.seed = 1, .jpeg = 1};
    plan p;

    tiny_pack_make("jpeg", &jpeg);
    plan_init(&p);
    plan_epochs(&p, 1);
    p.train = "jpeg";
    p.val = NULL;
    expect_one_epoch(&p, "", "jpeg", "run");
}
END_TEST

/* --- when it stops ----------------------------------------------------------------- */

/* Without --epochs it is the recipe's, 60. In the middle of an epoch the note has the
 * sums. */
START_TEST(it_stops_after_so_many_steps)
{
    uint32_t steps;

    for (steps = 1; steps <= 6; steps++) {
        char *out, name[32], words[64];
        double images = 8.0 * (steps % 5);
        plan p;
        twin t;

        plan_init(&p);
        p.steps = steps;
        twin_run(&t, &p);
        snprintf(name, sizeof name, "after-%u", steps);
        program_succeeds(&out, "train " TINY " --steps %u --out %s data", steps, name);
        expect_run(&t, name, name);
        snprintf(words, sizeof words, "saved %s\n", name);
        ck_assert_msg(strstr(out, words) != NULL, "no \"%s\" in: %s", words, out);
        snprintf(words, sizeof words, "after %u steps: loss of this epoch %.4f, ", steps,
                 t.loss / images);
        expect_count(times_in(out, words), steps != 5, "\"%s\" in: %s", words, out);
        expect_count(times_in(out, "60 epochs would take"), steps != 5, "in: %s", out);
        free(out);
        twin_free(&t);
    }
}
END_TEST

/* The epoch whose error is exactly what was asked for is the last. */
START_TEST(it_stops_after_the_epoch_whose_error_is_small_enough)
{
    csv table;
    double error[4], least = 2;
    size_t i, first = 0;

    program_succeeds(NULL, "train " TINY " --epochs 4 --out whole data");
    table = csv_read("whole.csv");
    for (i = 0; i < 4; i++) {
        error[i] = 1 - round(37 * csv_cell(&table, i, "train_top1")) / 37.0;
        if (i < 3 && error[i] < least) least = error[first = i];
    }
    csv_free(&table);
    /* The first epoch that has it, and not the one before. */
    program_succeeds(NULL, "train " TINY " --epochs 4 --until-error %.17g --out a data",
                     least);
    table = csv_read("a.csv");
    expect_count(table.rows, first + 1, "until error %g", least);
    csv_free(&table);
    program_succeeds(NULL, "train " TINY " --epochs 4 --until-error %.17g --out b data",
                     least - 1e-9);
    table = csv_read("b.csv");
    ck_assert_msg(table.rows > first + 1, "it stopped before its error was %g",
                  least - 1e-9);
    csv_free(&table);
    program_succeeds(NULL, "train " TINY " --epochs 2 --until-error 1 --out c data");
    table = csv_read("c.csv");
    expect_count(table.rows, 1, "until error 1");
    csv_free(&table);
    program_succeeds(NULL, "train " TINY " --epochs 2 --until-error 0 --out d data");
    table = csv_read("d.csv");
    expect_count(table.rows, 2, "until error 0");
    csv_free(&table);
}
END_TEST

/* --- times ------------------------------------------------------------------------- */

/* Seconds of an epoch's steps are among those of the whole run; waiting is among them;
 * the line's images a second and share of waiting are those of the table. */
START_TEST(times_are_plausible_and_agree)
{
    double before = seconds_now(), all = 0, wall;
    char *out;
    csv table;
    size_t i;

    program_succeeds(&out, "train " TINY " --width 2 --epochs 2 --out run data");
    wall = seconds_now() - before;
    table = csv_read("run.csv");
    for (i = 0; i < 2; i++) {
        epoch_line line = line_of(out, (uint32_t)i + 1);
        double seconds = csv_cell(&table, i, "seconds"),
               waited = csv_cell(&table, i, "waited");

        ck_assert_msg(seconds > 0 && waited >= 0 && waited <= seconds + 0.0051,
                      "epoch %zu: waited %g of %g seconds", i + 1, waited, seconds);
        /* The table has hundredths of a second. */
        ck_assert_msg(line.speed >= 37 / (seconds + 0.0051) - 0.051 &&
                          line.speed <= 37 / (seconds - 0.0051) + 0.051,
                      "epoch %zu: %g images/s, though 37 took %g seconds", i + 1,
                      line.speed, seconds);
        ck_assert_msg(
            line.waited >= 100 * (waited - 0.0006) / (seconds + 0.0051) - 0.051 &&
                line.waited <= 100 * (waited + 0.0006) / (seconds - 0.0051) + 0.051,
            "epoch %zu: waited %g %%, that is %g of %g seconds", i + 1, line.waited,
            waited, seconds);
        all += seconds;
    }
    ck_assert_msg(all <= wall + 0.02, "%g seconds of %g", all, wall);
    /* Steps of a network so wide take most of the time, start and drawing less. */
    ck_assert_msg(all >= wall / 20, "%g seconds of %g", all, wall);
    csv_free(&table);
    free(out);
}
END_TEST

/* A run that goes on adds to the times and sums of the epoch that was cut. */
static void set_note(const char *checkpoint, double loss, double top1, float seconds,
                     float waited, uint32_t epochs)
{
    uint8_t bytes[AN_TRAINER_NOTE_BYTES] = {0};
    note n = note_read(checkpoint);
    opened o = checkpoint_open(checkpoint);

    n.loss = loss;
    n.top1 = top1;
    n.seconds = seconds;
    n.waited = waited;
    n.epochs = epochs;
    memcpy(bytes, &n, sizeof n);
    expect_ok(an_trainer_set_note(o.trainer, bytes));
    expect_ok(an_trainer_save(o.trainer, tiny_path(checkpoint)));
    checkpoint_close(&o);
}

START_TEST(what_a_whole_run_would_take_follows_from_the_steps_done)
{
    char *out;

    program_succeeds(NULL, "train " TINY " --steps 3 --out run data");
    /* 24 pictures in 2 seconds; a million epochs of 37 are 3083333 seconds. */
    set_note("run", 12, 6, 2, 0.5f, 1000000);
    program_succeeds(&out, "train --resume run --steps 3 --out run data");
    ck_assert_msg(
        strstr(out, "after 3 steps: loss of this epoch 0.5000, 12.0 images/s, waited "
                    "25.00 % of the time; 1000000 epochs would take 35.7 days\n"
                    "saved run\n") != NULL,
        "not what was wanted: %s", out);
    free(out);
    set_note("run", 12, 6, 2, 0.5f, 1000); /* 3083 seconds */
    program_succeeds(&out, "train --resume run --steps 3 --out run data");
    ck_assert_msg(strstr(out, "; 1000 epochs would take 0:51:23 hours\n") != NULL,
                  "not what was wanted: %s", out);
    free(out);
}
END_TEST

START_TEST(times_and_sums_go_on_after_a_resume)
{
    char *out;
    csv table;
    epoch_line line;
    twin t;
    plan p;

    plan_init(&p);
    plan_epochs(&p, 1);
    twin_open(&t, &p);
    twin_begin(&t);
    t.plan.steps = 3;
    twin_train(&t);
    program_succeeds(NULL, "train " TINY " --epochs 1 --steps 3 --out run data");
    set_note("run", t.loss + 37, t.top1 + 3.7, 20, 5, 1);
    program_succeeds(&out, "train --resume run --threads 1 --out run data");
    t.plan.steps = 0;
    twin_train(&t);
    t.past.rows[0].train_loss += 1;
    t.past.rows[0].train_top1 += 0.1;
    expect_rows(&t, "run.csv", "sums that were more");
    expect_line(out, &t.past.rows[0]);
    table = csv_read("run.csv");
    line = line_of(out, 1);
    /* Two steps of milliseconds were added: a second's worth is far too much. */
    expect_number(csv_cell(&table, 0, "seconds"), 20.5, 0.5, "20 seconds and two steps");
    expect_number(csv_cell(&table, 0, "waited"), 5.5, 0.5, "5 seconds and two batches");
    expect_number(line.speed, 37 / 20.5, 0.1, "37 pictures in 20 seconds");
    expect_number(line.waited, 25, 2.5, "5 of 20 seconds");
    csv_free(&table);
    free(out);
    twin_free(&t);
}
END_TEST

/* --- where it writes --------------------------------------------------------------- */

static void expect_picture(const char *name)
{
    const char *wrong = NULL;
    picture drawn = {NULL, 0, 0};

    if (!canvas_draws()) return; /* built without cairo */
    wrong = picture_read(&drawn, tiny_path(name));
    ck_assert_msg(wrong == NULL, "%s: %s", name, wrong);
    picture_free(&drawn);
}

START_TEST(files_are_written_where_named)
{
    csv table;

    program_succeeds(NULL, "train " TINY " --epochs 1 --csv table.txt --curves a.picture "
                           "--out run data");
    ck_assert_int_eq(tiny_exists("run"), 1);
    ck_assert_int_eq(tiny_exists("run.csv"), 0);
    ck_assert_int_eq(tiny_exists("run.png"), 0);
    table = csv_read("table.txt");
    expect_count(table.rows, 1, "table.txt");
    expect_count(table.columns, 10, "table.txt");
    csv_free(&table);
    expect_picture("a.picture");
    ck_assert(!tiny_exists("table.txt.new"));
    program_succeeds(NULL, "train " TINY " --epochs 1 data");
    ck_assert(tiny_exists("alexnet.safetensors"));
    ck_assert(tiny_exists("alexnet.safetensors.csv"));
    expect_picture("alexnet.safetensors.png");
}
END_TEST

/* A table or picture that cannot be written is no reason to stop. */
START_TEST(a_table_that_cannot_be_written_is_named)
{
    said s = run_program("train " TINY " --epochs 1 --csv no/where --curves no/picture "
                         "--out run data");

    expect_count(s.code, 0, "exit status");
    ck_assert_msg(strncmp(s.err, "no/where: ", 10) == 0, "wanted the path, got %s",
                  s.err);
    expect_count(times_in(s.err, "no/picture: "), canvas_draws() != 0, "in: %s", s.err);
    ck_assert(tiny_exists("run"));
    said_free(&s);
    program_fails(1, "no/where: ", "train " TINY " --steps 1 --out no/where data");
}
END_TEST

/* --- not learning, diverging ------------------------------------------------------- */

/* Weights of conv3 that are next to nothing, and a rate that moves none: the loss stays
 * ln 7, for 111 steps. */
START_TEST(a_start_that_stays_flat_is_told_once)
{
    said s = run_program("train " TINY " --init-factor 0.001 --lr 1e-20 --batch 1 "
                         "--epochs 3 --no-evaluation --out run data");

    expect_count(s.code, 0, "exit status; %s", s.err);
    expect_count(times_in(s.err, "not learning: after 100 steps the loss, 1.9"), 1,
                 "in: %s", s.err);
    expect_count(times_in(s.err, "not learning"), 1, "in: %s", s.err);
    said_free(&s);
}
END_TEST

/* The bytes of a file. */
static size_t size_of(const char *name)
{
    size_t size;

    free(file_read(name, &size));
    return size;
}

/* The best epoch's model is what the run had then: a run that ends there exports the
 * same. Both are without velocities. */
/* A run so short that nothing has moved says what such runs lack. After 100 steps the
 * trainer has a sentence of its own. */
START_TEST(a_run_that_still_guesses_says_what_it_lacks)
{
    said s = run_program("train " TINY
                         " --init gaussian --lr 1e-20 --epochs 2 --out run data");

    expect_count(s.code, 0, "%s", s.err);
    ck_assert_msg(strstr(s.err,
                         "after 10 steps the loss is still what guessing costs, "
                         "1.946: most networks need some\nhundreds of steps before "
                         "it moves, and this run has 5 in an epoch") != NULL,
                  "%s", s.err);
    said_free(&s);
    s = run_program("train " TINY
                    " --init gaussian --lr 1e-20 --epochs 20 --out other data");
    expect_count(s.code, 0, "%s", s.err);
    ck_assert_msg(strstr(s.err, "most networks") == NULL, "%s", s.err);
    said_free(&s);
}
END_TEST

START_TEST(the_best_model_is_kept_and_the_last_exported)
{
    uint32_t best = 0, epoch;
    double most = -1;
    csv table;
    char *out;

    program_succeeds(&out,
                     "train " TINY " --lr 0.05 --epochs 4 --keep-best best --export "
                     "last --out run data");
    ck_assert_msg(strstr(out, "the best so far: best\n") != NULL, "%s", out);
    ck_assert_msg(strstr(out, "\nsaved run\nthe model alone: last\n") != NULL, "%s", out);
    free(out);
    table = csv_read("run.csv");
    for (epoch = 1; epoch <= 4; epoch++) {
        double top1 = csv_cell(&table, epoch - 1, "held_out_top1");

        if (top1 <= most) continue;
        best = epoch;
        most = top1;
    }
    csv_free(&table);
    program_succeeds(NULL,
                     "train " TINY " --lr 0.05 --epochs 4 --steps %u --export then "
                     "--out again data",
                     best * 5);
    expect_same_files("best", "then", "the model of the best epoch");
    ck_assert_uint_lt(size_of("last"), size_of("run") * 6 / 10);
    /* A run that was cut knows what was best before, without its table. */
    program_succeeds(NULL,
                     "train " TINY " --lr 0.05 --epochs 4 --steps %u --keep-best "
                     "half --out cut data",
                     best * 5 + 1);
    remove(tiny_path("cut.csv"));
    program_succeeds(NULL,
                     "train --resume cut --threads 1 --keep-best half --out cut data");
    expect_same_files("half", "best", "the best model of a run that was cut");
    program_fails(2, "--out, --keep-best and --export: must be different files",
                  "train " TINY " --export other --out other data");
    program_fails(2, "--keep-best: a held-out pack and its evaluation are wanted",
                  "train " TINY " --no-evaluation --keep-best b --out other data");
    program_fails(1, "--keep-best none/b: the folder none: No such file or directory",
                  "train " TINY " --keep-best none/b --out other data");
}
END_TEST

START_TEST(a_run_that_diverges_says_so)
{
    program_fails(1, "training diverged (a lower --lr may help; nothing was saved)",
                  "train " TINY " --lr 1000 --batch 1 --decay 1 --out run data");
    ck_assert(!tiny_exists("run"));
}
END_TEST

Suite *train_suite(void)
{
    Suite *suite = suite_create("train");
    TCase *tc = tiny_case(suite, "numbers");

    tcase_add_test(tc, every_number_is_what_a_loop_of_ones_own_has);
    tcase_add_loop_test(tc, a_damaged_picture_ends_the_training, 0, 2);
    tcase_add_test(tc, the_last_batch_weighs_by_its_pictures);
    tcase_add_test(tc, the_held_out_pack_is_the_one_that_was_named);
    tcase_add_test(tc, without_a_held_out_pack_or_a_look_at_it_there_are_no_such_numbers);
    tcase_add_test(tc, a_pack_of_jpeg_files_is_decoded);
    tc = tiny_case(suite, "ends and files");
    tcase_add_test(tc, it_stops_after_so_many_steps);
    tcase_add_test(tc, it_stops_after_the_epoch_whose_error_is_small_enough);
    tcase_add_test(tc, files_are_written_where_named);
    tcase_add_test(tc, a_table_that_cannot_be_written_is_named);
    tcase_add_test(tc, a_start_that_stays_flat_is_told_once);
    tcase_add_test(tc, a_run_that_diverges_says_so);
    tcase_add_test(tc, a_run_that_still_guesses_says_what_it_lacks);
    tcase_add_test(tc, the_best_model_is_kept_and_the_last_exported);
    tc = tiny_case(suite, "times");
    tcase_add_test(tc, times_are_plausible_and_agree);
    tcase_add_test(tc, what_a_whole_run_would_take_follows_from_the_steps_done);
    tcase_add_test(tc, times_and_sums_go_on_after_a_resume);
    return suite;
}
