"""``cron`` prints a line that drains from cron's bare environment, and ``config`` tells of the config."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ..conftest import Answer, Program
from ..support.scripted import ScriptedServer
from .outside import assert_error, shell


def cron_runs(program: Program, line: str) -> None:
    """Run the command of a line as cron does: by sh in the home directory, with a bare environment and PATH."""
    minutes, command = line[:10], line[10:]
    assert minutes == "* * * * * "
    command = command.replace("\\%", "%")
    bare = {"HOME": str(program.home), "PATH": "/usr/bin:/bin", "SHELL": "/bin/sh"}
    done = subprocess.run(["/bin/sh", "-c", command], env=bare, cwd="/", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", ["config.toml", "my config.toml", "100%.toml", "it's.toml", "$HOME;x.toml"])
def test_the_line_drains_from_anywhere_without_a_path(name: str, program: Program) -> None:
    with ScriptedServer() as server:
        program.configure(server.port)
        program.config = program.config.rename(program.home / name)
        program.environment["PRX_EMAIL_CONFIG"] = str(program.config)
        program.send()
        answer = program.run("cron")
        assert (answer.status, answer.err, answer.out.count("\n")) == (0, "", 1), answer
        assert "%" not in answer.out.replace("\\%", "")
        cron_runs(program, answer.out.rstrip("\n"))
        assert len(server.messages) == 1
    assert program.run("cron", "--json").data == {"crontab_line": answer.out.rstrip("\n"), "variables": []}


def test_the_line_names_the_installed_command_by_its_whole_path(program: Program) -> None:
    answer = shell(program, "cd / && prx-email cron")
    assert answer.status == 0, answer
    words = shlex.split(answer.out)[5:]
    assert words == [str(Path(sys.executable).parent / "prx-email"), "--config", str(program.config), "drain"]


def test_the_line_has_the_directories_that_variables_name(program: Program) -> None:
    with ScriptedServer() as server:
        program.configure(server.port)
        text = program.config.read_text().replace('path = "outbox.db"', "")
        program.config.write_text(text)
        program.environment["XDG_DATA_HOME"] = str(program.home / "my data")
        program.send()
        cron_runs(program, program.run("cron").out.rstrip("\n"))
        assert len(server.messages) == 1


def test_the_variables_of_secrets_are_named(program: Program) -> None:
    program.configure(smtp='user = "u"', auth='password_env = "MAIL_PASSWORD"')
    answer = program.run("cron")
    assert answer.status == 0
    assert "cron does not know your variable MAIL_PASSWORD" in answer.err
    assert "MAIL_PASSWORD" not in answer.out
    assert program.run("cron", "--json").data["variables"] == ["MAIL_PASSWORD"]


def test_a_relative_path_of_the_config_becomes_absolute(program: Program) -> None:
    assert f"--config {program.config} drain" in program.run("--config", "config.toml", "cron").out


def test_without_a_config_there_is_no_line(program: Program) -> None:
    program.config.unlink()
    assert_error(program.run("cron"), 78, "no such config file", "prx-email init")


class TestConfig:
    def test_that_is_well_is_ok(self, program: Program) -> None:
        answer = program.run("config", "check")
        assert (answer.status, answer.err) == (0, "")
        assert answer.out == f"{program.config}: ok, accounts: work (default)\n"
        assert program.run("config", "check", "--json").data == {
            "config": str(program.config), "outbox": program.outbox_name, "account_names": ["work"],
            "default_account": "work",
        }  # fmt: skip
        assert not program.outbox.exists()

    @pytest.mark.parametrize(
        ("text", "status", "word"),
        [("accounts = 7\n", 78, "accounts"), ("[outbox]\nbogus = 1\n", 78, "bogus"), ("[", 78, "not valid TOML")],
    )
    def test_that_is_wrong_is_told_with_file_and_key(self, text: str, status: int, word: str, program: Program) -> None:
        program.config.write_text(text)
        assert_error(program.run("config", "check"), status, str(program.config), word)
        assert_error(program.run("config", "check", "--json"), status, word, code="config")

    def test_with_a_password_that_others_can_read_is_77(self, program: Program) -> None:
        program.configure(smtp='user = "u"', auth='password = "hunter2"')
        program.config.chmod(0o644)
        assert_error(program.run("config", "check"), 77, "readable by others", "chmod 600")

    def test_has_a_path_whether_it_is_there_or_not(self, program: Program) -> None:
        def path(*options: str, **environment: str) -> Answer:
            return program.run(*options, "config", "path", **environment)

        assert path().out == f"{program.config}\n"
        assert path("--config", "x.toml").out == f"{program.home}/x.toml\n"
        assert path(PRX_EMAIL_CONFIG="").out == f"{program.home}/.config/prx-email/config.toml\n"
        told = program.run("--config", "x.toml", "config", "path", "--json").data
        assert told == {"config": f"{program.home}/x.toml", "exists": False}
        assert os.listdir(program.home) == ["config.toml"]
