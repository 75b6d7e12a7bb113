/*
 * model.h - a network that a host holds: parameters, preprocessing, class names;
 * inference, evaluation and activations of it by any number of threads.
 */
#ifndef AN_MODEL_H
#define AN_MODEL_H

#include "engine/engine.h"

#define AN_PASS 128 /* images of one pass of an_infer(), at most */

/* --- model (model.c) --------------------------------------------------------------- */

struct an_model {
    an_net net;
    an_mapping mapping; /* if base is not null, weights lie in it */
    an_input input;
    char **class_names; /* [classes]; null where none */
    an_trainer *trainer;
    uint64_t trained;     /* steps that this trainer has done; 0: none */
    uint32_t in_flight;   /* atomic: steps that have begun and not ended */
    pthread_mutex_t lock; /* guards refs, idle and trainer */
    uint32_t refs;
    an_session *idle;
};

an_status an__model_check(const an_model *model);       /* null, fork, steps in flight */
an_status an__model_check_alive(const an_model *model); /* null, fork */
/* A model without parameters, which are still to be reserved; or, if map is not null,
 * with parameters where map[param] says, in host memory of a file that the caller has
 * mapped: once the model is whole the caller makes that its own, as `mapping`. */
an_status an__model_make(an_model **out, an_context *ctx, const an_model_config *config,
                         float *const *map);
void an__model_retain(an_model *model);
void an__model_release(an_model *model);
/* Reserves all parameters, and gives them their first values (init.c). */
an_status an__weights_init(an_weights *w, const an_net *net);

/* --- how pictures become its input (preprocessing.c) ------------------------------- */

/* What the images of its preset are like. */
void an__model_preset_input(an_model *model);
/* Preprocessing and mean image (null: none) in one step: on failure both are as
 * before. */
an_status an__model_set_input(an_model *model, const an_preprocessing *given,
                              const float *mean);

/* --- scores (score.c) -------------------------------------------------------------- */

/* 1 if the label is among the first `k` of a row; where others share its value at the
 * edge, the share of that place which falls to it. */
double an__top(const an_rank *rank, uint32_t k);
an_status an__labels_check(const int32_t *labels, uint32_t count, uint32_t classes);

/* --- inference (infer.c, activations.c) -------------------------------------------- */

/* Where in the plan a layer's outputs are. */
typedef struct an_layer_output {
    uint32_t end; /* operations to run */
    uint32_t tensor[AN_MAX_TOWERS], towers, shape[3];
    size_t elements; /* of one image, all towers */
    int prob;        /* the probabilities, which are no tensor */
} an_layer_output;

/* What a call was given: float images or pictures, with labels or without. */
typedef struct an_request {
    const float *floats;
    const an_image *pictures;
    uint32_t view; /* of the pictures */
    const int32_t *labels;
    float *probabilities; /* [count][classes] */
    int add;              /* to what is there */
    an_evaluation *evaluation;
    float *activations; /* [count][numbers of `layer`] */
    const an_layer_output *layer;
} an_request;

an_request an__request(const float *floats, const an_image *pictures);
an_status an__request_check(const an_model *model, const an_request *request,
                            uint32_t count);
an_status an__request_run(an_model *model, const an_request *request, uint32_t count);

#endif
