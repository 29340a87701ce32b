"""One outbox for three real users: A's it is, B is an ordinary caller, and C is hostile."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..conftest import Answer, Program
from ..support.postgres import the_server
from ..support.scripted import ScriptedServer

ROOT = Path(__file__).parents[2]
A, B, C = 64_101, 64_102, 64_103
TEXT = b"Subject: s\n\nbody\n"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become three other users")


class Shared(Program):
    """A tree that every user can reach, laid out as ``install-system`` does; beside a database, too."""

    def __init__(self, top: Path, port: int, *, on_postgres: bool) -> None:
        super().__init__(top / "lib", on_postgres=on_postgres)
        self.etc, self.drop, self.refused = top / "etc", top / "lib" / "drop", top / "lib" / "refused"
        self.config = self.etc / "config.toml"
        for directory, mode, owner in ((self.etc, 0o750, 0), (self.home, 0o711, A), (self.drop, 0o3733, A)):
            directory.mkdir()
            os.chown(directory, owner, A)
            directory.chmod(mode)
        place = f'path = "{self.outbox}"' if self.url is None else f'url = "{self.url}"'
        text = f"[outbox]\n{place}\nbase_backoff_seconds = 1\n"
        text += '[accounts.work]\nfrom = "Ops <ops@example.com>"\n'
        text += f'[accounts.work.smtp]\nhost = "localhost"\nport = {port}\ntls = "none"\nuser = "u"\n'
        text += 'auth.password = "hush"\n'
        text += f'[sendmail]\ndrop = "{self.drop}"\n' if self.url is not None else ""
        text += '[sendmail.aliases]\nroot = "ops@example.com"\n'
        self.config.write_text(text)
        os.chown(self.config, 0, A)
        self.config.chmod(0o640)
        self.environment["PRX_EMAIL_CONFIG"] = str(self.config)
        self.environment["PRX_EMAIL_DROP"] = str(self.drop)

    def begin(self, uid: int, module: str, *words: str, **options: Any) -> "subprocess.Popen[bytes]":
        """Start the module as this user, and do not wait for it."""
        command = [sys.executable, "-m", "tests.support.as_user", str(uid), module, *words]
        environment = {**self.environment, "PYTHONPATH": str(ROOT)}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, env=environment, cwd="/", **{**pipes, **options})

    def by(self, uid: int, module: str, *words: str, text: bytes = b"") -> Answer:
        """Run the module as this user to its end."""
        process = self.begin(uid, module, *words)
        out, err = process.communicate(text, timeout=120)
        return Answer(process.returncode, out.decode(), err.decode())

    def sendmail(self, uid: int, *words: str, text: bytes = TEXT) -> Answer:
        """Call the drop-in as this user."""
        return self.by(uid, "prx_email_cli.sendmail", *words, text=text)

    def drains(self, *words: str) -> Answer:
        """Drain as A."""
        return self.by(A, "prx_email_cli", "drain", *words)

    def does(self, uid: int, *codes: str) -> list[str]:
        """Run each of *codes* as this user in the outbox's directory; return the names of their errors, or "done"."""
        whole = (
            f"import os\nos.chdir({str(self.home)!r})\nfor code in {codes!r}:\n    try:\n        exec(code)\n"
            "        print('done')\n    except OSError as error:\n        print(type(error).__name__)\n"
        )
        answer = self.by(uid, "-c", whole)
        assert (answer.status, answer.err) == (0, ""), answer
        return answer.out.split()

    def rows(self) -> list[Any]:
        """All messages, oldest first."""
        if not self.is_made():
            return []
        answer = self.call("list", "--json", "--limit", "1000")
        return sorted(answer.data, key=lambda row: int(row["outbox_id"]))

    def has_run(self) -> bool:
        """Whether a drain has begun."""
        if self.url is not None:
            return bool(self.execute("SELECT 1 FROM run"))
        return self.outbox.exists() and (self.home / "outbox.db.runs").exists()

    def reasons(self) -> str:
        """Why something was refused."""
        file = self.refused / "reasons.log"
        return file.read_text() if file.exists() else ""


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """A server that takes everything."""
    with ScriptedServer(auth={"u": "hush"}) as server:
        yield server


@pytest.fixture
def shared(server: ScriptedServer, on_postgres: bool) -> Iterator[Shared]:
    """The three users' outbox."""
    top = Path(tempfile.mkdtemp(prefix="shared", dir="/tmp"))  # the tests' own directory is closed to other users
    try:
        top.chmod(0o755)
        shared = Shared(top, server.port, on_postgres=on_postgres)
        yield shared
        if shared.url is not None:
            the_server().drop(shared.url)
    finally:
        shutil.rmtree(top)


def until(what: Callable[[], object], seconds: float = 60) -> None:
    """Wait until *what* is true."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)
