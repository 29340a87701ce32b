"""Commands that change what a selection means: what is asked, told, refused, and left as it was."""

from __future__ import annotations

import shlex
import signal
from typing import Any

import pytest

from ..conftest import COMMAND, Answer, Program
from ..support.faults import Fault
from ..support.scripted import ScriptedServer
from ..support.terminal import Terminal
from .outside import NOW
from .test_selection import BUSY, FULL, GONE, HELD, LATER, SENT, ids, prepare, words_of


@pytest.fixture
def mixed(program: Program) -> Program:
    """One message of each kind."""
    prepare(program)
    return program


def changed(answer: Answer) -> list[int]:
    assert all(one["error"] is None for one in answer.data), answer
    return [one["outbox_id"] for one in answer.data]


def facts(program: Program, outbox_id: int) -> dict[str, Any]:
    """The row of ``show``, but for what it says in words that change with the time."""
    return {key: value for key, value in program.show(outbox_id).items() if key not in ("answer", "next", "commands")}


def actions(program: Program, outbox_id: int) -> list[str]:
    return [one["what"] for one in program.show(outbox_id)["actions"]]


@pytest.mark.parametrize(
    ("command", "found"),
    [
        ("hold --to copy-*", [BUSY, FULL]),
        ("hold --gave-up", [GONE]),
        ("hold --account work", [BUSY, FULL, LATER]),
        ("hold --all --to later", [LATER]),
        ("hold --error full", [FULL]),
        ("release --account work", [HELD]),
        ("release --to busy", []),
        ("cancel --to copy-*", [BUSY, FULL]),
        ("cancel --status failed --gave-up", [GONE]),
        ("cancel --held", [HELD]),
        ("cancel --all --limit 2", [HELD, LATER]),
        ("resolve --all --sent", []),
        ("dismiss --all", [GONE]),
        ("dismiss --error 'no such user'", [GONE]),
        ("dismiss --to busy", []),
    ],
)
def test_a_selection_means_what_the_command_can_change(mixed: Program, command: str, found: list[int]) -> None:
    before = {outbox_id: facts(mixed, outbox_id) for outbox_id in range(SENT, LATER + 1)}
    words = shlex.split(command)
    listed = mixed.run(*words, "--dry-run", "--json")
    assert [row["outbox_id"] for row in listed.data] == found
    assert "nothing was changed" in listed.err
    assert {outbox_id: facts(mixed, outbox_id) for outbox_id in before} == before

    answer = mixed.run(*words, "--json")
    assert (answer.status, changed(answer), answer.err) == (0, found, "")
    for outbox_id in before:
        assert (facts(mixed, outbox_id) != before[outbox_id]) == (outbox_id in found)
        assert len(actions(mixed, outbox_id)) == len(before[outbox_id]["actions"]) + (outbox_id in found)


def test_without_json_the_count_is_told_on_stdout_alone(mixed: Program) -> None:
    answer = mixed.run("hold", "--to", "copy-*")
    assert (answer.status, answer.out, answer.err) == (0, "2 held\n", "")
    assert mixed.run("hold", "--to", "nobody").out == "0 held\n"


def test_what_is_asked_for_by_name_and_cannot_be_changed_is_refused_by_reason(mixed: Program) -> None:
    other = mixed.send()
    mixed.execute(f"UPDATE outbox SET status = 'sent', sent_at = 1 WHERE id = {other}")
    answer = mixed.run("hold", "--status", "sent", "--status", "pending")
    assert (answer.status, answer.out) == (65, "1 held\n")
    assert f"2 refused: outbox message … is sent and cannot be held ({SENT}, {other})" in answer.err
    refused = mixed.run("cancel", "--status", "sent", "--json")
    assert [(one["outbox_id"], one["error"]["code"]) for one in refused.data] == [
        (SENT, "retry_not_allowed_for_status"), (other, "retry_not_allowed_for_status"),
    ]  # fmt: skip
    assert refused.json["error"] == refused.data[0]["error"]


class TestACause:
    def test_needs_yes_where_nobody_can_be_asked(self, mixed: Program) -> None:
        refused = mixed.run("hold", "--cause", "1")
        assert (refused.status, "--cause needs --yes" in words_of(refused)) == (2, True)
        assert ids(mixed, "--held") == [HELD]
        listed = mixed.run("hold", "--cause", "1", "--dry-run", "--json")
        assert (listed.status, len(listed.data)) == (0, 1)

    def test_is_said_in_words_before_it_is_changed(self, mixed: Program) -> None:
        causes = mixed.run("status", "--json").data["causes"]
        number = next(number for number, cause in enumerate(causes, 1) if "busy" in cause["example"])
        answer = mixed.run("hold", "--cause", str(number), "--yes")
        assert (answer.out, f"cause {number}: 1 waiting on work" in answer.err, "busy" in answer.err) == (
            "1 held\n", True, True,
        )  # fmt: skip
        assert ids(mixed, "--held") == [HELD, BUSY]


class TestOnATerminal:
    def run(self, program: Program, *words: str) -> Terminal:
        return Terminal([*COMMAND, *words], env=program.environment, cwd=program.home)

    def test_the_count_is_shown_and_yes_does_it(self, mixed: Program) -> None:
        with self.run(mixed, "hold", "--to", "copy-*") as terminal:
            terminal.expect("hold 2 messages? [y/N]: ")
            terminal.press("y\n")
            terminal.expect("2 held")
            assert terminal.end() == 0
        assert ids(mixed, "--held") == [HELD, FULL, BUSY]

    @pytest.mark.parametrize("words", ["hold --all", "release --all", "cancel --account work", "hold --cause 1"])
    def test_no_changes_nothing(self, mixed: Program, words: str) -> None:
        before = [facts(mixed, outbox_id) for outbox_id in range(SENT, LATER + 1)]
        with self.run(mixed, *words.split()) as terminal:
            terminal.expect("[y/N]: ")
            terminal.press("\n")
            terminal.expect("nothing was changed")
            assert terminal.end() == 130
        assert [facts(mixed, outbox_id) for outbox_id in range(SENT, LATER + 1)] == before

    @pytest.mark.parametrize("words", ["hold --all --yes", f"hold {BUSY}", "hold --to nobody"])
    def test_nobody_is_asked_about_ids_nothing_or_after_yes(self, mixed: Program, words: str) -> None:
        with self.run(mixed, *words.split()) as terminal:
            terminal.expect("held")
            assert terminal.end() == 0
            assert "[y/N]" not in terminal.screen


@pytest.mark.on_both
def test_what_changes_between_the_question_and_the_answer_is_not_added(mixed: Program) -> None:
    with Terminal([*COMMAND, "hold", "--account", "work"], env=mixed.environment, cwd=mixed.home) as terminal:
        terminal.expect("hold 3 messages? [y/N]: ")
        later = mixed.send()
        assert mixed.run("cancel", str(BUSY)).status == 0
        terminal.press("y\n")
        terminal.expect("3 held")
        assert terminal.end() == 0
    assert ids(mixed, "--held") == [LATER, HELD, FULL, BUSY]
    assert mixed.show(later)["held"] is False


class TestDismiss:
    @pytest.mark.on_both
    def test_a_failure_that_was_seen_wants_nobody_any_more(self, mixed: Program) -> None:
        assert mixed.run("cancel", str(BUSY), str(FULL), str(LATER)).status == 0
        before = mixed.run("check", "--json").data
        assert "1 given up" in " ".join(mixed.run("status", "--json").data["wanted"])
        assert mixed.run("dismiss", "--gave-up").out == "1 dismissed\n"
        after = mixed.run("check", "--json").data
        assert ("work: 1 message given up" in str(before), "given up" in str(after)) == (True, False)
        assert "given up" not in " ".join(mixed.run("status", "--json").data["wanted"])
        assert 'prx_email_gave_up_messages{account="work",reason="refused"} 0' in mixed.run("stats", "--prometheus").out
        assert mixed.run("stats", "--json").data["gave_up"] == 4
        assert mixed.run("dismiss", "--gave-up").out == "0 dismissed\n"

    def test_it_is_shown_as_such(self, mixed: Program) -> None:
        assert mixed.run("dismiss", str(GONE)).status == 0
        (line,) = [line for line in mixed.run("list", "--gave-up").out.splitlines() if line.startswith(f"{GONE}\t")]
        assert "dismissed" in line
        row = mixed.show(GONE)
        assert (row["gave_up"], row["dismissed_at"] is not None, actions(mixed, GONE)) == (
            "refused",
            True,
            ["dismissed"],
        )
        assert "dismissed" in mixed.run("show", str(GONE)).out

    def test_only_what_was_given_up_can_be_dismissed(self, mixed: Program) -> None:
        answer = mixed.run("dismiss", str(BUSY), str(SENT), str(GONE))
        assert (answer.status, answer.out) == (65, f"{GONE} dismissed\n")
        assert f"outbox message {BUSY} is failed and cannot be dismissed: it is not given up" in answer.err


def test_uncertain_messages_are_resolved_together(program: Program) -> None:
    with ScriptedServer([Fault("after_dot", "close", delivered=True)]) as server:
        program.configure(server.port, outbox='on_uncertain = "hold"', smtp="connections = 1")
        for number in range(3):
            program.send("--now-ts", str(NOW), to=f"u{number}@example.org")
        assert program.run("drain", "--now-ts", str(NOW)).status == 75
    found = ids(program, "--uncertain")
    assert program.run("resolve", "--uncertain", "--sent").out == f"{len(found)} resolved as sent\n"
    assert {program.show(outbox_id)["status"] for outbox_id in found} == {"sent"}


@pytest.fixture
def many(program: Program) -> int:
    """So many messages that changing them takes several transactions."""
    lines = "\n".join(f'{{"to": "u{number}@example.org", "subject": "s", "body_text": "x"}}' for number in range(6000))
    assert program.run("send", "--batch", "-", text=lines).status == 0
    return 6000


def test_others_write_while_thousands_are_changed(program: Program, many: int) -> None:
    working = program.start("cancel", "--all")
    seen = set()
    while working.poll() is None:
        program.execute("UPDATE ledger SET recorded_at = recorded_at")
        seen |= {*program.execute("SELECT count(*) FROM outbox WHERE gave_up IS NOT NULL")[0]}
    assert working.communicate()[0] == f"{many} cancelled\n"
    assert seen - {0, many}


def test_one_that_is_interrupted_says_how_many_were_changed(program: Program, many: int) -> None:
    working = program.start("hold", "--to", "u*")
    held = 0
    while not held:
        ((held,),) = program.execute("SELECT count(*) FROM outbox WHERE held_at IS NOT NULL")
    working.send_signal(signal.SIGINT)
    out, err = working.communicate(timeout=60)
    ((held,),) = program.execute("SELECT count(*) FROM outbox WHERE held_at IS NOT NULL")
    ((recorded,),) = program.execute("SELECT count(*) FROM action WHERE what = 'held'")
    assert (working.returncode, out, recorded) == (130, "", held)
    assert err == f"interrupted: {held} of {many} held\n"
    assert held < many
