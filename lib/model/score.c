/*
 * score.c - top-1, top-5 and loss of probabilities.
 */
#include <float.h>
#include <math.h>

#include "model/model.h"

AN_INIT_ZERO(an_evaluation)

double an__top(const an_rank *rank, uint32_t k)
{
    if (rank->greater >= k) return 0;
    return rank->equal <= k - rank->greater ? 1
                                            : (double)(k - rank->greater) / rank->equal;
}

an_status an__labels_check(const int32_t *labels, uint32_t count, uint32_t classes)
{
    uint32_t i;

    AN_CHECK(labels != NULL, "labels is null");
    for (i = 0; i < count; i++)
        AN_CHECK(labels[i] >= 0 && (uint32_t)labels[i] < classes,
                 "labels[%u] is %ld: must be 0 to %u", i, (long)labels[i], classes - 1);
    return AN_OK;
}

an_status an_score(const float *probabilities, uint32_t classes, const int32_t *labels,
                   uint32_t count, an_evaluation *out)
{
    AN_ENTER;
    an_evaluation sum;
    uint32_t i;

    AN_CHECK(probabilities != NULL, "probabilities is null");
    AN_CHECK(classes >= 2 && classes <= 65536, "classes is %u: must be 2 to 65536",
             classes);
    AN_CHECK(count >= 1 && count <= 1048576, "count is %u: must be 1 to 1048576", count);
    AN_TRY(an__labels_check(labels, count, classes));
    AN_CHECK(out != NULL, "evaluation is null");
    an_evaluation_init(&sum, sizeof sum);
    AN_TRY(an__struct_read(&sum, out, sizeof sum, sizeof sum, "evaluation"));
    for (i = 0; i < count; i++) {
        const float *row = probabilities + (size_t)i * classes;
        float p = row[labels[i]];
        an_rank rank = {0, 0};
        uint32_t c;

        for (c = 0; c < classes; c++) {
            AN_CHECK(row[c] >= 0 && row[c] <= 1.001f,
                     "probabilities[%u][%u] is %g: must be 0 to 1", i, c, (double)row[c]);
            rank.greater += row[c] > p;
            rank.equal += row[c] == p;
        }
        sum.top1 += an__top(&rank, 1);
        sum.top5 += an__top(&rank, 5);
        sum.loss -= log(p > FLT_MIN ? (double)p : (double)FLT_MIN);
    }
    sum.count += count;
    return an__struct_write(out, &sum, sizeof sum, sizeof sum, "evaluation");
}
