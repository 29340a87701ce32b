"""``doctor`` on the outbox: the database, the times in it, what is stuck or old, and whether cron does its work."""

import os
import random
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from prx_email_cli.checks.outbox import check_outbox
from prx_email_cli.outbox.sqlite.schema import MIGRATIONS
from prx_email_cli.outbox.sqlite.surroundings import FileSurroundings

from ..cli.outside import enqueue
from ..conftest import Program
from ..support.faults import Fault
from ..support.scripted import ScriptedServer
from .healthy import HOUR, MINUTE, check_only, configure, drained, examined, marker, not_ok, unwell

pytestmark = pytest.mark.of_files

PAGE = 4096
ORPHAN = "INSERT INTO recipient (outbox_id, number, address, kind) VALUES (7, 1, 'a@x.org', 'to')"


def now() -> int:
    return int(time.time())


def edit(program: Program, statement: str) -> None:
    """Change the database behind the program's back."""
    program.execute(statement)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An outbox with some hundred messages."""
    program = Program(tmp_path_factory.mktemp("filled"))
    program.configure()
    enqueue(program, 150)
    return program.outbox.read_bytes()


class TestTheDatabase:
    def test_that_is_not_there_is_well_and_is_not_made(self, program: Program, server: ScriptedServer) -> None:
        configure(program, server.port)
        program.config.write_text(program.config.read_text().replace('"outbox.db"', '"new/place/outbox.db"'))
        told = examined(program)
        assert told["ok"] is True
        (check,) = (check for check in told["data"]["checks"] if check["group"].startswith("outbox "))
        assert (check["name"], check["detail"]) == ("database", "not there yet: the first send makes it")
        assert [file.name for file in program.home.iterdir()] == ["config.toml"]

    def test_that_is_gone_since_a_drain_is_74_and_is_not_made(self, healthy: Program) -> None:
        for file in healthy.home.glob("outbox.db*"):
            if file.is_file():
                file.unlink()
        check_only(healthy, "database", "failed", 74, "gone", "mount its disk")
        assert not healthy.outbox.exists()

    def test_that_cannot_be_made_is_74(self, healthy: Program) -> None:
        text = healthy.config.read_text()
        healthy.config.write_text(text.replace('path = "outbox.db"', 'path = "config.toml/outbox.db"'))
        check_only(healthy, "database", "failed", 74, "config.toml is not writable")

    def test_with_damaged_pages_in_its_middle_is_74(self, healthy: Program, filled: bytes) -> None:
        content = bytearray(filled)
        middle = len(content) // PAGE // 2
        content[middle * PAGE : (middle + 4) * PAGE] = os.urandom(4 * PAGE)
        healthy.outbox.write_bytes(content)
        told = examined(healthy)
        assert (told["status"], told["error"]["code"]) == (74, "storage")
        assert not_ok(told)[0] == ("database", "failed")
        assert "backup" in told["error"]["hint"]
        assert "limits" in [check["name"] for check in told["data"]["checks"]]  # the accounts are tried all the same
        assert healthy.outbox.read_bytes() == content

    def test_that_lost_its_end_is_74(self, healthy: Program, filled: bytes) -> None:
        healthy.outbox.write_bytes(filled[: -3 * PAGE])
        check_only(healthy, "database", "failed", 74, "backup")

    def test_with_an_index_that_tells_lies_is_74(self, healthy: Program, filled: bytes) -> None:
        healthy.outbox.write_bytes(filled)
        with closing(sqlite3.connect(healthy.outbox)) as connection:
            connection.execute("PRAGMA writable_schema = ON")
            connection.execute(
                "UPDATE sqlite_master SET sql = replace(sql, 'status <> ''sent''', 'status <> ''pending''')"
                " WHERE name = 'outbox_unsent'"
            )
            connection.commit()
        check_only(healthy, "database", "failed", 74, "damaged", "outbox_unsent", "backup")

    def test_with_a_time_that_is_none_is_74(self, healthy: Program, filled: bytes) -> None:
        healthy.outbox.write_bytes(filled)
        with closing(sqlite3.connect(healthy.outbox)) as connection:
            connection.execute("PRAGMA writable_schema = ON")
            lax = "UPDATE sqlite_master SET sql = replace(sql, 'STRICT', '') WHERE name = 'outbox'"
            connection.execute(lax)
            connection.commit()
        edit(healthy, "UPDATE outbox SET created_at = x'ff'")
        with closing(sqlite3.connect(healthy.outbox)) as connection:
            connection.execute("PRAGMA writable_schema = ON")
            connection.execute("UPDATE sqlite_master SET sql = sql || ' STRICT' WHERE name = 'outbox'")
            connection.commit()
        told = examined(healthy)
        assert (told["status"], not_ok(told)[0]) == (74, ("database", "failed"))
        assert "outbox.created_at" in told["error"]["message"]

    @pytest.mark.parametrize(
        ("spoil", "words"),
        [
            (lambda healthy: healthy.outbox.write_text("Dear diary, " * 1000), ("not a database", "another file")),
            (lambda healthy: edit(healthy, "PRAGMA user_version = 99"), ("schema 99", "newer prx-email")),
            (lambda healthy: edit(healthy, ORPHAN), ("a row of recipient without its message", "backup")),
        ],
        ids=["no database", "newer", "a row without its message"],
    )
    def test_that_is_not_ours_to_use_is_74(
        self, spoil: Callable[[Program], None], words: tuple[str, ...], healthy: Program
    ) -> None:
        spoil(healthy)
        check_only(healthy, "database", "failed", 74, *words)

    def test_of_another_program_is_74_and_stays_its_own(self, healthy: Program) -> None:
        healthy.outbox.unlink()
        edit(healthy, "CREATE TABLE diary (text TEXT)")
        healthy.outbox.chmod(0o600)
        content = healthy.outbox.read_bytes()
        check_only(healthy, "database", "failed", 74, "another program", "another file")
        assert healthy.outbox.read_bytes() == content

    def test_shows_its_schema_when_it_is_well(self, healthy: Program) -> None:
        (check,) = (check for check in examined(healthy)["data"]["checks"] if check["name"] == "database")
        assert check["detail"] == f"intact, schema version {len(MIGRATIONS)}"

    @pytest.mark.parametrize("seed", range(6))
    def test_damaged_anyhow_is_told_and_never_a_bug(self, seed: int, healthy: Program, filled: bytes) -> None:
        dice = random.Random(seed)
        for _ in range(20):
            damaged = bytearray(filled)
            for _ in range(dice.choice((1, 2, 5, 20))):
                damaged[dice.randrange(PAGE, len(damaged))] = dice.randrange(256)
            healthy.outbox.write_bytes(damaged)
            assert database_result(healthy) == ("ok" if sound(healthy.outbox) else "failed")

    def test_whose_schema_is_damaged_beyond_words_is_74(self, healthy: Program) -> None:
        content = healthy.outbox.read_bytes()
        healthy.outbox.write_bytes(content.replace(b"CREATE INDEX outbox_due ", b"CREATE \xff\xfeDEX outbox_due "))
        assert healthy.outbox.read_bytes() != content
        check_only(healthy, "database", "failed", 74, "backup")


def sound(file: Path) -> bool:
    """SQLite's own judgement."""
    with closing(sqlite3.connect(file)) as connection:
        try:
            faults = [text for (text,) in connection.execute("PRAGMA integrity_check")]
            return faults == ["ok"] and connection.execute("PRAGMA foreign_key_check").fetchall() == []
        except (sqlite3.DatabaseError, UnicodeDecodeError):
            return False


def database_result(program: Program) -> str:
    """What the first check comes to, as the command sees it; the others must come to anything at all."""
    around = FileSurroundings(program.outbox)
    return next(iter([*check_outbox(around, lambda: closing(program.store()), now())])).result


class TestTimesThatWereRecorded:
    @pytest.mark.parametrize("whose", ["message", "attempt"])
    def test_and_are_still_to_come_are_told(self, whose: str, healthy: Program) -> None:
        healthy.send(*(("--now-ts", str(now() + HOUR)) if whose == "message" else ()))
        if whose == "attempt":
            assert healthy.run("drain", "--now-ts", str(now() + HOUR)).status == 0
        check_only(healthy, "recorded times", "warning", 75, "ahead", "NTP")

    def test_are_forgiven_seconds_and_a_message_for_tomorrow_is_none(self, healthy: Program) -> None:
        healthy.send("--now-ts", str(now() + 30))
        healthy.send("--at", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now() + 24 * HOUR)))
        assert unwell(healthy) == []


class TestMessages:
    @pytest.mark.parametrize("failed", [False, True], ids=["due", "failed, with the next attempt to come"])
    def test_that_have_waited_for_long_are_told(self, failed: bool, healthy: Program) -> None:
        healthy.send("--now-ts", str(now() - 2 * HOUR))
        if failed:
            assert healthy.run("drain", "--failure-mode", "network").status == 75
        check_only(healthy, "messages", "warning", 75, "120 minutes", "prx-email list")

    def test_that_became_due_within_the_hour_are_well(self, healthy: Program) -> None:
        healthy.send("--now-ts", str(now() - 50 * MINUTE))
        assert unwell(healthy) == []

    def test_that_no_drain_is_to_take_are_never_old(self, healthy: Program) -> None:
        for command in ("hold", "cancel"):
            outbox_id = healthy.send("--now-ts", str(now() - 2 * HOUR))
            assert healthy.run(command, str(outbox_id)).status == 0
        assert unwell(healthy) == []

    def test_of_a_run_that_was_killed_are_told_and_those_of_one_that_lives_are_not(self, program: Program) -> None:
        with ScriptedServer([Fault("after_dot", "pause")]) as server:
            configure(program, server.port)
            drained(program)
            program.send()
            drain = program.start("drain")
            server.wait_for(lambda: server.happened, timeout=60)
            assert unwell(program) == []
            drain.kill()
            drain.communicate(timeout=60)
            check_only(program, "messages", "warning", 75, "died while sending", "prx-email drain")
            server.release()
            assert program.run("drain").status == 0
            assert unwell(program) == []
            assert program.show(1)["status"] == "sent"

    def test_that_wait_for_a_person_are_told_until_somebody_decides(self, program: Program) -> None:
        with ScriptedServer([Fault("after_dot", "close", times=1)]) as server:
            configure(program, server.port, outbox='on_uncertain = "hold"')
            outbox_id = program.send("--now-ts", str(now() - 2 * HOUR))
            assert program.run("drain").status == 75
            check_only(program, "messages", "warning", 75, "1 uncertain", "prx-email resolve ID --sent or --not-sent")
            assert program.run("resolve", str(outbox_id), "--sent").status == 0
            assert unwell(program) == []


class TestCron:
    def test_that_never_ran_is_told(self, healthy: Program) -> None:
        marker(healthy).unlink()
        check_only(healthy, "cron", "warning", 75, "no drain has ended here yet", "prx-email cron")

    @pytest.mark.parametrize("minutes", [14, 16, 60 * 24 * 30, -6 * 60])
    def test_that_ran_too_long_ago_or_in_the_future_is_told(self, minutes: int, healthy: Program) -> None:
        drained(healthy, minutes * MINUTE)
        if minutes == 14:
            assert unwell(healthy) == []
        else:
            words = ("the last drain ended", "cron's own log") if minutes > 0 else ()
            check_only(healthy, "cron", "warning", 75, *words)

    def test_is_not_taken_for_what_a_person_did(self, program: Program, server: ScriptedServer) -> None:
        configure(program, server.port)
        program.send()
        for words in (
            ("send", "--now", "--to", "a@example.org", "--subject", "s", "--body", "b"),
            ("retry", "1"),
            ("drain", "--now-ts", str(now())),
            ("drain", "--failure-mode", "network"),
            ("list",),
        ):
            program.run(*words)
            assert not marker(program).exists(), words
        assert unwell(program) == [("cron", "warning")]
        assert program.run("stats", "--json").data["last_drain_at"] is None
        assert not marker(program).exists()

    @pytest.mark.parametrize("kind", ["delivering", "empty", "in vain"])
    def test_is_believed_to_run_when_any_drain_ended(self, kind: str, program: Program, server: ScriptedServer) -> None:
        configure(program, server.port)
        if kind != "empty":
            program.send()
        if kind == "in vain":
            server.stop()
        before = now()
        assert program.run("drain").status == (75 if kind == "in vain" else 0)
        ended = program.run("stats", "--json").data["last_drain_at"]
        assert before <= ended <= now()
        if kind == "empty":
            assert unwell(program) == []
        status = marker(program).stat()
        assert status.st_mode & 0o777 == 0o600

    def test_is_shown_by_stats_as_a_time_or_as_a_dash(self, program: Program) -> None:
        lines = dict(line.split(maxsplit=1) for line in program.run("stats").out.splitlines())
        assert lines["last_drain_at"] == "-"
        drained(program, 90 * MINUTE)
        lines = dict(line.split(maxsplit=1) for line in program.run("stats").out.splitlines())
        shown = time.mktime(time.strptime(lines["last_drain_at"][:19], "%Y-%m-%d %H:%M:%S"))
        assert abs(now() - 90 * MINUTE - shown) < MINUTE
