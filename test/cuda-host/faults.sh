#!/bin/sh
# Plants mistakes, one at a time, in a copy of cuda/, builds the host run with it, and wants the
# tests to turn red: a test that never fails proves nothing.
# usage: HOSTOBJ="OBJECT..." faults.sh BUILD-FOLDER SANITIZERS C++-COMMAND...
set -eu

build=$(realpath "$1")
sanitizers=$2
shift 2
work=$build/faults
rm -rf "$work"
mkdir -p "$work"
say() { echo "  check-faults: $*"; }
count=0
root=$(pwd)
compile="$* -x c++ -O1 -g -Wno-psabi -I$root/include -I$root/lib -I$root/test/cuda-host"
link="$* -shared -pthread"

# try FOLDER NAME FILE 's/right/wrong/' CASES UNITS...
try() {
    at=$1 file=$3 edit=$4 cases=$5
    shift 5
    mkdir -p "$at"
    cp -r cuda "$at/cuda"
    file=$(find cuda -name "$file")
    sed -i "$edit" "$at/$file"
    if cmp -s "$file" "$at/$file"; then
        echo "nothing was planted; has $file changed?"
        return 1
    fi
    objects=$(echo "$HOSTOBJ" | tr ' ' '\n')
    for unit in "$@"; do
        $compile "-I$at/cuda" -c "$at/$(find cuda -name "$unit.cu")" -o "$at/$unit.o" || return 1
        objects=$(echo "$objects" | grep -v "/$unit.o"; echo "$at/$unit.o")
    done
    # shellcheck disable=SC2086
    $link $objects -o "$at/plugin.so" || return 1
    if TSAN_OPTIONS=halt_on_error=1:${TSAN_OPTIONS:-} AN_TEST_HOST_RUN=$at/plugin.so \
        CK_FORK=no CK_RUN_CASE="$cases" timeout -s KILL 300 "$build/test/check" \
        >"$at/out" 2>&1; then
        echo "NOT caught by the cases: $cases"
        return 1
    fi
    how=$(grep -m 1 -oE \
        'data race|AddressSanitizer: [a-z-]+|off by|wait for each other|host run: [a-zA-Z0-9 -]+|corrupted|Segmentation fault' \
        "$at/out" || grep -m 1 -E ':[FE]:' "$at/out" | sed 's/.*: //' | cut -c 1-60)
    test -n "$how" || { echo "red, but why?"; cat "$at/out"; return 1; }
    echo "caught ($how)"
}

# plant NAME FILE 's/right/wrong/' CASES UNITS...: UNITS are the files to compile anew. As many
# at a time as there are processors.
names=
plant() {
    # Whole networks take long, and what every case sees need not be planted each time.
    case $1:$4 in
    *:"whole networks" | *"in another order"* | *"other places"* | *"'s places"* | *"at another distance"*)
        test -n "${AN_LONG:-}" || return 0 ;;
    esac
    count=$((count + 1))
    names="$names$1
"
    (try "$work/$count" "$@" >"$work/$count.says" 2>&1 || touch "$work/$count.failed") &
    test $((count % $(nproc))) != 0 || wait
}

plant "a barrier between a step's loads and its products missing" gemm.cuh \
    '/num_steps\|has arrived/,/__syncthreads/{/__syncthreads/d}' convolutions gemm_fp32 gemm_tf32
plant "a barrier between a bfloat16 step's loads and its products missing" wgmma.cuh \
    's/__syncthreads(); .* step s has arrived for all .*//' convolutions bf16_forward
plant "a bfloat16 stage refilled before all have read it" wgmma.cuh \
    's/if (Sums::OVERLAPS) __syncthreads();//' convolutions bf16_forward
case $sanitizers in
*thread*)
    plant "a barrier before a bias's partial sums are added missing" conv_weights.cu \
        '/put_elements(sums +/,/__syncthreads/{/__syncthreads/d}' convolutions conv_weights
    plant "a stage refilled while it is read" gemm.cuh \
        's/tiles + (s + STAGES - 1) % STAGES \* STAGE/tiles + s % STAGES * STAGE/' convolutions gemm_fp32
    ;;
*address*)
    plant "a store beyond the last row" gemm.cuh \
        's/if (m >= g.m || n >= g.n) return;/if (n >= g.n) return;/' convolutions gemm_fp32
    plant "a window beyond the lower edge" argmax.h \
        's/first + kernel < size ? first + kernel : size/first + kernel/' others pool
    plant "a bfloat16 store beyond the last row" wgmma.cuh \
        's/if (m >= g.m || n >= g.n) continue;/if (n >= g.n) continue;/' convolutions bf16_forward
    ;;
*)
    plant "a stage refilled while it is read" gemm.cuh \
        's/tiles + (s + STAGES - 1) % STAGES \* STAGE/tiles + s % STAGES * STAGE/' convolutions \
        gemm_fp32
    plant "one group too few waited for" gemm.cuh \
        's/cp_async_wait<STAGES - 2>/cp_async_wait<STAGES - 1>/' convolutions gemm_fp32
    plant "a barrier before a bias's partial sums are added missing" conv_weights.cu \
        '/put_elements(sums +/,/__syncthreads/{/__syncthreads/d}' convolutions conv_weights
    plant "a barrier within normalisation missing" lrn.cu \
        '/x\[i\] = get_element(from + base + i);/,/__syncthreads/{/__syncthreads/d}' others lrn
    plant "a barrier before neighbours' terms are read missing" lrn.cu \
        '/mine\[2 \* REACH \* j + REACH + i\] =/,/__syncthreads/{/__syncthreads/d}' others lrn
    plant "a mask of a window's other places" argmax.h 's/1u << (r \* 4/2u << (r * 4/' others pool lrn
    plant "products of what no proxy fence has followed" wgmma.cuh \
        's/if (Sums::ASYNC) fence_proxy_async();//' convolutions bf16_forward
    plant "a bfloat16 factor's blocks at another distance" products.cuh \
        's/B_ACROSS ? TileB::BLOCK : 16/B_ACROSS ? 1024 : 16/' dense bf16_data
    plant "pieces of a bfloat16 tile in each other's places" factors.cuh \
        's/((piece ^ line) & 7) \* 16/(piece \& 7) * 16/' convolutions bf16_forward
    plant "an arrival at an empty stage missing" pipeline.cuh \
        's/if (step > t.first && speaks) mbarrier_arrive(empty + turn.before());//' convolutions pipeline_forward
    plant "a stage given back while it is multiplied" pipeline.cuh \
        's/if (step > t.first && speaks) mbarrier_arrive(empty + turn.before());/if (speaks) mbarrier_arrive(empty + turn.stage);/; s/if (t.end > t.first && speaks) .*//' \
        convolutions pipeline_weights
    plant "a stage's bytes miscounted" pipeline.cuh \
        's/mbarrier_expect(full, LEFT_BYTES + RIGHT_BYTES)/mbarrier_expect(full, LEFT_BYTES)/' convolutions pipeline_forward
    plant "bytes counted of boxes that are not copied" pipeline.cuh \
        's/boxes \* BOX_BYTES + /WARPGROUPS * BOX_BYTES + /' convolutions pipeline_weights
    plant "a full stage waited for in the phase before" pipeline.cuh \
        's/mbarrier_wait(full + turn.stage, turn.parity)/mbarrier_wait(full + turn.stage, turn.parity ^ 1)/' \
        convolutions pipeline_forward
    plant "an empty stage not waited for" pipeline.cuh 's/mbarrier_wait(empty + .*//' convolutions pipeline_weights
    plant "the last step of a tile not given back" pipeline.cuh \
        's/if (t.end > t.first && speaks) mbarrier_arrive(empty + turn.before());//' convolutions pipeline_weights
    plant "a bias's pixels looked for in each other's places" pipeline.cuh \
        's/(piece ^ pixel % 8) \* 16/piece * 16/' convolutions pipeline_weights
    plant "tiles that add the same pixels to biases" pipeline.cuh \
        's/due += p.down;/due++;/' convolutions pipeline_weights
    plant "a dense layer's blocks of columns all the first" pipeline.cuh \
        's/this->row + i \* 64, step \* STEP/this->row, step * STEP/' dense pipeline_forward
    plant "eights of four lanes changed over" pipeline.cuh \
        's/lane \& bit ? low : high, bit)/lane \& bit ? high : low, bit)/' convolutions pipeline_forward
    plant "factors of TF32 dropped while their products are in flight" products.cuh \
        '/struct an_products_wgmma_tf32/,/^};/{/wgmma_wait<0>/d}' convolutions wgmma_tf32
    plant "a factor not rounded to TF32" products.cuh \
        's/left\[k\]\[e\] = to_tf32(left\[k\]\[e\])/(void)0/' convolutions wgmma_tf32
    plant "a kernel not rotated for the data's gradient" conv_pack.cu \
        's/t.taps + t.taps - 1 - tap/t.taps + tap/' convolutions conv_pack
    plant "rotated blocks of mma.sync in another order" products.cuh \
        's/int other_row = rows_first ? one : two/int other_row = rows_first ? two : one/' convolutions bf16_data
    plant "an update in spite of faults" wgmma.cuh \
        's/if (PRODUCT == AN_WEIGHTS && stays(g)) return;//' dense bf16_weights
    plant "the mask of another element" epilogue.h 's/f.x + at) > 0/f.x + at + 1) > 0/' convolutions bf16_data
    plant "a square's pixels in each other's places" space_to_depth.h 's/in_y \* f.side + in_x/in_x * f.side + in_y/' convolutions queue
    plant "fragments of A in another order" gemm.cuh \
        's/row + lane % 16, k + lane \/ 16 \* 4/row + lane \/ 2, k + lane % 2 * 4/' convolutions gemm_tf32
    plant "sums of three products left to tensor cores" gemm.cuh \
        's/float part\[4\] = {0, 0, 0, 0};/float (\&part)[4] = sum;/; s/sum\[e\] += part\[e\];/(void)e;/' \
        convolutions gemm_tf32x3
    plant "half of a warp at an instruction of all" gemm.cuh \
        's/ldmatrix4<false>(r, tile + at(row + lane % 16/if (lane % 2) &/' convolutions gemm_tf32
    plant "more shared memory than was asked for" gemm.cuh 's/(int)tiles::BYTES/49152/' convolutions gemm_fp32
    plant "vectors where elements are not aligned" gemm.cuh \
        's/bool in = .*/bool in = true;/' convolutions gemm_fp32
    plant "direct copies between devices that are no peers" exchange.cu \
        's/bool direct = .*/bool direct = true;/' 'whole networks' exchange
    plant "an event of before waited for within a recording" exchange.cu \
        's/if (status == AN_OK) status = begin_anew(q);//' 'whole networks' exchange
    plant "the towers' outputs changed over" conv.cu \
        's/g.a = conv_address(s, x, half \* x_half(&g));/g.a = conv_address(s, x, (s->halves - 1 - half) * x_half(\&g));/' 'whole networks' conv
    plant "the event of an arrival dropped" exchange.cu \
        '/wait(q, q->stream, q->arrived)/d' 'whole networks' exchange
    plant "the event of what was lent dropped" exchange.cu \
        '/wait(q, q->stream, q->lent)/d' 'whole networks' exchange
    plant "what is lent written over by a copy at home" exchange.cu \
        's/return !q->lending || .*/return true;/' 'whole networks' exchange
    plant "the event of what is to be sent dropped" exchange.cu \
        '/AN_CUDA_TRY(wait(to_queue, to_queue->copy, ready))/d' 'whole networks' exchange
    plant "a receive buffer used again too soon" exchange.cu \
        '/wait(to_queue, to_queue->copy, to_queue->landed)/d' 'whole networks' exchange
    plant "a peer's gradient sent before it is computed" conv.cu \
        's/if (g.splits > 1) g.parts = /if (s->halves == 2 \&\& i == 0) AN_CUDA_TRY(an__cuda_early(q, g.c)); &/; s/if (s->halves == 2 && i == 0) AN_CUDA_TRY(an__cuda_early(q, g.c));$//' \
        'whole networks' conv
    ;;
esac
wait
i=0
echo "$names" | while read -r name; do
    i=$((i + 1))
    test -z "$name" || say "$name: $(cat "$work/$i.says")"
done
for failed in "$work"/*.failed; do
    test ! -e "$failed" || exit 1
done
say "$count planted mistakes, all caught"
