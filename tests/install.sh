#!/bin/sh
# Fetches strace, with which the power-cut tests watch what the program writes and syncs, when it is missing.
set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C

! command -v strace >/dev/null || exit 0
command -v apt-get >/dev/null || { echo "install.sh: install strace first; there is no apt-get to do it" >&2; exit 1; }
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt-get -qq install -y strace >"$log" 2>&1 ||
    { apt-get -qq update >"$log" 2>&1 && apt-get -qq install -y strace >>"$log" 2>&1; } ||
    { echo "install.sh: cannot install strace: no network, or not root?" >&2; tail -3 "$log" >&2; exit 1; }
