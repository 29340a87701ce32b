"""systemd itself runs the units of the examples, with all that they forbid; logrotate rotates the log of a follower."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import smtplib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..conftest import Program
from ..support.scripted import ScriptedServer
from .servers.base import free_ports, installed_root
from .servers.systemd import NUMBER, CannotBootError, Machine

pytestmark = pytest.mark.interop

EXAMPLES = Path(__file__).parents[2] / "examples"
SERVICES = sorted((EXAMPLES / "systemd").glob("*.service"))
NOBODY = 65534
FOLLOW, LISTEN = "prx-email-follow.service", "prx-email-listen"


def unpacked(name: str) -> tuple[Path, dict[str, str]]:
    """Where a package lies, and the environment in which its programs find their libraries."""
    root = installed_root(name)
    libraries = sorted({str(file.parent) for file in (root / "usr" / "lib").rglob("*.so*")})
    return root, {**os.environ, "LD_LIBRARY_PATH": ":".join(libraries)}


@pytest.mark.parametrize("service", SERVICES, ids=lambda file: file.stem)
def test_the_exposure_of_a_service_is_at_most_3(service: Path) -> None:
    root, environment = unpacked("systemd")
    done = subprocess.run(
        [root / "usr/bin/systemd-analyze", "security", "--offline=true", "--threshold=30", "--no-pager", service],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found, done
    assert float(found[1]) <= 3.0
    assert done.returncode == 0


def config(port: int) -> str:
    """An account whose password a command prints, and a log."""
    return f"""
[outbox]
path = "/var/lib/prx-email/outbox.db"
[log]
file = "/var/log/prx-email/attempts.log"
[sendmail]
default_domain = "example.org"
[accounts.work]
from = "ops@example.com"
[accounts.work.smtp]
host = "localhost"
port = {port}
tls = "none"
user = "me"
[accounts.work.smtp.auth]
password_command = ["/bin/sh", "-c", "id -un >&2; echo secret"]
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    work = tmp_path_factory.mktemp("machine")
    machine = Machine(work, EXAMPLES / "systemd")
    machine.configure(config(9))
    (port,) = free_ports(1)
    dropin = work / "units" / f"{LISTEN}.socket.d"
    dropin.mkdir()
    (dropin / "port.conf").write_text(
        f"[Socket]\nListenStream=\nListenStream=/run/prx-email/listen.sock\nListenStream=127.0.0.1:{port}\n"
    )
    machine.port = port
    try:
        with machine:
            yield machine
    except CannotBootError as error:
        pytest.skip(f"no control groups can be made here, so no systemd can be booted: {error}")


@pytest.fixture
def server(machine: Machine) -> Iterator[ScriptedServer]:
    """The account's server; what runs on the machine is stopped at the end."""
    with ScriptedServer(auth={"me": "secret"}) as server:
        machine.configure(config(server.port))
        yield server
        machine.run("systemctl", "stop", FOLLOW, f"{LISTEN}.socket", f"{LISTEN}.service", "prx-email-drain.timer")


def test_systemd_has_nothing_to_say_of_the_units(machine: Machine) -> None:
    units = [f"/etc/systemd/system/{file.name}" for file in sorted((EXAMPLES / "systemd").iterdir())]
    done = machine.run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *units)
    assert (done.stdout, done.stderr) == ("", "")


def send(machine: Machine, subject: str) -> None:
    words = ("--to", "a@example.org", "--subject", subject, "--body", "text")
    machine.run_as(NUMBER, "prx-email", "--config", "/etc/prx-email/config.toml", "send", *words)


def drop(machine: Machine, subject: str) -> None:
    machine.run_as(NOBODY, "prx-sendmail", "root", text=f"Subject: {subject}\n\ntext\n")


def arrives(server: ScriptedServer, subject: str) -> None:
    wanted = f"Subject: {subject}\r\n".encode()
    server.wait_for(lambda: any(wanted in message.content for message in server.messages))


def test_a_follower_delivers_reloads_and_takes_in_what_others_drop(machine: Machine, server: ScriptedServer) -> None:
    machine.run("systemctl", "start", FOLLOW)  # returns once it is READY
    send(machine, "by the outbox's user")
    arrives(server, "by the outbox's user")
    drop(machine, "dropped by nobody")
    arrives(server, "dropped by nobody")
    with ScriptedServer(auth={"me": "secret"}) as other:
        machine.configure(config(other.port))
        machine.run("systemctl", "reload", FOLLOW)
        more = send_until_one_arrives(machine, other, server)
        wait_for(machine, "ActiveState", "active")
        machine.configure("[[[")
        machine.run("systemctl", "reload", FOLLOW)
        drop(machine, "by the config before")
        arrives(other, "by the config before")
        assert f"{3 + more} sent, 0 failed" in wait_for(machine, "StatusText", f"{3 + more} sent")
    machine.run("systemctl", "stop", FOLLOW)
    assert machine.show(FOLLOW, "Result") == "success"
    modes = machine.run("stat", "-c", "%a %U", "/var/lib/prx-email", "/var/lib/prx-email/drop").stdout
    assert modes.split("\n") == ["711 prx-email", "3733 prx-email", ""]
    assert machine.run("grep", "-c", "outcome=sent", "/var/log/prx-email/attempts.log").stdout == f"{3 + more}\n"


def send_until_one_arrives(machine: Machine, new: ScriptedServer, old: ScriptedServer) -> int:
    """Send messages one by one until the *new* server has one, and return how many.

    That systemctl has passed the signal on does not mean that the follower has read its config.
    """
    deadline, before = time.monotonic() + 60, len(old.messages)
    for sent in itertools.count(1):
        assert time.monotonic() < deadline, "the new config is not used"
        send(machine, "by the new config")
        while len(new.messages) + len(old.messages) - before < sent:
            assert time.monotonic() < deadline, "it does not arrive"
            time.sleep(0.05)
        if new.messages:
            return sent
    raise AssertionError


def wait_for(machine: Machine, name: str, words: str) -> str:
    """The property of the follower's unit, once it has these words."""
    deadline = time.monotonic() + 60
    while words not in (value := machine.show(FOLLOW, name)):
        assert time.monotonic() < deadline, value
        time.sleep(0.1)
    return value


def test_the_socket_starts_the_listener_which_needs_no_network_and_a_drain_delivers(
    machine: Machine, server: ScriptedServer
) -> None:
    machine.run("systemctl", "start", f"{LISTEN}.socket", "prx-email-drain.timer")
    assert machine.show(f"{LISTEN}.service", "ActiveState") == "inactive"
    for _ in range(2):
        with smtplib.SMTP("127.0.0.1", machine.port, timeout=60) as client:
            client.sendmail("app@example.com", ["b@example.org"], b"Subject: by SMTP\r\n\r\ntext\r\n")
        machine.run("systemctl", "reload", f"{LISTEN}.service")
    script = "import smtplib, socket\nclient = smtplib.SMTP()\nclient.sock = socket.socket(socket.AF_UNIX)\n"
    script += "client.sock.connect('/run/prx-email/listen.sock')\nclient.getreply()\n"
    script += "client.sendmail('app@example.com', ['c@example.org'], 'Subject: by a Unix socket\\n\\ntext\\n')\n"
    machine.run_as(NOBODY, "python3", "-c", script)
    machine.run("systemctl", "start", "prx-email-drain.service")  # waits for its end, or for that of the timer's
    arrives(server, "by a Unix socket")
    assert len(server.messages) == 3
    listed = machine.run_as(NUMBER, "prx-email", "--config", "/etc/prx-email/config.toml", "list", "--json")
    ids = {row["subject"]: row["outbox_id"] for row in json.loads(listed)["data"]}
    shown = machine.run_as(
        NUMBER, "prx-email", "--config", "/etc/prx-email/config.toml", "show", str(ids["by a Unix socket"])
    )
    assert "by nobody" in shown
    assert machine.show("prx-email-drain.service", "Result") == "success"


def test_logrotate_takes_no_line_from_a_follower(program: Program) -> None:
    root, environment = unpacked("logrotate")
    log, rules = program.home / "log" / "attempts.log", program.home / "rules"
    log.parent.mkdir(mode=0o750)
    text = (EXAMPLES / "prx-email.logrotate").read_text()
    text = text.replace("/var/log/prx-email", str(log.parent)).replace("su prx-email prx-email", "su root root")
    rules.write_text(text.replace("rotate 8", "rotate 100"))
    rules.chmod(0o644)
    with ScriptedServer() as server:
        program.configure(server.port)
        with program.config.open("a") as file:
            file.write(f'[log]\nfile = "{log}"\n')
        follower = program.start("drain", "--follow")
        try:
            for number in range(1, 9):
                program.send()
                server.wait_for(lambda number=number: len(server.messages) == number)  # type: ignore[misc]
                command: list[str | Path] = [
                    root / "usr/sbin/logrotate",
                    "--force",
                    "--state",
                    program.home / "state",
                    rules,
                ]
                done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
                assert (done.returncode, done.stderr) == (0, "")
            follower.send_signal(signal.SIGTERM)
            _, said = follower.communicate(timeout=60)
        finally:
            follower.kill()
            follower.communicate()
    assert (follower.returncode, said) == (0, "")
    lines = ""
    for one in sorted(log.parent.iterdir()):
        assert one.stat().st_mode & 0o077 == 0
        lines += subprocess.run(["zcat", "-f", one], capture_output=True, text=True, check=True).stdout
    assert sorted(re.findall(r"outbox_id=(\d+)", lines)) == [str(number) for number in range(1, 9)]
