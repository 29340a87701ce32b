"""Colour by meaning on a terminal, never alone; and the demo, which shows what a person would see."""

import re

import pytest

from ..conftest import COMMAND, Program
from ..support.faults import Fault
from ..support.scripted import ScriptedServer
from ..support.terminal import Terminal

ANSI = re.compile(r"\x1b\[[0-9;]*m")
COMMANDS = (("list",), ("status",), ("show", "1"), ("show", "2"), ("account", "test"))


@pytest.fixture
def story(program: Program) -> Program:
    """One message is sent, one given up, one deferred; nothing listens any more."""
    faults = [
        Fault("rcpt", "550 5.1.1 no", address="gone@example.org"),
        Fault("rcpt", "451 4.2.1 busy", address="busy@x.org"),
    ]
    for to in ("a@example.org", "gone@example.org", "busy@x.org"):
        program.send(to=to)
    with ScriptedServer(faults) as server:
        program.configure(server.port)
        assert program.call("drain").status == 69
    program.configure()
    return program


def on_terminal(program: Program, *words: str, **environment: str) -> str:
    around = {**program.environment, "TERM": "xterm-256color", **environment}
    with Terminal([*COMMAND, *words], env=around, cwd=program.home) as person:
        person.end()
        return person.screen


def words(screen: str) -> list[str]:
    """The words on a screen, without colours and without ages, which differ from look to look."""
    return re.sub(r"\d+s", "", ANSI.sub("", screen)).split()


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_colour_stands_beside_words_that_say_the_same(command: tuple[str, ...], story: Program) -> None:
    painted = on_terminal(story, *command)
    assert ANSI.search(painted)
    for around in ({"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": ""}):
        plain = on_terminal(story, *command, **around)
        assert not ANSI.search(plain)
        assert words(plain) == words(painted)
    assert ANSI.search(on_terminal(story, *command, NO_COLOR=""))
    assert not ANSI.search(story.run(*command, TERM="xterm-256color").out)


def test_each_colour_has_one_meaning(story: Program) -> None:
    listed = on_terminal(story, "list")
    assert [re.findall(rf"\x1b\[(\d+)m{word}", listed) for word in ("sent", "failed", "gave up")] == [
        ["32"],
        ["33"],
        ["31"],
    ]
    assert re.search(r"\x1b\[32msent ", on_terminal(story, "show", "1"))
    assert re.search(r"\x1b\[31mgiven up", on_terminal(story, "show", "2"))
    status = on_terminal(story, "status")
    assert "\x1b[31ma person is wanted" in status
    assert "\x1b[36m   → " in status
    assert "\x1b[31mFAIL" in on_terminal(story, "account", "test")


class TestTheDemo:
    def test_shows_tables_explains_statuses_and_ends_with_the_next_step(self, program: Program) -> None:
        answer = program.run("demo")
        assert (answer.status, answer.err) == (0, "")
        assert "\\t" not in answer.out
        assert re.search(r"^  id +age +status +next +to +subject +why$", answer.out, re.MULTILINE)
        assert len(re.findall(r"\(exit status 75: .+\)", answer.out)) == 2
        assert (
            len(re.findall(r"exit status", answer.out)) == len(re.findall(r"\(exit status \d+: .+\)", answer.out)) > 3
        )
        assert "next: prx-email init\n" in answer.out
        assert not ANSI.search(answer.out)

    def test_is_as_wide_as_the_terminal_and_stresses_the_commands(self, program: Program) -> None:
        shown = on_terminal(program, "demo", COLUMNS="120")
        assert "\x1b[1m$ prx-email drain\x1b[0m" in shown
        assert "\x1b[33m  (exit status 75: " in shown
        assert re.search(
            r"^ +3 .* failed .*Disk almost full +450 4.2.0 greylisted, come back later", shown, re.MULTILINE
        )
