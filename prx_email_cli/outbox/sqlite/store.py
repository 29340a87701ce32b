"""The outbox in one SQLite file, which any number of processes may use at once."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from prx_email_cli.errors import MessageUnreadable, OutboxDamaged, PrxEmailError, RestoredBackup, StorageError
from prx_email_cli.outbox.lifecycle import RetryPolicy, drained_since, message_id_for_attempt
from prx_email_cli.outbox.messages import Claimed, ClaimNext, ClaimOne, Finished, Moment, NewMessage, Submitted
from prx_email_cli.outbox.sqlite import operator, queue, sql, submit
from prx_email_cli.outbox.sqlite.connection import open_database, storage_errors
from prx_email_cli.outbox.sqlite.damage import DespiteDamage
from prx_email_cli.outbox.sqlite.group_commit import GroupCommit
from prx_email_cli.outbox.sqlite.high_water import Mark
from prx_email_cli.outbox.sqlite.place import Place
from prx_email_cli.outbox.sqlite.recording import record
from prx_email_cli.outbox.sqlite.restored import RestoreGuard
from prx_email_cli.outbox.sqlite.schema import PIECES_PER_MESSAGE

if TYPE_CHECKING:
    from prx_email_cli.mail.received import KnownMessage
    from prx_email_cli.outbox.views import Filter, Health, Known, Row, Stats

T = TypeVar("T")
C = TypeVar("C", bound="Claimed | None")


class SqliteStore:
    """See ``Store`` for what each method promises."""

    def __init__(
        self, path: Path, *, message_id_domain: str, busy_timeout_seconds: float = 5, create: bool = True
    ) -> None:
        self.path = path
        self._domain = message_id_domain
        self._connection = open_database(path, busy_timeout_seconds, create=create)
        self._place = Place(path)
        self._guard = RestoreGuard(path)
        self._connection.create_function("outbox_message_id", 5, message_id_for_attempt)
        self._connection.create_function("drained_since", 2, drained_since)
        self._commits = GroupCommit(self._connection)
        self._damage = DespiteDamage(self._change, self._reading)

    def close(self) -> None:
        """Release the database."""
        self._guard.close()
        self._place.leave(self._connection)

    def replaced(self) -> bool:
        """Whether the database that is open is no longer the one at its path."""
        return self._place.replaced()

    def lost_its_log(self) -> bool:
        """Whether the database is in its place and its log is not: then it must not be used any more, nor opened."""
        return self._place.lost_its_log()

    def refuse_restored(self) -> None:
        """Raise RestoredBackup for a restored backup that nobody has accepted."""
        with self._reading() as connection:
            self._guard.refuse(connection)

    def accept_restored(self) -> bool:
        """Let runs take messages again; whether it was a restored backup."""
        mark = self._change(self._guard.accept)
        if mark is not None:
            self._guard.note(mark)
        return mark is not None

    def submit(self, messages: Sequence[NewMessage]) -> list[Submitted]:
        """Store *messages* in one transaction; what became of each, in order."""
        try:
            return self._change(lambda connection: submit.submit_all(connection, messages, self._guard.last_id()))
        except StorageError as error:
            what = "the message was" if len(messages) == 1 else f"these {len(messages)} messages were"
            error.hint = f"{error.hint}; {what} not stored"
            raise

    def enqueue(self, messages: Sequence[NewMessage]) -> list[int]:
        """Store *messages* in one transaction; their ids, in order.

        Raises what is wrong with one of them, and then stores none.
        """

        def make(connection: sqlite3.Connection) -> list[int]:
            submitted = submit.submit_all(connection, messages)
            for error in (one.error for one in submitted if one.error is not None):
                raise error
            return [one.outbox_id for one in submitted]

        return self._change(make)

    def claim_next(self, run_id: str, wish: ClaimNext) -> Claimed | None:
        """Claim the longest-due message, None when nothing is due."""

        def make(connection: sqlite3.Connection) -> Claimed | None:
            self._guard.before_claim(connection)
            return queue.claim_next(connection, run_id, wish, self._domain)

        def claim_this(outbox_id: int, unread: bool) -> Claimed | None:
            def make(connection: sqlite3.Connection) -> Claimed | None:
                self._guard.before_claim(connection)
                return queue.claim_this(connection, run_id, wish, self._domain, outbox_id, unread=unread)

            return self._claiming(make)

        try:
            return self._claiming(make)
        except OutboxDamaged:
            return self._damage.claim_next(wish, claim_this)

    def claim(self, run_id: str, wish: ClaimOne) -> Claimed:
        """Claim this message for a person's retry; also its refused recipients are tried again."""

        def make(connection: sqlite3.Connection, unread: bool) -> Claimed:
            self._guard.before_claim(connection)
            return queue.claim_one(connection, run_id, wish, self._domain, unread=unread)

        try:
            return self._claiming(partial(make, unread=False))
        except OutboxDamaged:
            return self._claiming(partial(make, unread=True))

    def claimable(self, wish: ClaimNext) -> bool:
        """Whether ``claim_next`` would give something; changes nothing."""
        if not self.count_due(wish.account, wish.due_before, limit=1):
            return False
        with self._reading() as connection:
            return queue.within_limits(connection, wish)

    def check_claim(self, wish: ClaimOne) -> str:
        """The account of a message that ``claim`` would give; raises what ``claim`` would, and changes nothing."""
        with self._reading() as connection:
            return queue.check_one(connection, wish)

    def finalize(self, run_id: str, finished: Finished, then: ClaimNext | None = None) -> Claimed | None:
        """Record a finished attempt and, in the same transaction, claim the next message.

        Damage of the next one, or of the record of attempts, does not undo the result.
        """

        def together(connection: sqlite3.Connection) -> Claimed | None:
            queue.finalize(connection, run_id, finished)
            if then is None or not self._may_claim(connection):
                return None
            return queue.claim_next(connection, run_id, then, self._domain)

        alone = partial(queue.finalize, run_id=run_id, finished=finished)
        way, following = record(
            finished,
            lambda: self._claiming(together),
            lambda: self._change(alone),
            lambda: self._change(partial(alone, history=False)),
        )
        if way == 0 or then is None:
            return following
        with suppress(RestoredBackup):
            return self.claim_next(run_id, then)
        return None

    def recover(self, is_dead: Callable[[str], bool], policy: RetryPolicy, now: int) -> list[int]:
        """Move the ``sending`` rows of dead runs to ``failed``; costs one read when there are none."""
        with self._reading() as connection:
            runs = [run for (run,) in connection.execute(sql.RUNS_SENDING) if is_dead(run)]
        recovered: list[int] = []
        for run in runs:
            recover = partial(queue.recover_run, run=run, policy=policy, now=now)
            try:
                recovered += self._change(recover)
            except OutboxDamaged:
                recovered += self._damage.recover(run, recover)
        return recovered

    def begin_drain(self, now: int) -> Moment:
        """Record that a drain begins at *now*; costs one read when nothing waits, or it was just recorded."""
        with self._reading() as connection:
            if connection.execute(sql.TO_RECORD, {"now": now, "least": queue.RECORD_EVERY_SECONDS}).fetchone() is None:
                return Moment(now)
        try:
            return self._change(partial(queue.begin_drain, now=now))
        except OutboxDamaged:  # the oldest message, by which a first drain judges the clock
            return Moment(now)

    def expire(self, now: int) -> list[int]:
        """Give up what has expired unsent; costs one read when there is nothing."""
        with self._reading() as connection:
            if connection.execute(sql.EXPIRING, {"now": now, "limit": 1}).fetchone() is None:
                return []
        try:
            return self._change(partial(queue.expire, now=now))
        except OutboxDamaged:
            return self._damage.expire(now)

    def unreadable(self) -> list[MessageUnreadable]:
        """Why each message that this process passes by can be neither sent nor given up."""
        return self._damage.errors()

    def tell(self, now: int, only: int | None = None) -> list[int]:
        """Messages given up of which nobody was told yet, now noted as told: each id comes back once, to one caller."""
        with self._reading() as connection:
            untold = [outbox_id for outbox_id in queue.ids(connection.execute(sql.UNTOLD)) if only in (None, outbox_id)]
        told: list[int] = []
        for outbox_id in untold:
            with suppress(OutboxDamaged):
                if self._change(partial(queue.tell, outbox_id=outbox_id, now=now)):
                    told.append(outbox_id)
        return told

    def hold(self, outbox_id: int, now: int) -> None:
        """Keep drains from this message."""
        self._change(lambda connection: operator.hold(connection, outbox_id, now))

    def hold_all(self, account: str | None, now: int) -> list[int]:
        """Keep drains from everything they might take (of *account*); the ids."""

        def make(connection: sqlite3.Connection) -> tuple[list[int], Mark | None]:
            values = {"account": account, "now": now}
            held = queue.ids(connection.execute(sql.HOLD_ALL, values))
            mark = None
            if account is None:
                with suppress(PrxEmailError):  # a mark that cannot be read keeps nobody from holding messages
                    mark = self._guard.accept(connection)
            if mark is not None:
                held += queue.ids(connection.execute(sql.HOLD_SENDING, values))
            return held, mark

        held, mark = self._change(make)
        if mark is not None:
            self._guard.note(mark)
        return held

    def release(self, outbox_id: int) -> None:
        """Let drains take this message again."""
        self._change(lambda connection: operator.release(connection, outbox_id))

    def release_all(self, account: str | None) -> list[int]:
        """Let drains take everything again that is held (of *account*); the ids."""
        return self._change(lambda connection: queue.ids(connection.execute(sql.RELEASE_ALL, {"account": account})))

    def cancel(self, outbox_id: int, now: int) -> None:
        """Give this message up on a person's word."""
        self._change(lambda connection: operator.cancel(connection, outbox_id, now))

    def resolve(self, outbox_id: int, now: int, *, sent: bool) -> None:
        """Settle an uncertain outcome on a person's word."""
        self._change(lambda connection: operator.resolve(connection, outbox_id, now, sent=sent))

    def prune(self, before: int, now: int, *, records: bool = False) -> int:
        """Drop the content (with *records* everything) of messages that were over at *before*; how many."""
        count = last = 0
        while True:
            ids = self._change(partial(operator.prune_some, after=last, before=before, now=now, records=records))
            if not ids:
                return count
            count, last = count + len(ids), ids[-1]

    def rest_of_content(self, outbox_id: int) -> Iterator[bytes]:
        """The pieces of a message's content after its head."""
        for number in range(1, PIECES_PER_MESSAGE):
            with self._reading() as connection:
                piece = connection.execute(sql.PIECE, (outbox_id * PIECES_PER_MESSAGE + number,)).fetchone()
            if piece is None:
                return
            yield piece[0]

    def accounts_due(self, now: int) -> list[str]:
        """Names of the accounts that have something a drain would take now."""
        return [name for name in self._accounts() if self.count_due(name, now, limit=1)]

    def count_due(self, account: str, now: int, limit: int | None = None) -> int:
        """How many messages of *account* a drain would take now, counting no further than *limit*."""
        most = -1 if limit is None else limit
        if not self._damage.met:
            with suppress(OutboxDamaged), self._reading() as connection:
                values = {"account": account, "now": now, "limit": most}
                return int(connection.execute(sql.COUNT_DUE, values).fetchone()[0])
        return self._damage.count_due(account, now, most)

    def next_due_at(self) -> int | None:
        """When the next message is due for a drain, None when none ever is."""
        names = self._accounts()
        with self._reading() as connection:
            dues = [connection.execute(sql.NEXT_DUE_AT, {"account": name}).fetchone()[0] for name in names]
        return min((due for due in dues if due is not None), default=None)

    def learn(self, account: str, messages: "Sequence[KnownMessage]", now: int) -> int:
        """Store those of the *messages* that *account* does not know; how many."""
        from prx_email_cli.outbox.sqlite import received

        return self._change(lambda connection: received.learn(connection, account, messages, now))

    def known(self, account: str, message_id: str) -> "Known | None":
        """The message that *account* has learned under this id, None when there is none."""
        from prx_email_cli.outbox.sqlite import received

        with self._reading() as connection:
            return received.find(connection, account, message_id)

    def known_messages(self, account: str | None, limit: int) -> "list[Known]":
        """The messages learned last (of *account*), without their texts."""
        from prx_email_cli.outbox.sqlite import received

        with self._reading() as connection:
            return received.newest(connection, account, limit)

    def head_sent_as(self, account: str, message_id: str) -> bytes | None:
        """The beginning of the outbox message of *account* that an attempt gave this Message-ID."""
        from prx_email_cli.outbox.sqlite import received

        with self._reading() as connection:
            return received.head_sent_as(connection, account, message_id)

    def rows(self, wanted: "Filter") -> "list[Row]":
        """The rows that match, newest first."""
        from prx_email_cli.outbox.sqlite import reports

        with self._looking() as connection:
            return reports.rows(connection, wanted)

    def row(self, outbox_id: int) -> "Row":
        """One message with recipients and attempts."""
        from prx_email_cli.outbox.sqlite import reports

        with self._looking() as connection:
            return reports.row(connection, outbox_id)

    def stats(self, now: int) -> "Stats":
        """Counts and ages for monitoring."""
        from prx_email_cli.outbox.sqlite import reports

        with self._reading() as connection:
            return reports.stats(connection, now)

    def health(self, now: int) -> "Health":
        """Whether the database is intact, and what in it wants a person; may take a while."""
        from prx_email_cli.outbox.sqlite import reports

        with self._reading() as connection:
            return reports.health(connection, now)

    def _accounts(self) -> list[str]:
        names: list[str] = []
        with self._reading() as connection:
            while True:
                found = connection.execute(sql.NEXT_ACCOUNT, {"after": names[-1] if names else ""}).fetchone()
                if found is None:
                    return names
                names.append(found[0])

    def _change(self, make: Callable[[sqlite3.Connection], T]) -> T:
        with storage_errors(self.path):
            return self._commits.run(make)

    @contextmanager
    def _looking(self) -> Iterator[sqlite3.Connection]:
        """For a person's eyes: texts that damage has made undecodable are shown as far as they can be."""
        with self._reading() as connection:
            connection.text_factory = _shown
            try:
                yield connection
            finally:
                connection.text_factory = str

    def _claiming(self, make: Callable[[sqlite3.Connection], C]) -> C:
        """Make a change that claims; the claim is counted with it, and noted once it is durable."""

        def counted(connection: sqlite3.Connection) -> tuple[C, Mark | None]:
            claimed = make(connection)
            return claimed, self._guard.count(connection, claimed.outbox_id) if claimed is not None else None

        claimed, mark = self._change(counted)
        if mark is not None:
            self._guard.note(mark)
        return claimed

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with storage_errors(self.path), self._commits.lock:
            yield self._connection

    def _may_claim(self, connection: sqlite3.Connection) -> bool:
        """Whether a claim may follow in a finalize's transaction: what keeps it from that must not undo the result."""
        try:
            self._guard.before_claim(connection)
        except PrxEmailError:
            return False
        return True


def _shown(text: bytes) -> str:
    return text.decode("utf-8", "replace")
