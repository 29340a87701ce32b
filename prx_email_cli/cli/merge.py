"""``prx-email send --merge``: a message for each row of a table, stored as a batch is."""

from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

from prx_email_cli.cli.batch_lines import Entry
from prx_email_cli.cli.inputs import shown_name
from prx_email_cli.config.settings import Settings
from prx_email_cli.submission.merge import Merge, Names
from prx_email_cli.submission.request import Request
from prx_email_cli.submission.spreadsheet import Row, Table


class Rows:
    """The table of a merge and the templates that make requests of its rows."""

    unit = "row"

    def __init__(self, table: Table, merge: Merge) -> None:
        self._table, self._merge = table, merge
        self.heading, self.line_end = table.heading, table.line_end
        self.columns: Sequence[str] = table.columns

    def entries(self, *, keep: bool, skipped: Callable[[bytes], None] | None) -> Iterator[Entry]:
        """Yield each row that is not blank."""
        for row in self._table.rows():
            yield _RowEntry(row, self._merge, keep=keep)


class _RowEntry(Entry):
    def __init__(self, row: Row, merge: Merge, *, keep: bool) -> None:
        super().__init__(row.number, row.raw if keep else None)
        self.cells, self._error, self._merge = row.cells, row.error, merge

    def request(self) -> Request:
        if self._error is not None:
            raise self._error
        return self._merge.request(self.cells)


def reader_of(file: str, typed: Request, names: Names) -> Callable[[BinaryIO, Settings], Rows]:
    """Make the function that reads the opened table *file* for the templates in *typed*."""

    def read(stream: BinaryIO, settings: Settings) -> Rows:
        table = Table(stream, shown_name(file))
        return Rows(table, Merge(typed, table.columns, names, settings.attachments.policy.max_message_bytes))

    return read


def defaults_of(typed: Request) -> Request:
    """Keep of the options what is no template and holds for all rows."""
    return Request(
        account=typed.account, priority=typed.priority, at=typed.at, within=typed.within, expires_in=typed.expires_in,
        now_ts=typed.now_ts, failure_mode=typed.failure_mode, allow_empty=typed.allow_empty, typed=True,
    )  # fmt: skip
