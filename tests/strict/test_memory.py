"""A large attachment is never whole in memory, whichever way it comes in, and neither when it goes out."""

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest

from ..conftest import COMMAND, Program
from ..support.scripted import ScriptedServer

SIZE = 25 * 1024 * 1024
LIMIT = 96  # MiB
# A child's peak counts from its parent's memory, so the parent is a small process of its own.
_MEASURE = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
print(done.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
_UNITS = 1024 * 1024 if sys.platform == "darwin" else 1024  # of ru_maxrss in a MiB
MESSAGE = {"to": "a@example.org", "subject": "s", "body_text": "text\n"}
SEND = ("send", "--to", "a@example.org", "--subject", "s", "--body", "text")


def peak(program: Program, *arguments: str) -> float:
    """The largest resident size, in MiB, of ``prx-email ARGUMENTS``, which must succeed."""
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, *COMMAND, *arguments], env=program.environment, cwd=program.home,
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    status, size = map(int, done.stdout.split())
    assert status == 0, done.stderr
    return size / _UNITS


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of the largest size that the default policy admits, and a request that holds it."""
    files = tmp_path_factory.mktemp("large")
    content = bytes(range(256)) * (SIZE // 256)
    (files / "large.pdf").write_bytes(content)
    attached = {"filename": "large.pdf", "base64": base64.b64encode(content).decode()}
    (files / "large.json").write_text(json.dumps({**MESSAGE, "attachment": attached}))
    return files


WAYS = {
    "attach": (*SEND, "--attach", "{}/large.pdf", "--idempotency-key", "k"),
    "attach-stored": (*SEND, "--attach-stored", "large.pdf"),
    "request": ("send", "--request", "{}/large.json"),
    "batch": ("send", "--batch", "{}/large.json"),
}


def test_enqueueing_25_mib_takes_less_than_96_mib_more(program: Program, files: Path) -> None:
    program.configure(outbox=f'[attachments.store]\nenabled = true\ndir = "{files}"\n')
    without = peak(program, *SEND)
    more = {way: peak(program, *(word.format(files) for word in words)) - without for way, words in WAYS.items()}
    assert max(more.values()) < LIMIT, more
    assert len(program.call("list", "--json").data) == 1 + len(WAYS)


@pytest.mark.on_both
def test_draining_25_mib_takes_less_than_96_mib_more(program: Program, files: Path) -> None:
    with ScriptedServer() as server:
        program.configure(server.port)
        program.send()
        without = peak(program, "drain")
        program.send("--attach", f"{files}/large.pdf")
        assert peak(program, "drain") - without < LIMIT
        assert [len(message.content) > SIZE for message in server.messages] == [False, True]
