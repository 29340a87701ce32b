"""Hand one message to a server: what to write, and what each reply means.

No socket, clock or thread is here: the caller steps a transaction, and does what each step says.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from itertools import chain

from prx_email_cli.redaction import redact
from prx_email_cli.smtp.commands import groups_of, why_unfit
from prx_email_cli.smtp.content import END_OF_DATA, data_writes
from prx_email_cli.smtp.envelope import Envelope, Fate, Recipient, RecipientResult, Result
from prx_email_cli.smtp.errors import BadReply, ConnectionLost, Unasked
from prx_email_cli.smtp.replies import Category, Reply, Scope, Trouble, judge
from prx_email_cli.smtp.reply_buffer import masked
from prx_email_cli.smtp.server import ServerProfile
from prx_email_cli.smtp.steps import After, Done, Heard, Look, Patience, Read, Step, Write, WriteContent
from prx_email_cli.smtp.transcript import Dialogue, Transcript

JOINED_CONTENT_BYTES = 1024 * 1024  # larger content leaves alone
LATE_REPLY_SECONDS = 5
# Limits of envelope and content as a whole, beside that of each reply: a server that answers each RCPT just in time
# would hold the connection for hours.  The content's limit grows with its size, for slow lines.  The reply to the final
# dot is under neither.
ENVELOPE_SECONDS = 1800
CONTENT_SECONDS, CONTENT_BYTES_PER_SECOND = 1800, 4096
START_MAIL_INPUT = 354
_LOOK = Look()
_NO_ANSWER = RecipientResult(Fate.UNCERTAIN, None, "this program ended before it noted the answer to the whole message")

AboutToEnd = Callable[[Mapping[int, RecipientResult]], None]
"""Is called with the results as they would stand if no answer to the content came."""


class _Closing(Exception):
    """The server answered 421 and closes the connection: nothing more is said."""


class _Unnoted(Exception):
    """It could not be noted that the message was about to end: it must not be sent whole."""


class Transaction:
    """One message on one connection, driven by ``step``.

    about_to_end: called before any byte leaves that could complete the content; if it raises OSError, none does.
    place: how far it has come, such as "after DATA", for the text of a lost connection.
    """

    def __init__(
        self,
        envelope: Envelope,
        profile: ServerProfile,
        patience: Patience,
        about_to_end: AboutToEnd | None = None,
    ) -> None:
        self._envelope = envelope
        self._about_to_end = about_to_end
        self._patience = patience
        self._pipelines = profile.offers("pipelining")
        self._header = f"Message-ID: {envelope.message_id}\r\n".encode() if envelope.message_id else b""
        self._size = len(self._header) + envelope.size
        self._groups = groups_of(envelope, self._size, profile)
        self._why_unfit = why_unfit(envelope, self._size, profile)
        self._transcript = Transcript()
        self._results: dict[int, RecipientResult] = {}
        self._welcome: list[Recipient] = []  # their RCPT was accepted; the reply to the final dot decides
        self._refusal: Trouble | None = None  # of the message or the account
        self._refused_recipients: list[Trouble] = []
        self._account_rests = False  # because of a reply that was not about this message
        self._acceptance: str | None = None
        self.place = "before MAIL"
        self._left_alone = False
        self._behind = False  # its envelope left with the content of another message
        self._content_begun = False
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
        step = self._steps.send(heard)
        if isinstance(step, Done):
            self._steps.close()  # or the transaction and its steps would hold each other until a garbage collection
        return step

    def broken_off(self, why: str) -> Result:
        """Return the result so far when this program fails; *why*: for uncertain ones."""
        if self._dot_written:
            self._doubt(why)
        return self._result(None)._replace(trouble=None)

    def envelope_ahead(self) -> bytes | None:
        """Return the whole envelope, to leave with the content of the message before; None if it must wait.

        After that the transaction is left alone unless some of its content has left: if the connection is lost, or
        closed with 421, and if the replies to its commands may belong to others.
        """
        if not self._pipelines or len(self._groups) > 1 or self._why_unfit is not None:
            return None
        self._behind = True
        return self._groups[0].data

    def not_begun(self) -> Result:
        """Return the result of a transaction that is never stepped, because the connection has ended before."""
        why = "the connection ended with the message before this one"
        trouble = Trouble(Category.NETWORK, Scope.MESSAGE, permanent=False, text=why)
        return Result({}, trouble, transcript=Dialogue((f"-- {why}",)), left_alone=True)

    def _play(self) -> Generator[Step, Heard, None]:
        lost = None
        try:
            if not self._unfit():
                yield from self._speak()
        except (_Closing, _Unnoted):
            self._after = After.ENDED
        except ConnectionLost as error:
            self._transcript.event(f"{error} ({self.place})")
            self._after = After.ENDED
            lost = None if self._closing(error) else error
        result = self._result(lost)
        if self._behind and self._after is After.ENDED and not self._content_begun:
            result = Result({}, result.trouble, transcript=result.transcript, left_alone=True)
        yield Done(result, self._after)

    def _closing(self, lost: ConnectionLost) -> bool:
        """Tell whether the server closed with an unasked 421, which then is the refusal."""
        if not isinstance(lost, Unasked) or lost.closing is None or self._dot_written:
            return False
        unanswered = [one for one in self._envelope.recipients if one.number not in self._results]
        with suppress(_Closing):
            self._refuse_message(masked(lost.closing), unanswered)
        return True

    def _unfit(self) -> bool:
        """Tell whether this server can never take the message, which is refused then."""
        why = self._why_unfit
        if why is not None:
            self._transcript.event(why)
            self._refusal = Trouble(Category.PROVIDER, Scope.MESSAGE, permanent=True, text=why)
            self._settle(self._envelope.recipients, Fate.REFUSED, None, why)
        return why is not None

    def _speak(self) -> Generator[Step, Heard, None]:
        self._until = self._now + ENVELOPE_SECONDS
        answer = yield from self._say_envelope()
        self._until = None
        if answer is None or answer.code != START_MAIL_INPUT:
            if answer is not None and self._welcome and self._refusal is None:
                self._refuse_message(answer, self._welcome)
            yield from self._reset()
        elif self._refusal is not None:
            self._after = After.ENDED  # the server waits for content that must not be sent: only closing ends that
        elif not self._welcome:  # an empty message for no recipient: RFC 2920 section 3.1
            self._done((yield Write(END_OF_DATA, self._patience.reply, None)))
            self._reply((yield Read(self._patience.reply, None)))
        else:
            self._judge_final((yield from self._say_content()))

    def _say_envelope(self) -> Generator[Step, Heard, Reply | None]:
        """Say MAIL, each RCPT and DATA; return the reply to DATA, None if it was not said."""
        answer = None
        read = Read(self._patience.reply, self._until)
        for data, commands in self._groups:
            if self._refusal is not None or (data == b"DATA\r\n" and not self._welcome):
                return None
            self._transcript.note(data)
            try:
                self._done((yield Write(data, self._patience.reply, self._until)))
            except ConnectionLost as lost:
                self._left_alone = answer is None and not lost.timed_out
                raise
            for line, recipient in commands:
                self.place = f"after {line}"
                answer = self._reply((yield read))
                if line != "DATA":
                    self._take_in(answer, recipient)
        return answer

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
        seconds, until = self._patience.reply, self._now + content_seconds(self._size)
        joins = self._pipelines and self._size <= JOINED_CONTENT_BYTES
        for data, last in data_writes(chain((self._header,), self._envelope.content)):
            if last:
                self._note_end()
            heard = yield WriteContent(data, seconds, until, joins and last)
            if isinstance(heard, ConnectionLost):
                self._content_begun = self._content_begun or heard.sent > 0
                self._dot_written = last and heard.sent > len(data) - len(END_OF_DATA)
                return (yield from self._early_reply(heard))
            self._content_begun = True
        self._transcript.event(f"content sent, {self._size} bytes")
        self.place = "after the final dot"
        final = self._reply((yield Read(self._patience.final_reply, None)))
        said = yield _LOOK
        if isinstance(said, Unasked) and said.closing is None:
            raise BadReply(f"two answers to one message; {said}")
        return final

    def _note_end(self) -> None:
        """Have it noted that the message is about to be sent whole.  Raises _Unnoted if it cannot be."""
        if self._about_to_end is not None:
            unanswered = {recipient.number: _NO_ANSWER for recipient in self._welcome}
            try:
                self._about_to_end(self._results | unanswered)
            except OSError as error:
                why = f"this program could not note in its flight record that the message was about to end: {error}"
                self._transcript.event(why)
                self._refusal = Trouble(Category.STORAGE, Scope.MESSAGE, permanent=False, text=why)
                self._content_begun = True  # its turn had come, and this is its own failure
                raise _Unnoted from error
        self._dot_written = True

    def _early_reply(self, lost: ConnectionLost) -> Generator[Step, Heard, Reply]:
        """Return the refusal that came during the content; else raise *lost*."""
        refuses = self._content_begun and lost.closing is None if isinstance(lost, Unasked) else not lost.timed_out
        if not refuses:
            raise lost
        try:
            reply = self._reply((yield Read(min(LATE_REPLY_SECONDS, self._patience.reply), None)))
        except ConnectionLost as error:
            raise (error if isinstance(lost, Unasked) else lost) from None
        if reply.code < 400:
            raise lost
        self._after = After.ENDED
        return reply

    def _judge_final(self, final: Reply) -> None:
        if final.positive:
            final = masked(final)
            self._acceptance = final.text or str(final.code)
            self._settle(self._welcome, Fate.ACCEPTED, final.code, str(final))
        else:
            self._refuse_message(final, self._welcome)

    def _reset(self) -> Generator[Step, Heard, None]:
        """Say RSET, so that the next message can begin.

        A failure ends the connection and changes no result; a reply about the account, such as 421, makes it rest.
        """
        try:
            self._transcript.note(b"RSET\r\n")
            self._done((yield Write(b"RSET\r\n", self._patience.reply, None)))
            reply = self._reply((yield Read(self._patience.reply, None)))
        except ConnectionLost as lost:
            self._transcript.event(str(lost))
            self._after = After.ENDED
            return
        if not reply.positive:
            self._after = After.ENDED
            self._account_rests = reply.code >= 400 and judge(reply, Scope.MESSAGE).scope is Scope.ACCOUNT

    def _done(self, heard: Heard) -> None:
        """Raise ConnectionLost if a write was broken."""
        if isinstance(heard, ConnectionLost):
            raise heard

    def _reply(self, heard: Heard) -> Reply:
        """Record a reply; return it, a refusal masked.  Raises ConnectionLost."""
        if isinstance(heard, ConnectionLost):
            raise heard
        if heard is None:
            raise BadReply("no reply where one was due")
        self._transcript.server(heard)
        return masked(heard) if heard.code >= 400 else heard

    def _doubt(self, why: str) -> None:
        """Mark as uncertain the recipients that were accepted and have no result yet."""
        doubtful = RecipientResult(Fate.UNCERTAIN, None, why)
        for recipient in self._welcome:
            self._results.setdefault(recipient.number, doubtful)

    def _settle(self, recipients: Sequence[Recipient], fate: Fate, code: int | None, text: str) -> None:
        result = RecipientResult(fate, code, text)
        for recipient in recipients:
            self._results[recipient.number] = result

    def _result(self, lost: ConnectionLost | None) -> Result:
        trouble = self._worst(lost)
        if trouble is not None:
            scope = Scope.ACCOUNT if self._account_rests else trouble.scope
            trouble = trouble._replace(scope=scope, text=redact(trouble.text))
            if lost is not None and self._dot_written:
                self._doubt(trouble.text)
        return Result(self._results, trouble, self._acceptance, self._transcript.take(), self._left_alone)

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
        raise BadReply(f"a reply that was not expected here: {masked(reply)}")
    return judge(reply, scope)


def _fate(trouble: Trouble) -> Fate:
    return Fate.REFUSED if trouble.permanent else Fate.DEFERRED
