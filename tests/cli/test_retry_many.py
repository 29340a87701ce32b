"""``retry`` of a selection, at once or spread, and what it tells."""

from __future__ import annotations

import pytest

from ..conftest import COMMAND, Program
from ..support.faults import Fault
from ..support.mailhost import MailHost
from ..support.terminal import Terminal
from .outside import NOW, serving
from .test_selection import BUSY, FULL, GONE, HELD, LATER, SENT, ids, prepare

TOMORROW = NOW + 86_400


@pytest.fixture
def mixed(program: Program, host: MailHost) -> Program:
    """One message of each kind, and a server that takes everything."""
    configured = program.config.read_text()
    prepare(program)
    program.config.write_text(configured)
    return program


def test_all_that_is_due_is_sent_and_what_is_refused_is_told_by_reason(mixed: Program, host: MailHost) -> None:
    answer = mixed.run("retry", "--account", "work", "--now-ts", str(NOW + 7200))
    assert (answer.status, answer.out) == (65, "3 sent\n")
    assert answer.err.startswith(f"error: 1 refused: outbox message … is held ({HELD})\nhint: ")
    assert "error: 1 refused: retry_not_due" in answer.err
    assert [mixed.show(outbox_id)["status"] for outbox_id in (GONE, BUSY, FULL, LATER)] == [*["sent"] * 3, "pending"]
    assert len(host.messages) == 3


def test_the_json_has_what_became_of_each(mixed: Program) -> None:
    answer = mixed.run("retry", "--to", "copy-*", "--json", "--now-ts", str(TOMORROW))
    assert answer.status == 0
    assert [(one["outbox_id"], one["status"], one["error"]) for one in answer.data] == [
        (GONE, "sent", None), (BUSY, "sent", None), (FULL, "sent", None),
    ]  # fmt: skip


def test_a_selection_never_takes_what_a_person_cancelled(mixed: Program, host: MailHost) -> None:
    assert mixed.run("cancel", str(BUSY)).status == 0
    assert mixed.run("retry", "--gave-up", "--now-ts", str(TOMORROW)).out == "1 sent\n"
    assert mixed.run("retry", "--all", "--force", "--now-ts", str(TOMORROW)).out == "3 sent\n"
    assert mixed.show(BUSY)["gave_up"] == "cancelled"
    assert mixed.run("retry", str(BUSY), "--now-ts", str(TOMORROW)).status == 0


def test_failures_are_told_by_reason_too(program: Program) -> None:
    refusing = [Fault("rcpt", "450 4.2.1 busy", address=f"{who}@example.org") for who in "ab"]
    with serving(program, *refusing, Fault("rcpt", "550 5.1.1 who", address="d@example.org")):
        for to in ("a@example.org", "b@example.org", "d@example.org"):
            program.send(to=to)
        answer = program.run("retry", "--to", "@example.org")
    assert (answer.status, answer.out) == (69, "0 sent\n")
    busy, unknown = [line for line in answer.err.splitlines() if line.startswith("error: ")]
    assert (busy.startswith("error: 2 failed: a@example.org: 450 4.2.1 busy"), busy[-7:]) == (True, " (1, 2)")
    assert (unknown.startswith("error: 1 failed: d@example.org: 550 5.1.1 who"), unknown[-4:]) == (True, " (3)")


def test_one_message_of_a_selection_is_told_as_a_selection(mixed: Program) -> None:
    assert mixed.run("retry", "--to", "gone@*", "--now-ts", str(TOMORROW)).out == "1 sent\n"
    assert mixed.run("retry", "--to", "nobody").out == "0 sent\n"


def test_nothing_is_tried_by_dry_run_nor_without_a_persons_word(mixed: Program, host: MailHost) -> None:
    listed = mixed.run("retry", "--all", "--force", "--dry-run", "--json")
    assert [row["outbox_id"] for row in listed.data] == [GONE, BUSY, FULL, HELD, LATER]
    assert mixed.run("retry", "--cause", "1").status == 2
    with Terminal([*COMMAND, "retry", "--gave-up"], env=mixed.environment, cwd=mixed.home) as terminal:
        terminal.expect("retry 1 message? [y/N]: ")
        terminal.press("n\n")
        assert terminal.end() == 130
    assert host.messages == []


def test_many_go_over_the_accounts_connections_and_within_its_limits(program: Program) -> None:
    with MailHost() as host:
        program.configure(host.port, smtp="connections = 3\nmessages_per_day = 25")
        lines = "\n".join(
            f'{{"to": "u{number}@example.org", "subject": "s", "body_text": "x"}}' for number in range(30)
        )
        assert program.run("send", "--batch", "-", text=lines).status == 0
        answer = program.run("retry", "--to", "u*")
        assert (answer.status, answer.out, len(host.messages)) == (75, "25 sent\n", 25)
        assert "error: 5 refused: account work has used up its limit" in answer.err
        assert 1 < host.connections <= 3


class TestSpread:
    def test_drains_send_them_one_after_the_other(self, mixed: Program, host: MailHost) -> None:
        answer = mixed.run("retry", "--to", "copy-*", "--spread", "30m", "--now-ts", str(TOMORROW))
        assert (answer.status, answer.out, answer.err) == (0, "3 spread over 30m\n", "")
        dues = [mixed.show(outbox_id)["next_attempt_at"] for outbox_id in (GONE, BUSY, FULL)]
        assert dues == [TOMORROW, TOMORROW + 600, TOMORROW + 1200]
        for drained, now in enumerate((TOMORROW, TOMORROW + 600, TOMORROW + 1200), 1):
            mixed.run("hold", str(HELD))
            mixed.run("hold", str(LATER))
            assert mixed.run("drain", "--now-ts", str(now)).status == 0
            assert len(host.messages) == drained

    def test_refuses_what_is_not_due_and_takes_ids(self, mixed: Program) -> None:
        answer = mixed.run("retry", str(SENT), str(LATER), str(BUSY), "--spread", "1h", "--json", "--now-ts", str(NOW))
        codes = [(one["outbox_id"], one["error"] and one["error"]["code"]) for one in answer.data]
        assert codes == [(SENT, "retry_not_allowed_for_status"), (LATER, "retry_not_due"), (BUSY, None)]
        assert answer.status == 65
        assert mixed.show(BUSY)["next_attempt_at"] == NOW + 2400

    @pytest.mark.parametrize("span", ["soon", "9999999w"])
    def test_wants_a_duration(self, mixed: Program, span: str) -> None:
        answer = mixed.run("retry", str(BUSY), "--spread", span)
        assert (answer.status, "--spread" in answer.err) == (65, True)

    def test_is_no_rehearsal(self, mixed: Program) -> None:
        assert mixed.run("retry", str(BUSY), "--spread", "1h", "--failure-mode", "network").status == 2


def test_an_account_that_rests_is_tried_by_a_retry_of_its_messages(program: Program, host: MailHost) -> None:
    with serving(program, Fault("ehlo", "421 4.7.0 try later")):
        for number in range(3):
            program.send(to=f"u{number}@example.org")
        assert program.run("drain").status == 75
    program.configure(host.port)
    assert ids(program, "--error", "later") != []
    assert program.run("retry", "--account", "work", "--force").out == "3 sent\n"
