/*
 * preprocess.cu - crops of pictures to network input: mirrored, the mean subtracted,
 * colours changed. The arithmetic is that of lib/image/view.c, in the same order. A batch
 * crosses the bus as bytes; crops are cut where the bytes are gathered, so that no others
 * travel.
 *
 * The input consists of squares of pixels (an_space_to_depth), or of pixels, which are
 * squares of one. A thread writes the same V elements of one square after another, so
 * that what those elements are is worked out once.
 */
#include "gemm/gemm.h"
#include "runtime/space_to_depth.h"

struct preparing {
    an_preprocess_shape s; /* s.s2d: also of pixels */
    uint32_t batch;
    uint32_t pieces, lanes; /* V elements each, of a square; threads beside each other */
    an_divisor by_columns, by_side;
    const uint8_t *bytes;
    const an_view *views;
    const float *mean; /* [3][side][side]; null: s.mean */
    void *x;
};

static __device__ __forceinline__ float pick(const float (&v)[3], uint32_t i)
{
    return i == 0 ? v[0] : i == 1 ? v[1] : v[2];
}

/* What elements first .. first + V - 1 of an image's squares are made of. Elements of one
 * colour are three apart. */
template <int V, bool MEAN_IMAGE> struct an_piece {
    /* Of an element in its square, where no row of the crop is no pixel; and of its byte
     * from that of the square's first pixel. */
    uint32_t row[V], column[V], offset[V];
    /* By colour; and where the mean image begins, without mean_moves that of the centre
     * crop. */
    float mean[3], tint[3], factor[3];
    uint32_t begin[3];
    bool is_mirrored;

    __device__ __forceinline__ an_piece(const an_preprocess_shape &s, const an_view &view,
                                        uint32_t first, const an_divisor &by_side)
    {
        uint32_t room = (s.side - s.size) / 2;
        uint32_t y = s.mean_moves ? view.y : room, x = s.mean_moves ? view.x : room;

        is_mirrored = view.mirror != 0;
#pragma unroll
        for (uint32_t k = 0; k < 3; k++) {
            uint32_t c = s.bgr ? 2 - (first + k) % 3 : (first + k) % 3;

            mean[k] = pick(s.mean, c);
            tint[k] = view.colour[c];
            factor[k] = pick(s.scale, c) / view.divisor;
            begin[k] = (c * s.side + y) * s.side + x;
        }
#pragma unroll
        for (uint32_t k = 0; k < V; k++) {
            uint32_t place = (first + k) / 3;
            uint32_t c = s.bgr ? 2 - (first + k) % 3 : (first + k) % 3;

            row[k] = divide(place, by_side);
            column[k] = place - row[k] * s.s2d.side;
            offset[k] =
                (row[k] * s.size + (is_mirrored ? 0 - column[k] : column[k])) * 3 + c;
            if (row[k] >= s.s2d.side) row[k] = s.size + s.s2d.pad;
        }
    }

    /* Those of the square whose first pixel is in this row and column of the crop, or
     * left of it or above. All bytes are asked for before one is waited for. */
    __device__ __forceinline__ void values(const preparing &p, const uint8_t *crop,
                                           uint32_t top, uint32_t left, float (&v)[V])
    {
        const an_preprocess_shape &s = p.s;
        uint32_t corner = (top * s.size + (is_mirrored ? s.size - 1 - left : left)) * 3;
        bool is_pixel[V];

#pragma unroll
        for (int k = 0; k < V; k++) {
            is_pixel[k] = top + row[k] < s.size && left + column[k] < s.size;
            v[k] = is_pixel[k] ? (float)__ldg(crop + (corner + offset[k])) : 0;
        }
#pragma unroll
        for (int k = 0; k < V; k++) {
            float less = mean[k % 3];

            if constexpr (MEAN_IMAGE) {
                uint32_t x = left + column[k];
                uint32_t at = begin[k % 3] + (top + row[k]) * s.side +
                              (is_mirrored && s.mean_moves ? s.size - 1 - x : x);

                less = is_pixel[k] ? __ldg(p.mean + at) : 0;
            }
            v[k] = (v[k] - less + tint[k % 3]) * factor[k % 3];
        }
#pragma unroll
        for (int k = 0; k < V; k++) v[k] = is_pixel[k] ? v[k] : 0;
    }
};

template <class T, int V, bool MEAN_IMAGE>
static __device__ __forceinline__ void prepare_image(const preparing &p, uint32_t image,
                                                     uint32_t first)
{
    const an_space_to_depth &f = p.s.s2d;
    const uint8_t *crop = p.bytes + (size_t)image * p.s.size * p.s.size * 3;
    T *x = (T *)p.x + image * s2d_elements(f);
    uint32_t squares = f.rows * f.columns, beside = blockDim.x / p.lanes;
    an_piece<V, MEAN_IMAGE> piece(p.s, p.views[image], first, p.by_side);

    for (uint32_t square = blockIdx.x * beside + threadIdx.x / p.lanes; square < squares;
         square += gridDim.x * beside) {
        uint32_t down = divide(square, p.by_columns), across = square - down * f.columns;
        T *to = x + (size_t)square * f.maps + first;
        float v[V];

        piece.values(p, crop, down * f.side - f.pad, across * f.side - f.pad, v);
        if constexpr (V == 8)
            put_elements(to, v);
        else
#pragma unroll
            for (int k = 0; k < V; k++) put_element(to + k, v[k]);
    }
}

/* Grid: some blocks for each image. */
template <class T, int V, bool MEAN_IMAGE>
static __global__ void prepare_kernel(preparing p)
{
    for (uint32_t image = blockIdx.y; image < p.batch; image += gridDim.y)
        for (uint32_t piece = threadIdx.x % p.lanes; piece < p.pieces; piece += p.lanes)
            prepare_image<T, V, MEAN_IMAGE>(p, image, piece * V);
}

template <int V, bool MEAN_IMAGE> static void (*kernel_of(uint32_t dtype))(preparing)
{
    return dtype == AN_DTYPE_BF16 ? prepare_kernel<an_bf16, V, MEAN_IMAGE>
                                  : prepare_kernel<float, V, MEAN_IMAGE>;
}

an_status an__cuda_preprocess(an_queue *q, const an_preprocess_shape *s, uint32_t batch,
                              an_operand crops, an_operand views, an_operand mean,
                              an_operand x)
{
    an_use use(q->device);
    bool squares = s->s2d.side != 0;
    preparing p = {*s,
                   batch,
                   1,
                   0,
                   an_divisor(),
                   an_divisor(),
                   (const uint8_t *)an__cuda_address(crops),
                   (const an_view *)an__cuda_address(views),
                   an__cuda_floats(mean),
                   an__cuda_address(x)};
    void (*kernel)(preparing);
    uint32_t blocks, least;

    if (squares)
        p.pieces = s->s2d.maps / 8;
    else
        p.s.s2d = {1, 0, s->size, s->size, 3};
    p.lanes = p.pieces < AN_CUDA_THREADS ? p.pieces : AN_CUDA_THREADS;
    p.by_columns = an__cuda_divisor(p.s.s2d.columns);
    p.by_side = an__cuda_divisor(p.s.s2d.side);
    /* Many squares for each thread, unless that would not fill the device. */
    blocks = (p.s.s2d.rows * p.s.s2d.columns * p.lanes + AN_CUDA_THREADS - 1) /
             AN_CUDA_THREADS;
    least = (8 * q->device->processors + batch - 1) / batch;
    an__cuda_cost(q, 0, x.dtype, (double)batch * s2d_elements(p.s.s2d),
                  3.0 * batch * s->size * s->size);
    AN_CUDA_TRY(an__cuda_complete_receive(q));
    kernel = squares          ? p.mean != NULL ? kernel_of<8, true>(x.dtype)
                                               : kernel_of<8, false>(x.dtype)
                      : p.mean != NULL ? kernel_of<3, true>(x.dtype)
                              : kernel_of<3, false>(x.dtype);
    return an__cuda_launch(
        q, kernel, dim3(blocks < least ? blocks : least, batch < 65535 ? batch : 65535),
        dim3(AN_CUDA_THREADS / p.lanes * p.lanes), 0, p, "the pictures");
}
