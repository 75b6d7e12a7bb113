/*
 * gallery.h - pictures in memory, as a host has them; a source of them for a loader; and
 * an account in double precision, from the words of alexnet.h, of what a network reads
 * of them.
 */
#ifndef AN_TEST_GALLERY_H
#define AN_TEST_GALLERY_H

#include "train/train.h"

#define NOBODY UINT64_MAX

typedef struct gallery_shape {
    uint32_t count, width, height; /* pictures of noise */
    uint32_t side, size;           /* fitted to `side`, of which the model crops `size` */
    size_t row_bytes;              /* 0: 3 * width */
    const char *devices;           /* of the model; not null: those of the host run */
} gallery_shape;

/* A context, a model with a preprocessing in which no two numbers are alike, and
 * pictures. The source's callback does what the fields below say; if the source has
 * more pictures than there are, they come again. */
typedef struct gallery {
    an_context *ctx;
    an_model *model;
    gallery_shape shape;
    uint8_t *pixels; /* the last row has no bytes behind its pixels */
    size_t picture;  /* bytes from one picture to the next */
    an_source source;
    uint64_t failing, mislabelled; /* pictures whose fetch fails, whose label is 10 */
    uint32_t pause;                /* microseconds that each fetch takes at least */
    uint64_t fetched;              /* fetches so far; atomic */
} gallery;

void gallery_open(gallery *g, const gallery_shape *shape);
void gallery_close(gallery *g);
/* A shape of pictures that need no fitting. */
gallery_shape square_shape(uint32_t count, uint32_t side, uint32_t size);
an_image gallery_image(const gallery *g, uint32_t index);
int32_t gallery_label(uint64_t index);
an_preprocessing gallery_preprocessing(const gallery *g);
void gallery_set(gallery *g, const an_preprocessing *p);
/* Noise of 0 to 255 as the model's mean image, which is returned; the caller frees it. */
float *gallery_mean_image(gallery *g, uint32_t seed);

an_loader_config gallery_loading(uint32_t batch, uint32_t workers);
an_loader *gallery_loader(gallery *g, const an_loader_config *c);
/* The next batch, which must come. */
an_batch gallery_next(an_loader *loader);

/* --- the account ------------------------------------------------------------------- */

/* Where a crop lies in the fitted picture, and what is done with it. */
typedef struct spot {
    uint32_t x, y, mirror;
    double move[3], divisor;
} spot;

spot spot_at(uint32_t x, uint32_t y, uint32_t mirror);

/* Grey levels of the fitted picture before they are rounded, [side][side][3]. */
void account_fit(const an_image *image, uint32_t side, uint32_t fit, double *out);

/* What the network reads: [3][size][size]. mean_image: null for the mean colour. */
void account_input(const an_preprocessing *p, const float *mean_image, uint32_t size,
                   const uint8_t *fitted, const spot *s, float *out);

/* Philox 4x32-10 of Salmon and others, 2011: the four words of a block. */
void account_words(uint64_t seed, uint32_t stream, uint64_t time, uint32_t block,
                   uint32_t out[4]);
/* A loader's order of an epoch, and the spot of the epoch's picture `number`. */
void account_order(uint64_t seed, uint32_t epoch, uint32_t count, uint32_t *order);
spot account_spot(const an_loader_config *c, const an_preprocessing *p, uint32_t size,
                  uint32_t epoch, uint32_t number);

/* A float is within this of its account, in units of the largest: three roundings of
 * 2^-24, of numbers that are less than twice the largest. */
#define ACCOUNT_BOUND 1e-6

/* The batch is `step` of `epoch` in every field and, where it has floats, every
 * number; `what` names the case. mean_image: the model's, or null. */
void account_batch(gallery *g, const an_loader_config *c, const float *mean_image,
                   const an_batch *batch, uint32_t epoch, uint32_t step,
                   const char *what);

#endif
