"""A server, and an outbox that was restored to what it was before its last message was sent."""

from collections.abc import Iterator

import pytest

from ..conftest import Program
from ..support.scripted import ScriptedServer
from .backups import backup, drain, restore


@pytest.fixture
def server(program: Program) -> Iterator[ScriptedServer]:
    """A relay that takes everything, and the account's server."""
    with ScriptedServer() as server:
        program.configure(server.port)
        yield server


@pytest.fixture
def restored(program: Program, server: ScriptedServer) -> Program:
    """1 is sent and 2 held since before the backup; 3 was sent after it and is pending again, 4 is gone."""
    program.send(subject="one")
    drain(program)
    program.send(subject="two")
    program.call("hold", "2")
    program.send(subject="three")
    copy = backup(program)
    program.send(subject="four")
    drain(program)
    assert len(server.messages) == 3
    restore(program, copy)
    return program
