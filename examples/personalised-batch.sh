#!/bin/sh
# Many personal mails from a file of "address<TAB>name" lines.  Prints one outbox id per mail.
#   personalised-batch.sh people.tsv "Maintenance on Sunday" > ids
set -eu
python3 - "$1" "$2" <<'PYTHON' | prx-email send --batch -
import json, sys

for line in open(sys.argv[1], encoding="utf-8"):
    address, name = line.rstrip("\n").split("\t")
    print(json.dumps({"to": address, "subject": sys.argv[2], "body_text": f"Dear {name},\n\nwe are down on Sunday.\n"}))
PYTHON
