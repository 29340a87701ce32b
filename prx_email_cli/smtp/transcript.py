"""Record what is said in a session or transaction, for ``show``."""

from functools import lru_cache
from typing import NamedTuple

from prx_email_cli.redaction import redact
from prx_email_cli.smtp.replies import MAX_SHOWN, Reply
from prx_email_cli.smtp.reply_buffer import cleaned

MAX_LINES = 400

Entry = bytes | Reply | str
"""Commands as they were written, a reply as it came, or a line as it is to be shown."""


class Dialogue(NamedTuple):
    """What was said, kept compact; ``str`` renders it, without secrets.

    dropped: how many entries had no place any more.
    """

    entries: tuple[Entry, ...] = ()
    dropped: int = 0

    def __str__(self) -> str:
        lines: list[str] = []
        for entry in self.entries:
            if isinstance(entry, bytes):
                lines += [f"C: {line}" for line in entry.decode().split("\r\n")[:-1]]
            elif isinstance(entry, Reply):
                lines.append(_line_of(entry.code, cleaned(entry.text)))
            else:
                lines.append(entry)
        more = self.dropped + len(lines[MAX_LINES:])
        return redact("\n".join(lines[:MAX_LINES] + [f"-- {more} more lines"] * bool(more)))


@lru_cache(maxsize=256)  # most replies of a server are the same few
def _line_of(code: int, text: str) -> str:
    return f"S: {Reply(code, text)}"


class Transcript:
    """The dialogue of a session or transaction, without what follows AUTH."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._dropped = 0

    def client(self, line: str) -> None:
        """Record a command."""
        self.note(f"C: {line}")

    def server(self, reply: Reply) -> None:
        """Record a reply, as it came."""
        if len(reply.text) > MAX_SHOWN:
            reply = Reply(reply.code, cleaned(reply.text)[:MAX_SHOWN])
        self.note(reply)

    def event(self, text: str) -> None:
        """Record an event: a connection opened or lost, TLS agreed, content sent."""
        self.note(f"-- {text}")

    def note(self, entry: Entry) -> None:
        """Record commands, a reply of moderate length, or a line."""
        if len(self._entries) < MAX_LINES:
            self._entries.append(entry)
        else:
            self._dropped += 1

    def take(self) -> Dialogue:
        """Return what was recorded since the last call."""
        dialogue = Dialogue(tuple(self._entries), self._dropped)
        self._entries, self._dropped = [], 0
        return dialogue
