/*
 * host_memory.c - memory that a device copies from fastest, and what is given back to a device.
 */
#include "device/device.h"

an_status an__host_alloc(an_context *ctx, const an_slot *slot, size_t bytes,
                         uint8_t **out)
{
    void *memory = NULL;

    if (slot->backend->host_alloc != NULL)
        AN_TRY(slot->backend->host_alloc(slot->device, bytes, &memory));
    else
        memory = an__alloc(&ctx->memory, bytes);
    *out = memory;
    return memory != NULL ? AN_OK : AN_ERROR_MEMORY;
}

void an__host_free(an_context *ctx, const an_slot *slot, void *memory)
{
    if (memory != NULL && slot->backend->host_alloc != NULL)
        slot->backend->host_release(slot->device, memory);
    else
        an__free(&ctx->memory, memory);
}

void an__device_release(const an_slot *slot, void *memory)
{
    if (memory != NULL) slot->backend->release(slot->device, memory);
}
