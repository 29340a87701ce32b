"""What a person decides: hold, release, cancel, resolve, prune, and how long a message lives."""

import pytest

from ..conftest import Answer, Program
from ..support.faults import Fault
from ..support.mailhost import MailHost
from ..support.scripted import ScriptedServer
from .outside import serving


def ids(program: Program, *filters: str) -> list[int]:
    return [row["outbox_id"] for row in program.run("list", "--json", *filters).data]


@pytest.mark.on_both
def test_a_held_message_is_left_alone_until_it_is_released(program: Program, host: MailHost) -> None:
    held, other = program.send(), program.send()
    assert program.run("hold", str(held)).status == 0
    assert program.run("drain").status == 0
    assert (program.show(held)["status"], program.show(other)["status"]) == ("pending", "sent")
    assert ids(program, "--held") == [held]

    assert program.run("release", str(held)).status == 0
    assert program.run("drain").status == 0
    assert program.show(held)["status"] == "sent"


def test_everything_can_be_held_at_once_as_after_a_restored_backup(program: Program) -> None:
    wanted = [program.send() for _ in range(3)]
    answer = program.run("hold", "--all", "--json")
    assert sorted(result["outbox_id"] for result in answer.data) == wanted
    assert program.run("drain", "--json").data["attempted"] == 0
    assert program.run("release", "--all").out == "3 released\n"
    assert ids(program, "--held") == []


@pytest.mark.on_both
def test_a_cancelled_message_is_given_up_and_told_by_nobody(program: Program) -> None:
    outbox_id = program.send()
    assert program.run("cancel", str(outbox_id)).status == 0
    answer = program.run("drain")
    assert (answer.status, answer.err) == (0, "")
    row = program.show(outbox_id)
    assert (row["status"], row["gave_up"]) == ("pending", "cancelled")
    assert ids(program, "--gave-up") == [outbox_id]


def test_a_sent_message_is_refused(program: Program, host: MailHost) -> None:
    sent = str(program.send("--now"))
    for command in ("hold", "release", "cancel", "resolve --sent"):
        refused = program.run(*command.split(), sent, "--json")
        assert (refused.status, refused.json["ok"]) == (65, False), command
    assert program.show(int(sent))["status"] == "sent"


def test_one_refused_id_does_not_stop_the_others(program: Program) -> None:
    first, second = program.send(), program.send()
    answer = program.run("hold", str(first), "4711", str(second))
    assert answer.status == 66
    assert sorted(ids(program, "--held")) == [first, second]


def with_content(program: Program) -> list[int]:
    return [outbox_id for (outbox_id,) in program.execute("SELECT id / 65536 FROM content ORDER BY id")]


class TestAnUncertainMessage:
    """The server takes it and hangs up before it answers."""

    @pytest.fixture
    def uncertain(self, program: Program) -> int:
        with ScriptedServer([Fault("after_dot", "close", delivered=True)]) as server:
            program.configure(server.port, outbox='on_uncertain = "hold"')
            outbox_id = program.send("--now-ts", "1000")
            assert program.run("drain", "--now-ts", "1000").status == 75
        return outbox_id

    def test_waits_for_a_person_when_the_config_says_hold(self, program: Program, uncertain: int) -> None:
        row = program.show(uncertain)
        assert (row["uncertain"], row["held"], row["gave_up"]) == (True, True, None)
        assert ids(program, "--uncertain") == [uncertain]
        assert program.run("drain", "--now-ts", "99999", "--json").data["attempted"] == 0

    @pytest.mark.on_both
    def test_is_sent_when_a_person_says_so(self, program: Program, uncertain: int) -> None:
        assert program.run("resolve", str(uncertain), "--sent").status == 0
        row = program.show(uncertain)
        assert (row["status"], row["uncertain"], row["held"]) == ("sent", False, False)
        assert [recipient["status"] for recipient in row["recipients"]] == ["accepted"]

    def test_repeats_its_message_id_when_it_is_retried_without_a_word(self, program: Program, uncertain: int) -> None:
        with serving(program) as server:
            assert program.run("retry", str(uncertain), "--now-ts", "5000", "--force").status == 0
            assert server.received_message_ids() == [f"<outbox-{uncertain}-0@prx-email.local>"]

    def test_needs_one_word_and_not_two(self, program: Program, uncertain: int) -> None:
        assert program.run("resolve", str(uncertain)).status == 2
        assert program.run("resolve", str(uncertain), "--sent", "--not-sent").status == 2


def test_a_message_that_expires_before_a_drain_takes_it_is_given_up_unsent(program: Program, host: MailHost) -> None:
    outbox_id = program.send("--expires-in", "1h", "--now-ts", "1000")
    answer = program.run("drain", "--now-ts", "4600", "--json")
    assert (answer.status, answer.data["gave_up"], answer.data["attempted"]) == (69, 1, 0)
    assert host.messages == []
    row = program.show(outbox_id)
    assert (row["status"], row["gave_up"], row["attempts"]) == ("pending", "expired", [])


DAY = 86_400


def rehearse(program: Program, now: int) -> Answer:
    return program.run("drain", "--failure-mode", "network", "--now-ts", str(now))


class TestAMessageThatStillFails:
    def test_is_given_up_after_five_days_of_drains_and_eight_attempts(self, program: Program) -> None:
        outbox_id = program.send("--now-ts", "1000")
        assert [rehearse(program, 1000 + day * DAY).status for day in range(8)] == [75] * 7 + [69]
        row = program.show(outbox_id)
        assert (row["gave_up"], row["retries"], row["next_attempt_at"]) == ("too long undelivered", 8, None)

    def test_is_not_given_up_by_attempts_alone(self, program: Program) -> None:
        outbox_id, now = program.send("--now-ts", "1000"), 1000
        for _ in range(10):
            assert rehearse(program, now).status == 75
            now = program.show(outbox_id)["next_attempt_at"]
        assert program.show(outbox_id)["gave_up"] is None

    def test_survives_a_week_off(self, program: Program) -> None:
        outbox_id = program.send("--now-ts", "1000")
        assert rehearse(program, 1000).status == 75
        answer = rehearse(program, 1000 + 7 * DAY)
        assert answer.status == 75
        assert f"note: outbox message {outbox_id} is over 120 hours old by this clock, and not given up" in answer.err
        assert program.show(outbox_id)["gave_up"] is None

    def test_survives_a_drain_whose_clock_is_a_year_ahead(self, program: Program) -> None:
        ids = [program.send("--now-ts", "1000") for _ in range(3)]
        assert rehearse(program, 1000).status == 75
        assert rehearse(program, 1000 + 365 * DAY).status == 75
        assert [program.show(outbox_id)["gave_up"] for outbox_id in ids] == [None] * 3

    def test_ages_by_the_numbers_of_the_config(self, program: Program) -> None:
        program.configure(outbox="give_up_after_hours = 24\ngive_up_after_attempts = 2")
        program.send("--now-ts", "1000")
        assert [rehearse(program, 1000 + day * DAY).status for day in range(2)] == [75, 69]


class TestAnExpiredMessage:
    def test_is_given_up_by_the_second_drain_whose_clock_is_far_ahead_and_sent_by_none(
        self, program: Program, host: MailHost
    ) -> None:
        ahead = 1000 + 365 * DAY
        program.send("--now-ts", "1000")
        assert program.run("drain", "--now-ts", "1000").status == 0
        outbox_id = program.send("--expires-in", "2d", "--now-ts", "1000")
        first = program.run("drain", "--now-ts", str(ahead))
        assert (first.status, program.show(outbox_id)["gave_up"]) == (0, None)
        assert "note: the clock is more than a day past the last recorded time" in first.err
        second = program.run("drain", "--now-ts", str(ahead + 60))
        assert (second.status, program.show(outbox_id)["gave_up"]) == (69, "expired")
        assert len(host.messages) == 1

    def test_is_sent_when_the_clock_was_wrong_and_comes_back(self, program: Program, host: MailHost) -> None:
        outbox_id = program.send("--expires-in", "2d", "--now-ts", "1000")
        assert program.run("drain", "--now-ts", str(1000 + 365 * DAY)).status == 0
        assert host.messages == []
        assert program.run("drain", "--now-ts", "2000").status == 0
        assert len(host.messages) == 1
        assert program.show(outbox_id)["status"] == "sent"

    def test_is_counted_as_expired_when_it_was_never_attempted(self, program: Program) -> None:
        program.send("--expires-in", "1h", "--now-ts", "1000")
        assert program.run("drain", "--now-ts", "5000").status == 69
        data = program.run("stats", "--json").data
        assert (data["pending"], data["expired"], data["gave_up"], data["total"]) == (0, 1, 1, 1)


class TestACancelledMessage:
    def test_is_counted_and_shown_as_cancelled_and_as_nothing_else(self, program: Program) -> None:
        waiting, failed, cancelled = (program.send("--now-ts", "1000") for _ in range(3))
        assert program.run("retry", str(failed), "--failure-mode", "network", "--now-ts", "1000").status == 75
        assert program.run("cancel", str(failed), str(cancelled)).status == 0
        data = program.run("stats", "--json").data
        assert {name: data[name] for name in ("pending", "failed", "cancelled", "gave_up", "total")} == {
            "pending": 1, "failed": 0, "cancelled": 2, "gave_up": 2, "total": 3,
        }  # fmt: skip
        assert data["accounts"]["work"] | {"pending": 1, "failed": 0, "cancelled": 2} == data["accounts"]["work"]
        assert (ids(program, "--status", "pending"), ids(program, "--status", "failed")) == ([waiting], [])
        line = next(line for line in program.run("list").out.splitlines() if line.startswith(f"{cancelled}\t"))
        assert "cancelled" in line
        assert "pending" not in line

    def test_has_no_next_attempt(self, program: Program) -> None:
        outbox_id = program.send()
        assert program.run("cancel", str(outbox_id)).status == 0
        assert program.show(outbox_id)["next_attempt_at"] is None
        assert program.run("list", "--json").data[0]["next_attempt_at"] is None


class TestPrune:
    """Drops what is over, and nothing else."""

    def test_drops_the_content_and_keeps_the_record(self, program: Program, host: MailHost) -> None:
        old = program.send("--now", "--now-ts", "1000")
        new = program.send("--now", "--now-ts", "900000")
        waiting = program.send("--now-ts", "1000", body="secret-of-the-waiting\n")
        answer = program.run("prune", "--older-than", "1d", "--now-ts", "900000", "--json")

        assert answer.data["pruned"] == 1
        assert program.show(old)["status"] == "sent"
        assert with_content(program) == [new, waiting]

    def test_drops_the_record_too_when_asked_and_never_reuses_the_id(self, program: Program) -> None:
        outbox_id = program.send()
        program.run("cancel", str(outbox_id))
        assert program.run("prune", "--older-than", "0s", "--all").out == "1 pruned\n"
        assert program.run("show", str(outbox_id)).status == 66
        assert program.send() == outbox_id + 1

    def test_leaves_a_pruned_message_out_of_reach_of_a_retry(self, program: Program) -> None:
        outbox_id = program.send()
        program.run("cancel", str(outbox_id))
        program.run("prune", "--older-than", "0s")
        answer = program.run("retry", str(outbox_id), "--force")
        assert (answer.status, "pruned" in answer.err) == (65, True)
