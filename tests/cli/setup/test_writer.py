"""A config that is written from the command line: neither a kill nor a full disk leaves a broken one."""

import random
import resource
import signal
import subprocess
import time
import tomllib
from collections.abc import Callable

import pytest

from ...config.killed_edit import APPENDED_TO, REPLACED
from ...conftest import Program

OPTIONS = ("--provider", "fastmail", "--user", "me@fastmail.com", "--password-env", "P")


class TestKilled:
    def test_by_hand_at_random_moments_it_leaves_a_config_that_can_be_added_to(self, owner: Program) -> None:
        owner.config.write_text(APPENDED_TO)
        began = time.monotonic()
        assert owner.run("account", "add", "first", *OPTIONS).status == 0
        whole = time.monotonic() - began
        known = {"old", "first"}
        rng = random.Random(4711)
        for number in range(12):
            name = f"n{number}"
            process = owner.start("account", "add", name, *OPTIONS)
            try:
                process.wait(rng.uniform(0.3, 1.2) * whole)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
            process.communicate()
            found = {*tomllib.loads(owner.config.read_text())["accounts"]}
            assert found in (known, known | {name})
            assert name in found or process.returncode != 0
            known = found
            assert APPENDED_TO in owner.config.read_text()
        assert owner.run("account", "add", "last", *OPTIONS).status == 0


class TestWithoutRoom:
    """The kernel refuses to let a file grow beyond a limit, at once or in the middle."""

    @pytest.mark.parametrize("room", [0, 10, 60])
    def test_an_added_account_changes_nothing_and_leaves_nothing(self, room: int, owner: Program) -> None:
        owner.config.write_text(APPENDED_TO)
        status, err = _limited(owner, room, "account", "add", "new", *OPTIONS)
        assert (status, "config.toml" in err, "bug" in err) == (78, True, False), err
        assert (owner.config.read_text(), [file.name for file in owner.home.iterdir()]) == (
            APPENDED_TO,
            ["config.toml"],
        )

    def test_a_backup_that_cannot_be_written_stops_the_change(self, owner: Program) -> None:
        owner.config.write_text(REPLACED)
        status, err = _limited(owner, 30, "account", "add", "new", "--replace", *OPTIONS)
        assert (status, "bug" in err) == (78, False), err
        assert (owner.config.read_text(), [file.name for file in owner.home.iterdir()]) == (REPLACED, ["config.toml"])

    @pytest.mark.parametrize("room", [0, 60])
    def test_a_first_config_is_not_left_half_written(self, room: int, owner: Program) -> None:
        status, err = _limited(owner, room, "init", *OPTIONS)
        assert (status, "config.toml" in err, "bug" in err) == (78, True, False), err
        assert [*owner.home.iterdir()] == []
        assert owner.run("init", *OPTIONS).status == 0


def _limited(owner: Program, room: int, *arguments: str) -> tuple[int, str]:
    """Run a command whose files may have *room* bytes; its status and stderr."""
    limit: Callable[[], None] = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))  # noqa: E731
    process = owner.start(*arguments, preexec_fn=limit)
    _, err = process.communicate(timeout=60)
    return process.returncode, err
