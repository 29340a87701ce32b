"""``list``, ``show`` and ``stats``: what is there, told so that neither terminal nor pipe is fooled."""

import csv
import io
import json
import os
import pty
import subprocess
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from ..conftest import COMMAND, Program
from ..support.faults import Fault
from ..support.scripted import ScriptedServer
from .outside import NOW, assert_error, enqueue, rows, shell, stored

ROW = {"outbox_id", "account", "status", "retries", "next_attempt_at", "message_id", "provider_message_id",
       "last_error", "subject", "to", "size_bytes", "created_at", "sent_at", "held", "gave_up",
       "uncertain", "priority"}  # fmt: skip
RECIPIENT = {"address", "kind", "status", "code", "response"}
ATTEMPT = {"started_at", "finished_at", "run_id", "message_id", "outcome", "code", "response", "uncertain", "dialogue"}
SENT, GONE, BUSY, LOST, WAITING, OTHER = range(1, 7)
EVIL = "550 5.1.1 \x1b[31m[bold]no\x07 \u202eevil"
SHOWN = r"550 5.1.1 \x1b[31m[bold]no\x07 \u202eevil"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """An outbox with a message in every state that a drain leaves behind; these tests only look."""
    program = Program(tmp_path_factory.mktemp("looking"))
    faults = [
        Fault("rcpt", EVIL, address="gone@example.org"),
        Fault("rcpt", "451 4.2.1 busy", address="busy@example.org"),
        Fault("after_dot", "close", address="lost@example.org"),
    ]
    with ScriptedServer(faults) as server:
        program.configure(server.port, smtp="connections = 1")
        other = '[accounts.other]\nfrom = "o@example.com"\n[accounts.other.smtp]\nhost = "localhost"\ntls = "none"\n'
        program.config.write_text(f'default_account = "work"\n{program.config.read_text()}{other}')
        for name in ("sent", "gone", "busy", "lost"):
            program.send("--cc", "c@example.org", to=f"{name}@example.org", subject=f"to {name}")
        assert program.run("drain").status == 69
    program.send(
        "--in", "2h", "--now-ts", str(NOW), subject="[red]a\u202eb & 100 %", to="one@example.org,two@example.org"
    )
    program.send("--account", "other", "--now-ts", str(NOW), subject="of another account")
    return program


def ids(program: Program, *filters: str) -> list[int]:
    return [row["outbox_id"] for row in rows(program, *filters)]


class TestList:
    def test_begins_with_the_newest(self, program: Program) -> None:
        answer = program.run("list", "--json")
        assert [row["outbox_id"] for row in answer.data] == [6, 5, 4, 3, 2, 1]
        assert [row["outbox_id"] for row in program.run("list", "--json", "--limit", "2").data] == [6, 5]

    @pytest.mark.parametrize(
        ("filters", "found"),
        [
            (["--status", "sent"], [SENT]),
            (["--status", "failed"], [GONE, BUSY, LOST]),
            (["--status", "pending"], [WAITING, OTHER]),
            (["--status", "sending"], []),
            (["--account", "other"], [OTHER]),
            (["--gave-up"], [GONE]),
            (["--uncertain"], [LOST]),
            (["--held"], []),
            (["--due", "--now-ts", str(NOW + 7199)], [BUSY, LOST, OTHER]),
            (["--due", "--now-ts", str(NOW + 7200), "--account", "work"], [BUSY, LOST, WAITING]),
            (["--due", "--now-ts", "0"], []),
        ],
    )
    def test_filters(self, filters: list[str], found: list[int], program: Program) -> None:
        assert ids(program, *filters) == found

    @pytest.mark.parametrize("words", [["--status", "lost"], ["--limit", "0"], ["--limit", "x"]])
    def test_refuses_a_wrong_filter(self, words: list[str], program: Program) -> None:
        assert program.run("list", *words).status == 2

    def test_has_the_keys_of_the_contract(self, program: Program) -> None:
        told = {row["outbox_id"]: row for row in rows(program)}
        assert all(set(row) >= ROW for row in told.values())
        sent, lost, waiting = told[SENT], told[LOST], told[WAITING]
        assert (sent["status"], sent["retries"], sent["message_id"]) == ("sent", 0, "<outbox-1-0@prx-email.local>")
        assert (sent["to"], sent["held"], sent["gave_up"], sent["uncertain"]) == (
            ["sent@example.org"],
            False,
            None,
            False,
        )
        assert sent["sent_at"] >= sent["created_at"] > NOW - 10**9
        assert (lost["status"], lost["uncertain"], lost["retries"], lost["sent_at"]) == ("failed", True, 1, None)
        assert (waiting["message_id"], waiting["provider_message_id"], waiting["last_error"]) == (None, None, None)
        assert (waiting["created_at"], waiting["next_attempt_at"]) == (NOW, NOW + 7200)
        assert waiting["to"] == ["one@example.org", "two@example.org"]
        assert waiting["size_bytes"] > 0
        assert isinstance(told[GONE]["gave_up"], str)

    def test_is_separated_by_tabs_for_a_pipe(self, program: Program) -> None:
        answer = program.run("list")
        header, *lines = [line.split("\t") for line in answer.out.splitlines()]
        assert (answer.status, answer.err, len(lines)) == (0, "", 6)
        assert {len(line) for line in lines} == {len(header)}
        assert [line[0] for line in lines] == ["6", "5", "4", "3", "2", "1"]

    def test_escapes_what_is_not_for_a_terminal(self, program: Program) -> None:
        answer = program.run("list")
        assert SHOWN in answer.out
        assert r"[red]a\u202eb & 100 %" in answer.out
        assert not set(answer.out) & set("\x1b\x07\u202e")

    def test_is_a_table_on_a_terminal_and_no_less_safe(self, program: Program) -> None:
        shown = on_terminal(program, "list")
        assert "[red]a" in shown
        assert r"\x1b[31m[bold]no" in shown
        assert "\x1b[31m" not in shown
        assert not set(shown) & set("\x07\u202e")

    def test_is_content_when_its_reader_goes_away(self, program: Program) -> None:
        assert shell(program, "prx-email list | true").err == ""

    def test_of_nothing_is_nothing(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        fresh = Program(tmp_path_factory.mktemp("fresh"))
        fresh.configure()
        answer = fresh.run("list")
        assert (answer.status, answer.out, answer.err) == (0, "", "no messages\n")
        answer = fresh.run("messages", "list")
        assert (answer.status, answer.out, answer.err) == (0, "", "no messages\n")
        answer = fresh.run("list", "--json")
        assert (answer.err, answer.json) == ("", {"ok": True, "data": [], "error": None, "cut": False, "total": 0})
        assert fresh.run("list", "--jsonl").out == ""
        (header,) = fresh.run("list", "--format", "csv").out.splitlines()
        assert header.startswith("outbox_id,account,status,")


class TestShow:
    def test_has_every_recipient_and_every_attempt(self, program: Program) -> None:
        row = program.show(GONE)
        assert set(row) >= ROW | {"recipients", "attempts"}
        assert all(set(recipient) >= RECIPIENT for recipient in row["recipients"])
        told = [(r["address"], r["kind"], r["status"], r["code"]) for r in row["recipients"]]
        assert told[0] == ("gone@example.org", "to", "refused", 550)
        assert told[1][:3] == ("c@example.org", "cc", "accepted")
        (attempt,) = row["attempts"]
        assert set(attempt) >= ATTEMPT
        assert (attempt["message_id"], attempt["code"], attempt["uncertain"]) == (
            "<outbox-2-0@prx-email.local>",
            550,
            False,
        )
        assert attempt["finished_at"] >= attempt["started_at"]

    def test_has_the_dialogue_without_the_body(self, program: Program) -> None:
        dialogue = program.show(BUSY)["attempts"][0]["dialogue"]
        for said in ("MAIL FROM:<ops@example.com>", "RCPT TO:<busy@example.org>", "451 4.2.1 busy"):
            assert said in dialogue
        assert "text\n" not in dialogue
        assert program.show(LOST)["attempts"][0]["uncertain"] is True

    def test_tells_a_person_the_same(self, program: Program) -> None:
        answer = program.run("show", str(BUSY))
        assert (answer.status, answer.err) == (0, "")
        for said in ("to busy", "busy@example.org", "c@example.org", "<outbox-3-0@prx-email.local>", "451 4.2.1 busy",
                     "RCPT TO:<busy@example.org>"):  # fmt: skip
            assert said in answer.out

    def test_escapes_what_the_server_said(self, program: Program) -> None:
        for shown in (program.run("show", str(GONE)).out, on_terminal(program, "show", str(GONE))):
            assert SHOWN in shown
            assert not set(shown) & set("\x1b\x07\u202e")
        answer = program.run("show", str(GONE), "--json")
        assert not set(answer.out) & set("\x1b\x07\u202e")
        assert EVIL in answer.data["last_error"]

    def test_of_what_names_no_message_finds_nothing(self, program: Program) -> None:
        assert_error(program.run("show", "latest"), 66, "id, Message-ID or idempotency key 'latest'")


class TestStats:
    def test_counts_for_a_monitor(self, program: Program) -> None:
        data: Any = program.run("stats", "--json", "--now-ts", str(NOW + 60)).data
        expected = {
            "pending": 2,
            "sending": 0,
            "sent": 1,
            "failed": 3,
            "total": 6,
            "gave_up": 1,
            "held": 0,
            "uncertain": 1,
        }
        assert {key: data[key] for key in expected} == expected
        assert data["due"] == 3
        oldest = min(program.show(number)["created_at"] for number in (BUSY, LOST))
        assert data["oldest_due_age_seconds"] == NOW + 60 - oldest
        assert data["last_attempt_at"] == max(
            program.show(number)["attempts"][0]["finished_at"] for number in (BUSY, LOST)
        )
        assert data["accounts"]["other"]["pending"] == 1

    def test_has_a_line_for_each_figure(self, program: Program) -> None:
        answer = program.run("stats")
        assert (answer.status, answer.err) == (0, "")
        told = dict(line.split(None, 1) for line in answer.out.splitlines())
        assert (told["sent"], told["failed"], told["pending"]) == ("1", "3", "2")


class TestTable:
    """What a person sees: one line a message, within the terminal."""

    def test_is_one_line_a_message_at_80_columns(self, program: Program) -> None:
        header, *lines = at_width(80, program, "list", "--now-ts", str(NOW + 60))
        assert header.split() == ["id", "age", "status", "next", "to", "subject", "why"]
        assert [line.split()[0] for line in lines] == ["6", "5", "4", "3", "2", "1"]
        assert max(map(len, (header, *lines))) <= 80
        assert lines[1].split()[1:6] == ["1m", "pending", "in", "1h", "one@example…"]
        assert "… +1" in lines[1]
        assert lines[0].split()[1:4] == ["1m", "pending", "now"]
        words = [line[header.index("status") : header.index("next")].strip() for line in lines[2:]]
        assert words == ["uncertain", "failed", "gave up", "sent"]
        assert "550 5.1.1" in lines[4], "why, without the address that the line has already"

    @pytest.mark.parametrize("width", [60, 100, 140])
    def test_takes_no_more_than_the_terminal_has(self, width: int, program: Program) -> None:
        lines = at_width(width, program, "list")
        assert (len(lines), max(map(len, lines)) <= width) == (7, True)

    def test_shows_more_where_there_is_room(self, program: Program) -> None:
        shown = "\n".join(at_width(300, program, "list"))
        for whole in ("one@example.org +1", r"[red]a\u202eb & 100 %", "451 4.2.1 busy", "account", "other"):
            assert whole in shown
        assert "…" not in shown

    def test_tells_times_in_utc(self, program: Program) -> None:
        header, *lines = at_width(80, program, "list", "--utc", "--now-ts", str(NOW + 60), TZ="JST-9")
        assert header.split()[:4] == ["id", "created", "status", "next"]
        assert lines[1].split()[1:6] == ["03-17", "17:46Z", "pending", "03-17", "19:46Z"]
        assert max(map(len, (header, *lines))) <= 80
        piped = program.run("list", "--utc", TZ="JST-9").out.splitlines()[2]
        assert "2030-03-17 19:46:40+0000" in piped

    def test_leaves_nothing_out_when_asked_for_all(self, program: Program) -> None:
        header, *lines = at_width(80, program, "list", "--long")
        assert [word for word in header.split("  ") if word][0:2] == ["id", "account"]
        assert (len(lines), "one@example.org, two@example.org" in lines[1]) == (6, True)
        assert SHOWN in "\n".join(lines)
        assert "one@example.org, two@example.org" in program.run("list", "--long").out

    def test_counts_what_a_wide_letter_takes(self, tmp_path: Path) -> None:
        program = Program(tmp_path)
        program.configure()
        program.send(subject="秘" * 60)
        (_, line) = at_width(80, program, "list")
        assert cell_len(line) <= 80
        assert "秘…" in line

    def test_is_aligned_in_a_terminal_that_lacks_the_letters(self, tmp_path: Path) -> None:
        program = Program(tmp_path)
        program.configure()
        program.send(subject="秘" * 60)
        (_, line) = at_width(80, program, "list", PYTHONIOENCODING="latin-1")
        assert (len(line) <= 80, r"\u79d8" in line, "..." in line) == (True, True, True)

    def test_is_had_in_a_pipe_for_the_asking(self, program: Program) -> None:
        lines = program.run("list", "--format", "table", COLUMNS="80").out.splitlines()
        assert (len(lines), lines[0].split()[:2]) == (7, ["id", "age"])


class TestFormats:
    """What a program reads."""

    def test_json_tells_when_it_was_cut_and_how_many_there_are(self, program: Program) -> None:
        cut = program.run("list", "--json", "--limit", "2").json
        assert (len(cut["data"]), cut["cut"], cut["total"]) == (2, True, 6)
        cut = program.run("list", "--json", "--limit", "1", "--status", "failed").json
        assert (len(cut["data"]), cut["cut"], cut["total"]) == (1, True, 3)
        whole = program.run("list", "--json", "--limit", "6").json
        assert (len(whole["data"]), whole["cut"], whole["total"]) == (6, False, 6)

    def test_a_line_of_jsonl_is_an_object_of_json(self, program: Program) -> None:
        objects = program.run("list", "--json").data
        for words in (["--jsonl"], ["--format", "jsonl"]):
            answer = program.run("list", *words)
            assert [json.loads(line) for line in answer.out.splitlines()] == objects
        assert "of 6" in program.run("list", "--jsonl", "--limit", "2").err

    def test_csv_has_the_keys_and_values_of_json_on_one_line_each(self, program: Program) -> None:
        objects = program.run("list", "--json").data
        answer = program.run("list", "--format", "csv")
        read = list(csv.DictReader(io.StringIO(answer.out)))
        assert len(answer.out.splitlines()) == 7
        assert [list(row) for row in read] == [list(one) for one in objects]
        assert [row["outbox_id"] for row in read] == ["6", "5", "4", "3", "2", "1"]
        assert (read[1]["to"], read[1]["held"], read[1]["last_error"]) == (
            "one@example.org, two@example.org", "false", "")  # fmt: skip
        assert read[1]["subject"] == r"[red]a\u202eb & 100 %"
        assert not set(answer.out) & set("\x1b\x07\u202e")

    def test_tsv_is_had_on_a_terminal_for_the_asking(self, program: Program) -> None:
        assert at_width(80, program, "list", "--format", "tsv")[0].split("\t")[:2] == ["id", "account"]

    @pytest.mark.parametrize(
        "words", [["--jsonl", "--json"], ["--format", "csv", "--jsonl"], ["--format", "csv", "--json"],
                  ["--format", "xml"]],
    )  # fmt: skip
    def test_one_form_at_a_time(self, words: list[str], program: Program) -> None:
        assert program.run("list", *words).status == 2


def test_what_a_killed_drain_had_is_shown_as_that(tmp_path: Path) -> None:
    program = Program(tmp_path)
    with ScriptedServer([Fault("after_dot", "pause", times=1)]) as server:
        program.configure(server.port)
        program.send()
        drain = program.start("drain")
        server.wait_for(lambda: server.happened, timeout=60)
        assert (program.show(1)["status"], program.show(1)["run_died"]) == ("sending", False)
        assert " sending " in at_width(80, program, "list")[1]
        drain.kill()
        drain.communicate()
        (row,) = rows(program)
        assert (row["status"], row["run_died"], program.show(1)["run_died"]) == ("sending", True, True)
        shown = at_width(120, program, "list")[1]
        assert ("run died" in shown, "now" in shown, "the next drain settles it" in shown) == (True, True, True)
        assert program.run("list").out.splitlines()[1].split("\t")[2] == "sending (run died)"
        assert "sending (run died)" in program.run("show", "1").out
        assert rows(program, "--repeated") == []
        server.release()
        assert program.run("drain").status == 0
        (row,) = rows(program, "--repeated")
        assert (row["status"], row["run_died"], row["repeated"], row["uncertain"]) == ("sent", False, True, False)
        assert "may have arrived twice" in at_width(120, program, "list", "--repeated")[1]
        assert len(server.messages) >= 1


def test_looking_changes_nothing(program: Program) -> None:
    before = stored(program)
    for words in (["list"], ["show", "2"], ["stats"]):
        assert program.run(*words).status == 0
    assert stored(program) == before


def test_a_list_that_is_cut_says_so_on_stderr(tmp_path_factory: pytest.TempPathFactory) -> None:
    fresh = Program(tmp_path_factory.mktemp("many"))
    fresh.configure()
    enqueue(fresh, 60)
    answer = fresh.run("list", "--limit", "10")
    assert (len(answer.out.splitlines()), "--limit" in answer.err) == (11, True)


def at_width(width: int, program: Program, *arguments: str, **environment: str) -> list[str]:
    """The lines of ``prx-email ARGUMENTS`` on a terminal of this width."""
    shown = on_terminal(program, *arguments, COLUMNS=str(width), **environment)
    return shown.replace("\r\n", "\n").splitlines()


def on_terminal(program: Program, *arguments: str, **more: str) -> str:
    """What ``prx-email ARGUMENTS`` writes to a wide terminal."""
    controller, terminal = pty.openpty()
    environment = {
        **program.environment,
        "TERM": "xterm-256color",
        "COLUMNS": "300",
        "LANG": "C.UTF-8",
        "NO_COLOR": "1",
        **more,
    }
    process = subprocess.Popen([*COMMAND, *arguments], env=environment, cwd=program.home, stdin=subprocess.DEVNULL,
                               stdout=terminal, stderr=subprocess.STDOUT)  # fmt: skip
    os.close(terminal)
    shown = b""
    try:
        while chunk := os.read(controller, 65536):
            shown += chunk
    except OSError:  # EIO: Linux's way to say that nobody holds the other end any more
        pass
    finally:
        os.close(controller)
        assert process.wait(timeout=60) == 0
    return shown.decode()
