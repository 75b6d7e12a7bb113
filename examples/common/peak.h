/*
 * peak.h - the machine's limits, measured: of arithmetic, and of reading memory.
 */
#ifndef PEAK_H
#define PEAK_H

/* Float multiply-adds that `threads` threads do in registers, in GFLOP/s (two operations
 * each); the best of some runs. `name` gets the instruction set. 0 where it is not known
 * how to measure: other processors than x86-64 with FMA. */
double peak_gflops(unsigned threads, const char **name);

/* What `threads` threads read of 256 MiB from end to end, in GB/s; the best of some runs.
 * 0: no memory. */
double peak_gigabytes(unsigned threads);

#endif
