/*
 * preprocess.cu - crops of pictures to network input: mirrored, the mean subtracted,
 * colours changed. The arithmetic is that of lib/image/view.c, in the same order. A batch
 * crosses the bus as bytes; crops are cut where the bytes are gathered, so that no others
 * travel.
 */
#include "runtime/element.h"
#include "runtime/space_to_depth.h"

struct preparing {
    an_preprocess_shape s;
    uint32_t batch;
    const uint8_t *bytes;
    const an_view *views;
    const float *mean;
    void *x;
};

/* The input's element for a pixel of the crop of image `i` and one of its three colours,
 * in the input's order. */
static __device__ __forceinline__ float prepared(const preparing &p, size_t i, uint32_t y,
                                                 uint32_t out, uint32_t colour)
{
    const an_preprocess_shape &s = p.s;
    const an_view &view = p.views[i];
    uint32_t x = view.mirror ? s.size - 1 - out : out; /* of the crop */
    uint32_t c = s.bgr ? 2 - colour : colour;
    float mean = s.mean[c];

    if (p.mean != NULL) {
        /* Without mean_moves, the mean of the centre crop, not mirrored, is
         * subtracted. */
        uint32_t room = (s.side - s.size) / 2;
        uint32_t top = s.mean_moves ? view.y : room;
        uint32_t left = s.mean_moves ? view.x : room;

        mean = p.mean[((size_t)c * s.side + top + y) * s.side + left +
                      (s.mean_moves ? x : out)];
    }
    return ((float)p.bytes[((i * s.size + y) * s.size + x) * 3 + c] - mean +
            view.colour[c]) *
           (s.scale[c] / view.divisor);
}

/* A thread turns the three bytes of a pixel into three elements. */
template <class T> static __global__ void pixels_kernel(preparing p)
{
    size_t plane = (size_t)p.s.size * p.s.size;

    for (AN_CUDA_EACH(i, p.batch * plane)) {
        uint32_t at = (uint32_t)(i % plane), y = at / p.s.size, x = at % p.s.size;

        for (uint32_t c = 0; c < 3; c++)
            put_element((T *)p.x + i * 3 + c, prepared(p, i / plane, y, x, c));
    }
}

/* A thread writes eight elements of a square of the space-to-depth layout. */
template <class T> static __global__ void squares_kernel(preparing p)
{
    const an_space_to_depth &f = p.s.s2d;
    uint32_t pieces = f.maps / 8;

    for (AN_CUDA_EACH(i, (size_t)p.batch * f.rows * f.columns * pieces)) {
        size_t square = i / pieces, image = square / ((size_t)f.rows * f.columns);
        uint32_t at = (uint32_t)(square % ((size_t)f.rows * f.columns));
        uint32_t row = at / f.columns * f.side, column = at % f.columns * f.side;
        uint32_t first = (uint32_t)(i % pieces) * 8;
        float v[8];

        for (uint32_t k = 0; k < 8; k++) {
            uint32_t place = (first + k) / 3;
            uint32_t y = row + place / f.side - f.pad,
                     x = column + place % f.side - f.pad;

            v[k] = place < f.side * f.side && y < p.s.size && x < p.s.size
                       ? prepared(p, image, y, x, (first + k) % 3)
                       : 0;
        }
        put_elements((T *)p.x + i * 8, v);
    }
}

an_status an__cuda_preprocess(an_queue *q, const an_preprocess_shape *s, uint32_t batch,
                              an_operand crops, an_operand views, an_operand mean,
                              an_operand x)
{
    preparing p = {*s,
                   batch,
                   (const uint8_t *)an__cuda_address(crops),
                   (const an_view *)an__cuda_address(views),
                   an__cuda_floats(mean),
                   an__cuda_address(x)};
    double elements = 3.0 * batch * s->size * s->size;

    an__cuda_cost(q, 0, x.dtype,
                  s->s2d.side != 0 ? (double)(batch * s2d_elements(s->s2d)) : elements,
                  elements);
    if (s->s2d.side != 0)
        return an__cuda_each(q, AN_CUDA_BY_DTYPE(x.dtype, squares_kernel),
                             batch * s2d_elements(s->s2d) / 8, p, "the pictures");
    return an__cuda_each(q, AN_CUDA_BY_DTYPE(x.dtype, pixels_kernel),
                         (size_t)batch * s->size * s->size, p, "the pictures");
}
