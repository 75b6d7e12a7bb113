/*
 * programs_outputs.c - what programs write: whole or as it was, in no input's place, and
 * by one program at a time.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/output.h"
#include "expect.h"
#include "fixtures.h"

/* --- whole, or as it was ----------------------------------------------------------- */

enum { BYTES = 100000 };

/* Writes a file of as many letters, of which `most` fit on the disk. */
typedef struct writing {
    const char *name;
    rlim_t most;
} writing;

static void write_letters(void *argument)
{
    const writing *w = argument;
    struct rlimit limit = {w->most, w->most};
    output o;
    int i;

    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    if (output_begin(&o, inside(w->name)) != 0) {
        perror("begin");
        exit(2);
    }
    for (i = 0; i < BYTES; i++) putc('a', o.file);
    if (output_end(&o) == 0) exit(0);
    perror("end");
    exit(3);
}

static void expect_files(const char *wanted)
{
    char command[600], *text;
    FILE *list;
    size_t length;

    snprintf(command, sizeof command, "cd %s && ls -A | grep -v '^.exit$' | tr '\\n' ' '",
             programs_folder());
    list = popen(command, "r");
    text = calloc(1, 600);
    length = fread(text, 1, 599, list);
    pclose(list);
    text[length] = '\0';
    expect_text(text, wanted, "files");
    free(text);
}

START_TEST(a_disk_that_is_full_leaves_the_old_file)
{
    writing w = {"old", BYTES - 1};
    size_t size;
    char *file;

    text_write("old", "what was there");
    expect_exit(3, "end: File too large", write_letters, &w);
    file = file_read("old", &size);
    expect_text(file, "what was there", "the old file");
    free(file);
    w.name = "new";
    expect_exit(3, "end: File too large", write_letters, &w);
    expect_files("old ");
    w.most = BYTES;
    expect_exit(0, "", write_letters, &w);
    free(file_read("new", &size));
    expect_count(size, BYTES, "bytes of a file that fits");
    expect_files("new old ");
}
END_TEST

START_TEST(modes_stay_and_long_names_do)
{
    char name[256];
    writing w = {name, BYTES};
    struct stat info;

    memset(name, 'n', 255);
    name[255] = '\0';
    text_write(name, "what was there");
    ck_assert_int_eq(chmod(inside(name), 0640), 0);
    expect_exit(0, "", write_letters, &w);
    ck_assert_int_eq(stat(inside(name), &info), 0);
    expect_count(info.st_mode & 07777, 0640, "mode");
    expect_count(info.st_size, BYTES, "bytes");
}
END_TEST

/* For scripts: a device gets what a file would. */
START_TEST(what_is_no_file_is_written_to_itself)
{
    struct stat info;
    char *out;
    an_context *ctx = context_make();
    an_model_config config = tiny_config(3, 1);
    pack_spec spec = {7, 3, TINY + 4, 0, 0, NULL};

    pack_make(ctx, "pack", &spec);
    an_model_destroy(model_make(ctx, "m", &config, TINY + 4, NULL));
    an_context_destroy(ctx);
    ck_assert_int_eq(symlink("/proc/self/fd/1", inside("stdout")), 0);
    program_succeeds(&out, "evaluate --confusion stdout pack m | cat");
    ck_assert_msg(strstr(out, "label,0,1,2\n") != NULL, "got \"%s\"", out);
    free(out);
    program_succeeds(NULL, "evaluate --confusion /dev/null pack m");
    ck_assert_int_eq(stat("/dev/null", &info), 0);
    ck_assert_msg(S_ISCHR(info.st_mode), "/dev/null is gone");
    program_fails(1, "/dev/full: No space left on device",
                  "evaluate --confusion /dev/full pack m");
    ck_assert_int_eq(symlink("/dev/full", inside("full")), 0);
    program_fails(1, "full: No space left on device", "filters m full");
    ck_assert_msg(lstat(inside("full"), &info) == 0 && S_ISLNK(info.st_mode),
                  "the link is gone");
}
END_TEST

/* "data/train" and "data/val". */
static void packs_make(void)
{
    an_context *ctx = context_make();
    pack_spec spec = {37, 7, TINY + 4, 0, 0, NULL};

    folder_make("data");
    pack_make(ctx, "data/train", &spec);
    spec.count = 11;
    pack_make(ctx, "data/val", &spec);
    an_context_destroy(ctx);
}

/* --- in no input's place ----------------------------------------------------------- */

START_TEST(an_output_is_no_input)
{
    static const char *const commands[] = {
        "evaluate --confusion m pack m",
        "evaluate --confusion ./m pack other m",
        "classify --sheet a.png m b.png a.png",
        "classify --sheet link.png m a.png",
        "classify --sheet m m a.png",
        "similar index m pack m",
        "similar query i m pack a.png b.png a.png",
        "similar query i m pack i a.png",
        "filters m m",
        "plot t.csv a=t.csv",
        "train --from m --keep-best m --steps 1 --out new data",
        "train --from m --export m --steps 1 --out new data",
    };
    an_context *ctx = context_make();
    an_model_config config = tiny_config(7, 1);
    pack_spec spec = {9, 7, TINY + 4, 0, 0, NULL};
    size_t i, m_size, a_size, size;
    char *m, *a;

    pack_make(ctx, "pack", &spec);
    an_model_destroy(model_make(ctx, "m", &config, TINY + 4, NULL));
    an_model_destroy(model_make(ctx, "other", &config, TINY + 4, NULL));
    an_context_destroy(ctx);
    packs_make();
    png_waves("a.png", 30, 30, 1);
    png_waves("b.png", 30, 30, 2);
    ck_assert_int_eq(symlink("a.png", inside("link.png")), 0);
    text_write("t.csv", "epoch,iteration,train_loss,train_top1,held_out_loss,"
                        "held_out_top1,held_out_top5,rate,seconds,waited\n"
                        "1,1,1,1,1,1,1,1,1,1\n");
    program_succeeds(NULL, "similar --layer conv3 index m pack i");
    m = file_read("m", &m_size);
    a = file_read("a.png", &a_size);
    for (i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        char *now;

        program_fails(2, ": is read, and was to be written", "%s", commands[i]);
        now = file_read("m", &size);
        expect_count(size, m_size, "%s", commands[i]);
        expect_bytes(now, m, m_size, "%s", commands[i]);
        free(now);
        now = file_read("a.png", &size);
        expect_count(size, a_size, "%s", commands[i]);
        expect_bytes(now, a, a_size, "%s", commands[i]);
        free(now);
    }
    free(m);
    free(a);
}
END_TEST

/* --- by one program at a time ------------------------------------------------------ */

static int is_there(const char *name)
{
    struct stat info;

    return lstat(inside(name), &info) == 0;
}

static int lock_by_hand(const char *name, const char *who)
{
    int file;

    text_write(name, "%s", who);
    file = open(inside(name), O_RDWR | O_CLOEXEC);
    ck_assert_int_eq(flock(file, LOCK_EX | LOCK_NB), 0);
    return file;
}

START_TEST(a_program_waits_for_nobody_who_writes_there)
{
    an_context *ctx = context_make();
    an_model_config config = tiny_config(7, 1);
    pack_spec spec = {9, 7, TINY + 4, 0, 0, NULL};
    int training, index, packing;

    pack_make(ctx, "pack", &spec);
    an_model_destroy(model_make(ctx, "m", &config, TINY + 4, NULL));
    an_context_destroy(ctx);
    packs_make();
    training = lock_by_hand("run.lock", "process 12 on a far\033[31m host\n");
    index = lock_by_hand("i.lock", "");
    folder_make("out");
    packing = lock_by_hand("out/lock", "process 34 on another\n");
    text_write("out/unfinished.txt", "it has begun\n");
    folder_make("in/a");
    folder_make("in/b");
    png_waves("in/a/1.png", 8, 8, 1);
    png_waves("in/b/1.png", 8, 8, 2);
    program_fails(1, "run: is being written by process 12 on a far\n",
                  "train --arch cifar10 --image-size 16 --width 0.1 --steps 1 --out run "
                  "data");
    program_fails(1, "i: is being written by another process\n",
                  "similar --layer conv3 index m pack i");
    ck_assert(!is_there("run"));
    ck_assert(!is_there("i"));
    program_fails(1, "out is being written by process 34 on another\n", "prepare in out");
    close(packing);
    program_succeeds(NULL, "prepare in out");
    ck_assert(!is_there("out/lock"));
    close(training); /* as by its end: the files stay, and hinder nobody */
    close(index);
    program_succeeds(NULL,
                     "train --arch cifar10 --image-size 16 --width 0.1 --steps 1 --out "
                     "run data");
    program_succeeds(NULL, "similar --layer conv3 index m pack i");
    ck_assert(!is_there("run.lock"));
    ck_assert(!is_there("i.lock"));
}
END_TEST

/* The second run of the same command, while the first one trains. */
START_TEST(of_two_trainings_the_second_is_refused)
{
    static const char train[] =
        "train --arch cifar10 --image-size 16 --width 0.1 --epochs 100000 --out run data";
    char who[80];
    int pid, waits;
    said s;

    packs_make();
    pid = program_start("%s", train);
    for (waits = 0; waits < 10000 && !is_there("run"); waits++) usleep(1000);
    snprintf(who, sizeof who, "run: is being written by process %d on ", pid);
    program_fails(1, who, "train --resume run --out run data");
    kill(pid, SIGKILL);
    s = program_end(pid);
    expect_count(s.code, 137, "killed");
    said_free(&s);
    program_succeeds(NULL, "train --resume run --out run --save-every 1 --steps 1 data");
    ck_assert(!is_there("run.lock"));
}
END_TEST

/* --- on a terminal ----------------------------------------------------------------- */

#define EVIL "\033[31m\xe2\x80\xae\a"

static void expect_seen(const char *command, int code)
{
    said s = run_program("%s", command);
    const char *texts[2], *at;
    int i, escapes = 0;

    texts[0] = s.out;
    texts[1] = s.err;
    expect_count(s.code, code, "%s: %s", command, s.err);
    for (i = 0; i < 2; i++)
        for (at = texts[i]; *at != '\0'; at++) {
            ck_assert_msg(((unsigned char)*at >= ' ' || *at == '\n') && *at != 0x7f,
                          "%s prints byte %02x: %s", command, (unsigned char)*at,
                          texts[i]);
            escapes += strncmp(at, "\\x1b[31m\\u202e\\x07", 17) == 0;
        }
    ck_assert_msg(escapes > 0, "%s says nothing of it: %s%s", command, s.out, s.err);
    said_free(&s);
}

/* Names of files, folders and classes that a terminal would obey. */
START_TEST(names_do_nothing_to_a_terminal)
{
    static const char *const names[7] = {"a" EVIL, "b", "c", "d", "e", "f", "g"};
    an_context *ctx = context_make();
    an_model_config config = tiny_config(7, 1);

    an_model_destroy(model_make(ctx, "m", &config, TINY + 4, names));
    an_model_destroy(model_make(ctx, "m" EVIL, &config, TINY + 4, NULL));
    an_context_destroy(ctx);
    folder_make("in/x" EVIL);
    folder_make("in/y");
    png_waves("in/x" EVIL "/p" EVIL ".png", 8, 8, 1);
    png_waves("in/y/1.png", 8, 8, 2);
    text_write("in/x" EVIL "/broken" EVIL ".jpg", "\xff\xd8 and no more");
    text_write("in/x" EVIL "/words" EVIL ".txt", "left out");
    text_write("list" EVIL, "one\n");
    expect_seen("info m", 0);
    expect_seen("info m?*", 0);
    expect_seen("classify m in/x*", 1);
    expect_seen("classify --top 7 m in/y", 0);
    expect_seen("prepare --side 8 in out", 3);
    expect_seen("prepare --side 8 in/x* other", 1);
    expect_seen("prepare --side 8 --list list* in other", 1);
    expect_seen("evaluate in/x* m", 1);
    expect_seen("train --out new in/x*", 1);
}
END_TEST

Suite *outputs_suite(void)
{
    Suite *suite = suite_create("outputs");
    TCase *tc = tcase_create("outputs");

    tcase_add_checked_fixture(tc, programs_setup, programs_teardown);
    tcase_add_test(tc, a_disk_that_is_full_leaves_the_old_file);
    tcase_add_test(tc, modes_stay_and_long_names_do);
    tcase_add_test(tc, what_is_no_file_is_written_to_itself);
    tcase_add_test(tc, an_output_is_no_input);
    tcase_add_test(tc, a_program_waits_for_nobody_who_writes_there);
    tcase_add_test(tc, names_do_nothing_to_a_terminal);
    tcase_add_test(tc, of_two_trainings_the_second_is_refused);
    suite_add_tcase(suite, tc);
    return suite;
}
