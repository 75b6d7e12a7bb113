# one.sh BIN WORK NAME PACK options: one training run, from the beginning or from where it was
# cut; nothing if it is done.
set -eu

bin=$1 work=$2 name=$3 pack=$4
shift 4
model=$work/$name.safetensors
csv=$work/$name.csv

test -e "$work/$name.done" && exit 0
if test -e "$model"; then
    "$bin/train" --resume "$model" --threads 1 --out "$model" --csv "$csv" \
        --curves "$work/$name.png" "$pack" >>"$work/$name.log" 2>&1 </dev/null
else
    "$bin/train" "$@" --threads 1 --out "$model" --csv "$csv" \
        --curves "$work/$name.png" "$pack" >"$work/$name.log" 2>&1 </dev/null
fi || { echo "$name: failed, see $work/$name.log" >&2; exit 1; }
touch "$work/$name.done"
test -e "$work/keep" || rm -f "$model"
echo "  $name: $(tail -n 2 "$work/$name.log" | head -n 1)"
