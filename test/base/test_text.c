/*
 * test_text.c - texts that nobody vouches for, as messages show them.
 */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "expect.h"
#include "test.h"

/* What a terminal would obey, hide or put in another place, and what is no UTF-8; the
 * rest is as it was, of one to four bytes. */
START_TEST(messages_show_what_is_not_seen)
{
    static const struct {
        const char *text, *shown;
    } cases[] = {
        {"", ""},
        {"plain \xc3\xa9 \xe2\x82\xac \xf0\x9f\x8c\xb7 ~",
         "plain \xc3\xa9 \xe2\x82\xac \xf0\x9f\x8c\xb7 ~"},
        {"\033[2J\a\n\t\x7f", "\\x1b[2J\\x07\\x0a\\x09\\x7f"},
        {"\xc2\x9b"
         "0m \xc2\xa0 \xc2\xad",
         "\\u009b0m \xc2\xa0 \\u00ad"},
        {"a\xe2\x80\xae"
         "b\xe2\x81\xa6"
         "c\xe2\x80\x8f \xd8\x9c",
         "a\\u202eb\\u2066c\\u200f \\u061c"},
        {"\xe2\x80\x8b\xef\xbb\xbf\xe2\x80\xaf", "\\u200b\\ufeff\xe2\x80\xaf"},
        {"\xf3\xa0\x81\x81!", "\\ue0041!"},
        {"\xff\xc3(\xe2\x82 \xed\xa0\x80\xc0\x80",
         "\\xff\\xc3(\\xe2\\x82 \\xed\\xa0\\x80\\xc0\\x80"},
        {"\xf0\x9f\x8c", "\\xf0\\x9f\\x8c"},
    };
    char shown[64], path[64];
    an_context *ctx;
    an_model *model = NULL;
    size_t i;

    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        an__text_show(shown, sizeof shown, cases[i].text);
        ck_assert_str_eq(shown, cases[i].shown);
    }
    an__text_show(shown, 5, "ab\033c"); /* nothing is shown in part */
    ck_assert_str_eq(shown, "ab");
    an__text_show(shown, 7, "ab\033c");
    ck_assert_str_eq(shown, "ab\\x1b");
    an__text_show(shown, 4, "ab\xe2\x82\xac");
    ck_assert_str_eq(shown, "ab");
    expect_ok(an_context_create(&ctx, NULL));
    snprintf(path, sizeof path, "no\033]0;evil\a/such");
    ck_assert_int_eq(an_model_load(&model, ctx, path, NULL), AN_ERROR_IO);
    ck_assert_ptr_nonnull(strstr(an_error_message(), "no\\x1b]0;evil\\x07/such"));
    an_context_destroy(ctx);
}
END_TEST

Suite *text_suite(void)
{
    Suite *suite = suite_create("text");
    TCase *tc = tcase_create("text");

    tcase_add_test(tc, messages_show_what_is_not_seen);
    suite_add_tcase(suite, tc);
    return suite;
}
