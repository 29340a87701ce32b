"""A machine on which all is well, and what ``doctor`` says once one thing is not."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import Any

from ..conftest import Program

DOMAIN = 'message_id_domain = "a1b2c3d4.prx-email.local"'
USER, SECRET = "ops@example.com", "correct-horse/ü"
MINUTE, HOUR = 60, 3600


def configure(program: Program, port: int, *, outbox: str = "", more: str = "", **tables: str) -> None:
    """A config of which ``doctor`` has nothing to say; *more* are further tables of the file."""
    program.configure(port, outbox=f"{DOMAIN}\n{outbox}", **tables)
    program.config.write_text(f"{program.config.read_text()}\n{more}\n")


def account_table(name: str, port: int, smtp: str = "") -> str:
    """One more account for *more*."""
    tls = "" if "tls" in smtp else 'tls = "none"\n'
    head = f'[accounts.{name}]\nfrom = "{name}@example.com"\n[accounts.{name}.smtp]\nhost = "localhost"\n'
    return f"{head}port = {port}\ntimeout_seconds = 60\n{tls}{smtp}\n"


def examined(program: Program) -> Any:
    """The object of ``doctor --json``, after a look whether exit status, ``ok`` and ``error`` say the same."""
    answer = program.run("doctor", "--json")
    assert (answer.err, answer.out.count("\n")) == ("", 1), answer
    told = answer.json
    assert set(told) == {"ok", "data", "error"}
    unwell = [check for check in told["data"]["checks"] if check["result"] != "ok"]
    assert all(check["fix"] for check in unwell)
    assert not any(check["fix"] for check in told["data"]["checks"] if check["result"] == "ok")
    assert (answer.status == 0) == told["ok"] == (told["error"] is None) == (not unwell)
    if unwell:
        assert told["error"]["message"].startswith(f"{unwell[0]['name']}: {unwell[0]['detail']}")
        assert told["error"]["hint"] == unwell[0]["fix"]
    return {**told, "status": answer.status}


def not_ok(told: Any) -> list[tuple[str, str]]:
    """Name and result of everything that is not well."""
    return [(check["name"], check["result"]) for check in told["data"]["checks"] if check["result"] != "ok"]


def unwell(program: Program) -> list[tuple[str, str]]:
    """Name and result of everything that ``doctor`` finds not well."""
    return not_ok(examined(program))


def check_only(program: Program, name: str, result: str, status: int, *words: str) -> None:
    """``doctor`` finds exactly the check *name* not well, with these *words*, and ends with *status*."""
    told = examined(program)
    assert not_ok(told) == [(name, result)], told
    assert told["status"] == status
    for word in words:
        assert word in f"{told['error']['message']}\n{told['error']['hint']}", told


def marker(program: Program) -> Path:
    """What the end of a drain leaves behind."""
    return program.home / "outbox.db.runs" / "last-drain"


def drained(program: Program, seconds_ago: float = 0) -> None:
    """There is an outbox, and the last drain ended so long ago; quicker than the command, which has its own tests."""
    moment = time.time() - seconds_ago
    with closing(program.store()) as store, store.start_run(int(moment)):
        store.note_drain(moment)


def snapshot(program: Program) -> dict[str, tuple[int, bytes | None]]:
    """Mode and content of everything in the program's home."""
    files = {file.relative_to(program.home).as_posix(): file for file in program.home.rglob("*")}
    return {name: (file.lstat().st_mode, file.read_bytes() if file.is_file() else None) for name, file in files.items()}
