"""The connection is cut at the worst moments: what was done without an answer is neither lost, doubled nor in doubt."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from prx_email_cli.errors import StorageError
from prx_email_cli.outbox.lifecycle import Status
from prx_email_cli.outbox.postgres.connection import Where
from prx_email_cli.outbox.postgres.store import Patience, PostgresStore
from prx_email_cli.outbox.store import Run

from ...support.cutting_proxy import Cut, CuttingProxy, Manner, Place
from ...support.postgres import USER, PostgresServer
from ..messages import DOMAIN, NOW, POLICY, claim, in_doubt, new_message, sent, wish

Proxied = tuple[CuttingProxy, PostgresStore]


@pytest.fixture
def url(server: PostgresServer) -> str:
    return server.new_database()


@pytest.fixture
def proxied(server: PostgresServer, url: str, tmp_path: Path) -> Iterator[Proxied]:
    """A store, and the proxy by which it reaches its database."""
    listener = socket.create_server(("127.0.0.1", 0))
    with CuttingProxy(listener, server.socket, random.Random(1)) as proxy:
        name = url.partition("?")[0].rpartition("/")[2]
        there = f"postgresql://{USER}@127.0.0.1:{proxy.port}/{name}?sslmode=disable&gssencmode=disable"
        store = PostgresStore(Where(there, "the test's"), tmp_path / "records", DOMAIN, Patience(withdraw_seconds=0))
        yield proxy, store
        store.close()


@pytest.fixture
def other(url: str, tmp_path: Path) -> Iterator[PostgresStore]:
    """Another process of the same machine, which nothing is cut of."""
    store = PostgresStore(Where(url, "the test's"), tmp_path / "records", DOMAIN, Patience(withdraw_seconds=0))
    yield store
    store.close()


def wait_until_dead(other: PostgresStore, run: Run) -> None:
    """Return when the server has ended the session of a run that was cut: it sees that a little later than the run."""
    deadline = time.monotonic() + 60
    while run.run_id in other.living():
        assert time.monotonic() < deadline, "the session does not end"
        time.sleep(0.01)


@pytest.mark.parametrize("manner", list(Manner))
def test_what_was_claimed_without_an_answer_is_given_back_and_not_in_doubt(
    proxied: Proxied, other: PostgresStore, manner: Manner
) -> None:
    proxy, store = proxied
    store.enqueue([new_message()])
    with store.start_run(NOW) as run:
        proxy.plan([Cut("commit:claim", Place.DONE, manner)])
        with pytest.raises(StorageError):
            run.advance([], [wish()])
        assert proxy.planned == []
    assert other.row(1).status is Status.SENDING
    wait_until_dead(other, run)
    with other.start_run(NOW) as later:
        recovered = later.recover(POLICY, NOW)
        assert (recovered.uncertain, recovered.given_back) == ([], [1])
        assert claim(later).uncertain is False


@pytest.mark.parametrize("place", list(Place))
def test_what_was_sent_when_the_connection_was_cut_is_recorded_once(
    proxied: Proxied, other: PostgresStore, place: Place
) -> None:
    proxy, store = proxied
    for step in ("begin", "settle", "commit:settle"):
        (outbox_id,) = other.enqueue([new_message()])
        with store.start_run(NOW) as run:
            claimed = claim(run)
            run.about_to_end(claimed, in_doubt(claimed))
            proxy.plan([Cut(step, place)])
            assert run.advance([sent(claimed)], []).lost == [None]
        assert proxy.planned == []
        assert other.row(outbox_id).status is Status.SENT
        with other.reading() as connection:
            found = connection.execute("SELECT count(*) FROM attempt WHERE outbox_id = ?", (outbox_id,)).fetchone()
        assert found == (1,)


@pytest.mark.parametrize("place", list(Place))
def test_a_message_whose_commit_got_no_answer_is_stored_once_under_its_key_and_acknowledged(
    proxied: Proxied, place: Place
) -> None:
    proxy, store = proxied
    message = new_message()._replace(idempotency_key="k", fingerprint="f")
    proxy.plan([Cut("commit:submit", place)])
    (answer,) = store.submit([message])
    assert proxy.planned == []
    assert not answer.duplicate
    assert store.stats(NOW).total == 1
    (again,) = store.submit([message])
    assert (again.outbox_id, again.duplicate) == (answer.outbox_id, True)
    assert store.stats(NOW).total == 1


def test_a_run_that_was_cut_leaves_neither_session_nor_lock(proxied: Proxied, other: PostgresStore) -> None:
    proxy, store = proxied
    run = store.start_run(NOW)
    assert proxy.cut_all() == 1
    with pytest.raises(StorageError):
        run.advance([], [wish()])
    run.__exit__(None, None, None)
    wait_until_dead(other, run)
    with other.start_run(NOW) as later:
        later.recover(POLICY, NOW)
        assert other.living() == [later.run_id]


def test_a_pipeline_that_is_cut_says_nothing_beside_its_error(
    proxied: Proxied, capfd: pytest.CaptureFixture[str]
) -> None:
    proxy, store = proxied
    store.enqueue([new_message()])
    with store.start_run(NOW) as run:
        proxy.plan([Cut("claim", Place.ANSWERING)])
        with pytest.raises(StorageError):
            run.advance([], [wish()])
    assert proxy.planned == []
    assert capfd.readouterr().err == ""
