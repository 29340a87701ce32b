#!/bin/sh
# Installs Debian packages for a program that is missing: tests/install.sh PROGRAM PACKAGE...
set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C

program=$1
shift
! command -v "$program" >/dev/null || exit 0
command -v apt-get >/dev/null || { echo "install.sh: install $program first; there is no apt-get to do it" >&2; exit 1; }
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt-get -qq install -y "$@" >"$log" 2>&1 ||
    { apt-get -qq update >"$log" 2>&1 && apt-get -qq install -y "$@" >>"$log" 2>&1; } ||
    { echo "install.sh: cannot install $*: no network, or not root?" >&2; tail -3 "$log" >&2; exit 1; }
