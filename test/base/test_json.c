/*
 * test_json.c - JSON beside jansson, which reads and writes the same otherwise: what is
 * taken, what is refused, what comes of it.
 */
#define _GNU_SOURCE
#include <check.h>
#include <jansson.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "expect.h"
#include "scratch.h"
#include "test.h"

static an_status check_text(an_json *out, const char *text)
{
    return an__json_check(out, text, strlen(text), "it");
}

/* --- taken and refused ------------------------------------------------------------- */

static const char *const good[] = {
    "{}",
    "[]",
    " \t\r\n{ } ",
    "0",
    "-0",
    "10",
    "1.5e+10",
    "-1E-7",
    "true",
    "false",
    "null",
    "\"\"",
    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u20AC\\ud83c\\udf37\"",
    "\"\xe2\x82\xac\xf0\x9f\x8c\xb7\x7f\"",
    "[1, [2, [3, {}]], {\"a\": [], \"b\": {\"c\": null}}]",
    "{\"a\":1,\"a\":2}",
    "{\"\": 0}",
};

static const struct {
    const char *text, *words;
} bad[] = {
    {"", "byte 0: a value that is missing"},
    {" ", "byte 1: a value that is missing"},
    {"{", "byte 1: no key where one must be"},
    {"[", "byte 1: a value that is missing"},
    {"[1", "byte 2: an end that is missing"},
    {"[1,", "byte 3: a value that is missing"},
    {"[1,]", "byte 3: neither a value nor an end"},
    {"[1 2]", "byte 3: neither a comma nor an end"},
    {"[1}", "byte 2: neither a comma nor an end"},
    {"{\"a\":1]", "byte 6: neither a comma nor an end"},
    {"{\"a\"}", "byte 4: no colon behind a key"},
    {"{\"a\":}", "byte 5: neither a value nor an end"},
    {"{\"a\":1,}", "byte 7: no key where one must be"},
    {"{a:1}", "byte 1: no key where one must be"},
    {"{1:1}", "byte 1: no key where one must be"},
    {"{} {}", "byte 3: more behind the end"},
    {"1 2", "byte 2: more behind the end"},
    {"nul", "byte 0: neither a value nor an end"},
    {"NaN", "byte 0: neither a value nor an end"},
    {"Infinity", "byte 0: neither a value nor an end"},
    {"'a'", "byte 0: neither a value nor an end"},
    {"// a\n1", "byte 0: neither a value nor an end"},
    {"+1", "byte 0: neither a value nor an end"},
    {".5", "byte 0: neither a value nor an end"},
    {"01", "a number that is none"},
    {"-", "a number that is none"},
    {"1.", "a number that is none"},
    {"1.e5", "a number that is none"},
    {"1e", "a number that is none"},
    {"1e+", "a number that is none"},
    {"0x10", "byte 1: more behind the end"},
    {"\"a", "a text without an end"},
    {"\"a\\", "an escape that there is not"},
    {"\"\\x41\"", "an escape that there is not"},
    {"\"\\u12\"", "an escape of no character"},
    {"\"\\u0000\"", "an escape of no character"},
    {"\"\\ud83c\"", "an escape of no character"},
    {"\"\\udf37\"", "an escape of no character"},
    {"\"\\ud83c\\u0041\"", "an escape of no character"},
    {"\"a\nb\"", "byte 2: a control character in a text"},
    {"\"\xff\"", "byte 1: a text that is not UTF-8"},
    {"\"\xc0\x80\"", "byte 1: a text that is not UTF-8"},
    {"\"\xed\xa0\x80\"", "byte 1: a text that is not UTF-8"},
    {"\"\xe2\x82", "byte 1: a text that is not UTF-8"},
    {"\xef\xbb\xbf{}", "byte 0: neither a value nor an end"},
};

START_TEST(what_is_json_is_taken_and_the_rest_refused_with_its_place)
{
    an_json value;
    size_t i;

    for (i = 0; i < sizeof good / sizeof good[0]; i++) {
        an_status status = check_text(&value, good[i]);

        ck_assert_msg(status == AN_OK, "%s: %s", good[i], an_error_message());
    }
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        an_status status = check_text(&value, bad[i].text);

        ck_assert_msg(status == AN_ERROR_FORMAT &&
                          strstr(an_error_message(), "it is no JSON: byte ") != NULL &&
                          strstr(an_error_message(), bad[i].words) != NULL,
                      "%s: wanted \"%s\", got %d: %s", bad[i].text, bad[i].words, status,
                      an_error_message());
        ck_assert_ptr_null(value.at);
    }
    expect_refused(an__json_check(&value, "[\0]", 3, "it"), AN_ERROR_FORMAT, "byte 1");
}
END_TEST

static char *nested(size_t depth, char open, char close)
{
    char *text = malloc(8 * depth + 8), *at = text;
    size_t i;

    if (text == NULL) abort();
    for (i = 0; i < depth; i++) at += sprintf(at, open == '{' ? "{\"a\":" : "%c", open);
    at += sprintf(at, "1");
    for (i = 0; i < depth; i++) *at++ = close;
    *at = '\0';
    return text;
}

START_TEST(depth_and_digits_have_limits)
{
    static const char kinds[][2] = {{'[', ']'}, {'{', '}'}};
    char digits[AN_JSON_DIGITS + 2], *text;
    an_json value;
    double real;
    size_t i;

    for (i = 0; i < 2; i++) {
        text = nested(AN_JSON_DEPTH, kinds[i][0], kinds[i][1]);
        expect_ok(check_text(&value, text));
        free(text);
        text = nested(AN_JSON_DEPTH + 1, kinds[i][0], kinds[i][1]);
        expect_refused(check_text(&value, text), AN_ERROR_FORMAT,
                       "too many values within each other");
        free(text);
    }
    memset(digits, '7', sizeof digits);
    digits[1] = '.';
    digits[AN_JSON_DIGITS + 1] = '\0';
    expect_refused(check_text(&value, digits), AN_ERROR_FORMAT, "too long");
    digits[AN_JSON_DIGITS] = '\0';
    expect_ok(check_text(&value, digits));
    ck_assert(an__json_real(value, &real));
    expect_number(real, strtod(digits, NULL), 0, "as many digits as there may be");
}
END_TEST

/* --- beside jansson ---------------------------------------------------------------- */

static void compare(an_json ours, const json_t *theirs, const char *text);

static void compare_lists(an_json ours, const json_t *theirs, const char *text)
{
    an_json_walk walk = an__json_walk(ours);
    an_json value;
    size_t i;

    ck_assert_msg(an__json_count(ours) == json_array_size(theirs), "%s", text);
    for (i = 0; an__json_next(&walk, NULL, &value); i++)
        compare(value, json_array_get(theirs, i), text);
}

/* Of a key that is there twice jansson has the last, and we have none. */
static void compare_objects(an_json ours, const json_t *theirs, const char *text)
{
    an_json_walk walk = an__json_walk(ours);
    an_json key, value;

    ck_assert_msg(an__json_count(ours) >= json_object_size(theirs), "%s", text);
    while (an__json_next(&walk, &key, &value)) {
        char name[200];

        ck_assert_msg(an__json_text(key, name, sizeof name, NULL), "%s", text);
        ck_assert_msg(json_object_get(theirs, name) != NULL, "%s: %s", text, name);
        if (an__json_get(ours, name).at != NULL)
            compare(value, json_object_get(theirs, name), text);
    }
}

static void compare(an_json ours, const json_t *theirs, const char *text)
{
    char bytes[600];
    size_t length;
    uint64_t whole;
    double real;

    switch (json_typeof(theirs)) {
    case JSON_OBJECT: compare_objects(ours, theirs, text); break;
    case JSON_ARRAY: compare_lists(ours, theirs, text); break;
    case JSON_STRING:
        ck_assert_msg(an__json_text(ours, bytes, sizeof bytes, &length), "%s", text);
        ck_assert_msg(length == json_string_length(theirs) &&
                          memcmp(bytes, json_string_value(theirs), length + 1) == 0 &&
                          an__json_equals(ours, json_string_value(theirs)),
                      "%s: %s", text, bytes);
        ck_assert_msg(!an__json_text(ours, bytes, length, NULL), "%s", text);
        break;
    case JSON_INTEGER:
        ck_assert_msg(an__json_whole(ours, &whole) == (*ours.at != '-'), "%s", text);
        if (*ours.at != '-')
            ck_assert_msg(whole == (uint64_t)json_integer_value(theirs), "%s", text);
        break;
    case JSON_REAL:
        ck_assert_msg(an__json_real(ours, &real) && real == json_real_value(theirs), "%s",
                      text);
        ck_assert_msg(!an__json_whole(ours, &whole), "%s", text);
        break;
    case JSON_NULL: ck_assert_msg(an__json_is_null(ours), "%s", text); break;
    default: ck_assert_msg(*ours.at == 't' || *ours.at == 'f', "%s", text); break;
    }
}

static uint32_t state = 1;

static uint32_t draw(uint32_t below)
{
    state = state * 1664525u + 1013904223u;
    return (uint32_t)((uint64_t)state * below >> 32);
}

static const char *const seeds[] = {
    "{\"__metadata__\":{\"alexnet\":\"{\\\"version\\\":1}\"},\"a.weight\":{\"dtype\":"
    "\"F32\","
    "\"shape\":[3, 4],\"data_offsets\":[0,48]}}",
    "[1.5, -2e-3, 0, \"\\u20ac \\ud83c\\udf37 \xc3\xa9\", true, null, {\"k\": []}]",
    "{\"a\":{\"b\":{\"c\":[[],[[1]],{}]}},\"d\":\"\\n\\t\\\"\\\\\",\"e\":7}",
};

/* What mutations are made of. */
static const char pieces[] =
    "{}[]\",:\\0123456789eE+-.utrfalsn \t\n\xe2\x82\xac\xf0\x9f\xff\x01";

static size_t mutate(char *text, size_t length)
{
    uint32_t times = 1 + draw(4);

    while (times-- > 0) {
        size_t at = draw((uint32_t)length + 1), count = 1 + draw(6);
        char piece = pieces[draw(sizeof pieces - 1)];

        switch (draw(3)) {
        case 0: /* one more */
            memmove(text + at + 1, text + at, length - at);
            text[at] = piece;
            length++;
            break;
        case 1: /* some less */
            if (at + count > length) count = length - at;
            memmove(text + at, text + at + count, length - at - count);
            length -= count;
            break;
        default:
            if (at < length) text[at] = piece;
        }
    }
    text[length] = '\0';
    return length;
}

START_TEST(mutated_texts_are_read_as_jansson_reads_them)
{
    int taken = 0, refused = 0, round;

    for (round = 0; round < 100000; round++) {
        const char *seed = seeds[draw(3)];
        size_t length = strlen(seed);
        char text[300], *tight;
        json_error_t error;
        an_status status;
        json_t *theirs;
        an_json ours;

        memcpy(text, seed, length + 1);
        length = mutate(text, length);
        tight = malloc(length + 1); /* nothing is read beyond its end */
        memcpy(tight, text, length);
        theirs = json_loadb(tight, length, JSON_DECODE_ANY, &error);
        status = an__json_check(&ours, tight, length, "it");
        if (theirs == NULL && json_error_code(&error) == json_error_numeric_overflow) {
            free(tight); /* no question of JSON */
            continue;
        }
        ck_assert_msg((status == AN_OK) == (theirs != NULL), "%s: we: %s; jansson: %s",
                      text, status == AN_OK ? "ok" : an_error_message(),
                      theirs != NULL ? "ok" : error.text);
        if (theirs != NULL) compare(ours, theirs, text);
        *(theirs != NULL ? &taken : &refused) += 1;
        json_decref(theirs);
        free(tight);
    }
    ck_assert_msg(taken > 10000 && refused > 10000, "%d taken, %d refused", taken,
                  refused);
}
END_TEST

/* --- numbers ----------------------------------------------------------------------- */

START_TEST(whole_numbers_are_exact)
{
    static const struct {
        const char *text;
        int is_whole;
        uint64_t number;
    } cases[] = {{"0", 1, 0},
                 {"7", 1, 7},
                 {"18446744073709551615", 1, UINT64_MAX},
                 {"18446744073709551616", 0, 0},
                 {"184467440737095516150", 0, 0},
                 {"9007199254740993", 1, 9007199254740993},
                 {"-1", 0, 0},
                 {"-0", 0, 0},
                 {"1.0", 0, 0},
                 {"1e2", 0, 0},
                 {"\"7\"", 0, 0},
                 {"[7]", 0, 0},
                 {"null", 0, 0}};
    size_t i;

    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t number = 99;
        an_json value;

        expect_ok(check_text(&value, cases[i].text));
        expect_count(an__json_whole(value, &number), cases[i].is_whole, "%s",
                     cases[i].text);
        expect_count(number, cases[i].is_whole ? cases[i].number : 99, "%s",
                     cases[i].text);
    }
}
END_TEST

static void *take(size_t bytes, void *user)
{
    (void)user;
    return malloc(bytes);
}

static void give(void *block, void *user)
{
    (void)user;
    free(block);
}

static const an_allocator memory = {take, give, NULL, NULL, NULL};

static void put_numbers(an_json_out *out, const void *arg)
{
    const double *numbers = arg;
    int i;

    an__json_open(out, '[');
    for (i = 0; i < 100; i++) an__json_put_real(out, numbers[i]);
    an__json_close(out, ']');
}

static void make_numbers(double numbers[100])
{
    static const double some[] = {0,      -0.0, 1,       -1.5,    0.1,    1e300,
                                  5e-324, 1e17, 123456,  1.0 / 3, 2e-308, 1e16,
                                  1e15,   0.5,  2097152, 1e-5};
    int i;

    for (i = 0; i < 100; i++)
        numbers[i] =
            i < 16 ? some[i] : ldexp((double)draw(1u << 31) - 1e9, (int)draw(400) - 200);
}

/* Out and in again: the same bits. */
static void expect_numbers_back(const double numbers[100], const char *text,
                                const char *what)
{
    an_json list, value;
    an_json_walk walk;
    double back;
    int i;

    expect_ok(check_text(&list, text));
    walk = an__json_walk(list);
    for (i = 0; an__json_next(&walk, NULL, &value); i++) {
        ck_assert_msg(an__json_real(value, &back), "%s: %s", what, text);
        ck_assert_msg(memcmp(&back, &numbers[i], sizeof back) == 0, "%s: %a, wanted %a",
                      what, back, numbers[i]);
    }
    expect_count(i, 100, "%s", what);
}

static void put_words(an_json_out *out, const void *arg)
{
    const char *const *words = arg;

    an__json_open(out, '{');
    for (; *words != NULL; words++) {
        an__json_key(out, *words);
        an__json_put_text(out, *words);
    }
    an__json_key(out, "list");
    an__json_open(out, '[');
    an__json_put_text(out, NULL);
    an__json_put_whole(out, UINT64_MAX / 2);
    an__json_open(out, '{');
    an__json_close(out, '}');
    an__json_open(out, '[');
    an__json_close(out, ']');
    an__json_close(out, ']');
    an__json_close(out, '}');
}

/* To the byte. */
START_TEST(what_is_written_is_what_jansson_writes)
{
    static const char *const words[] = {"plain", "\"\\/\b\f\n\r\t\x01\x1f\x7f",
                                        "\xe2\x82\xac \xf0\x9f\x8c\xb7", "", NULL};
    json_t *theirs = json_array(), *list = json_array();
    double numbers[100];
    char *ours, *text;
    size_t length, i;

    make_numbers(numbers);
    for (i = 0; i < 100; i++) json_array_append_new(theirs, json_real(numbers[i]));
    text = json_dumps(theirs, JSON_COMPACT | JSON_REAL_PRECISION(17));
    expect_ok(an__json_make(&ours, &length, &memory, put_numbers, numbers));
    expect_count(length, strlen(text), "the numbers' text");
    expect_bytes(ours, text, length, "the numbers' text");
    expect_numbers_back(numbers, ours, "in C's own locale");
    free(text);
    json_decref(theirs);
    an__free(&memory, ours);
    theirs = json_object();
    for (i = 0; words[i] != NULL; i++)
        json_object_set_new(theirs, words[i], json_string(words[i]));
    json_array_append_new(list, json_null());
    json_array_append_new(list, json_integer((json_int_t)(UINT64_MAX / 2)));
    json_array_append_new(list, json_object());
    json_array_append_new(list, json_array());
    json_object_set_new(theirs, "list", list);
    text = json_dumps(theirs, JSON_COMPACT);
    expect_ok(an__json_make(&ours, &length, &memory, put_words, words));
    expect_text(ours, text, "words");
    free(text);
    json_decref(theirs);
    an__free(&memory, ours);
}
END_TEST

/* glibc 2.36 leaks what it makes of LOCPATH, which LeakSanitizer tells. */
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/lsan_interface.h>
static locale_t new_locale(const char *name)
{
    locale_t made;

    __lsan_disable();
    made = newlocale(LC_ALL_MASK, name, (locale_t)0);
    __lsan_enable();
    return made;
}
#else
static locale_t new_locale(const char *name)
{
    return newlocale(LC_ALL_MASK, name, (locale_t)0);
}
#endif

/* A host's locale may write 0,5: our files say 0.5, and theirs are read. */
START_TEST(a_hosts_locale_changes_nothing)
{
    static char where[SCRATCH + 16];
    double numbers[100];
    char folder[SCRATCH], command[256], *plain, *here, half[8];
    size_t length;
    locale_t comma;

    scratch_folder(folder);
    snprintf(command, sizeof command,
             "localedef -i de_DE -f UTF-8 %s/de_DE.UTF-8 2>/dev/null", folder);
    if (system(command) != 0) {
        printf("not run: there is no locale with a comma\n");
        return;
    }
    snprintf(where, sizeof where, "LOCPATH=%s", folder);
    putenv(where);
    comma = new_locale("de_DE.UTF-8");
    ck_assert_msg(comma != (locale_t)0, "the locale was made and is not there");
    make_numbers(numbers);
    expect_ok(an__json_make(&plain, &length, &memory, put_numbers, numbers));
    uselocale(comma);
    snprintf(half, sizeof half, "%.1f", 0.5);
    expect_text(half, "0,5", "what the locale does");
    expect_ok(an__json_make(&here, &length, &memory, put_numbers, numbers));
    expect_bytes(here, plain, length + 1, "written with a comma about");
    expect_numbers_back(numbers, plain, "read with a comma about");
    uselocale(LC_GLOBAL_LOCALE);
    freelocale(comma);
    an__free(&memory, plain);
    an__free(&memory, here);
    scratch_remove(folder);
}
END_TEST

/* --- looking ----------------------------------------------------------------------- */

START_TEST(a_key_is_found_once_or_not_at_all)
{
    an_json object, value;
    uint64_t number = 0;
    char name[4];

    expect_ok(check_text(
        &object, "{\"a\": 1, \"b\": {\"a\": 2, \"c\": \"}\\\"{\"}, \"\\u0063\": 3,"
                 " \"twice\": 4, \"t\\u0077ice\": 5, \"last\": [6]}"));
    ck_assert(an__json_whole(an__json_get(object, "a"), &number) && number == 1);
    ck_assert(an__json_whole(an__json_get(an__json_get(object, "b"), "a"), &number) &&
              number == 2);
    ck_assert(an__json_whole(an__json_get(object, "c"), &number) && number == 3);
    ck_assert_ptr_null(an__json_get(object, "twice").at);
    ck_assert_ptr_null(an__json_get(object, "la").at);
    ck_assert_ptr_null(an__json_get(object, "lasts").at);
    ck_assert_ptr_null(an__json_get(an__json_get(object, "last"), "a").at);
    ck_assert_ptr_null(an__json_get(an__json_get(object, "none"), "a").at);
    expect_count(an__json_count(object), 6, "members");
    expect_count(an__json_count(an__json_get(object, "last")), 1, "elements");
    expect_count(an__json_count(an__json_get(object, "a")), 0, "of a number");
    value = an__json_get(an__json_get(object, "b"), "c");
    ck_assert(!an__json_text(value, name, 3, NULL) &&
              an__json_text(value, name, 4, NULL));
    expect_text(name, "}\"{", "a text with brackets");
    ck_assert(!an__json_text(object, name, 4, NULL));
    ck_assert(!an__json_equals(value, "}\"") && !an__json_equals(value, "}\"{{"));
}
END_TEST

Suite *json_suite(void)
{
    Suite *suite = suite_create("json");
    TCase *tc = tcase_create("json");

    tcase_add_test(tc, what_is_json_is_taken_and_the_rest_refused_with_its_place);
    tcase_add_test(tc, depth_and_digits_have_limits);
    tcase_add_test(tc, mutated_texts_are_read_as_jansson_reads_them);
    tcase_add_test(tc, whole_numbers_are_exact);
    tcase_add_test(tc, what_is_written_is_what_jansson_writes);
    tcase_add_test(tc, a_hosts_locale_changes_nothing);
    tcase_add_test(tc, a_key_is_found_once_or_not_at_all);
    suite_add_tcase(suite, tc);
    return suite;
}
