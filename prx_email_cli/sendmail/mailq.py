"""Print what is not delivered yet in the form of Postfix's ``mailq``, which people and monitoring plugins read."""

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from prx_email_cli.outbox.lifecycle import RecipientStatus, Status
from prx_email_cli.outbox.views import Fact, Filter
from prx_email_cli.sendmail.talk import visible

if TYPE_CHECKING:
    from prx_email_cli.outbox.store import Store
    from prx_email_cli.outbox.views import Row

EMPTY = "Mail queue is empty"
_WAITING = Filter(
    statuses=(Status.PENDING, Status.SENDING, Status.FAILED), without=(Fact.GAVE_UP, Fact.CANCELLED), limit=1_000_000
)
_HEAD = f"{'-Queue ID-':<11} {'--Size--':>8} {'----Arrival Time----'} -Sender/Recipient-------"
_REASON_COLUMNS, _RECIPIENT_COLUMN = 76, 41


def queue(store: "Store") -> Iterator[str]:
    """Yield the lines, oldest message first."""
    ids = sorted(store.ids(_WAITING))
    return _lines(store.row(outbox_id) for outbox_id in ids)


def _lines(rows: "Iterable[Row]") -> Iterator[str]:
    size = many = 0
    for row in rows:
        if not many:
            yield _HEAD
        yield from _entry(row)
        yield ""
        size, many = size + row.size_bytes, many + 1
    yield f"-- {size // 1024} Kbytes in {many} Request{'s' if many > 1 else ''}." if many else EMPTY


def _entry(row: "Row") -> Iterator[str]:
    mark = "*" if row.status == Status.SENDING else "!" if row.held else ""
    sender = row.particulars.sender if row.particulars is not None else ""
    arrived = time.strftime("%a %b %d %H:%M:%S", time.localtime(row.created_at))
    yield f"{f'{row.outbox_id}{mark}':<11} {row.size_bytes:>8} {arrived:<20} {visible(sender) or 'MAILER-DAEMON'}"
    if row.last_error:
        yield f"({visible(row.last_error)})".rjust(_REASON_COLUMNS)
    for recipient in row.recipients:
        if recipient.status == RecipientStatus.PENDING:
            yield f"{'':{_RECIPIENT_COLUMN}}{visible(recipient.address)}"
