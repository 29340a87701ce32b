"""A connection to PostgreSQL, as the steps want it."""

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import psycopg
from psycopg.adapt import Buffer, Loader

from prx_email_cli.outbox.postgres import sql
from prx_email_cli.outbox.postgres.clock import Reading
from prx_email_cli.outbox.relational.database import Cursor, Spelling
from prx_email_cli.outbox.relational.rows import write_rows

# What the steps say in SQLite's way, and how PostgreSQL wants it, in this order.
_SPELLINGS = tuple(
    (re.compile(pattern), spelling)
    for pattern, spelling in (
        (r"--.*", ""),
        (r"%", "%%"),
        (r" (INDEXED BY \w+|NOT INDEXED)\b", ""),  # its planner is not told of indexes
        (r"CAST\((\w+) AS BLOB\)", r"\1"),  # for damaged texts, of which SQLite raises no error
        (r"json_each\((:\w+|\?)\)", r"jsonb_array_elements_text(CAST(\1 AS jsonb)) AS each (value)"),
        (r"LIMIT (:\w+|\?)", r"LIMIT nullif(CAST(\1 AS BIGINT), -1)"),  # -1 is SQLite's word for all
        (r"(?<![:\w]):([a-z]\w*)", r"%(\1)s"),
        (r"\?", "%s"),
        (r"\s+", " "),  # psycopg parses statements of over 4096 characters anew each time
    )
)


@cache
def spelled(statement: str) -> str:
    """Spell a statement of the steps for PostgreSQL and psycopg."""
    for pattern, spelling in _SPELLINGS:
        statement = pattern.sub(spelling, statement)
    return statement


class _Whole(Loader):
    """Reads sums, which are numeric, as the whole numbers that they are."""

    def load(self, data: Buffer) -> int:
        return int(bytes(data))


class PostgresConnection:
    """See ``Connection`` for what each member promises."""

    spelling = Spelling(
        ours=sql.OURS,
        claimed_before=sql.CLAIMED_BEFORE,
        recipients_of_next=sql.RECIPIENTS_OF_NEXT,
        latest_attempt_at="SELECT max(latest_at) FROM attempted_slot",
        schema_version="SELECT version FROM prx_email",
        repair="restore a backup that pg_dump made",
    )

    read_at: Reading  # of the server's clock, when the session began

    def __init__(self, connection: "psycopg.Connection[Any]") -> None:
        self.connection = connection
        connection.adapters.register_loader("numeric", _Whole)

    def execute(self, statement: str, values: Any = (), /) -> Cursor:
        text = spelled(statement).encode()
        try:
            return self.connection.execute(text, values)
        except psycopg.DataError as error:
            if error.sqlstate is not None:  # the server's; else psycopg sent nothing: a text has a NUL character
                raise
        return self.connection.execute(text, _storable(values))

    def execute_soon(self, statement: str, values: Mapping[str, Any]) -> Cursor:
        """Execute a statement of every claim and result: planned once, its answer without detours over text.

        In a ``pipeline`` it is sent without a wait, and its answer may be read once that has ended.
        """
        cursor = self.connection.cursor(binary=True)
        return cursor.execute(spelled(statement).encode(), values, prepare=True)

    def pipeline(self) -> AbstractContextManager[Any]:
        """Send the statements of the block together where libpq can; their errors are raised by its end."""
        return self.connection.pipeline() if psycopg.Pipeline.is_supported() else nullcontext()

    def execute_as_it_is(self, statement: str) -> None:
        """Execute a statement without parameters in PostgreSQL's own words."""
        self.connection.execute(statement.encode())

    def executemany(self, statement: str, rows: Any, /) -> Cursor:
        cursor = self.connection.cursor()
        cursor.executemany(spelled(statement).encode(), [_storable(row) for row in rows])
        return cursor

    def transaction(self) -> AbstractContextManager[Any]:
        """Begin a transaction, which ends with the block."""
        return self.connection.transaction()

    def faults(self, most: int) -> list[str]:
        """Return nothing: PostgreSQL has pg_amcheck and data checksums of its own."""
        return []

    def lock(self, outbox_id: int) -> None:
        """Keep others from changing this message until the transaction ends."""
        self.execute(sql.LOCK_MESSAGE, (outbox_id,))

    def lock_accounts(self) -> None:
        """Keep others from changing what is known of accounts until then."""
        self.execute_as_it_is(sql.LOCK_ACCOUNTS)

    def count_attempts(self, counts: Sequence[Mapping[str, Any]], latest_at: int) -> None:
        """Add to the counts of attempts, and note when the latest one ended."""
        write_rows(self, sql.COUNT_ATTEMPTS, [{**one, "latest_at": latest_at} for one in counts])

    def count_elsewhere(self, before: str, after: str) -> None:
        """Do nothing: a trigger counts."""

    def search(self) -> None:
        """Do nothing: ``resembles`` is a function of the database."""

    def passing_damage(self) -> AbstractContextManager[Any]:
        return nullcontext()


def _storable(values: Any) -> Any:
    """Write NUL characters, which PostgreSQL's texts cannot hold, as ``\\x00``."""
    if isinstance(values, Mapping):
        return dict(zip(values, _storable(tuple(values.values())), strict=True))
    return [one.replace("\0", "\\x00") if isinstance(one, str) else one for one in values]
