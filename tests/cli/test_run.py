"""``run``: one mail about a job that fails, its exit status and signals passed on, its output bounded."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ..conftest import COMMAND, Answer, Program
from ..support.terminal import CTRL_C, Terminal

TO = ("run", "--to", "ops@example.org")


def run_job(program: Program, *arguments: str, options: tuple[str, ...] = (), **environment: str) -> Answer:
    return program.run(*TO, *options, "--", *arguments, **environment)


def mails(program: Program) -> list[Any]:
    """The messages in the outbox, the oldest first."""
    return list(reversed(program.call("list", "--json").data)) if program.is_made() else []


def text_of(program: Program, outbox_id: int = 1) -> str:
    return program.call("export", str(outbox_id)).out.replace("\r\n", "\n").replace("=\n", "")


def status_of(process: subprocess.Popen[str]) -> int:
    with process:  # which closes its pipes
        return process.wait(60)


def wait_for(file: Path) -> str:
    until = time.monotonic() + 60
    while not file.exists() or not file.read_text().endswith("\n"):
        assert time.monotonic() < until, f"no {file}"
        time.sleep(0.01)
    return file.read_text()


def is_gone(pid: int) -> bool:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


class TestAJob:
    def test_that_succeeds_is_silent_and_makes_no_mail(self, program: Program) -> None:
        assert run_job(program, "sh", "-c", "echo much; echo more >&2") == Answer(0, "", "")
        assert mails(program) == []

    @pytest.mark.on_both
    def test_that_fails_is_silent_too_and_makes_one_mail_with_all_that_one_asks(self, program: Program) -> None:
        assert run_job(program, "sh", "-c", "echo one; echo two >&2; echo three; exit 7") == Answer(7, "", "")
        (mail,) = mails(program)
        assert mail["to"] == ["ops@example.org"]
        assert "failed: exit status 7" in mail["subject"]
        text = text_of(program)
        assert "Auto-Submitted: auto-generated\n" in text
        assert "Command:  sh -c 'echo one; echo two >&2; echo three; exit 7'\n" in text
        assert f"Host:     {os.uname().nodename}\n" in text
        assert "Result:   exit status 7\n" in text
        assert "Duration: " in text
        assert text.endswith("\none\ntwo\nthree\n")

    def test_that_succeeds_and_says_something_is_mailed_on_demand(self, program: Program) -> None:
        assert run_job(program, "true", options=("--on-output",)) == Answer(0, "", "")
        assert mails(program) == []
        assert run_job(program, "echo", "news", options=("--on-output",)) == Answer(0, "", "")
        assert mails(program)[0]["subject"].endswith("echo news: output")

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGHUP, signal.SIGUSR1])
    def test_that_a_signal_ends_passes_the_signal_on_and_is_mailed(self, number: int, program: Program) -> None:
        assert run_job(program, "sh", "-c", f"kill -{int(number)} $$").status == -number
        assert f"ended by {signal.Signals(number).name}" in mails(program)[0]["subject"]
        assert not list(program.home.glob("core*"))

    def test_that_is_not_found_or_not_executable_fails_as_in_a_shell(self, program: Program) -> None:
        script = program.home / "script"
        script.write_text("#!/no/such/interpreter\n")
        assert run_job(program, str(script)) == Answer(126, "", "")
        script.chmod(0o700)
        assert run_job(program, str(script)) == Answer(127, "", "")
        assert run_job(program, "no-such-command") == Answer(127, "", "")
        why = [mail["subject"].rpartition(": ")[2] for mail in mails(program)]
        assert why == ["Permission denied", "the program that its first line names is missing", "command not found"]

    def test_reads_stdin_and_has_the_whole_environment_of_its_user(self, program: Program) -> None:
        program.configure(smtp='user = "ops"', auth='password_env = "SECRET"')
        answer = program.run(*TO, "--pass-through", "--", "sh", "-c", "cat; echo $SECRET", text="in\n", SECRET="pw")
        assert answer == Answer(0, "in\npw\n", "")

    def test_takes_its_own_options_even_without_the_two_dashes(self, program: Program) -> None:
        answer = program.run(*TO, "--pass-through", "echo", "--json", "--config", "x", "--subject")
        assert answer == Answer(0, "--json --config x --subject\n", "")

    def test_may_have_arguments_that_are_no_text(self, program: Program) -> None:
        assert run_job(program, "sh", "-c", "exit 3", "\udcff\n\x1b").status == 3
        assert r"\xff\n\x1b" in mails(program)[0]["subject"]


class TestTheOutput:
    def test_is_cut_to_the_last_lines(self, program: Program) -> None:
        run_job(program, "sh", "-c", "seq 1000; exit 1", options=("--tail", "3"))
        text = text_of(program)
        assert "The end of its output (1,000 lines, 3,893 bytes):\n" in text
        assert text.endswith("\n998\n999\n1000\n")
        run_job(program, "sh", "-c", "seq 1000; exit 1", options=("--tail", "0"))
        assert text_of(program, 2).endswith("It printed 1,000 lines, 3,893 bytes.\n")

    def test_may_be_binary_and_have_no_line_end(self, program: Program) -> None:
        run_job(program, "printf", "-v", options=("--on-output",))
        run_job(program, "sh", "-c", r"printf '\377\0\033[2J\r\nhalf\rabc\t.'; exit 1")
        assert text_of(program, 2).endswith("\n\\xff\\x00\\x1b[2J\nhalf\nabc     .\n")

    def test_takes_no_more_memory_the_more_there_is(self, program: Program) -> None:
        def limited() -> None:
            resource.setrlimit(resource.RLIMIT_DATA, (300_000_000, 300_000_000))

        job = "head -c 1000000000 /dev/zero; echo; echo end; exit 1"
        process = program.start(*TO, "--", "sh", "-c", job, preexec_fn=limited)
        assert process.communicate(timeout=300) == ("", "")
        assert process.returncode == 1
        text = text_of(program)
        assert "(2 lines, 1,000,000,005 bytes)" in text
        assert text.rstrip().endswith("end")
        assert len(text) < 3_000_000

    def test_is_passed_through_to_the_same_streams_on_demand(self, program: Program) -> None:
        answer = run_job(program, "sh", "-c", "echo o; echo e >&2; exit 5", options=("--pass-through",))
        assert answer == Answer(5, "o\n", "e\n")
        assert "o\n" in text_of(program)

    def test_that_nobody_reads_any_more_is_mailed_all_the_same(self, program: Program) -> None:
        process = program.start(
            *TO, "--pass-through", "--", "sh", "-c", "head -c 1000000 /dev/zero; echo; echo z; exit 4"
        )
        assert process.stdout is not None
        process.stdout.close()
        assert status_of(process) == 4
        assert text_of(program).rstrip().endswith("z")

    def test_that_a_left_child_holds_open_is_not_waited_for(self, program: Program) -> None:
        job = f"sleep 3600 & echo $! > {program.home}/pid; echo said; exit 1"
        assert run_job(program, "sh", "-c", job).status == 1
        text = text_of(program)
        assert text.endswith("\nsaid\n")
        assert "still have its output open" in text
        os.kill(int(wait_for(program.home / "pid")), signal.SIGKILL)


class TestSignals:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
    def test_reach_the_whole_group_and_the_job_decides(self, number: signal.Signals, program: Program) -> None:
        """The child is in the group, too; what it does on the signal is in the mail."""
        script = program.home / "job"
        script.write_text(f"""
import os, signal, sys
says, ends = "caught", 9
def on_signal(number, frame):
    os.write(1, (says + os.linesep).encode())
    if says == "caught":
        os.wait()
    os._exit(ends)
signal.signal({int(number)}, on_signal)
if os.fork() == 0:
    says, ends = "child", 0
    os.write(os.open("ready", os.O_WRONLY | os.O_CREAT), b"yes" + os.linesep.encode())
while True:
    signal.pause()
""")
        process = program.start(*TO, "--", sys.executable, str(script))
        wait_for(program.home / "ready")
        process.send_signal(number)
        assert status_of(process) == 9
        assert sorted(text_of(program).split()[-2:]) == ["caught", "child"]

    def test_that_end_the_job_end_the_command_and_are_mailed(self, program: Program) -> None:
        process = program.start(*TO, "--", "sh", "-c", "echo > ready; exec sleep 3600")
        wait_for(program.home / "ready")
        process.terminate()
        assert status_of(process) == -signal.SIGTERM
        assert "SIGTERM" in mails(program)[0]["subject"]

    def test_that_our_parent_ignores_are_ignored_by_the_job(self, program: Program) -> None:
        job = ["sh", "-c", "kill -HUP $$; kill -CHLD $$; echo alive"]
        words = [*COMMAND, *TO, "--pass-through", "--", *job]
        line = "trap '' HUP CHLD; exec \"$@\""
        done = subprocess.run(["sh", "-c", line, "sh", *words], env=program.environment, cwd=program.home,
                              capture_output=True, text=True, timeout=120, check=False)  # fmt: skip
        assert (done.returncode, done.stdout, done.stderr) == (0, "alive\n", "")

    def test_of_the_terminal_reach_the_job_which_may_read_it(self, program: Program) -> None:
        job = "printf 'name: '; read line; echo got $line; exec sleep 3600"
        command = [*COMMAND, *TO, "--pass-through", "--", "sh", "-c", job]
        with Terminal(command, env=program.environment, cwd=program.home) as terminal:
            terminal.expect("name: ")
            terminal.press("words\r")
            terminal.expect("got words")
            terminal.press(CTRL_C)
            assert terminal.end() == -signal.SIGINT
        assert "SIGINT" in mails(program)[0]["subject"]


class TestATimeout:
    def test_ends_the_group_and_the_status_is_that_of_timeout(self, program: Program) -> None:
        job = "sleep 3600 & echo $! > pid; echo said; wait"
        assert run_job(program, "sh", "-c", job, options=("--timeout", "1s")) == Answer(124, "", "")
        assert is_gone(int(wait_for(program.home / "pid")))
        assert "did not end in time" in mails(program)[0]["subject"]
        assert text_of(program).endswith("\nsaid\n")

    def test_kills_what_does_not_care(self, program: Program) -> None:
        job = "trap '' TERM; sh -c 'trap \"\" TERM; sleep 3600' & echo $! > pid; while :; do sleep 0.1; done"
        answer = run_job(program, "bash", "-c", job, options=("--timeout", "1s", "--kill-after", "0s"))
        assert answer == Answer(124, "", "")
        assert is_gone(int(wait_for(program.home / "pid")))

    def test_that_does_not_come_changes_nothing(self, program: Program) -> None:
        assert run_job(program, "sh", "-c", "exit 6", options=("--timeout", "1h")) == Answer(6, "", "")


class TestALock:
    def test_keeps_a_job_from_overlapping_silently_with_75(self, program: Program) -> None:
        first = program.start(*TO, "--lock", "backup", "--", "sh", "-c", "echo > ready; exec sleep 3600")
        wait_for(program.home / "ready")
        try:
            assert run_job(program, "touch", "ran", options=("--lock", "backup")) == Answer(75, "", "")
            answer = run_job(program, "touch", "ran", options=("--lock", "backup", "--json"))
            assert (answer.status, answer.json["error"]["code"], answer.json["data"]) == (75, "locked", None)
            assert not (program.home / "ran").exists()
            assert run_job(program, "true", options=("--lock", "another")).status == 0
        finally:
            first.terminate()
        assert status_of(first) == -signal.SIGTERM
        assert run_job(program, "touch", "ran", options=("--lock", "backup")).status == 0
        assert (program.home / "ran").exists()

    def test_is_free_though_the_job_has_left_children(self, program: Program) -> None:
        job = "sleep 3600 & echo $! > pid"
        assert run_job(program, "sh", "-c", job, options=("--lock", "x")).status == 0
        assert run_job(program, "true", options=("--lock", "x")).status == 0
        os.kill(int(wait_for(program.home / "pid")), signal.SIGKILL)

    @pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "-x", "é", "a" * 101])
    def test_has_a_name_that_names_a_file(self, name: str, program: Program) -> None:
        assert run_job(program, "true", options=(f"--lock={name}",)).status == 2

    def test_that_cannot_be_made_runs_nothing_and_says_so(self, program: Program) -> None:
        (program.home / "state").write_text("a file")
        answer = run_job(program, "touch", "ran", options=("--lock", "x"), XDG_STATE_HOME=f"{program.home}/state")
        assert answer.status == 74
        assert "the job was not run" in answer.err
        assert not (program.home / "ran").exists()


class TestMailThatCannotBeStored:
    @pytest.mark.parametrize("job", ["exit 3", "exit 0"])
    def test_leaves_the_status_and_goes_to_stderr_for_cron(self, job: str, program: Program) -> None:
        program.configure(outbox='on_uncertain = "nonsense"')
        answer = run_job(program, "sh", "-c", f"echo said; {job}", options=("--on-output",))
        assert (answer.status, answer.out) == (int(job[-1]), "")
        assert "on_uncertain" in answer.err
        assert answer.err.rstrip().endswith("said")

    @pytest.mark.of_files
    def test_on_a_full_disk_too_and_in_json(self, program: Program) -> None:
        program.outbox.mkdir()
        answer = run_job(program, "sh", "-c", "echo said; exit 3", options=("--json",))
        assert answer.status == 3
        assert (answer.json["ok"], answer.json["error"]["code"]) == (False, "storage")
        assert (answer.data["exit_status"], answer.data["outbox_id"]) == (3, None)
        assert answer.err.rstrip().endswith("said")

    def test_for_a_wrong_recipient_is_told_with_the_output(self, program: Program) -> None:
        answer = program.run("run", "--to", "nobody", "--", "sh", "-c", "echo said; exit 3")
        assert answer.status == 3
        assert "not an email address" in answer.err
        assert "\nsaid" in answer.err


class TestTheMail:
    def test_goes_to_mailto_by_default_and_needs_somebody(self, program: Program) -> None:
        assert program.run("run", "--", "false", MAILTO="cron@example.org").status == 1
        assert mails(program)[0]["to"] == ["cron@example.org"]
        answer = program.run("run", "--", "touch", "ran")
        assert answer.status == 2
        assert "MAILTO" in answer.err
        assert not (program.home / "ran").exists()

    def test_has_the_subject_and_account_that_are_wanted(self, program: Program) -> None:
        run_job(program, "false", options=("--subject", "Backup of db", "--account", "work"))
        assert [(mail["subject"], mail["account"]) for mail in mails(program)] == [("Backup of db", "work")]

    def test_is_stored_once_for_a_key_though_each_run_takes_another_time(self, program: Program) -> None:
        key = ("--idempotency-key", "backup-2026-12-01")
        first = run_job(program, "sh", "-c", "date +%N; exit 1", options=(*key, "--json"))
        again = run_job(program, "sh", "-c", "date +%N; exit 1", options=(*key, "--json"))
        assert [answer.data["outbox_id"] for answer in (first, again)] == [1, 1]
        assert [answer.data["duplicate"] for answer in (first, again)] == [False, True]
        other = run_job(program, "false", options=key)
        assert other.status == 1
        assert "was used for other content" in other.err

    def test_in_json_tells_everything(self, program: Program) -> None:
        answer = run_job(program, "sh", "-c", "echo x; kill -TERM $$", options=("--json",))
        data = answer.data
        assert data["argv"] == ["sh", "-c", "echo x; kill -TERM $$"]
        assert (data["exit_status"], data["signal"], data["timed_out"]) == (None, "SIGTERM", False)
        assert (data["output_bytes"], data["output_lines"], data["outbox_id"]) == (2, 1, 1)
        assert answer.json["error"]["code"] == "job"
        assert run_job(program, "true", options=("--json",)).json["ok"] is True

    @pytest.mark.parametrize("words", [("--timeout", "x"), ("--timeout", "0s"), ("--tail", "-1"),
                                       ("--idempotency-key", ""), ("--json", "--pass-through")])  # fmt: skip
    def test_is_not_asked_for_wrongly(self, words: tuple[str, ...], program: Program) -> None:
        assert run_job(program, "touch", "ran", options=words).status in (2, 65)
        assert not (program.home / "ran").exists()


def test_a_job_that_succeeds_loads_nothing_of_mail(program: Program) -> None:
    script = f"""
import sys
from prx_email_cli.cli.main import app
try:
    app({[*TO, "--", "true"]!r})
except SystemExit as ended:
    print(ended.code, *sorted(sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], env=program.environment, capture_output=True, text=True, check=True
    )
    status, *modules = done.stdout.split()
    assert status == "0"
    heavy = {"sqlite3", "email", "ssl", "smtplib", "rich", "tomllib", "json", "prx_email_cli.config.settings",
             "prx_email_cli.submission.submit", "prx_email_cli.mail.compose"}  # fmt: skip
    assert heavy.isdisjoint(modules)
