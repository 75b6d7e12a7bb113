/*
 * describe.c - the shape of a case in words.
 */
#include "describe.h"

#include <stdarg.h>
#include <stdio.h>

static char text[512];

const char *description(void)
{
    return text;
}

void describe(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
}

void describe_conv(const an_conv_shape *s, uint32_t batch)
{
    describe("%u images, %u x %u x %u -> %u x %u x %u, kernel %u, stride %u, pad %u, "
             "groups %u, halves %u (local %u)",
             batch, s->in_maps, s->in_height, s->in_width, s->out_maps, s->out_height,
             s->out_width, s->kernel, s->stride, s->pad, s->groups, s->halves,
             s->local_half);
}

void describe_dense(const an_dense_shape *s, uint32_t batch)
{
    describe("%u images, %u inputs (maps of %u pixels) -> %u outputs, halves %u "
             "(local %u)",
             batch, s->inputs, s->pixels, s->outputs, s->halves, s->local_half);
}

void describe_pool(const an_pool_shape *s, uint32_t batch)
{
    describe("%u images, %u x %u x %u -> %u x %u x %u, kernel %u, stride %u", batch,
             s->maps, s->in_height, s->in_width, s->maps, s->out_height, s->out_width,
             s->kernel, s->stride);
}

void describe_lrn(const an_lrn_shape *s, int within, uint32_t batch)
{
    describe("%u images of %u x %u x %u, %s maps: size %u, groups %u, k %g, alpha %g, "
             "beta %g",
             batch, s->maps, s->height, s->width, within ? "within" : "across", s->size,
             s->groups, (double)s->k, (double)s->alpha, (double)s->beta);
}

void describe_lrn_pool(const an_lrn_shape *n, const an_pool_shape *s, uint32_t batch)
{
    describe("%u images, %u x %u x %u -> %u x %u x %u, kernel %u, stride %u, of what is "
             "normalised across maps: size %u, groups %u, k %g, alpha %g, beta %g",
             batch, s->maps, s->in_height, s->in_width, s->maps, s->out_height,
             s->out_width, s->kernel, s->stride, n->size, n->groups, (double)n->k,
             (double)n->alpha, (double)n->beta);
}

void describe_dropout(const an_dropout_shape *s, uint32_t batch, const an_step *step)
{
    describe("%u images, units %u to %u of %u, maps of %u pixels, layer %u, rate %g, "
             "scale %g, seed %llu, iteration %llu, first image %llu",
             batch, s->first, s->first + s->units - 1, s->total, s->pixels, s->layer,
             (double)s->rate, (double)s->scale, (unsigned long long)step->seed,
             (unsigned long long)step->iteration, (unsigned long long)step->first);
}
