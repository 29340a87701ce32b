"""Options that select messages: the same in every command, and never together with ids."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from ..conftest import Answer, Program
from ..support.faults import Fault
from ..support.scripted import ScriptedServer
from .outside import NOW

SENT, GONE, BUSY, FULL, HELD, LATER = range(1, 7)


@pytest.fixture(scope="module")
def looked_at(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """An outbox with a message of each kind; these tests only look."""
    program = Program(tmp_path_factory.mktemp("selecting"))
    prepare(program)
    return program


def prepare(program: Program) -> None:
    faults = [
        Fault("rcpt", "550 5.1.1 no such user", address="gone@example.org"),
        Fault("rcpt", "451 4.2.1 busy", address="busy@example.org"),
        Fault("rcpt", "452 4.2.2 full <id 12345678>", address="full@example.org"),
    ]
    with ScriptedServer(faults) as server:
        program.configure(server.port, smtp="connections = 1")
        for name in ("sent", "gone", "busy", "full"):
            program.send("--cc", f"copy-{name}@example.org", to=f"{name}@example.org", subject=f"Invoice {name}")
        assert program.run("drain").status == 69
    program.configure()
    program.send("--now-ts", str(NOW), subject="Grüße", to="one@example.org,two@example.net")
    program.send("--in", "2h", "--now-ts", str(NOW + 7200), to="later@example.org")
    assert program.call("hold", str(HELD)).status == 0


def ids(program: Program, *options: str) -> list[int]:
    answer = program.call("list", "--json", *options)
    assert answer.status == 0, answer
    return [row["outbox_id"] for row in answer.data]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ("--to gone@example.org", [GONE]), ("--to GONE", [GONE]), ("--to copy-*", [FULL, BUSY, GONE, SENT]),
        ("--to *@example.net", [HELD]), ("--to two@example.ne", [HELD]), ("--to ?ne@example.*", [HELD]),
        ("--to two", [HELD]), ("--to nobody", []), ("--from ops@*", [LATER, HELD, FULL, BUSY, GONE, SENT]),
        ("--subject invoice", [FULL, BUSY, GONE, SENT]), ("--subject GRÜSSE", [HELD]), ("--subject *gone", [GONE]),
        ("--error *4.2.?*", [FULL, BUSY]), ("--error 4.2.?", []), ("--error *no*user*", [GONE]), ("--cause 1", [GONE]),
        ("--until 2001-01-01", []), ("--held --to one", [HELD]), ("--gave-up --subject invoice", [GONE]),
        ("--all --limit 2", [LATER, HELD]),
        ("--status sent --status failed --to copy-?u*", [FULL, BUSY]),
    ],
)  # fmt: skip
def test_list_shows_what_all_options_agree_on(looked_at: Program, options: str, found: list[int]) -> None:
    assert ids(looked_at, *options.split()) == found


def test_a_domain_beyond_ascii_is_found_as_people_write_it(program: Program) -> None:
    program.send(to="info@bücher.example")
    program.send(to="info@b.example")
    for pattern in ("info@bücher.example", "*@Bücher.*", "*@bücher.example", "@bücher"):
        assert ids(program, "--to", pattern) == [1], pattern
    assert ids(program, "--to", "*@bü*") == []


def test_when_a_message_was_stored_is_a_time_or_how_long_ago(looked_at: Program) -> None:
    then = datetime.fromtimestamp(NOW, UTC).isoformat()
    assert ids(looked_at, "--since", then, "--until", then) == [HELD]
    assert ids(looked_at, "--until", then) == [HELD, FULL, BUSY, GONE, SENT]
    assert ids(looked_at, "--since", "1h", "--until", "1h", "--now-ts", str(NOW + 3600)) == [HELD]
    assert ids(looked_at, "--since", "2h", "--until", "1s", "--now-ts", str(NOW + 7201)) == [LATER]
    refused = looked_at.run("list", "--since", "yesterday")
    assert (refused.status, "--since" in refused.err) == (65, True)


def test_a_cause_is_told_by_the_number_that_status_shows(looked_at: Program) -> None:
    causes = looked_at.run("status", "--json").data["causes"]
    for number, cause in enumerate(causes, 1):
        answer = looked_at.run("list", "--json", "--cause", str(number))
        assert [row["outbox_id"] for row in answer.data] == [cause["outbox_id"]]
        assert f"cause {number}: 1 " in answer.err
        assert cause["example"] in answer.err
    beyond = looked_at.run("list", "--cause", str(len(causes) + 1))
    assert (beyond.status, "prx-email status" in beyond.err) == (66, True)


class TestExport:
    def test_takes_what_list_shows_the_oldest_first(self, looked_at: Program, tmp_path: Path) -> None:
        answer = looked_at.run("export", "--json", "--to", "copy-*")
        assert [one["outbox_id"] for one in answer.data] == [SENT, GONE, BUSY, FULL]
        mbox = looked_at.run("export", "--error", "*4.2.*").out
        assert mbox.index("Invoice busy") < mbox.index("Invoice full")
        assert "Subject: Invoice gone" in looked_at.run("export", "--gave-up").out

    def test_says_that_there_are_none(self, looked_at: Program) -> None:
        answer = looked_at.run("export", "--to", "nobody")
        assert (answer.status, answer.out, answer.err) == (0, "", "no messages\n")

    def test_leaves_out_of_a_selection_what_has_no_content_any_more(self, program: Program) -> None:
        prepare(program)
        assert program.run("prune", "--older-than", "0s", "--now-ts", str(NOW)).status == 0
        answer = program.run("export", "--json", "--to", "copy-*")
        assert [one["outbox_id"] for one in answer.data] == [BUSY, FULL]
        assert "2 left out" in answer.err
        assert program.run("export", str(SENT)).status == 66


TAKE_BOTH = ["export", "hold", "release", "cancel", "resolve --sent", "dismiss", "retry"]


@pytest.mark.parametrize("command", TAKE_BOTH)
class TestEveryCommand:
    def test_takes_ids_or_a_selection_and_not_both(self, looked_at: Program, command: str) -> None:
        answer = looked_at.run(*command.split(), "1", "--gave-up")
        assert (answer.status, "ids or --gave-up, not both" in words_of(answer)) == (2, True)

    @pytest.mark.parametrize("options", [[], ["--limit", "3"]])
    def test_wants_one_of_them(self, looked_at: Program, command: str, options: list[str]) -> None:
        answer = looked_at.run(*command.split(), *options)
        assert (answer.status, "give ids, or select messages: --all" in words_of(answer)) == (2, True)

    @pytest.mark.parametrize("option", ["--to", "--subject", "--error", "--since"])
    @pytest.mark.parametrize("value", ["", " "])
    def test_takes_no_empty_pattern_for_every_message(
        self, looked_at: Program, command: str, option: str, value: str
    ) -> None:
        answer = looked_at.run(*command.split(), option, value)
        assert (answer.status, "is empty: the script's variable may be unset" in words_of(answer)) == (2, True)

    def test_tells_an_unknown_account(self, looked_at: Program, command: str) -> None:
        answer = looked_at.run(*command.split(), "--account", "nobody")
        assert (answer.status, "nobody" in answer.err) == (78, True)


def words_of(answer: Answer) -> str:
    """What an error in a frame says, in one line."""
    return " ".join(answer.err.replace("│", " ").split())
