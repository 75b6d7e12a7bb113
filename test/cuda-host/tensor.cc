/*
 * tensor.cc - of the host run: mbarriers, and copies by the tensor memory accelerator,
 * which arrive at them as late as may be: when a thread waits for the phase that they
 * belong to.
 */
#include "control.h"
#include "cuda.h"
#include "cuda_runtime.h"

namespace host_run
{

namespace
{

/* --- tensors' maps ----------------------------------------------------------------- */

enum { ROW_BYTES = 128, SWIZZLED = 1024, NUMBER = 2 };

/* What a map says: sizes from the numbers beside each other outwards. */
struct Tensor {
    uint64_t written; /* of WRITTEN: else it is no map */
    const char *first;
    uint64_t pitch[3]; /* in bytes */
    uint32_t size[4];
    uint32_t ranks, rows; /* rows: of 128 bytes, that a copy brings */
    int lower[2], upper[2];
};
static_assert(sizeof(Tensor) <= sizeof(CUtensorMap), "no more than the driver's");

constexpr uint64_t WRITTEN = 0x70616d20736f7274;

/* What the driver says of its arguments: cuTensorMapEncodeTiled(),
 * cuTensorMapEncodeIm2col(). */
bool lies_well(const Tensor &t, const cuuint64_t *size, const cuuint64_t *pitch)
{
    if ((uintptr_t)t.first % 16 != 0 || t.rows < 1 ||
        t.rows > (t.ranks == 4 ? 1024 : 256))
        return false;
    for (uint32_t i = 0; i < t.ranks; i++)
        if (size[i] < 1 || size[i] >> 32 != 0) return false;
    for (uint32_t i = 0; i + 1 < t.ranks; i++)
        if (pitch[i] % 16 != 0 || pitch[i] >> 40 != 0) return false;
    return true;
}

CUresult put_map(CUtensorMap *map, Tensor &t, const cuuint64_t *size,
                 const cuuint64_t *pitch)
{
    if (!lies_well(t, size, pitch) || must_fail(0)) return CUDA_ERROR_INVALID_VALUE;
    t.written = WRITTEN;
    for (uint32_t i = 0; i < t.ranks; i++) t.size[i] = (uint32_t)size[i];
    for (uint32_t i = 0; i + 1 < t.ranks; i++) t.pitch[i] = pitch[i];
    std::memset(map, 0xff, sizeof *map);
    std::memcpy(map, &t, sizeof t);
    return CUDA_SUCCESS;
}

CUresult encode_tiled(CUtensorMap *map, CUtensorMapDataType, cuuint32_t rank, void *first,
                      const cuuint64_t *size, const cuuint64_t *pitch,
                      const cuuint32_t *box, const cuuint32_t *apart,
                      CUtensorMapInterleave, CUtensorMapSwizzle, CUtensorMapL2promotion,
                      CUtensorMapFloatOOBfill)
{
    Tensor t = {};

    if (rank != 2 || box[0] * NUMBER != ROW_BYTES || apart[0] != 1 || apart[1] != 1)
        return CUDA_ERROR_INVALID_VALUE;
    t.first = (const char *)first;
    t.ranks = 2;
    t.rows = box[1];
    return put_map(map, t, size, pitch);
}

CUresult encode_im2col(CUtensorMap *map, CUtensorMapDataType, cuuint32_t rank,
                       void *first, const cuuint64_t *size, const cuuint64_t *pitch,
                       const int *lower, const int *upper, cuuint32_t numbers,
                       cuuint32_t pixels, const cuuint32_t *apart, CUtensorMapInterleave,
                       CUtensorMapSwizzle, CUtensorMapL2promotion,
                       CUtensorMapFloatOOBfill)
{
    Tensor t = {};

    if (rank != 4 || numbers * NUMBER != ROW_BYTES) return CUDA_ERROR_INVALID_VALUE;
    for (int i = 0; i < 4; i++)
        if (apart[i] != 1) return CUDA_ERROR_INVALID_VALUE;
    for (int i = 0; i < 2; i++) {
        if (lower[i] < -128 || lower[i] > 127 || upper[i] < -128 || upper[i] > 127)
            return CUDA_ERROR_INVALID_VALUE;
        t.lower[i] = lower[i];
        t.upper[i] = upper[i];
    }
    t.first = (const char *)first;
    t.ranks = 4;
    t.rows = pixels;
    return put_map(map, t, size, pitch);
}

/* --- mbarriers --------------------------------------------------------------------- */

/* In the eight bytes of shared memory that a kernel has for one. */
struct Phase {
    uint16_t parity : 1, arrivals : 15; /* arrivals: of a phase */
    uint16_t missing;
    int32_t bytes; /* that copies still owe */
};
static_assert(sizeof(Phase) == 8, "an mbarrier's");

HOST_RUN_QUIET Phase get_phase(const void *barrier)
{
    Phase p;

    if (!in_shared(barrier, sizeof p) || (uintptr_t)barrier % 8 != 0)
        fault("an mbarrier that is none of shared memory");
    std::memcpy(&p, barrier, sizeof p);
    if (p.arrivals == 0x7fff) fault("an mbarrier that nobody has made");
    return p;
}

/* Changed, and, if nothing is missing any more, in the next phase. */
HOST_RUN_QUIET void put_phase(void *barrier, Phase p)
{
    if (p.missing == 0 && p.bytes == 0) {
        p.parity ^= 1;
        p.missing = p.arrivals;
    }
    std::memcpy(barrier, &p, sizeof p);
}

/* For TSan, a byte of it stands for the phases of one parity. */
char *object(const void *barrier, unsigned parity)
{
    return (char *)const_cast<void *>(barrier) + parity;
}

/* --- copies ------------------------------------------------------------------------ */

struct Transfer {
    char *to;
    void *barrier;
    Tensor tensor;
    uint32_t number; /* the first of each row */
    int corner[2];   /* of windows, or [0]: row */
    uint32_t image;
    int tap[2];
};

/* Those in flight of the block that runs, oldest first. The double's own, whatever thread
 * asks: so TSan is to see neither, nor memcpy(), which it looks into. */
enum { MOST = 256, WORDS = sizeof(Transfer) / 8 };
static_assert(sizeof(Transfer) % 8 == 0, "whole words");

volatile uint64_t in_flight[MOST][WORDS];
unsigned in_flight_count;

HOST_RUN_QUIET void keep(const Transfer &c)
{
    if (in_flight_count == MOST) fault("more copies in flight than the double keeps");
    for (unsigned i = 0; i < WORDS; i++)
        in_flight[in_flight_count][i] = ((const volatile uint64_t *)&c)[i];
    in_flight_count++;
}

/* The oldest to a barrier; or MOST. */
HOST_RUN_QUIET unsigned oldest(const void *barrier)
{
    for (unsigned i = 0; i < in_flight_count; i++)
        if (in_flight[i][offsetof(Transfer, barrier) / 8] == (uint64_t)barrier) return i;
    return MOST;
}

HOST_RUN_QUIET void take(unsigned index, Transfer &c)
{
    for (unsigned i = 0; i < WORDS; i++)
        ((volatile uint64_t *)&c)[i] = in_flight[index][i];
    in_flight_count--;
    for (; index < in_flight_count; index++)
        for (unsigned i = 0; i < WORDS; i++)
            in_flight[index][i] = in_flight[index + 1][i];
}

/* Where a row of 128 bytes is from; null: there is none. */
const char *source(const Tensor &t, const Transfer &c, const int (&corner)[2],
                   uint32_t image)
{
    int w = corner[0] + c.tap[0], h = corner[1] + c.tap[1];

    if (t.ranks == 2)
        return (uint32_t)corner[0] < t.size[1] ? t.first + (size_t)corner[0] * t.pitch[0]
                                               : nullptr;
    if ((uint32_t)w >= t.size[1] || (uint32_t)h >= t.size[2] || image >= t.size[3])
        return nullptr;
    return t.first + image * t.pitch[2] + (size_t)h * t.pitch[1] + (size_t)w * t.pitch[0];
}

/* The next corner, which goes from row to row and image to image. */
HOST_RUN_QUIET void go_on(const Tensor &t, int (&corner)[2], uint32_t *image)
{
    corner[0]++;
    if (t.ranks == 2 || corner[0] < (int)t.size[1] + t.upper[0]) return;
    corner[0] = t.lower[0];
    if (++corner[1] < (int)t.size[2] + t.upper[1]) return;
    corner[1] = t.lower[1];
    ++*image;
}

void deliver(const Transfer &c)
{
    const Tensor &t = c.tensor;
    int corner[2] = {c.corner[0], c.corner[1]};
    uint32_t image = c.image;

    for (uint32_t row = 0; row < t.rows; row++, go_on(t, corner, &image)) {
        const char *from = source(t, c, corner, image);

        for (uint32_t i = 0; i < ROW_BYTES / NUMBER; i++) {
            size_t at = row * ROW_BYTES + i * NUMBER;

            at ^= (at >> 7 & 7) << 4;
            *(uint16_t *)(c.to + at) =
                from != nullptr && c.number + i < t.size[0]
                    ? *(const uint16_t *)(from + (size_t)(c.number + i) * NUMBER)
                    : 0;
        }
    }
}

/* As if by the thread that asked: what stood there is spoilt at once. */
void begin(Transfer &c, const void *map)
{
    std::memcpy(&c.tensor, map, sizeof c.tensor);
    if (c.tensor.written != WRITTEN) fault("a tensor's map that is none");
    if (!in_shared(c.to, c.tensor.rows * ROW_BYTES) ||
        (size_t)(c.to - (char *)shared()) % SWIZZLED != 0)
        fault("a tensor's copy to a place that is none for it");
    get_phase(c.barrier);
    for (uint32_t i = 0; i < c.tensor.rows * ROW_BYTES / 4; i++)
        ((uint32_t *)c.to)[i] = 0xffffffffu;
    release(
        c.to); /* the copy comes after, though whoever asked may have arrived before */
    keep(c);
}

/* What is in flight to a barrier arrives. */
void all_arrive(void *barrier)
{
    for (unsigned index = oldest(barrier); index < MOST; index = oldest(barrier)) {
        Phase p = get_phase(barrier);
        Transfer c;

        take(index, c);
        acquire(object(barrier, p.parity));
        acquire(c.to);
        deliver(c);
        release(object(barrier, p.parity));
        p.bytes -= (int32_t)c.tensor.rows * ROW_BYTES;
        put_phase(barrier, p);
    }
}

HOST_RUN_QUIET bool has_ended(const void *barrier, unsigned parity)
{
    return get_phase(barrier).parity != parity;
}

/* It has, or a copy is in flight to it that a thread must wait for. */
HOST_RUN_QUIET bool has_news(const void *barrier, unsigned parity)
{
    return has_ended(barrier, parity) || oldest(barrier) < MOST;
}

} // namespace

HOST_RUN_QUIET void phase_init(uint64_t *barrier, uint32_t arrivals)
{
    Phase p = {0, (uint16_t)(arrivals & 0x7fff), (uint16_t)arrivals, 0};

    if (!in_shared(barrier, sizeof p) || arrivals < 1 || arrivals > 0x7ffe)
        fault("an mbarrier that cannot be");
    std::memcpy(barrier, &p, sizeof p);
}

HOST_RUN_QUIET void phase_arrive(uint64_t *barrier, uint32_t bytes)
{
    Phase p = get_phase(barrier);

    if (p.missing == 0) fault("one more at an mbarrier than it counts");
    release(object(barrier, p.parity));
    p.missing--;
    p.bytes += (int32_t)bytes;
    put_phase(barrier, p);
}

void phase_wait(uint64_t *barrier, uint32_t parity)
{
    while (!has_ended(barrier, parity)) {
        wait_until(has_news, barrier, parity);
        if (!has_ended(barrier, parity)) all_arrive(barrier);
    }
    acquire(object(barrier, parity));
}

void copy_rows(void *to, const void *map, uint64_t *barrier, uint32_t column,
               uint32_t row)
{
    Transfer c = {};

    c.to = (char *)to;
    c.barrier = barrier;
    c.number = column;
    c.corner[0] = (int)row;
    begin(c, map);
    if (c.tensor.ranks != 2) fault("a copy of rows with a map of windows");
}

void copy_windows(void *to, const void *map, uint64_t *barrier, uint32_t number, int w,
                  int h, uint32_t image, uint32_t tap_w, uint32_t tap_h)
{
    Transfer c = {};

    c.to = (char *)to;
    c.barrier = barrier;
    c.number = number;
    c.corner[0] = w;
    c.corner[1] = h;
    c.image = image;
    c.tap[0] = (int)tap_w;
    c.tap[1] = (int)tap_h;
    begin(c, map);
    if (c.tensor.ranks != 4) fault("a copy of windows with a map of rows");
    if (w < c.tensor.lower[0] || w >= (int)c.tensor.size[1] + c.tensor.upper[0] ||
        h < c.tensor.lower[1] || h >= (int)c.tensor.size[2] + c.tensor.upper[1])
        fault("a window that begins where none does");
}

HOST_RUN_QUIET void transfers_end()
{
    if (in_flight_count > 0) fault("ended before its copies had arrived");
}

} // namespace host_run

extern "C" cudaError_t
cudaGetDriverEntryPointByVersion(const char *name, void **function, unsigned,
                                 unsigned long long,
                                 cudaDriverEntryPointQueryResult *found)
{
    *function = host_run_now.old ? nullptr
                : std::strcmp(name, "cuTensorMapEncodeTiled") == 0
                    ? (void *)host_run::encode_tiled
                : std::strcmp(name, "cuTensorMapEncodeIm2col") == 0
                    ? (void *)host_run::encode_im2col
                    : nullptr;
    *found = *function != nullptr ? cudaDriverEntryPointSuccess
                                  : cudaDriverEntryPointSymbolNotFound;
    return cudaSuccess;
}
