"""``send`` says once a day that messages are due and nothing drains."""

import json
import os
import subprocess
import sys

import pytest

from ..conftest import Answer, Program
from ..support.mailhost import MailHost
from .outside import NOW, rows
from .test_merge import PEOPLE, TEXT

MESSAGE = ("--to", "a@example.org", "--subject", "s", "--body", "b")
LATE = NOW + 47 * 60


def send(program: Program, at: int, *options: str) -> Answer:
    answer = program.run("send", *MESSAGE, "--now-ts", str(at), *options)
    assert answer.status == 0, answer
    return answer


@pytest.mark.on_both
def test_it_says_so_once_a_day_beside_the_id(program: Program) -> None:
    assert send(program, NOW).err == ""
    assert send(program, NOW + 29 * 60).err == ""
    answer = send(program, LATE)
    assert (answer.out, answer.err.splitlines()) == ("3\n", [
        "warning: a message has been due for 47m, and no drain has ended here yet",
        "hint: prx-email cron prints the line that lets cron start drains",
    ])  # fmt: skip
    assert send(program, LATE + 60).err == ""
    assert send(program, LATE + 86_400).err.startswith("warning: a message has been due for 1d 0h")


def test_it_says_so_after_a_batch_a_merge_and_a_reply(program: Program) -> None:
    send(program, NOW)
    day = 86_400
    line = json.dumps({"to": "a@example.org", "subject": "s", "body_text": "b"}) + "\n"
    (program.home / "people.csv").write_text(PEOPLE)
    for number, command in enumerate((
        ("send", "--batch", "-"), ("send", "--merge", "people.csv", *TEXT), ("reply", "1", "--body", "b"),
    ), 1):  # fmt: skip
        answer = program.run(*command, "--now-ts", str(NOW + number * day), text=line)
        assert answer.status == 0, answer
        assert f"warning: a message has been due for {number}d 0h" in answer.err


def test_it_says_nothing_with_json_now_preview_or_check(program: Program) -> None:
    send(program, NOW)
    late = ("--now-ts", str(LATE))
    assert program.run("send", *MESSAGE, *late, "--json").err == ""
    assert "due for" not in program.run("send", *MESSAGE, *late, "--now", "--failure-mode", "network").err
    assert "due for" not in program.run("send", *MESSAGE, *late, "--preview").err
    (program.home / "people.csv").write_text(PEOPLE)
    assert "due for" not in program.run("send", "--merge", "people.csv", *TEXT, *late, "--check").err
    assert "due for" not in program.run("send", "--merge", "people.csv", *TEXT, *late, "--json").err
    assert "due for" in send(program, LATE).err


@pytest.mark.of_files
def test_it_says_nothing_while_drains_run_or_a_person_has_paused_them(program: Program) -> None:
    with MailHost() as host:
        program.configure(host.port)
        send(program, NOW)
        assert program.run("pause").status == 0
        assert send(program, LATE).err == ""
        assert program.run("resume").status == 0
        assert program.run("drain").status == 0
    drained = int(os.stat(program.home / "outbox.db.runs" / "last-drain").st_mtime)
    program.configure()
    send(program, drained - 3600)
    assert send(program, drained + 1799).err == ""
    answer = send(program, drained + 1800)
    assert "the last drain ended 30m ago" in answer.err


@pytest.mark.of_files
def test_a_place_where_it_cannot_be_noted_stops_no_message(program: Program) -> None:
    send(program, NOW)
    (program.home / "outbox.db.runs").write_text("in the way")
    assert send(program, LATE) == Answer(0, "2\n", "")
    assert len(rows(program)) == 2


def test_a_message_on_its_way_costs_no_more_modules(program: Program) -> None:
    script = (
        "import sys; from prx_email_cli.cli.main import app\n"
        "try: app(sys.argv[1:])\nexcept SystemExit: pass\n"
        "print(*sorted(name for name in sys.modules if name.startswith('prx_email_cli.')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "send", *MESSAGE], env=program.environment, cwd=program.home,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    loaded = done.stdout.split()
    assert "prx_email_cli.submission.submit" in loaded
    assert "prx_email_cli.checks.backlog" not in loaded
