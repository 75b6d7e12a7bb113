/*
 * dropout.cu - dropout where no product takes it along. Seed and iteration are the step's, in
 * device memory.
 */
#include "number.h"

#include "philox.h"

struct dropping {
    an_dropout_shape s;
    uint32_t maps, batch;
    const an_step *step;
    void *x;
};

template <class T> static __global__ void dropout_kernel(dropping d)
{
    const an_dropout_shape &s = d.s;
    T *x = (T *)d.x;

    for (AN_CUDA_EACH(i, (size_t)d.batch * s.units)) {
        uint64_t image = i / s.units;
        uint32_t at = (uint32_t)(i % s.units);
        /* Here (pixel, map); counted in the host's order, (map, pixel). */
        uint32_t unit = at % d.maps * s.pixels + at / d.maps;

        put_number(x + i, get_number(x + i) * dropout_factor(s, d.step, image, unit));
    }
}

an_status an__cuda_dropout(an_queue *q, const an_dropout_shape *s, uint32_t batch,
                           float *x)
{
    dropping d = {*s, s->units / s->pixels, batch, q->step, x};

    an__cuda_cost(q, 0, s->precision, 2.0 * batch * s->units, 0);
    return an__cuda_each(q, AN_CUDA_BY_NUMBER(s->precision, dropout_kernel),
                         (size_t)batch * s->units, d, "dropout");
}
