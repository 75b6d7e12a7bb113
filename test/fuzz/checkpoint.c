/*
 * checkpoint.c - any bytes as a checkpoint, read as a file and through a callback: a
 * status, or a model, and perhaps a trainer, that describe themselves, can be written,
 * and are the same bytes when they have been read and written once more.
 *
 * The first eight bytes choose how it is loaded; the rest is the file, of which tensors
 * may be left out, so that inputs are small.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mutate.h"

enum { CHOICES = 8 };

typedef struct loading {
    an_context *ctx;
    fuzz_input file;
    int by_path;
    size_t piece, fails; /* of a reader */
    int is_saved;        /* what was loaded, under a path, too */
    FUZZ_ROOM(an_load_config) config;
    uint32_t may; /* statuses */
} loading;

/* The tensors that the header speaks of and that are not there: numbers about 0.01 or 1,
 * whatever their type. */
static fuzz_input filled(fuzz_input file)
{
    static uint8_t whole[1 << 18];
    static fuzz_memory memory = {1 << 20, 0, 0, 0};
    const an_allocator allocator = fuzz_allocator(&memory);
    fuzz_input in = file;
    uint64_t length = fuzz_take(&in, 8), total;
    an_header header;

    if (length > in.left || an__header_parse(&header, &allocator, (const char *)in.data,
                                             (size_t)length) != AN_OK)
        return file;
    total = header.start + header.bytes;
    an__header_free(&header, &allocator);
    if (total <= file.left || total > sizeof whole) return file;
    memcpy(whole, file.data, file.left);
    memset(whole + file.left, 0x3c, (size_t)total - file.left);
    in.data = whole;
    in.left = (size_t)total;
    return in;
}

static void choose(loading *l, fuzz_input *in)
{
    static const char *const devices[] = {"cpu", "cpu,cpu", "cpu:0", "cpu:1", "nope"};
    uint32_t way = fuzz_below(in, 8), bits;

    if (in->left == CHOICES - 1 && (in->data[CHOICES - 2] & 1)) l->file = filled(l->file);
    l->may = FUZZ_MAY(FORMAT) | FUZZ_MAY(VERSION) | FUZZ_MAY(MEMORY);
    bits = fuzz_below(in, 256);
    l->by_path = bits & 1;
    l->piece = fuzz_below(in, 80);
    if (bits & 6) l->piece = 0;
    l->is_saved = fuzz_below(in, 4) == 1;
    l->fails = (size_t)64 * fuzz_below(in, 256);
    if (l->fails > 0) l->may |= FUZZ_MAY(IO);
    an_load_config_init(&l->config.object, sizeof l->config.object);
    l->config.object.copy = bits >> 3 & 1;
    l->config.object.precision = (an_precision)(bits >> 4 & 3);
    if (bits >> 6 == 3) { /* whether it can be split is the caller's question */
        l->config.object.towers = 2;
        l->may |= FUZZ_MAY(ARGUMENT);
    }
    if (way > 1) return;
    l->may |= FUZZ_MAY(ARGUMENT) | FUZZ_MAY(BACKEND) | FUZZ_MAY(DEVICE);
    if (way == 0) fuzz_fields(in, &l->config, sizeof(an_load_config), sizeof l->config);
    l->config.object.devices = devices[fuzz_below(in, 5)];
}

static an_status load_model(an_model **out, const loading *l, const char *path)
{
    fuzz_reader reader = {l->file, l->piece, l->fails};

    return l->by_path
               ? FUZZ_CALL(an_model_load(out, l->ctx, path, &l->config.object), l->may)
               : FUZZ_CALL(
                     an_model_read(out, l->ctx, fuzz_read, &reader, &l->config.object),
                     l->may);
}

static an_trainer *load_trainer(an_model *model, const loading *l, const char *path)
{
    const uint32_t may = FUZZ_MAY(FORMAT) | FUZZ_MAY(VERSION) | FUZZ_MAY(MEMORY) |
                         FUZZ_MAY(STATE) | (l->fails > 0 ? FUZZ_MAY(IO) : 0);
    fuzz_reader reader = {l->file, l->piece, l->fails};
    an_trainer *trainer = NULL;
    an_status status;

    status = l->by_path
                 ? FUZZ_CALL(an_trainer_load(&trainer, model, path), may)
                 : FUZZ_CALL(an_trainer_read(&trainer, model, fuzz_read, &reader), may);
    FUZZ_EXPECT((status == AN_OK) == (trainer != NULL), "a trainer that is none");
    return trainer;
}

static an_status write_both(const an_model *model, const an_trainer *trainer,
                            fuzz_sink *sink)
{
    const uint32_t may = FUZZ_MAY(MEMORY);

    return trainer != NULL ? FUZZ_CALL(an_trainer_write(trainer, fuzz_write, sink), may)
                           : FUZZ_CALL(an_model_write(model, fuzz_write, sink), may);
}

/* Of a file that is mapped nobody has looked at the numbers yet. */
static int is_finite(const an_model *model)
{
    an_parameter_info info;
    uint32_t i;
    int good = 1;

    an_parameter_info_init(&info, sizeof info);
    for (i = 0; good && an_parameter_describe(model, i, &info) == AN_OK; i++) {
        float *values = malloc((size_t)info.count * sizeof *values);
        size_t k;

        if (values == NULL) fuzz_fail("no memory for %s", info.name);
        FUZZ_CALL(an_parameter_get(model, i, values, (size_t)info.count), 0);
        for (k = 0; k < info.count; k++) good = good && isfinite(values[k]);
        free(values);
    }
    return good;
}

/* Under a path there are the same bytes as a writer is given. */
static void save_too(const an_model *model, const an_trainer *trainer,
                     const fuzz_sink *written)
{
    const char *path = fuzz_path("saved");
    uint8_t *bytes = malloc(written->size + 1);
    FILE *file;

    if (FUZZ_CALL(trainer != NULL ? an_trainer_save(trainer, path)
                                  : an_model_save(model, path),
                  FUZZ_MAY(MEMORY)) == AN_OK) {
        file = fopen(path, "rb");
        FUZZ_EXPECT(file != NULL && bytes != NULL &&
                        fread(bytes, 1, written->size + 1, file) == written->size &&
                        memcmp(bytes, written->data, written->size) == 0,
                    "saved it is another file");
        fclose(file);
    }
    free(bytes);
}

/* What was loaded can be written, loaded again, and written once more to the same
 * bytes. */
static void write_again(const loading *l, const an_model *model,
                        const an_trainer *trainer)
{
    fuzz_sink once = {NULL, 0}, twice = {NULL, 0};
    an_model *model2 = NULL;
    an_trainer *trainer2 = NULL;
    an_status status = write_both(model, trainer, &once);
    fuzz_reader reader = {{once.data, once.size}, 0, 0};
    uint32_t may = FUZZ_MAY(MEMORY);

    if (!is_finite(model)) may |= FUZZ_MAY(FORMAT);
    if (status == AN_OK && l->is_saved) save_too(model, trainer, &once);
    if (status == AN_OK)
        status = FUZZ_CALL(an_model_read(&model2, l->ctx, fuzz_read, &reader, NULL), may);
    reader.in.data = once.data;
    reader.in.left = once.size;
    if (status == AN_OK && trainer != NULL)
        status = FUZZ_CALL(an_trainer_read(&trainer2, model2, fuzz_read, &reader),
                           FUZZ_MAY(MEMORY));
    if (status == AN_OK) status = write_both(model2, trainer2, &twice);
    FUZZ_EXPECT(status != AN_OK || (once.size == twice.size &&
                                    memcmp(once.data, twice.data, once.size) == 0),
                "written twice, it differs");
    an_trainer_destroy(trainer2);
    an_model_destroy(model2);
    fuzz_sink_free(&once);
    fuzz_sink_free(&twice);
}

/* What a host may ask of a trainer that a file has made. */
static void examine_trainer(an_trainer *trainer)
{
    uint8_t note[AN_TRAINER_NOTE_BYTES];
    an_trainer_config config;
    float rate, bias_rate;
    uint32_t epochs, steps;

    an_trainer_config_init(&config, sizeof config);
    FUZZ_CALL(an_trainer_get_config(trainer, &config), 0);
    FUZZ_CALL(an_trainer_set_rates(trainer, config.rate, config.bias_rate), 0);
    FUZZ_CALL(an_trainer_get_layer_rates(trainer, "conv1", &rate, &bias_rate),
              FUZZ_MAY(ARGUMENT)); /* presets name their layers in their own way */
    FUZZ_CALL(an_trainer_epoch(trainer, &epochs, &steps), 0);
    FUZZ_CALL(an_trainer_get_note(trainer, note), 0);
    FUZZ_CALL(an_trainer_set_note(trainer, note), 0);
    (void)an_trainer_iteration(trainer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static fuzz_memory memory = {(size_t)32 << 20, 0, 0, 0};
    static an_context *ctx;
    fuzz_input in = {data, size}, choices = fuzz_split(&in, CHOICES);
    an_model *model = NULL;
    an_trainer *trainer = NULL;
    const char *path = NULL;
    size_t before;
    loading l;

    if (ctx == NULL) ctx = fuzz_context(&memory);
    before = memory.blocks;
    l.ctx = ctx;
    l.file = in;
    choose(&l, &choices);
    if (l.by_path) path = fuzz_file(l.file.data, l.file.left);
    if (load_model(&model, &l, path) == AN_OK) {
        fuzz_model_examine(model);
        trainer = load_trainer(model, &l, path);
        if (trainer != NULL) examine_trainer(trainer);
        write_again(&l, model, trainer);
        fuzz_model_use(model, trainer);
    } else {
        FUZZ_EXPECT(model == NULL, "what is refused is a model");
    }
    an_trainer_destroy(trainer);
    an_model_destroy(model);
    FUZZ_EXPECT(memory.blocks == before, "%zu blocks are held", memory.blocks - before);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    fuzz_dice dice = fuzz_dice_of(seed);

    if (size < CHOICES + 8) return LLVMFuzzerMutate(data, size, max);
    if (fuzz_roll(&dice, 20) == 0) { /* without its tensors */
        fuzz_input file = {data + CHOICES, size - CHOICES};
        uint64_t length = fuzz_take(&file, 8);

        data[CHOICES - 1] |= 1;
        return length < file.left ? CHOICES + 8 + (size_t)length : size;
    }
    if (fuzz_roll(&dice, 10) == 0) {
        (void)LLVMFuzzerMutate(data, CHOICES, CHOICES);
        return size;
    }
    return CHOICES +
           fuzz_mutate_file(data + CHOICES, size - CHOICES, max - CHOICES, &dice);
}
