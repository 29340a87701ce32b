#!/bin/sh
# Warn when a file system is nearly full.  For cron, before its drain:
#   */10 * * * * disk-alert.sh ops@example.com 90 && prx-email drain
# An alert that nobody got within six hours is old news, so it expires.
set -eu
to=$1
limit=${2:-90}
full=$(df -P | awk -v limit="$limit" 'NR > 1 { use = $5; sub("%", "", use); if (use + 0 >= limit) print $6 " is " $5 " full" }')
[ -n "$full" ] || exit 0
printf '%s\n' "$full" | prx-email send --to "$to" --subject "Disks of $(uname -n)" --expires-in 6h
