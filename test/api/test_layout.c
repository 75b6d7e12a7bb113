/*
 * test_layout.c - the public structs' layout and the enumerators' values, frozen with 1.0
 * on 64-bit systems. Lines are only ever added: a line that has to change is a broken
 * promise.
 */
#include <check.h>
#include <stddef.h>

#include "alexnet.h"
#include "test.h"

/* clang-format off */
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define TRUE_AT_COMPILE_TIME(c) typedef char JOIN(frozen_, __LINE__)[(c) ? 1 : -1] \
    __attribute__((unused))
#define FROZEN(type, field, offset)                                                      \
    TRUE_AT_COMPILE_TIME(offsetof(type, field) == (offset))
#define LEAST(type, bytes) TRUE_AT_COMPILE_TIME(sizeof(type) >= (bytes))
#define VALUE(name, value) TRUE_AT_COMPILE_TIME((long)name == (value))

FROZEN(an_context_config, size, 0);
FROZEN(an_context_config, alloc, 8);
FROZEN(an_context_config, release, 16);
FROZEN(an_context_config, alloc_user, 24);
FROZEN(an_context_config, log, 32);
FROZEN(an_context_config, log_user, 40);
FROZEN(an_context_config, threads, 48);
FROZEN(an_context_config, cpu_path, 52);
FROZEN(an_context_config, plugin, 56);
FROZEN(an_context_config, memory_limit, 64);
LEAST(an_context_config, 56);

FROZEN(an_device_info, size, 0);
FROZEN(an_device_info, backend, 8);
FROZEN(an_device_info, device, 24);
FROZEN(an_device_info, name, 48);
FROZEN(an_device_info, memory, 144);
FROZEN(an_device_info, units, 152);
FROZEN(an_device_info, cpu_path, 156);
FROZEN(an_device_info, flops, 160);
FROZEN(an_device_info, memory_rate, 192);
LEAST(an_device_info, 160);

FROZEN(an_model_config, size, 0);
FROZEN(an_model_config, arch, 8);
FROZEN(an_model_config, classes, 12);
FROZEN(an_model_config, image_size, 16);
FROZEN(an_model_config, activation, 20);
FROZEN(an_model_config, lrn, 24);
FROZEN(an_model_config, pooling, 28);
FROZEN(an_model_config, dropout, 32);
FROZEN(an_model_config, dropout_scaling, 36);
FROZEN(an_model_config, dropout_rate, 40);
FROZEN(an_model_config, width, 44);
FROZEN(an_model_config, groups, 48);
FROZEN(an_model_config, towers, 52);
FROZEN(an_model_config, remove_conv, 56);
FROZEN(an_model_config, extra_conv, 60);
FROZEN(an_model_config, initialisation, 64);
FROZEN(an_model_config, precision, 68);
FROZEN(an_model_config, seed, 72);
FROZEN(an_model_config, devices, 80);
LEAST(an_model_config, 88);

FROZEN(an_model_info, size, 0);
FROZEN(an_model_info, arch, 8);
FROZEN(an_model_info, classes, 12);
FROZEN(an_model_info, image_size, 16);
FROZEN(an_model_info, towers, 20);
FROZEN(an_model_info, layers, 24);
FROZEN(an_model_info, parameters, 28);
FROZEN(an_model_info, parameter_count, 32);
FROZEN(an_model_info, multiply_adds, 40);
FROZEN(an_model_info, units, 48);
FROZEN(an_model_info, exchange_floats, 56);
FROZEN(an_model_info, infer_bytes, 64);
FROZEN(an_model_info, train_bytes, 72);
FROZEN(an_model_info, train_bytes_image, 80);
FROZEN(an_model_info, exchanged_floats, 88);
LEAST(an_model_info, 88);

FROZEN(an_layer_info, size, 0);
FROZEN(an_layer_info, name, 8);
FROZEN(an_layer_info, is_conv, 24);
FROZEN(an_layer_info, kernel, 28);
FROZEN(an_layer_info, stride, 32);
FROZEN(an_layer_info, pad_before, 36);
FROZEN(an_layer_info, pad_after, 40);
FROZEN(an_layer_info, groups, 44);
FROZEN(an_layer_info, in_maps, 48);
FROZEN(an_layer_info, in_height, 52);
FROZEN(an_layer_info, in_width, 56);
FROZEN(an_layer_info, maps, 60);
FROZEN(an_layer_info, height, 64);
FROZEN(an_layer_info, width, 68);
FROZEN(an_layer_info, out_maps, 72);
FROZEN(an_layer_info, out_height, 76);
FROZEN(an_layer_info, out_width, 80);
FROZEN(an_layer_info, stages, 84);
FROZEN(an_layer_info, parameter_count, 112);
FROZEN(an_layer_info, multiply_adds, 120);
LEAST(an_layer_info, 128);

FROZEN(an_layer_time, size, 0);
FROZEN(an_layer_time, name, 8);
FROZEN(an_layer_time, forward, 24);
FROZEN(an_layer_time, backward, 32);
FROZEN(an_layer_time, update, 40);
FROZEN(an_layer_time, algorithm, 48);
LEAST(an_layer_time, 48);

FROZEN(an_kernel_time, size, 0);
FROZEN(an_kernel_time, name, 8);
FROZEN(an_kernel_time, launches, 72);
FROZEN(an_kernel_time, seconds, 80);
FROZEN(an_kernel_time, flops, 88);
FROZEN(an_kernel_time, bytes, 96);
LEAST(an_kernel_time, 104);

FROZEN(an_parameter_info, size, 0);
FROZEN(an_parameter_info, name, 8);
FROZEN(an_parameter_info, layer, 56);
FROZEN(an_parameter_info, is_bias, 72);
FROZEN(an_parameter_info, dims, 76);
FROZEN(an_parameter_info, shape, 80);
FROZEN(an_parameter_info, count, 96);
LEAST(an_parameter_info, 104);

FROZEN(an_image, size, 0);
FROZEN(an_image, pixels, 8);
FROZEN(an_image, width, 16);
FROZEN(an_image, height, 20);
FROZEN(an_image, row_bytes, 24);
LEAST(an_image, 32);

FROZEN(an_preprocessing, size, 0);
FROZEN(an_preprocessing, side, 8);
FROZEN(an_preprocessing, bgr, 12);
FROZEN(an_preprocessing, mean, 16);
FROZEN(an_preprocessing, scale, 28);
FROZEN(an_preprocessing, fit, 40);
FROZEN(an_preprocessing, mean_moves, 44);
FROZEN(an_preprocessing, colour_deviation, 48);
FROZEN(an_preprocessing, colour_axis, 60);
LEAST(an_preprocessing, 96);

FROZEN(an_evaluation, size, 0);
FROZEN(an_evaluation, count, 8);
FROZEN(an_evaluation, top1, 16);
FROZEN(an_evaluation, top5, 24);
FROZEN(an_evaluation, loss, 32);
LEAST(an_evaluation, 40);

FROZEN(an_trainer_config, size, 0);
FROZEN(an_trainer_config, batch, 8);
FROZEN(an_trainer_config, augment, 12);
FROZEN(an_trainer_config, rate, 16);
FROZEN(an_trainer_config, bias_rate, 20);
FROZEN(an_trainer_config, momentum, 24);
FROZEN(an_trainer_config, weight_decay, 28);
FROZEN(an_trainer_config, bias_decay, 32);
FROZEN(an_trainer_config, reserved, 36);
FROZEN(an_trainer_config, seed, 40);
FROZEN(an_trainer_config, micro_batch, 48);
FROZEN(an_trainer_config, plateau_drops, 52);
FROZEN(an_trainer_config, plateau_patience, 56);
FROZEN(an_trainer_config, plateau_factor, 60);
FROZEN(an_trainer_config, plateau_gain, 64);
LEAST(an_trainer_config, 72);

FROZEN(an_step_stats, size, 0);
FROZEN(an_step_stats, loss, 8);
FROZEN(an_step_stats, top1, 16);
FROZEN(an_step_stats, top5, 24);
FROZEN(an_step_stats, iteration, 32);
FROZEN(an_step_stats, flat, 40);
FROZEN(an_step_stats, reserved, 44);
LEAST(an_step_stats, 48);

FROZEN(an_load_config, size, 0);
FROZEN(an_load_config, devices, 8);
FROZEN(an_load_config, towers, 16);
FROZEN(an_load_config, copy, 20);
FROZEN(an_load_config, precision, 24);
FROZEN(an_load_config, reserved, 28);
LEAST(an_load_config, 24);

FROZEN(an_rate_change, size, 0);
FROZEN(an_rate_change, epoch, 8);
FROZEN(an_rate_change, layer, 12);
FROZEN(an_rate_change, rate, 28);
FROZEN(an_rate_change, bias_rate, 32);
LEAST(an_rate_change, 40);

FROZEN(an_epoch_info, size, 0);
FROZEN(an_epoch_info, epoch, 8);
FROZEN(an_epoch_info, dropped, 12);
FROZEN(an_epoch_info, drops, 16);
FROZEN(an_epoch_info, finished, 20);
FROZEN(an_epoch_info, best, 24);
FROZEN(an_epoch_info, rate, 32);
FROZEN(an_epoch_info, bias_rate, 36);
LEAST(an_epoch_info, 40);

FROZEN(an_sample, size, 0);
FROZEN(an_sample, pixels, 8);
FROZEN(an_sample, width, 16);
FROZEN(an_sample, height, 20);
FROZEN(an_sample, row_bytes, 24);
FROZEN(an_sample, label, 32);
FROZEN(an_sample, reserved, 36);
FROZEN(an_sample, scratch, 40);
LEAST(an_sample, 48);

FROZEN(an_source, size, 0);
FROZEN(an_source, count, 8);
FROZEN(an_source, fetch, 16);
FROZEN(an_source, user, 24);
FROZEN(an_source, scratch_bytes, 32);
LEAST(an_source, 40);

FROZEN(an_loader_config, size, 0);
FROZEN(an_loader_config, batch, 8);
FROZEN(an_loader_config, workers, 12);
FROZEN(an_loader_config, prefetch, 16);
FROZEN(an_loader_config, shuffle, 20);
FROZEN(an_loader_config, augment, 24);
FROZEN(an_loader_config, crop_group, 28);
FROZEN(an_loader_config, colour_rule, 32);
FROZEN(an_loader_config, colour_sigma, 36);
FROZEN(an_loader_config, colour_divisor, 40);
FROZEN(an_loader_config, colour_epochs, 44);
FROZEN(an_loader_config, seed, 48);
LEAST(an_loader_config, 56);

FROZEN(an_batch, size, 0);
FROZEN(an_batch, images, 8);
FROZEN(an_batch, labels, 16);
FROZEN(an_batch, indices, 24);
FROZEN(an_batch, count, 32);
FROZEN(an_batch, epoch, 36);
FROZEN(an_batch, step, 40);
FROZEN(an_batch, last, 44);
LEAST(an_batch, 48);

FROZEN(an_loader_info, size, 0);
FROZEN(an_loader_info, count, 8);
FROZEN(an_loader_info, prepared, 16);
FROZEN(an_loader_info, busy, 24);
FROZEN(an_loader_info, waited, 32);
FROZEN(an_loader_info, steps, 40);
FROZEN(an_loader_info, reserved, 44);
LEAST(an_loader_info, 48);

FROZEN(an_recipe_info, size, 0);
FROZEN(an_recipe_info, name, 8);
FROZEN(an_recipe_info, summary, 32);
FROZEN(an_recipe_info, epochs, 136);
FROZEN(an_recipe_info, changes, 140);
FROZEN(an_recipe_info, unit, 144);
FROZEN(an_recipe_info, mean_image, 148);
LEAST(an_recipe_info, 152);

FROZEN(an_pack_writer_config, size, 0);
FROZEN(an_pack_writer_config, side, 8);
FROZEN(an_pack_writer_config, kind, 12);
FROZEN(an_pack_writer_config, classes, 16);
FROZEN(an_pack_writer_config, resume, 20);
FROZEN(an_pack_writer_config, part_bytes, 24);
FROZEN(an_pack_writer_config, fit, 32);
FROZEN(an_pack_writer_config, empty_classes, 36);
LEAST(an_pack_writer_config, 40);

FROZEN(an_pack_info, size, 0);
FROZEN(an_pack_info, count, 8);
FROZEN(an_pack_info, bytes, 16);
FROZEN(an_pack_info, skipped, 24);
FROZEN(an_pack_info, side, 32);
FROZEN(an_pack_info, classes, 36);
FROZEN(an_pack_info, kind, 40);
FROZEN(an_pack_info, parts, 44);
FROZEN(an_pack_info, fit, 48);
FROZEN(an_pack_info, mean, 52);
FROZEN(an_pack_info, deviation, 64);
FROZEN(an_pack_info, colour_deviation, 76);
FROZEN(an_pack_info, colour_axis, 88);
LEAST(an_pack_info, 128);

VALUE(AN_OK, 0);
VALUE(AN_ERROR_ARGUMENT, 1);
VALUE(AN_ERROR_MEMORY, 2);
VALUE(AN_ERROR_STATE, 3);
VALUE(AN_ERROR_DIVERGED, 4);
VALUE(AN_ERROR_IO, 10);
VALUE(AN_ERROR_FORMAT, 11);
VALUE(AN_ERROR_VERSION, 12);
VALUE(AN_ERROR_BACKEND, 20);
VALUE(AN_ERROR_DEVICE, 21);
VALUE(AN_ERROR_DEVICE_MEMORY, 22);
VALUE(AN_ERROR_FORKED, 30);
VALUE(AN_ERROR_INTERNAL, 99);
VALUE(AN_STATUS_MAX_, 2147483647);
VALUE(AN_LOG_INFO, 1);
VALUE(AN_LOG_WARNING, 2);
VALUE(AN_LOG_LEVEL_MAX_, 2147483647);
VALUE(AN_ARCH_PAPER, 1);
VALUE(AN_ARCH_KRIZHEVSKY2012, 2);
VALUE(AN_ARCH_FLOOR224, 3);
VALUE(AN_ARCH_CAFFE_ALEXNET, 4);
VALUE(AN_ARCH_CAFFENET, 5);
VALUE(AN_ARCH_OWT2014, 6);
VALUE(AN_ARCH_TORCHVISION, 7);
VALUE(AN_ARCH_CIFAR10, 8);
VALUE(AN_ARCH_MAX_, 2147483647);
VALUE(AN_ACTIVATION_PRESET, 0);
VALUE(AN_ACTIVATION_RELU, 1);
VALUE(AN_ACTIVATION_TANH, 2);
VALUE(AN_ACTIVATION_SIGMOID, 3);
VALUE(AN_ACTIVATION_MAX_, 2147483647);
VALUE(AN_POOLING_PRESET, 0);
VALUE(AN_POOLING_OVERLAPPING, 1);
VALUE(AN_POOLING_PLAIN, 2);
VALUE(AN_POOLING_MAX_, 2147483647);
VALUE(AN_DROPOUT_SCALING_PRESET, 0);
VALUE(AN_DROPOUT_SCALING_TEST, 1);
VALUE(AN_DROPOUT_SCALING_TRAIN, 2);
VALUE(AN_DROPOUT_SCALING_MAX_, 2147483647);
VALUE(AN_INIT_PRESET, 0);
VALUE(AN_INIT_GAUSSIAN, 1);
VALUE(AN_INIT_FAN_IN, 2);
VALUE(AN_INIT_HE, 3);
VALUE(AN_INIT_MAX_, 2147483647);
VALUE(AN_SWITCH_PRESET, 0);
VALUE(AN_SWITCH_ON, 1);
VALUE(AN_SWITCH_OFF, 2);
VALUE(AN_VIEW_CENTRE, 0);
VALUE(AN_VIEW_TOP_LEFT, 1);
VALUE(AN_VIEW_TOP_RIGHT, 2);
VALUE(AN_VIEW_BOTTOM_LEFT, 3);
VALUE(AN_VIEW_BOTTOM_RIGHT, 4);
VALUE(AN_VIEW_MIRRORED, 5);
VALUE(AN_AUGMENT_CROP, 1);
VALUE(AN_AUGMENT_MIRROR, 2);
VALUE(AN_AUGMENT_COLOUR, 4);
VALUE(AN_FIT_CROP, 0);
VALUE(AN_FIT_WARP, 1);
VALUE(AN_FIT_MAX_, 2147483647);
VALUE(AN_POINT_LINEAR, 1);
VALUE(AN_POINT_ACTIVATION, 2);
VALUE(AN_POINT_OUTPUT, 3);
VALUE(AN_POINT_MAX_, 2147483647);
VALUE(AN_PACK_RAW, 1);
VALUE(AN_PACK_JPEG, 2);
VALUE(AN_PACK_MAX_, 2147483647);
VALUE(AN_COLOUR_DEVIATION, 0);
VALUE(AN_COLOUR_EIGENVALUE, 1);
VALUE(AN_COLOUR_MAX_, 2147483647);
/* clang-format on */

/* The compiler has tested all of the above; what is left is that size comes first. */
START_TEST(every_struct_begins_with_its_size)
{
    an_model_config config;

    an_model_config_init(&config, sizeof config);
    ck_assert_uint_eq(*(size_t *)(void *)&config, sizeof config);
}
END_TEST

Suite *layout_suite(void)
{
    Suite *suite = suite_create("layout");
    TCase *tc = tcase_create("layout");

    tcase_add_test(tc, every_struct_begins_with_its_size);
    suite_add_tcase(suite, tc);
    return suite;
}
