/*
 * touch.h - of the host run: how much memory a kernel reads and writes.
 */
#ifndef HOST_RUN_TOUCH_H
#define HOST_RUN_TOUCH_H

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace host_run
{

enum { PAGE = 4096 };

struct Range {
    const char *memory; /* whole pages */
    size_t bytes;
};

/* Runs it: bytes of what it reads of these, and of what it writes, each page once; 0
 * where that cannot be told. */
uint64_t bytes_touched(const std::vector<Range> &memory,
                       const std::function<void()> &kernel);

} // namespace host_run

#endif
