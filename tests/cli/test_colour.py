"""Colour on a terminal says again what the words say, and never more."""

from __future__ import annotations

import re

import pytest

from ..conftest import COMMAND, Program
from ..support.faults import Fault
from ..support.terminal import Terminal
from .outside import serving

GREEN, YELLOW, RED = (rf"\x1b\[{code}m" for code in (32, 33, 31))
CODES = re.compile(r"\x1b\[[0-9;]*m")
COMMANDS = [("list",), ("log",), ("show", "1", "2", "3")]


@pytest.fixture
def story(program: Program) -> Program:
    """Message 1 is sent, 2 refused, 3 deferred."""
    refused, later = (Fault("rcpt", reply, address=f"{name}@example.org")
                      for name, reply in (("b", "550 5.1.1 no such user"), ("c", "450 4.2.0 later")))  # fmt: skip
    with serving(program, refused, later):
        for name in "abc":
            program.send("--now-ts", "1000", to=f"{name}@example.org")
        program.run("drain", "--now-ts", "2000")
    return program


def on_terminal(program: Program, *command: str, **environment: str) -> str:
    around = {"TERM": "xterm", "NO_COLOR": "", "COLUMNS": "100"}
    with Terminal([*COMMAND, *command], env={**program.environment, **around, **environment}, cwd=program.home) as it:
        assert it.end() == 0
        return it.screen


def test_sent_is_green_deferred_yellow_and_given_up_red(story: Program) -> None:
    for screen, sent, deferred, given_up in (
        (on_terminal(story, "list"), "sent", "failed", "gave up"),
        (on_terminal(story, "log"), "sent", "deferred", "gave up"),
        (on_terminal(story, "show", "1", "2", "3"), "sent ", "not sent yet", "given up"),
    ):
        for colour, word in ((GREEN, sent), (YELLOW, deferred), (RED, given_up)):
            assert re.search(colour + word, screen), (word, screen)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_nothing_is_lost_or_moved_without_it(story: Program, command: tuple[str, ...]) -> None:
    coloured = on_terminal(story, *command, "--now-ts", "9000")
    assert CODES.search(coloured)
    for plain in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert on_terminal(story, *command, "--now-ts", "9000", **plain) == CODES.sub("", coloured)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_pipe_gets_none(story: Program, command: tuple[str, ...]) -> None:
    assert "\x1b" not in story.run(*command, TERM="xterm", COLUMNS="100").out
