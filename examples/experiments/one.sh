# one.sh BIN WORK NAME PACK options: one training run, from the beginning or from where it was
# cut; nothing if it is done. A run that diverges is done: its table says how far it came.
set -eu

bin=$1 work=$2 name=$3 pack=$4
shift 4
model=$work/$name.safetensors
log=$work/$name.log

test -e "$work/$name.done" && exit 0
where="--threads 1 --out $model --csv $work/$name.csv --curves $work/$name.png"
if test -e "$model"; then
    # What the checkpoint does not know.
    rest=$(echo " $* " | grep -oE -- ' --(no-evaluation|until-error [0-9.]+)' || true)
    # shellcheck disable=SC2086
    set -- --resume "$model" $rest
fi
# shellcheck disable=SC2086
"$bin/train" "$@" $where "$pack" >>"$log" 2>&1 </dev/null || grep -q diverged "$log" || {
    echo "$name: failed, see $log" >&2
    exit 255 # xargs stops at once
}
touch "$work/$name.done"
test -e "$work/keep" || rm -f "$model"
echo "  $name: $(grep '^epoch [0-9]*: ' "$log" | tail -n 1)"
