#!/bin/sh
# Plants mistakes in copies of what the probes ask on the host run, of the layouts they use, and of
# their own loop: each must turn its probe red. Mistakes that do not meet in a probe are
# planted together, since compiling takes longer than asking.
# usage: faults.sh BUILD-FOLDER C++-COMMAND...
set -eu

build=$(realpath "$1")
shift
work=$build/probe-faults
rm -rf "$work"
mkdir -p "$work"
compiler=$*
compile="$* -x c++ -O0 -Wno-psabi -Iinclude -Ilib"
count=0
rounds=

# plant ROUND NAME FILE 's/right/wrong/' PROBE [SAYS]: the line of PROBE must be FAIL, and have SAYS.
plant() {
    at=$work/$1
    if ! test -d "$at"; then
        mkdir "$at"
        cp -r cuda test/card test/cuda-host "$at"
        rounds="$rounds $1"
    fi
    cp "$at/$3" "$at/before"
    sed -i "$4" "$at/$3"
    if cmp -s "$at/$3" "$at/before"; then
        echo "  check-probes: $2: nothing was planted; has $3 changed?"
        exit 1
    fi
    echo "$5|${6:-}|$2" >>"$at/planted"
    echo "$3" >>"$at/changed"
    count=$((count + 1))
}

# shellcheck disable=SC2086
# ask ROUND: compiles what has changed, asks, and looks for each of its mistakes.
ask() {
    at=$work/$1 objects='' missed=0
    include="-I$at/cuda -I$at/card -I$at/cuda-host"
    for unit in fibers runtime tensor touch; do
        object=$build/cuda-host/$unit.o
        if grep -q "/$unit.cc" "$at/changed"; then
            object=$at/$unit.o
            $compile $include -c "$at/cuda-host/$unit.cc" -o "$object" || return 1
        fi
        objects="$objects $object"
    done
    object=$build/test/probes-host.o
    if grep -qv '\.cc' "$at/changed"; then
        object=$at/probes.o
        $compile $include -c "$at/card/probes.cu" -o "$object" || return 1
    fi
    $compiler $object $objects -pthread -o "$at/probes" || return 1
    status=0
    # shellcheck disable=SC2046
    timeout -s KILL 120 "$at/probes" $(cut -d'|' -f1 "$at/planted") >"$at/out" 2>&1 || status=$?
    test $status = 1 || { echo "round $1: exit status $status, not 1"; return 1; }
    while IFS='|' read -r probe says name; do
        if ! grep "^FAIL $probe: " "$at/out" | grep -q -- "$says"; then
            echo "$name: NOT caught by $probe"
            missed=1
        fi
    done <"$at/planted"
    return $missed
}

plant 1 "zeros not copied" cuda/runtime/ptx.h 's/copy_begin(to, from, BYTES, !ok)/copy_begin(to, from, BYTES, false)/' cp_async/4
plant 1 "rotated pairs changed over" cuda/runtime/mma.h \
    's/low\[i \/ 4\] | (uint32_t)high\[i \/ 4\]/high[i \/ 4] | (uint32_t)low[i \/ 4]/' ldmatrix/rotated
plant 1 "TF32 fragments of A in another order" cuda/runtime/mma.h \
    's/left\[i \/ 4 + e % 2 \* 8\]\[i % 4 + e \/ 2 \* 4\]/left[i \/ 4 + e \/ 2 * 8][i % 4 + e % 2 * 4]/' mma_tf32/places-of-A
plant 1 "BF16 fragments of A in another order" cuda/runtime/mma.h \
    's/left\[i \/ 4 + e % 2 \* 8\]\[pair + e \/ 2 \* 8\]/left[i \/ 4 + e \/ 2 * 8][pair + e % 2 * 8]/' mma_bf16/places-of-A
plant 1 "ties towards zero" cuda/runtime/ptx.h 's/word + 0x1000u/word + 0x0fffu/' to_tf32/borders
plant 1 "ties to bfloat16 away from zero" cuda/runtime/ptx.h 's/0x7fff + (word\[i\] >> 16 & 1)/0x8000/' to_bf16x2/borders
plant 1 "A's steps of k across at another distance" cuda/gemm/products.cuh \
    's/left0, k \* (A_ACROSS ? 16 \* ROW_BYTES : 32)/left0, k * (A_ACROSS ? 8 * ROW_BYTES : 32)/' wgmma_bf16/mn.k/64/places-of-A
plant 1 "B's steps of k across at another distance" cuda/gemm/products.cuh \
    's/right0, k \* (B_ACROSS ? 16 \* ROW_BYTES : 32)/right0, k * (B_ACROSS ? 8 * ROW_BYTES : 32)/' wgmma_bf16/k.mn/64/places-of-B
plant 1 "TF32's steps of k at another distance" cuda/gemm/products.cuh 's/wgmma_descriptor(b + k \* 32, 16)/wgmma_descriptor(b + k * 16, 16)/' \
    wgmma_tf32/64/places-of-B
plant 1 "one group too few waited for" card/kernels.cuh 's/cp_async_wait<LOOP_STAGES - 2>/cp_async_wait<LOOP_STAGES - 1>/' \
    loop/k.k/fenced
plant 1 "a kernel without an end" card/kernels.cuh 's/cp_async_wait<2>();/for (volatile int i = 0; i == 0;) {}/' \
    cp_async/groups 'no answer in 3 seconds'
plant 1 "less patience" card/harness.h 's/PROBE_SECONDS = 30/PROBE_SECONDS = 3/' cp_async/groups 'no answer in 3 seconds'

plant 2 "four bytes of sixteen" cuda/runtime/ptx.h 's/copy_begin(to, from, BYTES, !ok)/copy_begin(to, from, 4, !ok)/' cp_async/16
plant 2 "ldmatrix's words in another order" cuda/runtime/mma.h 's/l.in\[b \* 8 + i \/ 4\]\[i % 4\]/l.in[b * 8 + i % 8][i \/ 8]/' ldmatrix/straight
plant 2 "TF32 fragments of B in another order" cuda/runtime/mma.h \
    's/right\[i % 4 + e \* 4\]\[i \/ 4\]/right[i % 4 * 2 + e][i \/ 4]/' mma_tf32/places-of-B
plant 2 "BF16 fragments of B in another order" cuda/runtime/mma.h \
    's/right\[pair + (e - 4) \* 8\]/right[i % 4 + half * 4 + (e - 4) * 8]/' mma_bf16/places-of-B
plant 2 "bfloat16 halves changed over" cuda/runtime/ptx.h 's/half\[0\] | half\[1\] << 16/half[1] | half[0] << 16/' to_bf16x2/borders
plant 2 "a descriptor's stride of another size" cuda/runtime/mma.h 's/(1024 >> 4) << 32/(2048 >> 4) << 32/' wgmma_bf16/k.k/64/places-of-B
plant 2 "infinity for the greatest numbers missing" cuda/runtime/ptx.h \
    's/if ((word & 0x7f800000u) == 0x7f800000u) return word;/if ((word \& 0x7f000000u) == 0x7f000000u) return word;/' to_tf32/greatest
plant 2 "another swizzle" cuda/runtime/mma.h 's/(uint64_t)1 << 62/(uint64_t)(block > 1024 ? 2 : 1) << 62/' \
    wgmma_bf16/k.mn/128/places-of-B 'ended with status'
plant 2 "copies' groups in one" cuda/runtime/ptx.h 's/host_run::copy_wait(PENDING)/host_run::copy_wait(PENDING + (PENDING == 2))/' cp_async/groups

plant 3 "A's float32 rows in another order" cuda/gemm/gemm.cuh \
    's/row + lane % 16, k + lane \/ 16 \* 4/row + lane \/ 2, k + lane % 2 * 4/' ldmatrix/float32
plant 3 "A's float32 rows across in another order" cuda/gemm/gemm.cuh \
    's/row + lane \/ 4 + e % 2 \* 8, k + lane % 4 + e \/ 2 \* 4/row + lane \/ 4 + e \/ 2 * 8, k + lane % 4 + e % 2 * 4/' float32-across
plant 3 "rotated blocks in another order" cuda/gemm/products.cuh \
    's/int other_row = rows_first ? one : two/int other_row = rows_first ? two : one/' ldmatrix/bf16-rotated
plant 3 "blocks of mma.sync in another order" cuda/gemm/products.cuh \
    's/other_k = rows_first ? two : one/other_k = rows_first ? one : two/' ldmatrix/bf16
plant 3 "mma.sync's results in another order" cuda/runtime/mma.h \
    's/row = i \/ 4 + e \/ 2 \* 8, column = i % 4 \* 2 + e % 2/row = i \/ 4 + e % 2 * 8, column = i % 4 * 2 + e \/ 2/' mma_tf32/places-of-A
plant 3 "a launch that fails" card/single.h 's/launch(groups_kernel, 1, COPIES,/launch(groups_kernel, 1, 2048,/' \
    cp_async/groups 'a launch: '
plant 3 "another NaN" cuda/runtime/ptx.h 's/? 0x7fff$/? 0x7fc0/' to_bf16x2/infinite-and-NaN
plant 3 "numbers below the normal ones lost" cuda/runtime/ptx.h \
    's/return (word + 0x1000u) & 0xffffe000u;/return (word \& 0x7f800000u) == 0 ? 0 : (word + 0x1000u) \& 0xffffe000u;/' to_tf32/below-normal
plant 3 "a descriptor's blocks at another distance" cuda/runtime/mma.h 's/(block >> 4) << 16/(block >> 5) << 16/' \
    wgmma_bf16/k.mn/128/places-of-B
plant 3 "the rest of the columns from the first block" cuda/gemm/products.cuh \
    's/wgmma_further(right, WHOLE \/ 64 \* TileB::BLOCK)/right/' wgmma_bf16/k.mn/96/places-of-B
plant 3 "A's steps of k at another distance" cuda/gemm/products.cuh \
    's/left0, k \* (A_ACROSS ? 16 \* ROW_BYTES : 32)/left0, k * (A_ACROSS ? 16 * ROW_BYTES : 16)/' wgmma_bf16/k.k/64/places-of-A
plant 3 "TF32's A of the first step always" cuda/gemm/products.cuh 's/row, k \* 2 + lane \/ 16/row, lane \/ 16/' wgmma_tf32/64/places-of-A

plant 4 "pieces in each other's places" cuda/gemm/factors.cuh 's/((piece ^ line) & 7) \* 16/(piece \& 7) * 16/' \
    wgmma_bf16/mn.mn/64/places-of-A
plant 4 "products of what no proxy fence has followed" card/kernels.cuh 's/if (FENCE) fence_proxy_async();//' \
    loop/k.k/fenced 'ended with status'

plant 1 "a window's taps changed over" cuda/runtime/tma.h 's/host_run::copy_windows(to, map, b, map0, corner.w, corner.h, corner.image, tap_w,/host_run::copy_windows(to, map, b, map0, corner.w, corner.h, corner.image, tap_h + 0 * tap_w,/' \
    copy_windows/another-tap
plant 2 "a copy's column and row changed over" cuda/runtime/tma.h 's/host_run::copy_rows(to, map, b, column, row)/host_run::copy_rows(to, map, b, row, column)/' \
    copy_rows/edges
plant 3 "windows that end with the image" cuda/gemm/tensor_map.cu 's/(int)g->in_width - pad,/(int)g->in_width,/' \
    copy_windows/first-tap
plant 4 "a phase of the other parity" card/kernels.cuh 's/mbarrier_wait(full + stage, parity)/mbarrier_wait(full + stage, parity ^ 1)/' \
    mbarrier/phases
plant 5 "pieces of a tensor's rows not swapped" cuda-host/tensor.cc 's/at ^= (at >> 7 & 7) << 4;//' copy_rows/edges
plant 5 "a window's next row at another column" cuda-host/tensor.cc 's/corner\[0\] = t.lower\[0\];/corner[0] = 0;/' copy_windows/first-tap
plant 6 "numbers beyond a row's end" cuda-host/tensor.cc 's/from != nullptr && c.number + i < t.size\[0\]/from != nullptr/' copy_rows/edges
plant 6 "arrivals that are not counted" cuda-host/tensor.cc 's/p.missing--;/p.missing = 0;/' mbarrier/phases
plant 5 "A's transposition ignored" cuda-host/fibers.cc 's/begin({d, n, a, b, a_across, b_across, nullptr})/begin({d, n, a, b, false, b_across, nullptr})/' \
    wgmma_bf16/mn.k/64/places-of-A
plant 5 "TF32's registers in another order" cuda-host/fibers.cc 's/\[h + k \/ 4 \* 2\]/[h * 2 + k \/ 4]/' wgmma_tf32/64/places-of-A
plant 5 "a graph that does nothing the second time" cuda-host/runtime.cc \
    's/for (auto &operation : graph->operations) operation.run();/for (auto \&operation : graph->operations) operation.run(); graph->operations.clear();/' capture/replayed
plant 5 "rows between devices at another distance" cuda-host/runtime.cc \
    's/(char \*)to + i \* to_pitch/(char *)to + i * width/' capture/copy-between-devices

plant 6 "B's transposition ignored" cuda-host/fibers.cc 's/begin({d, n, a, b, a_across, b_across, nullptr})/begin({d, n, a, b, a_across, false, nullptr})/' \
    wgmma_bf16/k.mn/64/places-of-B
plant 6 "TF32's rows of B at another distance" cuda-host/fibers.cc \
    's/row \/ 8 \* ((f >> 32 & 0x3fff) << 4) + row % 8 \* 128/row % 8 * 128/' wgmma_tf32/48/places-of-B

plant 7 "wgmma's results in another order" cuda-host/fibers.cc 's/p.d\[j \* 4 + h \* 2 + e\]/p.d[j * 4 + e * 2 + h]/' \
    wgmma_bf16/k.k/32/places-of-A

# As many at a time as there are processors; those that compile most come first.
started=0
for round in $rounds; do
    (ask "$round" >"$work/$round.says" 2>&1 || touch "$work/$round.failed") &
    started=$((started + 1))
    test $((started % $(nproc))) != 0 || wait
done
wait
for round in $rounds; do
    test ! -e "$work/$round.failed" || { cat "$work/$round.says"; exit 1; }
done
echo "  check-probes: $(grep -c ^pass "$build/test/probes.out") pass, $count planted mistakes, all caught"
