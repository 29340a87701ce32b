"""Carry out transactions over an open connection, without waiting."""

from collections.abc import Callable, Generator
from contextlib import suppress
from typing import NamedTuple

from prx_email_cli.smtp.channel import Channel
from prx_email_cli.smtp.commands import out_of_step
from prx_email_cli.smtp.envelope import Result
from prx_email_cli.smtp.errors import ConnectionLost
from prx_email_cli.smtp.steps import After, Done, Heard, Look, Read, Step, Write, WriteContent
from prx_email_cli.smtp.transaction import Transaction

_BYTES_AT_ONE_GO = 256 * 1024  # then it is the turn of the thread's other connections
_UNREAD = "the server does not read what we send (timeout)"
_SILENT = "no complete answer in time (timeout)"
_TOO_LONG = "the transaction lasts too long (timeout)"


class Waiting(NamedTuple):
    """What a connection waits for: to be read or written, or the time *until*.

    until: by the caller's clock, in seconds.
    """

    read: bool
    write: bool
    until: float


class Farewell:
    """QUIT and the wait for its reply, so many *seconds* at most for each.

    The connection is to be closed afterwards, whatever came.
    """

    def __init__(self, seconds: float) -> None:
        self._steps = self._play(seconds)
        self.said: ConnectionLost | None = None  # what came in place of the reply

    def step(self, heard: Heard, now: float) -> Step:
        """Take in what the last step brought, None at first; return the next, at last Done."""
        return self._steps.send(heard)

    def _play(self, seconds: float) -> Generator[Step, Heard, None]:
        heard = yield Write(b"QUIT\r\n", seconds, None)
        if heard is None:
            heard = yield Read(seconds, None)
        self.said = heard if isinstance(heard, ConnectionLost) else None
        yield Done(Result({}), After.ENDED)


Following = Callable[[], Transaction | None]
"""Is asked for the message after the one whose content is about to end; None if there is none."""


class Pipeline:
    """What is being said on one connection: a transaction, maybe with the next one behind it, or the farewell."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._part: Transaction | Farewell | None = None
        self._following: Following | None = None
        self._next: Transaction | None = None
        self._joined = 0  # so many bytes of the next one's envelope were written behind the content
        self._commands = 0  # in it
        self._over = False  # the connection has ended
        self._step: Step | None = None
        self._unsent = memoryview(b"")  # of the step, and behind that of the next one's envelope
        self._own = 0  # bytes of the step among them
        self._sent = 0
        self._deadline = 0.0
        self._left_to_send = 0

    @property
    def part(self) -> Transaction | Farewell | None:
        """Return the part under way; None for none."""
        return self._part

    def start(self, part: Transaction | Farewell, following: Following | None = None) -> None:
        """Begin *part*; *following* is asked for more.  Raises RuntimeError while another is under way."""
        if self._part is not None:
            raise RuntimeError("a connection carries out one transaction after the other")
        self._part, self._step, self._following = part, None, following

    def give_up(self) -> None:
        """Drop what is under way; the transaction behind it is left alone."""
        self._part, self._next, self._over = self._next, None, True

    def go_on(self, now: float) -> Waiting | Done:
        """Do all that can be done now; return what is waited for, or how the part ended.

        now: seconds of the caller's clock.  Raises what the part raises, RuntimeError when none is under way.
        """
        part = self._part
        if part is None:
            raise RuntimeError("nothing is under way on this connection")
        if self._over and isinstance(part, Transaction):
            self._part = None
            return Done(part.not_begun(), After.ENDED)
        self._left_to_send = _BYTES_AT_ONE_GO
        self._channel.look_again()
        step = self._step or self._take(part.step(None, now), now)
        while not isinstance(step, Done):
            try:
                heard = self._do(step, now)
            except ConnectionLost as lost:
                lost.sent = self._sent + self._channel.in_doubt
                self._unsent = memoryview(b"")  # nothing more of a write that was broken
                heard = lost
            if isinstance(heard, Waiting):
                return heard
            step = self._take(part.step(heard, now), now)
        self._part, self._next, self._step = self._next, None, None
        self._over = step.after is After.ENDED
        return step

    def _take(self, step: Step, now: float) -> Step:
        """Take on *step*: note how long it may last, and what it sends."""
        self._step = step
        if isinstance(step, Read):
            self._allow(step, now)
        elif isinstance(step, (Write, WriteContent)):
            self._allow(step, now)
            self._sent = 0
            if self._joined and self._next is None:  # the envelope that left with the content before, most often whole
                self._sent, self._joined = self._joined - len(self._unsent), 0
            else:
                behind = self._envelope_behind() if isinstance(step, WriteContent) and step.joins else b""
                self._joined, self._commands = len(behind), behind.count(b"\n")
                self._unsent = memoryview(step.data + behind)
            self._own = len(self._unsent) - self._joined
        return step

    def _envelope_behind(self) -> bytes:
        """Ask for the message that follows; return its envelope, b"" if that does not leave with this content."""
        self._next = self._following() if self._following is not None else None
        return (self._next.envelope_ahead() or b"") if self._next is not None else b""

    def _allow(self, step: Read | Write | WriteContent, now: float) -> None:
        deadline = now + step.seconds
        self._deadline = deadline if step.until is None else min(deadline, step.until)

    def _do(self, step: Read | Write | WriteContent | Look, now: float) -> Heard | Waiting:
        """Do what can be done of *step*; return what it brought or waits for.

        Raises ConnectionLost.
        """
        if isinstance(step, Look):
            return self._look()
        if not isinstance(step, Read):
            return self._write(step, now)
        channel = self._channel
        if self._unsent:
            self._send_envelope()
        reply = channel.reply()
        if reply is not None:
            return reply
        self._check(step, now, _SILENT)
        write = channel.write_to_read or (bool(self._unsent) and not channel.read_to_write)
        return Waiting(read=True, write=write, until=self._deadline)

    def _look(self) -> ConnectionLost | None:
        """Return the error for words that answer nothing that was said; None for none."""
        channel = self._channel
        if not self._joined or len(self._unsent) == self._joined:
            return channel.unasked() if channel.heard() else None
        return channel.unasked() if out_of_step(channel.replies.codes(), self._commands) else None

    def _send_envelope(self) -> None:
        """Send more of the next message's envelope; if that fails, reading shows why."""
        with suppress(ConnectionLost):
            self._unsent = self._unsent[self._channel.send(self._unsent) :]

    def _write(self, step: Write | WriteContent, now: float) -> Waiting | None:
        """Send what can leave now; return what is waited for, None when all has left.

        Raises Unasked if the server has spoken before commands, or during content; ConnectionLost.
        """
        channel, content = self._channel, isinstance(step, WriteContent)
        while self._own > 0:
            if (content or not self._sent) and channel.heard():
                raise channel.unasked()
            if step.until is not None and now >= step.until:
                raise ConnectionLost(_TOO_LONG, timed_out=True)
            sent = channel.send(self._unsent) if self._left_to_send > 0 else 0
            if not sent:
                self._check(step, now, _UNREAD)
                read_first = channel.read_to_write
                return Waiting(read=content or read_first, write=not read_first, until=self._deadline)
            self._unsent = self._unsent[sent:]
            self._own -= sent
            self._sent += sent
            self._left_to_send -= sent
            self._allow(step, now)
        return None

    def _check(self, step: Read | Write | WriteContent, now: float, why: str) -> None:
        """Raise ConnectionLost when the time of *step* is over; *why*: its text."""
        if now >= self._deadline:
            over = step.until is not None and now >= step.until
            raise ConnectionLost(_TOO_LONG if over else why, timed_out=True)
