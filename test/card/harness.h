/*
 * harness.h - how the probes are run: one after another in a process that has a CUDA
 * context, which costs seconds; a parent without one watches it. An error of CUDA's may
 * end the context, so the process ends with it, and a new one asks the probes that are
 * left; so it is if a kernel never ends, or if the host run aborts. Nothing here knows
 * what is asked.
 */
#ifndef AN_CARD_HARNESS_H
#define AN_CARD_HARNESS_H

#include <cuda_runtime.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

typedef std::vector<uint32_t> Vector;

/* --- probes and what they answer --------------------------------------------------- */

struct Probe {
    char name[72];
    void (*ask)();
    bool hopper; /* only a device of compute capability 9.0 has what it asks for */
};

static const char *now = "start"; /* the probe that is being asked */
static bool answered, any_failed;
static cudaStream_t stream;
static cudaDeviceProp device;

enum { ALL_PASS = 0, SOME_FAIL = 1, NO_CARD = 77, GO_ON = 3 /* in a new process */ };

__attribute__((format(printf, 2, 3))) static void say(const char *what,
                                                      const char *format, ...)
{
    va_list args;

    printf("%s %s: ", what, now);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
    fflush(stdout);
    answered = true;
    if (strcmp(what, "FAIL") == 0) any_failed = true;
}

static const char *name_of(cudaError_t error)
{
    return error == cudaSuccess ? "no error" : cudaGetErrorName(error);
}

/* What no probe expects to fail. */
static void must(cudaError_t error, const char *what)
{
    if (error == cudaSuccess) return;
    say("FAIL", "%s: %s", what, cudaGetErrorName(error));
    _exit(GO_ON);
}

/* --- memory ------------------------------------------------------------------------ */

/* Numbers on the host, beside their place on the device, which has NaNs until they are
 * sent there: so a kernel that writes nothing shows. They go by pinned memory, as the
 * backend's do. */
template <class T> struct Numbers {
    std::vector<T> host;
    T *there = NULL;

    explicit Numbers(size_t count, T value = T()) : host(count, value)
    {
        must(cudaMalloc((void **)&there, count * sizeof(T)), "memory");
        must(cudaMemsetAsync(there, 0xff, count * sizeof(T), stream), "memory");
    }
    Numbers(const Numbers &) = delete;
    ~Numbers()
    {
        cudaFree(there);
    }
    T &operator[](size_t i)
    {
        return host[i];
    }
    const T *up()
    {
        copy(true);
        return there;
    }
    void down()
    {
        copy(false);
    }

  private:
    void copy(bool up)
    {
        size_t bytes = host.size() * sizeof(T);
        void *pinned;

        must(cudaMallocHost(&pinned, bytes), "pinned memory");
        if (up) {
            memcpy(pinned, host.data(), bytes);
            must(cudaMemcpyAsync(there, pinned, bytes, cudaMemcpyHostToDevice, stream),
                 "a copy to the device");
            must(cudaStreamSynchronize(stream), "a copy to the device");
        } else {
            must(cudaMemcpyAsync(pinned, there, bytes, cudaMemcpyDeviceToHost, stream),
                 "a copy from the device");
            must(cudaStreamSynchronize(stream), "a copy from the device");
            memcpy(host.data(), pinned, bytes);
        }
        cudaFreeHost(pinned);
    }
};

template <class Params>
static void launch(void (*kernel)(Params), dim3 grid, int threads, size_t shared,
                   Params params)
{
    void *args[] = {&params};

    if (shared > 48 * 1024)
        must(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  (int)shared),
             "a kernel's shared memory");
    must(cudaLaunchKernel(kernel, grid, dim3((unsigned)threads), args, shared, stream),
         "a launch");
}

/* --- comparing --------------------------------------------------------------------- */

/* Writes what a word is, for a reader. */
typedef void (*Describe)(char *text, size_t size, uint32_t word);

static void as_hex(char *text, size_t size, uint32_t word)
{
    snprintf(text, size, "%08x", word);
}

static void as_float(char *text, size_t size, uint32_t word)
{
    float value;

    memcpy(&value, &word, sizeof value);
    snprintf(text, size, "%.9g (%08x)", (double)value, word);
}

/* Says FAIL, with the first that is wrong, and is false; or is true. */
static bool same(const Vector &got, const Vector &want, size_t columns, Describe describe)
{
    size_t wrong = 0, first = 0;
    char is[64], expected[64];

    for (size_t i = 0; i < want.size(); i++)
        if (got[i] != want[i] && wrong++ == 0) first = i;
    if (wrong == 0) return true;
    describe(is, sizeof is, got[first]);
    describe(expected, sizeof expected, want[first]);
    say("FAIL", "row %zu column %zu: got %s expected %s; %zu of %zu wrong",
        first / columns, first % columns, is, expected, wrong, want.size());
    return false;
}

/* --- the process that asks --------------------------------------------------------- */

static void print_device()
{
    int driver = 0, runtime = 0, count = 0;

    cudaGetDeviceCount(&count);
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&runtime);
    printf("device %s, the first of %d, compute capability %d.%d, %d multiprocessors, "
           "L2 %.1f MiB, memory %.1f GiB, driver %d.%d, runtime %d.%d\n",
           device.name, count, device.major, device.minor, device.multiProcessorCount,
           device.l2CacheSize / 1048576.0, (double)device.totalGlobalMem / 1073741824.0,
           driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
    fflush(stdout);
}

static int ask_from(const std::vector<Probe> &probes, int from, int progress)
{
    int count = 0;
    cudaError_t error = cudaGetDeviceCount(&count);

    if (error != cudaSuccess || count < 1) {
        printf("no card: nothing was asked (%s)\n", name_of(error));
        fflush(stdout);
        return NO_CARD;
    }
    must(cudaGetDeviceProperties(&device, 0), "the device");
    if (from == 0) print_device();
    must(cudaSetDevice(0), "the device");
    must(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "a stream");
    for (int i = from; i < (int)probes.size(); i++) {
        if (write(progress, &i, sizeof i) != (ssize_t)sizeof i) return SOME_FAIL;
        now = probes[i].name;
        answered = false;
        if (probes[i].hopper && device.major != 9)
            say("not asked", "compute capability %d.%d", device.major, device.minor);
        else
            probes[i].ask();
        must(cudaStreamSynchronize(stream), "the probe");
        must(cudaGetLastError(), "left by the probe");
        if (!answered) printf("pass %s\n", now);
        fflush(stdout);
    }
    return any_failed ? SOME_FAIL : ALL_PASS;
}

/* --- the one that watches it ------------------------------------------------------- */

enum { START_SECONDS = 120, PROBE_SECONDS = 30 };

/* Returns the exit status; asked: the last probe that was begun, or from - 1; slow: it
 * was ended for it. */
static int watch(char **argv, int from, int *asked, bool *slow)
{
    int ends[2], status = 0, index;
    pid_t child;

    *asked = from - 1;
    *slow = false;
    if (pipe(ends) != 0 || (child = fork()) < 0) return SOME_FAIL;
    if (child == 0) {
        char number[2][16];
        std::vector<char *> args = {argv[0], (char *)"--ask", number[0], number[1]};

        close(ends[0]);
        snprintf(number[0], sizeof number[0], "%d", from);
        snprintf(number[1], sizeof number[1], "%d", ends[1]);
        for (char **a = argv + 1; *a != NULL; a++) args.push_back(*a);
        args.push_back(NULL);
        execv("/proc/self/exe", args.data());
        _exit(SOME_FAIL);
    }
    close(ends[1]);
    for (;;) {
        struct pollfd one = {ends[0], POLLIN, 0};
        int seconds = *asked < from ? START_SECONDS : PROBE_SECONDS;

        if (poll(&one, 1, seconds * 1000) <= 0) {
            *slow = true;
            kill(child, SIGKILL);
            break;
        }
        if (read(ends[0], &index, sizeof index) != (ssize_t)sizeof index) break;
        *asked = index;
    }
    close(ends[0]);
    if (waitpid(child, &status, 0) != child) return SOME_FAIL;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* All probes, or those whose names begin as one of the arguments does; --list: their
 * names. */
static int run_probes(std::vector<Probe> all, char **argv)
{
    bool asks = argv[1] != NULL && strcmp(argv[1], "--ask") == 0 && argv[2] && argv[3];
    bool lists = argv[1] != NULL && strcmp(argv[1], "--list") == 0;
    char **names = argv + (asks ? 4 : lists ? 2 : 1);
    std::vector<Probe> probes;
    bool failed = false;

    for (const Probe &p : all) {
        bool wanted = *names == NULL;

        for (char **n = names; *n != NULL; n++)
            wanted = wanted || strncmp(p.name, *n, strlen(*n)) == 0;
        if (wanted) probes.push_back(p);
    }
    if (probes.empty()) {
        fprintf(stderr, "no probe has such a name; --list lists them\n");
        return 2;
    }
    if (lists) {
        for (const Probe &p : probes) printf("%s\n", p.name);
        return 0;
    }
    if (asks) {
        int status = ask_from(probes, atoi(argv[2]), atoi(argv[3]));

        fflush(stdout);
        _exit(status); /* whatever a lost device makes of the end of a process */
    }
    for (int from = 0; from < (int)probes.size();) {
        bool slow;
        int asked, status = watch(argv, from, &asked, &slow);

        if (status == NO_CARD) return NO_CARD;
        if (status == ALL_PASS) break;
        failed = true;
        now = asked < from ? "start" : probes[asked].name;
        if (slow)
            say("FAIL", "no answer in %d seconds",
                asked < from ? START_SECONDS : PROBE_SECONDS);
        else if (status != SOME_FAIL && status != GO_ON)
            say("FAIL", "the process ended with status %d", status);
        if (status == SOME_FAIL || asked < from) break;
        from = asked + 1;
    }
    return failed ? SOME_FAIL : ALL_PASS;
}

#endif
