#!/bin/sh
# Installs into a folder of its own and uses the library from there, by pkg-config and by
# CMake, shared and static; uninstalls and looks whether a file is left; then compiles the
# sources without the Makefile. Run by make check-install: CC, CXX, MAKE from there.
set -eu

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
here=$(dirname "$0")
say() { echo "  check-install: $*"; }

# As a package is built: staged under DESTDIR, for another prefix.
$MAKE -s install DESTDIR="$work/stage" PREFIX=/opt/alexnet
root=$work/stage/opt/alexnet
export PKG_CONFIG_PATH="$root/lib/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$work/stage"
flags=$(pkg-config --cflags alexnet)

# shellcheck disable=SC2086
{
    $CC -std=c99 -Wall -Werror "$here/user.c" $flags $(pkg-config --libs alexnet) \
        -o "$work/user_c"
    $CXX -std=c++98 -Wall -Werror "$here/user.cpp" $flags $(pkg-config --libs alexnet) \
        -o "$work/user_cpp"
    libs=$(pkg-config --static --libs alexnet | sed 's|-lalexnet|-l:libalexnet.a|')
    $CC -std=c99 "$here/user.c" $flags $libs -o "$work/user_static"
}
if test -n "$PLUGIN"; then
    test -x "$root/lib/alexnet/alexnet-cuda.so" || { say "no plugin was installed"; exit 1; }
    strings "$root/lib/libalexnet.so" | grep -q '^/opt/alexnet/lib/alexnet/alexnet-.*\.so$' ||
        { say "the plugin would be looked for elsewhere"; exit 1; }
    say "the plugin is installed where it is looked for"
fi
for program in user_c user_cpp user_static; do
    LD_LIBRARY_PATH="$root/lib" "$work/$program" "$work/model"
    say "$program, by pkg-config: runs"
done

# As a user runs them, whose loader knows nothing of the library: from a prefix of their own, from
# the default one, and from one whose folders are called otherwise.
unset LD_LIBRARY_PATH
programs_run() { # BINDIR
    for program in "$1"/alexnet-*; do
        "$program" --help >"$work/help" && test -s "$work/help"
        "$program" --version | grep -q "^${program##*/} (libalexnet) [0-9]" ||
            { say "$program: --version"; exit 1; }
    done
    "$1/alexnet-info" --arch cifar10 >"$work/info" && test -s "$work/info"
}
programs_run "$root/bin"
for page in "$root"/share/man/man1/alexnet-*.1; do # each option that --help has
    program=$root/bin/$(basename "$page" .1)
    "$program" --help | sed -n 's/^  \(-[^ ,]*\).*/\1/p' | while read -r option; do
        grep -q "^\.B $(echo "$option" | sed 's/-/\\\\-/g')" "$page" || { echo "$page lacks $option"; exit 1; }
    done
    if command -v groff >/dev/null; then
        test -z "$(groff -man -Tascii -ww -z "$page" 2>&1)" || { say "$page: $(groff -man -ww -z "$page" 2>&1)"; exit 1; }
    fi
done
test "$(ls "$root"/bin/alexnet-* | wc -l)" = "$(ls "$root"/share/man/man1 | wc -l)"
$MAKE -s install DESTDIR="$work/default"
programs_run "$work/default/usr/local/bin"
$MAKE -s install DESTDIR="$work/other" PREFIX=/opt/x LIBDIR=/opt/x/lib/multi BINDIR=/opt/tools
programs_run "$work/other/opt/tools"
$MAKE -s install DESTDIR="$work/packaged" RPATH=
! readelf -d "$work/packaged/usr/local/bin/alexnet-info" | grep -q 'RPATH\|RUNPATH' ||
    { say "RPATH= left a path in the programs"; exit 1; }
$MAKE -s install DESTDIR="$work/stage" PREFIX=/opt/alexnet
say "installed programs run from three prefixes, without a path of the loader's"

if command -v cmake >/dev/null; then
    cmake -S "$here" -B "$work/cmake" -DCMAKE_PREFIX_PATH="$root" -DCMAKE_C_COMPILER="$CC" \
        >"$work/log" || { cat "$work/log"; exit 1; }
    cmake --build "$work/cmake" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
    "$work/cmake/user_shared" "$work/model" && "$work/cmake/user_static" "$work/model"
    say "find_package(alexnet 1.0): shared and static run"
    sed 's/alexnet 1.0/alexnet 2.0/' "$here/CMakeLists.txt" >"$work/CMakeLists.txt"
    cp "$here/user.c" "$work"
    if cmake -S "$work" -B "$work/cmake2" -DCMAKE_PREFIX_PATH="$root" >"$work/log" 2>&1; then
        say "find_package(alexnet 2.0) was not refused"
        exit 1
    fi
else
    say "skipped: cmake is not installed"
fi

$MAKE -s uninstall DESTDIR="$work/stage" PREFIX=/opt/alexnet
left=$(find "$work/stage" ! -type d)
test -z "$left" || { say "left behind: $left"; exit 1; }
say "uninstall leaves no file"

for source in lib/*/*.c cpu/*.c; do
    # shellcheck disable=SC2086
    $CC -std=c99 -O1 -Iinclude -Ilib $BLAS_CFLAGS -c "$source" -o "$work/object.o"
done
say "every source compiles without the Makefile"
