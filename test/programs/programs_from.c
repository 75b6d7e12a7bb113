/*
 * programs_from.c - train --from: what a run takes from a trained model.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tiny.h"

/* A trained model that is unlike the defaults, of pictures unlike those of "data". */
static void make_base(void)
{
    const tiny_pack other = {.seed = 8};

    tiny_pack_make("other", &other);
    program_succeeds(NULL, "train " TINY " --no-lrn --pooling plain --width 0.2 --seed 7 "
                           "--steps 2 --mean-image --out base other");
}

/* Gives the twin the base's parameters but for those whose names begin with `without`,
 * unless that is null. */
static void from_base(twin *t, const char *without, uint32_t *copied)
{
    opened base = checkpoint_open("base");
    an_parameter_info info;
    uint32_t i;

    an_parameter_info_init(&info, sizeof info);
    *copied = 0;
    for (i = 0; an_parameter_describe(t->model, i, &info) == AN_OK; i++) {
        float *values = malloc(info.count * sizeof *values);

        if (without == NULL || strncmp(info.name, without, strlen(without)) != 0) {
            expect_ok(an_parameter_get(base.model, i, values, info.count));
            expect_ok(an_parameter_set(t->model, i, values, info.count));
            ++*copied;
        }
        free(values);
    }
    checkpoint_close(&base);
}

/* The input is prepared as the base's was. */
static void input_of_base(twin *t)
{
    const size_t count = (size_t)3 * TINY_SIDE * TINY_SIDE;
    float *mean = malloc(count * sizeof *mean);
    opened base = checkpoint_open("base");
    an_preprocessing p;

    an_preprocessing_init(&p, sizeof p);
    expect_ok(an_model_get_preprocessing(base.model, &p));
    expect_ok(an_model_get_mean_image(base.model, mean, count));
    expect_ok(an_model_set_preprocessing(t->model, &p));
    expect_ok(an_model_set_mean_image(t->model, mean, count));
    checkpoint_close(&base);
    free(mean);
}

static void plan_of_base(plan *p)
{
    plan_init(p);
    p->steps = 2;
    p->model.lrn = AN_SWITCH_OFF;
    p->model.pooling = AN_POOLING_PLAIN;
    p->model.width = 0.2f;
}

/* Trains on the pack `name` from "base": all layers' parameters are taken but
 * `without`'s. */
static void expect_from(const char *name, const char *without, uint32_t classes)
{
    char words[64], *out;
    uint32_t copied;
    plan p;
    twin t;

    plan_of_base(&p);
    p.train = name;
    p.val = NULL;
    p.model.classes = classes;
    twin_open(&t, &p);
    from_base(&t, without, &copied);
    input_of_base(&t);
    twin_begin(&t);
    twin_train(&t);
    remove(tiny_path("run"));
    program_succeeds(
        &out, "train --from base --batch 8 --threads 1 --steps 2 --out run %s", name);
    expect_run(&t, "run", name);
    snprintf(words, sizeof words, "%u tensors of base\n", copied);
    expect_count(times_in(out, words), 1, "\"%s\" in: %s", words, out);
    free(out);
    twin_free(&t);
}

/* Same classes: the last layer too. Others, be it the first or the last alone; more;
 * fewer: it begins anew. */
START_TEST(a_run_begins_with_the_other_models_parameters)
{
    const tiny_pack first = {.renamed = 1, .seed = 5}, last = {.renamed = 7, .seed = 5},
                    more = {.classes = 9, .seed = 5}, fewer = {.classes = 5, .seed = 5};

    make_base();
    tiny_pack_make("first", &first);
    tiny_pack_make("last", &last);
    tiny_pack_make("more", &more);
    tiny_pack_make("fewer", &fewer);
    expect_from("data/train", NULL, 7);
    expect_from("first", "fc4", 7);
    expect_from("last", "fc4", 7);
    expect_from("more", "fc4", 9);
    expect_from("fewer", "fc4", 5);
}
END_TEST

/* What the command line says goes before what the model has. With smaller crops the last
 * layer's weights are of another shape, and the input is prepared as this pack wants
 * it. */
START_TEST(options_go_before_the_other_models_config)
{
    uint32_t copied;
    char *out;
    plan p;
    twin t;

    make_base();
    plan_of_base(&p);
    p.model.activation = AN_ACTIVATION_TANH;
    p.model.image_size = 8;
    twin_open(&t, &p);
    from_base(&t, "fc4.weight", &copied);
    twin_begin(&t);
    twin_train(&t);
    program_succeeds(&out, "train --from base --activation tanh --image-size 8 --batch 8 "
                           "--threads 1 --steps 2 --out run data");
    expect_run(&t, "run", "--image-size 8");
    expect_count(times_in(out, "7 tensors of base\n"), 1, "in: %s", out);
    free(out);
    twin_free(&t);
}
END_TEST

/* fine-tune: the first convolution stays what it was. */
START_TEST(fine_tuning_leaves_the_first_convolution)
{
    static const char *const names[] = {"conv1.weight", "conv1.bias", "conv2.weight",
                                        "fc4.bias"};
    opened base, tuned;
    size_t i;

    make_base();
    program_succeeds(NULL, "train --recipe fine-tune --from base --batch 8 --epochs 2 "
                           "--out run data");
    base = checkpoint_open("base");
    tuned = checkpoint_open("run");
    for (i = 0; i < 4; i++) {
        an_parameter_info info;
        float a[3200], b[3200];
        uint32_t index;

        an_parameter_info_init(&info, sizeof info);
        expect_ok(an_parameter_find(base.model, names[i], &index));
        expect_ok(an_parameter_describe(base.model, index, &info));
        ck_assert(info.count <= 3200);
        expect_ok(an_parameter_get(base.model, index, a, info.count));
        expect_ok(an_parameter_get(tuned.model, index, b, info.count));
        if (i < 2)
            expect_floats(b, a, info.count, 0, "%s", names[i]);
        else
            expect_other_floats(b, a, info.count, "%s", names[i]);
    }
    checkpoint_close(&base);
    checkpoint_close(&tuned);
    program_fails(2, "--recipe fine-tune wants --from",
                  "train --recipe fine-tune --out no data");
}
END_TEST

START_TEST(what_is_no_model_for_this_pack_is_refused)
{
    const tiny_pack warped = {.seed = 5, .fit = AN_FIT_WARP},
                    large = {.count = 9, .side = 84, .classes = 3, .seed = 4};

    make_base();
    tiny_pack_make("warped", &warped);
    tiny_pack_make("large", &large);
    program_fails(1, "no-such-model", "train --from no-such-model --out no data");
    tiny_write("text", "no model", 8);
    program_fails(1, "text: ", "train --from text --out no data");
    program_fails(1, "base: from has no parameter of this model's names and shapes",
                  "train --from base --arch torchvision --image-size 80 --width 0.02 "
                  "--out no large");
    program_fails(2, "warped: its pictures were warped, the model wants them cropped",
                  "train --from base --steps 1 --out no warped");
    program_succeeds(NULL, "train " TINY " --steps 1 --out fits warped");
    program_fails(2, "data: its pictures were cropped, the model wants them warped",
                  "train --from fits --steps 1 --out no data");
}
END_TEST

Suite *from_suite(void)
{
    Suite *suite = suite_create("from");
    TCase *tc = tiny_case(suite, "from");

    tcase_add_test(tc, a_run_begins_with_the_other_models_parameters);
    tcase_add_test(tc, options_go_before_the_other_models_config);
    tcase_add_test(tc, fine_tuning_leaves_the_first_convolution);
    tcase_add_test(tc, what_is_no_model_for_this_pack_is_refused);
    return suite;
}
