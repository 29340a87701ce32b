"""``log``: how deliveries ended and what people did, once or as it happens."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from rich.cells import cell_len

from ..conftest import COMMAND, Program
from ..support.faults import Fault
from ..support.terminal import CTRL_C, Terminal
from .outside import assert_error, serving

EVIL = "\x1b[31mred\x9b"
REFUSAL = f"550 5.1.1 no such user {EVIL}"


def history(program: Program) -> None:
    """Two messages, one refused; a hold, a pause."""
    with serving(program, Fault("rcpt", REFUSAL, address="b@example.org")):
        program.send("--now-ts", "1000")
        program.send("--now-ts", "1000", to="b@example.org")
        program.send("--now-ts", "1000", "--in", "1d")
        program.run("hold", "3", "--now-ts", "1500")
        program.run("drain", "--now-ts", "2000")
        program.run("pause", "--account", "work", "--reason", f"moving {EVIL}", "--now-ts", "3000")


def entries(program: Program, *options: str) -> list[dict[str, Any]]:
    answer = program.run("log", "--json", *options)
    assert (answer.status, answer.err) == (0, "")
    return list(answer.data)


def brief(found: list[dict[str, Any]]) -> list[tuple[int, int | None, str]]:
    return [(one["at"], one["outbox_id"], one["what"]) for one in found]


ALL = [(1500, 3, "held"), (2000, 1, "sent"), (2000, 2, "gave_up"), (3000, None, "paused")]


@pytest.mark.on_both
def test_everything_that_happened_is_there_the_oldest_first(program: Program) -> None:
    history(program)
    found = entries(program)
    assert brief(found) == ALL
    assert [one["entry"] for one in found] == ["action", "attempt", "attempt", "action"]
    assert (found[2]["code"], found[2]["account"], found[2]["who"]) == (550, "work", None)
    assert found[3]["detail"] == f"moving {EVIL}"


def test_it_is_narrowed_by_time_and_number(program: Program) -> None:
    history(program)
    assert brief(entries(program, "--since", "20m", "--now-ts", "3000")) == ALL[1:]
    assert brief(entries(program, "--since", "1970-01-01T00:30:00Z", "--until", "1970-01-01T00:40:00Z")) == ALL[1:3]
    assert brief(entries(program, "--account", "work")) == ALL
    assert brief(entries(program, "--limit", "2")) == ALL[2:]
    assert program.run("log", "--limit", "2").err == "the latest 2 are shown; --limit N shows more\n"
    assert program.run("log", "--limit", "2", "--json").json["cut"] is True


def test_a_pipe_gets_tabs_under_one_header(program: Program) -> None:
    history(program)
    lines = [line.split("\t") for line in program.run("log").out.splitlines()]
    assert lines[0] == ["time", "account", "id", "what", "by", "detail"]
    assert [line[2:4] for line in lines[1:]] == [["3", "held"], ["1", "sent"], ["2", "gave_up"], ["", "paused"]]
    assert "@" in lines[1][4]
    assert r"550 5.1.1 no such user \x1b[31mred\x9b" in lines[3][5]


@pytest.mark.parametrize("command", [("log",), ("log", "--follow")])
def test_a_terminal_gets_a_line_each_that_fits_and_hides_nothing(program: Program, command: tuple[str, ...]) -> None:
    history(program)
    with Terminal(
        [*COMMAND, *command], env={**program.environment, "COLUMNS": "80", "NO_COLOR": "1"}, cwd=program.home
    ) as terminal:
        terminal.expect("paused")
        terminal.expect("\n")
        if "--follow" in command:
            terminal.press(CTRL_C)
        assert terminal.end() == (130 if "--follow" in command else 0)
        screen = terminal.screen.replace("^C", "")
    lines = list(dict.fromkeys(line for line in screen.splitlines() if line))  # a key can cut a write short: again
    assert len(lines) == 4, lines
    assert max(map(cell_len, lines)) <= 80
    assert not set(screen) & set("\x1b\x9b")
    assert "gave up" in lines[2]
    assert "…" in lines[2]


@pytest.mark.on_both
def test_followed_it_tells_what_happens_as_it_happens_and_nothing_twice(program: Program) -> None:
    history(program)
    process = program.start("log", "--follow", "--json")
    assert process.stdout is not None
    seen = [json.loads(process.stdout.readline()) for _ in range(4)]
    program.run("resume")
    seen.append(json.loads(process.stdout.readline()))
    with serving(program):
        program.send()
        program.run("drain")
        seen.append(json.loads(process.stdout.readline()))
        program.run("retry", "2", "--force")
        seen += [json.loads(process.stdout.readline()) for _ in range(2)]
    process.terminate()
    rest, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (143, "")
    again = [json.loads(line) for line in rest.splitlines()]
    assert again in ([], seen[-1:], seen[-2:])  # a signal can cut its write short
    assert brief(seen[:4]) == ALL
    assert [(one["outbox_id"], one["what"]) for one in seen[4:6]] == [(None, "resumed"), (4, "sent")]
    assert {(one["outbox_id"], one["what"]) for one in seen[6:]} == {(2, "retried"), (2, "sent")}


def test_an_attempt_that_began_before_the_follower_is_told_once_it_ends(program: Program) -> None:
    with serving(program, Fault("after_dot", "pause")) as server:
        program.send()
        drain = program.start("drain")
        server.wait_for(lambda: server.happened)
        process = program.start("log", "--follow")
        assert process.stdout is not None
        assert process.stdout.readline().startswith("time\t")
        server.release()
        assert "\tsent\t" in process.stdout.readline()
        drain.communicate(timeout=60)
        process.terminate()
        process.communicate(timeout=60)


def test_it_ends_when_nobody_reads_any_more(program: Program) -> None:
    history(program)
    process = program.start("log", "--follow", stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    program.run("resume")
    assert process.wait(timeout=60) in (0, 74)
    assert process.stderr is not None
    with process.stderr as stderr:
        assert "Traceback" not in stderr.read()


def test_where_nothing_happened_it_says_so(program: Program) -> None:
    program.send()
    answer = program.run("log")
    assert (answer.status, answer.out, answer.err) == (0, "", "nothing is in the log\n")
    assert entries(program) == []


def test_wrong_ways(program: Program) -> None:
    history(program)
    assert_error(program.run("log", "--account", "nobody"), 78, "nobody")
    assert_error(program.run("log", "--since", "yesterday"), 65, "--since", "2h for two hours ago")
    assert program.run("log", "--follow", "--until", "1h").status == 2
    assert program.run("log", "--limit", "0").status == 2
