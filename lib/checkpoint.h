/*
 * checkpoint.h - names that reading and writing share.
 */
#ifndef AN_CHECKPOINT_H
#define AN_CHECKPOINT_H

#define AN_VELOCITY "velocity." /* before a parameter's name */
#define AN_MEAN_IMAGE "preprocessing.mean_image"

#endif
