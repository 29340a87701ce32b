"""Hand one message to a server: MAIL, RCPT, DATA, the content, and what each reply means.

No socket, clock or thread is here: a transaction is stepped.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum
from itertools import chain
from typing import NamedTuple

from prx_email_cli.redaction import redact
from prx_email_cli.smtp.content import END_OF_DATA, data_writes
from prx_email_cli.smtp.envelope import Envelope, Fate, Recipient, RecipientResult, Result
from prx_email_cli.smtp.errors import BadReply, ConnectionLost, Unasked
from prx_email_cli.smtp.replies import Category, Reply, Scope, Trouble, judge
from prx_email_cli.smtp.server import ServerProfile
from prx_email_cli.smtp.transcript import Transcript

COMMANDS_PER_WRITE = 100  # more could fill both sides' buffers while neither reads: RFC 2920 section 3.1
LATE_REPLY_SECONDS = 5
# The whole of a transaction, beside the wait for each reply: a server that answers each RCPT just in time would hold a
# connection for hours.  The content may come over a slow line.  The answer to the dot has its own time and all of it.
ENVELOPE_SECONDS = 1800
CONTENT_SECONDS, CONTENT_BYTES_PER_SECOND = 1800, 4096
START_MAIL_INPUT = 354


class Patience(NamedTuple):
    """Seconds to wait for a reply, and for the one to the final dot."""

    reply: float
    final_reply: float


class Write(NamedTuple):
    """Write these commands whole, unless the server has spoken already.  until: by the clock, at the latest."""

    data: bytes
    until: float | None


class WriteContent(NamedTuple):
    """Write this piece of the content whole, unless the server speaks meanwhile."""

    data: bytes
    until: float | None


class Read(NamedTuple):
    """Read one reply, complete within so many seconds, and by *until*."""

    seconds: float
    until: float | None


class Look(NamedTuple):
    """Look, without waiting, whether the server has spoken unasked."""

    until: None = None


class After(StrEnum):
    """What the connection is good for after a transaction."""

    KEPT = "kept"
    WORN = "worn"  # polite to the end, but to be renewed before the next message
    ENDED = "ended"  # to be closed without a word


class Done(NamedTuple):
    """Nothing is left to do."""

    result: Result
    after: After


Step = Write | WriteContent | Read | Look | Done
Heard = Reply | ConnectionLost | None
"""What a step brought: the reply to Read; a lost connection, or words out of turn as Unasked; None when all went well
and nothing was to be read."""


class _Closing(Exception):
    """The server answered 421: it is about to close the connection, and nothing more will be said."""


class Transaction:
    """One message on one connection, stepped: what came in and the time go in, what to do next comes out.

    place: how far it has come, in words that go on after "the connection was lost".
    """

    def __init__(self, envelope: Envelope, profile: ServerProfile, patience: Patience) -> None:
        self._envelope = envelope
        self._profile = profile
        self._patience = patience
        self._header = f"Message-ID: {envelope.message_id}\r\n".encode()
        self._size = len(self._header) + envelope.size
        self._transcript = Transcript()
        self._results: dict[int, RecipientResult] = {}
        self._welcome: list[Recipient] = []  # RCPT accepted; the reply to the final dot decides
        self._refusal: Trouble | None = None  # of the message or the account
        self._refused_recipients: list[Trouble] = []
        self._account_rests = False  # on a word that was not about this message
        self._acceptance: str | None = None
        self.place = "before MAIL"
        self._left_alone = False
        self._dot_written = False  # or being written: from then on only the server knows
        self._after = After.KEPT
        self._now = 0.0
        self._until: float | None = None
        self._steps = self._play()

    def step(self, heard: Heard, now: float) -> Step:
        """Take in what the last step brought (None at first) and return the next one, the last of which is Done.

        now: by the clock that the steps' ``until`` is read with.  Raises only what the envelope's content raises.
        """
        self._now = now
        return self._steps.send(heard)

    def broken_off(self, why: str) -> Result:
        """Return what stands when this program fails midway, for instance in reading the content."""
        if self._dot_written:
            self._doubt(why)
        return self._result(None)._replace(trouble=None)

    def _play(self) -> Generator[Step, Heard, None]:
        lost = None
        try:
            if not self._unfit():
                yield from self._speak()
        except _Closing:
            self._after = After.ENDED
        except ConnectionLost as error:
            self._transcript.event(f"{error} ({self.place})")
            self._after = After.ENDED
            lost = None if self._closing(error) else error
        yield Done(self._result(lost), self._after)

    def _closing(self, lost: ConnectionLost) -> bool:
        """Whether the server closed with 421, which may come unasked; takes that in as the reason."""
        if not isinstance(lost, Unasked) or lost.closing is None or self._dot_written:
            return False
        with suppress(_Closing):
            self._refuse_message(
                lost.closing, [one for one in self._envelope.recipients if one.number not in self._results]
            )
        return True

    def _unfit(self) -> bool:
        """Whether this server can never take the message; refuses it then, without a word to the server."""
        limit = self._profile.size_limit
        if limit is not None and self._size > limit:
            why = f"the message has {self._size} bytes, the server takes at most {limit} (SIZE, RFC 1870)"
        elif self._envelope.needs_smtputf8 and not self._profile.offers("smtputf8"):
            why = "an address is not ASCII, and the server does not offer SMTPUTF8 (RFC 6531)"
        else:
            return False
        self._transcript.event(why)
        self._refusal = Trouble(Category.PROVIDER, Scope.MESSAGE, permanent=True, text=why)
        self._settle(self._envelope.recipients, Fate.REFUSED, None, why)
        return True

    def _speak(self) -> Generator[Step, Heard, None]:
        with self._at_most(ENVELOPE_SECONDS):
            answer = yield from self._say_envelope()
        if answer is None or answer.code != START_MAIL_INPUT:
            if answer is not None and self._welcome and self._refusal is None:
                self._refuse_message(answer, self._welcome)
            yield from self._reset()
        elif self._refusal is not None:
            self._after = After.ENDED  # the server waits for content that must not be sent, and only this ends that
        elif not self._welcome:
            yield from self._write(END_OF_DATA)  # an empty message, which nobody gets: RFC 2920 section 3.1
            yield from self._read(self._patience.reply)
        else:
            self._judge_final((yield from self._say_content()))

    def _say_envelope(self) -> Generator[Step, Heard, Reply | None]:
        """Say MAIL, every RCPT and DATA; return the reply to DATA, None if it was not said."""
        per_write = COMMANDS_PER_WRITE if self._profile.offers("pipelining") else 1
        commands: list[tuple[str, Recipient | None]] = [(self._mail_command(), None)]
        commands += [(f"RCPT TO:<{recipient.address}>", recipient) for recipient in self._envelope.recipients]
        commands.append(("DATA", None))
        answer = None
        for start in range(0, len(commands), per_write):
            batch = commands[start : start + per_write]
            if self._refusal is not None or (batch[0][0] == "DATA" and not self._welcome):
                return None
            for line, _ in batch:
                self._transcript.client(line)
            yield from self._write_batch("".join(f"{line}\r\n" for line, _ in batch).encode(), first=not start)
            for line, recipient in batch:
                self.place = f"after {line}"
                answer = yield from self._read(self._patience.reply)
                if line != "DATA":
                    self._take_in(answer, recipient)
        return answer

    def _write_batch(self, commands: bytes, *, first: bool) -> Generator[Step, Heard, None]:
        try:
            yield from self._write(commands)
        except ConnectionLost as lost:
            self._left_alone = first and not lost.timed_out
            raise

    def _mail_command(self) -> str:
        command = f"MAIL FROM:<{self._envelope.sender}>"
        if self._profile.offers("size"):
            command += f" SIZE={self._size}"
        if self._envelope.needs_smtputf8:  # addresses beyond ASCII stand in the headers as UTF-8, which is 8-bit
            command += " SMTPUTF8" + (" BODY=8BITMIME" if self._profile.offers("8bitmime") else "")
        return command

    def _take_in(self, reply: Reply, recipient: Recipient | None) -> None:
        """Take in the reply to MAIL (no recipient) or to a RCPT."""
        if recipient is None:
            if not reply.positive:
                self._after = After.WORN  # some servers take so many messages a connection and then say 4yz here
                self._refuse_message(reply, self._envelope.recipients)
        elif reply.positive:
            self._welcome.append(recipient)
        elif self._refusal is None:  # after a refused MAIL, the replies to RCPT only echo it
            self._refuse_recipient(reply, recipient)

    def _refuse_recipient(self, reply: Reply, recipient: Recipient) -> None:
        trouble = _expected(reply, Scope.RECIPIENT)
        trouble = trouble._replace(text=f"{recipient.address}: {reply}")
        if trouble.scope is Scope.ACCOUNT:
            self._refusal = trouble
        self._refused_recipients.append(trouble)
        self._settle([recipient], _fate(trouble), reply.code, str(reply))
        self._end_on_421(reply)

    def _refuse_message(self, reply: Reply, recipients: Sequence[Recipient]) -> None:
        self._refusal = _expected(reply, Scope.MESSAGE)
        self._settle(recipients, _fate(self._refusal), reply.code, str(reply))
        self._end_on_421(reply)

    def _end_on_421(self, reply: Reply) -> None:
        if reply.code == 421:
            raise _Closing

    def _say_content(self) -> Generator[Step, Heard, Reply]:
        """Send the content; return the reply to the final dot, or an earlier refusal."""
        self.place = "while the content was sent"
        started = False
        try:
            with self._at_most(content_seconds(self._size)):
                for data, last in data_writes(chain((self._header,), self._envelope.content)):
                    self._dot_written = last
                    yield from self._take(WriteContent(data, self._until))
                    started = True
        except ConnectionLost as lost:
            self._dot_written = False  # it ends what was to be written whole
            if isinstance(lost, Unasked):
                return (yield from self._early_refusal(lost, started=started or lost.midway))
            return (yield from self._early_reply(lost))
        self._transcript.event(f"content sent, {self._size} bytes")
        self.place = "after the final dot"
        final = yield from self._read(self._patience.final_reply)
        yield from self._refuse_second_answer()
        return final

    def _refuse_second_answer(self) -> Generator[Step, Heard, None]:
        """Raise BadReply for two replies to one dot, unless the second only says that the server closes."""
        said = yield Look()
        if isinstance(said, Unasked) and said.closing is None:
            raise BadReply(f"two answers to one message; {said}")

    def _early_refusal(self, unasked: Unasked, *, started: bool) -> Generator[Step, Heard, Reply]:
        """Return the reply of a server that refuses halfway.  Raises *unasked* if it is none, or nothing was sent."""
        if not started or unasked.closing is not None:
            raise unasked
        reply = yield from self._read(min(LATE_REPLY_SECONDS, self._patience.reply))
        if reply.code < 400:
            raise unasked
        self._after = After.ENDED
        return reply

    def _early_reply(self, lost: ConnectionLost) -> Generator[Step, Heard, Reply]:
        """Return the refusal that a server wrote before it closed halfway.  Raises *lost* if there is none."""
        if lost.timed_out:
            raise lost
        try:
            reply = yield from self._read(min(LATE_REPLY_SECONDS, self._patience.reply))
        except ConnectionLost:
            raise lost from None
        self._after = After.ENDED
        if reply.positive:
            raise lost
        return reply

    def _judge_final(self, final: Reply) -> None:
        if final.positive:
            self._acceptance = redact(final.text) or str(final.code)
            self._settle(self._welcome, Fate.ACCEPTED, final.code, str(final))
        else:
            self._refuse_message(final, self._welcome)

    def _reset(self) -> Generator[Step, Heard, None]:
        """Say RSET, so that the next message finds a clean dialogue.

        A failure here is the connection's, not the message's; but a 421 closes the account's day here as anywhere.
        """
        try:
            self._transcript.client("RSET")
            yield from self._write(b"RSET\r\n")
            reply = yield from self._read(self._patience.reply)
        except ConnectionLost as lost:
            self._transcript.event(str(lost))
            self._after = After.ENDED
            return
        if not reply.positive:
            self._after = After.ENDED
            self._account_rests = reply.code >= 400 and judge(reply, Scope.MESSAGE).scope is Scope.ACCOUNT

    @contextmanager
    def _at_most(self, seconds: float) -> Iterator[None]:
        """Let the steps meanwhile take *seconds* in all."""
        self._until = self._now + seconds
        try:
            yield
        finally:
            self._until = None

    def _write(self, data: bytes) -> Generator[Step, Heard, None]:
        yield from self._take(Write(data, self._until))

    def _read(self, seconds: float) -> Generator[Step, Heard, Reply]:
        reply = yield from self._take(Read(seconds, self._until))
        if reply is None:
            raise BadReply("nothing was read where a reply was due")
        self._transcript.server(reply)
        return reply

    def _take(self, step: Step) -> Generator[Step, Heard, Reply | None]:
        """Have *step* done; return the reply that it brought.  Raises ConnectionLost."""
        heard = yield step
        if isinstance(heard, ConnectionLost):
            raise heard
        return heard

    def _doubt(self, why: str) -> None:
        """Mark the recipients that the server accepted and has not answered for as uncertain."""
        doubtful = RecipientResult(Fate.UNCERTAIN, None, why)
        for recipient in self._welcome:
            self._results.setdefault(recipient.number, doubtful)

    def _settle(self, recipients: Sequence[Recipient], fate: Fate, code: int | None, text: str) -> None:
        for recipient in recipients:
            self._results[recipient.number] = RecipientResult(fate, code, redact(text))

    def _result(self, lost: ConnectionLost | None) -> Result:
        trouble = self._worst(lost)
        if trouble is not None:
            scope = Scope.ACCOUNT if self._account_rests else trouble.scope
            trouble = trouble._replace(scope=scope, text=redact(trouble.text))
            if lost is not None and self._dot_written:
                self._doubt(trouble.text)
        return Result(self._results, trouble, self._acceptance, redact(self._transcript.take()), self._left_alone)

    def _worst(self, lost: ConnectionLost | None) -> Trouble | None:
        """Return the trouble to report: a lost connection, else the message's refusal, else the first recipient's."""
        if lost is not None:
            category = Category.PROVIDER if isinstance(lost, BadReply) else Category.NETWORK
            return Trouble(category, Scope.MESSAGE, permanent=False, text=f"{lost} ({self.place})")
        if self._refusal is not None or not self._refused_recipients:
            return self._refusal
        first, *others = self._refused_recipients
        more = f" (and {len(others)} more recipients)" if others else ""
        return first._replace(text=first.text + more)


def content_seconds(size: int) -> float:
    """Return the seconds in which a content of *size* bytes must be sent: almost three hours for 34 MB."""
    return CONTENT_SECONDS + size / CONTENT_BYTES_PER_SECOND


def _expected(reply: Reply, scope: Scope) -> Trouble:
    """Judge a 4yz or 5yz reply.  Raises BadReply for one that has no place here, such as 354 to RCPT."""
    if reply.code < 400:
        raise BadReply(f"an answer that has no place here: {reply}")
    return judge(reply, scope)


def _fate(trouble: Trouble) -> Fate:
    return Fate.REFUSED if trouble.permanent else Fate.DEFERRED
