"""Content in pieces, and rules that the tables themselves keep."""

from __future__ import annotations

from pathlib import Path

import pytest

from prx_email_cli.errors import OutboxDamaged
from prx_email_cli.outbox.sqlite.store import SqliteStore

from ..messages import claim, new_message, open_store

PIECE_BYTES = 256 * 1024


def test_the_head_is_bounded_and_the_rest_comes_in_pieces(outbox: SqliteStore) -> None:
    outbox.enqueue([new_message(content=b"x" * (5 * PIECE_BYTES + 1))])
    claimed = claim(outbox)
    pieces = [claimed.head or b"", *outbox.claims.rest_of_content(claimed.outbox_id)]
    assert sum(map(len, pieces)) == 5 * PIECE_BYTES + 1
    assert max(map(len, pieces)) <= PIECE_BYTES


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE outbox SET status = 'lost'",
        "UPDATE outbox SET status = 'sent'",
        "UPDATE outbox SET status = 'sending'",
        "UPDATE outbox SET run_id = 'x'",
        "UPDATE outbox SET retries = -1",
        "UPDATE outbox SET uncertain = 2",
        "UPDATE recipient SET status = 'maybe'",
    ],
)
def test_the_database_itself_keeps_the_rules(outbox: SqliteStore, statement: str) -> None:
    outbox.enqueue([new_message()])
    with pytest.raises(OutboxDamaged, match="constraint failed"):
        outbox.change(lambda connection: connection.execute(statement))


def test_an_outbox_opened_again_has_everything(tmp_path: Path) -> None:
    store = open_store(tmp_path / "outbox.db")
    store.enqueue([new_message("a@x.org", "b@x.org", content=b"x" * (PIECE_BYTES + 1))])
    before = store.row(1)
    store.close()
    store = open_store(tmp_path / "outbox.db")
    assert store.row(1) == before
    claimed = claim(store)
    assert (claimed.head or b"") + b"".join(store.claims.rest_of_content(1)) == b"x" * (PIECE_BYTES + 1)
    store.close()
