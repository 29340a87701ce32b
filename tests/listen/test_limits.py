"""What one client may take of the server, and how long it may be silent."""

from __future__ import annotations

from prx_email_cli.listen.limits import MINUTE, Limits

from ..conftest import Program
from .conftest import Listener
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


def test_recipients_beyond_the_limit_are_refused_and_the_others_go(program: Program) -> None:
    program.configure(outbox="max_recipients = 2")
    with Listener(program, "--listen", "127.0.0.1:0") as listener:
        client = listener.raw()
        client.ask("MAIL FROM:<a@example.com>")
        assert [client.code(f"RCPT TO:<b{number}@example.org>") for number in range(3)] == [250, 250, 452]


def test_a_client_that_only_talks_is_left(listener: Listener) -> None:
    client = listener.raw()
    assert [client.code("NOOP") for _ in range(101)][-1] == 421


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
