#!/bin/sh
# What `make deps` runs: installs the Debian packages named that are missing; elsewhere lists
# them and stops.
set -eu

if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "deps: this is no Debian; please install what these packages hold, then run make:" >&2
    echo "deps:   $*" >&2
    exit 1
fi
missing=
for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$' ||
        missing="$missing $package"
done
[ -n "$missing" ] || exit 0

sudo=
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "deps: please install as root:$missing" >&2
        exit 1
    fi
    sudo=sudo
fi
echo "deps: installing$missing"
$sudo apt-get update -qq
# shellcheck disable=SC2086
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
