#!/bin/sh
# layers.sh - do includes run one way? A room of lib/ may include itself and the rooms that stand
# before it here; a backend, the first two alone, and files of its own folder. In cuda/ the
# operations stand on the products (gemm), and both on the runtime.
#
# usage: layers.sh [ROOT]
set -u
cd "${1:-.}" || exit 2

# Each room, and what it may include beside itself. network and image know nothing of each other.
may() {
    case $1 in
    base) ;;
    device) echo base ;;
    network | image) echo base device ;;
    engine) echo base device network image ;;
    model) echo base device network image engine ;;
    data) echo base device network image engine model ;;
    train) echo base device network image engine model data ;;
    checkpoint) echo base device network image engine model data train ;;
    *) return 1 ;;
    esac
}

wrong=0
complain() {
    echo "check-layers: $1" >&2
    wrong=1
}

# Quoted includes of a file, without the public header, which all may read.
includes() {
    sed -n 's/^ *# *include *"\([^"]*\)".*/\1/p' "$1" | grep -vx 'alexnet\.h'
}

for file in lib/*/*.[ch]; do
    room=$(basename "$(dirname "$file")")
    allowed=$(may "$room") || complain "lib/$room is no room that test/layers.sh knows"
    for name in $(includes "$file"); do
        case " $room $allowed " in
        *" ${name%%/*} "*) test -f "lib/$name" || complain "$file includes $name" ;;
        *) complain "$file includes $name: $room may include ${allowed:-nothing}" ;;
        esac
    done
done
for file in $(find cpu -type f -name '*.[ch]'); do
    for name in $(includes "$file"); do
        case $name in
        base/* | device/*) ;;
        */*)  test -f "$(dirname "$file")/$name" ||
            complain "$file includes $name: a backend may include base and device" ;;
        esac
    done
done
for file in $(find cuda -type f -name '*.[ch]*'); do
    case $file in
    cuda/runtime/*) allowed=' runtime ' ;;
    cuda/gemm/*) allowed=' runtime gemm ' ;;
    *) allowed=' runtime gemm ops ' ;;
    esac
    for name in $(includes "$file"); do
        case $name in base/* | device/*) continue ;; esac
        case $allowed in
        *" ${name%%/*} "*) test -f "cuda/$name" || complain "$file includes $name" ;;
        *) complain "$file includes $name: it may include base, device and$allowed" ;;
        esac
    done
done
for file in lib/*.[ch]; do
    test ! -f "$file" || complain "$file stands in no room"
done
test $wrong = 0
