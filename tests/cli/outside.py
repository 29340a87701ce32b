"""What a user sees from outside and no command tells in one word: the outbox's file, mail as its reader gets it."""

import email
import email.policy
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from ..conftest import Answer, Program
from ..support.faults import Fault
from ..support.scripted import ScriptedServer

SEND_RESULT = {"outbox_id", "status", "retries", "provider_message_id", "next_attempt_at", "message_id"}
NOW = 1_900_000_000  # 2030-03-17 17:46:40 UTC
REFUSED = "nobody@example.org"


@contextmanager
def serving(program: Program, *faults: Fault, **options: Any) -> Iterator[ScriptedServer]:
    """A server with these faults, through which the account ``work`` sends."""
    with ScriptedServer(faults, **options) as server:
        program.configure(server.port)
        yield server


def add(program: Program, text: str) -> None:
    """Add tables to the config."""
    program.config.write_text(program.config.read_text() + f"\n{text}\n")


def hook(program: Program, body: str) -> Path:
    """Make a shell script of *body* the notify command, with the word ``$HOME``; the file ``told`` beside it."""
    script = program.home / "hook.sh"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)
    add(program, f'[notify]\ncommand = ["{script}", "$HOME"]')
    return program.home / "told"


_TABLES = {
    True: "SELECT name FROM sqlite_master WHERE type = 'table'",
    False: "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
}


def stored(program: Program) -> dict[str, list[Any]]:
    """Every row of every table about messages, {} when there is no outbox yet; an empty database is as none."""
    if not program.is_made():
        return {}
    names = {name for (name,) in program.execute(_TABLES[program.url is None])}
    names -= {"ledger", "prx_email", "run"}  # when drains looked at the clock is no matter of the messages
    found = {name: sorted(program.execute(f'SELECT * FROM "{name}"'), key=repr) for name in sorted(names)}
    return found if program.url is None or any(found.values()) else {}


def rows(program: Program, *filters: str) -> list[Any]:
    """What ``list`` tells, the oldest first."""
    answer = program.run("list", "--json", "--limit", "100000", *filters)
    assert answer.status == 0, answer
    return list(reversed(answer.data))


def statuses(program: Program) -> list[str]:
    """The status of every message, the oldest first."""
    return [row["status"] for row in rows(program)]


def enqueue(program: Program, count: int) -> None:
    """*count* small messages in one go."""
    line = '{"to": "a@example.org", "subject": "hello", "body_text": "text\\n"}\n'
    answer = program.run("send", "--batch", "-", text=line * count)
    assert answer.status == 0, answer


def parsed(content: bytes) -> EmailMessage:
    """A received message as its reader's program understands it."""
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def body(content: bytes) -> str:
    """The text of a received message, with LF line ends."""
    text = parsed(content).get_payload(decode=True)
    assert isinstance(text, bytes)
    return text.decode().replace("\r\n", "\n")


def shell(program: Program, script: str, **environment: str) -> Answer:
    """Run *script* with a real shell that finds the installed ``prx-email``."""
    directory = Path(sys.executable).parent
    assert shutil.which("prx-email", path=str(directory)), "the project is not installed beside this Python"
    path = f"{directory}{os.pathsep}{program.environment.get('PATH', os.defpath)}"
    done = subprocess.run(
        ["sh", "-c", script], env={**program.environment, "PATH": path, **environment}, cwd=program.home,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return Answer(done.returncode, done.stdout, done.stderr)


def assert_error(answer: Answer, status: int, *words: str, code: str | None = None) -> None:
    """*answer* ended with *status*, told of it on stderr with these *words*, and acknowledged nothing.

    With *code* it is the answer to ``--json``: one object with that error code.
    """
    assert answer.status == status, answer
    assert "Traceback" not in answer.out + answer.err, answer
    told = answer.err
    if code is not None:
        assert answer.out.count("\n") == 1, answer
        told = str(answer.json["error"]["message"]) + str(answer.json["error"]["hint"])
        assert (answer.json["ok"], answer.json["error"]["code"]) == (False, code)
        assert set(answer.json) == {"ok", "data", "error"}
    else:
        assert answer.out == "", answer
    for word in words:
        assert word in told, answer
