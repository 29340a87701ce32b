"""Fixtures: a private home for every test, the installed command, and servers to talk to."""

import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import psycopg
import pytest
import typer
from hypothesis import HealthCheck, Phase, settings

from prx_email_cli.cli.arguments import arranged
from prx_email_cli.cli.main import app
from prx_email_cli.outbox.postgres.connection import Where
from prx_email_cli.outbox.postgres.store import PostgresStore
from prx_email_cli.outbox.sqlite.store import SqliteStore
from prx_email_cli.outbox.store import Store
from prx_email_cli.redaction import forget_all

from .support.answers import assert_as_published
from .support.certs import Certificates
from .support.postgres import MISSING, programs, the_server
from .support.preloaded import preloaded_for

_RIGHTS = "-dac_override,-dac_read_search"  # capabilities(7): with them root passes over the modes of files
HELD_TO_MODES = ["setpriv", f"--bounding-set={_RIGHTS}", f"--inh-caps={_RIGHTS}"] if os.geteuid() == 0 else []
# What the environment of the tests says to others and not to the command.
_OTHERS = (
    "PRX_EMAIL_", "XDG_", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "COLUMNS", "LINES", "COVERAGE_",
    "PYTEST_",
)  # fmt: skip
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or each of thousands of commands would compile the program anew
# Folders and modules of tests whose commands make coverage measures, too; it doubles the time of each.
MEASURED = {"damage", "delivery", "restore", "smtp", "test_drain.py", "test_retry.py"}
# How long an example takes says something of the machine and nothing of the program.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
# A mutant is found or not, the same each time, and nobody reads by which example.
settings.register_profile(
    "mutants", settings.get_profile("any machine"), derandomize=True, database=None, max_examples=40,
    phases=(Phase.explicit, Phase.generate),
)  # fmt: skip
for _key in (signal.SIGINT, signal.SIGQUIT):  # a shell that starts a job in the background lets it ignore both
    if signal.getsignal(_key) is signal.SIG_IGN:
        signal.signal(_key, signal.default_int_handler if _key == signal.SIGINT else signal.SIG_DFL)
# Which outbox the commands of the tests have: a file, or with "postgresql" a database of the tests' own server.
ON_POSTGRES = os.environ.get("PRX_TEST_OUTBOX", "sqlite") == "postgresql"
COMMAND = [sys.executable, "-W", "error", "-m", "prx_email_cli"]


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests that share a costly fixture to one worker, and the long campaigns to the workers first.

    Where the outbox is a database, skip what is about files.
    """
    for item in items:
        if ON_POSTGRES and item.get_closest_marker("of_files") is not None:
            item.add_marker(pytest.mark.skip("this is about an outbox in a file"))
        shared = _shared_fixture(item)
        if shared is not None:
            item.add_marker(pytest.mark.xdist_group(shared))
    items.sort(key=lambda item: "torture" not in item.path.parts)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that is marked so on both kinds of outbox."""
    if "on_postgres" in metafunc.fixturenames and metafunc.definition.get_closest_marker("on_both") is not None:
        kinds = {"postgresql": True} if ON_POSTGRES else {"sqlite": False, "postgresql": True}
        metafunc.parametrize("on_postgres", kinds.values(), ids=kinds, indirect=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what did not run for want of a server."""
    if programs() is None:
        terminalreporter.write_line(f"The half of the outbox's tests that needs PostgreSQL did not run. {MISSING}")


def _shared_fixture(item: pytest.Item) -> str | None:
    """Name the fixture that the test shares with others and that is made once per worker; None without one."""
    fixtures = item._fixtureinfo.name2fixturedefs  # type: ignore[attr-defined]
    if "campaign" in fixtures:
        return "campaign"
    wide = any(made[-1].scope == "module" for made in fixtures.values())
    return f"{item.path.parent.name}/{item.path.stem}" if wide else None


@dataclass(frozen=True)
class Answer:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The contract's JSON object."""
        return json.loads(self.out)

    @property
    def data(self) -> Any:
        """Its ``data``."""
        return self.json["data"]


class Program:
    """The installed command, with a config and an outbox of its own."""

    def __init__(self, home: Path, *, on_postgres: bool = ON_POSTGRES) -> None:
        """on_postgres: the outbox is a database, made now, in the place of the file ``outbox``."""
        self.home = home
        self.config = home / "config.toml"
        self.outbox = home / "outbox.db"
        self.url = the_server().new_database() if on_postgres else None
        self.wrapper: list[str] = []  # what the command is started by
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(_OTHERS)}
        self.environment |= {"HOME": str(home), "PRX_EMAIL_CONFIG": str(self.config)}

    def configure(self, port: int = 9, *, outbox: str = "", smtp: str = "", account: str = "", auth: str = "") -> None:
        """Write a config with one account, ``work``; the texts are TOML lines for its tables."""
        tls = "" if "tls" in smtp else 'tls = "none"\n'
        host = "" if "host" in smtp else 'host = "localhost"\n'
        place = 'path = "outbox.db"' if self.url is None else f'url = "{self.url}"'
        text = f'[outbox]\n{place}\n{outbox}\n[accounts.work]\nfrom = "Ops <ops@example.com>"\n{account}\n'
        text += f"[accounts.work.smtp]\n{host}port = {port}\ntimeout_seconds = 60\n{tls}{smtp}\n"
        if auth:
            text += f"[accounts.work.smtp.auth]\n{auth}\n"
        self.config.write_text(text)
        self.config.chmod(0o600)

    def start(self, *arguments: str, **options: Any) -> "subprocess.Popen[str]":
        """Start ``prx-email ARGUMENTS`` and do not wait for it."""
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        command = [*self.wrapper, *COMMAND, *arguments]
        return subprocess.Popen(command, env=self.environment, cwd=self.home, text=True, **{**pipes, **options})

    def run(self, *arguments: str, text: str | None = None, **environment: str) -> Answer:
        """Run ``prx-email ARGUMENTS`` to its end; *text* is piped into it.

        An answer to ``--json`` must be as its schema says.
        """
        answer = self._run(*arguments, text=text, **environment)
        assert_as_published(arguments, answer.out)
        return answer

    def _run(self, *arguments: str, text: str | None, **environment: str) -> Answer:
        environment = {**self.environment, **environment}
        if self.wrapper in ([], HELD_TO_MODES):
            forking = preloaded_for(tuple(self.wrapper), environment)
            if forking is not None:
                return Answer(*forking.run(arguments, environment, self.home, text or ""))
        done = subprocess.run(
            [*self.wrapper, *COMMAND, *arguments], env=environment, cwd=self.home, check=False,
            timeout=120, input=text or "", capture_output=True, text=True,
        )  # fmt: skip
        return Answer(done.returncode, done.stdout, done.stderr)

    def call(self, *arguments: str, text: str = "", **environment: str) -> Answer:
        """Run it within this process, many times as fast: for claims that are not about a process, and for set-up.

        With a wrapper it is a process after all.  An answer to ``--json`` must be as its schema says.
        """
        if self.wrapper:
            return self.run(*arguments, text=text, **environment)
        out, err = io.StringIO(), io.StringIO()
        forget_all()  # as a new process has
        with pytest.MonkeyPatch.context() as patch, TemporaryFile("w+") as stdin:
            stdin.write(text)
            stdin.seek(0)
            patch.setattr(sys, "stdin", stdin)
            patch.setattr(sys, "argv", ["prx-email", *arguments])
            _replace_environment(patch, {**self.environment, **environment})
            patch.chdir(self.home)
            with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
                app(arranged(typer.main.get_command(app), list(arguments)), prog_name="prx-email")
        assert_as_published(arguments, out.getvalue())
        return Answer(int(ended.value.code or 0), out.getvalue(), err.getvalue())

    def send(self, *arguments: str, to: str = "a@example.org", subject: str = "hello", body: str = "text\n") -> int:
        """Enqueue one message; its id."""
        answer = self.call("send", "--to", to, "--subject", subject, "--body", body, *arguments)
        assert answer.status == 0, answer
        return int(answer.out)

    def show(self, outbox_id: int) -> Any:
        """The row of ``show --json``."""
        answer = self.call("show", str(outbox_id), "--json")
        assert answer.status == 0, answer
        return answer.data

    def store(self) -> Store:
        """The outbox itself."""
        if self.url is not None:
            return PostgresStore(Where(self.url, "the test's"), self.home / "records", "prx-email.local")
        return self.file_store()

    def file_store(self) -> SqliteStore:
        """The outbox itself, of a test that is about a file."""
        return SqliteStore(self.outbox, message_id_domain="prx-email.local")

    def execute(self, statement: str) -> list[Any]:
        """Execute *statement*, without parameters, on the outbox; what it read."""
        if self.url is not None:
            with psycopg.connect(self.url) as database:
                cursor = database.execute(statement.encode())
                return cursor.fetchall() if cursor.description else []
        with closing(sqlite3.connect(self.outbox, timeout=60)) as file, file:
            return file.execute(statement).fetchall()

    @property
    def outbox_name(self) -> str:
        """What the program calls its outbox."""
        return str(self.outbox) if self.url is None else self.url

    def is_made(self) -> bool:
        """Whether there is an outbox; a database always is."""
        return self.url is not None or self.outbox.exists()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else can change the outbox until the block ends."""
        with ExitStack() as stack:
            if self.url is not None:
                database = stack.enter_context(psycopg.connect(self.url))
                database.execute(b"LOCK TABLE outbox, account_state, prx_email IN EXCLUSIVE MODE")
            else:
                file = stack.enter_context(closing(sqlite3.connect(self.outbox, timeout=60, isolation_level=None)))
                file.execute("BEGIN IMMEDIATE")
            yield


def _replace_environment(patch: pytest.MonkeyPatch, wanted: dict[str, str]) -> None:
    for name in os.environ.keys() - wanted.keys():
        patch.delenv(name)
    for name, value in wanted.items():
        if os.environ.get(name) != value:
            patch.setenv(name, value)


@pytest.fixture(autouse=True)
def _forgotten_secrets() -> Iterator[None]:
    """No test masks what another one took for a secret."""
    yield
    forget_all()


@pytest.fixture
def on_postgres(request: pytest.FixtureRequest) -> bool:
    """Whether the outbox of ``program`` is a database."""
    wanted: bool = getattr(request, "param", ON_POSTGRES)
    if wanted and programs() is None:
        pytest.skip(MISSING)
    return wanted


@pytest.fixture
def program(tmp_path: Path, request: pytest.FixtureRequest, on_postgres: bool) -> Iterator[Program]:
    """The installed command in a home of its own; configured for a server that is not there."""
    program = Program(tmp_path, on_postgres=on_postgres)
    if not MEASURED.isdisjoint(request.path.parts):
        program.environment |= {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    program.configure()
    yield program
    if on_postgres and program.url is not None:
        the_server().drop(program.url)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates good and bad."""
    return Certificates.create(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[SqliteStore]:
    """An empty outbox."""
    store = SqliteStore(tmp_path / "outbox.db", message_id_domain="prx-email.local")
    yield store
    store.close()
