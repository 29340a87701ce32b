"""What one client may take of the server, and how long it may be silent."""

from __future__ import annotations

import smtplib
import socket
import ssl
import time
from contextlib import suppress

import pytest

from prx_email_cli.listen.limits import MINUTE, Limits

from ..conftest import Program
from ..support.certs import Certificates
from .conftest import PATIENCE, Listener
from .test_relay import add_user, private_copy
from .test_taking import hand_in


def configure(program: Program, listen: str) -> None:
    program.configure()
    with open(program.config, "a") as config:
        config.write(f"[listen]\n{listen}\n")


def test_connections_are_counted_of_all_and_of_each() -> None:
    limits = Limits(3, 2, None)
    assert [limits.connect("a"), limits.connect("a")] == [None, None]
    assert limits.connect("a") is not None
    assert limits.connect("b") is None
    assert limits.connect("c") is not None
    limits.disconnect("a")
    assert limits.connect("c") is None
    for client in "abc":
        limits.disconnect(client)
    assert limits.open == 0


def test_messages_are_counted_over_any_minute_and_each_client_alone() -> None:
    limits = Limits(9, 9, 2)
    assert [limits.take("a", now) for now in (0, 30, 59)] == [True, True, False]
    assert limits.take("b", 59)
    assert limits.take("a", MINUTE)
    assert not limits.take("a", MINUTE + 1)


def test_without_a_pace_all_are_taken() -> None:
    assert all(Limits(9, 9, None).take("a", 0) for _ in range(1000))


def test_a_message_too_many_in_a_minute_is_deferred(program: Program) -> None:
    configure(program, "messages_per_minute = 2")
    with Listener(program, "--listen", "127.0.0.1:0") as listener:
        client = listener.raw()
        assert [hand_in(client)[:3] for _ in range(2)] == ["250", "250"]
        assert client.ask("MAIL FROM:<a@example.com>").startswith("450 4.7.0")
        assert listener.raw().ask("MAIL FROM:<a@example.com>").startswith("450 4.7.0")


def test_a_connection_too_many_is_told_to_come_again(program: Program) -> None:
    configure(program, "max_connections_per_client = 1")
    with Listener(program, "--listen", "127.0.0.1:0") as listener:
        first = listener.raw()
        second = listener.connect()
        assert second.reply().startswith("421 4.7.0")
        assert second.line() == b""
        assert first.ask("QUIT").startswith("221 ")
        assert first.line() == b""
        assert listener.connect().reply().startswith("220 ")


def test_a_silent_client_is_left(program: Program) -> None:
    configure(program, "idle_seconds = 1")
    with Listener(program, "--listen", "127.0.0.1:0") as listener:
        silent = listener.raw()
        assert silent.reply().startswith("421 4.4.2")
        assert silent.line() == b""
        midway = listener.raw()
        midway.say("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.org>", "DATA")
        assert [midway.reply()[:3] for _ in range(3)] == ["250", "250", "354"]
        midway.send(b"Subject: half")
        assert midway.reply().startswith("421 4.4.2")
    assert program.call("list", "--json").data == []


def test_a_client_that_reads_no_answers_is_left_too(program: Program) -> None:
    configure(program, "idle_seconds = 1\nmax_connections_per_client = 1")
    with Listener(program, "--listen", "127.0.0.1:0") as listener:
        deaf = listener.raw()
        deaf.sock.settimeout(1)
        deaf.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # or the kernel would take megabytes for it
        deaf.ask("MAIL FROM:<a@example.com>")
        with suppress(TimeoutError, ConnectionError):  # when all buffers are full
            while True:
                deaf.send(b"RCPT TO:<nobody>\r\n" * 1000)
        deadline = time.monotonic() + 4 * PATIENCE
        while not (greeting := listener.connect().reply()).startswith("220 "):
            assert greeting.startswith("421 4.7.0")
            assert time.monotonic() < deadline
            time.sleep(0.2)


def test_a_client_that_begins_tls_and_says_no_more_is_left(program: Program, certificates: Certificates) -> None:
    configure(program, f'idle_seconds = 1\ntls_cert_file = "{private_copy(program, certificates)}"')
    with Listener(program, "--listen", "127.0.0.1:0") as listener:
        silent = listener.raw()
        assert silent.code("STARTTLS") == 220
        with suppress(ConnectionError):
            while silent.sock.recv(100):
                pass


def test_a_client_counts_before_it_has_begun_tls(program: Program, certificates: Certificates) -> None:
    tls = f'tls_cert_file = "{private_copy(program, certificates)}"\ntls = "implicit"'
    configure(program, f"{tls}\nidle_seconds = 3\nmax_connections_per_client = 1")
    assert add_user(program).status == 0
    trust = ssl.create_default_context(cafile=str(certificates.ca_file))
    with Listener(program, "--listen", "0.0.0.0:0") as listener:
        silent = listener.connect()
        with pytest.raises((ConnectionError, ssl.SSLError)):
            smtplib.SMTP_SSL("localhost", listener.port, timeout=PATIENCE, context=trust)
        with suppress(ConnectionError):
            assert silent.line() == b""  # it is left, without a word in clear
        with smtplib.SMTP_SSL("localhost", listener.port, timeout=PATIENCE, context=trust) as client:
            assert client.noop()[0] == 250
        lost = listener.connect()
        lost.send(b"EHLO in.clear\r\n")
        with suppress(ConnectionError):
            assert not lost.line().startswith(b"2")
        assert listener.stop() == (0, "")


def test_recipients_beyond_the_limit_are_refused_and_the_others_go(program: Program) -> None:
    program.configure(outbox="max_recipients = 2")
    with Listener(program, "--listen", "127.0.0.1:0") as listener:
        client = listener.raw()
        client.ask("MAIL FROM:<a@example.com>")
        assert [client.code(f"RCPT TO:<b{number}@example.org>") for number in range(3)] == [250, 250, 452]


def test_a_client_that_only_talks_is_left(listener: Listener) -> None:
    client = listener.raw()
    assert [client.code("NOOP") for _ in range(100)][-2:] == [250, 421]  # the greeting counts, too
    client = listener.raw()
    assert [client.code("EHLO x") for _ in range(100)][-1] == 421


def test_a_local_name_stands_for_its_alias(program: Program) -> None:
    with open(program.config, "a") as config:
        config.write('[sendmail.aliases]\nroot = ["ops@example.org"]\na = ["b"]\nb = ["a"]\n')
    with Listener(program, "--listen", "127.0.0.1:0") as listener:
        client = listener.raw()
        client.ask("MAIL FROM:<a@example.com>")
        assert [client.code(f"RCPT TO:<{name}>") for name in ("root", "nobody", "a")] == [250, 553, 451]
        client.ask("DATA")
        client.send(b"Subject: s\r\n\r\nx\r\n.\r\n")
        assert client.reply().startswith("250 ")
    assert program.show(1)["to"] == ["ops@example.org"]
