"""Ctrl-C and SIGTERM end every command quietly, whenever they come."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from ..conftest import Answer, Program
from ..support.faults import Fault, Place
from .outside import serving

ENDS = {signal.SIGINT: 130, signal.SIGTERM: 143}
# Signals itself as soon as NAME is imported, or at its first use of a lock of a thread's when NAME is "at its end".
_SIGNALLED = """
import os, signal, sys
sys.path.insert(0, {path!r})
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), {number})
sys.meta_path.insert(0, Finder())
sys.argv = ["prx-email", *{arguments!r}]
if {name!r} == "at its end":
    import threading
    threading._register_atexit(os.kill, os.getpid(), {number})
from prx_email_cli.__main__ import main
main()
"""
PACKAGE = Path(__file__).parents[2]

each_signal = pytest.mark.parametrize("number", ENDS, ids=lambda number: number.name)


def signalled(program: Program, number: signal.Signals, name: str, *arguments: str) -> Answer:
    script = _SIGNALLED.format(path=str(PACKAGE), name=name, number=int(number), arguments=list(arguments))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], env=program.environment, cwd=program.home, text=True,
        stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    return Answer(done.returncode, done.stdout, done.stderr)


@each_signal
@pytest.mark.parametrize(
    "module",
    ["prx_email_cli.cli", "prx_email_cli.cli.interrupts", "typing", "typer", "inspect", "rich",
     "prx_email_cli.cli.output", "prx_email_cli.cli.send",
     "prx_email_cli.config.settings", "prx_email_cli.submission.request",
     pytest.param("sqlite3", marks=pytest.mark.of_files),
     pytest.param("prx_email_cli.outbox.sqlite.store", marks=pytest.mark.of_files)],
)  # fmt: skip
def test_while_the_program_starts(program: Program, number: signal.Signals, module: str) -> None:
    arguments = ["--help"] if module == "rich" else ["send", "--to", "a@example.org", "--subject", "s", "--body", "b"]
    assert signalled(program, number, module, *arguments) == Answer(ENDS[number], "", "")
    assert not program.outbox.exists() or program.run("list", "--json").data == []


@each_signal
def test_while_the_interpreter_ends(program: Program, number: signal.Signals) -> None:
    answer = signalled(program, number, "at its end", "stats")
    assert (answer.status, answer.err) == (ENDS[number], "")


@each_signal
@pytest.mark.parametrize("milliseconds", range(0, 700, 70))
def test_at_an_instant(program: Program, number: signal.Signals, milliseconds: int) -> None:
    """Before the program's first line it is the interpreter that ends, and it has words of its own for Ctrl-C."""
    running = program.start("send", "--to", "a@example.org", "--subject", "s", "--body", "b")
    try:
        running.wait(timeout=milliseconds / 1000)
    except subprocess.TimeoutExpired:
        running.send_signal(number)
    out, err = running.communicate(timeout=60)
    if "prx_email_cli/cli" in err or number == signal.SIGTERM:
        assert "Traceback" not in err
    if running.returncode not in (-number, 1):
        assert running.returncode in (0, ENDS[number])
        assert (err, bool(out) or running.returncode) in (("", True), ("", ENDS[number]))
    with_one = program.run("list", "--json").data
    assert [row["status"] for row in with_one] in ([], ["pending"])


@each_signal
@pytest.mark.parametrize("command", [["import", "-"], ["send", "--batch", "-"], ["send", "--to", "a@b.org", "-s", "s"]])
def test_while_it_waits_for_input(program: Program, number: signal.Signals, command: list[str]) -> None:
    program.send()
    reader, writer = os.pipe()
    with program.start(*command, stdin=reader) as running:
        os.close(reader)
        os.write(writer, b"x" * 65536)
        while True:  # until it has taken what was written, it is not there yet
            os.set_blocking(writer, False)
            try:
                os.write(writer, b"x" * 4096)
                break
            except BlockingIOError:
                assert running.poll() is None
        running.send_signal(number)
        out, err = running.communicate(timeout=60)
        os.close(writer)
    assert (running.returncode, out, err) == (ENDS[number], "", "")
    assert len(program.run("list", "--json").data) == 1


@each_signal
def test_while_it_waits_for_the_outbox(program: Program, number: signal.Signals) -> None:
    program.configure(outbox="busy_timeout_seconds = 60")
    program.send()
    with program.locked():
        running = program.start("hold", "1")
        with pytest.raises(subprocess.TimeoutExpired):
            running.wait(1)
        running.send_signal(number)
        out, err = running.communicate(timeout=60)
    assert (running.returncode, out, err) == (ENDS[number], "", "")


@each_signal
@pytest.mark.parametrize("command", [["account", "test"], ["doctor"], ["retry", "1"], ["send", "--now"]])
def test_while_a_server_does_not_answer(program: Program, number: signal.Signals, command: list[str]) -> None:
    """Nothing was handed over yet, so that nothing is uncertain."""
    program.send()
    with serving(program, Fault("greeting", "timeout")) as server:
        more = ["--to", "a@example.org", "--subject", "s", "--body", "b"] if "send" in command else []
        running = program.start(*command, *more)
        server.wait_for(lambda: server.peers)
        running.send_signal(number)
        _, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (ENDS[number], "")
    assert {(row["status"], row["uncertain"]) for row in program.run("list", "--json").data} == {("pending", False)}


@each_signal
@pytest.mark.parametrize(("place", "uncertain"), [("rcpt", False), ("data", False), ("after_dot", True)])
def test_while_a_message_is_on_its_way_leave_what_is_known_of_it(
    program: Program, number: signal.Signals, place: Place, uncertain: bool
) -> None:
    with serving(program, Fault(place, "timeout")) as server:
        running = program.start("send", "--to", "a@example.org", "--subject", "s", "--body", "b", "--now")
        server.wait_for(lambda: server.happened, timeout=60)
        running.send_signal(number)
        out, err = running.communicate(timeout=60)
    assert (running.returncode, out, err) == (ENDS[number], "1\n", "")
    row = program.show(1)
    assert (row["status"], row["uncertain"]) == ("failed", uncertain)
    assert "interrupted" in row["last_error"]


def test_that_are_ignored_stay_ignored(program: Program) -> None:
    answer = signalled(program, signal.SIGINT, "typer", "--version")
    assert answer.status == 130
    program.wrapper = ["sh", "-c", 'trap "" INT TERM; echo deaf >&2; exec "$@"', "sh"]
    running = program.start("send", "--to", "a@example.org", "--subject", "s", stdin=subprocess.PIPE)
    assert running.stderr is not None
    assert running.stderr.readline() == "deaf\n"
    running.send_signal(signal.SIGINT)
    running.send_signal(signal.SIGTERM)
    assert (running.communicate("text\n", timeout=60), running.returncode) == (("1\n", ""), 0)


@each_signal
def test_a_drain_that_was_stopped_has_ended_well_however_late_its_report_is_read(
    program: Program, number: signal.Signals
) -> None:
    """The signal was heard: what waits afterwards, here for a reader, needs no second one."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    program.send()
    with serving(program) as server:
        running = program.start("drain", "--follow", "--json", stdout=writer)
        os.close(writer)
        server.wait_for(lambda: server.messages)
        running.send_signal(number)
        with pytest.raises(subprocess.TimeoutExpired):
            running.wait(1)
        with os.fdopen(reader, "rb") as said:
            report = said.read().lstrip(b"x")
        _, err = running.communicate(timeout=60)
    assert (running.returncode, err, json.loads(report)["ok"]) == (0, "", True)
