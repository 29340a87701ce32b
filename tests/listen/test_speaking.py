"""The same dialogue on standard input and output: ``sendmail -bs``."""

from __future__ import annotations

import subprocess
import sys

from ..conftest import Program
from .conftest import MESSAGE, stored_id

SPEAK = """
import os, sys
from pathlib import Path
from prx_email_cli.config.settings import load_settings
from prx_email_cli.listen.stdio import speak
settings = load_settings(Path(os.environ["PRX_EMAIL_CONFIG"]))
aliases = {"root": ["ops@example.org", "eve@example.org"]}
def qualify(name):
    if name not in aliases:
        from prx_email_cli.errors import ValidationError
        raise ValidationError("nobody")
    return aliases[name]
speak(settings, lambda text: print(text, file=sys.stderr), qualify=qualify)
"""


def spoken(program: Program, said: bytes) -> list[bytes]:
    """The lines of the answers to all that is said at once, without waiting."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SPEAK], input=said, capture_output=True, env=program.environment,
        timeout=60, check=True,
    )  # fmt: skip
    assert done.stderr == b""
    return done.stdout.splitlines()


def test_a_whole_dialogue_in_turns(program: Program) -> None:
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SPEAK], env=program.environment, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None

    def ask(said: bytes) -> bytes:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(said)
        process.stdin.flush()
        while (line := process.stdout.readline())[3:4] == b"-":
            pass
        return line

    assert ask(b"").startswith(b"220 ")
    assert ask(b"EHLO me\r\n").startswith(b"250 ")
    assert ask(b"MAIL FROM:<a@example.com>\r\n").startswith(b"250 ")
    assert ask(b"RCPT TO:<b@example.org>\r\n").startswith(b"250 ")
    assert ask(b"RCPT TO:<root>\r\n").startswith(b"250 ")
    assert ask(b"RCPT TO:<nobody>\r\n").startswith(b"553 ")
    assert ask(b"DATA\r\n").startswith(b"354 ")
    outbox_id = stored_id(ask(MESSAGE + b".\r\n").decode().strip())
    assert ask(b"QUIT\r\n").startswith(b"221 ")
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")
    row = program.show(outbox_id)
    assert row["enqueued_by"]["command"] == "listen -bs"
    assert row["to"] == ["b@example.org", "ops@example.org", "eve@example.org"]


def test_the_end_of_the_input_ends_it_without_half_a_message(program: Program) -> None:
    lines = spoken(program, b"EHLO me\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\n")
    assert [line[:3] for line in lines if line[3:4] != b"-"] == [b"220", b"250", b"250", b"250"]
    assert program.call("list", "--json").data == []


def test_what_is_sent_ahead_of_the_go_ahead_is_not_taken(program: Program) -> None:
    said = b"EHLO me\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n" + MESSAGE + b".\r\nQUIT\r\n"
    assert spoken(program, said)[-1].startswith(b"503 5.5.0")
    assert program.call("list", "--json").data == []
