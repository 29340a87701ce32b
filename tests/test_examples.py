"""The example scripts and the example config do what they say."""

import os
import subprocess
import sys
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from .conftest import Program
from .support.mailhost import MailHost

EXAMPLES = Path(__file__).parents[1] / "examples"
PARENT = (
    "From: Jane <jane@example.org>\nTo: ops@example.com\nSubject: Is it up?\nMessage-ID: <q1@example.org>\n\nIs it?\n"
)


@pytest.fixture
def path(program: Program) -> str:
    """A PATH on which prx-email is the one under test."""
    command = program.home / "bin" / "prx-email"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m prx_email_cli "$@"\n')
    command.chmod(0o755)
    return f"{command.parent}:{os.environ['PATH']}"


def run(program: Program, path: str, name: str, *arguments: str, text: str = "", **environment: str) -> str:
    done = subprocess.run(
        [str(EXAMPLES / name), *arguments], env={**program.environment, "PATH": path, **environment}, check=False,
        input=text, capture_output=True, text=True, timeout=60, cwd=program.home,
    )  # fmt: skip
    assert done.returncode == 0, done
    return done.stdout


def test_every_example_is_run_by_a_test() -> None:
    tested = {"nightly-report.sh", "disk-alert.sh", "mutt-reply.sh", "personalised-batch.sh"}
    elsewhere = {"prometheus-alerts.yml", "grafana-dashboard.json"}  # tests/cli/test_metrics.py
    unattended = {"systemd", "docker", "prx-email.cron", "prx-email.logrotate"}  # tests/service, tests/interop
    assert {file.name for file in EXAMPLES.iterdir()} == tested | elsewhere | unattended


def test_the_nightly_report_is_attached_as_it_was_when_it_was_sent(program: Program, path: str) -> None:
    report = program.home / "backup.log"
    report.write_text("all is well\n" * 30)
    outbox_id = int(run(program, path, "nightly-report.sh", str(report), "ops@example.org"))
    report.unlink()
    with MailHost() as host:
        program.configure(host.port)
        assert program.run("drain").status == 0
        message = message_from_bytes(host.messages[0].content, policy=policy.default)

    assert program.show(outbox_id)["status"] == "sent"
    (attachment,) = message.iter_attachments()
    assert (attachment.get_filename(), attachment.get_content()) == ("backup.log", "all is well\n" * 30)


def test_the_disk_alert_is_sent_once_for_one_state_of_the_disks(program: Program, path: str) -> None:
    first = run(program, path, "disk-alert.sh", "ops@example.org", "0")
    second = run(program, path, "disk-alert.sh", "ops@example.org", "0")

    assert first == second != ""
    assert len(program.run("list", "--json").data) == 1


def test_the_disk_alert_is_silent_when_no_disk_is_full(program: Program, path: str) -> None:
    assert run(program, path, "disk-alert.sh", "ops@example.org", "101") == ""


def test_the_mutt_macro_answers_the_message_that_is_piped_in(program: Program, path: str) -> None:
    outbox_id = int(run(program, path, "mutt-reply.sh", text=PARENT, REPLY_TEXT="It is."))

    row = program.show(outbox_id)
    assert (row["to"], row["subject"]) == (["jane@example.org"], "Re: Is it up?")


def test_a_thousand_personal_mails_are_enqueued_once_however_often_the_script_runs(program: Program, path: str) -> None:
    people = program.home / "people.tsv"
    people.write_text("".join(f"u{number}@example.org\tUser {number}\n" for number in range(1000)))
    first = run(program, path, "personalised-batch.sh", str(people), "december")
    second = run(program, path, "personalised-batch.sh", str(people), "december")

    assert first == second
    assert len(first.split()) == 1000
    assert program.run("stats", "--json").data["pending"] == 1000
