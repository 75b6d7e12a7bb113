/*
 * tma.h - Hopper's tensor memory accelerator, which copies boxes of a tensor to shared
 * memory, and mbarriers, at which its copies arrive. Each stands beside a host version of
 * itself, as in ptx.h.
 */
#ifndef AN_CUDA_TMA_H
#define AN_CUDA_TMA_H

#include "runtime/ptx.h"

/* What describes a tensor to copy_rows() and copy_windows(): CUDA's CUtensorMap. */
struct alignas(64) an_tensor_map {
    uint64_t words[16];
};

/* --- mbarrier: a place in shared memory where threads and copies arrive ------------ */

/* An mbarrier counts, in each phase, the arrivals that it was made for and the bytes that
 * copies still owe it. A phase ends when both have come; the first has parity 0, the next
 * 1, and so on. */
typedef uint64_t an_mbarrier;

static __device__ __forceinline__ void mbarrier_init(an_mbarrier *b, uint32_t arrivals)
{
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;\n" ::"r"(shared_address(b)),
                 "r"(arrivals)
                 : "memory");
#elif !defined(__CUDACC__)
    host_run::phase_init(b, arrivals);
#endif
}

/* Called before a barrier of the block, behind which copies and other threads may use
 * mbarriers that have been made. */
static __device__ __forceinline__ void mbarrier_fence_init()
{
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    asm volatile("fence.mbarrier_init.release.cluster;\n" ::: "memory");
    asm volatile("fence.proxy.async.shared::cta;\n" ::: "memory");
#endif
}

static __device__ __forceinline__ void mbarrier_arrive(an_mbarrier *b)
{
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];\n" ::"r"(shared_address(b))
                 : "memory");
#elif !defined(__CUDACC__)
    host_run::phase_arrive(b, 0);
#endif
}

/* An arrival, which also says how many bytes copies will bring in this phase. */
static __device__ __forceinline__ void mbarrier_expect(an_mbarrier *b, uint32_t bytes)
{
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;\n" ::"r"(
                     shared_address(b)),
                 "r"(bytes)
                 : "memory");
#elif !defined(__CUDACC__)
    host_run::phase_arrive(b, bytes);
#endif
}

/* Waits until the phase of this parity has ended; the one before the first counts as of
 * parity 1. */
static __device__ __forceinline__ void mbarrier_wait(an_mbarrier *b, uint32_t parity)
{
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    uint32_t ended;

    do
        asm volatile("{\n.reg .pred ended;\n"
                     "mbarrier.try_wait.parity.shared::cta.b64 ended, [%1], %2;\n"
                     "selp.b32 %0, 1, 0, ended;\n}\n"
                     : "=r"(ended)
                     : "r"(shared_address(b)), "r"(parity)
                     : "memory");
    while (!ended);
#elif !defined(__CUDACC__)
    host_run::phase_wait(b, parity);
#endif
}

/* --- copies by the tensor memory accelerator, which arrive at an mbarrier ---------- */

/* Both bring rows of 128 bytes, 64 bfloat16, to a multiple of 1024 bytes of shared
 * memory, where their 16-byte pieces are swapped as wgmma_descriptor() wants them. What
 * is beyond the tensor is 0, and its bytes count all the same. The maps (tensor_map.cu)
 * say how many rows a copy brings. */

/* Elements from `column` on, of rows from `row` on. */
static __device__ __forceinline__ void copy_rows(void *to, const an_tensor_map *map,
                                                 an_mbarrier *b, uint32_t column,
                                                 uint32_t row)
{
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes "
        "[%0], [%1, {%3, %4}], [%2];\n" ::"r"(shared_address(to)),
        "l"(map), "r"(shared_address(b)), "r"(column), "r"(row)
        : "memory");
#elif !defined(__CUDACC__)
    host_run::copy_rows(to, map, b, column, row);
#endif
}

/* The place of the upper left corner of a window. */
struct an_corner {
    int w, h;
    uint32_t image;
};

/* The pixels at a tap of windows from the one at `corner` on, row by row and image by
 * image: maps from `map0` on. */
static __device__ __forceinline__ void copy_windows(void *to, const an_tensor_map *map,
                                                    an_mbarrier *b, uint32_t map0,
                                                    const an_corner &corner,
                                                    uint32_t tap_w, uint32_t tap_h)
{
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    asm volatile(
        "cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::"
        "bytes [%0], [%1, {%3, %4, %5, %6}], [%2], {%7, %8};\n" ::"r"(shared_address(to)),
        "l"(map), "r"(shared_address(b)), "r"(map0), "r"(corner.w), "r"(corner.h),
        "r"(corner.image), "h"((uint16_t)tap_w), "h"((uint16_t)tap_h)
        : "memory");
#elif !defined(__CUDACC__)
    host_run::copy_windows(to, map, b, map0, corner.w, corner.h, corner.image, tap_w,
                           tap_h);
#endif
}

#endif
