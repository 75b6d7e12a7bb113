/*
 * read.c - models and trainers from safetensors files.
 */
#include <stdio.h>
#include <string.h>

#include "checkpoint/checkpoint.h"

AN_INIT_ZERO(an_load_config)

/* What arguments a file's own numbers make is the file's fault, not the caller's. */
static an_status fault_of_file(an_status status)
{
    char text[320];

    if (status != AN_ERROR_ARGUMENT) return status;
    snprintf(text, sizeof text, "%s", an_error_message());
    return an__fail(AN_ERROR_FORMAT, "the file's metadata: %.280s", text);
}

/* torchvision's AlexNet, by names and shapes, has no metadata of ours; its classes are
 * the rows of its last layer. */
static an_status config_of_torchvision(const an_header *header, an_model_config *config)
{
    const an_entry *last = an__header_find(header, "classifier.6.weight");

    if (last == NULL || last->dims != 2 || last->shape[0] < 2 || last->shape[0] > 65536)
        return an__fail(AN_ERROR_FORMAT,
                        "the file has neither this library's metadata nor "
                        "the tensors of torchvision's AlexNet");
    an_model_config_init(config, sizeof *config);
    config->arch = AN_ARCH_TORCHVISION;
    config->classes = (uint32_t)last->shape[0];
    return AN_OK;
}

/* --- models ------------------------------------------------------------------------ */

/* 1 if every tensor can be used where it lies in the map. */
static int usable_in_place(const an_reading *r, const an_wanted *wanted, uint32_t count)
{
    uint32_t i;

    if (r->file.map.base == NULL || r->header.start % sizeof(float) != 0) return 0;
    for (i = 0; i < count; i++)
        if (wanted->tensors[i]->dtype != AN_F32 ||
            wanted->tensors[i]->begin % sizeof(float) != 0)
            return 0;
    return 1;
}

static void *place_in_map(const an_reading *r, const an_entry *entry)
{
    return (char *)r->file.map.base + r->header.start + entry->begin;
}

/* [3][side][side], or none in the file. */
static an_status find_mean(const an_header *header, an_wanted *wanted)
{
    const an_entry *entry = an__header_find(header, AN_MEAN_IMAGE);

    if (entry == NULL) return AN_OK;
    if (entry->dtype > AN_BF16 || entry->dims != 3 || entry->shape[0] != 3 ||
        entry->shape[1] != entry->shape[2] || entry->shape[1] > 2048)
        return an__fail(AN_ERROR_FORMAT, "%s has no shape of a mean image",
                        AN_MEAN_IMAGE);
    wanted->mean = entry;
    return AN_OK;
}

/* The parameters are where the map has them; the mean image is copied. */
static an_status mean_from_map(an_reading *r, an_wanted *wanted)
{
    const an_entry *mean = wanted->mean;

    if (mean == NULL) return AN_OK;
    wanted->mean_values =
        an__alloc(&r->ctx->memory, (size_t)mean->count * sizeof *wanted->mean_values);
    if (wanted->mean_values == NULL) return AN_ERROR_MEMORY;
    an__dtype_convert(mean->dtype, place_in_map(r, mean), (size_t)mean->count,
                      wanted->mean_values);
    return AN_OK;
}

/* What the file says beside the parameters. */
static an_status apply_metadata(an_model *model, const an_metadata *metadata,
                                const an_wanted *wanted)
{
    if (metadata != NULL) AN_TRY(an__metadata_apply(metadata, model));
    if (wanted->mean == NULL) return AN_OK;
    return an_model_set_mean_image(model, wanted->mean_values,
                                   (size_t)wanted->mean->count);
}

/* copy 0: the file's map, where there is one, becomes the model's if that can be. */
static an_status build_model(an_model **out, an_reading *r, const an_plan *plan,
                             const an_load_config *load, const an_metadata *metadata)
{
    float *places[AN_MAX_PARAMS];
    const an_backend *backend;
    an_device *device[AN_MAX_TOWERS];
    an_model_config config = plan->config;
    an_wanted wanted;
    an_model *model;
    an_status status;
    uint32_t i;
    int in_place;

    config.devices = load->devices;
    config.precision = load->precision;
    AN_TRY(an__wanted_find(&wanted, r, plan, ""));
    AN_TRY(find_mean(&r->header, &wanted));
    AN_TRY(an__context_devices(r->ctx, load->devices, plan->towers, &backend, device));
    in_place = !load->copy && backend->host_memory &&
               usable_in_place(r, &wanted, plan->param_count);
    for (i = 0; in_place && i < plan->param_count; i++)
        places[i] = place_in_map(r, wanted.tensors[i]);
    AN_TRY(an__model_make(&model, r->ctx, &config, in_place ? places : NULL));
    wanted.net = &model->net;
    wanted.weights = &model->net.weights;
    status = in_place ? mean_from_map(r, &wanted) : an__reading_tensors(r, &wanted);
    if (status == AN_OK) status = fault_of_file(apply_metadata(model, metadata, &wanted));
    an__free(&r->ctx->memory, wanted.mean_values);
    if (status != AN_OK) {
        an_model_destroy(model);
        return status;
    }
    if (in_place) {
        model->mapping = r->file.map;
        r->file.map.base = NULL;
    }
    *out = model;
    return AN_OK;
}

static an_status plan_model(an_plan *plan, const an_header *header,
                            const an_metadata *metadata, const an_load_config *load)
{
    an_model_config config;

    if (an__header_find(header, "place") != NULL &&
        an__header_find(header, "sum") != NULL)
        return an__fail(AN_ERROR_FORMAT,
                        "the file is the index of a pack, not a checkpoint");
    if (metadata != NULL)
        AN_TRY(an__metadata_config(metadata, &config));
    else
        AN_TRY(config_of_torchvision(header, &config));
    AN_TRY(fault_of_file(an__model_config_check(&config)));
    AN_TRY(fault_of_file(an__plan_make(plan, &config)));
    if (load->towers < 2) return AN_OK;
    /* Whether it can be split is the caller's question. */
    config = plan->config;
    config.towers = load->towers;
    return an__plan_make(plan, &config);
}

static an_status load_model(an_model **out, an_reading *r, const an_load_config *load)
{
    an_plan *plan;
    an_metadata metadata;
    const an_metadata *about = NULL;
    an_status status;

    AN_TRY(an__reading_header(r));
    if (r->header.metadata != NULL) about = &metadata;
    plan = an__alloc(&r->ctx->memory, sizeof *plan);
    status = plan != NULL ? AN_OK : AN_ERROR_MEMORY;
    if (status == AN_OK && about != NULL)
        status = an__metadata_parse(&metadata, &r->header);
    if (status == AN_OK) status = plan_model(plan, &r->header, about, load);
    if (status == AN_OK) status = build_model(out, r, plan, load, about);
    an__free(&r->ctx->memory, plan);
    return status;
}

static an_status load_config_read(an_load_config *config, const an_load_config *given)
{
    an_load_config_init(config, sizeof *config);
    if (given != NULL)
        AN_TRY(an__struct_read(config, given, sizeof *config, sizeof *config, "config"));
    AN_CHECK(config->reserved == 0, "config.reserved is %u: must be 0", config->reserved);
    AN_CHECK(config->towers <= AN_MAX_TOWERS, "config.towers is %u: must be 0, 1 or 2",
             config->towers);
    AN_CHECK(config->copy <= 1, "config.copy is %u: must be 0 or 1", config->copy);
    return AN_OK;
}

an_status an_model_load(an_model **out, an_context *ctx, const char *path,
                        const an_load_config *given)
{
    AN_ENTER;
    an_reading reading;
    an_load_config config;
    an_status status;

    AN_TRY(an__context_check(ctx));
    AN_CHECK(out != NULL, "out is null");
    AN_CHECK(path != NULL, "path is null");
    AN_TRY(load_config_read(&config, given));
    status = an__reading_open(&reading, ctx, path);
    if (status == AN_OK) status = load_model(out, &reading, &config);
    an__reading_end(&reading);
    return status;
}

an_status an_model_read(an_model **out, an_context *ctx, an_read_fn read, void *user,
                        const an_load_config *given)
{
    AN_ENTER;
    an_reading reading;
    an_load_config config;
    an_status status;

    AN_TRY(an__context_check(ctx));
    AN_CHECK(out != NULL, "out is null");
    AN_CHECK(read != NULL, "read is null");
    AN_TRY(load_config_read(&config, given));
    an__reading_begin(&reading, ctx, read, user);
    status = load_model(out, &reading, &config);
    an__reading_end(&reading);
    return status;
}

/* --- trainers ---------------------------------------------------------------------- */

/* The velocities come first: what else a trainer has is as large as they, and only the
 * whole file vouches for it. */
static an_status build_trainer(an_trainer **out, an_model *model, an_reading *r,
                               const an_metadata *metadata)
{
    an_trainer_config config;
    an_weights velocity;
    an_wanted wanted;
    an_trainer *trainer = NULL;
    an_status status;

    AN_TRY(an__metadata_trainer_config(metadata, &config));
    AN_TRY(an__metadata_same(metadata, model));
    AN_TRY(an__wanted_find(&wanted, r, model->net.plan, AN_VELOCITY));
    memset(&velocity, 0, sizeof velocity);
    wanted.net = &model->net;
    wanted.weights = &velocity;
    status = an__reading_tensors(r, &wanted);
    if (status == AN_OK)
        status = fault_of_file(an__trainer_make(&trainer, model, &config, &velocity));
    an__weights_free(&velocity, &model->net);
    if (status == AN_OK) status = fault_of_file(an__metadata_trainer(metadata, trainer));
    if (status != AN_OK) {
        an_trainer_destroy(trainer);
        return status;
    }
    *out = trainer;
    return AN_OK;
}

static an_status load_trainer(an_trainer **out, an_model *model, an_reading *r)
{
    an_metadata metadata;

    AN_TRY(an__reading_header(r));
    if (r->header.metadata == NULL)
        return an__fail(AN_ERROR_FORMAT, "the file has none of this library's metadata");
    AN_TRY(an__metadata_parse(&metadata, &r->header));
    return build_trainer(out, model, r, &metadata);
}

an_status an_trainer_load(an_trainer **out, an_model *model, const char *path)
{
    AN_ENTER;
    an_reading reading;
    an_status status;

    AN_CHECK(out != NULL, "out is null");
    AN_TRY(an__model_check(model));
    AN_CHECK(path != NULL, "path is null");
    status = an__reading_open(&reading, model->net.ctx, path);
    if (status == AN_OK) status = load_trainer(out, model, &reading);
    an__reading_end(&reading);
    return status;
}

an_status an_trainer_read(an_trainer **out, an_model *model, an_read_fn read, void *user)
{
    AN_ENTER;
    an_reading reading;
    an_status status;

    AN_CHECK(out != NULL, "out is null");
    AN_TRY(an__model_check(model));
    AN_CHECK(read != NULL, "read is null");
    an__reading_begin(&reading, model->net.ctx, read, user);
    status = load_trainer(out, model, &reading);
    an__reading_end(&reading);
    return status;
}
