"""The part of the SQLite outbox that carries out a person's decisions."""

import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING

from prx_email_cli.errors import PrxEmailError
from prx_email_cli.outbox.sqlite import actions, marks, queue, sql
from prx_email_cli.outbox.sqlite.actions import Deed
from prx_email_cli.outbox.sqlite.database import OpenDatabase
from prx_email_cli.outbox.sqlite.high_water import Mark
from prx_email_cli.outbox.sqlite.restored import RestoreGuard
from prx_email_cli.outbox.sqlite.runs import Runs

if TYPE_CHECKING:
    from prx_email_cli.outbox.sqlite.withdrawing import Decision


class Operating(OpenDatabase):
    """See ``Operator`` for what each method promises.

    acting: who decides.  withdraw_seconds: so long runs are given to give back what a person holds or cancels.
    """

    acting = ""
    _guard: RestoreGuard
    _withdraw_seconds: float

    def refuse_restored(self) -> None:
        """Raise RestoredBackup for a restored backup that nobody has accepted."""
        with self.reading() as connection:
            self._guard.refuse(connection)

    def accept_restored(self) -> bool:
        """Let runs take messages from a restored backup; tell if it was one."""
        mark = self.change(self._accept)
        if mark is not None:
            self._guard.note(mark)
        return mark is not None

    def _accept(self, connection: sqlite3.Connection) -> Mark | None:
        return self._guard.accept(connection, Runs(self.path).forget_flights)

    def hold(self, outbox_id: int, now: int) -> None:
        """Keep drains from this message."""
        from prx_email_cli.outbox.sqlite import withdrawing  # on use

        self._decide(withdrawing.HOLD, outbox_id, now)

    def hold_all(self, account: str | None, now: int) -> list[int]:
        """Hold every message that drains might take (of *account*); return their ids."""
        from prx_email_cli.outbox.sqlite.withdrawing import wait_until_given_back  # on use

        claimed: list[int] = []

        def make(connection: sqlite3.Connection) -> tuple[list[int], Mark | None]:
            values = {"account": account, "now": now}
            held = queue.ids(connection.execute(sql.HOLD_ALL, values))
            if self._withdraw_seconds:
                claimed[:] = queue.ids(connection.execute(marks.MARK_ALL_HELD, values))
            mark = None
            if account is None:
                with suppress(PrxEmailError):  # a mark that cannot be read must not keep a person from holding messages
                    mark = self._accept(connection)
            if mark is not None:
                held += claimed + queue.ids(connection.execute(sql.HOLD_SENDING, values))
            actions.record(connection, held, self._deed("held", now))
            return held, mark

        held, mark = self.change(make)
        if mark is not None:
            self._guard.note(mark)
        elif claimed:  # what is being sent is held afterwards, unless it is sent
            wait_until_given_back(self, claimed, self._withdraw_seconds)
            held += self.change(lambda connection: self._note_held(connection, claimed, now))
        return held

    def _note_held(self, connection: sqlite3.Connection, claimed: list[int], now: int) -> list[int]:
        held = queue.ids(connection.execute(marks.HELD_AMONG, {"ids": str(claimed)}))
        actions.record(connection, held, self._deed("held", now))
        return held

    def release(self, outbox_id: int, now: int) -> None:
        """Let drains take this message again."""
        from prx_email_cli.outbox.sqlite import operator  # on use

        def make(connection: sqlite3.Connection) -> None:
            operator.release(connection, outbox_id)
            actions.record(connection, [outbox_id], self._deed("released", now))

        self.change(make)

    def release_all(self, account: str | None, now: int) -> list[int]:
        """Release every held message (of *account*); return their ids."""

        def make(connection: sqlite3.Connection) -> list[int]:
            released = queue.ids(connection.execute(sql.RELEASE_ALL, {"account": account}))
            actions.record(connection, released, self._deed("released", now))
            return released

        return self.change(make)

    def cancel(self, outbox_id: int, now: int) -> None:
        """Give this message up."""
        from prx_email_cli.outbox.sqlite import withdrawing  # on use

        self._decide(withdrawing.CANCEL, outbox_id, now)

    def resolve(self, outbox_id: int, now: int, *, sent: bool) -> None:
        """Settle the uncertain recipients of this message: accepted if *sent*, else not."""
        from prx_email_cli.outbox.sqlite import operator  # on use

        def make(connection: sqlite3.Connection) -> None:
            operator.resolve(connection, outbox_id, now, sent=sent)
            actions.record(connection, [outbox_id], self._deed("resolved", now, "sent" if sent else "not sent"))

        self.change(make)

    def prune(self, before: int, now: int, *, records: bool = False) -> int:
        """Delete the content (with *records* everything) of messages that ended by *before*; return how many."""
        from prx_email_cli.outbox.sqlite import operator  # on use

        return operator.prune(self, operator.Pruning(before, now, records))

    def _decide(self, decision: "Decision", outbox_id: int, now: int) -> None:
        from prx_email_cli.outbox.sqlite.withdrawing import decide  # on use

        decide(self, decision, outbox_id, self._deed(decision.what, now), self._withdraw_seconds)

    def _deed(self, what: str, now: int, detail: str | None = None) -> Deed:
        return Deed(what, now, self.acting, detail)
