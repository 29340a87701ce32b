"""``top``: a live view on a real terminal, which is given back as it was however it ends."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.cells import cell_len

from ..conftest import COMMAND, Program
from ..support.faults import Fault
from ..support.terminal import CTRL_C, Terminal
from .outside import assert_error, serving

EVIL = "\x1b[31mred\x9b"
LEFT = "\x1b[?1049l"  # the screen that was there before is back
MOVED = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def terminal(program: Program) -> Iterator[Terminal]:
    """``top`` between two looks at the terminal's settings, with its status."""
    program.send()
    script = 'before=$(stty -g); "$@"; status=$?; test "$before" = "$(stty -g)" && echo "restored $status"'
    environment = {**program.environment, "TERM": "xterm"}
    with Terminal(
        ["/bin/bash", "-c", f"trap : INT; {script}", "bash", *COMMAND, "top"], env=environment, cwd=program.home
    ) as it:
        it.expect("q quits")
        yield it


def test_q_ends_it_and_the_terminal_is_as_before(terminal: Terminal) -> None:
    terminal.press("q")
    terminal.expect(LEFT)
    terminal.expect("restored 0")
    assert terminal.end() == 0
    screen = MOVED.sub("", terminal.screen)
    assert "1 message waits; delivered: 0 in a minute" in screen
    assert re.search(r"work +works +1 ", screen)
    assert "no run is alive" in screen
    assert "Traceback" not in screen


def test_ctrl_c_ends_it_and_the_terminal_is_as_before(terminal: Terminal) -> None:
    terminal.press(CTRL_C)
    terminal.expect(LEFT)
    terminal.expect("restored 130")
    assert "Traceback" not in terminal.screen


def test_sigterm_ends_it_and_the_terminal_is_as_before(terminal: Terminal) -> None:
    child = subprocess.run(["pgrep", "-P", str(terminal._process.pid)], capture_output=True, text=True, check=True)
    os.kill(int(child.stdout), signal.SIGTERM)
    terminal.expect(LEFT)
    terminal.expect("restored 143")


def test_p_pauses_all_accounts_and_lets_them_go_again(terminal: Terminal, program: Program) -> None:
    terminal.press("p")
    terminal.expect("ALL ACCOUNTS  paused by ")
    terminal.expect("p resumes all accounts")
    program.run("drain")
    assert program.show(1)["attempts"] == []
    assert program.run("status", "--json").data["all_paused"] is True
    terminal.press("p")
    terminal.expect("p pauses all accounts")
    assert program.run("status", "--json").data["all_paused"] is False
    assert [one["what"] for one in program.run("log", "--json").data] == ["paused", "resumed"]
    terminal.press("q")
    terminal.expect("restored 0")


def test_other_keys_do_nothing_and_leave_no_trace(terminal: Terminal) -> None:
    terminal.press("x\x1b[A\x1a\r")
    terminal.press("q")
    terminal.expect("restored 0")


def test_it_follows_what_happens(terminal: Terminal, program: Program) -> None:
    with serving(program, Fault("after_dot", "pause")) as server:
        drain = program.start("drain")
        server.wait_for(lambda: server.happened)
        terminal.expect("run of process ")
        terminal.expect(f"{drain.pid}")
        terminal.expect("1 in hand")
        terminal.expect("to a@example.org  hello")
        server.release()
        drain.communicate(timeout=60)
    terminal.expect("0 messages wait; delivered: 1 in a minute")
    terminal.expect("sent")
    terminal.press("q")
    terminal.expect("restored 0")


@pytest.mark.parametrize("trap", ["", "trap '' HUP; "])
def test_it_ends_when_its_terminal_is_gone(program: Program, trap: str, tmp_path: Path) -> None:
    program.send()
    command = ["/bin/sh", "-c", f'{trap}exec "$@"', "sh", *COMMAND, "top"]
    keys, side = pty.openpty()
    errors = (tmp_path / "errors").open("w")
    take = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", take, *command], stdin=side, stdout=side, stderr=errors,
        env={**program.environment, "TERM": "xterm"}, cwd=program.home, start_new_session=True,
    )  # fmt: skip
    os.close(side)
    shown = b""
    while b"q quits" not in shown:
        shown += os.read(keys, 65536)
    os.close(keys)
    process.wait(timeout=60)
    errors.close()
    assert "Traceback" not in (tmp_path / "errors").read_text()


def test_without_a_terminal_it_says_what_to_do(program: Program) -> None:
    assert_error(program.run("top"), 65, "top needs a terminal", "prx-email status", "top --once")


def test_a_terminal_that_cannot_move_its_cursor_gets_no_live_view(program: Program) -> None:
    for kind in ("dumb", "unknown"):
        with Terminal([*COMMAND, "top"], env={**program.environment, "TERM": kind}, cwd=program.home) as terminal:
            assert terminal.end() == 65
            assert "hint: prx-email status" in terminal.screen


def test_no_color_is_no_color(program: Program) -> None:
    program.send()
    program.run("pause")
    found = {}
    for name, value in (("plain", "1"), ("coloured", "")):
        environment = {**program.environment, "TERM": "xterm-256color", "NO_COLOR": value}
        with Terminal([*COMMAND, "top", "--once"], env=environment, cwd=program.home) as terminal:
            assert terminal.end() == 0
            found[name] = terminal.screen
    assert re.search(r"\x1b\[(?:\d+;)*3\d", found["coloured"])
    assert not re.search(r"\x1b\[(?:\d+;)*[34]\d", found["plain"])


class TestOnce:
    @pytest.mark.parametrize("columns", [40, 60, 80, 200])
    def test_a_frame_fits_and_hides_nothing(self, program: Program, columns: int) -> None:
        with serving(program, Fault("rcpt", f"450 4.2.0 later {EVIL} {'x' * 300}")):
            program.send(subject="件名" * 100)
            program.run("drain")
        program.run("pause", "--reason", f"moving {EVIL}")
        answer = program.run("top", "--once", COLUMNS=str(columns))
        assert (answer.status, answer.err) == (0, "")
        assert max(map(cell_len, answer.out.splitlines())) <= columns
        assert not set(answer.out) & set("\x1b\x9b")
        for word in ("ALL ACCOUNTS", "1 message waits", "deferred", "paused"):
            assert word in answer.out

    @pytest.mark.on_both
    def test_json_has_the_same(self, program: Program) -> None:
        program.send()
        program.run("pause", "--account", "work")
        data = program.run("top", "--json").data
        assert (data["all_paused"], data["runs"], data["in_hand"]) == (False, [], [])
        (account,) = data["accounts"]
        assert (account["account"], account["paused"], account["waiting"]) == ("work", True, 1)
        assert (account["delivered_last_minute"], account["delivered_last_hour"]) == (0, 0)
        assert [one["what"] for one in data["latest"]] == ["paused"]

    def test_an_account_that_fails_says_so_and_since_when(self, program: Program) -> None:
        program.send()
        program.run("drain")
        assert re.search(r"work +server not reached since \d", program.run("top", "--once").out)
