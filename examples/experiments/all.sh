# All experiments, one after the other: see lib.sh for the arguments.
set -eu
for script in "$(dirname "$0")"/[1-9]-*.sh; do sh "$script" "$@"; done
