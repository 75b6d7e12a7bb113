#!/bin/sh
# ImageNet's shape without ImageNet: a pack of 1000 classes of made-up pictures, and 100 steps of
# the recipe krizhevsky2012 at full size, killed in the middle and resumed. Shows memory, images a
# second, the share of the time that a step waited for the loader, and what 90 epochs of 1.28
# million pictures would take here.
# usage: dry-run.sh BUILD OUT
set -eu

bin=$1/examples
out=$2
steps=${STEPS:-100}
mkdir -p "$out"

if ! test -e "$out/pack/index.safetensors"; then
    "$bin/shapes" --out "$out/shapes" --per-class 500 --unseen 0
    # Any label will do: 4 pictures of each of 1000 classes.
    find "$out/shapes/train" -name '*.png' | sort |
        awk '{ printf "%s\tclass-%04d\n", $0, (NR - 1) % 1000 }' >"$out/list"
    "$bin/prepare" --kind "${KIND:-jpeg}" --list "$out/list" . "$out/pack"
    rm -r "$out/shapes"
fi

model=$out/dry-run.safetensors
rm -f "$model" "$model.csv"
: >"$out/log"
echo "1. $steps steps, killed after $((steps / 2))"
"$bin/train" --recipe krizhevsky2012 --save-every 20 --steps "$steps" --out "$model" \
    "$out/pack" >"$out/log" 2>&1 &
child=$!
steps_done() { # from the last line of progress: "epoch 2/91  step 5/32 ..."
    sed -n 's|^epoch \([0-9]*\)/[0-9]* *step \([0-9]*\)/\([0-9]*\) .*|\1 \2 \3|p' "$out/log" |
        tail -n 1 | awk '{ print ($1 - 1) * $3 + $2 } END { if (NR == 0) print 0 }'
}
while test "$(steps_done)" -lt $((steps / 2)) && kill -0 $child 2>/dev/null; do
    awk '/VmHWM/ { print "peak memory:", $2 / 1024, "MiB" }' "/proc/$child/status" \
        >"$out/memory" 2>/dev/null || true
    sleep 1
done
kill -KILL $child 2>/dev/null || true
wait $child 2>/dev/null || true
grep 'loss' "$out/log" | head -n 1
cat "$out/memory"
echo "2. resumed"
"$bin/train" --resume "$model" --steps "$steps" --out "$model" "$out/pack" >"$out/log2"
grep -E '^resumed|^after' "$out/log2"
awk '/^after/ { for (i = 1; i < NF; i++) if ($(i + 1) == "images/s,") rate = $i }
     END { printf "90 epochs of 1.28 million pictures would take %.0f days here\n",
           90 * 1.28e6 / rate / 86400 }' "$out/log2"
