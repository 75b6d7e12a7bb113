#!/bin/sh
# The manual page of an example program, from what it says itself: its --help, and the sentence that its
# source begins with.
# usage: man.sh PROGRAM SOURCE VERSION > alexnet-NAME.1
set -eu
program=$1 source=$2 version=$3
name=alexnet-$(basename "$source" .c)
about=$(sed -n '2,/\*\//{s/^ \* *//;/^\/$/d;p;}' "$source" | tr '\n' ' ' |
    sed 's/^[a-z_]*\.c - //; s/\([^:.;]*[^:.; ]\)[:.;].*/\1/')

help=$("$program" --help)
printf '%s\n' "$help" | awk -v name="$name" -v about="$about" -v version="$version" '
function plain(text) { gsub(/\\/, "\\e", text); gsub(/-/, "\\-", text); sub(/^[.\047]/, "\\\\\\&&", text); return text }
NR == 1 {
    sub(/^usage: [^ ]* */, "")
    print ".TH " toupper(name) " 1 \"\" \"libalexnet " version "\" \"libalexnet\""
    print ".SH NAME\n" name " \\- " plain(about)
    print ".SH SYNOPSIS\n.B " name "\n" plain($0)
    print ".SH OPTIONS"
    next
}
/^  -/ {
    word = $1
    text = substr($0, index($0, $1) + length($1))
    if (word ~ /,$/) { # "--help, -h"
        word = word " " $2
        text = substr(text, index(text, $2) + length($2))
    }
    sub(/^ */, "", text)
    print ".TP\n.B " plain(word) "\n" plain(text)
}
END {
    print ".SH EXIT STATUS"
    print "0 if all was done; 1 if something failed; 2 if the command line is wrong;"
    print "3, of alexnet\\-prepare, if packs are made but pictures had to be skipped;"
    print "130 if an interrupted run was saved."
    print ".SH SEE ALSO\nREADME.md and docs/ of libalexnet"
}'
