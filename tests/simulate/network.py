"""Connections whose bytes are cut, joined, delayed and lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from prx_email_cli.smtp.channel import RECEIVE_BYTES, Channel
from prx_email_cli.smtp.errors import ConnectionLost
from prx_email_cli.smtp.reply_buffer import ReplyBuffer
from prx_email_cli.smtp.server import ServerProfile

from .world import World, current


class Weather(NamedTuple):
    """The manners of a connection.

    latency: seconds at the most for each piece.  cuts: how likely it is that bytes come in pieces.  room: so many bytes
    may be on their way.  up, down: after so many bytes to or from the server the connection breaks.  falls_silent: it
    breaks without a word.
    """

    latency: float
    cuts: float
    room: int
    up: int | None = None
    down: int | None = None
    falls_silent: bool = False


class _Flow:
    """One direction.  arrive: is given what comes, at last b""."""

    def __init__(self, world: World, weather: Weather, arrive: Callable[[bytes], object]) -> None:
        self._world, self._weather, self._arrive = world, weather, arrive
        self._bytes = bytearray()
        self._moving = self._ending = self.dropped = False

    def __len__(self) -> int:
        return len(self._bytes)

    def push(self, data: bytes) -> None:
        """Send bytes off."""
        self._bytes += data
        self._move()

    def finish(self) -> None:
        """Nothing more is sent."""
        self._ending = True
        self._move()

    def drop(self) -> None:
        """Lose what is on its way, and all that follows."""
        self._bytes.clear()
        self.dropped = True

    def _move(self) -> None:
        if not self._moving and not self.dropped and (self._bytes or self._ending):
            self._moving = True
            self._world.at(self._world.rng.random() * self._weather.latency, self._arrives)

    def _arrives(self) -> None:
        self._moving = False
        if self.dropped:
            return
        if not self._bytes:
            self.dropped = True
            self._arrive(b"")
            return
        many = len(self._bytes)
        if self._world.odds(self._weather.cuts):
            many = self._world.rng.randint(max(1, many // 50), many)
        piece = bytes(self._bytes[:many])
        del self._bytes[:many]
        self._arrive(piece)
        self._move()


class Link:
    """A connection, seen from the client.  stirred: called when it can be read or written."""

    def __init__(self, world: World, weather: Weather, stirred: Callable[[], None], who: str) -> None:
        self._world, self._weather, self._stirred, self.who = world, weather, stirred, who
        self.up, self.down = _Flow(world, weather, self._came_up), _Flow(world, weather, self._came_down)
        self._inbox = bytearray()
        self._passed_up = self._passed_down = 0
        self._eof = self._reset = self.closed = False
        self.hears: Callable[[bytes], object] = lambda data: None

    @property
    def readable(self) -> bool:
        """Whether the client has something to read, or the connection has ended."""
        return bool(self._inbox) or self._eof or self._reset

    @property
    def writable(self) -> bool:
        """Whether the client can send."""
        return self._reset or len(self.up) < self._weather.room

    def send(self, data: bytes) -> int:
        """Send what has room.  Raises ConnectionLost."""
        if self._reset or self.closed:
            raise ConnectionLost("connection lost: reset by peer")
        room = max(self._weather.room, len(data) // 20)  # or a long content would take thousands of events
        sent = data[: max(0, room - len(self.up))]
        if sent and not self.up.dropped:
            self.up.push(sent)
        return len(sent)

    def receive(self, most: int) -> bytes | None:
        """Return what has come, b"" at the end, None for nothing yet.  Raises ConnectionLost."""
        if self._inbox:
            data = bytes(self._inbox[:most])
            del self._inbox[: len(data)]
            return data
        if self._reset:
            raise ConnectionLost("connection lost: reset by peer")
        return b"" if self._eof else None

    def close(self) -> None:
        """The client closes; what it has sent may still arrive."""
        if not self.closed:
            self.closed = True
            if self._inbox and self._world.odds(0.5):  # unread bytes make a reset of it
                self.up.drop()
                self.hears(b"")
            self.up.finish()

    def hang_up(self, *, reset: bool) -> None:
        """The server closes, or resets."""
        self.up.drop()
        if not reset:
            self.down.finish()
            return
        self.down.drop()
        self._reset = True
        self.hears(b"")
        self._stirred()

    def fall_silent(self) -> None:
        """Nothing arrives any more, and nobody is told."""
        self._world.say(self.who, "   the line goes dead")
        self.up.drop()
        self.down.drop()

    def _breaks(self) -> None:
        if self._weather.falls_silent:
            self.fall_silent()
        else:
            self._world.say(self.who, "   the connection is reset on the way")
            self.hang_up(reset=True)

    def _came_up(self, data: bytes) -> None:
        limit = self._weather.up
        broken = limit is not None and self._world.troubled and self._passed_up + len(data) >= limit
        if limit is not None and broken:
            data = data[: limit - self._passed_up]
        self._passed_up += len(data)
        if data or not broken:
            self.hears(data)
        if broken:
            self._breaks()
        self._stirred()

    def _came_down(self, data: bytes) -> None:
        limit = self._weather.down
        broken = limit is not None and self._world.troubled and self._passed_down + len(data) >= limit
        if limit is not None and broken:
            data = data[: limit - self._passed_down]
        self._passed_down += len(data)
        if data:
            self._inbox += data
        elif not broken:
            self._eof = True
        if broken:
            self._breaks()
        self._stirred()


class PlayedChannel(Channel):
    """The program's channel on a played connection."""

    def __init__(self, link: Link, world: World, *, encrypted: bool) -> None:
        self.link, self._world, self.encrypted = link, world, encrypted
        self.replies = ReplyBuffer()
        self.write_to_read = self.read_to_write = False
        self.in_doubt = 0
        self._drained = False

    def fileno(self) -> int:
        """Any number while it is open."""
        return -1 if self.link.closed else 1

    def heard(self) -> bool:
        """Tell whether unread data has arrived.  Raises ConnectionLost."""
        if not self.replies:
            if self.link.readable:
                self._receive()
            else:
                self._drained = not self.encrypted
        return bool(self.replies)

    def send(self, data: memoryview) -> int:
        """Send what can leave at once; under TLS a record may leave and its sender not be told."""
        process = current()
        assert process is not None
        process.point("before it sends")
        octets = bytes(data)
        if self.encrypted:
            octets = octets[: 16 * 1024]
            self.in_doubt = len(octets)
            if self._world.troubled and self._world.odds(0.02) and len(octets) <= 4000 and not self.link.closed:
                self.link.up.push(octets)
                self._world.say(self.link.who, "-> {!r} (nobody is told that it left)", octets[-60:])
                self.link.hang_up(reset=True)
                raise ConnectionLost("connection lost: TLS")
        sent = self.link.send(octets)
        self.in_doubt = 0
        if sent:
            self._world.say(self.link.who, "-> {!r}{}", octets[max(0, sent - 120) : sent], f" ({sent} bytes)")
            process.point("after it has sent")
        return sent

    def _receive(self) -> bool:
        self.write_to_read = False
        most = self._world.rng.choice((RECEIVE_BYTES, 3)) if self.encrypted else RECEIVE_BYTES
        data = self.link.receive(most)
        if data is None:
            return False
        if not data:
            raise ConnectionLost("the server closed the connection")
        self.replies.feed(data)
        self._drained = not self.encrypted
        return True


class PlayedWire:
    """What a session knows of its connection."""

    def __init__(self, channel: PlayedChannel, profile: ServerProfile, reply_timeout: float) -> None:
        self._channel, self.profile, self.reply_timeout = channel, profile, reply_timeout

    def channel(self) -> Any:
        """Return the connection."""
        return self._channel

    def close(self) -> None:
        """Close it."""
        process = current()
        if process is None or process.alive:  # of a dead one the kernel closes it
            self._channel.link.close()
