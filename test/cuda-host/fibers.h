/*
 * fibers.h - a block of threads, run to its end.
 */
#ifndef HOST_RUN_FIBERS_H
#define HOST_RUN_FIBERS_H

#include "cuda_runtime.h"

namespace host_run
{

/* Null, or what went wrong: static. */
const char *run_block(dim3 grid, dim3 block_index, dim3 block, size_t shared_bytes,
                      void (*run)(const void *kernel, const void *params),
                      const void *kernel, const void *params);

} // namespace host_run

#endif
