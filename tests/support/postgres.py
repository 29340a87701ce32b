"""A PostgreSQL server of one's own, from Debian's package, on a Unix socket in a directory of one's own."""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prx_email_cli.outbox.postgres.connection import Where, connect
from prx_email_cli.outbox.postgres.schema import HERE

from .namespaces import Network

if TYPE_CHECKING:
    import psycopg

_PACKAGES = Path("/usr/lib/postgresql")
_PATIENCE_SECONDS = 60
USER = "prx"
_TABLES = ("content", "outbox", "run", "idempotency", "known", "account_state", "attempted_slot", "stored_slot")
MISSING = "PostgreSQL's server is not here: apt-get install postgresql"


def programs() -> Path | None:
    """The directory of the newest installed server's programs; None where there is none."""
    found = [one for one in _PACKAGES.glob("*/bin") if (one / "initdb").exists() and one.parent.name.isdecimal()]
    return max(found, key=lambda one: int(one.parent.name), default=None)


# Reads until the process of the tests closes its end, which it does by dying, too; then no server of it is left.
_GUARD = """
cat >/dev/null
if pid=$(head -n 1 "$0/data/postmaster.pid" 2>/dev/null) && kill -QUIT "$pid" 2>/dev/null; then
    for try in 1 2 3 4 5 6 7 8 9; do kill -0 "$pid" 2>/dev/null || break; sleep 0.2; done
fi
rm -rf "$0"
"""


class PostgresServer:
    """A server that nobody else reaches; it refuses to run as root, so root starts it as another user.

    network: in which it listens on loopback, too.
    """

    env: Mapping[str, str] = {"PATH": os.defpath, "LC_ALL": "C.UTF-8"}

    def __init__(self, *settings: str, port: int = 5432, durable: bool = False, network: Network | None = None) -> None:
        """Make and start it.  settings: as name=value, in place of those of this class."""
        where = programs()
        assert where is not None, MISSING
        self._programs = where
        self.directory = Path(tempfile.mkdtemp(prefix="prx-pg-", dir="/tmp"))
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, str(self.directory)], stdin=subprocess.PIPE, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.directory.chmod(0o755)  # whoever a command runs as reaches the socket
        self._log = self.directory / "log"
        self._uid: int | None = None
        self._gid: int | None = None
        if os.geteuid() == 0:
            self._uid, self._gid = _somebody().pw_uid, _somebody().pw_gid
            os.chown(self.directory, self._uid, self._gid)
        self._make()
        fast = [] if durable else ["-c", "fsync=off"]
        self.port, self._network = port, network
        listens = "" if network is None else "127.0.0.1"
        all_settings = (f"port={port}", f"listen_addresses={listens}", f"unix_socket_directories={self.directory}",
                        "max_connections=200", "shared_buffers=64MB", *settings)  # fmt: skip
        self._options = [*fast, *(word for one in all_settings for word in ("-c", one))]
        self._process: subprocess.Popen[bytes] | None = None
        self._databases, self._template = 0, ""
        self.start()

    def _make(self) -> None:
        self._run("initdb", "--pgdata", str(self.directory / "data"), "--username", USER, "--auth", "trust",
                  "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync")  # fmt: skip

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [str(self._programs / program), *words], capture_output=True, text=True, check=False, cwd=self.directory,
            env=PostgresServer.env, user=self._uid, group=self._gid,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        """Start it, and return when it takes connections."""
        wrapper, user, group = [], self._uid, self._gid
        if self._network is not None and self._network.is_own:  # which only root may enter
            wrapper = [*self._network.wrapper, "setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups"]
            user = group = None
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*wrapper, str(self._programs / "postgres"), "-D", str(self.directory / "data"), *self._options],
                stdout=log, stderr=log, cwd=self.directory, env=self.env,
                user=user, group=group,
            )  # fmt: skip
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not self._answers():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.02)

    def _answers(self) -> bool:
        import psycopg  # on use

        with suppress(psycopg.OperationalError), psycopg.connect(self.url("postgres")):
            return True
        return False

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """Stop it: SIGQUIT at once, as after a crash; SIGINT after breaking off what it does."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(_PATIENCE_SECONDS)
            self._process = None

    def ask_to_stop(self) -> None:
        """Let it stop once its sessions have ended; return when it takes no new ones."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self._answers():
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.02)

    def restart(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """Stop and start it."""
        self.stop(how)
        self.start()

    def close(self) -> None:
        """Stop it and remove its files."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)
        self._guard.communicate()

    @property
    def socket(self) -> str:
        """The path of the socket on which it listens."""
        return str(self.directory / f".s.PGSQL.{self.port}")

    def url(self, database: str, user: str = USER) -> str:
        """The URL of a database."""
        port = "" if self.port == 5432 else f"&port={self.port}"
        return f"postgresql://{user}@/{database}?host={self.directory}{port}"

    def new_database(self, *, migrated: bool = True) -> str:
        """Make a database and return its URL; *migrated*: with the tables of an empty outbox, as a quick copy."""
        import psycopg  # on use

        self._databases += 1
        name = f"outbox{self._databases}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            if migrated and not self._template:
                connection.execute(b"CREATE DATABASE migrated")
                connect(Where(self.url("migrated"), "migrated"), 5).connection.close()
                self._template = " TEMPLATE migrated"
            connection.execute(f"CREATE DATABASE {name}{self._template if migrated else ''}".encode())
        if migrated:  # else it would take itself for a restored backup
            with psycopg.connect(self.url(name), autocommit=True) as connection:
                statement = f"UPDATE ledger SET place = {HERE}, identity = replace(gen_random_uuid()::text, '-', '')"
                connection.execute(statement.encode())
        return self.url(name)

    def drop(self, url: str) -> None:
        """Remove a database of ``new_database``, whoever still has a session there."""
        import psycopg  # on use

        name = url.partition("@/")[2].partition("?")[0]
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())

    @property
    def owner(self) -> tuple[int | None, int | None]:
        """User and group that it runs as; None for our own."""
        return self._uid, self._gid

    def write(self, name: str, text: str) -> Path:
        """Write a private file of the server's, in its directory; return its path."""
        path = self.directory / name
        path.write_text(text)
        path.chmod(0o600)
        if self._uid is not None and self._gid is not None:
            os.chown(path, self._uid, self._gid)
        return path

    def sql(self, *statements: str, database: str = "postgres") -> None:
        """Execute statements as the server's first user, each in a transaction of its own."""
        import psycopg  # on use

        url = database if "://" in database else self.url(database)
        with psycopg.connect(url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def dump(self, url: str) -> bytes:
        """What pg_dump says of the database at *url*."""
        said = subprocess.run([str(self._programs / "pg_dump"), url], capture_output=True, check=True).stdout
        lines = said.splitlines(keepends=True)
        return b"".join(line for line in lines if not line.startswith((b"\\restrict", b"\\unrestrict")))  # random words

    def copy_of(self, url: str) -> str:
        """Dump the database at *url* and restore the dump into a new one; return its URL."""
        return self.restored(self.dump(url))

    def restored(self, dump: bytes) -> str:
        """Restore what ``dump`` said into a new database; return its URL."""
        copy = self.new_database(migrated=False)
        subprocess.run([str(self._programs / "psql"), "-q", copy], input=dump, stdout=subprocess.DEVNULL, check=True)
        return copy


def empty(connection: psycopg.Connection[Any]) -> None:
    """Delete everything that an outbox has stored: quicker than a new database."""
    statements = [f"DELETE FROM {table}" for table in _TABLES]
    statements += ["UPDATE ledger SET drained_seconds = 0, recorded_at = NULL", "SELECT setval('outbox_id', 1, FALSE)"]
    connection.execute(";".join(statements).encode())


def database_of(url: str) -> str:
    """The name of the database at one of this module's URLs."""
    return url.partition("@/")[2].partition("?")[0]


class PostgresReplica(PostgresServer):
    """A streaming replica of *primary*, until it is promoted."""

    def __init__(self, primary: PostgresServer) -> None:
        self._primary = primary
        super().__init__(port=primary.port)

    def _make(self) -> None:
        self._run("pg_basebackup", "--pgdata", str(self.directory / "data"), "--host", str(self._primary.directory),
                  "--port", str(self._primary.port), "--username", USER, "--write-recovery-conf",
                  "--checkpoint", "fast", "--no-sync")  # fmt: skip


def _somebody() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise AssertionError("no user to run PostgreSQL as")


@cache
def the_server() -> PostgresServer:
    """The server of this process, which ends with it."""
    server = PostgresServer()
    atexit.register(server.close)
    return server
