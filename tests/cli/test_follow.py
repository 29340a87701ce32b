"""``drain --follow``: it stays, and no account waits for another."""

import signal
from collections.abc import Iterator

import pytest

from ..conftest import Program
from ..support.faults import Fault
from ..support.scripted import ScriptedServer
from .test_drain import two_accounts


@pytest.fixture
def hanging() -> Iterator[ScriptedServer]:
    """A server that does not answer the dot until it is released."""
    with ScriptedServer([Fault("after_dot", "pause")]) as server:
        yield server
        server.release()


def deliver_over(server: ScriptedServer, program: Program, number: int) -> None:
    """The second account's message of this number is sent, and delivered."""
    program.send("--account", "second")
    server.wait_for(lambda: len(server.messages) == number)


def test_new_mail_of_another_account_goes_while_one_server_hangs(program: Program, hanging: ScriptedServer) -> None:
    with ScriptedServer() as working:
        two_accounts(program, hanging.port, working.port)
        program.send("--account", "first")
        process = program.start("drain", "--follow")
        hanging.wait_for(lambda: hanging.happened)
        for number in range(1, 4):
            deliver_over(working, program, number)
        assert program.show(1)["status"] == "sending"
        hanging.release()
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert [program.show(number)["status"] for number in range(1, 5)] == ["sent"] * 4


@pytest.mark.on_both
def test_a_fault_of_the_config_is_told_once_and_the_others_are_delivered(program: Program) -> None:
    with ScriptedServer() as working:
        two_accounts(program, 1, working.port)
        program.send("--account", "first")
        text = program.config.read_text().replace("[accounts.first", "[accounts.another")
        program.config.write_text(text)
        process = program.start("drain", "--follow")
        for number in range(1, 4):
            deliver_over(working, program, number)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert err.count("error:") == 1
    assert "first" in err
    assert program.show(1)["status"] == "pending"
