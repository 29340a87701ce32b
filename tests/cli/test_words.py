"""What people type first: help, -V, a name with a slip in it, and --config where it comes to mind."""

from pathlib import Path

import pytest

from ..conftest import Program
from .outside import assert_error


class TestHelp:
    @pytest.mark.parametrize("words", [(), ("send",), ("account",), ("account", "add"), ("help",)])
    def test_says_what_the_option_says(self, words: tuple[str, ...], program: Program) -> None:
        program.config.unlink()
        answer = program.run("help", *words)
        assert (answer.status, answer.err) == (0, "")
        assert answer.out == program.run(*words, "--help").out
        assert f"prx-email {' '.join(words)}" in answer.out

    def test_of_what_is_no_command_is_2(self, program: Program) -> None:
        for words in (("nonsense",), ("account", "nonsense")):
            answer = program.run("help", *words)
            assert (answer.status, answer.out) == (2, "")
            assert "No such command 'nonsense'" in answer.err
            answer = program.run("help", *words, "--json")
            assert (answer.status, answer.json["error"]["code"]) == (2, "validation")

    def test_has_the_options_in_json(self, program: Program) -> None:
        data = program.run("help", "list", "--json").data
        assert data["command"] == "prx-email list"
        assert ["--account"] in [option["names"] for option in data["options"]]
        assert "send" in program.run("help", "--json").data["subcommands"]
        assert "add" in program.run("help", "account", "--json").data["subcommands"]


def test_the_version_has_a_short_option(program: Program) -> None:
    answer = program.run("-V")
    assert (answer.status, answer.out) == (0, program.run("--version").out)
    assert answer.out.startswith("prx-email ")


class TestASlip:
    @pytest.mark.parametrize(
        ("typed", "meant"),
        [("sned", "send"), ("lst", "list"), ("SEND", "send"), ("drian", "drain"), ("acount", "account"),
         ("retyr", "retry"), ("doctro", "doctor"), ("version", "--version"), ("mailq", "list"), ("flush", "drain"),
         ("account tst", "test"), ("config pth", "path")],
    )  # fmt: skip
    def test_is_answered_with_what_was_meant(self, typed: str, meant: str, program: Program) -> None:
        answer = program.run(*typed.split())
        assert (answer.status, answer.out) == (2, "")
        assert f"Did you mean '{meant}'?" in answer.err
        answer = program.run(*typed.split(), "--json")
        assert (answer.status, answer.err) == (2, "")
        assert f"Did you mean '{meant}'?" in answer.json["error"]["message"]

    def test_that_is_like_nothing_is_answered_with_no_guess(self, program: Program) -> None:
        assert "Did you mean" not in program.run("xyzzy").err


class TestConfig:
    @pytest.fixture
    def other(self, program: Program) -> Path:
        """A second config, whose account is called other."""
        text = program.config.read_text().replace("accounts.work", "accounts.other")
        file = program.home / "list"  # the name of a command, too
        file.write_text(text)
        file.chmod(0o600)
        return file

    @pytest.mark.parametrize(
        "line",
        ["--config {} account list", "account --config {} list", "account list --config {}", "account list --config={}",
         "account --config={} list --json", "--json account list --config {}", "account list --json --config {}",
         "--config gone.toml account list --config {}"],
    )  # fmt: skip
    def test_may_stand_anywhere(self, line: str, other: Path, program: Program) -> None:
        answer = program.run(*line.format(other.name).split())
        assert (answer.status, answer.err) == (0, "")
        names = [one["name"] for one in answer.data] if "--json" in line else [answer.out.split("\t")[0]]
        assert names == ["other"]

    def test_as_a_value_or_behind_two_dashes_is_none(self, program: Program) -> None:
        assert program.show(program.send(subject="--config"))["subject"] == "--config"
        answer = program.run("config", "path", "--", "--config", "x")
        assert (answer.status, answer.out) == (2, "")

    def test_without_a_file_is_2(self, program: Program) -> None:
        for words in (("list", "--config"), ("--config",), ("account", "list", "--config")):
            answer = program.run(*words)
            assert (answer.status, "'--config' requires an argument" in answer.err) == (2, True), answer

    def test_that_is_not_there_is_named(self, program: Program) -> None:
        assert_error(program.run("list", "--config", "gone.toml"), 78, "gone.toml: no such config file")
