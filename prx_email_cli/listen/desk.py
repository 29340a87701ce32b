"""What all connections share: they hand messages in here, and hear what became of them."""

import asyncio
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property, partial
from typing import NamedTuple

from prx_email_cli.config.settings import Settings
from prx_email_cli.errors import OutboxAway, PrxEmailError, ValidationError, as_ours
from prx_email_cli.listen import replies
from prx_email_cli.listen.clerk import Answer, Clerk, Job
from prx_email_cli.listen.clients import Client
from prx_email_cli.listen.commands import Mail, Recipient
from prx_email_cli.listen.endpoints import Network
from prx_email_cli.listen.limits import Limits
from prx_email_cli.listen.logins import Logins
from prx_email_cli.notify_socket import tell_status
from prx_email_cli.outbox.messages import Addressee, NewMessage, Schedule
from prx_email_cli.submission.raw import Envelope, Qualify, Taker
from prx_email_cli.submission.spool import Spool

MOST_HELD_BYTES = 256 << 20  # of all messages that are under way
_LARGE_BYTES = 128 * 1024  # are read beside the dialogues
_SAY_AGAIN_SECONDS = 60
_PIECE_BYTES = 64 * 1024


class Surroundings(NamedTuple):
    """What a server has beside its settings.  tls: None without.  say: prints one line for the operator."""

    networks: Sequence[Network]
    logins: Logins | None
    tls: ssl.SSLContext | None
    host_name: str
    say: Callable[[str], None]
    qualify: Qualify


class Letter(NamedTuple):
    """A message as it came, with its envelope.  received: the header to put first."""

    content: bytes
    mail: Mail
    recipients: list[Recipient]
    client: Client
    received: bytes


class Desk:
    """Takes messages from all connections, in the thread of the event loop."""

    def __init__(self, settings: Settings, around: Surroundings) -> None:
        self.settings, self.around = settings, around
        self.limits = Limits(*_limits(settings))
        self.held_bytes = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._answers: list[tuple[asyncio.Future[Answer], Answer]] = []
        self._said: dict[str, float] = {}
        self._is_away = False  # the outbox, when a message was to be stored last

    @cached_property
    def clerk(self) -> Clerk:
        """The clerk that stores what this desk takes, made at first use.  Raises StorageError."""
        return Clerk(self.settings.outbox, self._answered)

    @property
    def most_bytes(self) -> int:
        """Return the size of the largest message that is taken."""
        return min(self.settings.listen.max_message_bytes, self.settings.attachments.policy.max_message_bytes)

    def go_by(self, settings: Settings, around: Surroundings) -> None:
        """Go by other settings from now on."""
        self.settings, self.around = settings, around
        self.limits.change(*_limits(settings))

    def use(self, loop: asyncio.AbstractEventLoop) -> None:
        """Answer in this event loop."""
        self._loop = loop

    def now(self) -> float:
        """Return the time by the outbox's clock."""
        return self.clerk.now()

    async def accept(self, letter: Letter) -> str:
        """Store a message; return the reply: 250 only once it is durable."""
        loop = asyncio.get_running_loop()
        spool = Spool()
        try:
            if len(letter.content) > _LARGE_BYTES:
                messages = await loop.run_in_executor(None, self._messages, letter, spool)
            else:
                messages = self._messages(letter, spool)
        except Exception as error:  # noqa: BLE001 - the client must hear of it
            spool.clear()
            return self.refusal(as_ours(error))
        future: asyncio.Future[Answer] = loop.create_future()
        self.clerk.put(Job(messages, partial(self._note, future, spool)))
        answer = await future
        self._note_absence(answer)
        return replies.stored(answer) if isinstance(answer, list) else self.refusal(answer)

    def _note_absence(self, answer: Answer) -> None:
        """Tell systemd when the outbox's server is gone, and when it is back."""
        is_away = isinstance(answer, OutboxAway)
        if is_away != self._is_away:
            self._is_away, name = is_away, self.settings.outbox.name
            tell_status(f"waiting for the outbox {name}, which is gone" if is_away else f"the outbox {name} is back")

    def say(self, text: str) -> None:
        """Tell the operator, but the same thing once a minute only."""
        now = time.monotonic()
        if now - self._said.get(text, -_SAY_AGAIN_SECONDS) >= _SAY_AGAIN_SECONDS:
            self._said = {**self._said, text: now} if len(self._said) < 100 else {text: now}
            self.around.say(text)

    def _at_once(self) -> Schedule:
        return Schedule.at_once(int(self.now()))

    def _messages(self, letter: Letter, spool: Spool) -> list[NewMessage]:
        """Make the outbox message; one for each wish of notifications, where recipients differ in it."""
        mail, first = letter.mail, letter.recipients[0]
        envelope = Envelope(
            mail.sender, tuple(one.address for one in letter.recipients), notify=first.notify, returns=mail.returns,
            envelope_id=mail.envelope_id, received=letter.received,
        )  # fmt: skip
        taker = Taker(self.settings, spool, self.around.qualify)
        message = taker.take(_in_pieces(letter.content), envelope, self._at_once, letter.client.caller)
        if mail.utf8 and not message.needs_smtputf8:
            message = message._replace(needs_smtputf8=has_wide_headers(letter.content))
        groups: dict[str | None, list[Addressee]] = {}
        for one in letter.recipients:
            groups.setdefault(one.notify, []).append(Addressee(one.address))
        if len(groups) == 1 or message.esmtp is None:
            return [message]
        esmtp = message.esmtp
        return [message._replace(recipients=those, esmtp=esmtp._replace(notify=notify))
                for notify, those in groups.items()]  # fmt: skip

    def refusal(self, error: PrxEmailError) -> str:
        """Return the reply that refuses a message, and tell the operator what is not the client's fault."""
        if not replies.is_of_the_client(error):
            self.say(f"a message was not stored: {error.message}")
        return replies.refused(error)

    def _note(self, future: "asyncio.Future[Answer]", spool: Spool, answer: Answer) -> None:
        """Keep an answer until all of its commit are there; runs in the clerk's thread."""
        spool.clear()
        self._answers.append((future, answer))

    def _answered(self) -> None:
        answers, self._answers = self._answers, []
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended, and with it every connection
                self._loop.call_soon_threadsafe(_hand_out, answers)


def _hand_out(answers: "list[tuple[asyncio.Future[Answer], Answer]]") -> None:
    for future, answer in answers:
        if not future.done():  # as after the client hung up
            future.set_result(answer)


def _in_pieces(content: bytes) -> Iterator[bytes]:
    for begin in range(0, len(content), _PIECE_BYTES):
        yield content[begin : begin + _PIECE_BYTES]


def has_wide_headers(content: bytes) -> bool:
    """Tell whether a header has 8-bit characters, as only SMTPUTF8 allows."""
    return not content.partition(b"\r\n\r\n")[0].isascii()


def _limits(settings: Settings) -> tuple[int, int, int | None]:
    listen = settings.listen
    return listen.max_connections, listen.max_connections_per_client, listen.messages_per_minute


def refuse_local_names(name: str) -> list[str]:
    """Refuse a recipient without a domain, as a Qualify."""
    if "@" in name:
        return []
    raise ValidationError(f"recipient {name!r} has no domain", hint="write user@example.com")
