#!/bin/sh
# Mail a nightly report as an attachment, with its first lines as the text.  The bytes are copied into the outbox now, so
# the file may be rotated away at once.  Prints the outbox id; the next drain delivers it.
#   nightly-report.sh /var/log/backup.log ops@example.com
set -eu
report=$1
to=$2
head -n 20 "$report" | prx-email send --to "$to" --subject "Report of $(date +%F)" --attach "$report;type=text/plain"
