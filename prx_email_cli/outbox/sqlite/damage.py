"""Go on with all other messages once a drain has met a damaged page or value.

A message whose content or recipients cannot be read is claimed without them, to be given up.  One whose row cannot be
read or written can be neither sent nor given up: the process passes it by from then on, and reports it.  Each try is a
transaction of its own, so that nothing is written in one that has met damage.
"""

import json
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Protocol

from prx_email_cli.errors import MessageUnreadable, OutboxDamaged
from prx_email_cli.outbox.messages import Claimed, ClaimNext, Recovered
from prx_email_cli.outbox.relational import queue
from prx_email_cli.outbox.relational import sql as moves
from prx_email_cli.outbox.sqlite import sql
from prx_email_cli.outbox.sqlite.dialect import SqliteConnection

MOST = 100  # a damaged page takes some twenty rows, and may keep those on the pages beside it from being written

Change = Callable[[SqliteConnection], Any]


class ClaimOf(Protocol):
    """What claims this one message; *unread*: without its content and recipients."""

    def __call__(self, outbox_id: int, *, unread: bool) -> Claimed | None: ...


class DespiteDamage:
    """The damaged messages that one process passes by.  change, reading: the store's methods."""

    def __init__(
        self, change: Callable[[Change], Any], reading: Callable[[], AbstractContextManager[SqliteConnection]]
    ) -> None:
        self._change, self._reading = change, reading
        self._unreadable: dict[int, MessageUnreadable] = {}

    @property
    def met(self) -> bool:
        """Tell whether any message is passed by."""
        return bool(self._unreadable)

    def errors(self) -> list[MessageUnreadable]:
        """Return an error for each message that is passed by."""
        return list(self._unreadable.values())

    def claim_next(self, wish: ClaimNext, claim: ClaimOf) -> Claimed | None:
        """The first of the due messages that *claim* gives."""
        passed: set[int] = set()
        while True:
            values = {"account": wish.account, "due_before": wish.due_before, "but": self._but(passed)}
            with self._reading() as connection:
                found = connection.execute(sql.NEXT_BY_INDEX, values).fetchone()
            if found is None:
                return None
            passed.add(found[0])
            try:
                with self._reading() as connection:
                    if not queue.within_limits(connection, wish, found[0]):
                        return None
                claimed = claim(found[0], unread=False)
            except OutboxDamaged:
                claimed = self._unread(found[0], claim)
            if claimed is not None:
                return claimed

    def _unread(self, outbox_id: int, claim: ClaimOf) -> Claimed | None:
        try:
            return claim(outbox_id, unread=True)
        except OutboxDamaged as error:
            self._pass_by(outbox_id, error)
            return None

    def count_due(self, account: str, due_before: int, limit: int) -> int:
        """Count the due messages by the index alone, without those that are passed by."""
        values = {"account": account, "due_before": due_before, "but": self._but(), "limit": limit}
        with self._reading() as connection:
            return int(connection.execute(sql.COUNT_DUE_BY_INDEX, values).fetchone()[0])

    def recover(self, run: str, recover: Callable[..., Recovered]) -> list[Recovered]:
        """Do as ``recover_run``, message by message, and write of each as much as possible."""
        with self._reading() as connection:
            sending = queue.ids(connection.execute(sql.SENDING_BY_INDEX, (run,)))
        recovered: list[Recovered] = []
        for outbox_id in sending:
            for parts in (queue.WHOLE, queue.Parts(history=False), queue.Parts(history=False, recipients=False)):
                try:
                    recovered.append(self._change(partial(recover, only=outbox_id, parts=parts)))
                    break
                except OutboxDamaged as error:
                    damage = error
            else:
                self._pass_by(outbox_id, damage)
        return recovered

    def expire(self, now: int) -> list[int]:
        """Do as ``queue.expire``, message by message."""
        with self._reading() as connection:
            expiring = queue.ids(connection.execute(moves.EXPIRING, {"now": now, "limit": -1}))
        expired: list[int] = []
        for outbox_id in expiring:
            try:
                expired += self._change(partial(queue.expire, now=now, only=outbox_id))
            except OutboxDamaged as error:
                self._pass_by(outbox_id, error)
        return expired

    def _pass_by(self, outbox_id: int, error: OutboxDamaged) -> None:
        """Pass this message by from now on.

        Raises *error* when there are many: then an index or something else that they share is damaged.
        """
        if len(self._unreadable) == MOST:
            raise error
        self._unreadable[outbox_id] = MessageUnreadable(
            f"outbox message {outbox_id} can be neither sent nor given up: {error.message}",
            hint=f"the others are delivered; restore a backup, or try prx-email cancel {outbox_id}",
        )

    def _but(self, passed: Iterable[int] = ()) -> str:
        return json.dumps([*self._unreadable, *passed])
