"""A command that is forked answers as one that is started."""

import os
import subprocess

import pytest

from ..conftest import COMMAND, Program
from .preloaded import ENOUGH, preloaded, preloaded_for

SEND = ("send", "--to", "a@example.org", "--subject", "s")


@pytest.mark.parametrize(
    ("words", "text", "environment"),
    [
        (("--help",), "", {}), (("sned",), "", {}), (("show", "x", "--json"), "", {}), (SEND, "", {}),
        (("show", "caf\udce9"), "", {}), (("stats",), "", {"HOME": "/nowhere"}), (("send", "--batch", "-"), "{}\n", {}),
        (("list",), "", {"PRX_EMAIL_CONFIG": "missing.toml"}), (("account", "list"), "", {}),
    ],
    ids=repr,
)  # fmt: skip
def test_in_every_way(words: tuple[str, ...], text: str, environment: dict[str, str], program: Program) -> None:
    started = subprocess.run(
        [*COMMAND, *words], env={**program.environment, **environment}, cwd=program.home, input=text,
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    forked = preloaded(()).run(words, {**program.environment, **environment}, program.home, text)
    assert forked == (started.returncode, started.stdout, started.stderr)


def test_in_a_process_of_its_own_with_the_mask_and_the_zone_that_hold_now(program: Program) -> None:
    before = os.umask(0o007)
    try:
        assert program.run("send", "--to", "a@b.org", "--subject", "s", "--body", "x", TZ="JST-9").out == "1\n"
    finally:
        os.umask(before)
    assert program.run("list", TZ="JST-9").out != program.run("list", TZ="UTC").out


def test_one_that_is_killed_is_told_as_such(program: Program) -> None:
    program.configure(smtp='user = "ops"', auth='password_command = ["sh", "-c", "kill -9 $PPID"]')
    assert program.run("account", "test").status == -9


def test_what_is_read_once_is_given_to_a_new_process(program: Program) -> None:
    assert preloaded(()).serves(program.environment)
    assert not preloaded(()).serves({**program.environment, "PYTHONIOENCODING": "latin-1"})
    program.send(subject="秘")
    assert r"\u79d8" in program.run("list", PYTHONIOENCODING="latin-1").out


def test_the_keyring_is_the_one_that_the_commands_own_environment_names(program: Program) -> None:
    program.configure(smtp='user = "ops"', auth="keyring = true")
    works = {"PYTHON_KEYRING_BACKEND": "keyrings.alt.file.PlaintextKeyring"}
    assert preloaded(()).serves({**program.environment, **works})
    assert program.run("account", "set-password", "work", text="right\n", **works).status == 0
    fails = {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
    assert program.run("account", "set-password", "work", text="right\n", **fails).status == 78


def test_commands_in_another_locale_are_forked_from_a_process_in_it_once_there_are_many(program: Program) -> None:
    latin = {**program.environment, "LC_ALL": "POSIX", "LC_TIME": "C"}
    assert [preloaded_for((), latin) for _ in range(ENOUGH)] == [None] * ENOUGH
    other = preloaded_for((), latin)
    assert other is not None
    assert other is not preloaded(())
    assert other.serves(latin)
    assert not other.serves(program.environment)
    started = subprocess.run(
        [*COMMAND, "--help"], env=latin, cwd=program.home, capture_output=True, text=True, check=True
    )
    assert other.run(("--help",), latin, program.home, "") == (0, started.stdout, started.stderr)
    assert preloaded_for((), {**latin, "PYTHONPATH": "/nowhere"}) is None
