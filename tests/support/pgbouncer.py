"""PgBouncer, as tests/interop/install.sh unpacks it, in front of a server of one's own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from .postgres import USER, PostgresServer

MISSING = "PgBouncer is not here: tests/interop/install.sh pgbouncer"
_PATIENCE_SECONDS = 30


def unpacked() -> Path | None:
    """Where it was unpacked; None where it was not."""
    base = os.environ.get("XDG_CACHE_HOME")
    cache = (Path(base) if base else Path.home() / ".cache") / "prx-email-interop"
    return next((one.parent for one in sorted(cache.glob("pgbouncer-*/.complete"))), None)


class PgBouncer:
    """Listens on a Unix socket beside that of *server*; use it in a `with` block.

    settings: lines of its [pgbouncer], pool_mode first of all.
    """

    def __init__(self, server: PostgresServer, *settings: str) -> None:
        root = unpacked()
        assert root is not None, MISSING
        self._server = server
        self.directory = server.directory / "pooler"
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir()
        libraries = root / "usr/lib/x86_64-linux-gnu"
        for one in [root / "usr/sbin/pgbouncer", *libraries.glob("lib*.so*")]:
            if one.is_file():  # the cache is root's, whom it refuses to run as
                shutil.copy2(one, self.directory)
        lines = ["[databases]", f"* = host={server.directory} user={USER}", "[pgbouncer]", "listen_port = 6432",
                 "listen_addr =", f"unix_socket_dir = {self.directory}", "auth_type = any", *settings]  # fmt: skip
        server.write("pooler/pgbouncer.ini", "\n".join(lines) + "\n")

    def __enter__(self) -> PgBouncer:
        uid, gid = self._server.owner
        if uid is not None and gid is not None:
            os.chown(self.directory, uid, gid)
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self.directory / "pgbouncer", self.directory / "pgbouncer.ini"], stdout=log, stderr=log,
                cwd=self.directory, env={"LD_LIBRARY_PATH": str(self.directory)}, user=uid, group=gid,
            )  # fmt: skip
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not self._listens():
            assert self._process.poll() is None, (self.directory / "log").read_text()
            assert time.monotonic() < deadline, (self.directory / "log").read_text()
            time.sleep(0.02)
        return self

    def _listens(self) -> bool:
        """Whether it takes connections: the socket is there a little before."""
        with socket.socket(socket.AF_UNIX) as asking, suppress(OSError):
            asking.connect(str(self.directory / ".s.PGSQL.6432"))
            return True
        return False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait(_PATIENCE_SECONDS)

    def url(self, database: str) -> str:
        """The URL of a database of the server, through the pooler."""
        return f"postgresql://{USER}@/{database}?host={self.directory}&port=6432"
