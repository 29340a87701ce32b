"""Talk stops no work, and an answer that cannot be written takes nothing back."""

import errno
import json
import os
import pty
import stat
import subprocess
import sys

import pytest

from ..conftest import COMMAND, Answer, Program
from ..support.mailhost import MailHost
from ..support.scripted import ScriptedServer
from .outside import REFUSED, add, enqueue, hook, rows, shell, statuses

SEND = "prx-email send --to a@example.org --subject s --body b"
TALK_LOST = ["2>/dev/full", "2>&-", "2>&1 | true", "2>&1 | head -1 >/dev/null", ">&- 2>&-", "<&- >&- 2>&-"]
LESS_PATIENT = """
from prx_email_cli.cli import main, outlet
outlet.PATIENCE_SECONDS = 0.5
main.main()
"""
DATA_LOST = [">&-", ">/dev/full", "| true"]


def status_of(program: Program, command: str) -> Answer:
    """*command*, with its redirections, run by a shell; the status is prx-email's wherever its output goes."""
    run = 'run() { prx-email "$@"; echo $? >"$HOME/status"; }\n'
    answer = shell(program, run + command.replace("prx-email", "run", 1))
    return Answer(int((program.home / "status").read_text()), answer.out, answer.err)


def full_pipe() -> tuple[int, int]:
    """A pipe that holds all it can, and that nobody reads."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writer, True)
    return reader, writer


class TestADrain:
    @pytest.mark.parametrize("where", TALK_LOST)
    def test_delivers_everything_whoever_listens(self, program: Program, host: MailHost, where: str) -> None:
        for how in ("-v", "--json -v"):
            enqueue(program, 12)
            assert status_of(program, f"prx-email drain {how} {where}").status == 0
        assert statuses(program) == ["sent"] * 24
        assert len(host.messages) == 24

    @pytest.mark.parametrize(
        ("how", "where"),
        [*(("", where) for where in [*TALK_LOST, ">/dev/full"]), ("--quiet", TALK_LOST[0]), ("--json", TALK_LOST[-1])],
    )
    def test_runs_the_notify_command_and_ends_as_ever_whoever_listens(
        self, program: Program, refusing: ScriptedServer, where: str, how: str
    ) -> None:
        told = hook(program, "cat >/dev/null; echo noise >&2; echo x >>told")
        for _ in range(3):
            program.send(to=REFUSED)
        assert status_of(program, f"prx-email drain {how} {where}").status == 69
        assert told.read_text() == "x\n" * 3
        assert program.run("drain").err == ""

    def test_does_not_wait_for_a_reader_that_reads_nothing(self, program: Program, refusing: ScriptedServer) -> None:
        told = hook(program, "cat >/dev/null; echo noise >&2; echo x >>told")
        enqueue(program, 3)
        program.send(to=REFUSED)
        reader, writer = full_pipe()
        try:
            drain = subprocess.run(
                [sys.executable, "-W", "error", "-c", LESS_PATIENT, "drain", "-v", "--json"], env=program.environment,
                cwd=program.home, stdin=subprocess.DEVNULL, stdout=writer, stderr=writer, check=False, timeout=60,
            )  # fmt: skip
            assert drain.returncode == 69
        finally:
            os.close(reader)
            os.close(writer)
        assert statuses(program) == ["sent"] * 3 + ["failed"]
        assert told.read_text() == "x\n"

    def test_does_not_wait_for_a_terminal_that_is_stopped_or_has_gone(self, program: Program, host: MailHost) -> None:
        for gone in (False, True):
            enqueue(program, 3)
            keys, terminal = pty.openpty()
            drain = program.start("drain", "-v", stdin=terminal, stdout=terminal, stderr=terminal)
            os.close(terminal)
            if gone:
                os.close(keys)
            assert drain.wait(timeout=60) == 0
            if not gone:
                os.close(keys)
        assert statuses(program) == ["sent"] * 6

    def test_says_on_a_free_stdout_or_in_the_log_once_what_stderr_did_not_take(
        self, program: Program, host: MailHost
    ) -> None:
        enqueue(program, 3)
        answer = status_of(program, "prx-email drain -v 2>/dev/full")
        assert (answer.status, answer.out.count("3 lines could not be written"), answer.out.count("\n")) == (
            0,
            1,
            1,
        )
        assert os.strerror(errno.ENOSPC) in answer.out

        add(program, '[log]\nfile = "attempts.log"\nformat = "json"')
        enqueue(program, 3)
        status_of(program, "prx-email drain -v >/dev/full 2>&1")
        entries = [json.loads(line) for line in (program.home / "attempts.log").read_text().splitlines()]
        assert len([entry for entry in entries if "3 lines" in entry.get("warning", "")]) == 1
        assert len(entries) == 4

    def test_says_on_stderr_that_its_json_could_not_be_written(self, program: Program, host: MailHost) -> None:
        enqueue(program, 1)
        answer = shell(program, "prx-email drain --json >/dev/full")
        assert (answer.status, answer.err.count("stdout cannot be written")) == (0, 1)

    def test_keeps_what_a_slow_reader_takes_late(self, program: Program, host: MailHost) -> None:
        enqueue(program, 300)
        lines = shell(program, "prx-email drain -v 2>&1 | { sleep 1; cat; } | wc -l").out
        assert int(lines) == 300

    @pytest.mark.parametrize("command", ["send --to nobody@example.org --subject s --body b --now", "retry 1"])
    def test_is_not_the_only_one(self, program: Program, refusing: ScriptedServer, command: str) -> None:
        told = hook(program, "cat >/dev/null; echo x >>told")
        if "retry" in command:
            program.send(to=REFUSED)
        assert status_of(program, f"prx-email {command} >&- 2>&-").status == 69
        assert told.read_text() == "x\n"


class TestTheLogFile:
    @pytest.mark.parametrize("kind", ["fifo", "/dev/null", "/dev/full", "/dev/stderr", "/dev/stdout", "directory"])
    def test_of_whatever_kind_hinders_no_drain(self, program: Program, host: MailHost, kind: str) -> None:
        name = "attempts" if kind[0] != "/" else kind
        if kind == "fifo":
            os.mkfifo(program.home / name)
        elif kind == "directory":
            (program.home / name).mkdir()
        add(program, f'[log]\nfile = "{name}"')
        enqueue(program, 3)
        answer = program.run("drain")
        assert answer.status == 0
        warned = answer.err.count("cannot write the log")
        assert warned == (kind not in ("/dev/null", "/dev/stderr", "/dev/stdout"))
        assert statuses(program) == ["sent"] * 3

    def test_may_be_a_fifo_that_somebody_reads(self, program: Program, host: MailHost) -> None:
        os.mkfifo(program.home / "pipe")
        add(program, '[log]\nfile = "pipe"')
        enqueue(program, 3)
        reader = os.open(program.home / "pipe", os.O_RDONLY | os.O_NONBLOCK)
        assert program.run("drain").err == ""
        assert os.read(reader, 65536).count(b"outcome=sent") == 3
        os.close(reader)


class TestAMessageThatIsStored:
    @pytest.mark.parametrize("where", DATA_LOST)
    @pytest.mark.parametrize("more", ["", "--json"])
    def test_is_0_and_a_warning_that_names_it(self, program: Program, where: str, more: str) -> None:
        answer = status_of(program, f"{SEND} {more} {where}")
        assert (answer.status, answer.out) == (0, "")
        assert answer.err.startswith("warning: stored as 1, but ")
        assert answer.err.count("\n") == 1
        assert len(rows(program)) == 1

    @pytest.mark.parametrize("where", [">&- 2>&-", ">/dev/full 2>&1", "2>&1 | true", "<&- >&- 2>&-"])
    def test_is_0_without_stderr_too_and_the_outbox_stays_sound(self, program: Program, where: str) -> None:
        assert status_of(program, f"{SEND} {where}").status == 0
        assert len(rows(program)) == 1
        assert program.run("doctor", "--json").json["ok"] in (True, False)

    def test_in_a_batch_does_not_stop_the_rest(self, program: Program) -> None:
        line = '{"to": "a@example.org", "subject": "hello", "body_text": "text\\n"}\n'
        (program.home / "batch").write_text(line * 4000)
        answer = status_of(program, "prx-email send --batch batch | head -1")
        assert (answer.status, answer.out) == (0, "1\n")
        assert "stored 4000 messages" in answer.err
        assert program.run("stats", "--json").data["pending"] == 4000
        (program.home / "batch").write_text(line + "{}\n" + line)
        assert status_of(program, "prx-email send --batch batch >&- 2>&-").status == 65
        assert program.run("stats", "--json").data["pending"] == 4002

    @pytest.mark.parametrize("where", ["| true", ">&- 2>&-"])
    def test_is_attempted_now_whoever_reads(self, program: Program, host: MailHost, where: str) -> None:
        assert status_of(program, f"{SEND} --now {where}").status == 0
        assert statuses(program) == ["sent"]

    @pytest.mark.parametrize(("where", "more"), [(">&-", ""), (">/dev/full", "--json")])
    def test_can_be_held_released_cancelled_and_pruned(self, program: Program, where: str, more: str) -> None:
        program.send()
        for command in ("hold 1", "release 1", "hold --all", "cancel 1", "prune --older-than 0s --all"):
            answer = status_of(program, f"prx-email {command} {more} {where}")
            assert (answer.status, answer.err[:9]) == (0, "warning: "), command
        assert rows(program) == []

    @pytest.mark.parametrize("where", [">&-", "| true"])
    def test_can_have_been_imported_or_configured(self, program: Program, where: str) -> None:
        (program.home / "mail").write_text("Message-ID: <1@example.org>\nFrom: a@example.org\nSubject: s\n\nhi\n")
        assert status_of(program, f"prx-email import mail {where}").status == 0
        assert len(program.run("messages", "list", "--json").data) == 1
        add_one = "prx-email account add b --host localhost --tls none --user b@example.com --json"
        assert status_of(program, f"{add_one} {where}").status == 0
        assert len(program.run("account", "list", "--json").data) == 2


class TestAnAnswerThatIsAllThereIs:
    @pytest.mark.parametrize("where", DATA_LOST)
    def test_ends_with_74_when_it_could_not_be_written(self, program: Program, where: str) -> None:
        program.send()
        for command in ("list", "list --json", "show 1", "show 1 --json", "stats", "messages list --json", "providers",
                        "account list", "account show", "--help", "list --help", "--version"):  # fmt: skip
            answer = status_of(program, f"prx-email {command} {where}")
            assert answer.status == 74, command
            assert ("error: stdout" in answer.err) == (where != "| true"), command  # who had enough is no trouble
        assert status_of(program, f"prx-email list {where} 2>&-").status == 74

    def test_is_whole_for_a_reader_that_takes_all_of_it_late(self, program: Program) -> None:
        enqueue(program, 3000)
        assert shell(program, "prx-email list --limit 3000 | { sleep 1; cat; } | wc -l").out.strip() == "3001"

    @pytest.mark.parametrize("where", ["2>&-", ">&- 2>&-", ">/dev/full 2>&1"])
    @pytest.mark.parametrize(
        ("command", "status"),
        [
            ("send --to nonsense --subject s --body b", 65), ("show 99", 66), ("cancel 99", 66),
            ("--config /nowhere list", 78), ("sned", 2), ("list --statu", 2),
        ],
    )  # fmt: skip
    def test_that_is_an_error_keeps_its_status(self, program: Program, where: str, command: str, status: int) -> None:
        for more in ("", "--json"):
            assert status_of(program, f"prx-email {command} {more} {where}").status == status

    def test_that_is_an_error_in_json_is_told_on_stderr_instead(self, program: Program) -> None:
        answer = status_of(program, "prx-email show 99 --json >&-")
        assert (answer.status, answer.err.count("error: ")) == (66, 1)


class TestDescriptors:
    @pytest.mark.parametrize("where", ["<&-", "2>&-", "<&- >&- 2>&-"])
    def test_that_are_closed_are_not_taken_by_the_database(self, program: Program, where: str) -> None:
        add(program, '[notify]\ncommand = ["false"]')
        for _ in range(3):
            assert status_of(program, f"{SEND} {where}").status == 0
        status_of(program, f"prx-email drain -v {where}")
        status_of(program, f"prx-email list {where}")
        if program.url is None:
            assert program.outbox.read_bytes().startswith(b"SQLite format 3\0")
        assert len(rows(program)) == 3

    def test_of_others_keep_their_flags(self, program: Program, host: MailHost) -> None:
        enqueue(program, 1)
        reader, writer = os.pipe()
        with program.start("drain", "-v", stdout=writer, stderr=writer) as drain:
            assert drain.wait(timeout=60) == 0
        assert os.get_blocking(writer)
        os.close(writer)
        with open(reader) as stream:
            assert "outcome=sent" in stream.read()

    def test_that_do_not_block_lose_nothing(self, program: Program) -> None:
        enqueue(program, 3000)
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        listing = program.start("list", "--limit", "3000", stdout=writer)
        os.close(writer)
        with open(reader) as stream:
            assert len(stream.readlines()) == 3001
        assert listing.communicate(timeout=60)[1] == ""

    def test_may_be_sockets(self, program: Program, host: MailHost) -> None:
        import socket

        enqueue(program, 2)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            assert program.start("drain", "-v", stdout=theirs, stderr=theirs).wait(timeout=60) == 0
            assert ours.recv(65536).count(b"outcome=sent") == 2


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "ascii:strict"])
def test_what_an_encoding_has_no_character_for_is_escaped(program: Program, encoding: str) -> None:
    program.send(subject="Grüße 秘密 🎉")
    (program.home / "mail").write_bytes("Message-ID: <1@x.org>\nFrom: é <a@x.org>\nSubject: 秘\n\n秘密\n".encode())
    program.run("import", "mail")
    for command in ("list", "show 1", "messages list", "messages show 1@x.org", "stats", "--help", "send --help",
                    "sned", "show 99", "account show", "providers", "--config 秘 list"):  # fmt: skip
        done = subprocess.run(
            [*COMMAND, *command.split()], env={**program.environment, "PYTHONIOENCODING": encoding}, cwd=program.home,
            stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60,
        )  # fmt: skip
        shown = (done.stdout or done.stderr).decode(encoding.partition(":")[0])
        wanted = {"sned": 2, "show 99": 66, "--config 秘 list": 78}.get(command, 0)
        assert (done.returncode, "Traceback" in shown) == (wanted, False), (command, shown)
        if command in ("list", "show 1") and encoding != "utf-16":
            assert r"\u79d8\u5bc6 \U0001f389" in shown
            assert ("Grüße" in shown) == (encoding == "latin-1")


def test_a_plain_locale_shows_what_it_can(program: Program) -> None:
    program.send(subject="Grüße 秘密")
    answer = program.run("list", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert (answer.status, r"Gr\xfc\xdfe \u79d8\u5bc6" in answer.out) == (0, True)


def test_a_table_on_a_terminal_of_another_encoding_is_whole(program: Program) -> None:
    program.send(subject="Grüße 秘密")
    keys, terminal = pty.openpty()
    program.environment["PYTHONIOENCODING"] = "latin-1"
    listing = program.start("list", stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    shown = b""
    try:
        while data := os.read(keys, 65536):
            shown += data
    except OSError:
        pass
    os.close(keys)
    assert listing.wait(timeout=60) == 0
    assert "Grüße".encode("latin-1") in shown
    assert b"Traceback" not in shown


def test_there_is_no_file_left_behind(program: Program) -> None:
    status_of(program, f"{SEND} >&- 2>&-")
    assert not [file for file in program.home.iterdir() if stat.S_ISREG(file.stat().st_mode) and file.name.isdigit()]
