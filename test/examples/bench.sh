#!/bin/sh
# bench over a pack: how fast pictures come, alone and the whole way into steps.
# usage: bench.sh BUILD-FOLDER
. "$(dirname "$0")/common.sh"
make_pack
$prepare --kind jpeg "$work/shapes/train" "$work/jpeg" >/dev/null

# A row for each size of batch, whose numbers belong together (what the machine is busy with
# besides may double some of them).
tiny="--arch cifar10 --width 0.1 --seconds 0.05 --workers 2"
"$bin/bench" $tiny --pipeline "$work/pack/train" --batch 8,200 >"$work/out"
awk '$1 == "pipeline" && $4 >= 0 && $4 <= 100 && $3 > 0 && $6 > 0 && $7 > 0 && $8 > 0 &&
     $3 < 4 * $7 && $3 < 4 * $8 && $10 == "minutes" {
         d = $9 * 60 * $3 / (90 * 1.28e6) - 1; if (d < 0) d = -d
         if (d < 0.05 / $3 + 0.06 / $9) rows = rows " " $2 }
     END { exit rows != " 8 200" }' "$work/out" || die "bench --pipeline: $(cat "$work/out")"
for kind in pack jpeg; do
    "$bin/bench" $tiny --runs 3 --loader "$work/$kind/train" >>"$work/loaders"
done
awk '/^loader, (raw|JPEG) pack of 36 x 36, crops of 32 as floats, (one|2) workers?: / {
         split($0, part, ": "); n += part[2] > 0 }
     END { exit NR != 4 || n != 4 }' "$work/loaders" || die "bench --loader: $(cat "$work/loaders")"
expect="36 wide" refused "$bin/bench" --pipeline "$work/pack/train" --width 0.05
expect="one at a time" refused "$bin/bench" --loader "$work/pack" --pipeline "$work/pack"
say "bench: from a pack to steps, and the loader alone: ok"
