# lib.sh - what the experiments share. Each is called as
#
#   NAME.sh BUILD PICTURES OUT
#
# BUILD: the build folder; PICTURES: a folder with cifar10/ and flowers17/, each with a folder
# of pictures per class (or, for CIFAR-10, its binary batches); OUT: gets packs, curves, tables
# and pictures. A run that is cut goes on where it was when the same command is given again.
# JOBS (the processors) runs at a time, one thread each. FULL=1: the size of the paper's
# networks, for a machine with a GPU's patience, in folders of their own. SEEDS (1 2 3).
set -eu

bin=$1/examples
pictures=$2
out=$3
jobs=${JOBS:-$(nproc)}
seeds=${SEEDS:-1 2 3}
full=${FULL:-0}
here=$(cd "$(dirname "$0")" && pwd)
experiment=$(basename "$0" .sh)
work=$out/$experiment
test "$full" = 0 || work=$out/full-$experiment
mkdir -p "$work"
queue=$work/queue
: >"$queue"

# choose SMALL FULL: one of both.
choose() { if [ "$full" = 1 ]; then echo "$2"; else echo "$1"; fi; }

# pack NAME SET options: the pictures of SET as a pack, once.
pack() {
    name=$1 set=$2
    shift 2
    if ! test -e "$out/packs/$name/val/index.safetensors"; then
        mkdir -p "$out/packs"
        "$bin/prepare" --val-split 0.2 "$@" "$pictures/$set" "$out/packs/$name"
    fi
}

# run NAME PACK options: puts a training run on the list.
run() {
    name=$1 pack=$2
    shift 2
    echo "$name $out/packs/$pack $*" >>"$queue"
}

# Does what is on the list.
go() {
    grep -c . "$queue" | sed "s/^/$experiment: runs: /"
    xargs -P "$jobs" -L 1 sh "$here/one.sh" "$bin" "$work" <"$queue"
    : >"$queue"
}

# plot PICTURE RUNS options: of the runs whose names begin with RUNS; labels are the names up to
# the last dash (the seed).
plot() {
    picture=$1 which=$2
    shift 2
    files=
    for csv in "$work/$which"*.csv; do
        label=$(basename "$csv" .csv)
        files="$files ${label%-*}=$csv"
    done
    # shellcheck disable=SC2086
    "$bin/plot" "$@" "$work/$picture" $files
}

# All curves in one file, a row for each run and epoch.
curves() {
    rm -f "$work/curves.txt"
    for csv in "$work"/*.csv; do
        test -s "$work/curves.txt" || sed -n '1s/^/run,/p' "$csv" >"$work/curves.txt"
        tail -n +2 "$csv" | sed "s/^/$(basename "$csv" .csv),/" >>"$work/curves.txt"
    done
}

# A row for each setting: mean and range over the seeds of what the last epoch reached; runs
# that diverged are counted, and no more.
table() {
    for finished in "$work"/*.done; do
        name=$(basename "$finished" .done)
        if test -e "$work/$name.diverged"; then
            echo "${name%-*},diverged"
        else
            # The last row, with the seconds of all.
            awk -F, -v OFS=, '{ all += $9; $9 = all; last = $0 } END { print last }' \
                "$work/$name.csv" | sed "s/^/${name%-*},/"
        fi
    done | awk -F, '
        function add(what, value,  key) {
            key = $1 SUBSEP what
            if (!(key in n) || value < low[key]) low[key] = value
            if (!(key in n) || value > high[key]) high[key] = value
            sum[key] += value
            n[key]++
        }
        !($1 in seen) { seen[$1] = 1; order[++count] = $1 }
        { runs[$1]++ }
        $2 == "diverged" { diverged[$1]++; next }
        { add("train", 100 - 100 * $5); add("loss", $4)
          if ($7 != "") add("held", 100 - 100 * $7)
          add("epochs", $2); add("seconds", $10) }
        function cell(what,  key) {
            key = name SUBSEP what
            if (!(key in n)) return "-"
            return sprintf("%.1f (%.1f to %.1f)", sum[key] / n[key], low[key], high[key])
        }
        END {
            print "| setting | runs | epochs | seconds | training error % | held-out error % |" \
                " training loss |"
            print "|---|---|---|---|---|---|---|"
            for (i = 1; i <= count; i++) {
                name = order[i]
                lost = name in diverged ? ", " diverged[name] " diverged" : ""
                printf "| %s | %d%s | %s | %s | %s | %s | %s |\n", name, runs[name], lost,
                    cell("epochs"), cell("seconds"), cell("train"), cell("held"), cell("loss")
            }
        }' | tee "$work/table.md"
    curves
}
