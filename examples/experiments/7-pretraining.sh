# Pre-training on one set of labels, with the sixth convolution, then fine-tuning on another
# (paper, 6.1 and table 2: "1 CNN*", 40.7 to 39.0 % error). Here: twelve of the seventeen flowers
# first, then the other five, of which every second picture trains (FULL=1: all); against the same
# network from nothing on those, for twice as many epochs, and the network without the sixth.
# Smaller: as 3-depth.
. "$(dirname "$0")/lib.sh"

side=$(choose 128 256)
first=flowers12-$side second=flowers5-$side-$full
if ! test -e "$out/packs/$second/val/index.safetensors"; then
    rm -rf "$out/packs/$first" "$out/packs/$second"
    mkdir -p "$out/packs"
    find -L "$pictures/flowers17" -name '*.jpg' | sort | awk -F/ -v OFS='\t' -v few="$(choose 2 1)" \
        -v first="$work/first" -v second="$work/second" '
        { class = $(NF - 1); if (!(class in number)) number[class] = n++; place[class]++
          if (number[class] < 12) print $0, class >first
          # Every fifth is held out by prepare: thin out what trains, not what is held out.
          else if (place[class] % 5 == 0) held[class] = held[class] $0 "\t" class "\n"
          else if (place[class] % few == 0) print $0, class >second }
        END { for (class in held) printf "%s", held[class] >(second ".val") }'
    "$bin/prepare" --side "$side" --val-split 0.2 --list "$work/first" . "$out/packs/$first"
    mkdir -p "$out/packs/$second"
    "$bin/prepare" --side "$side" --list "$work/second" . "$out/packs/$second/train"
    "$bin/prepare" --side "$side" --list "$work/second.val" --like "$out/packs/$second/train" \
        . "$out/packs/$second/val"
fi

common="--arch torchvision --width $(choose 0.25 1) --image-size $(choose 112 224)"
: >"$work/keep" # models, to go on from
for seed in $seeds; do
    # shellcheck disable=SC2086
    run "pretrained-on-twelve-$seed" "$first" $common --extra-conv --epochs 80 --drop-at 60,72 --seed "$seed"
done
go
for seed in $seeds; do
    # shellcheck disable=SC2086
    {
        run "then-five-$seed" "$second" --recipe fine-tune --batch 16 --epochs 60 \
            --from "$work/pretrained-on-twelve-$seed.safetensors" --seed "$seed"
        run "five-from-nothing-$seed" "$second" $common --extra-conv --batch 16 \
            --epochs 120 --drop-at 90,108 --seed "$seed"
        run "five-from-nothing-no-sixth-$seed" "$second" $common --batch 16 --epochs 120 \
            --drop-at 90,108 --seed "$seed"
    }
done
go
table
plot pretraining.png "" --title "Five flowers: from twelve others, from nothing" --errors \
    --columns top1
