"""A message is what it was when it was enqueued, whatever has become of its files, its config and its attempts."""

import re
import shutil

import pytest

from ..conftest import Program
from ..support.faults import Fault
from ..support.scripted import ScriptedServer
from .readers import read_strictly
from .test_every_message import EVERY_BYTE, PARENT, write_page

NOW, DAY = 1_900_000_000, 86_400
STORE = '[attachments.store]\nenabled = true\ndir = "files"\n'
EVERYTHING = ("--html", "files/page.html", "--body", "Grüße\n", "--attach", "files/report.pdf",
              "--attach-stored", "stored.pdf")  # fmt: skip
COMMANDS = {
    "send": ("send", "--to", "Ann <a@example.org>", "--subject", "日本語", "--header", "X-A: b", *EVERYTHING),
    "reply": ("reply", "--parent", "files/parent.eml", "--all", "--quote", *EVERYTHING),
}


def with_files(program: Program, port: int) -> None:
    """A config with a store, and everything that the commands name."""
    program.configure(port, outbox=STORE)
    files = program.home / "files"
    files.mkdir()
    write_page(files)
    (files / "report.pdf").write_bytes(EVERY_BYTE * 100)
    (files / "stored.pdf").write_bytes(EVERY_BYTE)
    (files / "parent.eml").write_bytes(PARENT)


def without_message_id(content: bytes) -> bytes:
    rest, count = re.subn(rb"(?m)^Message-ID: <[^>\r\n]+>\r\n", b"", content)
    assert count == 1
    return rest


@pytest.mark.parametrize("command", COMMANDS)
def test_a_retry_days_later_differs_in_the_message_id_alone(command: str, program: Program) -> None:
    deferred = [Fault("after_dot", "451 4.3.0 try later", times=2, delivered=True)]
    with ScriptedServer(deferred) as server:
        with_files(program, server.port)
        answer = program.call(*COMMANDS[command], "--now", "--now-ts", str(NOW))
        assert answer.status == 75, answer
        shutil.rmtree(program.home / "files")  # also the store itself
        for days in (3, 30):
            text = program.config.read_text().replace("Ops <ops@example.com>", f"Other <other{days}@example.com>")
            program.config.write_text(text)
            program.call("drain", "--now-ts", str(NOW + days * DAY))
        assert program.show(1)["status"] == "sent"
        first, second, third = server.messages
    assert len({message.message_id for message in (first, second, third)}) == 3
    assert without_message_id(second.content) == without_message_id(first.content)
    assert without_message_id(third.content) == without_message_id(first.content)
    letter = read_strictly(third.content)
    assert [one.content for one in letter.files if one.name == "report.pdf"] == [EVERY_BYTE * 100]
    assert letter.people["From"] == [("Ops", "ops@example.com")]


def test_after_a_lost_reply_not_even_the_message_id_differs(program: Program) -> None:
    with ScriptedServer([Fault("after_dot", "close", times=1, delivered=True)]) as server:
        with_files(program, server.port)
        assert program.call(*COMMANDS["send"], "--now", "--now-ts", str(NOW)).status == 75
        shutil.rmtree(program.home / "files")
        assert program.call("drain", "--now-ts", str(NOW + 3 * DAY)).status == 0
        first, second = server.messages
    assert second.content == first.content


def test_a_refusal_before_the_text_changes_nothing_either(program: Program) -> None:
    with ScriptedServer([Fault("data", "451 4.3.0 try later", times=1)]) as server:
        with_files(program, server.port)
        twice = [program.call(*COMMANDS["send"], "--now-ts", str(NOW)).status for _ in range(2)]
        shutil.rmtree(program.home / "files")
        program.call("drain", "--connections", "1", "--now-ts", str(NOW))
        program.call("drain", "--now-ts", str(NOW + 3 * DAY))
        at_once, later = (read_strictly(message.content) for message in server.messages)
    assert twice == [0, 0]
    assert later._replace(files=(), html=None) == at_once._replace(files=(), html=None)
    assert [one.content for one in later.files] == [one.content for one in at_once.files]
