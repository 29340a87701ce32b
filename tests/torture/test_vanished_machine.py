"""A machine whose power or network is cut says nothing any more: its runs are dead once the server has noticed.

By environment: TORTURE_VANISHED=1 goes by the settings that the program makes; else a role's are quicker.
"""

from __future__ import annotations

import time

import psycopg
import pytest

from ..conftest import Program
from ..support.namespaces import Network
from ..support.postgres import MISSING, USER, PostgresServer, programs
from .conftest import size

pytestmark = pytest.mark.skipif(programs() is None, reason=MISSING)

RUNS = b"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND granted"
WITHIN = 60
QUICKER = {"tcp_keepalives_idle": 1, "tcp_keepalives_interval": 1, "tcp_user_timeout": 2000}


def test_the_run_of_a_machine_that_vanished_is_dead_within_a_minute(program: Program) -> None:
    with Network() as network:
        if not network.is_own:
            pytest.skip("only root may make networks")
        server = PostgresServer(network=network)
        try:
            url = server.new_database()
            with psycopg.connect(url, autocommit=True) as watch:
                if not size("VANISHED", 0):
                    for name, value in QUICKER.items():
                        watch.execute(f"ALTER ROLE {USER} SET {name} = {value}".encode())
                name = url.partition("?")[0].rpartition("/")[2]
                program.url = f"postgresql://{USER}@127.0.0.1/{name}?sslmode=disable&gssencmode=disable"
                program.configure()
                program.wrapper = network.wrapper
                process = program.start("drain", "--follow")
                try:
                    _wait(watch, 1, 120)
                    network.take_down()
                finally:
                    process.kill()
                    process.communicate()
                vanished = time.monotonic()
                time.sleep(0.2)
                assert _count(watch) == 1, "the server was told"
                _wait(watch, 0, WITHIN + 30)
                print(f"dead after {time.monotonic() - vanished:.1f} s")
        finally:
            server.close()


def _count(watch: psycopg.Connection[tuple[int]]) -> int:
    found = watch.execute(RUNS).fetchone()
    assert found is not None
    return found[0]


def _wait(watch: psycopg.Connection[tuple[int]], count: int, seconds: float) -> None:
    until = time.monotonic() + seconds
    while _count(watch) != count:
        assert time.monotonic() < until, f"{_count(watch)} runs live"
        time.sleep(0.05)
