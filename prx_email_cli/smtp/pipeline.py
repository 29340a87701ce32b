"""Carry out transactions over an open connection, without waiting."""

from collections.abc import Generator
from typing import NamedTuple, Protocol

from prx_email_cli.smtp.channel import Channel
from prx_email_cli.smtp.envelope import Result
from prx_email_cli.smtp.errors import ConnectionLost
from prx_email_cli.smtp.transaction import After, Done, Heard, Look, Read, Step, Write, WriteContent

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


class Stepped(Protocol):
    """A part of a dialogue that is stepped: a transaction, or the farewell."""

    def step(self, heard: Heard, now: float) -> Step:
        """Take in what the last step brought, None at first; return the next, at last Done."""


class Pipeline:
    """Carries out one part after the other on a connection."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._part: Stepped | None = None
        self._step: Step | None = None
        self._unsent = memoryview(b"")
        self._begun = False  # some of the step's bytes have left
        self._deadline = 0.0
        self._left_to_send = 0

    @property
    def part(self) -> Stepped | None:
        """Return the part under way; None for none."""
        return self._part

    def start(self, part: Stepped) -> None:
        """Begin *part*.  Raises RuntimeError while another is under way."""
        if self._part is not None:
            raise RuntimeError("a connection carries out one transaction after the other")
        self._part, self._step = part, None

    def go_on(self, now: float) -> Waiting | Done:
        """Do all that can be done now; return what is waited for, or how the part ended.

        now: seconds of the caller's clock.  Raises what the part raises, RuntimeError when none is under way.
        """
        if self._part is None:
            raise RuntimeError("nothing is under way on this connection")
        self._left_to_send = _BYTES_AT_ONE_GO
        step = self._step or self._next(self._part, None, now)
        while not isinstance(step, Done):
            try:
                heard = self._do(step, now)
            except ConnectionLost as lost:
                heard = lost
            if isinstance(heard, Waiting):
                return heard
            step = self._next(self._part, heard, now)
        self._part = None
        return step

    def _next(self, part: Stepped, heard: Heard, now: float) -> Step:
        """Step *part*, and note how long its new step may last and what is to be sent."""
        self._step = step = part.step(heard, now)
        if isinstance(step, Read | Write | WriteContent):
            self._allow(step, now)
        if isinstance(step, Write | WriteContent):
            self._unsent, self._begun = memoryview(step.data), False
        return step

    def _allow(self, step: Read | Write | WriteContent, now: float) -> None:
        deadline = now + step.seconds
        self._deadline = deadline if step.until is None else min(deadline, step.until)

    def _do(self, step: Read | Write | WriteContent | Look, now: float) -> Heard | Waiting:
        """Do what can be done of *step*; return what it brought or waits for.

        Raises ConnectionLost.
        """
        channel = self._channel
        if isinstance(step, Look):
            return channel.unasked() if channel.heard() else None
        if not isinstance(step, Read):
            return self._write(step, now)
        reply = channel.reply()
        if reply is None:
            self._check(step, now, _SILENT)
            return Waiting(read=True, write=channel.write_to_read, until=self._deadline)
        return reply

    def _write(self, step: Write | WriteContent, now: float) -> Waiting | None:
        """Send what can leave now; return what is waited for, None when all has left.

        Raises Unasked if the server has spoken before commands, or during content; ConnectionLost.
        """
        channel, content = self._channel, isinstance(step, WriteContent)
        while self._unsent:
            if (content or not self._begun) and channel.heard():
                raise channel.unasked(midway=self._begun)
            if step.until is not None and now >= step.until:
                raise ConnectionLost(_TOO_LONG, timed_out=True)
            sent = channel.send(self._unsent) if self._left_to_send > 0 else 0
            if not sent:
                self._check(step, now, _UNREAD)
                read_first = channel.read_to_write
                return Waiting(read=content or read_first, write=not read_first, until=self._deadline)
            self._unsent = self._unsent[sent:]
            self._begun = True
            self._left_to_send -= sent
            self._allow(step, now)
        return None

    def _check(self, step: Read | Write | WriteContent, now: float, why: str) -> None:
        """Raise ConnectionLost when the time of *step* is over; *why*: its text."""
        if now >= self._deadline:
            over = step.until is not None and now >= step.until
            raise ConnectionLost(_TOO_LONG if over else why, timed_out=True)


class Farewell:
    """QUIT and the wait for its reply, so many *seconds* at most for each.

    The connection is to be closed afterwards, whatever came.
    """

    def __init__(self, seconds: float) -> None:
        self._steps = self._play(seconds)
        self.said: ConnectionLost | None = None  # what came in place of the reply

    def step(self, heard: Heard, now: float) -> Step:
        """Take in what the last step brought and return the next one."""
        return self._steps.send(heard)

    def _play(self, seconds: float) -> Generator[Step, Heard, None]:
        heard = yield Write(b"QUIT\r\n", seconds, None)
        if heard is None:
            heard = yield Read(seconds, None)
        self.said = heard if isinstance(heard, ConnectionLost) else None
        yield Done(Result({}), After.ENDED)
