/*
 * test_writers.c - a folder has one writer: of this process, of others, of those that
 * were killed or forked; and what lies there is not built on, or written through, unseen.
 */
#define _XOPEN_SOURCE 700
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "expect.h"
#include "packs.h"
#include "scratch.h"
#include "test.h"

static place p;
static set s;

static void setup(void)
{
    p = place_open();
    s = small_set();
}

static void teardown(void)
{
    place_close(&p);
}

static an_status create(an_pack_writer **out, uint32_t resume)
{
    an_pack_writer_config c = set_config(&s, resume);

    *out = NULL;
    return an_pack_writer_create(out, p.ctx, inside(&p, "pack"), &c);
}

static an_pack_writer *begin(uint32_t resume)
{
    an_pack_writer *writer;

    expect_ok(create(&writer, resume));
    return writer;
}

static int is_there(const char *name)
{
    struct stat info;

    return lstat(inside(&p, name), &info) == 0;
}

static void expect_pack(const char *what)
{
    an_pack *pack = set_open(&p, "pack", &s, NULL);

    set_check(pack, &s, what);
    an_pack_destroy(pack);
    ck_assert_msg(!is_there("pack/lock"), "%s: the lock is left", what);
}

/* The rest of the pictures, from `at` on, by a writer that ends with it. */
static void finish(an_pack_writer *writer, uint32_t at, const char *what)
{
    set_add(writer, &s, at, s.count);
    expect_ok(an_pack_writer_finish(writer));
    expect_pack(what);
    an_pack_writer_destroy(writer);
}

/* Of the second writer, of any kind, nothing remains, and the first one does not notice
 * it. */
START_TEST(the_second_writer_is_told_who_is_the_first)
{
    an_pack_writer *first = begin(1), *second;
    char host[128] = "", who[200];
    uint32_t resume;

    gethostname(host, sizeof host - 1);
    snprintf(who, sizeof who, "pack is being written by process %ld on %s",
             (long)getpid(), host);
    set_add(first, &s, 0, 4);
    expect_ok(an_pack_writer_sync(first));
    set_add(first, &s, 4, 6);
    for (resume = 0; resume < 2; resume++)
        expect_refused(create(&second, resume), AN_ERROR_STATE, who);
    ck_assert_ptr_null(second);
    set_add(first, &s, 6, s.count);
    expect_ok(an_pack_writer_finish(first));
    expect_refused(create(&second, 1), AN_ERROR_STATE, "holds a finished pack");
    expect_pack("while another knocked");
    an_pack_writer_destroy(first);
}
END_TEST

/* It is free again when a writer has been destroyed, or its beginning has failed. */
START_TEST(a_writer_gives_its_folder_back)
{
    an_pack_writer *writer = begin(1), *again;
    an_pack_writer_config other;

    set_add(writer, &s, 0, 4);
    expect_ok(an_pack_writer_sync(writer));
    ck_assert(is_there("pack/lock"));
    an_pack_writer_destroy(writer);
    ck_assert(!is_there("pack/lock"));
    other = set_config(&s, 1);
    other.side++;
    expect_refused(an_pack_writer_create(&again, p.ctx, inside(&p, "pack"), &other),
                   AN_ERROR_FORMAT, "another side");
    ck_assert(!is_there("pack/lock"));
    writer = begin(1);
    finish(writer, 4, "in two parts");
}
END_TEST

/* In a child that has a context of its own. `stay`: it waits to be killed. */
static pid_t child_writes(int stay)
{
    int ready[2];
    char byte;
    pid_t child;

    ck_assert_int_eq(pipe(ready), 0);
    child = fork();
    if (child == 0) {
        an_pack_writer *writer;

        if (an_context_create(&p.ctx, NULL) != AN_OK || create(&writer, 1) != AN_OK)
            _exit(1);
        set_add(writer, &s, 0, 4);
        if (an_pack_writer_sync(writer) != AN_OK) _exit(2);
        (void)!write(ready[1], "r", 1);
        while (stay) pause();
        _exit(0);
    }
    close(ready[1]);
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return child;
}

START_TEST(a_killed_writer_gives_its_folder_back)
{
    pid_t child = child_writes(1);
    an_pack_writer *writer;
    char who[64];

    snprintf(who, sizeof who, "is being written by process %ld on ", (long)child);
    expect_refused(create(&writer, 1), AN_ERROR_STATE, who);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    ck_assert(is_there("pack/lock")); /* nobody was there to remove it */
    writer = begin(1);
    expect_count(an_pack_writer_position(writer), 4, "what the child had synced");
    finish(writer, 4, "after a kill");
}
END_TEST

/* What a child inherits and destroys is still its parent's. */
START_TEST(a_forked_child_takes_no_lock_away)
{
    an_pack_writer *writer = begin(1), *second;
    pid_t child = fork();

    if (child == 0) {
        an_pack_writer_destroy(writer);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    ck_assert(is_there("pack/lock"));
    expect_refused(create(&second, 1), AN_ERROR_STATE, "is being written by process");
    finish(writer, 0, "after a fork");
}
END_TEST

enum { ROUNDS = 50, RIVALS = 4 };

/* 0: made the pack; 1: came too late; 2: anything else. */
static int try_all(void)
{
    an_pack_writer *writer;
    an_status status;

    if (an_context_create(&p.ctx, NULL) != AN_OK) return 2;
    status = create(&writer, 1);
    if (status == AN_ERROR_STATE) return 1;
    if (status != AN_OK) return 2;
    set_add(writer, &s, 0, s.count);
    if (an_pack_writer_finish(writer) != AN_OK) return 2;
    an_pack_writer_destroy(writer);
    return 0;
}

/* All at once, again and again: one wins. */
START_TEST(of_many_writers_one_wins)
{
    int round, i;

    for (round = 0; round < ROUNDS; round++) {
        int ends[3] = {0}, start[2], status;
        char byte;

        ck_assert_int_eq(pipe(start), 0);
        for (i = 0; i < RIVALS; i++)
            if (fork() == 0) {
                close(start[1]);
                (void)!read(start[0], &byte, 1); /* until all are there */
                _exit(try_all());
            }
        close(start[0]);
        close(start[1]);
        for (i = 0; i < RIVALS; i++) {
            ck_assert(wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) < 3);
            ends[WEXITSTATUS(status)]++;
        }
        ck_assert_msg(ends[0] == 1 && ends[2] == 0,
                      "round %d: %d made the pack, %d came too late, %d failed", round,
                      ends[0], ends[1], ends[2]);
        expect_pack("of rivals");
        scratch_remove(inside(&p, "pack"));
    }
}
END_TEST

/* --- what lies there --------------------------------------------------------------- */

static const char precious[] =
    "libalexnet pack\nsomebody else's, and longer than the part "
    "that stands in its place";

static void write_precious(void)
{
    file_write(inside(&p, "precious"), precious, sizeof precious);
}

static void expect_precious(const char *what)
{
    size_t size;
    uint8_t *bytes = file_read(inside(&p, "precious"), &size);

    expect_count(size, sizeof precious, "%s: bytes", what);
    expect_bytes(bytes, precious, size, "%s", what);
    free(bytes);
}

static void link_to_precious(const char *name)
{
    char target[128];

    snprintf(target, sizeof target, "%s", inside(&p, "precious"));
    ck_assert_int_eq(symlink(target, inside(&p, name)), 0);
}

/* Four pictures in parts of one are safe. */
static void leave_four(void)
{
    an_pack_writer *writer;

    s.part_bytes = 1;
    writer = begin(0);
    set_add(writer, &s, 0, 4);
    expect_ok(an_pack_writer_sync(writer));
    an_pack_writer_destroy(writer);
    write_precious();
}

START_TEST(a_link_in_a_parts_place_is_not_followed)
{
    static const char *const parts[] = {"pack/part-0000.bin", "pack/part-0003.bin"};
    an_pack_writer *writer;
    size_t i;

    for (i = 0; i < 2; i++) {
        leave_four();
        ck_assert_int_eq(unlink(inside(&p, parts[i])), 0);
        link_to_precious(parts[i]);
        expect_refused(create(&writer, 1), AN_ERROR_IO, parts[i] + 5);
        expect_precious(parts[i]);
    }
    writer = begin(0); /* anew: the link goes, and what it leads to stays */
    link_to_precious("pack/part-0001.bin");
    set_add(writer, &s, 0, s.count);
    expect_ok(an_pack_writer_finish(writer));
    an_pack_writer_destroy(writer);
    expect_precious("a link where a part is made");
    expect_pack("a link where a part is made");
}
END_TEST

START_TEST(what_is_no_part_is_not_built_on)
{
    an_pack_writer *writer;
    char name[128];

    leave_four();
    snprintf(name, sizeof name, "%s", inside(&p, "pack/part-0003.bin"));
    file_set_byte(name, 0, 'L');
    expect_refused(create(&writer, 1), AN_ERROR_FORMAT, "part 3 is no part of a pack");
    file_set_byte(name, 0, 'l');
    file_set_byte(inside(&p, "pack/part-0000.bin"), 15, 'n');
    expect_refused(create(&writer, 1), AN_ERROR_FORMAT, "part 0 is no part of a pack");
    file_set_byte(inside(&p, "pack/part-0000.bin"), 15, '\n');
    ck_assert_int_eq(rename(name, inside(&p, "aside")), 0);
    ck_assert_int_eq(mkfifo(name, 0666), 0);
    expect_refused(create(&writer, 1), AN_ERROR_FORMAT, "part 3 is no part of a pack");
    unlink(name);
    expect_refused(create(&writer, 1), AN_ERROR_IO, "part-0003.bin: No such file");
    ck_assert_int_eq(rename(inside(&p, "aside"), name), 0);
    writer = begin(1);
    finish(writer, 4, "all parts are there again");
}
END_TEST

/* Work that went on from such a journal would end in a pack that does not open. */
START_TEST(a_journal_that_lies_of_parts_is_not_built_on)
{
    static const char *const journal = "pack/unfinished.safetensors";
    an_pack_writer *writer;
    uint64_t bytes[5];
    an_index index;
    size_t size, i;
    uint8_t *part;

    leave_four();
    part = file_read(inside(&p, "pack/part-0000.bin"), &size);
    expect_ok(an__index_read(&index, p.ctx, inside(&p, journal)));
    ck_assert_uint_eq(index.parts, 4);
    for (i = 0; i < 4; i++) bytes[i] = index.part_bytes[i];
    an__free(&p.ctx->memory, index.part_bytes);
    index.part_bytes = bytes;
    index.parts = 5; /* one more, of which it says less than a part has at least */
    file_write(inside(&p, "pack/part-0004.bin"), part, AN_PART_HEAD);
    for (bytes[4] = 0; bytes[4] < AN_PART_HEAD; bytes[4] += AN_PART_HEAD - 1) {
        expect_ok(an__index_write(&index, p.ctx, inside(&p, journal)));
        expect_refused(create(&writer, 1), AN_ERROR_FORMAT, "part 4 has 16 bytes, the");
    }
    bytes[4] = AN_PART_HEAD;
    expect_ok(an__index_write(&index, p.ctx, inside(&p, journal)));
    file_write(inside(&p, "pack/part-0000.bin"), part, size - 1);
    expect_refused(create(&writer, 1), AN_ERROR_FORMAT, "part 0 has");
    part = realloc(part, size + 1); /* one byte more: the last one's alone are cut off */
    part[size] = 0;
    file_write(inside(&p, "pack/part-0000.bin"), part, size + 1);
    expect_refused(create(&writer, 1), AN_ERROR_FORMAT, "part 0 has");
    file_write(inside(&p, "pack/part-0000.bin"), part, size);
    file_write(inside(&p, "pack/part-0004.bin"), part, size);
    writer = begin(1);
    finish(writer, 4, "a last part that is longer");
    free(part);
    index.part_bytes = NULL;
    an__index_free(&index, p.ctx);
}
END_TEST

/* A lock that leads elsewhere is not made there; one that is no file is not waited
 * for. */
START_TEST(a_lock_is_a_file_of_the_folder)
{
    an_pack_writer *writer;

    leave_four();
    link_to_precious("pack/lock");
    expect_refused(create(&writer, 1), AN_ERROR_IO, "pack/lock");
    expect_precious("a link in the lock's place");
    ck_assert_int_eq(unlink(inside(&p, "pack/lock")), 0);
    ck_assert_int_eq(mkfifo(inside(&p, "pack/lock"), 0666), 0);
    expect_refused(create(&writer, 1), AN_ERROR_IO, "pack/lock is no file");
    ck_assert_int_eq(unlink(inside(&p, "pack/lock")), 0);
    file_write(inside(&p, "pack/lock"), "process 1 on \033[31m\n", 17);
    writer = begin(1); /* whoever wrote that is dead */
    an_pack_writer_destroy(writer);
}
END_TEST

/* That a file cannot be looked at is not that it is not there. */
START_TEST(what_cannot_be_looked_at_is_not_taken_for_absent)
{
    static const char *const names[] = {"pack/index.safetensors",
                                        "pack/unfinished.safetensors"};
    an_pack_writer *writer;
    an_pack *pack;
    size_t i;

    for (i = 0; i < 2; i++) {
        leave_four();
        if (i == 1) ck_assert_int_eq(unlink(inside(&p, names[i])), 0);
        ck_assert_int_eq(symlink("loop", inside(&p, "pack/loop")), 0);
        ck_assert_int_eq(symlink("loop", inside(&p, names[i])), 0);
        expect_refused(create(&writer, 1), AN_ERROR_IO, "cannot look at");
        expect_refused(create(&writer, 0), AN_ERROR_IO, "cannot look at");
        expect_refused(an_pack_open(&pack, p.ctx, inside(&p, "pack"), NULL, NULL),
                       AN_ERROR_IO, "cannot look at");
        ck_assert(is_there("pack/part-0003.bin"));
        scratch_remove(inside(&p, "pack"));
    }
}
END_TEST

/* As many files as there may be are a pack that opens; one more is refused, and nothing
 * is lost by it. */
START_TEST(a_pack_has_as_many_files_as_can_be_opened)
{
    char folder[SCRATCH];
    an_pack_writer *writer;
    an_pack_writer_config c;
    an_pack *pack;
    uint8_t pixels[3] = {1, 2, 3};
    int32_t label;
    uint32_t i;

    scratch_folder_in_memory(folder);
    an_pack_writer_config_init(&c, sizeof c);
    c.side = 1;
    c.classes = 2;
    c.part_bytes = 1;
    expect_ok(an_pack_writer_create(&writer, p.ctx, folder, &c));
    for (i = 0; i < AN_MAX_PARTS; i++) {
        an_status status = an_pack_writer_add(writer, pixels, NULL, 0, (int32_t)i % 2);

        if (status != AN_OK) ck_abort_msg("file %u: %s", i, an_error_message());
    }
    expect_refused(an_pack_writer_add(writer, pixels, NULL, 0, 0), AN_ERROR_ARGUMENT,
                   "config.part_bytes is 1: the pack has 32768 files already");
    expect_ok(an_pack_writer_finish(writer));
    an_pack_writer_destroy(writer);
    expect_ok(an_pack_open(&pack, p.ctx, folder, NULL, NULL));
    expect_count(pack_info(pack).count, AN_MAX_PARTS, "pictures");
    expect_ok(an_pack_read(pack, AN_MAX_PARTS - 1, pixels, sizeof pixels, &label));
    expect_count(label, 1, "the last one's label");
    an_pack_destroy(pack);
    scratch_remove(folder);
}
END_TEST

Suite *writers_suite(void)
{
    Suite *suite = suite_create("writers");
    TCase *one = tcase_create("one writer"), *there = tcase_create("what lies there");
    TCase *many = tcase_create("many files");

    tcase_add_checked_fixture(one, setup, teardown);
    tcase_add_test(one, the_second_writer_is_told_who_is_the_first);
    tcase_add_test(one, a_writer_gives_its_folder_back);
    tcase_add_test(one, a_killed_writer_gives_its_folder_back);
    tcase_add_test(one, a_forked_child_takes_no_lock_away);
    tcase_add_test(one, of_many_writers_one_wins);
    tcase_set_timeout(one, 60);
    suite_add_tcase(suite, one);
    tcase_add_checked_fixture(there, setup, teardown);
    tcase_add_test(there, a_link_in_a_parts_place_is_not_followed);
    tcase_add_test(there, what_is_no_part_is_not_built_on);
    tcase_add_test(there, a_journal_that_lies_of_parts_is_not_built_on);
    tcase_add_test(there, a_lock_is_a_file_of_the_folder);
    tcase_add_test(there, what_cannot_be_looked_at_is_not_taken_for_absent);
    suite_add_tcase(suite, there);
    tcase_add_checked_fixture(many, setup, teardown);
    tcase_set_timeout(many, 120);
    tcase_add_test(many, a_pack_has_as_many_files_as_can_be_opened);
    suite_add_tcase(suite, many);
    return suite;
}
