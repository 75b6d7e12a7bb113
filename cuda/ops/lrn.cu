/*
 * lrn.cu - local response normalisation across maps, and its fusion with the pooling
 * behind it; lrn_within.cu has that within a map. The formulas are those of cpu/lrn.c:
 *
 *     y_i  = x_i * s_i^-beta            s_i = k + alpha * sum of x_j^2, j around i
 *     dx_i = dy_i * s_i^-beta
 *            - 2 alpha beta x_i * sum of dy_j x_j s_j^(-beta-1), j around i
 */
#include "ops/argmax.h"
#include "ops/lrn.h"

/* --- across maps: a block has all maps of some pixels in shared memory ------------- */

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

    for (i = threadIdx.x; i < count; i += blockDim.x) x[i] = get_element(from + base + i);
    __syncthreads();
    if (BACKWARD) {
        for (i = threadIdx.x; i < count; i += blockDim.x) {
            uint32_t map = i % n.s.maps;
            float scale = across_scale(n.s, x + (i - map), map);

            terms[i] = get_element(dy + base + i) * x[i] * power(scale, n.s.beta) / scale;
        }
        __syncthreads();
    }
    for (i = threadIdx.x; i < count; i += blockDim.x) {
        uint32_t map = i % n.s.maps, first, end;
        float p = power(across_scale(n.s, x + (i - map), map), n.s.beta), sum = 0;

        if (!BACKWARD) {
            put_element(out + base + i, x[i] * p);
            continue;
        }
        for (window(n.s, map, &first, &end); first < end; first++)
            sum += terms[i - map + first];
        put_element(out + base + i, get_element(dy + base + i) * p -
                                        2 * n.s.alpha * n.s.beta * x[i] * sum);
    }
}

/* --- across five maps and to the power of -3/4, the usual case: eight maps a thread - */

enum { REACH = 2, PIECE = 8, AROUND = PIECE + 2 * REACH };

/* Whether pieces of eight maps do not cross groups, and a pixel's are one block's. */
static bool in_pieces(const an_lrn_shape *s)
{
    return s->size == 2 * REACH + 1 && s->beta == 0.75f && s->maps % s->groups == 0 &&
           s->maps / s->groups % PIECE == 0 && s->maps <= AN_CUDA_THREADS * PIECE;
}

/* A block's threads: all pieces of some pixels. Blocks are small, and of full warps where
 * that is possible. */
static dim3 block_of(uint32_t maps)
{
    uint32_t pieces = maps / PIECE, times = AN_CUDA_THREADS / 2 / pieces;

    return dim3(pieces, times >= 8 ? times / 8 * 8 : times > 0 ? times : 1);
}

/* Eight maps and REACH more on either side, as they lie in memory; zeros beyond their
 * group. */
template <class T> struct around {
    enum { SIDE = REACH * sizeof(T) / 4 };
    uint32_t before[SIDE], piece[4 * SIDE], after[SIDE];

    __device__ __forceinline__ void get(const T *p, bool first, bool last)
    {
        get_words(p, piece);
#pragma unroll
        for (int i = 0; i < SIDE; i++) {
            before[i] = first ? 0 : ((const uint32_t *)p)[i - SIDE];
            after[i] = last ? 0 : ((const uint32_t *)p)[4 * SIDE + i];
        }
    }

    __device__ __forceinline__ void unpack_to(float (&x)[AROUND]) const
    {
        uint32_t word[6 * SIDE];

#pragma unroll
        for (int i = 0; i < 6 * SIDE; i++)
            word[i] = i < SIDE       ? before[i]
                      : i < 5 * SIDE ? piece[i - SIDE]
                                     : after[i - 5 * SIDE];
        unpack((const T *)NULL, word, x);
    }
};

/* Whether a piece is the first, or the last, of its group. */
static __device__ __forceinline__ void ends(const an_lrn_shape &n, uint32_t map,
                                            bool *first, bool *last)
{
    uint32_t size = n.groups == 1 ? n.maps : n.maps / n.groups;
    uint32_t in_group = n.groups == 1 ? map : map % size;

    *first = in_group == 0;
    *last = in_group + PIECE == size;
}

template <bool SQUARES> static __device__ __forceinline__ float plus(float sum, float x)
{
    return SQUARES ? sum + x * x : sum + x;
}

/* The sums of eight windows of five elements, or of their squares. Four windows that
 * overlap share the sum of what is in all of them, and two of these the sum of what is in
 * both. */
template <bool SQUARES>
static __device__ __forceinline__ void sums(const float (&x)[AROUND], float (&sum)[PIECE])
{
#pragma unroll
    for (int i = 0; i < PIECE; i += 4) {
        float middle = plus<SQUARES>(SQUARES ? x[i + 3] * x[i + 3] : x[i + 3], x[i + 4]);
        float left = plus<SQUARES>(plus<SQUARES>(middle, x[i + 2]), x[i + 1]);
        float right = plus<SQUARES>(plus<SQUARES>(middle, x[i + 5]), x[i + 6]);

        sum[i] = plus<SQUARES>(left, x[i]);
        sum[i + 1] = plus<SQUARES>(left, x[i + 5]);
        sum[i + 2] = plus<SQUARES>(right, x[i + 2]);
        sum[i + 3] = plus<SQUARES>(right, x[i + 7]);
    }
}

/* The inverse roots of eight maps' scales. */
static __device__ __forceinline__ void
inverse_roots(const an_lrn_shape &n, const float (&x)[AROUND], float (&root)[PIECE])
{
    sums<true>(x, root);
#pragma unroll
    for (int i = 0; i < PIECE; i++) root[i] = inverse_root_near(n.k + n.alpha * root[i]);
}

struct normal_pooling {
    an_lrn_shape n;
    an_pool_shape s;
    const void *x, *dy;
    const uint16_t *given; /* backward: the argmax mask */
    uint16_t *argmax;      /* forward: null, or room for it */
    void *out;
    uint32_t items; /* each is the work of threads that have all maps between them */
    /* With pooling, an item is one strip of columns in one section of rows of an image,
     * which has so many of them. */
    uint32_t strips, sections, rows; /* rows: forward, of windows in a section */
};

/* Blocks: (pieces, pixels). */
template <class T> static __global__ void pieces_kernel(normal_pooling p)
{
    uint32_t map = threadIdx.x * PIECE, pixel = blockIdx.x * blockDim.y + threadIdx.y;
    size_t at = (size_t)pixel * p.n.maps + map;
    float x[AROUND], y[PIECE];
    around<T> words;
    bool first, last;

    if (pixel >= p.items) return;
    ends(p.n, map, &first, &last);
    words.get((const T *)p.x + at, first, last);
    words.unpack_to(x);
    inverse_roots(p.n, x, y);
#pragma unroll
    for (int i = 0; i < PIECE; i++) y[i] = x[REACH + i] * usual_power(y[i]);
    put_elements((T *)p.out + at, y);
}

/* The backward pass. POOLED: of two by two pixels a thread, whose gradient is gathered
 * from that of their pooling by its argmax mask. */
template <class T, bool POOLED>
static __global__ void __launch_bounds__(AN_CUDA_THREADS, 2)
    pieces_backward_kernel(normal_pooling p)
{
    enum { PIXELS = POOLED ? 4 : 1 };
    const an_lrn_shape &n = p.n;
    uint32_t map = threadIdx.x * PIECE, at = blockIdx.x * blockDim.y + threadIdx.y;
    /* The terms of this thread that its neighbours need. */
    float *mine = (float *)shared_memory() +
                  2 * REACH * PIXELS * (threadIdx.y * blockDim.x + threadIdx.x);
    float x[PIXELS][AROUND], dy[PIXELS][PIECE], term[PIXELS][AROUND];
    around<T> words[PIXELS];
    uint32_t pixel[PIXELS];
    size_t base = map; /* of the image's first pixel */
    bool first, last, has[PIXELS];

    /* Threads beyond the edges, or beyond the last item, do what their neighbours do but
     * write nothing: so nothing waits for a branch. */
    ends(n, map, &first, &last);
    if constexpr (POOLED) {
        uint32_t item = at < p.items ? at : p.items - 1, line = item / p.strips;
        uint32_t column = item - line * p.strips, image = line / p.sections;
        uint32_t row = line - image * p.sections;
        size_t window = (size_t)image * p.s.out_height * p.s.out_width * n.maps + map;

        base += (size_t)image * n.height * n.width * n.maps;
#pragma unroll
        for (uint32_t i = 0; i < PIXELS; i++) {
            uint32_t y = 2 * row + i / 2, x = 2 * column + i % 2;

            has[i] = at < p.items && y < n.height && x < n.width;
            y = y < n.height ? y : n.height - 1, x = x < n.width ? x : n.width - 1;
            pixel[i] = (y * n.width + x) * n.maps;
        }
        gather_twos<T, PIECE>(p.s, p.given + window, (const T *)p.dy + window, row,
                              column, dy);
    } else {
        has[0] = at < p.items;
        pixel[0] = 0;
        base += (size_t)(has[0] ? at : p.items - 1) * n.maps;
        get_elements((const T *)p.dy + base, dy[0]);
    }
#pragma unroll
    for (int j = 0; j < PIXELS; j++)
        words[j].get((const T *)p.x + base + pixel[j], first, last);
#pragma unroll
    for (int j = 0; j < PIXELS; j++) {
        float root[PIECE];

        words[j].unpack_to(x[j]);
        inverse_roots(n, x[j], root);
#pragma unroll
        for (int i = 0; i < PIECE; i++) {
            dy[j][i] *= usual_power(root[i]);
            term[j][REACH + i] = dy[j][i] * x[j][REACH + i] * (root[i] * root[i]);
        }
#pragma unroll
        for (int i = 0; i < REACH; i++) {
            mine[2 * REACH * j + i] = term[j][REACH + i];
            mine[2 * REACH * j + REACH + i] = term[j][PIECE + i];
        }
    }
    __syncthreads();
#pragma unroll
    for (int j = 0; j < PIXELS; j++) {
        const float *before = mine + 2 * REACH * (j - PIXELS) + REACH;
        const float *after = mine + 2 * REACH * (j + PIXELS);
        float sum[PIECE];

#pragma unroll
        for (int i = 0; i < REACH; i++) {
            term[j][i] = first ? 0 : before[i];
            term[j][REACH + PIECE + i] = last ? 0 : after[i];
        }
        sums<false>(term[j], sum);
#pragma unroll
        for (int i = 0; i < PIECE; i++)
            dy[j][i] -= 2 * n.alpha * n.beta * x[j][REACH + i] * sum[i];
        if (has[j]) put_elements((T *)p.out + base + pixel[j], dy[j]);
    }
}

static an_status in_blocks(an_queue *q, void (*kernel)(normal_pooling),
                           uint32_t thread_bytes, const normal_pooling &p,
                           const char *what)
{
    an_use use(q->device);
    dim3 block = block_of(p.n.maps);

    AN_CUDA_TRY(an__cuda_complete_receive(q));
    return an__cuda_launch(q, kernel, dim3((p.items + block.y - 1) / block.y), block,
                           (size_t)thread_bytes * block.x * block.y, p, what);
}

/* Bytes of those of a thread's terms that others need, for each of its pixels. */
#define TERMS ((uint32_t)(2 * REACH * sizeof(float)))

/* --- normalisation fused with pooling ---------------------------------------------- */

static __device__ __forceinline__ float equal(float a, float b)
{
    return a == b ? 1 : 0;
}

/* Squares of normalised elements, with the elements' signs, are what the pooling
 * compares: each of them takes one root, and the second root is taken of the maxima
 * alone. */
static __device__ __forceinline__ void
normal_squares(const an_lrn_shape &n, const float (&x)[AROUND], float (&y)[PIECE])
{
    inverse_roots(n, x, y);
#pragma unroll
    for (int i = 0; i < PIECE; i++) {
        float part = x[REACH + i] * y[i];

        y[i] *= part * fabsf(part);
    }
}

static __device__ __forceinline__ void roots(const float (&square)[PIECE],
                                             float (&y)[PIECE])
{
#pragma unroll
    for (int i = 0; i < PIECE; i++)
        y[i] = copysignf(root_near(fabsf(square[i])), square[i]);
}

/* The maxima of a window for eight maps, as its rows are added, and their argmax masks,
 * which are whole numbers in float32, since there are more units for that. A NaN has no
 * bit in a mask. */
struct window_maxima {
    float value[PIECE], argmax[PIECE];

    __device__ __forceinline__ void add(const window_maxima &row, float factor)
    {
#pragma unroll
        for (int i = 0; i < PIECE; i++) {
            float most = greater(value[i], row.value[i]);

            argmax[i] = argmax[i] * equal(value[i], most) +
                        row.argmax[i] * factor * equal(row.value[i], most);
            value[i] = most;
        }
    }
};

/* places: the mask of all places that are within the image. */
static __device__ __forceinline__ void
put_argmax(uint16_t *to, const window_maxima &window, uint32_t places, uint32_t relu)
{
    uint32_t word[PIECE / 2];

#pragma unroll
    for (int i = 0; i < PIECE / 2; i++) {
        uint32_t both[2];

#pragma unroll
        for (int j = 0; j < 2; j++) {
            int e = 2 * i + j;

            /* The last bits of the sum of 2^23 and a whole number are that number. */
            both[j] = float_word(window.argmax[e] + 8388608.0f) & places;
            if (relu && !(window.value[e] > 0)) both[j] = 0;
        }
        word[i] = both[0] | both[1] << 16;
    }
    put_words(to, word);
}

/* Windows side by side that a thread computes: they share the columns in which they
 * overlap. */
enum { STRIP = 2 };

/* A thread computes eight maps of a strip of windows, row after row of a section: so no
 * pixel is normalised twice, except at the edges of strips and sections. Blocks: (pieces,
 * strips of windows in sections of images). */
template <class T, int KERNEL>
static __global__ void __launch_bounds__(AN_CUDA_THREADS, 2)
    normal_pool_kernel(normal_pooling p)
{
    enum { COLUMNS = 2 * (STRIP - 1) + KERNEL };
    const an_pool_shape &s = p.s;
    uint32_t map = threadIdx.x * PIECE, at = blockIdx.x * blockDim.y + threadIdx.y;
    uint32_t column = at % p.strips * STRIP, section = at / p.strips % p.sections;
    uint32_t image = at / p.strips / p.sections;
    uint32_t row = section * p.rows;
    uint32_t end = row + p.rows < s.out_height ? row + p.rows : s.out_height;
    const T *x = (const T *)p.x + (size_t)image * s.in_height * s.in_width * s.maps + map;
    size_t to = ((size_t)image * s.out_height + row) * s.out_width * s.maps + map;
    uint32_t offset[COLUMNS];
    window_maxima window[STRIP];
    bool first, last;

    if (at >= p.items) return;
    ends(p.n, map, &first, &last);
#pragma unroll
    for (uint32_t i = 0; i < COLUMNS; i++) {
        uint32_t c = 2 * column + i;

        offset[i] = (c < s.in_width ? c : s.in_width - 1) * s.maps;
    }
    for (uint32_t y = 2 * row; y < 2 * end + KERNEL - 2; y++) {
        /* Beyond the image's edge its last row is read again. */
        const T *line =
            x + (size_t)(y < s.in_height ? y : s.in_height - 1) * s.in_width * s.maps;
        bool begins = y % 2 == 0, done = KERNEL == 2 ? !begins : begins && y > 2 * row;
        around<T> words[COLUMNS];
        float normal[KERNEL][PIECE];

#pragma unroll
        for (int i = 0; i < COLUMNS; i++) words[i].get(line + offset[i], first, last);
#pragma unroll
        for (int i = 0; i < COLUMNS; i++) {
            float around[AROUND];
            int w = (i - KERNEL + 1) / 2;

            words[i].unpack_to(around);
            normal_squares(p.n, around, normal[i % KERNEL]);
            if (i < KERNEL - 1 || (i - KERNEL + 1) % 2 != 0) continue;

            /* Window w has the columns from i - KERNEL + 1 to i. */
            window_maxima across;
#pragma unroll
            for (int e = 0; e < PIECE; e++) {
                float most = normal[i % KERNEL][e], argmax = 0;

#pragma unroll
                for (int k = 1; k < KERNEL; k++)
                    most = greater(most, normal[(i - k) % KERNEL][e]);
#pragma unroll
                for (int k = 0; k < KERNEL; k++)
                    argmax +=
                        (float)(1 << k) * equal(normal[(2 * w + k) % KERNEL][e], most);
                across.value[e] = most, across.argmax[e] = argmax;
            }
            if (y > 2 * row && (KERNEL == 3 || !begins))
                window[w].add(across, begins ? 256 : 16);
            if (done && column + w < s.out_width) {
                size_t there = to + (column + w) * s.maps;
                float value[PIECE];

                roots(window[w].value, value);
                put_elements((T *)p.out + there, value);
                if (p.argmax != NULL)
                    put_argmax(
                        p.argmax + there, window[w],
                        window_places(
                            window_of(y / 2 - (KERNEL == 3), KERNEL, 2, s.in_height),
                            window_of(column + w, KERNEL, 2, s.in_width)),
                        s.relu);
            }
            if (begins) window[w] = across;
        }
        if (done) to += s.out_width * s.maps;
    }
}

bool an__cuda_can_lrn_pool(const an_lrn_shape *n, const an_pool_shape *s)
{
    return in_pieces(n) && in_twos(s);
}

#define POOL_BLOCKS 1024 /* enough for any device */

an_status an__cuda_lrn_pool_forward(an_queue *q, const an_lrn_shape *n,
                                    const an_pool_shape *s, uint32_t batch, an_operand x,
                                    an_operand y, an_operand argmax)
{
    normal_pooling p = {*n,
                        *s,
                        an__cuda_address(x),
                        NULL,
                        NULL,
                        (uint16_t *)an__cuda_address(argmax),
                        an__cuda_address(y)};
    const char *what = "pooling of normalised maps";
    double in = (double)batch * s->in_height * s->in_width * s->maps;
    double out = (double)batch * s->out_height * s->out_width * s->maps;

    p.strips = (s->out_width + STRIP - 1) / STRIP;
    do {
        p.sections++;
        p.rows = (s->out_height + p.sections - 1) / p.sections;
    } while (p.rows > 2 &&
             p.strips * p.sections * batch / block_of(n->maps).y < POOL_BLOCKS);
    p.sections = (s->out_height + p.rows - 1) / p.rows;
    p.items = p.strips * p.sections * batch;
    an__cuda_cost(q, 0, x.dtype, in + out, p.argmax != NULL ? 2 * out : 0);
    return in_blocks(q,
                     s->kernel == 2 ? AN_CUDA_BY_DTYPE_OF(x.dtype, normal_pool_kernel, 2)
                                    : AN_CUDA_BY_DTYPE_OF(x.dtype, normal_pool_kernel, 3),
                     0, p, what);
}

an_status an__cuda_lrn_pool_backward(an_queue *q, const an_lrn_shape *n,
                                     const an_pool_shape *s, uint32_t batch, an_operand x,
                                     an_operand argmax, an_operand dy, an_operand dx)
{
    normal_pooling p = {*n,
                        *s,
                        an__cuda_address(x),
                        an__cuda_address(dy),
                        (const uint16_t *)an__cuda_address(argmax),
                        NULL,
                        an__cuda_address(dx)};
    double in = (double)batch * s->in_height * s->in_width * s->maps;
    double out = (double)batch * s->out_height * s->out_width * s->maps;

    p.strips = (s->in_width + 1) / 2;
    p.sections = (s->in_height + 1) / 2;
    p.items = p.strips * p.sections * batch;
    an__cuda_cost(q, 0, x.dtype, 2 * in + out, 2 * out);
    return in_blocks(q, AN_CUDA_BY_DTYPE_OF(x.dtype, pieces_backward_kernel, true),
                     4 * TERMS, p, "gradient of pooled, normalised maps");
}

/* --- across maps, by whichever kernel ---------------------------------------------- */

/* dy: none: forward. */
template <class T>
static an_status across(an_queue *q, const an_lrn_shape *s, uint32_t batch, an_operand x,
                        an_operand dy, an_operand out, const char *what)
{
    an_use use(q->device);
    bool backward = dy.buffer != NULL;
    normalising n = {*s,
                     an__cuda_address(x),
                     an__cuda_address(dy),
                     an__cuda_address(out),
                     batch * s->height * s->width,
                     0};
    size_t bytes;

    an__cuda_cost(q, 0, x.dtype, (backward ? 3.0 : 2.0) * n.pixels * s->maps, 0);
    if (in_pieces(s)) {
        normal_pooling p = {*s, {}, n.x, n.dy, NULL, NULL, n.out, n.pixels};

        return backward ? in_blocks(q, pieces_backward_kernel<T, false>, TERMS, p, what)
                        : in_blocks(q, pieces_kernel<T>, 0, p, what);
    }
    AN_CUDA_TRY(an__cuda_complete_receive(q));
    n.per_block = s->maps >= 1024 ? 1 : 1024 / s->maps; /* four elements a thread */
    bytes = (backward ? 2 : 1) * (size_t)n.per_block * s->maps * sizeof(float);
    return an__cuda_launch(q, backward ? across_kernel<T, true> : across_kernel<T, false>,
                           dim3((n.pixels + n.per_block - 1) / n.per_block),
                           dim3(AN_CUDA_THREADS), bytes, n, what);
}

an_status an__cuda_lrn_forward(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                               an_operand x, an_operand y)
{
    return AN_CUDA_BY_DTYPE(x.dtype, across)(q, s, batch, x, an__no_operand(), y,
                                             "response normalisation");
}

an_status an__cuda_lrn_backward(an_queue *q, const an_lrn_shape *s, uint32_t batch,
                                an_operand x, an_operand dy, an_operand dx)
{
    return AN_CUDA_BY_DTYPE(x.dtype, across)(q, s, batch, x, dy, dx,
                                             "response normalisation's gradient");
}
