/*
 * draws.c - what is random about a loader's epoch: the order of its pictures, and each
 * one's view. A draw depends on the seed, the epoch and the picture's place in the epoch
 * alone, so that any thread may make it.
 */
#include <math.h>

#include "data/data.h"

/* Fisher and Yates: position i changes with one of those up to it. The bias of a
 * product's high word, below count / 2^32 of a probability, is far below what an epoch
 * can show. */
void an__loader_order(const an_loader_config *config, uint32_t epoch, uint32_t count,
                      uint32_t *order)
{
    uint32_t i, word[4];

    for (i = 0; i < count; i++) order[i] = i;
    for (i = count; i-- > 1;) {
        uint32_t other, was = order[i];

        if (i % 4 == 3 || i == count - 1)
            an__random4(config->seed, AN_STREAM_LOADER_ORDER, epoch, i / 4, word);
        other = (uint32_t)((uint64_t)word[i % 4] * (i + 1) >> 32);
        order[i] = order[other];
        order[other] = was;
    }
}

/* Three of N(0, 1), by Box and Muller's method. */
static void normal3(const uint32_t word[4], double out[3])
{
    double r0 = sqrt(-2 * log(an__uniform(word[0]))),
           r1 = sqrt(-2 * log(an__uniform(word[2])));

    out[0] = r0 * cos(6.283185307179586 * an__uniform(word[1]));
    out[1] = r0 * sin(6.283185307179586 * an__uniform(word[1]));
    out[2] = r1 * cos(6.283185307179586 * an__uniform(word[3]));
}

static void colour_view(const an_loader_config *config, const an_preprocessing *p,
                        const uint32_t word[4], an_view *view)
{
    double normal[3];
    uint32_t i, c;

    normal3(word, normal);
    for (i = 0; i < 3; i++) {
        double deviation = (double)p->colour_deviation[i], move;

        move = (double)config->colour_sigma * normal[i] * deviation;
        if (config->colour_rule == AN_COLOUR_EIGENVALUE)
            move *= deviation / 255; /* of pixels from 0 to 1, back in grey levels */
        for (c = 0; c < 3; c++)
            view->colour[c] += (float)(move * (double)p->colour_axis[i][c]);
    }
    view->divisor = config->colour_divisor;
}

an_view an__loader_view(const an_loader_config *config, const an_input *input,
                        uint32_t epoch, uint64_t number)
{
    uint32_t word[4];
    an_view view;

    an__random4(config->seed, AN_STREAM_LOADER_VIEW, epoch,
                (uint32_t)(number / config->crop_group), word);
    view = an__view_random(input, config->augment, word);
    if ((config->augment & AN_AUGMENT_COLOUR) &&
        (config->colour_epochs == 0 || epoch < config->colour_epochs)) {
        an__random4(config->seed, AN_STREAM_LOADER_COLOUR, epoch, (uint32_t)number, word);
        colour_view(config, &input->p, word, &view);
    }
    return view;
}
