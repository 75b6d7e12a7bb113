/*
 * engine.h - runs a plan: its weights on their devices (net, weights), memory for a batch
 * (exec), and a session: what comes in, the operations in order, what comes out.
 *
 * Order of calls in a pass: stage, upload (where that gains), load, forward, softmax or
 * labels and loss, backward, fetch. A net outlives its execs and sessions; an exec is one
 * caller's at a time.
 */
#ifndef AN_ENGINE_H
#define AN_ENGINE_H

#include "image/image.h"
#include "network/network.h"

/* --- net (net.c): a plan, its weights, and the devices that they are on ------------ */

typedef struct an_weights { /* parameters or something of their shape, on their devices */
    an_operand part[AN_MAX_PARAMS][AN_MAX_TOWERS]; /* none where the tower has no part */
} an_weights;

/* Weights in a layout and precision that an operation wants them in: made when first
 * asked for, and again after the weights have changed. */
typedef struct an_prepacked {
    an_operand weights;
    /* Of the weights that it was made of; atomic, written with prepack_lock held. */
    uint64_t version;
} an_prepacked;

/* What inference and training run. A model owns it. */
typedef struct an_net {
    an_context *ctx;
    an_plan *plan;
    const an_backend *backend;
    an_device *device[AN_MAX_TOWERS];
    an_queue *queue[AN_MAX_TOWERS]; /* for moving parameters */
    an_weights weights;
    uint64_t version; /* of the weights: another after every change; atomic */
    an_prepacked prepacked[AN_MAX_OPS][AN_CONV_ALGORITHMS]; /* by operation */
    pthread_mutex_t prepack_lock; /* held while one of them is made */
    int mapped;         /* the weights are where a file is mapped, not the net's own */
    uint64_t exchanged; /* atomic: elements that towers have sent each other */
} an_net;

/* Opens the devices and queues of a checked config's network; map: where its parameters
 * are, by number, or null: they are still to be reserved. A net that could not be opened
 * is to be closed, too. */
an_status an__net_open(an_net *net, an_context *ctx, const an_model_config *config,
                       float *const *map);
void an__net_close(an_net *net);

/* The weights are others than before. */
void an__net_changed(an_net *net);
/* Memory for what the next makes, of batches of 1 and of `batch`. */
an_status an__net_reserve(an_net *net, uint32_t batch, int training);
/* The weights of an operation in the layout and precision that its algorithm for such a
 * batch wants them in; none where they serve as they lie. Any thread, while the weights
 * do not change. */
an_status an__net_prepack(an_net *net, uint32_t op, uint32_t batch, int training,
                          an_queue *queue, an_operand *out);
/* Where the update writes prepacked weights too (AN_FUSE_UPDATE_PREPACK): the bfloat16
 * copy of a parameter, which has the parameter's own order, or none; all other
 * prepacked weights are made again, in order with what else the queue is given; and all
 * are declared to be of the weights as they now are. */
an_operand an__net_bf16_copy(const an_net *net, uint32_t param, uint32_t tower);
an_status an__net_prepack_again(an_net *net, uint32_t tower, an_queue *queue);
void an__net_mark_prepacked(an_net *net);

/* --- weights (weights.c) ----------------------------------------------------------- */

/* Zeroed memory for everything; and memory without values for one parameter, of weights
 * that are zero at first. Freed by the third, however much there is. */
an_status an__weights_alloc(an_weights *w, const an_net *net);
an_status an__weights_reserve(an_weights *w, const an_net *net, uint32_t index);
void an__weights_free(an_weights *w, const an_net *net);
an_status an__weights_get(const an_weights *w, const an_net *net, uint32_t index,
                          float *values);
an_status an__weights_set(const an_weights *w, const an_net *net, uint32_t index,
                          const float *values);
/* Elements first .. first + count - 1 of a tower's part, on the model's queue. */
an_status an__weights_put_part(const an_weights *w, const an_net *net, uint32_t index,
                               uint32_t tower, size_t first, const float *values,
                               size_t count);
an_status an__weights_get_part(const an_weights *w, const an_net *net, uint32_t index,
                               uint32_t tower, size_t first, float *values, size_t count);

/* What an update does to a tower's part of a parameter; count 0: the tower has none. */
an_parameter_part an__weights_update_part(const an_net *net, uint32_t index,
                                          uint32_t tower, const an_weights *gradient,
                                          const an_weights *velocity,
                                          const an_weights *weights);

/* --- exec (exec.c, run.c): a plan with memory for a batch, and its operations ------ */

typedef struct an_exec {
    an_context *ctx;
    an_net *net;
    const an_plan *plan;
    const an_backend *backend;
    an_device *device[AN_MAX_TOWERS];
    an_queue *queue[AN_MAX_TOWERS];
    void *arena[AN_MAX_TOWERS]; /* buffers that the layout divides */
    an_layout layout;
    uint32_t batch; /* images that there is memory for */
    int training;
    uint32_t slice; /* first image of the slice that a forward pass works on; 0 else */
    uint64_t *exchanged; /* counts elements sent between towers */
    double *seconds;     /* null, or profiling: [2][op_count], forward and backward */
    int traced;          /* kernels are timed under their layers' names */
    /* Backward: */
    /* Layers whose weights' gradients are not wanted. */
    unsigned char frozen[AN_MAX_LAYERS];
    uint32_t lowest; /* the first layer that is not frozen */
    /* Images of the pass whose dense weights' gradients are deferred; 0: none are. */
    uint32_t deferred_images;
    /* [2] on each tower's device: 1 if a gradient of this tower, or of any, is not
     * finite. */
    an_operand faults[AN_MAX_TOWERS];
} an_exec;

/* One that could not be opened is to be closed, too. */
an_status an__exec_open(an_exec *exec, an_net *net, uint32_t batch, int training);
void an__exec_close(an_exec *exec);
an_status an__exec_sync(an_exec *exec);
/* After a failure: nothing that was asked for arrives later. The error message stays. */
void an__exec_abandon(an_exec *exec);

an_operand an__exec_value(const an_exec *exec, uint32_t tensor);
an_operand an__exec_gradient(const an_exec *exec, uint32_t tensor);
/* The host's order of a tensor's elements. */
an_order an__tensor_order(const an_tensor *tensor, uint32_t batch);
/* One image's elements of a tensor in the host's order, there after the next sync. */
an_status an__exec_get(an_exec *exec, uint32_t tensor, uint32_t image, float *to);
/* Whether all of x, on the tower's device, are finite. Waits for it. (diagnose.c) */
an_status an__exec_finite(an_exec *exec, uint32_t tower, const an_array *array,
                          int *finite);

/* Prepacks all weights for a pass of so many images, so that its operations need not. */
an_status an__exec_prepack(an_exec *exec, uint32_t batch);
/* From what is loaded: leaves the logits in plan->output. training: with dropout. */
an_status an__exec_forward(an_exec *exec, const an_weights *w, uint32_t batch,
                           int training);
/* The operations below `end` alone, testing: their values are where they left them. */
an_status an__exec_forward_to(an_exec *exec, const an_weights *w, uint32_t batch,
                              uint32_t end);
/* One operation forward; end: those below it alone are run, so that it fuses none of the
 * others. */
an_status an__exec_operation(an_exec *exec, const an_op *op, const an_weights *w,
                             uint32_t batch, int training, uint32_t end);
/* From the gradient of plan->output, in an__exec_gradient(), to all of `g`. */
an_status an__exec_backward(an_exec *exec, const an_weights *w, const an_weights *g,
                            uint32_t batch);
/* What an operation's kernels are timed under, if they are: the layer's name and the
 * pass. */
an_status an__exec_label(const an_exec *exec, const an_op *op, const char *pass);

/* --- deferred gradients (deferred.c) ----------------------------------------------- */

/* After a backward pass that deferred them: the gradients of dense weights, beside what
 * the pass gave `g`; the updates of those weights, with parts that have no gradient; and
 * the gradients of layer outputs that they are computed from. */
an_status an__exec_deferred_gradients(an_exec *exec, const an_weights *g);
an_status an__exec_deferred_update(an_exec *exec, uint32_t tower,
                                   const an_parameter_part *parts, uint32_t count,
                                   an_operand faults);
uint32_t an__exec_deferred_arrays(const an_exec *exec, uint32_t tower, an_array *arrays);

/* --- session: an exec, what comes in, what comes out, what is repeated ------------- */

/* Room for what comes in (input.c), made when first needed: preprocessed images of one
 * pass on the host; or crops of pictures there and on each tower's device, with their
 * views and the mean image. */
typedef struct an_staging {
    float *floats;
    uint8_t *crops;
    an_operand device_crops[AN_MAX_TOWERS][AN_MAX_IN_FLIGHT];
    an_operand device_views[AN_MAX_TOWERS][AN_MAX_IN_FLIGHT];
    an_operand device_mean[AN_MAX_TOWERS];
    uint64_t mean_version; /* of device_mean */
    uint32_t side;         /* of the mean image that there is room for */
} an_staging;

/* What comes out (outcome.c): computed on tower 0's device, and fetched to the host,
 * where the steps in flight have a slot each. */
typedef struct an_outcome {
    void *buffer;                                   /* of the three that follow */
    an_operand device_losses, device_ranks, labels; /* [batch] double, an_rank, int32_t */
    float *scores;                                  /* [batch][classes] */
    double *losses;                                 /* [AN_MAX_IN_FLIGHT][batch] */
    an_rank *ranks;                                 /* [AN_MAX_IN_FLIGHT][batch] */
    float faults[AN_MAX_IN_FLIGHT];                 /* 0: all gradients are finite */
} an_outcome;

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
    uint64_t exchanged;      /* elements that it sends between towers */
} an_repeated;

typedef struct an_recordings {
    an_repeated repeated[AN_REPEATS];
    uint32_t most; /* images that any of them has had */
    uint32_t told; /* what the log has been told: bits of recorded, of refused << 4 */
} an_recordings;

/* One caller's at a time: a call of inference takes one of the model's idle ones, and a
 * trainer has one of its own. */
typedef struct an_session {
    struct an_session *next; /* idle ones of a model */
    an_exec exec;
    an_staging staging;
    an_outcome outcome;
    an_recordings recordings;
} an_session;

/* Parts of a session's life; one that could not be opened is to be closed, too. */
an_status an__outcome_open(an_outcome *outcome, const an_exec *exec);
void an__outcome_close(an_outcome *outcome, const an_exec *exec);
void an__staging_close(an_staging *staging, const an_exec *exec);

an_status an__session_create(an_session **out, an_net *net, uint32_t batch, int training);
void an__session_destroy(an_session *session); /* null allowed */

/* What a pass reads, in host memory: floats, or pictures' crops with their views. */
typedef struct an_pass_input {
    const float *floats;
    const uint8_t *crops;
    const an_view *views;
    const an_input *input; /* of the crops */
    uint32_t slot; /* of the crops and views on a device: below AN_MAX_IN_FLIGHT */
    int uploaded;  /* they are there already */
} an_pass_input;

/* Memory for what comes in; a later call finds it made. */
an_status an__session_reserve(an_session *session, const an_input *input);
/* `count` pictures, each by its view, as what a pass reads; on the context's threads. */
an_status an__session_stage(an_session *session, const an_input *input,
                            const an_image *pictures, uint32_t count,
                            const an_view *views, an_pass_input *in);
/* Crops and views to their slot on the device, beside what the device is doing. */
an_status an__session_upload(an_session *session, uint32_t batch, an_pass_input *in);
/* an__session_stage() and _upload() in one, for a backend that has uploads beside the
 * host's work: some crops are on their way while the next are cut. in->slot is given. */
an_status an__session_send(an_session *session, const an_input *input,
                           const an_image *pictures, uint32_t count, const an_view *views,
                           an_pass_input *in);
/* To where a pass begins. */
an_status an__session_load(an_session *session, uint32_t batch, const an_pass_input *in);
/* DIVERGED, naming the first layer whose output is not finite ("input", "conv1", ...).
 * Runs the pass again, layer by layer. (diagnose.c) */
an_status an__session_diverged(an_session *session, const an_weights *w, uint32_t batch,
                               const an_pass_input *in, int training);

an_status an__session_labels(an_session *session, uint32_t batch, const int32_t *labels);
/* Losses and ranks of what a forward pass has left, and the gradient of plan->output if
 * the session is for training. */
an_status an__session_loss(an_session *session, uint32_t batch);
/* Fetches losses and ranks to a slot; and waits for all that the queues were given. */
an_status an__session_fetch(an_session *session, uint32_t batch, uint32_t slot);
an_status an__session_finish(an_session *session, uint32_t batch);
/* A step's faults: none; those of each tower become those of all; and fetched to a
 * slot. */
an_status an__session_faults_clear(an_session *session);
an_status an__session_faults_join(an_session *session);
an_status an__session_faults_fetch(an_session *session, uint32_t slot);

/* body(arg, count), with the kernels and copies that it gives the queues recorded where
 * it comes often: it must give them the same each time. */
typedef an_status an_body(void *arg, uint32_t count);
an_status an__session_repeat(an_session *session, an_repeat what, uint32_t count,
                             an_body *body, void *arg);
/* To be called when the body would give others from now on, or a queue other work that
 * may need larger buffers. */
void an__session_forget(an_session *session);

#endif
