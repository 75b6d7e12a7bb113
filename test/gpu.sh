#!/bin/sh
# Everything that a card must be asked, in one call of less than ten minutes, to one file.
# It refuses to pass where no card answers.
# usage: gpu.sh [BUILD-FOLDER [RESULT-FILE]]
#
# BUILD-FOLDER (build) holds test/check, test/alexnet-cuda-host.so and the examples, built here
# or brought along; AN_LIBS may name a folder with shared libraries that they need. The plugin is
# compiled here if nvcc is here. Beside PyTorch the last part compares the two.
set -u

build=${1:-build}
result=${2:-$build/gpu.txt}
plugin=$(realpath "$build")/alexnet-cuda.so
LD_LIBRARY_PATH=$(realpath "$build")${AN_LIBS:+:$AN_LIBS}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH
failed=0
ends=$(($(date +%s) + 570))
: >"$result"
say() { echo "$*" | tee -a "$result"; }

# part NAME SECONDS COMMAND...: its output to the result, what became of it to the screen as well.
# What has no time left is left out, and is no success.
part() {
    name=$1 limit=$2
    shift 2
    left=$((ends - $(date +%s)))
    test $left -ge 10 || { say "== $name: LEFT OUT, no time is left"; failed=1; return; }
    test $left -ge "$limit" || limit=$left
    say "== $name"
    code=0
    timeout -s KILL "$limit" "$@" >>"$result" 2>&1 || code=$?
    case $code in
    0) say "== $name: ok" ;;
    137) say "== $name: FAILED, not done after $limit seconds"; failed=1 ;;
    *) say "== $name: FAILED ($code)"; failed=1 ;;
    esac
}

if command -v nvcc >/dev/null || test -x /usr/local/cuda/bin/nvcc; then
    # The objects that are no part of it are not looked at: they may be from elsewhere.
    make BUILD="$build" "$build/alexnet-cuda.so" >>"$result" 2>&1 ||
        { say "the plugin does not build: see $result"; exit 1; }
fi
test -f "$plugin" || { say "there is no $plugin"; exit 1; }
export ALEXNET_CUDA_PLUGIN="$plugin" AN_TEST_CARD="$plugin"
card=$("$build/examples/info" --devices 2>>"$result" | grep '^cuda:0')
case $card in
'') say "no card answers: nothing was tested"; exit 1 ;;
*double*) say "this is the test double, no card: nothing was tested"; exit 1 ;;
esac
say "$(date -u +%Y-%m-%d) $card"
nvidia-smi --query-gpu=name,driver_version,clocks.max.sm,memory.total --format=csv,noheader \
    >>"$result" 2>&1
say "$("$build/examples/info" 2>/dev/null | head -n 1)"

# The most important first: what is right, how fast, and only then what the sanitizer says.
part "every operation against the reference" 90 env CK_RUN_SUITE=ops AN_TEST_CARD_ALONE=1 \
    "$build/test/check"
part "whole networks, training, two towers on one card" 120 env CK_RUN_CASE=card "$build/test/check"
part "the example programs" 60 sh test/cuda_examples.sh "$build" "$plugin" cuda:0,cuda:0
for precision in bf16 tf32 fp32 tf32x3; do
    part "benchmark, $precision" 40 "$build/examples/bench" --device cuda:0 \
        --precision $precision --batch 1,32,128,512,1024 --layers
done
part "benchmark, two towers on one card" 20 "$build/examples/bench" --device cuda:0,cuda:0 \
    --precision bf16 --batch 128
if python3 -c 'import torch' 2>/dev/null; then
    part "beside PyTorch" 200 python3 test/bench_card.py "$build" --rounds 3 --device cuda:0 \
        --seconds 180
else
    say "== beside PyTorch: left out, it is not here"
fi
if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck synccheck; do
        part "compute-sanitizer: $tool" 60 env CK_FORK=no CK_RUN_SUITE=ops AN_TEST_CARD_ALONE=1 \
            compute-sanitizer --tool "$tool" --error-exitcode 9 "$build/test/check"
    done
else
    say "== compute-sanitizer: left out, it is not here"
fi
if [ $failed = 0 ]; then say "all parts passed"; else say "some parts FAILED"; fi
exit $failed
