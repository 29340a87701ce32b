"""What a provider allows, it allows once, however many machines drain: seen from the provider's side."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ...conftest import Program
from ...support.counting_sink import CountingSink
from ...support.postgres import PostgresServer

PATIENCE_SECONDS = 120
MESSAGES = 60


def machines(tmp_path: Path, url: str, port: int, smtp: str, many: int = 3) -> list[Program]:
    """Programs with homes and state directories of their own, on one outbox."""
    made = []
    for number in range(many):
        (tmp_path / f"machine{number}").mkdir()
        program = Program(tmp_path / f"machine{number}")
        program.url = url
        program.configure(port, outbox="others_wait_seconds = 1", smtp=smtp)
        made.append(program)
    return made


def enqueue(program: Program, many: int) -> None:
    lines = "\n".join(['{"account": "work", "to": ["a@example.org"], "subject": "s", "body_text": "b"}'] * many)
    assert program.run("send", "--batch", "-", text=lines).status == 0


def wait_for(came: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not came():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def url(server: PostgresServer) -> str:
    return server.new_database()


def test_three_drains_never_have_more_connections_than_the_account_may_and_a_killed_one_frees_its_own(
    tmp_path: Path, url: str
) -> None:
    with CountingSink(delay=0.05) as sink:
        hosts = machines(tmp_path, url, sink.port, "connections = 3\nmessages_per_connection = 5")
        enqueue(hosts[0], MESSAGES)
        first = hosts[0].start("drain", "--follow")
        try:
            wait_for(lambda: len(sink.taken) >= 5 and sink.open == 3)
            others = [host.start("drain", "--follow") for host in hosts[1:]]
            try:
                wait_for(lambda: len(sink.taken) >= MESSAGES // 3)
                first.kill()
                first.communicate()
                wait_for(lambda: len({one.message_id for one in sink.taken}) == MESSAGES)
            finally:
                for other in others:
                    other.terminate()
                told = [other.communicate(timeout=PATIENCE_SECONDS) for other in others]
        finally:
            first.kill()
            first.communicate()
        assert sink.most_open == 3
        assert [other.returncode for other in others] == [0, 0], told
        # what the killed one had on the wire is its machine's to settle
        assert hosts[0].run("drain").status in (0, 75)
        assert hosts[0].run("stats", "--json").data["sent"] == MESSAGES


def test_a_drain_that_gets_no_connection_leaves_the_account_alone_and_sends_for_others(
    tmp_path: Path, url: str
) -> None:
    with CountingSink(delay=0.2) as sink, CountingSink() as elsewhere:
        one, other = machines(tmp_path, url, sink.port, "connections = 1", 2)
        for host in (one, other):
            table = '[accounts.home]\nfrom = "h@example.com"\n[accounts.home.smtp]\nhost = "localhost"\ntls = "none"\n'
            host.config.write_text(host.config.read_text() + f"{table}port = {elsewhere.port}\n")
        enqueue(one, 12)
        first = one.start("drain", "--account", "work")
        wait_for(lambda: sink.open == 1)
        other.send("--account", "home")
        answer = other.run("drain", "--json")
        assert (answer.status, answer.data["sent"]) == (0, 1)
        assert answer.data["still_due"] > 0
        why = {account["account"]: account["why"] for account in answer.data["accounts"]}
        assert why == {
            "home": None,
            "work": "account work: other drains use all 1 connections that it may have at once",
        }
        assert len(elsewhere.taken) == 1
        assert first.wait(PATIENCE_SECONDS) == 0
        first.communicate()
        assert (len(sink.taken), sink.most_open) == (12, 1)


def test_a_message_that_a_person_retries_waits_for_a_connection_and_is_left_as_it_is_without_one(
    tmp_path: Path, url: str
) -> None:
    with CountingSink(delay=1.0) as sink:
        one, other = machines(tmp_path, url, sink.port, "connections = 1\nmessages_per_connection = 1", 2)
        enqueue(one, 3)
        first = one.start("drain", "--limit", "1")
        wait_for(lambda: sink.open == 1)
        assert other.run("retry", "2").status == 0
        assert first.wait(PATIENCE_SECONDS) == 0
        first.communicate()
        sink.delay = 30.0
        first = one.start("drain")
        try:
            wait_for(lambda: sink.open == 1)
            enqueue(one, 1)
            answer = other.run("retry", "4", "--json")
            tested = other.run("account", "test", "--json")
        finally:
            first.kill()
            first.communicate()
        assert (tested.status, tested.json["error"]["code"]) == (75, "provider")
        assert answer.status == 75
        assert (
            answer.json["error"]["message"] == "other drains use all 1 connections that account work may have at once"
        )
        assert other.show(4)["attempts"] == []
        assert sink.most_open == 1


@pytest.mark.parametrize(
    ("key", "recipients"), [("messages_per_day", 1), ("recipients_per_day", 2)], ids=["messages", "recipients"]
)
def test_three_drains_at_once_send_no_more_than_the_limit(tmp_path: Path, url: str, key: str, recipients: int) -> None:
    with CountingSink() as sink:
        hosts = machines(tmp_path, url, sink.port, f"{key} = 12")
        to = ["a@example.org", "b@example.org"][:recipients]
        line = f'{{"to": {str(to).replace(chr(39), chr(34))}, "subject": "s", "body_text": "b"}}'
        assert hosts[0].run("send", "--batch", "-", text="\n".join([line] * 30)).status == 0
        drains = [host.start("drain") for host in hosts]
        assert [one.wait(PATIENCE_SECONDS) for one in drains] == [0] * len(drains)
        for one in drains:
            one.communicate()
        assert sum(one.recipients for one in sink.taken) == 12
        assert hosts[0].run("stats", "--json").data["sent"] == 12 // recipients


def test_each_of_three_drains_is_one_of_many_to_a_minutes_limit(tmp_path: Path, url: str) -> None:
    """By the provider's clock: in no 58 seconds, which leaves room for whole seconds here and the way there."""
    with CountingSink() as sink:
        hosts = machines(tmp_path, url, sink.port, "messages_per_minute = 6")
        enqueue(hosts[0], 30)
        drains = [host.start("drain") for host in hosts]
        assert [one.wait(PATIENCE_SECONDS) for one in drains] == [0] * len(drains)
        for one in drains:
            one.communicate()
        times = [one.at for one in sink.taken]
        assert len(times) >= 6
        assert all(later - earlier > 58 for earlier, later in zip(times, times[6:], strict=False))
