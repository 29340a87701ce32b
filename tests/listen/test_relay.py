"""No stranger sends mail through this machine by accident."""

from __future__ import annotations

import base64
import smtplib
import socket
import ssl
import sys

import pytest

from prx_email_cli.config.listen import ListenSettings
from prx_email_cli.errors import ConfigError
from prx_email_cli.listen.clients import client_at
from prx_email_cli.listen.endpoints import inherited, networks, open_endpoints, plain_address

from ..conftest import Answer, Program
from ..support.certs import Certificates
from .conftest import MESSAGE, Listener, stored_id

OPEN = ["0.0.0.0:0", "*:0", ":0", "[::]:0"]
PASSWORD = "correct horse battery"
# Becomes the command with a socket as descriptor 3, as systemd starts it.
HAND_ON = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.argv[2], sys.argv[2:])
"""


def configure(program: Program, listen: str) -> None:
    program.configure()
    with open(program.config, "a") as config:
        config.write(f"[listen]\n{listen}\n")


def private_copy(program: Program, certificates: Certificates) -> str:
    """A certificate with its key that only the user can read."""
    file = program.home / "server.pem"
    file.write_bytes(certificates.server_file().read_bytes())
    file.chmod(0o600)
    return str(file)


def add_user(program: Program, name: str = "web", password: str = PASSWORD) -> Answer:
    return program.run("listen", "add-user", name, text=f"{password}\n")


@pytest.mark.parametrize("address", OPEN)
def test_on_an_open_address_it_does_not_start_without_networks_or_logins(program: Program, address: str) -> None:
    answer = program.run("listen", "--listen", address)
    assert answer.status == 78
    assert "anybody there could send mail" in answer.err
    assert "allowed_networks" in answer.err


def test_one_open_address_among_others_is_enough_to_refuse(program: Program) -> None:
    assert program.run("listen", "--listen", "127.0.0.1:0", "--listen", "0.0.0.0:0").status == 78


def test_the_config_cannot_open_it_either(program: Program) -> None:
    configure(program, 'addresses = ["0.0.0.0:0"]')
    assert program.run("listen").status == 78


def test_logins_without_tls_do_not_open_it(program: Program) -> None:
    assert add_user(program).status == 0
    answer = program.run("listen", "--listen", "0.0.0.0:0")
    assert (answer.status, "in clear" in answer.err) == (78, True)


def test_tls_without_logins_does_not_open_it(program: Program, certificates: Certificates) -> None:
    configure(program, f'tls_cert_file = "{private_copy(program, certificates)}"')
    assert program.run("listen", "--listen", "0.0.0.0:0").status == 78
    assert add_user(program).status == 0
    assert program.run("listen", "remove-user", "web").status == 0
    assert program.run("listen", "--listen", "0.0.0.0:0").status == 78


@pytest.mark.parametrize(
    "network", ["0.0.0.0/0", "::/0", "0.0.0.0/1", "128.0.0.0/1", "2000::/3", "nonsense", "10.0.0.1/8"]
)
def test_a_network_that_is_the_world_or_none_is_refused(program: Program, network: str) -> None:
    configure(program, f'allowed_networks = ["{network}"]')
    answer = program.run("listen", "--listen", "0.0.0.0:0")
    assert (answer.status, network in answer.err) == (78, True)


def test_a_socket_from_systemd_is_judged_like_any_other(program: Program) -> None:
    with socket.create_server(("0.0.0.0", 0)) as handed:
        program.wrapper = [sys.executable, "-c", HAND_ON, str(handed.fileno())]
        process = program.start("listen", pass_fds=[handed.fileno()])
        _, err = process.communicate(timeout=60)
    assert (process.returncode, "could send mail through it" in err) == (78, True)


def test_a_stranger_is_turned_away_where_only_networks_are_allowed(program: Program) -> None:
    configure(program, 'allowed_networks = ["192.0.2.0/24"]')
    with Listener(program, "--listen", "0.0.0.0:0") as listener:
        client = listener.connect()
        assert client.reply().startswith("554 5.7.1")
        assert client.line() == b""


def test_a_client_of_an_allowed_network_needs_no_login(program: Program) -> None:
    configure(program, 'allowed_networks = ["127.0.0.0/8"]')
    with Listener(program, "--listen", "0.0.0.0:0") as listener:
        with listener.client() as client:
            assert client.sendmail("a@example.com", ["b@example.org"], MESSAGE) == {}


def test_being_on_this_machine_is_no_right_where_others_come_in_too(program: Program) -> None:
    """Whoever forwards a port makes strangers look like this machine."""
    network = plain_address("10.0.0.1")
    with (
        socket.create_server(("0.0.0.0", 0)) as server,
        socket.create_connection(("127.0.0.1", server.getsockname()[1])),
    ):
        accepted, _ = server.accept()
        with accepted:
            (endpoint,) = inherited([server])
            allowed = networks(ListenSettings(allowed_networks=("10.0.0.0/8",)))
            assert network in allowed[0]
            assert not client_at(accepted, allowed, local=endpoint.local).trusted
            endpoint.socket.detach()


@pytest.mark.parametrize(
    ("address", "local"),
    [("127.0.0.1:0", True), ("127.9.9.9:0", True), ("0:0", False), ("0.0.0.0:0", False), ("0", True)],
)
def test_what_counts_as_this_machine_alone(address: str, local: bool) -> None:
    opened = open_endpoints([address], 0o600)
    try:
        assert {one.local for one in opened} == {local}
    finally:
        for one in opened:
            one.close()


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000", "::1:25", "nowhere.invalid:25", "", "127.0.0.1:-1"]
)
def test_an_address_that_is_none_is_refused_with_a_hint(address: str) -> None:
    with pytest.raises(ConfigError) as refused:
        open_endpoints([address], 0o600)
    assert refused.value.hint


class TestWithLoginsOverTls:
    @pytest.fixture
    def listener(self, program: Program, certificates: Certificates):  # type: ignore[no-untyped-def]
        configure(program, f'tls_cert_file = "{private_copy(program, certificates)}"')
        assert add_user(program).status == 0
        with Listener(program, "--listen", "0.0.0.0:0") as listener:
            yield listener

    @pytest.fixture
    def trust(self, certificates: Certificates) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(certificates.ca_file))

    @pytest.mark.parametrize("ahead", [[], ["HELO x"], ["EHLO x"]])
    def test_nothing_is_taken_before_the_login(self, listener: Listener, ahead: list[str]) -> None:
        client = listener.raw()
        for line in ahead:
            client.ask(line)
        assert client.code("MAIL FROM:<a@example.com>") == 530
        assert client.code("RCPT TO:<b@example.org>") == 530
        assert client.code("DATA") == 530
        assert client.code("AUTH PLAIN " + base64.b64encode(f"\0web\0{PASSWORD}".encode()).decode()) in (503, 538)
        assert client.code("MAIL FROM:<a@example.com>") == 530

    def test_tls_alone_is_no_login(self, listener: Listener, trust: ssl.SSLContext) -> None:
        with listener.client() as client:
            client._host = "localhost"  # type: ignore[attr-defined]
            client.starttls(context=trust)
            client.ehlo()
            assert client.has_extn("AUTH")
            assert not client.has_extn("STARTTLS")
            assert client.mail("a@example.com")[0] == 530

    @pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
    def test_the_right_password_opens_it(
        self, listener: Listener, trust: ssl.SSLContext, program: Program, mechanism: str
    ) -> None:
        with listener.client() as client:
            client._host = "localhost"  # type: ignore[attr-defined]
            client.starttls(context=trust)
            client.ehlo()
            client.user, client.password = "web", PASSWORD
            client.auth(mechanism, getattr(client, f"auth_{mechanism.lower()}"))
            client.mail("a@example.com")
            client.rcpt("b@example.org")
            outbox_id = stored_id(client.data(MESSAGE)[1])
        assert program.show(outbox_id)["enqueued_by"]["user"] == "web"

    @pytest.mark.parametrize(
        "said",
        [
            "\0web\0wrong password",
            "\0nobody\0" + PASSWORD,
            "\0web\0",
            "\0\0",
            "",
            "other\0web\0" + PASSWORD,
            "\0web\0" + PASSWORD + "x",
        ],
    )
    def test_any_other_answer_does_not(self, listener: Listener, trust: ssl.SSLContext, said: str) -> None:
        client = listener.raw()
        client.ask("STARTTLS")
        client.start_tls(trust)
        client.ask("EHLO x")
        assert client.code("AUTH PLAIN " + (base64.b64encode(said.encode()).decode() or "=")) == 535
        assert client.code("MAIL FROM:<a@example.com>") == 530

    def test_after_three_wrong_ones_it_hangs_up(self, listener: Listener, trust: ssl.SSLContext) -> None:
        client = listener.raw()
        client.ask("STARTTLS")
        client.start_tls(trust)
        client.ask("EHLO x")
        wrong = "AUTH PLAIN " + base64.b64encode(b"\0web\0wrong").decode()
        assert [client.code(wrong) for _ in range(3)] == [535, 535, 421]

    def test_what_is_sent_in_clear_behind_starttls_is_not_taken_for_said_under_it(self, listener: Listener) -> None:
        client = listener.raw()
        client.send(b"STARTTLS\r\nEHLO injected\r\nMAIL FROM:<a@example.com>\r\n")
        assert client.reply().startswith("503 5.5.0")
        assert client.line() == b""

    def test_the_stored_login_is_a_hash_and_the_file_is_private(self, listener: Listener, program: Program) -> None:
        file = program.home / "listen-users"
        assert file.stat().st_mode & 0o777 == 0o600
        assert PASSWORD not in file.read_text()
        assert "web:scrypt$" in file.read_text()
        assert program.run("listen", "users").out == "web\n"


def test_a_file_of_logins_that_others_can_read_is_refused(program: Program) -> None:
    assert add_user(program).status == 0
    (program.home / "listen-users").chmod(0o644)
    assert program.run("listen").status == 77


def test_a_key_that_others_can_read_is_refused(program: Program, certificates: Certificates) -> None:
    key = program.home / "server.pem"
    key.write_bytes(certificates.server_file().read_bytes())
    key.chmod(0o644)
    configure(program, f'tls_cert_file = "{key}"')
    answer = program.run("listen")
    assert (answer.status, "chmod 600" in answer.err) == (77, True)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "x" * 65, "#x", "ü"])
def test_a_name_that_the_file_cannot_hold_is_refused(program: Program, name: str) -> None:
    assert add_user(program, name).status == 65


def test_a_browser_that_was_led_here_is_turned_away(program: Program) -> None:
    with Listener(program, "--listen", "127.0.0.1:0") as listener:
        client = listener.connect()
        client.reply()
        client.send(
            b"POST / HTTP/1.1\r\nHost: x\r\n\r\nEHLO x\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\n"
        )
        assert client.reply().startswith("500 5.5.1 closing")
        assert client.line() == b""


def test_under_implicit_tls_a_client_logs_in_at_once(program: Program, certificates: Certificates) -> None:
    configure(program, f'tls_cert_file = "{private_copy(program, certificates)}"\ntls = "implicit"')
    assert add_user(program).status == 0
    trust = ssl.create_default_context(cafile=str(certificates.ca_file))
    with Listener(program, "--listen", "0.0.0.0:0") as listener:
        with smtplib.SMTP_SSL("localhost", listener.port, timeout=30, context=trust) as client:
            client.ehlo()
            assert not client.has_extn("STARTTLS")
            assert client.mail("a@example.com")[0] == 530
            client.login("web", PASSWORD)
            assert client.sendmail("a@example.com", ["b@example.org"], MESSAGE) == {}
        assert listener.stop() == (0, "")
    assert program.show(1)["enqueued_by"]["user"] == "web"
