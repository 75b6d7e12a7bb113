# one.sh BIN WORK NAME PACK options: one training run, from the beginning or from where it was
# cut; nothing if it is done. A run that diverges is done, and marked as such.
set -eu

bin=$1 work=$2 name=$3 pack=$4
shift 4
model=$work/$name.safetensors
log=$work/$name.log

if test -e "$work/$name.options" && test "$(cat "$work/$name.options")" != "$*"; then
    echo "$name: was begun with other options; remove $work/$name.* to begin anew" >&2
    exit 255 # xargs stops at once
fi
echo "$*" >"$work/$name.options"
test -e "$work/$name.done" && exit 0
where="--threads 1 --out $model --csv $work/$name.csv --curves $work/$name.png"
if test -e "$model"; then
    # What the checkpoint does not know.
    rest=$(echo " $* " | grep -oE -- ' --(no-evaluation|until-error [0-9.]+|towers [0-9])' || true)
    # shellcheck disable=SC2086
    set -- --resume "$model" $rest
fi
# shellcheck disable=SC2086
if ! "$bin/train" "$@" $where "$pack" >>"$log" 2>&1 </dev/null; then
    grep -q diverged "$log" || {
        echo "$name: failed, see $log" >&2
        exit 255
    }
    touch "$work/$name.diverged"
fi
touch "$work/$name.done"
test -e "$work/keep" || rm -f "$model"
echo "  $name: $(grep -E '^epoch [0-9]*: |diverged' "$log" | tail -n 1)"
