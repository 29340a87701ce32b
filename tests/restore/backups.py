"""Backups of an outbox, taken and put back as an operator does it, and a mail server to see what is sent from them."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from ..cli.outside import parsed
from ..conftest import Answer, Program
from ..support.postgres import the_server
from ..support.scripted import ScriptedServer

SAYS = "restored backup: messages sent since the backup look due again"


def backup(program: Program, name: str = "backup.db") -> Path:
    """A copy of the outbox as it is now, made while others may use it; of a database what pg_dump says."""
    copy = program.home / name
    if program.url is not None:
        copy.write_bytes(the_server().dump(program.url))
        return copy
    with closing(sqlite3.connect(program.outbox)) as connection, closing(sqlite3.connect(copy)) as target:
        connection.backup(target)
    copy.chmod(0o600)
    return copy


def restore(program: Program, copy: Path) -> None:
    """Put the backup in the outbox's place, as docs/delivery.md says; that of a database becomes another one."""
    if program.url is not None:
        before, program.url = program.url, the_server().restored(copy.read_bytes())
        program.config.write_text(program.config.read_text().replace(before, program.url))
        the_server().drop(before)
        return
    for end in ("-wal", "-shm"):
        program.outbox.with_name(program.outbox.name + end).unlink(missing_ok=True)
    place = copy.with_suffix(".restored")
    place.write_bytes(copy.read_bytes())
    place.chmod(0o600)
    os.replace(place, program.outbox)


def mark_file(program: Program) -> Path:
    """The high-water mark."""
    return program.outbox.with_name(program.outbox.name + ".runs") / "high-water"


def drain(program: Program) -> None:
    """A drain that delivers everything, in order."""
    answer = program.call("drain", "--connections", "1")
    assert answer.status == 0, answer


def subjects(server: ScriptedServer) -> list[str]:
    """What the server took, in order."""
    return [str(parsed(message.content)["Subject"]) for message in server.messages]


def assert_refused(answer: Answer) -> None:
    """A run ended because the outbox is a restored backup, and named both ways out."""
    assert answer.status == 75, answer
    assert SAYS in answer.err
    for word in ("prx-email hold --all", "prx-email outbox accept-restore"):
        assert word in answer.err
