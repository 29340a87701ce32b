"""A follower hears of what may be to do for it, and looks for the rest; it hears again when it was cut off."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import psycopg
import pytest

from prx_email_cli.outbox.accounts import EVERY_ACCOUNT, AccountState
from prx_email_cli.outbox.decisions import Decision
from prx_email_cli.outbox.postgres import watch as watching
from prx_email_cli.outbox.postgres.dialect import PostgresConnection
from prx_email_cli.outbox.postgres.store import PostgresStore
from prx_email_cli.outbox.postgres.watch import PostgresWatch
from prx_email_cli.outbox.store import Store

from ...support.postgres import PostgresServer
from ..messages import NOW, POLICY, claim, new_message, sent
from .conftest import Machine

PATIENCE_SECONDS = 30
LISTENERS = (
    b"SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    b" AND query LIKE '%%pg_notify(%%'"
)


@contextmanager
def watching_of(store: PostgresStore) -> Iterator[PostgresWatch]:
    """A watch that is sound, and has told of all that was."""
    watch = store.watch()
    assert isinstance(watch, PostgresWatch)
    with closing(watch):
        assert is_told(watch)
        assert watch._sound
        yield watch


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_told(watch: PostgresWatch) -> bool:
    """Whether the watch's descriptor can be read within some seconds, and there was a change."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if stirs(watch, 1):
            watch.take()
            if watch.changed():
                return True
    return False


def stirs(watch: PostgresWatch, seconds: float) -> bool:
    """Whether the watch's descriptor can be read within these seconds."""
    return bool(select.select([watch._reader], [], [], seconds)[0])


def hears_nothing(watch: PostgresWatch, store: PostgresStore, other: PostgresStore) -> bool:
    """Whether nothing was told until a message is stored: what is told, is told in order."""
    heard = watch.changed()
    until(lambda: bool(other.submit([new_message()])) and is_told(watch))
    return not heard


def held(store: Store) -> None:
    store.hold(1, NOW)


def refused() -> PostgresConnection:
    raise psycopg.OperationalError("too many connections")


OPERATORS: dict[str, Callable[[Store], object]] = {
    "a message": lambda store: store.submit([new_message()]),
    "hold": held,
    "release": lambda store: store.release(2, NOW),
    "cancel": lambda store: list(store.decide(Decision.CANCEL, [1], NOW)),
    "release of all": lambda store: store.release_all(None, NOW),
    "pause": lambda store: store.pause(AccountState(EVERY_ACCOUNT, paused_at=NOW, paused_by="x")),
    "resume": lambda store: store.resume("work", NOW),
}


@pytest.mark.parametrize("deed", OPERATORS)
def test_what_people_do_on_another_machine_is_told(machine: Machine, deed: str) -> None:
    one, other = machine("one"), machine("other")
    one.submit([new_message(), new_message()])
    one.hold(2, NOW)
    one.pause(AccountState("work", paused_at=NOW, paused_by="x"))
    with watching_of(one) as watch:
        OPERATORS[deed](other)
        assert is_told(watch)
        assert not watch.changed()


def test_claims_and_results_are_told_to_nobody_nor_is_what_was_stored_before(machine: Machine) -> None:
    one, other = machine("one"), machine("other")
    again = new_message()._replace(idempotency_key="k", fingerprint="f")
    one.submit([new_message(), again])
    with watching_of(one) as watch:
        other.submit([again])
        with other.start_run(NOW) as run:
            run.advance([sent(claim(run))], [])
            run.recover(POLICY, NOW)
        other.note_drain(NOW)
        assert not stirs(watch, 0.3)
        assert hears_nothing(watch, one, other)


def test_ten_thousand_messages_of_one_transaction_are_told_once(machine: Machine) -> None:
    one, other = machine("one"), machine("other")
    with watching_of(one) as watch:
        told: list[str] = []
        take = watch._take

        def noted(channel: str) -> None:
            told.append(channel)
            take(channel)

        watch._take = noted  # type: ignore[method-assign]
        other.submit([new_message() for _ in range(10_000)])
        assert is_told(watch)
        other.submit([new_message()])
        until(lambda: len(told) >= 2)
        assert told == ["prx_email"] * 2


def test_a_watch_that_is_cut_off_looks_itself_and_listens_again(server: PostgresServer, machine: Machine) -> None:
    one, other = machine("one"), machine("other")
    with watching_of(one) as watch, psycopg.connect(one.where.conninfo, autocommit=True) as admin:
        cut = [pid for (pid,) in admin.execute(LISTENERS) if admin.execute("SELECT pg_terminate_backend(%s)", (pid,))]
        assert cut
        until(lambda: not watch._sound)
        assert not one.cut_off(), "the run's own session lives"
        other.submit([new_message()])
        assert watch.changed()
        until(lambda: watch._sound)
        watch.changed()
        other.submit([new_message()])
        assert is_told(watch)


def test_without_a_session_to_listen_with_what_is_due_is_found_by_looking(machine: Machine) -> None:
    one = machine("one")
    with watching_of(one):
        pass

    with closing(PostgresWatch(one, refused)) as watch:
        assert watch.changed(), "the first time"
        assert not watch.changed()
        one.submit([new_message(due_at=int(time.time()) + 3600)])
        assert not watch.changed()
        one.submit([new_message(due_at=int(time.time()) - 5)])
        assert [watch.changed(), watch.changed()] == [True, True]
        one.pause(AccountState(EVERY_ACCOUNT, paused_at=NOW, paused_by="x"))
        assert not watch.changed()


def test_a_watch_finds_what_nobody_tells(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "BUSY_SECONDS", 0.05)
    one, other = machine("one"), machine("other")
    other.submit([new_message(due_at=NOW)])
    run = other.start_run(NOW)
    claim(run)
    with watching_of(one) as watch:
        assert not stirs(watch, 0.5), "the run lives"
        other.close()
        assert is_told(watch)


def test_a_watch_notes_that_drains_run_only_for_a_store_that_did(machine: Machine) -> None:
    one = machine("one")
    with closing(PostgresWatch(one, refused)) as watch:
        watch.changed()
        watch.changed()
        assert one.last_drain_at() is None
        one.note_drain(1000, "a follower")
        watch.changed()
        assert abs((one.last_drain_at() or 0) - time.time()) < PATIENCE_SECONDS
        assert one.last_drain_by() == "a follower"
