"""``doctor`` looks and touches nothing, in whatever state it finds the machine."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from ..cli.outside import enqueue, stored
from ..conftest import Program
from ..support.faults import Fault
from ..support.scripted import ScriptedServer
from .healthy import configure, drained, examined, marker, snapshot, unwell

pytestmark = pytest.mark.of_files


def mixed(program: Program) -> None:
    """Messages pending, held, given up, uncertain and sent."""
    enqueue(program, 5)
    for command in (("hold", "1"), ("cancel", "2"), ("drain", "--limit", "1"), ("drain", "--failure-mode", "network")):
        program.run(*command)


def cut_short(program: Program) -> None:
    os.truncate(program.outbox, program.outbox.stat().st_size // 2)


def empty_file(program: Program) -> None:
    program.outbox.write_bytes(b"")


def open_to_all(program: Program) -> None:
    for file in (program.outbox, program.config, program.home / "outbox.db.runs"):
        file.chmod(0o777)


def never_drained(program: Program) -> None:
    marker(program).unlink()


def without_runs(program: Program) -> None:
    never_drained(program)
    (program.home / "outbox.db.runs").rmdir()


def without_outbox(program: Program) -> None:
    without_runs(program)
    program.outbox.unlink()


STATES = (mixed, cut_short, empty_file, open_to_all, never_drained, without_runs, without_outbox)


@pytest.mark.parametrize("spoil", STATES, ids=[state.__name__ for state in STATES])
def test_in_the_directory(spoil: Callable[[Program], None], healthy: Program) -> None:
    spoil(healthy)
    before = snapshot(healthy)
    examined(healthy)
    assert snapshot(healthy) == before


def test_in_the_rows_that_a_killed_drain_left(program: Program) -> None:
    with ScriptedServer([Fault("after_dot", "pause", times=1)]) as server:
        configure(program, server.port)
        drained(program)
        program.send()
        drain = program.start("drain")
        server.wait_for(lambda: server.happened, timeout=60)
        drain.kill()
        drain.communicate(timeout=60)
        locks = sorted((program.home / "outbox.db.runs").iterdir())
        before = stored(program)
        assert [row[2] for row in before["outbox"]] == ["sending"]
        assert unwell(program) == [("messages", "warning")]
        assert stored(program) == before
        assert sorted((program.home / "outbox.db.runs").iterdir()) == locks


def test_while_somebody_writes(healthy: Program) -> None:
    """A writer is neither disturbed nor waited for."""
    with closing(sqlite3.connect(healthy.outbox, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO idempotency VALUES ('work', 'k', 1, 'f')")
        assert unwell(healthy) == []
        writer.execute("COMMIT")
        assert writer.execute("SELECT count(*) FROM idempotency").fetchone() == (1,)


def test_in_the_time_of_the_last_drain(healthy: Program) -> None:
    os.utime(marker(healthy), (1_700_000_000, 1_700_000_000))
    assert unwell(healthy) == [("cron", "warning")]
    assert Path(marker(healthy)).stat().st_mtime == 1_700_000_000
