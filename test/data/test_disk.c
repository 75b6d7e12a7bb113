/*
 * test_disk.c - packs on a disk that takes a write in parts, is interrupted, or fails:
 * the program's write() and fsync() are the ones below, which do as they are told.
 */
#define _GNU_SOURCE
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "expect.h"
#include "packs.h"
#include "test.h"

/* --- a disk that does as it is told ------------------------------------------------ */

static size_t most;      /* bytes that one write() takes; 0: all */
static int interrupts;   /* every second write() is interrupted */
static int sync_to_fail; /* the 1st, 2nd, ... fsync() from now on; 0: none */

ssize_t write(int file, const void *bytes, size_t count)
{
    static int calls;

    if (interrupts && calls++ % 2 == 0) {
        errno = EINTR;
        return -1;
    }
    return syscall(SYS_write, file, bytes, most > 0 && count > most ? most : count);
}

int fsync(int file)
{
    if (sync_to_fail > 0 && --sync_to_fail == 0) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fsync, file);
}

/* --- writes in parts --------------------------------------------------------------- */

static void same_pack(place *p, const set *s, const char *what)
{
    static const char *const files[] = {"index.safetensors", "part-0000.bin",
                                        "part-0003.bin"};
    an_pack *pack = set_open(p, "pack", s, NULL);
    size_t i;

    set_check(pack, s, what);
    an_pack_destroy(pack);
    for (i = 0; i < sizeof files / sizeof files[0]; i++) {
        char name[64];
        uint8_t *x, *y;
        size_t n, m;

        snprintf(name, sizeof name, "whole/%s", files[i]);
        x = file_read(inside(p, name), &n);
        snprintf(name, sizeof name, "pack/%s", files[i]);
        y = file_read(inside(p, name), &m);
        expect_count(m, n, "%s: bytes of %s", what, files[i]);
        expect_bytes(y, x, n, "%s: %s", what, files[i]);
        free(x);
        free(y);
    }
}

/* A write that takes less than it was given is gone on with where it ended. */
START_TEST(writes_in_parts_write_all)
{
    static const size_t parts[] = {1, 7, 74, 75, 4096};
    set s = small_set();
    place p = place_open();
    size_t i;

    set_make(&p, "whole", &s);
    for (i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        char what[48], command[160];

        snprintf(what, sizeof what, "%zu bytes a write, interrupted: %d", parts[i], _i);
        most = parts[i];
        interrupts = _i;
        set_make(&p, "pack", &s);
        most = 0;
        interrupts = 0;
        same_pack(&p, &s, what);
        snprintf(command, sizeof command, "rm -r %s", inside(&p, "pack"));
        ck_assert_int_eq(system(command), 0);
    }
    place_close(&p);
}
END_TEST

/* --- syncs that fail --------------------------------------------------------------- */

static an_pack_writer *begin(place *p, const set *s)
{
    an_pack_writer_config c = set_config(s, 1);
    an_pack_writer *packing = NULL;

    expect_ok(an_pack_writer_create(&packing, p->ctx, inside(p, "pack"), &c));
    return packing;
}

/* Nobody knows what of the part is on the disk: the object is of no more use. */
static void is_of_no_use(an_pack_writer *packing, uint64_t position)
{
    uint8_t pixels[75] = {0};

    expect_refused(an_pack_writer_add(packing, pixels, NULL, 0, 0), AN_ERROR_IO,
                   "a sync failed");
    expect_refused(an_pack_writer_skip(packing), AN_ERROR_IO, "a sync failed");
    expect_refused(an_pack_writer_set_class_name(packing, 0, "a"), AN_ERROR_IO,
                   "a sync failed");
    expect_refused(an_pack_writer_sync(packing), AN_ERROR_IO, "a sync failed");
    expect_refused(an_pack_writer_finish(packing), AN_ERROR_IO, "a sync failed");
    expect_count(an_pack_writer_position(packing), position, "of what is of no use");
}

/* Another goes on after the last sync that did not fail. */
static void goes_on_after(place *p, const set *s, an_pack_writer *packing,
                          uint32_t position, const char *what)
{
    an_pack_writer_destroy(packing);
    packing = begin(p, s);
    expect_count(an_pack_writer_position(packing), position, "%s: taken up", what);
    set_add(packing, s, position, s->count);
    expect_ok(an_pack_writer_finish(packing));
    an_pack_writer_destroy(packing);
    same_pack(p, s, what);
}

START_TEST(a_sync_that_fails_ends_the_work)
{
    set s = small_set();
    place p = place_open();
    an_pack_writer *packing;

    set_make(&p, "whole", &s);
    packing = begin(&p, &s);
    set_add(packing, &s, 0, 4);
    expect_ok(an_pack_writer_sync(packing));
    set_add(packing, &s, 4, 5);
    sync_to_fail = 1; /* of the part */
    expect_refused(an_pack_writer_sync(packing), AN_ERROR_IO, "cannot sync a part");
    is_of_no_use(packing, 5);
    goes_on_after(&p, &s, packing, 4, "after a sync of a part");
    place_close(&p);
}
END_TEST

/* A part is synced, too, when it is full and the next begins. */
START_TEST(a_part_that_cannot_be_synced_ends_the_work)
{
    set s = small_set();
    uint8_t pixels[75];
    place p = place_open();
    an_pack_writer *packing;

    set_make(&p, "whole", &s);
    packing = begin(&p, &s);
    set_add(packing, &s, 0, 2);
    expect_ok(an_pack_writer_sync(packing));
    set_add(packing, &s, 2, 3); /* the part is full */
    set_picture(&s, 3, pixels);
    sync_to_fail = 1;
    expect_refused(an_pack_writer_add(packing, pixels, NULL, 0, set_label(&s, 3)),
                   AN_ERROR_IO, "cannot sync a part");
    is_of_no_use(packing, 3);
    goes_on_after(&p, &s, packing, 2, "after the end of a part");
    place_close(&p);
}
END_TEST

/* The index is another file: while it cannot be written the old one stays, and the
 * call may be repeated. */
START_TEST(an_index_that_cannot_be_synced_may_be_tried_again)
{
    const char *journal = "pack/unfinished.safetensors";
    set s = small_set();
    place p = place_open();
    an_pack_writer *packing;
    uint8_t *before, *after;
    size_t size, again;

    set_make(&p, "whole", &s);
    packing = begin(&p, &s);
    set_add(packing, &s, 0, 4);
    expect_ok(an_pack_writer_sync(packing));
    before = file_read(inside(&p, journal), &size);
    set_add(packing, &s, 4, 6);
    sync_to_fail = 2; /* behind the part's */
    expect_refused(an_pack_writer_sync(packing), AN_ERROR_IO, "cannot sync a file");
    after = file_read(inside(&p, journal), &again);
    expect_count(again, size, "bytes of the journal that stays");
    expect_bytes(after, before, size, "the journal that stays");
    expect_ok(an_pack_writer_sync(packing));
    set_add(packing, &s, 6, s.count);
    sync_to_fail = 2;
    expect_refused(an_pack_writer_finish(packing), AN_ERROR_IO, "cannot sync a file");
    ck_assert_int_eq(access(inside(&p, "pack/index.safetensors"), F_OK), -1);
    expect_ok(an_pack_writer_finish(packing));
    an_pack_writer_destroy(packing);
    same_pack(&p, &s, "after a second try");
    free(before);
    free(after);
    place_close(&p);
}
END_TEST

Suite *disk_suite(void)
{
    Suite *suite = suite_create("disk");
    TCase *tc = tcase_create("disk");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, writes_in_parts_write_all, 0, 2);
    tcase_add_test(tc, a_sync_that_fails_ends_the_work);
    tcase_add_test(tc, a_part_that_cannot_be_synced_ends_the_work);
    tcase_add_test(tc, an_index_that_cannot_be_synced_may_be_tried_again);
    suite_add_tcase(suite, tc);
    return suite;
}
