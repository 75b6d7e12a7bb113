// The same program in C++98.
#include <alexnet.h>
#include <cstdio>
#include <cstring>

int main(int argc, char **argv)
{
    static float image[3 * 32 * 32];
    an_model_config config;
    an_context *ctx = NULL;
    an_model *model = NULL, *loaded = NULL;
    float p[10], q[10];

    an_model_config_init(&config, sizeof config);
    config.arch = AN_ARCH_CIFAR10;
    if (argc != 2 || an_version() != AN_VERSION_NUMBER ||
        an_context_create(&ctx, NULL) != AN_OK ||
        an_model_create(&model, ctx, &config) != AN_OK ||
        an_infer(model, image, 1, p, sizeof p / sizeof *p) != AN_OK ||
        an_model_save(model, argv[1]) != AN_OK ||
        an_model_load(&loaded, ctx, argv[1], NULL) != AN_OK ||
        an_infer(loaded, image, 1, q, sizeof q / sizeof *q) != AN_OK ||
        std::memcmp(p, q, sizeof p) != 0) {
        std::fprintf(stderr, "%s\n", an_error_message());
        return 1;
    }
    an_model_destroy(loaded);
    an_model_destroy(model);
    an_context_destroy(ctx);
    return 0;
}
