"""A connection to SQLite, as the steps want it."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from prx_email_cli.outbox.pattern import resembles
from prx_email_cli.outbox.relational.database import Spelling
from prx_email_cli.outbox.relational.rows import write_rows
from prx_email_cli.outbox.sqlite import sql

DAMAGED_HINT = "restore a backup, or try the sqlite3 shell's .recover on a copy"


class SqliteConnection(sqlite3.Connection):
    """See ``Connection`` for what each member promises."""

    spelling = Spelling(
        ours=sql.OURS,
        claimed_before=sql.CLAIMED_BEFORE,
        recipients_of_next=sql.RECIPIENTS_OF_NEXT,
        latest_attempt_at=sql.LATEST_ATTEMPT_AT,
        schema_version="SELECT user_version FROM pragma_user_version",
        repair=DAMAGED_HINT,
    )

    def faults(self, most: int) -> list[str]:
        """Return what is damaged, a few of it; reads the whole file."""
        found = [str(fault) for (fault,) in self.execute(f"PRAGMA integrity_check({most})") if fault != "ok"]
        return found + [
            f"a row of {table} without its message" for table, *_ in self.execute("PRAGMA foreign_key_check")
        ]

    def lock(self, outbox_id: int) -> None:
        """Do nothing: a transaction that changes something is alone."""

    def lock_accounts(self) -> None:
        """Do nothing: a transaction that changes something is alone."""

    def count_attempts(self, counts: Sequence[Mapping[str, Any]], latest_at: int) -> None:
        """Add to the counts of attempts, and note when the latest one ended."""
        write_rows(self, sql.COUNT_ATTEMPTS, counts)
        self.execute(sql.LATEST_ATTEMPT, {"at": latest_at})

    def count_elsewhere(self, before: str, after: str) -> None:
        """Count a message for the account *after* instead of *before*."""
        self.execute(sql.COUNT_LESS, (before,))
        self.execute(sql.COUNT_MORE, (after,))

    def search(self) -> None:
        """Let the statements that follow use ``resembles``."""
        self.create_function("resembles", 2, _resembles, deterministic=True)

    @contextmanager
    def passing_damage(self) -> Iterator[None]:
        """Leave the block at an error of a damaged page."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_CORRUPT:
                raise


def _resembles(pattern: str, text: bytes | None) -> bool:
    """Compare a text with a pattern; damage may have made it undecodable."""
    return text is not None and resembles(pattern, text.decode("utf-8", "replace"))
