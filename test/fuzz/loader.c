/*
 * loader.c - a loader of any config over a source of any pictures: a status, or batches
 * that are in order, and that are the same whoever prepares them, again after a seek.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

enum { PICTURES = 12, PIXELS = 4096, SEEN = 4 };

/* --- sources ----------------------------------------------------------------------- */

typedef struct picture {
    uint32_t width, height;
    size_t row_bytes;
    int32_t label;
    int fails, is_null;
} picture;

typedef struct pictures {
    picture of[PICTURES];
    uint8_t *pixels[PICTURES]; /* each as large as it must be */
} pictures;

static int fetch(uint64_t index, an_sample *sample, void *user)
{
    const pictures *p = user;
    const picture *at = &p->of[index % PICTURES];

    if (at->fails) return -1;
    sample->pixels = at->is_null ? NULL : p->pixels[index % PICTURES];
    sample->width = at->width;
    sample->height = at->height;
    sample->row_bytes = at->row_bytes;
    sample->label = at->label;
    return 0;
}

/* Sizes at and beyond limits, or such that the pixels are as many as the source has. */
static void picture_choose(picture *p, fuzz_input *in)
{
    static const uint32_t sizes[] = {0, 1, 2, 3, 7, 8, 9, 16, 33, 64, 1024, 32768, 32769};
    uint32_t bits = fuzz_below(in, 256);
    size_t row;

    memset(p, 0, sizeof *p);
    p->width = sizes[fuzz_below(in, 13)];
    p->height = sizes[fuzz_below(in, 13)];
    row = (size_t)3 * p->width;
    if (bits & 1) p->row_bytes = row + fuzz_below(in, 8);
    if ((bits & 0xe) == 2) p->row_bytes = row / 2;
    p->label = (bits & 0x30) == 0 ? (int32_t)fuzz_take(in, 4)
                                  : (int32_t)(bits >> 4) % FUZZ_CLASSES;
    p->fails = (bits & 0xc1) == 0xc1;
    p->is_null = (bits & 0xce) == 0xce;
    /* What a source says must be true: only what is out of range may be larger. */
    if (p->row_bytes > row) row = p->row_bytes;
    if (row > 0 && p->height <= 32768 && p->width <= 32768 &&
        row * (p->height > 0 ? p->height : 1) > PIXELS)
        p->width = p->height = 8, p->row_bytes = 0;
}

/* So that a byte too many is noticed: no picture has more than it needs. */
static void pictures_make(pictures *p, fuzz_input *in)
{
    uint8_t value = (uint8_t)fuzz_take(in, 1);
    size_t i, k;

    for (i = 0; i < PICTURES; i++) {
        picture *at = &p->of[i];
        size_t row, bytes;

        picture_choose(at, in);
        row = at->row_bytes > 0 ? at->row_bytes : (size_t)3 * at->width;
        bytes = at->height > 0 && row > 0 ? row * (at->height - 1) + (size_t)3 * at->width
                                          : 0;
        if (bytes == 0 || bytes > 4 * PIXELS) bytes = 1;
        p->pixels[i] = malloc(bytes);
        if (p->pixels[i] == NULL) fuzz_fail("no memory for pictures");
        for (k = 0; k < bytes; k++) p->pixels[i][k] = (uint8_t)(value + k * (i + 3));
    }
}

/* A pack of one picture of each class, of either kind. */
static an_pack *make_pack(an_context *ctx, an_pack_kind kind)
{
    an_pack_writer_config config;
    an_pack_writer *writer;
    uint8_t pixels[FUZZ_PIXELS];
    an_pack *pack;
    int32_t i;

    an_pack_writer_config_init(&config, sizeof config);
    config.side = FUZZ_SIDE;
    config.classes = FUZZ_CLASSES;
    config.kind = kind;
    FUZZ_CALL(an_pack_writer_create(&writer, ctx, fuzz_folder(), &config), 0);
    for (i = 0; i < FUZZ_CLASSES; i++) {
        memset(pixels, 80 * i + 5, sizeof pixels);
        FUZZ_CALL(an_pack_writer_add(writer, pixels, pixels, 4, i), 0);
    }
    FUZZ_CALL(an_pack_writer_finish(writer), 0);
    an_pack_writer_destroy(writer);
    FUZZ_CALL(an_pack_open(&pack, ctx, fuzz_folder(), fuzz_decode, NULL), 0);
    fuzz_folder_empty(); /* it is mapped */
    return pack;
}

/* --- batches ----------------------------------------------------------------------- */

static size_t batch_floats(const an_batch *batch)
{
    return (size_t)batch->count * FUZZ_PIXELS;
}

typedef struct seen {
    an_status status;
    uint32_t count, epoch, step, last;
    float *images;
    uint64_t first; /* of indices */
} seen;

static void see(an_loader *loader, seen *out)
{
    const uint32_t may = FUZZ_MAY(IO) | FUZZ_MAY(ARGUMENT) | FUZZ_MAY(FORMAT);
    an_batch batch;
    uint32_t i;

    memset(out, 0, sizeof *out);
    an_batch_init(&batch, sizeof batch);
    out->status = FUZZ_CALL(an_loader_next(loader, &batch), may);
    if (out->status != AN_OK) return;
    FUZZ_EXPECT(batch.count > 0 && batch.images != NULL, "a batch is empty");
    for (i = 0; i < batch.count; i++)
        FUZZ_EXPECT(batch.labels[i] >= 0 && batch.labels[i] < FUZZ_CLASSES,
                    "label %u of a batch is %d", i, (int)batch.labels[i]);
    out->count = batch.count;
    out->epoch = batch.epoch;
    out->step = batch.step;
    out->last = batch.last;
    out->first = batch.indices[0];
    out->images = malloc(batch_floats(&batch) * sizeof(float));
    if (out->images == NULL) fuzz_fail("no memory for a batch");
    memcpy(out->images, batch.images, batch_floats(&batch) * sizeof(float));
}

static void expect_same(const seen *a, const seen *b, const char *what)
{
    FUZZ_EXPECT(a->status == b->status && a->count == b->count && a->epoch == b->epoch &&
                    a->step == b->step && a->last == b->last && a->first == b->first,
                "%s: another batch", what);
    FUZZ_EXPECT(a->status != AN_OK ||
                    memcmp(a->images, b->images,
                           (size_t)a->count * FUZZ_PIXELS * sizeof(float)) == 0,
                "%s: other numbers", what);
}

static void see_some(an_loader *loader, seen *out)
{
    int i;

    for (i = 0; i < SEEN; i++) see(loader, &out[i]);
}

static void forget(seen *s)
{
    int i;

    for (i = 0; i < SEEN; i++) free(s[i].images);
}

/* One whose steps change nothing, so that every input finds the same model. */
static an_trainer *idle_trainer(an_model *model)
{
    an_trainer_config config;
    an_trainer *trainer = NULL;

    an_trainer_config_init(&config, sizeof config);
    config.batch = 4;
    config.rate = config.bias_rate = 0;
    FUZZ_CALL(an_trainer_create(&trainer, model, &config), FUZZ_MAY(MEMORY));
    return trainer;
}

static void train(an_model *model, an_loader *loader)
{
    an_trainer *trainer = idle_trainer(model);
    an_batch batch;

    an_batch_init(&batch, sizeof batch);
    if (trainer != NULL && FUZZ_CALL(an_loader_next(loader, &batch),
                                     FUZZ_MAY(IO) | FUZZ_MAY(ARGUMENT)) == AN_OK)
        FUZZ_CALL(an_train_step_batch(trainer, &batch, NULL),
                  FUZZ_MAY(DIVERGED) | FUZZ_MAY(MEMORY));
    an_trainer_destroy(trainer);
}

/* Two loaders that differ in threads alone, and one of them from the beginning again. */
static void try_batches(an_model *model, const an_source *source, an_loader_config config,
                        an_loader *loader)
{
    seen first[SEEN], other[SEEN];
    an_loader *second = NULL;
    an_loader_info info;
    int i;

    see_some(loader, first);
    FUZZ_CALL(an_loader_seek(loader, 0, 0), 0);
    see_some(loader, other);
    for (i = 0; i < SEEN; i++) expect_same(&first[i], &other[i], "a seek");
    forget(other);
    an_loader_info_init(&info, sizeof info);
    FUZZ_CALL(an_loader_describe(loader, &info), 0);
    FUZZ_EXPECT(info.steps > 0 && info.count == source->count, "an epoch has no steps");
    FUZZ_EXPECT(FUZZ_CALL(an_loader_seek(loader, 0, info.steps), FUZZ_MAY(ARGUMENT)) !=
                    AN_OK,
                "a step behind the epoch's last");
    FUZZ_CALL(an_loader_seek(loader, (uint32_t)~config.seed, info.steps - 1), 0);
    see(loader, &other[0]);
    FUZZ_EXPECT(other[0].status != AN_OK ||
                    (other[0].epoch == (uint32_t)~config.seed && other[0].last == 1),
                "a seek leads elsewhere");
    free(other[0].images);
    config.size = sizeof config; /* it may have been a newer one's */
    config.workers = config.workers == 1 ? 2 : 1;
    config.prefetch = 1;
    if (FUZZ_CALL(an_loader_create(&second, model, source, &config), FUZZ_MAY(MEMORY)) ==
        AN_OK) {
        see_some(second, other);
        for (i = 0; i < SEEN; i++) expect_same(&first[i], &other[i], "other threads");
        forget(other);
    }
    forget(first);
    if (second != NULL && config.batch <= 4) train(model, second);
    an_loader_destroy(second);
}

/* --- an input ---------------------------------------------------------------------- */

static void config_choose(an_loader_config *c, fuzz_input *in, size_t room)
{
    an_loader_config_init(c, sizeof *c);
    c->batch = 1 + fuzz_below(in, 5);
    c->workers = 1 + fuzz_below(in, 3);
    c->prefetch = 1 + fuzz_below(in, 3);
    c->shuffle = fuzz_below(in, 2);
    c->augment = fuzz_below(in, 8);
    c->crop_group = 1 + fuzz_below(in, 4);
    c->colour_rule = (an_colour_rule)fuzz_below(in, 2);
    c->seed = fuzz_take(in, 4);
    if (fuzz_below(in, 3) == 0) fuzz_fields(in, c, sizeof *c, room);
    if (c->workers > 4 && c->workers <= 256) c->workers = 4; /* threads take their time */
}

static void source_choose(an_source *source, fuzz_input *in, pictures *p,
                          an_pack *packs[2])
{
    uint32_t way = fuzz_below(in, 8);

    an_source_init(source, sizeof *source);
    if (way < 2) {
        FUZZ_CALL(an_pack_source(packs[way], source), 0);
        return;
    }
    source->count = 1 + fuzz_below(in, 2 * PICTURES);
    if (way == 2) source->count = fuzz_take(in, 8);
    if (way == 3) source->scratch_bytes = (size_t)fuzz_take(in, 5);
    if (way == 4) source->size = fuzz_below(in, 256) % (sizeof *source + 1);
    source->fetch = way == 5 && fuzz_below(in, 8) == 0 ? NULL : fetch;
    source->user = p;
}

static void preprocessing_choose(an_model *model, fuzz_input *in)
{
    static an_preprocessing first;
    an_preprocessing p;

    if (first.size == 0) {
        an_preprocessing_init(&first, sizeof first);
        FUZZ_CALL(an_model_get_preprocessing(model, &first), 0);
    }
    p = first;
    p.side = FUZZ_SIDE + fuzz_below(in, 4);
    p.fit = (an_fit)fuzz_below(in, 2);
    p.bgr = fuzz_below(in, 2);
    if (fuzz_below(in, 8) == 0) memset(p.colour_deviation, 0, sizeof p.colour_deviation);
    FUZZ_CALL(an_model_set_preprocessing(model, &p), 0);
}

/* The model is used once: it keeps weights in another order from then on. */
static an_model *used_model(an_context *ctx)
{
    an_model *model = fuzz_model(ctx);
    an_trainer *trainer = idle_trainer(model);

    fuzz_model_use(model, trainer);
    an_trainer_destroy(trainer);
    return model;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static fuzz_memory memory = {(size_t)4 << 20, 0, 0, 0};
    const uint32_t may =
        FUZZ_MAY(ARGUMENT) | FUZZ_MAY(MEMORY) | FUZZ_MAY(STATE) | FUZZ_MAY(VERSION);
    static an_context *ctx;
    static an_model *model;
    static an_pack *packs[2];
    fuzz_input in = {data, size};
    FUZZ_ROOM(an_loader_config) config;
    pictures p;
    an_source source;
    an_loader *loader = NULL;
    size_t before, i;

    if (ctx == NULL) {
        ctx = fuzz_context(&memory);
        model = used_model(ctx);
        fuzz_folder_empty();
        packs[0] = make_pack(ctx, AN_PACK_RAW);
        packs[1] = make_pack(ctx, AN_PACK_JPEG);
    }
    before = memory.blocks;
    preprocessing_choose(model, &in);
    config_choose(&config.object, &in, sizeof config);
    source_choose(&source, &in, &p, packs);
    pictures_make(&p, &in);
    if (FUZZ_CALL(an_loader_create(&loader, model, &source, &config.object), may) ==
        AN_OK)
        try_batches(model, &source, config.object, loader);
    else
        FUZZ_EXPECT(loader == NULL, "what is refused is a loader");
    an_loader_destroy(loader);
    for (i = 0; i < PICTURES; i++) free(p.pixels[i]);
    FUZZ_EXPECT(memory.blocks == before, "%zu blocks are held", memory.blocks - before);
    return 0;
}
