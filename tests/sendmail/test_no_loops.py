"""A drain whose talk is mailed by cron, through the same outbox, is not fed by its own mail."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from prx_email_cli.errors import Exit

from ..conftest import COMMAND, Program
from ..restore.backups import backup, restore
from ..support.faults import Fault
from ..support.scripted import ScriptedServer, refusing_port
from .circle import MDADM, Cron

MINUTES = int(os.environ.get("TORTURE_MINUTES", "10"))  # of each day; make torture has all of them
REFUSES = Fault("rcpt", "550 5.1.1 no such user")
LOGIN = {"u": "secret"}
ALARMS = 21  # of mdadm, in a week


def rows(program: Program, *filters: str) -> list[dict[str, Any]]:
    """What ``list`` tells."""
    found: list[dict[str, Any]] = program.call("list", "--json", "--limit", "100000", *filters).data
    return found


@pytest.fixture
def cron(program: Program, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Cron]:
    """Configure the program as ``Program.configure`` does, and let cron start its drains."""

    def make(port: int, text: str = "", **options: str) -> Cron:
        program.configure(port, **options)
        with program.config.open("a") as config:
            config.write(text)
        return Cron(program, monkeypatch)

    return make


def test_mail_that_is_refused_for_ever_is_told_once_a_day_and_seen_always(
    program: Program, cron: Callable[..., Cron]
) -> None:
    script = program.home / "hook"
    script.write_text('#!/bin/sh\ncat >> told\necho >> told\necho "the hook is verbose" >&2\nexit 3\n')
    script.chmod(0o755)
    with ScriptedServer([REFUSES]) as server:
        circle = cron(server.port, f'\n[notify]\ncommand = ["{script}"]\n')
        circle.week(MINUTES)
    assert len(circle.mailed) == 7, "one a day, of the first alarm"
    assert all(mailed.count("gave up outbox message") == 1 for mailed in circle.mailed)
    given_up = rows(program, "--gave-up")
    assert len(given_up) == len(rows(program)) == ALARMS + 7, "the alarms, and cron's mail about each day's first"
    told = [json.loads(line)["outbox_id"] for line in (program.home / "told").read_text().splitlines()]
    assert sorted(told) == sorted(one["outbox_id"] for one in given_up), "the notify command hears of each"
    assert f"{ALARMS + 7} given up" in program.call("status").out
    assert program.call("check").status != 0


def test_the_exit_status_says_each_time_that_something_was_given_up(
    program: Program, cron: Callable[..., Cron]
) -> None:
    with ScriptedServer([REFUSES]) as server:
        circle, ended = cron(server.port), []
        for _ in range(3):
            assert circle.mail(MDADM, "-t") == 0
            ended.append(circle.minute())
    assert [(one.status, bool(one.err)) for one in ended] == [(69, True), (69, False), (69, False)]


def test_each_cause_is_told_for_itself(program: Program, cron: Callable[..., Cron]) -> None:
    with ScriptedServer([Fault("rcpt", "550 5.1.1 no such user", times=2), Fault("rcpt", "552 5.2.2 full")]) as server:
        circle = cron(server.port)
        for _ in range(4):
            assert circle.mail(MDADM, "-t") == 0
        for _ in range(5):
            circle.minute()
    assert ["550 5.1.1" in text and "552 5.2.2" in text for text in circle.mailed] == [True]


def test_mail_that_somebody_meant_is_told_each_time(program: Program, cron: Callable[..., Cron]) -> None:
    with ScriptedServer([REFUSES]) as server:
        circle = cron(server.port)
        for text in ("Subject: hello\n\nx\n", "Subject: hello\nAuto-Submitted: no\n\nx\n"):
            assert circle.mail(text) == 0
            assert "gave up outbox message" in circle.minute().err
        assert circle.mail("Subject: hello\n\nx\n", "-f<>") == 0
        circle.minute()
        assert circle.mail("Subject: hello\n\nx\n", "-f<>") == 0
        assert circle.minute().err == "", "a bounce is automatic"


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param([Fault("auth", "535 5.7.8 no")], id="the login is refused"),
        pytest.param([Fault("mail", "451 4.3.0 later")], id="deferred for ever"),
        pytest.param([Fault("greeting", "421 4.7.0 try later")], id="try later for ever"),
        pytest.param([Fault("idle", "250 2.0.0 and one thing more")], id="it says something after each message"),
        pytest.param(
            [fault for _ in range(40)
             for fault in (Fault("mail", "421 4.7.0 slow down", times=1), Fault("mail", "250 2.1.0 go on", times=1))],
            id="it fails and works again",
        ),
    ],
)  # fmt: skip
def test_a_server_with_this_fault_is_told_a_few_times_a_day(
    program: Program, cron: Callable[..., Cron], faults: list[Fault]
) -> None:
    with ScriptedServer(faults, auth=LOGIN) as server:
        circle = cron(server.port, smtp='user = "u"', auth='password = "secret"')
        circle.week(alarms=1)
        assert_bounded(circle)


def test_a_server_that_is_away_is_told_once_a_day(program: Program, cron: Callable[..., Cron]) -> None:
    with refusing_port() as port:
        circle = cron(port)
        circle.week(alarms=1)
    assert_bounded(circle)


@pytest.mark.parametrize(
    ("smtp", "text"),
    [
        pytest.param('password_command = ["COMMAND"]', "", id="a password command that talks"),
        pytest.param('password_env = "NO_SUCH"', "", id="a password that is not there"),
        pytest.param('password = "secret"', '\n[log]\nfile = "/nowhere/log"\n', id="a log that cannot be written"),
    ],
)
def test_what_is_wrong_here_is_told_a_few_times_a_day(
    program: Program, cron: Callable[..., Cron], smtp: str, text: str
) -> None:
    command = program.home / "secret"
    command.write_text('#!/bin/sh\necho "a warning: the key is old" >&2\necho "and more" >&2\necho secret\n')
    command.chmod(0o755)
    with ScriptedServer(auth=LOGIN) as server:
        circle = cron(server.port, text, smtp='user = "u"', auth=smtp.replace("COMMAND", str(command)))
        circle.week(alarms=1)
        assert_bounded(circle)
    assert circle.mailed, "it is told"


def test_an_outbox_that_may_not_be_drained_says_so_once_a_day(program: Program, cron: Callable[..., Cron]) -> None:
    with ScriptedServer() as server:
        circle = cron(server.port)
        circle.mail(MDADM, "-t")
        kept = backup(program)
        circle.minute()
        restore(program, kept)
        circle.week(alarms=1)
        assert_bounded(circle)
        assert circle.mailed
        assert circle.minute().status not in (0, Exit.BUG), "the exit status says it each time"


def test_a_wrong_account_in_the_crontab_is_told_once_a_day_and_each_time_on_demand(
    program: Program, cron: Callable[..., Cron]
) -> None:
    cron(9)
    told = [program.call("drain", "--account", "nosuch") for _ in range(3)]
    assert [(one.status, bool(one.err)) for one in told] == [(78, True), (78, False), (78, False)]
    assert "nosuch" in program.call("drain", "--account", "nosuch", "--verbose").err
    assert "nosuch" in program.call("drain", "--account", "nosuch", "--json").json["error"]["message"]


def test_only_what_a_cron_has_started_is_told_seldom(program: Program) -> None:
    """A real process of that name is above it."""
    (program.home / "cron").symlink_to("/bin/sh")
    drain = f"{' '.join(COMMAND)} drain --account nosuch"
    for name, lines in (("sh", 3), ("./cron", 1)):
        done = subprocess.run(
            [name, "-c", f"{drain}; {drain}; {drain}; true"], env=program.environment, cwd=program.home,
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        assert done.stderr.count("error: ") == lines, (name, done)


def assert_bounded(circle: Cron) -> None:
    """A handful of mails a day, however many minutes a day has."""
    assert len(circle.mailed) <= 7 * 8, circle.mailed
    assert len(rows(circle.program)) <= 1 + 7 + 7 * 8


def test_what_has_passed_more_than_fifty_servers_is_refused(program: Program, cron: Callable[..., Cron]) -> None:
    circle, passed = cron(9), "Received: by there; Mon, 24 Nov 2025 16:00:00 +0000\n"
    assert circle.mail(passed * 50 + "Subject: s\n\nx\n") == 0
    assert circle.mail(passed * 51 + "Subject: s\n\nx\n") == Exit.REFUSED_INPUT
    assert len(rows(program)) == 1
