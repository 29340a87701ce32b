"""Writes docs/faults.md from the rules of the matrix: ``python -m tests.faults.document``."""

from pathlib import Path

from .places import Manner, Place, happens
from .rules import MEANINGS, Fate, Meaning, verdict

FILE = Path(__file__).resolve().parents[2] / "docs" / "faults.md"

INTRODUCTION = """\
# What happens when a mail server misbehaves

<!-- Written by `python -m tests.faults.document`. Do not edit: a test compares this page with the rules. -->

A mail server can fail you at every step of a delivery, and in many ways. This page says for each step and each way
what becomes of your message. It is the table that the test suite checks: every row is played against a real socket,
with and without PIPELINING, which makes no difference to the result.

In every row the message has two recipients and another message of the same account is waiting behind it. The fault
happens once. The next drain then finds a server that works again.

What the words mean:

- **Sent**: every recipient was accepted. Nothing that happens later changes that.
- **Tried again**: the message is `failed` and due again 10 seconds later, then 20, 40 and so on. Only recipients who
  have not been accepted are addressed. The new attempt has a Message-ID of its own: `<outbox-42-1@…>` after
  `<outbox-42-0@…>`.
- **Given up**: the server refused for good. No drain takes the message again; `prx-email show` has the reason, and
  `prx-email retry` still tries it when you ask.
- **Uncertain**: the whole message, with the dot that ends it, was on its way and no usable answer came. The server may
  or may not have taken it. It is tried again under **the same Message-ID**, so that a server that knows it drops the
  second copy. With `on_uncertain = "hold"` it waits for you instead.
- **The account rests**: the trouble is the account's, not the message's. One message bears it and is tried again;
  all others of that account stay as they are, and the run makes no further connection. A server that could not be
  reached is tried anew by the next drain, and by `drain --follow` after 5 seconds, then 10, 20, 40 and every 60. After
  a refused login or a "try later" every drain leaves the account alone for 1, 2, 4 … 60 minutes.

The code is the `error.code` of the JSON output.
"""

NOTES = {
    Place.CONNECT: "The connection is open and the server has said nothing yet. A server that refuses connections, or "
    "a name that cannot be found, comes to the same as a closed connection.",
    Place.EHLO: "A server that answers 5xx to EHLO is greeted with HELO instead; here it refuses that as well.",
    Place.TLS_AFTER_STARTTLS: "Nothing is ever sent in clear instead. Words in clear that arrive before the handshake "
    "are told as `provider`.",
    Place.RCPT_1: "The second recipient is accepted.",
    Place.RCPT_2: "The first recipient has been accepted.",
    Place.CONTENT: "A small message leaves in one piece, with the dot that ends it: the server has it all.",
    Place.LARGE_CONTENT: "The program is still writing, and stops as soon as the server speaks: the dot is never sent.",
    Place.DOT_STORED: "The server keeps the message and then fails to say so. The next attempt makes a second copy "
    "under the same Message-ID, unless the server drops it.",
    Place.IDLE: "The first message was accepted, and then this happens; the table tells of the message that comes "
    "next. Where it is noticed in time, that message goes over another connection and is simply sent. An answer on the "
    "heels of the acceptance, other than 421, makes the first message **uncertain**: nobody knows which of the two "
    "counts.",
    Place.QUIT: "Everything has been accepted; the farewell changes nothing.",
}
WORDS = {
    Fate.SENT: "Sent.",
    Fate.DEFERRED: "Tried again. The other message is delivered.",
    Fate.GIVEN_UP: "Given up. The other message is delivered.",
    Fate.ONE_DEFERRED: "Delivered to the other recipient; tried again for this one alone.",
    Fate.ONE_REFUSED: "Delivered to the other recipient; given up for this one.",
    Fate.UNCERTAIN: "**Uncertain**: tried again under the same Message-ID. The other message is delivered.",
    Fate.ACCOUNT: "Tried again later; the account rests, and the other message stays untouched.",
}
ANOTHER_CONNECTION = (Meaning.LOST, Meaning.NONSENSE)


def page() -> str:
    """The whole page."""
    return "\n".join([INTRODUCTION, *(_section(place) for place in Place)])


def _section(place: Place) -> str:
    rows = [_row(place, manner) for manner in Manner if happens(place, manner)]
    note = f"{NOTES[place]}\n\n" if place in NOTES else ""
    return f"## {place}\n\n{note}| the server | the message | code |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def _row(place: Place, manner: Manner) -> str:
    fate, error = verdict(place, manner)
    words = WORDS[fate]
    if fate in (Fate.DEFERRED, Fate.UNCERTAIN) and MEANINGS[manner] in ANOTHER_CONNECTION:
        words = words.replace("is delivered", "is delivered over a new connection")
    return f"| {manner} | {words} | {f'`{error}`' if error else ''} |"


if __name__ == "__main__":
    FILE.write_text(page(), encoding="utf-8")
