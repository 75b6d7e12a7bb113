#!/bin/sh
# Training cut by ^C and by kill -9, and the resumed run beside an uninterrupted one.
# usage: train.sh BUILD-FOLDER
. "$(dirname "$0")/common.sh"
make_pack
await() { # FILE: until $child has written it, or has ended
    while ! test -e "$1" && kill -0 $child 2>/dev/null; do sleep 0.02; done
}

# ^C saves, kill -9 loses no more than what came after the last checkpoint: the resumed run
# has the bits of one that was not cut, whatever the threads.
$train --epochs 6 --out "$work/whole" "$work/pack" >/dev/null
expect="is there already" refused $train --epochs 6 --out "$work/whole" "$work/pack"
$train --epochs 6 --workers 3 --out "$work/parts" "$work/pack" >"$work/out" 2>&1 &
child=$!
await "$work/parts.csv"
kill -INT $child || true
code=0
wait $child || code=$?
test "$code" = 130 || die "the run ended with $code before the interrupt came"
resume=$(sed -n 's/^  .*train \(--resume .*\)/\1/p' "$work/out")
test -n "$resume" || die "no command to go on with was printed"
# shellcheck disable=SC2086
"$bin/train" $resume --threads 1 >"$work/out"
grep -q '^resumed after epoch' "$work/out" || die "it did not resume"
same() {
    cmp "$work/whole" "$1" || die "$1: the resumed run differs from the whole one"
    cut -d, -f1-8 "$work/whole.csv" >"$work/a"
    cut -d, -f1-8 "$1.csv" >"$work/b"
    cmp "$work/a" "$work/b" || die "$1: the resumed run's table differs"
}
same "$work/parts"
rm -f "$work/parts" "$work/parts.csv"
$train --epochs 6 --save-every 1 --out "$work/parts" "$work/pack" >"$work/out" 2>&1 &
child=$!
await "$work/parts.csv"
sleep 0.1
kill -KILL $child || true
wait $child 2>/dev/null || true
"$bin/train" --resume "$work/parts" --out "$work/parts" "$work/pack" >"$work/out"
same "$work/parts"
expect="the checkpoint has its own" refused "$bin/train" --resume "$work/whole" --width 2 \
    "$work/pack"
expect="had 128" refused "$bin/train" --resume "$work/whole" "$work/pack/val"
# One step an epoch: ^C saves between an epoch's last step and its end.
single="$train --batch 128 --epochs 12"
$single --out "$work/single" "$work/pack" >/dev/null
$single --out "$work/single-cut" "$work/pack" >"$work/out" 2>&1 &
child=$!
await "$work/single-cut.csv"
kill -INT $child || true
wait $child && die "the run of single steps ended before the interrupt came"
"$bin/train" --resume "$work/single-cut" --out "$work/single-cut" "$work/pack" >/dev/null
cmp "$work/single" "$work/single-cut" || die "a run of single steps, resumed, differs"
# A run that has its steps does no more; without evaluation the table has no held-out numbers.
$train --epochs 6 --steps 16 --no-evaluation --out "$work/edge" "$work/pack" >/dev/null
"$bin/train" --resume "$work/edge" --steps 16 --out "$work/edge" "$work/pack" >"$work/out"
grep -q 'nothing is left to do: 16 steps are done' "$work/out" || die "a run that has its steps: $(cat "$work/out")"
test "$(grep -c , "$work/edge.csv")" = 3 || die "a run that has its steps went on"
test "$(sed -n 3p "$work/edge.csv" | cut -d, -f5-7)" = ,, || die "held out, though not asked for"
make_lists
$prepare --list "$work/reversed" / "$work/reversed-split" >/dev/null
expect="numbers them alike" refused "$bin/train" --resume "$work/edge" "$work/reversed-split"
expect="held-out pack" refused $train --plateau 2 --no-evaluation --out "$work/p" "$work/pack"
say "interrupted, killed and resumed: the same bits as in one go"
