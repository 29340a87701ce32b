"""Hand one message to a server: what to write, and what each reply means.

No socket, clock or thread is here: the caller steps a transaction, and does what each step says.
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
# Limits of envelope and content as a whole, beside that of each reply: a server that answers each RCPT just in time
# would hold the connection for hours.  The content's limit grows with its size, for slow lines.  The reply to the final
# dot is under neither.
ENVELOPE_SECONDS = 1800
CONTENT_SECONDS, CONTENT_BYTES_PER_SECOND = 1800, 4096
START_MAIL_INPUT = 354


class Patience(NamedTuple):
    """How many seconds to wait for a reply, and for the reply to the final dot."""

    reply: float
    final_reply: float


class Write(NamedTuple):
    """Write these commands whole, by the time *until*, unless the server has spoken.

    seconds: how long to wait, at most, for the server to read on.
    """

    data: bytes
    seconds: float
    until: float | None


class WriteContent(NamedTuple):
    """Write this piece of the content whole, unless the server speaks meanwhile."""

    data: bytes
    seconds: float
    until: float | None


class Read(NamedTuple):
    """Read one reply, whole within *seconds* and before the time *until*, if any."""

    seconds: float
    until: float | None


class Look(NamedTuple):
    """Look, without waiting, whether the server has spoken unasked."""

    until: None = None


class After(StrEnum):
    """What the connection is good for after a transaction."""

    KEPT = "kept"
    WORN = "worn"  # open, but to be renewed before the next message
    ENDED = "ended"  # to be closed without QUIT


class Done(NamedTuple):
    """The transaction is over."""

    result: Result
    after: After


Step = Write | WriteContent | Read | Look | Done
Heard = Reply | ConnectionLost | None
"""What a step brought: the reply for Read; ConnectionLost or Unasked if the step failed, or Look found something; else
None."""


class _Closing(Exception):
    """The server answered 421 and closes the connection: nothing more is said."""


class Transaction:
    """One message on one connection, driven by ``step``.

    place: how far it has come, such as "after DATA", for the text of a lost connection.
    """

    def __init__(self, envelope: Envelope, profile: ServerProfile, patience: Patience) -> None:
        self._envelope = envelope
        self._profile = profile
        self._patience = patience
        self._header = f"Message-ID: {envelope.message_id}\r\n".encode()
        self._size = len(self._header) + envelope.size
        self._transcript = Transcript()
        self._results: dict[int, RecipientResult] = {}
        self._welcome: list[Recipient] = []  # their RCPT was accepted; the reply to the final dot decides
        self._refusal: Trouble | None = None  # of the message or the account
        self._refused_recipients: list[Trouble] = []
        self._account_rests = False  # because of a reply that was not about this message
        self._acceptance: str | None = None
        self.place = "before MAIL"
        self._left_alone = False
        self._dot_written = False  # or being written: the server may have accepted the message
        self._after = After.KEPT
        self._now = 0.0
        self._until: float | None = None
        self._steps = self._play()

    def step(self, heard: Heard, now: float) -> Step:
        """Take in what the last step brought, None at first; return the next step.

        The last step is Done.  now: seconds, by the clock of ``until``.  Raises only what reading the content raises.
        """
        self._now = now
        return self._steps.send(heard)

    def broken_off(self, why: str) -> Result:
        """Return the result so far when this program fails; *why*: for uncertain ones."""
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
        """Tell whether the server closed with an unasked 421, which then is the refusal."""
        if not isinstance(lost, Unasked) or lost.closing is None or self._dot_written:
            return False
        with suppress(_Closing):
            self._refuse_message(
                lost.closing, [one for one in self._envelope.recipients if one.number not in self._results]
            )
        return True

    def _unfit(self) -> bool:
        """Tell whether this server can never take the message, which is refused then."""
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
            self._after = After.ENDED  # the server waits for content that must not be sent: only closing ends that
        elif not self._welcome:
            yield from self._write(END_OF_DATA)  # an empty message for no recipient: RFC 2920 section 3.1
            yield from self._read(self._patience.reply)
        else:
            self._judge_final((yield from self._say_content()))

    def _say_envelope(self) -> Generator[Step, Heard, Reply | None]:
        """Say MAIL, each RCPT and DATA; return the reply to DATA, None if it was not said."""
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
        if self._envelope.needs_smtputf8:  # the headers then hold UTF-8, which is 8-bit: RFC 6531 section 3.6
            command += " SMTPUTF8" + (" BODY=8BITMIME" if self._profile.offers("8bitmime") else "")
        return command

    def _take_in(self, reply: Reply, recipient: Recipient | None) -> None:
        """Take in the reply to MAIL (no recipient) or to a RCPT."""
        if recipient is None:
            if not reply.positive:
                self._after = After.WORN  # some servers answer 4yz here after some messages on a connection
                self._refuse_message(reply, self._envelope.recipients)
        elif reply.positive:
            self._welcome.append(recipient)
        elif self._refusal is None:  # after a refused MAIL, the replies to RCPT only repeat it
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
                    yield from self._take(WriteContent(data, self._patience.reply, self._until))
                    started = True
        except ConnectionLost as lost:
            self._dot_written = False  # the dot ends the write, which was not completed
            if isinstance(lost, Unasked):
                return (yield from self._early_refusal(lost, started=started or lost.midway))
            return (yield from self._early_reply(lost))
        self._transcript.event(f"content sent, {self._size} bytes")
        self.place = "after the final dot"
        final = yield from self._read(self._patience.final_reply)
        yield from self._refuse_second_answer()
        return final

    def _refuse_second_answer(self) -> Generator[Step, Heard, None]:
        """Raise BadReply if a second reply to the final dot has come, unless it is 421."""
        said = yield Look()
        if isinstance(said, Unasked) and said.closing is None:
            raise BadReply(f"two answers to one message; {said}")

    def _early_refusal(self, unasked: Unasked, *, started: bool) -> Generator[Step, Heard, Reply]:
        """Return a refusal that came during the content.  Raises *unasked* for others."""
        if not started or unasked.closing is not None:
            raise unasked
        reply = yield from self._read(min(LATE_REPLY_SECONDS, self._patience.reply))
        if reply.code < 400:
            raise unasked
        self._after = After.ENDED
        return reply

    def _early_reply(self, lost: ConnectionLost) -> Generator[Step, Heard, Reply]:
        """Return a refusal that came before the connection broke; else raise *lost*."""
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
        """Say RSET, so that the next message can begin.

        A failure ends the connection and changes no result; a reply about the account, such as 421, makes it rest.
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
        """Let the steps in the block take *seconds* in all."""
        self._until = self._now + seconds
        try:
            yield
        finally:
            self._until = None

    def _write(self, data: bytes) -> Generator[Step, Heard, None]:
        yield from self._take(Write(data, self._patience.reply, self._until))

    def _read(self, seconds: float) -> Generator[Step, Heard, Reply]:
        reply = yield from self._take(Read(seconds, self._until))
        if reply is None:
            raise BadReply("no reply where one was due")
        self._transcript.server(reply)
        return reply

    def _take(self, step: Step) -> Generator[Step, Heard, Reply | None]:
        """Have *step* done; return its reply, None without one.  Raises ConnectionLost."""
        heard = yield step
        if isinstance(heard, ConnectionLost):
            raise heard
        return heard

    def _doubt(self, why: str) -> None:
        """Mark as uncertain the recipients that were accepted and have no result yet."""
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
        """Return the worst trouble or None: lost connection, refusal, refused recipient."""
        if lost is not None:
            category = Category.PROVIDER if isinstance(lost, BadReply) else Category.NETWORK
            return Trouble(category, Scope.MESSAGE, permanent=False, text=f"{lost} ({self.place})")
        if self._refusal is not None or not self._refused_recipients:
            return self._refusal
        first, *others = self._refused_recipients
        more = f" (and {len(others)} more recipients)" if others else ""
        return first._replace(text=first.text + more)


def content_seconds(size: int) -> float:
    """Return how many seconds content of *size* bytes may take: 34 MB almost 3 hours."""
    return CONTENT_SECONDS + size / CONTENT_BYTES_PER_SECOND


def _expected(reply: Reply, scope: Scope) -> Trouble:
    """Judge a 4yz or 5yz reply.  Raises BadReply for any other, such as 354 to RCPT."""
    if reply.code < 400:
        raise BadReply(f"a reply that was not expected here: {reply}")
    return judge(reply, scope)


def _fate(trouble: Trouble) -> Fate:
    return Fate.REFUSED if trouble.permanent else Fate.DEFERRED
