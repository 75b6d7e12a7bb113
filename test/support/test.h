/*
 * test.h - the suites, one for each file test_NAME.c.
 */
#ifndef AN_TEST_H
#define AN_TEST_H

#include "choose.h"

Suite *ablations_suite(void);
Suite *api_suite(void);
Suite *batches_suite(void);
Suite *checkpoint_suite(void);
Suite *config_suite(void);
Suite *contexts_suite(void);
Suite *processors_suite(void);
Suite *cuda_suite(void);
Suite *damage_suite(void);
Suite *data_limits_suite(void);
Suite *disk_suite(void);
Suite *writers_suite(void);
Suite *json_suite(void);
Suite *text_suite(void);
Suite *arrivals_suite(void);
Suite *floats_suite(void);
Suite *edges_suite(void);
Suite *epochs_suite(void);
Suite *execution_suite(void);
Suite *feeds_suite(void);
Suite *fields_suite(void);
Suite *golden_suite(void);
Suite *hygiene_suite(void);
Suite *images_suite(void);
Suite *index_suite(void);
Suite *infer_suite(void);
Suite *inference_suite(void);
Suite *layout_suite(void);
Suite *limits_suite(void);
Suite *loader_suite(void);
Suite *means_suite(void);
Suite *metadata_suite(void);
Suite *minimal_suite(void);
Suite *ops_suite(void);
Suite *pack_models_suite(void);
Suite *pack_suite(void);
Suite *packing_suite(void);
Suite *packs_suite(void);
Suite *pictures_suite(void);
Suite *pieces_suite(void);
Suite *plans_suite(void);
Suite *plugin_suite(void);
Suite *pool_suite(void);
Suite *precision_suite(void);
Suite *trainer_config_suite(void);
Suite *recipe_rows_suite(void);
Suite *recipes_suite(void);
Suite *repeat_suite(void);
Suite *resume_suite(void);
Suite *other_files_suite(void);
Suite *rows_suite(void);
Suite *saving_suite(void);
Suite *scarcity_suite(void);
Suite *schedule_suite(void);
Suite *sources_suite(void);
Suite *starts_suite(void);
Suite *states_suite(void);
Suite *statuses_suite(void);
Suite *steps_suite(void);
Suite *streams_suite(void);
Suite *strides_suite(void);
Suite *structs_suite(void);
Suite *tensors_suite(void);
Suite *train_suite(void);
Suite *transfer_suite(void);
Suite *weights_suite(void);

/* Cases of ops_suite(): test_products.c, test_dense.c, test_windows.c, test_numbers.c */
void add_products(Suite *suite);
void add_dense(Suite *suite);
void add_windows(TCase *tc);
void add_numbers(TCase *tc);
/* Cases of edges_suite(): test_edge_*.c */
void add_edge_conv(Suite *suite);
void add_edge_dense(Suite *suite);
void add_edge_losses(Suite *suite);
void add_edge_windows(Suite *suite);
/* Cases of cuda_suite(): test_cuda_pictures.c */
void add_cuda_pictures(TCase *tc);
/* Cases of steps_suite(): test_in_flight.c */
void add_in_flight(TCase *tc);
/* Cases of execution_suite(): test_memory.c */
void add_memory(Suite *suite);
/* Cases of inference_suite(): test_inference_*.c */
void add_inference_calls(Suite *suite);
void add_inference_layers(Suite *suite);
void add_inference_weights(Suite *suite);

#endif
