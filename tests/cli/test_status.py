"""One look tells what is wrong, and what helps."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ..conftest import Answer, Program
from ..support.faults import Fault
from ..support.scripted import ScriptedServer

NOW = 1_900_000_000
REFUSED = "535 5.7.8 wrong password"


def send(program: Program, *recipients: str) -> None:
    for recipient in recipients:
        program.run("send", "--to", recipient, "--subject", "s", "--body", "x", "--now-ts", str(NOW))


def drain(program: Program, after: int = 0) -> None:
    program.run("drain", "--now-ts", str(NOW + after))


def status(program: Program, after: int = 0, *options: str) -> Answer:
    return program.run("status", "--now-ts", str(NOW + after), *options)


def data(answer: Answer) -> Any:
    return json.loads(answer.out)["data"]


def test_where_all_is_well_nobody_is_wanted(program: Program) -> None:
    with ScriptedServer() as server:
        program.configure(server.port)
        send(program, "a@example.org")
        drain(program)
    answer = status(program)
    assert (answer.status, answer.err) == (0, "")
    assert answer.out.splitlines()[0] == "work  works; nothing waits; 1 delivered in the last hour"
    assert answer.out.splitlines()[-1] == "nobody is wanted"


@pytest.mark.on_both
def test_messages_behind_a_refused_login_are_one_cause_with_the_command_that_helps(program: Program) -> None:
    with ScriptedServer([Fault("auth", REFUSED)], auth={"ops@example.com": "right"}) as server:
        program.configure(server.port, smtp='user = "ops@example.com"', auth='password = "right"')
        send(program, *[f"r{number}@example.org" for number in range(5)])
        drain(program)
        drain(program, 60)
    answer = status(program, 61)
    assert answer.status == 1
    assert "work  login refused since" in answer.out
    assert "5 wait, the oldest for 1m" in answer.out
    assert "1. 2 wait on work: " in answer.out
    assert REFUSED in " ".join(answer.out.split())
    assert "→ set password of [accounts.work.smtp.auth] right, then prx-email account test work" in " ".join(
        answer.out.split()
    )
    assert "a person is wanted: account work does not work" in answer.out
    seen = data(status(program, 61, "--json"))
    (account,), (cause,) = seen["accounts"], seen["causes"]
    assert (account["account"], account["resting"], account["waiting"], account["oldest_age_seconds"]) == (
        "work", True, 5, 61,
    )  # fmt: skip
    assert (cause["by_account"], cause["many"], cause["fix"]) == (
        True, 2, "set password of [accounts.work.smtp.auth] right, then prx-email account test work",
    )  # fmt: skip
    assert (cause["meaning"], cause["source"]) == ("wrong user or password", "RFC 4954 section 6")
    assert "account work does not work" in seen["wanted"]


def test_refused_recipients_are_one_cause_whatever_their_addresses(program: Program) -> None:
    with ScriptedServer([Fault("rcpt", "550 5.1.1 unknown user")]) as server:
        program.configure(server.port)
        send(program, "a@example.org", "b@example.net", "c@example.com")
        drain(program)
    (cause,) = data(status(program, 0, "--json"))["causes"]
    assert (cause["many"], cause["gave_up"], cause["meaning"]) == (3, True, "no such mailbox")
    answer = status(program)
    assert answer.status == 1
    assert "a person is wanted: 3 given up" in answer.out
    program.run("cancel", "1", "2", "3")
    assert status(program).status == 0


def test_no_line_is_wider_than_80_columns_when_nobody_says_how_wide(program: Program) -> None:
    with ScriptedServer([Fault("rcpt", f"451 4.2.1 {'much to say ' * 30}")]) as server:
        program.configure(server.port)
        send(program, "a@example.org")
        drain(program)
    assert max(map(len, status(program).out.splitlines())) <= 80


def test_words_from_outside_are_escaped(program: Program) -> None:
    with ScriptedServer([Fault("rcpt", "550 5.1.1 \x1b[31mred\x07")]) as server:
        program.configure(server.port)
        send(program, "a@example.org")
        drain(program)
    assert "\x1b" not in status(program).out


def test_a_pause_is_the_first_thing_that_is_said(program: Program) -> None:
    program.configure()
    send(program, "a@example.org")
    program.run("pause", "--reason", "moving", "--now-ts", str(NOW))
    answer = status(program)
    assert answer.out.startswith("ALL ACCOUNTS  paused by ")
    assert "(moving)" in answer.out
    assert data(status(program, 0, "--json"))["all_paused"] is True


def test_a_person_is_wanted_where_messages_wait_and_nothing_drains(program: Program) -> None:
    program.configure()
    send(program, "a@example.org")
    answer = status(program, 10)
    assert answer.status == 1
    assert "no drain has ended here yet" in answer.out
    assert "a person is wanted: messages wait and nothing drains" in answer.out


def test_an_account_that_is_not_in_the_config_any_more_is_shown(program: Program) -> None:
    program.configure()
    send(program, "a@example.org")
    program.config.write_text(program.config.read_text().replace("accounts.work", "accounts.other"))
    names = [one["account"] for one in data(status(program, 0, "--json"))["accounts"]]
    assert names == ["other", "work"]


@pytest.mark.parametrize("columns", ["40", "100"])
def test_the_screen_is_as_wide_as_the_terminal(program: Program, columns: str) -> None:
    with ScriptedServer([Fault("rcpt", f"451 4.2.1 {'much to say ' * 30}")]) as server:
        program.configure(server.port)
        send(program, "a@example.org")
        drain(program)
    lines = program.run("status", "--now-ts", str(NOW), COLUMNS=columns).out.splitlines()
    assert int(columns) - 15 < max(map(len, lines)) <= int(columns)


@pytest.mark.on_both
def test_what_was_delivered_in_the_last_hour_and_the_used_limits_are_shown(program: Program) -> None:
    with ScriptedServer() as server:
        program.configure(server.port, smtp="messages_per_day = 2\nmessages_per_minute = 100")
        send(program, "a@example.org", "b@example.org", "c@example.org")
        drain(program)
    assert status(program).out.startswith("work  works; 1 wait, the oldest for 0s; 2 delivered in the last hour; limit")
    said = " ".join(status(program).out.split())
    assert "limit used up until" in said
    assert "2/2 messages today" in said
    (account,) = data(status(program, 0, "--json"))["accounts"]
    assert account["delivered_last_hour"] == 2
    day = {"most": 2, "of": "messages", "seconds": 86_400, "taken": 2, "free_at": NOW + 86_400}
    assert [one for one in account["limits"] if one["seconds"] == 86_400] == [day]
    (account,) = data(status(program, 86_400, "--json"))["accounts"]
    assert (account["delivered_last_hour"], account["limits"][-1]["free_at"]) == (0, None)


def test_what_started_the_last_drain_is_told(program: Program) -> None:
    program.configure()
    program.run("drain")
    answer = program.run("status")
    assert answer.out.splitlines()[1].startswith("the last drain ended ")
    assert answer.out.splitlines()[1].endswith(" ago, started by a program")
    assert data(program.run("status", "--json"))["last_drain_by"] == "a program"
    program.run("drain", INVOCATION_ID="abc")
    assert data(program.run("status", "--json"))["last_drain_by"] == "systemd"


def test_the_name_of_the_program_alone_shows_the_status_where_there_is_a_config_else_the_help(program: Program) -> None:
    program.config.unlink(missing_ok=True)
    answer = program.run()
    assert (answer.status, "Usage: prx-email" in answer.out, answer.err) == (2, True, "")
    program.configure()
    answer = program.run()
    assert (answer.status, answer.out) == (0, program.run("status").out)
    assert answer.out.startswith("work  works; nothing waits")


def test_messages_of_an_account_that_is_gone_want_a_person(program: Program) -> None:
    program.configure()
    send(program, "a@example.org")
    program.config.write_text(program.config.read_text().replace("accounts.work", "accounts.other"))
    answer = status(program)
    assert answer.status == 1
    assert "work  not in the config; 1 wait, the oldest for 0s" in answer.out
    assert "account work is not in the config" in " ".join(answer.out.split())


def test_what_may_have_been_sent_is_a_cause_with_the_command_that_decides(program: Program) -> None:
    with ScriptedServer([Fault("after_dot", "close")]) as server:
        program.configure(server.port, outbox='on_uncertain = "hold"')
        send(program, "a@example.org", "b@example.org")
        drain(program)
    (cause,) = data(status(program, 0, "--json"))["causes"]
    assert (cause["many"], cause["uncertain"], cause["gave_up"]) == (2, True, False)
    assert cause["fix"].startswith("prx-email resolve --cause 1 --sent if it arrived, else ")
    program.run("resolve", "1", "--sent")
    (cause,) = data(status(program, 0, "--json"))["causes"]
    assert cause["fix"].startswith("prx-email resolve 2 --sent if it arrived, else prx-email resolve 2 --not-sent")
    assert "1. 1 may have been sent and are held on work" in status(program).out


@pytest.mark.parametrize(
    ("auth", "deed"),
    [
        ("keyring = true", "prx-email account set-password work"),
        ('oauth = { client_id = "c" }', "prx-email account login work"),
        ('password_file = "secret"', "set password_file of [accounts.work.smtp.auth] right"),
    ],
)
def test_after_a_refused_login_it_is_said_what_gives_the_account_another_secret(
    program: Program, auth: str, deed: str
) -> None:
    with ScriptedServer([Fault("auth", REFUSED)], auth={"ops@example.com": "right"}) as server:
        program.configure(server.port, smtp='user = "ops@example.com"', auth='password = "right"')
        send(program, "a@example.org")
        drain(program)
        provider = "" if "oauth" not in auth else 'provider = "gmail"'
        program.configure(server.port, smtp='user = "ops@example.com"', auth=auth, account=provider)
    (cause,) = data(status(program, 0, "--json"))["causes"]
    assert cause["fix"] == f"{deed}, then prx-email account test work"


def test_what_is_held_is_counted(program: Program) -> None:
    program.configure()
    send(program, "a@example.org", "b@example.org")
    program.run("hold", "1")
    assert status(program).out.startswith("work  works; 1 wait, the oldest for 0s; 1 held (prx-email list --held)\n")


def test_what_a_dead_run_has_in_hand_wants_a_drain(program: Program) -> None:
    with ScriptedServer([Fault("data", "timeout")]) as server:
        program.configure(server.port)
        send(program, "a@example.org")
        process = program.start("drain", "--now-ts", str(NOW))
        server.wait_for(lambda: any(one.line == "DATA" for one in server.commands))
        assert "died" not in status(program).out
        process.kill()
        process.communicate()
    answer = status(program)
    assert answer.status == 1
    assert "a drain died with 1 in hand" in " ".join(answer.out.split())
    assert data(status(program, 0, "--json"))["runs_died"] == 1


def test_a_clock_that_went_back_is_told(program: Program) -> None:
    with ScriptedServer() as server:
        program.configure(server.port)
        send(program, "a@example.org")
        drain(program)
        program.run("send", "--to", "a@example.org", "--subject", "s", "--body", "x", "--now-ts", str(NOW - 7300))
    assert "the outbox was used 2h 0m ahead of this clock" in " ".join(status(program, -7200).out.split())
