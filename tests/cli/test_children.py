"""A command that the program ends takes what it has started along, or that would keep cron waiting for its stderr."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ..conftest import Program

TOO_MUCH = """
import sys
from prx_email_cli.children import answer_of
print(len(answer_of(sys.argv[1:], 1000, 600).output))
"""
HOOK = """
import sys
from prx_email_cli.cli import notify
notify.HOOK_TIMEOUT_SECONDS = float(sys.argv[1])
notify.run_hook(sys.argv[2:], "{}" * 100_000, "outbox message 1")
"""
SHELL = "sleep 3600 & echo $! > '{file}.new'; mv '{file}.new' '{file}'; {then}"


def alone(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run *script* as cron does, without a terminal, until nobody has its streams open any more."""
    return subprocess.run(
        [sys.executable, "-c", script, *arguments], start_new_session=True, capture_output=True, text=True, check=False,
        timeout=300,
    )  # fmt: skip


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def check_ended(file: Path) -> None:
    pid, until = int(file.read_text()), time.monotonic() + 60
    while runs(pid):
        assert time.monotonic() < until, f"{pid} was left"
        time.sleep(0.01)


def test_one_that_prints_too_much(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    done = alone(TOO_MUCH, "sh", "-c", SHELL.format(file=file, then="yes"))
    assert (done.returncode, done.stdout) == (0, "1001\n"), done
    check_ended(file)


def test_a_notify_command_that_does_not_end(tmp_path: Path) -> None:
    """It reads nothing either, and there is more to read than a pipe holds."""
    file = tmp_path / "pid"
    for seconds in (1, 10, 60):  # the machine may be too slow for the command to come so far
        done = alone(HOOK, str(seconds), "sh", "-c", SHELL.format(file=file, then="wait"))
        assert done.returncode == 0, done
        assert "and was killed" in done.stderr
        if file.exists():
            break
    check_ended(file)


def test_one_that_has_answered_is_left_what_it_started(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    shell = SHELL.format(file=file, then="echo pw1234").replace("3600 &", "3600 2>/dev/null &")
    done = alone(TOO_MUCH, "sh", "-c", shell)
    assert (done.returncode, done.stdout) == (0, "7\n"), done
    pid = int(file.read_text())
    assert runs(pid)
    os.kill(pid, 9)


def test_a_config_whose_reading_would_take_minutes_is_refused(program: Program) -> None:
    program.config.write_text(f"[{'a.' * 100_000}a]\n")
    answer = program.run("list")
    assert answer.status == 78
    assert "a line with over 5000 dots" in answer.err


@pytest.mark.skipif(not os.access("/proc/kmsg", os.R_OK), reason="only root may read /proc/kmsg, and not everywhere")
@pytest.mark.parametrize("option", ["--body-file", "--html", "--request", "--batch"])
def test_a_file_without_news_is_not_waited_for(option: str, program: Program) -> None:
    try:
        descriptor = os.open("/proc/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        pytest.skip("the system does not let it be opened")
    try:
        while os.read(descriptor, 1 << 16):
            pass
    except OSError:
        pass
    finally:
        os.close(descriptor)
    words = [] if option in ("--request", "--batch") else ["--to", "a@example.org", "--subject", "s"]
    assert program.run("send", *words, option, "/proc/kmsg").status in (0, 65, 66)
