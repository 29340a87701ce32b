"""Servers come and go without a trace, and say why when they do not come."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import install
from .servers import SERVERS, Certs, ServerError, exim

pytestmark = pytest.mark.interop

HERE = Path(__file__).resolve().parent


@pytest.fixture(params=list(SERVERS))
def name(request: pytest.FixtureRequest) -> str:
    """Return the name of a server that has been fetched and is not running."""
    install(request.param)
    return str(request.param)


def alive(directory: Path) -> list[str]:
    """Return the command lines of all processes that see a directory as their /srv."""
    inside = "/".join(directory.parts[-3:])  # the file system it lies on may be mounted at any of its parents
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"/{inside} /srv " in (process / "mountinfo").read_text():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue  # it has just ended
    return found


def test_stop_ends_every_process_and_frees_the_ports(name: str, tmp_path: Path, certs: Certs) -> None:
    """A server that forks and daemonises at will leaves nothing behind when the block ends."""
    directory = tmp_path / f"stopped-{name}"
    with SERVERS[name](directory, certs) as server:
        assert len(alive(directory)) > 1
    assert alive(directory) == []
    assert not server.is_up()


BUILT_IN_PATHS = (
    "/run/smtpd.sock",
    "/srv/mail",
    "/usr/lib/postfix/sbin/master",
    "/usr/libexec/opensmtpd",
    "/usr/sbin/exim4",
    "/var/lib/opensmtpd",
    "/var/spool/exim4",
    "/var/spool/postfix",
    "/var/spool/smtpd",
)


def machine() -> tuple[str, str, list[bool]]:
    """Return what a server could change for everybody: users, groups, what is at its built-in paths."""
    users, groups = (Path("/etc", name).read_text() for name in ("passwd", "group"))
    return users, groups, [Path(path).exists() for path in BUILT_IN_PATHS]


def test_the_machine_sees_nothing_of_a_running_server(name: str, tmp_path: Path, certs: Certs) -> None:
    """No mount, no user, no program and no state outside of the server's own directory."""
    directory = tmp_path / f"unseen-{name}"
    before = machine()
    with SERVERS[name](directory, certs):
        assert directory.name not in Path("/proc/self/mountinfo").read_text()
        assert machine() == before


RUN_AND_DIE = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import servers
server = servers.SERVERS[sys.argv[2]](Path(sys.argv[3]), servers.Certs(*map(Path, sys.argv[4:7])))
server.__enter__()
print("up", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_server_ends_when_the_test_run_is_killed(name: str, tmp_path: Path, certs: Certs) -> None:
    """Even SIGKILL to the test run leaves no server behind."""
    directory = tmp_path / f"orphan-{name}"
    arguments = [HERE, name, directory, certs.ca_file, certs.cert_file, certs.key_file]
    command = [sys.executable, "-c", RUN_AND_DIE, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "up\n", done.stderr
    deadline = time.monotonic() + 5
    while (left := alive(directory)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert left == []


def test_two_of_a_kind_run_side_by_side(name: str, tmp_path: Path, certs: Certs) -> None:
    """Two test runs at once do not meet: fixed paths are each server's own."""
    with SERVERS[name](tmp_path / "one", certs) as one, SERVERS[name](tmp_path / "two", certs) as two:
        assert one.is_up()
        assert two.is_up()
        assert one.port != two.port


def test_a_missing_server_says_how_to_get_it(tmp_path: Path, certs: Certs, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the script to run."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    with pytest.raises(ServerError, match=r"install\.sh exim"), SERVERS["exim"](tmp_path / "exim", certs):
        pass


def test_a_server_that_cannot_start_shows_its_log(
    tmp_path: Path, certs: Certs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fails at once, not at the deadline, and nobody has to guess."""
    install("exim")
    monkeypatch.setattr(exim, "CONFIG", "nonsense\n")
    with pytest.raises(ServerError, match="nonsense"), SERVERS["exim"](tmp_path / "exim", certs):
        pass
