#!/bin/sh
# Plants mistakes, one at a time, in a copy of cuda/, builds the host run with it, and wants the
# tests to turn red: a test that never fails proves nothing.
# usage: faults.sh BUILD-FOLDER SANITIZERS C++-COMMAND...
set -eu

build=$(realpath "$1")
sanitizers=$2
shift 2
work=$build/faults
rm -rf "$work"
mkdir -p "$work"
say() { echo "  check-faults: $*"; }
count=0

# plant NAME FILE 's/right/wrong/' SUITE UNITS...: UNITS are the files to compile anew.
plant() {
    name=$1 file=$2 edit=$3 suite=$4
    shift 4
    # Whole networks take long: with AN_LONG alone.
    test "$suite" != cuda || test -n "${AN_LONG:-}" || return 0
    rm -rf "$work/cuda"
    cp -r cuda "$work/cuda"
    sed -i "$edit" "$work/cuda/$file"
    if cmp -s "cuda/$file" "$work/cuda/$file"; then
        say "$name: nothing was planted; has $file changed?"
        exit 1
    fi
    case $suite in # without the network at full size, which takes a minute
    cuda) cases="whole networks" ;;
    *) cases="against the reference" ;;
    esac
    objects=$(ls "$build"/cuda-host/*.o)
    for unit in "$@"; do
        (cd "$work" && $compile "$work/cuda/$unit.cu" -o "$work/$unit.o") &
        objects=$(echo "$objects" | grep -v "/$unit.o"; echo "$work/$unit.o")
    done
    wait
    # shellcheck disable=SC2086
    $link $objects -o "$work/plugin.so"
    code=0
    TSAN_OPTIONS=halt_on_error=1:${TSAN_OPTIONS:-} \
        AN_TEST_HOST_RUN=$work/plugin.so CK_FORK=no CK_RUN_SUITE=$suite CK_RUN_CASE="$cases" \
        timeout -s KILL 300 "$build/test/check" >"$work/out" 2>&1 || code=$?
    if [ $code = 0 ]; then
        say "$name: NOT caught by the suite $suite"
        exit 1
    fi
    how=$(grep -m 1 -oE \
        'data race|AddressSanitizer: [a-z-]+|off by|wait for each other|host run: [a-z -]+|corrupted|Segmentation fault' \
        "$work/out" || grep -m 1 -E ':[FE]:' "$work/out" | sed 's/.*: //' | cut -c 1-60)
    test -n "$how" || { say "$name: red, but why?"; cat "$work/out"; exit 1; }
    say "$name: caught ($how)"
    count=$((count + 1))
}
root=$(pwd)
compile="$* -x c++ -O1 -g -I$root/include -I$root/lib -I$work/cuda -I$root/test/cuda-host -c"
link="$* -shared -pthread"

plant "a barrier between a step's loads and its products missing" gemm.cuh \
    '/num_steps\|has arrived/,/__syncthreads/{/__syncthreads/d}' ops gemm_fp32 gemm_tf32
plant "a barrier between a narrow step's loads and its products missing" narrow.cuh \
    's/__syncthreads(); .* step s has arrived for all .*//' ops narrow_forward
plant "a narrow stage refilled before all have read it" narrow.cuh \
    's/if (Sums::ASYNC) __syncthreads();//' ops narrow_forward
case $sanitizers in
*thread*)
    plant "a barrier before a bias's partial sums are added missing" conv.cu \
        '/put_numbers(sums +/,/__syncthreads/{/__syncthreads/d}' ops conv
    plant "a stage refilled while it is read" gemm.cuh \
        's/tiles + (s + STAGES - 1) % STAGES \* STAGE/tiles + s % STAGES * STAGE/' ops gemm_fp32
    ;;
*address*)
    plant "a store beyond the last row" gemm.cuh \
        's/if (m >= g.m || n >= g.n) return;/if (n >= g.n) return;/' ops gemm_fp32
    plant "a window beyond the lower edge" marks.h \
        's/first + kernel < size ? first + kernel : size/first + kernel/' ops pool
    plant "a narrow store beyond the last row" narrow.cuh \
        's/if (m >= g.m || n >= g.n) continue;/if (n >= g.n) continue;/' ops narrow_data
    ;;
*)
    plant "a stage refilled while it is read" gemm.cuh \
        's/tiles + (s + STAGES - 1) % STAGES \* STAGE/tiles + s % STAGES * STAGE/' ops \
        gemm_fp32
    plant "one group too few waited for" gemm.cuh \
        's/cp_async_wait<STAGES - 2>/cp_async_wait<STAGES - 1>/' ops gemm_fp32
    plant "a barrier before a bias's partial sums are added missing" conv.cu \
        '/put_numbers(sums +/,/__syncthreads/{/__syncthreads/d}' ops conv
    plant "a barrier within normalisation missing" lrn.cu \
        '/x\[i\] = get_number(from + base + i);/,/__syncthreads/{/__syncthreads/d}' ops lrn
    plant "a barrier between normalised maps and their pooling missing" lrn.cu \
        '/put_numbers(normal +/,/__syncthreads/{/__syncthreads/d}' ops lrn
    plant "marks of a window's other places" marks.h 's/1u << place/2u << place/' ops pool lrn
    plant "products of what no proxy fence has followed" narrow.cuh \
        's/if (Sums::ASYNC) fence_proxy_async();//' ops narrow_forward
    plant "a narrow factor's blocks at another distance" narrow.cuh \
        's/B_ACROSS ? TileB::BLOCK : 16/B_ACROSS ? 1024 : 16/' ops narrow_data
    plant "pieces of a narrow tile in each other's places" narrow.cuh \
        's/((piece ^ line) & 7) \* 16/(piece \& 7) * 16/' ops narrow_forward
    plant "turned blocks of mma.sync in another order" narrow.cuh \
        's/int other_row = rows_first ? one : two/int other_row = rows_first ? two : one/' ops narrow_data
    plant "an update in spite of faults" narrow.cuh \
        's/if (PRODUCT == AN_WEIGHTS && stays(g)) return;//' ops narrow_weights
    plant "the mask of another number" finish.h 's/f.x + at) > 0/f.x + at + 1) > 0/' ops narrow_data
    plant "a form's pixels in each other's places" form.h 's/in_y \* f.side + in_x/in_x * f.side + in_y/' ops queue
    plant "fragments of A in another order" gemm.cuh \
        's/row + lane % 16, k + lane \/ 16 \* 4/row + lane \/ 2, k + lane % 2 * 4/' ops gemm_tf32
    plant "half of a warp at an instruction of all" gemm.cuh \
        's/ldmatrix4<false>(r, tile + at(row + lane % 16/if (lane % 2) &/' ops gemm_tf32
    plant "more shared memory than was asked for" gemm.cuh 's/(int)bytes/49152/' ops gemm_fp32
    plant "vectors where numbers are not aligned" gemm.cuh \
        's/bool vector = .*/bool vector = true;/' ops gemm_fp32
    plant "direct copies between devices that are no peers" exchange.cu \
        's/bool direct = .*/bool direct = true;/' cuda exchange
    plant "an event of before waited for within a recording" exchange.cu \
        's/if (status == AN_OK) status = begin_anew(q);//' cuda exchange
    plant "the towers' outputs changed over" conv.cu \
        's/g.a = beyond(s, x, slab \* x_slab(&g));/g.a = beyond(s, x, (s->slabs - 1 - slab) * x_slab(\&g));/' cuda conv
    plant "the event of an arrival dropped" exchange.cu \
        '/wait(q, q->stream, q->arrived)/d' cuda exchange
    plant "the event of what was lent dropped" exchange.cu \
        '/wait(q, q->stream, q->lent)/d' cuda exchange
    plant "what is lent written over by a copy at home" exchange.cu \
        's/return !q->lending || .*/return true;/' cuda exchange
    plant "the event of what is to be sent dropped" exchange.cu \
        '/AN_CUDA_TRY(wait(to_queue, to_queue->copy, ready))/d' cuda exchange
    plant "a landing place used again too soon" exchange.cu \
        '/wait(to_queue, to_queue->copy, to_queue->landed)/d' cuda exchange
    plant "a peer's gradient sent before it is computed" conv.cu \
        's/AN_CUDA_TRY(product(q, s->precision, AN_DATA, &g));/if (s->slabs == 2 \&\& i == 0) AN_CUDA_TRY(an__cuda_early(q, g.c)); AN_CUDA_TRY(product(q, s->precision, AN_DATA, \&g));/; s/if (s->slabs == 2 && i == 0) AN_CUDA_TRY(an__cuda_early(q, g.c));$//' \
        cuda conv
    ;;
esac
say "$count planted mistakes, all caught"
