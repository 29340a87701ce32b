"""The `server` fixture: each test that asks for it runs against Postfix, OpenSMTPD and Exim in turn.

A server is started once for the whole run and made as new for each test. One that cannot be fetched or
started fails the test: a skipped interop test would look like a passed one.

The `dovecot` fixture is a submission server in front of Postfix, both started at the first test that asks.
"""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ..conftest import Program
from ..support.certs import Certificates
from .clients import Machine
from .servers import SERVERS, Certs, MailServer, ServerError, make_certs
from .servers.dovecot import MECHANISMS, Dovecot

INSTALL = Path(__file__).with_name("install.sh")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, so that `-m 'not interop'` works and --strict-markers is content."""
    config.addinivalue_line("markers", "interop: runs real mail servers (Debian, root; fetched on first use)")


@pytest.fixture(scope="session")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Certs:
    """Return a certificate for 127.0.0.1 and localhost, from a CA that nobody trusts unless told to."""
    return make_certs(tmp_path_factory.mktemp("certs"))


@pytest.fixture(scope="session")
def start_server(certs: Certs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], MailServer]]:
    """Return a function that fetches and starts a server at its first call; all are stopped at the end."""
    running: dict[str, MailServer] = {}
    with ExitStack() as stack:

        def start(name: str) -> MailServer:
            if name not in running:
                install(name)
                server = SERVERS[name](tmp_path_factory.mktemp(name), certs)
                running[name] = stack.enter_context(server)
            return running[name]

        yield start


@pytest.fixture(params=list(SERVERS))
def server(request: pytest.FixtureRequest, start_server: Callable[[str], MailServer]) -> MailServer:
    """Return a running server that has received nothing yet."""
    try:
        running = start_server(request.param)
    except ServerError as error:
        reason = str(error)
    else:
        running.reset()
        return running
    pytest.fail(f"no {request.param} to test against: {reason}", pytrace=False)


@pytest.fixture
def machine(program: Program, start_server: Callable[[str], MailServer]) -> Iterator[Machine]:
    """Return a machine with Debian's clients, whose account delivers to a Postfix that has received nothing yet."""
    install("clients")
    postfix = start_server("postfix")
    postfix.reset()
    with Machine(program, postfix) as machine:
        yield machine


StartDovecot = Callable[[tuple[str, ...]], Dovecot]


@pytest.fixture(scope="session")
def start_dovecot(
    start_server: Callable[[str], MailServer], certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StartDovecot]:
    """Return a function that starts a Dovecot that offers these mechanisms, at the first call for them."""
    running: dict[tuple[str, ...], Dovecot] = {}
    with ExitStack() as stack:

        def start(mechanisms: tuple[str, ...]) -> Dovecot:
            if mechanisms not in running:
                install("dovecot")
                relay = start_server("postfix")
                server = Dovecot(tmp_path_factory.mktemp("dovecot"), certificates, relay, mechanisms=mechanisms)
                running[mechanisms] = stack.enter_context(server)
            return running[mechanisms]

        yield start


@pytest.fixture
def dovecot(request: pytest.FixtureRequest, start_dovecot: StartDovecot) -> Dovecot:
    """Return a running Dovecot in front of a Postfix that has received nothing yet.

    It offers every mechanism it can, unless the test names some: parametrize("dovecot", [("PLAIN",)], indirect=True).
    """
    try:
        running = start_dovecot(getattr(request, "param", MECHANISMS))
    except ServerError as error:
        reason = str(error)
    else:
        running.reset()
        return running
    pytest.fail(f"no dovecot to test against: {reason}", pytrace=False)


def install(name: str) -> None:
    """Fetch a server, unless it is there already; then this costs some milliseconds and no network."""
    done = subprocess.run(["sh", INSTALL, name], capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise ServerError(f"{INSTALL.name} {name} exited with {done.returncode}:\n{done.stderr}")
