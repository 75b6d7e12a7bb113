/*
 * ref_net.h - a model's whole network in double precision, from the plan's operations and
 * the reference's arithmetic.
 */
#ifndef AN_TEST_REF_NET_H
#define AN_TEST_REF_NET_H

#include "ref.h"

typedef struct ref_net {
    const an_plan *plan;
    double *weight[AN_MAX_PARAMS], *gradient[AN_MAX_PARAMS]; /* whole tensors */
    double *value[AN_MAX_OPS], *slope[AN_MAX_OPS];           /* of the plan's tensors */
    double *kept
        [AN_MAX_OPS]; /* what operation i wrote, before others worked on it in place */
} ref_net;

/* With the model's parameters. */
ref_net *ref_net_create(const an_model *model);
void ref_net_destroy(ref_net *net);

/* The values of up to four images, testing: logits are those of plan->output. */
void ref_net_infer(ref_net *net, const float *images, uint32_t batch);
/* The mean loss, with the dropout of seed and iteration. */
double ref_net_loss(ref_net *net, const float *images, const int32_t *labels,
                    uint32_t batch, uint64_t seed, uint64_t iteration);
/* The same, and all of net->gradient. */
double ref_net_gradients(ref_net *net, const float *images, const int32_t *labels,
                         uint32_t batch, uint64_t seed, uint64_t iteration);

#endif
