/*
 * conv.h - what the ways to do a convolution share.
 *
 * Images lie here pixel by pixel: [rows][columns][maps]. A convolution and the gradient
 * of its data are the same job: the latter reads dy, with the kernel turned around. The
 * maps that it writes are cut into parts - groups, or the halves of a joined tensor - and
 * those into blocks of up to COLS.
 */
#ifndef AN_VECTOR_CONV_H
#define AN_VECTOR_CONV_H

#include "../cpu.h"
#include "tile.h"

enum { AN_CONV_DIRECT, AN_CONV_WINOGRAD };

typedef struct an_job {
    const an_queue *q;
    uint32_t batch;
    uint32_t in_height, in_width, in_maps, in_halves;
    uint32_t out_height, out_width, out_maps, out_halves;
    uint32_t kernel, stride;
    int pad;         /* above and left; negative: what is never read */
    uint32_t parts;  /* of the output's maps */
    uint32_t reads;  /* maps of the input that a part reads: */
    uint32_t apart;  /* those of part p begin at p * apart */
    uint32_t maps;   /* of a part */
    uint32_t blocks; /* of a part */
    const float *x;
    float *y;
    const float *bias;
    int relu;
    /* Weight of output map m of part p, input map r, tap t:
     * w[p * w_part + m * w_map + r * w_read + (turned ? taps - 1 - t : t)] */
    const float *w;
    size_t w_part, w_map, w_read;
    int turned;
} an_job;

an_job V(forward_job)(const an_conv_shape *s);
an_job V(data_job)(const an_conv_shape *s);

/* Where pixel 0 of a part's map 0 is, and numbers from one pixel to the next. */
AN_INLINE float *job_out(const an_job *j, uint32_t image, uint32_t part, size_t *pitch)
{
    size_t pixels = (size_t)j->out_height * j->out_width;

    *pitch = j->out_maps / j->out_halves;
    return j->y + image * pixels * j->out_maps +
           (j->out_halves > 1 ? part * pixels * *pitch : (size_t)part * j->maps);
}

/* Of the part of a padded image that is read. */
AN_INLINE uint32_t padded_height(const an_job *j)
{
    return (j->out_height - 1) * j->stride + j->kernel;
}

AN_INLINE uint32_t padded_width(const an_job *j)
{
    return (j->out_width - 1) * j->stride + j->kernel;
}

AN_INLINE uint32_t block_maps(const an_job *j, uint32_t block)
{
    return at_most(j->maps - block * COLS, COLS);
}

/* Numbers of the weights in this algorithm's order. */
size_t V(direct_prepacked)(const an_job *j);
size_t V(winograd_prepacked)(const an_job *j);
/* One block of one part: item = part * blocks + block. */
void V(direct_prepack_item)(const an_job *j, uint32_t item, float *prepacked);
void V(winograd_prepack_item)(const an_job *j, uint32_t item, float *prepacked);

/* Of an image; 0 if this algorithm cannot do the job. */
uint32_t V(winograd_tiles)(const an_job *j);

/* Numbers of scratch; and the job done with it. */
size_t V(direct_scratch)(const an_job *j, uint32_t batch);
size_t V(winograd_scratch)(const an_job *j);
void V(direct)(const an_job *j, const float *prepacked, float *scratch);
void V(winograd)(const an_job *j, const float *prepacked, float *scratch);

/* Lines [from, to) of an image, counted from its padding's top, `width` pixels each, into
 * pixels of all maps; halves are put together. */
void V(padded_lines)(const an_job *j, const float *image, uint32_t from, uint32_t to,
                     uint32_t width, float *out);

/* Of the weights' gradient. */
size_t V(weights_scratch)(const an_device *device, const an_conv_shape *s,
                          uint32_t batch);

#endif
