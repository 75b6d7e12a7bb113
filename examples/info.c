/*
 * info.c - what a model is made of: layers, sizes, parameters, memory, metadata; devices.
 * For people, or as CSV or JSON for scripts: of a model CSV is the table of its layers,
 * JSON all that is known.
 */
#include <alexnet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/device.h"
#include "common/options.h"
#include "common/quote.h"
#include "common/rows.h"

static const char *arch_text = "paper", *format_name = "text";
static format form;
static device_choice place;
static unsigned long classes, towers = 1, image_size, groups, remove_conv;
static double width = 1;
static int list_archs, list_devices, list_recipes, no_lrn, extra_conv;

static option table[] = {
    TEXT_OPTION("--arch", &arch_text, "preset to describe, instead of a file (paper)"),
    NUMBER_OPTION("--classes", &classes, 2, 65536, "(the preset's)"),
    NUMBER_OPTION("--image-size", &image_size, 1, 1024, "(the preset's)"),
    REAL_OPTION("--width", &width, 0.02, 4, "factor on every layer's maps (1)"),
    NUMBER_OPTION("--towers", &towers, 1, 2, "(1)"),
    DEVICE_OPTIONS(place),
    NUMBER_OPTION("--groups", &groups, 1, 2, "(the preset's)"),
    FLAG_OPTION("--no-lrn", &no_lrn, "without response normalisation"),
    NUMBER_OPTION("--remove-conv", &remove_conv, 2, 5, "without this convolution"),
    FLAG_OPTION("--extra-conv", &extra_conv, "with a sixth convolution"),
    FLAG_OPTION("--archs", &list_archs, "list the presets"),
    FLAG_OPTION("--devices", &list_devices, "list the devices"),
    FLAG_OPTION("--recipes", &list_recipes, "list the recipes"),
    TEXT_OPTION("--format", &format_name, "text, csv or json (text)"),
    OPTIONS_END};

#define NAMES(names) names, sizeof(names) / sizeof *(names)

static void print_archs(an_context *ctx)
{
    static const char *const names[] = {"preset", "input", "classes", "parameters",
                                        "multiply_adds"};
    an_arch arch;
    rows row;

    rows_begin(&row, form, NAMES(names));
    if (form == FORMAT_TEXT)
        printf("%-16s %6s %12s %14s\n", "preset", "input", "parameters", "multiply-adds");
    for (arch = AN_ARCH_PAPER; arch <= AN_ARCH_LAST; arch++) {
        an_model_config config;
        an_model_info info;
        an_model *model;

        an_model_config_init(&config, sizeof config);
        an_model_info_init(&info, sizeof info);
        config.arch = arch;
        config.initialisation = AN_INIT_FAN_IN; /* drawn in a fifth of the time */
        if (an_model_create(&model, ctx, &config) != AN_OK ||
            an_model_describe(model, &info) != AN_OK)
            fail(an_arch_name(arch));
        an_model_destroy(model);
        if (form == FORMAT_TEXT) {
            printf("%-16s %6u %12" PRIu64 " %14" PRIu64 "\n", an_arch_name(arch),
                   info.image_size, info.parameter_count, info.multiply_adds);
            continue;
        }
        rows_text(&row, an_arch_name(arch));
        rows_count(&row, info.image_size);
        rows_count(&row, info.classes);
        rows_count(&row, info.parameter_count);
        rows_count(&row, info.multiply_adds);
    }
}

static void print_devices(an_context *ctx)
{
    static const char *const names[] = {"device", "backend", "name",
                                        "units",  "memory",  "cpu_path"};
    static const char *const paths[] = {"", "reference", "AVX2", "AVX-512"};
    an_device_info info;
    uint32_t count, i;
    rows row;

    rows_begin(&row, form, NAMES(names));
    if (an_device_count(ctx, &count) != AN_OK) fail("devices");
    for (i = 0; i < count; i++) {
        an_device_info_init(&info, sizeof info);
        if (an_device_describe(ctx, i, &info) != AN_OK) fail("devices");
        if (form == FORMAT_TEXT) {
            printf("%-8s %s, %u %s, %.1f GiB%s%s%s\n", info.device, info.name, info.units,
                   strcmp(info.backend, "cpu") == 0 ? "threads" : "multiprocessors",
                   (double)info.memory / (1 << 30), info.cpu_path != 0 ? ", " : "",
                   paths[info.cpu_path], info.cpu_path != 0 ? " path" : "");
            continue;
        }
        rows_text(&row, info.device);
        rows_text(&row, info.backend);
        rows_text(&row, info.name);
        rows_count(&row, info.units);
        rows_count(&row, info.memory);
        rows_text(&row, paths[info.cpu_path]);
    }
}

static const char *stage_names(const char *stages, char *text)
{
    static const struct {
        char letter;
        const char *name;
    } names[] = {{'a', "activation"},
                 {'n', "LRN"},
                 {'w', "norm within"},
                 {'p', "pool"},
                 {'d', "dropout"}};
    size_t i;

    text[0] = '\0';
    for (; *stages != '\0'; stages++)
        for (i = 0; i < sizeof names / sizeof names[0]; i++)
            if (names[i].letter == *stages) {
                if (text[0] != '\0') strcat(text, ", ");
                strcat(text, names[i].name);
            }
    return text;
}

static void print_layers(const an_model *model, const an_model_info *info)
{
    uint32_t i;

    printf("%-6s %-12s %-22s %-12s %-12s %11s %13s  %s\n", "layer", "reads", "kernel",
           "computes", "hands on", "parameters", "multiply-adds", "then");
    for (i = 0; i < info->layers; i++) {
        char reads[32], kernel[48] = "dense", computes[32], hands_on[32], stages[160];
        an_layer_info l;

        an_layer_info_init(&l, sizeof l);
        if (an_layer_describe(model, i, &l) != AN_OK) fail("layer");
        snprintf(reads, sizeof reads, "%ux%ux%u", l.in_height, l.in_width, l.in_maps);
        snprintf(computes, sizeof computes, "%ux%ux%u", l.height, l.width, l.maps);
        snprintf(hands_on, sizeof hands_on, "%ux%ux%u", l.out_height, l.out_width,
                 l.out_maps);
        if (l.is_conv)
            snprintf(kernel, sizeof kernel, "%ux%u/%u pad %u+%u%s", l.kernel, l.kernel,
                     l.stride, l.pad_before, l.pad_after, l.groups == 2 ? " halves" : "");
        printf("%-6s %-12s %-22s %-12s %-12s %11" PRIu64 " %13" PRIu64 "  %s\n", l.name,
               reads, kernel, computes, hands_on, l.parameter_count, l.multiply_adds,
               stage_names(l.stages, stages));
    }
}

static const char *const layer_names[] = {
    "layer",    "kernel",     "stride",    "pad_before", "pad_after",  "groups",
    "in_maps",  "in_height",  "in_width",  "maps",       "height",     "width",
    "out_maps", "out_height", "out_width", "stages",     "parameters", "multiply_adds"};

/* A dense layer's kernel is 0. */
static void layer_row(const an_layer_info *l, rows *row)
{
    char stages[160];

    rows_text(row, l->name);
    rows_count(row, l->is_conv ? l->kernel : 0);
    rows_count(row, l->stride);
    rows_count(row, l->pad_before);
    rows_count(row, l->pad_after);
    rows_count(row, l->groups);
    rows_count(row, l->in_maps);
    rows_count(row, l->in_height);
    rows_count(row, l->in_width);
    rows_count(row, l->maps);
    rows_count(row, l->height);
    rows_count(row, l->width);
    rows_count(row, l->out_maps);
    rows_count(row, l->out_height);
    rows_count(row, l->out_width);
    rows_text(row, stage_names(l->stages, stages));
    rows_count(row, l->parameter_count);
    rows_count(row, l->multiply_adds);
}

static void layer_rows(const an_model *model, uint32_t layers, rows *row)
{
    an_layer_info l;
    uint32_t i;

    an_layer_info_init(&l, sizeof l);
    for (i = 0; i < layers; i++) {
        if (an_layer_describe(model, i, &l) != AN_OK) fail("layer");
        layer_row(&l, row);
    }
}

static int has_mean_image(const an_model *model, uint32_t side)
{
    size_t numbers = (size_t)3 * side * side;
    float *mean = allocate(numbers * sizeof *mean);
    int has = an_model_get_mean_image(model, mean, numbers) == AN_OK;

    free(mean);
    return has;
}

static void print_preprocessing(const an_model *model, const an_preprocessing *p,
                                uint32_t crop)
{
    printf("preprocessing   %s %u, crop %u; %s; minus %s %.4g %.4g %.4g; times %.4g %.4g "
           "%.4g\n",
           p->fit == AN_FIT_WARP ? "both sides to" : "centre, short side to", p->side,
           crop, p->bgr ? "BGR" : "RGB",
           has_mean_image(model, p->side) ? "a mean image, on average"
                                          : "the mean colour",
           (double)p->mean[0], (double)p->mean[1], (double)p->mean[2],
           (double)p->scale[0], (double)p->scale[1], (double)p->scale[2]);
    printf("colours         deviations along their principal axes %.4g %.4g %.4g\n",
           (double)p->colour_deviation[0], (double)p->colour_deviation[1],
           (double)p->colour_deviation[2]);
}

static void print_recipes(void)
{
    static const char *const names[] = {"recipe", "summary", "epochs"};
    an_recipe_info info;
    uint32_t i;
    rows row;

    rows_begin(&row, form, NAMES(names));
    an_recipe_info_init(&info, sizeof info);
    for (i = 0; an_recipe_describe(i, &info) == AN_OK; i++) {
        if (form == FORMAT_TEXT) {
            printf("%-15s %s; %u epochs\n", info.name, info.summary, info.epochs);
            continue;
        }
        rows_text(&row, info.name);
        rows_text(&row, info.summary);
        rows_count(&row, info.epochs);
    }
}

static void model_row(const an_model_info *info, const char *source)
{
    static const char *const names[] = {
        "source",          "preset",      "image_size",    "classes",
        "towers",          "parameters",  "multiply_adds", "units",
        "exchange_floats", "infer_bytes", "train_bytes",   "train_bytes_image"};
    rows row;

    rows_begin_within(&row, NAMES(names));
    rows_text(&row, source);
    rows_text(&row, an_arch_name(info->arch));
    rows_count(&row, info->image_size);
    rows_count(&row, info->classes);
    rows_count(&row, info->towers);
    rows_count(&row, info->parameter_count);
    rows_count(&row, info->multiply_adds);
    rows_count(&row, info->units);
    rows_count(&row, info->exchange_floats);
    rows_count(&row, info->infer_bytes);
    rows_count(&row, info->train_bytes);
    rows_count(&row, info->train_bytes_image);
}

static void preprocessing_row(const an_model *model, const an_preprocessing *p)
{
    static const char *const names[] = {"fit",  "side",  "order",           "mean_image",
                                        "mean", "scale", "colour_deviation"};
    rows row;

    rows_begin_within(&row, NAMES(names));
    rows_text(&row, p->fit == AN_FIT_WARP ? "warp" : "crop");
    rows_count(&row, p->side);
    rows_text(&row, p->bgr ? "BGR" : "RGB");
    rows_flag(&row, has_mean_image(model, p->side));
    rows_reals(&row, p->mean, 3);
    rows_reals(&row, p->scale, 3);
    rows_reals(&row, p->colour_deviation, 3);
}

static void print_json(const an_model *model, const an_model_info *info,
                       const an_preprocessing *p, const char *source)
{
    uint32_t i;
    rows row;

    printf("{\"model\": ");
    model_row(info, source);
    printf(", \"preprocessing\": ");
    preprocessing_row(model, p);
    printf(", \"layers\": [");
    rows_begin_within(&row, NAMES(layer_names));
    layer_rows(model, info->layers, &row);
    printf("], \"class_names\": [");
    for (i = 0; i < info->classes; i++) {
        if (i > 0) printf(", ");
        if (an_model_class_name(model, i) != NULL)
            quote_json(stdout, an_model_class_name(model, i));
        else
            printf("null");
    }
    printf("]}\n");
}

static void print_text(const an_model *model, const an_model_info *info,
                       const an_preprocessing *p, const char *source)
{
    uint32_t i, named = 0;

    printf("%s\n", an_build_info());
    printf("%s: %s, %u x %u pixels, %u classes, %u tower%s\n\n", shown(source),
           an_arch_name(info->arch), info->image_size, info->image_size, info->classes,
           info->towers, info->towers == 1 ? "" : "s");
    print_layers(model, info);
    printf("\nparameters      %" PRIu64 " (%.1f MB)\n", info->parameter_count,
           4e-6 * (double)info->parameter_count);
    printf("multiply-adds   %" PRIu64 " an image\n", info->multiply_adds);
    printf("units           %" PRIu64 "\n", info->units);
    if (info->exchange_floats > 0)
        printf("exchange        %" PRIu64 " numbers an image, forward\n",
               info->exchange_floats);
    printf("buffers         inference %.1f MB; training %.1f MB + %.2f MB for each "
           "further image\n",
           1e-6 * (double)info->infer_bytes, 1e-6 * (double)info->train_bytes,
           1e-6 * (double)info->train_bytes_image);
    print_preprocessing(model, p, info->image_size);
    for (i = 0; i < info->classes; i++)
        if (an_model_class_name(model, i) != NULL)
            printf("%s%s", named++ == 0 ? "class names     " : ", ",
                   shown(an_model_class_name(model, i)));
    if (named > 0) printf("\n");
}

static void print_model(const an_model *model, const char *source)
{
    an_preprocessing p;
    an_model_info info;
    rows row;

    an_model_info_init(&info, sizeof info);
    an_preprocessing_init(&p, sizeof p);
    if (an_model_describe(model, &info) != AN_OK ||
        an_model_get_preprocessing(model, &p) != AN_OK)
        fail(source);
    if (form == FORMAT_TEXT) print_text(model, &info, &p, source);
    if (form == FORMAT_JSON) print_json(model, &info, &p, source);
    if (form != FORMAT_CSV) return;
    rows_begin(&row, form, NAMES(layer_names));
    layer_rows(model, info.layers, &row);
}

int main(int argc, char **argv)
{
    int operands = options_parse(table, argc, argv, "[options] [MODEL]");
    an_context_config context;
    an_model_config c;
    an_context *ctx;
    an_model *model;

    if (operands > 1) usage_error("one model at a time");
    form = format_find(format_name);
    if (form == FORMAT_CSV && list_archs + list_devices + list_recipes > 1)
        usage_error("--format csv: one list at a time");
    an_context_config_init(&context, sizeof context);
    device_context_config(&place, &context);
    if (an_context_create(&ctx, &context) != AN_OK) fail("context");
    if (list_archs) print_archs(ctx);
    if (list_devices) print_devices(ctx);
    if (list_recipes) print_recipes();
    if (!list_archs && !list_devices && !list_recipes) {
        an_model_config_init(&c, sizeof c);
        if (an_arch_find(arch_text, &c.arch) != AN_OK)
            usage_error("--arch: %s", an_error_message());
        c.classes = (uint32_t)classes;
        c.image_size = (uint32_t)image_size;
        c.width = (float)width;
        c.towers = (uint32_t)towers;
        device_create_config(&place, &c);
        c.groups = (uint32_t)groups;
        c.lrn = no_lrn ? AN_SWITCH_OFF : AN_SWITCH_PRESET;
        c.remove_conv = (uint32_t)remove_conv;
        c.extra_conv = (uint32_t)extra_conv;
        if ((operands == 1 ? device_load(&place, &model, ctx, argv[1])
                           : an_model_create(&model, ctx, &c)) != AN_OK)
            fail(operands == 1 ? argv[1] : arch_text);
        print_model(model, operands == 1 ? argv[1] : arch_text);
        an_model_destroy(model);
    }
    an_context_destroy(ctx);
    return 0;
}
