"""Take in the messages that users left in a drop directory who may not use the outbox."""

import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from prx_email_cli.errors import ConfigError, PrxEmailError, ReadableByOthers, StorageError, as_ours
from prx_email_cli.outbox.messages import NewMessage, Schedule
from prx_email_cli.submission.caller import caller_of
from prx_email_cli.submission.drop_directory import DropDirectory, Entry, NotNow, Odd, Unfit, locked
from prx_email_cli.submission.drop_file import FIRST_LINE, MOST_HEAD_BYTES, TRAILER_BYTES, Sum, said_in
from prx_email_cli.submission.raw import Envelope, Qualify, Taker
from prx_email_cli.submission.spool import Spool

if TYPE_CHECKING:
    from prx_email_cli.config.settings import Settings
    from prx_email_cli.outbox.messages import Submitted
    from prx_email_cli.outbox.store import Store

MOST_FILES = 1000  # of one round, and as many names that are no messages
_BATCH_FILES, _BATCH_BYTES = 100, 16 << 20  # of one commit
_PIECE_BYTES = 256 * 1024
_MOST_COMMAND = 200
_ROOM_FOR_HEAD = 2 * MOST_HEAD_BYTES
_NOTIFY = re.compile(r"NEVER|(?:SUCCESS|FAILURE|DELAY)(?:,(?:SUCCESS|FAILURE|DELAY)){0,2}")
_RETURNS = re.compile(r"FULL|HDRS")
_ENVELOPE_ID = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2}){1,100}")  # RFC 3461 section 4: xtext
_NAMES = ("recipient", "from_headers", "sender", "full_name", "notify", "returns", "envelope_id", "utf8", "command")


class Round(NamedTuple):
    """What came of one look into the directory.

    refused: why, the last time, and how many, by uid.  faults: what keeps files there.  more: there are others.
    """

    taken: int
    refused: dict[int, tuple[int, str]]
    faults: list[PrxEmailError]
    more: bool


NOTHING = Round(0, {}, [], more=False)


def take_round(
    drop: Path, settings: "Settings", opened: "Callable[[], Store]", qualify: Qualify, most: int = MOST_FILES
) -> Round:
    """Store the messages of up to *most* files in the directory *drop*, a user's first before any second one.

    A file is removed once its message is durable; one that can never be sent is moved aside.  opened: opens the outbox,
    and is not called without need.  Raises StorageError, ChangeableByOthers.
    """
    try:
        owner = os.stat(settings.outbox.path).st_uid if settings.outbox.url is None else os.geteuid()
    except OSError:  # whoever opens it says so
        return NOTHING
    with locked(drop, owner) as directory:
        try:
            return NOTHING if directory is None else _Taking(directory, settings, qualify).go(opened, most)
        except OSError as error:
            raise StorageError(
                f"the drop directory {drop} cannot be read: {error.strerror}", hint="the next drain tries again"
            ) from None


class _Taking:
    """One round."""

    def __init__(self, directory: DropDirectory, settings: "Settings", qualify: Qualify) -> None:
        self._directory, self._settings, self._qualify = directory, settings, qualify
        self._taken = 0
        self._refused: Counter[int] = Counter()
        self._reasons: dict[int, str] = {}
        self._faults: dict[str, PrxEmailError] = {}

    def go(self, opened: "Callable[[], Store]", most: int) -> Round:
        whole, odd = self._directory.look(time.time())
        for one in odd[:most]:
            self._refuse(one)
        if whole:
            store = opened()
            try:
                for batch in _batches(whole[:most]):
                    self._take(batch, store)
            finally:
                store.close()
        refused = {uid: (many, self._reasons[uid]) for uid, many in self._refused.items()}
        more = (len(whole) > most or len(odd) > most) and bool(self._taken or refused)
        return Round(self._taken, refused, list(self._faults.values()), more)

    def _take(self, batch: list[Entry], store: "Store") -> None:
        """Store the messages of *batch* in one commit.  Raises StorageError."""
        with Spool() as spool:
            taker = Taker(self._settings, spool, self._qualify)
            made = ((entry, self._message(entry, taker, _schedule(entry, store))) for entry in batch)
            pairs = [(entry, message) for entry, message in made if message is not None]
            submitted = store.submit([message for _, message in pairs]) if pairs else []
            if store.replaced():
                raise StorageError("the outbox's file was removed or replaced", hint="the next drain tries again")
        for (entry, _), answer in zip(pairs, submitted, strict=True):
            self._settle(entry, answer)

    def _settle(self, entry: Entry, answer: "Submitted") -> None:
        if answer.error is not None:
            self._refuse(Odd(entry.name, entry.uid, answer.error.message))
            return
        self._directory.remove(entry)
        self._taken += not answer.duplicate

    def _message(self, entry: Entry, taker: Taker, schedule: Schedule) -> NewMessage | None:
        """Return the message of a file; None when it is refused, or stays where it is."""
        try:
            with self._directory.opened(entry) as descriptor:
                return _read(descriptor, taker, schedule, entry, self._settings)
        except NotNow:
            return None
        except Unfit as unfit:
            self._refuse(Odd(entry.name, entry.uid, str(unfit)))
        except MemoryError:
            raise StorageError("not enough memory for a dropped message", hint="it stays in its directory") from None
        except Exception as error:  # noqa: BLE001 - a message never keeps those of others from being taken in
            ours = as_ours(error)
            if isinstance(ours, StorageError):
                raise ours from None
            if isinstance(ours, ConfigError | ReadableByOthers):
                self._faults[ours.message] = ours
            else:
                self._refuse(Odd(entry.name, entry.uid, ours.message))
        return None

    def _refuse(self, odd: Odd) -> None:
        try:
            self._directory.refuse(odd)
        except PrxEmailError as fault:
            self._faults[fault.message] = fault
        else:
            self._refused[odd.uid] += 1
            self._reasons[odd.uid] = odd.reason


def _batches(entries: list[Entry]) -> Iterator[list[Entry]]:
    """Divide *entries* among commits."""
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        if batch and (len(batch) == _BATCH_FILES or size + entry.size_bytes > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += entry.size_bytes
    if batch:
        yield batch


def _schedule(entry: Entry, store: "Store") -> Schedule:
    """Make a message due now, and made when its file was, whose times are by this machine's clock."""
    now, skew = int(store.clock()), store.skew
    made = entry.changed_ns // 1_000_000_000 - (0 if skew is None else round(skew.seconds))
    return Schedule(max(0, min(now, made)), now)


def _read(descriptor: int, taker: Taker, schedule: Schedule, entry: Entry, settings: "Settings") -> NewMessage:
    """Return the message in a file.  Raises Unfit, and what ``Taker.take`` raises."""
    size = os.fstat(descriptor).st_size
    if size > settings.attachments.policy.max_message_bytes + _ROOM_FOR_HEAD:
        raise Unfit("it is larger than a message may be ([attachments.policy] max_message_bytes)")
    reader = _Reader(descriptor, size)
    recipients, said = _said(reader.head())
    command = (_printable(said.get("command")) or "sendmail")[:_MOST_COMMAND]
    message = taker.take(reader, _envelope(recipients, said), lambda: schedule, caller_of(entry.uid, command))
    if not reader.is_whole:
        raise Unfit("it is not whole")
    wide = message.needs_smtputf8 or "utf8" in said
    return message._replace(idempotency_key=entry.key, fingerprint=reader.digest(), needs_smtputf8=wide)


class _Reader:
    """Reads a file from its beginning to its end, once: its owner may change it meanwhile."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor, self._left = descriptor, size - TRAILER_BYTES
        self._sum, self._digest = Sum(), sha256()
        self._held = b""
        self.is_whole = False

    def head(self) -> bytes:
        """Return what stands before the message.  Raises Unfit."""
        data = b""
        while (end := data.find(b"\n\n")) < 0:
            piece = self._piece()
            data += piece
            if not data.startswith(FIRST_LINE[: len(data)]) or not piece or len(data) > MOST_HEAD_BYTES:
                raise Unfit("it does not begin as prx-sendmail's files do")
        self._held = data[end + 2 :]
        return data[: end + 2]

    def __iter__(self) -> Iterator[bytes]:
        """Yield the message; at its end it is known to be whole if the trailer belongs to it."""
        if self._held:
            yield self._held
        while piece := self._piece():
            yield piece
        self.is_whole = self._read(TRAILER_BYTES) == self._sum.trailer()

    def digest(self) -> str:
        """Return the digest of all that was read."""
        return self._digest.hexdigest()

    def _piece(self) -> bytes:
        piece = self._read(min(_PIECE_BYTES, self._left)) if self._left > 0 else b""
        self._left -= len(piece)
        self._digest.update(piece)
        return self._sum.add(piece)

    def _read(self, size: int) -> bytes:
        try:
            return os.read(self._descriptor, size)
        except OSError as error:
            raise Unfit(f"it cannot be read: {error.strerror}") from None


def _said(head: bytes) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the recipients that *head* names, and what else it says.  Raises Unfit for what is none of our heads."""
    try:
        said = said_in(head)
    except ValueError:
        said = [("", "")]
    if any(name not in _NAMES for name, _ in said):
        raise Unfit("it does not begin as prx-sendmail's files do")
    one_each = {name: value for name, value in said if name != "recipient"}
    for name, form in (("notify", _NOTIFY), ("returns", _RETURNS), ("envelope_id", _ENVELOPE_ID)):
        if name in one_each and not form.fullmatch(one_each[name]):
            raise Unfit(f"its {name} is none")
    return tuple(value for name, value in said if name == "recipient"), one_each


def _envelope(recipients: tuple[str, ...], said: dict[str, str]) -> Envelope:
    return Envelope(
        sender=said.get("sender"), recipients=recipients, from_headers="from_headers" in said,
        full_name=_printable(said.get("full_name")), notify=said.get("notify"), returns=said.get("returns"),
        envelope_id=said.get("envelope_id"),
    )  # fmt: skip


def _printable(text: str | None) -> str | None:
    """Return *text* on one line, without what a terminal would obey."""
    if text is None:
        return None
    shown = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return " ".join("".join(one if one.isprintable() else " " for one in shown).split())
