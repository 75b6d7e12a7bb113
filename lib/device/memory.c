/*
 * memory.c - memory of the host that a device copies from fastest, and memory of devices
 * as operands. Who allocates releases, before the context ends.
 */
#include "device/device.h"

an_status an__host_alloc(an_context *ctx, const an_backend *backend, an_device *device,
                         size_t bytes, uint8_t **out)
{
    void *memory = NULL;

    if (backend->async != NULL)
        AN_TRY(backend->async->host_alloc(device, bytes, &memory));
    else
        memory = an__alloc(&ctx->memory, bytes);
    *out = memory;
    return memory != NULL ? AN_OK : AN_ERROR_MEMORY;
}

void an__host_free(an_context *ctx, const an_backend *backend, an_device *device,
                   void *memory)
{
    if (memory != NULL && backend->async != NULL)
        backend->async->host_release(device, memory);
    else
        an__free(&ctx->memory, memory);
}

an_status an__operand_alloc(const an_backend *backend, an_device *device, size_t count,
                            uint32_t dtype, an_operand *out)
{
    void *buffer = NULL;

    AN_TRY(backend->alloc(device, count * an__dtype_bytes(dtype), &buffer));
    *out = an__operand(buffer, 0, dtype);
    return AN_OK;
}

void an__operand_release(const an_backend *backend, an_device *device,
                         an_operand *operand)
{
    if (operand->buffer != NULL) backend->release(device, operand->buffer);
    *operand = an__no_operand();
}
