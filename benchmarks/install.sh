#!/bin/sh
# Fetches a C compiler, for the library that slows a sync down, when it is missing.
set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C

! command -v cc >/dev/null || exit 0
command -v apt-get >/dev/null || { echo "install.sh: install cc first; there is no apt-get to do it" >&2; exit 1; }
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt-get -qq install -y gcc libc6-dev >"$log" 2>&1 ||
    { apt-get -qq update >"$log" 2>&1 && apt-get -qq install -y gcc libc6-dev >>"$log" 2>&1; } ||
    { echo "install.sh: cannot install gcc: no network, or not root?" >&2; tail -3 "$log" >&2; exit 1; }
