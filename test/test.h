/*
 * test.h - the suites, one for each file test_NAME.c.
 */
#ifndef AN_TEST_H
#define AN_TEST_H

#include "choose.h"

Suite *api_suite(void);
Suite *checkpoint_suite(void);
Suite *config_suite(void);
Suite *cuda_suite(void);
Suite *damage_suite(void);
Suite *golden_suite(void);
Suite *hygiene_suite(void);
Suite *images_suite(void);
Suite *infer_suite(void);
Suite *layout_suite(void);
Suite *loader_suite(void);
Suite *ops_suite(void);
Suite *pack_suite(void);
Suite *plugin_suite(void);
Suite *recipes_suite(void);
Suite *steps_suite(void);
Suite *train_suite(void);

/* Cases of ops_suite(): test_products.c, test_numbers.c */
void add_products(Suite *suite);
void add_numbers(TCase *tc);

#endif
