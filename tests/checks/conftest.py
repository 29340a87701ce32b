"""A machine on which all is well."""

from collections.abc import Iterator

import pytest

from ..conftest import Program
from ..support.scripted import ScriptedServer
from .healthy import configure, drained


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """A relay that takes everything."""
    with ScriptedServer() as server:
        yield server


@pytest.fixture
def healthy(program: Program, server: ScriptedServer) -> Program:
    """A program whose config, outbox, cron and server leave nothing to wish for."""
    configure(program, server.port)
    drained(program)
    return program
