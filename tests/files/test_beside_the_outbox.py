"""What SQLite believes beside an outbox, and the way to it, is nobody else's; what people really have still works."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest

from ..cli.outside import assert_error
from ..conftest import Program
from .people import ANN, BEN, as_user, bits, give, needs_root

each_log = pytest.mark.parametrize("end", ["-wal", "-shm", "-journal"])


def beside(program: Program, end: str) -> Path:
    return program.outbox.with_name(program.outbox.name + end)


def made(path: Path, mode: int = 0o700) -> Path:
    """A new directory with this mode, whatever the umask."""
    path.mkdir()
    path.chmod(mode)
    return path


def move_outbox(program: Program, name: str) -> Path:
    """Let the config name another outbox; its path."""
    program.config.write_text(program.config.read_text().replace('"outbox.db"', f'"{name}"'))
    return program.home / name


class TestAFileBesideIt:
    @each_log
    @needs_root
    def test_of_somebody_else_is_not_believed(self, end: str, program: Program) -> None:
        """Anybody can put one into a directory like /tmp."""
        program.send()
        planted = beside(program, end)
        planted.write_bytes(b"planted")
        planted.chmod(0o600)
        os.chown(planted, BEN, BEN)
        program.home.chmod(0o1777)
        before = program.outbox.read_bytes()
        for command in ("list", "drain"):
            assert_error(program.call(command), 77, str(planted), "belongs to", "chown")
        assert (planted.read_bytes(), program.outbox.read_bytes()) == (b"planted", before)

    @each_log
    def test_that_others_can_write_or_that_is_a_link_is_not_believed(self, end: str, program: Program) -> None:
        program.send()
        file, target = beside(program, end), program.home / "target"
        with closing(program.store()):  # the log and its index are there
            file.touch(0o600)
            file.chmod(0o602)
            assert_error(program.call("list"), 77, f"{file} is writable by others (mode 0602)", "chmod go-w")
        file.unlink(missing_ok=True)
        target.write_text("kept")
        target.chmod(0o600)
        file.symlink_to(target)
        assert_error(program.call("list"), 77, f"{file} is a symbolic link", "rm ")
        assert target.read_text() == "kept"

    def test_is_looked_for_where_a_link_to_the_outbox_leads(self, program: Program) -> None:
        real = made(program.home / "real")
        program.send()
        program.outbox.rename(real / "mail.db")
        program.outbox.symlink_to(real / "mail.db")
        assert program.call("list").status == 0
        (real / "mail.db-journal").symlink_to("elsewhere")
        assert_error(program.call("list"), 77, "mail.db-journal is a symbolic link")

    def test_that_is_its_own_is_in_nobodys_way(self, program: Program) -> None:
        program.send()
        with closing(program.store()):
            assert beside(program, "-wal").exists()
            assert program.call("list").status == 0


class TestANewOne:
    def test_is_not_made_where_others_could_replace_it_but_in_a_directory_like_tmp(self, program: Program) -> None:
        place = made(program.home / "open", 0o777)
        outbox = move_outbox(program, "open/new/outbox.db")
        answer = program.call("send", "--to", "a@example.org", "--subject", "s", "--body", "b")
        assert_error(answer, 77, str(place), "writable by others")
        assert not outbox.parent.exists()
        place.chmod(0o1777)
        program.send()
        assert bits(outbox) == 0o600

    @pytest.mark.parametrize("umask", [0o002, 0o022, 0o077])
    @needs_root
    def test_is_made_and_used_under_every_usual_umask(self, umask: int, program: Program) -> None:
        """With 002 what people make is writable by their group, which has nobody else in it."""
        made(program.home / "place", 0o777 & ~umask)
        outbox = move_outbox(program, "place/outbox.db")
        program.config.chmod(0o666 & ~umask)
        give(program.home, ANN)
        program.wrapper = ["sh", "-c", f'umask {umask:03o} && exec "$@"', "sh", *as_user(ANN)]
        program.send()
        assert program.call("list").status == 0
        assert (bits(outbox), outbox.stat().st_uid) == (0o600, ANN)


@pytest.mark.parametrize("path", ["/dev/null", "/dev/zero", "pipe"])
def test_what_is_no_file_is_called_so_and_nobody_is_told_to_close_it(path: str, program: Program) -> None:
    os.mkfifo(program.home / "pipe", 0o622)
    move_outbox(program, path)
    answer = program.call("list")
    assert_error(answer, 74, "not a regular file")
    assert "chmod" not in answer.err


@needs_root
class TestAnotherUsers:
    def test_is_looked_after_by_root(self, program: Program) -> None:
        place = made(program.home / "ann")
        outbox = move_outbox(program, "ann/outbox.db")
        program.send()
        give(place, ANN)
        assert program.call("list").status == 0
        os.chown(place, 0, 0)  # as in a spool that root has made
        assert program.call("list").status == 0
        place.chmod(0o1777)
        assert_error(program.call("list"), 77, str(outbox), "belongs to")

    def test_is_not_used_by_a_third(self, program: Program) -> None:
        """Also where the rights of a process would let it read everything."""
        program.send()
        give(program.home, BEN)
        for file in (program.config, program.home):
            os.chown(file, ANN, ANN)
        program.home.chmod(0o755)
        program.wrapper = as_user(ANN)
        assert_error(program.call("list"), 77, str(program.outbox), "belongs to")


@needs_root
def test_roots_config_that_all_may_read_is_everybodys_to_use(program: Program) -> None:
    place = made(program.home / "ann")
    move_outbox(program, "ann/outbox.db")
    give(place, ANN)
    program.config.chmod(0o444)
    program.home.chmod(0o755)
    program.wrapper = as_user(ANN)
    assert program.send() == 1


class TestAConfig:
    def test_that_others_can_write_gets_no_account_and_becomes_nobodys_own(self, program: Program) -> None:
        """A file that is replaced is private afterwards, whoever wrote what stands in it."""
        program.config.chmod(0o666)
        before = program.config.read_text()
        words = ("account", "add", "home", "--provider", "fastmail", "--user", "me@fastmail.com", "--password-env", "P")
        for more in ((), ("--replace",)):
            assert_error(program.call(*words, *more), 77, str(program.config), "chmod go-w")
        assert (program.config.read_text(), bits(program.config)) == (before, 0o666)

    def test_is_not_made_where_others_could_replace_it(self, program: Program) -> None:
        place = made(program.home / "open", 0o777)
        words = ("init", "--provider", "fastmail", "--user", "me@fastmail.com", "--password-env", "P")
        file = place / "new" / "config.toml"
        assert_error(program.call("--config", str(file), *words), 77, str(place), "writable by others")
        assert not file.parent.exists()
        place.chmod(0o1777)
        assert program.call("--config", str(file), *words).status == 0


class TestAProgram:
    def test_named_by_a_path_through_what_others_can_change_is_not_run(self, program: Program) -> None:
        place = made(program.home / "open")
        script = place / "script"
        script.write_text(f"#!/bin/sh\necho secret\ntouch {program.home / 'ran'}\n")
        script.chmod(0o700)
        program.configure(smtp='user = "ops@example.com"\n', auth=f'password_command = ["{script}"]')
        place.chmod(0o777)
        assert_error(program.call("account", "test", "--json"), 77, str(place), "writable by others", code="config")
        assert not (program.home / "ran").exists()
        place.chmod(0o755)
        assert program.call("account", "test").status == 75, "nobody listens there"
        assert (program.home / "ran").exists()

    def test_in_a_directory_of_path_is_run_by_either_name(self, program: Program) -> None:
        """Whose group may write there, as Homebrew's and older Debian's does, can replace every command anyway."""
        place = made(program.home / "bin")
        script = place / "give-secret"
        script.write_text("#!/bin/sh\necho secret\n")
        script.chmod(0o755)
        place.chmod(0o777)
        program.environment["PATH"] = f"{place}:{program.environment['PATH']}"
        for name in ("give-secret", str(script)):
            program.configure(smtp='user = "ops@example.com"\n', auth=f'password_command = ["{name}"]')
            assert program.call("account", "test").status == 75, "nobody listens there"
