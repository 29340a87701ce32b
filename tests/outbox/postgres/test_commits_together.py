"""Machines that store messages at the same time wait for the disk, or for a standby, together and not one by one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from prx_email_cli.outbox.postgres.store import PostgresStore

from ...support.postgres import PostgresServer
from ..messages import new_message
from .conftest import Machine

MANY = 3
WAITING = b"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'SyncRep'"


@contextmanager
def no_commit_is_answered(server: PostgresServer) -> Iterator[None]:
    """Let each COMMIT that is on the disk wait for a standby that there is not, until the block ends."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
        set_to(admin, "nobody")
        try:
            yield
        finally:
            set_to(admin, "")


def set_to(admin: psycopg.Connection[tuple[object, ...]], standby: str) -> None:
    admin.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{standby}'".encode())
    admin.execute(b"SELECT pg_reload_conf()")


def test_who_tells_of_a_change_keeps_nobody_else_from_telling_of_theirs(
    server: PostgresServer, machine: Machine
) -> None:
    stores = [machine(str(number)) for number in range(MANY)]
    stored: list[int] = []

    def store_one(store: PostgresStore) -> None:
        stored.extend(one.outbox_id for one in store.submit([new_message()]))

    threads = [threading.Thread(target=store_one, args=(store,)) for store in stores]
    with psycopg.connect(stores[0].where.conninfo, autocommit=True) as asking:
        with no_commit_is_answered(server):
            for thread in threads:
                thread.start()
            deadline = time.monotonic() + 30
            while asking.execute(WAITING).fetchone() != (MANY,):
                assert time.monotonic() < deadline, "they wait for each other"
                time.sleep(0.01)
            assert stored == [], "nothing is acknowledged that a standby must have and has not"
        for thread in threads:
            thread.join()
    assert sorted(stored) == [1, 2, 3]
