"""Draws docs/pictures from what the program prints: ``python -m tests.docs.pictures``, as ``make docs`` does.

The commands run within this process at a fixed time, as a fixed person on a fixed machine; what is chosen at random, as
ports and ids, is written over, and of the demo, which has its own servers and processes, its times, too.
"""

from __future__ import annotations

import io
import os
import pwd
import re
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from rich.console import Console
from rich.text import Text

from prx_email_cli.cli.arguments import arranged
from prx_email_cli.cli.main import app
from prx_email_cli.outbox.runs import Runs

from ..support.faults import Fault
from ..support.scripted import ScriptedServer

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"
NOW = 1_795_942_800  # Sunday, 2026-11-29 09:00:00 UTC
COLUMNS, DEMO_COLUMNS = 96, 120  # in which the demo need shorten nothing
_HIDDEN = [(re.compile(pattern), instead) for pattern, instead in (
    (r"localhost:\d+", "localhost:465"), (r"(?<=--port )\d+", "465"), (r"127\.0\.0\.1:\d+", "127.0.0.1:465"),
    (r"[0-9a-f]{8}(?=\.prx-email\.local)", "82f895de"), (r"\d{10}-\d+-[0-9a-f]{8}", "1795942800-4711-9f2c61aa"),
    (r"enqueued by .*: send", "enqueued by ops (uid 1000) on mail: send"),
)]  # fmt: skip
_TIMES = [(re.compile(pattern, re.MULTILINE), instead) for pattern, instead in (
    (r"(?<!\[)\b\d{1,2}( ?)([smh])\b", r"2\1\2"), (r"\b\d\d:\d\d\b", "09:00"), (r"started by .*$", "started by cron"),
)]  # fmt: skip


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


def shown(*words: str, text: str = "") -> str:
    """What ``prx-email WORDS`` prints on a terminal."""
    screen = Screen()
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryFile("w+") as stdin:
        stdin.write(text)
        stdin.seek(0)
        patch.setattr(sys, "stdin", stdin)
        patch.setattr(sys, "argv", ["prx-email", *words])
        with redirect_stdout(screen), redirect_stderr(screen), pytest.raises(SystemExit):
            app(arranged(typer.main.get_command(app), list(words)), prog_name="prx-email")
    return screen.getvalue()


@contextmanager
def fixed() -> Iterator[Path]:
    """An empty directory, a person and a machine; times are UTC."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        for variable in [one for one in os.environ if one.startswith(("PRX_EMAIL_", "NO_COLOR", "SUDO_"))]:
            patch.delenv(variable)
        around = {
            "TZ": "UTC",
            "COLUMNS": str(COLUMNS),
            "TERM": "xterm-256color",
            "PRX_EMAIL_CONFIG": f"{name}/config.toml",
        }
        for variable, value in around.items():
            patch.setenv(variable, value)
        patch.setattr(socket, "gethostname", lambda: "mail")
        patch.setattr(pwd, "getpwuid", lambda uid: SimpleNamespace(pw_name="ops", pw_uid=uid, pw_dir=name))
        time.tzset()
        yield Path(name)
    time.tzset()


def _drawn(title: str, command: str, output: str, columns: int = COLUMNS) -> str:
    """The SVG of a terminal in which *command* was typed."""
    text = f"\x1b[1m$ {command}\x1b[0m\n{output.expandtabs(4).rstrip()}" if command else output.rstrip()
    for pattern, instead in _HIDDEN:
        text = pattern.sub(instead, text)
    console = Console(record=True, width=columns, file=io.StringIO(), force_terminal=True, color_system="standard")
    console.print(Text.from_ansi(text), soft_wrap=False)
    svg = console.export_svg(title=title, unique_id=f"prx-email-{title.split()[-1]}")
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)  # which would be loaded from elsewhere


def _outbox(home: Path) -> Iterator[tuple[str, str]]:
    """Play a night with a refused login and a recipient that does not exist; yield each command and what it shows."""

    def at(minutes: int) -> tuple[str, str]:
        return "--now-ts", str(NOW + 60 * minutes)

    (home / "config.toml").touch(mode=0o600)
    faults = [Fault("rcpt", "550 5.1.1 no such user", address="gone@example.org"),
              Fault("rcpt", "451 4.2.2 mailbox full", address="bob@example.org")]  # fmt: skip
    auth = {"ops@example.com": "right"}
    with ScriptedServer(faults, auth=auth) as works, ScriptedServer([], auth=auth) as refuses:
        accounts = "".join(
            f'[accounts.{name}]\nfrom = "Ops <ops@example.com>"\n[accounts.{name}.smtp]\nhost = "localhost"\n'
            f'port = {port}\ntls = "none"\nuser = "ops@example.com"\nconnections = 1\n{more}'
            f'[accounts.{name}.smtp.auth]\npassword = "{password}"\n'
            for name, port, password, more in (
                ("alerts", works.port, "right", "messages_per_day = 500\n"), ("work", refuses.port, "hunter2", ""),
            )
        )  # fmt: skip
        (home / "config.toml").write_text(f'default_account = "alerts"\n[outbox]\npath = "outbox.db"\n{accounts}')
        for to, subject in (("ann@example.org", "Backup done"), ("gone@example.org", "Disk almost full"),
                            ("ann@example.org, bob@example.org", "Weekly report")):  # fmt: skip
            shown("send", "--to", to, "--subject", subject, "--body", "x", *at(0))
        for number in range(1, 4):
            line = ("send", "--account", "work", "--to", f"c{number}@example.org", "--subject", f"Invoice {number}")
            shown(*line, "--body", "x", *at(1))
        shown("drain", *at(2))
        Runs(home / "outbox.db").note_drain(NOW + 120, "cron")
        for words in (("status",), ("show", "3"), ("top", "--once")):
            yield " ".join(["prx-email", *words]), shown(*words, *at(3))


def pictures() -> dict[str, str]:
    """Each picture by the name of its file."""
    with fixed() as home:
        found = {
            f"{command.split()[1]}.svg": _drawn(" ".join(command.split()[:2]), command, output)
            for command, output in _outbox(home)
        }
    with fixed():
        return {**found, "demo.svg": _drawn("prx-email demo", "prx-email demo", _demo(), DEMO_COLUMNS)}


def _demo() -> str:
    """What the demo prints from the message that is deferred on, but for the longest answers."""
    os.environ["COLUMNS"] = str(DEMO_COLUMNS)
    told = shown("demo")
    for pattern, instead in _TIMES:
        told = pattern.sub(instead, told)
    parts = re.split(r"(?=^\x1b\[1m\$ )", told, flags=re.MULTILINE)
    wanted = [
        part
        for part in parts
        if re.match(r"\x1b\[1m\$ (… \| )?prx-email (send --to grey|drain|list|retry|status)", part)
    ]
    return "".join([*wanted[:-1], wanted[-1].split("what the server received")[0]])


def words_of(svg: str) -> list[str]:
    """The texts of a picture, line by line; what else is in it depends on the version of rich."""
    lines = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    return "".join(lines).replace("&#160;", " ").split()


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    for file, picture in pictures().items():
        (PICTURES / file).write_text(picture, encoding="utf-8")
