/*
 * pictures.cu - crops of pictures to network input: mirrored, mean subtracted, colours moved.
 * The same arithmetic as lib/preprocess.c, in the same order. A batch crosses the bus as
 * bytes; the crop itself is cut where the bytes are gathered, so that no others travel.
 */
#include "cuda.h"

struct preparing {
    an_picture_shape s;
    uint32_t batch;
    const uint8_t *bytes;
    const an_view *views;
    const float *mean;
    float *x;
};

/* A thread has a pixel: its three bytes, and its three numbers. */
static __global__ void pictures_kernel(preparing p)
{
    const an_picture_shape &s = p.s;
    size_t plane = (size_t)s.size * s.size;

    for (AN_CUDA_EACH(i, p.batch * plane)) {
        const an_view &view = p.views[i / plane];
        uint32_t at = (uint32_t)(i % plane), y = at / s.size, out = at % s.size;
        uint32_t x = view.mirror ? s.size - 1 - out : out; /* of the crop */
        const uint8_t *rgb = p.bytes + (i - out + x) * 3;

        for (uint32_t c = 0; c < 3; c++) {
            float mean = s.mean[c];

            if (p.mean != NULL) {
                /* Without mean_moves the middle's, not mirrored. */
                uint32_t room = (s.side - s.size) / 2;
                uint32_t top = s.mean_moves ? view.y : room;
                uint32_t left = s.mean_moves ? view.x : room;

                mean = p.mean[((size_t)c * s.side + top + y) * s.side + left +
                              (s.mean_moves ? x : out)];
            }
            p.x[i * 3 + (s.bgr ? 2 - c : c)] =
                ((float)rgb[c] - mean + view.colour[c]) * (s.scale[c] / view.divisor);
        }
    }
}

an_status an__cuda_pictures(an_queue *q, const an_picture_shape *s, uint32_t batch,
                            const uint8_t *bytes, const an_view *views, const float *mean,
                            float *x)
{
    preparing p = {*s, batch, bytes, views, mean, x};

    return an__cuda_each(q, pictures_kernel, (size_t)batch * s->size * s->size, p,
                         "the pictures");
}
