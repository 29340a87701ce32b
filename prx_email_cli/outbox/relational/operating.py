"""The part of the outbox that carries out a person's decisions."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from prx_email_cli.errors import PrxEmailError
from prx_email_cli.outbox.decisions import Decided, Decision, Spread
from prx_email_cli.outbox.relational import actions, marks, queue, sql
from prx_email_cli.outbox.relational.actions import Deed
from prx_email_cli.outbox.relational.database import AtHome, Connection, OpenOutbox

if TYPE_CHECKING:
    from prx_email_cli.outbox.editing import Edit
    from prx_email_cli.outbox.views import Keeping, Prunable, Pruned, Pruning


class Operating(OpenOutbox):
    """See ``Operator`` for what each method promises."""

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

    def _accept(self, connection: Connection) -> Any:
        return self._guard.accept(connection, self.forget_flights)

    def decide(self, decision: Decision, ids: Sequence[int], now: int) -> Iterator[list[Decided]]:
        """Carry out a decision on each of these messages; yield what became of some once that is durable."""
        from prx_email_cli.outbox.relational import deciding  # on use

        return deciding.decide(AtHome(self), decision, ids, Deed("", now, self.acting), self._withdraw_seconds)

    def edit(self, ids: Sequence[int], change: "Edit") -> Iterator[list[Decided]]:
        """Correct these messages."""
        from prx_email_cli.outbox.relational import editing  # on use

        return editing.edit(AtHome(self), ids, change, self.acting)

    def spread(self, ids: Sequence[int], spread: Spread) -> Iterator[list[Decided]]:
        """Let drains take these messages, also given-up ones, one after the other."""
        from prx_email_cli.outbox.relational import spreading  # on use

        return spreading.spread(AtHome(self), ids, spread, self.acting)

    def hold(self, outbox_id: int, now: int) -> None:
        """Keep drains from this message."""
        self._decide(Decision.HOLD, outbox_id, now)

    def hold_all(self, account: str | None, now: int) -> list[int]:
        """Hold every message that drains might take (of *account*); return their ids."""
        from prx_email_cli.outbox.relational.withdrawing import wait_until_given_back  # on use

        claimed: list[int] = []

        def make(connection: Connection) -> tuple[list[int], Any]:
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

        held, mark = AtHome(self).change(make)
        if mark is not None:
            self._guard.note(mark)
        elif claimed:  # what is being sent is held afterwards, unless it is sent
            wait_until_given_back(self, claimed, self._withdraw_seconds)
            held += AtHome(self).change(lambda connection: self._note_held(connection, claimed, now))
        return held

    def _note_held(self, connection: Connection, claimed: list[int], now: int) -> list[int]:
        held = queue.ids(connection.execute(marks.HELD_AMONG, {"ids": str(claimed)}))
        actions.record(connection, held, self._deed("held", now))
        return held

    def release(self, outbox_id: int, now: int) -> None:
        """Let drains take this message again."""
        self._decide(Decision.RELEASE, outbox_id, now)

    def release_all(self, account: str | None, now: int) -> list[int]:
        """Release every held message (of *account*); return their ids."""

        def make(connection: Connection) -> list[int]:
            released = queue.ids(connection.execute(sql.RELEASE_ALL, {"account": account}))
            actions.record(connection, released, self._deed("released", now))
            return released

        return AtHome(self).change(make)

    def cancel(self, outbox_id: int, now: int) -> None:
        """Give this message up."""
        self._decide(Decision.CANCEL, outbox_id, now)

    def resolve(self, outbox_id: int, now: int, *, sent: bool) -> None:
        """Settle the uncertain recipients of this message: accepted if *sent*, else not."""
        self._decide(Decision.SENT if sent else Decision.NOT_SENT, outbox_id, now)

    def prunable(self, pruning: "Pruning") -> "Prunable":
        """Find what ``prune`` would take; changes nothing."""
        from prx_email_cli.outbox.relational import pruning as prune  # on use

        return prune.prunable(self, pruning)

    def prune(self, pruning: "Pruning") -> "Pruned":
        """Take content, names or everything from messages that ended."""
        from prx_email_cli.outbox.relational import pruning as prune  # on use
        from prx_email_cli.outbox.views import Drop  # on use

        if pruning.drop is not Drop.CONTENT or pruning.to is not None:
            self.forget_contents()
        return prune.prune(AtHome(self), pruning)

    def tidy(self, keeping: "Keeping") -> None:
        """Delete a part of what has been kept long enough."""
        from prx_email_cli.outbox.relational import tidying  # on use

        tidying.tidy(self, keeping)

    def _decide(self, decision: Decision, outbox_id: int, now: int) -> None:
        for decided in self.decide(decision, [outbox_id], now):
            for error in (one.error for one in decided if one.error is not None):
                raise error

    def _deed(self, what: str, now: int, detail: str | None = None) -> Deed:
        return Deed(what, now, self.acting, detail)
