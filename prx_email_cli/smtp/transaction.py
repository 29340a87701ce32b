"""Handing one claimed message to the provider: MAIL, RCPT, DATA, the content, and what each reply means."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain

from prx_email_cli.errors import PrxEmailError
from prx_email_cli.outbox.lifecycle import Outcome, RecipientResult, RecipientStatus, Scope
from prx_email_cli.outbox.messages import Claimed, Target
from prx_email_cli.redaction import redact
from prx_email_cli.smtp.content import END_OF_DATA, data_writes
from prx_email_cli.smtp.errors import BadReply, ConnectionLost, Unasked
from prx_email_cli.smtp.replies import NETWORK, PROVIDER, Reply, Verdict, judge
from prx_email_cli.smtp.session import Session

COMMANDS_PER_WRITE = 100  # more could fill both sides' buffers while neither reads: RFC 2920 section 3.1
LATE_REPLY_SECONDS = 5
# The whole of a transaction, beside the wait for each reply: a server that answers each RCPT just in time would hold a
# connection for hours.  The content may come over a slow line.  The answer to the dot has its own time and all of it.
ENVELOPE_SECONDS = 1800
CONTENT_SECONDS, CONTENT_BYTES_PER_SECOND = 1800, 4096
START_MAIL_INPUT = 354


class _Closing(Exception):
    """The server answered 421: it is about to close the connection, and nothing more will be said."""


@dataclass(frozen=True)
class _Trouble:
    """A refusal, with what it means and how it is told."""

    verdict: Verdict
    text: str
    reply: Reply | None = None


class Handover:
    """One attempt over one session.  ``run`` never raises for what the provider does."""

    def __init__(self, session: Session, claimed: Claimed, rest: Iterable[bytes]) -> None:
        self._session = session
        self._wire = session.wire
        self._claimed = claimed
        self._rest = rest
        self._header = f"Message-ID: {claimed.message_id}\r\n".encode()
        self._size = len(self._header) + claimed.size_bytes
        self._results: dict[int, RecipientResult] = {}
        self._welcome: list[Target] = []  # RCPT accepted; the reply to the final dot decides
        self._refusal: _Trouble | None = None  # of the message or the account
        self._refused_recipients: list[_Trouble] = []
        self._account_rests = False  # on a word that was not about this message
        self._acceptance: str | None = None
        self._place = "before MAIL"
        self._final_dot_sent = False
        self.left_alone = False  # the connection had ended before anything was said of the message

    def run(self) -> Outcome:
        """What came of it.  The session is no longer ``alive`` afterwards when its dialogue is beyond repair."""
        lost = None
        try:
            if not self._unfit():
                self._speak()
        except _Closing:
            self._session.abandon()
        except ConnectionLost as error:
            self._wire.transcript.event(f"{error} ({self._place})")
            self._session.abandon()
            lost = None if self._closing(error) else error
        return self._outcome(lost)

    def _closing(self, lost: ConnectionLost) -> bool:
        """Whether it was lost because the server wants to close, which it may say unasked: then that is the reason."""
        if not isinstance(lost, Unasked) or lost.closing is None or self._final_dot_sent:
            return False
        with suppress(_Closing):
            self._refuse_message(
                lost.closing, [one for one in self._claimed.targets if one.number not in self._results]
            )
        return True

    def broken_off(self, error: BaseException) -> Outcome:
        """What stands when something of our own failed midway, such as reading the content."""
        code = error.code if isinstance(error, PrxEmailError) else "internal"
        detail = redact(f"this program failed {self._place}: {error}")
        if isinstance(error, KeyboardInterrupt):
            code, detail = NETWORK, f"interrupted {self._place}"
        if self._final_dot_sent:
            self._doubt(detail)
        return Outcome(self._results, error=code, detail=detail, dialogue=redact(self._wire.transcript.take()))

    def _unfit(self) -> bool:
        """Whether this server can never take this message; it is then refused without being sent."""
        limit = self._session.size_limit
        if limit is not None and self._size > limit:
            why = f"the message has {self._size} bytes, the server takes at most {limit} (SIZE, RFC 1870)"
        elif self._claimed.needs_smtputf8 and not self._session.offers("smtputf8"):
            why = "an address is not ASCII, and the server does not offer SMTPUTF8 (RFC 6531)"
        else:
            return False
        self._wire.transcript.event(why)
        self._refusal = _Trouble(Verdict(PROVIDER, Scope.MESSAGE, permanent=True), why)
        self._settle(self._claimed.targets, RecipientStatus.REFUSED, None, why)
        return True

    def _speak(self) -> None:
        with self._at_most(ENVELOPE_SECONDS):
            answer = self._envelope()
        if answer is None or answer.code != START_MAIL_INPUT:
            if answer is not None and self._welcome and self._refusal is None:
                self._refuse_message(answer, self._welcome)
            self._reset()
        elif self._refusal is not None:
            self._session.abandon()  # the server waits for content that must not be sent, and only this ends that
        elif not self._welcome:
            self._wire.write(END_OF_DATA)  # an empty message, which nobody gets: RFC 2920 section 3.1
            self._wire.read_reply(self._wire.reply_timeout)
        else:
            self._judge_final(self._content())

    def _envelope(self) -> Reply | None:
        """Say MAIL, every RCPT and DATA; the reply to DATA, None when there was no longer a point in saying it."""
        per_write = COMMANDS_PER_WRITE if self._session.offers("pipelining") else 1
        commands: list[tuple[str, Target | None]] = [(self._mail_command(), None)]
        commands += [(f"RCPT TO:<{target.address}>", target) for target in self._claimed.targets]
        commands.append(("DATA", None))
        answer = None
        for start in range(0, len(commands), per_write):
            batch = commands[start : start + per_write]
            if self._refusal is not None or (batch[0][0] == "DATA" and not self._welcome):
                return None
            for line, _ in batch:
                self._wire.transcript.client(line)
            self._say("".join(f"{line}\r\n" for line, _ in batch).encode(), first=not start)
            for line, target in batch:
                self._place = f"after {line}"
                answer = self._wire.read_reply(self._wire.reply_timeout)
                if line != "DATA":
                    self._take_in(answer, target)
        return answer

    def _say(self, commands: bytes, *, first: bool) -> None:
        try:
            self._wire.write(commands)
        except ConnectionLost as lost:
            self.left_alone = first and not lost.timed_out
            raise

    def _mail_command(self) -> str:
        command = f"MAIL FROM:<{self._claimed.sender}>"
        if self._session.offers("size"):
            command += f" SIZE={self._size}"
        if self._claimed.needs_smtputf8:  # addresses beyond ASCII stand in the headers as UTF-8, which is 8-bit
            command += " SMTPUTF8" + (" BODY=8BITMIME" if self._session.offers("8bitmime") else "")
        return command

    def _take_in(self, reply: Reply, target: Target | None) -> None:
        """Take in the reply to MAIL (no target) or to a RCPT."""
        if target is None:
            if not reply.positive:
                self._session.worn = True  # some servers take so many messages per connection and then say 4yz here
                self._refuse_message(reply, self._claimed.targets)
        elif reply.positive:
            self._welcome.append(target)
        elif self._refusal is None:  # after a refused MAIL, the replies to RCPT only echo it
            self._refuse_recipient(reply, target)

    def _refuse_recipient(self, reply: Reply, target: Target) -> None:
        verdict = _expected(reply, Scope.RECIPIENT)
        trouble = _Trouble(verdict, f"{target.address}: {reply}", reply)
        if verdict.scope is Scope.ACCOUNT:
            self._refusal = trouble
        self._refused_recipients.append(trouble)
        self._settle([target], _status(verdict), reply.code, str(reply))
        self._end_on_421(reply)

    def _refuse_message(self, reply: Reply, targets: list[Target]) -> None:
        verdict = _expected(reply, Scope.MESSAGE)
        self._refusal = _Trouble(verdict, str(reply), reply)
        self._settle(targets, _status(verdict), reply.code, str(reply))
        self._end_on_421(reply)

    def _end_on_421(self, reply: Reply) -> None:
        if reply.code == 421:
            raise _Closing

    def _content(self) -> Reply:
        """Send the content; the reply to the final dot, or an earlier one with which the server cut us short."""
        self._place = "while the content was sent"
        started = False
        try:
            with self._at_most(content_seconds(self._size)):
                for data, last in data_writes(chain((self._header, self._claimed.head or b""), self._rest)):
                    self._wire.write_content(data)
                    self._final_dot_sent, started = last, True
        except Unasked as unasked:
            return self._early_refusal(unasked, started or unasked.midway)
        except ConnectionLost as lost:
            return self._early_reply(lost)
        self._wire.transcript.event(f"content sent, {self._size} bytes")
        self._place = "after the final dot"
        final = self._wire.read_reply(self._session.data_timeout)
        self._refuse_second_answer()
        return final

    @contextmanager
    def _at_most(self, seconds: float) -> Iterator[None]:
        """Let what is read and written meanwhile take *seconds* in all."""
        self._wire.until = self._wire.clock() + seconds
        try:
            yield
        finally:
            self._wire.until = None

    def _refuse_second_answer(self) -> None:
        """Two answers to one dot: nobody knows which one counts, unless the second only says that it closes."""
        try:
            heard = self._wire.heard()
        except ConnectionLost:  # it has answered, and closed
            return
        if heard and self._wire.unasked().closing is None:
            raise BadReply(f"two answers to one message; {self._wire.unasked()}")

    def _early_refusal(self, unasked: Unasked, started: bool) -> Reply:
        """A server may refuse what it has read of the content; it cannot accept it, nor refuse what it has not seen."""
        if not started or unasked.closing is not None:
            raise unasked
        reply = self._wire.read_reply(min(LATE_REPLY_SECONDS, self._wire.reply_timeout))
        if reply.code < 400:
            raise unasked
        self._session.abandon()
        return reply

    def _early_reply(self, lost: ConnectionLost) -> Reply:
        """A server that refuses halfway says why and closes; what it said may still be there to be read."""
        if lost.timed_out:
            raise lost
        try:
            reply = self._wire.read_reply(min(LATE_REPLY_SECONDS, self._wire.reply_timeout))
        except ConnectionLost:
            raise lost from None
        self._session.abandon()
        if reply.positive:
            raise lost
        return reply

    def _judge_final(self, final: Reply) -> None:
        if final.positive:
            self._acceptance = redact(final.text) or str(final.code)
            self._settle(self._welcome, RecipientStatus.ACCEPTED, final.code, str(final))
        else:
            self._refuse_message(final, self._welcome)

    def _reset(self) -> None:
        """RSET, so that the next message finds a clean dialogue.

        A failure here is the session's, not the message's; but a 421 closes the account's day here as anywhere.
        """
        try:
            self._wire.transcript.client("RSET")
            self._wire.write(b"RSET\r\n")
            reply = self._wire.read_reply(self._wire.reply_timeout)
        except ConnectionLost as lost:
            self._wire.transcript.event(str(lost))
            self._session.abandon()
            return
        if not reply.positive:
            self._session.abandon()
            verdict = judge(reply, Scope.MESSAGE)
            self._account_rests = reply.code >= 400 and verdict.scope is Scope.ACCOUNT

    def _doubt(self, why: str) -> None:
        """Those whom the server accepted in this transaction may have the message, and nobody else."""
        doubtful = RecipientResult(RecipientStatus.PENDING, None, why, uncertain=True)
        for target in self._welcome:
            self._results.setdefault(target.number, doubtful)

    def _settle(self, targets: list[Target], status: RecipientStatus, code: int | None, response: str) -> None:
        for target in targets:
            self._results[target.number] = RecipientResult(status, code, redact(response))

    def _outcome(self, lost: ConnectionLost | None) -> Outcome:
        trouble = self._worst(lost)
        if lost is not None and trouble is not None and self._final_dot_sent:
            self._doubt(redact(trouble.text))
        reply = trouble.reply if trouble else None
        return Outcome(
            recipients=self._results,
            error=trouble.verdict.category if trouble else None,
            detail=redact(trouble.text) if trouble else None,
            code=reply.code if reply else None,
            enhanced=(reply.enhanced or None) if reply else None,
            scope=Scope.ACCOUNT if self._account_rests else trouble.verdict.scope if trouble else Scope.MESSAGE,
            acceptance=self._acceptance,
            dialogue=redact(self._wire.transcript.take()),
        )

    def _worst(self, lost: ConnectionLost | None) -> _Trouble | None:
        """What is told as the reason: a lost connection, else the message's refusal, else the first recipient's."""
        if lost is not None:
            category = PROVIDER if isinstance(lost, BadReply) else NETWORK
            return _Trouble(Verdict(category, Scope.MESSAGE, permanent=False), f"{lost} ({self._place})")
        if self._refusal is not None or not self._refused_recipients:
            return self._refusal
        first, *others = self._refused_recipients
        more = f" (and {len(others)} more recipients)" if others else ""
        return _Trouble(first.verdict, first.text + more, first.reply)


def content_seconds(size: int) -> float:
    """Seconds in which a content of *size* bytes must be through: almost three hours for 34 MB."""
    return CONTENT_SECONDS + size / CONTENT_BYTES_PER_SECOND


def _expected(reply: Reply, scope: Scope) -> Verdict:
    """The verdict on a 4yz or 5yz reply.  Raises BadReply for one that has no place here, such as 354 to RCPT."""
    if reply.code < 400:
        raise BadReply(f"an answer that has no place here: {reply}")
    return judge(reply, scope)


def _status(verdict: Verdict) -> RecipientStatus:
    return RecipientStatus.REFUSED if verdict.permanent else RecipientStatus.PENDING
