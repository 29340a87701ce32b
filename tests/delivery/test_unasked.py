"""What a server says unasked between two messages costs neither of them anything."""

from __future__ import annotations

import threading

import pytest

from prx_email_cli.delivery.report import DrainReport
from prx_email_cli.delivery.run import DeliveringRun, DrainOptions, Environment
from prx_email_cli.outbox.messages import Finished

from ..conftest import Program
from ..faults.campaign import Outbox
from ..faults.stores import DOMAIN
from ..support.memory_store import MemoryStore
from ..support.step_server import PATIENCE_SECONDS, StepServer, Talk


class Between:
    """What a server says between two messages, or before it is left: said when the drain has recorded the first one."""

    def __init__(self, *words: str) -> None:
        self._words = words
        self._wanted, self._said = threading.Event(), threading.Event()

    def speak(self, talk: Talk) -> None:
        """Take one message, and speak when it is recorded."""
        talk.open()
        talk.take("250 2.0.0 kept")
        assert self._wanted.wait(PATIENCE_SECONDS)
        if self._words:
            talk.say(*self._words)
        else:
            talk.hang_up()
        talk.wait_until_arrived()
        self._said.set()

    def recorded(self, _: Finished) -> None:
        """The drain has recorded a message, and goes on once the server has spoken."""
        self._wanted.set()
        assert self._said.wait(PATIENCE_SECONDS)


def take_all(talk: Talk) -> None:
    """A server with which nothing is wrong."""
    talk.open()
    while True:
        talk.take("250 2.0.0 kept")


def drained(outbox: Outbox, between: Between) -> DrainReport:
    """One drain over one connection at a time, which begins no message before the result of the last is recorded."""
    settings = outbox.settings.replace(outbox=outbox.settings.outbox.replace(claim_ahead=0))
    with outbox.store.start_run(outbox.now) as run:
        around = Environment(lambda: outbox.now, on_finished=between.recorded)
        delivering = DeliveringRun(outbox.store, settings, run, around)
        return delivering.drain(DrainOptions(connections=1))


@pytest.mark.parametrize(
    "words",
    [("421 4.4.2 idle too long",), ("250 ok",), ("550 5.7.1 no",), ("what?",), ("2",), ()],
    ids=["421", "250", "550", "nonsense", "half a code", "closed"],
)
class TestWhatComesBetweenTwoMessages:
    def test_costs_the_next_message_nothing_but_another_connection(self, words: tuple[str, ...]) -> None:
        between = Between(*words)
        with StepServer(between.speak, take_all) as server:
            outbox = Outbox(MemoryStore(DOMAIN), server.port)
            ids = [outbox.add(name, "a@example.org") for name in ("first", "second", "third")]
            report = drained(outbox, between)
            rows = [outbox.store.row(outbox_id) for outbox_id in ids]
        assert [(row.status, row.retries, len(row.attempts)) for row in rows] == [("sent", 0, 1)] * 3
        assert (report.attempted, report.sent, report.failed) == (3, 3, 0)
        assert len(server.heard) == 2
        assert sum(line.startswith(b"MAIL") for line in server.heard[0]) == 1

    def test_before_the_farewell_is_told_unless_it_is_421(self, words: tuple[str, ...]) -> None:
        between = Between(*words)
        with StepServer(between.speak, take_all) as server:
            outbox = Outbox(MemoryStore(DOMAIN), server.port)
            outbox_id = outbox.add("only", "a@example.org")
            report = drained(outbox, between)
            assert outbox.store.row(outbox_id).status == "sent"
        after = f"account work, after message {outbox_id}: the server spoke before it was asked:"
        silent = not words or words[0].startswith("421")
        assert report.warnings == ([] if silent else [f"{after} {words[0]!r}"])
        assert not any(line.upper().startswith(b"QUIT") for line in server.heard[0])


@pytest.mark.parametrize(
    ("words", "scope"), [("421 4.3.2 busy", "account"), ("250 ok", "message"), ("what?", "message")]
)
def test_a_server_that_always_speaks_before_mail_is_charged_with_the_second_connection(words: str, scope: str) -> None:
    with StepServer(lambda talk: talk.open(words)) as server:
        outbox = Outbox(MemoryStore(DOMAIN), server.port)
        ids = [outbox.add(name, "a@example.org") for name in ("first", "second")]
        report = outbox.drain()
        rows = [outbox.store.row(outbox_id) for outbox_id in ids]
    assert [row.retries for row in rows] == ([1, 0] if scope == "account" else [1, 1])
    assert all(not row.uncertain and row.gave_up is None for row in rows)
    assert len(server.heard) == 2 * report.attempted
    assert not any(line.startswith(b"MAIL") for lines in server.heard for line in lines)


def test_when_no_other_connection_can_be_had_that_is_the_message_s_failure() -> None:
    def refuse(talk: Talk) -> None:
        talk.say("554 5.3.2 not today")

    with StepServer(lambda talk: talk.open("421 bye"), refuse) as server:
        outbox = Outbox(MemoryStore(DOMAIN), server.port)
        ids = [outbox.add(name, "a@example.org") for name in ("first", "second")]
        outbox.drain()
        first, second = (outbox.store.row(outbox_id) for outbox_id in ids)
    assert (first.status, first.retries, second.status, second.retries) == ("failed", 1, "pending", 0)
    assert "554 5.3.2 not today" in str(first.last_error)


def test_a_message_sent_now_goes_over_another_connection_as_well(program: Program) -> None:
    with StepServer(lambda talk: talk.open("250 ok"), take_all) as server:
        program.configure(server.port)
        row = program.show(program.send("--now"))
    assert (row["status"], row["retries"], len(server.heard)) == ("sent", 0, 2)
