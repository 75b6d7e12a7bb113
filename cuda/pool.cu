/*
 * pool.cu - max-pooling, windows overlapping or not.
 *
 * Ties: as in cuda-convnet, every input that equals its window's maximum receives the whole
 * gradient of that window. Forward marks them, a bit for each place of a window; the way back
 * is gathered from the marks: an input asks the windows it is in, in their order, so that no
 * two threads add to one number. Windows too large for 16 marks are looked through again.
 */
#include "number.h"

#include "marks.h"

struct pooling {
    an_pool_shape s;
    uint32_t batch;
    const void *x, *dy;
    const uint16_t *given; /* back: marks */
    uint16_t *marks;       /* forward: null, or to be made */
    void *out;
};

/* A thread has V maps of an output pixel. */
template <class T, int V> static __global__ void forward_kernel(pooling p)
{
    const an_pool_shape &s = p.s;
    uint32_t groups = s.maps / V, plane = s.out_height * s.out_width;

    for (AN_CUDA_EACH(i, (size_t)p.batch * plane * groups)) {
        size_t pixel = i / groups, image = pixel / plane;
        uint32_t map = (uint32_t)(i % groups) * V, at = (uint32_t)(pixel % plane);
        an_span rows = window_of(at / s.out_width, s.kernel, s.stride, s.in_height);
        an_span columns = window_of(at % s.out_width, s.kernel, s.stride, s.in_width);
        const T *x = (const T *)p.x + image * s.in_height * s.in_width * s.maps + map;
        an_maximum<V> maximum;

        maximum.begin();
        for (uint32_t y = rows.first; y < rows.end; y++)
            for (uint32_t c = columns.first; c < columns.end; c++) {
                float v[V];

                get_numbers(x + ((size_t)y * s.in_width + c) * s.maps, v);
                maximum.add(v, (y - rows.first) * s.kernel + (c - columns.first));
            }
        put_numbers((T *)p.out + pixel * s.maps + map, maximum.value);
        if (p.marks != NULL) maximum.put_marks(p.marks + pixel * s.maps + map, s.relu);
    }
}

/* A thread has V maps of an input pixel. */
template <class T, int V> static __global__ void backward_kernel(pooling p)
{
    const an_pool_shape &s = p.s;
    uint32_t groups = s.maps / V, plane = s.in_height * s.in_width;

    for (AN_CUDA_EACH(i, (size_t)p.batch * plane * groups)) {
        size_t pixel = i / groups, image = pixel / plane;
        uint32_t map = (uint32_t)(i % groups) * V, at = (uint32_t)(pixel % plane);
        float sum[V];

        gather_marked<T, V>(s, p.given, (const T *)p.dy, image, at / s.in_width,
                            at % s.in_width, map, sum);
        put_numbers((T *)p.out + pixel * s.maps + map, sum);
    }
}

/* Without marks. */
template <class T> static __global__ void search_kernel(pooling p)
{
    const an_pool_shape &s = p.s;
    size_t out = (size_t)s.out_height * s.out_width * s.maps;
    size_t in = (size_t)s.in_height * s.in_width * s.maps;

    for (AN_CUDA_EACH(i, p.batch * in)) {
        uint32_t at = (uint32_t)(i % in), map = at % s.maps, pixel = at / s.maps;
        uint32_t y = pixel / s.in_width, x = pixel % s.in_width;
        const T *image = (const T *)p.x + i / in * in + map;
        float value = get_number((const T *)p.x + i), sum = 0;

        for (uint32_t oy = first_window(y, s.kernel, s.stride);
             oy < s.out_height && oy * s.stride <= y; oy++)
            for (uint32_t ox = first_window(x, s.kernel, s.stride);
                 ox < s.out_width && ox * s.stride <= x; ox++) {
                an_span rows = window_of(oy, s.kernel, s.stride, s.in_height);
                an_span columns = window_of(ox, s.kernel, s.stride, s.in_width);
                an_maximum<1> maximum;

                maximum.begin();
                for (uint32_t r = rows.first; r < rows.end; r++)
                    for (uint32_t c = columns.first; c < columns.end; c++) {
                        float v[1];

                        get_numbers(image + ((size_t)r * s.in_width + c) * s.maps, v);
                        maximum.add(v, 0);
                    }
                if (value == maximum.value[0])
                    sum += get_number((const T *)p.dy + i / in * out +
                                      ((size_t)oy * s.out_width + ox) * s.maps + map);
            }
        put_number((T *)p.out + i, sum);
    }
}

size_t an__cuda_pool_marks(const an_pool_shape *s)
{
    if (s->kernel > MARKED) return 0;
    return (size_t)s->out_height * s->out_width * s->maps * sizeof(uint16_t);
}

an_status an__cuda_pool_forward(an_queue *q, const an_pool_shape *s, uint32_t batch,
                                const float *x, float *y, void *marks)
{
    pooling p = {*s, batch, x, NULL, NULL, (uint16_t *)marks, y};
    size_t count = (size_t)batch * s->out_height * s->out_width * s->maps;

    an__cuda_cost(q, 0, s->precision,
                  (double)count + (double)batch * s->in_height * s->in_width * s->maps,
                  marks != NULL ? 2 * (double)count : 0);
    if (s->maps % 8 == 0)
        return an__cuda_each(q, AN_CUDA_BY_NUMBER_OF(s->precision, forward_kernel, 8),
                             count / 8, p, "pooling");
    return an__cuda_each(q, AN_CUDA_BY_NUMBER_OF(s->precision, forward_kernel, 1), count,
                         p, "pooling");
}

an_status an__cuda_pool_backward(an_queue *q, const an_pool_shape *s, uint32_t batch,
                                 const float *x, const void *marks, const float *dy,
                                 float *dx)
{
    pooling p = {*s, batch, x, dy, (const uint16_t *)marks, NULL, dx};
    size_t count = (size_t)batch * s->in_height * s->in_width * s->maps;
    double out = (double)batch * s->out_height * s->out_width * s->maps;
    const char *what = "pooling's gradient";

    an__cuda_cost(q, 0, s->precision, out + (marks != NULL ? 1 : 2) * (double)count,
                  marks != NULL ? 2 * out : 0);
    if (marks == NULL)
        return an__cuda_each(q, AN_CUDA_BY_NUMBER(s->precision, search_kernel), count, p,
                             what);
    if (s->maps % 8 == 0)
        return an__cuda_each(q, AN_CUDA_BY_NUMBER_OF(s->precision, backward_kernel, 8),
                             count / 8, p, what);
    return an__cuda_each(q, AN_CUDA_BY_NUMBER_OF(s->precision, backward_kernel, 1), count,
                         p, what);
}
