#!/bin/sh
# Networks trained to accuracy on a card, from programs built for it: photographs, a folder for each
# class, if there are any; and the shapes of examples/demo.sh, made on the spot.
# usage: gpu_training.sh BUILD-FOLDER DEVICE [PHOTOGRAPHS]
# At its end, also if it is ended, a table: data, where, held-out top-1, seconds. What the CPU comes
# to is in docs/RESULTS.md, and for the shapes 0.9375.
set -eu

bin=$1/examples
device=$2
photographs=${3:-}
memory=/dev/shm # checkpoints of hundreds of megabytes, one for each epoch
test -w $memory || memory=${TMPDIR:-/tmp}
work=$(mktemp -d "$memory/alexnet.XXXXXX")
table() {
    printf '\n| data | where | held-out top-1 | seconds |\n|---|---|---|---|\n'
    cat "$work/table"
    rm -rf "$work"
}
trap table EXIT
trap 'exit 1' HUP INT TERM
: >"$work/table"
workers=$(($(nproc) > 3 ? $(nproc) - 2 : 1))

# trained DATA NAME PACK OPTIONS...: a row of the table.
trained() {
    data=$1 name=$2 pack=$3
    shift 3
    rm -f "$work"/model*
    begun=$(date +%s.%N)
    if "$bin/train" --workers $workers "$@" --out "$work/model" "$pack" >"$work/out" 2>&1; then
        ended=$(date +%s.%N)
        # The last line of the table: held-out top-1.
        row=$(tail -n 1 "$work/model.csv" | cut -d, -f1,3-7)
        echo "| $data | $name | $(echo "$row" | cut -d, -f5) | $(echo "$ended $begun" |
            awk '{ printf "%.1f", $1 - $2 }') |" >>"$work/table"
        echo "$data, $name: epoch, losses, top-1, held out: $row"
        tail -n 3 "$work/out"
        cut -d, -f1,3-7 "$work/model.csv" | awk 'NR == 1 || NR % 6 == 2'
    else
        echo "$data, $name: FAILED"
        tail -n 5 "$work/out"
        failed=1
    fi
}

failed=0
if test -n "$photographs"; then
    "$bin/prepare" --kind jpeg --val-split 0.2 "$photographs" "$work/photographs" >/dev/null
    for precision in bf16 fp32; do
        trained photographs "$device $precision" "$work/photographs" --recipe small-data \
            --device "$device" --precision $precision
    done
fi
"$bin/shapes" --out "$work" --per-class 240 --seed 1 >/dev/null
"$bin/prepare" --val-split 0.2 "$work/train" "$work/pack" >/dev/null
for precision in bf16 fp32; do
    trained shapes "$device $precision" "$work/pack" --recipe small-data --arch paper --width 0.25 \
        --init he --batch 16 --lr 0.002 --colour 0 --no-dropout --epochs 12 --drop-at 9,11 \
        --device "$device" --precision $precision
done
exit $failed
