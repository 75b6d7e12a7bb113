/*
 * pack.c - an index and a part of chance: a status, or a pack whose pictures, statistics
 * and names can be read, and which prepares a model and feeds a loader.
 *
 * Two bytes choose, four are the part's length; the part; the index. Beside the part
 * there is a second one, which is always the same.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mutate.h"

enum { CHOICES = 2 };

static void check_statistics(const an_pack *pack, an_pack_info *info)
{
    size_t count, i;
    float *mean;

    an_pack_info_init(info, sizeof *info);
    FUZZ_CALL(an_pack_describe(pack, info), 0);
    FUZZ_EXPECT(info->count > 0 && info->side >= 1 && info->side <= 2048 &&
                    info->classes >= 2 && info->classes <= 65536,
                "the pack's sizes are out of range");
    for (i = 0; i < 3; i++)
        FUZZ_EXPECT(isfinite(info->mean[i]) && info->deviation[i] >= 0 &&
                        isfinite(info->deviation[i]) && info->colour_deviation[i] >= 0 &&
                        isfinite(info->colour_axis[i][0] + info->colour_axis[i][1] +
                                 info->colour_axis[i][2]),
                    "a colour's statistics are no numbers");
    count = (size_t)3 * info->side * info->side;
    mean = malloc(count * sizeof *mean);
    if (mean == NULL) fuzz_fail("no memory for a mean image");
    FUZZ_CALL(an_pack_mean_image(pack, mean, count), 0);
    for (i = 0; i < count; i++)
        FUZZ_EXPECT(isfinite(mean[i]), "the mean image's number %zu is none", i);
    free(mean);
    for (i = 0; i < info->classes; i++) {
        const char *name = an_pack_class_name(pack, (uint32_t)i);

        FUZZ_EXPECT(name == NULL || (strlen(name) <= 255 && fuzz_is_utf8(name)),
                    "the name of class %zu is none", i);
    }
    FUZZ_EXPECT(an_pack_class_name(pack, info->classes) == NULL, "one class more");
}

static void read_pictures(const an_pack *pack, const an_pack_info *info)
{
    size_t bytes = (size_t)3 * info->side * info->side;
    uint8_t *pixels = malloc(bytes);
    uint64_t i;

    if (pixels == NULL) fuzz_fail("no memory for a picture");
    for (i = 0; i < info->count && i < 64; i++) {
        int32_t label = -7;
        an_status status =
            FUZZ_CALL(an_pack_read(pack, i, pixels, bytes, &label), FUZZ_MAY(FORMAT));

        FUZZ_EXPECT(status != AN_OK || (label >= 0 && (uint32_t)label < info->classes),
                    "picture %llu has label %d", (unsigned long long)i, (int)label);
        FUZZ_EXPECT(status == AN_OK || label == -7, "a label of what is damaged");
    }
    FUZZ_EXPECT(FUZZ_CALL(an_pack_read(pack, 0, pixels, bytes - 1, NULL),
                          FUZZ_MAY(ARGUMENT)) != AN_OK &&
                    FUZZ_CALL(an_pack_read(pack, info->count, NULL, 0, NULL),
                              FUZZ_MAY(ARGUMENT)) != AN_OK,
                "what is out of range was read");
    free(pixels);
}

/* A model that was prepared by a pack says so in a file that can be read. */
static void save_and_load(an_context *ctx, an_model *model)
{
    fuzz_sink sink = {NULL, 0};
    fuzz_reader reader = {{NULL, 0}, 0, 0};
    an_model *again = NULL;

    FUZZ_CALL(an_model_write(model, fuzz_write, &sink), 0);
    reader.in.data = sink.data;
    reader.in.left = sink.size;
    FUZZ_CALL(an_model_read(&again, ctx, fuzz_read, &reader, NULL), FUZZ_MAY(MEMORY));
    an_model_destroy(again);
    fuzz_sink_free(&sink);
}

static void load_batches(an_pack *pack, an_model *model, uint32_t choices)
{
    an_loader_config config;
    an_loader *loader = NULL;
    an_source source;
    an_batch batch;
    int i;

    an_source_init(&source, sizeof source);
    FUZZ_CALL(an_pack_source(pack, &source), 0);
    an_loader_config_init(&config, sizeof config);
    config.batch = 1 + (choices & 3);
    config.shuffle = choices >> 2 & 1;
    config.augment = choices >> 3 & 7;
    if (FUZZ_CALL(an_loader_create(&loader, model, &source, &config),
                  FUZZ_MAY(STATE) | FUZZ_MAY(MEMORY)) != AN_OK)
        return;
    an_batch_init(&batch, sizeof batch);
    for (i = 0; i < 3; i++)
        FUZZ_CALL(an_loader_next(loader, &batch),
                  FUZZ_MAY(FORMAT) | FUZZ_MAY(ARGUMENT)); /* the model has few classes */
    an_loader_destroy(loader);
}

/* A step, after which the model's input cannot be another one as long as there is the
 * trainer. */
static an_trainer *train_once(an_model *model)
{
    const float input[FUZZ_PIXELS] = {1};
    const int32_t label = 0;
    an_trainer *trainer;

    FUZZ_CALL(an_trainer_create(&trainer, model, NULL), 0);
    FUZZ_CALL(an_train_step(trainer, input, &label, 1, NULL), 0);
    return trainer;
}

static void prepare_model(an_context *ctx, an_pack *pack, const an_pack_info *info,
                          uint32_t choices)
{
    uint32_t may = FUZZ_MAY(MEMORY);
    an_model *model = fuzz_model(ctx);
    an_trainer *trainer = NULL;

    if (info->side < FUZZ_SIDE) may |= FUZZ_MAY(ARGUMENT);
    if (choices & 256) {
        may |= FUZZ_MAY(STATE);
        trainer = train_once(model);
    }
    if (FUZZ_CALL(an_pack_prepare_model(pack, model, choices & 1, choices >> 1 & 1),
                  may) == AN_OK) {
        fuzz_model_examine(model);
        if (choices & 4) save_and_load(ctx, model);
        if (choices & 8) load_batches(pack, model, choices >> 4);
    }
    an_trainer_destroy(trainer);
    an_model_destroy(model);
}

/* Of a folder that has no index, what is there instead. */
static const char *other_folder(uint32_t way, fuzz_input index)
{
    (void)unlink(fuzz_path(AN_PACK_INDEX));
    switch (way) {
    case 0: fuzz_put(AN_PACK_JOURNAL, index.data, index.left); break;
    case 1:
        (void)mkdir(fuzz_path("train"), 0777);
        fuzz_put("train/" AN_PACK_INDEX, index.data, index.left);
        break;
    case 2: return fuzz_path("nowhere");
    case 3: return fuzz_path("part-0000.bin");
    default: break;
    }
    return fuzz_folder();
}

static void try_folder(an_context *ctx, uint32_t way, fuzz_input index)
{
    an_pack *pack = NULL;

    FUZZ_EXPECT(
        FUZZ_CALL(an_pack_open(&pack, ctx, other_folder(way, index), fuzz_decode, NULL),
                  FUZZ_MAY(IO) | FUZZ_MAY(STATE)) != AN_OK &&
            pack == NULL,
        "there is a pack where there is no index");
    (void)unlink(fuzz_path(AN_PACK_JOURNAL));
    (void)unlink(fuzz_path("train/" AN_PACK_INDEX));
    (void)rmdir(fuzz_path("train"));
}

static void try_pack(an_context *ctx, uint32_t choices)
{
    uint32_t may = FUZZ_MAY(FORMAT) | FUZZ_MAY(VERSION) | FUZZ_MAY(MEMORY) | FUZZ_MAY(IO);
    an_decode_fn decode = choices & 1 ? NULL : fuzz_decode;
    an_pack *pack = NULL;
    an_pack_info info;

    if (decode == NULL) may |= FUZZ_MAY(ARGUMENT);
    if (FUZZ_CALL(an_pack_open(&pack, ctx, fuzz_folder(), decode, NULL), may) != AN_OK) {
        FUZZ_EXPECT(pack == NULL, "what is refused is a pack");
        return;
    }
    check_statistics(pack, &info);
    read_pictures(pack, &info);
    if (choices & 2) prepare_model(ctx, pack, &info, choices >> 2);
    an_pack_destroy(pack);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static fuzz_memory memory = {(size_t)32 << 20, 0, 0, 0};
    static const uint8_t second[16 + FUZZ_PIXELS] = AN_PART_MAGIC;
    static an_context *ctx;
    fuzz_input in = {data, size}, part;
    uint32_t choices = (uint32_t)fuzz_take(&in, CHOICES);
    size_t before;

    if (ctx == NULL) {
        ctx = fuzz_context(&memory);
        fuzz_folder_empty();
        fuzz_put("part-0001.bin", second, sizeof second);
    }
    before = memory.blocks;
    part = fuzz_split(&in, (size_t)fuzz_take(&in, 4));
    fuzz_put("part-0000.bin", part.data, part.left);
    fuzz_put(AN_PACK_INDEX, in.data, in.left);
    if (choices >> 13 == 7)
        try_folder(ctx, choices & 7, in);
    else
        try_pack(ctx, choices);
    FUZZ_EXPECT(memory.blocks == before, "%zu blocks are held", memory.blocks - before);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    fuzz_dice dice = fuzz_dice_of(seed);

    return fuzz_mutate_pack(data, size, max, CHOICES, &dice);
}
