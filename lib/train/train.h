/*
 * train.h - a model's trainer: its steps, its schedule, where its time goes.
 */
#ifndef AN_TRAIN_H
#define AN_TRAIN_H

#include "data/data.h"

/* --- trainer (trainer.c, step.c, schedule.c) ----------------------------------------- */

an_status an__trainer_config_check(const an_trainer_config *config);

#define AN_MAX_CHANGES 64u

/* How far a trainer has come: all that its checkpoint keeps beside config and velocities. */
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

typedef struct an_under_way { /* a step that has begun */
    uint32_t count;
    an_feed feed;        /* where its crops are */
    float faults;        /* 0: all gradients are finite */
    int ahead, given_up; /* on a device; the one before it diverged */
    an_step_stats stats; /* of one that was done when it began */
} an_under_way;

struct an_trainer {
    an_model *model;
    an_trainer_config config; /* resolved; its rates are those in force */
    an_exec *exec;            /* for config.micro_batch images */
    an_view *views;           /* [micro_batch] */
    an_weights velocity, gradient;
    an_weights piece; /* gradient of a micro-batch but the first; if there are several */
    an_progress at;
    int has_gradient;
    float faults;        /* of the step under way: 0 if all gradients are finite */
    uint32_t held_count; /* images of the last step, if exec->held */
    an_under_way way[AN_MARKS];
    uint32_t oldest, under_way;          /* of them: the first, and how many */
    unsigned char frozen[AN_MAX_LAYERS]; /* in the step that may be repeated */
};

an_status an__trainer_check(const an_trainer *trainer); /* null, fork, steps under way */
an_status an__trainer_check_under_way(const an_trainer *trainer); /* null, fork */

/* --- updates (update.c) -------------------------------------------------------------- */

/* Whether the last step left a parameter's gradient nowhere. */
int an__is_held(const an_trainer *trainer, const an_param *param);
/* What the queues have to know of a step, of its images from `first` on; ahead: how many steps
 * before it have not ended. */
an_status an__step_begin(const an_trainer *trainer, uint32_t first, uint32_t ahead);
/* Of a step of `count` images: sets the faults of both towers where a gradient is not finite;
 * updates what learns, where there are none; and says which it was. */
an_status an__gradients_check(const an_trainer *trainer, uint32_t count);
an_status an__update_all(const an_trainer *trainer, uint32_t count);
an_status an__gradient_fault(const an_trainer *trainer);

float an__trainer_rate(const an_trainer *trainer, uint32_t layer, uint32_t is_bias);
int an__trainer_frozen(const an_trainer *trainer, uint32_t layer);
/* Also makes every negative rate -1. */
an_status an__changes_check(const an_trainer *trainer, an_rate_change *changes,
                            uint32_t count);

#endif
