#!/bin/sh
# Builds the libraries in two folders and compares them byte for byte. Run by make
# check-reproducible: CC and MAKE from there.
set -eu

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for folder in one another/deeper; do
    mkdir -p "$work/$folder"
    cp -R Makefile include lib cpu pkgconfig "$work/$folder"
    (cd "$work/$folder" && $MAKE -s build/libalexnet.so.1.0.0 build/libalexnet.a)
done
cmp "$work"/one/build/libalexnet.so.1.0.0 "$work"/another/deeper/build/libalexnet.so.1.0.0
cmp "$work"/one/build/libalexnet.a "$work"/another/deeper/build/libalexnet.a
echo "  check-reproducible: ok"
