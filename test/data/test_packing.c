/*
 * test_packing.c - making packs: parts, positions, names; work that is taken up again at
 * any place; what may not be asked.
 */
#define _XOPEN_SOURCE 700
#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "expect.h"
#include "packs.h"
#include "test.h"

static an_pack_writer *begin(place *p, const char *name, const set *s, uint32_t resume)
{
    an_pack_writer_config c = set_config(s, resume);
    an_pack_writer *packing = NULL;

    expect_ok(an_pack_writer_create(&packing, p->ctx, inside(p, name), &c));
    return packing;
}

/* Names of a folder's files, in order of the alphabet, in one text. */
static void files_of(place *p, const char *name, char *text, size_t size)
{
    struct dirent **entries;
    size_t length = 0;
    int count = scandir(inside(p, name), &entries, NULL, alphasort), i;

    ck_assert_msg(count >= 0, "%s cannot be listed", name);
    text[0] = '\0';
    for (i = 0; i < count; i++) {
        if (strcmp(entries[i]->d_name, ".") != 0 && strcmp(entries[i]->d_name, "..") != 0)
            length +=
                (size_t)snprintf(text + length, size - length, "%s ", entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
}

/* The same files, with the same bytes. */
static void same_folders(place *p, const char *a, const char *b, const char *what)
{
    char of_a[512], of_b[512], *file, *next;

    files_of(p, a, of_a, sizeof of_a);
    files_of(p, b, of_b, sizeof of_b);
    expect_text(of_b, of_a, "%s: files", what);
    for (file = of_a; *file != '\0'; file = next + 1) {
        char path[600];
        uint8_t *x, *y;
        size_t i, j;

        next = strchr(file, ' ');
        *next = '\0';
        snprintf(path, sizeof path, "%s/%s", a, file);
        x = file_read(inside(p, path), &i);
        snprintf(path, sizeof path, "%s/%s", b, file);
        y = file_read(inside(p, path), &j);
        expect_count(j, i, "%s: bytes of %s", what, file);
        expect_bytes(y, x, i, "%s: %s", what, file);
        free(x);
        free(y);
    }
}

/* --- parts and positions ----------------------------------------------------------- */

/* A part is closed once it has reached its size, to the byte. */
START_TEST(parts_close_when_they_are_as_large)
{
    static const struct {
        uint64_t part_bytes;
        uint32_t parts;
    } cases[] = {{1, 10},
                 {16, 10},
                 {16 + 74, 10},
                 {16 + 75, 10},
                 {16 + 76, 5},
                 {16 + 150, 5},
                 {16 + 151, 4},
                 {16 + 225, 4},
                 {16 + 749, 1},
                 {16 + 750, 1},
                 {UINT64_C(1) << 39, 0},
                 {(UINT64_C(1) << 39) - 1, 1}};
    size_t i;

    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        set s = small_set();
        an_pack_writer_config c;
        place p = place_open();
        an_pack_writer *packing = NULL;
        an_pack *pack;

        s.part_bytes = cases[i].part_bytes;
        c = set_config(&s, 0);
        if (cases[i].parts == 0) {
            expect_refused(an_pack_writer_create(&packing, p.ctx, inside(&p, "pack"), &c),
                           AN_ERROR_ARGUMENT, "part_bytes");
        } else {
            set_make(&p, "pack", &s);
            pack = set_open(&p, "pack", &s, NULL);
            expect_count(pack_info(pack).parts, cases[i].parts, "part_bytes %llu",
                         (unsigned long long)s.part_bytes);
            set_check(pack, &s, "in parts");
            an_pack_destroy(pack);
        }
        place_close(&p);
    }
}
END_TEST

START_TEST(a_position_counts_what_was_added_and_skipped)
{
    set s = small_set();
    place p = place_open();
    an_pack_writer *packing = begin(&p, "pack", &s, 1);
    uint64_t position = 0;
    an_pack *pack;
    uint32_t i;

    for (i = 0; i < s.count; i++) {
        uint32_t skips = i % 3;

        expect_count(an_pack_writer_position(packing), position, "before picture %u", i);
        set_add(packing, &s, i, i + 1);
        expect_count(an_pack_writer_position(packing), ++position, "after picture %u", i);
        for (; skips > 0; skips--, position++) expect_ok(an_pack_writer_skip(packing));
        if (i % 4 != 2) continue;
        expect_ok(an_pack_writer_sync(packing));
        an_pack_writer_destroy(packing);
        packing = begin(&p, "pack", &s, 1);
        expect_count(an_pack_writer_position(packing), position, "resumed after %u", i);
    }
    expect_ok(an_pack_writer_finish(packing));
    expect_count(an_pack_writer_position(packing), position, "when it is finished");
    an_pack_writer_destroy(packing);
    pack = set_open(&p, "pack", &s, NULL);
    expect_count(pack_info(pack).skipped, position - s.count, "of the pack");
    expect_count(pack_info(pack).count, s.count, "of the pack");
    an_pack_destroy(pack);
    place_close(&p);
}
END_TEST

/* --- taken up again ---------------------------------------------------------------- */

/* A run that is cut after so many pictures, of which `safe` are on the disk for good,
 * and whose rest another run makes: nobody can tell from the files. */
static void cut_and_go_on(place *p, const set *s, uint32_t safe, uint32_t cut)
{
    an_pack_writer *packing;
    char what[96], name[32];

    snprintf(what, sizeof what, "kind %u, %u pictures safe of %u", s->kind, safe, cut);
    snprintf(name, sizeof name, "cut-%u-%u", safe, cut);
    packing = begin(p, name, s, 1);
    expect_count(an_pack_writer_position(packing), 0, "%s: a new run", what);
    set_add(packing, s, 0, safe);
    expect_ok(an_pack_writer_set_class_name(packing, 1, "one"));
    expect_ok(an_pack_writer_sync(packing));
    set_add(packing, s, safe, cut);
    an_pack_writer_destroy(packing);
    packing = begin(p, name, s, 1);
    expect_count(an_pack_writer_position(packing),
                 safe + (safe < s->skipped ? safe : s->skipped), "%s: taken up", what);
    set_add(packing, s, safe, s->count);
    expect_ok(an_pack_writer_finish(packing));
    an_pack_writer_destroy(packing);
    same_folders(p, "whole", name, what);
}

START_TEST(a_run_may_be_cut_anywhere)
{
    set s = small_set();
    place p = place_open();
    uint32_t safe, more;
    an_pack_writer *packing;

    s.kind = _i ? AN_PACK_JPEG : AN_PACK_RAW;
    s.skipped = 4;
    packing = begin(&p, "whole", &s, 0);
    expect_ok(an_pack_writer_set_class_name(packing, 1, "one"));
    set_add(packing, &s, 0, s.count);
    expect_ok(an_pack_writer_finish(packing));
    an_pack_writer_destroy(packing);
    for (safe = 0; safe <= s.count; safe++)
        for (more = 0; safe + more <= s.count; more += more < 2 ? 1 : 3)
            cut_and_go_on(&p, &s, safe, safe + more);
    place_close(&p);
}
END_TEST

/* Synced again and again, and cut just behind: the last one counts. */
START_TEST(the_last_sync_counts)
{
    set s = small_set();
    place p = place_open();
    an_pack_writer *packing = begin(&p, "cut", &s, 0);
    uint32_t i;

    set_make(&p, "whole", &s);
    for (i = 0; i < s.count; i++) {
        set_add(packing, &s, i, i + 1);
        expect_ok(an_pack_writer_sync(packing));
        expect_ok(an_pack_writer_sync(packing));
        if (i % 3 != 1) continue;
        an_pack_writer_destroy(packing);
        packing = begin(&p, "cut", &s, 1);
        expect_count(an_pack_writer_position(packing), i + 1, "after %u syncs", i + 1);
    }
    an_pack_writer_destroy(packing);
    packing = begin(&p, "cut", &s, 1);
    expect_ok(an_pack_writer_finish(packing)); /* nothing was left to be done */
    an_pack_writer_destroy(packing);
    same_folders(&p, "whole", "cut", "synced again and again");
    place_close(&p);
}
END_TEST

/* More than 1024 pictures: the memory for their places grows, before and after a cut. */
START_TEST(many_pictures_are_taken_up_again)
{
    static const uint32_t cuts[] = {1023, 1024, 1025, 2048, 3000};
    set s = {1, 3000, 2, AN_PACK_RAW, AN_FIT_CROP, 0, 1 << 20};
    place p = place_open();
    char name[16];
    size_t i;

    set_make(&p, "whole", &s);
    for (i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        an_pack_writer *packing;

        snprintf(name, sizeof name, "cut%zu", i);
        packing = begin(&p, name, &s, 1);
        set_add(packing, &s, 0, cuts[i]);
        expect_ok(an_pack_writer_sync(packing));
        an_pack_writer_destroy(packing);
        packing = begin(&p, name, &s, 1);
        set_add(packing, &s, cuts[i], s.count);
        expect_ok(an_pack_writer_finish(packing));
        an_pack_writer_destroy(packing);
        same_folders(&p, "whole", name, name);
    }
    place_close(&p);
}
END_TEST

/* What an unfinished run with other settings left is refused, and stays; a part's size
 * may be another. */
START_TEST(another_config_does_not_go_on)
{
    set s = small_set(), others[4];
    place p = place_open();
    an_pack_writer *packing = begin(&p, "pack", &s, 0);
    size_t i;

    set_add(packing, &s, 0, 4);
    expect_ok(an_pack_writer_sync(packing));
    an_pack_writer_destroy(packing);
    for (i = 0; i < 4; i++) others[i] = s;
    others[0].side++;
    others[1].kind = AN_PACK_JPEG;
    others[2].fit = AN_FIT_WARP;
    others[3].classes++;
    for (i = 0; i < 4; i++) {
        an_pack_writer_config c = set_config(&others[i], 1);

        packing = NULL;
        expect_refused(an_pack_writer_create(&packing, p.ctx, inside(&p, "pack"), &c),
                       AN_ERROR_FORMAT, "another side, kind, fit or number of classes");
        ck_assert_ptr_null(packing);
    }
    s.part_bytes = 1;
    packing = begin(&p, "pack", &s, 1);
    expect_count(an_pack_writer_position(packing), 4, "with another size of parts");
    set_add(packing, &s, 4, s.count);
    expect_ok(an_pack_writer_finish(packing));
    an_pack_writer_destroy(packing);
    place_close(&p);
}
END_TEST

/* A journal that is damaged, or of a newer library, is not taken up; begun anew,
 * nothing of it is left, nor of parts that the new run does not have. */
START_TEST(what_is_left_of_other_runs_goes)
{
    set s = small_set(), few = small_set();
    an_pack_writer_config c = set_config(&s, 1);
    char files[512];
    place p = place_open();
    an_pack_writer *packing = begin(&p, "pack", &s, 0);
    const char *journal = "pack/unfinished.safetensors";
    uint8_t *bytes;
    size_t size;

    s.part_bytes = few.part_bytes = 1;
    an_pack_writer_destroy(packing);
    packing = begin(&p, "pack", &s, 0);
    set_add(packing, &s, 0, s.count); /* ten parts */
    expect_ok(an_pack_writer_sync(packing));
    an_pack_writer_destroy(packing);
    bytes = file_read(inside(&p, journal), &size);
    file_set_byte(inside(&p, journal), size - 1, bytes[size - 1] ^ 1);
    expect_refused(an_pack_writer_create(&packing, p.ctx, inside(&p, "pack"), &c),
                   AN_ERROR_FORMAT, "checksum");
    file_write(inside(&p, journal), bytes, size - 1);
    expect_refused(an_pack_writer_create(&packing, p.ctx, inside(&p, "pack"), &c),
                   AN_ERROR_FORMAT, NULL);
    free(bytes);
    few.count = 3;
    packing = begin(&p, "pack", &few, 0);
    expect_count(an_pack_writer_position(packing), 0, "begun anew");
    files_of(&p, "pack", files, sizeof files);
    expect_text(files, "lock ", "files when it is begun anew");
    set_add(packing, &few, 0, 3);
    file_write(inside(&p, "pack/part-0003.bin"), "left over", 9);
    file_write(inside(&p, "pack/part-0004.bin"), "left over", 9);
    file_write(inside(&p, "pack/unfinished.safetensors"), "left over", 9);
    expect_ok(an_pack_writer_finish(packing));
    an_pack_writer_destroy(packing);
    files_of(&p, "pack", files, sizeof files);
    expect_text(files, "index.safetensors part-0000.bin part-0001.bin part-0002.bin ",
                "files of a finished pack");
    place_close(&p);
}
END_TEST

/* --- what may not be asked --------------------------------------------------------- */

typedef struct limit {
    const char *name;
    size_t offset;
    uint32_t good[2], bad[2];
} limit;

#define FIELD(field, good0, good1, bad0, bad1)                                           \
    {                                                                                    \
        "config." #field, offsetof(an_pack_writer_config, field), {good0, good1},        \
        {                                                                                \
            bad0, bad1                                                                   \
        }                                                                                \
    }

static const limit limits[] = {
    FIELD(side, 1, 2048, 0, 2049),      FIELD(kind, 1, 2, 0, 3),
    FIELD(classes, 2, 65536, 1, 65537), FIELD(resume, 0, 1, 2, UINT32_MAX),
    FIELD(fit, 0, 1, 2, UINT32_MAX),    FIELD(empty_classes, 0, 1, 2, UINT32_MAX)};

START_TEST(every_setting_of_a_packing_has_its_limits)
{
    set s = small_set();
    place p = place_open();
    size_t i, k;

    for (i = 0; i < sizeof limits / sizeof limits[0]; i++)
        for (k = 0; k < 2; k++) {
            an_pack_writer_config c = set_config(&s, 0);
            an_pack_writer *packing = NULL;

            memcpy((char *)&c + limits[i].offset, &limits[i].good[k], 4);
            expect_ok(an_pack_writer_create(&packing, p.ctx, inside(&p, "pack"), &c));
            an_pack_writer_destroy(packing);
            packing = NULL;
            memcpy((char *)&c + limits[i].offset, &limits[i].bad[k], 4);
            expect_refused(an_pack_writer_create(&packing, p.ctx, inside(&p, "pack"), &c),
                           AN_ERROR_ARGUMENT, limits[i].name);
            ck_assert_ptr_null(packing);
        }
    place_close(&p);
}
END_TEST

START_TEST(settings_of_a_packing_have_their_defaults)
{
    an_pack_writer_config c;

    memset(&c, 0xa5, sizeof c);
    an_pack_writer_config_init(&c, sizeof c);
    expect_count(c.size, sizeof c, "size");
    expect_count(c.side, 256, "side");
    expect_count(c.kind, AN_PACK_RAW, "kind");
    expect_count(c.classes, 0, "classes, which the host must give");
    expect_count(c.resume, 0, "resume");
    expect_count(c.part_bytes, UINT64_C(4) << 30, "part_bytes");
    expect_count(c.fit, AN_FIT_CROP, "fit");
    expect_count(c.empty_classes, 0, "empty_classes");
}
END_TEST

/* A test set may lack classes of the set that it is numbered like, but not pictures. */
START_TEST(a_pack_may_have_empty_classes_on_request)
{
    uint8_t pixels[3 * 4 * 4] = {0};
    place p = place_open();
    an_pack_writer_config c;
    an_pack_writer *packing;
    an_pack_info info;
    an_pack *pack;
    int32_t label;

    an_pack_writer_config_init(&c, sizeof c);
    c.side = 4;
    c.classes = 3;
    c.empty_classes = 1;
    expect_ok(an_pack_writer_create(&packing, p.ctx, inside(&p, "pack"), &c));
    expect_refused(an_pack_writer_finish(packing), AN_ERROR_STATE, "has no picture");
    expect_ok(an_pack_writer_add(packing, pixels, NULL, 0, 1));
    expect_ok(an_pack_writer_finish(packing));
    an_pack_writer_destroy(packing);
    expect_ok(an_pack_open(&pack, p.ctx, inside(&p, "pack"), NULL, NULL));
    an_pack_info_init(&info, sizeof info);
    expect_ok(an_pack_describe(pack, &info));
    expect_count(info.classes, 3, "classes");
    expect_count(info.count, 1, "pictures");
    expect_ok(an_pack_read(pack, 0, pixels, sizeof pixels, &label));
    expect_count(label, 1, "its label");
    an_pack_destroy(pack);
    place_close(&p);
}
END_TEST

/* What is refused is not in the pack. */
START_TEST(what_is_refused_leaves_nothing)
{
    uint8_t pixels[75] = {0}, one[1] = {0};
    set s = small_set();
    place p = place_open();
    an_pack_writer *packing;

    s.kind = AN_PACK_JPEG;
    set_make(&p, "whole", &s);
    packing = begin(&p, "pack", &s, 0);
    set_add(packing, &s, 0, 5);
    expect_refused(an_pack_writer_add(packing, NULL, one, 1, 0), AN_ERROR_ARGUMENT,
                   "pixels");
    expect_refused(an_pack_writer_add(packing, pixels, NULL, 1, 0), AN_ERROR_ARGUMENT,
                   "bytes");
    expect_refused(an_pack_writer_add(packing, pixels, one, 0, 0), AN_ERROR_ARGUMENT,
                   "count");
    expect_refused(an_pack_writer_add(packing, pixels, one, 1, -1), AN_ERROR_ARGUMENT,
                   "label is -1");
    expect_refused(an_pack_writer_add(packing, pixels, one, 1, 3), AN_ERROR_ARGUMENT,
                   "label is 3: must be 0 to 2");
    expect_refused(an_pack_writer_set_class_name(packing, 3, "a"), AN_ERROR_ARGUMENT,
                   "index is 3");
    expect_count(an_pack_writer_position(packing), 5, "after refusals");
    set_add(packing, &s, 5, s.count);
    expect_ok(an_pack_writer_finish(packing));
    an_pack_writer_destroy(packing);
    same_folders(&p, "whole", "pack", "after refusals");
    place_close(&p);
}
END_TEST

START_TEST(a_finished_pack_is_finished)
{
    set s = small_set();
    uint8_t pixels[75] = {0};
    char before[512], after[512];
    place p = place_open();
    an_pack_writer *packing = begin(&p, "pack", &s, 0);

    set_add(packing, &s, 0, s.count);
    expect_ok(an_pack_writer_finish(packing));
    files_of(&p, "pack", before, sizeof before);
    expect_refused(an_pack_writer_add(packing, pixels, NULL, 0, 0), AN_ERROR_STATE,
                   "finished");
    expect_refused(an_pack_writer_skip(packing), AN_ERROR_STATE, "finished");
    expect_refused(an_pack_writer_sync(packing), AN_ERROR_STATE, "finished");
    expect_refused(an_pack_writer_finish(packing), AN_ERROR_STATE, "finished");
    expect_refused(an_pack_writer_set_class_name(packing, 0, "a"), AN_ERROR_STATE,
                   "finished");
    expect_count(an_pack_writer_position(packing), s.count, "when it is finished");
    an_pack_writer_destroy(packing);
    files_of(&p, "pack", after, sizeof after);
    expect_text(after, before, "files");
    place_close(&p);
}
END_TEST

/* The first class without a picture is named, or has no name; no pack comes of it. */
START_TEST(a_class_without_pictures_is_told)
{
    set s = small_set();
    uint8_t pixels[75] = {0};
    place p = place_open();
    an_pack_writer *packing;

    s.classes = 4;
    packing = begin(&p, "pack", &s, 0);
    expect_refused(an_pack_writer_finish(packing), AN_ERROR_STATE, "class 0 (unnamed)");
    expect_ok(an_pack_writer_set_class_name(packing, 1, "gap"));
    expect_ok(an_pack_writer_add(packing, pixels, NULL, 0, 0));
    expect_refused(an_pack_writer_finish(packing), AN_ERROR_STATE, "class 1 (gap)");
    expect_ok(an_pack_writer_add(packing, pixels, NULL, 0, 3));
    expect_ok(an_pack_writer_add(packing, pixels, NULL, 0, 1));
    expect_refused(an_pack_writer_finish(packing), AN_ERROR_STATE, "class 2 (unnamed)");
    expect_ok(an_pack_writer_add(packing, pixels, NULL, 0, 2));
    expect_ok(an_pack_writer_finish(packing));
    an_pack_writer_destroy(packing);
    place_close(&p);
}
END_TEST

/* --- names ------------------------------------------------------------------------- */

START_TEST(names_are_kept_replaced_and_refused)
{
    set s = small_set();
    char longest[257];
    place p = place_open();
    an_pack_writer *packing = begin(&p, "pack", &s, 1);
    an_pack *pack;

    memset(longest, 'n', sizeof longest);
    longest[255] = '\0';
    expect_ok(an_pack_writer_set_class_name(packing, 0, longest));
    expect_ok(an_pack_writer_set_class_name(packing, 2, "b\xc3\xa4r"));
    expect_ok(an_pack_writer_set_class_name(packing, 1, "first"));
    expect_ok(an_pack_writer_set_class_name(packing, 1, "second"));
    longest[255] = 'n', longest[256] = '\0';
    expect_refused(an_pack_writer_set_class_name(packing, 2, longest), AN_ERROR_ARGUMENT,
                   "256 bytes");
    expect_refused(an_pack_writer_set_class_name(packing, 2, "\xff"), AN_ERROR_ARGUMENT,
                   "UTF-8");
    expect_refused(an_pack_writer_set_class_name(packing, 2, NULL), AN_ERROR_ARGUMENT,
                   "null");
    set_add(packing, &s, 0, s.count);
    expect_ok(an_pack_writer_sync(packing));
    an_pack_writer_destroy(packing);
    packing = begin(&p, "pack", &s, 1); /* with the names of the journal */
    expect_ok(an_pack_writer_set_class_name(packing, 1, "third"));
    expect_ok(an_pack_writer_finish(packing));
    an_pack_writer_destroy(packing);
    pack = set_open(&p, "pack", &s, NULL);
    longest[255] = '\0';
    expect_text(an_pack_class_name(pack, 0), longest, "class 0");
    expect_text(an_pack_class_name(pack, 1), "third", "class 1");
    expect_text(an_pack_class_name(pack, 2), "b\xc3\xa4r", "class 2");
    ck_assert_ptr_null(an_pack_class_name(pack, 3));
    an_pack_destroy(pack);
    place_close(&p);
}
END_TEST

/* Of all names together there is room for 8 MiB: 65,536 of 110 bytes, with what JSON puts
 * between them, and not of 130. */
START_TEST(names_together_have_a_limit)
{
    set s = {1, 1, 65536, AN_PACK_RAW, AN_FIT_CROP, 0, 1 << 20};
    static const size_t lengths[] = {130, 110};
    place p = place_open();
    an_pack_writer *packing = begin(&p, "pack", &s, 0);
    char name[256], files[512];
    uint32_t i;
    size_t k;

    memset(name, 'n', sizeof name);
    set_add(packing, &s, 0, 1);
    for (k = 0; k < 2; k++) {
        name[lengths[k]] = '\0';
        for (i = 0; i < s.classes; i++)
            expect_ok(an_pack_writer_set_class_name(packing, i, name));
        if (k == 0) {
            expect_refused(an_pack_writer_sync(packing), AN_ERROR_ARGUMENT,
                           "class names");
            files_of(&p, "pack", files, sizeof files);
            expect_text(files, "lock part-0000.bin ",
                        "files after a sync that was refused");
        } else {
            expect_ok(an_pack_writer_sync(packing));
        }
    }
    an_pack_writer_destroy(packing);
    place_close(&p);
}
END_TEST

Suite *packing_suite(void)
{
    Suite *suite = suite_create("packing");
    TCase *tc = tcase_create("packing");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, parts_close_when_they_are_as_large);
    tcase_add_test(tc, a_position_counts_what_was_added_and_skipped);
    tcase_add_loop_test(tc, a_run_may_be_cut_anywhere, 0, 2);
    tcase_add_test(tc, the_last_sync_counts);
    tcase_add_test(tc, many_pictures_are_taken_up_again);
    tcase_add_test(tc, another_config_does_not_go_on);
    tcase_add_test(tc, what_is_left_of_other_runs_goes);
    tcase_add_test(tc, every_setting_of_a_packing_has_its_limits);
    tcase_add_test(tc, settings_of_a_packing_have_their_defaults);
    tcase_add_test(tc, a_pack_may_have_empty_classes_on_request);
    tcase_add_test(tc, what_is_refused_leaves_nothing);
    tcase_add_test(tc, a_finished_pack_is_finished);
    tcase_add_test(tc, a_class_without_pictures_is_told);
    tcase_add_test(tc, names_are_kept_replaced_and_refused);
    tcase_add_test(tc, names_together_have_a_limit);
    suite_add_tcase(suite, tc);
    return suite;
}
