/*
 * test_repeat.c - what is done again and again is recorded when it comes a second time
 * and repeated from then on. The backend is one of this file's own, which notes what it
 * is asked for.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "test.h"

#include "train/train.h"

struct an_recording {
    uint32_t replays;
};

/* What the backend and the body were asked for, and what fails. */
static struct {
    uint32_t bodies, count; /* the body's calls, and its last number of images */
    uint32_t records, replays, held;
    int recording;
    an_status fail_record, fail_body, fail_recorded, fail_replay;
    int infos, warnings;
    char said[300];
} seen;

enum { SENT = 7 }; /* numbers that the body sends between towers, of an image */

static an_status record(an_queue *const *queues, uint32_t count)
{
    (void)queues;
    expect_count(count, 1, "queues of one tower");
    if (seen.fail_record != AN_OK) return an__fail(seen.fail_record, "no recorder");
    seen.records++;
    seen.recording = 1;
    return AN_OK;
}

static an_status recorded(an_queue *const *queues, uint32_t count, an_recording **out)
{
    (void)queues;
    (void)count;
    seen.recording = 0;
    if (seen.fail_recorded != AN_OK) return an__fail(seen.fail_recorded, "tape torn");
    *out = calloc(1, sizeof **out);
    seen.held++;
    return AN_OK;
}

static an_status replay(an_recording *recording)
{
    recording->replays++;
    seen.replays++;
    if (seen.fail_replay != AN_OK) return an__fail(seen.fail_replay, "played out");
    return AN_OK;
}

static void recording_free(an_recording *recording)
{
    seen.held--;
    free(recording);
}

static an_status body(void *arg, uint32_t count)
{
    an_session *session = arg;

    seen.bodies++;
    seen.count = count;
    *session->exec.exchanged += SENT * count;
    if (seen.recording && seen.fail_body != AN_OK)
        return an__fail(seen.fail_body, "hoarse");
    return AN_OK;
}

static void listen(an_log_level level, const char *text, void *user)
{
    (void)user;
    seen.infos += level == AN_LOG_INFO;
    seen.warnings += level == AN_LOG_WARNING;
    snprintf(seen.said, sizeof seen.said, "%s", text);
}

static const an_graph_table graph = {record, recorded, replay, recording_free};

static an_backend backend;
static an_plan plan;
static an_context context;
static an_session session;
static uint64_t sent;

static void setup(void)
{
    memset(&seen, 0, sizeof seen);
    memset(&backend, 0, sizeof backend);
    memset(&session, 0, sizeof session);
    memset(&plan, 0, sizeof plan);
    backend.graph = &graph;
    plan.towers = 1;
    context.memory.log = listen;
    session.exec.ctx = &context;
    session.exec.plan = &plan;
    session.exec.backend = &backend;
    session.exec.exchanged = &sent;
    sent = 0;
}

static void once(an_repeat what, uint32_t count)
{
    expect_ok(an__session_repeat(&session, what, count, body, &session));
}

/* What has happened since: bodies done, recordings made, repetitions; recordings held
 * now. */
static void expect_done(uint32_t bodies, uint32_t records, uint32_t replays,
                        uint32_t held, const char *what)
{
    expect_count(seen.bodies, bodies, "%s", what);
    expect_count(seen.records, records, "%s", what);
    expect_count(seen.replays, replays, "%s", what);
    expect_count(seen.held, held, "%s: recordings held", what);
    seen.bodies = seen.records = seen.replays = 0;
}

START_TEST(the_second_time_is_recorded_and_repeated_from_then_on)
{
    uint32_t i;

    once(AN_REPEAT_STEP, 5);
    expect_done(1, 0, 0, 0, "the first");
    expect_count(seen.count, 5, "the first");
    once(AN_REPEAT_STEP, 5); /* the body is recorded, not done, and then played */
    expect_done(1, 1, 1, 1, "the second");
    for (i = 0; i < 3; i++) once(AN_REPEAT_STEP, 5);
    expect_done(0, 0, 3, 1, "the third and on");
    expect_count(seen.infos, 1, "said once");
    expect_text(seen.said, "a training step of 5 images is recorded", "said");
    /* Another number of images is another thing: it begins from the beginning. */
    once(AN_REPEAT_STEP, 4);
    expect_done(1, 0, 0, 0, "another number");
    once(AN_REPEAT_STEP, 5);
    expect_done(1, 0, 0, 0, "the first number again");
    once(AN_REPEAT_STEP, 5);
    expect_done(1, 1, 1, 1, "the first number, the second time");
    expect_count(seen.infos, 1, "said once");
    an__session_forget(&session);
    expect_done(0, 0, 0, 0, "forgotten");
    once(AN_REPEAT_STEP, 5);
    expect_done(1, 0, 0, 0, "after it was forgotten");
    an__session_forget(&session);
}
END_TEST

/* More images than ever before may move buffers: what was recorded of anything is
 * gone. */
START_TEST(more_images_than_before_make_all_forgotten)
{
    static const char *const names[] = {"a pass that classifies", "a pass that evaluates",
                                        "a training step"};
    uint32_t kind;
    char text[100];

    for (kind = 0; kind < 3; kind++) {
        once((an_repeat)kind, 6);
        once((an_repeat)kind, 6);
        expect_done(2, 1, 1, kind + 1, "each by itself");
        snprintf(text, sizeof text, "%s of 6 images is recorded", names[kind]);
        expect_text(seen.said, text, "said");
    }
    once(AN_REPEAT_CLASSIFY, 5); /* fewer: the others stay */
    expect_done(1, 0, 0, 2, "fewer");
    once(AN_REPEAT_EVALUATE, 6);
    expect_done(0, 0, 1, 2, "fewer of another");
    once(AN_REPEAT_CLASSIFY, 7);
    expect_done(1, 0, 0, 0, "more");
    once(AN_REPEAT_EVALUATE, 6);
    expect_done(1, 0, 0, 0, "another, forgotten");
    once(AN_REPEAT_CLASSIFY, 7);
    once(AN_REPEAT_EVALUATE, 6);
    expect_done(2, 2, 2, 2, "both anew");
    an__session_forget(&session);
    expect_done(0, 0, 0, 0, "forgotten");
}
END_TEST

/* What is sent between towers counts when it is done, or played, not when it is
 * recorded. */
START_TEST(what_is_repeated_is_sent_again)
{
    uint32_t i;

    for (i = 1; i <= 5; i++) {
        once(AN_REPEAT_STEP, 3);
        expect_count(sent, i * 3 * SENT, "numbers after %u times", i);
    }
    ck_assert_ptr_eq(session.exec.exchanged, &sent);
    an__session_forget(&session);
}
END_TEST

/* A recorder that will not, a body that cannot be recorded, a recording that fails at its
 * end: it is done as it comes from then on, which is said once, with the reason that came
 * first. */
START_TEST(what_cannot_be_recorded_is_done_as_it_comes)
{
    static const char *const why[] = {"no recorder", "hoarse", "tape torn", "hoarse"};
    uint32_t i;

    once(AN_REPEAT_STEP, 2);
    if (_i == 0) seen.fail_record = AN_ERROR_DEVICE;
    if (_i == 1 || _i == 3) seen.fail_body = AN_ERROR_DEVICE;
    if (_i == 2 || _i == 3) seen.fail_recorded = AN_ERROR_DEVICE;
    once(AN_REPEAT_STEP, 2);
    expect_done(_i == 0 ? 2 : 3, _i != 0, 0, 0, "a recording that failed");
    for (i = 0; i < 3; i++) once(AN_REPEAT_STEP, 2);
    expect_done(3, 0, 0, 0, "from then on");
    expect_count(seen.warnings, 1, "said once");
    expect_count(seen.infos, 0, "nothing was recorded");
    ck_assert_msg(strstr(seen.said, "a training step of 2 images is not recorded") !=
                          NULL &&
                      strstr(seen.said, why[_i]) != NULL,
                  "wanted \"%s\" in \"%s\"", why[_i], seen.said);
    ck_assert_ptr_eq(session.exec.exchanged, &sent);
    /* Once forgotten it is tried again, and not complained of again. */
    seen.fail_record = seen.fail_body = seen.fail_recorded = AN_OK;
    an__session_forget(&session);
    once(AN_REPEAT_STEP, 2);
    once(AN_REPEAT_STEP, 2);
    expect_done(2, 1, 1, 1, "tried again");
    expect_count(seen.warnings, 1, "said once");
    an__session_forget(&session);
}
END_TEST

START_TEST(a_failure_is_the_callers)
{
    once(AN_REPEAT_STEP, 2);
    once(AN_REPEAT_STEP, 2);
    seen.fail_replay = AN_ERROR_DEVICE;
    sent = 0;
    expect_refused(an__session_repeat(&session, AN_REPEAT_STEP, 2, body, &session),
                   AN_ERROR_DEVICE, "played out");
    expect_count(sent, 0, "numbers that were not sent");
    an__session_forget(&session);
}
END_TEST

/* Nothing is recorded where the backend cannot. */
START_TEST(without_a_recorder_all_is_done_as_it_comes)
{
    uint32_t i;

    backend.graph = NULL;
    for (i = 0; i < 4; i++) once(AN_REPEAT_CLASSIFY, 2);
    expect_done(4, 0, 0, 0, "no recorder");
    expect_count(sent, 4 * 2 * SENT, "numbers");
    expect_count(seen.infos + seen.warnings, 0, "said");
}
END_TEST

Suite *repeat_suite(void)
{
    Suite *suite = suite_create("repeat");
    TCase *tc = tcase_create("repeat");

    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_test(tc, the_second_time_is_recorded_and_repeated_from_then_on);
    tcase_add_test(tc, more_images_than_before_make_all_forgotten);
    tcase_add_test(tc, what_is_repeated_is_sent_again);
    tcase_add_loop_test(tc, what_cannot_be_recorded_is_done_as_it_comes, 0, 4);
    tcase_add_test(tc, a_failure_is_the_callers);
    tcase_add_test(tc, without_a_recorder_all_is_done_as_it_comes);
    suite_add_tcase(suite, tc);
    return suite;
}
