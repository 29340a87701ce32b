"""``check``: one line and one of four exit statuses, as monitoring systems ask of a plugin."""

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest

from ..conftest import Answer, Program
from ..support.faults import Fault
from ..support.scripted import ScriptedServer
from .outside import NOW, add, serving

OK, WARNING, CRITICAL, UNKNOWN = range(4)
MINUTE, HOUR = 60, 3600
# The guidelines of the monitoring plugins: what is told, a bar, and label=value[unit];[warning];[critical];[least].
LINE = re.compile(r"PRX-EMAIL (OK|WARNING|CRITICAL|UNKNOWN) - ([^|]+)(?: \| ([^|]+))?\n")
FIGURE = re.compile(r"[a-z_]+=\d+(?:s)?;\d*;\d*;\d+")


def told(answer: Answer, status: int) -> str:
    """The text of a check that ended with *status*, after a look whether the line is one that plugins print."""
    assert (answer.status, answer.err) == (status, ""), answer
    found = LINE.fullmatch(answer.out)
    assert found, answer.out
    assert found[1] == ("OK", "WARNING", "CRITICAL", "UNKNOWN")[status]
    assert (found[3] is None) == (status == UNKNOWN)
    for figure in (found[3] or "").split():
        assert FIGURE.fullmatch(figure), figure
    return found[2]


def check(program: Program, *options: str, at: int = NOW) -> Answer:
    return program.call("check", "--now-ts", str(at), *options)


class TestAge:
    @pytest.mark.parametrize(
        ("age", "status"),
        [(0, OK), (15 * MINUTE, OK), (15 * MINUTE + 1, WARNING), (HOUR, WARNING), (HOUR + 1, CRITICAL)],
    )
    def test_is_ok_up_to_a_quarter_of_an_hour_and_critical_after_one(
        self, age: int, status: int, program: Program
    ) -> None:
        program.send("--now-ts", str(NOW))
        assert "work: 1 message" in told(check(program, at=NOW + age), status) or status == OK

    def test_has_the_limits_that_are_given(self, program: Program) -> None:
        program.send("--now-ts", str(NOW))
        limits = ("--warning-age", "1m", "--critical-age", "2m")
        for age, status in ((60, OK), (61, WARNING), (121, CRITICAL)):
            told(check(program, *limits, at=NOW + age), status)
        assert "oldest_undelivered_age=61s;60;120;0 waiting=1;" in check(program, *limits, at=NOW + 61).out
        told(check(program, "--critical-age", "2m", at=NOW + 121), CRITICAL)
        told(check(program, "-w", "2h", at=NOW + HOUR + 1), OK)

    def test_is_since_the_message_was_due_first_however_often_it_was_tried(self, program: Program) -> None:
        program.send("--now-ts", str(NOW))
        for later in (0, 100, 1000):
            assert program.run("drain", "--now-ts", str(NOW + later)).status == 75
        assert program.run("list", "--due", "--now-ts", str(NOW + 1001), "--json").data == []
        assert "the oldest for 16m" in told(check(program, at=NOW + 1001), WARNING)

    def test_of_one_that_is_to_leave_later_or_is_held_or_cancelled_is_none(self, program: Program) -> None:
        program.send("--now-ts", str(NOW), "--in", "1d")
        for command in ("hold", "cancel"):
            assert program.call(command, str(program.send("--now-ts", str(NOW)))).status == 0
        assert told(check(program, at=NOW + 2 * HOUR), OK) == "nothing is undelivered"

    def test_is_told_with_when_the_last_drain_ended(self, program: Program) -> None:
        program.send("--now-ts", str(NOW))
        assert "no drain has ended yet" in told(check(program, at=NOW + 2 * HOUR), CRITICAL)
        assert program.run("drain").status == 0
        assert "last drain" in told(check(program, at=NOW + 2 * HOUR), CRITICAL)


class TestWhatWantsAPerson:
    def test_is_a_warning_when_it_was_given_up(self, program: Program) -> None:
        with serving(program, Fault("rcpt", "550 5.1.1 no such user")):
            program.send()
            assert program.run("drain").status == 69
        assert told(program.run("check"), WARNING) == "work: 1 message given up"
        data = program.run("check", "--json").json
        assert (data["ok"], data["data"]["failures"], data["data"]["state"]) == (False, 1, "warning")

    @pytest.mark.on_both
    def test_is_a_warning_when_it_is_uncertain_and_held(self, program: Program) -> None:
        with serving(program, Fault("after_dot", "close")) as server:
            program.configure(server.port, outbox='on_uncertain = "hold"')
            outbox_id = program.send()
            assert program.run("drain").status == 75
            assert told(program.run("check"), WARNING) == "work: 1 message uncertain and held"
            assert program.run("resolve", str(outbox_id), "--sent").status == 0
        assert told(program.run("check"), OK) == "nothing is undelivered"


class TestAccounts:
    @pytest.fixture
    def two(self, program: Program) -> Program:
        """Late mail of the account ``late|one``, and none of work."""
        add(program, "[accounts.'late|one']\nfrom = 'a@b.org'")
        add(program, "[accounts.'late|one'.smtp]\nhost = 'localhost'\ntls = 'none'")
        program.send("--account", "late|one", "--now-ts", str(NOW))
        return program

    def test_are_named_without_the_bar_that_begins_the_figures(self, two: Program) -> None:
        assert "late/one: 1 message" in told(check(two, at=NOW + 2 * HOUR), CRITICAL)

    def test_can_be_asked_for_alone(self, two: Program) -> None:
        told(check(two, "--account", "late|one", at=NOW + 2 * HOUR), CRITICAL)
        told(check(two, "--account", "work", at=NOW + 2 * HOUR), OK)
        assert "no account 'nobody'" in told(check(two, "--account", "nobody"), UNKNOWN)


def no_config(program: Program) -> None:
    program.config.unlink()


def wrong_config(program: Program) -> None:
    program.config.write_text("accounts = 7\n")


def no_database(program: Program) -> None:
    program.outbox.write_text("Dear diary, " * 1000)


def newer(program: Program) -> None:
    with closing(sqlite3.connect(program.outbox)) as connection:
        connection.execute("PRAGMA user_version = 99")


def open_to_others(program: Program) -> None:
    program.outbox.chmod(0o644)


def gone(program: Program) -> None:
    assert program.run("drain").status == 75
    for file in program.home.glob("outbox.db*"):
        if file.is_file():
            file.unlink()


def in_a_file(program: Program) -> None:
    program.config.write_text(program.config.read_text().replace('"outbox.db"', '"config.toml/outbox.db"'))


class TestWhatKeepsItFromKnowing:
    @pytest.mark.of_files
    @pytest.mark.parametrize("spoil", [no_config, wrong_config, no_database, newer, open_to_others, gone, in_a_file])
    def test_is_unknown_and_never_critical(self, spoil: Callable[[Program], None], program: Program) -> None:
        program.send("--now-ts", "1")
        spoil(program)
        before = sorted(file.name for file in program.home.iterdir())
        told(program.run("check"), UNKNOWN)
        answer = program.run("check", "--json")
        assert (answer.status, answer.err, answer.json["ok"]) == (UNKNOWN, "", False)
        assert answer.data == {"state": "unknown"}
        assert sorted(file.name for file in program.home.iterdir()) == before

    @pytest.mark.parametrize(
        "words",
        [
            ("--bogus",), ("--warning-age", "soon"), ("--warning-age",), ("--account",), ("--now-ts", "x"),
            ("--warning-age", "2h", "--critical-age", "1h"), ("too", "much"), ("--critical-age", "15"),
        ],
    )  # fmt: skip
    def test_is_unknown_on_a_wrong_command_line(self, words: tuple[str, ...], program: Program) -> None:
        told(program.run("check", *words), UNKNOWN)
        answer = program.run("check", "--json", *words)
        assert (answer.status, answer.json["error"]["code"]) == (UNKNOWN, "validation")

    @pytest.mark.parametrize("words", [("--bogus", "check"), ("--config", "/nowhere/c.toml", "check")])
    def test_is_unknown_before_the_name_of_the_command_too(self, words: tuple[str, ...], program: Program) -> None:
        told(program.run(*words), UNKNOWN)

    @pytest.mark.of_files
    def test_is_unknown_when_another_process_holds_the_outbox(self, program: Program) -> None:
        program.configure(outbox="busy_timeout_seconds = 1")
        program.send()
        with closing(sqlite3.connect(program.outbox, isolation_level=None)) as connection:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("BEGIN EXCLUSIVE")
            assert "locked by another process" in told(program.run("check"), UNKNOWN)

    def test_is_unknown_when_the_answer_cannot_be_written(self, program: Program) -> None:
        with open("/dev/full", "w") as full:
            ending = program.start("check", stdout=full)
            ending.communicate(timeout=60)
        assert ending.returncode == UNKNOWN

    def test_changes_no_status_of_another_command(self, program: Program) -> None:
        assert program.run("list", "--bogus").status == 2
        assert program.run("send", "--bogus", "check").status == 2


@pytest.mark.of_files
def test_an_outbox_that_was_never_made_is_ok_and_is_not_made(program: Program) -> None:
    assert told(program.run("check"), OK) == "nothing is undelivered"
    assert not program.outbox.exists()


def test_no_server_is_asked(program: Program) -> None:
    with serving(program) as server:
        program.send()
        told(program.run("check"), OK)
        assert server.connections == 0


@pytest.mark.on_both
def test_json_has_the_figures(program: Program) -> None:
    program.send("--now-ts", str(NOW))
    answer = check(program, "--json", at=NOW + 2 * HOUR)
    assert answer.status == CRITICAL
    assert answer.data == {
        "state": "critical", "reasons": ["work: 1 message undelivered, the oldest for 2h 0m"], "late": True,
        "oldest_age_seconds": 2 * HOUR, "waiting": 1, "held_uncertain": 0, "failures": 0, "last_drain_at": None,
    }  # fmt: skip
    assert answer.json["error"]["code"] == "unwell"
    assert program.is_made()


def test_an_account_that_does_not_work_is_a_warning_and_a_pause_is_told_when_mail_is_late(program: Program) -> None:
    with ScriptedServer([Fault("auth", "535 5.7.8 no")], auth={"ops@example.com": "right"}) as server:
        program.configure(server.port, smtp='user = "ops@example.com"', auth='password = "right"')
        program.send("--now-ts", str(NOW))
        program.run("drain", "--now-ts", str(NOW))
    answer = check(program, at=NOW + 120)
    assert answer.status == WARNING
    assert "work: login refused for 2m" in answer.out
    program.run("pause", "--now-ts", str(NOW))
    assert "; paused: all" in check(program, at=NOW + 2 * HOUR).out
    assert check(program, "--account", "work", "--json", at=NOW + 120).status == WARNING
