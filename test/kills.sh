#!/bin/sh
# Kills (-9) at any moment of training, preparing, indexing and drawing: what stood before is
# there or its whole successor, and what was begun is gone on with to the same bytes. And two
# programs at once on one output: one wins, and nothing is damaged.
# usage: kills.sh BUILD-FOLDER [KILLS [PAIRS]]    1000, 100: 3 minutes
set -- "$(cd "$1" && pwd)" "${2:-1000}" "${3:-100}"
. "$(dirname "$0")/examples/common.sh"
kills=$2
pairs=$3
say() { echo "  kills: $*"; }
make_pack
cd "$work"
killed=0

# MOST COMMAND... : kills it after up to MOST thousandths of a second, unless it has ended.
strike() {
    after=$(($(od -An -N2 -tu2 /dev/urandom) % $1))
    shift
    "$@" >out 2>err &
    child=$!
    sleep "$(printf '0.%03d' $after)"
    if kill -KILL $child 2>/dev/null; then killed=$((killed + 1)); fi
    wait $child 2>/dev/null || true
}

# Training saves after every step: its number never falls, and every file loads.
train_kills() {
    $narrow --steps 1 --out run pack >out 2>err || die "train: $(cat err)"
    last=0
    n=0
    while [ $n -lt $((kills * 3 / 10)) ]; do
        strike 400 "$bin/train" --resume run --out run --epochs 1000 --save-every 1 pack
        "$bin/info" run >info 2>err || die "after kill $n of train: $(cat err)"
        now=$((0x$(LC_ALL=C sed -n 's/.*iteration\\":\\"\([0-9a-f]*\).*/\1/p' run | head -1)))
        [ $now -ge $last ] || die "after kill $n of train: step $now after $last"
        last=$now
        n=$((n + 1))
    done
    [ "$last" -gt 1 ] || die "no step was ever saved"
    say "train: $n kills, up to step $last"
}

# A pack that was begun is gone on with, again and again, and in the end is as if it had not
# been interrupted.
prepare_kills() {
    "$bin/prepare" --side 36 shapes/train whole >out 2>err
    n=0
    finished=0
    while [ $n -lt $((kills * 3 / 10)) ]; do
        strike 30 "$bin/prepare" --side 36 --threads 2 shapes/train begun
        if [ -e begun/index.safetensors ]; then
            finished=$((finished + 1))
            diff -r -x lock -x unfinished.txt -x '.alexnet-*' whole begun || die "kill $n of prepare: the pack is another"
            rm -r begun
        fi
        n=$((n + 1))
    done
    [ -e begun ] || mkdir begun
    "$bin/prepare" --side 36 shapes/train begun >out 2>err || die "prepare: $(cat err)"
    diff -r -x '.alexnet-*' whole begun || die "prepare: the pack is another"
    say "prepare: $n kills, $finished packs finished"
}

# An index that stood is there, or the same anew; a picture likewise.
file_kills() { # COUNT MOST FILE COMMAND... : COMMAND writes FILE, the same bytes each time
    count=$1 most=$2 file=$3
    shift 3
    "$@" >out 2>err || die "$*: $(cat err)"
    cp "$file" wanted
    n=0
    while [ $n -lt "$count" ]; do
        strike "$most" "$@"
        cmp "$file" wanted || die "kill $n of $*"
        n=$((n + 1))
    done
    # Beside it may lie what was being written, under hidden names (a program's picture; of
    # the library's files only where a file system has no nameless ones), and a lock's file.
    for left in *; do
        case $left in "$file"* | wanted* | out | err | info | pack | run* | shapes | whole | begun | index*) ;;
        *) die "$left is left of $*" ;; esac
    done
    rm -f .alexnet-* ./*.lock
    say "$file: $n kills"
}

train_kills
prepare_kills
file_kills $((kills * 2 / 10)) 150 index "$bin/similar" --layer conv3 index run pack/train index
file_kills $((kills * 2 / 10)) 60 curves.png "$bin/plot" curves.png a=run.csv
[ $killed -ge $((kills / 3)) ] || die "only $killed programs were still running when they were killed"
say "$killed programs were running when they were killed"

# WHAT COMMAND... : twice at once. 0 for the first that got there, else a reason.
race() {
    what=$1
    shift
    "$@" >out1 2>err1 &
    first=$!
    "$@" >out2 2>err2 &
    second=$!
    a=0 b=0
    wait $first || a=$?
    wait $second || b=$?
    [ $a = 0 ] || [ $b = 0 ] || die "$what: neither won: $(cat err1 err2)"
    won=$((won + 1))
    if [ $a = 0 ] && [ $b = 0 ] && ! grep -q 'is finished already' out1 out2; then
        both=$((both + 1))
    fi
    for left in .alexnet-* ./*.lock; do
        if [ -e "$left" ]; then die "$what: $left is left"; fi
    done
    for reason in err1 err2; do # only this may be said
        grep -v -e 'is being written by process' -e 'is there already' -e 'holds a finished pack' \
            $reason && die "$what: $(cat $reason)"
    done
    return 0
}

races() { # WHAT: each COMMAND is a function below
    won=0 both=0 n=0
    while [ $n -lt $((pairs / 3 + 1)) ]; do
        "race_$1"
        n=$((n + 1))
    done
    say "$1: $won pairs, both in turn $both times"
}
race_train() {
    rm -f both both.csv
    race train $narrow --steps 4 --out both pack
    "$bin/info" both >/dev/null || die "train: what was won does not load"
}
race_prepare() {
    rm -rf both
    race prepare "$bin/prepare" --side 36 --threads 1 shapes/train both
    diff -r whole both || die "prepare: the pack is another"
}
race_similar() {
    rm -rf both
    race similar "$bin/similar" --layer conv3 index run pack/train both
    cmp both index || die "similar: the index is another"
}
races train
[ $both = 0 ] || die "train: both won"
races prepare
[ $both = 0 ] || die "prepare: both won"
races similar
