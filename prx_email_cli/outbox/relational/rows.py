"""Write many rows by one statement: each step of a statement gives other threads the interpreter, and waits for it."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from prx_email_cli.outbox.relational.database import Connection

_AT_ONCE = (32, 8, 2, 1)  # few sizes, so that the statements stay prepared


def write_rows(connection: Connection, statement: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Execute *statement* for *rows*, all with the same keys in the same order.

    statement: with ``{columns}`` where those keys go, and ``VALUES {rows}``.
    """
    start = 0
    for many in _AT_ONCE:
        while len(rows) - start >= many:
            some = rows[start : start + many]
            text = _for_many(statement, tuple(some[0]), many)
            connection.execute(text, [value for row in some for value in row.values()])
            start += many


@cache
def _for_many(statement: str, columns: tuple[str, ...], many: int) -> str:
    row = f"({', '.join('?' * len(columns))})"
    return statement.format(columns=", ".join(columns), rows=", ".join([row] * many))
