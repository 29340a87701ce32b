"""Copy an outbox into another database, and let it be used there instead: at no moment in both places.

The copy is marked as arriving before the original is marked as leaving, and the original as gone before the copy may be
used.  Each mark names this copy, so that a copy that was broken off goes on where it was, and no other one.
"""

import hashlib
import os
from collections.abc import Generator, Iterator
from typing import Any, NamedTuple, Protocol

from prx_email_cli.errors import OutboxBusy, OutboxDamaged, StorageError, ValidationError
from prx_email_cli.outbox.relational.moved import Journey, Stage
from prx_email_cli.outbox.relational.parts import PARTS, Facts, Part

ROWS_AT_ONCE, BYTES_AT_ONCE = 5000, 4 << 20  # of a transaction

Row = tuple[Any, ...]


class End(Protocol):
    """An outbox that is copied, or made by a copy.

    name: for people, without a password.  replaced: how many texts were changed by ``fitting`` since ``new_moment``.
    """

    name: str
    replaced: int

    def lock(self) -> None:
        """Keep other copies from this outbox until ``close``.  Raises OutboxBusy."""

    def identity(self) -> str:
        """Return the outbox's identity."""

    def journey(self) -> Journey | None:
        """Return where the outbox is on its way; None where it may be used."""

    def mark(self, before: Journey | None, after: Journey | None, *, empty: bool = False) -> None:
        """Change the journey, once no transaction goes on that has read another one.

        empty: only of an outbox without anything in it.  Raises ValidationError, and OutboxBusy if it was not *before*.
        """

    def refuse_restored(self) -> None:
        """Raise RestoredBackup."""

    def settle(self) -> None:
        """Settle what dead runs had claimed."""

    def is_in_use(self) -> bool:
        """Tell whether a run lives."""

    def has_claims(self) -> bool:
        """Tell whether a message is claimed."""

    def rows(self, part: Part, after: Row | None) -> Iterator[Row]:
        """Yield the rows of one moment, which is the same for all parts, in the order of their keys."""

    def fitting(self, part: Part, rows: Iterator[Row]) -> Iterator[Row]:
        """Yield rows of another database as this one can hold them.  Raises ValidationError for what it cannot."""

    def last_key(self, part: Part) -> Row | None:
        """Return the key of the last row that was written; None where there is none."""

    def write(self, part: Part, rows: list[Row], journey: Journey) -> None:
        """Write rows in one transaction, in which the outbox is on this *journey*."""

    def clear(self, journey: Journey) -> None:
        """Delete everything that was written, if the outbox is on this *journey*."""

    def facts(self) -> Facts:
        """Return what the outbox says of itself, in the moment of ``rows``."""

    def raise_ids(self, last_id: int) -> None:
        """See to it that no id up to *last_id* is given again."""

    def faults(self) -> list[str]:
        """Verify the outbox as a whole; return what is wrong."""

    def take(self, facts: Facts, journey: Journey) -> None:
        """Take what the original said of itself, and let the outbox be used, if it is on this *journey*."""

    def latest_message_id(self) -> str | None:
        """Return the Message-ID of the newest message that was attempted under one of this program."""

    def new_moment(self) -> None:
        """Let ``rows`` and ``facts`` tell of this moment from now on."""

    def close(self) -> None:
        """Release the outbox."""


class Step(NamedTuple):
    """How far a copy came: so many further rows of a table were copied or compared."""

    doing: str
    table: str
    rows: int


class Transfer:
    """One copy from one outbox to another.

    by: who makes it, as user@host.  resumed: an earlier copy went on.  was_done: an earlier one was finished.  rows: by
    table.  faults: what is wrong in the original, and so in the copy.
    """

    def __init__(self, source: End, destination: End, now: int, by: str) -> None:
        self._source, self._destination, self._now, self._by = source, destination, now, by
        self.resumed, self.was_done = False, False
        self.rows: dict[str, int] = {}
        self.faults: list[str] = []

    def steps(self) -> Iterator[Step]:
        """Copy; yield after each step, all that came before being durable.

        Raises StorageError, OutboxBusy, OutboxMoved, RestoredBackup, ValidationError, OutboxDamaged.
        """
        self._check_two()
        self._source.lock()
        self._destination.lock()
        leaving = self._begin()
        if leaving is None:
            self.was_done = True
            yield from self._count()
            return
        yield Step("begun", "", 0)
        arriving = self._arriving(leaving)
        self._source.new_moment()
        yield from self._copy(arriving)
        if not (yield from self._compare()):
            if not self.resumed:
                raise self._differs()
            self._destination.clear(arriving)  # what changed since that copy was broken off was not copied
            yield from self._copy(arriving)
            if not (yield from self._compare()):
                raise self._differs()
        facts = self._source.facts()
        self._destination.raise_ids(facts.last_id)
        self.faults = self._destination.faults()
        yield Step("verified", "", 0)
        if leaving.stage is Stage.LEAVING:
            self._source.mark(leaving, leaving._replace(stage=Stage.GONE))
            yield Step("left", "", 0)
        self._destination.take(facts, arriving)
        yield Step("done", "", 0)

    def _arriving(self, leaving: Journey) -> Journey:
        return leaving._replace(stage=Stage.ARRIVING, file=self._source.name)

    def _check_two(self) -> None:
        """Raise ValidationError unless these are two outboxes, or one and its finished copy; and OutboxMoved."""
        source, destination = self._source, self._destination
        if destination.identity() != source.identity():
            return
        left, there = source.journey(), destination.journey()
        if left is None or left.stage is not Stage.GONE:
            raise ValidationError(
                f"{destination.name} is the outbox {source.name} itself, or a copy of it", hint="name another place"
            )
        if there is not None:
            raise there.error(destination.name)

    def _begin(self) -> Journey | None:
        """Mark both; return the original's journey, None if the copy was finished before."""
        source, destination = self._source, self._destination
        left, there, identity = source.journey(), destination.journey(), source.identity()
        if destination.identity() == identity:
            return None
        if left is not None and there is not None and self._arriving(left) == there:
            return self._go_on(left)
        if left is not None and left.stage is not Stage.LEAVING:
            raise left.error(source.name)
        if left is not None and left.file != destination.name:
            raise left.error(source.name)
        if there is not None and (there.stage not in (Stage.ARRIVING, Stage.ABANDONED) or there.identity != identity):
            raise there.error(destination.name)
        return self._begin_anew(left, there, identity)

    def _go_on(self, left: Journey) -> Journey:
        self.resumed = True
        for end in (self._source, self._destination):
            if end.is_in_use():
                raise _in_use(end)
        if left.stage is Stage.LEAVING and self._source.has_claims():  # by a run that was faster than the mark
            self._withdraw(left)
            raise _in_use(self._source)
        return left

    def _begin_anew(self, left: Journey | None, there: Journey | None, identity: str) -> Journey:
        source, destination = self._source, self._destination
        if left is not None:
            source.mark(left, None)
        source.refuse_restored()
        source.settle()
        if source.has_claims():
            raise _in_use(source)
        leaving = Journey(Stage.LEAVING, destination.name, self._now, self._by, os.urandom(8).hex(), identity)
        if there is not None:
            destination.clear(there)
        destination.mark(there, self._arriving(leaving), empty=True)
        source.mark(None, leaving)
        # Only now: a run that looked for a mark before there was one is alive, or has ended.
        for end in (source, destination):
            if end.is_in_use() or (end is source and end.has_claims()):
                self._withdraw(leaving)
                raise _in_use(end)
        return leaving

    def _withdraw(self, leaving: Journey) -> None:
        """Let the original be used again, and the copy begin anew."""
        self._source.mark(leaving, None)
        arriving = self._arriving(leaving)
        self._destination.clear(arriving)
        self._destination.mark(arriving, None, empty=True)

    def _copy(self, arriving: Journey) -> Iterator[Step]:
        for part in PARTS:
            after = self._destination.last_key(part)
            rows = self._destination.fitting(part, self._source.rows(part, after))
            for some in _in_portions(rows):
                self._destination.write(part, some, arriving)
                yield Step("copying", part.table, len(some))

    def _compare(self) -> Generator[Step, None, bool]:
        """Tell whether both have the same rows, by their digests."""
        self._destination.new_moment()
        same = True
        for part in PARTS:
            there = _digest(self._destination.rows(part, None))
            here = _digest(self._destination.fitting(part, self._source.rows(part, None)))
            self.rows[part.table] = there[0]
            same = same and here == there
            yield Step("comparing", part.table, there[0])
        return same

    def _count(self) -> Iterator[Step]:
        self._destination.new_moment()
        for part in PARTS:
            self.rows[part.table] = sum(1 for _ in self._destination.rows(part, None))
            yield Step("comparing", part.table, self.rows[part.table])

    def _differs(self) -> OutboxDamaged:
        return OutboxDamaged(
            f"the copy in {self._destination.name} differs from the outbox {self._source.name}",
            hint="say it again; prx-email outbox copy --undo lets the original be used again",
        )


def undo(source: End, destination: End | None, *, lost: bool) -> None:
    """Let the original be used again, if the copy was not finished.

    lost: the copy is, for good, so that nobody can look.  Raises ValidationError, OutboxBusy, StorageError.
    """
    source.lock()
    left = source.journey()
    if left is None:
        raise ValidationError(f"the outbox {source.name} was not copied", hint="there is nothing to undo")
    if left.stage not in (Stage.LEAVING, Stage.GONE):
        raise left.error(source.name)
    if left.stage is Stage.GONE and not lost:
        if destination is None:
            raise ValidationError(
                f"the outbox {source.name} was copied to {left.file}, which may be used by now",
                hint="name it with --to, so that it can be asked; or say --lost if it is, for good",
            )
        destination.lock()
        there = destination.journey()
        if there is None or there.copy != left.copy:
            raise ValidationError(
                f"the copy of {source.name} in {destination.name} was finished, and is used",
                hint="to go back, copy it into a new place: prx-email outbox copy; see docs/scaling.md",
            )
        destination.mark(there, there._replace(stage=Stage.ABANDONED))
    source.mark(left, None)


def _in_use(end: End) -> StorageError:
    return OutboxBusy(
        f"a drain, a retry or a send --now works on the outbox {end.name}, or has just died",
        hint="stop it on every machine (drain --follow, cron, systemd), then say this again; the machine of a dead one "
        "is waited for, see [outbox] others_wait_seconds",
    )


def _in_portions(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """Divide *rows* into what one transaction writes."""
    portion: list[Row] = []
    size = 0
    for row in rows:
        portion.append(row)
        size += sum(len(value) for value in row if isinstance(value, bytes | str))
        if size >= BYTES_AT_ONCE or len(portion) >= ROWS_AT_ONCE:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


def _digest(rows: Iterator[Row]) -> tuple[int, str]:
    """Return how many *rows* there are, and a digest of them in their order."""
    digest, many = hashlib.sha256(), 0
    for many, row in enumerate(rows, 1):  # noqa: B007
        if isinstance(row[-1], bytes):
            digest.update(repr((*row[:-1], len(row[-1]))).encode())
            digest.update(row[-1])
        else:
            digest.update(repr(row).encode("utf-8", "surrogatepass"))
    return many, digest.hexdigest()
