"""``retry``: by hand, when it is due, and never what is sent or being sent."""

from typing import Any

import pytest

from ..conftest import Answer, Program
from ..support.faults import Fault
from ..support.mailhost import MailHost
from .outside import NOW, SEND_RESULT, assert_error, enqueue, serving, stored

DELAYS = [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 5120, 5120]


def retry(program: Program, *ids_and_options: str, now: int = NOW, fail: str | None = None) -> Answer:
    mode = ["--failure-mode", fail] if fail else []
    return program.run("retry", *ids_and_options, "--now-ts", str(now), *mode)


def fail_once(program: Program, now: int = NOW) -> int:
    """A message that was attempted at *now*, failed, and is deferred by ten seconds; its id."""
    message = ("--to", "a@example.org", "--subject", "s", "--body", "x")
    answer = program.run("send", *message, "--now", "--now-ts", str(now), "--failure-mode", "network")
    assert answer.status == 75, answer
    return int(answer.out)


@pytest.mark.parametrize("mode", ["network", "provider"])
def test_the_first_twelve_failures_give_the_delays_of_the_contract(mode: str, program: Program) -> None:
    text = {"network": "simulated network timeout", "provider": "simulated provider rejection"}[mode]
    program.send("--now-ts", str(NOW))
    now = NOW
    for number, delay in enumerate(DELAYS, 1):
        answer = retry(program, "1", "--json", now=now, fail=mode)
        assert (answer.status, answer.json["ok"], answer.json["error"]["code"]) == (75, False, mode)
        assert text in answer.json["error"]["message"]
        result: Any = answer.data
        assert set(result) >= SEND_RESULT
        assert (result["status"], result["retries"], result["next_attempt_at"] - now) == ("failed", number, delay)
        assert result["message_id"] == f"<outbox-1-{number - 1}@prx-email.local>"
        now += delay
        if number in (1, 2, 12):
            assert_error(
                retry(program, "1", "--json", now=now - 1, fail=mode), 75, "retry_not_due", code="retry_not_due"
            )
    attempts = program.show(1)["attempts"]
    assert len(attempts) == 12
    assert len({attempt["message_id"] for attempt in attempts}) == 12


class TestOneSecondEarly:
    def test_it_is_refused_and_changes_nothing(self, program: Program, host: MailHost) -> None:
        fail_once(program)
        before = stored(program)
        assert_error(retry(program, "1", now=NOW + 9), 75, "retry_not_due")
        assert host.connections == 0
        assert stored(program) == before

    def test_force_attempts_all_the_same(self, program: Program, host: MailHost) -> None:
        fail_once(program)
        assert retry(program, "1", "--force", now=NOW + 9).status == 0
        assert host.received_message_ids() == ["<outbox-1-1@prx-email.local>"]

    def test_a_message_for_later_is_not_due_either(self, program: Program) -> None:
        program.send("--in", "2h", "--now-ts", str(NOW))
        assert_error(retry(program, "1", "--json", now=NOW + 7199), 75, "retry_not_due", code="retry_not_due")


@pytest.mark.on_both
def test_at_its_time_it_is_delivered(program: Program, host: MailHost) -> None:
    fail_once(program)
    answer = retry(program, "1", "--json", now=NOW + 10)
    assert host.received_message_ids() == ["<outbox-1-1@prx-email.local>"]
    assert (answer.status, answer.json["ok"], answer.json["error"]) == (0, True, None)
    assert (answer.data["status"], answer.data["retries"]) == ("sent", 1)
    assert "queued as 1" in answer.data["provider_message_id"]


@pytest.mark.parametrize("words", [[], ["first"]])
def test_what_is_no_id_is_a_wrong_command_line(words: list[str], program: Program) -> None:
    assert retry(program, *words).status == 2


class TestAMessageThatIsSent:
    @pytest.mark.parametrize("options", [(), ("--force",)])
    def test_is_never_sent_again(self, options: tuple[str, ...], program: Program, host: MailHost) -> None:
        program.send("--now", "--now-ts", str(NOW))
        before = stored(program)
        for now in (0, NOW + 100):  # its status is told first, due or not
            answer = retry(program, "1", "--json", *options, now=now)
            assert_error(answer, 65, "sent", code="retry_not_allowed_for_status")
        assert len(host.messages) == 1
        assert stored(program) == before


def test_a_message_that_is_being_sent_is_left_to_its_run(program: Program) -> None:
    with serving(program, Fault("after_dot", "pause")) as server:
        program.send()
        drain = program.start("drain")
        server.wait_for(lambda: server.happened)
        answer = program.run("retry", "1", "--force", "--json")
        assert_error(answer, 65, "sending", code="retry_not_allowed_for_status")
        server.release()
        assert (drain.communicate(timeout=60), drain.returncode) == (("", ""), 0)
        assert len(server.messages) == 1
    assert program.show(1)["status"] == "sent"


class TestAHeldMessage:
    def test_is_refused_even_when_it_is_not_due_either(self, program: Program) -> None:
        program.send("--in", "2h", "--now-ts", str(NOW))
        assert program.run("hold", "1").status == 0
        before = stored(program)
        for now in (NOW, NOW + 7200):
            answer = retry(program, "1", "--json", now=now)
            assert_error(answer, 65, "outbox message 1 is held", code="retry_not_allowed_for_status")
            assert "--force" in answer.json["error"]["hint"]
        assert stored(program) == before

    @pytest.mark.on_both
    def test_is_tried_by_force(self, program: Program, host: MailHost) -> None:
        program.send()
        assert program.run("hold", "1").status == 0
        assert program.run("retry", "1", "--force").status == 0
        assert len(host.messages) == 1


class TestAUsedUpLimit:
    @pytest.mark.parametrize("key", ["messages_per_day", "messages_per_minute"])
    @pytest.mark.parametrize("options", [(), ("--force",)])
    def test_is_passed_by_no_retry(self, key: str, options: tuple[str, ...], program: Program) -> None:
        with MailHost() as host:
            program.configure(host.port, smtp=f"{key} = 1")
            enqueue(program, 2)
            assert program.run("drain").status == 0
            waiting = next(row["outbox_id"] for row in program.run("list", "--json").data if row["status"] != "sent")
            before, connections = stored(program), host.connections
            answer = program.run("retry", str(waiting), *options, "--json")
            assert (answer.status, answer.json["ok"]) == (75, False)
            assert "account work has used up its limit: 1 messages" in answer.json["error"]["message"]
            assert (len(host.messages), host.connections) == (1, connections)
        assert stored(program) == before

    def test_stops_a_send_now_that_stays_stored(self, program: Program) -> None:
        with MailHost() as host:
            program.configure(host.port, smtp="messages_per_day = 1")
            assert program.send("--now") == 1
            answer = program.run("send", "--to", "a@example.org", "--subject", "s", "--body", "x", "--now")
            assert (answer.status, answer.out, len(host.messages)) == (75, "2\n", 1)
        assert program.show(2)["status"] == "pending"


class TestSeveralIds:
    def test_are_attempted_each(self, program: Program, host: MailHost) -> None:
        enqueue(program, 3)
        answer = program.run("retry", "1", "3", "--json")
        assert host.received_message_ids() == [f"<outbox-{number}-0@prx-email.local>" for number in (1, 3)]
        assert (answer.status, [result["outbox_id"] for result in answer.data]) == (0, [1, 3])
        assert program.show(2)["status"] == "pending"

    def test_go_on_after_one_that_is_refused(self, program: Program, host: MailHost) -> None:
        enqueue(program, 2)
        answer = program.run("retry", "1", "42", "2")
        assert len(host.messages) == 2
        assert answer.status == 66
        assert "outbox record not found" in answer.err

    def test_named_twice_are_sent_once(self, program: Program, host: MailHost) -> None:
        enqueue(program, 1)
        assert program.run("retry", "1", "1").status == 65
        assert len(host.messages) == 1


class TestAGivenUpMessage:
    def test_is_left_alone_by_drains_and_taken_by_hand(self, program: Program) -> None:
        with serving(program, Fault("rcpt", "550 5.1.1 no such user", times=1)) as server:
            program.send()
            assert program.run("drain").status == 69
            assert program.show(1)["gave_up"]
            later = ["--now-ts", str(program.show(1)["created_at"] + 10_000)]
            assert program.run("drain", *later).status == 0
            assert server.messages == []
            assert program.run("retry", "1", *later).status == 0
            assert server.received_message_ids() == ["<outbox-1-1@prx-email.local>"]
        row = program.show(1)
        assert (row["status"], row["gave_up"], row["recipients"][0]["status"]) == ("sent", None, "accepted")

    def test_by_age_is_taken_by_hand_too(self, program: Program) -> None:
        program.configure(outbox="give_up_after_hours = 1\ngive_up_after_attempts = 2")
        fail_once(program)
        for now, status in ((NOW + 10, 75), (NOW + 10 + 3600, 69)):
            assert program.run("drain", "--now-ts", str(now), "--failure-mode", "network").status == status
        assert program.show(1)["gave_up"]
        with MailHost() as host:
            program.configure(host.port)
            assert retry(program, "1", now=NOW + 20_000).status == 0
            assert len(host.messages) == 1


def test_a_message_refused_for_good_is_69(program: Program) -> None:
    with serving(program, Fault("mail", "550 5.7.1 not you")):
        program.send()
        answer = program.run("retry", "1", "--json")
    assert (answer.status, answer.json["error"]["code"], answer.data["status"]) == (69, "provider", "failed")
