"""What a database keeps for all machines by name, and lets one of them renew at a time."""

from __future__ import annotations

import pytest

from prx_email_cli.config.shelf import Shelf
from prx_email_cli.outbox.store import Store

LOGIN, NAME = "ops@example.com-0123", "ops@example.com-0123-login"


@pytest.fixture
def shelf(store: Store) -> Shelf:
    if store.shelf is None:
        pytest.skip("tokens are in files")
    return store.shelf


def test_only_a_database_of_many_machines_has_one(store: Store) -> None:
    assert (store.shelf is not None) == (type(store).__name__ == "PostgresStore")


def test_what_is_kept_is_read_replaced_and_removed(shelf: Shelf) -> None:
    assert shelf.read(NAME) is None
    with shelf.hold(LOGIN, 5) as held:
        held.try_room(NAME, 16_384)
        assert shelf.read(NAME) is None
        assert held.write(NAME, b"\0one", None)
        held.try_room(NAME, 16_384)
        assert shelf.read(NAME) == b"\0one"
        assert held.write(NAME, b"two", b"\0one")
        assert held.write("ops@example.com-01234-login", b"another's", None)
    assert shelf.read(NAME) == b"two"
    assert [shelf.has(LOGIN), shelf.has("ops@example.com-012")] == [True, False]
    assert [shelf.remove(LOGIN), shelf.remove(LOGIN), shelf.has(LOGIN)] == [True, False, False]
    assert shelf.read("ops@example.com-01234-login") == b"another's"


def test_what_others_have_kept_meanwhile_is_not_replaced(shelf: Shelf) -> None:
    with shelf.hold(LOGIN, 5) as held:
        assert held.write(NAME, b"theirs", None)
        assert not held.write(NAME, b"ours", b"what was there before")
        assert not held.write(NAME, b"ours", None)
    assert shelf.read(NAME) == b"theirs"


def test_one_login_is_renewed_by_one_at_a_time_and_others_are_not_kept(shelf: Shelf) -> None:
    with shelf.hold(LOGIN, 5):
        with pytest.raises(TimeoutError), shelf.hold(LOGIN, 0.05):
            pass
        with shelf.hold("another", 5):
            pass
    with shelf.hold(LOGIN, 5):
        pass
