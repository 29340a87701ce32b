"""Accounts that drains leave alone: paused by a person, or resting after a refusal."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..conftest import Answer, Program
from ..support.faults import Fault
from ..support.scripted import ScriptedServer
from .test_list import at_width

NOW = 1_900_000_000
REFUSED = "535 5.7.8 wrong password"


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """A server that refuses one login, and then takes everything."""
    with ScriptedServer([Fault("auth", REFUSED, times=1)], auth={"ops@example.com": "right"}) as server:
        yield server


def configure(program: Program, server: ScriptedServer, **options: str) -> None:
    program.configure(server.port, smtp='user = "ops@example.com"', auth='password = "right"', **options)


def drain(program: Program, after: int = 0, *options: str) -> Answer:
    return program.run("drain", "--now-ts", str(NOW + after), *options)


def send(program: Program, many: int = 1) -> None:
    for number in range(many):
        program.run("send", "--to", "a@example.org", "--subject", f"s{number}", "--body", "x", "--now-ts", str(NOW))


def statuses(program: Program) -> list[tuple[str, int]]:
    rows = json.loads(program.run("list", "--json").out)["data"]
    return sorted((row["status"], row["retries"]) for row in rows)


def test_after_a_refused_login_drains_wait_tell_it_once_and_end_with_75(
    program: Program, server: ScriptedServer
) -> None:
    configure(program, server)
    send(program, 3)
    first = drain(program)
    assert (first.status, server.connections) == (75, 1)
    assert first.err.startswith("account work: login refused since ")
    assert REFUSED in first.err
    assert "3 messages wait. → prx-email account test work" in first.err
    for after in (1, 30, 59):
        assert drain(program, after) == Answer(75, "", "")
    answer = json.loads(drain(program, 59, "--json").out)
    assert (answer["ok"], answer["error"]["code"], answer["data"]["still_due"]) == (False, "auth", 3)
    assert "rests until" in answer["error"]["message"]
    assert server.connections == 1
    last = drain(program, 60)
    assert (last.status, last.err) == (0, "account work works again\n")
    assert statuses(program) == [("sent", 0)] * 2 + [("sent", 1)]
    assert drain(program, 61) == Answer(0, "", "")


@pytest.mark.parametrize(
    "ends",
    [("resume", "--account", "work"), ("resume",), ("account", "test", "work"), ("retry", "--force", "1")],
    ids=["resume", "resume all", "account test", "retry"],
)
def test_a_person_ends_a_rest(program: Program, server: ScriptedServer, ends: tuple[str, ...]) -> None:
    configure(program, server)
    send(program, 3)
    drain(program)
    assert drain(program, 20).status == 75
    assert program.run(*ends).status == 0
    answer = drain(program, 20)
    assert (answer.status, [status for status, _ in statuses(program)]) == (0, ["sent"] * 3)


def test_a_changed_config_ends_a_rest_and_a_rewritten_one_does_not(program: Program, server: ScriptedServer) -> None:
    configure(program, server)
    send(program, 2)
    drain(program)
    configure(program, server)
    assert drain(program, 20).status == 75
    program.configure(server.port, smtp='user = "ops@example.com"\nhelo_name = "x.example"', auth='password = "right"')
    assert drain(program, 20).status == 0


def test_no_digest_of_a_secret_is_stored(program: Program, server: ScriptedServer) -> None:
    """Another password alone looks like the same config."""
    configure(program, server)
    send(program, 2)
    drain(program)
    program.configure(server.port, smtp='user = "ops@example.com"', auth='password = "another"')
    assert drain(program, 20).status == 75


def test_a_refusal_is_found_by_the_next_probe_each_time_later(program: Program) -> None:
    with ScriptedServer([Fault("auth", REFUSED)], auth={"ops@example.com": "right"}) as server:
        configure(program, server)
        send(program, 6)
        probes = []
        for minute in range(16):
            before = server.connections
            drain(program, 60 * minute)
            probes += [minute] * (server.connections - before)
    assert probes == [0, 1, 3, 7, 15]
    assert statuses(program) == [("failed", 1)] * 5 + [("pending", 0)]


def test_a_server_out_of_reach_lets_no_account_rest(program: Program) -> None:
    with ScriptedServer([Fault("greeting", "close")]) as server:
        program.configure(server.port)
        send(program, 3)
        assert [drain(program, after) for after in (0, 1, 2)] == [Answer(75, "", "")] * 3
        assert server.connections == 3


@pytest.mark.on_both
def test_a_paused_account_gets_no_connection_and_everything_says_so(program: Program, server: ScriptedServer) -> None:
    configure(program, server)
    paused = program.run("pause", "--account", "work", "--reason", "provider moves")
    assert (paused.status, paused.out) == (0, "account work paused\n")
    send(program, 2)
    assert drain(program) == Answer(0, "", "")
    told = drain(program, 0, "--verbose")
    assert told.status == 0
    assert "account work is paused by " in told.err
    assert ": provider moves (prx-email resume --account work)" in told.err
    assert statuses(program) == [("pending", 0)] * 2
    assert server.connections == 0
    doctor = program.run("doctor")
    assert "account work is paused" in doctor.out
    assert program.run("resume", "--account", "work").out == "account work resumed\n"
    assert program.run("resume", "--account", "work").out == "account work not paused\n"


def test_a_pause_lasts_as_long_as_was_said(program: Program) -> None:
    with ScriptedServer() as server:
        program.configure(server.port)
        send(program)
        program.run("pause", "--for", "2h", "--now-ts", str(NOW))
        assert drain(program, 7199).status == 0
        assert statuses(program) == [("pending", 0)]
        drain(program, 7200)
    assert statuses(program) == [("sent", 0)]


def test_a_pause_of_all_is_not_lifted_for_one(program: Program) -> None:
    with ScriptedServer() as server:
        program.configure(server.port)
        send(program)
        assert program.run("pause").out == "all accounts paused\n"
        assert "all accounts are still paused" in program.run("resume", "--account", "work").out
        drain(program)
        assert statuses(program) == [("pending", 0)]
        program.run("resume")
        drain(program)
    assert statuses(program) == [("sent", 0)]


@pytest.mark.parametrize(
    ("options", "status"),
    [
        (("--account", "nobody"), 78),
        (("--for", "soon"), 65),
        (("--for", "0s"), 65),
        (("--reason", ""), 65),
        (("--reason", "x" * 201), 65),
    ],
)
def test_a_wrong_pause_changes_nothing(program: Program, options: tuple[str, ...], status: int) -> None:
    program.configure()
    assert program.run("pause", *options).status == status
    assert program.run("resume").out == "all accounts not paused\n"


def test_a_reason_from_outside_is_escaped(program: Program) -> None:
    program.configure()
    program.run("pause", "--reason", "\x1b[31mred\x07")
    send(program)
    told = drain(program, 0, "--verbose").err
    assert "\x1b" not in told
    assert "red" in told


def notifying(program: Program, events: str) -> tuple[Path, str]:
    """A notify command that writes down what it is given, and its config."""
    said, hook = program.home / "said", program.home / "hook"
    hook.write_text(f"#!/bin/sh\ncat >> {said}; echo >> {said}\n")
    hook.chmod(stat.S_IRWXU)
    return said, f'[notify]\ncommand = ["{hook}"]\n{events}'


def test_the_notify_command_hears_of_accounts_if_the_config_says_so(program: Program, server: ScriptedServer) -> None:
    said, table = notifying(program, 'events = ["account_down", "account_up"]\n')
    configure(program, server)
    program.config.write_text(table + program.config.read_text())
    send(program, 2)
    drain(program)
    drain(program, 60)
    down, up = (json.loads(line) for line in said.read_text().splitlines())
    assert (down["event"], down["account"], down["waiting"], down["error_code"]) == ("account_down", "work", 2, "auth")
    assert REFUSED in down["detail"]
    assert (up["event"], up["account"], up["waiting"]) == ("account_up", "work", 0)


def test_the_notify_command_hears_of_given_up_messages_alone_by_default(program: Program) -> None:
    said, table = notifying(program, "")
    faults = [Fault("auth", REFUSED, times=1), Fault("rcpt", "550 5.1.1 no")]
    with ScriptedServer(faults, auth={"ops@example.com": "right"}) as server:
        configure(program, server)
        program.config.write_text(table + program.config.read_text())
        send(program)
        drain(program)
        assert not said.exists()
        drain(program, 60)
    (given_up,) = (json.loads(line) for line in said.read_text().splitlines())
    assert (given_up["event"], given_up["outbox_id"], given_up["gave_up"]) == ("gave_up", 1, "refused")


def test_an_unknown_event_is_named(program: Program) -> None:
    _, table = notifying(program, 'events = ["account_dwn"]\n')
    program.configure()
    program.config.write_text(table + program.config.read_text())
    answer = program.run("drain")
    assert answer.status == 78
    assert 'did you mean "account_down"?' in answer.err


def test_list_says_when_what_is_next_is_kept_back_by_its_account(program: Program, server: ScriptedServer) -> None:
    configure(program, server)
    send(program, 2)
    drain(program)
    assert [line.split()[3:5] for line in listed(program, 10)] == [["in", "50s"]] * 2, "it rests for a minute"
    program.run("pause", "--account", "work", "--now-ts", str(NOW + 10))
    assert [line.split()[3] for line in listed(program, 20)] == ["paused"] * 2


def listed(program: Program, after: int) -> list[str]:
    _, *lines = at_width(80, program, "list", "--now-ts", str(NOW + after))
    return lines


def test_a_removed_account_leaves_no_pause_to_another_of_its_name(program: Program, server: ScriptedServer) -> None:
    configure(program, server)
    program.run("pause", "--account", "work")
    before = program.config.read_text()
    program.config.write_text(before + before[before.index("[accounts.work") :].replace("accounts.work", "accounts.b"))
    program.run("account", "remove", "work", "--force")
    program.config.write_text(before)
    assert json.loads(program.run("status", "--json").out)["data"]["accounts"][0]["paused"] is False
