"""A replica takes the place of the server that died, and knows nothing of its last second."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from prx_email_cli.outbox.lifecycle import Status
from prx_email_cli.outbox.postgres.connection import Where
from prx_email_cli.outbox.postgres.store import Patience, PostgresStore
from prx_email_cli.outbox.views import Filter

from ...support.postgres import MISSING, PostgresReplica, PostgresServer, programs
from ..messages import DOMAIN, NOW, POLICY, claim, new_message, sent, wish

_PATIENCE_SECONDS = 60


class Pair:
    """A server and its replica, which is behind for as long as it is stopped."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._first = PostgresServer()
        self.servers = [self._first]
        self._url = self._first.new_database()
        self._replica = PostgresReplica(self._first)
        self.servers.append(self._replica)

    def store(self) -> PostgresStore:
        """The outbox as a machine opens it: at whichever of both can be written."""
        name = self._url.partition("@/")[2].partition("?")[0]
        hosts = ",".join(str(one.directory) for one in self.servers)
        conninfo = f"host={hosts} dbname={name} user=prx target_session_attrs=read-write"
        return PostgresStore(Where(conninfo, "the test's"), self._directory / "records", DOMAIN, Patience(1, 0, 0))

    def leave_behind(self) -> None:
        """Stop the replica once it has everything so far."""
        with psycopg.connect(self._first.url("postgres"), autocommit=True) as connection:
            deadline = time.monotonic() + _PATIENCE_SECONDS
            caught_up = b"SELECT bool_and(replay_lsn >= pg_current_wal_flush_lsn()) FROM pg_stat_replication"
            while not (found := connection.execute(caught_up).fetchone()) or not found[0]:
                assert time.monotonic() < deadline
                time.sleep(0.02)
        self._replica.stop(signal.SIGINT)

    def fail_over(self) -> None:
        """Let the first server die, and promote the replica."""
        self._first.stop(signal.SIGQUIT)
        self._replica.start()
        with psycopg.connect(self._replica.url("postgres"), autocommit=True) as connection:
            assert connection.execute(b"SELECT pg_promote()").fetchone() == (True,)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    if programs() is None:
        pytest.skip(MISSING)
    pair = Pair(tmp_path)
    yield pair
    for server in pair.servers:
        server.close()


def test_what_the_replica_did_not_hear_of_goes_out_again_under_the_same_message_id_unless_held(pair: Pair) -> None:
    store = pair.store()
    old = store.enqueue([new_message(), new_message(), new_message()])
    pair.leave_behind()
    with store.start_run(NOW) as run:
        delivered, under_way = claim(run), claim(run)
        run.advance([sent(delivered)], [])
        (lost,) = store.enqueue([new_message()])
        pair.fail_over()
        answers = run.advance([sent(under_way)], [wish()])
    assert [type(one).__name__ for one in answers.lost] == ["ClaimLost"], "its result is not recorded, and that is said"
    assert answers.claims == [[]], "a run whose session is over claims nothing"

    with store.start_run(NOW) as run:
        assert run.recover(POLICY, NOW).uncertain == [], "the replica knows of no claim"
        again = [claim(run), claim(run)]
        run.advance([], [], again)
    assert [(one.outbox_id, one.message_id) for one in again] == [
        (one.outbox_id, one.message_id) for one in (delivered, under_way)
    ], "a second copy, which a provider can tell by its Message-ID"
    assert lost not in [row.outbox_id for row in store.rows(Filter())], "what was acknowledged is gone"

    assert store.hold_all(None, NOW) == old, "held before a drain runs, nothing goes out"
    with store.start_run(NOW) as run:
        assert run.advance([], [wish()]).claims == [[]]
    store.close()


def test_ids_after_a_failover_are_not_those_of_messages_that_were_lost(pair: Pair) -> None:
    store = pair.store()
    store.enqueue([new_message()])
    pair.leave_behind()
    lost = store.enqueue([new_message() for _ in range(100)])
    pair.fail_over()
    store.close()

    store = pair.store()
    with psycopg.connect(store.where.conninfo, autocommit=True) as connection:  # as docs/scaling.md says
        connection.execute(b"SELECT setval('outbox_id', nextval('outbox_id') + 100000)")
    assert min(store.enqueue([new_message()])) > max(lost)
    assert {row.status for row in store.rows(Filter())} == {Status.PENDING}
    store.close()
