#!/bin/sh
# Everything that a card must be asked, in one call, to one file; the last lines are a summary.
# It refuses to pass where no card answers.
# usage: gpu.sh [-t SECONDS] [-o STAGE,...] [-d PHOTOGRAPHS] [-n] [FOLDER [RESULT]]
#
# FOLDER has the programs: a build folder, or what `make card-bundle` packs; without one, where this
# script lies in such a bundle, else build. -t: for all stages together (480). -o: these alone.
# -d: photographs, a folder for each class, to train on. -n: a rehearsal with the double of
# CUDA's runtime in the card's place, which measures nothing, and has five times as long for each
# stage: give it -t 1500.
#
# The stages, each within a time of its own, the most important first; one that fails or hangs is
# ended and hides no later one:
#   facts       the machine
#   probes      each instruction alone
#   ops         every operation against the reference, in one process; after a fault, in many
#   nets        networks trained beside the CPU's; two towers on one card
#   bench       forward, training and each kernel, in each precision
#   torch       beside PyTorch
#   pipeline    from a pack to the end of a step
#   training    to accuracy
#   examples    the example programs, on two towers of one card
#   sanitizer   memcheck, racecheck and synccheck of some operations
set -u

limit=480 only= photographs= rehearsal=
while getopts t:o:d:n option; do
    case $option in
    t) limit=$OPTARG ;;
    o) only=,$OPTARG, ;;
    d) photographs=$OPTARG ;;
    n) rehearsal=1 ;;
    *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
here=$(dirname "$(realpath "$0")")
folder=${1:-$(test -e "$here/../libalexnet.so.1" && echo "$here/.." || echo build)}
folder=$(realpath "$folder") || exit 2
result=${2:-$folder/gpu.txt}
bin=$folder/examples
check=$folder/test/check
plugin=$folder/alexnet-cuda.so
probes=$folder/test/probes
bench=$bin/bench
alone= # of the double: kernels are launched and do nothing
test -z "$rehearsal" || alone="env HOST_RUN_COUNT=1" bench="env HOST_RUN_COUNT=1 $bench"
test -z "$rehearsal" || plugin=$folder/test/alexnet-cuda-host.so probes=$folder/test/probes-host
export ALEXNET_PLUGIN="$plugin"
PATH=$PATH:/usr/local/cuda/bin # CUDA's tools, if they are not on it
began=$(date +%s)
ends=$((began + limit))
work=$(mktemp -d)
watcher=
trap 'test -z "$watcher" || kill "$watcher" 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
: >"$result" || exit 2
: >"$work/stages"
: >"$work/wrong"

say() { echo "$*" | tee -a "$result"; }
wanted() { case ${only:-,$1,} in *,$1,*) return 0 ;; *) return 1 ;; esac }
wrong() { echo "$*" >>"$work/wrong"; }

# stage NAME SECONDS COMMAND...: its output to the result, how it ended to the screen and the
# summary. Its exit status is that of the command.
stage() {
    name=$1 seconds=$2
    shift 2
    left=$((ends - $(date +%s)))
    if test $left -lt 8; then
        say "== $name: LEFT OUT, no time is left" | tee -a "$work/stages"
        return 1
    fi
    test -z "$rehearsal" || seconds=$((5 * seconds)) # the double is slow
    test $left -ge "$seconds" || seconds=$left
    echo "== $name" >>"$result"
    since=$(date +%s)
    code=0
    # A stage's processes are a group of their own, and all of it is ended.
    before=$(stat -c %s "$result")
    timeout -k 5 "$seconds" "$@" >>"$result" 2>&1 </dev/null || code=$?
    tail -c +$((before + 1)) "$result" >"$work/out"
    case $code in
    0) verdict=ok ;;
    124 | 137) verdict="FAILED, not done after $seconds seconds" ;;
    *) verdict="FAILED ($code)" ;;
    esac
    say "== $name: $verdict, $(($(date +%s) - since)) s" | tee -a "$work/stages"
    if test $code != 0; then
        wrong "$name: $verdict"
        grep -av '^fact' "$work/out" | grep -aE 'FAIL|rror|off by|not recorded' | head -n 8 |
            cut -c 1-300 >>"$work/wrong"
    fi
    return $code
}

# tests NAME SECONDS FORK VARIABLE=VALUE...: tests of test/check, noted one by one as they end.
tests() {
    name=$1 seconds=$2 fork=$3
    shift 3
    tap=$work/tap.$(echo "$name" | tr ' ,' '__').$fork
    code=0
    stage "$name" "$seconds" env CK_FORK="$fork" CK_TAP_LOG_FILE_NAME="$tap" AN_TEST_CARD="$plugin" \
        AN_TEST_CARD_ALONE=1 "$@" "$check" || code=$?
    good=$(grep -c '^ok' "$tap" 2>/dev/null) || good=0
    bad=$(grep -c '^not ok' "$tap" 2>/dev/null) || bad=0
    say "   $name: $good passed, $bad failed" | tee -a "$work/stages"
    grep '^not ok' "$tap" 2>/dev/null | tee -a "$result" | head -n 12 | cut -c 1-300 >>"$work/wrong"
    return $code
}

# Is there something to ask?
card=
if ! devices=$("$bin/info" --devices 2>&1); then
    say "the programs do not run here: $devices"
    exit 1
fi
card=$(echo "$devices" | grep '^cuda:0')
case $card in
'') say "no card answers: $("$bin/bench" --device cuda:0 --arch cifar10 --batch 1 2>&1 | tail -n 1)"; exit 1 ;;
*double*) test -n "$rehearsal" || { say "this is the test double, no card"; exit 1; } ;;
esac
say "$(date -u +%Y-%m-%d) $card"
if command -v nvidia-smi >/dev/null; then
    # Clocks and load every other second; it also keeps the driver up between programs.
    nvidia-smi dmon -s puc -d 2 >"$work/dmon" 2>&1 </dev/null &
    watcher=$!
fi

if wanted facts; then
    stage facts 30 sh -c 'uname -srm; nproc; "$1/info" | head -n 1
        nvidia-smi --query-gpu=name,driver_version,clocks.max.sm,clocks.max.mem,memory.total,power.limit \
            --format=csv,noheader
        nvidia-smi | grep -i "cuda version"; nvcc --version | tail -n 2
        ldd --version | head -n 1; "$1/info" --devices' facts "$bin"
fi
if wanted probes; then
    if test -x "$probes"; then
        stage probes 45 "$probes"
    else
        say "== probes: left out, there is no $probes" | tee -a "$work/stages"
    fi
fi
if wanted ops; then
    # A fault of one kernel ends the device for the process: then each has its own.
    tests ops 90 no CK_RUN_SUITE=ops || {
        if test $code -gt 1 || grep -q 'is lost\|an illegal\|unspecified' "$work/out"; then
            tests "ops, each alone" 90 yes CK_RUN_SUITE=ops
        fi
    }
fi
wanted nets && tests nets 60 no CK_RUN_CASE=card
if wanted bench; then
    for arch in paper torchvision; do
        stage "bench $arch bf16" 30 $bench --device cuda:0 --precision bf16 --arch $arch \
            --batch 1,128,1024 --runs 50 --layers
    done
    for precision in tf32 fp32 tf32x3; do
        stage "bench torchvision $precision" 30 $bench --device cuda:0 --arch torchvision \
            --precision $precision --batch 1,128,1024 --runs 20 --layers
    done
    stage "bench two towers on one card" 15 $bench --device cuda:0,cuda:0 \
        --precision bf16 --batch 128 --runs 20
fi
if wanted torch; then
    if python3 -c 'import torch' 2>"$work/out"; then
        stage "beside PyTorch" 165 python3 -u "$here/bench_card.py" "$folder" --rounds 3 \
            --device cuda:0 --seconds 150
        cp "$work/out" "$work/torch"
    else
        say "== beside PyTorch: left out, $(tail -n 1 "$work/out")" | tee -a "$work/stages"
    fi
fi
if wanted pipeline; then
    # shellcheck disable=SC2016
    stage pipeline 60 sh -c '"$1/shapes" --out "$2" --per-class 120 --size 256 >/dev/null &&
        "$1/prepare" --kind raw "$2/train" "$2/pack" >/dev/null && shift 2 && exec "$@"' \
        pipeline "$bin" "$work/pipeline" $bench --device cuda:0 --precision bf16 \
        --arch torchvision --pipeline "$work/pipeline/pack"
    grep -a '^pipeline\|whole way' "$work/out" >"$work/rates"
fi
if wanted training; then
    stage training 140 $alone sh "$here/gpu_training.sh" "$folder" cuda:0 $photographs
    cp "$work/out" "$work/training"
fi
wanted examples && stage examples 45 sh "$here/cuda_examples.sh" "$folder" "$plugin" cuda:0,cuda:0
if wanted sanitizer; then
    if command -v compute-sanitizer >/dev/null; then
        # racecheck takes too long for products of any size.
        for tool in memcheck:dense synccheck:dense racecheck:others; do
            stage "compute-sanitizer $tool" 40 env CK_FORK=no CK_RUN_CASE=${tool#*:} \
                CK_RUN_SUITE=ops AN_TEST_CARD="$plugin" AN_TEST_CARD_ALONE=1 \
                compute-sanitizer --tool "${tool%:*}" --error-exitcode 9 "$check"
        done
    else
        say "== compute-sanitizer: left out, it is not here" | tee -a "$work/stages"
    fi
fi
if test -n "$watcher"; then
    kill "$watcher" 2>/dev/null
    echo "== clocks" >>"$result"
    cat "$work/dmon" >>"$result"
fi

# The summary: what is wrong first, then the tables.
{
    echo "== summary: $card, $(($(date +%s) - began)) s"
    if test -s "$work/wrong"; then
        echo "WRONG:"
        head -n 24 "$work/wrong"
    else
        echo "nothing is wrong in what was asked"
    fi
    cat "$work/stages"
    cat "$work/rates" 2>/dev/null
    grep -a '^|' "$work/training" 2>/dev/null
    sed -n '/^PyTorch /,$p' "$work/torch" 2>/dev/null
} | tee -a "$result"
test ! -s "$work/wrong"
