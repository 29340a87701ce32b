"""Corrections while others are at work, and of what is damaged."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from typing import TypeVar

from prx_email_cli.errors import NotAllowedForStatus, OutboxDamaged, PrxEmailError
from prx_email_cli.mail.readdressing import parse_replacement
from prx_email_cli.outbox import PIECES_PER_MESSAGE
from prx_email_cli.outbox.decisions import Decided
from prx_email_cli.outbox.editing import Edit
from prx_email_cli.outbox.relational import editing
from prx_email_cli.outbox.sqlite.store import SqliteStore

from ..messages import NOW, claim, new_message

T = TypeVar("T")
HEAD = b"From: ops@example.com\r\nTo: old@example.org\r\nMIME-Version: 1.0\r\n\r\n"
CHANGE = Edit(NOW, dict([parse_replacement("old@example.org=new@example.org")]))


class Between:
    """An outbox to which *happens* something before each change."""

    def __init__(self, outbox: SqliteStore, happens: Callable[[], object]) -> None:
        self._outbox, self._happens = outbox, happens

    def change(self, make: Callable[[sqlite3.Connection], T]) -> T:
        self._happens()
        return self._outbox.change(make)

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        return self._outbox.reading()


def told(some: Iterator[list[Decided]]) -> list[PrxEmailError | None]:
    return [one.error for decided in some for one in decided]


def test_a_message_that_is_claimed_after_it_was_read_stays_as_it_was(outbox: SqliteStore) -> None:
    outbox.enqueue([new_message("old@example.org", content=HEAD)])
    with outbox.start_run(NOW) as run:
        (error,) = told(editing.edit(Between(outbox, lambda: claim(run)), [1], CHANGE, "me"))
        assert isinstance(error, NotAllowedForStatus)
        row = outbox.row(1)
        assert (row.status, row.to, row.actions) == ("sending", ["old@example.org"], [])


def test_of_two_corrections_at_once_the_second_is_refused(outbox: SqliteStore) -> None:
    outbox.enqueue([new_message("old@example.org", content=HEAD)])
    other = CHANGE._replace(replaced=dict([parse_replacement("old@example.org=other@example.org")]))
    between = Between(outbox, lambda: told(outbox.edit([1], other)))
    (error,) = told(editing.edit(between, [1], CHANGE, "me"))
    assert isinstance(error, NotAllowedForStatus)
    assert "meanwhile" in error.message
    assert (outbox.row(1).to, len(outbox.row(1).actions)) == (["other@example.org"], 1)


def test_what_is_damaged_is_refused_and_the_others_are_corrected(outbox: SqliteStore) -> None:
    outbox.enqueue([new_message("old@example.org", content=HEAD + b"text\r\n") for _ in range(3)])
    with closing(sqlite3.connect(outbox.path)) as connection, connection:
        place = 2 * PIECES_PER_MESSAGE
        connection.execute(
            "UPDATE content SET data = CAST(replace(data, 'text', 'TEXT') AS BLOB) WHERE id = ?", (place,)
        )
    first, second, third = told(outbox.edit([1, 2, 3], CHANGE))
    assert (first, isinstance(second, OutboxDamaged), third) == (None, True, None)
    assert [outbox.row(outbox_id).to for outbox_id in (1, 2, 3)] == [
        ["new@example.org"], ["old@example.org"], ["new@example.org"],
    ]  # fmt: skip
