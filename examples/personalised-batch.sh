#!/bin/sh
# Many personal mails from a file of "address<TAB>name" lines, a thousand to a transaction.  Prints one outbox id per mail.
# Each line has an idempotency key, so a run that broke off can simply be started again.
#   personalised-batch.sh people.tsv maintenance-2026-12 > ids
set -eu
python3 -c '
import json, sys

people, campaign = sys.argv[1:]
for line in open(people, encoding="utf-8"):
    address, name = line.rstrip("\n").split("\t")
    text = f"Dear {name},\n\nwe are down for maintenance on Sunday.\n"
    print(json.dumps({"to": address, "subject": "Maintenance on Sunday", "body_text": text,
                      "idempotency_key": f"{campaign}/{address}"}))
' "$1" "$2" | prx-email send --batch -
