"""SIGHUP makes it read its config anew, a broken one changes nothing; and systemd hears that it is alive."""

from __future__ import annotations

import hashlib
import signal
import smtplib
import ssl
import time
from pathlib import Path

import pytest

from ..conftest import Program
from ..support.certs import Certificates
from ..support.manager import Manager, managing
from .conftest import MESSAGE, PATIENCE, Listener, stored_id
from .test_relay import PASSWORD, add_user, configure, private_copy
from .test_taking import hand_in

IN_FORCE = "the config was not reloaded, and the one before stays in force: "


def reload(listener: Listener) -> str:
    """Ask for a reload; what it said of it."""
    listener.process.send_signal(signal.SIGHUP)
    assert listener.process.stderr is not None
    return listener.process.stderr.readline()


def fingerprint(connected: ssl.SSLSocket | None) -> str:
    assert connected is not None
    return hashlib.sha256(connected.getpeercert(binary_form=True) or b"").hexdigest()


def test_limits_and_accounts_are_those_of_the_new_config(listener: Listener, program: Program) -> None:
    before = listener.raw()
    configure(program, "max_message_bytes = 2000\nmax_connections_per_client = 2")
    with program.config.open("a") as config:
        config.write('[accounts.alerts]\nfrom = "alerts@example.net"\n[accounts.alerts.smtp]\nhost = "localhost"\n')
        config.write('port = 9\ntls = "none"\n')
    assert reload(listener) == "the config was reloaded\n"
    outbox_id = stored_id(hand_in(before, MESSAGE.replace(b"a@example.com", b"alerts@example.net")))
    assert program.show(outbox_id)["account"] == "alerts"
    second = listener.connect()
    assert second.reply().startswith("220 ")
    assert "SIZE 2000" in second.ask("EHLO x")
    assert before.ask("MAIL FROM:<a@example.com> SIZE=2001").startswith("552 ")
    assert listener.connect().reply().startswith("421 4.7.0")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[listen]\nmax_connections = 0\n", "listen.max_connections"),
        ("[listen]\nnonsense = 1\n", "nonsense"),
        ("[[[\n", ""),
        ('[listen]\ntls_cert_file = "nowhere.pem"\n', "nowhere.pem"),
        ('[listen]\nallowed_networks = ["0.0.0.0/0"]\n', "so wide that strangers"),
    ],
)
def test_a_config_that_cannot_be_used_is_told_and_changes_nothing(
    listener: Listener, program: Program, text: str, said: str
) -> None:
    with program.config.open("a") as config:
        config.write(text)
    answer = reload(listener)
    assert answer.startswith(IN_FORCE)
    assert said in answer
    assert hand_in(listener.raw()).startswith("250 ")
    program.configure()
    assert reload(listener) == "the config was reloaded\n"
    assert listener.stop() == (0, "")


@pytest.mark.of_files
def test_an_outbox_elsewhere_needs_a_restart(listener: Listener, program: Program) -> None:
    program.config.write_text(program.config.read_text().replace("outbox.db", "other.db"))
    assert reload(listener) == f"{IN_FORCE}the outbox has changed (restart listen)\n"
    assert hand_in(listener.raw()).startswith("250 ")
    assert not (program.home / "other.db").exists()


def test_no_reload_opens_it_to_strangers(program: Program) -> None:
    configure(program, 'allowed_networks = ["127.0.0.0/8"]')
    with Listener(program, "--listen", "0.0.0.0:0") as listener:
        configure(program, "")
        assert "anybody there could send mail" in reload(listener)
        assert hand_in(listener.raw()).startswith("250 ")
        configure(program, 'allowed_networks = ["192.0.2.0/24"]')
        assert reload(listener) == "the config was reloaded\n"
        assert listener.connect().reply().startswith("554 5.7.1")


def test_the_first_login_and_a_new_certificate_need_no_restart(program: Program, certificates: Certificates) -> None:
    key = private_copy(program, certificates)
    configure(program, f'tls_cert_file = "{key}"')
    trust = ssl.create_default_context(cafile=str(certificates.ca_file))
    with Listener(program, "--listen", "127.0.0.1:0") as listener:
        assert add_user(program).status == 0
        Path(key).write_bytes(certificates.server_file("ends_tomorrow").read_bytes())
        with smtplib.SMTP("localhost", listener.port, timeout=PATIENCE) as client:
            client.starttls(context=trust)
            assert fingerprint(client.sock) == certificates.fingerprint()  # type: ignore[arg-type]
            client.ehlo()
            assert not client.has_extn("auth")
        assert reload(listener) == "the config was reloaded\n"
        with smtplib.SMTP("localhost", listener.port, timeout=PATIENCE) as client:
            client.starttls(context=trust)
            assert fingerprint(client.sock) == certificates.fingerprint("ends_tomorrow")  # type: ignore[arg-type]
            client.login("web", PASSWORD)


def test_a_new_certificate_is_shown_where_clients_begin_with_tls(program: Program, certificates: Certificates) -> None:
    key = private_copy(program, certificates)
    configure(program, f'tls_cert_file = "{key}"\ntls = "implicit"')
    assert add_user(program).status == 0
    trust = ssl.create_default_context(cafile=str(certificates.ca_file))

    def shown() -> set[str]:
        """With the server's name in the first message of TLS, and without."""
        found = set()
        for name in ("localhost", "127.0.0.1"):
            with smtplib.SMTP_SSL(name, listener.port, timeout=PATIENCE, context=trust) as client:
                found.add(fingerprint(client.sock))  # type: ignore[arg-type]
        return found

    with Listener(program, "--listen", "0.0.0.0:0") as listener:
        assert shown() == {certificates.fingerprint()}
        Path(key).write_bytes(certificates.server_file("ends_tomorrow").read_bytes())
        assert reload(listener) == "the config was reloaded\n"
        assert shown() == {certificates.fingerprint("ends_tomorrow")}
        configure(program, f'tls_cert_file = "{key}"')
        assert "has changed (restart listen)" in reload(listener)
        assert shown() == {certificates.fingerprint("ends_tomorrow")}


def test_a_message_that_is_under_way_outlives_a_reload(listener: Listener, program: Program) -> None:
    client = listener.raw()
    client.say("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.org>", "DATA")
    assert [client.reply()[:3] for _ in range(3)] == ["250", "250", "354"]
    client.send(MESSAGE[:20])
    assert reload(listener) == "the config was reloaded\n"
    client.send(MESSAGE[20:] + b".\r\n")
    assert program.show(stored_id(client.reply()))["subject"] == "hello"


def watched(program: Program, manager: Manager, seconds: float) -> Listener:
    program.environment |= {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": str(int(seconds * 1_000_000))}
    return Listener(program, "--listen", "127.0.0.1:0")


def test_systemd_is_told_of_a_reload_that_succeeds_and_of_one_that_fails(program: Program) -> None:
    with managing(program.home) as manager, watched(program, manager, 0) as listener:
        assert reload(listener) == "the config was reloaded\n"
        program.config.write_text("[[[\n")
        assert reload(listener).startswith(IN_FORCE)
        assert listener.stop()[0] == 0
        manager.wait_for(lambda: manager.count("STOPPING=1"))
    assert manager.order() == ["READY", "RELOADING", "READY", "RELOADING", "READY", "STOPPING"]
    assert manager.count("WATCHDOG=1") == 0


def test_systemd_is_told_that_it_ends_while_a_message_is_under_way(program: Program) -> None:
    with managing(program.home) as manager, watched(program, manager, 0) as listener:
        client = listener.raw()
        client.say("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.org>", "DATA")
        assert [client.reply()[:3] for _ in range(3)] == ["250", "250", "354"]
        listener.process.terminate()
        manager.wait_for(lambda: manager.count("STOPPING=1"))
        client.send(MESSAGE + b".\r\n")
        assert client.reply().startswith("250 ")
        assert listener.process.wait(timeout=PATIENCE) == 0


def test_it_gives_signs_of_life_only_while_messages_can_be_stored(program: Program) -> None:
    program.configure(outbox="busy_timeout_seconds = 60")
    with managing(program.home) as manager, watched(program, manager, 0.5) as listener:
        manager.wait_for(lambda: manager.count("WATCHDOG=1") > 2)
        client, other = listener.raw(), listener.raw()
        with program.locked():
            client.say("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.org>", "DATA")
            assert [client.reply()[:3] for _ in range(3)] == ["250", "250", "354"]
            client.send(MESSAGE + b".\r\n")
            wait_for_silence(manager, 2.0)
            assert other.code("NOOP") == 250  # it is the clerk that is stuck, and not the server
        assert client.reply().startswith("250 ")
        count = manager.count("WATCHDOG=1")
        manager.wait_for(lambda: manager.count("WATCHDOG=1") > count)
        assert listener.stop()[0] == 0


def wait_for_silence(manager: Manager, seconds: float) -> None:
    """Return once no sign of life has come for so long."""
    deadline = time.monotonic() + PATIENCE
    count, since = manager.count("WATCHDOG=1"), time.monotonic()
    while time.monotonic() - since < seconds:
        assert time.monotonic() < deadline
        time.sleep(0.05)
        if manager.count("WATCHDOG=1") != count:
            count, since = manager.count("WATCHDOG=1"), time.monotonic()
