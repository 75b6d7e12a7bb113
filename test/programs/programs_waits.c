/*
 * programs_waits.c - programs that are held up: by a lease on a file, they wait until
 * this process lets them open it. Meanwhile they are interrupted, or their threads are
 * counted.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fixtures.h"

static void moment(void)
{
    const struct timespec t = {0, 1000000};

    nanosleep(&t, NULL);
}

/* Files whose opening this process is asked about first. */
static struct {
    char name[32];
    int file;
} held[16];

/* A picture; who opens it waits until this process lets it. */
static void hold(const char *name)
{
    size_t i = 0;

    while (held[i].name[0] != '\0') ck_assert_uint_lt(++i, sizeof held / sizeof held[0]);
    signal(SIGIO, SIG_IGN);
    png_waves(name, 8, 8, (uint32_t)i);
    snprintf(held[i].name, sizeof held[i].name, "%s", name);
    held[i].file = open(inside(name), O_RDWR);
    ck_assert_msg(fcntl(held[i].file, F_SETLEASE, F_WRLCK) == 0, "%s: %s", name,
                  strerror(errno));
}

/* Waits until program `pid` opens the file, and lets it go on. */
static void let_go(const char *name, int pid)
{
    size_t i = 0;
    int waits;

    while (strcmp(held[i].name, name) != 0) ck_assert_uint_lt(++i, 16);
    for (waits = 0; waits < 20000 && program_threads(pid) > 0; waits++) {
        if (fcntl(held[i].file, F_GETLEASE) != F_WRLCK) break;
        moment();
    }
    ck_assert_msg(fcntl(held[i].file, F_GETLEASE) != F_WRLCK, "nobody opens %s", name);
    fcntl(held[i].file, F_SETLEASE, F_UNLCK);
    close(held[i].file);
    held[i].name[0] = '\0';
}

/* Threads start and end in their own time. */
static void expect_threads(int pid, int wanted, const char *what)
{
    int waits, threads = 0;

    for (waits = 0; waits < 5000; waits++) {
        threads = program_threads(pid);
        if (threads == wanted) return;
        moment();
    }
    kill(pid, SIGKILL);
    ck_abort_msg("%s: %d threads, wanted %d", what, threads, wanted);
}

/* --- prepare, interrupted ---------------------------------------------------------- */

enum { PICTURES = 150, CLASSES = 2, ROUND = 256 /* pictures between two looks */ };

/* 150 pictures of each class; number 20 and 40 of the first are held. */
static void make_pictures(void)
{
    uint32_t label, i;
    char name[64];

    for (label = 0; label < CLASSES; label++) {
        snprintf(name, sizeof name, "in/%u", label);
        folder_make(name);
        for (i = 0; i < PICTURES; i++) {
            snprintf(name, sizeof name, "in/%u/%03u.png", label, i);
            if (label == 0 && (i == 20 || i == 40))
                hold(name);
            else
                png_waves(name, 8, 8, 1000 * label + i);
        }
    }
}

/* Begins a pack, and is interrupted: what was done is safe, and said to be. */
static void interrupted(int number, const char *arguments)
{
    int pid = program_start("prepare --threads 1 --side 8 %s", arguments);
    said s;

    let_go("in/0/020.png", pid);
    kill(pid, number);
    let_go("in/0/040.png", pid);
    s = program_end(pid);
    ck_assert_msg(s.code == 130, "%s: wanted exit status 130, got %d: \"%s\"", arguments,
                  s.code, s.err);
    expect_line(s.out, "stopped; run the same command to go on");
    said_free(&s);
}

static int is_there(const char *name)
{
    return access(inside(name), F_OK) == 0;
}

/* Both packs have the same files, byte by byte, and no others. */
static void expect_same_packs(const char *got, const char *wanted)
{
    char command[1024];

    snprintf(command, sizeof command, "diff -r %s %s", inside(got), inside(wanted));
    ck_assert_msg(system(command) == 0, "%s differs from %s", got, wanted);
}

START_TEST(an_interrupted_prepare_goes_on_to_the_same_bytes)
{
    static const int signals[] = {SIGINT, SIGTERM};
    char *out, arguments[64];
    size_t i;

    for (i = 0; i < 2; i++) {
        char command[600];

        snprintf(command, sizeof command, "rm -rf %s", inside("in"));
        ck_assert_int_eq(system(command), 0);
        make_pictures();
        snprintf(arguments, sizeof arguments, "--val-split 0.2 in out%zu", i);
        interrupted(signals[i], arguments);
        ck_assert(
            is_there(i == 0 ? "out0/train/unfinished.txt" : "out1/val/unfinished.txt"));
        ck_assert(!is_there(i == 0 ? "out0/train/index.safetensors"
                                   : "out1/val/index.safetensors"));
        program_succeeds(&out, "prepare --side 8 %s", arguments);
        expect_line(out, "going on after %d pictures", ROUND);
        free(out);
    }
    program_succeeds(&out, "prepare --side 8 --val-split 0.2 in whole");
    expect_no_line(out, "going on");
    free(out);
    expect_same_packs("out0", "whole");
    expect_same_packs("out1", "whole");
    ck_assert(!is_there("out0/train/unfinished.txt"));
    ck_assert(is_there("out0/train/part-0000.bin"));
}
END_TEST

/* The process may end between finishing one pack and the other. */
START_TEST(of_two_packs_the_finished_one_is_left_alone)
{
    char *out, command[1100];

    make_pictures();
    interrupted(SIGINT, "--val-split 0.2 in half");
    program_succeeds(NULL, "prepare --side 8 --val-split 0.2 in whole");
    snprintf(command, sizeof command, "rm -r %s && cp -r %s %s", inside("half/train"),
             inside("whole/train"), inside("half/train"));
    ck_assert_int_eq(system(command), 0);
    program_succeeds(&out, "prepare --side 8 --val-split 0.2 in half");
    expect_line(out, "half/train is finished already");
    expect_no_line(out, "half/val is finished");
    /* Of the first 256 pictures 150 and 106, of which every fifth. */
    expect_line(out, "going on after %d pictures", 30 + 21);
    free(out);
    expect_same_packs("half", "whole");
    program_succeeds(&out, "prepare --side 8 --val-split 0.2 in half");
    expect_line(out, "half/train is finished already");
    expect_line(out, "half/val is finished already");
    expect_line(out, "half/val: 60 pictures of 2 classes, 8 x 8, 0.0 MB in 1 file");
    expect_no_line(out, "going on");
    free(out);
    expect_same_packs("half", "whole");
}
END_TEST

START_TEST(only_the_same_command_goes_on)
{
    static const struct {
        int code;
        const char *arguments;
    } others[] = {{2, "--kind jpeg --quality 80 --val-split 0.25"},
                  {2, "--kind jpeg --quality 81 --val-split 0.2"},
                  {2, "--kind jpeg --quality 80 --val-split 0.2 --per-class 140"},
                  {1, "--kind raw --val-split 0.2"},
                  {1, "--kind jpeg --quality 80 --val-split 0.2 --warp"},
                  {1, "--kind jpeg --quality 80 --val-split 0.2 --side 9"}};
    size_t i;

    make_pictures();
    interrupted(SIGINT, "--kind jpeg --quality 80 --val-split 0.2 in out");
    for (i = 0; i < sizeof others / sizeof others[0]; i++)
        program_fails(others[i].code,
                      others[i].code == 2 ? "out/train was begun with other pictures, "
                                            "another order or other options"
                                          : "out/train",
                      "prepare --side 8 %s in out", others[i].arguments);
    rename(inside("in/1/149.png"), inside("in/1/150.png"));
    program_fails(2, "begun with other pictures",
                  "prepare --side 8 --kind jpeg --quality 80 --val-split 0.2 in out");
    rename(inside("in/1/150.png"), inside("in/1/149.png"));
    program_succeeds(NULL,
                     "prepare --side 8 --kind jpeg --quality 80 --val-split 0.2 in out");
    program_succeeds(
        NULL, "prepare --side 8 --kind jpeg --quality 80 --val-split 0.2 in whole");
    expect_same_packs("out", "whole");
}
END_TEST

/* --- threads ----------------------------------------------------------------------- */

/* prepare's own, which read pictures, and the context's, all of them the main one among.
 * While three pictures have been read, as many threads as there are wait for the next. */
START_TEST(prepare_has_as_many_threads_as_asked_for)
{
    enum { FILES = 10, THREADS = 3 };
    char name[32];
    uint32_t i;
    said s;
    int pid;

    folder_make("in/0");
    folder_make("in/1");
    png_waves("in/0/a.png", 8, 8, 1);
    png_waves("in/1/a.png", 8, 8, 1);
    for (i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "in/0/%u.png", i);
        hold(name);
    }
    pid = program_start("prepare --threads %d --side 8 in out", THREADS);
    for (i = 0; i < FILES; i++) {
        if (i == THREADS)
            expect_threads(pid, 1 + (THREADS - 1) + (THREADS - 1), "prepare --threads 3");
        snprintf(name, sizeof name, "in/0/%u.png", i);
        let_go(name, pid);
    }
    s = program_end(pid);
    expect_count(s.code, 0, "the exit status");
    said_free(&s);
}
END_TEST

START_TEST(classify_has_as_many_threads_as_asked_for)
{
    an_context *ctx = context_make();
    an_model_config config = tiny_config(3, 1);
    said s;
    int pid;

    an_model_destroy(model_make(ctx, "model", &config, TINY, NULL));
    an_context_destroy(ctx);
    hold("a.png");
    pid = program_start("classify --threads 3 model a.png");
    expect_threads(pid, 3, "classify --threads 3");
    let_go("a.png", pid);
    s = program_end(pid);
    expect_count(s.code, 0, "the exit status");
    said_free(&s);
}
END_TEST

/* The table is more than a pipe holds: while it waits to be read, the threads are
 * counted. */
START_TEST(evaluate_has_as_many_threads_as_asked_for)
{
    static const pack_spec spec = {301, 301, TINY, 0, 0, NULL};
    an_model_config config = tiny_config(spec.classes, 1);
    an_context *ctx = context_make();
    struct pollfd table = {-1, POLLIN, 0};
    char text[4096];
    said s;
    int pid;

    pack_make(ctx, "pack", &spec);
    an_model_destroy(model_make(ctx, "model", &config, TINY, NULL));
    an_context_destroy(ctx);
    ck_assert_int_eq(mkfifo(inside("table.csv"), 0600), 0);
    table.fd = open(inside("table.csv"), O_RDONLY | O_NONBLOCK);
    pid = program_start("evaluate --threads 3 --confusion table.csv pack model");
    ck_assert_int_eq(poll(&table, 1, 20000), 1);
    expect_threads(pid, 3, "evaluate --threads 3");
    while (poll(&table, 1, 20000) == 1 && read(table.fd, text, sizeof text) > 0) continue;
    close(table.fd);
    s = program_end(pid);
    expect_count(s.code, 0, "the exit status");
    said_free(&s);
}
END_TEST

Suite *waits_suite(void)
{
    Suite *suite = suite_create("waits");
    TCase *cut = tcase_create("interrupted"), *threads = tcase_create("threads");

    tcase_add_checked_fixture(cut, programs_setup, programs_teardown);
    tcase_add_test(cut, an_interrupted_prepare_goes_on_to_the_same_bytes);
    tcase_add_test(cut, of_two_packs_the_finished_one_is_left_alone);
    tcase_add_test(cut, only_the_same_command_goes_on);
    suite_add_tcase(suite, cut);
    tcase_add_checked_fixture(threads, programs_setup, programs_teardown);
    tcase_add_test(threads, prepare_has_as_many_threads_as_asked_for);
    tcase_add_test(threads, classify_has_as_many_threads_as_asked_for);
    tcase_add_test(threads, evaluate_has_as_many_threads_as_asked_for);
    suite_add_tcase(suite, threads);
    return suite;
}
