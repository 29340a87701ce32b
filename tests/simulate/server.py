"""A mail server that is slow, refuses, hangs up and lies, as the dice fall."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from .network import Link
from .world import World

if TYPE_CHECKING:
    from .truth import Truth

_REFUSALS = (450, 451, 452, 550, 554, 421)
_QUOTA = b"550 5.4.5 Daily user sending quota exceeded"
_MESSAGE_ID = re.compile(rb"Message-ID: (<[^>]*>)\r\n")


class Manners(NamedTuple):
    """How a server behaves.  trouble: how likely each command is answered otherwise than it should be."""

    pipelining: bool
    trouble: float
    slowness: float

    @property
    def honest(self) -> bool:
        """Whether it does what it should."""
        return self.trouble == 0


class Server:
    """The server of one account."""

    def __init__(self, world: World, truth: Truth, name: str, manners: Manners) -> None:
        self.world, self.truth, self.name, self.manners = world, truth, name, manners
        self.connections = 0

    def odd(self, weight: float = 1.0) -> bool:
        """Whether it misbehaves now."""
        return self.world.troubled and self.world.odds(self.manners.trouble * weight)

    def talk(self, link: Link) -> None:
        """Serve a connection, whose client has just logged in."""
        dialogue = _Dialogue(self, link)
        link.hears = dialogue.hear
        self.connections += 1
        if self.odd(0.3):
            self.world.at(self.world.rng.random() * 3, dialogue.speaks_unasked)


class _Dialogue:
    """One connection."""

    def __init__(self, server: Server, link: Link) -> None:
        self._server, self._link, self._world, self._truth = server, link, server.world, server.truth
        self._heard = b""
        self._busy = self._over = False
        self._in_content = self._discards = False
        self._ahead = False  # it has said 250 to a content that has not come
        self._lied = False  # it has said 250 to nothing: the client may take that for the answer to anything
        self._sender: str | None = None
        self._recipients: list[str] = []

    def hear(self, data: bytes) -> None:
        """Take in what has come, b"" at the end of the connection."""
        if not data:
            self._over = True
        self._heard += data
        self._go_on()

    def speaks_unasked(self) -> None:
        """Say something that nobody asked for."""
        if not self._over:
            self._lie(self._world.rng.choice((b"421 shutting down", b"250 by the way", b"220 hello again", b"?")))
            if not self._over and self._world.odds(0.5):
                self._hang_up()

    def _say(self, reply: bytes, end: bytes = b"\r\n") -> None:
        self._world.say(self._link.who, "<- {!r}", reply + end)
        self._link.down.push(reply + end)

    def _lie(self, reply: bytes) -> None:
        """Say what nobody asked for; a 250 may be taken for the answer to a content that is on its way."""
        self._say(reply)
        if reply.startswith(b"2"):
            self._lied = True
            self._truth.promised(self._recipients)
        elif reply.startswith(b"421"):
            self._hang_up()

    def _hang_up(self) -> None:
        self._over = True
        reset = self._world.odds(0.3)
        self._world.say(self._link.who, "<- ({})", "reset" if reset else "closed")
        self._link.hang_up(reset=reset)

    def _pause(self, seconds: float) -> None:
        self._busy = True

        def over() -> None:
            self._busy = False
            self._go_on()

        self._world.at(seconds, over)

    def _go_on(self) -> None:
        while not self._busy and not self._over:
            if self._in_content:
                if not self._take_content():
                    return
            else:
                line, end, rest = self._heard.partition(b"\n")
                if not end:
                    return
                self._heard = rest
                self._answer(line.rstrip(b"\r").decode())
            if self._world.odds(0.3):
                self._pause(self._world.rng.random() * self._server.manners.slowness)
            elif self._server.odd(0.2):
                self._pause(self._world.rng.choice((3, 30, 59, 61, 200)))

    def _answer(self, line: str) -> None:
        verb = line[:4].upper()
        if verb == "QUIT":
            self._say(b"221 bye")
            self._hang_up()
        elif verb == "RSET":
            self._sender = None
            self._say(b"250 ok")
        elif self._server.odd(0.25) and not self._still_speaks():
            return
        elif verb == "MAIL":
            self._mail(line)
        elif verb == "RCPT":
            self._rcpt(line)
        elif verb == "DATA":
            self._data()
        else:
            self._say(b"500 what?")

    def _still_speaks(self) -> bool:
        """Misbehave in a way that any command may meet; False if the connection does not survive that."""
        kind = self._world.rng.randrange(6)
        if kind == 0:
            self._hang_up()
        elif kind == 1:
            self._say(b"421 4.3.2 too busy")
            self._hang_up()
        elif kind == 2:
            self._over = True
            self._world.say(self._link.who, "   the server hangs")
        elif kind == 3:
            self._say(b"what was that?")
        elif kind == 4:
            self._lie(b"250 ah")  # beside the reply
            return True
        else:
            self._say(b"25", end=b"")
            self._hang_up()
        return False

    def _refuses(self) -> int | None:
        return self._world.rng.choice(_REFUSALS) if self._server.odd() else None

    def _mail(self, line: str) -> None:
        sender = line.partition("<")[2].partition(">")[0]
        self._sender, self._recipients = None, []
        code = self._refuses()
        if code is None:
            self._sender = sender
            self._say(b"250 2.1.0 ok")
            return
        self._truth.refused_message(sender, code)
        self._refuse(code)

    def _refuse(self, code: int) -> None:
        self._say(b"%d no" % code)
        if code == 421:
            self._hang_up()

    def _rcpt(self, line: str) -> None:
        address = line.partition("<")[2].partition(">")[0]
        if not self._link.closed:  # else it was sent before its run died, and arrives late
            self._truth.named(address)
        if self._lied:
            self._truth.promised([address])
        if self._sender is None:
            if self._lied:
                self._truth.refused_beside(address, 503)
            self._say(b"503 MAIL first")
            return
        code = self._refuses()
        if code is None:
            self._recipients.append(address)
            self._say(b"250 2.1.5 ok")
        elif code == 452:
            self._say(_QUOTA)
        else:
            self._truth.refused(address, code)
            if self._lied:
                self._truth.refused_beside(address, code)
            self._refuse(code)

    def _data(self) -> None:
        if self._sender is None or not self._recipients:
            self._say(b"503 RCPT first")
            return
        code = self._refuses()
        if code is not None:
            for address in self._recipients:
                self._truth.refused(address, code)
            self._refuse(code)
            return
        self._in_content, self._discards, self._ahead = True, False, False
        self._say(b"354 go on")
        if self._server.odd(0.1):
            self._ahead = True
            self._truth.promised(self._recipients)
            self._say(b"250 2.0.0 already queued")

    def _take_content(self) -> bool:
        """Take what has come of a content; False if more must come."""
        if self._heard and not self._discards and not self._ahead and self._server.odd(0.2):
            self._discards = True
            for address in self._recipients:
                self._truth.refused(address, 552)
            self._say(b"552 too much")
            if self._world.odds(0.5):
                self._hang_up()
                return False
        end = (b"\r\n" + self._heard).find(b"\r\n.\r\n")
        if end < 0:
            return False
        content, self._heard = self._heard[:end], self._heard[end + 3 :]
        self._in_content = False
        if not self._discards:
            self._end(content)
        return not self._over

    def _end(self, content: bytes) -> None:
        odd: list[Callable[[bytes], None]] = [
            self._refuse_content, self._refuse_content, self._forget, self._keep_quiet, self._say_twice, self._say_half,
        ]  # fmt: skip
        if self._ahead:
            self._take(content)
        elif self._server.odd():
            self._world.rng.choice(odd)(content)
        else:
            self._take(content)
            self._accept()

    def _take(self, content: bytes) -> None:
        found = _MESSAGE_ID.match(content)
        message_id = found[1].decode() if found else ""
        self._world.say(self._link.who, "   TAKEN {} for {}", message_id, self._recipients)
        self._truth.taken(message_id, list(self._recipients), content[found.end() if found else 0 :])

    def _accept(self) -> None:
        self._truth.promised(self._recipients)
        self._say(b"250 2.0.0 queued")

    def _refuse_content(self, content: bytes) -> None:
        code = self._world.rng.choice(_REFUSALS)
        for address in self._recipients:
            self._truth.refused(address, code)
        self._refuse(code)

    def _forget(self, content: bytes) -> None:
        self._hang_up()

    def _keep_quiet(self, content: bytes) -> None:
        self._take(content)
        if self._world.odds(0.5):
            self._hang_up()
        else:
            self._over = True
            self._world.say(self._link.who, "   the server hangs")

    def _say_twice(self, content: bytes) -> None:
        self._take(content)
        self._accept()
        self._lie(self._world.rng.choice((b"250 2.0.0 queued twice", b"451 or not", b"421 good night", b"354 more")))

    def _say_half(self, content: bytes) -> None:
        self._take(content)
        self._say(self._world.rng.choice((b"25", b"250-and", b"2", b"250 cut")), end=b"")
        self._hang_up()
