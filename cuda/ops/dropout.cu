/*
 * dropout.cu - dropout that is not fused with a dense layer's product. Seed and iteration
 * are those of the step, in device memory.
 */
#include "gemm/philox.h"
#include "runtime/element.h"

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
        /* The element lies at (pixel, map); units are counted as (map, pixel). */
        uint32_t unit = at % d.maps * s.pixels + at / d.maps;

        put_element(x + i, get_element(x + i) * dropout_factor(s, d.step, image, unit));
    }
}

an_status an__cuda_dropout(an_queue *q, const an_dropout_shape *s, uint32_t batch,
                           an_operand x)
{
    dropping d = {*s, s->units / s->pixels, batch, q->step, an__cuda_address(x)};

    an__cuda_cost(q, 0, x.dtype, 2.0 * batch * s->units, 0);
    return an__cuda_each(q, AN_CUDA_BY_DTYPE(x.dtype, dropout_kernel),
                         (size_t)batch * s->units, d, "dropout");
}
