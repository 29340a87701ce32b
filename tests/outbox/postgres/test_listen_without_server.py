"""While its database is gone, listen puts clients off, and goes on by itself; an unanswered commit is answered once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ...conftest import Program
from ...listen.conftest import Listener, stored_id
from ...support.database_proxy import Cut, DatabaseProxy
from ...support.mailhost import MailHost
from ...support.manager import Manager, managing
from ...support.postgres import PostgresServer
from ...support.raw_client import RawClient


@contextmanager
def listening(program: Program, proxy: DatabaseProxy, direct: str, port: int, *words: str) -> Iterator[Listener]:
    """A listener whose database is reached through the proxy; all else reaches it directly."""
    program.url = proxy.url(direct)
    program.configure(port)
    config = program.config.rename(program.home / "proxied.toml")
    program.url = direct
    program.configure(port)
    environment = {**program.environment, "PRX_EMAIL_CONFIG": str(config)}
    usual, program.environment = program.environment, environment
    try:
        with Listener(program, "--listen", "127.0.0.1:0", *words) as listener:
            program.environment = usual
            yield listener
    finally:
        program.environment = usual


def handed_in(client: RawClient, subject: str) -> str:
    """The reply to a message."""
    assert client.code("MAIL FROM:<a@example.com>") == 250
    assert client.code("RCPT TO:<b@example.org>") == 250
    assert client.code("DATA") == 354
    client.say(f"Subject: {subject}", "", "text", ".")
    return client.reply()


def subjects(program: Program) -> list[str]:
    return sorted(row["subject"] for row in program.run("list", "--json").data)


@pytest.fixture
def manager(program: Program, tmp_path: Path) -> Iterator[Manager]:
    with managing(tmp_path) as manager:
        program.environment |= {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "2000000"}
        yield manager


def test_clients_are_put_off_until_the_server_is_back(
    server: PostgresServer, program: Program, manager: Manager
) -> None:
    direct = server.new_database()
    with MailHost() as host, DatabaseProxy(server.directory) as proxy:
        with listening(program, proxy, direct, host.port, "--drain") as listener:
            client = listener.raw()
            assert stored_id(handed_in(client, "before"))
            proxy.refuse()
            for _ in range(2):
                assert handed_in(client, "away").startswith(("451 ", "421 "))
            alive = manager.count("WATCHDOG=1")
            manager.wait_for(lambda: manager.count("WATCHDOG=1") >= alive + 2)
            assert manager.status().endswith(", which is gone")
            proxy.serve()
            assert stored_id(handed_in(client, "after"))
            manager.wait_for(lambda: not manager.status().endswith("is gone"))
            host.wait_for(lambda: len(host.messages) == 2)
            status, err = listener.stop()
        assert subjects(program) == ["after", "before"]
        told = [line for line in err.splitlines() if "not stored" in line]
        assert (status, 1 <= len(told) <= 2, "Traceback" in err) == (0, True, False), err


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_message_whose_commit_had_no_answer_is_stored_and_acknowledged_once(
    server: PostgresServer, program: Program, after: bool
) -> None:
    direct = server.new_database()
    with DatabaseProxy(server.directory) as proxy, listening(program, proxy, direct, 9) as listener:
        proxy.cut = Cut(b"COMMIT", 1, after)
        client = listener.raw()
        assert stored_id(handed_in(client, "one")) == program.run("list", "--json").data[0]["outbox_id"]
        assert proxy.said >= 1
        assert stored_id(handed_in(client, "two"))
        assert subjects(program) == ["one", "two"]
