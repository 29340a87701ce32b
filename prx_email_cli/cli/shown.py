"""Show all that is known of one message: to a person, and as JSON."""

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from prx_email_cli.cli.answer import Answer, Circumstances, answer
from prx_email_cli.cli.colour import Tone, tone_of, tone_of_ending
from prx_email_cli.cli.context import Invocation
from prx_email_cli.cli.render import moment, row_object, shown_status
from prx_email_cli.cli.wrapping import put_labelled, put_wrapped
from prx_email_cli.delivery.attempt import limits_of, retry_policy
from prx_email_cli.errors import NotFound, NotPermitted, OutboxMoved, PrxEmailError, RestoredBackup, StorageError
from prx_email_cli.mail.headers import decoded_words
from prx_email_cli.mail.outline import Attached, attachments_of
from prx_email_cli.mail.received import address_text, head_and_body, header_fields
from prx_email_cli.outbox.accounts import EVERY_ACCOUNT, AccountState
from prx_email_cli.outbox.history import host_name
from prx_email_cli.outbox.lifecycle import Status
from prx_email_cli.outbox.views import Action, Attempt, Particulars, Row

if TYPE_CHECKING:
    from prx_email_cli.config.settings import Settings
    from prx_email_cli.outbox.messages import Caller
    from prx_email_cli.outbox.store import Store

_UNREAD = "the outbox's role may not read contents"


class Content(NamedTuple):
    """What the stored content of a message tells: its From header and attachments; *missing*: why it tells nothing."""

    sender: str | None
    attachments: list[Attached] | None
    missing: str = ""


class Shown(NamedTuple):
    """A message, what its content tells, and the answer."""

    row: Row
    content: Content
    answer: Answer

    @property
    def about(self) -> Particulars:
        """Return what only ``show`` tells of it."""
        return self.row.particulars or Particulars("", 0, 0)


def look(store: "Store", settings: "Settings", outbox_id: int, now: int) -> Shown:
    """Read a message.  Raises NotFound."""
    row = store.row(outbox_id)
    return Shown(row, _content(store, outbox_id), answer(row, circumstances(store, settings, row.account, now)))


def circumstances(store: "Store", settings: "Settings", name: str, now: int) -> Circumstances:
    """Find what else decides what happens to messages of an account."""
    states, account = store.account_states(), settings.accounts.get(name)
    usage = [] if account is None else store.usage(name, limits_of(account), now)
    used_up = [one for one in usage if one.free_at is not None]
    restored, moved = False, ""
    try:
        store.refuse_restored()
    except RestoredBackup:
        restored = True
    except OutboxMoved as error:
        moved = error.message
    except PrxEmailError:  # a mark that cannot be read is told by drains and doctor
        pass
    return Circumstances(
        now, retry_policy(settings.outbox), states.get(name, AccountState(name)),
        states.get(EVERY_ACCOUNT, AccountState(EVERY_ACCOUNT)), account is not None,
        max(used_up, key=lambda one: one.free_at or 0, default=None), store.last_drain_at(),
        tuple(store.living_runs()), restored, moved, host_name(),
    )  # fmt: skip


def _content(store: "Store", outbox_id: int) -> Content:
    try:
        pieces = iter(store.exported(outbox_id).pieces())
        head = b""
        while b"\r\n\r\n" not in head and (piece := next(pieces, None)) is not None:
            head += piece
        attachments = attachments_of(chain([head], pieces))
    except NotPermitted:
        return Content(None, None, _UNREAD)
    except (NotFound, StorageError) as error:
        return Content(None, None, error.message)
    sender = header_fields(head_and_body(head)[0], {b"from"}).get(b"from")
    return Content(None if sender is None else decoded_words(address_text(sender)), attachments)


def message_object(this: Invocation, shown: Shown) -> dict[str, Any]:
    """Make the JSON object of a message."""
    attachments = shown.content.attachments
    return {
        "answer": shown.answer.answer,
        "next": shown.answer.next,
        "commands": [this.command(*one.words) for one in shown.answer.commands],
        **row_object(shown.row, whole=True),
        "from": shown.content.sender,
        "attachments": None if attachments is None else [one._asdict() for one in attachments],
    }


def put_message(this: Invocation, shown: Shown, now: int) -> None:
    """Print all of a message for a person, the answer first."""
    put_answer(this, shown)
    for name, value in _summary(shown, now):
        put_labelled(name, value)
    if shown.content.missing and shown.row.pruned_at is None:
        put_labelled("attachments", f"cannot be told: {shown.content.missing}")
    if shown.content.attachments:
        put_wrapped("attachments")
    for one in shown.content.attachments or ():
        put_wrapped(f"{one.filename}  {one.content_type}  {one.size_bytes} bytes", "  ")
    put_wrapped("recipients")
    for recipient in shown.row.recipients:
        line = f"{recipient.kind:<4}{recipient.address}  {recipient.status}"
        line += "  uncertain" if recipient.uncertain else ""
        put_wrapped(line + (f"  {recipient.response}" if recipient.response else ""), "  ")
    put_wrapped("timeline")
    for event in timeline(shown.row):
        event.put()


def put_answer(this: Invocation, shown: Shown) -> None:
    """Print the answer, with the commands ready to be copied."""
    given = shown.answer
    put_labelled("answer", given.answer, tone_of(shown.row))
    put_labelled("next", given.next)
    for number, one in enumerate(given.commands):
        put_labelled("" if number else "command", f"{this.command(*one.words)}  # {one.does}")


def _summary(shown: Shown, now: int) -> list[tuple[str, str]]:
    row, about = shown.row, shown.about
    due = row.next_attempt_at if row.status != Status.SENDING else None
    lines = [
        ("outbox id", str(row.outbox_id)),
        ("account", row.account),
        ("status", shown_status(row)),
        ("priority", row.priority),
        ("from", shown.content.sender or about.sender or "-"),
        ("subject", row.subject),
        ("size", f"{row.size_bytes} bytes"),
        ("created", moment(row.created_at)),
        ("idempotency key", about.idempotency_key or "-"),
        ("expires", moment(about.expires_at)),
        ("retries", str(row.retries)),
        ("next attempt", moment(due) if due is not None and due > now and not row.held else "-"),
        ("sent", moment(row.sent_at)),
        ("message id", row.message_id or "-"),
        ("accepted with", row.provider_message_id or "-"),
        ("last error", row.last_error or "-"),
        ("dismissed", moment(row.dismissed_at)),
        ("pruned", f"{moment(row.pruned_at)}: the content was dropped" if row.pruned_at is not None else "-"),
        ("anonymised", moment(row.anonymised_at)),
    ]
    return [(name, value) for name, value in lines if value != "-"]


class Event(NamedTuple):
    """A thing that happened to a message.  number: of an attempt.  ended: nothing more comes of it."""

    at: int
    text: str
    lines: tuple[str, ...] = ()
    dialogue: str = ""
    ended: bool = True
    tone: Tone = Tone.PLAIN

    def put(self, whose: str = "") -> None:
        """Print it.  whose: the id of its message, where that is not clear."""
        put_wrapped(f"{whose}{moment(self.at)}  {self.text}", "  ", self.tone)
        for line in self.lines:
            put_wrapped(line, "    ")
        for line in self.dialogue.split("\n"):
            if line:
                put_wrapped(line, "      ")


def timeline(row: Row) -> list[Event]:
    """Return what happened to a message, in order of time."""
    caller = row.particulars.caller if row.particulars is not None else None
    attempts = (_attempted(number, one) for number, one in enumerate(row.attempts, 1))
    later = sorted(chain(map(_acted, row.actions), attempts), key=lambda event: event.at)
    return [Event(row.created_at, _enqueued(caller)), *later]


def _enqueued(caller: "Caller | None") -> str:
    if caller is None:
        return "enqueued"
    if caller.uid < 0:  # on another machine
        return f"enqueued{f' by {caller.user}' if caller.user else ''} from {caller.host}: {caller.command}"
    return f"enqueued by {caller.user} (uid {caller.uid}) on {caller.host}: {caller.command}"


def _acted(did: Action) -> Event:
    detail = f": {did.detail}" if did.detail else ""
    return Event(did.at, f"{did.what} by {did.who}{detail}" if did.who else f"{did.what}{detail}")


def _attempted(number: int, one: Attempt) -> Event:
    outcome = str(one.outcome or "under way")
    if one.uncertain:
        outcome = f"{outcome}, uncertain: the provider may have accepted it"
    return Event(
        one.started_at, f"attempt {number}: {outcome}", tuple(_facts(one)), one.dialogue or "",
        ended=one.outcome is not None, tone=tone_of_ending(one.outcome),
    )  # fmt: skip


def _facts(one: Attempt) -> Iterator[str]:
    yield f"message id  {one.message_id}"
    yield f"run         {one.run_id}"
    if one.response:
        yield f"answer      {one.response}"
