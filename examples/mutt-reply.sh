#!/bin/sh
# Answer the message that is piped in, through the outbox.  In ~/.muttrc:
#   macro index,pager R "<pipe-message>mutt-reply.sh<enter>"
# The text is $REPLY_TEXT when that is set; else $EDITOR is opened on the terminal.  An empty text sends nothing.
set -eu
parent=$(mktemp)
text=$(mktemp)
trap 'rm -f "$parent" "$text"' EXIT
cat > "$parent"
if [ -n "${REPLY_TEXT:-}" ]; then
    printf '%s\n' "$REPLY_TEXT" > "$text"
else
    "${EDITOR:-vi}" "$text" < /dev/tty > /dev/tty
fi
[ -s "$text" ] || exit 0
prx-email reply --parent "$parent" --body-file "$text" --quote
