#!/bin/sh
# Warn when a file system is nearly full, once a day for each state of things however often cron asks:
#   */10 * * * * disk-alert.sh ops@example.com 90 && prx-email drain
# The idempotency key makes the second and later calls find the first message instead of sending another one; an alert
# that nobody got within six hours is old news, so it expires.
set -eu
to=$1
limit=${2:-90}
full=$(df -P | awk -v limit="$limit" 'NR > 1 { use = $5; sub("%", "", use); if (use + 0 >= limit) print $6 }' | sort -u)
[ -n "$full" ] || exit 0
key="disk-$(uname -n)-$(date +%F)-$(printf '%s' "$full" | cksum | cut -d ' ' -f 1)"
printf 'These file systems are at least %s %% full:\n%s\n' "$limit" "$full" |
    prx-email send --to "$to" --subject "Disks of $(uname -n)" --idempotency-key "$key" --expires-in 6h
