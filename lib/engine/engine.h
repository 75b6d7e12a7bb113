/*
 * engine.h - runs a plan: its weights on their devices (net, weights), memory for a batch (exec),
 * what comes in (input.c), the operations in order (run.c), what is left (outcome.c).
 */
#ifndef AN_ENGINE_H
#define AN_ENGINE_H

#include "image/image.h"
#include "network/network.h"

/* --- net (net.c): a plan, its weights, and the devices that they are on -------------- */

typedef struct an_weights { /* parameters or something of their shape, on their devices */
    float *part[AN_MAX_PARAMS][AN_MAX_TOWERS];
} an_weights;

/* Weights in the orders and precisions that operations want them in: made when first asked
 * for, and again after the weights have changed. */
typedef struct an_packed {
    void *memory;
    /* Of the weights it was made of; atomic, written with pack_lock held. */
    uint64_t version;
} an_packed;

/* What inference and training run. A model owns it. */
typedef struct an_net {
    an_context *ctx;
    an_plan *plan;
    an_slot slots[AN_MAX_TOWERS];
    an_queue *queue[AN_MAX_TOWERS]; /* for moving parameters */
    an_weights weights;
    uint64_t version; /* of the weights: another after every change; atomic */
    an_packed packs[AN_MAX_OPS][AN_CONV_WAYS]; /* of operations */
    pthread_mutex_t pack_lock;                 /* held while one is made */
    int mapped;         /* the weights are where a file is mapped, not the net's own */
    uint64_t exchanged; /* atomic: numbers that towers have sent each other */
} an_net;

/* Opens the devices and queues of a checked config's network; map: where its parameters are, by
 * number, or null for memory of their own. A net that could not be opened is to be closed, too. */
an_status an__net_open(an_net *net, an_context *ctx, const an_model_config *config,
                       float *const *map);
void an__net_close(an_net *net);

/* The weights are others than before. */
void an__net_changed(an_net *net);
/* Memory for what the next makes, of batches of 1 and of `batch`. */
an_status an__net_reserve(an_net *net, uint32_t batch, int training);
/* The weights of an operation in the order and precision that its way for such a batch wants
 * them in; null where they serve as they lie. Any thread, while the weights do not change. */
an_status an__net_pack(an_net *net, uint32_t op, uint32_t batch, int training,
                       an_queue *queue, const void **out);
/* For backends that fuse packs. A parameter's in its own order, or null; the others made
 * again, in order with what else the queue is given; and all are those of the weights as they
 * are. */
void *an__net_plain_pack(const an_net *net, uint32_t param, uint32_t tower);
an_status an__net_repack(an_net *net, uint32_t tower, an_queue *queue);
void an__net_repacked(an_net *net);

/* --- weights (weights.c) ------------------------------------------------------------- */

/* Zeroed memory for everything, freed by the second. */
an_status an__weights_alloc(an_weights *w, const an_net *net);
void an__weights_free(an_weights *w, const an_net *net);
an_status an__weights_get(const an_weights *w, const an_net *net, uint32_t index,
                          float *values);
an_status an__weights_set(const an_weights *w, const an_net *net, uint32_t index,
                          const float *values);
/* Numbers first .. first + count - 1 of a tower's part, on the model's queue. */
an_status an__weights_put_part(const an_weights *w, const an_net *net, uint32_t index,
                               uint32_t tower, size_t first, const float *values,
                               size_t count);
an_status an__weights_get_part(const an_weights *w, const an_net *net, uint32_t index,
                               uint32_t tower, size_t first, float *values, size_t count);

/* --- exec: a plan with memory -------------------------------------------------------- */

/* What is done again and again (record.c). */
typedef enum an_repeat {
    AN_REPEAT_CLASSIFY,
    AN_REPEAT_EVALUATE,
    AN_REPEAT_STEP,
    AN_REPEATS
} an_repeat;

typedef struct an_repeated {
    uint32_t count;          /* of images, the last time; 0: not yet */
    an_recording *recording; /* of so many; null: none yet */
    int refused;             /* it could not be recorded */
    uint64_t exchanged;      /* numbers that it sends between towers */
} an_repeated;

typedef struct an_exec {
    struct an_exec *next; /* idle ones of a model */
    an_context *ctx;
    an_net *net;
    const an_plan *plan;
    an_slot slots[AN_MAX_TOWERS];
    an_queue *queue[AN_MAX_TOWERS];
    void *arena[AN_MAX_TOWERS];
    an_layout layout;
    uint32_t batch; /* planned for */
    int training;
    uint32_t
        slice; /* the first image of what is worked on: 0 but within a forward pass */
    /* On tower 0's device: what a loss is computed from and gives. */
    void *outcome;
    double *device_losses; /* [batch] */
    an_rank *device_ranks; /* [batch] */
    int32_t *labels;       /* [batch] */
    /* [2] on each tower's device: 1 if a gradient of this tower, or of any, is not finite */
    float *faults[AN_MAX_TOWERS];
    /* Made when first needed: preprocessed images of one pass, on the host; or crops of
     * pictures there and on each tower's device, with their views and the mean image. */
    float *staging;
    uint8_t *crops;
    uint8_t *device_crops[AN_MAX_TOWERS][AN_MARKS];
    an_view *device_views[AN_MAX_TOWERS][AN_MARKS];
    float *device_mean[AN_MAX_TOWERS];
    uint64_t mean_version; /* of device_mean */
    uint32_t staged_side;  /* for whose mean image there is room */
    float *scores;         /* [batch][classes], host */
    double *losses;        /* [AN_MARKS][batch], host */
    an_rank *ranks;        /* likewise */
    double *seconds;       /* profiling: [2][op_count], forward and backward; null else */
    uint64_t *exchanged;   /* the model's count of numbers sent between towers */
    /* Backward: layers whose weights' gradients are not wanted, and the first that is not
     * such a one. */
    unsigned char frozen[AN_MAX_LAYERS];
    uint32_t lowest;
    int traced; /* kernels are timed, under their layers' names */
    an_repeated repeated[AN_REPEATS];
    uint32_t most; /* images that any of them has had */
    uint32_t
        told; /* what the log has been told of them: bits of recorded, of refused << 4 */
    int held; /* backward: dense weights' gradients are left to an__exec_held_update() */
} an_exec;

/* body(arg, count), with the kernels and copies that it gives the queues recorded where it comes
 * often: it must give them the same each time. */
typedef an_status an_body(void *arg, uint32_t count);
an_status an__repeat(an_exec *exec, an_repeat what, uint32_t count, an_body *body,
                     void *arg);
/* It would give others from now on, or a queue other work that may need larger buffers. */
void an__repeat_forget(an_exec *exec);

an_status an__exec_create(an_exec **out, an_net *net, uint32_t batch, int training);
void an__exec_destroy(an_exec *exec);
float *an__exec_value(const an_exec *exec, uint32_t tensor);

/* What a pass reads, in host memory: floats, or pictures' crops with their views. */
typedef struct an_feed {
    const float *floats;
    const uint8_t *crops;
    const an_view *views;
    const an_input *input; /* of the crops */
    uint32_t place;        /* of the crops and views on a device: below AN_MARKS */
    int is_there;          /* they are there already */
} an_feed;

/* Crops and views to their place on the device, beside what it is doing. */
an_status an__exec_send(an_exec *exec, uint32_t batch, an_feed *feed);
/* To where a pass begins. */
an_status an__exec_load(an_exec *exec, uint32_t batch, const an_feed *feed);
/* From what is loaded: leaves the logits in plan->output. training: with dropout. */
an_status an__exec_forward(an_exec *exec, const an_weights *w, uint32_t batch,
                           int training);
/* What an operation's kernels are timed under, if they are. */
an_status an__exec_label(const an_exec *exec, const an_op *op, const char *way);
/* The operations below `end` alone, testing: their values are where they left them. */
an_status an__exec_forward_to(an_exec *exec, const an_weights *w, uint32_t batch,
                              uint32_t end);
/* From the gradient of plan->output, in an__exec_gradient(), to all of `g`. */
an_status an__exec_backward(an_exec *exec, const an_weights *w, const an_weights *g,
                            uint32_t batch);
float *an__exec_gradient(const an_exec *exec, uint32_t tensor);
/* Losses and ranks, and the gradient of plan->output if exec is for training. */
an_status an__exec_labels(an_exec *exec, uint32_t batch, const int32_t *labels);
an_status an__exec_loss(an_exec *exec, uint32_t batch);
/* Fetches losses and ranks to a place in exec->losses and exec->ranks; the second, to the first
 * one, and waits for all that was given to the queues. */
an_status an__exec_outcome_begin(an_exec *exec, uint32_t batch, uint32_t place);
an_status an__exec_outcome(an_exec *exec, uint32_t batch);
/* DIVERGED, naming the first layer whose output is not finite ("input", "conv1", ...).
 * Runs the pass again, layer by layer. */
an_status an__exec_diverged(an_exec *exec, const an_weights *w, uint32_t batch,
                            const an_feed *feed, int training);
/* Of a backward pass that held them: dense weights' gradients, with what else it gave `g`;
 * their updates (parts[i]: of parameter i, its g null); and what they are computed from. */
an_status an__exec_held_gradients(an_exec *exec, const an_weights *g, uint32_t batch);
an_status an__exec_held_update(an_exec *exec, uint32_t tower, uint32_t batch,
                               const an_parameter_part *parts, uint32_t count,
                               const float *faults);
uint32_t an__exec_held_arrays(const an_exec *exec, uint32_t tower, uint32_t batch,
                              an_array *arrays);
an_status an__exec_sync(an_exec *exec);
/* After a failure: nothing that was asked for arrives later. */
void an__exec_abandon(an_exec *exec);
/* The order of a tensor's numbers. */
an_order an__tensor_order(const an_tensor *tensor, uint32_t batch);
/* One image's numbers of a tensor in the host's order, there after the next sync. */
an_status an__exec_get(an_exec *exec, uint32_t tensor, uint32_t image, float *to);
/* Whether all of x, on the tower's device, are finite. Waits for it. */
an_status an__exec_finite(an_exec *exec, uint32_t tower, const an_array *array,
                          int *finite);
/* Weights packed as a pass of so many images wants them, that its operations need not. */
an_status an__exec_pack(an_exec *exec, uint32_t batch);

/* `count` pictures, each by its view, as what a pass reads; on the context's threads. */
an_status an__exec_stage(an_exec *exec, const an_input *input, const an_image *pictures,
                         uint32_t count, const an_view *views, an_feed *feed);
/* Memory for that; a later call finds it made. */
an_status an__exec_staging(an_exec *exec, const an_input *input);

/* One operation forward; end: those below it alone are run, so that it takes no other along. */
an_status an__exec_operation(an_exec *exec, const an_op *op, const an_weights *w,
                             uint32_t batch, int training, uint32_t end);

#endif
