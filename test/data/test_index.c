/*
 * test_index.c - the index of a pack beside docs/PACKS.md, read and written anew without
 * the library: what it has, what is damaged, what lies.
 */
#define _XOPEN_SOURCE 700
#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "expect.h"
#include "packs.h"
#include "test.h"

#define INDEX "pack/index.safetensors"

/* --- the file as it lies ----------------------------------------------------------- */

/* An index taken apart: `about` is the metadata's JSON. */
typedef struct parsed {
    json_t *header, *about;
    uint8_t *file, *tensors;
    size_t bytes; /* of all tensors */
} parsed;

static json_t *metadata_of(const parsed *p)
{
    return json_object_get(p->header, "__metadata__");
}

static parsed index_parse(place *at)
{
    uint64_t length = 0;
    parsed p;
    size_t size;
    int i;

    p.file = file_read(inside(at, INDEX), &size);
    for (i = 7; i >= 0; i--) length = length << 8 | p.file[i];
    ck_assert_msg(length < size - 8, "a header of %llu bytes",
                  (unsigned long long)length);
    p.header = json_loadb((char *)p.file + 8, length, 0, NULL);
    ck_assert_ptr_nonnull(p.header);
    p.tensors = p.file + 8 + length;
    p.bytes = size - 8 - length;
    p.about = json_loads(json_string_value(json_object_get(metadata_of(&p), "alexnet")),
                         0, NULL);
    ck_assert_ptr_nonnull(p.about);
    return p;
}

static void index_drop(parsed *p)
{
    json_decref(p->header);
    json_decref(p->about);
    free(p->file);
}

static void hex(uint64_t number, char text[17])
{
    snprintf(text, 17, "%016llx", (unsigned long long)number);
}

static json_t *hex_json(uint64_t number)
{
    char text[17];

    hex(number, text);
    return json_string(text);
}

/* Writes the index with `about` and header as they are now, and checksums that are right:
 * checks 0: without that of the metadata's text, as the first packs were. */
static void index_rewrite(place *at, parsed *p, int checks)
{
    char *about, *header;
    uint64_t length;
    FILE *file;

    json_object_set_new(p->about, "check", hex_json(XXH3_64bits(p->tensors, p->bytes)));
    about = json_dumps(p->about, JSON_COMPACT);
    json_object_set_new(metadata_of(p), "alexnet", json_string(about));
    json_object_del(metadata_of(p), "alexnet_check");
    if (checks)
        json_object_set_new(metadata_of(p), "alexnet_check",
                            hex_json(XXH3_64bits(about, strlen(about))));
    header = json_dumps(p->header, JSON_COMPACT);
    length = strlen(header);
    file = fopen(inside(at, INDEX), "wb");
    ck_assert_ptr_nonnull(file);
    fwrite(&length, 8, 1, file);
    fwrite(header, 1, length, file);
    fwrite(p->tensors, 1, p->bytes, file);
    fclose(file);
    free(about);
    free(header);
}

static an_status opens(place *p)
{
    an_pack *pack = NULL;
    an_status status = an_pack_open(&pack, p->ctx, inside(p, "pack"), set_decode, NULL);

    an_pack_destroy(pack);
    return status;
}

/* --- what docs/PACKS.md says ------------------------------------------------------- */

static uint64_t hex_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    ck_assert_msg(text != NULL && strlen(text) == 16, "%s is no 16 digits", key);
    return strtoull(text, NULL, 16);
}

/* A tensor's bytes, after its type and shape are as they should be. */
static const uint8_t *tensor(const parsed *p, const char *name, const char *dtype,
                             uint32_t dims, const uint64_t *shape, size_t bytes)
{
    const json_t *entry = json_object_get(p->header, name);
    const json_t *sizes = json_object_get(entry, "shape");
    const json_t *places = json_object_get(entry, "data_offsets");
    uint64_t begin = (uint64_t)json_integer_value(json_array_get(places, 0));
    uint64_t end = (uint64_t)json_integer_value(json_array_get(places, 1));
    uint32_t i;

    expect_text(json_string_value(json_object_get(entry, "dtype")), dtype, "%s", name);
    expect_count(json_array_size(sizes), dims, "%s: dimensions", name);
    for (i = 0; i < dims; i++)
        expect_count(json_integer_value(json_array_get(sizes, i)), shape[i],
                     "%s: size %u", name, i);
    expect_count(end - begin, bytes, "%s: bytes", name);
    ck_assert_msg(end <= p->bytes, "%s ends behind the file", name);
    return p->tensors + begin;
}

/* Where each picture lies, how long it is, its checksum and label. */
static void columns_are(const parsed *p, const set *s)
{
    const uint64_t count[1] = {s->count};
    const uint8_t *places = tensor(p, "place", "U64", 1, count, 8 * s->count);
    const uint8_t *bytes = tensor(p, "bytes", "U64", 1, count, 8 * s->count);
    const uint8_t *checks = tensor(p, "check", "U64", 1, count, 8 * s->count);
    const uint8_t *labels = tensor(p, "label", "I32", 1, count, 4 * s->count);
    uint8_t *stored = malloc(set_bytes(s) + SET_MORE);
    uint64_t part = 0, at = 16;
    uint32_t i;

    for (i = 0; i < s->count; i++) {
        size_t size = set_stored(s, i, stored);
        uint64_t place_, bytes_, check;
        int32_t label;

        if (i > 0 && at >= s->part_bytes) part++, at = 16;
        memcpy(&place_, places + 8 * i, 8);
        memcpy(&bytes_, bytes + 8 * i, 8);
        memcpy(&check, checks + 8 * i, 8);
        memcpy(&label, labels + 4 * i, 4);
        expect_count(place_, part << 40 | at, "place of picture %u", i);
        expect_count(bytes_, size, "bytes of picture %u", i);
        expect_count(check, XXH3_64bits(stored, size), "check of picture %u", i);
        expect_count(label, set_label(s, i), "label of picture %u", i);
        at += size;
    }
    free(stored);
}

static void sums_are(const parsed *p, const set *s)
{
    const uint64_t shape[3] = {3, s->side, s->side};
    size_t count = set_bytes(s), plane = count / 3, k;
    const uint8_t *sums = tensor(p, "sum", "U64", 3, shape, 8 * count);
    uint64_t *wanted = calloc(count, sizeof *wanted), colour[3] = {0}, product[6] = {0};
    static const uint32_t pairs[6][2] = {{0, 0}, {0, 1}, {0, 2}, {1, 1}, {1, 2}, {2, 2}};
    uint8_t *x = malloc(count);
    uint32_t i, c;

    for (i = 0; i < s->count; i++) {
        set_picture(s, i, x);
        for (k = 0; k < count; k++) wanted[k % 3 * plane + k / 3] += x[k];
        for (k = 0; k < count; k += 3) {
            for (c = 0; c < 3; c++) colour[c] += x[k + c];
            for (c = 0; c < 6; c++)
                product[c] += (uint64_t)x[k + pairs[c][0]] * x[k + pairs[c][1]];
        }
    }
    expect_bytes(sums, wanted, 8 * count, "sum");
    for (c = 0; c < 6; c++) {
        char text[17];

        hex(product[c], text);
        expect_text(json_string_value(
                        json_array_get(json_object_get(p->about, "colour_products"), c)),
                    text, "colour_products[%u]", c);
        if (c >= 3) continue;
        hex(colour[c], text);
        expect_text(json_string_value(
                        json_array_get(json_object_get(p->about, "colour_sums"), c)),
                    text, "colour_sums[%u]", c);
    }
    free(wanted);
    free(x);
}

static void metadata_is(const parsed *p, const set *s)
{
    const json_t *names = json_object_get(p->about, "class_names");
    const char *text = json_string_value(json_object_get(metadata_of(p), "alexnet"));

    expect_count(json_integer_value(json_object_get(p->about, "version")), 1, "version");
    expect_text(json_string_value(json_object_get(p->about, "writer")),
                an_version_string(), "writer");
    expect_count(json_integer_value(json_object_get(p->about, "side")), s->side, "side");
    expect_text(json_string_value(json_object_get(p->about, "kind")),
                s->kind == AN_PACK_RAW ? "raw" : "jpeg", "kind");
    expect_text(json_string_value(json_object_get(p->about, "fit")),
                s->fit == AN_FIT_CROP ? "crop" : "warp", "fit");
    expect_count(hex_of(p->about, "skipped"), s->skipped, "skipped");
    expect_count(json_array_size(names), s->classes, "class_names");
    ck_assert_msg(json_is_null(json_array_get(names, 0)), "class 0 has a name");
    expect_count(hex_of(p->about, "check"), XXH3_64bits(p->tensors, p->bytes), "check");
    expect_count(hex_of(metadata_of(p), "alexnet_check"), XXH3_64bits(text, strlen(text)),
                 "alexnet_check");
    expect_count((p->tensors - p->file) % 64, 0, "where the tensors begin");
}

START_TEST(an_index_is_as_it_is_described)
{
    static const set sets[] = {
        {5, 10, 3, AN_PACK_RAW, AN_FIT_CROP, 0, AN_PART_HEAD + 3 * 75},
        {3, 9, 2, AN_PACK_RAW, AN_FIT_WARP, 4, 1},
        {4, 12, 4, AN_PACK_JPEG, AN_FIT_CROP, 2, 150}};
    const set *s = &sets[_i];
    place at = place_open();
    parsed p;

    set_make(&at, "pack", s);
    p = index_parse(&at);
    columns_are(&p, s);
    sums_are(&p, s);
    metadata_is(&p, s);
    index_drop(&p);
    place_close(&at);
}
END_TEST

/* Columns are written in pieces of 8 KiB: 1024 rows of the wide ones, 2048 labels. */
START_TEST(an_index_of_any_length_is_whole)
{
    static const uint32_t counts[] = {1023, 1024, 1025, 2047, 2048, 2049, 2050, 4097};
    set s = {1, counts[_i], 2, AN_PACK_RAW, AN_FIT_CROP, 0, 4000};
    place at = place_open();
    an_pack *pack;
    parsed p;

    set_make(&at, "pack", &s);
    p = index_parse(&at);
    columns_are(&p, &s);
    pack = set_open(&at, "pack", &s, NULL);
    set_check(pack, &s, "many pictures");
    an_pack_destroy(pack);
    index_drop(&p);
    place_close(&at);
}
END_TEST

/* --- damage ------------------------------------------------------------------------ */

/* All that can be asked of a pack, in one piece of memory. */
typedef struct answers {
    an_pack_info info;
    char names[2][16];
    float mean[12];
    uint8_t pixels[5][12];
    int32_t labels[5];
} answers;

static an_status ask(place *p, answers *a)
{
    an_pack *pack = NULL;
    an_status status = an_pack_open(&pack, p->ctx, inside(p, "pack"), NULL, NULL);
    uint32_t i;

    if (status != AN_OK) return status;
    memset(a, 0, sizeof *a);
    a->info = pack_info(pack);
    for (i = 0; i < 2; i++) {
        const char *name = an_pack_class_name(pack, i);

        snprintf(a->names[i], sizeof a->names[i], "%s", name != NULL ? name : "");
    }
    if (a->info.side == 2) expect_ok(an_pack_mean_image(pack, a->mean, 12));
    for (i = 0; i < 5 && i < a->info.count; i++)
        expect_ok(an_pack_read(pack, i, a->pixels[i], ENOUGH, &a->labels[i]));
    an_pack_destroy(pack);
    return AN_OK;
}

static void make_tiny(place *p)
{
    set s = {2, 5, 2, AN_PACK_RAW, AN_FIT_WARP, 1, 30};
    an_pack_writer_config c = set_config(&s, 0);
    an_pack_writer *packing = NULL;

    expect_ok(an_pack_writer_create(&packing, p->ctx, inside(p, "pack"), &c));
    expect_ok(an_pack_writer_set_class_name(packing, 0, "oak"));
    expect_ok(an_pack_writer_set_class_name(packing, 1, "ash \"\\ b\xc3\xa4r"));
    set_add(packing, &s, 0, s.count);
    expect_ok(an_pack_writer_finish(packing));
    an_pack_writer_destroy(packing);
}

/* Every byte of the index, by one bit or several: it is refused, or, where JSON does
 * not mind, says the same. */
START_TEST(no_byte_of_an_index_changes_what_it_says)
{
    static const uint8_t bits[] = {0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0x29};
    place p = place_open();
    answers whole, got;
    uint8_t *bytes;
    size_t size, i, k;

    make_tiny(&p);
    expect_ok(ask(&p, &whole));
    bytes = file_read(inside(&p, INDEX), &size);
    for (i = 0; i < size; i++)
        for (k = 0; k < sizeof bits; k += 1 + (i + k) % 3) {
            an_status status;

            file_set_byte(inside(&p, INDEX), i, bytes[i] ^ bits[k]);
            status = ask(&p, &got);
            if (status == AN_OK)
                expect_bytes(&got, &whole, sizeof got, "byte %zu ('%c') changed by %02x",
                             i, bytes[i], bits[k]);
            else
                ck_assert_msg(status == AN_ERROR_FORMAT || status == AN_ERROR_VERSION,
                              "byte %zu: %s", i, an_error_message());
        }
    file_write(inside(&p, INDEX), bytes, size);
    expect_ok(ask(&p, &got));
    expect_bytes(&got, &whole, sizeof got, "whole again");
    bytes[size] = 0;
    file_write(inside(&p, INDEX), bytes, size + 1);
    expect_refused(ask(&p, &got), AN_ERROR_FORMAT, NULL);
    free(bytes);
    place_close(&p);
}
END_TEST

/* The first packs had no checksum of their metadata's text. */
START_TEST(a_pack_of_the_first_kind_opens)
{
    place p = place_open();
    answers whole, got;
    parsed index;

    make_tiny(&p);
    expect_ok(ask(&p, &whole));
    index = index_parse(&p);
    index_rewrite(&p, &index, 0);
    expect_ok(ask(&p, &got));
    expect_bytes(&got, &whole, sizeof got, "without a checksum of the text");
    json_object_set_new(index.about, "writer", json_string("somebody else"));
    index_rewrite(&p, &index, 1);
    expect_ok(ask(&p, &got));
    index_drop(&index);
    place_close(&p);
}
END_TEST

/* --- lies -------------------------------------------------------------------------- */

/* A key of the metadata, what is put there, as JSON, and the status: what an index
 * that nothing has damaged may not say. null: the key is taken away. */
static const struct {
    const char *key, *value;
    an_status status;
    const char *words;
} lies[] = {{"version", "0", AN_ERROR_FORMAT, "\"version\""},
            {"version", "-1", AN_ERROR_FORMAT, "\"version\""},
            {"version", "\"1\"", AN_ERROR_FORMAT, "\"version\""},
            {"version", NULL, AN_ERROR_FORMAT, "\"version\""},
            {"version", "2", AN_ERROR_VERSION, "version is 2"},
            {"side", "0", AN_ERROR_FORMAT, "\"side\""},
            {"side", "2049", AN_ERROR_FORMAT, "\"side\""},
            {"side", "3", AN_ERROR_FORMAT, "\"sum\""},
            {"side", NULL, AN_ERROR_FORMAT, "\"side\""},
            {"kind", "\"png\"", AN_ERROR_FORMAT, "\"kind\""},
            {"kind", "1", AN_ERROR_FORMAT, "\"kind\""},
            {"kind", NULL, AN_ERROR_FORMAT, "\"kind\""},
            {"fit", "\"stretch\"", AN_ERROR_FORMAT, "\"fit\""},
            {"fit", NULL, AN_ERROR_FORMAT, "\"fit\""},
            {"skipped", "1", AN_ERROR_FORMAT, "\"skipped\""},
            {"skipped", "\"000000000000001\"", AN_ERROR_FORMAT, "\"skipped\""},
            {"skipped", "\"00000000000000001\"", AN_ERROR_FORMAT, "\"skipped\""},
            {"skipped", "\"000000000000000g\"", AN_ERROR_FORMAT, "\"skipped\""},
            {"skipped", "\"000000000000000A\"", AN_ERROR_FORMAT, "\"skipped\""},
            {"skipped", NULL, AN_ERROR_FORMAT, "\"skipped\""},
            {"colour_sums", "[\"0000000000000001\",\"0000000000000001\"]",
             AN_ERROR_FORMAT, "\"colour_sums\""},
            {"colour_sums", NULL, AN_ERROR_FORMAT, "\"colour_sums\""},
            {"colour_products", "[1,2,3,4,5,6]", AN_ERROR_FORMAT, "\"colour_products\""},
            {"colour_products", NULL, AN_ERROR_FORMAT, "\"colour_products\""},
            {"class_names", "[\"one\"]", AN_ERROR_FORMAT, "\"class_names\""},
            {"class_names", "[\"one\",2]", AN_ERROR_FORMAT, "\"class_names\""},
            {"class_names", NULL, AN_ERROR_FORMAT, "\"class_names\""},
            {"parts", "[]", AN_ERROR_FORMAT, "picture 0 is out of range"},
            {"parts", "[\"0000000000000028\"]", AN_ERROR_FORMAT, "out of range"},
            {"parts", "[1,2,3]", AN_ERROR_FORMAT, "\"parts\""},
            {"parts", NULL, AN_ERROR_FORMAT, "\"parts\""}};

START_TEST(metadata_that_lie_are_refused)
{
    place p = place_open();
    size_t i;

    make_tiny(&p);
    for (i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        parsed index = index_parse(&p);
        json_t *was = json_deep_copy(index.about);

        if (lies[i].value != NULL)
            json_object_set_new(index.about, lies[i].key,
                                json_loads(lies[i].value, JSON_DECODE_ANY, NULL));
        else
            json_object_del(index.about, lies[i].key);
        index_rewrite(&p, &index, 1);
        expect_refused(opens(&p), lies[i].status, lies[i].words);
        json_decref(index.about);
        index.about = was;
        index_rewrite(&p, &index, 1);
        expect_ok(opens(&p));
        index_drop(&index);
    }
    place_close(&p);
}
END_TEST

static json_t *names_of(uint32_t count, size_t length)
{
    json_t *names = json_array();
    char name[300];
    uint32_t i;

    memset(name, 'n', sizeof name);
    name[length] = '\0';
    for (i = 0; i < count; i++) json_array_append_new(names, json_string(name));
    return names;
}

/* The longest names, the most classes, and one more. */
START_TEST(an_index_has_limits)
{
    static const struct {
        uint32_t count;
        size_t length;
        an_status status;
    } names[] = {{2, 255, AN_OK},
                 {2, 256, AN_ERROR_FORMAT},
                 {65536, 1, AN_OK},
                 {65537, 1, AN_ERROR_FORMAT}};
    place p = place_open();
    size_t i;

    make_tiny(&p);
    for (i = 0; i < sizeof names / sizeof names[0]; i++) {
        parsed index = index_parse(&p);

        json_object_set_new(index.about, "class_names",
                            names_of(names[i].count, names[i].length));
        index_rewrite(&p, &index, 1);
        if (names[i].status == AN_OK)
            expect_ok(opens(&p));
        else
            expect_refused(opens(&p), names[i].status, "\"class_names\"");
        index_drop(&index);
    }
    place_close(&p);
}
END_TEST

/* A tensor of another type or shape than it should have, and one that is not there. */
START_TEST(tensors_that_lie_are_refused)
{
    static const char *const tensors[] = {"place", "bytes", "check", "label", "sum"};
    place p = place_open();
    size_t i;
    int k;

    make_tiny(&p);
    for (i = 0; i < 5; i++)
        for (k = 0; k < 3; k++) {
            parsed index = index_parse(&p);
            json_t *was = json_deep_copy(index.header);
            json_t *entry = json_object_get(index.header, tensors[i]);
            char words[24];

            snprintf(words, sizeof words, "\"%s\"", tensors[i]);
            json_incref(entry);
            if (k == 0) json_object_del(index.header, tensors[i]);
            if (k == 0) json_object_set(index.header, "other", entry);
            if (k == 1) /* as many bytes a number, or none that the library knows */
                json_object_set_new(entry, "dtype", json_string(i == 3 ? "F32" : "I64"));
            if (k == 2 && i < 4)
                json_object_set_new(entry, "shape", json_pack("[i, i]", 5, 1));
            if (k == 2 && i == 4) json_object_set_new(entry, "dtype", json_string("F64"));
            json_decref(entry);
            index_rewrite(&p, &index, 1);
            expect_refused(opens(&p), AN_ERROR_FORMAT, words);
            json_decref(index.header);
            index.header = was;
            index_rewrite(&p, &index, 1);
            expect_ok(opens(&p));
            index_drop(&index);
        }
    place_close(&p);
}
END_TEST

Suite *index_suite(void)
{
    Suite *suite = suite_create("index");
    TCase *tc = tcase_create("index");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, an_index_is_as_it_is_described, 0, 3);
    tcase_add_loop_test(tc, an_index_of_any_length_is_whole, 0, 8);
    tcase_add_test(tc, no_byte_of_an_index_changes_what_it_says);
    tcase_add_test(tc, a_pack_of_the_first_kind_opens);
    tcase_add_test(tc, metadata_that_lie_are_refused);
    tcase_add_test(tc, an_index_has_limits);
    tcase_add_test(tc, tensors_that_lie_are_refused);
    suite_add_tcase(suite, tc);
    return suite;
}
