/*
 * tensor_map.cu - maps of tensors for the copies of tma.h, which the driver writes: how a
 * bfloat16 tensor lies, and which part of it one copy brings. A launch is given its maps
 * by value; they are right as long as the tensors stay where they are.
 */
#include <cuda.h>

#include "gemm/pipeline.h"

static_assert(sizeof(an_tensor_map) == sizeof(CUtensorMap), "CUDA's");

typedef CUresult (*encode_rows_fn)(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *,
                                   const cuuint64_t *, const cuuint64_t *,
                                   const cuuint32_t *, const cuuint32_t *,
                                   CUtensorMapInterleave, CUtensorMapSwizzle,
                                   CUtensorMapL2promotion, CUtensorMapFloatOOBfill);
typedef CUresult (*encode_windows_fn)(CUtensorMap *, CUtensorMapDataType, cuuint32_t,
                                      void *, const cuuint64_t *, const cuuint64_t *,
                                      const int *, const int *, cuuint32_t, cuuint32_t,
                                      const cuuint32_t *, CUtensorMapInterleave,
                                      CUtensorMapSwizzle, CUtensorMapL2promotion,
                                      CUtensorMapFloatOOBfill);

/* The driver's function, or null: the plugin is not linked with the driver. */
static void *driver_function(const char *name)
{
    cudaDriverEntryPointQueryResult found;
    void *function = NULL;

    if (cudaGetDriverEntryPointByVersion(name, &function, 12000, cudaEnableDefault,
                                         &found) == cudaSuccess &&
        found == cudaDriverEntryPointSuccess)
        return function;
    cudaGetLastError();
    return NULL;
}

bool an__cuda_tensor_maps(an_device *device)
{
    device->encode_rows = driver_function("cuTensorMapEncodeTiled");
    device->encode_windows = driver_function("cuTensorMapEncodeIm2col");
    return device->encode_rows != NULL && device->encode_windows != NULL;
}

static an_status encoded(an_device *device, CUresult result)
{
    if (result == CUDA_SUCCESS) return AN_OK;
    return device->host->fail(AN_ERROR_DEVICE, "cuda:%d: a tensor's map failed: error %d",
                              device->index, (int)result);
}

an_status an__cuda_map_rows(an_device *device, an_tensor_map *map, const void *first,
                            uint64_t columns, uint64_t rows, uint64_t pitch,
                            uint32_t copied)
{
    cuuint64_t size[2] = {columns, rows}, bytes[1] = {pitch * 2};
    cuuint32_t box[2] = {AN_ROW_NUMBERS, copied}, apart[2] = {1, 1};

    return encoded(device, ((encode_rows_fn)device->encode_rows)(
                               (CUtensorMap *)map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2,
                               const_cast<void *>(first), size, bytes, box, apart,
                               CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                               CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                               CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE));
}

an_status an__cuda_map_windows(an_device *device, an_tensor_map *map, const void *first,
                               const an_gemm *g, uint32_t images, uint32_t copied)
{
    /* The windows' corners: from `lower` on, as many as there are outputs. */
    int pad = (int)g->pad, rows = (int)(g->by_pixels.d / g->by_width.d);
    int lower[2] = {-pad, -pad};
    int upper[2] = {(int)g->by_width.d - (int)g->in_width - pad,
                    rows - (int)g->in_height - pad};
    cuuint64_t row = (cuuint64_t)g->in_width * g->in_pitch;
    cuuint64_t size[4] = {g->in_maps * g->groups, g->in_width, g->in_height, images};
    cuuint64_t bytes[3] = {(cuuint64_t)g->in_pitch * 2, row * 2,
                           (cuuint64_t)g->in_image * 2};
    cuuint32_t apart[4] = {1, 1, 1, 1};

    return encoded(device,
                   ((encode_windows_fn)device->encode_windows)(
                       (CUtensorMap *)map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 4,
                       const_cast<void *>(first), size, bytes, lower, upper,
                       AN_ROW_NUMBERS, copied, apart, CU_TENSOR_MAP_INTERLEAVE_NONE,
                       CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                       CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE));
}
