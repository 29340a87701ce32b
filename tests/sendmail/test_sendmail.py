"""A program that calls sendmail gets its message into the outbox, whole, or an exit status that says why not."""

import os
import shlex
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from .conftest import Sendmail, addresses

MESSAGE = (
    "From: Me <me@home.example>\nTo: b@example.org\nBcc: c@example.org\nSubject: hello\nMessage-ID: <own@x>\n\nbody\n"
)


def test_a_message_is_stored_silently_and_as_it_is(sendmail: Sendmail) -> None:
    text = MESSAGE.replace("Bcc: c@example.org\n", "Date: Sun, 17 Mar 2030 10:00:00 +0000\nMIME-Version: 1.0\n")
    assert sendmail("-i", "a@example.org", text=text) == (0, "", "")
    assert sendmail.content(1) == text.replace("\n", "\r\n").encode()
    row = sendmail.last()
    assert (row["status"], row["subject"], addresses(row)) == ("pending", "hello", ["a@example.org"])


def test_recipients_come_from_the_headers_if_asked_and_bcc_goes(sendmail: Sendmail) -> None:
    assert sendmail("-t", "a@example.org", text=MESSAGE).status == 0
    assert addresses(sendmail.last()) == ["a@example.org", "b@example.org", "c@example.org"]
    assert b"bcc" not in sendmail.content(1).lower()


def test_operands_may_hold_lists_and_flags_may_follow(sendmail: Sendmail) -> None:
    assert sendmail("a@example.org,b@example.org", "-oi", "-fx@example.net", "--", "c@example.org").status == 0
    assert addresses(sendmail.last()) == ["a@example.org", "b@example.org", "c@example.org"]
    assert sendmail.sender(1) == "x@example.net"


@pytest.mark.parametrize("null", ["", "<>"])
def test_the_null_sender_is_one(sendmail: Sendmail, null: str) -> None:
    assert sendmail("-f", null, "a@example.org").status == 0
    assert sendmail.sender(1) == ""


def test_a_lone_dot_ends_the_message_unless_it_is_told_not_to(sendmail: Sendmail) -> None:
    for flag in ("-m", "-i", "-oi"):
        assert sendmail(flag, "a@example.org", text="Subject: s\n\none\n.\ntwo\n").status == 0
    contents = [sendmail.read(number).get_content() for number in (1, 2, 3)]
    assert contents == ["one\n", "one\n.\ntwo\n", "one\n.\ntwo\n"]


def test_a_line_of_an_mbox_and_crlf_are_taken(sendmail: Sendmail) -> None:
    assert (
        sendmail("a@example.org", text=b"From root Sun Mar 17 10:00:00 2030\r\nSubject: s\r\n\r\nbody\r\n").status == 0
    )
    assert (sendmail.read(1)["Subject"], sendmail.read(1).get_content()) == ("s", "body\n")


def test_the_full_name_is_that_of_a_missing_from_and_never_a_header(sendmail: Sendmail) -> None:
    assert sendmail("-FCron Daemon\nBcc: evil@example.org", "a@example.org").status == 0
    message = sendmail.read(sendmail.stored()[-1])
    assert message["Bcc"] is None
    assert message["From"] == '"Cron Daemon Bcc: evil@example.org" <ops@example.com>'


def test_who_called_is_recorded_and_shown(sendmail: Sendmail) -> None:
    script = f"{shlex.join([sys.executable, '-m', 'prx_email_cli.sendmail'])} -t; exit $?"
    assert sendmail.called(["/bin/sh", "-c", script], MESSAGE).status == 0
    shown = sendmail.program.call("show", "1").out
    assert f"(uid {os.getuid()})" in shown
    assert "sendmail -t, called by " in shown


@pytest.mark.parametrize(("shell", "flag"), [("/bin/sh", "-c"), ("/bin/bash", "-ec")])
def test_a_program_that_calls_through_a_shell_is_recorded_too(sendmail: Sendmail, shell: str, flag: str) -> None:
    script = f"{shlex.join([sys.executable, '-m', 'prx_email_cli.sendmail'])} a@example.org; exit $?"
    assert sendmail.called([shell, flag, script], MESSAGE).status == 0
    ours = Path("/proc/self/comm").read_text().strip()
    assert sendmail.last()["enqueued_by"]["command"] == f"sendmail, called by {ours} ({Path(shell).name} -c)"


def test_a_script_that_calls_is_recorded_and_not_who_started_it(sendmail: Sendmail) -> None:
    script = sendmail.program.home / "report"
    script.write_text(
        f"#!/bin/sh\n{shlex.join([sys.executable, '-m', 'prx_email_cli.sendmail'])} a@example.org\nexit $?\n"
    )
    script.chmod(0o755)
    assert sendmail.called([str(script)], MESSAGE).status == 0
    assert sendmail.last()["enqueued_by"]["command"] == "sendmail, called by report"


def test_a_local_name_goes_where_the_config_says_or_ends_with_67(sendmail: Sendmail) -> None:
    refused = sendmail("root")
    assert (refused.status, sendmail.stored()) == (67, [])
    assert "error: no address for the local name 'root'" in refused.err
    assert "hint: name one in [sendmail.aliases]" in refused.err
    sendmail.alias('aliases.root = ["ops@example.com", "second@example.com"]')
    assert sendmail("-t", text="To: root\nSubject: s\n\nb\n").status == 0
    assert addresses(sendmail.last()) == ["ops@example.com", "second@example.com"]


@pytest.mark.on_both
def test_one_bad_recipient_keeps_the_whole_message_with_the_caller(sendmail: Sendmail) -> None:
    assert (sendmail("a@example.org", "nobody").status, sendmail.stored()) == (67, [])


@pytest.mark.parametrize(
    ("words", "text", "status"),
    [
        ((), b"x\n", 64), (("-f",), b"x\n", 64), (("-bd",), b"", 64), (("-bZ",), b"", 64), (("-bv",), b"", 64),
        (("-t",), b"Subject: none\n\nx\n", 65), (("a@",), b"x\n", 65), (("-f", "x@y@z", "a@example.org"), b"x\n", 65),
        (("a@example.org",), b"Received: x\n" * 51 + b"\nx\n", 65), (("a@example.org",), b"X: " + b"x" * 2_000_000, 65),
        (("\udcff@example.org",), b"x\n", 65),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_is_refused_in_words_and_nothing_is_stored(
    sendmail: Sendmail, words: tuple[str, ...], text: bytes, status: int
) -> None:
    ended = sendmail(*words, text=text)
    assert (ended.status, ended.out) == (status, "")
    assert ended.err.startswith("error: ")
    assert "Traceback" not in ended.err
    assert sendmail.stored() == []


def test_an_unknown_flag_warns_and_does_not_fail(sendmail: Sendmail) -> None:
    ended = sendmail("-Zx", "--long", "a@example.org")
    assert ended.status == 0
    assert ended.err.splitlines() == [
        "warning: -Zx is no flag of sendmail; it is ignored", "warning: --long is no flag of sendmail; it is ignored",
    ]  # fmt: skip


def test_without_a_config_it_ends_with_78(sendmail: Sendmail) -> None:
    sendmail.program.config.unlink()
    ended = sendmail("a@example.org")
    assert ended.status == 78
    assert "no such config file" in ended.err


@pytest.mark.on_both
def test_an_outbox_that_cannot_be_written_leaves_the_message_with_its_caller(sendmail: Sendmail) -> None:
    sendmail.program.configure(outbox="busy_timeout_seconds = 0")
    assert sendmail("a@example.org").status == 0
    with sendmail.program.locked():
        ended = sendmail("a@example.org")
    assert (ended.status, len(sendmail.stored())) == (75, 1)
    assert "was not stored" in ended.err


@pytest.mark.of_files
def test_an_outbox_in_a_directory_that_cannot_be_made_leaves_the_message_with_its_caller(sendmail: Sendmail) -> None:
    (sendmail.program.home / "file").write_text("")
    text = sendmail.program.config.read_text().replace('"outbox.db"', '"file/outbox.db"')
    sendmail.program.config.write_text(text)
    ended = sendmail("a@example.org")
    assert ended.status == 75
    assert ended.err.startswith("error: ")


def test_standard_input_that_cannot_be_read_stores_nothing(sendmail: Sendmail) -> None:
    command = shlex.join([sys.executable, "-m", "prx_email_cli.sendmail", "a@example.org"])
    ended = sendmail.called(["/bin/sh", "-c", f"{command} <&-"], b"")
    assert ended.status == 66
    assert "error: standard input cannot be read" in ended.err
    assert sendmail.stored() == []


def test_closed_and_full_output_changes_nothing(sendmail: Sendmail) -> None:
    command = shlex.join([sys.executable, "-m", "prx_email_cli.sendmail"])
    for line in ("-v a@example.org 2>&-", "-v a@example.org 2>/dev/full", "a@example.org >/dev/full", "-bi >&-"):
        ended = sendmail.called(["/bin/sh", "-c", f"{command} {line}"], b"x\n")
        assert ended == (0, "", "")


@pytest.mark.parametrize("asked", ["-bp", "-bv x@example.org", "--version", "--help"])
def test_an_answer_that_cannot_be_written_is_74(sendmail: Sendmail, asked: str) -> None:
    command = f"{shlex.join([sys.executable, '-m', 'prx_email_cli.sendmail'])} {asked}"
    full = sendmail.called(["/bin/sh", "-c", f"{command} >/dev/full"], b"")
    assert full == (74, "", "error: stdout cannot be written: No space left on device\n")
    assert sendmail.called(["/bin/sh", "-c", f"{command} >&-"], b"") == (74, "", "error: stdout is closed\n")
    left = sendmail.called(["/bin/bash", "-c", f"{command} | true; exit ${{PIPESTATUS[0]}}"], b"")
    assert left in ((74, "", ""), (0, "", ""))  # true may be gone before or after


def test_the_status_of_a_refusal_stays_where_it_cannot_be_told(sendmail: Sendmail) -> None:
    command = shlex.join([sys.executable, "-m", "prx_email_cli.sendmail"])
    ended = sendmail.called(["/bin/sh", "-c", f"{command} -bv nobody >/dev/full"], b"")
    assert ended == (67, "", "warning: stdout cannot be written: No space left on device\n")


def test_verbose_says_the_id_and_nothing_on_standard_output(sendmail: Sendmail) -> None:
    assert sendmail("-v", "a@example.org") == (0, "", "stored as 1\n")


@pytest.mark.on_both
def test_dsn_wishes_are_stored_with_it(sendmail: Sendmail) -> None:
    assert sendmail("-N", "success,failure", "-Rhdrs", "-V", "id 1", "a@example.org").status == 0
    assert sendmail.program.execute("SELECT esmtp FROM outbox")[0][0] == '[false, "SUCCESS,FAILURE", "HDRS", "id+201"]'


def test_verifying_prints_addresses_and_stores_nothing(sendmail: Sendmail) -> None:
    sendmail.alias('aliases.root = "ops@example.com"')
    ended = sendmail("-bv", "root", "x@example.org", "nobody")
    assert ended.status == 67
    assert ended.out.splitlines() == [
        "root... deliverable: ops@example.com", "x@example.org... deliverable: x@example.org",
        "nobody... no address for the local name 'nobody'",
    ]  # fmt: skip
    assert sendmail.stored() == []


def test_it_behaves_as_what_it_is_called(sendmail: Sendmail) -> None:
    assert sendmail.as_name("newaliases") == (0, "", "")
    assert sendmail.as_name("mailq") == (0, "Mail queue is empty\n", "")
    assert sendmail.as_name("sendmail", "a@example.org") == (0, "", "")
    assert sendmail.as_name("mailq").out.endswith("-- 0 Kbytes in 1 Request.\n")


def test_as_a_command_of_the_program_its_words_are_untouched(sendmail: Sendmail) -> None:
    program = sendmail.program
    words = ("-t", "-F", "--json", "-oi", "--", "--config", "a@example.org")
    assert program.run("sendmail", *words, text="Subject: s\n\nb\n").status == 67  # --config is a name
    assert program.run("sendmail", "-F--json", "-v", "a@example.org", text="Subject: s\n\nb\n").err == "stored as 1\n"
    assert sendmail.read(1)["From"] == "--json <ops@example.com>"
    other = program.home / "other.toml"
    program.config.rename(other)
    answer = program.run("--config", str(other), "sendmail", "-v", "b@example.org", text="\nb\n")
    assert (answer.status, answer.err) == (0, "stored as 2\n")


def test_help_explains_the_flags(sendmail: Sendmail) -> None:
    for ended in (sendmail("--help"), sendmail.program.run("sendmail", "--help")):
        assert ended.status == 0
        assert all(flag in ended.out for flag in ("-t ", "-oi", "-bp", "[sendmail.aliases]"))


@pytest.mark.on_both
def test_bs_speaks_smtp(sendmail: Sendmail) -> None:
    lines = (
        "", "EHLO localhost", "MAIL FROM:<me@example.net>", "RCPT TO:<a@x y>", "RCPT TO:<a@example.org>", "DATA",
        "Subject: s\r\n\r\n..dot\r\n.", "QUIT",
    )  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "prx_email_cli.sendmail", "-bs"], env=sendmail.program.environment,
        cwd=sendmail.program.home, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        codes = []
        for line in lines:
            process.stdin.write(f"{line}\r\n".encode() if line else b"")
            process.stdin.flush()
            while (reply := process.stdout.readline())[3:4] == b"-":
                pass
            codes.append(int(reply[:3]))
        assert (process.wait(30), process.stderr.read()) == (0, b"")
    assert codes == [220, 250, 250, 553, 250, 354, 250, 221]
    assert addresses(sendmail.last()) == ["a@example.org"]
    assert sendmail.read(1).get_content() == ".dot\n"
    assert "sendmail -bs" in sendmail.program.call("show", "1").out


def test_q_delivers_what_is_due_as_drain_does(sendmail: Sendmail) -> None:
    assert sendmail("a@example.org").status == 0
    assert sendmail("-q30m").status == 75  # nobody listens at that port
    assert sendmail.last()["status"] == "failed"


def test_an_interrupt_ends_it_quietly_and_stores_nothing(sendmail: Sendmail) -> None:
    command = [sys.executable, "-m", "prx_email_cli.sendmail", "-v", "a@example.org"]
    for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)):
        with subprocess.Popen(
            command, env=sendmail.program.environment, cwd=sendmail.program.home, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as process:  # fmt: skip
            assert process.stdin is not None
            assert process.stderr is not None
            process.stdin.write(b"Subject: half\n\n" + b"x\n" * 100_000)  # more than a pipe holds: it reads by now
            process.send_signal(number)
            assert process.wait(30) == status
            assert process.stderr.read() == b""
            with suppress(BrokenPipeError):
                process.stdin.close()
    assert sendmail.stored() == []


def test_root_at_this_machine_goes_where_root_goes(sendmail: Sendmail) -> None:
    sendmail.alias('aliases.root = "ops@example.com"')
    recipients = ("root@localhost", f"root@{os.uname().nodename}", "a@localhost", "b@example.org")
    for _ in range(2):  # the second one knows the config already
        assert sendmail(*recipients) == (0, "", "")
        assert addresses(sendmail.last()) == ["ops@example.com", "a@localhost", "b@example.org"]


def test_the_version_is_printed_and_v_stays_the_envelope_id(sendmail: Sendmail) -> None:
    ended = sendmail("--version")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith("prx-sendmail ")
    assert sendmail("-V").status == 64
    assert sendmail("-V", "id", "a@example.org").status == 0
