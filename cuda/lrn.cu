/*
 * lrn.cu - local response normalisation, across maps and within a map: the formulas are those
 * of cpu/lrn.c.
 *
 *     y_i  = x_i * s_i^-beta            s_i = k + alpha * sum of x_j^2, j around i
 *     dx_i = dy_i * s_i^-beta - 2 alpha beta x_i * sum of dy_j x_j s_j^(-beta-1), j around i
 */
#include "marks.h"
#include "number.h"

struct normalising {
    an_lrn_shape s;
    const void *x, *dy; /* dy: backward */
    void *out;
    uint32_t pixels, per_block; /* across: of the batch, of a block */
};

/* s^-beta. The paper's 3/4 is two square roots; of an infinity it is 0. */
static __device__ __forceinline__ float power(float s, float beta)
{
    float root;

    if (beta != 0.75f) return powf(s, -beta);
    root = rsqrtf(s);
    return root == 0 ? 0 : root * (root * rsqrtf(root));
}

/* --- across maps: a block has some pixels, all maps, in shared memory ------------------------ */

/* The maps [*first, *end) around `map`, in its group. */
static __device__ __forceinline__ void window(const an_lrn_shape &s, uint32_t map,
                                              uint32_t *first, uint32_t *end)
{
    uint32_t size = s.maps / s.groups, start = map / size * size, half = s.size / 2;

    *first = map - start > half ? map - half : start;
    *end = map + half + 1 < start + size ? map + half + 1 : start + size;
}

static __device__ __forceinline__ float across_scale(const an_lrn_shape &s,
                                                     const float *pixel, uint32_t map)
{
    uint32_t first, end;
    float sum = 0;

    for (window(s, map, &first, &end); first < end; first++)
        sum += pixel[first] * pixel[first];
    return s.k + s.alpha * sum;
}

template <class T, bool BACKWARD> static __global__ void across_kernel(normalising n)
{
    float *x = (float *)shared_memory(), *terms = x + n.per_block * n.s.maps;
    const T *from = (const T *)n.x, *dy = (const T *)n.dy;
    T *out = (T *)n.out;
    uint32_t pixel0 = blockIdx.x * n.per_block;
    uint32_t pixels = n.pixels - pixel0 < n.per_block ? n.pixels - pixel0 : n.per_block;
    uint32_t count = pixels * n.s.maps, i;
    size_t base = (size_t)pixel0 * n.s.maps;

    for (i = threadIdx.x; i < count; i += blockDim.x) x[i] = get_number(from + base + i);
    __syncthreads();
    if (BACKWARD) {
        for (i = threadIdx.x; i < count; i += blockDim.x) {
            uint32_t map = i % n.s.maps;
            float scale = across_scale(n.s, x + (i - map), map);

            terms[i] = get_number(dy + base + i) * x[i] * power(scale, n.s.beta) / scale;
        }
        __syncthreads();
    }
    for (i = threadIdx.x; i < count; i += blockDim.x) {
        uint32_t map = i % n.s.maps, first, end;
        float p = power(across_scale(n.s, x + (i - map), map), n.s.beta), sum = 0;

        if (!BACKWARD) {
            put_number(out + base + i, x[i] * p);
            continue;
        }
        for (window(n.s, map, &first, &end); first < end; first++)
            sum += terms[i - map + first];
        put_number(out + base + i,
                   get_number(dy + base + i) * p - 2 * n.s.alpha * n.s.beta * x[i] * sum);
    }
}

/* --- across five maps, the usual window, eight maps a thread --------------------------------- */

enum { REACH = 2, PIECE = 8 };

/* Pieces do not cross groups, and a pixel's lie in one block. */
static bool in_pieces(const an_lrn_shape *s)
{
    return s->size == 2 * REACH + 1 && s->maps % s->groups == 0 &&
           s->maps / s->groups % PIECE == 0 && s->maps <= AN_CUDA_THREADS * PIECE;
}

/* The scales of eight maps from `map` on, and the maps themselves. */
template <class T>
static __device__ __forceinline__ void piece_scales(const an_lrn_shape &s, const T *pixel,
                                                    uint32_t map, float (&x)[PIECE],
                                                    float (&scale)[PIECE])
{
    uint32_t size = s.maps / s.groups, in_group = map % size;
    float square[PIECE + 2 * REACH];

    get_numbers(pixel + map, x);
#pragma unroll
    for (int i = 0; i < REACH; i++) {
        float before = in_group > 0 ? get_number(pixel + map - REACH + i) : 0;
        float after = in_group + PIECE < size ? get_number(pixel + map + PIECE + i) : 0;

        square[i] = before * before;
        square[REACH + PIECE + i] = after * after;
    }
#pragma unroll
    for (int i = 0; i < PIECE; i++) square[REACH + i] = x[i] * x[i];
#pragma unroll
    for (int i = 0; i < PIECE; i++) {
        float sum = 0;

#pragma unroll
        for (int j = 0; j < 2 * REACH + 1; j++) sum += square[i + j];
        scale[i] = s.k + s.alpha * sum;
    }
}

template <class T>
static __device__ __forceinline__ void
normalised_piece(const an_lrn_shape &s, const T *pixel, uint32_t map, float (&y)[PIECE])
{
    float scale[PIECE];

    piece_scales(s, pixel, map, y, scale);
#pragma unroll
    for (int i = 0; i < PIECE; i++) y[i] *= power(scale[i], s.beta);
}

template <class T> static __global__ void pieces_kernel(normalising n)
{
    uint32_t pieces = n.s.maps / PIECE;

    for (AN_CUDA_EACH(i, (size_t)n.pixels * pieces)) {
        size_t base = i / pieces * n.s.maps;
        uint32_t map = (uint32_t)(i % pieces) * PIECE;
        float y[PIECE];

        normalised_piece(n.s, (const T *)n.x + base, map, y);
        put_numbers((T *)n.out + base + map, y);
    }
}

struct normal_pooling {
    an_lrn_shape n;
    an_pool_shape s;
    const void *x, *dy;
    const uint16_t *given; /* back: marks */
    uint16_t *marks;       /* forward: null, or to be made */
    void *out;
    uint32_t pixels, per_block; /* back: as above */
    uint32_t tile;              /* forward: columns of windows that a block has */
};

/* Grid: (row of windows, tile of columns), images. What the windows see is normalised once,
 * into shared memory, and pooled from there. */
template <class T> static __global__ void normal_pool_kernel(normal_pooling p)
{
    const an_pool_shape &s = p.s;
    float *normal = (float *)shared_memory(); /* [kernel][columns][maps] */
    uint32_t tiles = (s.out_width + p.tile - 1) / p.tile, pieces = s.maps / PIECE;
    uint32_t row = blockIdx.x / tiles, first = blockIdx.x % tiles * p.tile;
    uint32_t end = first + p.tile < s.out_width ? first + p.tile : s.out_width;
    an_span rows = window_of(row, s.kernel, s.stride, s.in_height);
    uint32_t left = first * s.stride;
    uint32_t right = window_of(end - 1, s.kernel, s.stride, s.in_width).end;
    uint32_t columns = right - left;
    size_t image = blockIdx.y;
    const T *x = (const T *)p.x + image * s.in_height * s.in_width * s.maps;
    uint32_t i;

    for (i = threadIdx.x; i < (rows.end - rows.first) * columns * pieces;
         i += blockDim.x) {
        uint32_t map = i % pieces * PIECE, at = i / pieces;
        uint32_t r = rows.first + at / columns, c = left + at % columns;
        float y[PIECE];

        normalised_piece(p.n, x + ((size_t)r * s.in_width + c) * s.maps, map, y);
        put_numbers(normal + (size_t)at * s.maps + map, y);
    }
    __syncthreads();
    for (i = threadIdx.x; i < (end - first) * pieces; i += blockDim.x) {
        uint32_t map = i % pieces * PIECE, column = first + i / pieces;
        an_span span = window_of(column, s.kernel, s.stride, s.in_width);
        size_t to = ((image * s.out_height + row) * s.out_width + column) * s.maps + map;
        an_maximum<PIECE> maximum;

        maximum.begin();
        for (uint32_t r = 0; r < rows.end - rows.first; r++)
            for (uint32_t c = span.first; c < span.end; c++) {
                float v[PIECE];

                get_numbers(normal + (size_t)(r * columns + c - left) * s.maps + map, v);
                maximum.add(v, r * s.kernel + (c - span.first));
            }
        put_numbers((T *)p.out + to, maximum.value);
        if (p.marks != NULL) maximum.put_marks(p.marks + to, s.relu);
    }
}

/* A thread has eight maps of an input pixel, a block all maps of some pixels. The gradient of
 * what was normalised is given, or gathered from its pooling's marks. */
template <class T, bool POOLED>
static __global__ void pieces_backward_kernel(normal_pooling p)
{
    const an_lrn_shape &n = p.n;
    float *terms = (float *)shared_memory(); /* [pixels][maps] */
    uint32_t pieces = n.maps / PIECE, mine = threadIdx.x / pieces;
    uint32_t map = threadIdx.x % pieces * PIECE, size = n.maps / n.groups;
    uint32_t in_group = map % size, plane = n.height * n.width;
    uint32_t pixel = blockIdx.x * p.per_block + mine;
    bool has = mine < p.per_block && pixel < p.pixels;
    size_t base = (size_t)pixel * n.maps + map;
    float x[PIECE], scale[PIECE], dy[PIECE], *at = terms + mine * n.maps + map;

    if (has) {
        float term[PIECE];

        piece_scales(n, (const T *)p.x + base - map, map, x, scale);
        if (POOLED)
            gather_marked<T, PIECE>(p.s, p.given, (const T *)p.dy, pixel / plane,
                                    pixel % plane / n.width, pixel % plane % n.width, map,
                                    dy);
        else
            get_numbers((const T *)p.dy + base, dy);
#pragma unroll
        for (int i = 0; i < PIECE; i++) {
            float power_i = power(scale[i], n.beta);

            term[i] = dy[i] * x[i] * power_i / scale[i];
            dy[i] *= power_i;
        }
        put_numbers(at, term);
    }
    __syncthreads();
    if (!has) return;
#pragma unroll
    for (int i = 0; i < PIECE; i++) {
        float sum = 0;

#pragma unroll
        for (int j = -REACH; j <= REACH; j++) {
            int k = i + j;

            if ((k >= 0 || in_group > 0) && (k < PIECE || in_group + PIECE < size))
                sum += at[k];
        }
        dy[i] -= 2 * n.alpha * n.beta * x[i] * sum;
    }
    put_numbers((T *)p.out + base, dy);
}

template <class T, bool POOLED>
static an_status pieces_backward(an_queue *q, normal_pooling p, uint32_t batch,
                                 const char *what)
{
    an_use use(q->device);
    uint32_t pieces = p.n.maps / PIECE;

    AN_CUDA_TRY(an__cuda_settle(q));
    p.pixels = batch * p.n.height * p.n.width;
    p.per_block = AN_CUDA_THREADS / pieces;
    return an__cuda_launch(q, pieces_backward_kernel<T, POOLED>,
                           dim3((p.pixels + p.per_block - 1) / p.per_block),
                           dim3(AN_CUDA_THREADS),
                           (size_t)p.per_block * p.n.maps * sizeof(float), p, what);
}

/* --- the same with the pooling of it ------------------------------------------------------------- */

#define POOL_SHARED ((size_t)64 << 10) /* so that three blocks share a multiprocessor */

static size_t tile_bytes(const an_pool_shape *s, uint32_t tile)
{
    return (size_t)s->kernel * ((size_t)(tile - 1) * s->stride + s->kernel) * s->maps *
           sizeof(float);
}

int an__cuda_lrn_pool_fits(const an_device *device, const an_lrn_shape *n,
                           const an_pool_shape *s)
{
    return in_pieces(n) && s->kernel <= MARKED && tile_bytes(s, 1) <= POOL_SHARED &&
           device->shared_bytes >= POOL_SHARED;
}

an_status an__cuda_lrn_pool_forward(an_queue *q, const an_lrn_shape *n,
                                    const an_pool_shape *s, uint32_t batch,
                                    const float *x, float *y, void *marks)
{
    an_use use(q->device);
    normal_pooling p = {*n, *s, x, NULL, NULL, (uint16_t *)marks, y, 0, 0, 1};
    void (*kernel)(normal_pooling) = AN_CUDA_BY_NUMBER(n->precision, normal_pool_kernel);
    const char *what = "pooling of normalised maps";
    double in = (double)batch * s->in_height * s->in_width * s->maps;
    double out = (double)batch * s->out_height * s->out_width * s->maps;

    an__cuda_cost(q, 0, n->precision, in + out, marks != NULL ? 2 * out : 0);
    AN_CUDA_TRY(an__cuda_settle(q));
    while (p.tile < s->out_width && tile_bytes(s, p.tile + 1) <= POOL_SHARED) p.tile++;
    AN_CUDA_TRY(an__cuda_check(
        q->device,
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             (int)POOL_SHARED),
        what));
    return an__cuda_launch(
        q, kernel, dim3(s->out_height * ((s->out_width + p.tile - 1) / p.tile), batch),
        dim3(AN_CUDA_THREADS), tile_bytes(s, p.tile), p, what);
}

an_status an__cuda_lrn_pool_backward(an_queue *q, const an_lrn_shape *n,
                                     const an_pool_shape *s, uint32_t batch,
                                     const float *x, const void *marks, const float *dy,
                                     float *dx)
{
    normal_pooling p = {*n, *s, x, dy, (const uint16_t *)marks, NULL, dx, 0, 0, 0};
    const char *what = "gradient of pooled, normalised maps";
    double in = (double)batch * s->in_height * s->in_width * s->maps;
    double out = (double)batch * s->out_height * s->out_width * s->maps;

    an__cuda_cost(q, 0, n->precision, 2 * in + out, 2 * out);
    return n->precision == AN_PRECISION_BF16
               ? pieces_backward<an_bf16, true>(q, p, batch, what)
               : pieces_backward<float, true>(q, p, batch, what);
}

/* --- across, as it is asked for ---------------------------------------------------------------------- */

template <class T>
static an_status across(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                        const float *x, const float *dy, float *out, const char *what)
{
    an_use use(q->device);
    normalising n = {*s, x, dy, out, batch * s->height * s->width, 0};
    size_t bytes;

    an__cuda_cost(q, 0, s->precision, (dy != NULL ? 3.0 : 2.0) * n.pixels * s->maps, 0);
    if (in_pieces(s) && dy != NULL) {
        normal_pooling p = {*s, {}, x, dy, NULL, NULL, out, 0, 0, 0};

        return pieces_backward<T, false>(q, p, batch, what);
    }
    if (in_pieces(s))
        return an__cuda_each(q, pieces_kernel<T>, (size_t)n.pixels * s->maps / PIECE, n,
                             what);
    AN_CUDA_TRY(an__cuda_settle(q));
    n.per_block = s->maps >= 1024 ? 1 : 1024 / s->maps; /* four numbers a thread */
    bytes = (dy != NULL ? 2 : 1) * (size_t)n.per_block * s->maps * sizeof(float);
    return an__cuda_launch(q,
                           dy != NULL ? across_kernel<T, true> : across_kernel<T, false>,
                           dim3((n.pixels + n.per_block - 1) / n.per_block),
                           dim3(AN_CUDA_THREADS), bytes, n, what);
}

an_status an__cuda_lrn_forward(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                               const float *x, float *y)
{
    return AN_CUDA_BY_NUMBER(s->precision, across)(q, s, batch, x, NULL, y,
                                                   "response normalisation");
}

an_status an__cuda_lrn_backward(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                                const float *x, const float *dy, float *dx)
{
    return AN_CUDA_BY_NUMBER(s->precision, across)(q, s, batch, x, dy, dx,
                                                   "response normalisation's gradient");
}

/* --- within a map: a block has SIDE x SIDE pixels of MAPS maps, and what lies around --------- */

enum { SIDE = 8, MAPS = 8 };

/* A square of shared memory: `side` pixels from (top, left) of the image on, MAPS maps. */
struct square {
    float *at;
    int top, left, side;
};

static __device__ __forceinline__ float *spot(const square &q, int y, int x, int map)
{
    return q.at + ((y - q.top) * q.side + (x - q.left)) * MAPS + map;
}

/* Sum over the window around a pixel, clipped at the image's edges, of numbers or squares. */
template <bool SQUARES>
static __device__ __forceinline__ float within_sum(const an_lrn_shape &s, const square &q,
                                                   int y, int x, int map)
{
    int half = (int)s.size / 2;
    int top = y > half ? y - half : 0, left = x > half ? x - half : 0;
    int bottom = y + half + 1 < (int)s.height ? y + half + 1 : (int)s.height;
    int right = x + half + 1 < (int)s.width ? x + half + 1 : (int)s.width;
    float sum = 0;

    for (int i = top; i < bottom; i++)
        for (int j = left; j < right; j++) {
            float value = *spot(q, i, j, map);

            sum += SQUARES ? value * value : value;
        }
    return sum;
}

/* x: of the square, where it lies in the image. */
template <class T>
static __device__ __forceinline__ void fill(const normalising &n, const square &q,
                                            const T *image, int map0)
{
    for (int i = (int)threadIdx.x; i < q.side * q.side * MAPS; i += (int)blockDim.x) {
        int map = i % MAPS, x = i / MAPS % q.side + q.left, y = i / MAPS / q.side + q.top;

        if (y < 0 || x < 0 || y >= (int)n.s.height || x >= (int)n.s.width ||
            map0 + map >= (int)n.s.maps)
            continue;
        q.at[i] = get_number(image + ((size_t)y * n.s.width + (size_t)x) * n.s.maps +
                             map0 + map);
    }
}

/* Grid: squares of an image, groups of maps, images. */
template <class T, bool BACKWARD> static __global__ void within_kernel(normalising n)
{
    const T *from = (const T *)n.x, *dy = (const T *)n.dy;
    int half = (int)n.s.size / 2, reach = BACKWARD ? 2 * half : half;
    int across = ((int)n.s.width + SIDE - 1) / SIDE, map0 = (int)blockIdx.y * MAPS;
    int top = (int)blockIdx.x / across * SIDE, left = (int)blockIdx.x % across * SIDE;
    size_t base = (size_t)blockIdx.z * n.s.height * n.s.width * n.s.maps;
    square xs = {(float *)shared_memory(), top - reach, left - reach, SIDE + 2 * reach};
    square terms = {xs.at + xs.side * xs.side * MAPS, top - half, left - half,
                    SIDE + 2 * half};
    int i;

    fill(n, xs, from + base, map0);
    __syncthreads();
    for (i = (int)threadIdx.x; BACKWARD && i < terms.side * terms.side * MAPS;
         i += (int)blockDim.x) {
        int map = i % MAPS, x = i / MAPS % terms.side + terms.left;
        int y = i / MAPS / terms.side + terms.top;
        float scale;

        if (y < 0 || x < 0 || y >= (int)n.s.height || x >= (int)n.s.width ||
            map0 + map >= (int)n.s.maps)
            continue;
        scale = n.s.k + n.s.alpha * within_sum<true>(n.s, xs, y, x, map);
        terms.at[i] =
            get_number(dy + base + ((size_t)y * n.s.width + (size_t)x) * n.s.maps + map0 +
                       map) *
            *spot(xs, y, x, map) * power(scale, n.s.beta) / scale;
    }
    if (BACKWARD) __syncthreads();
    for (i = (int)threadIdx.x; i < SIDE * SIDE * MAPS; i += (int)blockDim.x) {
        int map = i % MAPS, x = i / MAPS % SIDE + left, y = i / MAPS / SIDE + top;
        size_t at = base + ((size_t)y * n.s.width + (size_t)x) * n.s.maps + map0 + map;
        float value, p;

        if (y >= (int)n.s.height || x >= (int)n.s.width || map0 + map >= (int)n.s.maps)
            continue;
        value = *spot(xs, y, x, map);
        p = power(n.s.k + n.s.alpha * within_sum<true>(n.s, xs, y, x, map), n.s.beta);
        value *= BACKWARD ? -2 * n.s.alpha * n.s.beta *
                                within_sum<false>(n.s, terms, y, x, map)
                          : p;
        if (BACKWARD) value += get_number(dy + at) * p;
        put_number((T *)n.out + at, value);
    }
}

template <class T>
static an_status within(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                        const float *x, const float *dy, float *out, const char *what)
{
    an_use use(q->device);
    normalising n = {*s, x, dy, out, 0, 0};
    size_t half = s->size / 2, wide = SIDE + 2 * half, wider = SIDE + 4 * half;
    size_t bytes =
        (dy != NULL ? wider * wider + wide * wide : wide * wide) * MAPS * sizeof(float);
    dim3 grid((s->height + SIDE - 1) / SIDE * ((s->width + SIDE - 1) / SIDE),
              (s->maps + MAPS - 1) / MAPS, batch);

    an__cuda_cost(q, 0, s->precision,
                  (dy != NULL ? 3.0 : 2.0) * batch * s->height * s->width * s->maps, 0);
    AN_CUDA_TRY(an__cuda_settle(q));
    return an__cuda_launch(q,
                           dy != NULL ? within_kernel<T, true> : within_kernel<T, false>,
                           grid, dim3(AN_CUDA_THREADS), bytes, n, what);
}

an_status an__cuda_lrn_within_forward(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                                      const float *x, float *y)
{
    return AN_CUDA_BY_NUMBER(s->precision, within)(q, s, batch, x, NULL, y,
                                                   "normalisation within maps");
}

an_status an__cuda_lrn_within_backward(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                                       const float *x, const float *dy, float *dx)
{
    return AN_CUDA_BY_NUMBER(s->precision, within)(
        q, s, batch, x, dy, dx, "gradient of normalisation within maps");
}
