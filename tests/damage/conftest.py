"""An account's server, and an outbox whose file is changed behind the program's back."""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from ..conftest import Program
from ..support.scripted import ScriptedServer

PAGE = 4096


@pytest.fixture
def server(program: Program) -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        program.configure(server.port, outbox="base_backoff_seconds = 1", smtp="connections = 1")
        yield server


def text_of(seed: int, size: int) -> str:
    """*size* random letters on lines."""
    letters = random.Random(seed).choices("abcdefghij", k=size)
    return "\n".join("".join(letters[at : at + 60]) for at in range(0, size, 60)) + "\n"


def change(program: Program, *statements: str) -> None:
    """Change rows behind the program's back, and have everything in the database itself."""
    with closing(sqlite3.connect(program.outbox, isolation_level=None)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        for statement in statements:
            connection.execute(statement)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def ask(program: Program, statement: str, *values: object) -> list[Any]:
    """What the outbox's file says."""
    with closing(sqlite3.connect(program.outbox)) as connection:
        return connection.execute(statement, values).fetchall()


def overwrite(program: Program, page: int, data: bytes, start: int = 0) -> None:
    """Put *data* on the page of that number, from its byte *start* on."""
    with program.outbox.open("r+b") as stream:
        stream.seek((page - 1) * PAGE + start)
        stream.write(data)
