/*
 * networks.h - the networks once more, from docs/NETWORKS.md and the header's comments
 * alone: what each layer is, and what it computes in double precision. Nothing here asks
 * the library how it has planned a network; only the values of parameters are its own.
 */
#ifndef AN_TEST_NETWORKS_H
#define AN_TEST_NETWORKS_H

#include "alexnet.h"

enum { NET_LAYERS = 9, NET_STAGES = 6, NET_BATCH = 2 };

typedef struct net_stage {
    char kind; /* as in an_layer_info.stages */
    uint32_t window, stride, ceil;
    double k, alpha; /* of a norm, whose beta is 0.75 */
    int halves;      /* its window stays within a half of the maps */
} net_stage;

typedef struct net_layer {
    char name[16], file_name[16];
    int is_conv;
    uint32_t kernel, stride, pad, ceil, groups;
    uint32_t maps, stage_count;
    net_stage stage[NET_STAGES];
    double sigma, bias;
    /* sides: all is square */
    uint32_t in_maps, in_side, side, out_side, pad_after;
    uint64_t inputs, weights; /* of one unit; of the layer, without its biases */
} net_layer;

typedef struct net {
    uint32_t arch, image_size, classes, activation, initialisation, scaling, towers;
    double dropout_rate;
    uint32_t count;
    net_layer layer[NET_LAYERS];
} net;

/* The network of a config; 0 where the header says that there is none. */
int net_of(net *n, const an_model_config *config);

/* Places of a window, rounded down or up; 0: it does not fit. */
uint32_t net_places(uint32_t side, uint32_t window, uint32_t stride, uint32_t ceil);
/* Totals of an image's way forward. */
uint64_t net_parameter_count(const net *n);
uint64_t net_multiply_adds(const net *n);
uint64_t net_units(const net *n);
uint64_t net_exchange_floats(const net *n);
/* The layer's stages as an_layer_info writes them. */
void net_stage_letters(const net_layer *layer, char letters[24]);

/* How a pass is done. */
typedef struct net_pass {
    int training; /* 1: with the dropout of seed and iteration */
    uint64_t seed, iteration;
    int narrow; /* 1: weights of dense layers are rounded to bfloat16 */
} net_pass;

/* Values of NET_BATCH images, by layer and an_point - 1; null where a layer has no such
 * point. */
typedef struct net_values {
    float *at[NET_LAYERS][3];
    size_t count[NET_LAYERS][3]; /* of all images */
    float *probabilities;        /* [NET_BATCH][classes] */
    double loss;                 /* mean, of labels */
} net_values;

void net_run(const net *n, const an_model *model, const float *images,
             const int32_t *labels, const net_pass *pass, net_values *out);
void net_values_free(net_values *values);

/* One change of one preset, and some with each other. */
typedef struct net_case {
    const char *what;
    an_model_config config;
} net_case;

enum { NET_CHANGES = 37 };
/* Of a preset, 1 to 8; each is small, and gives numbers that matter to a norm. */
net_case net_change(uint32_t arch, uint32_t change);

#endif
