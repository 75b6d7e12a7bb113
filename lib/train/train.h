/*
 * train.h - a model's trainer: its steps, its schedule, where its time goes.
 */
#ifndef AN_TRAIN_H
#define AN_TRAIN_H

#include "data/data.h"

/* --- trainer (trainer.c, schedule.c) ----------------------------------------------- */

an_status an__trainer_config_check(const an_trainer_config *config);

#define AN_MAX_CHANGES 64u

/* How far a trainer has come: all that its checkpoint keeps beside config and
 * velocities. */
typedef struct an_progress {
    uint64_t iteration;
    double running_loss; /* mean with a memory of 25 steps */
    uint32_t flat_logged;
    uint8_t note[AN_TRAINER_NOTE_BYTES];
    uint32_t epoch, epoch_steps; /* epochs ended, steps since */
    double best;                 /* validation error; negative: none yet */
    uint32_t stale, drops; /* epochs without a new best; drops of the plateau rule */
    float layer_rate[AN_MAX_LAYERS][2]; /* weights, biases; negative: the common one */
    uint32_t change_count;
    an_rate_change changes[AN_MAX_CHANGES];
} an_progress;

typedef struct an_flight { /* a step in flight */
    uint32_t count;
    an_pass_input in;    /* where its crops are on the device */
    int async;           /* the device works on it beside the host */
    int given_up;        /* the step before it diverged */
    an_step_stats stats; /* of a step that was done when it began */
} an_flight;

struct an_trainer {
    an_model *model;
    an_trainer_config config; /* resolved; its rates are those in force */
    an_session *session;      /* for config.micro_batch images */
    an_view *views;           /* [micro_batch] */
    an_weights velocity, gradient;
    an_weights micro_gradient; /* of a micro-batch but the first, if there are several */
    an_progress at;
    int has_gradient;
    an_flight flight[AN_MAX_IN_FLIGHT]; /* a ring; model->in_flight counts */
    uint32_t oldest;                    /* step in flight */
};

/* velocity: null for zeros, else what the trainer takes over; what it has not taken, as
 * it could not be made, stays the caller's. */
an_status an__trainer_make(an_trainer **out, an_model *model,
                           const an_trainer_config *config, an_weights *velocity);
an_status an__trainer_check(const an_trainer *trainer); /* null, fork, steps in flight */
an_status an__trainer_check_alive(const an_trainer *trainer); /* null, fork */

/* --- steps (step.c; in flight: in_flight.c) ----------------------------------------- */

/* What a step is asked to learn from: preprocessed images, crops or pictures, with
 * labels. */
typedef struct an_step_request {
    an_pass_input in; /* null floats and crops: pictures */
    const an_image *pictures;
    const int32_t *labels;
    uint32_t count;
} an_step_request;

/* Reads and checks a loader's batch. */
an_status an__step_request_batch(an_trainer *trainer, const an_batch *given,
                                 an_step_request *request);
/* The stats that a caller gave, for this step: null for none. */
an_status an__step_stats_read(an_step_stats *stats, const an_step_stats *out);
/* A step from begin to end. */
an_status an__step_whole(an_trainer *trainer, const an_step_request *request,
                         an_step_stats *out);
/* Its parts. Notes which layers are frozen in it; */
void an__step_freeze(an_trainer *trainer);
/* gives the queues all work on a loaded batch that is one pass, the update too; */
an_status an__step_run(an_trainer *trainer, uint32_t count);
/* adds up losses and ranks of `count` images of a step of `of`, which have been fetched
 * to their slot; */
an_status an__step_count(an_trainer *trainer, const an_pass_input *in, uint32_t count,
                         uint32_t of, an_step_stats *stats);
/* says that the weights are others than before, and that the prepacked weights that the
 * update wrote are theirs if it went well; */
void an__step_weights_changed(an_trainer *trainer, int well);
/* counts a step that went well, and tells of it. */
an_status an__step_succeed(an_trainer *trainer, an_step_stats *stats, an_step_stats *out);

/* --- updates (update.c) ------------------------------------------------------------ */

/* Whether the last step left a parameter's gradient nowhere. */
int an__gradient_is_deferred(const an_trainer *trainer, const an_param *param);
/* What the queues have to know of a step, of its images from `first` on; ahead: how many
 * steps before it have not ended. */
an_status an__step_begin(const an_trainer *trainer, uint32_t first, uint32_t ahead);
/* Sets the faults of both towers where a gradient of the step is not finite; updates what
 * learns, where there are none; and says which gradient it was. */
an_status an__gradients_check(const an_trainer *trainer);
an_status an__update_all(const an_trainer *trainer);
an_status an__gradient_fault(const an_trainer *trainer);

float an__trainer_rate(const an_trainer *trainer, uint32_t layer, uint32_t is_bias);
int an__trainer_frozen(const an_trainer *trainer, uint32_t layer);
/* Also makes every negative rate -1. */
an_status an__changes_check(const an_trainer *trainer, an_rate_change *changes,
                            uint32_t count);

#endif
