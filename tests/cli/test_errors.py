"""Whatever is wrong: the exit status of the contract, the cause, the fix, and never a traceback."""

import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from prx_email_cli import __version__
from prx_email_cli.cli.main import COMMANDS

from ..conftest import Program
from .outside import assert_error, enqueue, rows, shell, stored

SEND = ("send", "--to", "a@example.org", "--subject", "hello", "--body", "text\n")


class TestTheCommandLine:
    def test_helps_by_naming_every_command(self, program: Program) -> None:
        answer = program.run("--help")
        assert (answer.status, answer.err) == (0, "")
        assert all(name in answer.out for name in COMMANDS)

    def test_has_a_version_and_needs_no_config_for_it(self, program: Program) -> None:
        program.config.unlink()
        answer = program.run("--version")
        assert (answer.status, answer.out, answer.err) == (0, f"prx-email {__version__}\n", "")
        assert shell(program, "prx-email --version").out == answer.out

    @pytest.mark.parametrize(
        "words", [["sned"], ["send", "--too", "a@example.org"], ["send", "--failure-mode", "x"], ["show"]]
    )
    def test_when_wrong_is_2(self, words: list[str], program: Program) -> None:
        answer = program.run(*words)
        assert (answer.status, answer.out, "Traceback" in answer.err) == (2, "", False)
        assert answer.err


class TestTheConfig:
    @pytest.mark.parametrize("options", [(), ("--json",)])
    def test_that_is_missing_is_78_and_init_is_proposed(self, options: tuple[str, ...], program: Program) -> None:
        program.config.unlink()
        assert_error(
            program.run("list", *options), 78, "config.toml", "prx-email init", code="config" if options else None
        )

    @pytest.mark.parametrize("text", ["[outbox\npath = 1", "a = ", 'a = "\n"', "caf\udce9 = 1", "\0"])
    def test_that_is_no_toml_is_78_and_names_the_file(self, text: str, program: Program) -> None:
        program.config.write_bytes(text.encode(errors="surrogateescape"))
        assert_error(program.run(*SEND), 78, str(program.config))
        assert not program.outbox.exists()

    @pytest.mark.parametrize(
        ("old", "new", "words"),
        [
            ("[outbox]", "[outbx]", ["outbx", '"outbox"']),
            ('tls = "none"', 'tls = "ssl"', ["smtp.tls"]),
            ("Ops <ops@example.com>", "x\\nBcc: y@example.org <a@example.org>", ["from"]),
        ],
    )
    def test_that_says_what_it_must_not_is_78_and_names_file_and_key(
        self, old: str, new: str, words: list[str], program: Program
    ) -> None:
        program.config.write_text(program.config.read_text().replace(old, new))
        assert_error(program.run(*SEND), 78, str(program.config), *words)
        assert_error(program.run("list", "--json"), 78, *words, code="config")
        assert not any(stored(program).values())

    def test_without_the_account_that_is_asked_for_is_78(self, program: Program) -> None:
        assert_error(program.run(*SEND, "--account", "home"), 78, "home", "work")
        for command in ("show", "test"):
            assert_error(program.run("account", command, "home", "--json"), 78, "home", "work", code="config")

    def test_with_a_secret_that_others_can_read_is_77(self, program: Program) -> None:
        program.configure(smtp='user = "ops"', auth='password = "correct horse"')
        for mode in (0o640, 0o604):
            program.config.chmod(mode)
            assert_error(program.run("list"), 77, str(program.config), "chmod 600")
        assert_error(program.run("list", "--json"), 77, "chmod 600", code="config")

    def test_without_a_secret_may_be_read_by_others(self, program: Program) -> None:
        program.configure(smtp='user = "ops"', auth='password_env = "SECRET"')
        program.config.chmod(0o644)
        assert program.run("list").status == 0


class TestAMissingSecret:
    @pytest.mark.parametrize(
        ("auth", "words"),
        [
            ('password_env = "NO_SUCH_VARIABLE"', "NO_SUCH_VARIABLE"),
            ('password_file = "no-such-file"', "no-such-file"),
            ('password_file = "empty"', "empty"),
            ('password_command = ["no-such-command"]', "no-such-command"),
            ('password_command = ["false"]', "false"),
            ('password_command = ["true"]', "empty"),
        ],
    )
    def test_is_78_and_names_where_it_should_have_come_from(self, auth: str, words: str, program: Program) -> None:
        (program.home / "empty").touch(mode=0o600)
        program.configure(smtp='user = "ops"', auth=auth)
        assert_error(program.run("account", "test", "--json"), 78, words, "accounts.work.smtp.auth", code="config")

    def test_in_a_file_that_others_can_read_is_77(self, program: Program) -> None:
        (program.home / "password").write_text("correct horse\n")
        (program.home / "password").chmod(0o644)
        program.configure(smtp='user = "ops"', auth='password_file = "password"')
        assert_error(program.run("account", "test", "--json"), 77, "chmod 600", code="config")

    def test_does_not_keep_mail_from_being_enqueued(self, program: Program) -> None:
        program.configure(smtp='user = "ops"', auth='password_env = "NO_SUCH_VARIABLE"')
        assert program.run(*SEND).out == "1\n"


def below_a_file(program: Program) -> None:
    program.outbox.with_name("file").touch()
    program.config.write_text(program.config.read_text().replace("outbox.db", "file/outbox.db"))


def a_directory(program: Program) -> None:
    program.outbox.mkdir()


def no_database(program: Program) -> None:
    program.outbox.write_bytes(b"Dear diary, " * 1000)
    program.outbox.chmod(0o600)


def a_damaged_one(program: Program) -> None:
    enqueue(program, 50)
    pages = program.outbox.read_bytes()
    program.outbox.write_bytes(pages[:4096] + b"\xa5" * (len(pages) - 4096))


def a_truncated_one(program: Program) -> None:
    enqueue(program, 50)
    program.outbox.write_bytes(program.outbox.read_bytes()[:5000])


def a_newer_one(program: Program) -> None:
    program.send()
    change(program.outbox, "PRAGMA user_version = 99")


def somebody_elses(program: Program) -> None:
    change(program.outbox, "CREATE TABLE photos (name TEXT)")
    program.outbox.chmod(0o600)


def change(database: Path, statement: str) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(statement)


class TestAnOutbox:
    @pytest.mark.of_files
    @pytest.mark.parametrize(
        ("damage", "words"),
        [
            (below_a_file, "file/outbox.db"),
            (a_directory, "outbox.db"),
            (no_database, "outbox.db"),
            (a_damaged_one, "outbox.db"),
            (a_truncated_one, "outbox.db"),
            (a_newer_one, "newer"),
            (somebody_elses, "another program"),
        ],
    )
    def test_that_cannot_be_used_is_74_and_acknowledges_nothing(
        self, damage: Callable[[Program], None], words: str, program: Program
    ) -> None:
        damage(program)
        before = program.outbox.read_bytes() if program.outbox.is_file() else b""
        assert_error(program.run(*SEND, "--json"), 74, words, code="storage")
        assert_error(program.run("drain"), 74, words, "hint: ")
        assert (program.outbox.read_bytes() if program.outbox.is_file() else b"") == before

    @pytest.mark.of_files
    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
    def test_that_others_can_reach_is_77(self, mode: int, program: Program) -> None:
        program.send()
        program.outbox.chmod(mode)
        assert_error(program.run(*SEND), 77, "chmod 600")
        program.outbox.chmod(0o600)
        assert len(rows(program)) == 1

    @pytest.mark.of_files
    def test_is_private_from_the_start(self, program: Program) -> None:
        program.config.write_text(program.config.read_text().replace("outbox.db", "new/place/outbox.db"))
        assert shell(program, "umask 0; prx-email send --to a@example.org --subject s --body x").out == "1\n"
        place = program.home / "new" / "place"
        assert place.stat().st_mode & 0o777 == 0o700
        assert {file.name: file.stat().st_mode & 0o077 for file in place.iterdir()}["outbox.db"] == 0
        assert all(file.stat().st_mode & 0o077 == 0 for file in place.iterdir())

    @pytest.mark.on_both
    @pytest.mark.parametrize("seconds", [0, 1])
    def test_locked_beyond_the_busy_timeout_is_75_and_acknowledges_nothing(
        self, seconds: int, program: Program
    ) -> None:
        program.configure(outbox=f"busy_timeout_seconds = {seconds}")
        program.send()
        before = stored(program)
        with program.locked():
            assert_error(program.run(*SEND), 75, "locked", "hint: ")
            if not seconds:
                assert_error(program.run(*SEND, "--json"), 75, "locked", code="storage")
                assert_error(
                    program.run("send", "--batch", "-", text='{"to":"a@b.org","subject":"s","body_text":"x"}\n'), 75
                )
                assert_error(program.run("drain"), 75, "locked")
                assert_error(program.run("retry", "1"), 75, "locked")
        assert stored(program) == before

    @pytest.mark.on_both
    def test_that_is_locked_for_a_moment_only_is_waited_for(self, program: Program) -> None:
        program.send()
        with program.locked():
            waiting = program.start(*SEND)
            with pytest.raises(subprocess.TimeoutExpired):
                waiting.wait(0.3)
        assert waiting.communicate(timeout=60) == ("2\n", "")


def test_a_traceback_is_only_for_those_who_ask(program: Program) -> None:
    program.config.write_text("[outbox")
    assert "Traceback" not in program.run("list").err
    answer = program.run("list", PRX_EMAIL_DEBUG="1")
    assert (answer.status, "Traceback" in answer.err) == (78, True)
