/*
 * bench.c - how fast: forward and training, in all and layer by layer, beside the
 * machine's measured peak; or the loader over a pack, or the whole way from a pack to
 * training steps.
 */
#include <alexnet.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/device.h"
#include "common/options.h"
#include "common/peak.h"
#include "common/pipeline.h"
#include "common/progress.h"

static const char *arch_text = "paper", *batches, *loader_pack, *pipeline_pack;
static device_choice place;
static int on_cpu;
static int bf16_weights; /* for few images, as an_precision in alexnet.h has it */
static unsigned long threads, runs = 5, towers = 1, workers;
static int train_only, forward_only, layers;
static double width = 1, seconds_each = 0.5;

static option table[] = {
    TEXT_OPTION("--arch", &arch_text, "preset (paper)"),
    REAL_OPTION("--width", &width, 0.02, 4, "factor on every layer's maps (1)"),
    NUMBER_OPTION("--towers", &towers, 1, 2, "(1)"),
    DEVICE_OPTIONS(place),
    TEXT_OPTION("--batch", &batches,
                "images at once, with commas (1,32,128; --pipeline: 128,256,1024)"),
    NUMBER_OPTION("--threads", &threads, 0, 256, "0: all processors (0)"),
    NUMBER_OPTION("--runs", &runs, 1, 1000, "of each, the median counts (5)"),
    FLAG_OPTION("--train", &train_only, "training steps alone"),
    FLAG_OPTION("--forward", &forward_only, "forward passes alone"),
    TEXT_OPTION(
        "--loader", &loader_pack,
        "how fast workers crop, mirror and colour this pack's pictures: one, and all"),
    TEXT_OPTION("--pipeline", &pipeline_pack,
                "how fast this pack's pictures are trained on, the whole way"),
    NUMBER_OPTION("--workers", &workers, 0, 256,
                  "threads of the loader; 0: as many as --threads (0)"),
    REAL_OPTION("--seconds", &seconds_each, 0.01, 600,
                "of each measurement with a pack (0.5)"),
    FLAG_OPTION("--layers", &layers, "layer by layer, or a device's kernels"),
    OPTIONS_END};

static an_model *model;
static an_model_info info;
static double peak, memory, first_layer_adds;

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

/* Noise, not zeros: arithmetic on zeros can be faster than on anything else. */
static float *noise(uint32_t batch)
{
    size_t count = (size_t)batch * 3 * info.image_size * info.image_size, i;
    float *images = allocate(count * sizeof *images);
    uint32_t state = 1;

    for (i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        images[i] = (float)(state >> 8) / 8388608.0f - 1;
    }
    return images;
}

/* flops: of one image. */
static void report(const char *what, uint32_t batch, double *seconds, double flops)
{
    double median, rate;

    qsort(seconds, runs, sizeof *seconds, by_size);
    median = seconds[runs / 2];
    rate = flops * batch / median * 1e-9;
    printf("%-9s %5u %10.2f %9.2f ..%9.2f %9.1f %8.1f", what, batch, 1e3 * median,
           1e3 * seconds[0], 1e3 * seconds[runs - 1], batch / median, rate);
    if (peak > 0) printf(" %6.1f %%", 100 * rate / peak);
    printf("\n");
    fflush(stdout);
}

/* Pictures of the size that crops are taken from, as bytes: what a device with memory of
 * its own is fed. Any other size would have the host fit them first. */
static an_image *noise_pictures(uint32_t batch)
{
    an_image *images = allocate(batch * sizeof *images);
    an_preprocessing p;
    uint8_t *pixels;
    size_t bytes, i;

    an_preprocessing_init(&p, sizeof p);
    if (an_model_get_preprocessing(model, &p) != AN_OK) fail("model");
    bytes = (size_t)3 * p.side * p.side;
    pixels = allocate(bytes);
    for (i = 0; i < bytes; i++) pixels[i] = (uint8_t)(i * 2654435761u >> 13);
    for (i = 0; i < batch; i++) {
        an_image_init(&images[i], sizeof images[i]);
        images[i].pixels = pixels;
        images[i].width = images[i].height = p.side;
    }
    return images;
}

static void free_pictures(an_image *images)
{
    free((void *)(uintptr_t)images[0].pixels);
    free(images);
}

static an_status infer(const float *floats, const an_image *pictures, uint32_t batch,
                       float *p)
{
    const size_t room = (size_t)batch * info.classes;

    return on_cpu ? an_infer(model, floats, batch, p, room)
                  : an_infer_images(model, pictures, batch, p, room);
}

static void bench_forward(uint32_t batch)
{
    an_image *pictures = noise_pictures(batch);
    float *images = noise(batch), *p = allocate((size_t)batch * info.classes * sizeof *p);
    double *seconds = allocate(runs * sizeof *seconds);
    unsigned long run;

    if (infer(images, pictures, batch, p) != AN_OK) fail("inference");
    for (run = 0; run < runs; run++) {
        double started = seconds_now();

        if (infer(images, pictures, batch, p) != AN_OK) fail("inference");
        seconds[run] = seconds_now() - started;
    }
    report("forward", batch, seconds, 2.0 * (double)info.multiply_adds);
    free_pictures(pictures);
    free(images);
    free(p);
    free(seconds);
}

/* A source of noise: one picture, of every class in turn. */
static int noise_fetch(uint64_t index, an_sample *sample, void *user)
{
    const an_image *image = user;

    sample->pixels = image->pixels;
    sample->width = sample->height = image->width;
    sample->label = (int32_t)(index * 7919u % info.classes);
    return 0;
}

/* One batch as a loader gives it: floats, or bytes where a device wants them. */
static an_loader *noise_loader(an_image *noise_picture, uint32_t batch, an_batch *out)
{
    an_loader_config config;
    an_loader *loader;
    an_source source;

    an_source_init(&source, sizeof source);
    source.count = batch;
    source.fetch = noise_fetch;
    source.user = noise_picture;
    an_loader_config_init(&config, sizeof config);
    config.batch = batch;
    config.keep_uint8 = 1;
    an_batch_init(out, sizeof *out);
    if (an_loader_create(&loader, model, &source, &config) != AN_OK ||
        an_loader_next(loader, out) != AN_OK)
        fail("loader");
    return loader;
}

/* The same batch again and again: each time a device is sent its bytes, while the step
 * before is in flight. A run is what lies between the ends of two steps. */
static void bench_train(uint32_t batch)
{
    an_image *pictures = noise_pictures(1);
    double *seconds = allocate(runs * sizeof *seconds), ended;
    unsigned long warm = 3, run; /* a device may record the second */
    an_trainer_config config;
    an_trainer *trainer;
    an_loader *loader;
    an_batch given;

    an_trainer_config_init(&config, sizeof config);
    config.batch = batch;
    config.rate = 1e-6f; /* noise teaches nothing; no risk of divergence */
    if (an_trainer_create(&trainer, model, &config) != AN_OK) fail("trainer");
    loader = noise_loader(pictures, batch, &given);
    if (an_train_step_begin(trainer, &given) != AN_OK) fail("training");
    ended = seconds_now();
    for (run = 0; run < warm + runs; run++) {
        double now;

        if (!on_cpu && an_train_step_begin(trainer, &given) != AN_OK) fail("training");
        if (an_train_step_end(trainer, NULL) != AN_OK) fail("training");
        now = seconds_now();
        if (run >= warm) seconds[run - warm] = now - ended;
        ended = now;
        if (on_cpu && an_train_step_begin(trainer, &given) != AN_OK) fail("training");
    }
    if (an_train_step_end(trainer, NULL) != AN_OK) fail("training");
    /* Backward is twice forward, but nobody asks for the images' gradient. */
    report("training", batch, seconds,
           6.0 * (double)info.multiply_adds - 2 * first_layer_adds);
    an_loader_destroy(loader);
    an_trainer_destroy(trainer);
    free_pictures(pictures);
    free(seconds);
}

/* Bytes that a forward pass cannot but move: weights once, what the layer reads, and what
 * it hands on. */
static double least_bytes(const an_layer_info *l, uint32_t batch)
{
    double numbers = (double)l->in_maps * l->in_height * l->in_width +
                     (double)l->out_maps * l->out_height * l->out_width;
    int narrow = bf16_weights && forward_only && !l->is_conv && batch < 16;

    return 4 * numbers * batch + (narrow ? 2 : 4) * (double)l->parameter_count;
}

static void print_share(double part, double whole)
{
    if (whole > 0)
        printf(" %5.0f %%", 100 * part / whole);
    else
        printf("       -");
}

static void bench_layers(uint32_t batch)
{
    an_layer_time *rows = allocate(info.layers * sizeof *rows), sum;
    uint32_t i;

    for (i = 0; i < info.layers; i++) an_layer_time_init(&rows[i], sizeof rows[i]);
    an_layer_time_init(&sum, sizeof sum);
    if (an_model_profile(model, batch, !forward_only, rows, info.layers) != AN_OK)
        fail("profile");
    printf("\nbatch %-5u %9s %9s %7s %7s   %-9s", batch, "fwd ms", "GFLOP/s", "peak",
           "memory", "way");
    printf(forward_only ? "\n" : " %9s %9s %7s %9s\n", "bwd ms", "GFLOP/s", "peak",
           "update ms");
    for (i = 0; i < info.layers; i++) {
        an_layer_info l;
        double forward, backward;

        an_layer_info_init(&l, sizeof l);
        if (an_layer_describe(model, i, &l) != AN_OK) fail("layer");
        forward = 2e-9 * (double)l.multiply_adds * batch;
        backward = (i == 0 ? 1 : 2) * forward;
        printf("%-11s %9.2f %9.1f", rows[i].name, 1e3 * rows[i].forward,
               forward / rows[i].forward);
        print_share(forward / rows[i].forward, peak);
        print_share(1e-9 * least_bytes(&l, batch) / rows[i].forward, memory);
        printf("   %-9s", rows[i].algorithm);
        if (rows[i].backward > 0) {
            printf(" %9.2f %9.1f", 1e3 * rows[i].backward, backward / rows[i].backward);
            print_share(backward / rows[i].backward, peak);
            printf(" %9.2f", 1e3 * rows[i].update);
        }
        printf("\n");
        sum.forward += rows[i].forward;
        sum.backward += rows[i].backward;
        sum.update += rows[i].update;
    }
    printf("all         %9.2f", 1e3 * sum.forward);
    if (!forward_only) printf(" %46.2f %27.2f", 1e3 * sum.backward, 1e3 * sum.update);
    printf("\n");
    free(rows);
}

/* A kernel's share of what limits it: its products' operations or its bytes. */
static void print_limit(const an_kernel_time *row, const an_device_info *device,
                        uint32_t precision)
{
    double flops = device->flops[precision] * row->seconds;
    double bytes = device->memory_rate * row->seconds;
    double by_flops = flops > 0 ? row->flops / flops : 0;
    double by_bytes = bytes > 0 ? row->bytes / bytes : 0;

    if (flops <= 0 || bytes <= 0)
        printf("        -\n");
    else if (by_flops > by_bytes)
        printf(" %5.0f %% of %s\n", 100 * by_flops,
               precision == AN_PRECISION_FP32 ? "FP32 cores" : "tensor cores");
    else
        printf(" %5.0f %% of memory\n", 100 * by_bytes);
}

/* On a device: kernel by kernel. */
static void bench_kernels(uint32_t batch, const an_device_info *device,
                          uint32_t precision)
{
    enum { MOST = 256 };
    an_kernel_time *rows = allocate(MOST * sizeof *rows), sum;
    uint32_t count, i;

    for (i = 0; i < MOST; i++) an_kernel_time_init(&rows[i], sizeof rows[i]);
    an_kernel_time_init(&sum, sizeof sum);
    if (an_model_profile_kernels(model, batch, !forward_only, rows, MOST, &count) !=
        AN_OK)
        fail("profile");
    printf("\nbatch %-41u %6s %8s %19s %9s   limit\n", batch, "times", "us", "TFLOP/s",
           "GB/s");
    for (i = 0; i < count; i++) {
        const an_kernel_time *row = &rows[i];

        printf("%-47s %6u %8.1f %19.1f %9.0f  ", row->name, row->launches,
               1e6 * row->seconds, 1e-12 * row->flops / row->seconds,
               1e-9 * row->bytes / row->seconds);
        print_limit(row, device, precision);
        sum.launches += row->launches;
        sum.seconds += row->seconds;
        sum.flops += row->flops;
        sum.bytes += row->bytes;
    }
    printf("%-47s %6u %8.1f %19.1f %9.0f   %.3f TFLOP, %.3f GB\n", "all", sum.launches,
           1e6 * sum.seconds, 1e-12 * sum.flops / sum.seconds,
           1e-9 * sum.bytes / sum.seconds, 1e-12 * sum.flops, 1e-9 * sum.bytes);
    free(rows);
}

/* The device of the first tower. */
static an_device_info first_device(an_context *ctx)
{
    const char *name = place.devices != NULL ? place.devices : "cpu";
    size_t length = strcspn(name, ",");
    uint32_t count, i;
    an_device_info device;

    if (an_device_count(ctx, &count) != AN_OK) fail("devices");
    for (i = 0; i < count; i++) {
        an_device_info_init(&device, sizeof device);
        if (an_device_describe(ctx, i, &device) != AN_OK) fail("devices");
        if (strlen(device.device) == length && memcmp(device.device, name, length) == 0)
            break;
    }
    return device;
}

/* What the library has to say: whether steps are recorded, or why not. */
static void print_log(an_log_level level, const char *text, void *user)
{
    (void)user;
    printf("%s: %s\n", level == AN_LOG_WARNING ? "warning" : "info", text);
}

/* What the towers have sent each other beside what the plan says. */
static void report_exchange(void)
{
    uint64_t before;
    float *images, *p;

    if (info.towers == 1) return;
    images = noise(1);
    p = allocate(info.classes * sizeof *p);
    if (an_model_describe(model, &info) != AN_OK) fail("model");
    before = info.exchanged_floats;
    if (an_infer(model, images, 1, p, info.classes) != AN_OK ||
        an_model_describe(model, &info) != AN_OK)
        fail("inference");
    printf("\nexchange: %" PRIu64 " numbers an image, forward; counted: %" PRIu64 "\n",
           info.exchange_floats, info.exchanged_floats - before);
    free(images);
    free(p);
}

/* The next number of --batch; 0 after the last. */
static uint32_t next_size(const char **text)
{
    unsigned long batch;
    char *end;

    if (**text == '\0') return 0;
    batch = strtoul(*text, &end, 10);
    if (end == *text || (*end != ',' && *end != '\0') || batch < 1 || batch > 8192)
        usage_error("--batch %s: must be numbers from 1 to 8192 with commas", batches);
    *text = *end == ',' ? end + 1 : end;
    return (uint32_t)batch;
}

static void bench_model(const an_device_info *device, uint32_t precision)
{
    const char *text = batches;
    uint32_t batch;

    printf("%-9s %5s %10s %21s %9s %8s %8s\n", "", "batch", "ms", "fastest .. slowest",
           "images/s", "GFLOP/s", "of peak");
    while ((batch = next_size(&text)) > 0) {
        if (!train_only) bench_forward(batch);
        if (!forward_only) bench_train(batch);
        if (layers && on_cpu) bench_layers(batch);
        if (layers && !on_cpu) bench_kernels(batch, device, precision);
    }
    report_exchange();
}

static void bench_pack(pipeline *p, uint32_t all)
{
    const char *text = batches;
    uint32_t batch;

    p->seconds = seconds_each;
    p->runs = runs;
    p->workers = workers > 0 ? (uint32_t)workers : all;
    pipeline_prepare(p, model);
    if (pipeline_pack == NULL) {
        pipeline_loader(p);
        return;
    }
    printf(", %s\n", place.precision != NULL ? place.precision : "fp32");
    pipeline_heading(p);
    while ((batch = next_size(&text)) > 0) pipeline_steps(p, batch);
}

/* What all is measured with; a pack may have more classes than the preset. */
static void open_model(an_context *ctx, an_model_config *config, const pipeline *fed)
{
    an_layer_info first;

    an_model_info_init(&info, sizeof info);
    an_layer_info_init(&first, sizeof first);
    if (an_model_create(&model, ctx, config) != AN_OK ||
        an_model_describe(model, &info) != AN_OK)
        fail("model");
    if (fed != NULL && fed->info.classes > info.classes) {
        an_model_destroy(model);
        config->classes = fed->info.classes;
        open_model(ctx, config, NULL);
    }
    if (an_layer_describe(model, 0, &first) != AN_OK) fail("model");
    first_layer_adds = (double)first.multiply_adds;
}

static void heading(const an_context *ctx, const an_device_info *device, int model_alone)
{
    const char *instructions;

    peak =
        on_cpu && model_alone ? peak_gflops(an_context_threads(ctx), &instructions) : 0;
    memory =
        on_cpu && model_alone && layers ? peak_gigabytes(an_context_threads(ctx)) : 0;
    printf("%s\n%s, %u threads", an_build_info(), device->name, an_context_threads(ctx));
    if (peak > 0) printf(", measured peak %.0f GFLOP/s (%s)", peak, instructions);
    if (memory > 0) printf(", memory %.1f GB/s", memory);
    printf("\n%s, %.1f M multiply-adds an image", arch_text,
           1e-6 * (double)info.multiply_adds);
    if (model_alone) printf("; median of %lu runs\n\n", runs);
}

int main(int argc, char **argv)
{
    an_context_config context;
    an_model_config config;
    an_device_info device;
    an_context *ctx;
    const char *pack, *text;
    pipeline fed;

    if (options_parse(table, argc, argv, "[options]") != 0)
        usage_error("no operand is wanted");
    if (loader_pack != NULL && pipeline_pack != NULL)
        usage_error("--loader, --pipeline: one at a time");
    pack = loader_pack != NULL ? loader_pack : pipeline_pack;
    if (batches == NULL) batches = pipeline_pack != NULL ? "128,256,1024" : "1,32,128";
    text = batches; /* what is wrong in it is refused before it takes time */
    while (next_size(&text) > 0) continue;
    an_context_config_init(&context, sizeof context);
    device_context_config(&place, &context);
    context.threads = (uint32_t)threads;
    context.log = print_log;
    an_model_config_init(&config, sizeof config);
    if (an_arch_find(arch_text, &config.arch) != AN_OK)
        usage_error("--arch: %s", an_error_message());
    config.width = (float)width;
    config.towers = (uint32_t)towers;
    device_create_config(&place, &config);
    if (an_context_create(&ctx, &context) != AN_OK) fail("context");
    if (pack != NULL) pipeline_open(&fed, ctx, pack);
    open_model(ctx, &config, pack != NULL ? &fed : NULL);
    device = first_device(ctx);
    on_cpu = strcmp(device.backend, "cpu") == 0;
    bf16_weights = on_cpu && config.precision == AN_PRECISION_BF16 &&
                   device.cpu_path != AN_CPU_PATH_REFERENCE;
    if (loader_pack == NULL) heading(ctx, &device, pack == NULL);
    if (pack != NULL)
        bench_pack(&fed, an_context_threads(ctx));
    else
        bench_model(&device, config.precision);
    an_model_destroy(model);
    if (pack != NULL) pipeline_close(&fed);
    an_context_destroy(ctx);
    return 0;
}
