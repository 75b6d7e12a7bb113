/*
 * scoring.h - models over a pack: probabilities, accuracy, who is taken for whom.
 */
#ifndef SCORING_H
#define SCORING_H

#include <alexnet.h>

/* Called now and then with the pictures done. May be null. */
typedef void (*scoring_progress)(uint64_t done, void *user);

typedef struct scoring {
    an_model **models; /* their probabilities are averaged */
    uint32_t model_count;
    uint32_t views; /* 1 or 10 */
    an_evaluation total;
    uint64_t *confusion; /* [classes][classes], label first; null: not wanted */
    scoring_progress progress;
    void *user;
} scoring;

/* Exits with 2 if the pack numbers its classes differently from the model, or fits
 * pictures otherwise: what came of it would be nonsense. `name`: the pack's, for
 * people. */
void check_pack(const an_pack *pack, const an_model *model, const char *name);

/* All pictures of the pack, in their order. */
an_status score_pack(scoring *s, const an_pack *pack);

#endif
