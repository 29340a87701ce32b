"""SIGHUP asks a service to reload; only a terminal that is gone ends it."""

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from prx_email_cli.cli.hangups import counted

# Says "ready", then what a SIGHUP did, and ends.
SERVICE = """
import sys
from prx_email_cli.cli import interrupts
from prx_email_cli.cli.hangups import counted
with open(sys.argv[1], "w", buffering=1) as said, counted() as hangups, interrupts.stopping() as stop:
    said.write("ready\\n")
    while not stop.wait(0.01) and not hangups.count:
        pass
    said.write("stopped\\n" if stop.is_set() else "reloads\\n")
"""


def test_each_is_counted_and_the_handler_before_is_back_afterwards() -> None:
    before = signal.getsignal(signal.SIGHUP)
    with counted() as hangups:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGHUP)
        assert hangups.count == 3
    assert signal.getsignal(signal.SIGHUP) is before


@pytest.mark.parametrize(("wrapper", "does"), [([], "stopped"), (["nohup"], "reloads")])
def test_a_service_ends_with_its_terminal_unless_nohup_started_it(
    wrapper: list[str], does: str, tmp_path: Path
) -> None:
    said = tmp_path / "said"
    said.touch()
    primary, secondary = pty.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", *wrapper, sys.executable, "-c", SERVICE, str(said)],
        stdin=secondary, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        os.close(secondary)
        while "ready" not in said.read_text():
            assert process.poll() is None
        os.close(primary)  # the kernel sends SIGHUP to the leader of the terminal's session
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.wait()
    assert said.read_text() == f"ready\n{does}\n"
