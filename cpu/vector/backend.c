/*
 * backend.c - the table of this set of instructions. Devices and queues are the CPU's, as
 * are the operations that have nothing to gain.
 */
#include "path.h"

static const an_prepack_table prepack = {
    .conv_algorithm = V(conv_algorithm),
    .conv_prepack = V(conv_prepack),
    .dense_prepack_bytes = V(dense_prepack_bytes),
    .dense_prepack = V(dense_prepack),
};

/* Of any shape. */
static int can_fuse(const an_device *device, const an_fusion *fusion)
{
    (void)device;
    (void)fusion;
    return 1;
}

static const an_fused_table fused = {
    .patterns = 1u << AN_FUSE_CONV_RELU | 1u << AN_FUSE_DENSE_RELU | 1u << AN_FUSE_SLICES,
    .can_fuse = can_fuse,
};

const an_backend V(backend) = {
    .abi = AN_BACKEND_ABI,
    .size = sizeof(an_backend),
    .name = "cpu",
    .host_memory = 1,
    .algorithms = {"direct", "winograd"},
    .count = an__cpu_count,
    .describe = an__cpu_describe,
    .open = an__cpu_open,
    .close = an__cpu_close,
    .alloc = an__cpu_alloc,
    .release = an__cpu_release,
    .queue_open = an__cpu_queue_open,
    .queue_close = an__cpu_queue_close,
    .sync = an__cpu_sync,
    .upload = an__cpu_upload,
    .download = an__cpu_download,
    .put = V(put),
    .get = V(get),
    .copy = an__cpu_copy,
    .begin_step = an__cpu_begin_step,
    .conv_scratch = V(conv_scratch),
    .dense_scratch = V(dense_scratch),
    .conv_forward = V(conv_forward),
    .conv_backward_data = V(conv_backward_data),
    .conv_backward_weights = V(conv_backward_weights),
    .dense_forward = V(dense_forward),
    .dense_backward_data = V(dense_backward_data),
    .dense_backward_weights = V(dense_backward_weights),
    .activation_forward = V(activation_forward),
    .activation_backward = V(activation_backward),
    .lrn_forward = V(lrn_forward),
    .lrn_backward = V(lrn_backward),
    .lrn_within_forward = V(lrn_within_forward),
    .lrn_within_backward = V(lrn_within_backward),
    .pool_forward = V(pool_forward),
    .pool_backward = V(pool_backward),
    .dropout = V(dropout),
    .scale = an__cpu_scale,
    .softmax = V(softmax),
    .softmax_loss = V(softmax_loss),
    .update = V(update),
    .all_finite = an__cpu_all_finite,
    .prepack = &prepack,
    .fused = &fused,
};
