"""One verdict for each attempt, and uncertainty of those recipients alone whom it concerns."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ..conftest import Program
from ..support.faults import Fault
from ..support.mailhost import MailHost
from ..support.scripted import ScriptedServer
from .outside import serving

OLD_OUTBOXES = Path(__file__).parents[1] / "outbox" / "sqlite" / "data"
A, B, C, D, E = (f"{letter}@example.org" for letter in "abcde")


def drain(program: Program, now: int) -> tuple[int, Any]:
    answer = program.run("drain", "--json", "--now-ts", str(now))
    return answer.status, answer.data


def standing(program: Program, outbox_id: int = 1) -> dict[str, tuple[str, bool]]:
    """Status and uncertainty by address."""
    recipients = program.show(outbox_id)["recipients"]
    return {recipient["address"]: (recipient["status"], recipient["uncertain"]) for recipient in recipients}


@pytest.fixture
def server(request: pytest.FixtureRequest, program: Program) -> Any:
    """The server with the class's faults, which the first attempt has met already."""
    with serving(program, *request.cls.FAULTS) as server:
        program.send("--now-ts", "1000", to=request.cls.TO)
        assert drain(program, 1000)[0] == 75
        yield server


class TestRefusedThenAccepted:
    """A is refused for good and B deferred; the next attempt reaches B, and so the message is given up for A."""

    TO = f"{A},{B}"
    FAULTS = (
        Fault("rcpt", "550 5.1.1 no such user", address=A),
        Fault("rcpt", "450 4.2.0 later", address=B, times=1),
    )

    def test_the_report_counts_it_once_as_given_up(self, program: Program, server: ScriptedServer) -> None:
        status, data = drain(program, 2000)
        assert (status, data["attempted"], data["sent"], data["failed"], data["gave_up"]) == (69, 1, 0, 1, 1)
        assert len(server.messages) == 1

    def test_row_attempt_and_log_say_the_same(self, program: Program, server: ScriptedServer) -> None:
        log = program.home / "log"
        program.configure(server.port)
        program.config.write_text(program.config.read_text() + f'[log]\nfile = "{log}"\nformat = "json"\n')
        drain(program, 2000)
        row = program.show(1)
        assert (row["status"], row["gave_up"], row["error_code"]) == ("failed", "refused", "provider")
        assert row["last_error"] == f"{A}: 550 5.1.1 no such user"
        assert [attempt["outcome"] for attempt in row["attempts"]] == ["deferred", "gave_up"]
        assert [json.loads(line)["outcome"] for line in log.read_text().splitlines()] == ["gave_up"]

    def test_cron_is_told_who_was_refused_and_why(self, program: Program, server: ScriptedServer) -> None:
        answer = program.run("drain", "--now-ts", "2000")
        assert answer.err == f"gave up outbox message 1 (hello): refused: {A}: 550 5.1.1 no such user\n"

    def test_a_retry_by_hand_ends_with_the_same_verdict(self, program: Program, server: ScriptedServer) -> None:
        answer = program.run("retry", "1", "--now-ts", "2000", "--json")
        assert (answer.status, answer.json["error"]["message"]) == (69, f"{A}: 550 5.1.1 no such user")


class TestTwoOfThree:
    """A is accepted, C refused for good, B deferred; the connection breaks off after the dot."""

    TO = f"{A},{B},{C}"
    FAULTS = (
        Fault("rcpt", "450 4.2.0 later", address=B, times=1),
        Fault("rcpt", "550 5.1.1 no such user", address=C, times=1),
        Fault("after_dot", "close", delivered=True, times=1),
    )

    def test_only_the_one_that_may_have_it_is_uncertain(self, program: Program, server: ScriptedServer) -> None:
        assert standing(program) == {A: ("pending", True), B: ("pending", False), C: ("refused", False)}
        assert program.show(1)["uncertain"] is True
        shown = program.run("show", "1").out
        assert f"to  {A}  pending  uncertain" in shown
        assert f"to  {B}  pending  450" in shown

    def test_the_word_sent_settles_that_one_and_the_other_is_still_delivered_to(
        self, program: Program, server: ScriptedServer
    ) -> None:
        assert program.run("resolve", "1", "--sent").status == 0
        assert standing(program) == {A: ("accepted", False), B: ("pending", False), C: ("refused", False)}
        row = program.show(1)
        assert (row["status"], row["uncertain"], row["gave_up"]) == ("failed", False, None)
        assert row["last_error"] == f"{B}: 450 4.2.0 later"
        assert drain(program, 5000)[0] == 69  # for C
        assert standing(program)[B] == ("accepted", False)
        assert [message.recipients for message in server.messages] == [[A], [B]]
        assert server.received_message_ids() == ["<outbox-1-0@prx-email.local>", "<outbox-1-1@prx-email.local>"]

    def test_the_word_not_sent_makes_it_certain(self, program: Program, server: ScriptedServer) -> None:
        assert program.run("resolve", "1", "--not-sent").status == 0
        assert standing(program) == {A: ("pending", False), B: ("pending", False), C: ("refused", False)}
        assert drain(program, 5000)[0] == 69
        assert server.received_message_ids() == ["<outbox-1-0@prx-email.local>", "<outbox-1-1@prx-email.local>"]

    def test_a_retry_without_a_word_repeats_the_message_id(self, program: Program, server: ScriptedServer) -> None:
        assert drain(program, 5000)[0] == 69
        assert server.received_message_ids() == ["<outbox-1-0@prx-email.local>"] * 2
        assert standing(program) == {A: ("accepted", False), B: ("accepted", False), C: ("refused", False)}
        assert program.show(1)["uncertain"] is False


def test_an_earlier_uncertainty_outlives_a_definite_failure(program: Program) -> None:
    faults = (
        Fault("after_dot", "close", delivered=True, times=1),
        Fault("rcpt", "450 4.2.0 later", address=A, times=1),
        Fault("rcpt", "450 4.2.0 later", address=B, times=1, skip=1),
    )
    with serving(program, *faults[:1]) as server:
        program.send("--now-ts", "1000", to=A)
        assert drain(program, 1000)[0] == 75
    with serving(program, *faults[1:2]) as server:
        assert drain(program, 5000)[0] == 75
        assert standing(program) == {A: ("pending", True)}
        assert drain(program, 9000)[0] == 0
        assert server.received_message_ids() == ["<outbox-1-0@prx-email.local>"]


def test_an_uncertain_recipient_that_is_refused_later_stays_findable(program: Program) -> None:
    with serving(program, Fault("after_dot", "close", times=1), Fault("rcpt", "550 5.1.1 gone", skip=1)):
        program.send("--now-ts", "1000", to=A)
        assert [drain(program, now)[0] for now in (1000, 5000)] == [75, 69]
        assert standing(program) == {A: ("refused", True)}
        assert [row["outbox_id"] for row in program.run("list", "--uncertain", "--json").data] == [1]
        assert program.run("resolve", "1", "--sent").status == 0
    assert program.show(1)["status"] == "sent"


def test_a_drain_says_nothing_of_a_message_that_reached_everybody(program: Program, host: MailHost) -> None:
    program.send(to=f"{A},{B}")
    answer = program.run("drain")
    assert (answer.status, answer.out, answer.err) == (0, "", "")


def make_old_outbox(program: Program, version: int) -> None:
    with closing(sqlite3.connect(program.outbox)) as connection:
        connection.executescript((OLD_OUTBOXES / f"version-{version}.sql").read_text())
    program.outbox.chmod(0o600)


@pytest.mark.of_files
def test_an_outbox_of_the_first_version_is_read_resolved_and_drained(program: Program, host: MailHost) -> None:
    """It has a message that is uncertain for B and certain for A, and one that waits."""
    make_old_outbox(program, 1)
    assert standing(program) == {A: ("accepted", False), B: ("pending", True)}
    assert program.run("resolve", "1", "--sent").status == 0
    assert standing(program) == {A: ("accepted", False), B: ("accepted", False)}
    assert program.run("drain").status == 0
    assert [message.recipients for message in host.messages] == [[C]]
    assert [program.show(outbox_id)["status"] for outbox_id in (1, 2)] == ["sent", "sent"]


@pytest.mark.of_files
def test_an_outbox_of_the_version_before_is_drained_and_what_a_dead_run_left_is_uncertain(
    program: Program, host: MailHost
) -> None:
    """A run that noted nothing died with 1 and 3, which a drain had claimed, and with 2, a retry for C alone."""
    make_old_outbox(program, 2)
    before = {outbox_id: program.show(outbox_id) for outbox_id in (1, 2, 3)}
    assert {row["status"] for row in before.values()} == {"sending"}
    answer = program.run("drain", "--json")
    assert (answer.status, answer.data["recovered"], answer.data["sent"]) == (0, 3, 3)
    assert standing(program, 2) == {B: ("accepted", False), C: ("refused", True)}
    assert program.show(2)["gave_up"] == "refused"
    assert program.run("retry", "2", "--force").status == 0
    assert sorted(message.recipients for message in host.messages) == [[A], [C], [D], [E]]
    sent_as = {message.recipients[0]: message.message_id for message in host.messages}
    for outbox_id, address in ((1, A), (2, C), (3, D)):
        row = program.show(outbox_id)
        died, delivered = row["attempts"][-2:]
        assert (row["status"], died["outcome"], died["uncertain"]) == ("sent", "died", True)
        assert before[outbox_id]["message_id"] == died["message_id"] == delivered["message_id"] == sent_as[address]
