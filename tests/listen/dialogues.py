"""Random SMTP dialogues, and a model that reads both sides of one and knows which messages must be in the outbox.

The model is written from RFC 5321 and docs/listen.md, and shares nothing with the server.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

MOST_BYTES, MOST_BYTES_OF_A_HEAD = 30_000_000, 1 << 20
MAILS = {b"MAIL FROM:<a@example.com>": "a@example.com", b"mail from:<>": "",
         b"MAIL FROM:<evil@example.com> BODY=8BITMIME": "evil@example.com"}  # fmt: skip
RCPTS = {b"RCPT TO:<b@example.org>": "b@example.org", b"rcpt to:<c@example.org>": "c@example.org",
         b"RCPT TO:<victim@example.org>": "victim@example.org"}  # fmt: skip
SMUGGLED = b"MAIL FROM:<evil@example.com> BODY=8BITMIME\r\nRCPT TO:<victim@example.org>\r\nDATA\r\n"
HEAD = "Message-ID: <{mark}@fuzz.example>\r\nFrom: a@example.com\r\nSubject: s\r\nDate: d\r\nMIME-Version: 1.0\r\n" \
    "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"  # fmt: skip
PIECES = (
    b"text", b"\r\n", b"\r\n", b"\r\n.\r\n", b"\r.\r\n", b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r\n.\r", b".", b"..",
    b"\r\r\n.\r\r\n", b"\r", b"\n", b"\0", b"\r\n..\r\n", b"\r\n.x\r\n", b"x" * 997, SMUGGLED, b"QUIT\r\n", b"RSET\r\n",
    b"\xc3\xa4", b"EHLO x\r\n", b"AUTH PLAIN =\r\n", b"STARTTLS\r\n", b"BDAT 5 LAST\r\n", b"MAIL FROM:<\r\n",
    b"\xff\xfe\r\n", b"NOOP\r\n" * 3, b"y" * 3000 + b"\r\n",
)  # fmt: skip
ODD_LINES = (
    b"NOOP\n", b"NO\rOP\r\n", b"\0\r\n", b"\r\n", b"\n", b"x" * 3000 + b"\r\n", b"x" * 200_000 + b"\r\n",
    b"FOO bar\r\n", b"MAIL FROM:<\r\n", b"MAIL FROM:<a@example.com> SIZE=x\r\n", b"RCPT TO:<nobody>\r\n",
    b"RCPT TO:<>\r\n", b"RCPT TO:<\xc3\xbc@example.org>\r\n", b"\xff\xfe\xfd\r\n", b"AUTH PLAIN =\r\n",
    b"STARTTLS\r\n", b"BDAT 5 LAST\r\n", b"DATA x\r\n", b"VRFY a\r\n", b"HELP\r\n", b"EHLO\r\n", b"EXPN a\r\n",
    b".\r\n", b"DATA\n", b"QUIT \r\n", b"MAIL FROM:<a@example.com> SIZE=99999999999\r\n", b"GET / HTTP/1.1\r\n",
)  # fmt: skip
END = re.compile(rb"\r\n\.\r\n")


class Step(NamedTuple):
    """What a client does: it sends the pieces, then waits until all of it is answered, or not."""

    pieces: list[bytes]
    waits: bool


class Dialogue(NamedTuple):
    """What a client does in turn.  end: how it leaves, ``quit``, ``shut``, ``close`` or ``reset``."""

    steps: list[Step]
    end: str


@dataclass
class Message:
    """A message that the server has, or may have, taken.  content: as every reader must understand it."""

    sender: str
    recipients: list[str]
    content: bytes
    outbox_id: int | None = None


def reference(sent: bytes) -> bytes | None:
    """Return what follows 354 up to the final dot's line; None without an end (RFC 5321 section 4.1.1.4)."""
    whole = b"\r\n" + sent
    end = END.search(whole)
    return None if end is None else whole[2 : end.start() + 2]


def meant(lines: bytes) -> bytes | None:
    """Return the message in *lines* as they were sent, dots undone; None where readers differ (docs/listen.md)."""
    if b"\0" in lines:
        return None
    if re.search(rb"(?<!\r)\n|\r(?!\n)", lines):
        text = lines.removesuffix(b"\r\n")
        if b"\r" in text or re.search(rb"(?m)^\.(?!\.)", text):
            return None
        lines = text.removesuffix(b"\n").replace(b"\n", b"\r\n") + b"\r\n"
    return re.sub(rb"(\A|(?<=\r\n))\.", b"", lines)


@dataclass
class Model:
    """Reads what a client has sent and what it was answered, as far as both go.

    complaints: what the server may not have answered.
    """

    messages: list[Message] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    closed: bool = False
    _sent: bytearray = field(default_factory=bytearray)
    _said: bytearray = field(default_factory=bytearray)
    _begun: bool = False
    _greeted: bool = False
    _extended: bool = False
    _sender: str | None = None
    _recipients: list[str] = field(default_factory=list)
    _in_content: bool = False

    def sends(self, data: bytes) -> None:
        """The client sends."""
        self._sent += data
        self._go_on()

    def hears(self, data: bytes) -> None:
        """The client is answered."""
        self._said += data
        self._go_on()

    @property
    def waits(self) -> bool:
        """Whether something is to be answered yet."""
        return not self.closed and (not self._begun or self._unit() is not None)

    def may_have_taken(self) -> list[Message]:
        """What the client sent and did not hear the answer of: each message in it was stored, or was not."""
        found: list[Message] = []
        while (unit := self._unit()) is not None:
            del self._sent[: len(unit)]
            if self._in_content:
                self._finish(unit, "250 2.0.0 Ok: queued as 0", found)
            else:
                line = unit.strip().upper()
                ok = "354" if line == b"DATA" and self._recipients else "250 may be"
                self._command(unit, ok, strict=False)
        return found

    def _go_on(self) -> None:
        while not self.closed:
            reply = self._next_reply()
            if reply is None:
                return
            if not self._begun:
                self._begun = True
                if not reply.startswith("220 "):
                    self.complaints.append(f"greeted with {reply}")
            else:
                unit = self._unit()
                if unit is None:
                    if not reply.startswith("421 "):
                        self.complaints.append(f"answered nothing with {reply}")
                    self.closed = True
                    return
                del self._sent[: len(unit)]
                if self._in_content:
                    self._finish(unit, reply, self.messages)
                else:
                    self._command(unit, reply, strict=True)
            self._take_reply()
            self.closed = self.closed or "closing" in reply or reply.startswith(("221 ", "421 ", "502 5.5.1 Too many"))

    def _next_reply(self) -> str | None:
        """The next whole reply, which stays where it is."""
        found = re.match(rb"(?:\d{3}-[^\r\n]*\r\n)*\d{3} [^\r\n]*\r\n", self._said)
        return None if found is None else found[0].decode().splitlines()[-1]

    def _take_reply(self) -> None:
        while (line := self._said[: self._said.index(b"\n") + 1])[3:4] == b"-":
            del self._said[: len(line)]
        del self._said[: len(line)]

    def _unit(self) -> bytes | None:
        """What the client has sent whole and the server is to answer: a line, or a content."""
        if not self._in_content:
            end = self._sent.find(b"\n")
            return None if end < 0 else bytes(self._sent[: end + 1])
        whole = reference(bytes(self._sent))
        return None if whole is None else bytes(self._sent[: len(whole) + 3])

    def _finish(self, unit: bytes, reply: str, messages: list[Message]) -> None:
        sent = unit[:-3]
        content = meant(sent)
        taken = re.fullmatch(r"250 2\.0\.0 Ok: queued as (\d+)", reply)
        if taken is not None and content is not None:
            messages.append(Message(self._sender or "", self._recipients, content, int(taken[1])))
        if len(sent) > MOST_BYTES + 2:
            wanted = "552 5.3.4"
        elif content is None:
            wanted = "550 5.6"
        elif len(content.partition(b"\r\n\r\n")[0]) > MOST_BYTES_OF_A_HEAD:
            wanted = "554 5.6.0 the headers have more than"
        else:
            wanted = "250 2.0.0 Ok: queued as " if content.startswith(b"Message-ID: <") else ""
        if not reply.startswith(wanted or ("250 ", "554 5.6.0", "554 5.4.6")):
            self.complaints.append(f"answered {reply} to {sent[:200]!r}, {len(sent)} bytes, in place of {wanted}")
        self._sender, self._recipients, self._in_content = None, [], False

    def _command(self, unit: bytes, reply: str, *, strict: bool) -> None:
        """Follow the state that the replies tell, and complain about one that it does not allow."""
        line = unit.removesuffix(b"\r\n")
        wanted: str | tuple[str, ...] = tuple("245")
        verb = line.partition(b" ")[0].upper()
        if line in MAILS:
            wanted = "250 " if self._greeted and self._sender is None else "503 "
            if wanted == "250 " and b"BODY" in line and not self._extended:
                wanted = "501 "
            if reply.startswith("250 "):
                self._sender, self._recipients = MAILS[line], []
        elif line in RCPTS:
            wanted = "250 " if self._sender is not None else "503 "
            if reply.startswith("250 ") and RCPTS[line] not in self._recipients:
                self._recipients = [*self._recipients, RCPTS[line]]
        elif unit.upper() == b"DATA\r\n":
            wanted = "354 " if self._recipients else ("503 ", "554 ")
            if self._sent:  # the server may have seen that it was sent ahead
                wanted = ("354 ", "503 ") if self._recipients else ("503 ", "554 ")
            self._in_content = reply.startswith("354")
        elif verb in (b"EHLO", b"HELO", b"RSET", b"STARTTLS"):
            self._sender, self._recipients = None, []
            if verb in (b"EHLO", b"HELO") and reply.startswith("250"):
                self._greeted, self._extended = True, verb == b"EHLO"
        elif verb == b"MAIL":
            wanted = ("5", "4")
        if strict and not reply.startswith(wanted):
            self.complaints.append(f"answered {reply} to {unit[:200]!r}, in place of {wanted}")


def dialogue(chance: random.Random, mark: str) -> Dialogue:
    """Make a dialogue; each message in it has *mark* in its first line and, where it is not cut, in its last one."""
    steps = [_spoken(chance, b"EHLO client.example\r\n" if chance.random() < 0.8 else b"HELO x\r\n")]
    for number in range(chance.choice((1, 1, 2, 3))):
        steps += _odd(chance)
        lines = [chance.choice([*MAILS]), *chance.choices([*RCPTS], k=chance.randrange(1, 4)), b"DATA"]
        envelope = [line + b"\r\n" for line in lines]
        content = _content(chance, f"{mark}.{number}")
        if chance.random() < 0.08:  # ahead of the go-ahead, in whole or in part
            steps.append(Step(_cut(chance, b"".join(envelope) + content), waits=True))
            continue
        if chance.random() < 0.5:
            steps.append(_spoken(chance, b"".join(envelope)))
        else:
            for line in envelope:
                steps += [_spoken(chance, line), *_odd(chance, 0.02)]
        behind = b"".join(chance.choices((b"NOOP\r\n", b"RSET\r\n", b"QUIT\r\n", SMUGGLED), k=chance.randrange(3)))
        steps.append(Step(_cut(chance, content + (behind if chance.random() < 0.2 else b"")), waits=True))
    end = chance.choice(("quit", "quit", "quit", "shut", "close", "reset"))
    if end == "quit":
        return Dialogue([*steps, Step([b"QUIT\r\n"], waits=True)], end)
    return Dialogue(_broken_off(chance, steps), end)


def _content(chance: random.Random, mark: str) -> bytes:
    """Return what is sent after 354: mostly a message and its end."""
    head = HEAD.format(mark=mark).encode()
    kind = chance.random()
    if kind < 0.1:
        head = chance.choice(
            (b"no header\r\n", b"", b": x\r\n", b"Subject: s\r\n\r\n", b"Received: x\r\n" * 60, b"\0", b".")
        )
    elif kind < 0.104:
        head = head.replace(b"Subject: s", b"Subject: s\r\nX-Long: " + b"z" * (20 << 20))
    elif kind < 0.106:
        head += b"z" * 900 * 40_000
    body = b"".join(chance.choices(PIECES, k=chance.randrange(10)))
    if chance.random() < 0.6:  # harmless ones, or hardly any would be taken
        body = b"".join(chance.choices((b"text", b"\r\n", b"\r\n..", b"\xc3\xa4", b"x" * 900), k=chance.randrange(20)))
    if chance.random() < 0.04:
        body += chance.randbytes(chance.randrange(100_000))
    data = head + body + f"\r\nend of {mark}".encode()
    if chance.random() < 0.2:
        data = data.replace(b"\r\n", b"\n")
    return data + chance.choice((b"\r\n.\r\n",) * 12 + (b"", b"\n.\n", b"\r\n.\n", b"\n.\r\n", b"\r\n.", b"\r.\r"))


def _spoken(chance: random.Random, data: bytes) -> Step:
    return Step(_cut(chance, data) if chance.random() < 0.2 else [data], waits=True)


def _odd(chance: random.Random, share: float = 0.1) -> list[Step]:
    """Sometimes a line that no client should send."""
    return [Step([chance.choice(ODD_LINES)], waits=chance.random() < 0.5)] if chance.random() < share else []


def _cut(chance: random.Random, data: bytes) -> list[bytes]:
    """Cut *data* into a few pieces, at any place and often at its end."""
    cuts = [chance.randrange(len(data) + 1) for _ in range(chance.randrange(3))]
    cuts += [max(0, len(data) - chance.randrange(8)) for _ in range(chance.randrange(2))]
    places = [0, *sorted(cuts), len(data)]
    return [data[begin:end] for begin, end in pairwise(places) if begin < end]


def _broken_off(chance: random.Random, steps: list[Step]) -> list[Step]:
    """Stop somewhere, often within a piece, and without waiting for the last answer."""
    kept = steps[: chance.randrange(len(steps)) + 1]
    pieces = kept[-1].pieces
    pieces = pieces[: chance.randrange(len(pieces)) + 1] if pieces else []
    if pieces and chance.random() < 0.5:
        pieces = [*pieces[:-1], pieces[-1][: chance.randrange(len(pieces[-1]) + 1)]]
    return [*kept[:-1], Step(pieces, waits=False)]
