/*
 * programs_resume.c - train, cut anywhere and gone on with: the same bits, every row of
 * its table once; and what is refused to go on with.
 */
#define _XOPEN_SOURCE 700
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/progress.h"
#include "tiny.h"

/* --- after so many steps ----------------------------------------------------------- */

/* Settings that a checkpoint must keep, none of which is a default: the noise ends after
 * the first epoch. */
#define UNLIKE                                                                           \
    "--recipe krizhevsky2012 " TINY " --epochs 2 --crop-group 3 --colour 0.7 "           \
    "--colour-rule eigenvalue --colour-divisor 1.3 --no-mirror --seed 3 --drop-at 1 "    \
    "--micro-batch 5 --momentum 0.7 "

START_TEST(cut_after_any_step_it_goes_on_to_the_same_bits)
{
    char words[64], name[32], table[40], *out;
    uint32_t steps;

    program_succeeds(NULL, "train " UNLIKE "--out whole data");
    for (steps = 1; steps <= 9; steps++) {
        snprintf(name, sizeof name, "cut%u", steps);
        snprintf(table, sizeof table, "%s.csv", name);
        program_succeeds(NULL, "train " UNLIKE "--steps %u --out %s data", steps, name);
        program_succeeds(&out, "train --resume %s --threads 2 --workers 2 --out %s data",
                         name, name);
        snprintf(words, sizeof words, "resumed after epoch %u, step %u, at rate ",
                 steps / 5, steps % 5);
        expect_count(times_in(out, words), 1, "\"%s\" in: %s", words, out);
        expect_same_files(name, "whole", words);
        expect_same_tables(table, "whole.csv", words);
        free(out);
    }
}
END_TEST

/* Twice in the middle of an epoch, then in the next one, then with nothing left to do. */
START_TEST(cut_again_and_again_it_loses_no_row)
{
    static const unsigned stops[] = {2, 4, 11, 13, 13};
    char *out = NULL;
    size_t i;

    program_succeeds(NULL, "train " TINY " --epochs 3 --out whole data");
    program_succeeds(NULL, "train " TINY " --epochs 3 --steps 1 --out part data");
    for (i = 0; i < sizeof stops / sizeof stops[0]; i++) {
        free(out);
        program_succeeds(
            &out, "train --resume part --steps %u --threads 1 --out part data", stops[i]);
        expect_count(times_in(out, "saved part\n"), 1, "%u steps: %s", stops[i], out);
    }
    expect_count(times_in(out, "\nepoch "), 0, "steps that are done already: %s", out);
    free(out);
    program_succeeds(NULL, "train --resume part --threads 1 --out part data");
    expect_same_files("part", "whole", "cut six times");
    expect_same_tables("part.csv", "whole.csv", "cut six times");
    program_succeeds(&out, "train --resume part --threads 1 --out part data");
    expect_count(times_in(out, "\nepoch "), 0, "a run that is done: %s", out);
    expect_same_files("part", "whole", "a run that is done");
    free(out);
}
END_TEST

/* That nothing is left to do is said, and nothing is called saved that is not. */
START_TEST(a_run_that_is_done_says_how_it_goes_on)
{
    char *out;

    program_succeeds(NULL, "train " TINY " --epochs 2 --out whole data");
    program_succeeds(&out, "train --resume whole --out whole data");
    expect_count(times_in(out, "nothing is left to do: all 2 epochs are done"), 1, "%s",
                 out);
    expect_count(times_in(out, "saved"), 0, "in: %s", out);
    free(out);
    program_succeeds(&out, "train --resume whole --out other data");
    expect_count(times_in(out, "saved other\n"), 1, "in: %s", out);
    expect_same_files("other", "whole", "nothing was left to do");
    free(out);
    program_succeeds(NULL, "train " TINY " --epochs 2 --steps 5 --out part data");
    program_succeeds(&out, "train --resume part --steps 5 --out third data");
    expect_count(times_in(out, "nothing is left to do: 5 steps are done\nsaved third\n"),
                 1, "in: %s", out);
    expect_same_files("third", "part", "no step was left");
    free(out);
}
END_TEST

/* With as many epochs from the beginning, and rates that never change, it is the same. */
START_TEST(a_run_that_is_done_can_be_extended)
{
    program_succeeds(NULL, "train " TINY " --drop-at none --epochs 2 --out part data");
    program_succeeds(NULL, "train " TINY " --drop-at none --epochs 4 --out whole data");
    program_fails(2, "--epochs 2: part has 2 behind it",
                  "train --resume part --epochs 2 --out part data");
    program_succeeds(NULL, "train --resume part --epochs 3 --threads 1 --steps 12 "
                           "--out part data");
    program_succeeds(NULL,
                     "train --resume part --epochs 4 --threads 1 data"); /* to part */
    expect_same_files("part", "whole", "two epochs, then two more");
    expect_same_tables("part.csv", "whole.csv", "two epochs, then two more");
}
END_TEST

/* A save that stands between an epoch's last step, of five pictures, and its end. */
static void save_between(twin *t, const char *name)
{
    uint8_t bytes[AN_TRAINER_NOTE_BYTES] = {0};
    note n;

    t->plan.steps = 4;
    twin_train(t);
    program_succeeds(NULL, "train " TINY " --epochs 2 --steps 4 --out %s data", name);
    n = note_read(name);
    t->plan.steps = 5;
    t->steps = 6; /* the twin shall not end the epoch */
    twin_train(t);
    n.loss = t->loss;
    n.top1 = t->top1;
    memcpy(bytes, &n, sizeof n);
    expect_ok(an_trainer_set_note(t->trainer, bytes));
    expect_ok(an_trainer_save(t->trainer, tiny_path(name)));
}

START_TEST(cut_between_an_epochs_last_step_and_its_end_it_ends_it)
{
    char words[64], *out;
    plan p;
    twin t;

    plan_init(&p);
    plan_epochs(&p, 2);
    twin_open(&t, &p);
    twin_begin(&t);
    save_between(&t, "part");
    program_succeeds(NULL, "train " TINY " --epochs 2 --out whole data");
    program_succeeds(&out, "train --resume part --steps 5 --threads 1 --out part data");
    snprintf(words, sizeof words, "after 5 steps: loss of this epoch %.4f, ",
             t.loss / TINY_COUNT);
    expect_count(times_in(out, words), 1, "\"%s\" in: %s", words, out);
    expect_count(times_in(out, "resumed after epoch 0, step 5, at rate 0.01\n"), 1,
                 "in: %s", out);
    ck_assert(!tiny_exists("part.csv"));
    program_succeeds(NULL, "train --resume part --threads 1 --out part data");
    expect_same_files("part", "whole", "cut at an epoch's end");
    expect_same_tables("part.csv", "whole.csv", "cut at an epoch's end");
    free(out);
    twin_free(&t);
}
END_TEST

/* The table is written before the checkpoint: after a cut between the two it is ahead of
 * it, and after a cut of another kind its last line may be half there. */
START_TEST(rows_ahead_of_the_checkpoint_are_made_again)
{
    char *table;
    size_t size;

    program_succeeds(NULL, "train " TINY " --epochs 2 --out whole data");
    program_succeeds(NULL, "train " TINY " --epochs 2 --steps 7 --out part data");
    table = file_read("part.csv", &size);
    table = realloc(table, size + 128);
    strcat(table, "2,10,9.5,0.5,9.5,0.5,0.5,0.5,99.00,9.000\n3,15,9.5,0.");
    tiny_write("part.csv", table, strlen(table));
    free(table);
    program_succeeds(NULL, "train --resume part --threads 1 --out part data");
    expect_same_tables("part.csv", "whole.csv", "rows that were ahead");
}
END_TEST

/* Another file is written, the one that was read stays. Rows come from the table that is
 * written to: a new one has those of the epochs from then on, --csv may name the old
 * one. */
START_TEST(a_run_may_go_on_under_another_name)
{
    size_t size;
    char *before;
    csv table;

    program_succeeds(NULL, "train " TINY " --epochs 2 --out whole data");
    program_succeeds(NULL, "train " TINY " --epochs 2 --steps 7 --out part data");
    before = file_read("part", &size);
    tiny_write("before", before, size);
    free(before);
    program_succeeds(NULL, "train --resume part --out other data");
    expect_same_files("part", "before", "the file that was read");
    expect_same_files("other", "whole", "the file that was written");
    table = csv_read("other.csv");
    expect_count(table.rows, 1, "a new table");
    expect_number(csv_cell(&table, 0, "epoch"), 2, 0, "a new table");
    csv_free(&table);
    program_succeeds(NULL, "train --resume part --out third --csv part.csv data");
    expect_same_tables("part.csv", "whole.csv", "--csv");
}
END_TEST

/* --- signals ----------------------------------------------------------------------- */

/* Starts "PROGRAM arguments" in the test's folder, without waiting; its words go to
 * files. */
static pid_t start(const char *arguments)
{
    char command[1024];
    pid_t child;

    snprintf(command, sizeof command, "cd %s && exec %s/%s >.out 2>.err",
             programs_folder(), getenv("AN_PROGRAMS"), arguments);
    child = fork();
    ck_assert(child >= 0);
    if (child > 0) return child;
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
}

static void pause_for(double seconds)
{
    struct timespec time = {(time_t)seconds,
                            (long)((seconds - (double)(time_t)seconds) * 1e9)};

    nanosleep(&time, NULL);
}

/* Waits for a file that the child writes. */
static void wait_for(const char *name, pid_t child)
{
    int status, tries;

    for (tries = 0; !tiny_exists(name); tries++) {
        ck_assert_msg(waitpid(child, &status, WNOHANG) == 0 && tries < 3000,
                      "it ended, or took 15 seconds, without %s", name);
        pause_for(0.005);
    }
}

static int end_of(pid_t child, int number)
{
    int status = 0;

    ck_assert_int_eq(kill(child, number), 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static uint32_t iteration_of(const char *checkpoint)
{
    opened o = checkpoint_open(checkpoint);
    uint32_t iteration = (uint32_t)an_trainer_iteration(o.trainer);

    checkpoint_close(&o);
    return iteration;
}

/* Runs the command that was printed, for some steps more: the checkpoint and the table of
 * a run that was not cut. `table`: its name. */
static void go_on(const char *command, uint32_t batch, const char *checkpoint,
                  const char *table)
{
    uint32_t steps = iteration_of(checkpoint) + 7;
    char *out;
    plan p;
    twin t;

    plan_init(&p);
    plan_epochs(&p, 1000);
    p.trainer.batch = p.loader.batch = batch;
    p.train = "my data/train";
    p.val = "my data/val";
    p.steps = steps;
    twin_run(&t, &p);
    program_succeeds(&out, "%s --steps %u", command, steps);
    expect_count(times_in(out, "resumed after epoch "), 1, "%s", out);
    expect_rows(&t, table, command);
    expect_checkpoint(&t, checkpoint, command);
    free(out);
    twin_free(&t);
}

/* Starts, waits for the first row of the table, and ends it by a signal: it saves, and
 * prints the command to go on with, which must be `command` after the program's path. */
static void interrupt_and_go_on(int number, uint32_t batch, const char *options,
                                const char *command, const char *checkpoint,
                                const char *table)
{
    char arguments[1024], wanted[1024], *out;
    pid_t child;

    snprintf(arguments, sizeof arguments, "train " TINY " --batch %u --epochs 1000 %s",
             batch, options);
    child = start(arguments);
    wait_for(table, child);
    expect_count(end_of(child, number), 130, "exit status after signal %d", number);
    out = file_read(".out", NULL);
    snprintf(wanted, sizeof wanted, "\nsaved; to go on:\n  %s/%s\n",
             getenv("AN_PROGRAMS"), command);
    ck_assert_msg(strstr(out, wanted) != NULL, "wanted \"%s\" in: %s", wanted, out);
    free(out);
    go_on(command, batch, checkpoint, table);
}

START_TEST(interrupted_it_saves_and_prints_how_to_go_on)
{
    ck_assert_int_eq(rename(tiny_path("data"), tiny_path("my data")), 0);
    interrupt_and_go_on(SIGINT, 8,
                        "'my data' --until-error 0.001 --val 'my data/val' --workers 2 "
                        "--save-every 77 --csv \"it's a table.csv\" --out 'a run'",
                        "train --resume 'a run' --out 'a run' --until-error 0.001 "
                        "--val 'my data/val' --threads 1 --workers 2 --save-every 77 "
                        "--csv 'it'\\''s a table.csv' 'my data'",
                        "a run", "it's a table.csv");
}
END_TEST

/* One step an epoch: the save always stands between an epoch's last step and its end. */
START_TEST(a_request_to_end_between_step_and_epochs_end_is_an_interrupt_too)
{
    ck_assert_int_eq(rename(tiny_path("data"), tiny_path("my data")), 0);
    interrupt_and_go_on(
        SIGTERM, 64, "--device cpu --precision tf32 --towers 1 --out run 'my data'",
        "train --resume run --out run --towers 1 --device cpu --precision tf32 "
        "--threads 1 'my data'",
        "run", "run.csv");
}
END_TEST

/* How many threads a process has; 0 where the system does not tell. */
static size_t threads_of(pid_t process)
{
    size_t count = 0;
    char path[64];
    DIR *folder;

    snprintf(path, sizeof path, "/proc/%ld/task", (long)process);
    folder = opendir(path);
    if (folder == NULL) return 0;
    while (readdir(folder) != NULL) count++;
    closedir(folder);
    return count - 2; /* the folder itself and the one above it */
}

/* One that trains, and the loader's. */
static void expect_threads(const char *arguments, size_t wanted)
{
    pid_t child = start(arguments);
    size_t threads = 0, tries;

    for (tries = 0; tries < 2000 && threads != wanted; tries++) {
        pause_for(0.005);
        threads = threads_of(child);
    }
    end_of(child, SIGKILL);
    expect_count(threads, wanted, "threads of %s", arguments);
}

START_TEST(workers_are_as_many_as_asked_for)
{
    const tiny_pack slow = {.count = 4000, .seed = 6};

    if (threads_of(getpid()) == 0) return; /* no /proc */
    tiny_pack_make("slow", &slow);
    expect_threads("train " TINY " --batch 1 --workers 5 --out no slow", 6);
    expect_threads("train " TINY " --batch 1 --threads 2 --out no slow", 3);
    program_succeeds(NULL, "train " TINY " --batch 1 --steps 1 --out run slow");
    expect_threads("train --resume run --threads 1 --workers 7 --out run slow", 8);
}
END_TEST

/* An epoch of many seconds: after one there is a checkpoint, with --save-every 1, and no
 * other until the next one is over. */
START_TEST(a_checkpoint_is_saved_every_so_many_seconds)
{
    const tiny_pack slow = {.count = 4000, .seed = 6};
    double before = seconds_now(), appeared;
    uint32_t iteration;
    char words[64], *out;
    pid_t child;

    tiny_pack_make("slow", &slow);
    child = start("train " TINY " --batch 1 --width 2 --save-every 1000 --out no slow");
    pause_for(0.2);
    expect_count(end_of(child, SIGKILL), 128 + SIGKILL, "exit status");
    ck_assert_msg(!tiny_exists("no"), "saved, though 1000 seconds are not over");
    before = seconds_now();
    child = start("train " TINY " --batch 1 --width 2 --save-every 1 --out run slow");
    wait_for("run", child);
    appeared = seconds_now();
    ck_assert_msg(appeared - before >= 1, "saved after %g seconds", appeared - before);
    iteration = iteration_of("run");
    ck_assert_msg(iteration > 0 && iteration < 4000, "saved after %u steps", iteration);
    pause_for(0.2);
    if (seconds_now() - appeared < 0.9) /* else the next one may be there by right */
        expect_count(iteration_of("run"), iteration, "steps, a moment later");
    expect_count(end_of(child, SIGKILL), 128 + SIGKILL, "exit status");
    iteration = iteration_of("run");
    program_succeeds(&out, "train --resume run --steps %u --out run slow", iteration + 1);
    snprintf(words, sizeof words, "resumed after epoch 0, step %u, at rate ", iteration);
    expect_count(times_in(out, words), 1, "\"%s\" in: %s", words, out);
    free(out);
}
END_TEST

/* --- refused ----------------------------------------------------------------------- */

/* The checkpoint `run` as it would be with a parameter of such numbers; `copy` is the
 * same. */
static void spoil(const char *parameter, float by)
{
    an_parameter_info info;
    uint32_t index;
    float *huge;
    opened o = checkpoint_open("run");
    size_t i;

    an_parameter_info_init(&info, sizeof info);
    expect_ok(an_parameter_find(o.model, parameter, &index));
    expect_ok(an_parameter_describe(o.model, index, &info));
    huge = malloc(info.count * sizeof *huge);
    for (i = 0; i < info.count; i++) huge[i] = (uint32_t)i * 2654435761u >> 31 ? by : -by;
    expect_ok(an_parameter_set(o.model, index, huge, info.count));
    free(huge);
    expect_ok(an_trainer_save(o.trainer, tiny_path("run")));
    expect_ok(an_trainer_save(o.trainer, tiny_path("copy")));
    checkpoint_close(&o);
}

/* The run diverges at once: the checkpoint that is there stays as it is. */
START_TEST(the_last_checkpoint_stands_where_a_run_diverges)
{
    program_succeeds(NULL, "train " TINY " --steps 1 --out run data");
    spoil("conv2.weight", 3e38f);
    program_fails(1,
                  "training diverged (a lower --lr may help; run stands as it was saved "
                  "last): ",
                  "train --resume run --out run data");
    program_fails(1, "training diverged (a lower --lr may help; nothing was saved): ",
                  "train --resume run --out other data");
    expect_same_files("run", "copy", "after divergence");
}
END_TEST

/* Its loss is finite, but thousands of times what it was: what was learnt until then
 * stays. */
START_TEST(the_last_checkpoint_stands_where_a_run_blows_up)
{
    program_succeeds(NULL,
                     "train " TINY " --lr 1e-20 --batch 8 --steps 6 --out run data");
    spoil("fc4.weight", 1e4f);
    program_fails(1, "training diverged: epoch 2's loss is ",
                  "train --resume run --out run data");
    program_fails(1, "run stands as it was saved last)",
                  "train --resume run --out run data");
    expect_same_files("run", "copy", "after it blew up");
}
END_TEST

START_TEST(where_nothing_can_be_saved_is_said_before_the_first_step)
{
    char *out;

    program_fails(1, "--out none/run: the folder none: No such file or directory",
                  "train " TINY " --out none/run data");
    program_succeeds(&out, "train " TINY " --steps 1 --out ./run data");
    program_fails(2, "--out /dev/null: is a pipe, socket or device, not a file",
                  "train --resume run --out /dev/null data");
    program_fails(2, "--out data: is a folder: name a file in it",
                  "train --resume run --out data data");
    free(out);
}
END_TEST

START_TEST(another_pack_is_not_gone_on_with)
{
    const tiny_pack renamed = {.names = "kind", .seed = 1},
                    last = {.renamed = 7, .seed = 1},
                    warped = {.fit = AN_FIT_WARP, .seed = 1},
                    fewer = {.classes = 5, .seed = 1};
    opened o;

    tiny_pack_make("renamed", &renamed);
    tiny_pack_make("last", &last);
    tiny_pack_make("warped", &warped);
    tiny_pack_make("fewer", &fewer);
    program_succeeds(NULL, "train " TINY " --steps 1 --out run data");
#define RESUME "train --resume run --out run "
    program_fails(2, "data/val has 11 pictures, the run that is to go on had 37",
                  RESUME "data/val");
    program_fails(2, "renamed: class 0 is kind 0, and class 0 in the model",
                  RESUME "renamed");
    program_fails(2, "last: class 6 is another, and class 6 in the model", RESUME "last");
    program_fails(2, "warped: its pictures were warped", RESUME "warped");
    program_fails(2, "the held-out pack has 5 classes, the other 7",
                  RESUME "--val fewer data");
    program_fails(2, "the held-out pack: class 0 is kind 0", RESUME "--val renamed data");
    program_fails(2, "the held-out pack: its pictures were warped",
                  "train " TINY " --val warped --out no data");
    program_fails(1, "nothing", RESUME "--val nothing data");
    program_fails(1, "nothing: ", "train " TINY " --out no nothing");
    program_fails(1, "nothing: ", "train --resume nothing --out no data");
    o = checkpoint_open("run");
    expect_ok(an_model_save(o.model, tiny_path("model")));
    checkpoint_close(&o);
    program_fails(1, "model: ", "train --resume model --out no data");
    ck_assert(!tiny_exists("no"));
}
END_TEST

Suite *resume_suite(void)
{
    Suite *suite = suite_create("resume");
    TCase *tc = tiny_case(suite, "steps");

    tcase_add_test(tc, cut_after_any_step_it_goes_on_to_the_same_bits);
    tcase_add_test(tc, cut_again_and_again_it_loses_no_row);
    tcase_add_test(tc, a_run_that_is_done_says_how_it_goes_on);
    tcase_add_test(tc, a_run_that_is_done_can_be_extended);
    tcase_add_test(tc, cut_between_an_epochs_last_step_and_its_end_it_ends_it);
    tcase_add_test(tc, rows_ahead_of_the_checkpoint_are_made_again);
    tcase_add_test(tc, a_run_may_go_on_under_another_name);
    tc = tiny_case(suite, "signals");
    tcase_add_test(tc, interrupted_it_saves_and_prints_how_to_go_on);
    tcase_add_test(tc, a_request_to_end_between_step_and_epochs_end_is_an_interrupt_too);
    tcase_add_test(tc, workers_are_as_many_as_asked_for);
    tcase_add_test(tc, a_checkpoint_is_saved_every_so_many_seconds);
    tc = tiny_case(suite, "refused");
    tcase_add_test(tc, the_last_checkpoint_stands_where_a_run_diverges);
    tcase_add_test(tc, the_last_checkpoint_stands_where_a_run_blows_up);
    tcase_add_test(tc, where_nothing_can_be_saved_is_said_before_the_first_step);
    tcase_add_test(tc, another_pack_is_not_gone_on_with);
    return suite;
}
