"""A transaction played without a socket: a script brings what each step would."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from prx_email_cli.smtp.envelope import Envelope, Recipient, Result
from prx_email_cli.smtp.errors import ConnectionLost, Unasked
from prx_email_cli.smtp.replies import Reply
from prx_email_cli.smtp.server import ServerProfile
from prx_email_cli.smtp.steps import (
    After,
    Done,
    Heard,
    Look,
    Patience,
    Read,
    Step,
    Write,
    WriteContent,
)
from prx_email_cli.smtp.transaction import Transaction

PATIENCE = Patience(reply=60, final_reply=600)
OK, GO_ON, GONE = Reply(250, "2.0.0 ok"), Reply(354, "go ahead"), ConnectionLost("the server closed the connection")
ALICE, BOB = "alice@example.org", "bob@example.org"


def unasked(words: str, *, midway: bool = False) -> Unasked:
    """What a server said before it was asked; midway: when some of what was written had left."""
    said = Unasked(f"{words}\r\n".encode())
    said.sent = int(midway)
    return said


def server(*extensions: str, size: int | None = None) -> ServerProfile:
    """What EHLO has told of a server."""
    profile = ServerProfile()
    profile.extensions = dict.fromkeys(extensions, "")
    if size is not None:
        profile.extensions["size"] = str(size)
    return profile


def envelope(*addresses: str, content: Sequence[bytes] = (b"Subject: hello\r\n\r\ntext\r\n",), smtputf8: bool = False
             ) -> Envelope:  # fmt: skip
    """A message to *addresses*, numbered from 1."""
    recipients = [Recipient(number, address) for number, address in enumerate(addresses or (ALICE,), 1)]
    size = sum(map(len, content))
    return Envelope("ops@example.com", recipients, "<1@example.com>", size, content, smtputf8)


class Script(NamedTuple):
    """What a server does.

    replies: to each Read in turn; nothing but GONE after the last one.  writes: what breaks the write of that number,
    from 0.  look: what is there unasked after the answer to the dot.
    """

    replies: Sequence[Reply | ConnectionLost]
    writes: Mapping[int, ConnectionLost] = {}
    look: ConnectionLost | None = None


class Played(NamedTuple):
    """How a transaction went: its steps but for Done, each with what it brought."""

    result: Result
    after: After
    steps: list[tuple[Step, Heard]]

    @property
    def written(self) -> list[bytes]:
        """Every write, commands and content."""
        return [step.data for step, _ in self.steps if isinstance(step, Write | WriteContent)]

    @property
    def content(self) -> list[bytes]:
        """The writes of content."""
        return [step.data for step, _ in self.steps if isinstance(step, WriteContent)]

    @property
    def fates(self) -> dict[int, str]:
        """The fate of each recipient by number."""
        return {number: one.fate.value for number, one in self.result.recipients.items()}


def play(transaction: Transaction, script: Script, clock: Iterator[float] | None = None) -> Played:
    """Step *transaction* to its end against *script*."""
    replies, writes = iter(script.replies), 0
    steps: list[tuple[Step, Heard]] = []
    heard: Heard = None
    while True:
        step = transaction.step(heard, next(clock) if clock is not None else 0.0)
        if isinstance(step, Done):
            return Played(step.result, step.after, steps)
        if isinstance(step, Read):
            heard = next(replies, GONE)
        elif isinstance(step, Look):
            heard = script.look
        else:
            heard, writes = script.writes.get(writes), writes + 1
        steps.append((step, heard))


def played(message: Envelope, script: Script, profile: ServerProfile | None = None) -> Played:
    """How *message* fares with a server that has no extension, or those of *profile*."""
    return play(Transaction(message, profile or server(), PATIENCE), script)
