/*
 * pool.cu - max-pooling, windows overlapping or not.
 *
 * Ties: as in cuda-convnet, every input that equals its window's maximum receives the
 * whole gradient of that window. The forward pass writes the argmax mask, which has a bit
 * for each place of a window. The backward pass gathers: an input asks the windows that
 * it is in, so that no two threads add to one element. Windows too large for 16 bits have
 * no mask, and their maxima are looked for again.
 */
#include "ops/argmax.h"

struct pooling {
    an_pool_shape s;
    uint32_t batch;
    const void *x, *dy;
    const uint16_t *given; /* backward: the argmax mask */
    uint16_t *argmax;      /* forward: null, or room for it */
    void *out;
    uint32_t dtype;
};

/* --- the usual windows: a thread computes 16 bytes of a pixel's maps --------------- */

/* The maxima of two words' elements, and where they are equal: one float32 or two
 * bfloat16, as they lie in memory. */
static __device__ __forceinline__ uint32_t greater_word(const float *, uint32_t a,
                                                        uint32_t b)
{
    return float_word(greater(word_float(a), word_float(b)));
}
static __device__ __forceinline__ uint32_t greater_word(const an_bf16 *, uint32_t a,
                                                        uint32_t b)
{
    return greater_bf16x2(a, b);
}
static __device__ __forceinline__ uint32_t equal_word(const float *, uint32_t a,
                                                      uint32_t b)
{
    return word_float(a) == word_float(b) ? ~0u : 0;
}
static __device__ __forceinline__ uint32_t equal_word(const an_bf16 *, uint32_t a,
                                                      uint32_t b)
{
    return equal_bf16x2(a, b);
}

/* Sets bits in the masks of a word's maps where `where` is ones. Words of masks are those
 * of two maps; i: which of a piece's words. */
template <int V>
static __device__ __forceinline__ void mask_word(uint32_t (&mask)[V / 2], int i,
                                                 uint32_t where, uint32_t bits)
{
    mask[i * V / 8] |= where & (V == 8 ? bits * 0x10001 : bits << i % 2 * 16);
}

enum { SIDE = 3 };

/* Block: (pieces of maps, columns, rows) of the output; grid: columns, rows, images. */
template <class T> static __global__ void forward_kernel(pooling p)
{
    enum { V = 16 / sizeof(T) };
    const an_pool_shape &s = p.s;
    uint32_t column = blockIdx.x * blockDim.y + threadIdx.y;
    uint32_t row = blockIdx.y * blockDim.z + threadIdx.z;
    an_span rows = window_of(row, s.kernel, s.stride, s.in_height);
    an_span columns = window_of(column, s.kernel, s.stride, s.in_width);
    size_t image = blockIdx.z, to = (image * s.out_height + row) * s.out_width + column;

    if (row >= s.out_height || column >= s.out_width) return;
    for (uint32_t map = threadIdx.x * V; map < s.maps; map += blockDim.x * V) {
        const T *x = (const T *)p.x + image * s.in_height * s.in_width * s.maps + map;
        uint32_t v[SIDE * SIDE][4], top[4], mask[V / 2] = {}, kept[V / 2] = {};
        uint32_t places = window_places(rows, columns);

#pragma unroll
        for (uint32_t i = 0; i < SIDE * SIDE; i++) {
            /* Beyond the window's end its last place is read again. */
            uint32_t r = rows.first + i / SIDE, c = columns.first + i % SIDE;

            r = r < rows.end ? r : rows.end - 1,
            c = c < columns.end ? c : columns.end - 1;
            get_words(x + (r * s.in_width + c) * s.maps, v[i]);
        }
#pragma unroll
        for (int w = 0; w < 4; w++) {
            top[w] = v[0][w];
#pragma unroll
            for (int i = 1; i < SIDE * SIDE; i++)
                top[w] = greater_word(x, top[w], v[i][w]);
        }
        put_words((T *)p.out + to * s.maps + map, top);
        if (p.argmax == NULL) continue;
#pragma unroll
        for (int w = 0; w < 4; w++) {
            uint32_t low = equal_word(x, greater_word(x, top[w], 0), 0);

#pragma unroll
            for (int i = 0; i < SIDE * SIDE; i++)
                mask_word<V>(mask, w, equal_word(x, v[i][w], top[w]),
                             1u << (i / SIDE * 4 + i % SIDE));
            mask_word<V>(kept, w, s.relu ? ~low : ~0u, places);
        }
#pragma unroll
        for (int i = 0; i < V / 2; i++) mask[i] &= kept[i];
        put_words(p.argmax + to * s.maps + map, mask);
    }
}

/* The same for the gradient, of two by two pixels of the input a thread. */
template <class T> static __global__ void backward_kernel(pooling p)
{
    enum { V = 16 / sizeof(T) };
    const an_pool_shape &s = p.s;
    uint32_t x = blockIdx.x * blockDim.y + threadIdx.y;
    uint32_t y = blockIdx.y * blockDim.z + threadIdx.z;
    size_t image = blockIdx.z;

    for (uint32_t map = threadIdx.x * V; map < s.maps; map += blockDim.x * V) {
        size_t first = image * s.out_height * s.out_width * s.maps + map;
        T *out = (T *)p.out + image * s.in_height * s.in_width * s.maps + map;
        float sum[4][V];

        gather_twos<T, V>(s, p.given + first, (const T *)p.dy + first, y, x, sum);
#pragma unroll
        for (uint32_t i = 0; i < 4; i++) {
            uint32_t row = 2 * y + i / 2, column = 2 * x + i % 2;

            if (row < s.in_height && column < s.in_width)
                put_elements(out + (row * s.in_width + column) * s.maps, sum[i]);
        }
    }
}

/* Elements in 16 bytes. */
static uint32_t piece_of(uint32_t dtype)
{
    return dtype == AN_DTYPE_BF16 ? 8 : 4;
}

static bool in_pieces(const an_pool_shape *s, uint32_t batch, uint32_t dtype)
{
    return in_twos(s) && s->maps % piece_of(dtype) == 0 &&
           batch < 65536; /* images of a grid */
}

/* A thread for each piece of such an image; one for several where there are very many
 * maps. */
static an_status in_blocks(an_queue *q, void (*kernel)(pooling), uint32_t rows,
                           uint32_t columns, const pooling &p, const char *what)
{
    an_use use(q->device);
    uint32_t pieces = p.s.maps / piece_of(p.dtype);
    uint32_t deep = rows < 2 ? 1 : 2, wide, blocks;

    if (pieces > AN_CUDA_THREADS / 2) pieces = AN_CUDA_THREADS / 2;
    wide = AN_CUDA_THREADS / (pieces * deep);
    blocks = (columns + wide - 1) / wide;
    wide = (columns + blocks - 1) / blocks;
    AN_CUDA_TRY(an__cuda_complete_receive(q));
    return an__cuda_launch(q, kernel, dim3(blocks, (rows + deep - 1) / deep, p.batch),
                           dim3(pieces, wide, deep), 0, p, what);
}

/* --- any windows: a thread computes one element ------------------------------------ */

/* The maximum of a window's elements and its argmax mask. A NaN is its window's maximum,
 * and has no bit in the mask. */
struct maximum_of {
    float value;
    uint32_t argmax;

    __device__ __forceinline__ void add(float v, uint32_t bit)
    {
        if (v == value)
            argmax |= bit;
        else if (!(v <= value) && value == value) {
            value = v;
            argmax = v == v ? bit : 0;
        }
    }
};

template <class T>
static __device__ __forceinline__ maximum_of find_maximum(const an_pool_shape &s,
                                                          const T *image, uint32_t row,
                                                          uint32_t column)
{
    an_span rows = window_of(row, s.kernel, s.stride, s.in_height);
    an_span columns = window_of(column, s.kernel, s.stride, s.in_width);
    maximum_of maximum = {-INFINITY, 0};

    for (uint32_t r = rows.first; r < rows.end; r++)
        for (uint32_t c = columns.first; c < columns.end; c++)
            maximum.add(get_element(image + ((size_t)r * s.in_width + c) * s.maps),
                        1u << ((r - rows.first) * 4 + (c - columns.first)) % 16);
    return maximum;
}

template <class T> static __global__ void any_forward_kernel(pooling p)
{
    const an_pool_shape &s = p.s;
    size_t in = (size_t)s.in_height * s.in_width * s.maps;
    uint32_t plane = s.out_height * s.out_width;

    for (AN_CUDA_EACH(i, (size_t)p.batch * plane * s.maps)) {
        size_t image = i / s.maps / plane;
        uint32_t map = (uint32_t)(i % s.maps), at = (uint32_t)(i / s.maps % plane);
        maximum_of maximum = find_maximum(s, (const T *)p.x + image * in + map,
                                          at / s.out_width, at % s.out_width);

        put_element((T *)p.out + i, maximum.value);
        if (p.argmax != NULL)
            p.argmax[i] = (uint16_t)(s.relu && !(maximum.value > 0) ? 0 : maximum.argmax);
    }
}

/* From the argmax mask or, where windows are too large for one, from the pooling's
 * input. */
template <class T> static __global__ void any_backward_kernel(pooling p)
{
    const an_pool_shape &s = p.s;
    size_t out = (size_t)s.out_height * s.out_width * s.maps;
    size_t in = (size_t)s.in_height * s.in_width * s.maps;

    for (AN_CUDA_EACH(i, p.batch * in)) {
        uint32_t at = (uint32_t)(i % in), map = at % s.maps, pixel = at / s.maps;
        uint32_t y = pixel / s.in_width, x = pixel % s.in_width;
        size_t image = i / in;
        float sum = 0;

        for (uint32_t oy = first_window(y, s.kernel, s.stride);
             oy < s.out_height && oy * s.stride <= y; oy++)
            for (uint32_t ox = first_window(x, s.kernel, s.stride);
                 ox < s.out_width && ox * s.stride <= x; ox++) {
                size_t window =
                    image * out + ((size_t)oy * s.out_width + ox) * s.maps + map;
                uint32_t place = (y - oy * s.stride) * 4 + (x - ox * s.stride);
                bool is =
                    p.given != NULL
                        ? p.given[window] >> place & 1
                        : get_element((const T *)p.x + i) ==
                              find_maximum(s, (const T *)p.x + image * in + map, oy, ox)
                                  .value;

                if (is) sum += get_element((const T *)p.dy + window);
            }
        put_element((T *)p.out + i, sum);
    }
}

size_t an__cuda_argmax_bytes(const an_pool_shape *s)
{
    if (s->kernel > MASKED) return 0;
    return (size_t)s->out_height * s->out_width * s->maps * sizeof(uint16_t);
}

an_status an__cuda_pool_forward(an_queue *q, const an_pool_shape *s, uint32_t batch,
                                an_operand x, an_operand y, an_operand argmax)
{
    pooling p = {*s,
                 batch,
                 an__cuda_address(x),
                 NULL,
                 NULL,
                 (uint16_t *)an__cuda_address(argmax),
                 an__cuda_address(y),
                 x.dtype};
    size_t count = (size_t)batch * s->out_height * s->out_width * s->maps;

    an__cuda_cost(q, 0, x.dtype,
                  (double)count + (double)batch * s->in_height * s->in_width * s->maps,
                  p.argmax != NULL ? 2 * (double)count : 0);
    if (in_pieces(s, batch, x.dtype))
        return in_blocks(q, AN_CUDA_BY_DTYPE(x.dtype, forward_kernel), s->out_height,
                         s->out_width, p, "pooling");
    return an__cuda_each(q, AN_CUDA_BY_DTYPE(x.dtype, any_forward_kernel), count, p,
                         "pooling");
}

an_status an__cuda_pool_backward(an_queue *q, const an_pool_shape *s, uint32_t batch,
                                 an_operand x, an_operand argmax, an_operand dy,
                                 an_operand dx)
{
    pooling p = {*s,
                 batch,
                 an__cuda_address(x),
                 an__cuda_address(dy),
                 (const uint16_t *)an__cuda_address(argmax),
                 NULL,
                 an__cuda_address(dx),
                 dy.dtype};
    size_t count = (size_t)batch * s->in_height * s->in_width * s->maps;
    double out = (double)batch * s->out_height * s->out_width * s->maps;
    const char *what = "pooling's gradient";

    an__cuda_cost(q, 0, dy.dtype, out + (p.given != NULL ? 1 : 2) * (double)count,
                  p.given != NULL ? 2 * out : 0);
    if (p.given != NULL && in_pieces(s, batch, dy.dtype))
        return in_blocks(q, AN_CUDA_BY_DTYPE(dy.dtype, backward_kernel),
                         (s->in_height + 1) / 2, (s->in_width + 1) / 2, p, what);
    return an__cuda_each(q, AN_CUDA_BY_DTYPE(dy.dtype, any_backward_kernel), count, p,
                         what);
}
