/*
 * programs_listing.c - which pictures a folder, a list or CIFAR-10's batches name, in
 * which order, and with which labels.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/listing.h"
#include "fixtures.h"

/* Item `index` is of this path (from the test's folder, unless it begins with a slash),
 * class and place. */
static void expect_item(const listing *list, uint32_t index, const char *path,
                        const char *class_name, uint32_t place)
{
    const item *one = &list->items[index];

    expect_text(one->path, *path == '/' ? path : inside(path), "item %u", index);
    ck_assert_msg(one->label < list->classes, "item %u: label %u of %u", index,
                  one->label, list->classes);
    expect_text(list->class_names[one->label], class_name, "the class of item %u", index);
    expect_count(one->place, place, "item %u", index);
    ck_assert_msg(one->record == NULL, "item %u: is no record", index);
}

static void expect_classes(const listing *list, uint32_t count, const char *const *names)
{
    uint32_t i;

    expect_count(list->classes, count, "classes");
    for (i = 0; i < count; i++)
        expect_text(list->class_names[i], names[i], "class %u", i);
}

/* --- folders ----------------------------------------------------------------------- */

START_TEST(a_folder_of_folders_is_read_in_the_order_of_the_names)
{
    static const char *const names[] = {"B", "a", "b2"}; /* by bytes: capitals first */
    listing list;

    folder_make("in/b2");
    folder_make("in/a");
    folder_make("in/B");
    folder_make("in/.hidden");
    text_write("in/.hidden/1.png", "x");
    text_write("in/not-a-folder.png", "x");
    text_write("in/b2/9.jpeg", "x");
    text_write("in/b2/10.png", "x");
    text_write("in/b2/.8.png", "x");
    text_write("in/a/Z.JPG", "x");
    text_write("in/a/notes.txt", "x");
    text_write("in/a/png", "x");
    text_write("in/a/a.b.Png", "x");
    text_write("in/B/only.jpg", "x");
    text_write("in/B/only.jpg.gz", "x");
    listing_folder(&list, inside("in"));
    expect_classes(&list, 3, names);
    expect_count(list.count, 5, "pictures");
    expect_item(&list, 0, "in/B/only.jpg", "B", 0);
    expect_item(&list, 1, "in/a/Z.JPG", "a", 0);
    expect_item(&list, 2, "in/a/a.b.Png", "a", 1);
    expect_item(&list, 3, "in/b2/10.png", "b2", 0);
    expect_item(&list, 4, "in/b2/9.jpeg", "b2", 1);
    listing_free(&list);
}
END_TEST

static void read_folder(void *name)
{
    listing list;

    listing_folder(&list, inside(name));
}

START_TEST(a_folder_without_pictures_is_refused)
{
    folder_make("empty/class");
    text_write("empty/class/notes.txt", "x");
    expect_exit(1, "has neither a folder of pictures for each class nor data_batch_1.bin",
                read_folder, "empty");
    expect_exit(1, "nowhere: No such file or directory", read_folder, "nowhere");
}
END_TEST

/* Folders within a class, packs, links, files of other types: what is not taken is
 * counted, and the first are named. */
START_TEST(what_a_folder_holds_is_taken_or_counted)
{
    static const char *const names[] = {"a", "b"};
    char report[2048];
    listing list;
    FILE *to;

    folder_make("in/a/deep/deeper");
    folder_make("in/a/.thumbs");
    folder_make("in/a/pack");
    folder_make("in/b");
    folder_make("in/begun/train");
    folder_make("in/__MACOSX/a");
    text_write("in/a/1.png", "x");
    text_write("in/a/deep/2.JFIF", "x");
    text_write("in/a/deep/deeper/3.webp", "x");
    text_write("in/a/.thumbs/4.png", "x");
    text_write("in/a/pack/index.safetensors", "x");
    text_write("in/a/pack/5.png", "x");
    text_write("in/a/Thumbs.db", "x");
    text_write("in/b/6.gif", "x");
    text_write("in/b/7.jpe", "x");
    text_write("in/begun/train/unfinished.txt", "x");
    text_write("in/beside.png", "x");
    folder_make("in/packs/one"); /* a folder of packs is no class */
    text_write("in/packs/one/index.safetensors", "x");
    text_write("in/README", "x");
    ck_assert_int_eq(symlink("..", inside("in/a/loop")), 0);
    ck_assert_int_eq(symlink("/nowhere", inside("in/b/8.png")), 0);
    ck_assert_int_eq(symlink("6.gif", inside("in/b/9.bmp")), 0);
    listing_folder(&list, inside("in"));
    expect_classes(&list, 2, names);
    expect_count(list.count, 6, "pictures");
    expect_item(&list, 0, "in/a/1.png", "a", 0);
    expect_item(&list, 1, "in/a/deep/2.JFIF", "a", 1);
    expect_item(&list, 2, "in/a/deep/deeper/3.webp", "a", 2);
    expect_item(&list, 3, "in/b/6.gif", "b", 0);
    expect_item(&list, 4, "in/b/7.jpe", "b", 1);
    expect_item(&list, 5, "in/b/9.bmp", "b", 2);
    expect_count(list.left[LEFT_OUT_OTHER].count, 2, "of other types");
    expect_count(list.left[LEFT_OUT_BESIDE].count, 1, "beside the classes");
    expect_count(list.left[LEFT_OUT_PACK].count, 3, "packs");
    expect_count(list.left[LEFT_OUT_LINK].count, 1, "links");
    expect_count(list.left[LEFT_OUT_BROKEN].count, 1, "links to nowhere");
    to = fmemopen(report, sizeof report, "w");
    listing_report(&list, to);
    fclose(to);
    expect_line(report, "left out: files of other types (2): %s, %s", inside("in/README"),
                inside("in/a/Thumbs.db"));
    expect_line(report, "left out: pictures beside the classes' folders (1): %s",
                inside("in/beside.png"));
    expect_line(report, "left out: packs (3): %s, %s, %s", inside("in/a/pack"),
                inside("in/begun"), inside("in/packs/one"));
    expect_line(report, "left out: links to folders (1): %s", inside("in/a/loop"));
    listing_free(&list);
}
END_TEST

/* --- lists ------------------------------------------------------------------------- */

START_TEST(a_list_is_read_line_by_line)
{
    static const char *const names[] = {"oak", "ash tree", "elm", "fir\tcone", "fir"};
    listing list;

    text_write("list", "%s",
               "one.png oak\n"
               "two words.png\tash tree\n" /* a tab: both may have spaces */
               "\n"
               "# three.png oak\n"
               "/abs/four five.png elm\r\n" /* the last space, and a line's end of DOS */
               "sub/six.png oak\n"
               "seven.png  elm \n" /* blanks around it */
               "\r\n"
               "eight.png\tash tree\n"
               "tab.png\tash tree\n"
               "ten.png\tfir\tcone\n" /* the first tab */
               "nine.png fir");       /* no newline at the end */
    listing_file(&list, inside("list"), inside("in"));
    expect_classes(&list, 5, names);
    expect_count(list.count, 9, "pictures");
    expect_item(&list, 0, "in/one.png", "oak", 0);
    expect_item(&list, 1, "in/two words.png", "ash tree", 0);
    expect_item(&list, 2, "/abs/four five.png", "elm", 0);
    expect_item(&list, 3, "in/sub/six.png", "oak", 1);
    expect_item(&list, 4, "in/seven.png", "elm", 1);
    expect_item(&list, 5, "in/eight.png", "ash tree", 1);
    expect_item(&list, 6, "in/tab.png", "ash tree", 2);
    expect_item(&list, 7, "in/ten.png", "fir\tcone", 0);
    expect_item(&list, 8, "in/nine.png", "fir", 0);
    listing_free(&list);
}
END_TEST

/* As other programs write them: quotes, commas, a mark at the beginning, any length. */
START_TEST(a_list_may_have_quotes_commas_and_a_mark)
{
    static const char *const names[] = {"a b", "c"};
    char longest[6000];
    listing list;

    folder_make("in");
    text_write("in/one, two.png", "x");
    text_write("list", "\xef\xbb\xbf%s",
               "one, two.png,a b\n"
               "three four.png , c\n"
               "\"five, six.png\",\"a b\"\n"
               "\"se\"\"ven.png\"   c");
    listing_file(&list, inside("list"), inside("in"));
    expect_classes(&list, 2, names);
    expect_count(list.count, 4, "pictures");
    expect_item(&list, 0, "in/one, two.png", "a b", 0);
    expect_item(&list, 1, "in/three four.png", "c", 0);
    expect_item(&list, 2, "in/five, six.png", "a b", 1);
    expect_item(&list, 3, "in/se\"ven.png", "c", 1);
    listing_free(&list);
    text_write("list", "%s",
               "\"five, six.png\",c\n" /* quotes say it here, */
               "one, two.png,a b\n"    /* and a comma here, since the file is there */
               "x.png,\"Lab, yellow\"\n"
               "y.png \"sea lion\"\n"
               "\" z.png\"\tc\n");
    listing_file(&list, inside("list"), inside("in"));
    expect_count(list.count, 5, "pictures");
    expect_item(&list, 0, "in/five, six.png", "c", 0);
    expect_item(&list, 1, "in/one, two.png", "a b", 0);
    expect_item(&list, 2, "in/x.png", "Lab, yellow", 0);
    expect_item(&list, 3, "in/y.png", "sea lion", 0);
    expect_item(&list, 4, "in/ z.png", "c", 1);
    listing_free(&list);
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    text_write("list", "1.png a\n%s.png b\n2.png c\n", longest);
    listing_file(&list, inside("list"), inside("in"));
    expect_count(list.count, 3, "pictures, one with a long name");
    expect_item(&list, 2, "in/2.png", "c", 0);
    listing_free(&list);
}
END_TEST

/* Classes called 0 to n - 1 are numbered so; if one is not, all by first appearance. */
START_TEST(classes_of_a_list_that_are_numbers_are_their_labels)
{
    static const struct {
        const char *written[4], *names[4]; /* the classes line by line, and in order */
    } cases[] = {
        {{"2", "0", "1"}, {"0", "1", "2"}},
        {{"3", "0", "1"}, {"3", "0", "1"}},           /* 2 is missing */
        {{"2", "0"}, {"2", "0"}},                     /* and 1 */
        {{"4", "1", "2", "0"}, {"4", "1", "2", "0"}}, /* and 3 */
        {{"3", "1", "2", "0"}, {"0", "1", "2", "3"}},
        {{"2", "0", "x1"}, {"2", "0", "x1"}}, /* a name */
        {{"2", "0", "1x"}, {"2", "0", "1x"}}, /* and another */
        {{"2", "02", "1"}, {"2", "02", "1"}}, /* twice 2 */
        {{"2", "-0", "1"}, {"2", "-0", "1"}}, /* nobody writes 0 so */
        {{"02", "0", "1"}, {"0", "1", "02"}}, /* but 2 perhaps so */
    };
    size_t i;

    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[256] = "";
        uint32_t classes, k;
        listing list;

        for (classes = 0; classes < 4 && cases[i].written[classes] != NULL; classes++)
            sprintf(text + strlen(text), "a %s\n", cases[i].written[classes]);
        text_write("list", "%sb %s\n", text, cases[i].written[0]);
        listing_file(&list, inside("list"), "/in");
        expect_count(list.count, classes + 1, "case %zu", i);
        expect_classes(&list, classes, cases[i].names);
        for (k = 0; k < classes; k++)
            expect_item(&list, k, "/in/a", cases[i].written[k], 0);
        expect_item(&list, k, "/in/b", cases[i].written[0], 1);
        listing_free(&list);
    }
}
END_TEST

static void read_list(void *name)
{
    listing list;

    listing_file(&list, inside(name), "/in");
}

static void read_lines(void *lines)
{
    text_write("list", "%s", (const char *)lines);
    read_list("list");
}

START_TEST(lines_of_a_list_that_name_no_class_are_refused_by_number)
{
    expect_exit(1, "list:3: not a path, a space and a class", read_lines,
                "a 1\n# x\nb.png\n");
    expect_exit(1, "list:1: not a path", read_lines, "a.png \n");
    expect_exit(1, "list:2: not a path", read_lines, "a.png x\n class\n");
    expect_exit(1, "list:2: not a path", read_lines, "\nb.png\t\r\n");
    expect_exit(1, "list:1: not a path", read_lines, "\"a.png\"class\n");
    expect_exit(1, "list:1: not a path", read_lines, "\"a.png class\n");
    expect_exit(1, "list:1: not a path", read_lines, "\"a.png\" \"class\n");
    expect_exit(1, "names no picture", read_lines, "# nothing\n\n");
    expect_exit(1, "none: No such file", read_list, "none");
}
END_TEST

/* As many as the format has, and each found again among the others. */
START_TEST(a_list_may_have_65536_classes_and_no_more)
{
    FILE *file = fopen(inside("many"), "w");
    listing list;
    uint32_t i;

    for (i = 0; i < 65536; i++) fprintf(file, "%u class%u\n", i, i);
    for (i = 0; i < 65536; i += 4097) fprintf(file, "more class%u\n", i);
    fclose(file);
    listing_file(&list, inside("many"), "/in");
    expect_count(list.classes, 65536, "classes");
    for (i = 0; i < 65536; i++)
        if (list.items[i].label != i)
            expect_count(list.items[i].label, i, "picture %u", i);
    for (; i < list.count; i++) {
        expect_count(list.items[i].label, (i - 65536) * 4097, "picture %u", i);
        expect_count(list.items[i].place, 1, "picture %u", i);
    }
    listing_free(&list);
    file = fopen(inside("many"), "a");
    fprintf(file, "one too-many\n");
    fclose(file);
    expect_exit(1, "too-many: more than 65536 classes", read_list, "many");
}
END_TEST

START_TEST(a_list_is_renumbered_as_another_pack_has_its_classes)
{
    static const char *const other[] = {"fir", "elm", "oak", "ash"};
    listing list;

    text_write("list", "1 oak\n2 elm\n3 oak\n4 fir\n");
    listing_file(&list, inside("list"), "/in");
    listing_renumber(&list, other, 4);
    expect_classes(&list, 4, other);
    expect_item(&list, 0, "/in/1", "oak", 0);
    expect_item(&list, 1, "/in/2", "elm", 0);
    expect_item(&list, 2, "/in/3", "oak", 1);
    expect_item(&list, 3, "/in/4", "fir", 0);
    listing_free(&list);
}
END_TEST

static void renumber_without_elm(void *unused)
{
    static const char *const other[] = {"fir", "oak"};
    listing list;

    (void)unused;
    listing_file(&list, inside("list"), "/in");
    listing_renumber(&list, other, 2);
}

START_TEST(a_class_that_the_other_pack_lacks_is_refused)
{
    text_write("list", "1 oak\n2 elm\n3 oak\n4 fir\n");
    expect_exit(1, "elm: the other pack has no such class", renumber_without_elm, NULL);
}
END_TEST

static uint64_t check_of(const char *lines)
{
    listing list;
    uint64_t check;

    text_write("list", "%s", lines);
    listing_file(&list, inside("list"), "/in");
    check = listing_check(&list);
    listing_free(&list);
    return check;
}

START_TEST(a_listings_check_notices_every_change)
{
    static const char *const others[] = {
        "b x\na x\nc y\nd z\n",       /* order */
        "a x\nbb x\nc y\nd z\n",      /* a path */
        "a x\nb y\nc y\nd z\n",       /* a label */
        "a x\nb x\nc w\nd z\n",       /* a class's name */
        "a x\nb x\nc y\nd z\nd z\n",  /* one more */
        "a x\nb x\nc y\n",            /* one less */
        "a x\nb x\nc y\nd zz\n",      /* the last letter */
        "a\tx\nb\tx\nc\ty\nd\tz x\n", /* and it again */
        "a y\nb y\nc x\nd z\n",       /* two names changed about */
    };
    static const char *const order[] = {"y", "x", "z"};
    const uint64_t check = check_of("a x\nb x\nc y\nd z\n");
    listing list;
    size_t i;

    ck_assert_uint_eq(check, check_of("# the same\na x\n\nb\tx\nc y\r\nd z"));
    for (i = 0; i < sizeof others / sizeof others[0]; i++)
        ck_assert_msg(check_of(others[i]) != check, "not noticed: \"%s\"", others[i]);
    text_write("list", "a x\nb x\nc y\nd z\n");
    listing_file(&list, inside("list"), "/in");
    ck_assert_uint_eq(listing_check(&list), check);
    listing_renumber(&list, order, 3);
    ck_assert_msg(listing_check(&list) != check, "not noticed: other numbers");
    listing_free(&list);
}
END_TEST

/* --- CIFAR-10 ---------------------------------------------------------------------- */

enum { PLANE = 1024, RECORD = 1 + 3 * PLANE };

/* Value of a record's red, green or blue (c) at a place: different wherever one looks. */
static uint8_t cifar_value(uint32_t record, uint32_t c, uint32_t at)
{
    return (uint8_t)(record * 31 + c * 85 + at * 7 + at / 32);
}

static void batch_write(const char *name, uint32_t first, uint32_t count, uint32_t extra)
{
    FILE *file = fopen(inside(name), "wb");
    uint32_t i, c, at;

    for (i = first; i < first + count; i++) {
        putc((int)(i * 3 % 10), file);
        for (c = 0; c < 3; c++)
            for (at = 0; at < PLANE; at++) putc(cifar_value(i, c, at), file);
    }
    while (extra-- > 0) putc(1, file);
    fclose(file);
}

static void expect_record(const listing *list, uint32_t index, const char *name)
{
    const item *one = &list->items[index];
    uint8_t wanted[3 * PLANE];
    uint32_t at, c;
    picture p;

    expect_text(one->path, name, "record %u", index);
    expect_count(one->label, index * 3 % 10, "record %u", index);
    expect_count(one->place, index / 10, "record %u",
                 index); /* each tenth is of its class */
    ck_assert_ptr_null(item_read(one, &p));
    expect_count(p.width, 32, "record %u", index);
    expect_count(p.height, 32, "record %u", index);
    for (at = 0; at < PLANE; at++)
        for (c = 0; c < 3; c++) wanted[3 * at + c] = cifar_value(index, c, at);
    expect_bytes(p.pixels, wanted, sizeof wanted, "record %u", index);
    picture_free(&p);
}

START_TEST(cifar_batches_are_read_in_their_order_with_their_colours)
{
    static const char *const names[] = {"airplane", "automobile", "bird", "cat",
                                        "deer",     "dog",        "frog", "horse",
                                        "ship",     "truck"};
    listing list;
    uint32_t i, batch;
    char name[64];

    folder_make("cifar/zebra"); /* batches count, whatever lies beside them */
    for (batch = 0; batch < 5; batch++) {
        snprintf(name, sizeof name, "cifar/data_batch_%u.bin", batch + 1);
        batch_write(name, 5 * batch, 5, 0);
    }
    batch_write("cifar/data_batch_6.bin", 0, 1, 0); /* is none of them */
    listing_folder(&list, inside("cifar"));
    expect_classes(&list, 10, names);
    expect_count(list.count, 25, "records");
    for (i = 0; i < 25; i++) {
        snprintf(name, sizeof name, "data_batch_%u.bin, record %u", i / 5 + 1, i % 5);
        expect_record(&list, i, name);
    }
    listing_free(&list);
}
END_TEST

START_TEST(damaged_cifar_batches_are_refused)
{
    folder_make("cifar");
    batch_write("cifar/data_batch_1.bin", 0, 2, 1);
    expect_exit(1, "data_batch_1.bin: its last record is cut short", read_folder,
                "cifar");
    batch_write("cifar/data_batch_1.bin", 0, 2, 0);
    batch_write("cifar/data_batch_2.bin", 2, 2, RECORD - 1);
    expect_exit(1, "data_batch_2.bin: its last record is cut short", read_folder,
                "cifar");
    remove(inside("cifar/data_batch_2.bin"));
    text_write("cifar/data_batch_2.bin", "%c%*s", 10, RECORD - 1, "");
    expect_exit(1, "data_batch_2.bin: is no CIFAR-10 batch: a label is above 9",
                read_folder, "cifar");
}
END_TEST

Suite *listing_suite(void)
{
    Suite *suite = suite_create("listing");
    TCase *tc = tcase_create("listing");

    tcase_add_checked_fixture(tc, programs_setup, programs_teardown);
    tcase_add_test(tc, a_folder_of_folders_is_read_in_the_order_of_the_names);
    tcase_add_test(tc, a_folder_without_pictures_is_refused);
    tcase_add_test(tc, what_a_folder_holds_is_taken_or_counted);
    tcase_add_test(tc, a_list_is_read_line_by_line);
    tcase_add_test(tc, a_list_may_have_quotes_commas_and_a_mark);
    tcase_add_test(tc, classes_of_a_list_that_are_numbers_are_their_labels);
    tcase_add_test(tc, lines_of_a_list_that_name_no_class_are_refused_by_number);
    tcase_add_test(tc, a_list_may_have_65536_classes_and_no_more);
    tcase_add_test(tc, a_list_is_renumbered_as_another_pack_has_its_classes);
    tcase_add_test(tc, a_class_that_the_other_pack_lacks_is_refused);
    tcase_add_test(tc, a_listings_check_notices_every_change);
    tcase_add_test(tc, cifar_batches_are_read_in_their_order_with_their_colours);
    tcase_add_test(tc, damaged_cifar_batches_are_refused);
    suite_add_tcase(suite, tc);
    return suite;
}
